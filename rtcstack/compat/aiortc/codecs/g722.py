"""G.722: its coders."""

from __future__ import annotations

import fractions

from rtcstack.compat.aiortc.codecs.base import AudioDecoder, AudioEncoder, Decoder, Encoder
from rtcstack.compat.aiortc.jitterbuffer import JitterFrame
from rtcstack.compat.aiortc.mediastreams import convert_timebase

__all__ = [
    "CLOCK_BASE",
    "CLOCK_RATE",
    "SAMPLES_PER_FRAME",
    "SAMPLE_RATE",
    "SAMPLE_WIDTH",
    "TIME_BASE",
    "Decoder",
    "Encoder",
    "G722Decoder",
    "G722Encoder",
    "JitterFrame",
    "convert_timebase",
]

SAMPLE_RATE = 16_000
SAMPLE_WIDTH = 2
SAMPLES_PER_FRAME = 320
TIME_BASE = fractions.Fraction(1, SAMPLE_RATE)
CLOCK_RATE = 8_000
"""Of RTP: half of what it is (RFC 3551, section 4.5.2)."""

CLOCK_BASE = fractions.Fraction(1, CLOCK_RATE)


class G722Encoder(AudioEncoder):
    """Encodes."""

    def __init__(self) -> None:
        super().__init__("g722", CLOCK_RATE)


class G722Decoder(AudioDecoder):
    """Decodes."""

    def __init__(self) -> None:
        super().__init__("g722", CLOCK_RATE)
