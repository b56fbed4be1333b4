"""What senders and receivers are able to do.

Spec: webrtc-pc, sections 5.2 and 5.3 (getCapabilities).
"""

from __future__ import annotations

from rtcstack.api.parameters import (
    RTCRtpCapabilities,
    RTCRtpCodec,
    RTCRtpCodecCapability,
    RTCRtpCodecParameters,
    RTCRtpHeaderExtensionCapability,
    RTCRtpHeaderExtensionParameters,
)
from rtcstack.connection.capabilities import our_capabilities, scalability_modes
from rtcstack.jsep.session import Codec, CodecFormat, HeaderExtension

__all__ = ["capabilities", "codec_format", "codec_parameters", "extension_parameters", "shown_channels"]


def capabilities(kind: str, *, send: bool) -> RTCRtpCapabilities | None:
    """Codecs, one entry for each distinct codec and for "rtx" as a whole, and header extensions.

    Args:
        kind: "audio" or "video"; None is returned for anything else.
        send: what can be sent, else what can be received.
    """
    if kind not in ("audio", "video"):
        return None
    media = our_capabilities().of(kind)
    codecs: dict[RTCRtpCodecCapability, None] = {}
    for codec in media.send if send else media.receive:
        parameters = "" if codec.name == "rtx" else codec.parameters
        shown = RTCRtpCodecCapability(
            codec.mime_type,
            codec.clock_rate,
            shown_channels(codec),
            parameters or None,
            scalabilityModes=scalability_modes(codec, send=send),
        )
        codecs[shown] = None
    return RTCRtpCapabilities(
        tuple(codecs),
        tuple(RTCRtpHeaderExtensionCapability(e.uri) for e in media.header_extensions),
    )


def shown_channels(codec: CodecFormat) -> int | None:
    """An rtpmap of sound that names no channels has one (RFC 8866, section 6.6)."""
    return 1 if codec.channels is None and codec.kind == "audio" else codec.channels


def codec_format(codec: RTCRtpCodec) -> CodecFormat:
    """A codec of the W3C's as the negotiation has it; without format parameters, with none."""
    channels = None if codec.channels == 1 else codec.channels
    return CodecFormat(codec.mimeType, codec.clockRate, channels, codec.sdpFmtpLine or "")


def codec_parameters(codecs: tuple[Codec, ...]) -> tuple[RTCRtpCodecParameters, ...]:
    """Negotiated codecs as the W3C shows them."""
    return tuple(
        RTCRtpCodecParameters(
            codec.mime_type,
            codec.clock_rate,
            shown_channels(codec),
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
