"""Where time comes from. Engines never read it: they are handed `now`.

This is the one module that reads the system's clocks.
"""

from __future__ import annotations

import time

from rtcstack.platform.current import installed, loops_with_their_own
from rtcstack.platform.values import Clock

__all__ = [
    "NTP_EPOCH_S",
    "SystemClock",
    "clock",
    "monotonic",
    "system_wall",
    "thread_time",
    "timestamp_ms",
    "unix_time",
]

NTP_EPOCH_S = 2_208_988_800
"""Seconds between NTP's epoch, 1900, and Unix', 1970."""

COARSE_S = 0.000_1
"""A monotonic clock of a resolution worse than this is not used (some have 15 ms)."""

_is_coarse = time.get_clock_info("monotonic").resolution > COARSE_S
_system_now = time.perf_counter if _is_coarse else time.monotonic

system_wall = time.time
"""The system's Unix time, that somebody may set: what the kernel stamps packets with."""

thread_time = time.thread_time
"""Seconds of processor time that the calling thread has taken."""


class SystemClock:
    """This machine's time; see `rtcstack.platform.Clock`."""

    __slots__ = ("epoch_s",)

    def __init__(self) -> None:
        self.epoch_s = time.time() - _system_now()
        """Unix time of the monotonic clock's zero."""

    now = staticmethod(_system_now)

    def wall(self) -> float:
        """See `rtcstack.platform.Clock`."""
        return self.epoch_s + _system_now()


_system = SystemClock()
_system_epoch_s = _system.epoch_s


def clock() -> Clock:
    """The running loop's; this machine's, if that has none of its own or there is none."""
    own = installed()
    return _system if own is None or own.clock is None else own.clock


def monotonic() -> float:
    """Seconds on the clock of the running loop: the `now` of every engine."""
    if not loops_with_their_own:  # asked for at each packet: a program without virtual time pays for a look
        return _system_now()
    return clock().now()


def unix_time() -> float:
    """Seconds since the Unix epoch, on the clock of the running loop."""
    return clock().wall()


def timestamp_ms() -> float:
    """Milliseconds since the Unix epoch: the timestamp of W3C events and statistics."""
    if not loops_with_their_own:  # each event has one
        return (_system_epoch_s + _system_now()) * 1000.0
    return clock().wall() * 1000.0
