"""The rate that the delays allow: up slowly, down at once.

Spec: draft-ietf-rmcat-gcc-02, section 5.5.
"""

from __future__ import annotations

from math import ceil, sqrt

from rtcstack.rtp.bwe.delay import Usage

__all__ = ["BACKOFF", "HEADROOM", "LOADED_HEADROOM", "MULTIPLICATIVE_PER_S", "AimdControl"]

BACKOFF = 0.85
"""What is left of the throughput when the bottleneck is overused."""

MULTIPLICATIVE_PER_S = 1.08
MIN_INCREASE_BPS_PER_S = 4000.0
REST_INCREASE_PER_S = 0.02
REST_MULTIPLICATIVE_PER_S = 1.3
"""Where media has all that it can use, it is data alone that tries out more: near what is known of the link
the increase is the one at least, elsewhere it is the other."""

HEADROOM, LOADED_HEADROOM = 1.5, 1.1
"""How far the rate goes beyond what arrives; the lesser one where data fills what media leaves, so that it is
the estimate that holds it, and not a queue."""

FRAMES_PER_S = 30
PACKET_BITS = 1200 * 8
REACTION_S = 0.1

MIN_RATE_BPS = 5000.0

_WEIGHT = 0.05


class _LinkCapacity:
    """Throughput at the moments when the bottleneck was overused: mean, and how much it varies."""

    __slots__ = ("_variance", "mean_bps")

    def __init__(self) -> None:
        self.mean_bps: float | None = None
        self._variance = 0.4  # of the square root of kbit/s, relative to the mean

    def update(self, bps: float) -> None:
        """Take a throughput."""
        mean = self.mean_bps
        if mean is None:
            self.mean_bps = bps
            return
        error = mean - bps
        self.mean_bps = mean = mean + (bps - mean) * _WEIGHT
        norm = max(mean / 1000, 1.0)
        sample = (error / 1000) ** 2 / norm
        self._variance = min(max(self._variance + (sample - self._variance) * _WEIGHT, 0.4), 2.5)

    @property
    def deviation_bps(self) -> float:
        """Standard deviation."""
        return sqrt(self._variance * (self.mean_bps or 0.0) / 1000) * 1000

    def exceeded_by(self, bps: float) -> bool:
        """Whether a throughput is far above what the link was thought to give."""
        return self.mean_bps is not None and bps > self.mean_bps + 3 * self.deviation_bps

    def missed_by(self, bps: float) -> bool:
        """Whether it is far below."""
        return self.mean_bps is not None and bps < self.mean_bps - 3 * self.deviation_bps


class AimdControl:
    """The rate by additive increase near what is known of the link, and multiplicative elsewhere.

    Attributes:
        rate_bps: the estimate.
        rtt_s: round-trip time.
        headroom: how far the rate goes beyond what arrives.
        has_rest: whether media has all that it can use, and data the rest.
        growth_per_s: what the rate is multiplied by in a second, far from what is known of the link.
        step_bps_per_s: what is added to it near that; None for half a packet in a response time.
    """

    __slots__ = (
        "_decreased_at",
        "_increasing",
        "_link",
        "_updated_at",
        "growth_per_s",
        "has_rest",
        "headroom",
        "rate_bps",
        "rtt_s",
        "step_bps_per_s",
    )

    def __init__(self, start_bps: float) -> None:
        self.rate_bps = start_bps
        self.rtt_s = 0.2
        self.headroom = HEADROOM
        self.has_rest = False
        self.growth_per_s = MULTIPLICATIVE_PER_S
        self.step_bps_per_s: float | None = None
        self._link = _LinkCapacity()
        self._increasing = False
        self._updated_at: float | None = None
        self._decreased_at: float | None = None

    def set_estimate(self, rate_bps: float, now: float) -> None:
        """A probe has shown that this is to be had."""
        self.rate_bps = rate_bps
        self._updated_at = now
        self._link = _LinkCapacity()

    def forget_link(self) -> None:
        """What was known of the bottleneck was of another."""
        self._link = _LinkCapacity()
        self._decreased_at = None

    def update(self, usage: Usage, throughput_bps: float | None, *, limited: bool, now: float) -> None:
        """Follow the detector.

        Args:
            usage: its verdict.
            throughput_bps: what arrives, or None while unknown.
            limited: the application sends less than it might: the rate is not put to the test.
            now: monotonic seconds.
        """
        if usage is Usage.OVER:
            self._increasing = False
            if self._may_decrease(throughput_bps, now):
                self._decrease(throughput_bps, now)
        elif usage is Usage.UNDER:
            self._increasing = False  # let the queue drain first
        elif not self._increasing:
            self._increasing = True
            self._updated_at = now
        elif not limited:
            self._increase(throughput_bps, now)
        if limited or not self._increasing:
            self._updated_at = now

    def _increase(self, throughput_bps: float | None, now: float) -> None:
        elapsed = min(now - self._updated_at, 1.0) if self._updated_at is not None else 0.0
        self._updated_at = now
        link = self._link
        if throughput_bps is not None and link.exceeded_by(throughput_bps):
            self._link = link = _LinkCapacity()
        if link.mean_bps is not None:
            frame_bits = self.rate_bps / FRAMES_PER_S
            packet_bits = frame_bits / ceil(frame_bits / PACKET_BITS)
            per_s = max(MIN_INCREASE_BPS_PER_S, packet_bits / (self.rtt_s + REACTION_S))
            if self.has_rest:
                per_s = max(per_s, REST_INCREASE_PER_S * self.rate_bps)
            rate = self.rate_bps + (self.step_bps_per_s or per_s) * elapsed
        else:
            per_s = REST_MULTIPLICATIVE_PER_S if self.has_rest else self.growth_per_s
            rate = max(self.rate_bps * per_s**elapsed, self.rate_bps + 1000 * elapsed)
        if throughput_bps is not None:
            # No further than what was sent can have tried.
            rate = min(rate, max(self.rate_bps, self.headroom * throughput_bps + 10_000))
        self.rate_bps = rate

    def _may_decrease(self, throughput_bps: float | None, now: float) -> bool:
        if self._decreased_at is None or now - self._decreased_at >= min(max(self.rtt_s, 0.01), 0.2):
            return True
        return throughput_bps is not None and throughput_bps < 0.5 * self.rate_bps

    def _decrease(self, throughput_bps: float | None, now: float) -> None:
        self._decreased_at = now
        if throughput_bps is None:
            self.rate_bps = max(self.rate_bps / 2, MIN_RATE_BPS)
            return
        rate = BACKOFF * throughput_bps
        if rate > self.rate_bps and self._link.mean_bps is not None:
            rate = BACKOFF * self._link.mean_bps
        self.rate_bps = max(min(rate, self.rate_bps), MIN_RATE_BPS)
        if self._link.missed_by(throughput_bps):
            self._link = _LinkCapacity()
        self._link.update(throughput_bps)
