"""Congestion control: probes, what they show, and when another is made."""

from __future__ import annotations

import pytest

from rtcstack.rtp.bwe.estimator import PacketResult
from rtcstack.rtp.bwe.probing import MAX_LOOKS, ProbeControl, ProbeResult, ProbeResults


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
