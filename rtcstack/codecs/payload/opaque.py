"""Payloads whose frames nobody can read yet: they were sealed as a whole.

The payload descriptors are as they were, so pictures begin and end where they do; what a format tells in the
frame itself is told once it is open.
"""

from __future__ import annotations

from collections.abc import Sequence

from rtcstack.codecs.payload.vp8 import Vp8Depacketizer
from rtcstack.errors import ParseError
from rtcstack.rtp.frames import AudioUnit, PayloadInfo

__all__ = ["OpaqueAudioDepacketizer", "OpaqueVp8Depacketizer"]


class OpaqueVp8Depacketizer(Vp8Depacketizer):
    """VP8 tells key frames in the frame: any picture may be one, as far as packets go."""

    __slots__ = ()

    def depacketize(self, payload: bytes) -> PayloadInfo:
        """See `Vp8Depacketizer.depacketize`."""
        info = super().depacketize(payload)
        info.key_frame = bool(info.starts_frame)
        info.width = info.height = None
        return info


class OpaqueAudioDepacketizer:
    """A payload is a frame; how long it is, its time and the next one's tell."""

    __slots__ = ()

    def split(self, payload: bytes) -> Sequence[AudioUnit]:
        """See `AudioDepacketizer.split`."""
        if not payload:
            raise ParseError("a payload without a frame")
        return (AudioUnit(payload),)
