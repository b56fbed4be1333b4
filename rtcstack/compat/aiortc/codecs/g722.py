"""G.722: its coders."""

from __future__ import annotations

from rtcstack.compat.aiortc.codecs.base import AudioDecoder, AudioEncoder

__all__ = ["CLOCK_RATE", "SAMPLE_RATE", "G722Decoder", "G722Encoder"]

SAMPLE_RATE = 16_000
CLOCK_RATE = 8_000
"""Of RTP: half of what it is (RFC 3551, section 4.5.2)."""


class G722Encoder(AudioEncoder):
    """Encodes."""

    def __init__(self) -> None:
        super().__init__("g722", CLOCK_RATE)


class G722Decoder(AudioDecoder):
    """Decodes."""

    def __init__(self) -> None:
        super().__init__("g722", CLOCK_RATE)
