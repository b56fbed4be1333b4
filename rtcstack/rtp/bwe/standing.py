"""Whether a queue on the way is full: packets are lost, and those that are not come late.

The trend of the delays shows a queue that grows, not one that has grown as far as it can. That one shows in
how losses of many packets go with rates; where there are few, as of sound, it is told apart from a way that
loses some at any rate by their delay alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from rtcstack.rtp.bwe.estimator import PacketResult

__all__ = ["StandingQueue"]

WINDOW_S = 30.0
"""How long the least delay is remembered: clocks differ, and ways change."""

MAX_REMEMBERED = 512
"""Packets that it may be of."""

RECENT = 40
"""Packets whose losses count: those of a second."""

NEWEST = 10
"""Packets, all of which must have waited, so that it is a queue and not jitter."""

MIN_LOST = 2
MIN_FRACTION = 0.03
WAITED_S = 0.03


class StandingQueue:
    """Follows delays and losses of the newest packets."""

    __slots__ = ("_delays", "_least", "_newest")

    def __init__(self) -> None:
        self._least: deque[tuple[float, float]] = deque()  # (sent, delay), delays ascending
        self._delays: deque[float | None] = deque(maxlen=RECENT)  # None of what was lost
        self._newest: deque[float] = deque(maxlen=NEWEST)

    def reset(self) -> None:
        """Another way."""
        self._least.clear()
        self.drains()

    def drains(self) -> None:
        """Less is sent now: what was seen is of before."""
        self._delays.clear()
        self._newest.clear()

    def count(self, results: Sequence[PacketResult]) -> None:
        """Take what became of some packets, in the order of sending."""
        least = self._least
        for sent_at, arrived_at, _, _ in results:
            if arrived_at is None:
                self._delays.append(None)
                continue
            delay = arrived_at - sent_at
            self._delays.append(delay)
            self._newest.append(delay)
            while least and least[-1][1] >= delay:
                least.pop()
            least.append((sent_at, delay))
            while least[0][0] < sent_at - WINDOW_S or len(least) > MAX_REMEMBERED:
                least.popleft()

    @property
    def is_full(self) -> bool:
        """Whether it is."""
        if len(self._newest) < NEWEST or min(self._newest) < self._least[0][1] + WAITED_S:
            return False
        lost = sum(delay is None for delay in self._delays)
        return lost >= MIN_LOST and lost >= MIN_FRACTION * len(self._delays)
