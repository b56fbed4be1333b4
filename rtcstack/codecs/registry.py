"""Which codecs there are on this machine, and what makes and reads each.

Codecs go by their encoding name in lower case ("vp8", "opus"), parameters by their lower-case name,
as `rtcstack.jsep.session.CodecFormat` has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from rtcstack.codecs.coders import vpx_encoder
from rtcstack.codecs.coders.audio import AudioDecoder, AudioEncoder, AudioSettings
from rtcstack.codecs.coders.av_encoder import AvEncoder
from rtcstack.codecs.coders.g711 import G711Decoder, G711Encoder, G722Decoder, G722Encoder
from rtcstack.codecs.coders.limits import DecoderLimits
from rtcstack.codecs.coders.opus import opus_bitrates, opus_decoder, opus_encoder
from rtcstack.codecs.coders.video import VideoEncoder, VideoSettings
from rtcstack.codecs.coders.video_decoder import VideoDecoder
from rtcstack.codecs.coders.vpx_encoder import VpxEncoder
from rtcstack.codecs.layers import SHIFTED_MODES, SPATIAL_MODES, TEMPORAL_MODES
from rtcstack.codecs.payload.av1 import Av1Depacketizer, Av1Packetizer
from rtcstack.codecs.payload.base import Packetizer
from rtcstack.codecs.payload.g711 import OctetDepacketizer
from rtcstack.codecs.payload.h264 import H264Depacketizer, H264Packetizer
from rtcstack.codecs.payload.h265 import H265Depacketizer, H265Packetizer
from rtcstack.codecs.payload.opaque import OpaqueAudioDepacketizer, OpaqueVp8Depacketizer
from rtcstack.codecs.payload.opus import OpusDepacketizer
from rtcstack.codecs.payload.vp8 import Vp8Depacketizer, Vp8Packetizer
from rtcstack.codecs.payload.vp9 import Vp9Depacketizer, Vp9Packetizer
from rtcstack.entropy import entropy
from rtcstack.errors import OperationError
from rtcstack.rtp.frames import AudioDepacketizer, Depacketizer

__all__ = [
    "audio_bitrates",
    "audio_decoder",
    "audio_depacketizer",
    "audio_encoder",
    "audio_settings",
    "can_decode",
    "can_encode",
    "max_packet_time_ms",
    "received_scalability_modes",
    "scalability_modes",
    "video_decoder",
    "video_decoder_name",
    "video_depacketizer",
    "video_encoder",
    "video_packetizer",
]

_DEPACKETIZERS: Mapping[str, Depacketizer] = {
    "vp8": Vp8Depacketizer(),
    "vp9": Vp9Depacketizer(),
    "h264": H264Depacketizer(),
    "h265": H265Depacketizer(),
    "av1": Av1Depacketizer(),
}
_AUDIO_DEPACKETIZERS: Mapping[str, AudioDepacketizer] = {
    "opus": OpusDepacketizer(),
    "g722": OctetDepacketizer(),
    "pcmu": OctetDepacketizer(),
    "pcma": OctetDepacketizer(),
}
_OPAQUE: dict[str, Depacketizer] = {"vp8": OpaqueVp8Depacketizer()}
"""Formats that tell of a frame in the frame itself. VP9 tells all in its descriptor."""

_OPAQUE_AUDIO = OpaqueAudioDepacketizer()
_NO_PARAMETERS: Mapping[str, str] = {}

_LIBVPX = (None, "libvpx", "libvpx-vp9")
"""What an application may call the encoder of VP8 and VP9 that is taken anyway."""


def video_depacketizer(codec: str, *, is_opaque: bool = False) -> Depacketizer:
    """Reads a video format's payloads; keeps no state, so that streams may share it.

    Args:
        codec: encoding name in lower case.
        is_opaque: its frames were sealed as a whole.

    Raises:
        OperationError: the format is unknown.
    """
    try:
        found = _DEPACKETIZERS[codec]
        return _OPAQUE.get(codec, found) if is_opaque else found
    except KeyError:
        raise OperationError(f"{codec.upper()} has no payload format here") from None


def audio_depacketizer(codec: str, *, is_opaque: bool = False) -> AudioDepacketizer:
    """Reads an audio format's payloads; keeps no state.

    Args:
        codec: encoding name in lower case.
        is_opaque: its frames were sealed as a whole.

    Raises:
        OperationError: the format is unknown.
    """
    try:
        found = _AUDIO_DEPACKETIZERS[codec]
        return _OPAQUE_AUDIO if is_opaque else found
    except KeyError:
        raise OperationError(f"{codec.upper()} has no payload format here") from None


def video_packetizer(codec: str, parameters: Mapping[str, str]) -> Packetizer:
    """Cuts one stream's frames; begins at random picture ids.

    Raises:
        OperationError: the format is unknown.
    """
    if codec == "vp8":
        return Vp8Packetizer(entropy().random.getrandbits(15), entropy().random.getrandbits(8))
    if codec == "vp9":
        return Vp9Packetizer(entropy().random.getrandbits(15), entropy().random.getrandbits(8))
    if codec == "h264":
        return H264Packetizer(1 if parameters.get("packetization-mode") == "1" else 0)
    if codec == "h265":
        return H265Packetizer()
    if codec == "av1":
        return Av1Packetizer()
    raise OperationError(f"{codec.upper()} has no payload format here")


def video_encoder(codec: str, settings: VideoSettings) -> VideoEncoder:
    """One stream's encoder.

    Raises:
        OperationError: the codec is unknown, or nothing here can encode it.
    """
    native = settings.implementation in _LIBVPX and vpx_encoder.available()
    if codec == "vp8" or (codec == "vp9" and settings.parameters.get("profile-id", "0") == "0"):
        return VpxEncoder(codec, settings) if native else AvEncoder(codec, settings)
    if codec in ("h264", "h265", "av1"):
        return AvEncoder(codec, settings)
    raise OperationError(f"{codec.upper()} cannot be encoded here")


def video_decoder(
    codec: str, *, implementation: str | None = None, limits: DecoderLimits | None = None
) -> VideoDecoder:
    """One stream's decoder.

    Args:
        codec: by its name in lower case.
        implementation: FFmpeg's name of a decoder, to be tried first.
        limits: of memory; None for the usual ones.

    Raises:
        OperationError: nothing here can decode it.
    """
    return VideoDecoder(codec, implementation=implementation, limits=limits or DecoderLimits())


@cache
def video_decoder_name(codec: str) -> str:
    """What decodes a format here, by FFmpeg's name; "" if nothing does.

    Args:
        codec: encoding name in lower case.
    """
    try:
        return video_decoder(codec).implementation
    except OperationError:
        return ""


def audio_encoder(codec: str, settings: AudioSettings) -> AudioEncoder:
    """One stream's encoder.

    Raises:
        OperationError: the codec is unknown, or nothing here can encode it.
    """
    if codec == "opus":
        return opus_encoder(settings)
    if codec in ("pcmu", "pcma"):
        return G711Encoder(codec, settings)
    if codec == "g722":
        return G722Encoder(settings)
    raise OperationError(f"{codec.upper()} cannot be encoded here")


def audio_decoder(codec: str, *, channels: int = 2) -> AudioDecoder:
    """One stream's decoder.

    Args:
        codec: "opus", "pcmu", "pcma" or "g722".
        channels: of what Opus gives; the others are mono.

    Raises:
        OperationError: nothing here can decode it.
    """
    if codec == "opus":
        return opus_decoder(channels)
    if codec in ("pcmu", "pcma"):
        return G711Decoder(codec)
    if codec == "g722":
        return G722Decoder()
    raise OperationError(f"{codec.upper()} cannot be decoded here")


def audio_settings(base: AudioSettings, parameters: Mapping[str, str]) -> AudioSettings:
    """What the peer's format parameters make of the settings (RFC 7587, section 7).

    Args:
        base: what the application wants.
        parameters: what the peer says it receives best.
    """
    bitrate = _number(parameters, "maxaveragebitrate", 6_000, 510_000)
    if bitrate is not None and base.bitrate_bps is not None:
        bitrate = min(bitrate, base.bitrate_bps)
    ptime: float = _number(parameters, "ptime", 3, 120) or base.ptime_ms
    ptime = max(ptime, _number(parameters, "minptime", 3, 120) or 0)
    ptime = min(ptime, _number(parameters, "maxptime", 3, 120) or 120)
    return replace(
        base,
        bitrate_bps=base.bitrate_bps if bitrate is None else bitrate,
        ptime_ms=max((p for p in (2.5, 5, 10, 20, 40, 60, 80, 100, 120) if p <= ptime), default=2.5),
        stereo=base.stereo or parameters.get("stereo") == "1",
        in_band_fec=base.in_band_fec and parameters.get("useinbandfec") == "1",
        dtx=base.dtx or parameters.get("usedtx") == "1",
        variable_bitrate=base.variable_bitrate and parameters.get("cbr") != "1",
        max_playback_rate=_number(parameters, "maxplaybackrate", 8_000, 48_000) or base.max_playback_rate,
    )


def max_packet_time_ms(parameters: Mapping[str, str]) -> float:
    """Milliseconds of sound that the peer wants in a packet at most, as far as its format parameters say."""
    return _number(parameters, "maxptime", 3, 120) or 120


def audio_bitrates(codec: str, settings: AudioSettings) -> tuple[int, int]:
    """What an encoder aims at unless it is told otherwise, and the least that it can usefully be told.

    Args:
        codec: "opus", "pcmu", "pcma" or "g722".
        settings: that it is made with.

    Returns:
        Bits a second, of each; the same where there is nothing to choose.
    """
    return opus_bitrates(settings) if codec == "opus" else (64_000, 64_000)


def _number(parameters: Mapping[str, str], name: str, low: int, high: int) -> int | None:
    text = parameters.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        return None
    return max(low, min(int(text), high))


def can_encode(codec: str, parameters: Mapping[str, str] = _NO_PARAMETERS) -> bool:
    """Whether something here encodes it; tells by making the encoder, once.

    Args:
        codec: by its encoding name in lower case.
        parameters: of the format. They decide for VP9 only, whose profile 2 has ten bits a sample.
    """
    return _has_encoder(codec) and not _is_deep(codec, parameters)


def can_decode(codec: str, parameters: Mapping[str, str] = _NO_PARAMETERS) -> bool:
    """Whether something here decodes it; tells by making the decoder, once. See `can_encode`."""
    if not _has_decoder(codec):
        return False
    # FFmpeg's own decoder knows every depth; builds of libvpx may not
    return not _is_deep(codec, parameters) or video_decoder(codec).implementation == "vp9"


@cache
def scalability_modes(codec: str, implementation: str | None = None) -> tuple[str, ...]:
    """The modes of webrtc-svc that a video format is encoded with here; none where it is not encoded.

    libvpx makes temporal layers of VP8 and all of VP9, SVT-AV1 temporal layers; x264 and x265 make none in
    low delay (docs/decisions/layers.md).

    Args:
        codec: encoding name in lower case.
        implementation: of the encoder, by PyAV's name, or None.
    """
    if codec not in _DEPACKETIZERS or not can_encode(codec):
        return ()
    if implementation in _LIBVPX and vpx_encoder.available():
        if codec == "vp8":
            return TEMPORAL_MODES
        if codec == "vp9":
            return TEMPORAL_MODES + SPATIAL_MODES
    return AvEncoder(codec, VideoSettings(implementation=implementation)).modes


def received_scalability_modes(codec: str) -> tuple[str, ...]:
    """The modes of webrtc-svc that a video format may come with; none where it is not decoded.

    Args:
        codec: encoding name in lower case.
    """
    if codec not in _DEPACKETIZERS or not can_decode(codec):
        return ()
    if codec in ("vp9", "av1"):
        return TEMPORAL_MODES + SPATIAL_MODES + SHIFTED_MODES
    return TEMPORAL_MODES


def _is_deep(codec: str, parameters: Mapping[str, str]) -> bool:
    return codec == "vp9" and parameters.get("profile-id", "0") != "0"


@cache
def _has_encoder(codec: str) -> bool:
    try:
        if codec in _AUDIO_DEPACKETIZERS:
            audio_encoder(codec, AudioSettings()).close()
        else:
            video_encoder(codec, VideoSettings()).close()
    except OperationError:
        return False
    return True


@cache
def _has_decoder(codec: str) -> bool:
    try:
        if codec in _AUDIO_DEPACKETIZERS:
            audio_decoder(codec).close()
        else:
            video_decoder(codec)
    except OperationError:
        return False
    return True
