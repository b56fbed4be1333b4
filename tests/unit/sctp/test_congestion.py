"""What the congestion control is held to, in virtual time.

docs/decisions/sctp-congestion-control.md has the figures.
The standard path is 20 ms each way, 10 MB/s, drop-tail.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from rtcstack.sctp.association import SctpAssociation
from rtcstack.sctp.congestion import Acknowledgement, CongestionController, Reno
from rtcstack.sctp.delay_target import DelayTarget
from rtcstack.sctp.events import StreamMessage
from rtcstack.sctp.options import SctpOptions
from rtcstack.sctp.shared_delay import SharedDelay
from rtcstack.testing import BurstLoss, Link
from rtcstack.testing.engines import Simulation

MB = 1_000_000


class Flow:
    """A sender that never runs dry, and its receiver."""

    def __init__(
        self,
        network: Simulation,
        forth: Sequence[Link],
        back: Sequence[Link],
        *,
        congestion: Callable[[int, int], CongestionController] = SharedDelay,
        receiver: SctpOptions | None = None,
        start_s: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.network = network
        self.received_bytes = 0
        self.messages = 0
        self.sender = SctpAssociation(SctpOptions(congestion=congestion), rng=random.Random(2 * seed + 1))
        self.receiver = SctpAssociation(receiver or SctpOptions(), rng=random.Random(2 * seed + 2))
        self.host, peer = network.connect(self.sender, self.receiver, forth=forth, back=back)
        self.host.after_flush = self.feed
        peer.on_event = self.take
        self.peer = peer
        self._sent = 0
        network.at(network.now + start_s, self.start, None)

    def start(self, _: None) -> None:
        self.sender.connect(self.network.now)
        self.host.flush()

    def feed(self) -> None:
        while self.sender.buffered_bytes < 262_144:
            head = self._sent.to_bytes(8, "big")
            self.sender.send(1, 53, head + bytes(16_376), now=self.network.now)
            self._sent += 1

    def take(self, event: Any) -> None:
        if isinstance(event, StreamMessage):
            assert int.from_bytes(event.data[:8], "big") == self.messages, "lost, doubled or out of order"
            self.messages += 1
            self.received_bytes += len(event.data)

    @property
    def outstanding(self) -> Any:
        assert self.sender._block is not None
        return self.sender._block.outstanding


@dataclass
class Outcome:
    goodput: float  # MB/s over the whole run
    by_second: list[float]
    queue: Link
    flow: Flow


def single(
    seconds: int = 3,
    *,
    receiver: SctpOptions | None = None,
    back: dict[str, Any] | None = None,
    rates: dict[int, float] | None = None,
    congestion: Callable[[int, int], CongestionController] = SharedDelay,
    **link: Any,
) -> Outcome:
    """One flow on the standard path, altered as told."""
    network = Simulation()
    settings = {"delay_s": 0.02, "rate_bytes_per_s": 10 * MB, "queue_bytes": MB, "seed": 1, **link}
    forth = network.link(**settings)
    back_link = network.link(**{"delay_s": settings["delay_s"], "seed": 99, **(back or {})})
    flow = Flow(network, [forth], [back_link], receiver=receiver, congestion=congestion)
    by_second, last = [], 0
    for second in range(1, seconds + 1):
        if rates and second - 1 in rates:
            forth.set_rate(rates[second - 1])
        network.run(until=second)
        by_second.append((flow.received_bytes - last) / MB)
        last = flow.received_bytes
    return Outcome(flow.received_bytes / seconds / MB, by_second, forth, flow)


def shared(
    flows: Sequence[tuple[Callable[[int, int], CongestionController], float, float]],
    *,
    seconds: float,
    after: float = 0.0,
    rate: float = 10 * MB,
    queue_bytes: int = MB,
) -> tuple[list[float], Link]:
    """Flows (controller, one-way delay, start) through one bottleneck: MB/s each, from `after` on."""
    network = Simulation()
    neck = network.link(rate_bytes_per_s=rate, queue_bytes=queue_bytes, seed=5)
    running = [
        Flow(
            network,
            [neck, network.link(delay_s=delay_s)],
            [network.link(delay_s=delay_s)],
            congestion=congestion,
            start_s=start_s,
            seed=10 + index,
        )
        for index, (congestion, delay_s, start_s) in enumerate(flows)
    ]
    if after:
        network.run(until=after)
    neck.reset_counts()
    before = [flow.received_bytes for flow in running]
    network.run(until=after + seconds)
    rates = [(flow.received_bytes - b) / seconds / MB for flow, b in zip(running, before, strict=True)]
    return rates, neck


def jain(rates: Sequence[float]) -> float:
    return sum(rates) ** 2 / (len(rates) * sum(rate * rate for rate in rates))


@pytest.mark.parametrize("congestion", [SharedDelay, DelayTarget])
def test_pacing_follows_the_window_in_rounds_that_measure_nothing(
    congestion: Callable[[int, int], CongestionController],
) -> None:
    """After an interruption everything is sent again, and round-trip times are of what was sent once."""
    control = congestion(1200, 120_000)
    ack = Acknowledgement()
    ack.acked_bytes = 60_000
    ack.window_limited = True
    for round_ in range(1, 20):
        ack.now, ack.sent_at, ack.rtt_s = 0.1 * round_, 0.1 * (round_ - 1), 0.1
        control.on_ack(ack)
    control.on_timeout()
    ack.acked_bytes, ack.rtt_s = 4800, None
    for round_ in range(30, 40):
        ack.now, ack.sent_at = 0.1 * round_, 0.1 * (round_ - 1)
        control.on_ack(ack)
        assert 1.25 <= control.pacing_bytes_per_s * 0.1 / control.window_bytes <= 2.0


@pytest.mark.parametrize(("loss", "least"), [(0.0, 9.0), (0.01, 7.5), (0.05, 7.5), (0.1, 5.0)])
def test_random_loss(loss: float, least: float) -> None:
    """Of the controller for private links."""
    for seed in (1, 2) if loss else (1,):
        outcome = single(loss=loss, seed=seed, seconds=3 if loss else 4, congestion=DelayTarget)
        assert outcome.goodput >= least
        assert outcome.queue.queue_delay_mean_s < 0.02
        assert outcome.flow.outstanding.chunks_retransmitted < 1.15 * outcome.queue.lost + 50


def test_reno_sits_where_its_formula_says() -> None:
    """The baseline, so that the figures above mean something."""
    assert single(congestion=Reno, loss=0.01).goodput < 0.8


@pytest.mark.parametrize(
    ("name", "least", "link"),
    [
        ("shallow buffer, 10 ms", 8.5, {"queue_bytes": 100_000}),
        ("shallow buffer, 2 ms", 4.0, {"queue_bytes": 20_000}),
        ("bursts of losses", 8.5, {"burst": BurstLoss(0.001, 0.1)}),
        ("reordering", 8.5, {"reorder": 0.05}),
        ("doubling", 8.5, {"duplicate": 0.05}),
        ("jitter of 10 ms", 8.5, {"jitter_s": 0.01}),
        ("jitter of 30 ms", 6.0, {"jitter_s": 0.03}),
        ("lost SACKs", 8.5, {"back": {"loss": 0.3, "seed": 9}}),
        ("SACKs delayed by 200 ms", 8.5, {"receiver": SctpOptions(delayed_ack_s=0.2)}),
        ("a window of 1 MiB", 8.5, {"receiver": SctpOptions(receive_window_bytes=1 << 20)}),
        ("a window of 128 KiB", 2.4, {"receiver": SctpOptions(receive_window_bytes=1 << 17)}),
        ("a short path", 9.4, {"delay_s": 0.001}),
        ("a long path", 3.0, {"delay_s": 0.1, "queue_bytes": 2 * MB}),
        ("a narrow one", 0.07, {"rate_bytes_per_s": 100_000, "queue_bytes": 50_000}),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_paths_of_all_kinds(name: str, least: float, link: dict[str, Any]) -> None:
    assert single(**link).goodput >= least


def test_the_queue_is_not_kept_full() -> None:
    outcome = single(4)
    assert outcome.queue.queue_delay_mean_s < 0.015  # of 100 ms
    assert outcome.queue.overflowed == 0


def test_a_link_that_falls_to_a_tenth_and_comes_back() -> None:
    outcome = single(7, rates={2: MB, 4: 10 * MB})
    assert all(rate > 0.8 for rate in outcome.by_second[2:4])
    assert all(rate > 8.5 for rate in outcome.by_second[5:])
    assert outcome.flow.outstanding.chunks_retransmitted < 200


@pytest.mark.parametrize(
    ("flows", "least"),
    [
        ([(SharedDelay, 0.02, 0.0), (SharedDelay, 0.02, 0.0)], 0.95),
        ([(SharedDelay, 0.02, 0.0), (SharedDelay, 0.02, 3.0)], 0.95),
        ([(SharedDelay, 0.01, 0.0), (SharedDelay, 0.03, 0.0)], 0.9),
        ([(SharedDelay, 0.03, 0.0), (SharedDelay, 0.01, 3.0)], 0.9),
        ([(SharedDelay, 0.02, float(start)) for start in range(4)], 0.9),
    ],
    ids=["together", "one late", "20 and 60 ms", "60 ms, then 20 ms", "four in turn"],
)
def test_flows_share_fairly(flows: Any, least: float) -> None:
    rates, neck = shared(flows, seconds=15, after=5.0, rate=2 * MB, queue_bytes=200_000)
    assert jain(rates) >= least
    assert sum(rates) > 1.8
    # Each flow keeps its allowance, 17 to 22 ms at these rates; the buffer holds 100 ms.
    assert neck.queue_delay_mean_s < 0.02 * len(flows)


def test_neither_reno_nor_we_starve() -> None:
    for flows in (
        [(SharedDelay, 0.02, 0.0), (Reno, 0.02, 3.0)],
        [(Reno, 0.02, 0.0), (SharedDelay, 0.02, 3.0)],
    ):
        rates, _ = shared(flows, seconds=15, after=5.0, rate=2 * MB, queue_bytes=200_000)
        assert min(rates) > 0.3
    shallow, _ = shared(
        [(SharedDelay, 0.02, 0.0), (Reno, 0.02, 3.0)],
        seconds=15,
        after=3.0,
        rate=2 * MB,
        queue_bytes=40_000,
    )
    assert min(shallow) > 0.4


def test_a_closed_window_is_probed_and_opens_again() -> None:
    outcome = single(1, receiver=SctpOptions(receive_window_bytes=1 << 17), loss=0.02)
    flow = outcome.flow
    block = flow.receiver._block
    assert block is not None
    before = flow.received_bytes
    block._window_bytes = 0  # as if the application held everything
    flow.network.run(until=8)
    assert flow.received_bytes - before < 300_000
    assert flow.outstanding.timeouts < 8
    block._window_bytes = 1 << 17
    middle = flow.received_bytes
    flow.network.run(until=14)
    assert flow.received_bytes - middle > 2_000_000
