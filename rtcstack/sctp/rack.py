"""What arrivals say about losses: how long after a later one an earlier chunk may still come.

Spec: RFC 8985, section 6.2, as a part of `Outstanding`.
"""

from __future__ import annotations

from rtcstack.sctp.rto import RtoEstimator
from rtcstack.sctp.send_queue import SentChunk

__all__ = ["Rack"]

MAX_STEPS = 16
"""The reordering window grows by a quarter of the least round-trip time per spurious
retransmission that the peer reports, up to this many times and to the smoothed round-trip time."""

MEMORY_S = 5.0
"""After this long without another one the reordering window shrinks by a step."""

MAX_RETRANSMITTED_TSNS = 1024
"""TSNs remembered as retransmitted, to tell a needless retransmission from a network's duplicate."""


class Rack:
    """The latest-sent of the chunks that have arrived, and the reordering window.

    Attributes:
        sent_at, tsn: when that chunk was sent, and its TSN.
        steps: width of the reordering window, in quarters of the least round-trip time.
    """

    __slots__ = ("_min_rtt_s", "_retransmitted", "_rto", "_rtt_s", "_until", "sent_at", "steps", "tsn")

    def __init__(self, rto: RtoEstimator) -> None:
        self._rto = rto
        self._rtt_s = 0.0
        self._min_rtt_s = 0.0
        self._until = 0.0
        self._retransmitted: dict[int, bool] = {}
        self.sent_at = 0.0
        self.tsn = 0
        self.steps = 1

    def observe(self, newest: SentChunk, now: float) -> float | None:
        """A chunk is newly acknowledged; it is the latest-sent that one SACK acknowledges.

        Returns:
            Its round-trip time; None where it is not known which of its transmissions has arrived.
        """
        sent_at = newest.sent_at
        rtt_s = now - sent_at
        once = newest.transmissions == 1
        if once:
            self._rto.observe(rtt_s)
            if not self._min_rtt_s or rtt_s < self._min_rtt_s:
                self._min_rtt_s = rtt_s
        elif rtt_s < 0.9 * self._min_rtt_s:
            return None  # it is an earlier transmission that has arrived
        if sent_at > self.sent_at or (sent_at == self.sent_at and newest.tsn > self.tsn):
            self.sent_at = sent_at
            self.tsn = newest.tsn
            self._rtt_s = rtt_s
        return rtt_s if once else None

    def wait_s(self, now: float) -> float:
        """How long after it was sent a chunk is lost, if a later one has arrived."""
        if self.steps > 1 and now > self._until:
            self.steps -= 1
            self._until = now + MEMORY_S
        return self._rtt_s + min(self.steps * self._min_rtt_s / 4, self._rto.srtt_s)

    def widen(self, now: float) -> None:
        """Something was retransmitted that was only late."""
        self._until = now + MEMORY_S
        if self.steps < MAX_STEPS:
            self.steps += 1

    def retransmitted(self, tsn: int) -> None:
        """A chunk is retransmitted: a duplicate of it says that this was needless."""
        self._retransmitted[tsn] = True
        if len(self._retransmitted) > MAX_RETRANSMITTED_TSNS:
            del self._retransmitted[next(iter(self._retransmitted))]

    @property
    def has_retransmitted(self) -> bool:
        """Whether a duplicate could say anything."""
        return bool(self._retransmitted)

    def was_needless(self, tsn: int) -> bool:
        """The peer has this chunk twice: whether that is because it was retransmitted. Asked once."""
        return self._retransmitted.pop(tsn, False)
