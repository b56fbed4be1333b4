"""What the frames of a source are like."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["Form"]


@dataclass(frozen=True, slots=True)
class Form:
    """What is known of a source's frames.

    Attributes:
        width, height: of pictures, in pixels.
        frame_rate: pictures a second; 0.0 when unknown.
        is_declared: whether the source has said so itself, and keeps to it; else it was seen.
        sample_rate: of sound, in Hz.
        channels: of sound.
        sample_bits: of one sample.
        latency_s: seconds of sound in a frame.
    """

    width: int = 0
    height: int = 0
    frame_rate: float = 0.0
    is_declared: bool = False
    sample_rate: int = 0
    channels: int = 0
    sample_bits: int = 16
    latency_s: float = 0.0

    def has_size_of(self, other: Form) -> bool:
        """Whether pictures are as large, or sound of the same rate and channels."""
        return (self.width, self.height, self.sample_rate, self.channels, self.is_declared) == (
            other.width,
            other.height,
            other.sample_rate,
            other.channels,
            other.is_declared,
        )

    def as_declared(self, frame_rate: float) -> Form:
        """The same as something that will not change, at most so many pictures a second."""
        return replace(self, is_declared=True, frame_rate=frame_rate)
