"""From fragments to messages: DATA (RFC 9260, section 6.9) and I-DATA (RFC 8260, section 2.2).

The fragments of a DATA message have consecutive TSNs, so fragments are joined to *runs* by TSN
alone, whatever their stream; a run from a first to a last fragment is a message. The fragments of
an I-DATA message are numbered by themselves.
"""

from __future__ import annotations

from heapq import heappop, heappush

from rtcstack.errors import ProtocolError
from rtcstack.sctp.chunks import FLAG_BEGIN, FLAG_END, FLAG_UNORDERED, ForwardTsn
from rtcstack.sctp.events import SctpEvent, StreamMessage
from rtcstack.sctp.params import CauseCode
from rtcstack.serial import serial_gt, unwrap

__all__ = ["InterleavedReassembly", "Reassembly"]

FRAGMENT_OVERHEAD_BYTES = 192
"""What a held fragment or message is charged beside its payload, so that a flood of tiny ones is
bounded by the receive window as well."""

ASSEMBLY_OVERHEAD_BYTES = 512
"""What an incomplete I-DATA message is charged beside its fragments."""

WHOLE = FLAG_BEGIN | FLAG_END


class _Run:
    """Fragments with consecutive TSNs of one message."""

    __slots__ = ("first", "next", "parts", "ppid", "size_bytes", "ssn", "stream_id", "unordered")

    def __init__(self, tsn: int, stream_id: int, ssn: int, ppid: int, unordered: int, payload: bytes) -> None:
        self.first = tsn
        self.next = tsn + 1
        self.stream_id = stream_id
        self.ssn = ssn
        self.ppid = ppid
        self.unordered = unordered
        self.parts = [payload]
        self.size_bytes = len(payload)


class _Waiting:
    """Messages of one stream that wait for their turn.

    Attributes:
        next: number of the message whose turn it is. Numbers are unwrapped here, from the stream's
            next one when the first message had to wait.
        messages: by number.
        order: their numbers, as a heap.
    """

    __slots__ = ("messages", "next", "order")

    def __init__(self, number: int) -> None:
        self.next = number
        self.messages: dict[int, tuple[int, bytes]] = {}
        self.order: list[int] = []


class Reassembly:
    """Joins DATA fragments and puts ordered messages in order.

    Finished messages are appended to the list of events given at construction.

    Attributes:
        held_bytes: payload and overhead of what is held: incomplete, or waiting for its turn.
        stale_dropped: messages dropped because their sequence number had passed already.
    """

    __slots__ = (
        "_bits",
        "_by_first",
        "_by_next",
        "_events",
        "_forwarded_tsn",
        "_max_message_bytes",
        "_next",
        "_waiting",
        "held_bytes",
        "stale_dropped",
    )

    def __init__(self, events: list[SctpEvent], max_message_bytes: int, *, sequence_bits: int = 16) -> None:
        self._events = events
        self._max_message_bytes = max_message_bytes
        self._bits = sequence_bits
        self.held_bytes = 0
        self.stale_dropped = 0
        # Runs that lack their last fragment by the TSN they wait for, and runs that lack their
        # first one by the TSN they start with. A run in the middle stands in both.
        self._by_next: dict[int, _Run] = {}
        self._by_first: dict[int, _Run] = {}
        self._next: dict[int, int] = {}  # next sequence number by stream, where it is not 0
        self._waiting: dict[int, _Waiting] = {}
        self._forwarded_tsn = 0  # no run that lacks a part of itself is from before it

    def add(self, tsn: int, flags: int, stream_id: int, ssn: int, ppid: int, payload: bytes) -> None:
        """Take the fragment in a DATA chunk that has not been seen before.

        Raises:
            ProtocolError: the message is too long, or its fragments contradict each other.
        """
        if flags == WHOLE and not self._waiting and ssn == self._next.get(stream_id, 0):
            self._events.append(StreamMessage(stream_id, ppid, payload))
            self._next[stream_id] = (ssn + 1) & 0xFFFF
            return
        if flags & WHOLE == WHOLE:
            self._finish(stream_id, ssn, ppid, flags & FLAG_UNORDERED, payload)
            return
        size_bytes = len(payload)
        self.held_bytes += size_bytes + FRAGMENT_OVERHEAD_BYTES
        left = None if flags & FLAG_BEGIN else self._by_next.pop(tsn, None)
        right = None if flags & FLAG_END else self._by_first.pop(tsn + 1, None)
        if left is not None:
            run = left
            if run.stream_id != stream_id or run.ssn != ssn or run.unordered != flags & FLAG_UNORDERED:
                raise ProtocolError("a message changes its stream", code=CauseCode.PROTOCOL_VIOLATION)
            run.parts.append(payload)
            run.size_bytes += size_bytes
            run.next = tsn + 1
        else:
            run = _Run(tsn, stream_id, ssn, ppid, flags & FLAG_UNORDERED, payload)
        if right is not None:
            run = self._join(run, right)
        if run.size_bytes > self._max_message_bytes:
            raise ProtocolError(
                f"a message is longer than {self._max_message_bytes} bytes", code=CauseCode.OUT_OF_RESOURCE
            )
        has_begin = flags & FLAG_BEGIN or (left is not None and run.first not in self._by_first)
        has_end = flags & FLAG_END or (right is not None and run.next not in self._by_next)
        if has_begin and has_end:
            self.held_bytes -= run.size_bytes + FRAGMENT_OVERHEAD_BYTES * (run.next - run.first)
            self._finish(run.stream_id, run.ssn, run.ppid, run.unordered, b"".join(run.parts))
            return
        if not has_end:
            self._by_next[run.next] = run
        if not has_begin:
            self._by_first[run.first] = run

    def _join(self, left: _Run, right: _Run) -> _Run:
        if left.stream_id != right.stream_id or left.ssn != right.ssn or left.unordered != right.unordered:
            raise ProtocolError("a message changes its stream", code=CauseCode.PROTOCOL_VIOLATION)
        left.parts += right.parts
        left.size_bytes += right.size_bytes
        left.next = right.next
        # `right` may stand in _by_next under the same key: whoever called puts `left` there instead.
        return left

    def _finish(self, stream_id: int, sequence: int, ppid: int, unordered: int, data: bytes) -> None:
        if unordered:
            self._events.append(StreamMessage(stream_id, ppid, data))
            return
        expected = self._next.get(stream_id, 0)
        if sequence == expected:
            self._events.append(StreamMessage(stream_id, ppid, data))
            self._next[stream_id] = (sequence + 1) & ((1 << self._bits) - 1)
            if self._waiting:
                self._release(stream_id)
        elif serial_gt(sequence, expected, self._bits):
            waiting = self._waiting.get(stream_id)
            if waiting is None:
                waiting = self._waiting[stream_id] = _Waiting(expected)
            number = waiting.next + ((sequence - expected) & ((1 << self._bits) - 1))
            if number not in waiting.messages:
                waiting.messages[number] = (ppid, data)
                heappush(waiting.order, number)
                self.held_bytes += len(data) + FRAGMENT_OVERHEAD_BYTES
        else:
            self.stale_dropped += 1

    def _release(self, stream_id: int) -> None:
        """Deliver what has waited for its turn on a stream, which has moved."""
        waiting = self._waiting.get(stream_id)
        if waiting is None:
            return
        mask = (1 << self._bits) - 1
        number = waiting.next + ((self._next[stream_id] - waiting.next) & mask)
        order = waiting.order
        while order and order[0] <= number:
            passed = heappop(order)
            ppid, data = waiting.messages.pop(passed)
            self.held_bytes -= len(data) + FRAGMENT_OVERHEAD_BYTES
            self._events.append(StreamMessage(stream_id, ppid, data))
            if passed == number:
                number += 1
        waiting.next = number
        self._next[stream_id] = number & mask
        if not order:
            del self._waiting[stream_id]

    def forward(self, cumulative_tsn: int, forward: ForwardTsn) -> None:
        """Give up what the peer has abandoned.

        Args:
            cumulative_tsn: the one the chunk names, unwrapped.
            forward: the chunk as it came.

        Spec: RFC 3758, section 3.6.
        """
        # A run that lacks its first fragment is dead if the one before it will not come any more,
        # though it may reach beyond; a run that lacks its last one if it ends here.
        last = cumulative_tsn + 1
        dead = self._passed(self._by_first, last) + self._passed(self._by_next, last)
        self._forwarded_tsn = cumulative_tsn
        for run in dead:
            self._drop(run)
        for skipped in forward.skipped:
            self._skip(skipped.stream_id, skipped.sequence)

    def _passed(self, runs: dict[int, _Run], last: int) -> list[_Run]:
        """The runs with a key up to `last`. None has one from before the last time.

        A step for each run, or for each TSN by which the peer has moved on, whichever are fewer:
        a peer may send a FORWARD TSN for each, or one for as many as its window is wide.
        """
        first = self._forwarded_tsn + 1
        if last - first < len(runs):
            return [runs[tsn] for tsn in range(first, last + 1) if tsn in runs]
        return [run for tsn, run in runs.items() if tsn <= last]

    def _drop(self, run: _Run) -> None:
        ends = self._by_next.get(run.next) is run
        begins = self._by_first.get(run.first) is run
        if ends:
            del self._by_next[run.next]
        if begins:
            del self._by_first[run.first]
        if ends or begins:
            self.held_bytes -= run.size_bytes + FRAGMENT_OVERHEAD_BYTES * (run.next - run.first)

    def _skip(self, stream_id: int, sequence: int) -> None:
        expected = self._next.get(stream_id, 0)
        if sequence != expected and not serial_gt(sequence, expected, self._bits):
            return
        self._next[stream_id] = (sequence + 1) & ((1 << self._bits) - 1)
        self._release(stream_id)

    def reset_streams(self, stream_ids: tuple[int, ...]) -> None:
        """Expect sequence number 0 next; an empty tuple means every stream.

        Spec: RFC 6525, section 5.2.2.
        """
        for stream_id in stream_ids or tuple(self._next.keys() | self._waiting.keys()):
            self._next.pop(stream_id, None)
            waiting = self._waiting.pop(stream_id, None)
            for _, data in waiting.messages.values() if waiting is not None else ():
                self.held_bytes -= len(data) + FRAGMENT_OVERHEAD_BYTES


class _Assembly:
    """The fragments of one I-DATA message."""

    __slots__ = ("fragments", "highest", "last", "ppid", "size_bytes")

    def __init__(self) -> None:
        self.fragments: dict[int, bytes] = {}
        self.highest = 0
        self.last: int | None = None
        self.ppid = 0
        self.size_bytes = 0


class _Assemblies:
    """The incomplete I-DATA messages of one stream, ordered or not.

    Attributes:
        by_number: by message identifier, unwrapped.
        order: their identifiers as a heap, with some that are complete meanwhile.
        latest: identifier of the last one that began, near which others are expected.
    """

    __slots__ = ("by_number", "latest", "order")

    def __init__(self, mid: int) -> None:
        self.by_number: dict[int, _Assembly] = {}
        self.order: list[int] = []
        self.latest = mid + (1 << 32)

    def begin(self, number: int) -> _Assembly:
        """A new one."""
        if len(self.order) > 2 * len(self.by_number) + 16:
            self.order = sorted(self.by_number)
        self.latest = number
        heappush(self.order, number)
        assembly = self.by_number[number] = _Assembly()
        return assembly


class InterleavedReassembly(Reassembly):
    """Joins I-DATA fragments by message identifier and fragment number.

    Ordered and unordered messages count separately; the order of the ordered is the base's affair.
    """

    __slots__ = ("_groups", "_next_unordered")

    def __init__(self, events: list[SctpEvent], max_message_bytes: int) -> None:
        super().__init__(events, max_message_bytes, sequence_bits=32)
        self._groups: dict[tuple[int, int], _Assemblies] = {}  # by stream and whether unordered
        # By stream, the first unordered message that may still come: what is before was abandoned.
        self._next_unordered: dict[int, int] = {}

    def add_interleaved(self, flags: int, stream_id: int, mid: int, ppid_or_fsn: int, payload: bytes) -> None:
        """Take the fragment in an I-DATA chunk that has not been seen before.

        Raises:
            ProtocolError: the message is too long, or its fragments contradict each other.
        """
        unordered = flags & FLAG_UNORDERED
        if flags & WHOLE == WHOLE:
            self._finish(stream_id, mid, ppid_or_fsn, unordered, payload)
            return
        key = (stream_id, unordered)
        group = self._groups.get(key)
        message = mid if group is None else unwrap(mid, group.latest, 32)
        assembly = None if group is None else group.by_number.get(message)
        if assembly is None:
            # A late fragment of a message that the peer has abandoned meanwhile.
            first = self._next_unordered.get(stream_id) if unordered else self._next.get(stream_id, 0)
            if first is not None and serial_gt(first, mid, 32):
                self.stale_dropped += 1
                return
            if group is None:
                group = self._groups[key] = _Assemblies(mid)
                message = group.latest
            assembly = group.begin(message)
            self.held_bytes += ASSEMBLY_OVERHEAD_BYTES
        if flags & FLAG_BEGIN:
            number = 0
            assembly.ppid = ppid_or_fsn
        else:
            number = ppid_or_fsn
            if flags & FLAG_END:
                if assembly.last is not None:
                    raise ProtocolError("a message with two ends", code=CauseCode.PROTOCOL_VIOLATION)
                assembly.last = number
            assembly.highest = max(assembly.highest, number)
        fragments = assembly.fragments
        last = assembly.last
        if number in fragments or (last is not None and assembly.highest > last):
            raise ProtocolError("fragment numbers that cannot be", code=CauseCode.PROTOCOL_VIOLATION)
        fragments[number] = payload
        assembly.size_bytes += len(payload)
        self.held_bytes += len(payload) + FRAGMENT_OVERHEAD_BYTES
        if assembly.size_bytes > self._max_message_bytes:
            raise ProtocolError(
                f"a message is longer than {self._max_message_bytes} bytes", code=CauseCode.OUT_OF_RESOURCE
            )
        if last is not None and len(fragments) == last + 1:
            data = b"".join([fragments[number] for number in range(last + 1)])
            self._forget(key, message)
            self._finish(stream_id, mid, assembly.ppid, unordered, data)

    def _forget(self, key: tuple[int, int], number: int) -> None:
        group = self._groups[key]
        assembly = group.by_number.pop(number, None)
        if assembly is not None:
            overhead_bytes = ASSEMBLY_OVERHEAD_BYTES + FRAGMENT_OVERHEAD_BYTES * len(assembly.fragments)
            self.held_bytes -= assembly.size_bytes + overhead_bytes
            if not group.by_number:
                del self._groups[key]

    def forward(self, cumulative_tsn: int, forward: ForwardTsn) -> None:
        """Give up what the peer has abandoned. Spec: RFC 8260, section 2.3.1."""
        for skipped in forward.skipped:
            key = (skipped.stream_id, FLAG_UNORDERED if skipped.unordered else 0)
            group = self._groups.get(key)
            if group is not None:
                last = unwrap(skipped.sequence, group.latest, 32)
                while group.by_number and group.order[0] <= last:
                    self._forget(key, heappop(group.order))
            if skipped.unordered:
                self._next_unordered[skipped.stream_id] = (skipped.sequence + 1) & 0xFFFF_FFFF
            else:
                self._skip(skipped.stream_id, skipped.sequence)

    def reset_streams(self, stream_ids: tuple[int, ...]) -> None:
        """Expect message identifier 0 next; an empty tuple means every stream."""
        super().reset_streams(stream_ids)
        for stream_id in stream_ids or tuple(self._next_unordered):
            self._next_unordered.pop(stream_id, None)
        named = [(stream_id, flag) for stream_id in stream_ids for flag in (0, FLAG_UNORDERED)]
        for key in named or tuple(self._groups):
            group = self._groups.get(key)
            for number in tuple(group.by_number) if group is not None else ():
                self._forget(key, number)
