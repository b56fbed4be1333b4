"""Dictionaries of codecs, header extensions and what senders and receivers are given of them."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = [
    "DIRECTIONS",
    "ParametersDict",
    "RTCRtcpFeedback",
    "RTCRtcpParameters",
    "RTCRtpCapabilities",
    "RTCRtpCodecCapability",
    "RTCRtpCodecParameters",
    "RTCRtpCodingParameters",
    "RTCRtpDecodingParameters",
    "RTCRtpEncodingParameters",
    "RTCRtpHeaderExtensionCapability",
    "RTCRtpHeaderExtensionParameters",
    "RTCRtpParameters",
    "RTCRtpReceiveParameters",
    "RTCRtpRtxParameters",
    "RTCRtpSendParameters",
]

DIRECTIONS = ["inactive", "sendonly", "recvonly", "sendrecv"]
"""What a section or a transceiver may do."""

ParametersDict = dict[str, int | str | None]
"""Format parameters by name; None where a name stands without a value."""


@dataclass
class RTCRtpCodecCapability:
    """A codec that can be had.

    Attributes:
        mimeType: "audio/PCMU", for example.
        clockRate: RTP clock, in Hz.
        channels: of audio.
        parameters: format parameters.
    """

    mimeType: str
    clockRate: int
    channels: int | None = None
    parameters: ParametersDict = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The encoding's name."""
        return self.mimeType.split("/")[1]


@dataclass
class RTCRtpCodecParameters:
    """A codec that is in use.

    Attributes:
        mimeType, clockRate, channels, parameters: see `RTCRtpCodecCapability`.
        payloadType: its number in packets.
        rtcpFeedback: what a receiver may send.
    """

    mimeType: str
    clockRate: int
    channels: int | None = None
    payloadType: int | None = None
    rtcpFeedback: list[RTCRtcpFeedback] = field(default_factory=list)
    parameters: ParametersDict = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The encoding's name."""
        return self.mimeType.split("/")[1]

    def __str__(self) -> str:
        return f"{self.name}/{self.clockRate}" + ("/2" if self.channels == 2 else "")


@dataclass
class RTCRtpRtxParameters:
    """Retransmissions: on this source."""

    ssrc: int


@dataclass
class RTCRtpCodingParameters:
    """A stream: its source, its payload type, its retransmissions."""

    ssrc: int
    payloadType: int
    rtx: RTCRtpRtxParameters | None = None


class RTCRtpDecodingParameters(RTCRtpCodingParameters):
    """Of a stream that is received."""


class RTCRtpEncodingParameters(RTCRtpCodingParameters):
    """Of a stream that is sent."""


@dataclass
class RTCRtpHeaderExtensionCapability:
    """A header extension that is known."""

    uri: str


@dataclass
class RTCRtpHeaderExtensionParameters:
    """A header extension that is in use, and its number."""

    id: int
    uri: str


@dataclass
class RTCRtpCapabilities:
    """What can be sent or received."""

    codecs: list[RTCRtpCodecCapability] = field(default_factory=list)
    headerExtensions: list[RTCRtpHeaderExtensionCapability] = field(default_factory=list)


@dataclass
class RTCRtcpFeedback:
    """What a receiver may send: "nack" with "pli", for example."""

    type: str
    parameter: str | None = None


@dataclass
class RTCRtcpParameters:
    """RTCP: the canonical name, whether it shares RTP's port, the source of reports."""

    cname: str | None = None
    mux: bool = False
    ssrc: int | None = None


@dataclass
class RTCRtpParameters:
    """What a sender or receiver works with; `muxId` is the section's mid."""

    codecs: list[RTCRtpCodecParameters] = field(default_factory=list)
    headerExtensions: list[RTCRtpHeaderExtensionParameters] = field(default_factory=list)
    muxId: str = ""
    rtcp: RTCRtcpParameters = field(default_factory=RTCRtcpParameters)


@dataclass
class RTCRtpReceiveParameters(RTCRtpParameters):
    """Of a receiver."""

    encodings: list[RTCRtpDecodingParameters] = field(default_factory=list)


@dataclass
class RTCRtpSendParameters(RTCRtpParameters):
    """Of a sender."""

    encodings: list[RTCRtpEncodingParameters] = field(default_factory=list)
