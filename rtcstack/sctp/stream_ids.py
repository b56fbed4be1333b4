"""Which stream a channel of ours may have.

Both sides open channels without asking: the DTLS client on even streams, the server on odd ones.

Spec: RFC 8832, section 6.
"""

from __future__ import annotations

from collections.abc import Container
from heapq import heappop, heappush

from rtcstack.errors import OperationError

__all__ = ["MAX_ID", "StreamIds"]

MAX_ID = 65534
"""Highest stream identifier a channel may have (RFC 8832, section 4)."""


class StreamIds:
    """The identifiers that are ours to give.

    Each is used once before any is used again: what the network still holds of a closed channel
    has the longest time to go.

    Args:
        is_dtls_client: our DTLS role.
        lowest_first: give the lowest that is free, whether or not it was used already.
    """

    __slots__ = ("_lowest", "_lowest_first", "_next", "_released", "_remainder")

    def __init__(self, is_dtls_client: bool, *, lowest_first: bool = False) -> None:
        self._lowest_first = lowest_first
        self._remainder = 0 if is_dtls_client else 1
        self._next = self._remainder
        self._released: dict[int, None] = {}  # a set, oldest first
        self._lowest: list[int] = []  # a heap

    def is_ours(self, stream_id: int) -> bool:
        """Whether we may open a channel there, and the peer may not."""
        return stream_id % 2 == self._remainder

    def choose(self, taken: Container[int], streams: int) -> int:
        """A free one.

        Args:
            taken: those in use: applications choose identifiers, too, for negotiated channels.
            streams: how many there are.

        Raises:
            OperationError: none is left.
        """
        limit = min(MAX_ID, streams - 1)
        while self._lowest_first and self._lowest:
            stream_id = heappop(self._lowest)
            if stream_id not in taken and stream_id <= limit:
                return stream_id
        while self._next <= limit:
            stream_id = self._next
            self._next += 2
            if stream_id not in taken:
                return stream_id
        while self._released:
            stream_id = next(iter(self._released))
            del self._released[stream_id]
            if stream_id not in taken and stream_id <= limit:
                return stream_id
        raise OperationError("no stream identifier is left")

    def release(self, stream_id: int) -> None:
        """Its channel is gone; the peer's own are no affair of ours."""
        if not self.is_ours(stream_id):
            return
        if self._lowest_first:
            heappush(self._lowest, stream_id)
        else:
            self._released[stream_id] = None
