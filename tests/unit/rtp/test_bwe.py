"""Congestion control, part by part: delays, rates, losses, shares."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.rtp.bwe.aimd import BACKOFF, AimdControl
from rtcstack.rtp.bwe.allocation import Demand, allocate
from rtcstack.rtp.bwe.delay import DelayDetector, Usage
from rtcstack.rtp.bwe.estimator import PacketResult
from rtcstack.rtp.bwe.gcc import GoogleCongestionControl
from rtcstack.rtp.bwe.loss import LossControl
from rtcstack.rtp.bwe.loss_model import WINDOW, LossModel
from rtcstack.rtp.bwe.receiving import ReceivingEstimator

# -- delays ---------------------------------------------------------------------------------------


def run_detector(queue_growth: float, packets: int = 300, jitter: float = 0.0) -> list[Usage]:
    """Packets every 10 ms through a queue that grows by so many seconds per second."""
    detector, rng, verdicts = DelayDetector(), random.Random(1), []
    for i in range(packets):
        sent = i * 0.01
        detector.arrived(sent, 5.0 + sent * (1 + queue_growth) + rng.random() * jitter)
        verdicts.append(detector.usage)
    return verdicts


def test_a_steady_delay_is_normal() -> None:
    assert set(run_detector(0.0)) == {Usage.NORMAL}


def test_jitter_alone_is_mostly_normal() -> None:
    verdicts = run_detector(0.0, jitter=0.005)
    assert verdicts.count(Usage.OVER) < len(verdicts) * 0.05


def test_a_growing_queue_is_overuse_and_a_draining_one_underuse() -> None:
    assert Usage.OVER in run_detector(0.1)[:100]
    assert Usage.UNDER in run_detector(-0.1)[:100]


def test_bursts_are_one_group() -> None:
    detector = DelayDetector()
    for i in range(200):
        for part in range(5):
            detector.arrived(i * 0.03 + part * 0.0005, 1.0 + i * 0.03 + part * 0.002)
        assert detector.usage is Usage.NORMAL


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-1e6, 1e6)), max_size=100))
def test_absurd_times_never_raise(packets: list[tuple[float, float]]) -> None:
    detector = DelayDetector()
    now = 0.0
    for step, arrival in packets:
        now += step
        detector.arrived(now, arrival)
        assert 6.0 <= detector.threshold_ms <= 600.0


# -- rates ----------------------------------------------------------------------------------------


def test_up_by_eight_percent_a_second_until_something_is_known_of_the_link() -> None:
    aimd = AimdControl(300_000)
    for i in range(101):
        aimd.update(Usage.NORMAL, None, limited=False, now=1.0 + i * 0.1)
    assert aimd.rate_bps == pytest.approx(300_000 * 1.08**10, rel=0.02)


def test_down_at_once_to_less_than_what_came_through() -> None:
    aimd = AimdControl(1_000_000)
    aimd.update(Usage.OVER, 800_000, limited=False, now=1.0)
    assert aimd.rate_bps == pytest.approx(BACKOFF * 800_000)
    aimd.update(Usage.OVER, 700_000, limited=False, now=1.05)  # too soon to judge the effect
    assert aimd.rate_bps == pytest.approx(BACKOFF * 800_000)


def test_after_a_decrease_up_by_steps() -> None:
    aimd = AimdControl(1_000_000)
    aimd.update(Usage.OVER, 900_000, limited=False, now=1.0)
    start = aimd.rate_bps
    for i in range(21):
        aimd.update(Usage.NORMAL, start, limited=False, now=2.0 + i * 0.1)
    assert start + 8000 <= aimd.rate_bps <= start * 1.08**2


def test_no_further_than_what_was_tried() -> None:
    aimd = AimdControl(1_000_000)
    for i in range(100):
        aimd.update(Usage.NORMAL, 100_000, limited=False, now=i * 0.1)
    assert aimd.rate_bps == 1_000_000
    for i in range(100, 200):
        aimd.update(Usage.NORMAL, 900_000, limited=True, now=i * 0.1)
    assert aimd.rate_bps == 1_000_000


def test_losses() -> None:
    loss = LossControl()
    loss.update(0.01, 1e6, 0.1, 1.0)
    assert loss.bound_bps is None
    loss.update(0.05, 1e6, 0.1, 2.0)
    assert loss.bound_bps == 1e6
    loss.update(0.2, 1e6, 0.1, 3.0)
    assert loss.bound_bps == pytest.approx(900_000)
    loss.update(0.2, 1e6, 0.1, 3.1)  # not before its effect can be seen
    assert loss.bound_bps == pytest.approx(900_000)
    for i in range(10):
        loss.update(0.0, 900_000, 0.1, 4.0 + i)
    assert loss.bound_bps is None


def test_few_packets_say_nothing_of_loss() -> None:
    loss = LossControl()
    loss.count(5, 10, 1e6, 0.1, 1.0)
    assert loss.fraction == 0.0
    loss.count(5, 10, 1e6, 0.1, 1.0)
    assert loss.fraction == 0.5


# -- losses and their causes ----------------------------------------------------------------------


def lossy(model: LossModel, rate_bps: float, loss: float, seconds: float, start: float) -> float:
    """Packets at this rate, every so-many-th lost."""
    step = 8000 / rate_bps
    owed = 0.0
    for i in range(int(seconds / step)):
        at = start + i * step
        owed += loss
        arrived: float | None = at + 0.02
        if owed >= 1:
            owed -= 1
            arrived = None
        model.count([PacketResult(at, arrived, 1000, 0)], 2e6, rate_bps * (1 - loss))
    return start + seconds


def test_losses_at_any_rate_are_borne() -> None:
    model = LossModel()
    now = 1.0
    for rate in (0.5e6, 1e6, 0.7e6):
        now = lossy(model, rate, 0.04, 3.0, now)
    assert model.bound_bps is None
    assert model.fraction == pytest.approx(0.04, abs=0.01)


def test_losses_that_come_with_the_rate_set_a_bound_near_the_bottleneck() -> None:
    model = LossModel()
    now = 1.0
    for rate in (0.5e6, 0.6e6, 0.7e6, 0.8e6, 0.9e6, 1.0e6):
        now = lossy(model, rate, max(0.0, 1 - 0.8e6 / rate), 1.0, now)
    assert model.bound_bps is not None
    assert 0.6e6 < model.bound_bps < 0.9e6


def test_heavy_losses_bound_whatever_their_cause_and_the_bound_goes_when_they_do() -> None:
    model = LossModel()
    now = lossy(model, 1e6, 0.3, 5.0, 1.0)
    assert model.bound_bps == pytest.approx(75_000 / 0.25, rel=0.1)
    now = lossy(model, 0.3e6, 0.0, 20.0, now)
    assert model.bound_bps is None


def test_nothing_lost_nothing_bound() -> None:
    model = LossModel()
    lossy(model, 1e6, 0.0, 10.0, 1.0)
    assert model.bound_bps is None
    assert model.fraction == 0.0


@given(
    st.lists(
        st.tuples(
            st.floats(-1, 5), st.none() | st.floats(-1e5, 1e5), st.integers(0, 1500), st.floats(0, 1e12)
        ),
        max_size=120,
    )
)
def test_absurd_losses_never_raise(results: list[tuple[float, float | None, int, float]]) -> None:
    model = LossModel()
    now = 0.0
    for step, arrived, size, delay_bps in results:
        now += step
        model.count([PacketResult(now, arrived, size, 0)] * 3, delay_bps, arrived)
        assert 0.0 <= model.fraction <= 1.0
        assert model.bound_bps is None or model.bound_bps > 0
    assert len(model._observations) <= WINDOW


# -- together -------------------------------------------------------------------------------------


def test_the_peers_estimate_bounds() -> None:
    gcc = GoogleCongestionControl()
    gcc.set_bounds(50_000, 300_000, 2_000_000)
    gcc.on_remote_estimate(150_000, 1.0)
    assert gcc.estimate_bps == 150_000
    gcc.on_remote_estimate(2**80, 2.0)
    assert gcc.estimate_bps <= 4_000_000
    gcc.on_remote_estimate(0, 3.0)
    assert gcc.estimate_bps == 50_000


def test_silence_of_the_peer_lets_the_rate_fall() -> None:
    gcc = GoogleCongestionControl()
    now = 1.0
    for _ in range(100):
        gcc.on_sent(4000, now)
        now += 0.1
        due = gcc.next_timeout()
        if due is not None and due <= now:
            gcc.handle_timeout(now)
    assert gcc.estimate_bps < 150_000


def test_nothing_sent_nothing_due() -> None:
    gcc = GoogleCongestionControl()
    assert gcc.next_timeout() is None
    gcc.on_sent(1000, 1.0)
    for _ in range(10):
        due = gcc.next_timeout()
        if due is None:
            break
        gcc.handle_timeout(due)
    assert gcc.next_timeout() is None


@given(
    st.lists(
        st.tuples(
            st.floats(0, 10), st.none() | st.floats(-1e5, 1e5), st.integers(0, 2000), st.integers(0, 5)
        ),
        max_size=60,
    )
)
def test_absurd_results_never_raise(results: list[tuple[float, float | None, int, int]]) -> None:
    gcc = GoogleCongestionControl()
    gcc.set_bounds(30_000, 300_000, 5_000_000)
    now = 1.0
    gcc.on_sent(1000, now)
    gcc.take_probes()
    for step, arrived, size, probe in results:
        now += step
        gcc.on_results([PacketResult(now - 0.1, arrived, size, probe)], now)
        gcc.handle_timeout(now)
        assert 30_000 <= gcc.estimate_bps <= 10_000_000
        gcc.take_probes()


# -- shares ---------------------------------------------------------------------------------------


demands = st.lists(
    st.builds(Demand, st.integers(0, 10**6), st.none() | st.integers(0, 10**7), st.floats(0.1, 4)),
    max_size=8,
)


@given(st.integers(0, 10**8), demands)
def test_shares_keep_their_bounds(estimate: int, wanted: list[Demand]) -> None:
    shares = allocate(estimate, wanted)
    assert sum(shares) <= estimate
    for share, demand in zip(shares, wanted, strict=True):
        assert share == 0 or share >= demand.min_bps or demand.takes_less
        bound = demand.max_bps
        assert bound is None or share <= max(bound, demand.min_bps)
    if wanted and all(d.max_bps is None and not d.min_bps for d in wanted):
        assert sum(shares) >= estimate - 10 * len(wanted)


def test_by_weight() -> None:
    assert allocate(900, [Demand(0, None, 1.0), Demand(0, None, 2.0)]) == [300, 600]
    assert allocate(900, [Demand(0, 100, 2.0), Demand(0, None, 1.0)]) == [100, 800]
    assert allocate(150, [Demand(100, None, 1.0), Demand(100, None, 2.0)]) == [0, 150]


SOUND = Demand(40, 60, 1.0, urgent=True, takes_less=True)
PICTURES = Demand(30, None, 1.0, takes_less=True)


@pytest.mark.parametrize(
    ("estimate", "shares"),
    [
        (200, [60, 140]),
        (90, [60, 30]),  # pictures have given way as far as they can,
        (80, [50, 30]),  # now sound does,
        (70, [40, 30]),
        (50, [40, 10]),  # until speech is only just good; then pictures pause,
        (40, [40, 0]),
        (25, [25, 0]),  # and sound has all that there is
    ],
)
def test_who_gives_way_to_whom(estimate: int, shares: list[int]) -> None:
    assert allocate(estimate, [SOUND, PICTURES]) == shares


def test_what_has_less_than_its_minimum_is_not_what_pauses() -> None:
    large, small = Demand(400, None, 1.0), Demand(30, None, 1.0, takes_less=True)
    assert allocate(60, [SOUND, large, small]) == [40, 0, 20]


# -- the receiver's own estimate ------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, (1 << 24) - 1), st.integers(0, 1500), st.floats(0, 10)), max_size=100)
)
def test_absurd_send_times_never_raise(packets: list[tuple[int, int, float]]) -> None:
    estimator = ReceivingEstimator()
    now = 1000.0
    for send_time, size, wait in packets:
        now += wait
        estimator.arrived(send_time, size, now)
        if estimator.due_at is not None and estimator.due_at <= now:
            told = estimator.take(now)
            assert told is None or told >= 5000
            assert estimator.due_at is None or estimator.due_at > now


def test_the_estimate_is_told_every_second_and_sooner_when_it_falls() -> None:
    estimator = ReceivingEstimator()
    told: list[tuple[float, int]] = []
    for i in range(600):
        now = 1000.0 + i * 0.01
        queue = max(0.0, (i - 400) * 0.01 * 0.3)  # from the fourth second on it grows
        estimator.arrived(int((now - queue) * (1 << 18)) & 0xFF_FFFF, 1250, now)
        if estimator.due_at is not None and estimator.due_at <= now:
            rate = estimator.take(now)
            assert rate is not None
            told.append((now - 1000, rate))
    before = [at for at, _ in told if at < 4]
    assert [b - a for a, b in pairwise(before)] == pytest.approx([1.0] * (len(before) - 1))
    assert max(rate for _, rate in told) == pytest.approx(1.5e6, rel=0.05)
    fallen = next(at for at, rate in told if rate < 1e6)
    assert fallen < 4.7
