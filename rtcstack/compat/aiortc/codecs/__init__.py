"""Codecs: which there are, and their coders."""

from __future__ import annotations

from collections.abc import Callable

from rtcstack.compat.aiortc.codecs.base import Decoder, Encoder
from rtcstack.compat.aiortc.codecs.g711 import PcmaDecoder, PcmaEncoder, PcmuDecoder, PcmuEncoder
from rtcstack.compat.aiortc.codecs.g722 import G722Decoder, G722Encoder
from rtcstack.compat.aiortc.codecs.h264 import H264Decoder, H264Encoder, h264_depayload
from rtcstack.compat.aiortc.codecs.opus import OpusDecoder, OpusEncoder
from rtcstack.compat.aiortc.codecs.vpx import Vp8Decoder, Vp8Encoder, vp8_depayload
from rtcstack.compat.aiortc.codecsets import (
    CODECS,
    G722_CODEC,
    HEADER_EXTENSIONS,
    PCMA_CODEC,
    PCMU_CODEC,
    get_capabilities,
    is_rtx,
)
from rtcstack.compat.aiortc.rtcrtpparameters import (
    ParametersDict,
    RTCRtcpFeedback,
    RTCRtpCapabilities,
    RTCRtpCodecCapability,
    RTCRtpCodecParameters,
    RTCRtpHeaderExtensionCapability,
    RTCRtpHeaderExtensionParameters,
)

__all__ = [
    "CODECS",
    "G722_CODEC",
    "HEADER_EXTENSIONS",
    "PCMA_CODEC",
    "PCMU_CODEC",
    "Decoder",
    "Encoder",
    "ParametersDict",
    "RTCRtcpFeedback",
    "RTCRtpCapabilities",
    "RTCRtpCodecCapability",
    "RTCRtpHeaderExtensionCapability",
    "RTCRtpHeaderExtensionParameters",
    "depayload",
    "get_capabilities",
    "get_decoder",
    "get_encoder",
    "init_codecs",
    "is_rtx",
]

_CODERS: dict[str, tuple[Callable[[], Encoder], Callable[[], Decoder]]] = {
    "audio/g722": (G722Encoder, G722Decoder),
    "audio/opus": (OpusEncoder, OpusDecoder),
    "audio/pcma": (PcmaEncoder, PcmaDecoder),
    "audio/pcmu": (PcmuEncoder, PcmuDecoder),
    "video/h264": (H264Encoder, H264Decoder),
    "video/vp8": (Vp8Encoder, Vp8Decoder),
}


def _coders(codec: RTCRtpCodecParameters, what: str) -> tuple[Callable[[], Encoder], Callable[[], Decoder]]:
    found = _CODERS.get(codec.mimeType.lower())
    if found is None:
        raise ValueError(f"No {what} found for MIME type `{codec.mimeType.lower()}`")
    return found


def get_encoder(codec: RTCRtpCodecParameters) -> Encoder:
    """A new encoder.

    Raises:
        ValueError: nothing here encodes it.
    """
    return _coders(codec, "encoder")[0]()


def get_decoder(codec: RTCRtpCodecParameters) -> Decoder:
    """A new decoder.

    Raises:
        ValueError: nothing here decodes it.
    """
    return _coders(codec, "decoder")[1]()


def depayload(codec: RTCRtpCodecParameters, payload: bytes) -> bytes:
    """A payload's part of the encoded frame."""
    match codec.name.upper():
        case "VP8":
            return vp8_depayload(payload)
        case "H264":
            return h264_depayload(payload)
    return payload


def init_codecs() -> None:
    """Nothing to be done: `CODECS` is complete."""
