"""Congestion control: what arrived, and the transport-wide feedback of it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.rtp.bwe.arrivals import (
    MAX_INTERVAL_S,
    MAX_NOTED,
    MAX_STATUSES,
    MIN_INTERVAL_S,
    TransportArrivals,
)
from rtcstack.rtp.bwe.estimator import MAX_UNREPORTED, PacketResult, SentPackets
from rtcstack.rtp.rtcp import Arrival, TransportFeedback, parse


def through_the_wire(packet: TransportFeedback) -> TransportFeedback:
    (received,), malformed, _ = parse(packet.to_bytes())
    assert not malformed
    assert isinstance(received, TransportFeedback)
    return received


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 0.2), st.booleans()), min_size=1, max_size=300),
    st.integers(0, 65535),
)
def test_what_arrived_is_what_the_sender_learns(packets: list[tuple[bool, float, bool]], first: int) -> None:
    """Losses, pauses and feedback at any time: the results are true, each packet once."""
    sent, arrivals = SentPackets(), TransportArrivals()
    while sent.next_number() & 0xFFFF != first:
        sent._next += 1
    sent._oldest = sent._next
    now, sizes = 1000.0, []
    arrived: dict[int, float] = {}
    results: list[PacketResult] = []

    def feed_back() -> None:
        for packet in arrivals.feedback(now):
            results.extend(sent.results(through_the_wire(packet)))

    for i, (lost, wait, feed) in enumerate(packets):
        now += wait
        number = sent.next_number()
        sizes.append(100 + i)
        sent.sent(100 + i, now, 0)
        if not lost or not arrived:
            arrived[i] = now
            arrivals.arrived([number & 0xFFFF], 100, now)
        if feed:
            feed_back()
    feed_back()
    told = [r.size - 100 for r in results]
    assert told == sorted(set(told))
    start = min(arrived)
    assert told == list(range(start, max(arrived) + 1))
    times = {r.size - 100: r.arrived_at for r in results}
    for i in told:
        assert (times[i] is not None) == (i in arrived)
    base = times[start]
    assert base is not None
    for i, at in arrived.items():
        told_at = times[i]
        assert told_at is not None
        # what the sender knows of the peer's clock is a distance, modulo its reference
        assert (told_at - base) == pytest.approx(at - arrived[start], abs=0.001)


def test_feedback_is_split_to_what_packets_hold() -> None:
    arrivals = TransportArrivals()
    arrivals.arrived([n & 0xFFFF for n in range(3000)], 3_000_000, 5.0)
    packets = arrivals.feedback(5.1)
    assert [p.status_count for p in packets] == [850, 850, 850, 450]
    assert [p.feedback_count for p in packets] == [0, 1, 2, 3]
    assert all(p.status_count <= MAX_STATUSES for p in packets)


@given(
    st.lists(
        st.tuples(st.integers(1, 9), st.sampled_from([0.0, 0.001, 0.07, -0.01, 0.5]), st.integers(1, 300)),
        max_size=6,
    )
)
def test_feedback_fits_a_packet_however_late_and_lost_the_packets_were(
    runs: list[tuple[int, float, int]],
) -> None:
    arrivals = TransportArrivals()
    number, at, sent = 0, 5.0, {}
    for step, wait, count in runs:
        for _ in range(count):
            number += step
            at += wait
            sent[number] = at
            arrivals.arrived([number & 0xFFFF], 100, 5.0, at)
    told: dict[int, float] = {}
    for packet in arrivals.feedback(6.0):
        assert len(packet.to_bytes()) <= 1200 - 28
        read = through_the_wire(packet)
        for offset, _ in read.arrivals:
            told[(read.base_sequence_number + offset) & 0xFFFF] = 0
    assert set(told) == {n & 0xFFFF for n in sent}


def test_long_pauses_start_a_new_packet() -> None:
    arrivals = TransportArrivals()
    arrivals.arrived([1], 100, 5.0)
    arrivals.arrived([2], 100, 25.0)
    first, second = (through_the_wire(p) for p in arrivals.feedback(25.0))
    assert (first.status_count, second.base_sequence_number) == (1, 2)
    assert second.reference_time - first.reference_time == pytest.approx(20 / 0.064, abs=1)


def test_what_was_told_as_lost_is_not_told_again() -> None:
    arrivals = TransportArrivals()
    arrivals.arrived([10, 12], 100, 1.0)
    arrivals.feedback(1.1)
    arrivals.arrived([11, 13], 100, 1.2)
    (packet,) = arrivals.feedback(1.3)
    assert (packet.base_sequence_number, packet.status_count) == (13, 1)


def test_arrivals_are_bounded_and_jumps_begin_anew() -> None:
    arrivals = TransportArrivals()
    for i in range(3 * MAX_NOTED):
        arrivals.arrived([i & 0xFFFF], 100, 1.0)
        if arrivals.due_at == 1.0:
            assert len(arrivals._noted) <= MAX_NOTED
            arrivals.feedback(1.0)
    rng = random.Random(1)
    for i in range(5000):
        arrivals.arrived([rng.randrange(65536)], 100, 2.0 + i)
        assert len(arrivals._noted) <= MAX_NOTED
        if i % 100 == 0:
            for packet in arrivals.feedback(2.0 + i):
                through_the_wire(packet)


def test_the_interval_follows_the_bitrate() -> None:
    slow, fast = TransportArrivals(), TransportArrivals()
    for i in range(20):
        now = 1.0 + i * 0.1
        slow.arrived([i], 100, now)
        slow.feedback(now)
        fast.arrived([i], 100_000, now)
        fast.feedback(now)
    assert slow.interval_s == MAX_INTERVAL_S
    assert fast.interval_s == MIN_INTERVAL_S


@given(
    st.lists(
        st.tuples(
            st.integers(0, 65535),
            st.integers(1, 65535),
            st.integers(-(2**23), 2**23 - 1),
            st.sets(st.integers(0, 300), max_size=10),
        ),
        max_size=30,
    )
)
def test_feedback_for_packets_never_sent(
    packets: list[tuple[int, int, int, set[int]]],
) -> None:
    sent = SentPackets()
    for i in range(50):
        sent.sent(100, i * 0.01, 0)
    results = []
    for base, count, reference, offsets in packets:
        arrivals = [Arrival(o, o) for o in sorted(offsets) if o < count]
        results += sent.results(TransportFeedback(1, 2, base, count, reference, 0, arrivals))
    assert len(results) + len(sent) <= 50


def test_what_no_feedback_tells_of_is_bounded() -> None:
    sent = SentPackets()
    for _ in range(2 * MAX_UNREPORTED):
        sent.sent(100, 1.0, 0)
    assert len(sent) == MAX_UNREPORTED
    sent.results(TransportFeedback(1, 2, (sent.next_number() - 1) & 0xFFFF, 1, 0, 0, [Arrival(0, 0)]))
    assert len(sent) == 0
