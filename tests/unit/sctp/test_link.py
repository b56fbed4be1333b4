"""The virtual network itself: what it promises to the tests that trust it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from rtcstack.engine import Buffer
from rtcstack.testing import BurstLoss, Link
from rtcstack.testing.engines import EngineHost, Simulation


class Recorder:
    """An engine that sends what it is given, and notes what arrives and when it is called."""

    def __init__(self) -> None:
        self.outbox: list[bytes] = []
        self.arrivals: list[tuple[float, bytes]] = []
        self.timeouts: list[float] = []
        self.deadline: float | None = None

    def receive(self, datagrams: Sequence[Buffer], now: float) -> None:
        self.arrivals += [(now, bytes(datagram)) for datagram in datagrams]

    def handle_timeout(self, now: float) -> None:
        self.timeouts.append(now)
        self.deadline = None

    def next_timeout(self) -> float | None:
        return self.deadline

    def drain(self, now: float) -> list[bytes]:
        outbox, self.outbox = self.outbox, []
        return outbox

    def events(self) -> Sequence[Any]:
        return ()


def connect(**settings: Any) -> tuple[Simulation, Recorder, Recorder, EngineHost, Link]:
    network = Simulation()
    a, b = Recorder(), Recorder()
    link = network.link(**settings)
    host, _ = network.connect(a, b, forth=[link], back=[network.link()])
    return network, a, b, host, link


def send(count: int, **settings: Any) -> tuple[Recorder, Link, float]:
    network, a, b, host, link = connect(**settings)
    a.outbox = [number.to_bytes(4, "big") + bytes(996) for number in range(count)]
    start = network.now
    host.flush()
    network.run(until=1000)
    return b, link, start


def numbers(recorder: Recorder) -> list[int]:
    return [int.from_bytes(data[:4], "big") for _, data in recorder.arrivals]


def test_delay_and_rate() -> None:
    received, link, start = send(100, delay_s=0.05, rate_bytes_per_s=100_000)
    assert numbers(received) == list(range(100))
    times = [time - start for time, _ in received.arrivals]
    assert times[0] == pytest.approx(0.06)
    assert times[-1] == pytest.approx(1.05)
    assert link.queue_delay_max_s == pytest.approx(0.99)
    assert link.queue_delay_mean_s == pytest.approx(0.495)


def test_the_queue_drops_its_tail() -> None:
    received, link, _ = send(100, rate_bytes_per_s=100_000, queue_bytes=10_000)
    assert numbers(received) == list(range(10))
    assert link.overflowed == 90


def test_losses_are_as_many_as_asked_for_and_the_same_for_the_same_seed() -> None:
    received, link, _ = send(20_000, loss=0.05, seed=3)
    assert 850 < link.lost < 1150
    assert len(received.arrivals) + link.lost == 20_000
    again, other = (numbers(send(2000, loss=0.05, seed=seed)[0]) for seed in (3, 4))
    assert again == numbers(received)[: len(again)]
    assert other != again


def test_bursts_are_bursts() -> None:
    received, link, _ = send(20_000, burst=BurstLoss(0.005, 0.2))
    got = set(numbers(received))
    bursts = sum(1 for n in range(1, 20_000) if n not in got and n - 1 in got)
    assert link.lost / bursts > 3


def test_reordering_duplication_and_jitter() -> None:
    received, link, _ = send(5000, delay_s=0.01, rate_bytes_per_s=10_000_000, reorder=0.1, reorder_s=0.005)
    assert sorted(numbers(received)) == list(range(5000))
    assert numbers(received) != list(range(5000))
    assert 400 < link.reordered < 600
    received, link, _ = send(5000, duplicate=0.1)
    assert len(received.arrivals) == 5000 + link.duplicated
    received, _, _start = send(5000, jitter_s=0.05, rate_bytes_per_s=1_000_000)
    assert numbers(received) == list(range(5000))  # jitter alone keeps the order


def test_timers_fire_on_time_or_late_by_the_slack() -> None:
    network = Simulation()
    engine = Recorder()
    host, _ = network.connect(engine, Recorder(), timer_slack_s=0.25)
    engine.deadline = network.now + 1.0
    host.flush()
    engine.deadline = network.now + 0.5  # moved earlier
    host.flush()
    network.run(until=10)
    assert [time - 1000 for time in engine.timeouts] == [0.75]


def test_links_in_a_row_and_a_change_of_rate() -> None:
    network = Simulation()
    a, b = Recorder(), Recorder()
    first = network.link(delay_s=0.1)
    second = network.link(delay_s=0.2, rate_bytes_per_s=1000)
    host, _ = network.connect(a, b, forth=[first, second])
    a.outbox = [bytes(100)] * 10
    host.flush()
    network.run(until=0.15)
    second.set_rate(100)
    network.run(until=100)
    assert b.arrivals[-1][0] - 1000 > 1.3 - 1e-9
    a.outbox = [bytes(100)]
    host.flush()
    network.run(until=200)
    assert b.arrivals[-1][0] - 1100 == pytest.approx(1.3)


def test_run_stops_at_its_condition() -> None:
    network, a, b, host, _ = connect(delay_s=0.5)
    a.outbox = [b"x"]
    host.flush()
    assert network.run(until=5, condition=lambda: bool(b.arrivals))
    assert network.now == pytest.approx(1000.5)
    assert not network.run(until=6, condition=lambda: len(b.arrivals) > 1)
    assert network.now == 1006
