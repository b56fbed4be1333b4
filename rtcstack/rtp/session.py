"""The media engine of one transport: RTP and RTCP in the clear on one side, media on the other.

One question: which part gets what. The parts answer the others: `received` (who has which place), `sent`
(which streams there are), `attention` (who is looked after), `control` and `feedback` (what the peer is
told), `sending` (what leaves).

Spec: RFC 3550; RFC 8834 (RTP in WebRTC); RFC 8843, section 9 (many sections on one transport).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from enum import StrEnum

from rtcstack.engine import Buffer
from rtcstack.entropy import entropy
from rtcstack.errors import ParseError
from rtcstack.refusals import Refusals
from rtcstack.rtp.attention import Attention
from rtcstack.rtp.bwe.estimator import BandwidthEstimator, OtherLoad
from rtcstack.rtp.control import Control
from rtcstack.rtp.demux import Demux, Rank, Role, Route, Trait, Verdict
from rtcstack.rtp.events import FrameReceived, PacketsReceived, RtpEvent
from rtcstack.rtp.extensions import ExtensionIds
from rtcstack.rtp.feedback import ArrivalFeedback
from rtcstack.rtp.frames import EncodedFrame
from rtcstack.rtp.layout import Layout
from rtcstack.rtp.nack import MissingCount
from rtcstack.rtp.packet import MAX_PACKET_BYTES, RtpPacket, parse
from rtcstack.rtp.parameters import ReceiveSection, SendParameters, Source, StreamName
from rtcstack.rtp.receive import ReceiveStream
from rtcstack.rtp.received import ReceivedStreams
from rtcstack.rtp.retired import Retired
from rtcstack.rtp.rtx import AnyReceiveStream, RtxStream
from rtcstack.rtp.send import SendStream
from rtcstack.rtp.sending import Sending
from rtcstack.rtp.sent import SentStreams

__all__ = ["Drop", "RtpSession"]

DEFAULT_RTT_S = 0.1
"""Round-trip time while none was measured."""


class Drop(StrEnum):
    """Why a packet was dropped."""

    MALFORMED = "malformed"
    TOO_LONG = "too-long"
    UNKNOWN_MID = "unknown-mid"
    UNKNOWN_RID = "unknown-rid"
    UNKNOWN_PAYLOAD_TYPE = "unknown-payload-type"
    AMBIGUOUS = "ambiguous"
    PROBATION = "probation"
    NO_PRIMARY = "no-primary"
    RETIRED = "retired"
    """Of a section, or source, that is received no more."""


_NO_FAULT = frozenset((Drop.PROBATION, Drop.RETIRED))
"""Reasons that tell nothing against a packet. On probation it is kept, and comes back with the next."""


class RtpSession:
    """All media of one transport, as an engine (see `rtcstack.engine.Engine`).

    Packets are plain RTP and RTCP, mixed; `rtcstack.rtp.packet.is_rtcp` tells them apart. Nothing
    is sent before `start`.

    Args:
        ntp_offset_s: NTP time (seconds since 1900) minus the monotonic time that is handed in.
        make_estimator: makes what estimates the bandwidth once a stream has congestion control;
            None for the one of the house (`rtcstack.rtp.bwe.gcc`).
        rng: for what must not be guessed; None for `rtcstack.entropy`'s.
        refusals: who is told of packets that are dropped.

    Attributes:
        drops: count by reason of packets that were dropped before they reached a stream.
        rtp_packets_received: RTP packets, dropped ones included.
        control: RTCP, with its counts.
        sending: the pacer and the congestion control.
    """

    __slots__ = (
        "_attention",
        "_demux",
        "_events",
        "_feedback",
        "_has_video",
        "_is_changing",
        "_missing",
        "_now",
        "_received",
        "_refusals",
        "_retired",
        "_sections_changed",
        "_sent",
        "_started",
        "_streams_changed",
        "control",
        "drops",
        "rtp_packets_received",
        "sending",
    )

    def __init__(
        self,
        *,
        ntp_offset_s: float = 0.0,
        make_estimator: Callable[[], BandwidthEstimator] | None = None,
        rng: random.Random | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        self._refusals = refusals if refusals is not None else Refusals()
        rng = rng or entropy().random
        self._now = 0.0
        self._started = False
        self._is_changing = False
        self._sections_changed = False
        self._streams_changed = False
        self._events: list[RtpEvent] = []
        self._demux = Demux()
        self._attention = Attention()
        self._received = ReceivedStreams(self._events, self._attention)
        self._missing = MissingCount()
        self._has_video = False
        self.sending = Sending(self._events, make_estimator)
        self._sent = SentStreams(self.sending.pacer, rng=rng, ntp_offset_s=ntp_offset_s)
        self.control = Control(
            self._sent.by_ssrc,
            self._received.by_ssrc,
            self._events,
            rng=rng,
            ntp_offset_s=ntp_offset_s,
            on_goodbye=self._received.on_goodbye,
            on_feedback=self.sending.on_feedback,
            on_estimate=self.sending.on_remote_estimate,
            on_loss=self.sending.on_loss,
            on_rtt=self._on_rtt,
            refusals=self._refusals,
        )
        self._feedback = ArrivalFeedback(self.control)
        self._retired = Retired()
        self.drops: dict[Drop, int] = {}
        self.rtp_packets_received = 0

    # -- what is agreed ---------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """The transport can carry packets: from now on media is sent, and reports are."""
        self._started = True
        self._now = now
        self._schedule_reports(now)

    def pause(self) -> None:
        """The transport can carry nothing, until `start` is called again: nothing is sent or reported."""
        self._started = False

    def begin_changes(self) -> None:
        """A description is applied: what depends on all sections and streams is found out
        once, at its end."""
        self._is_changing = True

    def end_changes(self) -> None:
        """See `begin_changes`."""
        self._is_changing = False
        sections, self._sections_changed = self._sections_changed, False
        streams, self._streams_changed = self._streams_changed, False
        if sections:
            self._agree_on_sections()
        if streams:
            self._agree_on_streams()

    def _agree_on_sections(self) -> None:
        if self._is_changing:
            self._sections_changed = True
            return
        self._rebind()
        self._schedule_reports(self._now)

    def _agree_on_streams(self) -> None:
        if self._is_changing:
            self._streams_changed = True
            return
        self._agree_size()
        self.sending.set_streams(self.send_streams, self._now)
        self._schedule_reports(self._now)

    def set_receive_section(self, section: ReceiveSection) -> None:
        """Receive for a section, or change what is agreed for it; its streams go on.

        Streams that came before this description, and that it says belong here, begin anew here.

        Spec: RFC 9143, section 9.2.
        """
        self._retired.restore(section.mid)
        before = self._demux.sections.get(section.mid)
        if before == section:
            return
        known = set(before.sources) if before is not None else set()
        self._demux.set_section(section)
        for source in section.sources:
            if source not in known:
                self._announced(section.mid, source)
        self._agree_on_sections()

    def remove_receive_section(self, mid: str) -> None:
        """Receive for a section no more: its streams end."""
        section = self._demux.sections.get(mid)
        if section is not None:
            ssrcs = {ssrc for ssrc, each in self._received.by_ssrc.items() if each.section.mid == mid}
            for source in section.sources:
                ssrcs.add(source.ssrc)
                if source.rtx_ssrc is not None:
                    ssrcs.add(source.rtx_ssrc)
            self._retired.retire(mid, ssrcs)
        self._demux.remove_section(mid)
        for stream in self.receive_streams:
            if stream.section.mid == mid:
                self._received.end(stream, "removed")
        self._agree_on_sections()

    def _announced(self, mid: str, source: Source) -> None:
        """A description names a source that it did not name before: it may have come already."""
        stream = self._received.by_ssrc.get(source.ssrc)
        if stream is not None and stream.section.mid != mid:
            self._received.move(stream)
        rtx = None if source.rtx_ssrc is None else self._received.by_ssrc.get(source.rtx_ssrc)
        if isinstance(rtx, RtxStream) and rtx.primary.ssrc != source.ssrc:
            self._received.move(rtx)

    def _rebind(self) -> None:
        sections = self._demux.sections
        for stream in list(self._received.by_ssrc.values()):
            if isinstance(stream, ReceiveStream):
                stream.rank = self._demux.rank(stream.ssrc, stream.section.mid, stream.rank)
                other = self._demux.section_by_payload_type(stream.payload_type)
                if stream.rank is Rank.TYPED and other is not None and other.mid != stream.section.mid:
                    self._received.move(stream)  # its payload type was all that was known of it
                    continue
            section = sections.get(stream.section.mid)
            if section is not None and self._received.by_ssrc.get(stream.ssrc) is stream:
                if isinstance(stream, ReceiveStream):
                    stream.update(section, self._demux.ids)
                else:
                    stream.update(section)
        has = self._demux.has
        self._feedback.agree(transport_cc=has(Trait.TRANSPORT_CC), remb=has(Trait.REMB))
        self.control.receiver_time = has(Trait.RECEIVER_TIME)
        self._agree_size()

    def _agree_size(self) -> None:
        has = self._demux.has
        self._has_video = has(Trait.VIDEO) or self._sent.has_video
        self.control.reduced_size = not has(Trait.FULL_SIZE) and self._sent.reduced_size

    def add_send_stream(self, parameters: SendParameters) -> SendStream:
        """Send a stream.

        Raises:
            ValueError: if its SSRC, or that of its retransmissions, is in use.
        """
        stream = self._sent.add(parameters, self.control.rtt_s or DEFAULT_RTT_S)
        self._bind(parameters)
        return stream

    def _bind(self, parameters: SendParameters) -> None:
        self.control.cname = self.control.cname or parameters.cname
        self._agree_on_streams()

    def update_send_stream(self, stream: SendStream, parameters: SendParameters) -> None:
        """Change what is agreed for a stream: its bounds, its payload type, its extensions.

        Raises:
            ValueError: if the SSRC of its media is another, or that of its retransmissions in use.
        """
        self._sent.update(stream, parameters)
        self._bind(parameters)

    def set_active(self, stream: SendStream, active: bool) -> None:
        """Let a stream send, or not; its share of the bandwidth goes to the others."""
        self._sent.set_active(stream, active)
        self._agree_on_streams()

    def set_wanted(self, stream: SendStream, wanted_bps: int | None, least_bps: int = 0) -> None:
        """Say what share of the bandwidth a stream can use that keeps to less, and needs; None of one that
        does not."""
        if (stream.wanted_bps, stream.least_bps) != (wanted_bps, least_bps):
            stream.wanted_bps, stream.least_bps = wanted_bps, least_bps
            self._agree_on_streams()

    def remove_send_stream(self, stream: SendStream) -> None:
        """Send a stream no more, and tell the peer so."""
        gone = self._sent.remove(stream)
        if not gone:
            return
        self._agree_on_streams()
        if self._started:
            self.control.say_goodbye(gone)

    def close(self, now: float, reason: str = "") -> None:
        """Say goodbye for all streams; the next drain gives it, and nothing else after it."""
        self._now = now
        if self._started and self._sent.by_ssrc:
            self.control.say_goodbye(list(self._sent.by_ssrc), reason)
        self._sent.clear()
        self.sending.set_streams([], now)
        self._attention.clear()
        self._feedback.close()
        self.control.timer.stop()

    @property
    def refusals(self) -> Refusals:
        """What was refused of the packets that came."""
        return self._refusals

    @property
    def send_streams(self) -> list[SendStream]:
        """The streams that are sent, in the order in which they were added."""
        return self._sent.streams

    @property
    def receive_streams(self) -> list[ReceiveStream]:
        """The streams that are received, in the order of their first packets."""
        return self._received.streams

    def receive_stream(self, name: StreamName) -> ReceiveStream | None:
        """The stream that an event names; None once it has ended."""
        stream = self._received.by_ssrc.get(name.ssrc)
        return stream if isinstance(stream, ReceiveStream) and stream.name == name else None

    def current_stream(self, mid: str, rid: str | None = None) -> ReceiveStream | None:
        """The stream that has its place: the one that is known best, and of those the one that flows."""
        return self._received.current.get((mid, rid))

    @property
    def header_extension_ids(self) -> ExtensionIds:
        """Numbers of the header extensions that are received."""
        return self._demux.ids

    @property
    def receive_estimate_bps(self) -> int | None:
        """What the peer is told that it may send (REMB); None where it estimates itself."""
        estimator = self._feedback.estimator
        return estimator.estimate_bps if estimator is not None else None

    @property
    def is_sharing(self) -> bool:
        """Whether there is an estimate that data could share: pictures are sent, and the peer tells of it."""
        return self.sending.estimator is not None

    @property
    def other_bps(self) -> int | None:
        """What data in bulk may send beside media; None for no bound."""
        return self.sending.other_bps

    def set_other_load(self, weight: float, arrived_bps: float, sent_bytes: int, now: float) -> None:
        """Data in bulk goes over this transport, too; see `Sending.set_other_load`, and `OtherLoad`."""
        self._now = now
        self.sending.set_other_load(OtherLoad(weight, arrived_bps, sent_bytes), now)

    def end_other_load(self, now: float) -> None:
        """It does no more."""
        self._now = now
        self.sending.set_other_load(None, now)

    # -- the five verbs ---------------------------------------------------------------------------

    def receive(self, datagrams: Sequence[Buffer], now: float, arrived_at: float | None = None) -> None:
        """Take RTP and RTCP packets that arrived together.

        Args:
            datagrams: in order of arrival.
            now: monotonic seconds.
            arrived_at: when they arrived, if that is known to be earlier: bandwidth estimators, the
                peer's and ours, are told this time.
        """
        self._now = now
        if arrived_at is None:
            arrived_at = now
        streams = self._received.by_ssrc
        ids = self._demux.ids
        wide_id, mid_id = ids.transport_cc, ids.mid
        arrivals, estimator = self._feedback.arrivals, self._feedback.estimator
        numbers: list[int] = []
        size = 0
        for data in datagrams:
            if type(data) is not bytes:
                data = bytes(data)
            if len(data) > 1 and 192 <= data[1] <= 223:
                self.control.receive(data, now)
                continue
            self.rtp_packets_received += 1
            if len(data) > MAX_PACKET_BYTES:
                self._drop(Drop.TOO_LONG, data)
                continue
            try:
                packet = parse(data)
            except ParseError:
                self._drop(Drop.MALFORMED, data)
                continue
            stream = streams.get(packet.ssrc)
            start = packet.extension_start
            if start:
                block = data[start : packet.extension_end]
                profile = packet.extension_profile
                layout = stream.layout if stream is not None else None
                if layout is None or not layout.fits(block, profile):
                    layout = Layout(block, profile, wide_id, mid_id)
                    if stream is not None:
                        stream.layout = layout
                packet.layout = layout
                at = layout.transport_cc
                if at >= 0:
                    numbers.append(block[at] << 8 | block[at + 1])
                    size += len(data)
                if estimator is not None:
                    first, end = layout.spans.get(ids.abs_send_time, (0, 0))
                    if end - first == 3:
                        estimator.arrived(int.from_bytes(block[first:end], "big"), len(data), arrived_at)
                if layout.mid is not None and stream is not None:
                    first, end = layout.mid
                    if block[first:end] != stream.mid_bytes:
                        self._received.move(stream)
                        stream = None
                    elif not stream.rank:
                        stream.rank = Rank.NAMED
            if stream is None:
                self._begin(packet, now)
            else:
                if not stream.is_current and isinstance(stream, ReceiveStream):
                    self._received.consider(stream, now)
                stream.receive(packet, now)
        if numbers and arrivals is not None:
            arrivals.arrived(numbers, size, now, arrived_at)
        self.sending.settle(now)
        if self._attention.woken:
            self._serve(now)

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        self._now = now
        if self._attention.woken or self._attention.deadlines:
            self._serve(now)
        self._give_feedback(now)
        if self._started:
            due = self.control.timer.due_at
            if due is not None and now >= due:
                self.control.bandwidth_bps = self.sending.estimate_bps
                self.control.report(now)
                self._received.forget_silent(now)
        self.sending.handle_timeout(now)

    def next_timeout(self) -> float | None:
        """The earliest time at which something is due."""
        now = self._now
        if self._started and self.control.is_pending:
            return now
        due = self._feedback.due_at
        if self._attention.woken:
            return now
        look_at = self._attention.next_at()
        if look_at is not None and (due is None or look_at < due):
            due = look_at
        if self._started:
            other = self.control.timer.due_at
            if other is not None and (due is None or other < due):
                due = other
            other = self.sending.next_timeout(now)
            if other is not None and (due is None or other < due):
                due = other
        return due

    def drain(self, now: float) -> list[bytes]:
        """Take the packets to send now, RTCP first."""
        self._now = now
        if not self._started:
            return []
        self._give_feedback(now)
        control = self.control.take()
        packets = self.sending.take(now)
        return control + packets if control else packets

    def events(self) -> list[RtpEvent]:
        """Take what happened, oldest first."""
        for stream in self._attention.untold:
            if stream.packets:
                self._events.append(PacketsReceived(stream.name, stream.packets))
                stream.packets = []
        self._attention.untold.clear()
        if not self._events:
            return []
        events = self._events[:]
        self._events.clear()
        return events

    def on_path_change(self, now: float) -> None:
        """Packets take another way from now on: another pair of addresses was selected."""
        self._now = now
        self.control.on_path_change()
        self._feedback.on_path_change()
        if self._started:
            self.sending.on_path_change(now)
            self._schedule_reports(now)

    # -- streams that come and go -----------------------------------------------------------------

    def _drop(self, reason: Drop, data: bytes, *, is_fault: bool = True) -> None:
        self.drops[reason] = self.drops.get(reason, 0) + 1
        if is_fault and reason not in _NO_FAULT:
            self._refusals.add("rtp", reason, data)

    def _begin(self, packet: RtpPacket, now: float) -> None:
        """The first packet of an SSRC: find its place, and hand it on."""
        if self._retired.has(packet.ssrc, self._demux.mid_of(packet)):
            self._drop(Drop.RETIRED, packet.data)
            return
        route = self._demux.route(packet)
        if isinstance(route, Verdict):
            self._drop(Drop(route.value), packet.data)
            return
        stream: AnyReceiveStream | None
        if route.role is Role.RETRANSMISSION:
            stream = self._begin_retransmission(packet.ssrc, route)
        else:
            stream = self._begin_media(packet.ssrc, route, now)
        if stream is None:
            # Where there is no media yet it is a probe: libwebrtc makes them of padding, and of what it
            # had sent before the section came back. Feedback tells of them all the same.
            has_media = self.current_stream(route.section.mid, route.rid) is not None
            self._drop(Drop.NO_PRIMARY, packet.data, is_fault=has_media)
            return
        stream.layout = packet.layout
        kept = self._demux.released(packet.ssrc)
        if kept is not None:
            stream.receive(kept, now)
        stream.receive(packet, now)

    def _begin_media(self, ssrc: int, route: Route, now: float) -> ReceiveStream:
        section = route.section
        self._received.make_room(section.mid)
        stream = ReceiveStream(
            section,
            ssrc,
            route.rid,
            route.codec,
            self._demux.ids,
            self._on_frame,
            wake=self._attention.wake,
            rtt_s=self.control.rtt_s or DEFAULT_RTT_S,
            missing=self._missing,
            refusals=self._refusals,
        )
        self._received.enter(stream)
        stream.rank = Rank.ANNOUNCED if route.announced else Rank.NAMED if route.named else Rank.TYPED
        stream.last_packet_at = now
        current = self._received.current.get((section.mid, route.rid))
        if current is None or (stream.rank and stream.rank >= current.rank):
            self._received.give_place(stream, current)
        else:
            self._received.consider(stream, now)
        stream.is_under_way = True
        self._feedback.begins(ssrc)
        self._schedule_reports(now)
        return stream

    def _on_frame(self, stream: ReceiveStream, frame: EncodedFrame) -> None:
        self._events.append(FrameReceived(stream.name, frame))

    def _begin_retransmission(self, ssrc: int, route: Route) -> RtxStream | None:
        primary: AnyReceiveStream | None
        if route.primary_ssrc is not None:
            primary = self._received.by_ssrc.get(route.primary_ssrc)
        else:
            primary = self._received.current.get((route.section.mid, route.rid))
        if not isinstance(primary, ReceiveStream):
            return None
        self._received.make_room(route.section.mid)
        if self._received.by_ssrc.get(primary.ssrc) is not primary:
            return None  # it was the one that gave way
        stream = RtxStream(ssrc, primary)
        self._received.enter(stream)
        primary.rtx_packet_at = self._now
        return stream

    # -- time -------------------------------------------------------------------------------------

    def _schedule_reports(self, now: float) -> None:
        has_streams = bool(self._received.by_ssrc or self._sent.by_ssrc)
        if self._started and has_streams and (self.control.timer.due_at is None or self._has_video):
            self.control.timer.start(now, has_video=self._has_video)

    def _serve(self, now: float) -> None:
        """Look after the streams that want it."""
        attention = self._attention
        for stream in attention.take(now):
            if self._received.by_ssrc.get(stream.ssrc) is not stream:
                continue
            self._update_rtt(stream)
            stream.handle_timeout(now)
            self.control.ask(stream, now)
            if stream.packets:
                attention.untold[stream] = None
            attention.look_again(stream, stream.next_at(now), now)

    def _update_rtt(self, stream: ReceiveStream) -> None:
        rtt_s = self.control.rtt_s
        if rtt_s is not None and rtt_s != stream.nack.rtt_s:
            stream.set_rtt(rtt_s)

    def _give_feedback(self, now: float) -> None:
        due = self._feedback.due_at
        if due is not None and now >= due:
            self._feedback.give(self.receive_streams, now)

    def _on_rtt(self, rtt_s: float) -> None:
        # Streams learn of it when they are looked at: none of them is touched for a report's sake.
        self._feedback.on_rtt(rtt_s)
        self.sending.on_rtt(rtt_s)
