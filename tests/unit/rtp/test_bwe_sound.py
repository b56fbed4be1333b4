"""Congestion control of few packets: a full queue is told from a way that loses some, and from jitter."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from rtcstack.rtp.bwe.estimator import PacketResult
from rtcstack.rtp.bwe.gcc import GoogleCongestionControl
from rtcstack.rtp.bwe.standing import MAX_REMEMBERED, MIN_LOST, NEWEST, WAITED_S, StandingQueue

STEP_S = 0.02
FLOOR_BPS, WANTED_BPS = 19_000, 59_000


def result(number: int, delay_s: float | None) -> PacketResult:
    sent_at = number * STEP_S
    return PacketResult(sent_at, None if delay_s is None else 100 + sent_at + delay_s, 150, 0)


def seen(delays: list[float | None]) -> StandingQueue:
    queue = StandingQueue()
    queue.count([result(number, delay_s) for number, delay_s in enumerate(delays)])
    return queue


def test_what_waits_and_loses_is_a_full_queue() -> None:
    full: list[float | None] = [0.02] * 50 + [0.09, 0.1, None] * 10
    assert seen(full).is_full
    assert not seen([0.02] * 50 + [0.09] * 30).is_full  # it waits, and all of it comes
    assert not seen([0.02, 0.02, None] * 30).is_full  # the way loses some at any rate
    one_fast = [*full, 0.02]
    assert not seen(one_fast).is_full  # jitter


def test_few_losses_and_few_packets_say_nothing() -> None:
    assert not seen([0.02] * 30 + [0.02 + 2 * WAITED_S] * NEWEST + [None] * (MIN_LOST - 1)).is_full
    assert not seen([0.09, None] * (NEWEST - 1)).is_full
    assert not StandingQueue().is_full


def test_what_was_seen_is_forgotten_when_less_is_sent_and_on_another_way() -> None:
    queue = seen([0.02] * 50 + [0.09, None] * 20)
    assert queue.is_full
    queue.drains()
    assert not queue.is_full
    queue.reset()
    queue.count([result(number, 0.5) for number in range(200, 260)])
    assert not queue.is_full


def test_clocks_that_drift_are_no_queue() -> None:
    queue = StandingQueue()
    for number in range(10_000):
        lost = number % 20 == 0
        queue.count([result(number, None if lost else 0.02 + number * STEP_S * 500e-6)])
        assert not queue.is_full


def test_what_is_remembered_is_bounded() -> None:
    queue = StandingQueue()
    queue.count([PacketResult(i * 1e-3, i * 1.001e-3, 100, 0) for i in range(10 * MAX_REMEMBERED)])
    assert len(queue._least) <= MAX_REMEMBERED


class Way:
    """A bottleneck with a queue, fed by sound that follows the estimate."""

    def __init__(self, rate_bps: float | None, queue_s: float = 0.1) -> None:
        self.estimator = GoogleCongestionControl()
        self.estimator.set_bounds(FLOOR_BPS, 300_000, WANTED_BPS)
        self.rate_bps = rate_bps
        self.queue_s = queue_s
        self.free_at = 0.0
        self.number = 0
        self.estimates: list[int] = []
        self.lost = 0
        self.waited_s: list[float] = []
        self.unreported: list[PacketResult] = []

    def run(self, seconds: float, gone: Callable[[int], bool] = lambda number: False) -> None:
        estimator = self.estimator
        for _ in range(round(seconds / STEP_S)):
            now = self.number * STEP_S
            size = int(min(estimator.estimate_bps, WANTED_BPS) * STEP_S / 8)
            estimator.on_sent(size, now)
            wait_s = max(0.0, self.free_at - now)
            arrived: float | None = None
            if gone(self.number) or (self.rate_bps and wait_s > self.queue_s):
                self.lost += 1
            else:
                takes_s = size * 8 / self.rate_bps if self.rate_bps else 0.0
                self.free_at = now + wait_s + takes_s
                arrived = 50.0 + self.free_at + 0.02
                self.waited_s.append(wait_s)
            self.unreported.append(PacketResult(now, arrived, size, 0))
            self.number += 1
            if self.number % 5 == 0:
                estimator.on_results(self.unreported, now + 0.04)
                self.unreported = []
            estimator.handle_timeout(now)
            self.estimates.append(estimator.estimate_bps)


@pytest.mark.parametrize("rate_bps", [24_000, 32_000, 48_000])
def test_sound_keeps_to_a_narrow_bottleneck(rate_bps: float) -> None:
    way = Way(rate_bps)
    way.run(10)
    way.lost, way.waited_s = 0, []
    count = len(way.estimates)
    way.run(60)
    assert way.lost < 0.01 * 60 / STEP_S
    assert sorted(way.waited_s)[int(0.99 * len(way.waited_s))] < 0.06
    later = way.estimates[count:]
    assert 0.65 * rate_bps < sum(later) / len(later) < 1.02 * rate_bps


def test_what_is_free_again_is_found() -> None:
    way = Way(24_000)
    way.run(30)
    way.rate_bps = None
    way.run(10)
    assert way.estimates[-1] >= WANTED_BPS


@pytest.mark.parametrize("loss", [0.02, 0.05, 0.1])
def test_a_way_that_loses_some_at_any_rate_costs_no_bits(loss: float) -> None:
    rng = random.Random(1)
    way = Way(None)
    way.run(60, lambda number: rng.random() < loss)
    assert min(way.estimates) >= WANTED_BPS


def test_it_does_not_fall_below_what_sound_needs_and_comes_back() -> None:
    way = Way(8_000)
    way.run(60)
    assert min(way.estimates) == way.estimates[-1] == FLOOR_BPS
    way.rate_bps = None
    way.run(10)
    assert way.estimates[-1] >= WANTED_BPS


def test_a_peer_that_never_tells_of_arrivals_leaves_sound_as_it_is() -> None:
    estimator = GoogleCongestionControl()
    estimator.set_bounds(FLOOR_BPS, 300_000, WANTED_BPS)
    for number in range(3_000):
        estimator.on_sent(150, number * STEP_S)
        estimator.handle_timeout(number * STEP_S)
    assert estimator.estimate_bps >= WANTED_BPS
