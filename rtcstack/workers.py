"""This machine's workers: a few threads for each event loop, and one of its own for who may block for good.

Codecs let go of the interpreter lock while they work, so threads are enough. They start with the first
job, and end when for a second there was none.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from rtcstack.clock import thread_time
from rtcstack.platform.current import installed, one_for_loop
from rtcstack.platform.values import Jobs

__all__ = ["IDLE_S", "MAX_WORKERS", "Threads", "dedicated", "jobs", "run"]

MAX_WORKERS = 32
"""Threads of a loop at most, however many cores there are. Jobs wait; whoever submits bounds how many."""

IDLE_S = 1.0
"""How long a thread waits for a job before it ends."""

_logger = logging.getLogger("rtcstack.media")

Result = TypeVar("Result")


class Threads:
    """Threads as `rtcstack.platform.Jobs`.

    Args:
        post: runs a function on the loop's thread, soon; called from any thread.
        workers: threads at most; None for one per core.
        name: of each thread.
        idle_s: how long a thread waits for a job before it ends.
    """

    __slots__ = (
        "_idle",
        "_idle_s",
        "_is_closed",
        "_limit",
        "_lock",
        "_name",
        "_post",
        "_ready",
        "_threads",
        "_urgent",
        "_wake",
    )

    work_s = staticmethod(thread_time)

    def __init__(
        self,
        post: Callable[[Callable[[], None]], object],
        workers: int | None = None,
        *,
        name: str = "rtcstack-worker",
        idle_s: float = IDLE_S,
    ) -> None:
        if workers is None:
            workers = os.cpu_count() or 1
        self._post = post
        self._limit = max(1, min(workers, MAX_WORKERS))
        self._name = name
        self._idle_s = idle_s
        self._threads: set[threading.Thread] = set()
        self._idle = 0  # threads that look for a job when they wake, called or not
        self._urgent: deque[Callable[[], None]] = deque()
        self._ready: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._is_closed = False

    @property
    def thread_count(self) -> int:
        """Threads that live at the moment."""
        return len(self._threads)

    def submit(self, job: Callable[[], None], *, urgent: bool = False, cost_s: float | None = None) -> None:
        """See `rtcstack.platform.Jobs`. It waits for as long as the system has no thread to give."""
        with self._lock:
            (self._urgent if urgent else self._ready).append(job)
            if len(self._urgent) + len(self._ready) <= self._idle:
                self._wake.notify()
            elif len(self._threads) < self._limit:
                self._begin_thread()

    def post(self, callback: Callable[[], None]) -> None:
        """See `rtcstack.platform.Jobs`."""
        self._post(callback)

    def close(self) -> None:
        """Have the threads end as soon as nothing waits. What is submitted later is done all the same."""
        with self._lock:
            self._is_closed = True
            self._wake.notify_all()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until no thread is left; not on the loop's thread while it is needed.

        Args:
            timeout_s: how long for each; None for as long as it takes.

        Returns:
            Whether that is so.
        """
        while self._threads:
            for thread in list(self._threads):
                thread.join(timeout_s)
                if thread.is_alive():
                    return False
        return True

    def _begin_thread(self) -> None:
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        try:
            thread.start()  # it waits for the lock, which is held
        except RuntimeError as exc:  # there are too many, or the interpreter ends
            if not self._threads:
                _logger.warning("a job waits: %s", exc)
            return
        self._threads.add(thread)

    def _run(self) -> None:
        try:
            while (job := self._next()) is not None:
                job()
                del job  # what it holds may be big, and the next may be long in coming
        except BaseException:  # the job's, who should have told its owner: the thread ends as if closed
            with self._lock:
                self._threads.discard(threading.current_thread())
            raise

    def _next(self) -> Callable[[], None] | None:
        """Wait for a job; None if the thread is to end."""
        urgent, ready = self._urgent, self._ready
        with self._wake:
            is_called = True
            while not urgent and not ready:
                if self._is_closed or not is_called:
                    # Within the same hold of the lock: what is submitted from now on has a thread of its own.
                    self._threads.discard(threading.current_thread())
                    return None
                self._idle += 1
                try:
                    is_called = self._wake.wait(self._idle_s)
                finally:
                    self._idle -= 1
            return (urgent or ready).popleft()


def jobs() -> Jobs:
    """The running loop's workers: its own, or this machine's threads, of which each loop has its own few."""
    own = installed()
    if own is not None and own.jobs is not None:
        return own.jobs
    return one_for_loop(_threads_of)


def dedicated(name: str) -> Threads:
    """One thread for jobs that may block for long, or for good: they hold up nobody else's.

    Args:
        name: of the thread.
    """
    return Threads(_post_to(asyncio.get_running_loop()), 1, name=name)


def run(
    work: Callable[[], Result], workers: Jobs, *, unwanted: Callable[[Result], object] | None = None
) -> asyncio.Future[Result]:
    """Have something slow done.

    Args:
        work: what; it may raise, and is not stopped when nobody waits for it any more.
        workers: by whom.
        unwanted: called with what came when nobody waited any more.

    Returns:
        What it gave.
    """
    future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

    def give(result: Result) -> None:
        if not future.done():
            future.set_result(result)
        elif unwanted is not None:
            unwanted(result)

    def fail(error: BaseException) -> None:
        if not future.done():
            future.set_exception(error)

    def job() -> None:
        try:
            result = work()
        except BaseException as exc:
            error = exc
            tell = lambda: fail(error)  # noqa: E731
        else:
            tell = lambda: give(result)  # noqa: E731
        with contextlib.suppress(RuntimeError):  # the loop is closed
            workers.post(tell)

    workers.submit(job)
    return future


def _threads_of(loop: asyncio.AbstractEventLoop) -> Threads:
    return Threads(_post_to(loop))


def _post_to(loop: asyncio.AbstractEventLoop) -> Callable[[Callable[[], None]], None]:
    """Calls on a loop's thread. It does not keep the loop alive, of which it may be a belonging."""
    reference = weakref.ref(loop)

    def post(callback: Callable[[], None]) -> None:
        found = reference()
        if found is not None:
            found.call_soon_threadsafe(callback)

    return post
