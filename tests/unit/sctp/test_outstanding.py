"""Loss detection, timers and retransmission, step by step."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from rtcstack.sctp.chunks import FLAG_IMMEDIATE, Sack
from rtcstack.sctp.congestion import Reno
from rtcstack.sctp.outstanding import MAX_PROBES, Outstanding
from rtcstack.sctp.rto import RtoEstimator
from rtcstack.sctp.send_queue import SendQueue
from tests.unit.sctp.pair import Pair

RTT = 0.04


class Bench:
    """An Outstanding with a queue before it; the peer is played by hand."""

    def __init__(self, initial_tsn: int = 0, **limits: Any) -> None:
        self.queue = SendQueue([], 1 << 30, 1176)
        self.rto = RtoEstimator(0.5, 0.4, 3.0)
        self.congestion = Reno(1191, 1 << 20)
        self.out = Outstanding(initial_tsn, 1 << 20, 1191, self.queue, self.rto, self.congestion)
        self.first = self.out.next_tsn
        self.limits = {"max_retransmits": None, "expires_at": None, **limits}

    def send(self, packets: int, now: float) -> None:
        """Send so many packets of one chunk each."""
        for _ in range(packets):
            self.queue.add(
                0, 53, bytes(1000), True, self.limits["max_retransmits"], self.limits["expires_at"]
            )
        while self.flush(now):
            pass

    def flush(self, now: float) -> list[int]:
        """One packet: the TSNs in it, relative to the first."""
        parts: list[bytes] = []
        if not self.out.fill(parts, 1176, now):
            return []
        self.out.sent(now)
        return [int.from_bytes(part[4:8], "big") - (self.first & 0xFFFF_FFFF) for part in parts]

    def sack(self, cumulative: int, *gaps: tuple[int, int], now: float, dups: tuple[int, ...] = ()) -> None:
        """A SACK with TSNs relative to the first one."""
        edges = tuple(edge - cumulative for gap in gaps for edge in gap)
        base = self.first + cumulative
        wire = tuple((self.first + dup) & 0xFFFF_FFFF for dup in dups)
        assert self.out.on_sack(Sack(base & 0xFFFF_FFFF, 1 << 20, edges, wire), now)


def test_what_was_sent_before_something_that_arrived_is_lost_after_a_quarter_round_trip() -> None:
    bench = Bench()
    bench.send(1, 0.0)
    bench.sack(0, now=RTT)
    bench.send(3, 1.0)
    bench.sack(0, (2, 3), now=1.0 + RTT)
    assert bench.flush(1.0 + RTT) == []
    deadline = bench.out.next_timeout()
    assert deadline == pytest.approx(1.0 + 1.25 * RTT)
    bench.out.handle_timeout(deadline)
    assert bench.flush(deadline) == [1]
    assert bench.out.chunks_retransmitted == 1
    # The retransmission is lost, too: found as soon as something sent after it arrives.
    bench.send(1, deadline + 0.001)
    bench.sack(0, (2, 4), now=deadline + 0.001 + RTT)
    later = bench.out.next_timeout()
    assert later is not None
    bench.out.handle_timeout(later)
    assert bench.flush(later) == [1]


def test_a_lost_tail_is_probed_before_the_timer_expires() -> None:
    bench = Bench()
    bench.send(1, 0.0)
    bench.sack(0, now=RTT)
    bench.send(3, 1.0)
    window = bench.congestion.window_bytes
    deadline = bench.out.next_timeout()
    assert deadline == pytest.approx(1.0 + 2 * RTT)
    bench.out.handle_timeout(deadline)
    assert bench.out.probe_due
    assert bench.flush(deadline) == [3]
    assert bench.out._chunks[bench.first + 3].data[1] & FLAG_IMMEDIATE
    again = deadline + RTT
    bench.sack(0, (3, 3), now=again)  # all that was sent long before the probe is lost
    assert bench.flush(again) == [1]
    assert bench.flush(again) == [2]
    assert bench.out.timeouts == 0
    assert bench.congestion.window_bytes >= window // 2


def test_probes_are_limited_and_the_timer_backs_off() -> None:
    bench = Bench()
    bench.send(1, 0.0)
    bench.sack(0, now=RTT)
    bench.send(2, 1.0)
    sent: list[float] = []
    while (deadline := bench.out.next_timeout()) is not None and deadline < 20:
        bench.out.handle_timeout(deadline)
        if bench.flush(deadline):
            sent.append(deadline)
        while bench.flush(deadline):
            pass
    waits = [b - a for a, b in itertools.pairwise(sent)]
    assert waits[0] == pytest.approx(2 * RTT)
    assert bench.out._probes == MAX_PROBES
    assert waits[-1] == pytest.approx(3.0)  # rto_max_s
    assert len(sent) < 15
    assert bench.out.timeouts > 3


def test_reordering_widens_the_window_and_is_forgotten() -> None:
    bench = Bench()
    bench.send(1, 0.0)
    bench.sack(0, now=RTT)
    now = 1.0
    for _ in range(4):
        first = bench.out.next_tsn - bench.first
        bench.send(2, now)
        bench.sack(first - 1, (first + 1, first + 1), now=now + RTT)
        deadline = bench.out.next_timeout()
        assert deadline is not None
        bench.out.handle_timeout(deadline)
        resent = bench.flush(deadline)
        bench.sack(first + 1, now=now + RTT + 0.03, dups=(first,) if resent else ())
        now += 1
    assert bench.out._rack.steps > 1
    for _ in range(20):
        first = bench.out.next_tsn - bench.first
        bench.send(1, now)
        bench.sack(first, now=now + RTT)
        now += 6
    assert bench.out._rack.steps == 1


def test_duplicates_made_by_the_network_say_nothing() -> None:
    bench = Bench()
    bench.send(10, 0.0)
    bench.sack(9, now=RTT, dups=(1, 2, 3))
    assert bench.out._rack.steps == 1


def test_a_timeout_that_was_too_early_is_undone() -> None:
    bench = Bench()
    bench.send(1, 0.0)
    bench.sack(0, now=RTT)
    bench.send(50, 1.0)
    window = bench.congestion.window_bytes
    while not bench.out.timeouts:
        deadline = bench.out.next_timeout()
        assert deadline is not None
        bench.out.handle_timeout(deadline)
        if not bench.out.timeouts:
            bench.flush(deadline)
    assert bench.congestion.window_bytes < window
    assert bench.out.flight_bytes == 0
    bench.sack(20, now=deadline + 0.001)  # the originals come after all
    assert bench.congestion.window_bytes >= window
    assert bench.out.flight_bytes > 0
    bench.sack(50, now=deadline + 0.002)
    assert bench.out.is_empty
    assert bench.out.next_timeout() is None


def test_a_peer_that_takes_back_what_it_has_acknowledged() -> None:
    bench = Bench()
    bench.send(5, 0.0)
    bench.sack(-1, (1, 4), now=RTT)  # everything but the first
    now = RTT
    resent: set[int] = set()
    while len(resent) < 5 and now < 60:
        deadline = bench.out.next_timeout()
        assert deadline is not None
        now = deadline
        bench.out.handle_timeout(now)
        while tsns := bench.flush(now):
            resent.update(tsns)
    assert resent == {0, 1, 2, 3, 4}


def test_retransmissions_are_limited_where_asked_and_the_peer_is_told_to_go_on() -> None:
    bench = Bench(max_retransmits=1)
    bench.send(1, 0.0)
    bench.sack(0, now=RTT)
    bench.send(3, 1.0)
    bench.sack(0, (2, 3), now=1.0 + RTT)
    now = bench.out.next_timeout()
    assert now is not None
    bench.out.handle_timeout(now)
    assert bench.flush(now) == [1]
    bench.send(1, now + 0.01)
    bench.sack(0, (2, 4), now=now + 0.01 + RTT)
    later = bench.out.next_timeout()
    assert later is not None
    bench.out.handle_timeout(later)
    assert bench.flush(later) == []
    assert bench.out.abandonment.forward_due
    chunk = bench.out.make_forward(later)
    assert int.from_bytes(chunk[4:8], "big") == (bench.first + 1) & 0xFFFF_FFFF
    assert chunk[8:12] == bytes((0, 0, 0, 1))  # stream 0, sequence number 1
    bench.sack(4, now=later + RTT)
    assert bench.out.is_empty
    assert bench.out.make_forward(later) == b""


def test_rto_follows_the_rules() -> None:
    rto = RtoEstimator(0.5, 0.4, 3.0)
    assert rto.rto_s == 0.5
    rto.observe(1.0)
    assert rto.srtt_s == 1.0
    assert rto.rto_s == pytest.approx(3.0)
    for _ in range(200):
        rto.observe(0.05)
    assert rto.srtt_s == pytest.approx(0.05)
    assert rto.rto_s == 0.4
    for expected in (0.8, 1.6, 3.0, 3.0):
        rto.back_off()
        assert rto.rto_s == pytest.approx(expected)
    rto.restore()
    assert rto.rto_s == 0.4


def test_tsns_wrap_around_in_the_middle_of_losses() -> None:
    for seed in range(20):
        rng = random.Random(seed)
        pair = Pair(seed=seed, tsn=(1 << 32) - 30, forth={"loss": 0.1}, back={"loss": 0.1})
        channel = pair.a.engine.open("x", now=pair.now)
        sent = [rng.randbytes(rng.randrange(1, 4000)) for _ in range(60)]
        for data in sent:
            pair.a.engine.send(channel, data, pair.now)
        assert pair.run(60, lambda p=pair, s=sent: p.b.received() == s)


def test_gap_blocks_grow_join_shrink_and_come_late() -> None:
    """Every way in which one SACK may differ from the one before it."""
    bench = Bench()
    bench.send(1, 0.0)
    bench.sack(0, now=RTT)
    bench.send(20, 1.0)
    now = 1.0 + RTT
    size = len(bench.out._chunks[bench.first + 1].data)

    def in_flight() -> int:
        return bench.out.flight_bytes // size

    for gaps, left in (
        (((3, 3),), 19),
        (((3, 6),), 16),  # the last block grows
        (((3, 6), (8, 8)), 15),  # another one
        (((3, 6), (8, 9)), 14),
        (((3, 4),), 14),  # an old SACK, late
        (((3, 6), (8, 9)), 14),
        (((3, 9),), 13),  # the hole between is filled
        (((2, 9), (11, 15)), 7),  # a block begins earlier
        (((2, 15),), 6),
    ):
        bench.sack(0, *gaps, now=now)
        assert in_flight() == left
    bench.sack(16, (18, 18), now=now)
    assert in_flight() == 3
    bench.sack(20, now=now)
    assert bench.out.is_empty
    assert bench.out.flight_bytes == 0
