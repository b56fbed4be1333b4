"""The dictionaries of RTP senders and receivers.

Spec: webrtc-pc, section 5.2; webrtc-extensions; webrtc-priority; webrtc-svc.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

__all__ = [
    "RTCResolutionRestriction",
    "RTCRtcpParameters",
    "RTCRtpCapabilities",
    "RTCRtpCodec",
    "RTCRtpCodecCapability",
    "RTCRtpCodecParameters",
    "RTCRtpContributingSource",
    "RTCRtpEncodingParameters",
    "RTCRtpHeaderExtensionCapability",
    "RTCRtpHeaderExtensionParameters",
    "RTCRtpReceiveParameters",
    "RTCRtpSendParameters",
    "RTCRtpSynchronizationSource",
    "RTCRtpTransceiverDirection",
]


class RTCRtpTransceiverDirection(StrEnum):
    """Who sends (webrtc-pc, section 5.4)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"
    STOPPED = "stopped"

    @property
    def sends(self) -> bool:
        """Whether this end may send."""
        return self in (RTCRtpTransceiverDirection.SENDRECV, RTCRtpTransceiverDirection.SENDONLY)

    @property
    def receives(self) -> bool:
        """Whether this end may receive."""
        return self in (RTCRtpTransceiverDirection.SENDRECV, RTCRtpTransceiverDirection.RECVONLY)


@dataclass(frozen=True, slots=True)
class RTCRtpCodec:
    """A codec and its configuration.

    Attributes:
        mimeType: e.g. "video/VP8".
        clockRate: Hz.
        channels: number of audio channels, or None.
        sdpFmtpLine: the format parameters, or None.
    """

    mimeType: str
    clockRate: int
    channels: int | None = None
    sdpFmtpLine: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RTCRtpCodecCapability(RTCRtpCodec):
    """A codec that can be sent or received; equal to an `RTCRtpCodec` of the same members.

    Attributes:
        scalabilityModes: of video, the modes of webrtc-svc that work with it; None for what is no codec
            of its own, and for sound. (Earlier drafts of webrtc-svc have this member; the present one
            leaves the question to Media Capabilities.)
    """

    scalabilityModes: tuple[str, ...] | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RTCRtpCodec):
            return NotImplemented
        return _codec_members(self) == _codec_members(other)

    def __hash__(self) -> int:
        return hash(_codec_members(self))


def _codec_members(codec: RTCRtpCodec) -> tuple[str, int, int | None, str | None]:
    return codec.mimeType, codec.clockRate, codec.channels, codec.sdpFmtpLine


@dataclass(frozen=True, slots=True, kw_only=True)
class RTCRtpCodecParameters(RTCRtpCodec):
    """A codec that was negotiated.

    Attributes:
        payloadType: 0 to 127.
    """

    payloadType: int


@dataclass(frozen=True, slots=True)
class RTCRtpHeaderExtensionCapability:
    """A header extension that could be negotiated.

    Attributes:
        uri: what it means.
        direction: who may send it; "stopped" leaves it out of the negotiation.
    """

    uri: str
    direction: RTCRtpTransceiverDirection | str = RTCRtpTransceiverDirection.SENDRECV


@dataclass(frozen=True, slots=True)
class RTCRtpHeaderExtensionParameters:
    """A header extension that was negotiated.

    Attributes:
        uri: what it means.
        id: its number on the wire.
        encrypted: whether it is encrypted (RFC 6904).
    """

    uri: str
    id: int
    encrypted: bool = False


@dataclass(frozen=True, slots=True)
class RTCRtpCapabilities:
    """What can be sent or received.

    Attributes:
        codecs: in order of preference.
        headerExtensions: in no order.
    """

    codecs: tuple[RTCRtpCodecCapability, ...]
    headerExtensions: tuple[RTCRtpHeaderExtensionCapability, ...]


@dataclass(frozen=True, slots=True)
class RTCRtcpParameters:
    """RTCP of a sender or receiver.

    Attributes:
        cname: canonical name, or None.
        reducedSize: whether reduced-size RTCP was negotiated.
    """

    cname: str | None = None
    reducedSize: bool = False


@dataclass(frozen=True, slots=True)
class RTCResolutionRestriction:
    """How large pictures are at most, whichever side is the longer one (webrtc-extensions).

    Attributes:
        maxWidth, maxHeight: pixels; both are needed.
    """

    maxWidth: int | None = None
    maxHeight: int | None = None


@dataclass(slots=True)
class RTCRtpEncodingParameters:
    """One stream of a sender.

    Attributes:
        rid: its name in simulcast, or None.
        active: whether it is sent.
        maxBitrate: bits per second, or None.
        maxFramerate: frames per second, or None.
        scaleResolutionDownBy: 1.0 or more, video only, or None.
        scaleResolutionDownTo: how large pictures are at most, video only, or None; with it
            `scaleResolutionDownBy` does not count. All active encodings have it, or none.
        priority: "very-low", "low", "medium" or "high".
        networkPriority: likewise, for DSCP.
        codec: what to send with, or None for the first negotiated.
        scalabilityMode: of webrtc-svc, or None.
        ptime: sound in a packet, in milliseconds, or None for what the peer asks for; audio only. Codecs
            take what they can of it, and the peer's maximum holds.
        adaptivePtime: let the packet time follow the network, audio only; not beside `ptime`.
    """

    rid: str | None = None
    active: bool = True
    maxBitrate: int | None = None
    maxFramerate: float | None = None
    scaleResolutionDownBy: float | None = None
    priority: str = "low"
    networkPriority: str | None = None
    codec: RTCRtpCodec | None = None
    scalabilityMode: str | None = None
    adaptivePtime: bool = False
    scaleResolutionDownTo: RTCResolutionRestriction | None = None
    ptime: int | None = None


@dataclass(slots=True)
class RTCRtpReceiveParameters:
    """How a receiver is set.

    Attributes:
        codecs: negotiated, in order of preference.
        headerExtensions: negotiated.
        rtcp: see `RTCRtcpParameters`.
    """

    codecs: tuple[RTCRtpCodecParameters, ...] = ()
    headerExtensions: tuple[RTCRtpHeaderExtensionParameters, ...] = ()
    rtcp: RTCRtcpParameters = field(default_factory=RTCRtcpParameters)


@dataclass(slots=True)
class RTCRtpSendParameters(RTCRtpReceiveParameters):
    """How a sender is set; `RTCRtpSender.setParameters` takes it back, changed.

    Attributes:
        transactionId: ties setParameters to the getParameters before it.
        encodings: the streams, see `RTCRtpEncodingParameters`.
        degradationPreference: what to give up first, or None.
    """

    transactionId: str = ""
    encodings: list[RTCRtpEncodingParameters] = field(default_factory=list)
    degradationPreference: str | None = None


@dataclass(frozen=True, slots=True)
class RTCRtpContributingSource:
    """A source whose media was played (webrtc-pc, section 5.3.1).

    Attributes:
        timestamp: when, in milliseconds since the Unix epoch.
        source: its CSRC or SSRC.
        audioLevel: 0 (silence) to 1, or None when not told.
        rtpTimestamp: of what was played.
        captureTimestamp: when that was captured by the capturer's clock, in milliseconds since the
            Unix epoch; None unless the peer sends abs-capture-time (webrtc-extensions).
        senderCaptureTimeOffset: the capturer's clock minus the sender's, in milliseconds, as the sender
            estimates it, or None (webrtc-extensions).
    """

    timestamp: float
    source: int
    audioLevel: float | None
    rtpTimestamp: int
    captureTimestamp: float | None = None
    senderCaptureTimeOffset: float | None = None


@dataclass(frozen=True, slots=True)
class RTCRtpSynchronizationSource(RTCRtpContributingSource):
    """Likewise, of the stream itself (webrtc-pc, section 5.3.2).

    Attributes:
        voiceActivityFlag: whether its sender heard a voice, or None when not told.
    """

    voiceActivityFlag: bool | None = None
