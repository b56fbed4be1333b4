"""One stream that is received: from its packets to what its owner wants of them.

Spec: RFC 3550, sections 5.1 and 6.4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from rtcstack.refusals import Refusals
from rtcstack.rtp.arriving import ArrivingSound
from rtcstack.rtp.audio import AudioJitterBuffer
from rtcstack.rtp.capture import HeaderReader
from rtcstack.rtp.correction import PARITY_WAIT_S, Correction
from rtcstack.rtp.demux import Rank
from rtcstack.rtp.extensions import ExtensionIds, read_audio_level
from rtcstack.rtp.frames import AudioDepacketizer, Depacketizer, EncodedFrame
from rtcstack.rtp.keyframes import KeyFrameRequester
from rtcstack.rtp.layout import Layout
from rtcstack.rtp.nack import MissingCount, NackGenerator
from rtcstack.rtp.packet import RtpPacket
from rtcstack.rtp.parameters import Delivery, ReceiveCodec, ReceiveSection, StreamName
from rtcstack.rtp.playoutcounts import PlayoutCounts
from rtcstack.rtp.reception import Reception
from rtcstack.rtp.rtcp.reports import SenderReport
from rtcstack.rtp.video import VideoAssembler
from rtcstack.serial import unwrap

__all__ = ["EARLY_PACKETS", "MAX_UNTAKEN_PACKETS", "ReceiveStream"]

MAX_UNTAKEN_PACKETS = 1024
"""Packets of one pass kept for an owner that wants packets; the oldest are dropped first."""

EARLY_PACKETS = 16
"""How many packets from before the first one may still come and are taken."""

OUTAGE_S = 1.0
"""After so long without a packet senders have forgotten what was lost: a key frame is asked for."""

Sink = Callable[[RtpPacket, ReceiveCodec, float], None]


class ReceiveStream:
    """A stream of one SSRC.

    Args:
        section: what is agreed.
        ssrc: its source.
        rid: its simulcast stream, or None.
        codec: of its first packet.
        extension_ids: numbers of the header extensions.
        emit: gets each whole frame, as soon as it is one.
        wake: called when the stream wants to be looked at (`next_at`).
        rtt_s: round-trip time as known so far.
        missing: counts the missing packets of all streams of the transport.

    Attributes:
        section, ssrc, rid: as above.
        payload_type: of the newest packet.
        reception: numbers, losses, jitter.
        nack: missing packets.
        key_frames: requests for key frames.
        assembler: makes video frames, or None.
        playout: the jitter buffer of audio that is pulled, or None.
        played_before: what jitter buffers counted that it had before.
        packets: those not yet told, when the section wants packets.
        rtx_ssrc: of its retransmissions, once they come; None before.
        rtx_packet_at: when the last of them came.
        layout: the shape of the newest packet's header extension.
        name: how events name it.
        mid_bytes: the section's MID as packets name it.
        cname: of its sender, once told.
        packets_received, bytes_received, header_bytes_received: retransmissions and what probes for
            bandwidth included, on whatever SSRC; bytes of payload, and of headers and padding.
        retransmitted_packets, retransmitted_bytes: of these, what came by RTX with a payload.
        duplicates: packets that were there already.
        discarded: packets of payload types that are not agreed.
        last_packet_at: monotonic seconds.
        rank: how well it is known that it belongs to its section.
        is_current: it has the place of its section, or of its simulcast stream.
        had_place: it has, or had.
        look_at: when its owner is to look at it, or None; the owner's to set.
        is_under_way: it is not its first packet that is looked at.
        correction: takes packets out of RED, and brings lost ones back.
        refusals: who is told of packets that are dropped.
        pli_count, fir_count, nack_count: RTCP requests that were sent, by packet.
    """

    __slots__ = (
        "_arriving",
        "_codecs",
        "_early",
        "_frame_made",
        "_last_timestamp",
        "_pictures_in",
        "_reader",
        "_restarts",
        "_sink",
        "_sound_in",
        "_unread",
        "_wake",
        "assembler",
        "bytes_received",
        "cname",
        "correction",
        "discarded",
        "duplicates",
        "fir_count",
        "had_place",
        "header_bytes_received",
        "is_current",
        "is_under_way",
        "key_frames",
        "last_packet_at",
        "layout",
        "look_at",
        "mid_bytes",
        "nack",
        "nack_count",
        "name",
        "packets",
        "packets_received",
        "payload_type",
        "played_before",
        "playout",
        "pli_count",
        "rank",
        "reception",
        "refusals",
        "retransmitted_bytes",
        "retransmitted_packets",
        "rid",
        "rtx_packet_at",
        "rtx_ssrc",
        "section",
        "ssrc",
    )

    def __init__(
        self,
        section: ReceiveSection,
        ssrc: int,
        rid: str | None,
        codec: ReceiveCodec,
        extension_ids: ExtensionIds,
        emit: Callable[[ReceiveStream, EncodedFrame], None],
        *,
        wake: Callable[[ReceiveStream], None],
        rtt_s: float = 0.1,
        missing: MissingCount | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        self.refusals = refusals if refusals is not None else Refusals()
        self.section = section
        self.ssrc = ssrc
        self.rid = rid
        self.name = StreamName(section.mid, rid, ssrc)
        self.payload_type = codec.payload_type
        self.reception = Reception(ssrc, codec.clock_rate)
        self.nack = NackGenerator(asks=codec.nack, rtt_s=rtt_s, in_all=missing)
        self.key_frames = KeyFrameRequester()
        self.assembler: VideoAssembler | None = None
        self.playout: AudioJitterBuffer | None = None
        self.played_before = PlayoutCounts()
        self.packets: list[RtpPacket] = []
        self.rtx_ssrc: int | None = None
        self.rtx_packet_at = 0.0
        self.layout: Layout | None = None
        self.cname: str | None = None
        self.packets_received = 0
        self.bytes_received = 0
        self.header_bytes_received = 0
        self.retransmitted_packets = 0
        self.retransmitted_bytes = 0
        self.duplicates = 0
        self.discarded = 0
        self.last_packet_at = 0.0
        self.rank = Rank.TYPED
        self.is_current = False
        self.is_under_way = False
        self.had_place = False
        self.look_at: float | None = None
        self.pli_count = 0
        self.fir_count = 0
        self.nack_count = 0
        self._frame_made = emit
        self._wake = wake
        self._restarts = 0
        self._last_timestamp = -1
        self._early: set[int] | None = None
        self._arriving = ArrivingSound(self.refusals)
        self._reader = HeaderReader(extension_ids, codec.clock_rate)
        self.correction = Correction(self.refusals)
        self._codecs: dict[int, ReceiveCodec] = {}
        self._pictures_in: dict[int, Depacketizer] = {}  # who reads payloads, by payload type
        self._sound_in: dict[int, AudioDepacketizer] = {}
        self._sink: Sink = self._drop
        self._unread: RtpPacket | None = None
        self.update(section, extension_ids)

    def __repr__(self) -> str:
        return f"ReceiveStream(mid={self.section.mid!r}, ssrc={self.ssrc}, rid={self.rid!r})"

    def take_place(self) -> None:
        """It is the stream of its section from now on, perhaps after it was not for a while."""
        if self.had_place and self.playout is not None:
            # What has gathered since was not played: it is of the past.
            self.played_before.add(self.playout)
            self.playout = AudioJitterBuffer(self.reception.clock_rate, self.refusals)
            self.playout.min_delay_s = self.section.min_delay_s
        self.is_current = self.had_place = True

    def update(self, section: ReceiveSection, extension_ids: ExtensionIds) -> None:
        """Bind the stream to what is agreed now; what is held stays."""
        self.section = section
        self.mid_bytes = section.mid.encode()
        self._reader.ids = extension_ids
        self.layout = None
        self.correction.bind(section)
        self._codecs = {codec.payload_type: codec for codec in section.codecs if codec.apt is None}
        formats = {
            n: codec.depacketizer for n, codec in self._codecs.items() if codec.depacketizer is not None
        }
        if section.kind == "video":
            self._pictures_in = cast(dict[int, Depacketizer], formats)
        else:
            self._sound_in = cast(dict[int, AudioDepacketizer], formats)
        codec = self._codecs.get(self.payload_type)
        if codec is not None:
            self.nack.asks = codec.nack
        delivery = section.delivery
        sinks: list[Sink] = []
        if delivery & Delivery.PACKETS:
            sinks.append(self._keep)
        if section.kind == "video":
            if delivery & Delivery.FRAMES:
                if self.assembler is None:
                    self.assembler = VideoAssembler(
                        self._reader,
                        self._emit,
                        wake=self._assembler_wakes,
                        missing=self.nack,
                        asks=self.nack.asks,
                        ssrc=self.ssrc,
                        mid=section.mid,
                        rid=self.rid,
                        refusals=self.refusals,
                    )
                self.assembler.rtt_s = self.nack.rtt_s
                self.assembler.asks = self.nack.asks
                sinks.append(self._assemble)
            else:
                self.assembler = None
        else:
            if delivery & Delivery.PLAYOUT:
                if self.playout is None:
                    self.playout = AudioJitterBuffer(self.reception.clock_rate, self.refusals)
                self.playout.min_delay_s = section.min_delay_s
                sinks.append(self._buffer)
            elif self.playout is not None:
                self.played_before.add(self.playout)
                self.playout = None
            if delivery & Delivery.FRAMES:
                sinks.append(self._pass_on)
        if len(sinks) == 1:
            self._sink = sinks[0]
        elif sinks:
            several = tuple(sinks)

            def sink(packet: RtpPacket, codec: ReceiveCodec, now: float) -> None:
                for each in several:
                    each(packet, codec, now)

            self._sink = sink
        else:
            self._sink = self._drop

    @property
    def heard_at(self) -> float:
        """When it was heard last, or its retransmissions were: the one goes with the other."""
        return max(self.last_packet_at, self.rtx_packet_at)

    # -- packets in -------------------------------------------------------------------------------

    def receive(self, packet: RtpPacket, now: float) -> None:
        """Take a packet of this SSRC."""
        correction = self.correction
        start, end = packet.payload_start, packet.payload_end  # what RED adds is payload, too
        if packet.payload_type == correction.red_type and not correction.leave_red(packet):
            self.discarded += 1
            return
        payload_type = packet.payload_type
        codec = self._codecs.get(payload_type)
        if codec is None:
            self.discarded += 1
            return
        reception = self.reception
        before = reception.highest
        packet.index = index = reception.locate(packet.sequence_number)
        if index != before + 1:
            if before < 0:
                self._begin(index)
            elif not self._out_of_order(index, before, now):
                return
        packet.received_at = self.last_packet_at = now
        if payload_type != self.payload_type and payload_type != correction.parity_type:
            self._change_codec(codec)
        self.packets_received += 1
        self.bytes_received += end - start
        self.header_bytes_received += len(packet.data) - end + start
        timestamp = packet.timestamp
        if timestamp != self._last_timestamp and index > before:
            self._last_timestamp = timestamp
            reception.arrived(timestamp, now)
        if correction.recovery is not None:
            self._recover(packet, now)
        self._sink(packet, codec, now)

    def _recover(self, packet: RtpPacket, now: float) -> None:
        """Bring back what can be, with a packet that came in a stream of RED."""
        self.nack.wait_s = PARITY_WAIT_S
        if self.assembler is not None:
            self.assembler.has_parity = True
        for each in self.correction.take(packet, self.ssrc, self._reader.ids):
            codec = self._codecs.get(each.payload_type)
            if codec is not None and self.nack.found(each.index):
                each.received_at = now
                self._sink(each, codec, now)

    def count_apart(self, size: int, payload_size: int, now: float) -> None:
        """Count a packet of the SSRC of its retransmissions, as webrtc-stats wants it: also one that nobody
        needs, and one that carries nothing.

        Args:
            size: of the packet, in bytes.
            payload_size: of its payload, the number of the original included.
            now: monotonic seconds.
        """
        self.rtx_packet_at = now
        self.packets_received += 1
        self.bytes_received += payload_size
        self.header_bytes_received += size - payload_size
        if payload_size:
            self.retransmitted_packets += 1
            self.retransmitted_bytes += payload_size

    def receive_restored(self, packet: RtpPacket, now: float) -> None:
        """Take a packet that a retransmission restored."""
        correction = self.correction
        if packet.payload_type == correction.red_type and not correction.leave_red(packet):
            self.discarded += 1
            return
        codec = self._codecs.get(packet.payload_type)
        if codec is None or self.reception.highest < 0:
            self.discarded += 1
            return
        packet.index = unwrap(packet.sequence_number, self.reception.highest, 16)
        if not self.nack.found(packet.index):
            self.duplicates += 1
            return
        packet.received_at = now
        if correction.recovery is not None:
            self._recover(packet, now)
        self._sink(packet, codec, now)

    def _begin(self, index: int) -> None:
        self._early = set(range(index - EARLY_PACKETS, index))
        if self.assembler is not None:
            self._wake(self)

    def _out_of_order(self, index: int, before: int, now: float) -> bool:
        """Deal with a packet that is not the next one.

        Returns:
            Whether it is to be taken.
        """
        if index < 0:
            return False
        if self.reception.restarts != self._restarts:
            self._restarts = self.reception.restarts
            self.nack.clear()
            self._early = None
            self.correction.clear()
            self._arriving.reset()
            if self.assembler is not None:
                self.assembler.reset(now)
            return True
        if index > before:
            if self.assembler is not None:
                if not self.nack.lost(before + 1, index, now):
                    self.assembler.reset(now)
                elif now - self.last_packet_at > OUTAGE_S:
                    self.key_frames.wanted = True
            else:
                self.nack.lost(before + 1, index, now)
            self._wake(self)
            return True
        if self.nack.found(index):
            return True
        if self._early is not None and index in self._early:
            self._early.discard(index)
            return True
        self.duplicates += 1
        return False

    def _change_codec(self, codec: ReceiveCodec) -> None:
        self.payload_type = codec.payload_type
        self.nack.asks = codec.nack
        if self.assembler is not None:
            self.assembler.asks = codec.nack
        if codec.clock_rate != self.reception.clock_rate and codec.depacketizer is not None:
            self.reception.clock_rate = codec.clock_rate
            self._reader.set_clock_rate(codec.clock_rate)
            if self.playout is not None:
                self.playout.set_clock_rate(codec.clock_rate)

    # -- sinks ------------------------------------------------------------------------------------

    def _drop(self, packet: RtpPacket, codec: ReceiveCodec, now: float) -> None:
        self._unread = packet

    @property
    def told_level(self) -> int | None:
        """What the newest packet says of its level, in -dBov, while nobody reads; None if nothing."""
        packet, number = self._unread, self._reader.ids.audio_level
        if packet is None or not number or not packet.extension_start:
            return None
        level = read_audio_level(packet.extension(number))
        return None if level is None else level[0]

    def _keep(self, packet: RtpPacket, codec: ReceiveCodec, now: float) -> None:
        packets = self.packets
        if not packets:
            self._wake(self)
        elif len(packets) >= MAX_UNTAKEN_PACKETS:
            del packets[0]
        packets.append(packet)

    def _assemble(self, packet: RtpPacket, codec: ReceiveCodec, now: float) -> None:
        depacketizer = self._pictures_in.get(codec.payload_type)
        if codec.payload_type == self.correction.parity_type:
            depacketizer = self._pictures_in.get(self.payload_type)  # it will not read anything
        if depacketizer is not None and self.assembler is not None:
            self.assembler.insert(packet, depacketizer, now)
            if self.assembler.skipped:
                # what is missing before was parity, or is of no use any more
                self.nack.forget_before(self.assembler.skipped)
                self.assembler.skipped = 0

    def _buffer(self, packet: RtpPacket, codec: ReceiveCodec, now: float) -> None:
        if self.playout is None:
            return
        depacketizer = self._sound_in.get(codec.payload_type)
        if depacketizer is not None:
            self.playout.insert(packet, depacketizer, self._reader, now)
        else:
            self.playout.insert_event(packet)

    def _pass_on(self, packet: RtpPacket, codec: ReceiveCodec, now: float) -> None:
        """Audio frames as they arrive."""
        depacketizer = self._sound_in.get(codec.payload_type)
        if depacketizer is None or not packet.payload_bytes:
            return
        for frame in self._arriving.frames(packet, depacketizer, self._reader, now):
            frame.mid, frame.rid = self.section.mid, self.rid
            self._emit(frame)

    def _emit(self, frame: EncodedFrame) -> None:
        self._frame_made(self, frame)

    # -- feedback and time ------------------------------------------------------------------------

    def _assembler_wakes(self) -> None:
        self._wake(self)

    def set_rtt(self, rtt_s: float) -> None:
        """A new measurement of the round-trip time."""
        self.nack.rtt_s = rtt_s
        if self.assembler is not None:
            self.assembler.rtt_s = rtt_s

    def on_sender_report(self, report: SenderReport, now: float) -> None:
        """The sender of this stream has reported."""
        self.reception.on_sender_report(report, now)
        self._reader.clock.on_sender_report(report)

    def request_key_frame(self) -> None:
        """Have a key frame asked for, as soon as that is decent."""
        self.key_frames.wanted = True
        self._wake(self)

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        assembler = self.assembler
        if assembler is not None:
            assembler.handle_timeout(now)
            if assembler.wants_key_frame:
                assembler.wants_key_frame = False
                self.key_frames.wanted = True

    def next_at(self, now: float) -> float | None:
        """When the stream wants to be looked at again, or None until it wakes its owner."""
        due = self.nack.next_at()
        if self.assembler is not None:
            other = self.assembler.deadline
            if other is not None and (due is None or other < due):
                due = other
        other = self.key_frames.next_at(now)
        if other is not None and (due is None or other < due):
            due = other
        return due
