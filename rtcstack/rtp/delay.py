"""How much audio to hold back: the delay that almost all packets keep within."""

from __future__ import annotations

from collections import deque

__all__ = ["DelayTarget"]

BUCKET_S = 0.01
BUCKETS = 200
"""Delays of up to two seconds are told apart."""

LEAST_S = 0.02
"""The target where nothing is late: a packet's length, for packets and players have grids of their own."""

INTERVAL_S = 0.2
"""Of packets that come within this time the latest counts: one that has to be made up for is as bad as
ten, and an interruption is one."""

QUANTILE = 0.95
FORGET_FACTOR = 0.983
"""What an interval's weight shrinks by with each one after it. So two intervals are not prepared for, three
are, and a rough time is forgotten after half a minute."""

WINDOW_S = 2.0
"""How long the least delay seen is what others are measured against."""

MAX_WINDOW_PACKETS = 1000

_RENORMALISE_AT = 1e100


class DelayTarget:
    """Estimates the delay to play at, from when packets come against when they should.

    A packet's delay is measured against the fastest packet of the last two seconds. A histogram of the
    largest of each interval, in which old ones count ever less, gives the delay that 95 % of the intervals
    keep within.

    Attributes:
        target_s: the estimate, in steps of 10 ms.
    """

    __slots__ = ("_began_at", "_counts", "_fastest", "_latest", "_total", "_weight", "target_s")

    def __init__(self) -> None:
        self._counts = [0.0] * BUCKETS
        self._total = 0.0
        self._weight = 1.0  # of the next interval: it grows instead of all others shrinking
        self._began_at: float | None = None  # the interval
        self._latest = 0.0  # delay in it
        self._fastest: deque[tuple[float, float]] = deque()  # (arrival, transit), transits ascending
        self.target_s = LEAST_S

    def reset(self) -> None:
        """The stream began anew: what is known of its timestamps is void, of its delays not."""
        self._fastest.clear()

    @property
    def fastest_s(self) -> float | None:
        """When the fastest packet of late came, less its timestamp: what delays are measured against."""
        return self._fastest[0][1] if self._fastest else None

    def arrived(self, media_s: float, now: float) -> None:
        """Take a packet.

        Args:
            media_s: its timestamp in seconds, unwrapped.
            now: monotonic seconds.
        """
        transit = now - media_s
        fastest = self._fastest
        while fastest and fastest[-1][1] >= transit:
            fastest.pop()
        fastest.append((now, transit))
        while fastest[0][0] < now - WINDOW_S or len(fastest) > MAX_WINDOW_PACKETS:
            fastest.popleft()
        latest = self._latest = max(self._latest, transit - fastest[0][1])
        if self._began_at is None:
            self._began_at = now
        if now - self._began_at >= INTERVAL_S:
            self._began_at = now
            self._latest = 0.0
            self._count(latest)
        elif not self._total:
            self.target_s = max(LEAST_S, (int(latest / BUCKET_S) + 1) * BUCKET_S)

    def _count(self, latest_s: float) -> None:
        """An interval is over."""
        self._counts[min(int(latest_s / BUCKET_S), BUCKETS - 1)] += self._weight
        self._total += self._weight
        self._weight /= FORGET_FACTOR
        if self._weight > _RENORMALISE_AT:
            self._counts = [count / self._weight for count in self._counts]
            self._total /= self._weight
            self._weight = 1.0
        wanted = self._total * QUANTILE
        reached = 0.0
        for bucket, count in enumerate(self._counts):
            reached += count
            if reached >= wanted:
                self.target_s = max(LEAST_S, (bucket + 1) * BUCKET_S)
                break
