"""RTCRtpSender.

Spec: webrtc-pc, section 5.2.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rtcstack.api.capabilities import capabilities
from rtcstack.api.dictionaries import as_dictionary
from rtcstack.api.dtmf import RTCDTMFSender
from rtcstack.api.encodedtransform import RTCRtpScriptTransform, Transformable
from rtcstack.api.events import RTCErrorEvent
from rtcstack.api.home import Home, at_home
from rtcstack.api.mediabinding import SsrcPair, choose_codec, is_sent, new_ssrc, send_layers
from rtcstack.api.operations import Operation
from rtcstack.api.parameters import (
    RTCRtcpParameters,
    RTCRtpCapabilities,
    RTCRtpCodec,
    RTCRtpEncodingParameters,
    RTCRtpSendParameters,
)
from rtcstack.api.receiver import codec_parameters, extension_parameters
from rtcstack.clock import monotonic
from rtcstack.config import MediaSettings
from rtcstack.entropy import random_hex
from rtcstack.errors import (
    InvalidModificationError,
    InvalidStateError,
    NotFoundError,
    OperationError,
    ParseError,
)
from rtcstack.events import Event, EventTarget, HandlerAttribute
from rtcstack.media.pipeline.audio_out import AudioOutbound
from rtcstack.media.pipeline.coders import coder_pool
from rtcstack.media.pipeline.outbound import Layer
from rtcstack.media.pipeline.video_out import VideoOutbound
from rtcstack.media.stream import MediaStream
from rtcstack.media.track import MediaStreamTrack
from rtcstack.rtp.extensions import ExtensionIds
from rtcstack.rtp.packet import RtpPacket, parse
from rtcstack.serial import Unwrapper

if TYPE_CHECKING:
    from rtcstack.api.dtlstransport import RTCDtlsTransport
    from rtcstack.api.transportset import TransportEntry
    from rtcstack.jsep.session import Section
    from rtcstack.media.pipeline.carrier import MediaCarrier

__all__ = ["MAX_ENCODINGS", "RTCRtpSender", "check_encodings"]

MAX_ENCODINGS = 8
"""Simulcast streams of one sender; more are cut off (webrtc-pc, section 5.2, addTransceiver)."""

MAX_RID_LENGTH = 255

MAX_BITRATE_BPS = (1 << 32) - 1
"""What the W3C's unsigned long holds."""

DEGRADATION_PREFERENCES = (
    "balanced",
    "maintain-framerate",
    "maintain-resolution",
    "maintain-framerate-and-resolution",
)
"""mst-content-hint, section 5."""


def _checked_bitrate(value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise TypeError(f"maxBitrate must be 0 or more bits a second, not {value!r}")
    return min(int(value), MAX_BITRATE_BPS)


def check_encodings(kind: str, encodings: Sequence[object]) -> list[RTCRtpEncodingParameters]:
    """The encodings of addTransceiver or setParameters, checked.

    Raises:
        TypeError: a rid is missing, malformed or doubled, or a value is not allowed for the kind.
        ValueError: scaleResolutionDownBy below 1 or a negative maxFramerate (RangeError).
    """
    result = [copy.copy(as_dictionary(RTCRtpEncodingParameters, e)) for e in encodings]
    rids = [e.rid for e in result]
    if len(result) > 1 and None in rids:
        raise TypeError("each of several encodings needs a rid")
    for rid in rids:
        if rid is not None and not (0 < len(rid) <= MAX_RID_LENGTH and rid.isascii() and rid.isalnum()):
            raise TypeError(f"rid {rid!r} must be 1 to {MAX_RID_LENGTH} letters or digits")
    if len(set(rids)) != len(rids):
        raise TypeError("two encodings have the same rid")
    for encoding in result:
        scale, rate = encoding.scaleResolutionDownBy, encoding.maxFramerate
        encoding.maxBitrate = _checked_bitrate(encoding.maxBitrate)
        if kind == "audio":
            encoding.scaleResolutionDownBy = encoding.maxFramerate = None
            continue
        if scale is not None and not scale >= 1.0:
            raise ValueError(f"scaleResolutionDownBy must be 1.0 or more, not {scale}")
        if rate is not None and not rate >= 0.0:
            raise ValueError(f"maxFramerate must be 0 or more, not {rate}")
    del result[MAX_ENCODINGS:]
    if kind == "video" and all(e.scaleResolutionDownBy is None for e in result):
        for i, encoding in enumerate(result):
            encoding.scaleResolutionDownBy = float(2 ** (len(result) - i - 1))
    elif kind == "video":
        for encoding in result:
            if encoding.scaleResolutionDownBy is None:
                encoding.scaleResolutionDownBy = 1.0
    if len(result) == 1:
        result[0].rid = None if not encodings else result[0].rid
    return result


KEY_FRAME_REQUEST_S = 0.1
"""Between two events that tell of the peer's requests for a key frame."""


class RTCRtpSender(Transformable, EventTarget):
    """Sends one track.

    Beyond the W3C's, whose senders fail in silence, there are events: error, an `RTCErrorEvent`, when an
    encoder cannot do what was negotiated; keyframerequest, when the peer cannot go on without a key frame,
    at most ten times a second. Encoders of ours answer it themselves; who sends packets asks their source.

    Spec: webrtc-pc, section 5.2.
    """

    onerror = HandlerAttribute("error")
    onkeyframerequest = HandlerAttribute("keyframerequest")

    def __init__(
        self,
        kind: str,
        track: MediaStreamTrack | None,
        streams: Sequence[MediaStream],
        encodings: Sequence[object],
        on_changed: Callable[[], None],
        *,
        cname: str = "-",
        settings: MediaSettings | None = None,
        home: Home | None = None,
    ) -> None:
        super().__init__()
        self.home = home or Home()
        self.kind = kind
        self.cname = cname
        self._settings = settings or MediaSettings()
        self._track = track
        self._streams = {s.id: s for s in streams}
        self._encodings = check_encodings(kind, encodings or [RTCRtpEncodingParameters()])
        self._on_changed = on_changed
        self.ssrcs = [SsrcPair(new_ssrc(), new_ssrc()) for _ in self._encodings]
        self._entry: TransportEntry | None = None
        self._carrier: MediaCarrier | None = None
        self.outbound: AudioOutbound | VideoOutbound | None = None
        self._requested_at = -KEY_FRAME_REQUEST_S
        self._request_timer: asyncio.TimerHandle | None = None
        self._section: Section | None = None
        self._transaction: str | None = None
        self._degradation: str | None = None
        self._dtmf: RTCDTMFSender | None = None
        self._unwrapper: Unwrapper | None = None
        self.stopped = False
        # Written in descriptions while there is no track, so that an offer names the same track
        # before and after replaceTrack.
        self._track_id = track.id if track is not None else random_hex(16)

    @property
    def track(self) -> MediaStreamTrack | None:
        """What is sent, or None."""
        return self._track

    @property
    def transport(self) -> RTCDtlsTransport | None:
        """What it is sent over; None before negotiation."""
        return None if self._entry is None else self._entry.dtls_transport

    @property
    def dtmf(self) -> RTCDTMFSender | None:
        """Sends telephone tones; None for video."""
        if self._dtmf is None and self.kind == "audio":
            self._dtmf = RTCDTMFSender(self)
        return self._dtmf

    def attach_transform(self, transform: RTCRtpScriptTransform) -> None:
        """See `Transformable`."""
        transform.attach(self._generate_key_frame if self.kind == "video" else None, None)

    def transform_changed(self) -> None:
        """See `Transformable`."""
        if self.outbound is not None:
            self.outbound.transform = self._transform

    def _generate_key_frame(self, rid: str | None) -> int:
        outbound = self.outbound
        return outbound.generate_key_frame(rid) if isinstance(outbound, VideoOutbound) else 0

    @at_home
    def generateKeyFrame(self, rids: Sequence[str] | None = None) -> Operation[None]:
        """Make the next picture a key frame, of some simulcast layers or of all.

        Raises:
            InvalidStateError: it is no video sender, or does not send.
            NotFoundError: there is no layer of one of the names.

        Spec: webrtc-encoded-transform, section 4.
        """
        return Operation.of(lambda: self._generate_key_frames(rids))

    def _generate_key_frames(self, rids: Sequence[str] | None) -> None:
        if self.kind != "video" or self.outbound is None or not self.outbound.is_sending:
            raise InvalidStateError("generateKeyFrame needs a video sender that sends")
        known = [e.rid for e in self._encodings]
        for rid in rids or ():
            if rid not in known:
                raise NotFoundError(f"the sender has no layer {rid!r}")
        wanted: Sequence[str | None] = rids or (None,)
        for each in wanted:
            self._generate_key_frame(each)

    @at_home
    def sendPackets(self, packets: Sequence[RtpPacket | bytes], source: ExtensionIds | None = None) -> int:
        """Send RTP packets that were made elsewhere, or received, without touching what is in them.

        They leave under this sender's SSRC, payload type and numbers; what they are numbered by stays
        in order, gaps too. For a sender without a track. Packets of a receiver come by
        `RTCRtpReceiver.setPacketSink`.

        Args:
            packets: received ones, or RTP packets as bytes, in the clear.
            source: `RTCRtpReceiver.headerExtensionIds` of where they came from, to send on the header
                extensions that tell of the media; None to leave them out.

        Returns:
            How many were taken; the others were too late, or there was no room for them.

        Raises:
            InvalidStateError: nothing is negotiated to be sent, or there is a track.
            ValueError: bytes are no RTP packet.
        """
        outbound = self.outbound
        if outbound is None or not outbound.is_sending or self._track is not None:
            raise InvalidStateError("sendPackets needs a sender that may send and has no track")
        stream = outbound.streams[0]
        now = monotonic()
        taken = 0
        for each in packets:
            packet = self._parse(each) if isinstance(each, bytes) else each
            taken += stream.send_rtp(packet, now, source)
        outbound.carrier.wake()
        return taken

    def _parse(self, data: bytes) -> RtpPacket:
        try:
            packet = parse(data)
        except ParseError as exc:
            raise ValueError(f"sendPackets: {exc}") from None
        if self._unwrapper is None:
            self._unwrapper = Unwrapper(16)
        packet.index = self._unwrapper.unwrap(packet.sequence_number)
        return packet

    @property
    def telephone_event(self) -> tuple[int, int] | None:
        """Payload type and clock rate of tones; None when they cannot be sent.

        Events of the sound's own clock rate come first. Gateways often agree to those of 8,000 Hz alone,
        beside sound of 48,000: then these count the durations, and the stream's clock the timestamps.
        """
        section, outbound = self._section, self.audio_outbound
        if section is None or outbound is None or not outbound.is_sending:
            return None
        rate = outbound.layer.send.clock_rate
        found = [codec for codec in section.send_codecs if codec.name == "telephone-event"]
        if not found:
            return None
        chosen = next((codec for codec in found if codec.clock_rate == rate), found[0])
        return chosen.payload_type, chosen.clock_rate

    @property
    def audio_outbound(self) -> AudioOutbound | None:
        """What sends, of an audio sender."""
        return self.outbound if isinstance(self.outbound, AudioOutbound) else None

    @property
    def section(self) -> Section | None:
        """What was agreed."""
        return self._section

    @property
    def encodings(self) -> list[RTCRtpEncodingParameters]:
        """The streams."""
        return self._encodings

    @property
    def msids(self) -> tuple[tuple[str, str], ...]:
        """(stream id, track id) pairs for a=msid (RFC 8830)."""
        return tuple((stream, self._track_id) for stream in self._streams) or (("-", self._track_id),)

    @staticmethod
    def getCapabilities(kind: str) -> RTCRtpCapabilities | None:
        """What can be sent.

        Args:
            kind: "audio" or "video"; None is returned for anything else.
        """
        return capabilities(kind, send=True)

    @at_home
    def getParameters(self) -> RTCRtpSendParameters:
        """A copy of how it is set, to be changed and given to `setParameters` in the same turn."""
        if self._transaction is None:
            self._transaction = random_hex(8)
            asyncio.get_running_loop().call_soon(self._forget_transaction)
        section = self._section
        return RTCRtpSendParameters(
            codecs=() if section is None else codec_parameters(section.send_codecs),
            headerExtensions=() if section is None else extension_parameters(section.send_extensions),
            rtcp=RTCRtcpParameters(cname=self.cname, reducedSize=section is not None and section.rtcp_rsize),
            transactionId=self._transaction,
            degradationPreference=self._degradation,
            encodings=[copy.copy(e) for e in self._encodings],
        )

    def _forget_transaction(self) -> None:
        self._transaction = None

    @at_home
    def setParameters(self, parameters: RTCRtpSendParameters) -> Operation[None]:
        """Change how it sends; needs no negotiation.

        Raises:
            InvalidStateError: stopped, or `getParameters` was not called in this turn.
            InvalidModificationError: the number or the names of the encodings, or something that
                was negotiated, differ.
            TypeError, ValueError: see `check_encodings`.
        """
        return Operation.of(lambda: self._set_parameters(parameters))

    def _set_parameters(self, parameters: RTCRtpSendParameters) -> None:
        if self.stopped:
            raise InvalidStateError("setParameters on a sender that is stopped")
        if self._transaction is None:
            raise InvalidStateError("setParameters needs getParameters in the same turn of the loop")
        current = self.getParameters()
        if parameters.transactionId != current.transactionId:
            raise InvalidModificationError("the transactionId is not that of the last getParameters")
        for name in ("codecs", "headerExtensions", "rtcp"):
            if getattr(parameters, name) != getattr(current, name):
                raise InvalidModificationError(f"{name} cannot be changed")
        if [e.rid for e in parameters.encodings] != [e.rid for e in self._encodings]:
            raise InvalidModificationError("encodings cannot be added, removed, renamed or reordered")
        encodings = check_encodings(self.kind, parameters.encodings)
        preference = parameters.degradationPreference
        if preference is not None and preference not in DEGRADATION_PREFERENCES:
            raise TypeError(f"degradationPreference cannot be {preference!r}")
        for encoding in encodings:
            self._check_codec(encoding)
        self._encodings = encodings
        self._degradation = preference
        self._transaction = None
        self._update_outbound()

    def _check_codec(self, encoding: RTCRtpEncodingParameters) -> None:
        section, wanted = self._section, encoding.codec
        if wanted is None or section is None or not section.send_codecs:
            return
        wanted = encoding.codec = as_dictionary(RTCRtpCodec, wanted)
        found = choose_codec(section, wanted)
        if found is None or found.mime_type.lower() != wanted.mimeType.lower():
            raise InvalidModificationError(f"{wanted.mimeType} has not been negotiated")

    @at_home
    def replaceTrack(self, withTrack: MediaStreamTrack | None) -> Operation[None]:
        """Send another track, or none, without negotiation.

        Args:
            withTrack: of the same kind, or None.

        Raises:
            TypeError: another kind.
            InvalidStateError: the transceiver is stopped.
        """
        return Operation.of(lambda: self._replace_track(withTrack))

    def _replace_track(self, track: MediaStreamTrack | None) -> None:
        if track is not None and track.kind != self.kind:
            raise TypeError(f"replaceTrack of a {self.kind} sender with a {track.kind} track")
        if self.stopped:
            raise InvalidStateError("replaceTrack on a sender that is stopped")
        self._track = track
        self._update_track()

    @at_home
    def setStreams(self, *streams: MediaStream) -> None:
        """Say which streams the track belongs to; needs negotiation to reach the peer.

        Raises:
            InvalidStateError: the transceiver is stopped.
        """
        if self.stopped:
            raise InvalidStateError("setStreams on a sender that is stopped")
        self._streams = {s.id: s for s in streams}
        self._on_changed()

    def set_track(self, track: MediaStreamTrack | None) -> None:
        """For addTrack and removeTrack."""
        self._track = track
        if track is not None:
            self._track_id = track.id
        self._update_track()

    def set_streams(self, streams: Sequence[MediaStream]) -> None:
        """For addTrack: no check, no negotiation of its own."""
        self._streams = {s.id: s for s in streams}

    def bind(self, section: Section | None, entry: TransportEntry | None) -> None:
        """Take over what has been agreed."""
        self._section = section
        self._entry = entry
        self._update_outbound()

    def stop(self) -> None:
        """Send nothing any more, for good."""
        self.stopped = True
        self._forget_requests()
        if self._dtmf is not None:
            self._dtmf.close()
        self.transform = None
        self._close_outbound()

    def _update_track(self) -> None:
        if self.outbound is not None:
            self.outbound.set_track(self._track)

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
        self.dispatchEvent(Event("keyframerequest"))

    def _forget_requests(self) -> None:
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None

    def _close_outbound(self) -> None:
        outbound, self.outbound = self.outbound, None
        if outbound is not None:
            outbound.close()

    def _update_outbound(self) -> None:
        """Bring what is sent in line with what was agreed and set."""
        section, entry = self._section, self._entry
        sends = section is not None and entry is not None and not self.stopped and is_sent(section)
        if not sends:
            if self.outbound is not None:
                self.outbound.set_sending(False)
            return
        assert section is not None
        assert entry is not None
        layers = self._layers(section)
        carrier = entry.carrier
        outbound = self.outbound
        if outbound is not None and (
            carrier is not self._carrier
            or [stream.ssrc for stream in outbound.streams] != [layer.send.ssrc for layer in layers]
        ):
            if carrier is self._carrier:
                # an SSRC never begins anew on the same keys
                self.ssrcs = [SsrcPair(new_ssrc(), new_ssrc()) for _ in self._encodings]
                layers = self._layers(section)
            self._close_outbound()
            outbound = None
        self._carrier = carrier
        if not layers:
            return
        if outbound is None:
            make = AudioOutbound if self.kind == "audio" else VideoOutbound
            try:
                outbound = self.outbound = make(carrier, coder_pool(), layers, self._tell_error)
                if isinstance(outbound, VideoOutbound):
                    outbound.on_key_frame_requested = self._on_key_frame_requested
            except OperationError as exc:
                self._tell_error(exc)
                return
        else:
            outbound.update(layers)
        outbound.transform = self._transform
        outbound.set_track(self._track)
        outbound.set_sending(True)

    def _layers(self, section: Section) -> list[Layer]:
        return send_layers(
            section,
            self._encodings,
            self.ssrcs,
            self.cname,
            settings=self._settings,
            degradation=self._preferred_degradation(),
        )

    def _preferred_degradation(self) -> str:
        """What was set, else what suits the content (mst-content-hint, section 4)."""
        if self._degradation is not None:
            return self._degradation
        hint = "" if self._track is None else self._track.contentHint
        if hint in ("detail", "text"):
            return "maintain-resolution"
        return "maintain-framerate" if hint == "motion" else "balanced"

    def _tell_error(self, error: Exception) -> None:
        self.dispatchEvent(RTCErrorEvent("error", error))
