"""Congestion control, part by part: arrivals and feedback, delays, rates, losses, probes, shares."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.rtp.bwe.aimd import BACKOFF, AimdControl
from rtcstack.rtp.bwe.allocation import Demand, allocate
from rtcstack.rtp.bwe.arrivals import (
    MAX_INTERVAL_S,
    MAX_NOTED,
    MAX_STATUSES,
    MIN_INTERVAL_S,
    TransportArrivals,
)
from rtcstack.rtp.bwe.delay import DelayDetector, Usage
from rtcstack.rtp.bwe.estimator import MAX_UNREPORTED, PacketResult, SentPackets
from rtcstack.rtp.bwe.gcc import GoogleCongestionControl
from rtcstack.rtp.bwe.loss import LossControl
from rtcstack.rtp.bwe.loss_model import WINDOW, LossModel
from rtcstack.rtp.bwe.probing import MAX_LOOKS, ProbeControl, ProbeResult, ProbeResults
from rtcstack.rtp.bwe.receiving import ReceivingEstimator
from rtcstack.rtp.rtcp import Arrival, TransportFeedback, parse


def through_the_wire(packet: TransportFeedback) -> TransportFeedback:
    (received,), malformed, _ = parse(packet.to_bytes())
    assert not malformed
    assert isinstance(received, TransportFeedback)
    return received


# -- arrivals and feedback ------------------------------------------------------------------------


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


def probe_results(number: int, sent_bps: float, arrived_bps: float, count: int = 10) -> list[PacketResult]:
    size = 1000
    return [
        PacketResult(1.0 + i * size * 8 / sent_bps, 9.0 + i * size * 8 / arrived_bps, size, number)
        for i in range(count)
    ]


@pytest.mark.parametrize(
    ("sent", "arrived", "expected", "held"),
    [
        (1e6, 1e6, 1e6, True),
        (1e6, 0.5e6, 0.95 * 0.5e6, False),
        (1e6, 1.5e6, 1e6, True),
        (1e6, 5e6, None, False),
    ],
)
def test_what_a_probe_shows(sent: float, arrived: float, expected: float | None, held: bool) -> None:
    control, results = ProbeControl(), ProbeResults()
    control.start(sent / 3, 1.0)
    probe = control.waiting[0]
    assert probe.rate_bps == pytest.approx(sent)
    results.expect(probe)
    shown = results.take(probe_results(probe.number, sent, arrived))
    if expected is None:
        assert shown is None
    else:
        assert shown is not None
        assert shown.rate_bps == pytest.approx(expected, rel=0.01)
        assert shown.held is held


def test_results_of_probes_never_asked_for() -> None:
    results = ProbeResults()
    assert results.take(probe_results(9, 1e6, 1e6)) is None
    assert not results._clusters


def test_a_probe_that_held_asks_for_a_higher_one() -> None:
    control = ProbeControl()
    control.start(300_000, 1.0)
    assert [p.rate_bps for p in control.waiting] == [900_000, 1_800_000]
    assert control.on_result(ProbeResult(2, 1_700_000, True), 1.2) == 1_700_000
    assert control.waiting[-1].rate_bps == 3_400_000
    # half of it came through: that is all there is
    assert control.on_result(ProbeResult(3, 1_700_000, False), 1.4) == 1_700_000
    assert len(control.waiting) == 3
    for i in range(100):
        control.tick(1e6, 10.0 + i * 6, limited=True)
    assert len(control.waiting) <= 16


def test_beside_others_only_what_held_counts() -> None:
    control = ProbeControl()
    control.start(300_000, 1.0)
    control.tick(500_000, 20.0, limited=False)
    number = control.waiting[-1].number
    assert control.on_result(ProbeResult(number, 700_000, False), 20.1) is None
    control.tick(500_000, 30.0, limited=False)
    number = control.waiting[-1].number
    assert control.on_result(ProbeResult(number, 1_000_000, True), 30.1) == 1_000_000
    # what follows one that held is the only load above it: some of what it found is taken
    assert control.on_result(ProbeResult(number + 1, 1_500_000, False), 30.2) == 0.85 * 1_500_000


def test_a_probe_that_this_end_was_too_slow_for_is_made_again() -> None:
    control = ProbeControl()
    control.start(300_000, 1.0)
    control.waiting.clear()
    for i in range(10):
        # the loop was busy: it left at half of its rate, and came like this
        assert control.on_result(ProbeResult(2 + i, 900_000, True), 1.2 + i / 10) == 900_000
    assert [p.rate_bps for p in control.waiting] == [1_800_000] * 3
    # what came through at its rate, but not whole, shows the bottleneck: no more of it
    control = ProbeControl()
    control.start(300_000, 1.0)
    control.waiting.clear()
    assert control.on_result(ProbeResult(2, 900_000, False), 1.2) == 900_000
    assert control.waiting == []


def test_of_probes_that_are_told_of_together_the_best_one_counts() -> None:
    control, results = ProbeControl(), ProbeResults()
    control.start(300_000, 1.0)
    control.resumed(300_000, 300_000, 1.0)  # the way has changed meanwhile: a smaller one follows
    for probe in control.waiting:
        results.expect(probe)
    rates = [probe.rate_bps for probe in control.waiting]
    assert rates == [900_000, 1_800_000, 600_000]
    told = [each for i, bps in enumerate(rates) for each in probe_results(i + 1, bps, bps)]
    shown = results.take(told)
    assert shown is not None
    assert (shown.number, shown.rate_bps) == (2, pytest.approx(1_800_000, rel=0.01))
    # of one probe, what is known last counts
    control.start(300_000, 1.0)
    results = ProbeResults()
    results.expect(control.waiting[0])
    late = probe_results(1, 900_000, 900_000)
    late[-1] = late[-1]._replace(arrived_at=9.3)
    shown = results.take(late)
    assert shown is not None
    assert shown.rate_bps < 300_000


def looked_again(control: ProbeControl, found_bps: float, since: float, until: float) -> list[float]:
    """The rates that are probed for, on ticks of half a second, when this was found."""
    control.waiting.clear()
    rates: list[float] = []
    now = since
    while now < until:
        now += 0.5
        control.tick(found_bps, now, limited=True)
        rates += [probe.rate_bps for probe in control.waiting]
        control.waiting.clear()
    return rates


def test_a_search_that_ends_below_its_probe_is_looked_at_again() -> None:
    """What held up the probe may have been a peer that was busy, as it is when a call begins."""
    control = ProbeControl()
    control.start(300_000, 1.0)
    assert control.on_result(ProbeResult(2, 450_000, False), 1.2) == 450_000
    control.waiting.clear()
    control.tick(450_000, 1.8, limited=True)
    (again,) = control.waiting
    assert again.rate_bps == 900_000
    control.waiting.clear()
    # it was: the search goes on
    control.on_result(ProbeResult(again.number, 880_000, True), 1.9)
    assert [probe.rate_bps for probe in control.waiting] == [1_760_000]


def test_a_bottleneck_is_believed_when_it_says_the_same_twice() -> None:
    control = ProbeControl()
    control.start(300_000, 1.0)
    control.on_result(ProbeResult(2, 790_000, False), 1.1)
    control.on_result(ProbeResult(2, 800_000, False), 1.2)  # the rest of the same probe is no second voice
    assert looked_again(control, 800_000, 1.2, 2.2) == [1_600_000]
    control.on_result(ProbeResult(3, 840_000, False), 2.3)
    assert looked_again(control, 840_000, 2.3, 6.0) == []


def test_a_search_is_looked_at_again_so_many_times_at_most() -> None:
    control = ProbeControl()
    control.start(300_000, 1.0)
    now, found, probes = 1.0, 400_000.0, 0
    for number in range(2, 12):
        control.on_result(ProbeResult(number, found, False), now)
        rates = looked_again(control, found, now, now + 1.0)
        probes += len(rates)
        now, found = now + 1.0, 2 * found if found < 1e6 else 400_000.0
    assert probes <= MAX_LOOKS + 2  # and those of every few seconds
    # the one of every few seconds is no search of which this is said
    control = ProbeControl()
    control.start(300_000, 1.0)
    control.waiting.clear()
    control.tick(500_000, 20.0, limited=True)
    control.on_result(ProbeResult(3, 600_000, False), 20.2)
    assert looked_again(control, 600_000, 20.2, 24.0) == []


def test_a_probe_that_shows_nothing_is_followed_by_smaller_ones() -> None:
    control = ProbeControl()
    control.start(100_000, 1.0)
    control.waiting.clear()
    control.resumed(4e6, 100_000, 5.0)
    now, rates = 5.0, []
    for _ in range(12):
        rates += [p.rate_bps for p in control.waiting]
        control.waiting.clear()
        now += 0.5
        control.tick(100_000, now, limited=True)
    assert rates[:4] == [4e6, 2e6, 1e6, 0.5e6]
    assert len(rates) <= 5


def test_what_was_lost_in_a_large_drop_is_tried_again_once() -> None:
    control = ProbeControl()
    control.start(300_000, 1.0)
    control.waiting.clear()
    control.dropped(2e6, 1.8e6, 5.0)
    assert not control.awaits_recovery
    control.dropped(2e6, 0.4e6, 6.0)
    assert control.awaits_recovery
    control.recovered(0.4e6, 8.0)
    assert [p.rate_bps for p in control.waiting] == [pytest.approx(1.7e6)]
    assert not control.awaits_recovery
    control.dropped(2e6, 0.4e6, 20.0)
    control.recovered(0.4e6, 40.0)  # long ago: the way is another one now
    assert len(control.waiting) == 1


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
        assert share == 0 or share >= demand.min_bps
        bound = demand.max_bps
        assert bound is None or share <= max(bound, demand.min_bps)
    if wanted and all(d.max_bps is None and not d.min_bps for d in wanted):
        assert sum(shares) >= estimate - 10 * len(wanted)


def test_by_weight() -> None:
    assert allocate(900, [Demand(0, None, 1.0), Demand(0, None, 2.0)]) == [300, 600]
    assert allocate(900, [Demand(0, 100, 2.0), Demand(0, None, 1.0)]) == [100, 800]
    assert allocate(150, [Demand(100, None, 1.0), Demand(100, None, 2.0)]) == [0, 150]


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
