"""Rates of bits, by counting them. What a path takes is estimated elsewhere (`rtcstack.rtp`)."""

from __future__ import annotations

from collections import deque
from enum import Enum

__all__ = ["BandwidthUsage", "RateControlState", "RateCounter"]


class BandwidthUsage(Enum):
    """What delays say of a path."""

    NORMAL = 0
    UNDERUSING = 1
    OVERUSING = 2


class RateControlState(Enum):
    """What follows for the rate."""

    HOLD = 0
    INCREASE = 1
    DECREASE = 2


class RateCounter:
    """Counts what came within a window.

    Args:
        window_size: milliseconds.
        scale: of `rate`: 8000 makes bits a second of bytes a millisecond.
    """

    def __init__(self, window_size: int, scale: int = 8_000) -> None:
        self._window_ms = window_size
        self._scale = scale
        self._counts: deque[list[int]] = deque()  # a millisecond, and what came in it: bounded by the window
        self._began_at_ms: int | None = None
        self._total = 0

    def reset(self) -> None:
        """Begin anew."""
        self._counts.clear()
        self._began_at_ms, self._total = None, 0

    def add(self, value: int, now_ms: int) -> None:
        """Count something."""
        self._forget(now_ms)
        if self._began_at_ms is None:
            self._began_at_ms = now_ms
        if self._counts and self._counts[-1][0] >= now_ms:
            self._counts[-1][1] += value
        else:
            self._counts.append([now_ms, value])
        self._total += value

    def rate(self, now_ms: int) -> int | None:
        """The rate; None while there is too little to tell."""
        self._forget(now_ms)
        if self._began_at_ms is None:
            return None
        active_ms = min(now_ms - self._began_at_ms + 1, self._window_ms)
        if not self._counts or active_ms <= 1:
            return None
        return round(self._scale * self._total / active_ms)

    def _forget(self, now_ms: int) -> None:
        while self._counts and self._counts[0][0] <= now_ms - self._window_ms:
            self._total -= self._counts.popleft()[1]
