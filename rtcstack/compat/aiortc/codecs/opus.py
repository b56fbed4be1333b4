"""Opus: its coders."""

from __future__ import annotations

import fractions

from rtcstack.codecs.coders.audio import AudioSettings
from rtcstack.compat.aiortc.codecs.base import AudioDecoder, AudioEncoder, Decoder, Encoder
from rtcstack.compat.aiortc.jitterbuffer import JitterFrame
from rtcstack.compat.aiortc.mediastreams import convert_timebase

__all__ = [
    "SAMPLES_PER_FRAME",
    "SAMPLE_RATE",
    "TIME_BASE",
    "Decoder",
    "Encoder",
    "JitterFrame",
    "OpusDecoder",
    "OpusEncoder",
    "convert_timebase",
]

SAMPLE_RATE = 48_000
SAMPLES_PER_FRAME = 960
TIME_BASE = fractions.Fraction(1, SAMPLE_RATE)


class OpusEncoder(AudioEncoder):
    """Encodes."""

    def __init__(self) -> None:
        super().__init__("opus", SAMPLE_RATE, AudioSettings(stereo=True, bitrate_bps=96_000))


class OpusDecoder(AudioDecoder):
    """Decodes."""

    def __init__(self) -> None:
        super().__init__("opus", SAMPLE_RATE)
