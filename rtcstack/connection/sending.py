"""A sender: what it is to send, and the pipeline that does.

Spec: webrtc-pc, section 5.2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from rtcstack.clock import monotonic
from rtcstack.codecs import registry
from rtcstack.codecs.layers import SINGLE_LAYER
from rtcstack.config import MediaSettings
from rtcstack.connection.binding import choose_codec, is_sent, send_layers, used_mode
from rtcstack.connection.capabilities import can_layer
from rtcstack.connection.encodings import Encoding, new_ssrcs, proposed_encodings
from rtcstack.connection.transportentry import TransportEntry
from rtcstack.entropy import random_hex
from rtcstack.errors import OperationError
from rtcstack.jsep.session import Section
from rtcstack.media.encodedsource import EncodedSource
from rtcstack.media.pipeline.audio_out import AudioOutbound
from rtcstack.media.pipeline.coders import coder_pool
from rtcstack.media.pipeline.outbound import Layer, SendTransform
from rtcstack.media.pipeline.sourcemeter import SourceMeter
from rtcstack.media.pipeline.transport import MediaTransport
from rtcstack.media.pipeline.video_out import VideoOutbound
from rtcstack.media.track import MediaStreamTrack
from rtcstack.rtp.extensions import ExtensionIds
from rtcstack.rtp.packet import RtpPacket, parse
from rtcstack.serial import Unwrapper

__all__ = ["KEY_FRAME_REQUEST_S", "Sender", "SenderObserver"]

KEY_FRAME_REQUEST_S = 0.1
"""Between two events that tell of the peer's requests for a key frame."""


class SenderObserver(Protocol):
    """Who is told of a sender."""

    def on_sender_error(self, error: Exception) -> None:
        """An encoder cannot do what was agreed."""

    def on_key_frame_requested(self) -> None:
        """The peer cannot go on without a key frame."""

    def on_sender_stopped(self) -> None:
        """It sends nothing any more, for good."""


class Sender:
    """Sends one track.

    Args:
        kind: "audio" or "video".
        track: what to send, or None.
        streams: the ids of the streams that it belongs to at the peer.
        encodings: checked, one at least.
        cname: the connection's.
        settings: the connection's.

    Attributes:
        track: what is sent, or None.
        encodings: as they were set.
        ssrcs: the sources of each encoding.
        degradation: an RTCDegradationPreference that was set, or None.
        section: what was agreed, or None.
        entry: what it is sent over, or None.
        outbound: what sends; None before there was anything to send, and after the end.
        ended: what has sent until it was stopped, for statistics.
        meter: measures the track since it was attached, or None.
        stopped: whether it has ended for good.
        observer: who is told, once there is one.
    """

    def __init__(
        self,
        kind: str,
        track: MediaStreamTrack | None,
        streams: Sequence[str],
        encodings: Sequence[Encoding],
        *,
        cname: str = "-",
        settings: MediaSettings | None = None,
    ) -> None:
        self.kind = kind
        self.cname = cname
        self.track = track
        self.encodings = tuple(encodings)
        self.ssrcs = new_ssrcs(len(self.encodings))
        self.degradation: str | None = None
        self.section: Section | None = None
        self.entry: TransportEntry | None = None
        self.outbound: AudioOutbound | VideoOutbound | None = None
        self.ended: AudioOutbound | VideoOutbound | None = None
        self.meter = None if track is None else SourceMeter(track)
        self.stopped = False
        self.observer: SenderObserver | None = None
        self._settings = settings or MediaSettings()
        self._streams = tuple(dict.fromkeys(streams))
        self._transform: SendTransform | None = None
        self._media: MediaTransport | None = None
        self._requested_at = -KEY_FRAME_REQUEST_S
        self._request_timer: asyncio.TimerHandle | None = None
        self._unwrapper: Unwrapper | None = None
        self._before_proposal: tuple[Encoding, ...] | None = None
        # Written in descriptions while there is no track, so that an offer names the same track
        # before and after replaceTrack.
        self._track_id = track.id if track is not None else random_hex(16)

    # -- what is wanted ---------------------------------------------------------------------------

    @property
    def msids(self) -> tuple[tuple[str, str], ...]:
        """(stream id, track id) pairs for a=msid (RFC 8830)."""
        return tuple((stream, self._track_id) for stream in self._streams) or (("-", self._track_id),)

    def set_streams(self, streams: Sequence[str]) -> None:
        """Which streams the track belongs to; negotiation tells the peer."""
        self._streams = tuple(dict.fromkeys(streams))

    def set_track(self, track: MediaStreamTrack | None, *, as_new: bool = False) -> None:
        """What to send from now on.

        Args:
            track: of the sender's kind, or None.
            as_new: descriptions name it, instead of the track before.
        """
        before = self.codecs_brought
        if track is not self.track:
            self.meter = None if track is None else SourceMeter(track)
        self.track = track
        if as_new and track is not None:
            self._track_id = track.id
        if self.outbound is not None:
            self.outbound.meter = self.meter
            self.outbound.set_track(track)
            if before != self.codecs_brought:
                self._update()  # another of the codecs that were agreed

    @property
    def codecs_brought(self) -> tuple[str, ...]:
        """Lower-case names of what the track is encoded with already, the likeliest first."""
        source = None if self.track is None else self.track.source
        return source.possible_codecs if isinstance(source, EncodedSource) else ()

    def set_parameters(self, encodings: Sequence[Encoding], degradation: str | None) -> None:
        """How to send from now on.

        Args:
            encodings: checked, with the rids that they have.
            degradation: an RTCDegradationPreference, or None.
        """
        self.encodings, self.degradation = tuple(encodings), degradation
        self._update()

    def set_transform(self, transform: SendTransform | None) -> None:
        """What encoded frames pass through from now on."""
        self._transform = transform
        if self.outbound is not None:
            self.outbound.transform = transform

    # -- what was agreed --------------------------------------------------------------------------

    def bind(self, section: Section | None, entry: TransportEntry | None) -> None:
        """Take over what has been agreed."""
        self.section, self.entry = section, entry
        self._update()

    def propose_encodings(self, rids: Sequence[str]) -> None:
        """The peer's offer asks for simulcast: a sender of one stream takes it up ([[SendEncodings]]).

        Args:
            rids: of the streams, in order.
        """
        if len(self.encodings) > 1 or self.encodings[0].rid is not None:
            return
        self._before_proposal = self.encodings
        self._set_encodings(proposed_encodings(rids))

    def withdraw_proposal(self) -> None:
        """The offer is rolled back ([[LastStableRidlessSendEncodings]])."""
        before, self._before_proposal = self._before_proposal, None
        if before is not None:
            self._set_encodings(before)

    def keep_encodings(self, rids: Sequence[str]) -> None:
        """An answer was set: the other streams are gone for good.

        Args:
            rids: those that were agreed; of none the first stream is left.
        """
        kept = [i for i, each in enumerate(self.encodings) if each.rid in rids] or [0]
        self.encodings, self.ssrcs = tuple(self.encodings[i] for i in kept), [self.ssrcs[i] for i in kept]

    def settle(self) -> None:
        """An exchange is completed: what an encoding asks for and was not agreed is forgotten.

        Spec: webrtc-pc, section 4.4.1.5 (encoding.codec is removed).
        """
        self._before_proposal = None
        self.encodings = tuple(
            each if self.can_send(each) else replace(each, codec=None) for each in self.encodings
        )

    def _set_encodings(self, encodings: Sequence[Encoding]) -> None:
        self.encodings = tuple(encodings)
        self.ssrcs = new_ssrcs(len(self.encodings))

    def stop(self) -> None:
        """Send nothing any more, for good."""
        self.stopped = True
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None
        if self.observer is not None:
            self.observer.on_sender_stopped()
        self.ended = self.outbound or self.ended
        self._close_outbound()

    def can_send(self, encoding: Encoding) -> bool:
        """Whether the codec that an encoding asks for was agreed; True before anything was."""
        section, wanted = self.section, encoding.codec
        if wanted is None or section is None or not section.send_codecs:
            return True
        found = choose_codec(section, encoding)
        return found is not None and found.mime_type.lower() == wanted.mime_type.lower()

    def can_layer(self, encoding: Encoding) -> bool:
        """Whether an encoding's scalability mode can be made with the codec that it is sent with.

        Before anything was agreed that is the codec which it asks for, or any.
        """
        wanted, section = encoding.scalability_mode, self.section
        if wanted is None or self.kind != "video":
            return True
        agreed = None if section is None else choose_codec(section, encoding)
        name = agreed.name if agreed is not None else None if encoding.codec is None else encoding.codec.name
        if name is None:
            return can_layer(wanted)
        return wanted in registry.scalability_modes(name, self._settings.encoders.get(name))

    @property
    def is_layered(self) -> bool:
        """Whether several encodings are wanted, or one in layers."""
        modes = [each.scalability_mode for each in self.encodings]
        return self.kind == "video" and (len(modes) > 1 or modes[0] not in (None, SINGLE_LAYER))

    def used_mode(self, encoding: Encoding) -> str | None:
        """The scalability mode of an encoding: as set before anything is agreed, then the one in use.

        None if none was set for it.
        """
        section = self.section
        codec = None if section is None else choose_codec(section, encoding)
        if encoding.scalability_mode is None or codec is None:
            return encoding.scalability_mode
        return used_mode(codec, encoding, self._settings.encoders.get(codec.name))

    @property
    def is_sending(self) -> bool:
        """Whether it may send, and has what does."""
        return self.outbound is not None and self.outbound.is_sending

    @property
    def live_rids(self) -> list[str | None]:
        """The layers that are sent, in their order; none without a live track."""
        if not self.is_sending or self.track is None or self.track.readyState == "ended":
            return []
        return [each.rid for each in self.encodings if each.active]

    @property
    def audio_outbound(self) -> AudioOutbound | None:
        """What sends, of an audio sender."""
        return self.outbound if isinstance(self.outbound, AudioOutbound) else None

    @property
    def telephone_event(self) -> tuple[int, int] | None:
        """Payload type and clock rate of tones; None when they cannot be sent.

        Events of the sound's own clock rate come first. Gateways often agree to those of 8,000 Hz alone,
        beside sound of 48,000: then these count the durations, and the stream's clock the timestamps.
        """
        section, outbound = self.section, self.audio_outbound
        if section is None or outbound is None or not outbound.is_sending:
            return None
        rate = outbound.layer.send.clock_rate
        found = [codec for codec in section.send_codecs if codec.name == "telephone-event"]
        if not found:
            return None
        chosen = next((codec for codec in found if codec.clock_rate == rate), found[0])
        return chosen.payload_type, chosen.clock_rate

    # -- while it sends ---------------------------------------------------------------------------

    def generate_key_frame(self, rid: str | None) -> int:
        """Make the next picture a key frame.

        Args:
            rid: of a layer; None for all.

        Returns:
            The RTP timestamp of it, 0 where there is none.
        """
        outbound = self.outbound
        return outbound.generate_key_frame(rid) if isinstance(outbound, VideoOutbound) else 0

    def send_packets(self, packets: Sequence[RtpPacket | bytes], source: ExtensionIds | None) -> int:
        """See `RTCRtpSender.sendPackets`; it must be sending.

        Raises:
            ParseError: bytes are no RTP packet.
        """
        outbound = self.outbound
        assert outbound is not None
        stream = outbound.streams[0]
        now = monotonic()
        taken = 0
        for each in packets:
            packet = self._parse(each) if isinstance(each, bytes) else each
            taken += stream.send_rtp(packet, now, source)
        outbound.transport.wake()
        return taken

    def _parse(self, data: bytes) -> RtpPacket:
        packet = parse(data)
        if self._unwrapper is None:
            self._unwrapper = Unwrapper(16)
        packet.index = self._unwrapper.unwrap(packet.sequence_number)
        return packet

    def _on_key_frame_requested(self) -> None:
        """The peer asks, perhaps with every packet until it has one; the application is told less often."""
        if self._request_timer is not None:
            return
        wait_s = self._requested_at + KEY_FRAME_REQUEST_S - monotonic()
        if wait_s <= 0:
            self._tell_request()
        else:
            self._request_timer = asyncio.get_running_loop().call_later(wait_s, self._tell_request)

    def _tell_request(self) -> None:
        self._request_timer = None
        self._requested_at = monotonic()
        if self.observer is not None:
            self.observer.on_key_frame_requested()

    def _tell_error(self, error: Exception) -> None:
        if self.observer is not None:
            self.observer.on_sender_error(error)

    def _close_outbound(self) -> None:
        outbound, self.outbound = self.outbound, None
        if outbound is not None:
            outbound.close()

    def _update(self) -> None:
        """Bring what is sent in line with what was agreed and set."""
        section, entry = self.section, self.entry
        if section is None or entry is None or self.stopped or not is_sent(section):
            if self.outbound is not None:
                self.outbound.set_sending(False)
            return
        layers = self._layers(section)
        media = entry.media
        outbound = self.outbound
        if outbound is not None and (
            media is not self._media
            or [stream.ssrc for stream in outbound.streams] != [layer.send.ssrc for layer in layers]
        ):
            if media is self._media:
                # an SSRC never begins anew on the same keys
                self.ssrcs = new_ssrcs(len(self.encodings))
                layers = self._layers(section)
            self._close_outbound()
            outbound = None
        self._media = media
        if not layers:
            return
        if outbound is None:
            make = AudioOutbound if self.kind == "audio" else VideoOutbound
            try:
                outbound = self.outbound = make(media, coder_pool(), layers, self._tell_error)
            except OperationError as exc:
                self._tell_error(exc)
                return
            if isinstance(outbound, VideoOutbound):
                outbound.on_key_frame_requested = self._on_key_frame_requested
        else:
            outbound.update(layers)
        outbound.transform = self._transform
        outbound.meter = self.meter
        outbound.set_track(self.track)
        outbound.set_sending(True)

    def _layers(self, section: Section) -> list[Layer]:
        return send_layers(
            section,
            self.encodings,
            self.ssrcs,
            self.cname,
            settings=self._settings,
            degradation=self.degradation,
            brought=self.codecs_brought,
        )
