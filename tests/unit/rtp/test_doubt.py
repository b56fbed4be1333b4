"""Leaps of the estimate that do not hold, and what repairs take from encoders."""

from __future__ import annotations

import random

import pytest

from rtcstack.rtp.bwe.doubt import FIRST_PAUSE_S, MAX_PAUSE_S, TRIAL_S, ProbeDoubt
from rtcstack.rtp.bwe.estimator import PacketResult
from rtcstack.rtp.outgoing import SendCounts
from rtcstack.rtp.repairs import LOOK_EVERY_S, MAX_SHARE, Repairs
from tests.unit.rtp.test_calls import Adaptive

SIZE = 1000


def sent(start: float, seconds: float, rate_bps: float, loss: float, seed: int = 1) -> list[PacketResult]:
    """Packets at a rate, some of which did not arrive."""
    chance = random.Random(seed)
    count = int(seconds * rate_bps / 8 / SIZE)
    times = [start + i * seconds / count for i in range(count)]
    return [PacketResult(t, None if chance.random() < loss else t + 0.02, SIZE, 0) for t in times]


def test_a_leap_that_is_lost_is_taken_back() -> None:
    doubt = ProbeDoubt()
    doubt.changed(1e6, 3e6, 0.0, 10.0)
    found = doubt.judge(sent(10.0, 0.4, 3e6, 0.6), 1.1e6, 10.5)
    assert found is not None
    assert 0.7e6 < found < 1.1e6
    assert doubt.failures == 1
    assert doubt.pause_until == 10.5 + FIRST_PAUSE_S
    assert doubt.judge(sent(10.4, 0.4, 3e6, 0.6), 1.1e6, 10.9) is None  # once


def test_a_leap_that_holds_is_kept() -> None:
    doubt = ProbeDoubt()
    doubt.changed(1e6, 3e6, 0.02, 10.0)
    for i in range(20):
        assert doubt.judge(sent(10 + i / 4, 0.25, 3e6, 0.02, i), 3e6, 10.3 + i / 4) is None
    assert doubt.failures == 0
    assert doubt.judge(sent(10 + TRIAL_S + 3, 0.4, 3e6, 0.6), 1e6, 20.0) is None  # it was over


@pytest.mark.parametrize("loss", [0.0, 0.02, 0.05, 0.1])
def test_losses_that_were_there_before_are_no_sign(loss: float) -> None:
    false = 0
    for seed in range(50):
        doubt = ProbeDoubt()
        doubt.changed(1e6, 2e6, loss, 10.0)
        for i in range(14):
            results = sent(10 + i / 4, 0.25, 2e6, loss, 100 * seed + i)
            false += doubt.judge(results, 2e6, 10.3 + i / 4) is not None
    assert false <= 1


def test_small_steps_and_queues_are_not_tried() -> None:
    doubt = ProbeDoubt()
    doubt.changed(1e6, 1.1e6, 0.0, 10.0)
    assert doubt.judge(sent(10.0, 0.4, 3e6, 0.6), 1e6, 10.5) is None
    doubt.changed(1e6, 3e6, 0.0, 10.0)
    doubt.end_trial()
    assert doubt.judge(sent(10.0, 0.4, 3e6, 0.6), 1e6, 10.5) is None


def test_pauses_grow_within_bounds_and_shrink_with_what_holds() -> None:
    doubt = ProbeDoubt()
    pauses, now = [], 10.0
    for _ in range(8):
        doubt.changed(1e6, 3e6, 0.0, now)
        assert doubt.judge(sent(now, 0.4, 3e6, 0.6), 1e6, now + 0.5) is not None
        pauses.append(doubt.pause_until - now - 0.5)
        now += 200
    assert pauses == sorted(pauses)
    assert pauses[-1] == MAX_PAUSE_S
    doubt.changed(1e6, 3e6, 0.0, now)
    doubt.judge(sent(now + TRIAL_S + 0.1, 0.4, 3e6, 0.0), 3e6, now + 5)
    doubt.changed(1e6, 3e6, 0.0, now + 10)
    doubt.judge(sent(now + 10, 0.4, 3e6, 0.6), 1e6, now + 10.5)
    assert doubt.pause_until == pytest.approx(now + 10.5 + MAX_PAUSE_S / 2)
    doubt.forget()
    assert doubt.pause_until == 0.0


@pytest.mark.parametrize(("bucket_bytes", "most"), [(12_000, 0.07), (100_000, 0.2)])
def test_a_policer_is_kept_to(bucket_bytes: int, most: float) -> None:
    call = Adaptive(1e6, forth={"bucket_bytes": bucket_bytes})
    call.film(60)
    call.run(10)
    call.forth.reset_counts()
    call.network.run(until=60)
    assert call.mean(10, 60) > 0.75e6
    assert call.forth.overflowed < most * call.forth.delivered
    assert len(call.frames) > 0.95 * call.number


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
