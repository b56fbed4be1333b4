"""An event loop in virtual time: when nothing is ready, time jumps to what happens next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from heapq import heapify, heappop, heappush
from math import inf
from typing import Any, TypeVarTuple, Unpack

from rtcstack import platform
from rtcstack.testing.clock import VirtualClock
from rtcstack.testing.entropy import VirtualEntropy
from rtcstack.testing.errors import NothingHappensError, TimeLimitError
from rtcstack.testing.host import Host, current_host
from rtcstack.testing.identities import IDENTITIES
from rtcstack.testing.internet import Internet
from rtcstack.testing.invariants import LooksOn, are_enabled
from rtcstack.testing.jobs import WORKERS, VirtualJobs, must_be_somebody
from rtcstack.testing.network import VirtualNetwork
from rtcstack.testing.refusals import RefusesTheRealWorld
from rtcstack.testing.surface import Surface
from rtcstack.testing.waiting import what_waits

__all__ = ["LIMIT_S", "MAX_PASSES_AT_ONCE", "VirtualLoop"]

LIMIT_S = 86_400.0
"""Virtual time that a loop may take, unless one says otherwise: a day."""

MAX_PASSES_AT_ONCE = 100_000
"""Passes of the loop while time stands still: more is code that calls itself again at once, without end."""

_MANY_CANCELLED = 100

Ts = TypeVarTuple("Ts")


class _Timer(asyncio.TimerHandle):
    """A timer; of two for the same time, the one that was asked for first comes first."""

    __slots__ = ("asked",)

    asked: int

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, _Timer):
            return NotImplemented
        mine, others = self.when(), other.when()
        return mine < others if mine != others else self.asked < other.asked


class VirtualLoop(RefusesTheRealWorld, Surface, asyncio.BaseEventLoop):  # type: ignore[misc] # refused calls
    """An event loop whose time is virtual, on a virtual internet.

    Time stands still while callbacks run, and jumps to the next timer or packet when none is ready. Of what
    happens at one instant, packets come first, then timers, each in the order in which they were asked for.
    Sockets of asyncio's own calls are on the internet, on the host on which the code stands.

    Args:
        internet: on which its code stands; None for a new one.
        seed: of a new internet.
        limit_s: after so much virtual time it says what still waits, instead of going on; None for never.
        workers: of each host; see `VirtualJobs`.
        invariants: whether each pass of a transport is looked at; see `rtcstack.testing.invariants`. None
            for what `invariants.enable` said.

    Raises:
        RuntimeError: the internet is that of another loop, which is not closed.
        ValueError: there are no workers.

    Attributes:
        internet: see above.
        jobs: what is done away from the loop.
        passes: how often it has looked for what is ready.
        looks_on: who looks at the transports' passes.
    """

    # asyncio.BaseEventLoop's own
    _closed = True  # until it is made
    _ready: deque[asyncio.Handle]
    _scheduled: list[_Timer]
    _stopping: bool
    _timer_cancelled_count: int
    _check_thread: Callable[[], None]
    _check_callback: Callable[[object, str], None]

    def __init__(
        self,
        internet: Internet | None = None,
        *,
        seed: int = 0,
        limit_s: float | None = LIMIT_S,
        workers: int = WORKERS,
        invariants: bool | None = None,
    ) -> None:
        must_be_somebody(workers)
        self.internet = Internet(seed=seed) if internet is None else internet
        self.internet.move_on_with(self)
        super().__init__()
        self._clock_resolution = 0.0
        self._agenda = self.internet.agenda
        self._limit = None if limit_s is None else self._agenda.now + limit_s
        self._asked = 0
        self._identities = 0
        self._at_once = 0
        self._networks: dict[str, VirtualNetwork] = {}
        self.jobs = VirtualJobs(self, self._agenda, workers)
        self.passes = 0
        checks = are_enabled() if invariants is None else invariants
        self.looks_on = LooksOn(self.internet, checks=checks)
        own = platform.Platform(
            clock=VirtualClock(self._agenda),
            entropy=VirtualEntropy(self.internet.seed),
            jobs=self.jobs,
            network=self.network,
            identity=self._identity,
            inspector=self.looks_on,
        )
        platform.install(self, own)

    def host(self) -> Host:
        """The host on which the running code stands: if it has not said, that of `DEFAULT_HOST`'s name."""
        return current_host() or self.internet.host()

    def network(self) -> VirtualNetwork:
        """The network of the host on which the running code stands."""
        host = self.host()
        network = self._networks.get(host.name)
        if network is None:
            network = self._networks[host.name] = VirtualNetwork(host)
        return network

    def _identity(self) -> bytes:
        self._identities += 1
        return IDENTITIES[self._identities % len(IDENTITIES)]

    # -- as asyncio wants it --------------------------------------------------------------------

    def time(self) -> float:
        """The virtual time in seconds."""
        return self._agenda.now

    def close(self) -> None:
        """Close; what was installed for it is taken back."""
        super().close()
        platform.uninstall(self)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """See `asyncio.loop.call_at`."""
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
        if when != when:
            raise ValueError("a timer for no time at all (NaN)")
        if self.get_debug():
            self._check_thread()
            self._check_callback(callback, "call_at")
        timer = _Timer(when, callback, args, self, context)
        self._asked += 1
        timer.asked = self._asked
        heappush(self._scheduled, timer)
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """See `asyncio.loop.call_later`."""
        return self.call_at(self._agenda.now + delay, callback, *args, context=context)

    def _write_to_self(self) -> None:
        """Nothing to wake: the loop never waits, and finds what another thread has put down."""

    def _process_events(self, event_list: Any) -> None:
        """There is no selector."""

    def _run_once(self) -> None:
        self.passes += 1
        ready = self._ready
        if ready or self._stopping:
            self._at_once += 1
            if self._at_once > MAX_PASSES_AT_ONCE:
                self._at_once = 0
                raise TimeLimitError(
                    f"{MAX_PASSES_AT_ONCE} passes of the loop, and time stands still\n{what_waits(self)}"
                )
        else:
            self._advance()
        self._arrivals()
        self._take_due_timers()
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()

    def _advance(self) -> None:
        """Let time jump to what happens next."""
        self._drop_cancelled()
        agenda = self._agenda
        due = agenda.next_time
        if self._scheduled and (due is None or self._scheduled[0].when() < due):
            due = self._scheduled[0].when()
        if due is None or due == inf:  # a sleep without end
            if self._ready:  # another thread has just put something down
                return
            raise NothingHappensError(f"nothing will ever happen, and it is waited for\n{what_waits(self)}")
        if self._limit is not None and due > self._limit:
            self._limit += LIMIT_S  # for what is done on the way out
            raise TimeLimitError(f"{agenda.now:.3f} s, and no end\n{what_waits(self)}")
        if due > agenda.now:
            agenda.now = due
            self._at_once = 0

    def _arrivals(self) -> None:
        while True:
            try:
                self._agenda.run_due()
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                context = {"message": "Exception where something arrived", "exception": error}
                self.call_exception_handler(context)
            else:
                return

    def _take_due_timers(self) -> None:
        scheduled, now = self._scheduled, self._agenda.now
        while scheduled and scheduled[0].when() <= now:
            timer = heappop(scheduled)
            timer._scheduled = False  # type: ignore[attr-defined]
            if timer.cancelled():
                self._timer_cancelled_count -= 1
            else:
                self._ready.append(timer)

    def _drop_cancelled(self) -> None:
        scheduled = self._scheduled
        if self._timer_cancelled_count > max(_MANY_CANCELLED, len(scheduled) // 2):
            for timer in scheduled:
                if timer.cancelled():
                    timer._scheduled = False  # type: ignore[attr-defined]
            scheduled[:] = [timer for timer in scheduled if not timer.cancelled()]
            heapify(scheduled)
            self._timer_cancelled_count = 0
        while scheduled and scheduled[0].cancelled():
            heappop(scheduled)._scheduled = False  # type: ignore[attr-defined]
            self._timer_cancelled_count -= 1
