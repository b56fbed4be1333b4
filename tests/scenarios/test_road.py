"""Data channels on a road that they share: a seed of rows of `make congestion`, and whole associations."""

from __future__ import annotations

import random

import pytest

from rtcstack.sctp.association import SctpAssociation
from rtcstack.sctp.congestion import CongestionController, Reno
from rtcstack.sctp.cubic import Cubic
from rtcstack.sctp.delay_target import DelayTarget
from rtcstack.sctp.events import StreamMessage
from rtcstack.sctp.options import SctpOptions
from rtcstack.sctp.shared_delay import SharedDelay
from rtcstack.testing import Link
from rtcstack.testing.engines import Simulation
from tests.support.road import Controller, Flow, Road, RoadSettings
from tests.support.road_rows import ROWS, Measured, alone, beside, buffer_of

RATE = 1_250_000
BY_NAME = {row.name: row for row in ROWS}


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("beside CUBIC, 10 packets, first", 0.5, 2.0),
        ("beside CUBIC, 50 ms, late", 0.4, 2.0),
        ("beside CUBIC, 200 ms, first", 0.4, 2.0),
        ("beside CUBIC, 200 ms, late", 0.33, 2.0),
        ("beside Reno, 10 packets, late", 0.4, 2.6),
        ("own loss, 10 packets, 1", 0.0, 0.013),
        ("own loss, 10 packets, 4", 0.0, 0.027),
        ("least share of 4, 10 packets", 0.5, 1.0),
        ("mean queue of eight, 1 s", 0.0, 100.0),
        ("random loss 5 %", 0.8, 1.0),
        ("policer of 10 packets: drops", 0.0, 0.02),
        ("policer of 10 packets: used", 0.7, 1.0),
        ("step down by ten: drops by CUBIC's", 0.0, 2.0),
        ("step up by ten: 90 % after", 0.0, 3.0),
        ("SACKs in bursts of 50 ms", 0.9, 1.01),
    ],
)
def test_a_seed_of_the_table(name: str, least: float, most: float) -> None:
    assert least <= BY_NAME[name].measure(SharedDelay, 1) <= most


def test_alone_the_queue_is_short_and_nothing_is_lost() -> None:
    measured = alone(SharedDelay, 1)
    assert measured.used > 0.95
    assert measured.queue_s < 0.02
    assert measured.drops == 0


def test_the_baseline_shares_with_itself() -> None:
    """CUBIC beside CUBIC, so that the figures above mean something."""
    for buffer_s in (0.0, 0.05):
        assert 0.5 <= beside(Cubic, 1, Cubic, buffer_s, first=True) <= 2


def test_it_competes_no_longer_than_there_is_somebody_to_compete_with() -> None:
    road = Road(RoadSettings(buffer_bytes=250_000), 1)
    ours, theirs = Flow(road, SharedDelay), Flow(road, Cubic, 2.0)
    road.run(30.0)
    assert ours.delivered > 0.25 * theirs.delivered
    theirs.stop()
    assert Measured(road, [ours], 45.0, 55.0).queue_s < 0.03


def test_a_link_that_becomes_slower_is_competed_with_for_a_moment_only() -> None:
    """Its queue falls after losses, too, but nobody else has filled it."""
    road = Road(RoadSettings(rate=2 * RATE, buffer_bytes=250_000, loss=0.01), 1)
    flow = Flow(road, SharedDelay)
    for change in range(10):
        road.run(5.0 + 2 * change)
        road.set_rate(0.4 * RATE if change % 2 == 0 else 2 * RATE)
    measured = Measured(road, [flow], 28.0, 33.0)
    assert measured.queue_s < 0.02
    assert measured.used > 0.9


@pytest.mark.parametrize("controller", [SharedDelay, DelayTarget, Cubic, Reno])
@pytest.mark.parametrize(("buffer_s", "late_s"), [(0.0, 0.0), (0.2, 2.0)])
def test_what_the_clock_says_when_a_flow_begins_is_nothing_to_it(
    controller: Controller, buffer_s: float, late_s: float
) -> None:
    delivered = []
    for epoch_s in (0.0, 7_000_000.0):
        road = Road(RoadSettings(buffer_bytes=buffer_of(buffer_s)), 1, epoch_s=epoch_s)
        Flow(road, Cubic)
        flow = Flow(road, controller, late_s)
        road.run(5.0)
        delivered.append(flow.delivered)
    assert delivered[0] == pytest.approx(delivered[1], rel=0.03)


def test_its_least_window_is_bounded_whatever_is_lost() -> None:
    control: CongestionController = SharedDelay(1191, 11_910)
    road = Road(RoadSettings(loss=0.6), 3)
    flow = Flow(road, lambda mtu, window: control)
    for second in range(1, 20):
        road.run(float(second))
        assert 2 * 1191 <= control.window_bytes < 1_000_000
    assert flow.delivered


def whole(controllers: list[Controller], *, buffer_bytes: int, seconds: float) -> tuple[list[float], Link]:
    """Whole associations, a second apart, through one bottleneck: the share of each in the latter half."""
    network = Simulation()
    neck = network.link(rate_bytes_per_s=RATE, queue_bytes=buffer_bytes)
    received = [0] * len(controllers)

    def run(index: int, controller: Controller) -> None:
        sender = SctpAssociation(SctpOptions(congestion=controller), rng=random.Random(2 * index))
        receiver = SctpAssociation(SctpOptions(), rng=random.Random(2 * index + 1))
        access = network.link(access_delay_s=0.0005, seed=index)
        forth = [access, neck, network.link(delay_s=0.02)]
        host, peer = network.connect(sender, receiver, forth=forth, back=[network.link(delay_s=0.02)])

        def feed() -> None:
            while sender.buffered_bytes < 65_536:
                sender.send(1, 53, bytes(16_384), now=network.now)

        def take(event: object) -> None:
            if isinstance(event, StreamMessage):
                received[index] += len(event.data)

        def start(_: object) -> None:
            sender.connect(network.now)
            host.flush()

        host.after_flush = feed
        peer.on_event = take
        network.at(network.now + index, start, None)

    for index, controller in enumerate(controllers):
        run(index, controller)
    network.run(until=seconds / 2)
    neck.reset_counts()
    neck.overflowed = neck.delivered = 0
    before = list(received)
    network.run(until=seconds)
    return [(r - b) / (seconds / 2) / RATE for r, b in zip(received, before, strict=True)], neck


def test_whole_associations_behave_as_the_reduced_ones() -> None:
    (used,), neck = whole([SharedDelay], buffer_bytes=12_000, seconds=12)
    assert used > 0.9
    assert neck.overflowed < 0.015 * neck.delivered
    (ours, theirs), neck = whole([SharedDelay, Cubic], buffer_bytes=12_000, seconds=24)
    assert 0.5 <= ours / theirs <= 2
