"""One question: what does a format of files hold, and what encodes it?"""

from __future__ import annotations

import av
from av.container import OutputContainer

from rtcstack.errors import OperationError

__all__ = ["encoder_for", "holds"]

_VIDEO_CODECS = {
    "webm": "libvpx",
    "ivf": "libvpx",
    "mp4": "libx264",
    "mov": "libx264",
    "matroska": "libx264",
    "mpegts": "libx264",
    "hls": "libx264",
    "flv": "libx264",
}
_AUDIO_CODECS = {
    "webm": "libopus",
    "ogg": "libopus",
    "wav": "pcm_s16le",
    "mp4": "aac",
    "mov": "aac",
    "mpegts": "aac",
    "hls": "aac",
    "flv": "aac",
}
_NAMES = {"h265": "hevc", "pcmu": "pcm_mulaw", "pcma": "pcm_alaw"}
"""FFmpeg's, of codecs that have another in RTP."""

_ALSO_HELD = {"ogg": {"opus"}, "mpegts": {"h264", "hevc", "opus"}, "hls": {"hevc", "opus"}}
"""Beside what FFmpeg's muxers say of themselves."""


def _names(container: OutputContainer) -> set[str]:
    return set(container.format.name.split(","))


def encoder_for(container: OutputContainer, kind: str, wanted: str | None) -> str:
    """FFmpeg's name of the encoder for a kind of media in a file.

    Args:
        container: the file.
        kind: "audio" or "video".
        wanted: what the application asks for; None for what suits the format.

    Raises:
        OperationError: the format holds no such media, or nothing here encodes it.
    """
    suited, usual = _VIDEO_CODECS, container.default_video_codec
    if kind == "audio":
        suited, usual = _AUDIO_CODECS, container.default_audio_codec
    codec = wanted or next((c for f, c in suited.items() if f in _names(container)), usual)
    # to FFmpeg the picture on a sleeve is video, too
    if not codec or codec == "none" or (kind == "video" and codec == "png" and wanted is None):
        raise OperationError(f"{container.format.name} holds no {kind}")
    try:
        av.Codec(codec, "w")
    except (av.FFmpegError, ValueError):
        raise OperationError(f"{container.format.name}: there is no encoder {codec} here") from None
    return codec


def holds(container: OutputContainer, codec: str) -> bool:
    """Whether a file may hold what came encoded; True where its format does not tell.

    Args:
        container: the file.
        codec: its name in RTP, in lower case.
    """
    name = _NAMES.get(codec, codec)
    if any(name in also for f, also in _ALSO_HELD.items() if f in _names(container)):
        return True
    held = container.supported_codecs
    if held:
        return name in held
    return not _names(container) & _ALSO_HELD.keys()
