"""One stream that is sent: one encoding of one section.

Spec: RFC 3550, sections 5.1 and 6.4.1; RFC 4588 (retransmissions); RFC 8843, section 9 (MID).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from struct import Struct

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
from rtcstack.rtp.outgoing import NEVER, Outgoing
from rtcstack.rtp.pacer import Lane, Pacer
from rtcstack.rtp.packet import RtpPacket
from rtcstack.rtp.parameters import SendParameters
from rtcstack.rtp.remote import RemoteReception
from rtcstack.rtp.rtcp.reports import SenderReport
from rtcstack.serial import unwrap

__all__ = ["MAX_HISTORY_PACKETS", "MIN_HISTORY_S", "SendStream"]

MAX_HISTORY_PACKETS = 9600
"""Packets kept in case the peer asks for them again."""

MIN_HISTORY_S = 1.0
"""How long they are kept at least; three round trips if that is longer."""

MIN_RESEND_S = 0.005
"""Between two repetitions of one packet, however short the round trip is said to be."""

MAX_RESEND_CREDIT_BYTES = 512 * 1024
"""A stream repeats as much as it sent, not more: this much of that may be saved up."""

START_RESEND_CREDIT_BYTES = 64 * 1024

KEY_FRAME_INTERVAL_S = 0.3
"""Requests for a key frame that come sooner than this after one are taken for the same."""

MAX_HEADERS = 512
"""Prepared headers that are kept (one per audio level, mostly)."""

ABSOLUTE_INTERVAL_S = 1.0
"""Between two frames that tell their capture time; receivers reckon those between from them."""

MAX_PADDING_BYTES = 224

PADDING_CHOICE = 32
"""How many of the newest packets are looked at for one long enough to probe with."""

FORWARDED = (
    Extension.AUDIO_LEVEL,
    Extension.VIDEO_ORIENTATION,
    Extension.ABS_CAPTURE_TIME,
    Extension.PLAYOUT_DELAY,
    Extension.DEPENDENCY_DESCRIPTOR,
)
"""Header extensions that say something of the media itself, not of the way that it takes."""

_OSN = Struct("!H").pack


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
        timestamp_offset: added to all timestamps that are handed in.
        remote: what the peer reports of this stream.
        packets_sent, bytes_sent, header_bytes_sent: payload and headers apart; repeated packets
            included.
        repeated_packets, repeated_bytes: of these, those sent again because the peer asked.
        padding_packets, padding_bytes: sent only to probe for bandwidth, with or without payload; of that.
        padding_repetitions: of these packets, those that carry what was sent before.
        frames_sent, key_frames_sent, frames_refused: frames, and those for which there was no room.
        nack_count, pli_count, fir_count: requests received.
        nacks_unknown: packets that were asked for and are not kept any more.
        bitrate_bps: its share of the estimate, None while there is no congestion control.
        active: an inactive stream gets no share and sends nothing.
    """

    __slots__ = (
        "_absolute_at",
        "_acknowledged",
        "_fir_number",
        "_headers",
        "_history",
        "_key_frame_asked_at",
        "_key_frame_owed",
        "_last_captured_at",
        "_last_timestamp",
        "_next",
        "_ntp_offset_s",
        "_numbered",
        "_numbers",
        "_oldest",
        "_pacer",
        "_renumbering",
        "_resend_credit",
        "_resend_from",
        "_rtx_header",
        "_rtx_next",
        "_rtx_ssrc",
        "_static",
        "active",
        "bitrate_bps",
        "bytes_sent",
        "extension_ids",
        "fir_count",
        "frames_refused",
        "frames_sent",
        "header_bytes_sent",
        "key_frames_sent",
        "nack_count",
        "nacks_unknown",
        "packets_sent",
        "padding_bytes",
        "padding_packets",
        "padding_repetitions",
        "parameters",
        "pli_count",
        "remote",
        "repeated_bytes",
        "repeated_packets",
        "rtt_s",
        "timestamp_offset",
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
        self._next = self._numbers.get(parameters.ssrc) or rng.randrange(1, 1 << 15)
        self._rtx_next = rng.randrange(1, 1 << 15)
        self._rtx_ssrc: int | None = None
        self.timestamp_offset = rng.randrange(1 << 32)
        self._history: dict[int, Outgoing] = {}
        self._oldest = self._next
        self._resend_credit = START_RESEND_CREDIT_BYTES
        self._resend_from = 0
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
        self.packets_sent = 0
        self.bytes_sent = 0
        self.header_bytes_sent = 0
        self.repeated_packets = 0
        self.repeated_bytes = 0
        self.padding_packets = 0
        self.padding_bytes = 0
        self.padding_repetitions = 0
        self.frames_sent = 0
        self.key_frames_sent = 0
        self.frames_refused = 0
        self.nack_count = 0
        self.pli_count = 0
        self.fir_count = 0
        self.nacks_unknown = 0
        self.bitrate_bps: int | None = None
        self.active = True
        self.update(parameters, extension_ids)

    def __repr__(self) -> str:
        p = self.parameters
        return f"SendStream(mid={p.mid!r}, ssrc={p.ssrc}, rid={p.rid!r})"

    @property
    def ssrc(self) -> int:
        """Of the media."""
        return self.parameters.ssrc

    def update(self, parameters: SendParameters, extension_ids: ExtensionIds) -> None:
        """Bind the stream to what is agreed now: the payload type may change, the SSRC may not."""
        self.parameters = parameters
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
        self._rtx_header: Header | None = None
        self._bind_rtx(parameters.rtx_ssrc)
        if parameters.rtx_ssrc is not None and parameters.rtx_payload_type is not None:
            self._rtx_header = self._make_header(parameters.rtx_ssrc, repaired)

    def _bind_rtx(self, ssrc: int | None) -> None:
        """Retransmissions go by this SSRC from now on; where another stream's have ended, they go on."""
        if ssrc is not None and ssrc != self._rtx_ssrc:
            if self._rtx_ssrc is not None:
                self._numbers[self._rtx_ssrc] = self._rtx_next
            self._rtx_ssrc = ssrc
            self._rtx_next = self._numbers.get(ssrc, self._rtx_next & 0x7FFF)

    def note_numbers(self) -> None:
        """The stream ends: whoever has its SSRCs after it goes on behind its numbers."""
        self._numbers[self.ssrc] = self._next
        if self._rtx_ssrc is not None:
            self._numbers[self._rtx_ssrc] = self._rtx_next

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
    ) -> bool:
        """Send a frame.

        Args:
            payloads: the frame's packets, each with its payload descriptor.
            timestamp: in RTP ticks, any number; `timestamp_offset` is added.
            now: monotonic seconds.
            marker: whether the last packet bears the marker (audio: at the start of a talkspurt).
            key_frame: whether it can be decoded without others.
            captured_at: when it was captured, monotonic seconds; now if None.
            audio_level, voice: -dBov from 0 to 127, and whether it is speech.
            orientation: how the picture is to be turned.
            extensions: further header extensions, sent if their number is agreed.
            payload_type: instead of the agreed one (RED, for example).
            tells_time: whether its timestamp goes on with the clock. Telephone events repeat one for
                long (RFC 4733): no clock to report by.

        Returns:
            False if there is no room for it; then nothing of it is sent.
        """
        if not self.active or not payloads:
            return False
        elements: tuple[tuple[int, bytes], ...] = ()
        if audio_level is not None or orientation is not None or extensions or captured_at is not None:
            elements = self._elements(audio_level, voice, orientation, extensions, captured_at)
        header = self._header(elements, key_frame)
        parameters = self.parameters
        if payload_type is None:
            payload_type = parameters.payload_type
        wire_timestamp = (timestamp + self.timestamp_offset) & 0xFFFF_FFFF
        number = self._next
        keep = parameters.nack and self._rtx_header is None
        packets = [
            Outgoing(self, header, payload_type, number + i, wire_timestamp, payload, keep)
            for i, payload in enumerate(payloads)
        ]
        if marker:
            packets[-1].second |= 0x80
        lane = Lane.AUDIO if parameters.kind == "audio" else Lane.VIDEO
        if not self._pacer.push(packets, lane):
            self.frames_refused += 1
            return False
        self._next = number + len(packets)
        if parameters.nack:
            self._remember(packets, now)
        if tells_time:
            self._last_timestamp = wire_timestamp
            self._last_captured_at = now if captured_at is None else captured_at
        self.frames_sent += 1
        if key_frame:
            self.key_frames_sent += 1
            if self._key_frame_owed:
                # The peer's decoder goes on from here: what was before is of no use to it any more,
                # and would only keep this waiting.
                self._key_frame_owed = False
                self._resend_from = number
                self._pacer.drop([self], (Lane.REPEATED,))
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
        keep = self.parameters.nack and self._rtx_header is None
        elements: tuple[tuple[int, bytes], ...] = ()
        if source_ids is not None and packet.extension_start:
            elements = tuple(
                (ours, value)
                for name in FORWARDED
                if (ours := self.extension_ids.by_name.get(name, 0))
                and (value := packet.extension(source_ids.by_name.get(name, 0)))
            )
        header = self._header(elements, False)
        outgoing = Outgoing(self, header, second, number, wire_timestamp, packet.payload, keep)
        lane = Lane.AUDIO if self.parameters.kind == "audio" else Lane.VIDEO
        if not self._pacer.push([outgoing], lane):
            self.frames_refused += 1
            return False
        if number >= self._next:  # a late one is no news of the source's clock
            self._next = number + 1
            self._last_timestamp = wire_timestamp
            self._last_captured_at = now
        if self.parameters.nack and number >= self._oldest:  # nobody looks before that, nor tidies up
            self._remember([outgoing], now)
        if packet.marker:
            self.frames_sent += 1
        return True

    # -- repetitions ------------------------------------------------------------------------------

    def _remember(self, packets: Sequence[Outgoing], now: float) -> None:
        history = self._history
        for packet in packets:
            history[packet.sequence_number] = packet
        horizon = now - max(MIN_HISTORY_S, 3 * self.rtt_s)
        oldest = self._oldest
        while oldest < self._next:
            old = history.get(oldest)
            if old is not None:
                if (old.sent_at > horizon) and len(history) <= MAX_HISTORY_PACKETS:
                    break
                del history[oldest]
            oldest += 1
        self._oldest = oldest

    @property
    def history_packets(self) -> int:
        """How many packets are kept."""
        return len(self._history)

    def on_nack(self, sequence_numbers: Sequence[int], now: float) -> None:
        """The peer misses packets: send again those that are kept.

        A packet is repeated at most once per round trip, and the stream never repeats more than
        it sent, whatever the peer asks for.
        """
        self.nack_count += 1
        again_after = now - max(self.rtt_s * 0.9, MIN_RESEND_S)
        out: list[Outgoing] = []
        reference = self._next - 1
        for number in sequence_numbers:
            index = unwrap(number, reference, 16)
            packet = self._history.get(index)
            if packet is None:
                self.nacks_unknown += 1
                continue
            if index < self._resend_from:
                continue
            if self._rtx_header is None and packet.wire is None:
                continue  # its bytes are gone, and under its number no others may be sent
            if packet.sent_at == NEVER or packet.resent_at > again_after:
                continue
            if packet.size > self._resend_credit:
                break
            self._resend_credit -= packet.size
            packet.resent_at = NEVER
            out.append(self._repetition(packet))
        if out and not self._pacer.push(out, Lane.REPEATED):
            for repetition in out:
                repetition.is_dropped()

    def _repetition(self, packet: Outgoing) -> Outgoing:
        if self._rtx_header is None:
            # Unchanged to the last bit: SRTP's numbers may not be used for other bytes again.
            again = Outgoing(
                self,
                packet.header,
                packet.second,
                packet.sequence_number,
                packet.timestamp,
                packet.payload,
                repeats=True,
            )
            again.wire = packet.wire
            again.origin = packet
            return again
        rtx_type = self.parameters.rtx_payload_type
        assert rtx_type is not None
        number = self._rtx_next
        self._rtx_next = number + 1
        again = Outgoing(
            self,
            self._rtx_header,
            rtx_type | packet.second & 0x80,
            number,
            packet.timestamp,
            _OSN(packet.sequence_number & 0xFFFF) + packet.payload,
            repeats=True,
        )
        again.origin = packet
        return again

    @property
    def has_rtx(self) -> bool:
        """Whether its retransmissions, and padding, have an SSRC of their own."""
        return self._rtx_header is not None

    def make_padding(self, wanted_bytes: int, now: float) -> list[Outgoing]:
        """Packets that carry nothing new, for probing: what was sent last, or plain padding.

        Only on the SSRC of retransmissions, where they disturb nothing; without one there are none.
        """
        header = self._rtx_header
        if header is None or wanted_bytes <= 0 or not self.packets_sent:
            return []
        out: list[Outgoing] = []
        size = 0
        for number in range(self._next - 1, max(self._oldest, self._next - PADDING_CHOICE) - 1, -1):
            packet = self._history.get(number)
            if packet is None or packet.sent_at == NEVER or len(packet.payload) < MAX_PADDING_BYTES:
                continue
            out.append(self._repetition(packet))
            out[-1].pads = True
            size += out[-1].size
            if size >= wanted_bytes:
                return out
        rtx_type = self.parameters.rtx_payload_type
        assert rtx_type is not None
        while size < wanted_bytes:
            number = self._rtx_next
            self._rtx_next = number + 1
            out.append(
                Outgoing(
                    self,
                    header,
                    rtx_type,
                    number,
                    self._last_timestamp or 0,
                    b"",
                    repeats=True,
                    padding=MAX_PADDING_BYTES,
                )
            )
            size += out[-1].size
        return out

    def earn_resend_credit(self, sent_bytes: int) -> None:
        """New media has left: as much may be repeated."""
        self._resend_credit = min(self._resend_credit + sent_bytes, MAX_RESEND_CREDIT_BYTES)

    # -- the peer's feedback ----------------------------------------------------------------------

    def on_acknowledged(self) -> None:
        """The peer has reported on this stream: it knows where it belongs."""
        self._acknowledged = True

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
        if self._last_timestamp is None or not self.packets_sent:
            return None
        ntp = int((now + self._ntp_offset_s) * (1 << 32)) & 0xFFFF_FFFF_FFFF_FFFF
        elapsed = int((now - self._last_captured_at) * self.parameters.clock_rate)
        packets, octets = self.packets_sent, self.bytes_sent
        if self._rtx_header is not None:  # what is repeated has an SSRC of its own
            packets -= self.repeated_packets + self.padding_packets
            octets -= self.repeated_bytes + self.padding_bytes
        return SenderReport(self.ssrc, ntp, (self._last_timestamp + elapsed) & 0xFFFF_FFFF, packets, octets)
