"""What the peer reports of a stream that we send.

Spec: RFC 3550, section 6.4.1; webrtc-stats, RTCRemoteInboundRtpStreamStats.
"""

from __future__ import annotations

from rtcstack.rtp.rtcp.reports import ReportBlock

__all__ = ["RemoteReception"]


class RemoteReception:
    """The peer's view.

    Attributes:
        reports: report blocks received.
        fraction_lost: 0 to 1, of the last one.
        packets_lost: in all.
        jitter: in RTP ticks.
        highest_sequence_number: 32 bits.
        rtt_s: last round-trip time, or None.
        rtt_sum_s, rtt_count: of all measured.
        packets_received: packets that reached it, as far as the last report tells: those that it has counted
            to, less those that it has lost.
        reported_at: monotonic seconds of the last one.
    """

    __slots__ = (
        "fraction_lost",
        "highest_sequence_number",
        "jitter",
        "packets_lost",
        "packets_received",
        "reported_at",
        "reports",
        "rtt_count",
        "rtt_s",
        "rtt_sum_s",
    )

    def __init__(self) -> None:
        self.reports = 0
        self.fraction_lost = 0.0
        self.packets_lost = 0
        self.packets_received = 0
        self.jitter = 0
        self.highest_sequence_number = 0
        self.rtt_s: float | None = None
        self.rtt_sum_s = 0.0
        self.rtt_count = 0
        self.reported_at: float | None = None

    def on_report(self, block: ReportBlock, rtt_s: float | None, now: float, *, expected: int = 0) -> None:
        """A report block on this stream came.

        Args:
            block: as received.
            rtt_s: the round-trip time that it gives, or None.
            now: monotonic seconds.
            expected: packets from the first that was sent to the last that the block counts.
        """
        self.packets_received = max(self.packets_received, expected - block.packets_lost)
        self.reports += 1
        self.fraction_lost = block.fraction_lost / 256
        self.packets_lost = block.packets_lost
        self.jitter = block.jitter
        self.highest_sequence_number = block.highest_sequence_number
        self.reported_at = now
        if rtt_s is not None:
            self.rtt_s = rtt_s
            self.rtt_sum_s += rtt_s
            self.rtt_count += 1
