"""What is counted of the pictures of one encoding, as statistics tell it.

Spec: webrtc-stats, sections on RTCOutboundRtpStreamStats and RTCQualityLimitationReason.
"""

from __future__ import annotations

__all__ = ["HUGE", "LIMITATIONS", "Limitation", "VideoCounts"]

HUGE = 2.5
"""A picture of so many times the average size is huge."""

LIMITATIONS = ("none", "cpu", "bandwidth", "other")
"""RTCQualityLimitationReason."""


class VideoCounts:
    """Pictures that came out of an encoder.

    Attributes:
        frames, key_frames: how many.
        huge_frames: of a size that is far above the average.
        target_bytes: what they were to take in all.
        qp_sum: of their quantizers; None for formats whose pictures do not tell.
    """

    __slots__ = ("frames", "huge_frames", "key_frames", "qp_sum", "target_bytes")

    def __init__(self) -> None:
        self.frames = 0
        self.key_frames = 0
        self.huge_frames = 0
        self.target_bytes = 0
        self.qp_sum: int | None = None

    def made(self, size: int, wanted_bytes: float, qp: int | None, *, key_frame: bool) -> None:
        """A picture was encoded.

        Args:
            size: in bytes.
            wanted_bytes: what it was to take: bits a second over pictures a second.
            qp: its quantizer, or None.
            key_frame: whether it needs no other.
        """
        self.frames += 1
        self.key_frames += key_frame
        self.target_bytes += round(wanted_bytes)
        self.huge_frames += size >= HUGE * wanted_bytes > 0
        if qp is not None:
            self.qp_sum = (self.qp_sum or 0) + qp


class Limitation:
    """For how long a stream was limited, and by what.

    Args:
        now: when it began, monotonic seconds.
    """

    __slots__ = ("_reason", "_seconds", "_since")

    def __init__(self, now: float) -> None:
        self._reason = "none"
        self._since = now
        self._seconds = dict.fromkeys(LIMITATIONS, 0.0)

    def note(self, reason: str, now: float) -> None:
        """How things are from now on.

        Args:
            reason: one of `LIMITATIONS`.
            now: monotonic seconds.
        """
        self._seconds[self._reason] += max(0.0, now - self._since)
        self._since = max(self._since, now)
        self._reason = reason

    def durations_s(self, now: float) -> dict[str, float]:
        """Seconds by reason, up to now."""
        found = dict(self._seconds)
        found[self._reason] += max(0.0, now - self._since)
        return found
