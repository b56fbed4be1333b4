"""How much of its share media uses: pictures that hardly change need little of what they may have."""

from __future__ import annotations

from collections import deque

__all__ = ["UsedRate"]

WINDOW_S = 0.1
WINDOWS = 20
"""What was used is the most of so many windows: what comes in bursts may come again."""

ROOM = 1.25
"""How much more than was used is kept."""


class UsedRate:
    """The most that was sent lately, and some room."""

    __slots__ = ("_before", "_began_at", "_rates")

    def __init__(self) -> None:
        self._rates: deque[float] = deque(maxlen=WINDOWS)
        self._began_at: float | None = None
        self._before = 0

    def look(self, sent_bytes: int, now: float) -> None:
        """Take what was sent in all until now."""
        began_at = self._began_at
        if began_at is None or now - began_at > WINDOW_S * WINDOWS:
            self._rates.clear()
        elif now - began_at < WINDOW_S:
            return
        else:
            self._rates.append((sent_bytes - self._before) * 8 / (now - began_at))
        self._began_at, self._before = now, sent_bytes

    def bps(self, sent_bytes: int) -> float | None:
        """Bits per second that are used, of which room is a part; None while it was not seen for long enough.

        Args:
            sent_bytes: until now: what is sent at once counts before its window is over.
        """
        rates = self._rates
        if len(rates) < WINDOWS:
            return None
        return ROOM * max(*rates, (sent_bytes - self._before) * 8 / WINDOW_S)
