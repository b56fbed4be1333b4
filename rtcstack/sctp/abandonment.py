"""Messages that were given up after a part of them was sent, and how the peer hears of it.

Spec: RFC 3758; RFC 8260, section 2.3.1, for interleaved streams.
"""

from __future__ import annotations

from rtcstack.sctp.chunks import ForwardTsn, SkippedStream
from rtcstack.sctp.send_queue import ABANDONED, ACKED, Message, SentChunk

__all__ = ["MAX_FORWARD_BYTES", "MAX_SKIPPED_STREAMS", "Abandonment"]

MAX_SKIPPED_STREAMS = 48
"""Streams named in one FORWARD TSN; more abandoned messages wait for the next one."""

MAX_FORWARD_BYTES = 8 + 8 * MAX_SKIPPED_STREAMS


class Abandonment:
    """How far the peer may move on without what was given up.

    Attributes:
        forward_due: a FORWARD TSN is to go out with the next flush.
        advanced_tsn: up to which it may ("Advanced.Peer.Ack.Point").
        messages: those given up that the peer may still wait for.
    """

    __slots__ = ("_chunks", "_forwarded_at", "_settled_tsn", "advanced_tsn", "forward_due", "messages")

    def __init__(self, chunks: dict[int, SentChunk], cumulative_tsn: int) -> None:
        self._chunks = chunks  # every chunk that is not acknowledged in order, by TSN
        self._settled_tsn = cumulative_tsn  # up to here all is abandoned or acknowledged
        self._forwarded_at = 0.0
        self.forward_due = False
        self.advanced_tsn = cumulative_tsn
        self.messages: list[Message] = []

    def add(self, message: Message, cumulative_tsn: int) -> None:
        """Its chunks are `ABANDONED`, but for those that have arrived."""
        self.messages.append(message)
        self._advance(cumulative_tsn)

    def _advance(self, cumulative_tsn: int) -> None:
        tsn = max(self._settled_tsn, cumulative_tsn)
        chunks = self._chunks
        while (chunk := chunks.get(tsn + 1)) is not None:
            if chunk.state == ABANDONED:
                self.advanced_tsn = tsn + 1
                self.forward_due = True
            elif chunk.state != ACKED:
                break
            tsn += 1
        self._settled_tsn = tsn

    def on_sack(self, cumulative_tsn: int, progress: bool, now: float, again_s: float) -> None:
        """A SACK has come; it says so again after `again_s` if the peer has not moved on.

        Args:
            cumulative_tsn: what is acknowledged.
            progress: whether it has moved.
            now: monotonic time.
            again_s: a round trip.
        """
        if progress:
            self.messages = [message for message in self.messages if message.last_tsn > cumulative_tsn]
        self._advance(cumulative_tsn)
        if self.advanced_tsn > cumulative_tsn and now >= self._forwarded_at + again_s:
            self.forward_due = True

    def on_timeout(self, cumulative_tsn: int) -> None:
        """The retransmission timer has expired: a FORWARD TSN may be among what was lost."""
        if self.advanced_tsn > cumulative_tsn:
            self.forward_due = True

    def forget_gaps(self) -> None:
        """What gap blocks have acknowledged counts as sent to nobody."""
        self._settled_tsn = self.advanced_tsn

    def make_forward(self, cumulative_tsn: int, now: float, *, interleaved: bool) -> bytes:
        """The FORWARD TSN (or I-FORWARD-TSN) that is due, or nothing if it is not needed any more."""
        self.forward_due = False
        advanced = self.advanced_tsn
        if advanced <= cumulative_tsn:
            return b""
        self._forwarded_at = now
        skipped: dict[tuple[int, int], int] = {}
        self.messages.sort(key=_first_tsn)
        for message in self.messages:
            if message.first_tsn > advanced:
                break
            if message.unordered and not interleaved:
                continue
            key = (message.stream.stream_id, message.unordered)
            if key not in skipped and len(skipped) == MAX_SKIPPED_STREAMS:
                advanced, skipped = self._skip_in_order(cumulative_tsn, interleaved)
                break
            skipped[key] = message.sequence
        streams = tuple([SkippedStream(key[0], number, bool(key[1])) for key, number in skipped.items()])
        return ForwardTsn(advanced & 0xFFFF_FFFF, streams).to_bytes(interleaved=interleaved)

    def _skip_in_order(
        self, cumulative_tsn: int, interleaved: bool
    ) -> tuple[int, dict[tuple[int, int], int]]:
        """How far a FORWARD TSN may go that names as many streams as fit, and the last message of each.

        Messages of interleaved streams may all begin before what the peer has: which of them hold it up
        first is told by their chunks alone. Of those that do not fit at least one TSN for each stream
        that does is gained.
        """
        skipped: dict[tuple[int, int], int] = {}
        for tsn in range(cumulative_tsn + 1, self.advanced_tsn + 1):
            chunk = self._chunks[tsn]
            message = chunk.message
            if chunk.state != ABANDONED or (message.unordered and not interleaved):
                continue
            key = (message.stream.stream_id, message.unordered)
            if key not in skipped and len(skipped) == MAX_SKIPPED_STREAMS:
                return tsn - 1, skipped
            skipped[key] = message.sequence
        return self.advanced_tsn, skipped


def _first_tsn(message: Message) -> int:
    return message.first_tsn
