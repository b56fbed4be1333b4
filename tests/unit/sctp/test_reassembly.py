"""Reassembly against what was sent, whatever the order of arrival."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.errors import ProtocolError
from rtcstack.sctp.chunks import ForwardTsn, SkippedStream
from rtcstack.sctp.events import SctpEvent, StreamMessage
from rtcstack.sctp.ranges import Ranges
from rtcstack.sctp.reassembly import FRAGMENT_OVERHEAD_BYTES, InterleavedReassembly, Reassembly

BEGIN, END, UNORDERED = 2, 1, 4

messages = st.lists(
    st.tuples(st.integers(0, 2), st.booleans(), st.integers(1, 5)), min_size=1, max_size=15
)  # stream, unordered, number of fragments


def fragments(plan: list[tuple[int, bool, int]], first_tsn: int, first_number: int, bits: int) -> list[tuple]:
    """All fragments as (tsn, flags, stream, sequence, fragment number, payload), and by whom."""
    result = []
    tsn = first_tsn
    numbers: dict[tuple[int, bool], int] = {}
    for index, (stream_id, unordered, count) in enumerate(plan):
        number = numbers.get((stream_id, unordered), first_number)
        numbers[stream_id, unordered] = (number + 1) % (1 << bits)
        for part in range(count):
            flags = (BEGIN if part == 0 else 0) | (END if part == count - 1 else 0)
            flags |= UNORDERED if unordered else 0
            result.append((tsn, flags, stream_id, number, part, b"<%d.%d>" % (index, part)))
            tsn += 1
    return result


def whole(plan: list[tuple[int, bool, int]], index: int) -> bytes:
    return b"".join(b"<%d.%d>" % (index, part) for part in range(plan[index][2]))


@given(messages, st.randoms(use_true_random=False), st.booleans())
def test_any_order_of_arrival_gives_every_message_once(
    plan: list[tuple[int, bool, int]], rng: random.Random, interleaved: bool
) -> None:
    events: list[SctpEvent] = []
    bits = 32 if interleaved else 16
    first_number = (1 << bits) - 2
    reassembly = (InterleavedReassembly if interleaved else Reassembly)(events, 1000)
    for stream_id in range(3):
        reassembly._next[stream_id] = first_number
    pieces = fragments(plan, (1 << 33) - 5, first_number, bits)
    rng.shuffle(pieces)
    for tsn, flags, stream_id, number, part, payload in pieces:
        if interleaved:
            assert isinstance(reassembly, InterleavedReassembly)
            reassembly.add_interleaved(flags, stream_id, number, part if part else 53, payload)
        else:
            reassembly.add(tsn, flags, stream_id, number, 53, payload)
    got = [(e.stream_id, e.ppid, e.data) for e in events if isinstance(e, StreamMessage)]
    assert sorted(got) == sorted((plan[i][0], 53, whole(plan, i)) for i in range(len(plan)))
    for stream_id in range(3):
        ordered = [whole(plan, i) for i, (s, u, _) in enumerate(plan) if s == stream_id and not u]
        assert [data for s, _, data in got if s == stream_id and data in ordered] == ordered
    assert reassembly.held_bytes == 0


@given(messages, st.randoms(use_true_random=False), st.integers(0, 40))
def test_what_is_abandoned_leaves_nothing_behind(
    plan: list[tuple[int, bool, int]], rng: random.Random, lost: int
) -> None:
    """Some messages lose a fragment and are skipped; the others come through, in order."""
    events: list[SctpEvent] = []
    reassembly = Reassembly(events, 1000)
    pieces = fragments(plan, 100, 0, 16)
    gone = {index for index in range(len(plan)) if rng.random() < lost / 40}
    owner = [index for index, (_, _, count) in enumerate(plan) for _ in range(count)]
    arriving = []
    for index in range(len(plan)):
        parts = [piece for piece, who in zip(pieces, owner, strict=True) if who == index]
        if index in gone:
            parts.pop(rng.randrange(len(parts)))
        arriving += parts
    rng.shuffle(arriving)
    for tsn, flags, stream_id, number, _, payload in arriving:
        reassembly.add(tsn, flags, stream_id, number, 53, payload)
    skipped = {
        plan[index][0]: next(piece[3] for piece, who in zip(pieces, owner, strict=True) if who == index)
        for index in sorted(gone)
        if not plan[index][1]
    }
    last = max((tsn for (tsn, *_), who in zip(pieces, owner, strict=True) if who in gone), default=0)
    forward = ForwardTsn(last, tuple(SkippedStream(*item) for item in skipped.items()))
    reassembly.forward(last, forward)
    got = [e.data for e in events if isinstance(e, StreamMessage)]
    kept = [whole(plan, index) for index in range(len(plan)) if index not in gone]
    assert sorted(got) == sorted(kept)
    for stream_id in range(3):
        ordered = [
            whole(plan, i) for i, (s, u, _) in enumerate(plan) if s == stream_id and not u and i not in gone
        ]
        assert [data for data in got if data in ordered] == ordered
    assert reassembly.held_bytes == 0


def test_a_message_may_not_be_longer_than_allowed() -> None:
    reassembly = Reassembly([], 10)
    reassembly.add(1, BEGIN, 0, 0, 53, bytes(6))
    with pytest.raises(ProtocolError, match="longer than 10"):
        reassembly.add(2, 0, 0, 0, 53, bytes(6))
    interleaved = InterleavedReassembly([], 10)
    interleaved.add_interleaved(BEGIN, 0, 0, 53, bytes(6))
    with pytest.raises(ProtocolError, match="longer than 10"):
        interleaved.add_interleaved(0, 0, 0, 1, bytes(6))


def test_fragments_may_not_contradict_each_other() -> None:
    reassembly = Reassembly([], 1000)
    reassembly.add(1, BEGIN, 0, 0, 53, b"a")
    with pytest.raises(ProtocolError):
        reassembly.add(2, END, 1, 0, 53, b"b")
    for flags, number in ((END, 5), (0, 2), (0, 9)):  # a second end, a number again, beyond the end
        interleaved = InterleavedReassembly([], 1000)
        interleaved.add_interleaved(BEGIN, 0, 0, 53, b"a")
        interleaved.add_interleaved(END, 0, 0, 2, b"c")
        with pytest.raises(ProtocolError):
            interleaved.add_interleaved(flags, 0, 0, number, b"b")


def test_a_message_that_comes_twice_is_dropped() -> None:
    events: list[SctpEvent] = []
    reassembly = Reassembly(events, 1000)
    for tsn, ssn in ((1, 0), (2, 0), (3, 2), (4, 2), (5, 1)):
        reassembly.add(tsn, BEGIN | END, 0, ssn, 53, b"%d" % ssn)
    assert [e.data for e in events if isinstance(e, StreamMessage)] == [b"0", b"1", b"2"]
    assert reassembly.held_bytes == 0


def test_a_reset_stream_starts_anew_and_gives_back_what_it_held() -> None:
    events: list[SctpEvent] = []
    reassembly = Reassembly(events, 1000)
    reassembly.add(1, BEGIN | END, 7, 0, 53, b"first")
    reassembly.add(2, BEGIN | END, 7, 5, 53, b"waits")
    assert reassembly.held_bytes == 5 + FRAGMENT_OVERHEAD_BYTES
    reassembly.reset_streams((7,))
    assert reassembly.held_bytes == 0
    reassembly.add(3, BEGIN | END, 7, 0, 53, b"again")
    assert [e.data for e in events if isinstance(e, StreamMessage)] == [b"first", b"again"]


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=30),
    st.lists(st.integers(0, 80), max_size=5),
)
def test_ranges_are_a_set_that_tells_what_is_new(added: list[tuple[int, int]], dropped: list[int]) -> None:
    ranges, known = Ranges(), set[int]()
    last = -1
    for index, (start, length) in enumerate(added):
        start = max(start, last + 1)
        new = [number for part in ranges.add(start, start + length) for number in part]
        assert new == sorted(set(range(start, start + length + 1)) - known)
        known.update(new)
        if index % 6 == 5 and dropped:
            last = max(last, dropped.pop())
            ranges.drop_through(last)
            known = {number for number in known if number > last}
    assert ranges._starts == sorted(n for n in known if n - 1 not in known)
    assert ranges._ends == sorted(n for n in known if n + 1 not in known)
