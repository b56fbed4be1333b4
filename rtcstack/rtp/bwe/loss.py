"""The rate that the losses allow.

Spec: draft-ietf-rmcat-gcc-02, section 6.
"""

from __future__ import annotations

__all__ = ["LossControl"]

LOW, HIGH = 0.02, 0.10
"""Below the one the rate may grow, above the other it falls."""

INCREASE_PER_S = 1.08
DECREASE_INTERVAL_S = 0.3
MIN_PACKETS = 20
"""Fewer packets than this say nothing of loss."""

MIN_RATE_BPS = 5000.0


class LossControl:
    """A bound that losses set, and that goes away once they have.

    Attributes:
        bound_bps: the bound, or None for none.
        fraction: of the last packets judged, 0 to 1.
    """

    __slots__ = ("_decreased_at", "_lost", "_packets", "_updated_at", "bound_bps", "fraction")

    def __init__(self) -> None:
        self.bound_bps: float | None = None
        self.fraction = 0.0
        self._lost = 0
        self._packets = 0
        self._updated_at: float | None = None
        self._decreased_at: float | None = None

    def count(self, lost: int, packets: int, rate_bps: float, rtt_s: float, now: float) -> None:
        """Take what became of some packets; see `update`."""
        self._lost += lost
        self._packets += packets
        if self._packets >= MIN_PACKETS:
            fraction = self._lost / self._packets
            self._lost = self._packets = 0
            self.update(fraction, rate_bps, rtt_s, now)

    def update(self, fraction: float, rate_bps: float, rtt_s: float, now: float) -> None:
        """Follow the losses.

        Args:
            fraction: lost, 0 to 1.
            rate_bps: the rate in force.
            rtt_s: round-trip time.
            now: monotonic seconds.
        """
        self.fraction = fraction
        elapsed = min(now - self._updated_at, 1.0) if self._updated_at is not None else 0.0
        self._updated_at = now
        bound = self.bound_bps
        if fraction < LOW:
            if bound is not None:
                bound *= INCREASE_PER_S**elapsed
                # As soon as something else sets the rate the bound has done its work.
                self.bound_bps = None if bound > 1.2 * rate_bps else bound
        elif fraction <= HIGH:
            self.bound_bps = rate_bps if bound is None else min(bound, rate_bps)
        elif self._decreased_at is None or now - self._decreased_at >= DECREASE_INTERVAL_S + rtt_s:
            self._decreased_at = now
            base = rate_bps if bound is None else min(bound, rate_bps)
            self.bound_bps = max(base * (1 - 0.5 * fraction), MIN_RATE_BPS)
