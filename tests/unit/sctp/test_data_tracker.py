"""The tracker against a plain set of everything that has arrived."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtcstack.sctp.chunks import Sack
from rtcstack.sctp.data_tracker import MAX_DUPLICATES, MAX_RANGES, MAX_TSN_AHEAD, DataTracker
from rtcstack.sctp.packet import split_chunks

TURN = 1 << 32
initial_tsns = st.sampled_from([0, 1, 1000, TURN - 1, TURN - 20, 1 << 31])


def parse(chunk: bytes) -> Sack:
    return Sack.parse(split_chunks(bytes(12) + chunk)[0][2])


@given(
    initial_tsns,
    st.lists(
        st.tuples(st.sampled_from(["data", "data", "data", "forward"]), st.integers(-5, 60)), max_size=120
    ),
)
def test_it_knows_what_has_arrived(initial: int, steps: list[tuple[str, int]]) -> None:
    tracker = DataTracker(initial, 0.02)
    seen: set[int] = set()  # offsets from the initial TSN
    cumulative = -1
    for kind, offset in steps:
        wire = (initial + offset) % TURN
        if kind == "forward":
            tracker.forward(initial + TURN + offset)
            cumulative = max(cumulative, offset)
        else:
            new = tracker.observe(wire)
            expected = offset > cumulative and offset not in seen
            assert (new is not None) == expected
            if new is not None:
                assert new == initial + TURN + offset
                seen.add(offset)
        while cumulative + 1 in seen:
            cumulative += 1
        assert tracker.cumulative_tsn == initial + TURN + cumulative
        beyond = {one for one in seen if one > cumulative}
        assert tracker.has_gaps == bool(beyond)
    sack = parse(tracker.make_sack(1234, 1100))
    assert sack.cumulative_tsn == (initial + cumulative) % TURN
    assert sack.a_rwnd_bytes == 1234
    told = {
        cumulative + offset
        for edge in range(0, len(sack.gaps), 2)
        for offset in range(sack.gaps[edge], sack.gaps[edge + 1] + 1)
    }
    assert told == {one for one in seen if one > cumulative}
    assert all(b > a + 1 for a, b in zip(sack.gaps[1::2], sack.gaps[2::2], strict=False))


def test_a_lone_packet_is_acknowledged_late_and_two_at_once() -> None:
    tracker = DataTracker(10, 0.02)
    tracker.observe(10)
    tracker.end_of_pass(1, 5.0)
    assert not tracker.sack_due
    assert tracker.sack_at == 5.02
    tracker.observe(11)
    tracker.end_of_pass(1, 5.01)
    assert tracker.sack_due
    tracker.make_sack(0, 100)
    assert not tracker.sack_due
    assert tracker.sack_at is None
    tracker.observe(12)
    tracker.observe(13)
    tracker.end_of_pass(2, 6.0)
    assert tracker.sack_due


def test_a_gap_and_its_filling_are_acknowledged_at_once() -> None:
    tracker = DataTracker(0, 0.02)
    tracker.observe(1)
    assert tracker.sack_due
    tracker.make_sack(0, 100)
    tracker.observe(0)
    assert tracker.sack_due
    tracker.make_sack(0, 100)
    tracker.observe(0)
    assert tracker.sack_due
    assert parse(tracker.make_sack(0, 100)).duplicates == (0,)


def test_memory_is_bounded() -> None:
    tracker = DataTracker(0, 0.02)
    for tsn in range(1, 3 * MAX_RANGES, 2):
        tracker.observe(tsn)
    assert len(tracker._starts) == MAX_RANGES
    assert tracker.observe(MAX_TSN_AHEAD + 10) is None
    for _ in range(1000):
        tracker.observe(1)
    assert len(tracker._duplicates) == MAX_DUPLICATES
    assert len(tracker.make_sack(0, 1176)) <= 1176
    # What fills a gap is still let in.
    assert tracker.observe(0) is not None
