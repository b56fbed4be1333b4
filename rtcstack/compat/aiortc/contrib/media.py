"""MediaPlayer, MediaRecorder, MediaRelay and MediaBlackhole."""

from __future__ import annotations

from av import AudioFrame, VideoFrame

from rtcstack.compat.aiortc.contrib.player import REAL_TIME_FORMATS, MediaPlayer, PlayerStreamTrack
from rtcstack.compat.aiortc.contrib.recorder import MediaRecorder
from rtcstack.compat.aiortc.contrib.relay import MediaBlackhole, MediaRelay, RelayStreamTrack
from rtcstack.compat.aiortc.mediastreams import AUDIO_PTIME, MediaStreamError, MediaStreamTrack

__all__ = [
    "AUDIO_PTIME",
    "REAL_TIME_FORMATS",
    "AudioFrame",
    "MediaBlackhole",
    "MediaPlayer",
    "MediaRecorder",
    "MediaRelay",
    "MediaStreamError",
    "MediaStreamTrack",
    "PlayerStreamTrack",
    "RelayStreamTrack",
    "VideoFrame",
]
