"""A bound of the rate of data from outside, whatever the congestion control allows."""

from __future__ import annotations

import random
from typing import Any

import pytest

from rtcstack.sctp.association import SctpAssociation
from rtcstack.sctp.congestion import Reno
from rtcstack.sctp.cubic import Cubic
from rtcstack.sctp.events import StreamMessage
from rtcstack.sctp.options import SctpOptions
from rtcstack.sctp.shared_delay import SharedDelay
from rtcstack.testing.engines import Simulation
from tests.support.road import Controller

RATE = 1_250_000


class Bulk:
    """A sender that never runs dry on 10 Mbit/s and 20 ms each way, and what came of it in bytes."""

    def __init__(self, congestion: Controller = SharedDelay, *, loss: float = 0.0) -> None:
        self.network = Simulation()
        self.sender = SctpAssociation(SctpOptions(congestion=congestion), rng=random.Random(1))
        self.receiver = SctpAssociation(SctpOptions(), rng=random.Random(2))
        self.neck = self.network.link(rate_bytes_per_s=RATE, queue_bytes=RATE // 10, delay_s=0.02, loss=loss)
        back = self.network.link(delay_s=0.02)
        self.host, peer = self.network.connect(self.sender, self.receiver, forth=[self.neck], back=[back])
        self.host.after_flush = self.feed
        peer.on_event = self.take
        self.received = 0
        self.end = 0.0
        self.is_over = False
        self.sender.connect(self.network.now)
        self.host.flush()

    def feed(self) -> None:
        while not self.is_over and self.sender.buffered_bytes < 65_536:
            self.sender.send(1, 53, bytes(16_384), now=self.network.now)

    def take(self, event: Any) -> None:
        if isinstance(event, StreamMessage):
            self.received += len(event.data)

    def rate(self, seconds: float) -> float:
        """Let time pass: what came of it, in bytes per second."""
        before = self.received
        self.end += seconds
        self.network.run(until=self.end)
        return (self.received - before) / seconds

    def limit(self, bytes_per_s: float | None) -> None:
        self.sender.limit_rate(bytes_per_s, self.network.now)
        self.host.flush()

    @property
    def window_bytes(self) -> int:
        return self.sender.congestion_window_bytes


@pytest.mark.parametrize("congestion", [SharedDelay, Cubic, Reno])
@pytest.mark.parametrize("share", [0.5, 0.05])
def test_data_keeps_to_it_without_a_queue(congestion: Controller, share: float) -> None:
    bulk = Bulk(congestion)
    bulk.limit(share * RATE)
    bulk.rate(2.0)
    bulk.neck.reset_counts()
    assert bulk.rate(10.0) == pytest.approx(share * RATE, rel=0.04)
    assert bulk.neck.queue_delay_max_s < 0.003
    assert bulk.neck.overflowed == 0


@pytest.mark.parametrize("congestion", [SharedDelay, Cubic, Reno])
def test_the_window_does_not_grow_behind_it(congestion: Controller) -> None:
    bulk = Bulk(congestion)
    bulk.limit(0.1 * RATE)
    bulk.rate(2.0)
    before = bulk.window_bytes
    bulk.rate(20.0)
    assert bulk.window_bytes <= 1.1 * before + 3000
    assert before < RATE * 0.1


@pytest.mark.parametrize("congestion", [SharedDelay, Cubic, Reno])
def test_when_it_is_lifted_data_finds_the_rest(congestion: Controller) -> None:
    bulk = Bulk(congestion)
    bulk.limit(0.1 * RATE)
    bulk.rate(5.0)
    bulk.limit(None)
    bulk.rate(4.0)
    assert bulk.rate(4.0) > 0.85 * RATE


def test_it_holds_what_went_at_full_speed_before() -> None:
    bulk = Bulk()
    assert bulk.rate(3.0) > 0.8 * RATE
    bulk.limit(0.2 * RATE)
    bulk.rate(0.3)
    assert bulk.rate(5.0) == pytest.approx(0.2 * RATE, rel=0.04)


def test_one_above_what_the_congestion_control_allows_changes_nothing() -> None:
    free, bounded = Bulk(), Bulk()
    bounded.limit(10 * RATE)
    assert [free.rate(0.5) for _ in range(8)] == [bounded.rate(0.5) for _ in range(8)]
    assert not bounded.sender.take_limited()


def test_whoever_asks_hears_once_that_it_has_held_data_back() -> None:
    bulk = Bulk()
    bulk.rate(1.0)
    assert not bulk.sender.take_limited()
    bulk.limit(0.1 * RATE)
    bulk.rate(1.0)
    assert bulk.sender.take_limited()
    assert not bulk.sender.take_limited()


def test_what_was_sent_ahead_of_a_slow_pace_is_not_waited_for_at_a_fast_one() -> None:
    bulk = Bulk()
    bulk.limit(500.0)  # a packet in two seconds and more
    bulk.rate(1.0)
    bulk.limit(0.5 * RATE)
    assert bulk.rate(1.0) > 0.3 * RATE
    bulk.limit(500.0)
    bulk.rate(1.0)
    bulk.limit(None)
    assert bulk.rate(1.0) > 0.3 * RATE


def test_it_may_be_set_before_there_is_an_association() -> None:
    sender = SctpAssociation(SctpOptions(), rng=random.Random(1))
    assert not sender.take_limited()
    assert sender.flight_bytes == 0
    sender.limit_rate(1000.0, 0.0)
    sender.limit_rate(None, 0.0)


def test_losses_are_repaired_within_it() -> None:
    bulk = Bulk(loss=0.05)
    bulk.limit(0.2 * RATE)
    bulk.rate(2.0)
    assert 0.85 * 0.2 * RATE < bulk.rate(10.0) < 0.2 * RATE
    bulk.is_over = True
    bulk.rate(5.0)
    assert bulk.sender.buffered_bytes == 0
    assert bulk.sender.flight_bytes == 0


def test_the_highest_priority_is_of_what_waits() -> None:
    sender = SctpAssociation(SctpOptions(), rng=random.Random(1))
    assert sender.top_priority == 0
    sender.set_priority(3, 1024)
    sender.send(1, 53, b"low", now=0.0)
    assert sender.top_priority == 256
    sender.send(3, 53, b"high", now=0.0)
    sender.send(5, 53, b"low", now=0.0)
    assert sender.top_priority == 1024
