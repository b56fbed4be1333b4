"""How many frames a second there were lately."""

from __future__ import annotations

__all__ = ["FrameRate"]

_WINDOW_S = 1.0
_STALE_S = 2.0


class FrameRate:
    """Counts over windows of a second."""

    __slots__ = ("_began_at", "_count", "_rate")

    def __init__(self) -> None:
        self._began_at = 0.0
        self._count = 0
        self._rate: float | None = None

    def count(self, now: float) -> None:
        """A frame."""
        elapsed = now - self._began_at
        if elapsed >= _WINDOW_S:
            if elapsed < _STALE_S and self._count:
                self._rate = self._count / elapsed
            self._began_at = now
            self._count = 0
        self._count += 1

    def per_second(self, now: float) -> float | None:
        """Of the last whole second; None when nothing has come for two, or not for long enough."""
        return self._rate if now - self._began_at < _STALE_S else None

    def lately(self, now: float) -> float | None:
        """What statistics tell: 0 when nothing has come for two seconds; None until a second is over."""
        if self._rate is None and not self._count:
            return None
        return self._rate if now - self._began_at < _STALE_S else 0.0
