"""What waits to be sent: a queue per stream, and who is next.

Streams share the association by weighted fair queueing (RFC 8260, section 3.6): each has a
virtual time that grows by the bytes it sends divided by its priority, and the one that is least
far is next. Without interleaving a message, once begun, is finished first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from heapq import heappop, heappush

from rtcstack.errors import OperationError
from rtcstack.sctp.chunks import (
    DATA_HEADER,
    FLAG_BEGIN,
    FLAG_END,
    FLAG_UNORDERED,
    I_DATA_HEADER,
    ChunkType,
)
from rtcstack.sctp.events import SctpEvent, StreamBufferedAmountLow
from rtcstack.sctp.packet import PADDING

_PACK_DATA = DATA_HEADER.pack

__all__ = ["Message", "SendQueue", "SentChunk"]

DEFAULT_PRIORITY = 256  # RFC 8832, section 5.1: "normal"

MESSAGE_OVERHEAD_BYTES = 192
"""What a message that waits is charged beside its data, so that a flood of tiny ones is bounded by
the send buffer's size as well."""

MIN_FRAGMENT_BYTES = 64
"""Room in a packet that is worth beginning a long message in."""

UNCOUNTED_PPIDS = frozenset({50, 56, 57})
"""Messages that the application has not written (DCEP), or that stand for empty ones: they are in
no stream's buffered amount (RFC 8831, section 8.1)."""

IN_FLIGHT, ACKED, LOST, ABANDONED = range(4)
"""States of a `SentChunk`."""


class Message:
    """A user message on its way out.

    Attributes:
        offset: how much of `data` has been put into chunks.
        sequence: SSN or message identifier, given with the first fragment.
        max_retransmits: how often a fragment may be retransmitted, or None.
        expires_at: when to give up, or None.
        first_tsn: TSN of the first fragment, 0 before it is sent.
        last_tsn: TSN of the last fragment that was sent.
    """

    __slots__ = (
        "abandoned",
        "data",
        "expires_at",
        "first_tsn",
        "fragment",
        "last_tsn",
        "limited",
        "max_retransmits",
        "offset",
        "ppid",
        "sequence",
        "stream",
        "uncounted",
        "unordered",
    )

    def __init__(
        self,
        stream: Stream,
        ppid: int,
        data: bytes,
        unordered: int,
        max_retransmits: int | None,
        expires_at: float | None,
    ) -> None:
        self.stream = stream
        self.ppid = ppid
        self.data = data
        self.unordered = unordered
        self.max_retransmits = max_retransmits
        self.expires_at = expires_at
        self.limited = max_retransmits is not None or expires_at is not None
        self.uncounted = ppid in UNCOUNTED_PPIDS
        self.abandoned = False
        self.offset = 0
        self.fragment = 0
        self.sequence = 0
        self.first_tsn = 0
        self.last_tsn = 0


class SentChunk:
    """A DATA or I-DATA chunk with its TSN: all that a retransmission needs.

    Attributes:
        tsn: unwrapped.
        data: the whole chunk, padded.
        message: the message it belongs to.
        sent_at: time of the last transmission.
        transmissions: how often it was sent.
        state: `IN_FLIGHT`, `ACKED` (by a gap block), `LOST` (and waiting to be retransmitted) or `ABANDONED`.
    """

    __slots__ = ("data", "message", "sent_at", "state", "transmissions", "tsn")

    def __init__(self, tsn: int, data: bytes, message: Message, sent_at: float) -> None:
        self.tsn = tsn
        self.data = data
        self.message = message
        self.sent_at = sent_at
        self.transmissions = 1
        self.state = 0


class Stream:
    """The sending side of one stream."""

    __slots__ = (
        "buffered_bytes",
        "closing",
        "last_tsn",
        "low_threshold_bytes",
        "messages",
        "next_mid_unordered",
        "next_sequence",
        "priority",
        "scheduled",
        "stream_id",
        "virtual_time",
    )

    def __init__(self, stream_id: int) -> None:
        self.stream_id = stream_id
        self.messages: deque[Message] = deque()
        self.priority = DEFAULT_PRIORITY
        self.virtual_time = 0.0
        self.scheduled = False
        self.closing = False
        self.buffered_bytes = 0
        self.low_threshold_bytes = 0
        self.next_sequence = 0
        self.next_mid_unordered = 0
        self.last_tsn = -1


class SendQueue:
    """All messages that wait, and the scheduler.

    Attributes:
        buffered_bytes: user data not yet put into chunks.
        messages_waiting: messages whose last byte is not put into a chunk yet.
        interleaving: whether I-DATA is made rather than DATA; settled by the handshake.
        cut_short: messages that expired when a part of them was sent already; the owner takes
            them from here and abandons them.
        expired: messages that expired before any part of them was sent.
    """

    __slots__ = (
        "_current",
        "_events",
        "_heap",
        "_max_buffered_bytes",
        "_order",
        "_streams",
        "_virtual_time",
        "_whole_bytes",
        "buffered_bytes",
        "cut_short",
        "expired",
        "interleaving",
        "messages_waiting",
    )

    def __init__(self, events: list[SctpEvent], max_buffered_bytes: int, room_bytes: int) -> None:
        self._events = events
        self._max_buffered_bytes = max_buffered_bytes
        self._whole_bytes = room_bytes - DATA_HEADER.size
        self._streams: dict[int, Stream] = {}
        self._current: Stream | None = None
        self._heap: list[tuple[float, int, Stream]] = []
        self._order = 0
        self._virtual_time = 0.0
        self.buffered_bytes = 0
        self.messages_waiting = 0
        self.interleaving = False
        self.cut_short: list[Message] = []
        self.expired = 0

    def use_interleaving(self) -> None:
        """Make I-DATA from here on; before anything is sent."""
        if not self.interleaving:
            self.interleaving = True
            self._whole_bytes -= I_DATA_HEADER.size - DATA_HEADER.size

    def stream(self, stream_id: int) -> Stream:
        """The stream's state, made when it is first asked for."""
        stream = self._streams.get(stream_id)
        if stream is None:
            stream = self._streams[stream_id] = Stream(stream_id)
            stream.virtual_time = self._virtual_time
        return stream

    def find(self, stream_id: int) -> Stream | None:
        """The stream's state if it has any."""
        return self._streams.get(stream_id)

    def limit_streams(self, streams: int) -> None:
        """Drop what waits on streams that the peer has not."""
        for stream_id in [stream_id for stream_id in self._streams if stream_id >= streams]:
            self.forget(stream_id)

    def make_reliable(self) -> None:
        """Let nothing that waits be given up: the peer could not be told."""
        for stream in self._streams.values():
            for message in stream.messages:
                message.max_retransmits = message.expires_at = None
                message.limited = False

    def forget(self, stream_id: int) -> None:
        """Let the stream start anew, with sequence number 0: it has been reset."""
        stream = self._streams.pop(stream_id, None)
        if stream is not None:
            self._clear(stream)

    def add(
        self,
        stream_id: int,
        ppid: int,
        data: bytes,
        ordered: bool,
        max_retransmits: int | None,
        expires_at: float | None,
    ) -> None:
        """Queue a message.

        Raises:
            OperationError: the buffer is full.
        """
        size_bytes = len(data)
        overhead_bytes = self.messages_waiting * MESSAGE_OVERHEAD_BYTES
        if self.buffered_bytes + overhead_bytes + size_bytes > self._max_buffered_bytes:
            raise OperationError(
                f"the send buffer is full: {self.buffered_bytes} bytes wait already, "
                f"in {self.messages_waiting} messages"
            )
        stream = self._streams.get(stream_id) or self.stream(stream_id)
        message = Message(stream, ppid, data, 0 if ordered else FLAG_UNORDERED, max_retransmits, expires_at)
        stream.messages.append(message)
        if not message.uncounted:
            stream.buffered_bytes += size_bytes
        self.buffered_bytes += size_bytes
        self.messages_waiting += 1
        if not stream.scheduled:
            self._schedule(stream)

    def _schedule(self, stream: Stream) -> None:
        stream.scheduled = True
        if self._current is not None:
            self._virtual_time = self._current.virtual_time
        if stream.virtual_time < self._virtual_time:
            stream.virtual_time = self._virtual_time  # idle time earns no credit
        if self._current is None and not self._heap:
            self._current = stream
        else:
            self._order += 1
            heappush(self._heap, (stream.virtual_time, self._order, stream))

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return self._current is None and not self._heap

    @property
    def top_priority(self) -> int:
        """The highest of the streams on which something waits; 0 when nothing does."""
        top = self._current.priority if self._current is not None else 0
        for _, _, stream in self._heap:
            if stream.messages and stream.priority > top:
                top = stream.priority
        return top

    def _pick(self) -> Stream | None:
        """The stream that is next, with a message in front."""
        while self._heap:
            stream = heappop(self._heap)[2]
            if stream.messages:
                self._virtual_time = stream.virtual_time
                self._current = stream
                return stream
            stream.scheduled = False
        return None

    def next_chunk(self, tsn: int, room_bytes: int, now: float) -> SentChunk | None:
        """The next chunk, with the given TSN.

        Args:
            tsn: unwrapped.
            room_bytes: what is left in the packet, a multiple of four.
            now: for messages that expire and for `SentChunk.sent_at`.

        Returns:
            None when nothing waits, or when what is next would better have a packet of its own.
        """
        stream = self._current or self._pick()
        if stream is None:
            return None
        message = stream.messages[0]
        if message.expires_at is not None and message.expires_at <= now:
            unexpired = self._expire(stream, now)
            if unexpired is None:
                return None
            stream = unexpired
            message = stream.messages[0]
        data = message.data
        offset = message.offset
        left = len(data) - offset
        interleaving = self.interleaving
        capacity = room_bytes - (20 if interleaving else 16)
        if offset and left > capacity >= MIN_FRAGMENT_BYTES and not (interleaving or message.uncounted):
            # The middle of a long message: most of the chunks of bulk data.
            message.offset = end = offset + capacity
            message.last_tsn = stream.last_tsn = tsn
            header = _PACK_DATA(
                0,
                message.unordered,
                16 + capacity,
                tsn & 0xFFFF_FFFF,
                stream.stream_id,
                message.sequence,
                message.ppid,
            )
            self.buffered_bytes -= capacity
            before = stream.buffered_bytes
            stream.buffered_bytes = before - capacity
            if before - capacity <= stream.low_threshold_bytes < before:
                self._events.append(StreamBufferedAmountLow(stream.stream_id))
            stream.virtual_time += capacity / stream.priority
            return SentChunk(tsn, header + data[offset:end], message, now)
        if left > capacity:
            if capacity < MIN_FRAGMENT_BYTES or (offset == 0 and left <= self._whole_bytes):
                return None
            left = capacity
            flags = message.unordered
            payload = data[offset : offset + left]
            message.offset = offset + left
        elif offset:
            flags = message.unordered | FLAG_END
            payload = data[offset:]
            message.offset = offset + left
        else:
            flags = message.unordered | FLAG_END
            payload = data
            message.offset = left
        if offset == 0:
            flags |= FLAG_BEGIN
            message.first_tsn = tsn
            if flags & FLAG_UNORDERED:
                if interleaving:
                    message.sequence = stream.next_mid_unordered
                    stream.next_mid_unordered = (message.sequence + 1) & 0xFFFF_FFFF
            else:
                message.sequence = stream.next_sequence
                stream.next_sequence = (message.sequence + 1) & (0xFFFF_FFFF if interleaving else 0xFFFF)
        message.last_tsn = tsn
        stream.last_tsn = tsn
        if interleaving:
            header = I_DATA_HEADER.pack(
                ChunkType.I_DATA,
                flags,
                20 + left,
                tsn & 0xFFFF_FFFF,
                stream.stream_id,
                0,
                message.sequence,
                message.fragment if offset else message.ppid,
            )
            message.fragment += 1
        else:
            header = _PACK_DATA(
                0, flags, 16 + left, tsn & 0xFFFF_FFFF, stream.stream_id, message.sequence, message.ppid
            )
        chunk = SentChunk(
            tsn, header + payload + PADDING[left & 3] if left & 3 else header + payload, message, now
        )
        self._account(message, left)
        stream.virtual_time += left / stream.priority
        if flags & FLAG_END:
            stream.messages.popleft()
            self.messages_waiting -= 1
            if not stream.messages:
                stream.scheduled = False
                self._current = None
            elif self._heap:
                self._yield(stream)
        elif interleaving and self._heap:
            self._yield(stream)
        return chunk

    def _account(self, message: Message, size_bytes: int) -> None:
        """Note that `size_bytes` of the message no longer wait."""
        self.buffered_bytes -= size_bytes
        if message.uncounted:
            return
        stream = message.stream
        before = stream.buffered_bytes
        after = stream.buffered_bytes = before - size_bytes
        if after <= stream.low_threshold_bytes < before:
            self._events.append(StreamBufferedAmountLow(stream.stream_id))

    def _yield(self, stream: Stream) -> None:
        """Let the scheduler choose anew."""
        self._order += 1
        heappush(self._heap, (stream.virtual_time, self._order, stream))
        self._current = None

    def _expire(self, stream: Stream | None, now: float) -> Stream | None:
        """Drop expired messages from the front until one stands that may be sent."""
        while stream is not None:
            message = stream.messages[0]
            if message.expires_at is None or message.expires_at > now:
                return stream
            self.discard(message)
            if message.offset:
                # A TSN must stand for the rest before anything else gets one: the TSNs of a
                # message that is not interleaved are consecutive.
                self.cut_short.append(message)
                return None
            self.expired += 1
            stream = self._current or self._pick()
        return None

    def discard(self, message: Message) -> None:
        """Drop what is unsent of a message that is in front of its stream."""
        stream = message.stream
        if not stream.messages or stream.messages[0] is not message:
            return
        stream.messages.popleft()
        self.messages_waiting -= 1
        self._account(message, len(message.data) - message.offset)
        if stream is self._current:
            if not stream.messages:
                stream.scheduled = False
                self._current = None
            elif self._heap:
                self._yield(stream)

    def take_back(self, messages: Iterable[Message]) -> None:
        """Put messages back in front that were sent to nobody: the handshake begins anew.

        Args:
            messages: in the order of sending.
        """
        for message in reversed(list(messages)):
            stream = message.stream
            if not stream.messages or stream.messages[0] is not message:
                stream.messages.appendleft(message)
                self.messages_waiting += 1
            self.buffered_bytes += message.offset
            if not message.uncounted:
                stream.buffered_bytes += message.offset
            message.offset = message.fragment = 0
            stream.next_sequence = stream.next_mid_unordered = 0
            stream.last_tsn = -1
            if not stream.scheduled:
                self._schedule(stream)

    def clear(self) -> None:
        """Drop everything."""
        for stream in self._streams.values():
            self._clear(stream)

    def _clear(self, stream: Stream) -> None:
        self.buffered_bytes -= sum(len(message.data) - message.offset for message in stream.messages)
        self.messages_waiting -= len(stream.messages)
        stream.buffered_bytes = 0
        stream.messages.clear()
        if stream is self._current:
            stream.scheduled = False
            self._current = None
