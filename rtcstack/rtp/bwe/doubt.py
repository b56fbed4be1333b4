"""Whether what a leap of the estimate has promised is there when it is used.

A bottleneck that drops what is above its rate, and queues nothing (a policer), lets a bucket's worth through
at any speed: a probe comes through it whole, and the rate that it seems to show is none. What follows at that
rate is lost. So a leap is on trial for a moment; when it fails, the estimate is what came through, and probes
are left out for a while, each time for longer: what is left is the slow increase, which losses stop near the
rate that there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from rtcstack.rtp.bwe.estimator import PacketResult

__all__ = ["ProbeDoubt"]

RAISE = 1.2
"""A raise by less than this is no leap."""

TRIAL_S = 3.0
"""What is sent within this time tries the new rate out: buckets are of a second and more."""

WINDOW_S = 0.25
MIN_PACKETS = 20
LIE = 0.2
"""So much more is lost than before, in a window, where the rate is not to be had; and more than by chance."""

CHANCES = 2.0
"""In standard deviations."""

MIN_SPAN_S = 0.05
"""Over less time nothing can be said of what came through."""

CAREFUL = 0.85
"""How much of what came through is taken: the bucket is to fill again."""

FIRST_PAUSE_S, MAX_PAUSE_S = 10.0, 160.0
"""How long probes are left out."""


class ProbeDoubt:
    """Puts raises on trial.

    Attributes:
        pause_until: until then no probe is worth its packets, in monotonic seconds.
        failures: raises that did not hold.
    """

    __slots__ = (
        "_arrived_bytes",
        "_before_loss",
        "_first_arrived",
        "_last_arrived",
        "_lost",
        "_packets",
        "_pause_s",
        "_since",
        "_window_at",
        "failures",
        "pause_until",
    )

    def __init__(self) -> None:
        self._since: float | None = None  # None: no raise is on trial
        self._before_loss = 0.0
        self._window_at = 0.0
        self._packets = self._lost = 0
        self._arrived_bytes = 0
        self._first_arrived = self._last_arrived = 0.0
        self._pause_s = FIRST_PAUSE_S
        self.pause_until = 0.0
        self.failures = 0

    def end_trial(self) -> None:
        """A queue tells of the bottleneck: there is nothing to try out."""
        self._since = None

    def forget(self) -> None:
        """Packets take another way: what was learnt was of the one before."""
        self._since = None
        self._pause_s = FIRST_PAUSE_S
        self.pause_until = 0.0

    def changed(self, from_bps: float, to_bps: float, loss: float, now: float) -> None:
        """The estimate has changed; a leap is put on trial.

        Args:
            from_bps, to_bps: the estimate before and after.
            loss: the fraction that was lost before.
            now: monotonic seconds.
        """
        if self._since is not None and now - self._since < TRIAL_S:
            return  # a search goes on: what it began with is what there was
        if to_bps < RAISE * from_bps:
            return
        self._since = now
        self._before_loss = loss
        self._begin_window(now)

    def _begin_window(self, sent_at: float) -> None:
        self._window_at = sent_at
        self._packets = self._lost = self._arrived_bytes = 0

    def judge(
        self, results: Sequence[PacketResult], throughput_bps: float | None, now: float
    ) -> float | None:
        """Take what became of packets.

        Args:
            results: in the order of sending.
            throughput_bps: what arrives, over a longer time: the bucket's content is less of it.
            now: monotonic seconds.

        Returns:
            What there is instead, in bits a second, if the raise did not hold; else None.
        """
        since = self._since
        if since is None or not results:
            return None
        if results[-1].sent_at < since:
            return None
        for sent_at, arrived_at, size, _ in results:
            if sent_at < since:
                continue
            if sent_at > since + TRIAL_S:
                self._since = None  # it has held
                self._pause_s = max(self._pause_s / 2, FIRST_PAUSE_S)
                return None
            if sent_at > self._window_at + WINDOW_S:
                self._begin_window(sent_at)
            self._packets += 1
            if arrived_at is None:
                self._lost += 1
            elif not self._arrived_bytes:
                self._first_arrived = self._last_arrived = arrived_at
                self._arrived_bytes = size
            else:
                self._last_arrived = max(self._last_arrived, arrived_at)
                self._arrived_bytes += size
        span_s = self._last_arrived - self._first_arrived
        if self._packets < MIN_PACKETS or span_s < MIN_SPAN_S:
            return None
        expected = self._before_loss * self._packets
        if self._lost < expected + LIE * self._packets + CHANCES * sqrt(max(expected, 1.0)):
            return None
        self._since = None
        self.failures += 1
        self.pause_until = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, MAX_PAUSE_S)
        arrived = self._arrived_bytes * 8 / span_s
        return CAREFUL * (arrived if throughput_bps is None else min(arrived, throughput_bps))
