"""RTCRtpReceiver.

Spec: webrtc-pc, section 5.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtcstack.api.capabilities import capabilities
from rtcstack.api.parameters import (
    RTCRtcpParameters,
    RTCRtpCapabilities,
    RTCRtpCodecParameters,
    RTCRtpHeaderExtensionParameters,
    RTCRtpReceiveParameters,
)
from rtcstack.media.stream import MediaStream
from rtcstack.media.track import MediaStreamTrack

if TYPE_CHECKING:
    from rtcstack.api.dtlstransport import RTCDtlsTransport
    from rtcstack.jsep.session import Codec, HeaderExtension, Section

__all__ = ["RTCRtpReceiver", "codec_parameters", "extension_parameters"]


def codec_parameters(codecs: tuple[Codec, ...]) -> tuple[RTCRtpCodecParameters, ...]:
    """Negotiated codecs as the W3C shows them."""
    return tuple(
        RTCRtpCodecParameters(
            codec.mime_type,
            codec.clock_rate,
            codec.channels,
            codec.parameters or None,
            payloadType=codec.payload_type,
        )
        for codec in codecs
    )


def extension_parameters(
    extensions: tuple[HeaderExtension, ...],
) -> tuple[RTCRtpHeaderExtensionParameters, ...]:
    """Negotiated header extensions as the W3C shows them."""
    return tuple(RTCRtpHeaderExtensionParameters(e.uri, e.id) for e in extensions)


class RTCRtpReceiver:
    """Receives one track.

    Spec: webrtc-pc, section 5.3.
    """

    def __init__(self, kind: str) -> None:
        self._track = MediaStreamTrack(kind, label=f"remote {kind}", muted=True)
        self._transport: RTCDtlsTransport | None = None
        self._section: Section | None = None
        self.streams: list[MediaStream] = []

    @property
    def track(self) -> MediaStreamTrack:
        """What arrives; muted while nothing does."""
        return self._track

    @property
    def transport(self) -> RTCDtlsTransport | None:
        """What it arrives over; None before negotiation."""
        return self._transport

    @staticmethod
    def getCapabilities(kind: str) -> RTCRtpCapabilities | None:
        """What can be received.

        Args:
            kind: "audio" or "video"; None is returned for anything else.
        """
        return capabilities(kind, send=False)

    def getParameters(self) -> RTCRtpReceiveParameters:
        """What was negotiated."""
        section = self._section
        if section is None:
            return RTCRtpReceiveParameters()
        return RTCRtpReceiveParameters(
            codecs=codec_parameters(section.receive_codecs),
            headerExtensions=extension_parameters(section.receive_extensions),
            rtcp=RTCRtcpParameters(reducedSize=section.rtcp_rsize),
        )

    def bind(self, section: Section | None, transport: RTCDtlsTransport | None) -> None:
        """Take over what has been agreed."""
        self._section = section
        self._transport = transport
