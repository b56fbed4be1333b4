"""Numbers, losses and jitter of a source; missing packets and when they are asked for."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.rtp.nack import MAX_AGE_PACKETS, MAX_MISSING, MAX_RETRIES, NackGenerator
from rtcstack.rtp.reception import MAX_DROPOUT, Reception
from rtcstack.rtp.rtcp import SenderReport


def test_in_order_and_over_the_edge() -> None:
    reception = Reception(1, 90000)
    numbers = [reception.locate((65530 + i) & 0xFFFF) for i in range(20)]
    assert numbers == list(range(numbers[0], numbers[0] + 20))
    assert (reception.expected, reception.received, reception.packets_lost) == (20, 20, 0)
    # RFC 3550: the cycles are counted from the first packet on
    assert reception.report(0.0).highest_sequence_number == (1 << 16) + 13


@given(st.lists(st.integers(-200, 200), max_size=100), st.integers(0, 65535))
def test_unwrapped_numbers_keep_their_distance(steps: list[int], first: int) -> None:
    reception = Reception(1, 90000)
    true = first
    origin = reception.locate(first)
    for step in steps:
        true = true + step
        assert reception.locate(true & 0xFFFF) - origin == true - first


def test_loss_is_reported_per_interval() -> None:
    reception = Reception(5, 90000)
    for number in range(100):
        if number % 4:
            reception.locate(number)
    block = reception.report(0.0)
    assert (block.ssrc, block.packets_lost) == (5, 24)  # the first one, 0, was before the first
    assert block.fraction_lost == 24 * 256 // 99
    for number in range(100, 200):
        reception.locate(number)
    assert reception.report(0.0).fraction_lost == 0
    assert reception.packets_lost == 24


def test_duplicates_count_as_received() -> None:
    reception = Reception(1, 90000)
    for number in (1, 2, 2, 2, 3):
        reception.locate(number)
    assert reception.packets_lost == -2
    assert reception.report(0.0).fraction_lost == 0


def test_a_jump_is_believed_when_its_successor_agrees() -> None:
    reception = Reception(1, 90000)
    before = [reception.locate(n) for n in range(10)][-1]
    assert reception.locate(30000) == -1
    assert reception.locate(11) == before + 2  # the old place still holds
    assert (reception.suspects, reception.restarts) == (1, 0)
    assert reception.locate(40000) == -1
    index = reception.locate(40001)
    assert index > before
    assert reception.restarts == 1
    assert reception.locate(40002) == index + 1
    assert (reception.expected, reception.received, reception.packets_lost) == (2, 2, 1)


def test_alternating_jumps_never_move_it() -> None:
    reception = Reception(1, 90000)
    reception.locate(0)
    for i in range(1000):
        assert reception.locate(20000 if i % 2 else 40000) == -1
    assert reception.suspects == 1000


def test_a_jump_ahead_within_bounds_is_a_loss() -> None:
    reception = Reception(1, 90000)
    first = reception.locate(0)
    assert reception.locate(MAX_DROPOUT) == first + MAX_DROPOUT
    assert reception.packets_lost == MAX_DROPOUT - 1


def test_jitter() -> None:
    steady = Reception(1, 8000)
    for i in range(100):
        steady.arrived(i * 160, i * 0.02)
    assert steady.jitter_s < 1e-6
    rng = random.Random(1)
    shaky = Reception(1, 8000)
    for i in range(2000):
        shaky.arrived((i * 160) & 0xFFFFFFFF, i * 0.02 + rng.random() * 0.02)
    # the mean distance of two uniform numbers is a third of their range
    assert shaky.jitter_s == pytest.approx(0.02 / 3, rel=0.4)


def test_jitter_survives_wrapping_and_absurd_timestamps() -> None:
    reception = Reception(1, 90000)
    for i in range(100):
        reception.arrived((2**32 - 50 * 3000 + i * 3000) & 0xFFFFFFFF, i / 30)
    assert reception.jitter_s < 1e-3
    reception.arrived(2**31, 4.0)
    reception.arrived(7, 4.1)
    assert reception.jitter_s < 1.0


def test_delay_since_the_last_report() -> None:
    reception = Reception(1, 90000)
    reception.locate(1)
    assert reception.report(5.0)[5:] == (0, 0)
    reception.on_sender_report(SenderReport(1, 0x1122334455667788, 0, 0, 0), 5.0)
    block = reception.report(6.5)
    assert (block.last_sr, block.delay_since_last_sr) == (0x33445566, int(1.5 * 65536))


# -- missing packets ------------------------------------------------------------------------------


def test_asked_for_at_once_and_then_every_round_trip() -> None:
    nack = NackGenerator(rtt_s=0.05)
    assert nack.next_at() is None
    assert nack.lost(10, 13, 1.0)
    assert nack.next_at() == 1.0
    assert nack.due(1.0) == [10, 11, 12]
    assert nack.due(1.0) == []
    assert nack.next_at() == pytest.approx(1.05)
    assert nack.found(11)
    assert nack.due(1.05) == [10, 12]
    assert not nack.found(11)


def test_given_up_after_so_many_requests() -> None:
    nack = NackGenerator(rtt_s=0.05)
    nack.lost(5, 6, 0.0)
    now, asked = 0.0, 0
    while (due := nack.next_at()) is not None:
        assert asked <= MAX_RETRIES
        now = max(now, due)
        asked += len(nack.due(now))
    assert asked == MAX_RETRIES
    assert (len(nack), nack.given_up) == (0, 1)


def test_it_may_wait_for_what_was_only_overtaken() -> None:
    nack = NackGenerator(wait_s=0.01)
    nack.lost(5, 6, 0.0)
    assert nack.due(0.0) == []
    assert nack.found(5)
    assert nack.next_at() is None
    assert nack.requested == 0


def test_one_that_does_not_ask_still_tells_late_from_double() -> None:
    nack = NackGenerator(asks=False)
    nack.lost(5, 8, 0.0)
    assert nack.next_at() is None
    assert nack.due(1.0) == []
    assert 6 in nack
    assert nack.found(6)
    assert not nack.found(6)


def test_too_many_are_forgotten_together() -> None:
    nack = NackGenerator()
    assert nack.lost(0, MAX_MISSING, 0.0)
    assert not nack.lost(MAX_MISSING + 1, MAX_MISSING + 3, 0.0)
    assert len(nack) == 0
    assert nack.next_at() is None
    assert not nack.lost(10**6, 10**6 + MAX_MISSING + 1, 0.0)


def test_the_oldest_give_way_to_new_ones() -> None:
    nack = NackGenerator(asks=False)
    nack.lost(0, MAX_MISSING, 0.0)
    later = MAX_AGE_PACKETS + MAX_MISSING
    assert nack.lost(later, later + 10, 0.0)
    assert len(nack) == 10
    nack.forget_before(later + 5)
    assert len(nack) == 5


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 60), st.floats(0, 0.2)), max_size=60))
def test_whatever_happens_it_stays_bounded_and_keeps_asking(steps: list[tuple[int, int, float]]) -> None:
    nack = NackGenerator(rtt_s=0.03)
    now, highest = 0.0, 0
    for gap, back, wait in steps:
        now += wait
        assert len(nack) <= MAX_MISSING
        nack.lost(highest + 1, highest + gap, now)
        highest += gap
        nack.found(highest - back)
        due = nack.due(now)
        assert due == sorted(due)
        next_at = nack.next_at()
        assert (next_at is None) == (len(nack) == 0)
        assert next_at is None or next_at > now
