"""G.711: its coders."""

from __future__ import annotations

from rtcstack.compat.aiortc.codecs.base import AudioDecoder, AudioEncoder

__all__ = ["SAMPLE_RATE", "PcmaDecoder", "PcmaEncoder", "PcmuDecoder", "PcmuEncoder"]

SAMPLE_RATE = 8_000


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
