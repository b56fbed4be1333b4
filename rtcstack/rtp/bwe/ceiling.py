"""The rate of a bottleneck that drops what is above it and queues next to nothing, such as a policer.

Delays tell nothing of it, and losses alone could be the way's own. But of what the way loses by itself less
comes through than before; what a bottleneck drops was on top of what it lets through. So where many packets
are lost, and as much comes through as before, this is all that there is: the rate is known at once. A bucket
is empty from the first loss on, and what comes through from then to the last one is no more than the rate.

More is tried after a while, and only a little more: each time after a longer one, until it comes through.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, sqrt

from rtcstack.rtp.bwe.estimator import PacketResult

__all__ = ["Ceiling"]

WINDOW_S, MIN_PACKETS = 0.25, 15
"""Packets are counted together that were sent within this time, and so many at least."""

MIN_SPAN_S = 0.1
"""Over less time nothing can be said of what came through."""

HEAVY, CHANCES = 0.1, 3.0
"""A bottleneck drops so much more of a window's packets than is usually lost, and more than chance would: so
many standard deviations."""

KNOWN_HEAVY, KNOWN_CHANCES = 0.04, 2.0
"""The same where the rate is known, and as much comes through."""

AS_BEFORE = 0.9
"""Of what came through before, what must come through still."""

RISING, FALLING = 0.1, 0.05
"""What a window weighs in what came through before, and in what was lost: what lasts becomes the usual."""

QUEUE_S = 0.05
"""With so much of a queue it is the delays that tell of the bottleneck."""

DELAY_GROWTH_S = 0.0005
"""What the least delay is thought to grow by in a window: clocks drift, and ways change."""

KEPT, TRIED = 0.97, 1.15
"""How much of the rate is used, and how much of it at the most when more is tried."""

REFUTED = 1.05
"""When more of it than this comes through in the long run, the rate is another."""

FIRST_HOLD_S, MAX_HOLD_S = 10.0, 160.0
"""How long nothing more is tried."""

SMOOTH_S = 30.0
"""For so long after a loss packets leave one by one."""


class Ceiling:
    """Watches for it.

    Attributes:
        rate_bps: of the bottleneck; None while nothing tells of one.
        hold_until: until then nothing more is worth its packets, in monotonic seconds.
    """

    __slots__ = (
        "_arrived_bytes",
        "_before_bps",
        "_before_loss",
        "_delay_s",
        "_hold_s",
        "_least_delay_s",
        "_lost",
        "_lost_at",
        "_packets",
        "_since",
        "_smooth_from",
        "_window_at",
        "_windows",
        "hold_until",
        "rate_bps",
    )

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Packets take another way: what was learnt was of the one before."""
        self._before_bps = self._before_loss = 0.0
        self._delay_s = self._least_delay_s = inf
        self._lost_at = self._smooth_from = -inf
        self._windows = 0
        self._since = 0.0  # what was sent before counts no more
        self._hold_s = FIRST_HOLD_S
        self.hold_until = 0.0
        self.rate_bps: float | None = None
        self._window_at = 0.0  # of its first packet
        self._begin()

    def _begin(self) -> None:
        self._packets = self._lost = self._arrived_bytes = 0

    def bound_bps(self, now: float) -> float | None:
        """What may be used for now; None for any."""
        if self.rate_bps is None:
            return None
        return (KEPT if now < self.hold_until else TRIED) * self.rate_bps

    def is_smooth(self, now: float) -> bool:
        """Whether packets are to leave one by one: a burst may be what is lost."""
        return self.rate_bps is not None or now - self._lost_at < SMOOTH_S

    def take(self, results: Sequence[PacketResult], other_bps: float, now: float) -> float | None:
        """Take what became of packets.

        Args:
            results: in the order of sending.
            other_bps: what arrives beside these packets.
            now: monotonic seconds.

        Returns:
            What may be used from now on, if more was sent than comes through; else None.
        """
        for sent_at, arrived_at, size, _ in results:
            if sent_at < self._since:
                continue
            if not self._packets:
                self._window_at = sent_at
            elapsed_s = sent_at - self._window_at
            if elapsed_s >= WINDOW_S and self._packets >= MIN_PACKETS:
                self._close(elapsed_s, other_bps)
                self._window_at, elapsed_s = sent_at, 0.0
            self._packets += 1
            if arrived_at is not None:
                self._arrived_bytes += size
                self._delay_s = delay_s = arrived_at - sent_at
                if delay_s < self._least_delay_s:
                    self._least_delay_s = delay_s
                continue
            self._lost += 1
            if self._lost == 1:
                self._window_at, self._packets, self._arrived_bytes = sent_at, 1, 0
                if not self.is_smooth(now):
                    self._smooth_from = now
                self._lost_at = now
            elif elapsed_s >= MIN_SPAN_S and self._packets >= MIN_PACKETS:
                rate_bps = self._arrived_bytes * 8 / elapsed_s + other_bps
                if self._is_all(rate_bps):
                    return self._found(rate_bps, now)
        return None

    def _is_all(self, rate_bps: float) -> bool:
        """Whether what came through since a loss is all that there is."""
        if not self._before_bps or self._delay_s - self._least_delay_s > QUEUE_S:
            return False
        is_known = self.rate_bps is not None and rate_bps > AS_BEFORE * self.rate_bps
        heavy, chances = (KNOWN_HEAVY, KNOWN_CHANCES) if is_known else (HEAVY, CHANCES)
        expected = self._before_loss * self._packets
        bearable = expected + heavy * self._packets + chances * sqrt(max(expected, 1.0))
        return self._lost >= bearable and rate_bps > AS_BEFORE * self._before_bps

    def _found(self, rate_bps: float, now: float) -> float:
        if self._window_at > self._smooth_from:
            self.rate_bps = rate_bps
            self.hold_until = now + self._hold_s
            self._hold_s = min(2 * self._hold_s, MAX_HOLD_S)
        else:
            # More is lost of bursts than of packets that leave one by one: so this must be seen again.
            self.hold_until = now + FIRST_HOLD_S
        self._since = now + WINDOW_S  # what was to be sent leaves at its rate for so long yet
        self._begin()
        return KEPT * rate_bps

    def _close(self, elapsed_s: float, other_bps: float) -> None:
        arrived_bps = self._arrived_bytes * 8 / elapsed_s + other_bps
        self._windows += 1
        falling = max(FALLING, 1 / self._windows)  # of the first ones the mean
        is_more = arrived_bps > self._before_bps
        self._before_bps += (arrived_bps - self._before_bps) * (max(RISING, falling) if is_more else falling)
        self._before_loss += (self._lost / self._packets - self._before_loss) * falling
        self._least_delay_s += DELAY_GROWTH_S
        if self.rate_bps is not None and self._before_bps > REFUTED * self.rate_bps:
            self.rate_bps = None
            self._hold_s = max(self._hold_s / 2, FIRST_HOLD_S)  # a bucket may have helped
        self._begin()
