"""How evenly pictures are shown: freezes and pauses, as they are counted for statistics.

Spec: webrtc-stats, section 8.3 (freezeCount, pauseCount, totalInterFrameDelay and what belongs to them).
"""

from __future__ import annotations

from collections import deque

__all__ = ["Smoothness"]

PAUSE_S = 5.0
"""No picture for longer than this is a pause, and no freeze."""

FREEZE_FACTOR, FREEZE_MORE_S = 3, 0.150
"""A picture that stands for so many times the usual, and for so much longer than the usual, is a freeze."""

USUAL_OF = 30
"""The usual is the average of so many pictures."""


class Smoothness:
    """What is told of the pictures that were shown.

    Attributes:
        frames: that were shown.
        inter_frame_delay_s, inter_frame_delay_squared_s2: sums of the times between them, and of the squares.
        freezes, freezes_s: times that a picture stood still, and for how long in all.
        pauses, pauses_s: likewise where none came for longer than `PAUSE_S`.
    """

    __slots__ = (
        "_at",
        "_recent",
        "frames",
        "freezes",
        "freezes_s",
        "inter_frame_delay_s",
        "inter_frame_delay_squared_s2",
        "pauses",
        "pauses_s",
    )

    def __init__(self) -> None:
        self._at: float | None = None
        self._recent: deque[float] = deque(maxlen=USUAL_OF)
        self.frames = 0
        self.inter_frame_delay_s = 0.0
        self.inter_frame_delay_squared_s2 = 0.0
        self.freezes = 0
        self.freezes_s = 0.0
        self.pauses = 0
        self.pauses_s = 0.0

    def shown(self, now: float) -> None:
        """A picture is shown."""
        before, self._at = self._at, now
        self.frames += 1
        if before is None:
            return
        stood_s = now - before
        self.inter_frame_delay_s += stood_s
        self.inter_frame_delay_squared_s2 += stood_s * stood_s
        if stood_s > PAUSE_S:
            self.pauses += 1
            self.pauses_s += stood_s
            return
        recent = self._recent
        if recent:
            usual_s = sum(recent) / len(recent)
            if stood_s >= max(FREEZE_FACTOR * usual_s, usual_s + FREEZE_MORE_S):
                self.freezes += 1
                self.freezes_s += stood_s
        recent.append(stood_s)

    def interrupt(self) -> None:
        """Nobody looks any more: what comes next is measured anew."""
        self._at = None
        self._recent.clear()
