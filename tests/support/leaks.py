"""What a test may leave behind, and what may reach the event loop: nothing.

`tests/conftest.py` puts a `Watch` around every test. The test fails, with the reason, when an exception has
reached an event loop's exception handler, when the stack has logged a fault of its own (see
docs/decisions/faults.md), or when it leaves a socket, a task, a timer or a thread that was not there before.
The rest is pytest's own, made errors in ``pyproject.toml``: exceptions in finalizers and threads, coroutines
that were never awaited, and what was closed only because it was collected.

What is collected late is collected here: a test that had a loop ends with a full collection. That is cheap,
because all that the test run itself consists of is frozen (`freeze`) when the tests begin.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import socket
import sysconfig
import threading
from collections.abc import Iterator
from typing import Any, cast

from rtcstack.testing import VirtualLoop

__all__ = ["LASTING_THREADS", "SETTLE_TURNS", "Watch", "freeze", "lasting", "watch_loops"]

SETTLE_TURNS = 3
"""Turns of the loop that closing may take: a transport closes its socket in the turn after `close`."""

LASTING_THREADS = ("asyncio_", "rtcstack-worker")
"""Names of threads that outlive a test by design: asyncio's default executor, which ends with its loop, and
the loop's workers, which end when for a while there is no job."""

THREAD_END_S = 2.0
"""How long a thread that was told to end may take."""

FOREIGN = tuple(sysconfig.get_path(name) + os.sep for name in ("purelib", "platlib", "stdlib"))
"""Where other libraries' code is: in a loop that tests share, they keep house as they like."""

_FD = "/proc/self/fd"

_watches: list[Watch] = []
"""The watches that stand; the last one is told. More than one where a test runs tests."""

_lasting_servers: set[Any] = set()
"""Addresses of the servers that were made to last: who connects there, and when, is not the test's affair."""


class Watch:
    """One test: what was there before, and what has been reported since.

    Args:
        loop: the loop that the test runs in; None if it has none.
        shared: whether other tests run in that loop, too.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None, *, shared: bool = False) -> None:
        self.loop = loop
        self.shared = shared
        self.expects_loop_exceptions = False
        """Whether the test is about exceptions that reach the loop: then there must be one."""
        self.reported: list[dict[str, Any]] = []
        """What reached the exception handler of any loop."""
        self.expects_faults = False
        """Whether the test is about faults inside the stack: then there must be one."""
        self.faults: list[logging.LogRecord] = []
        """What the stack caught and logged, with its traceback."""
        self.had_loops = False
        """Whether other loops than `loop` have been closed meanwhile."""
        self._left_behind: list[str] = []
        self._sockets: set[str] = set()
        self._threads: set[threading.Thread] = set()
        self._policy = _policy()
        self._left: set[object] = set()  # tasks and timers
        self.allow()
        _watches.append(self)

    def allow(self) -> None:
        """What is there now may stay."""
        self._sockets.update(_sockets())
        self._threads.update(threading.enumerate())
        if self.loop is not None:
            self._left.update(asyncio.all_tasks(self.loop))
            self._left.update(_timers(self.loop))

    def settle(self) -> None:
        """Collect, and look at the loop, after the test and its fixtures, before it is closed."""
        loop = self.loop
        if loop is not None and not loop.is_closed():
            loop.run_until_complete(_turns())
            gc.collect()
            self.look_at(loop)
        elif self.had_loops:
            gc.collect()

    def look_at(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tasks and timers that are left in a loop."""
        shared = loop is self.loop and self.shared
        for task in asyncio.all_tasks(loop) - self._left:
            if not shared or _is_ours(task.get_coro()):
                self._left_behind.append(f"a task is pending: {task!r}")
        for handle in _timers(loop):
            if handle not in self._left and (not shared or _is_ours(handle._callback)):
                self._left_behind.append(f"a timer is left: {handle!r}")
        if isinstance(loop, VirtualLoop):
            self._left_behind += _virtual_sockets(loop)

    def end(self) -> list[str]:
        """Why the test must fail, when all of it is over; empty if it need not."""
        _watches.remove(self)
        reasons = self._left_behind
        if not self.expects_loop_exceptions:
            reasons += [f"an exception reached the loop: {_told(context)}" for context in self.reported]
        elif not self.reported:
            reasons.append("no exception reached the loop, and the test expects one")
        if not self.expects_faults:
            reasons += [f"the stack has a fault: {_logged(record)}" for record in self.faults]
        elif not self.faults:
            reasons.append("the stack has logged no fault, and the test expects one")
        for target in _sockets().keys() - self._sockets:
            with _copy(target) as found:
                if found is None or found.getsockname() not in _lasting_servers:
                    reasons.append(f"a socket is open: {target} {_described(found)}")
        if _policy() != self._policy:
            reasons.append("this thread has another priority than before: some coder gave itself real time")
            os.sched_setscheduler(0, self._policy, os.sched_param(0))
        for thread in set(threading.enumerate()) - self._threads:
            if not thread.name.startswith(LASTING_THREADS):
                thread.join(THREAD_END_S)
                if thread.is_alive():
                    reasons.append(f"a thread runs: {thread!r}")
        return reasons


def lasting() -> contextlib.AbstractContextManager[None]:
    """What is made inside is meant to outlive the test: a host of peers that many tests use.

    So are the connections to its server: a browser opens some whenever it likes.
    """
    return _lasting()


@contextlib.contextmanager
def _lasting() -> Iterator[None]:
    before = _sockets()
    try:
        yield
    finally:
        for target in _sockets().keys() - before.keys():
            with _copy(target) as found:
                if found is not None and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    _lasting_servers.add(found.getsockname())
        for watch in _watches:
            watch.allow()


@contextlib.contextmanager
def watch_loops() -> Iterator[None]:
    """Every event loop tells the watch that stands of exceptions, and of what it still has when it is closed.

    The loop's own handler is called, too: a test may look at what it gets. The stack's log is watched for
    faults.
    """
    base: Any = asyncio.BaseEventLoop
    report, close = base.call_exception_handler, base.close
    if getattr(report, "is_watched", False):  # by a test run around this one
        yield
        return

    def call_exception_handler(self: asyncio.BaseEventLoop, context: dict[str, Any]) -> None:
        if _watches:
            _watches[-1].reported.append(context)
        report(self, context)

    def close_watched(self: asyncio.BaseEventLoop) -> None:
        if _watches and not self.is_closed() and not self.is_running() and self is not _watches[-1].loop:
            _watches[-1].had_loops = True
            _watches[-1].look_at(self)
        close(self)

    call_exception_handler.is_watched = True  # type: ignore[attr-defined]
    base.call_exception_handler, base.close = call_exception_handler, close_watched
    listener = _FaultListener(logging.ERROR)
    logging.getLogger("rtcstack").addHandler(listener)
    try:
        yield
    finally:
        base.call_exception_handler, base.close = report, close
        logging.getLogger("rtcstack").removeHandler(listener)


class _FaultListener(logging.Handler):
    """Tells the watch that stands of errors in the stack's log that have a traceback."""

    def emit(self, record: logging.LogRecord) -> None:
        if _watches and record.exc_info:
            _watches[-1].faults.append(record)


def freeze() -> None:
    """Spare the collections after each test what the test run itself consists of: modules, tests, plugins."""
    if gc.get_freeze_count() == 0:
        gc.collect()
        gc.freeze()


async def _turns() -> None:
    for _ in range(SETTLE_TURNS):
        await asyncio.sleep(0)


def _policy() -> int:
    """How the kernel schedules this thread; 0 where it does not tell."""
    return os.sched_getscheduler(0) if hasattr(os, "sched_getscheduler") else 0


def _timers(loop: asyncio.AbstractEventLoop) -> list[Any]:
    scheduled = cast("list[asyncio.TimerHandle]", getattr(loop, "_scheduled", ()))
    return [handle for handle in scheduled if not handle.cancelled()]


def _virtual_sockets(loop: VirtualLoop) -> list[str]:
    """What is open on the hosts of a loop's internet: UDP, and connections that neither end has closed.

    A test's servers may go on listening: nobody is kept from anything when the loop is closed.
    """
    hosts = list(loop.internet.hosts)
    open_ends = {
        (end.sockname, end.peername): host
        for host in hosts
        for end in host.connections.values()
        if not end.is_closed
    }
    return [
        f"a virtual socket is open on {host.name}: UDP {address} {port}"
        for host in hosts
        for is_tcp, address, port in host.open_ports
        if not is_tcp
    ] + [
        f"a virtual connection is open on {host.name}: {mine} with {theirs}"
        for (mine, theirs), host in open_ends.items()
        if (theirs, mine) in open_ends
    ]


def _sockets() -> dict[str, str]:
    """The sockets of this process with a descriptor of each; none where the system does not say."""
    found: dict[str, str] = {}
    try:
        names = os.listdir(_FD)
    except OSError:
        return found
    for name in names:
        try:
            target = os.readlink(f"{_FD}/{name}")
        except OSError:  # the listing's own
            continue
        if target.startswith("socket:"):
            found[target] = name
    return found


@contextlib.contextmanager
def _copy(target: str) -> Iterator[socket.socket | None]:
    """The socket of that name, for a moment; None if it has gone."""
    fd = _sockets().get(target)
    try:
        copy = None if fd is None else socket.socket(fileno=os.dup(int(fd)))
    except OSError:
        copy = None
    try:
        yield copy
    finally:
        if copy is not None:
            copy.close()


def _described(found: socket.socket | None) -> str:
    """A socket in words."""
    if found is None:
        return "of a kind unknown"
    family, kind = (getattr(value, "name", value) for value in (found.family, found.type))
    return f"{family} {kind} {found.getsockname()!r}"


def _is_ours(what: Any) -> bool:
    """Whether a coroutine, or a function, is no other library's."""
    what = getattr(what, "func", what)  # of a partial
    what = getattr(what, "__func__", what)  # of a method
    code = getattr(what, "cr_code", None) or getattr(what, "__code__", None)
    return code is not None and not code.co_filename.startswith(FOREIGN)


def _told(context: dict[str, Any]) -> str:
    more = ", ".join(
        f"{key}: {value!r}" for key, value in context.items() if key not in ("message", "exception")
    )
    return f"{context.get('message')}: {context.get('exception')!r} ({more})"


def _logged(record: logging.LogRecord) -> str:
    assert record.exc_info is not None
    return f"{record.getMessage()}: {record.exc_info[1]!r}"
