"""RTCP of one transport: what comes in is told to the streams, what they want goes out.

Spec: RFC 3550, section 6; RFC 4585; RFC 5104; RFC 5506; RFC 3611.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable

from rtcstack.errors import ParseError
from rtcstack.refusals import Refusals
from rtcstack.rtp.events import KeyFrameRequested, RtpEvent
from rtcstack.rtp.receive import ReceiveStream
from rtcstack.rtp.reports import MAX_RTCP_BYTES, ReportTimer, compounds, goodbye, round_trip_s
from rtcstack.rtp.rtcp.compound import RtcpPacket, parse
from rtcstack.rtp.rtcp.feedback import (
    FullIntraRequest,
    Nack,
    PictureLossIndication,
    ReceiverEstimate,
)
from rtcstack.rtp.rtcp.reports import (
    MAX_BLOCKS,
    Goodbye,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
)
from rtcstack.rtp.rtcp.transport_cc import TransportFeedback
from rtcstack.rtp.rtcp.xr import DelayBlock, ExtendedReport
from rtcstack.rtp.rtx import AnyReceiveStream
from rtcstack.rtp.send import SendStream

__all__ = ["MAX_NACKED", "MAX_PENDING", "MAX_REFERENCE_TIMES", "Control"]

MAX_PENDING = 64
"""RTCP packets that wait for the next drain; the oldest are dropped first."""

MAX_NACKED = 280
"""Packets that one NACK asks for: at worst each takes a word of its own, and it must fit a datagram."""

MAX_REFERENCE_TIMES = 32
"""Receivers whose reference time is answered."""

_NO_SSRC = 1

_RTT_WEIGHT = 1 / 8


class Control:
    """RTCP in and out.

    Args:
        send_streams: by SSRC of the media and of its retransmissions.
        receive_streams: by SSRC.
        events: gets `KeyFrameRequested`.
        rng: for the timing of reports.
        ntp_offset_s: NTP time in seconds minus the engine's monotonic time.
        on_goodbye: told of SSRCs that end, with the reason.
        on_feedback: told of transport-wide feedback.
        on_estimate: told of the peer's estimate (REMB), in bit/s.
        on_loss: told of each report's mean loss.
        on_rtt: told of the round-trip time.
        refusals: who is told of datagrams, or parts of some, that are dropped.

    Attributes:
        cname: ours.
        reduced_size: feedback need not begin with a report.
        receiver_time: the peer answers receiver reference times.
        rtt_s: smoothed round-trip time, or None while unknown.
        packets_received, packets_sent: RTCP datagrams.
        malformed: datagrams, or parts of some, that could not be read.
    """

    __slots__ = (
        "_events",
        "_is_rtt_old",
        "_ntp_offset_s",
        "_on_estimate",
        "_on_feedback",
        "_on_goodbye",
        "_on_loss",
        "_on_rtt",
        "_pending",
        "_receive_streams",
        "_reference_times",
        "_refusals",
        "_send_streams",
        "bandwidth_bps",
        "cname",
        "malformed",
        "packets_received",
        "packets_sent",
        "receiver_time",
        "reduced_size",
        "rtt_s",
        "timer",
    )

    def __init__(
        self,
        send_streams: dict[int, SendStream],
        receive_streams: dict[int, AnyReceiveStream],
        events: list[RtpEvent],
        *,
        rng: random.Random,
        ntp_offset_s: float,
        on_goodbye: Callable[[int, str], None],
        on_feedback: Callable[[TransportFeedback, float], None],
        on_estimate: Callable[[int, float], None],
        on_loss: Callable[[float, float], None],
        on_rtt: Callable[[float], None],
        refusals: Refusals,
    ) -> None:
        self._refusals = refusals
        self._send_streams = send_streams
        self._receive_streams = receive_streams
        self._events = events
        self._ntp_offset_s = ntp_offset_s
        self._on_goodbye = on_goodbye
        self._on_feedback = on_feedback
        self._on_estimate = on_estimate
        self._on_loss = on_loss
        self._on_rtt = on_rtt
        self._pending: list[bytes] = []
        self._reference_times: OrderedDict[int, tuple[int, float]] = OrderedDict()
        self.timer = ReportTimer(rng)
        self.bandwidth_bps: float | None = None
        self.cname = ""
        self.reduced_size = False
        self.receiver_time = False
        self.rtt_s: float | None = None
        self._is_rtt_old = False
        self.packets_received = 0
        self.packets_sent = 0
        self.malformed = 0

    def _ntp(self, now: float) -> int:
        return int((now + self._ntp_offset_s) * (1 << 32)) & 0xFFFF_FFFF_FFFF_FFFF

    # -- in ---------------------------------------------------------------------------------------

    def receive(self, data: bytes, now: float) -> None:
        """Take an RTCP datagram."""
        self.packets_received += 1
        try:
            packets, malformed, reason = parse(data)
        except ParseError as error:
            self.malformed += 1
            self._refusals.add("rtcp", error.reason, data)
            return
        if malformed:
            self.malformed += malformed
            self._refusals.add("rtcp", reason, data, malformed)
        measured: float | None = None
        for packet in packets:
            self._on_packet(packet, now)
            if isinstance(packet, ExtendedReport):
                told = self._on_extended(packet, now)
                measured = told if measured is None else measured
        if measured is not None:
            for packet in packets:
                if isinstance(packet, SenderReport):
                    stream = self._receive_streams.get(packet.ssrc)
                    if stream is not None:
                        stream.reception.on_round_trip(measured)

    def _on_packet(self, packet: RtcpPacket, now: float) -> None:
        if isinstance(packet, TransportFeedback):
            self._on_feedback(packet, now)
        elif isinstance(packet, ReceiverReport):
            self._on_blocks(packet.blocks, now)
        elif isinstance(packet, SenderReport):
            stream = self._receive_streams.get(packet.ssrc)
            if isinstance(stream, ReceiveStream):
                stream.on_sender_report(packet, now)
            elif stream is not None:
                stream.reception.on_sender_report(packet, now)
            self._on_blocks(packet.blocks, now)
        elif isinstance(packet, Nack):
            sender = self._send_streams.get(packet.media_ssrc)
            if sender is not None and sender.ssrc == packet.media_ssrc:
                if self.rtt_s is not None:
                    sender.rtt_s = self.rtt_s
                sender.on_nack(packet.sequence_numbers, now)
        elif isinstance(packet, PictureLossIndication):
            sender = self._send_streams.get(packet.media_ssrc)
            if sender is not None and sender.on_pli(now):
                self._events.append(KeyFrameRequested(sender.name))
        elif isinstance(packet, FullIntraRequest):
            for ssrc, number in packet.requests:
                sender = self._send_streams.get(ssrc)
                if sender is not None and sender.on_fir(number, now):
                    self._events.append(KeyFrameRequested(sender.name))
        elif isinstance(packet, ReceiverEstimate):
            self._on_estimate(packet.bitrate_bps, now)
        elif isinstance(packet, SourceDescription):
            for ssrc, cname in packet.cnames.items():
                stream = self._receive_streams.get(ssrc)
                if isinstance(stream, ReceiveStream):
                    stream.cname = cname
        elif isinstance(packet, Goodbye):
            for ssrc in packet.sources:
                self._on_goodbye(ssrc, packet.reason)

    def _on_blocks(self, blocks: tuple[ReportBlock, ...], now: float) -> None:
        lost = weight = 0.0
        measured: float | None = None
        for block in blocks:
            stream = self._send_streams.get(block.ssrc)
            if stream is None:
                continue
            if block.ssrc != stream.ssrc:
                # Of its retransmissions: as probes they may have arrived where no media has, and
                # Firefox takes what says its MID for all that there is in the section.
                continue
            stream.on_acknowledged(block.fraction_lost / 256)
            if self.rtt_s is not None:
                stream.rtt_s = self.rtt_s
            rtt_s = round_trip_s(block.last_sr, block.delay_since_last_sr, self._ntp(now))
            # Weighed by what was received since the report before, as the peer numbers it.
            before = stream.remote.highest_sequence_number
            packets = (block.highest_sequence_number - before) & 0xFFFF_FFFF
            if stream.remote.reports and packets < 1 << 16:
                lost += packets * block.fraction_lost / 256
                weight += packets
            expected = stream.expected_at(block.highest_sequence_number)
            told = rtt_s if block.delay_since_last_sr else None
            stream.remote.on_report(block, told, now, expected=expected)
            if rtt_s is not None:
                measured = rtt_s
        if measured is not None:
            self._measured(measured)
        if weight:
            self._on_loss(lost / weight, now)

    def _on_extended(self, report: ExtendedReport, now: float) -> float | None:
        """Take an extended report.

        Returns:
            The round-trip time that it tells us, or None.
        """
        if report.receiver_time is not None:
            times = self._reference_times
            times.pop(report.ssrc, None)
            if len(times) >= MAX_REFERENCE_TIMES:
                times.popitem(last=False)
            times[report.ssrc] = (report.receiver_time >> 16 & 0xFFFF_FFFF, now)
        reporter = self.reporter
        for ssrc, last_rr, delay in report.delays:
            if ssrc == reporter:
                rtt_s = round_trip_s(last_rr, delay, self._ntp(now))
                if rtt_s is not None:
                    self._measured(rtt_s)
                return rtt_s if last_rr and delay else None  # the others answer the same
        return None

    def _measured(self, rtt_s: float) -> None:
        before = self.rtt_s
        self.rtt_s = rtt_s if before is None or self._is_rtt_old else before + (rtt_s - before) * _RTT_WEIGHT
        self._is_rtt_old = False
        self._on_rtt(self.rtt_s)

    def on_path_change(self) -> None:
        """Packets take another way: the next measurement counts by itself."""
        self._is_rtt_old = True

    # -- out --------------------------------------------------------------------------------------

    @property
    def reporter(self) -> int:
        """The SSRC that feedback comes from."""
        for ssrc in self._send_streams:
            return ssrc
        return _NO_SSRC

    def feed_back(self, packet: bytes) -> None:
        """Send feedback with the next drain, behind a report if the peer needs one."""
        pending = self._pending
        if pending and len(pending[-1]) + len(packet) <= MAX_RTCP_BYTES:
            pending[-1] += packet
            return
        if not self.reduced_size:
            reporter = self.reporter
            head = ReceiverReport(reporter).to_bytes()
            packet = head + SourceDescription.of_cname(self.cname, reporter).to_bytes() + packet
        if len(pending) >= MAX_PENDING:
            del pending[0]
        pending.append(packet)

    def ask(self, stream: ReceiveStream, now: float) -> None:
        """Send what a stream wants asked for: packets, or a key frame."""
        missing = stream.nack.due(now)
        if missing:
            stream.nack_count += 1
            reporter = self.reporter
            for start in range(0, len(missing), MAX_NACKED):
                numbers = tuple([n & 0xFFFF for n in missing[start : start + MAX_NACKED]])
                self.feed_back(Nack(reporter, stream.ssrc, numbers).to_bytes())
        if stream.key_frames.wanted and stream.key_frames.take(now):
            self._ask_key_frame(stream)

    def _ask_key_frame(self, stream: ReceiveStream) -> None:
        codec = next((c for c in stream.section.codecs if c.payload_type == stream.payload_type), None)
        if codec is None:
            return
        if codec.pli or not codec.fir:
            # Asked for even where it was not agreed: a peer that knows it not passes it over.
            stream.pli_count += 1
            packet = PictureLossIndication(self.reporter, stream.ssrc).to_bytes()
        else:
            stream.fir_count += 1
            requests = ((stream.ssrc, stream.key_frames.sequence_number),)
            packet = FullIntraRequest(self.reporter, requests).to_bytes()
        self.feed_back(packet)

    def report(self, now: float) -> None:
        """Make the regular reports, if they are due."""
        if self.timer.due_at is None or now < self.timer.due_at:
            return
        senders: dict[int, SendStream] = {}
        for stream in self._send_streams.values():
            senders[stream.ssrc] = stream
        reports = [r for s in senders.values() if (r := s.sender_report(now)) is not None]
        blocks = [
            stream.reception.report(now)
            for stream in self._receive_streams.values()
            if stream.reception.expected
        ]
        idle = next(iter(senders), None)
        extra: list[bytes] = []
        reporter = reports[0].ssrc if reports else idle or _NO_SSRC
        if self.receiver_time and not reports:
            extra.append(ExtendedReport(self.reporter, self._ntp(now)).to_bytes())
        if self._reference_times:
            delays = tuple(
                DelayBlock(ssrc, middle, int((now - at) * 65536))
                for ssrc, (middle, at) in self._reference_times.items()
            )
            self._reference_times.clear()
            extra.append(ExtendedReport(reporter, None, delays).to_bytes())
        packets = compounds(reports, blocks, self.cname, idle, extra)
        # Feedback that waits goes along, behind the reports.
        self._pending[:0] = packets
        del self._pending[MAX_PENDING + len(packets) :]
        self.timer.sent(now, sum(map(len, packets)), self.bandwidth_bps)

    def say_goodbye(self, ssrcs: list[int], reason: str = "") -> None:
        """Tell the peer that these streams of ours end."""
        for start in range(0, len(ssrcs), MAX_BLOCKS):
            self._pending.append(goodbye(ssrcs[start : start + MAX_BLOCKS], self.cname, reason))

    @property
    def is_pending(self) -> bool:
        """Whether there is something to send."""
        return bool(self._pending)

    def take(self) -> list[bytes]:
        """The RTCP packets to send now."""
        packets, self._pending = self._pending, []
        self.packets_sent += len(packets)
        return packets
