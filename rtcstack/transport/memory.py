"""Gives memory that was freed back to the system.

glibc keeps freed memory for the next allocation, scattered between what is still in use. When many
connections have come to rest at once that is most of what they had. One `malloc_trim` returns it:
1 ms for the heap of a hundred connections, and none of it while they are busy.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable

from rtcstack.clock import monotonic
from rtcstack.platform import one_for_loop

__all__ = ["released"]

TRIM_DELAY_S = 1.0
"""Connections come to rest together; one call serves them all."""

MIN_INTERVAL_S = 30.0
MIN_RELEASES = 16
"""Fewer than this are not worth a look through the heap."""


def _find_trim() -> Callable[[int], int] | None:
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None  # another C library, or another system
    return trim


class _Trimmer:
    """Of one loop: what others free does not change when it looks."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._trim = _find_trim()
        self._releases = 0
        self._is_pending = False
        self._last = monotonic() - MIN_INTERVAL_S

    def released(self, loop: asyncio.AbstractEventLoop) -> None:
        self._releases += 1
        if self._trim is None or self._is_pending or self._releases < MIN_RELEASES:
            return
        self._is_pending = True
        loop.call_later(max(TRIM_DELAY_S, self._last + MIN_INTERVAL_S - monotonic()), self._run)

    def _run(self) -> None:
        assert self._trim is not None
        self._is_pending = False
        self._releases = 0
        self._last = monotonic()
        self._trim(0)


def released() -> None:
    """A connection of the running loop has freed much of its memory."""
    one_for_loop(_Trimmer).released(asyncio.get_running_loop())
