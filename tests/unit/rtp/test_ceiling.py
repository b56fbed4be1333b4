"""Bottlenecks that drop what is above their rate, and what repairs take from encoders."""

from __future__ import annotations

from itertools import pairwise

import pytest

from rtcstack.rtp.bwe.ceiling import FIRST_HOLD_S, KEPT, MAX_HOLD_S, SMOOTH_S, TRIED, Ceiling
from rtcstack.rtp.bwe.estimator import PacketResult
from rtcstack.rtp.outgoing import SendCounts
from rtcstack.rtp.pacer import BURST_S, SMALL_BURST_S
from rtcstack.rtp.repairs import LOOK_EVERY_S, MAX_SHARE, Repairs
from tests.support.road import Road, RoadSettings
from tests.unit.rtp.test_calls import Adaptive

SIZE = 1000
RATE_BPS = 1e6


class Watched(Road):
    """Results of packets that are sent at even pace: a policer lets a rate through, and a way loses some."""

    def __init__(
        self, rate_bps: float = 1e9, bucket_bytes: int = 12_000, loss: float = 0.0, seed: int = 1
    ) -> None:
        super().__init__(RoadSettings(rate=rate_bps / 8, bucket_bytes=bucket_bytes), seed)
        self.ceiling = Ceiling()
        self.loss = loss
        self.delay_s = 0.02
        self.now = 100.0

    def send(self, seconds: float, bps: float) -> list[float]:
        """Send for so long; what is said to be left."""
        found: list[float] = []
        until, step_s = self.now + seconds, SIZE * 8 / bps
        while self.now < until:
            results = []
            for _ in range(5):
                self.now += step_s
                passes = self.pass_through(SIZE) >= 0 and self.random.random() >= self.loss
                results.append(PacketResult(self.now, self.now + self.delay_s if passes else None, SIZE, 0))
            rate = self.ceiling.take(results, 0.0, self.now)
            if rate is not None:
                found.append(rate)
        return found


def test_what_comes_through_while_much_is_lost_is_the_rate() -> None:
    road = Watched(RATE_BPS)
    assert not road.send(5, 0.9e6)
    assert not road.ceiling.is_smooth(road.now)
    road.send(0.3, 1.05e6)
    began = road.now
    found = road.send(2, 1.4e6)
    assert found
    assert all(rate == pytest.approx(KEPT * RATE_BPS, rel=0.08) for rate in found)
    assert road.ceiling.is_smooth(road.now)
    assert road.ceiling.is_smooth(road.now + SMOOTH_S)  # for as long as the rate is known
    assert road.ceiling.hold_until > began + FIRST_HOLD_S


def test_a_burst_is_no_proof_of_the_rate() -> None:
    """Not before packets leave one by one, which they do after the first losses."""
    road = Watched(RATE_BPS)
    road.send(5, 0.9e6)
    assert road.send(0.5, 1.5e6)
    assert road.ceiling.rate_bps is None
    assert road.ceiling.hold_until > road.now  # but there is no use in probes
    assert not road.send(1, 0.9e6)
    assert road.send(1, 1.5e6)
    assert road.ceiling.rate_bps == pytest.approx(RATE_BPS, rel=0.08)


def known() -> Watched:
    """A policer whose rate is known."""
    road = Watched(RATE_BPS, bucket_bytes=4_000)
    road.send(5, 0.9e6)
    road.send(0.5, 1.5e6)
    road.send(1, 0.9e6)
    road.send(0.5, 1.5e6)
    assert road.ceiling.rate_bps is not None
    return road


def test_a_little_more_is_tried_after_longer_and_longer_times() -> None:
    road = known()
    holds = []
    for _ in range(6):
        rate, held = road.ceiling.rate_bps, road.ceiling.hold_until
        assert rate is not None
        assert road.ceiling.bound_bps(held - 0.1) == KEPT * rate
        assert road.ceiling.bound_bps(held) == TRIED * rate
        road.now = held
        road.send(1, 0.95e6)
        # a little too much is noticed, now that the rate is known
        assert any(road.send(0.1, 1.12e6) for _ in range(20))
        holds.append(road.ceiling.hold_until - road.now)
    assert holds[0] < 0.3 * MAX_HOLD_S
    assert all(longer >= shorter - 1 for shorter, longer in pairwise(holds))
    assert MAX_HOLD_S - 1 < holds[-1] <= MAX_HOLD_S


def test_more_that_comes_through_refutes_it() -> None:
    road = known()
    road.set_rate(3e6 / 8)
    road.now = road.ceiling.hold_until
    assert not road.send(5, 1.12e6)
    assert road.ceiling.rate_bps is None
    assert road.ceiling.bound_bps(road.now) is None


def test_another_way_knows_of_none() -> None:
    road = known()
    road.ceiling.forget()
    assert road.ceiling.rate_bps is None
    assert road.ceiling.hold_until == 0.0
    assert not road.ceiling.is_smooth(road.now)


@pytest.mark.parametrize(("loss", "most"), [(0.0, 0), (0.01, 0), (0.05, 1), (0.1, 3), (0.2, 3)])
def test_losses_of_the_way_are_none_of_a_bottleneck(loss: float, most: int) -> None:
    false = 0
    for seed in range(20):
        road = Watched(loss=loss, seed=seed)
        false += bool(road.send(20, 2e6) or road.send(5, 2.4e6))
    assert false <= most


def test_losses_that_begin_are_none_of_a_bottleneck() -> None:
    false = 0
    for seed in range(20):
        road = Watched(seed=seed)
        road.send(5, 2e6)
        road.loss = 0.2
        false += len(road.send(2, 2e6))
    assert false <= 1


def test_where_there_is_a_queue_delays_tell() -> None:
    road = Watched(RATE_BPS)
    road.send(5, 0.9e6)
    road.delay_s = 0.12
    assert not road.send(2, 1.5e6)


@pytest.mark.parametrize(("bucket_bytes", "most"), [(4_000, 0.04), (12_000, 0.02), (100_000, 0.07)])
def test_a_policer_is_kept_to(bucket_bytes: int, most: float) -> None:
    call = Adaptive(1e6, forth={"bucket_bytes": bucket_bytes})
    call.film(60)
    call.run(10)
    overflowed, delivered = call.forth.overflowed, call.forth.delivered
    call.network.run(until=60)
    assert call.mean(10, 60) > 0.85e6
    assert call.forth.overflowed - overflowed < most * (call.forth.delivered - delivered)
    assert len(call.frames) > 0.97 * call.number


def test_a_policer_that_lets_more_through_is_found_out() -> None:
    call = Adaptive(1e6, forth={"bucket_bytes": 12_000})
    call.film(120)
    call.network.at(call.network.now + 30, lambda _: call.forth.set_rate(3e6 / 8), None)
    call.run(30)
    call.network.run(until=120)
    assert call.mean(100, 120) > 2e6


def test_after_a_loss_packets_leave_one_by_one() -> None:
    call = Adaptive(4e6, max_bps=1_000_000)
    call.film(60)
    call.run(5)
    sending = call.sender.sending
    assert sending.pacer.burst_s == BURST_S
    call.forth.loss = 0.02
    call.network.run(until=7)
    call.forth.loss = 0.0
    assert sending.pacer.burst_s == SMALL_BURST_S
    call.network.run(until=20)
    assert sending.pacer.burst_s == SMALL_BURST_S  # what shares the bottleneck overruns it now and then
    call.network.run(until=50)
    assert sending.pacer.burst_s == BURST_S


def test_what_repairs_is_taken_from_the_encoder() -> None:
    counts, repairs, now = SendCounts(), Repairs(), 1.0
    for _ in range(20):
        now += LOOK_EVERY_S
        counts.bytes += 1000
        counts.retransmitted_bytes += 200
        repairs.look(counts, now)
    assert repairs.share == pytest.approx(0.2)
    counts.bytes += 1000
    counts.retransmitted_bytes += 1000
    repairs.look(counts, now + LOOK_EVERY_S / 2)
    assert repairs.share == pytest.approx(0.2)  # not yet
    repairs.look(counts, now + LOOK_EVERY_S)
    assert repairs.share == MAX_SHARE
    for i in range(2, 20):
        counts.bytes += 1000
        repairs.look(counts, now + i * LOOK_EVERY_S)
    assert repairs.share < 0.01
