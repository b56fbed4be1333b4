"""What a sender is given of its track, before anything is encoded.

Spec: webrtc-stats, sections on RTCAudioSourceStats and RTCVideoSourceStats.
"""

from __future__ import annotations

from rtcstack.media.pipeline.rate import FrameRate
from rtcstack.media.track import MediaStreamTrack

__all__ = ["SourceMeter"]


class SourceMeter:
    """Measures a track from when it was attached to one sender until it is taken from it.

    Args:
        track: the track.

    Attributes:
        track: as above.
        frames_before: frames that its source had given before.
        frame_rate: pictures that came.
        level: of the last frame of sound, 0 to 1; None where it is not known.
        energy: sum over the sound of its squared level times its duration in seconds.
        duration_s: of the sound, in seconds.
    """

    __slots__ = ("duration_s", "energy", "frame_rate", "frames_before", "level", "track")

    def __init__(self, track: MediaStreamTrack) -> None:
        self.track = track
        self.frames_before = track.source.frames
        self.frame_rate = FrameRate()
        self.level: float | None = None
        self.energy = 0.0
        self.duration_s = 0.0

    def heard(self, power: float | None, seconds: float) -> None:
        """Sound came.

        Args:
            power: mean of the samples' squares, full scale being 1; None where they are not looked at.
            seconds: how long it is.
        """
        self.duration_s += seconds
        if power is not None:
            self.level = power**0.5
            self.energy += power * seconds
