"""RTCRtpTransceiver.

Spec: webrtc-pc, section 5.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rtcstack.api.capabilities import capabilities, our_capabilities
from rtcstack.api.dictionaries import as_dictionary, enum_member
from rtcstack.api.home import at_home
from rtcstack.api.parameters import (
    RTCRtpCodec,
    RTCRtpEncodingParameters,
    RTCRtpHeaderExtensionCapability,
    RTCRtpTransceiverDirection,
)
from rtcstack.api.receiver import RTCRtpReceiver
from rtcstack.api.sender import RTCRtpSender
from rtcstack.errors import InvalidModificationError, InvalidStateError
from rtcstack.jsep.intents import SendEncoding, TransceiverIntent
from rtcstack.jsep.session import CodecFormat, HeaderExtension
from rtcstack.media.stream import MediaStream
from rtcstack.sdp import Direction

if TYPE_CHECKING:
    from rtcstack.api.peerconnection import RTCPeerConnection

__all__ = ["RTCRtpTransceiver", "RTCRtpTransceiverInit"]


MANDATORY_EXTENSIONS = ("urn:ietf:params:rtp-hdrext:sdes:mid",)
"""Without it bundled sections could not be told apart (webrtc-extensions, section 4)."""


@dataclass(slots=True)
class RTCRtpTransceiverInit:
    """How a transceiver is to be.

    Attributes:
        direction: who sends.
        streams: what the sender's track belongs to.
        sendEncodings: one for each simulcast stream.

    Spec: webrtc-pc, section 5.1 (RTCRtpTransceiverInit).
    """

    direction: RTCRtpTransceiverDirection | str = RTCRtpTransceiverDirection.SENDRECV
    streams: Sequence[MediaStream] = field(default_factory=list)
    sendEncodings: Sequence[RTCRtpEncodingParameters] = field(default_factory=list)


class RTCRtpTransceiver:
    """A sender and a receiver that share a media section.

    Spec: webrtc-pc, section 5.4.
    """

    def __init__(
        self,
        connection: RTCPeerConnection,
        key: int,
        kind: str,
        sender: RTCRtpSender,
        receiver: RTCRtpReceiver,
        direction: RTCRtpTransceiverDirection,
        *,
        created_by_add_track: bool = False,
    ) -> None:
        self._connection = connection
        self.home = connection.home
        self.key = key
        self.kind = kind
        self._sender = sender
        self._receiver = receiver
        self._direction = direction
        self._preferences: tuple[CodecFormat, ...] | None = None
        self._extensions: tuple[HeaderExtension, ...] | None = None
        self.created_by_add_track = created_by_add_track
        self.used_by_add_track = created_by_add_track
        self.fired_direction: RTCRtpTransceiverDirection | None = None
        self.has_sent = False
        self.stopping = False
        self.stopped = False

    @property
    def mid(self) -> str | None:
        """The tag of its media section; None before it has one."""
        return self._connection.negotiation.mid_of(self.key)

    @property
    def sender(self) -> RTCRtpSender:
        """Sends to the peer."""
        return self._sender

    @property
    def receiver(self) -> RTCRtpReceiver:
        """Receives from the peer."""
        return self._receiver

    @property
    def direction(self) -> RTCRtpTransceiverDirection:
        """What the application wants; negotiated with the next offer or answer."""
        return RTCRtpTransceiverDirection.STOPPED if self.stopping else self._direction

    @direction.setter
    @at_home
    def direction(self, value: RTCRtpTransceiverDirection | str) -> None:
        direction = enum_member(RTCRtpTransceiverDirection, "direction", value)
        if self.stopping:
            raise InvalidStateError("direction of a transceiver that is stopped cannot be set")
        if direction is RTCRtpTransceiverDirection.STOPPED:
            raise TypeError("direction cannot be set to 'stopped'; call stop()")
        if direction is not self._direction:
            self._direction = direction
            self._connection.update_negotiation_needed()

    @property
    def currentDirection(self) -> RTCRtpTransceiverDirection | None:
        """What was last negotiated; None before, "stopped" at the end."""
        if self.stopped:
            return RTCRtpTransceiverDirection.STOPPED
        section = self._connection.negotiation.section_of(self.key)
        if section is None or section.current_direction is None:
            return None
        return RTCRtpTransceiverDirection(section.current_direction.value)

    @at_home
    def stop(self) -> None:
        """End sending and receiving for good; negotiated with the next offer.

        Raises:
            InvalidStateError: the connection is closed.
        """
        if self._connection.is_closed:
            raise InvalidStateError("stop of a transceiver of a connection that is closed")
        if not self.stopping:
            self._stop_sending_and_receiving()
            self._connection.update_negotiation_needed()

    @at_home
    def setCodecPreferences(self, codecs: Sequence[RTCRtpCodec]) -> None:
        """Choose and order the codecs that are negotiated.

        Args:
            codecs: from `RTCRtpReceiver.getCapabilities`; empty for the default order.

        Raises:
            InvalidModificationError: one that cannot be received, or none that carries media.
        """
        wanted = [as_dictionary(RTCRtpCodec, codec) for codec in codecs]
        if not wanted:
            self._preferences = None
            return
        supported: list[RTCRtpCodec] = []
        for send in (False, True):
            known = capabilities(self.kind, send=send)
            assert known is not None
            supported += known.codecs
        formats = []
        for codec in wanted:
            if not any(_same(codec, s) for s in supported):
                raise InvalidModificationError(f"{codec.mimeType} {codec.sdpFmtpLine or ''} is unknown")
            parsed = CodecFormat(codec.mimeType, codec.clockRate, codec.channels, codec.sdpFmtpLine or "")
            if parsed.name == "opus":
                # the same codec, with the parameters that this connection asks for
                ours = self._connection.capabilities.of("audio").receive
                asked = next((c.parameters for c in ours if c.name == "opus"), parsed.parameters)
                parsed = replace(parsed, parameters=asked)
            if parsed not in formats:
                formats.append(parsed)
        if all(f.is_resiliency for f in formats):
            raise InvalidModificationError("codec preferences need at least one codec that carries media")
        self._preferences = tuple(formats)

    def getHeaderExtensionsToNegotiate(self) -> list[RTCRtpHeaderExtensionCapability]:
        """The header extensions that are known here, each with the direction to be negotiated.

        Spec: webrtc-extensions, section 4 (RTP header extension control).
        """
        return [
            RTCRtpHeaderExtensionCapability(e.uri, _shown(e.direction)) for e in self._extensions_or_default()
        ]

    @at_home
    def setHeaderExtensionsToNegotiate(self, extensions: Sequence[RTCRtpHeaderExtensionCapability]) -> None:
        """Choose the header extensions that the next offer or answer has.

        Args:
            extensions: all that `getHeaderExtensionsToNegotiate` gave, in that order, with their
                directions changed; "stopped" leaves one out.

        Raises:
            InvalidModificationError: others, or in another order; or one that cannot be left out.
        """
        known = self._extensions_or_default()
        wanted = [as_dictionary(RTCRtpHeaderExtensionCapability, e) for e in extensions]
        if [e.uri for e in wanted] != [e.uri for e in known]:
            raise InvalidModificationError("the header extensions must be those that were given, in order")
        changed = []
        for old, new in zip(known, wanted, strict=True):
            direction = enum_member(RTCRtpTransceiverDirection, "direction", new.direction)
            stopped = direction in (RTCRtpTransceiverDirection.STOPPED, RTCRtpTransceiverDirection.INACTIVE)
            if stopped and old.uri in MANDATORY_EXTENSIONS:
                raise InvalidModificationError(f"{old.uri} cannot be left out")
            changed.append(
                replace(old, direction=Direction.INACTIVE if stopped else Direction(direction.value))
            )
        self._extensions = tuple(changed)
        self._connection.update_negotiation_needed()

    def getNegotiatedHeaderExtensions(self) -> list[RTCRtpHeaderExtensionCapability]:
        """Likewise, with what was last negotiated: "stopped" for what is not in use."""
        section = self._connection.negotiation.section_of(self.key)
        sent = {e.uri for e in section.send_extensions} if section is not None else set()
        received = {e.uri for e in section.receive_extensions} if section is not None else set()
        found = []
        for extension in self._extensions_or_default():
            uri = extension.uri
            if uri in sent:
                direction = Direction.SENDRECV if uri in received else Direction.SENDONLY
            else:
                direction = Direction.RECVONLY if uri in received else Direction.INACTIVE
            found.append(RTCRtpHeaderExtensionCapability(uri, _shown(direction)))
        return found

    def _extensions_or_default(self) -> tuple[HeaderExtension, ...]:
        if self._extensions is not None:
            return self._extensions
        return our_capabilities().of(self.kind).header_extensions

    def intent(self) -> TransceiverIntent:
        """What the negotiation has to know."""
        encodings = self._sender.encodings
        simulcast = len(encodings) > 1 or (len(encodings) == 1 and encodings[0].rid is not None)
        return TransceiverIntent(
            key=self.key,
            kind=self.kind,
            direction=Direction.INACTIVE if self.stopping else Direction(self._direction.value),
            codec_preferences=self._preferences,
            header_extensions=self._extensions,
            msids=self._sender.msids,
            send_encodings=tuple(
                SendEncoding(e.rid)
                if simulcast
                else SendEncoding(None, pair.ssrc, pair.rtx_ssrc if self.kind == "video" else None)
                for e, pair in zip(encodings, self._sender.ssrcs, strict=True)
            ),
            cname=self._sender.cname,
            stopping=self.stopping,
            stopped=self.stopped,
            created_by_add_track=self.created_by_add_track,
            used_by_add_track=self.used_by_add_track,
        )

    def set_direction(self, direction: RTCRtpTransceiverDirection) -> None:
        """For addTrack, removeTrack and new transceivers: no negotiation of its own."""
        self._direction = direction

    def _stop_sending_and_receiving(self, *, tell: bool = True) -> None:
        self.stopping = True
        self._sender.stop()
        self._receiver.stop()
        self._direction = RTCRtpTransceiverDirection.INACTIVE
        if tell:
            self._receiver.track.end()
        else:
            self._receiver.track.stop()

    def finish(self, *, tell: bool = True) -> None:
        """The transceiver is stopped, here and in what was negotiated.

        Args:
            tell: whether the receiver's track fires "ended".
        """
        if not self.stopping:
            self._stop_sending_and_receiving(tell=tell)
        self.stopped = True

    def __repr__(self) -> str:
        return f"<RTCRtpTransceiver {self.kind} mid={self.mid} {self.direction}>"


def _shown(direction: Direction) -> RTCRtpTransceiverDirection:
    if direction is Direction.INACTIVE:
        return RTCRtpTransceiverDirection.STOPPED
    return RTCRtpTransceiverDirection(direction.value)


def _same(a: RTCRtpCodec, b: RTCRtpCodec) -> bool:
    return (
        a.mimeType.lower() == b.mimeType.lower()
        and a.clockRate == b.clockRate
        and (a.channels or 1) == (b.channels or 1)
        and (a.sdpFmtpLine or "") == (b.sdpFmtpLine or "")
    )
