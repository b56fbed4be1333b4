"""How much of what a stream sends repairs losses: its encoder has so much less."""

from __future__ import annotations

from rtcstack.rtp.outgoing import SendCounts

__all__ = ["MAX_SHARE", "Repairs"]

LOOK_EVERY_S = 0.2
FALLING = 0.5
"""What is left of the difference after each look at which less was repaired than before."""

MAX_SHARE = 0.5
"""More is not taken from the encoder: a stream of repairs alone shows nothing."""


class Repairs:
    """Watches a stream's retransmissions.

    Attributes:
        share: theirs of all that was sent lately, 0 to `MAX_SHARE`.
    """

    __slots__ = ("_at", "_bytes", "_retransmitted", "share")

    def __init__(self) -> None:
        self._at = 0.0
        self._bytes = 0
        self._retransmitted = 0
        self.share = 0.0

    def look(self, counts: SendCounts, now: float) -> None:
        """A frame is sent."""
        if now - self._at < LOOK_EVERY_S:
            return
        size = counts.bytes - self._bytes
        repaired = counts.retransmitted_bytes - self._retransmitted
        self._at, self._bytes, self._retransmitted = now, counts.bytes, counts.retransmitted_bytes
        share = min(repaired / size, MAX_SHARE) if size > 0 else 0.0
        self.share = share if share > self.share else share + (self.share - share) * FALLING
