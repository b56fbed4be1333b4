"""RTCRtpSender.

Spec: webrtc-pc, section 5.2.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rtcstack.api.capabilities import capabilities, codec_parameters, extension_parameters
from rtcstack.api.dictionaries import as_dictionary
from rtcstack.api.dtlstransport import RTCDtlsTransport
from rtcstack.api.dtmf import RTCDTMFSender, end_tones
from rtcstack.api.encodings import changed_encodings, mixes_simulcast, same_codec, shown_encoding
from rtcstack.api.errorevent import RTCErrorEvent
from rtcstack.api.home import Home, Resident, at_home
from rtcstack.api.parameters import (
    RTCRtcpParameters,
    RTCRtpCapabilities,
    RTCRtpEncodingParameters,
    RTCRtpSendParameters,
)
from rtcstack.api.passage import Passage, Transformable
from rtcstack.api.stats import RTCStatsReport
from rtcstack.connection.encodings import Encoding
from rtcstack.connection.sending import Sender
from rtcstack.connection.stats import Chosen
from rtcstack.connection.transportentry import TransportEntry
from rtcstack.entropy import random_hex
from rtcstack.errors import InvalidModificationError, InvalidStateError, NotFoundError, ParseError
from rtcstack.events import Event, EventTarget, HandlerAttribute
from rtcstack.media.stream import MediaStream
from rtcstack.media.track import MediaStreamTrack
from rtcstack.promises import Operation, OperationsChain, Task, promise, rejected
from rtcstack.rtp.extensions import ExtensionIds
from rtcstack.rtp.packet import RtpPacket

__all__ = ["RTCRtpSender", "forget_parameters", "sender_part"]

DEGRADATION_PREFERENCES = (
    "balanced",
    "maintain-framerate",
    "maintain-resolution",
    "maintain-framerate-and-resolution",
)
"""mst-content-hint, section 5."""


class RTCRtpSender(Transformable, Resident, EventTarget):
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
        part: Sender,
        home: Home,
        chain: OperationsChain,
        transport_of: Callable[[TransportEntry], RTCDtlsTransport],
        collect: Callable[[Chosen], RTCStatsReport],
        on_changed: Callable[[], None],
        is_connected: Callable[[], bool],
    ) -> None:
        super().__init__()
        self._part = part
        self._home = home
        self._chain = chain
        self._transport_of = transport_of
        self._collect = collect
        self._on_changed = on_changed
        self._is_connected = is_connected
        self._last_returned: RTCRtpSendParameters | None = None
        self._as_returned: RTCRtpSendParameters
        self._dtmf: RTCDTMFSender | None = None
        part.observer = _Observer(self)

    @property
    def track(self) -> MediaStreamTrack | None:
        """What is sent, or None."""
        return self._part.track

    @property
    def transport(self) -> RTCDtlsTransport | None:
        """What it is sent over; None before negotiation."""
        entry = self._part.entry
        return None if entry is None else self._transport_of(entry)

    @property
    def dtmf(self) -> RTCDTMFSender | None:
        """Sends telephone tones; None for video."""
        if self._dtmf is None and self._part.kind == "audio":
            self._dtmf = RTCDTMFSender(self._part, self._home, self._is_connected)
        return self._dtmf

    def _attach(self, passage: Passage) -> None:
        passage.attach(sends=True, sender=self._part if self._part.kind == "video" else None)

    def _pass_through(self, passage: Passage | None) -> None:
        self._part.set_transform(passage)

    @at_home
    def generateKeyFrame(self, rids: Sequence[str] | None = None) -> Operation[None]:
        """Make the next picture a key frame, of some simulcast layers or of all.

        Raises:
            InvalidStateError: it is no video sender, or does not send.
            NotFoundError: there is no layer of one of the names.

        Spec: webrtc-encoded-transform, section 4.
        """
        return promise(lambda: self._generate_key_frames(rids))

    def _generate_key_frames(self, rids: Sequence[str] | None) -> Task[None]:
        part = self._part
        if part.kind != "video" or not part.is_sending:
            raise InvalidStateError("generateKeyFrame needs a video sender that sends")
        known = [e.rid for e in part.encodings]
        for rid in rids or ():
            if rid not in known:
                raise NotFoundError(f"the sender has no layer {rid!r}")
        wanted: tuple[str | None, ...] = tuple(rids or (None,))

        def generate() -> None:
            for each in wanted:
                part.generate_key_frame(each)

        return generate

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
        if not self._part.is_sending or self._part.track is not None:
            raise InvalidStateError("sendPackets needs a sender that may send and has no track")
        try:
            return self._part.send_packets(packets, source)
        except ParseError as exc:
            raise ValueError(f"sendPackets: {exc}") from None

    @staticmethod
    def getCapabilities(kind: str) -> RTCRtpCapabilities | None:
        """What can be sent.

        Args:
            kind: "audio" or "video"; None is returned for anything else.
        """
        return capabilities(kind, send=True)

    @at_home
    def getParameters(self) -> RTCRtpSendParameters:
        """How it is set, to be changed and given to `setParameters` in the same turn; the same object within
        a turn."""
        # 2.
        if self._last_returned is None:
            # 3. and 4.
            self._last_returned = self._parameters()
            self._as_returned = copy.deepcopy(self._last_returned)
            # 5.
            asyncio.get_running_loop().call_soon(self._forget_returned, self._last_returned)
        # 6.
        return self._last_returned

    def _parameters(self) -> RTCRtpSendParameters:
        part, section = self._part, self._part.section
        return RTCRtpSendParameters(
            codecs=() if section is None else codec_parameters(section.send_codecs),
            headerExtensions=() if section is None else extension_parameters(section.send_extensions),
            rtcp=RTCRtcpParameters(cname=part.cname, reducedSize=section is not None and section.rtcp_rsize),
            transactionId=random_hex(8),
            degradationPreference=part.degradation,
            encodings=[shown_encoding(part.kind, each, part.used_mode(each)) for each in part.encodings],
        )

    def _forget_returned(self, returned: RTCRtpSendParameters | None = None) -> None:
        if returned is None or returned is self._last_returned:
            self._last_returned = None

    @at_home
    def setParameters(
        self, parameters: RTCRtpSendParameters, setParameterOptions: Mapping[str, Any] | None = None
    ) -> Operation[None]:
        """Change how it sends; needs no negotiation.

        Args:
            parameters: from `getParameters`, changed.
            setParameterOptions: may have "encodingOptions", one for each encoding, each with "keyFrame":
                whether the next picture of that encoding is to be a key frame (webrtc-extensions).

        Raises:
            InvalidStateError: stopped, or `getParameters` was not called in this turn.
            InvalidModificationError: the number or the names of the encodings, or something that
                was negotiated, differ; there is not an option for each encoding; or a scalability mode
                is none of those that the encoding's codec can be sent with (webrtc-svc, section 4.2.2).
            TypeError, ValueError: see `changed_encodings`.
        """
        options = dict(setParameterOptions or {})
        return self._chain.holding(promise(lambda: self._set_parameters(parameters, options)))

    def _set_parameters(self, parameters: RTCRtpSendParameters, options: Mapping[str, Any]) -> Task[None]:
        part = self._part
        # 4. and 5.
        if part.stopped:
            raise InvalidStateError("setParameters on a sender that is stopped")
        if self._last_returned is None:
            raise InvalidStateError("setParameters needs getParameters in the same turn of the loop")
        # 6. Nothing but encodings may differ from what was returned.
        returned = self._as_returned
        if parameters.transactionId != returned.transactionId:
            raise InvalidModificationError("the transactionId is not that of the last getParameters")
        for name in ("codecs", "headerExtensions", "rtcp"):
            if getattr(parameters, name) != getattr(returned, name):
                raise InvalidModificationError(f"{name} cannot be changed")
        given = [as_dictionary(RTCRtpEncodingParameters, each) for each in parameters.encodings]
        if [e.rid for e in given] != [e.rid for e in part.encodings]:
            raise InvalidModificationError("encodings cannot be added, removed, renamed or reordered")
        encodings = changed_encodings(part.kind, given)
        preference = parameters.degradationPreference
        if preference is not None and preference not in DEGRADATION_PREFERENCES:
            raise TypeError(f"degradationPreference cannot be {preference!r}")
        for encoding in encodings:
            if not part.can_send(encoding) or not self._is_known(encoding):
                assert encoding.codec is not None
                raise InvalidModificationError(f"{encoding.codec.mime_type} has not been negotiated")
            if not part.can_layer(encoding):
                mode = encoding.scalability_mode
                raise InvalidModificationError(f"scalabilityMode {mode!r} cannot be sent with the codec")
        if part.kind == "video" and mixes_simulcast(given):
            raise InvalidModificationError("several active encodings, and one that has an S mode")
        key_frames = _key_frames(options, encodings)

        # 7. to 9.
        def configure() -> None:
            self._last_returned = None
            part.set_parameters(encodings, preference)
            for rid in key_frames:
                part.generate_key_frame(rid)

        return configure

    def _is_known(self, encoding: Encoding) -> bool:
        """Whether the codec of an encoding could be sent, before any was negotiated."""
        wanted = shown_encoding(self._part.kind, encoding).codec
        known = capabilities(self._part.kind, send=True)
        section = self._part.section
        if wanted is None or known is None or (section is not None and section.send_codecs):
            return True
        return any(same_codec(wanted, each) for each in known.codecs)

    @at_home
    def getStats(self) -> Operation[RTCStatsReport]:
        """Statistics of what is sent, and of what that depends on.

        Spec: webrtc-pc, section 5.2.
        """
        return promise(lambda: lambda: self._collect(Chosen(self._part, None)))

    @at_home
    def replaceTrack(self, withTrack: MediaStreamTrack | None) -> Operation[None]:
        """Send another track, or none, without negotiation.

        Args:
            withTrack: of the same kind, or None.

        Raises:
            TypeError: another kind.
            InvalidStateError: the transceiver is stopped.
        """
        kind = self._part.kind
        if withTrack is not None and withTrack.kind != kind:
            return rejected(TypeError(f"replaceTrack of a {kind} sender with a {withTrack.kind} track"))

        def steps() -> Task[None]:
            if self._part.stopped:
                raise InvalidStateError("replaceTrack on a sender that is stopped")
            return lambda: self._part.set_track(withTrack)

        return self._chain.run("replaceTrack", steps)

    @at_home
    def setStreams(self, *streams: MediaStream) -> None:
        """Say which streams the track belongs to; needs negotiation to reach the peer.

        Raises:
            InvalidStateError: the connection is closed.
        """
        if self._home.is_closed:
            raise InvalidStateError("setStreams on a connection that is closed")
        self._part.set_streams([stream.id for stream in streams])
        self._on_changed()


class _Observer:
    """What the connection tells of a sender, as events."""

    __slots__ = ("_sender",)

    def __init__(self, sender: RTCRtpSender) -> None:
        self._sender = sender

    def on_sender_error(self, error: Exception) -> None:
        """See `SenderObserver`."""
        self._sender.dispatchEvent(RTCErrorEvent("error", error))

    def on_key_frame_requested(self) -> None:
        """See `SenderObserver`."""
        self._sender.dispatchEvent(Event("keyframerequest"))

    def on_sender_stopped(self) -> None:
        """See `SenderObserver`."""
        sender = self._sender
        if sender._dtmf is not None:
            end_tones(sender._dtmf)
        sender.transform = None


def _key_frames(options: Mapping[str, Any], encodings: Sequence[Encoding]) -> list[str | None]:
    """The encodings that are to send a key frame next (webrtc-extensions, RTCSetParameterOptions)."""
    given = list(options.get("encodingOptions") or ())
    if not given:
        return []
    if len(given) != len(encodings):
        raise InvalidModificationError(f"{len(given)} encodingOptions for {len(encodings)} encodings")
    return [each.rid for each, option in zip(encodings, given, strict=True) if option.get("keyFrame")]


def forget_parameters(sender: RTCRtpSender) -> None:
    """An answer has changed what can be set: what was returned before counts no more."""
    sender._forget_returned()


def sender_part(sender: RTCRtpSender) -> Sender:
    """What a sender shows, for the connection that it belongs to."""
    return sender._part
