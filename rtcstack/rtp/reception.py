"""What a receiver knows of one source: its extended sequence number, its losses and its jitter.

Spec: RFC 3550, sections 6.4.1 and A.1, A.3, A.8.
"""

from __future__ import annotations

from rtcstack.rtp.rtcp.reports import ReportBlock, SenderReport

__all__ = ["MAX_DROPOUT", "MAX_MISORDER", "Reception"]

MAX_DROPOUT = 10_000
"""A packet further ahead than this is taken for a restart of the source, if its successor agrees."""

MAX_MISORDER = 10_000
"""A packet further behind than this, likewise."""

_SEQUENCE_SPACE = 1 << 16


class Reception:
    """Statistics of one source, retransmissions left out.

    Attributes:
        ssrc: the source.
        clock_rate: of its timestamps, in Hz.
        highest: the highest sequence number seen, unwrapped over roll-overs and restarts; -1
            before the first.
        received: packets, duplicates included, since the source (re)started.
        jitter: interarrival jitter in RTP ticks.
        restarts: how often the source began anew.
        suspects: packets dropped because they were far away from all others.
        sender_report: the last one, or None.
        sender_report_at: when it came, monotonic seconds.
        sender_reports: how many.
        rtt_s: round-trip time that the last one came with (DLRR), or None.
        rtt_sum_s, rtt_count: of all that came with one.
        fraction_lost: of the last report that was made of it, 0 to 1.
    """

    __slots__ = (
        "_base",
        "_expected_before",
        "_lost_before_restart",
        "_received_before",
        "_suspect",
        "_transit",
        "clock_rate",
        "fraction_lost",
        "highest",
        "jitter",
        "received",
        "restarts",
        "rtt_count",
        "rtt_s",
        "rtt_sum_s",
        "sender_report",
        "sender_report_at",
        "sender_reports",
        "ssrc",
        "suspects",
    )

    def __init__(self, ssrc: int, clock_rate: int) -> None:
        self.ssrc = ssrc
        self.clock_rate = clock_rate
        self.highest = -1
        self.received = 0
        self.jitter = 0.0
        self.restarts = 0
        self.suspects = 0
        self.sender_report: SenderReport | None = None
        self.sender_report_at = 0.0
        self.sender_reports = 0
        self.rtt_s: float | None = None
        self.rtt_sum_s = 0.0
        self.rtt_count = 0
        self.fraction_lost = 0.0
        self._base = 0
        self._lost_before_restart = 0
        self._expected_before = 0
        self._received_before = 0
        self._transit: float | None = None
        self._suspect = -1  # what must follow for a source to have restarted

    def locate(self, sequence_number: int) -> int:
        """Count a packet and unwrap its number.

        Returns:
            The unwrapped number; -1 if the packet is to be dropped because its number is far from
            all others. A restarted source goes on with higher numbers: `restarts` tells.
        """
        highest = self.highest
        if highest < 0:
            # One cycle up, so that packets from before the first are not below zero.
            self._base = self.highest = sequence_number + _SEQUENCE_SPACE
            self.received = 1
            return self.highest
        delta = (sequence_number - highest) & 0xFFFF
        if delta == 1:
            self.highest = highest + 1
            self.received += 1
            return highest + 1
        if delta <= MAX_DROPOUT and delta:
            self.highest = highest + delta
            self.received += 1
            return highest + delta
        if delta == 0 or delta >= _SEQUENCE_SPACE - MAX_MISORDER:
            self.received += 1
            return highest - (-delta & 0xFFFF)
        if sequence_number != self._suspect:
            self._suspect = (sequence_number + 1) & 0xFFFF
            self.suspects += 1
            return -1
        self._suspect = -1
        self._lost_before_restart = self.packets_lost
        self.highest = self._base = highest + delta
        self.received = 1
        self._expected_before = self._received_before = 0
        self._transit = None
        self.restarts += 1
        return self.highest

    def arrived(self, timestamp: int, now: float) -> None:
        """Take the arrival of a timestamp's first packet into the jitter.

        Later packets of the same frame are left out: their times tell of the sender's pacing.
        """
        transit = now * self.clock_rate - timestamp
        before = self._transit
        self._transit = transit
        if before is None:
            return
        # Timestamps wrap; only their difference counts, and an absurd one counts for nothing.
        difference = abs((transit - before + (1 << 31)) % (1 << 32) - (1 << 31))
        if difference < 10 * self.clock_rate:
            self.jitter += (difference - self.jitter) / 16

    @property
    def expected(self) -> int:
        """Packets since the source (re)started, by their numbers."""
        return self.highest - self._base + 1 if self.highest >= 0 else 0

    @property
    def packets_lost(self) -> int:
        """Expected less received; negative where duplicates outweigh losses."""
        return self.expected - self.received + self._lost_before_restart

    @property
    def jitter_s(self) -> float:
        """Jitter in seconds."""
        return self.jitter / self.clock_rate

    def on_sender_report(self, report: SenderReport, now: float) -> None:
        """Keep what the next report block and the lip sync need."""
        self.sender_report = report
        self.sender_report_at = now
        self.sender_reports += 1
        self.rtt_s = None

    def on_round_trip(self, rtt_s: float) -> None:
        """The sender report that has just come told the round-trip time, too (RFC 3611, section 4.5)."""
        self.rtt_s = rtt_s
        self.rtt_sum_s += rtt_s
        self.rtt_count += 1

    def report(self, now: float) -> ReportBlock:
        """The report block for this source; begins the next interval of `fraction_lost`."""
        expected, received = self.expected, self.received
        expected_now = expected - self._expected_before
        lost_now = expected_now - (received - self._received_before)
        self._expected_before, self._received_before = expected, received
        fraction = (lost_now << 8) // expected_now if expected_now > 0 and lost_now > 0 else 0
        self.fraction_lost = fraction / 256
        last_sr = delay = 0
        if self.sender_report is not None:
            last_sr = self.sender_report.ntp >> 16 & 0xFFFF_FFFF
            delay = int((now - self.sender_report_at) * 65536)
        return ReportBlock(
            self.ssrc,
            min(fraction, 255),
            self.packets_lost,
            (self.highest - _SEQUENCE_SPACE) & 0xFFFF_FFFF,
            int(self.jitter),
            last_sr,
            delay,
        )
