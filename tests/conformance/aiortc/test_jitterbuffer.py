"""JitterBuffer under aiortc's name."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.compat.aiortc.jitterbuffer import JitterBuffer, JitterFrame
from rtcstack.compat.aiortc.rtp import RtpPacket


def packet(number: int, timestamp: int, data: bytes = b"x") -> RtpPacket:
    return RtpPacket(sequence_number=number & 0xFFFF, timestamp=timestamp, payload=data)


def given_out(buffer: JitterBuffer, packets: Iterable[RtpPacket]) -> list[tuple[int, bytes]]:
    """The frames that come out."""
    frames: list[JitterFrame | None] = [buffer.add(each)[1] for each in packets]
    return [(frame.timestamp, frame.data) for frame in frames if frame is not None]


def test_a_frame_comes_when_the_next_begins() -> None:
    packets = [packet(i, 1_000 + i // 2, bytes([i])) for i in range(6)]
    assert given_out(JitterBuffer(capacity=8), packets) == [(1_000, b"\0\1"), (1_001, b"\2\3")]


def test_frames_may_have_to_wait() -> None:
    packets = [packet(i, i) for i in range(8)]
    found = given_out(JitterBuffer(capacity=16, prefetch=4), packets)
    assert [timestamp for timestamp, _ in found] == [0, 1, 2, 3]


@given(st.integers(0, 0xFFFF), st.permutations(range(1, 8)))
def test_order_is_put_right_also_where_numbers_wrap(start: int, order: list[int]) -> None:
    packets = [packet(start + i, i, bytes([i])) for i in [0, *order]]
    found = given_out(JitterBuffer(capacity=16), packets)
    assert found == [(i, bytes([i])) for i in range(len(found))]


def test_what_comes_too_late_is_left_out() -> None:
    buffer = JitterBuffer(capacity=4)
    assert given_out(buffer, [packet(i, i) for i in range(3)]) == [(0, b"x"), (1, b"x")]
    assert buffer.add(packet(0, 0)) == (False, None)


@pytest.mark.parametrize("is_video", [False, True])
def test_a_full_buffer_lets_a_frame_go_and_says_so_of_pictures(is_video: bool) -> None:
    buffer = JitterBuffer(capacity=4, is_video=is_video)
    buffer.add(packet(0, 0))  # and number 1 is lost
    for i in (2, 3):
        assert buffer.add(packet(i, i)) == (False, None)
    lost, _ = buffer.add(packet(5, 5))
    assert lost is is_video


def test_numbers_that_jump_begin_anew() -> None:
    buffer = JitterBuffer(capacity=4, is_video=True)
    buffer.add(packet(30_000, 0))
    lost, frame = buffer.add(packet(1_000, 7))
    assert (lost, frame) == (True, None)
    assert given_out(buffer, [packet(1_001, 8)]) == [(7, b"x")]


@given(
    st.sampled_from([1, 2, 4, 16]),
    st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, 5)), max_size=60),
    st.booleans(),
)
def test_nothing_breaks_it(capacity: int, packets: list[tuple[int, int]], is_video: bool) -> None:
    buffer = JitterBuffer(capacity=capacity, is_video=is_video)
    assert buffer.capacity == capacity
    given_out(buffer, [packet(*each) for each in packets])


def test_capacities_are_powers_of_two() -> None:
    with pytest.raises(AssertionError):
        JitterBuffer(capacity=3)
