"""Giving up size or pace when there are not enough bits, or not enough time, for a stream of pictures.

Spec: mst-content-hint, section 5 (RTCDegradationPreference).
"""

from __future__ import annotations

__all__ = ["SCALES", "Adaptation"]

SCALES = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
"""By how much width and height are divided, step by step."""

MIN_SIDE = 90
"""Pictures are not made smaller than this, in pixels of the shorter side."""

_POOR_BITS_PER_PIXEL = 0.022
"""Below this a smaller picture looks better than one of blocks."""

_GOOD_BITS_PER_PIXEL = 0.045
"""A larger picture must have this much, so that it does not swing between two sizes."""

_LOOK_EVERY_S = 0.5
_DOWN_AFTER_S = 1.0
_UP_AFTER_S = 2.5
"""How long what was seen must last before the size follows. Down is quicker than up."""

_BUSY_SHARE = 0.15
"""Part of the pictures that the encoder had no time for, from which it counts as overloaded."""

_MIN_FRAME_RATE = 5.0


class Adaptation:
    """Decides, for one stream, how small and how frequent its pictures are to be.

    Attributes:
        preference: "balanced" and "maintain-framerate" give up size, "maintain-resolution" gives up
            pace, "maintain-framerate-and-resolution" nothing.
        scale: what width and height are divided by, beside what the application set.
        frame_rate: pictures a second at most, or None.
        limited_by: "none", "bandwidth" or "cpu" (webrtc-stats, qualityLimitationReason).
        changes: how often the size was changed.
    """

    __slots__ = (
        "_dropped",
        "_encoded",
        "_looked_at",
        "_poor_since",
        "_rich_since",
        "_step",
        "changes",
        "frame_rate",
        "limited_by",
        "preference",
    )

    def __init__(self, preference: str = "balanced") -> None:
        self.preference = preference
        self.frame_rate: float | None = None
        self.limited_by = "none"
        self.changes = 0
        self._step = 0
        self._looked_at = 0.0
        self._poor_since: float | None = None
        self._rich_since: float | None = None
        self._dropped = 0
        self._encoded = 0

    @property
    def scale(self) -> float:
        """What width and height are divided by."""
        return SCALES[self._step]

    def look(
        self,
        now: float,
        target_bps: int,
        cap_bps: int,
        size: tuple[int, int],
        frame_rate: float,
        encoded: int,
        dropped: int,
    ) -> bool:
        """Look at how things are; to be called with each picture.

        Args:
            now: monotonic seconds.
            target_bps: what the encoder aims at.
            cap_bps: what it could use at most.
            size: width and height without any adaptation.
            frame_rate: of the source.
            encoded, dropped: pictures in all.

        Returns:
            Whether `scale` has changed.
        """
        if now - self._looked_at < _LOOK_EVERY_S:
            return False
        self._looked_at = now
        made, self._encoded = encoded - self._encoded, encoded
        lost, self._dropped = dropped - self._dropped, dropped
        busy = made + lost >= 4 and lost > _BUSY_SHARE * (made + lost)
        width, height = size
        per_second = max(1.0, width * height * frame_rate)
        starved = target_bps < cap_bps and target_bps < _POOR_BITS_PER_PIXEL * per_second / self.scale**2
        if self.preference == "maintain-framerate-and-resolution":
            self.frame_rate = None
            self.limited_by = "cpu" if busy else "bandwidth" if starved else "none"
            return self._whole()
        if self.preference == "maintain-resolution":
            self._pace(target_bps, cap_bps, width * height, frame_rate, busy)
            return self._whole()
        self.frame_rate = None
        return self._resize(now, target_bps, cap_bps, size, per_second, busy=busy, starved=starved)

    def _whole(self) -> bool:
        """Back to the whole size, if another preference has given some of it up."""
        if not self._step:
            return False
        self._step = 0
        self._poor_since = self._rich_since = None
        self.changes += 1
        return True

    def _pace(self, target_bps: int, cap_bps: int, pixels: int, frame_rate: float, busy: bool) -> None:
        affordable = target_bps / (_POOR_BITS_PER_PIXEL * max(1, pixels))
        if target_bps < cap_bps and affordable < frame_rate:
            self.frame_rate = max(_MIN_FRAME_RATE, affordable)
            self.limited_by = "bandwidth"
        elif busy:
            self.frame_rate = max(_MIN_FRAME_RATE, (self.frame_rate or frame_rate) * 0.75)
            self.limited_by = "cpu"
        else:
            self.frame_rate = None
            self.limited_by = "none"

    def _resize(
        self,
        now: float,
        target_bps: int,
        cap_bps: int,
        size: tuple[int, int],
        per_second: float,
        *,
        busy: bool,
        starved: bool,
    ) -> bool:
        if starved or busy:
            self._rich_since = None
            if self._poor_since is None:
                self._poor_since = now
            can_shrink = self._step + 1 < len(SCALES) and min(size) / SCALES[self._step + 1] >= MIN_SIDE
            if can_shrink and now - self._poor_since >= _DOWN_AFTER_S:
                return self._move(1, "cpu" if busy else "bandwidth")
            return False
        self._poor_since = None
        if not self._step:
            self.limited_by = "none"
            return False
        larger = per_second / SCALES[self._step - 1] ** 2
        if target_bps >= min(cap_bps, _GOOD_BITS_PER_PIXEL * larger):
            if self._rich_since is None:
                self._rich_since = now
            if now - self._rich_since >= _UP_AFTER_S:
                return self._move(-1, "none" if self._step == 1 else self.limited_by)
        else:
            self._rich_since = None
        return False

    def _move(self, by: int, reason: str) -> bool:
        self._step += by
        self.limited_by = reason
        self._poor_since = self._rich_since = None
        self.changes += 1
        return True
