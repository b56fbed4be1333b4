"""RTCRtpTransceiver.

Spec: webrtc-pc, section 5.4.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from rtcstack.api.capabilities import capabilities, codec_format
from rtcstack.api.dictionaries import as_dictionary, enum_member
from rtcstack.api.encodings import same_codec
from rtcstack.api.home import Home, Resident, at_home
from rtcstack.api.parameters import (
    RTCRtpCodec,
    RTCRtpEncodingParameters,
    RTCRtpHeaderExtensionCapability,
    RTCRtpTransceiverDirection,
)
from rtcstack.api.receiver import RTCRtpReceiver
from rtcstack.api.sender import RTCRtpSender
from rtcstack.connection.transceivers import Transceiver
from rtcstack.errors import InvalidModificationError, InvalidStateError
from rtcstack.media.stream import MediaStream
from rtcstack.sdp import Direction

__all__ = ["RTCRtpTransceiver", "RTCRtpTransceiverInit", "let_offers_take"]


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


class RTCRtpTransceiver(Resident):
    """A sender and a receiver that share a media section.

    Spec: webrtc-pc, section 5.4.
    """

    def __init__(
        self,
        part: Transceiver,
        home: Home,
        sender: RTCRtpSender,
        receiver: RTCRtpReceiver,
        on_changed: Callable[[], None],
        opus_parameters: Callable[[], str | None],
    ) -> None:
        self._part = part
        self._home = home
        self._sender = sender
        self._receiver = receiver
        self._on_changed = on_changed
        self._opus_parameters = opus_parameters

    @property
    def kind(self) -> str:
        """ "audio" or "video"."""
        return self._part.kind

    @property
    def mid(self) -> str | None:
        """The tag of its media section; None before it has one."""
        return self._part.mid

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
        if self._part.stopping:
            return RTCRtpTransceiverDirection.STOPPED
        return RTCRtpTransceiverDirection(self._part.direction.value)

    @direction.setter
    @at_home
    def direction(self, value: RTCRtpTransceiverDirection | str) -> None:
        direction = enum_member(RTCRtpTransceiverDirection, "direction", value)
        part = self._part
        if part.stopping:
            raise InvalidStateError("direction of a transceiver that is stopped cannot be set")
        if direction is RTCRtpTransceiverDirection.STOPPED:
            raise TypeError("direction cannot be set to 'stopped'; call stop()")
        wanted = Direction(direction.value)
        if wanted is not part.direction:
            part.direction = wanted
            self._on_changed()

    @property
    def currentDirection(self) -> RTCRtpTransceiverDirection | None:
        """What was last negotiated; None before, "stopped" at the end."""
        if self._part.stopped:
            return RTCRtpTransceiverDirection.STOPPED
        section = self._part.section
        if section is None or section.current_direction is None:
            return None
        return RTCRtpTransceiverDirection(section.current_direction.value)

    @property
    def rtpHeaderEncryptionNegotiated(self) -> bool:
        """Whether header extensions and contributing sources are encrypted, as of the last answer.

        Spec: webrtc-extensions, section 9 (RTP header extension encryption); RFC 9335.
        """
        section = self._part.section
        return section is not None and section.cryptex

    @at_home
    def stop(self) -> None:
        """End sending and receiving for good; negotiated with the next offer.

        Raises:
            InvalidStateError: the connection is closed.
        """
        if self._home.is_closed:
            raise InvalidStateError("stop of a transceiver of a connection that is closed")
        if not self._part.stopping:
            self._part.stop()
            asyncio.get_running_loop().call_soon(self._part.receiver.track.end)
            self._on_changed()

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
            self._part.preferences = None
            return
        supported: list[RTCRtpCodec] = []
        for send in (False, True):
            known = capabilities(self.kind, send=send)
            assert known is not None
            supported += known.codecs
        formats = []
        for codec in wanted:
            if not any(same_codec(codec, s, missing_matches_any=False) for s in supported):
                raise InvalidModificationError(f"{codec.mimeType} {codec.sdpFmtpLine or ''} is unknown")
            parsed = codec_format(codec)
            if parsed.name == "opus":
                # the same codec, with the parameters that this connection asks for
                asked = self._opus_parameters()
                parsed = replace(parsed, parameters=parsed.parameters if asked is None else asked)
            if parsed not in formats:
                formats.append(parsed)
        if all(f.is_resiliency for f in formats):
            raise InvalidModificationError("codec preferences need at least one codec that carries media")
        self._part.preferences = tuple(formats)

    def getHeaderExtensionsToNegotiate(self) -> list[RTCRtpHeaderExtensionCapability]:
        """The header extensions that are known here, each with the direction to be negotiated.

        Spec: webrtc-extensions, section 4 (RTP header extension control).
        """
        return [
            RTCRtpHeaderExtensionCapability(e.uri, _shown(e.direction)) for e in self._part.known_extensions
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
        known = self._part.known_extensions
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
        self._part.extensions = tuple(changed)
        self._on_changed()

    def getNegotiatedHeaderExtensions(self) -> list[RTCRtpHeaderExtensionCapability]:
        """Likewise, with what was last negotiated: "stopped" for what is not in use."""
        section = self._part.section
        sent = {e.uri for e in section.send_extensions} if section is not None else set()
        received = {e.uri for e in section.receive_extensions} if section is not None else set()
        found = []
        for extension in self._part.known_extensions:
            uri = extension.uri
            if uri in sent:
                direction = Direction.SENDRECV if uri in received else Direction.SENDONLY
            else:
                direction = Direction.RECVONLY if uri in received else Direction.INACTIVE
            found.append(RTCRtpHeaderExtensionCapability(uri, _shown(direction)))
        return found

    def __repr__(self) -> str:
        return f"<RTCRtpTransceiver {self.kind} mid={self.mid} {self.direction}>"


def _shown(direction: Direction) -> RTCRtpTransceiverDirection:
    if direction is Direction.INACTIVE:
        return RTCRtpTransceiverDirection.STOPPED
    return RTCRtpTransceiverDirection(direction.value)


def let_offers_take(transceiver: RTCRtpTransceiver) -> None:
    """Let remote offers take a transceiver whoever made it, and whether or not the peer receives there.

    For faces of other libraries: JSEP lets them take only what addTrack made (section 5.10).
    """
    transceiver._part.fits_any_offer = True
