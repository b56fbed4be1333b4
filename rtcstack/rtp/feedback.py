"""What the peer is told of the arrival of packets, so that the bandwidth can be estimated.

Spec: draft-holmer-rmcat-transport-wide-cc-extensions-01; draft-alvestrand-rmcat-remb-03.
"""

from __future__ import annotations

from collections.abc import Sequence

from rtcstack.rtp.bwe.arrivals import TransportArrivals
from rtcstack.rtp.bwe.receiving import ReceivingEstimator
from rtcstack.rtp.control import Control
from rtcstack.rtp.receive import ReceiveStream
from rtcstack.rtp.rtcp.feedback import ReceiverEstimate

__all__ = ["MAX_TOLD", "ArrivalFeedback"]

MAX_TOLD = 32
"""Streams that one estimate names; it holds for the transport anyway."""


class ArrivalFeedback:
    """Arrival times for a peer that estimates, or an estimate for one that does not; or neither.

    Args:
        control: by which it leaves.

    Attributes:
        arrivals: collects arrival times; None where no section has agreed on it.
        estimator: estimates for the peer; None where it does so itself, or nobody does.
    """

    __slots__ = ("_control", "arrivals", "estimator")

    def __init__(self, control: Control) -> None:
        self._control = control
        self.arrivals: TransportArrivals | None = None
        self.estimator: ReceivingEstimator | None = None

    def agree(self, *, transport_cc: bool, remb: bool) -> None:
        """What the sections have agreed on."""
        if not transport_cc:
            self.arrivals = None
        elif self.arrivals is None:
            self.arrivals = TransportArrivals()
        if transport_cc or not remb:
            self.estimator = None
        elif self.estimator is None:
            self.estimator = ReceivingEstimator()

    def begins(self, ssrc: int) -> None:
        """A stream's first packet came."""
        if self.arrivals is not None and not self.arrivals.media_ssrc:
            self.arrivals.media_ssrc = ssrc

    @property
    def due_at(self) -> float | None:
        """When there is something to tell."""
        if self.estimator is not None:
            return self.estimator.due_at
        return self.arrivals.due_at if self.arrivals is not None else None

    def give(self, streams: Sequence[ReceiveStream], now: float) -> None:
        """Tell the peer what arrived, or what it may send of these streams."""
        arrivals, estimator = self.arrivals, self.estimator
        control = self._control
        if arrivals is not None:
            arrivals.sender_ssrc = control.reporter
            for feedback in arrivals.feedback(now):
                control.feed_back(feedback.to_bytes())
        if estimator is not None:
            estimate = estimator.take(now)
            sources = [stream.ssrc for stream in streams if stream.section.remb]
            if estimate is not None and sources:
                packet = ReceiverEstimate(control.reporter, estimate, tuple(sources[:MAX_TOLD]))
                control.feed_back(packet.to_bytes())

    def on_path_change(self) -> None:
        """Packets take another way from now on."""
        if self.estimator is not None:
            self.estimator.on_path_change()

    def on_rtt(self, rtt_s: float) -> None:
        """The round-trip time was measured."""
        if self.estimator is not None:
            self.estimator.set_rtt(rtt_s)

    def close(self) -> None:
        """Tell nothing more."""
        self.arrivals = self.estimator = None
