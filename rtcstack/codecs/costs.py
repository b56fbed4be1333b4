"""What coders' jobs stand for where time is modelled: about what a core of these years takes.

Nothing depends on these where jobs run on threads, which take the time that they take.
"""

from __future__ import annotations

from typing import Any

import av

__all__ = ["decoding_s", "encoding_s", "playing_s"]

ENCODING_S_PER_PIXEL = 8e-9
"""Seven milliseconds for a picture of 1280 x 720."""

DECODING_S_PER_PIXEL = 2e-9

DECODING_S_PER_BYTE = 100e-9
"""Of an encoded picture whose size is not told: it comes with its bits."""

SOUND_S_PER_SAMPLE = 50e-9
"""Either way: 50 microseconds for 20 ms."""


def encoding_s(frame: Any) -> float:
    """Seconds of work to encode a raw frame; nothing for what is encoded already."""
    if isinstance(frame, av.VideoFrame):
        return frame.width * frame.height * ENCODING_S_PER_PIXEL
    return frame.samples * SOUND_S_PER_SAMPLE if isinstance(frame, av.AudioFrame) else 0.0


def decoding_s(width: int | None, height: int | None, size_bytes: int) -> float:
    """Seconds of work to decode a picture.

    Args:
        width, height: in pixels; 0 or None where they are not known.
        size_bytes: as it is encoded.
    """
    if width and height:
        return width * height * DECODING_S_PER_PIXEL
    return size_bytes * DECODING_S_PER_BYTE


def playing_s(duration: int, clock_rate: int) -> float:
    """Seconds of work to decode sound, or to make up what is missing.

    Args:
        duration: in RTP ticks.
        clock_rate: ticks a second.
    """
    return duration * 48_000 // clock_rate * SOUND_S_PER_SAMPLE
