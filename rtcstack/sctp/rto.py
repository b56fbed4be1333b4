"""How long to wait before a retransmission: RFC 9260, section 6.3.1."""

from __future__ import annotations

__all__ = ["RtoEstimator"]

MIN_VARIANCE_S = 0.22
"""Least margin above the smoothed round-trip time. Peers may hold a SACK back for 200 ms, so on a
quiet path a smaller margin would take each lone packet for lost."""


class RtoEstimator:
    """Smoothed round-trip time and the retransmission timeout made of it.

    Attributes:
        srtt_s: smoothed round-trip time in seconds, 0.0 before the first sample.
        rto_s: current timeout in seconds, doubled by each timeout since the last sample.
    """

    __slots__ = ("_initial_s", "_max_s", "_min_s", "_rttvar_s", "rto_s", "srtt_s")

    def __init__(self, initial_s: float, min_s: float, max_s: float) -> None:
        self._initial_s = initial_s
        self._min_s = min_s
        self._max_s = max_s
        self._rttvar_s = 0.0
        self.srtt_s = 0.0
        self.rto_s = initial_s

    def observe(self, rtt_s: float) -> None:
        """Take a measurement: a chunk that was sent once and is now acknowledged."""
        if self.srtt_s:
            self._rttvar_s += (abs(self.srtt_s - rtt_s) - self._rttvar_s) / 4
            self.srtt_s += (rtt_s - self.srtt_s) / 8
        else:
            self.srtt_s = max(rtt_s, 1e-6)
            self._rttvar_s = rtt_s / 2
        self._set()

    def back_off(self) -> None:
        """Double the timeout: it has expired."""
        self.rto_s = min(self.rto_s * 2, self._max_s)

    def restore(self) -> None:
        """Take doublings back: the peer answers again, though nothing could be measured."""
        if self.srtt_s:
            self._set()
        else:
            self.rto_s = self._initial_s

    def _set(self) -> None:
        rto_s = self.srtt_s + max(4 * self._rttvar_s, MIN_VARIANCE_S)
        self.rto_s = min(max(rto_s, self._min_s), self._max_s)
