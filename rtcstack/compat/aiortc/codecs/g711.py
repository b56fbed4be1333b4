"""G.711: its coders."""

from __future__ import annotations

import fractions

from rtcstack.compat.aiortc.codecs.base import AudioDecoder, AudioEncoder, Decoder, Encoder
from rtcstack.compat.aiortc.jitterbuffer import JitterFrame
from rtcstack.compat.aiortc.mediastreams import convert_timebase

__all__ = [
    "SAMPLES_PER_FRAME",
    "SAMPLE_RATE",
    "SAMPLE_WIDTH",
    "TIME_BASE",
    "Decoder",
    "Encoder",
    "JitterFrame",
    "PcmaDecoder",
    "PcmaEncoder",
    "PcmuDecoder",
    "PcmuEncoder",
    "convert_timebase",
]

SAMPLE_RATE = 8_000
SAMPLE_WIDTH = 2
SAMPLES_PER_FRAME = 160
TIME_BASE = fractions.Fraction(1, SAMPLE_RATE)


class PcmaEncoder(AudioEncoder):
    """Encodes, A-law."""

    def __init__(self) -> None:
        super().__init__("pcma", SAMPLE_RATE)


class PcmaDecoder(AudioDecoder):
    """Decodes, A-law."""

    def __init__(self) -> None:
        super().__init__("pcma", SAMPLE_RATE)


class PcmuEncoder(AudioEncoder):
    """Encodes, mu-law."""

    def __init__(self) -> None:
        super().__init__("pcmu", SAMPLE_RATE)


class PcmuDecoder(AudioDecoder):
    """Decodes, mu-law."""

    def __init__(self) -> None:
        super().__init__("pcmu", SAMPLE_RATE)
