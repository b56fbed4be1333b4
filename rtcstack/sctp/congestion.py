"""Congestion control: what any controller answers, and the one of the RFC.

Spec: RFC 9260, section 7.2.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["Acknowledgement", "CongestionController", "Reno"]


class Acknowledgement:
    """What one SACK says to a congestion controller. The object is used again for the next one.

    Attributes:
        now: time of arrival.
        acked_bytes: newly acknowledged, by the cumulative TSN or by gap blocks.
        lost_bytes: newly taken for lost.
        rtt_s: round-trip time of the newest chunk that was sent once and is newly acknowledged, or None.
        sent_at: when the latest-sent of the newly acknowledged chunks was sent, -1.0 without any.
        highest_tsn: highest TSN acknowledged so far.
        next_tsn: TSN that the next new chunk gets.
        flight_bytes: in flight before the SACK.
        window_limited: whether the window (or its pacing) has held data back since the last SACK.
    """

    __slots__ = (
        "acked_bytes",
        "flight_bytes",
        "highest_tsn",
        "lost_bytes",
        "next_tsn",
        "now",
        "rtt_s",
        "sent_at",
        "window_limited",
    )

    def __init__(self) -> None:
        self.sent_at = -1.0
        self.now = 0.0
        self.acked_bytes = 0
        self.lost_bytes = 0
        self.rtt_s: float | None = None
        self.highest_tsn = 0
        self.next_tsn = 0
        self.flight_bytes = 0
        self.window_limited = False


class CongestionController(Protocol):
    """Says how much may be in flight, and how fast it may leave.

    Attributes:
        window_bytes: a packet may be sent while less than this is in flight.
        pacing_bytes_per_s: rate at which packets leave, 0.0 for at once.
    """

    window_bytes: int
    pacing_bytes_per_s: float

    def on_ack(self, ack: Acknowledgement) -> None:
        """A SACK (or a timer of the loss detection) has acknowledged bytes or found them lost."""

    def on_timeout(self) -> None:
        """The retransmission timer has expired: everything in flight counts as lost."""

    def on_spurious_timeout(self) -> None:
        """What the timer took for lost has arrived after all."""


class Reno:
    """Slow start, congestion avoidance, one halving per round trip with losses.

    Spec: RFC 9260, sections 7.2.1 to 7.2.4.
    """

    __slots__ = (
        "_mtu",
        "_partial_bytes",
        "_recovery_tsn",
        "_ssthresh",
        "_undo",
        "pacing_bytes_per_s",
        "window_bytes",
    )

    def __init__(self, mtu_bytes: int, initial_window_bytes: int) -> None:
        self._mtu = mtu_bytes
        self._ssthresh = 1 << 40
        self._partial_bytes = 0
        self._recovery_tsn = -1
        self._undo = (0, 0)
        self.window_bytes = initial_window_bytes
        self.pacing_bytes_per_s = 0.0

    def on_ack(self, ack: Acknowledgement) -> None:
        """Grow by what is acknowledged; halve, once per round trip, for what is lost."""
        if ack.lost_bytes:
            if ack.highest_tsn >= self._recovery_tsn:
                self._ssthresh = max(self.window_bytes // 2, 4 * self._mtu)
                self.window_bytes = self._ssthresh
                self._partial_bytes = 0
                self._recovery_tsn = ack.next_tsn
            return
        if not ack.window_limited or ack.highest_tsn < self._recovery_tsn:
            return
        if self.window_bytes <= self._ssthresh:
            self.window_bytes += min(ack.acked_bytes, self._mtu * 2)
            return
        self._partial_bytes += ack.acked_bytes
        if self._partial_bytes >= self.window_bytes:
            self._partial_bytes -= self.window_bytes
            self.window_bytes += self._mtu

    def on_timeout(self) -> None:
        """Back to slow start."""
        self._undo = (self.window_bytes, self._ssthresh)
        self._ssthresh = max(self.window_bytes // 2, 4 * self._mtu)
        self.window_bytes = self._mtu
        self._partial_bytes = 0

    def on_spurious_timeout(self) -> None:
        """Back to where the timeout found us."""
        self.window_bytes, self._ssthresh = self._undo
