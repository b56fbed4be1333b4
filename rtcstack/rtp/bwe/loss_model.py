"""The rate that the losses allow, told apart by their cause.

A packet may be lost because more was sent than the bottleneck takes, or because the way loses
packets at any rate, as radio does. Sending less helps against the first only. Which it was shows in
how losses went with rates: this file takes the bandwidth that makes what was seen most likely.

Spec: the idea is that of libwebrtc's second loss-based estimator; RFC 8836, section 2, item 5 (loss
that has nothing to do with congestion).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import log
from typing import NamedTuple

from rtcstack.rtp.bwe.estimator import PacketResult

__all__ = ["LossModel", "allowed_bps"]

OBSERVATION_S = 0.25
MIN_PACKETS = 10
"""Packets are counted together that were sent within this time, and so many at least."""

WINDOW = 20
"""Observations that are kept."""

FADING = 0.9
"""What an observation weighs against the one after it."""

INHERENT_MIN = 0.001
INHERENT_FREE = 0.05
"""Losses up to this may be the way's own, however fast it is."""

INHERENT_BPS = 75_000.0
"""Beyond that, more losses are put down to the way the slower it is: this rate over the bandwidth."""

STEPS = (1.04, 1.0, 0.95)
"""The bandwidths that are tried, against the one so far."""

BIAS_PER_BPS, BIAS_PER_E_FOLD = 4e-8, 0.004
"""What a higher bandwidth is preferred by, per packet, in units of the logarithm of likelihood."""

NO_BIAS_ABOVE = 0.2
"""With such losses none is preferred."""

LEAVING_S = 0.25
"""What was to be sent leaves at its rate for so long yet."""

FEW, KEPT = 4, 0.85
"""How much of what comes through is left when more is lost than may be, but few observations say so."""

MIN_RATE_BPS = 5_000.0

_BISECTIONS = 8


class _Observation(NamedTuple):
    packets: int
    lost: int
    rate_bps: float


def allowed_bps(loss: float) -> float | None:
    """The most that may be sent in the face of such losses, whatever their cause; None for any."""
    return INHERENT_BPS / (loss - INHERENT_FREE) if loss > INHERENT_FREE else None


class LossModel:
    """A bound that losses set, and that goes away once they have.

    Attributes:
        bound_bps: the bound, or None for none.
        fraction: lost of the newest packets, 0 to 1, the last second weighing most.
    """

    __slots__ = (
        "_bytes",
        "_first_sent",
        "_lost",
        "_observations",
        "_packets",
        "_since",
        "bound_bps",
        "fraction",
    )

    def __init__(self) -> None:
        self.bound_bps: float | None = None
        self.fraction = 0.0
        self._observations: deque[_Observation] = deque(maxlen=WINDOW)
        self._packets = 0
        self._lost = 0
        self._bytes = 0
        self._first_sent = 0.0
        self._since = 0.0  # what was sent before counts no more

    def count(
        self,
        results: Sequence[PacketResult],
        delay_bps: float,
        arrived_bps: float | None,
        other_bps: float = 0.0,
    ) -> None:
        """Take what became of some packets.

        Args:
            results: in the order of sending.
            delay_bps: what the delays allow.
            arrived_bps: what arrives, or None while unknown.
            other_bps: what is sent beside these packets, through the same bottleneck.
        """
        for sent_at, arrived_at, size, _ in results:
            if sent_at < self._since:
                continue
            if not self._packets:
                self._first_sent = sent_at
            elif sent_at - self._first_sent >= OBSERVATION_S and self._packets >= MIN_PACKETS:
                self._observe(sent_at, delay_bps, arrived_bps, other_bps)
                self._first_sent = sent_at
            self._packets += 1
            self._lost += arrived_at is None
            self._bytes += size

    def interrupted(self) -> None:
        """Packets that are counted now were sent before an interruption, what follows after it."""
        self._packets = self._lost = self._bytes = 0

    def sent_anew(self, now: float) -> None:
        """What was sent before now, at a rate that is given up, says nothing of the rate from now on."""
        self._observations.clear()
        self._packets = self._lost = self._bytes = 0
        self._since = now + LEAVING_S
        self.fraction = 0.0
        self.bound_bps = None

    def showed(self, rate_bps: float) -> None:
        """So much came through without losses to speak of."""
        if self.bound_bps is not None and self.bound_bps < rate_bps:
            self.bound_bps = rate_bps

    def _observe(self, until: float, delay_bps: float, arrived_bps: float | None, other_bps: float) -> None:
        rate_bps = self._bytes * 8 / (until - self._first_sent) + other_bps
        self._observations.append(_Observation(self._packets, self._lost, rate_bps))
        self._packets = self._lost = self._bytes = 0
        packets = lost = 0.0
        weight = 1.0
        for each in reversed(self._observations):
            packets += weight * each.packets
            lost += weight * each.lost
            weight *= FADING
        self.fraction = lost / packets
        if lost or self.bound_bps is not None:
            self._judge(delay_bps, arrived_bps)

    def _judge(self, delay_bps: float, arrived_bps: float | None) -> None:
        now_bps = delay_bps if self.bound_bps is None else min(self.bound_bps, delay_bps)
        candidates = [step * now_bps for step in STEPS]
        if arrived_bps is not None and arrived_bps < now_bps:
            candidates.append(arrived_bps)
        best = max(candidates, key=self._likelihood)
        allowed = allowed_bps(self.fraction)
        if allowed is not None:
            if arrived_bps is not None and len(self._observations) < FEW:  # they may be of a moment
                allowed = max(allowed, KEPT * arrived_bps)
            best = min(best, allowed)
        self.bound_bps = None if best >= delay_bps else max(best, MIN_RATE_BPS)

    def _likelihood(self, bandwidth_bps: float) -> float:
        """Logarithm of how likely the losses are with this bandwidth, and some more for a higher one."""
        bandwidth_bps = max(bandwidth_bps, MIN_RATE_BPS)
        seen: list[tuple[float, float, float]] = []  # lost, arrived, share that does not fit through
        weight = 1.0
        packets = 0.0
        for count, lost, rate_bps in reversed(self._observations):
            excess = 1 - bandwidth_bps / rate_bps if rate_bps > bandwidth_bps else 0.0
            seen.append((weight * lost, weight * (count - lost), excess))
            packets += weight * count
            weight *= FADING
        inherent = _inherent(seen, INHERENT_FREE + INHERENT_BPS / bandwidth_bps)
        result = 0.0
        for gone, arrived, excess in seen:
            p = inherent + (1 - inherent) * excess
            result += gone * log(p) + arrived * log(1 - p)
        if self.fraction < NO_BIAS_ABOVE:
            bias = BIAS_PER_BPS * bandwidth_bps + BIAS_PER_E_FOLD * log(bandwidth_bps)
            result += packets * bias
        return result


def _inherent(seen: Sequence[tuple[float, float, float]], most: float) -> float:
    """The way's own share of lost packets that makes what was seen most likely."""
    low, high = INHERENT_MIN, min(most, 0.99)
    # The likelihood is concave: look for where it stops growing.
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        slope = 0.0
        for lost, arrived, excess in seen:
            free = 1 - excess
            slope += lost * free / (excess + middle * free) - arrived / (1 - middle)
        if slope > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2
