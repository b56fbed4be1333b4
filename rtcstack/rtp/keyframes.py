"""Asking for key frames, and not too often.

Spec: RFC 4585, section 6.3.1 (PLI); RFC 5104, section 3.5.1 (FIR).
"""

from __future__ import annotations

__all__ = ["MIN_INTERVAL_S", "KeyFrameRequester"]

MIN_INTERVAL_S = 0.3
"""Between two requests for a key frame of the same stream."""


class KeyFrameRequester:
    """The requests of one stream.

    Args:
        min_interval_s: least time between two requests.

    Attributes:
        wanted: a request is to be sent.
        requests: sent so far.
        sequence_number: of the last FIR.
    """

    __slots__ = ("_last_at", "min_interval_s", "requests", "sequence_number", "wanted")

    def __init__(self, min_interval_s: float = MIN_INTERVAL_S) -> None:
        self._last_at: float | None = None
        self.min_interval_s = min_interval_s
        self.wanted = False
        self.requests = 0
        self.sequence_number = -1

    def next_at(self, now: float) -> float | None:
        """When a wanted request may be sent, or None."""
        if not self.wanted:
            return None
        return now if self._last_at is None else self._last_at + self.min_interval_s

    def take(self, now: float) -> bool:
        """Whether a request is to be sent now; if so it counts as sent."""
        due = self.next_at(now)
        if due is None or due > now:
            return False
        self.wanted = False
        self._last_at = now
        self.requests += 1
        self.sequence_number = (self.sequence_number + 1) & 0xFF
        return True
