"""How much audio to hold back: the delay that almost all packets keep within."""

from __future__ import annotations

from collections import deque

__all__ = ["DelayTarget"]

BUCKET_S = 0.02
BUCKETS = 100
"""Delays of up to two seconds are told apart."""

QUANTILE = 0.95
FORGET_FACTOR = 0.983
"""What a packet's weight shrinks by with each packet after it."""

WINDOW_S = 2.0
"""How long the least delay seen is what others are measured against."""

MAX_WINDOW_PACKETS = 1000

_RENORMALISE_AT = 1e100


class DelayTarget:
    """Estimates the delay to play at, from when packets come against when they should.

    A packet's delay is measured against the fastest packet of the last two seconds. A histogram
    of these, in which old packets count ever less, gives the delay that 95 % keep within.

    Attributes:
        target_s: the estimate, in steps of 20 ms.
    """

    __slots__ = ("_counts", "_fastest", "_total", "_weight", "target_s")

    def __init__(self) -> None:
        self._counts = [0.0] * BUCKETS
        self._total = 0.0
        self._weight = 1.0  # of the next packet: it grows instead of all others shrinking
        self._fastest: deque[tuple[float, float]] = deque()  # (arrival, transit), transits ascending
        self.target_s = BUCKET_S

    def reset(self) -> None:
        """The stream began anew: what is known of its timestamps is void, of its delays not."""
        self._fastest.clear()

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
        delay = transit - fastest[0][1]
        self._counts[min(int(delay / BUCKET_S), BUCKETS - 1)] += self._weight
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
                self.target_s = (bucket + 1) * BUCKET_S
                break
