"""H.264: its coders, and the rates that programs set."""

from __future__ import annotations

from rtcstack.compat.aiortc.codecs.base import Decoder, Encoder, VideoDecoder, VideoEncoder, depayload_video
from rtcstack.compat.aiortc.jitterbuffer import JitterFrame
from rtcstack.compat.aiortc.mediastreams import VIDEO_TIME_BASE, convert_timebase

__all__ = [
    "DEFAULT_BITRATE",
    "MAX_BITRATE",
    "MAX_FRAME_RATE",
    "MIN_BITRATE",
    "VIDEO_TIME_BASE",
    "Decoder",
    "Encoder",
    "H264Decoder",
    "H264Encoder",
    "JitterFrame",
    "convert_timebase",
    "h264_depayload",
]

DEFAULT_BITRATE = 1_000_000
"""What an encoder aims at to begin with, in bit/s."""

MIN_BITRATE = 500_000
MAX_BITRATE = 3_000_000
"""What `target_bitrate` is kept within; a connection's senders keep below `MAX_BITRATE` once a program has
set it."""

MAX_FRAME_RATE = 30
"""Pictures a second that a connection's senders keep below, once a program has set it."""


class H264Encoder(VideoEncoder):
    """Encodes."""

    def __init__(self) -> None:
        super().__init__("h264", {"packetization-mode": "1", "profile-level-id": "42e01f"})

    def _limits(self) -> tuple[int, int, int]:
        return DEFAULT_BITRATE, MIN_BITRATE, MAX_BITRATE


class H264Decoder(VideoDecoder):
    """Decodes."""

    def __init__(self) -> None:
        super().__init__("h264")


def h264_depayload(payload: bytes) -> bytes:
    """A payload's part of the encoded frame.

    Raises:
        ValueError: it is none.
    """
    return depayload_video("h264", payload)
