"""One stream that is sent: one encoding of one section.

Spec: RFC 3550, sections 5.1 and 6.4.1; RFC 4588 (retransmissions); RFC 8843, section 9 (MID).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from rtcstack.rtp.extensions import (
    AbsCaptureTime,
    Extension,
    ExtensionIds,
    VideoOrientation,
    write_abs_capture_time,
    write_audio_level,
    write_video_orientation,
)
from rtcstack.rtp.forward import Renumbering
from rtcstack.rtp.header import Header, make_header
from rtcstack.rtp.history import History
from rtcstack.rtp.outgoing import Outgoing, SendCounts
from rtcstack.rtp.pacer import Lane, Pacer
from rtcstack.rtp.packet import RtpPacket
from rtcstack.rtp.parameters import SendParameters, StreamName
from rtcstack.rtp.protection import Protection
from rtcstack.rtp.remote import RemoteReception
from rtcstack.rtp.repairs import Repairs
from rtcstack.rtp.rtcp.reports import SenderReport
from rtcstack.serial import unwrap

__all__ = ["SendStream"]

KEY_FRAME_INTERVAL_S = 0.3
"""Requests for a key frame that come sooner than this after one are taken for the same."""

MAX_HEADERS = 512
"""Prepared headers that are kept (one per audio level, mostly)."""

ABSOLUTE_INTERVAL_S = 1.0
"""Between two frames that tell their capture time; receivers reckon those between from them."""

FORWARDED = (
    Extension.AUDIO_LEVEL,
    Extension.VIDEO_ORIENTATION,
    Extension.ABS_CAPTURE_TIME,
    Extension.PLAYOUT_DELAY,
    Extension.DEPENDENCY_DESCRIPTOR,
)
"""Header extensions that say something of the media itself, not of the way that it takes."""


class SendStream:
    """A stream of one SSRC, and its retransmissions.

    Args:
        parameters: what is agreed.
        extension_ids: numbers of the header extensions that may be sent.
        pacer: where packets wait.
        rng: for what must not be guessed.
        numbers: by SSRC, the number that follows those which streams of before have used: SRTP's
            numbers may not be used for other bytes again.
        ntp_offset_s: NTP time in seconds minus the engine's monotonic time.

    Attributes:
        parameters: as above.
        name: how events name it.
        timestamp_offset: added to all timestamps that are handed in.
        counts: what has left of it.
        history: what was sent, and its retransmissions.
        remote: what the peer reports of this stream.
        frames_sent, key_frames_sent, frames_refused: frames, and those for which there was no room.
        nack_count, pli_count, fir_count: requests received.
        bitrate_bps: its share of the estimate, None while there is no congestion control.
        wanted_bps: the share that it can use, where it is known and the stream keeps to less: sound that is
            encoded here; or None.
        least_bps: the share below which that is of no use.
        active: an inactive stream gets no share and sends nothing.
        protection: parity against losses, where it was agreed.
        repairs: how much of what is sent repairs losses.
    """

    __slots__ = (
        "_absolute_at",
        "_acknowledged",
        "_fir_number",
        "_first",
        "_headers",
        "_keeps_wire",
        "_key_frame_asked_at",
        "_key_frame_owed",
        "_last_captured_at",
        "_last_timestamp",
        "_next",
        "_ntp_offset_s",
        "_numbered",
        "_numbers",
        "_pacer",
        "_renumbering",
        "_static",
        "active",
        "bitrate_bps",
        "counts",
        "extension_ids",
        "fir_count",
        "frames_refused",
        "frames_sent",
        "history",
        "key_frames_sent",
        "least_bps",
        "nack_count",
        "name",
        "parameters",
        "pli_count",
        "protection",
        "remote",
        "repairs",
        "rtt_s",
        "timestamp_offset",
        "wanted_bps",
    )

    def __init__(
        self,
        parameters: SendParameters,
        extension_ids: ExtensionIds,
        pacer: Pacer,
        *,
        rng: random.Random,
        ntp_offset_s: float = 0.0,
        rtt_s: float = 0.1,
        numbers: dict[int, int] | None = None,
    ) -> None:
        self._numbers = numbers if numbers is not None else {}
        self._pacer = pacer
        self._numbered = True
        self._ntp_offset_s = ntp_offset_s
        # Below half of the space, so that SRTP's roll-over counter is never guessed wrong.
        self._next = self._first = self._numbers.get(parameters.ssrc) or rng.randrange(1, 1 << 15)
        self.counts = SendCounts()
        self.history = History(self.counts, pacer, self._next, rng.randrange(1, 1 << 15), self._numbers)
        self.timestamp_offset = rng.randrange(1 << 32)
        self._key_frame_owed = False
        self._last_timestamp: int | None = None
        self._last_captured_at = 0.0
        self._absolute_at: float | None = None
        self._acknowledged = False
        self._key_frame_asked_at: float | None = None
        self._fir_number = -1
        self._renumbering: Renumbering | None = None
        self.remote = RemoteReception()
        self.rtt_s = rtt_s
        self.frames_sent = 0
        self.key_frames_sent = 0
        self.frames_refused = 0
        self.nack_count = 0
        self.pli_count = 0
        self.fir_count = 0
        self.bitrate_bps: int | None = None
        self.wanted_bps: int | None = None
        self.least_bps = 0
        self.active = True
        self.protection = Protection()
        self.repairs = Repairs()
        self.update(parameters, extension_ids)

    def __repr__(self) -> str:
        p = self.parameters
        return f"SendStream(mid={p.mid!r}, ssrc={p.ssrc}, rid={p.rid!r})"

    @property
    def ssrc(self) -> int:
        """Of the media."""
        return self.parameters.ssrc

    @property
    def media_share(self) -> float:
        """Of what it sends, what is media, and not sent again or parity: more than 0, to 1."""
        return (1 - self.repairs.share) / (1 + self.protection.overhead)

    def update(self, parameters: SendParameters, extension_ids: ExtensionIds) -> None:
        """Bind the stream to what is agreed now: the payload type may change, the SSRC may not."""
        self.parameters = parameters
        self.name = StreamName(parameters.mid, parameters.rid, parameters.ssrc)
        self.extension_ids = extension_ids
        ids = extension_ids
        self._static: list[tuple[int, bytes]] = []
        repaired: list[tuple[int, bytes]] = []
        if ids.mid and parameters.mid:
            self._static.append((ids.mid, parameters.mid.encode()))
            repaired.append((ids.mid, parameters.mid.encode()))
        if parameters.rid is not None:
            if ids.rid:
                self._static.append((ids.rid, parameters.rid.encode()))
            if ids.repaired_rid:
                repaired.append((ids.repaired_rid, parameters.rid.encode()))
        self._acknowledged = False
        self._headers: dict[tuple[bool, tuple[tuple[int, bytes], ...]], Header] = {}
        rtx_header: Header | None = None
        if parameters.rtx_ssrc is not None and parameters.rtx_payload_type is not None:
            rtx_header = self._make_header(parameters.rtx_ssrc, repaired)

        def describe(elements: tuple[tuple[int, bytes], ...]) -> Header:
            return self._make_header(parameters.rtx_ssrc or 0, [*repaired, *elements])

        self.history.bind(parameters.rtx_ssrc, parameters.rtx_payload_type, rtx_header, describe)
        # Without an SSRC of their own, retransmissions are the very bytes that left.
        self._keeps_wire = parameters.nack and rtx_header is None

    def note_numbers(self) -> None:
        """The stream ends: whoever has its SSRCs after it goes on behind its numbers."""
        self._numbers[self.ssrc] = self._next
        self.history.note_numbers()

    def set_numbered(self, numbered: bool) -> None:
        """Let packets bear transport-wide numbers, as far as they are agreed, or not."""
        if numbered is not self._numbered:
            self._numbered = numbered
            self.update(self.parameters, self.extension_ids)

    def _make_header(self, ssrc: int, elements: Sequence[tuple[int, bytes]]) -> Header:
        ids = self.extension_ids
        return make_header(
            ssrc,
            elements,
            abs_send_time=ids.abs_send_time,
            transport_cc=ids.transport_cc if self.parameters.transport_cc and self._numbered else 0,
        )

    def _header(self, elements: tuple[tuple[int, bytes], ...], key_frame: bool) -> Header:
        """The header of a frame. MID and RID go with it until the peer has reported on the stream,
        and with key frames."""
        named = not self._acknowledged or key_frame
        header = self._headers.get((named, elements))
        if header is None:
            static = tuple(self._static) if named else ()
            header = self._make_header(self.parameters.ssrc, static + elements)
            if len(self._headers) >= MAX_HEADERS:
                self._headers.clear()
            self._headers[named, elements] = header
        return header

    def _describe(
        self,
        packets: Sequence[Outgoing],
        elements: tuple[tuple[int, bytes], ...],
        descriptors: Sequence[bytes],
        key_frame: bool,
    ) -> None:
        """Give each packet its own descriptor, which its retransmission repeats; no two frames share one."""
        identifier = self.extension_ids.dependency_descriptor
        static = tuple(self._static) if not self._acknowledged or key_frame else ()
        made: dict[bytes, tuple[Header, tuple[tuple[int, bytes], ...]]] = {}
        for packet, each in zip(packets, descriptors, strict=True):
            if each not in made:
                own = ((identifier, each), *elements)
                made[each] = self._make_header(self.parameters.ssrc, static + own), own
            packet.set_header(*made[each])

    # -- media ------------------------------------------------------------------------------------

    def send(
        self,
        payloads: Sequence[bytes],
        timestamp: int,
        now: float,
        *,
        marker: bool = True,
        key_frame: bool = False,
        captured_at: float | None = None,
        audio_level: int | None = None,
        voice: bool = False,
        orientation: VideoOrientation | None = None,
        extensions: Sequence[tuple[Extension, bytes]] = (),
        payload_type: int | None = None,
        tells_time: bool = True,
        descriptors: Sequence[bytes] = (),
    ) -> bool:
        """Send a frame.

        Args:
            payloads: the frame's packets, each with its payload descriptor.
            timestamp: in RTP ticks, any number; `timestamp_offset` is added.
            now: monotonic seconds.
            marker: whether the last packet bears the marker (audio: at the start of a talkspurt; video:
                at the end of a picture, which may consist of several frames).
            key_frame: whether it can be decoded without others.
            captured_at: when it was captured, monotonic seconds; now if None.
            audio_level, voice: -dBov from 0 to 127, and whether it is speech.
            orientation: how the picture is to be turned.
            extensions: further header extensions, sent if their number is agreed.
            payload_type: instead of the agreed one (RED, for example).
            tells_time: whether its timestamp goes on with the clock. Telephone events repeat one for
                long (RFC 4733): no clock to report by.
            descriptors: the dependency descriptor of each packet, or none.

        Returns:
            False if there is no room for it; then nothing of it is sent.
        """
        if not self.active or not payloads:
            return False
        elements: tuple[tuple[int, bytes], ...] = ()
        if audio_level is not None or orientation is not None or extensions or captured_at is not None:
            elements = self._elements(audio_level, voice, orientation, extensions, captured_at)
        parameters = self.parameters
        if payload_type is None:
            payload_type = parameters.payload_type
        wire_timestamp = (timestamp + self.timestamp_offset) & 0xFFFF_FFFF
        number = self._next
        keep = self._keeps_wire
        counts = self.counts
        header = self._header(elements, key_frame)
        packets = [
            Outgoing(counts, header, payload_type, number + i, wire_timestamp, payload, keep, queued_at=now)
            for i, payload in enumerate(payloads)
        ]
        if descriptors and self.extension_ids.dependency_descriptor:
            self._describe(packets, elements, descriptors, key_frame)
        if marker:
            packets[-1].second |= 0x80
        media = packets[:]
        if parameters.parity_type >= 0 and self.protection.overhead:
            header = self._header((), False)
            packets += self.protection.cover(
                media, header, parameters.red_type, parameters.parity_type, now, self.bitrate_bps
            )
        lane = Lane.AUDIO if parameters.kind == "audio" else Lane.VIDEO
        if not self._pacer.push(packets, lane):
            self.frames_refused += 1
            self.protection.forget()
            return False
        self._next = number + len(packets)
        if parameters.nack:
            self.repairs.look(counts, now)
            self.history.add(media, self._next, now, self.rtt_s)
        if tells_time:
            self._last_timestamp = wire_timestamp
            self._last_captured_at = now if captured_at is None else captured_at
        self.frames_sent += marker or parameters.kind == "audio"
        if key_frame:
            self.key_frames_sent += 1
            if self._key_frame_owed:
                self._key_frame_owed = False
                self.history.begin_at(number)
        return True

    def _elements(
        self,
        audio_level: int | None,
        voice: bool,
        orientation: VideoOrientation | None,
        extensions: Sequence[tuple[Extension, bytes]],
        captured_at: float | None,
    ) -> tuple[tuple[int, bytes], ...]:
        ids = self.extension_ids
        elements: list[tuple[int, bytes]] = []
        if audio_level is not None and ids.audio_level:
            elements.append((ids.audio_level, write_audio_level(audio_level, voice)))
        if orientation is not None and ids.video_orientation:
            elements.append((ids.video_orientation, write_video_orientation(orientation)))
        absolute_at = self._absolute_at
        if (
            captured_at is not None
            and ids.abs_capture_time
            and (absolute_at is None or abs(captured_at - absolute_at) >= ABSOLUTE_INTERVAL_S)
        ):
            self._absolute_at = captured_at
            ntp = int((captured_at + self._ntp_offset_s) * (1 << 32))
            elements.append((ids.abs_capture_time, write_abs_capture_time(AbsCaptureTime(ntp))))
        for name, value in extensions:
            identifier = ids.by_name.get(name)
            if identifier and 0 < len(value) <= 255:
                elements.append((identifier, value))
        return tuple(elements)

    def send_rtp(self, packet: RtpPacket, now: float, source_ids: ExtensionIds | None = None) -> bool:
        """Send on a packet that was received, under this stream's SSRC, payload type and numbers.

        Gaps in the source's numbers stay, so that the peer can ask for what is missing once it
        has come. When the source changes, numbers and timestamps go on without a break. Of the
        header extensions those stay that tell of the media (`FORWARDED`), if both numbers are
        agreed.

        Args:
            packet: as a `ReceiveStream` took it: `index` is its unwrapped number.
            now: monotonic seconds.
            source_ids: the numbers of its header extensions; None sends none of them on.

        Returns:
            False if there is no room for it, if it is from before the change of source, or has been
            sent on already.
        """
        if not self.active:
            return False
        if self._renumbering is None:
            self._renumbering = Renumbering(self.parameters.clock_rate, self._next)
        self._renumbering.go_on_from(self._next)
        place = self._renumbering.place(packet, now)
        if place is None:
            return False
        number, timestamp = place
        second = self.parameters.payload_type | packet.marker << 7
        wire_timestamp = (timestamp + self.timestamp_offset) & 0xFFFF_FFFF
        elements: tuple[tuple[int, bytes], ...] = ()
        if source_ids is not None and packet.extension_start:
            elements = tuple(
                (ours, value)
                for name in FORWARDED
                if (ours := self.extension_ids.by_name.get(name, 0))
                and (value := packet.extension(source_ids.by_name.get(name, 0)))
            )
        header = self._header(elements, False)
        outgoing = Outgoing(
            self.counts,
            header,
            second,
            number,
            wire_timestamp,
            packet.payload,
            self._keeps_wire,
            queued_at=now,
        )
        if self.extension_ids.dependency_descriptor:
            outgoing.elements = elements
        lane = Lane.AUDIO if self.parameters.kind == "audio" else Lane.VIDEO
        if not self._pacer.push([outgoing], lane):
            self.frames_refused += 1
            return False
        if number >= self._next:  # a late one is no news of the source's clock
            self._next = number + 1
            self._last_timestamp = wire_timestamp
            self._last_captured_at = now
            if self.parameters.nack:
                self.history.add((outgoing,), self._next, now, self.rtt_s)
        elif self.parameters.nack:
            self.history.add_late(outgoing)
        if packet.marker:
            self.frames_sent += 1
        return True

    # -- retransmissions ------------------------------------------------------------------------------

    def on_nack(self, sequence_numbers: Sequence[int], now: float) -> None:
        """The peer misses packets: retransmit those that are kept; see `History.retransmit`."""
        self.nack_count += 1
        self.history.retransmit(sequence_numbers, now, self.rtt_s)

    def make_padding(self, wanted_bytes: int) -> list[Outgoing]:
        """Packets that carry nothing new, for probing; see `History.make_padding`."""
        return self.history.make_padding(wanted_bytes, self._last_timestamp or 0)

    # -- the peer's feedback ----------------------------------------------------------------------

    def on_acknowledged(self, fraction_lost: float = 0.0) -> None:
        """The peer has reported on this stream: it knows where it belongs.

        Args:
            fraction_lost: since its report before, 0 to 1.
        """
        self._acknowledged = True
        if self.parameters.parity_type >= 0:
            self.protection.on_report(fraction_lost, self.rtt_s)

    def expected_at(self, number: int) -> int:
        """How many packets were sent up to one.

        Args:
            number: as the peer knows it; the lower 16 bits count, for only we know all of it.
        """
        return max(0, unwrap(number & 0xFFFF, self._next - 1, 16) - self._first + 1)

    def on_pli(self, now: float) -> bool:
        """The peer's decoder needs a key frame.

        Returns:
            Whether the owner is to be told.
        """
        self.pli_count += 1
        return self._on_key_frame_request(now)

    def on_fir(self, number: int, now: float) -> bool:
        """As `on_pli`; a repeated number repeats a request. Spec: RFC 5104, section 4.3.1.2."""
        self.fir_count += 1
        if number == self._fir_number:
            return False
        self._fir_number = number
        return self._on_key_frame_request(now)

    def want_key_frame(self, now: float) -> bool:
        """What was sent is lost, or what was queued is dropped: as if the peer had asked.

        Returns:
            Whether the owner is to be told.
        """
        return self._on_key_frame_request(now)

    def _on_key_frame_request(self, now: float) -> bool:
        asked_at = self._key_frame_asked_at
        if asked_at is not None and now - asked_at < KEY_FRAME_INTERVAL_S:
            return False
        self._key_frame_asked_at = now
        self._key_frame_owed = True
        return True

    def sender_report(self, now: float) -> SenderReport | None:
        """The report on this stream, without blocks; None before the first packet."""
        counts = self.counts
        if self._last_timestamp is None or not counts.packets:
            return None
        ntp = int((now + self._ntp_offset_s) * (1 << 32)) & 0xFFFF_FFFF_FFFF_FFFF
        elapsed = int((now - self._last_captured_at) * self.parameters.clock_rate)
        packets, octets = counts.packets, counts.bytes
        if self.history.has_rtx:  # what is repeated has an SSRC of its own
            packets -= counts.retransmitted_packets + counts.padding_packets
            octets -= counts.retransmitted_bytes + counts.padding_bytes
        return SenderReport(self.ssrc, ntp, (self._last_timestamp + elapsed) & 0xFFFF_FFFF, packets, octets)
