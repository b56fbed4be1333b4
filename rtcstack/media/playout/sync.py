"""Lip sync: pictures wait for the sound that was captured with them.

Sound is held in a jitter buffer and pictures are not, so pictures are mostly the early ones. The player
of sound notes how old its sound is when it is heard; pictures of the same stream are shown at that age.

Spec: RFC 3550, section 6.4.1 (capture times from sender reports).
"""

from __future__ import annotations

__all__ = ["MAX_WAIT_S", "PlayoutSync"]

MAX_WAIT_S = 4.5
"""A picture waits no longer than this, whatever the clocks say: sound may be told to wait for 4 s."""

_STALE_S = 0.5
"""Sound that was played longer ago says nothing of now."""

_SMOOTHING = 1 / 16
_JUMP_S = 0.2


class PlayoutSync:
    """The age of one sender's sound when it is heard.

    Both ages are capture-to-playout by the difference of two machines' clocks: wrong by a constant
    that is the same for sound and pictures, and so falls out.
    """

    __slots__ = ("__weakref__", "_age_s", "_at")

    def __init__(self) -> None:
        self._age_s: float | None = None
        self._at = 0.0

    def heard(self, capture_time: float | None, at: float) -> None:
        """Sound is being played.

        Args:
            capture_time: seconds by the sender's clock, or None.
            at: monotonic seconds when it is heard.
        """
        if capture_time is None:
            return
        age = at - capture_time
        known = self._age_s
        if known is None or abs(age - known) > _JUMP_S or at - self._at > _STALE_S:
            self._age_s = age
        else:
            self._age_s = known + (age - known) * _SMOOTHING
        self._at = at

    def wait_s(self, capture_time: float | None, now: float) -> float:
        """How long a picture has to wait for its sound; 0 when there is none.

        Args:
            capture_time: seconds by the sender's clock, or None.
            now: monotonic seconds.
        """
        if capture_time is None or self._age_s is None or now - self._at > _STALE_S:
            return 0.0
        return max(0.0, min(capture_time + self._age_s - now, MAX_WAIT_S))
