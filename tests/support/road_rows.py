"""The table of docs/decisions/sctp-congestion-control.md: cases, targets, and how each is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from rtcstack.sctp.congestion import Reno
from rtcstack.sctp.cubic import Cubic
from tests.support.road import PACKET_BYTES, Controller, Flow, Road, RoadSettings, flows

__all__ = ["ROWS", "Row"]

RATE = 1.25e6
SHALLOW = 12_000
"""Ten packets."""


@dataclass(frozen=True)
class Row:
    """A case. `measure` gets the controller and a seed; `holds` says whether a figure reaches the target."""

    name: str
    target: str
    measure: Callable[[Controller, int], float]
    holds: Callable[[float], bool]
    unit: str = ""
    per_cent: bool = False

    def median(self, controller: Controller, seeds: int) -> float:
        return median(self.measure(controller, seed) for seed in range(1, seeds + 1))

    def format(self, value: float) -> str:
        return f"{100 * value:.2f} %" if self.per_cent else f"{value:.3g}{self.unit}"


class Measured:
    """What flows do from one time to another."""

    def __init__(self, road: Road, running: list[Flow], after: float, until: float) -> None:
        road.run(after)
        sent = sum(flow.sent for flow in running)
        dropped = sum(flow.dropped for flow in running)
        before = [flow.delivered for flow in running]
        road.queue_sum_s = 0.0
        road.queue_count = 0
        road.run(until)
        seconds = until - after
        self.rates = [
            (flow.delivered - b) * PACKET_BYTES / seconds for flow, b in zip(running, before, strict=True)
        ]
        self.drops = sum(flow.dropped for flow in running) - dropped
        self.own_loss = self.drops / max(1, sum(flow.sent for flow in running) - sent)
        self.queue_s = road.queue_sum_s / max(1, road.queue_count)
        self.used = sum(self.rates) / road.rate


def buffer_of(seconds: float) -> int:
    return SHALLOW if not seconds else int(RATE * seconds)


def alone(
    controller: Controller,
    seed: int,
    *,
    count: int = 1,
    buffer_s: float = 0.1,
    late_s: float = 0.5,
    **settings: float,
) -> Measured:
    """Flows of one kind."""
    road = Road(RoadSettings(**{"buffer_bytes": buffer_of(buffer_s), **settings}), seed)  # type: ignore[arg-type]
    running = flows(road, [(controller, late_s * index) for index in range(count)])
    return Measured(road, running, 15.0 if count > 1 else 10.0, 35.0 if count > 1 else 25.0)


def beside(controller: Controller, seed: int, other: Controller, buffer_s: float, *, first: bool) -> float:
    """Our share of what a flow of another kind gets, over 40 s."""
    road = Road(RoadSettings(buffer_bytes=buffer_of(buffer_s)), seed)
    settle_s = 60.0 if buffer_s >= 1 else 40.0 if buffer_s >= 0.2 else 15.0
    ours = Flow(road, controller, 0.0 if first else 5.0)
    theirs = Flow(road, other, 5.0 if first else 0.0)
    measured = Measured(road, [ours, theirs], settle_s + 5, settle_s + 45)
    return measured.rates[0] / max(1.0, measured.rates[1])


def least_share(controller: Controller, seed: int, count: int, buffer_s: float) -> float:
    """The least rate of a flow by what is fair."""
    measured = alone(controller, seed, count=count, buffer_s=buffer_s)
    return min(measured.rates) * count / RATE


def step_down_drops(controller: Controller, seed: int) -> float:
    """Drops in 2 s after 50 to 5 Mbit/s in 12 kB."""
    road = Road(RoadSettings(rate=5 * RATE, buffer_bytes=SHALLOW), seed)
    flow = Flow(road, controller)
    road.run(8.0)
    dropped = flow.dropped
    road.set_rate(RATE / 2)
    road.run(10.0)
    return float(flow.dropped - dropped)


def settled_after_down(controller: Controller, seed: int) -> float:
    """Share of the link used from 2 to 5 s after 50 to 5 Mbit/s."""
    road = Road(RoadSettings(rate=5 * RATE, buffer_bytes=SHALLOW), seed)
    flow = Flow(road, controller)
    road.run(8.0)
    road.set_rate(RATE / 2)
    measured = Measured(road, [flow], 10.0, 13.0)
    return measured.used


def time_up(controller: Controller, seed: int) -> float:
    """Seconds after 5 to 50 Mbit/s (100 ms of buffer at 5) until 90 % is used for a quarter of a second."""
    road = Road(RoadSettings(rate=RATE / 2, buffer_bytes=int(RATE / 20)), seed)
    flow = Flow(road, controller)
    road.run(8.0)
    road.set_rate(5 * RATE)
    for step in range(1, 41):
        before = flow.delivered
        road.run(8.0 + step / 4)
        if (flow.delivered - before) * PACKET_BYTES * 4 >= 0.9 * 5 * RATE:
            return step / 4
    return 99.0


CUBICS: dict[tuple[int, float], float] = {}


def times_cubic(controller: Controller, seed: int) -> float:
    """Own loss of sixteen flows in ten packets, by that of sixteen of CUBIC."""
    if (seed, 0.0) not in CUBICS:
        CUBICS[seed, 0.0] = alone(Cubic, seed, count=16, buffer_s=0.0).own_loss
    return alone(controller, seed, count=16, buffer_s=0.0).own_loss / CUBICS[seed, 0.0]


def drops_by_cubic(controller: Controller, seed: int) -> float:
    if (seed, -1.0) not in CUBICS:
        CUBICS[seed, -1.0] = step_down_drops(Cubic, seed)
    return step_down_drops(controller, seed) / max(1.0, CUBICS[seed, -1.0])


def _beside(other: Controller, buffer_s: float, first: bool) -> Callable[[Controller, int], float]:
    return lambda controller, seed: beside(controller, seed, other, buffer_s, first=first)


def _own_loss(count: int, buffer_s: float) -> Callable[[Controller, int], float]:
    return lambda controller, seed: alone(controller, seed, count=count, buffer_s=buffer_s).own_loss


def _used(**settings: float) -> Callable[[Controller, int], float]:
    return lambda controller, seed: alone(controller, seed, **settings).used  # type: ignore[arg-type]


def _least(count: int, buffer_s: float) -> Callable[[Controller, int], float]:
    return lambda controller, seed: least_share(controller, seed, count, buffer_s)


def _queue(count: int, buffer_s: float = 0.1) -> Callable[[Controller, int], float]:
    return lambda controller, seed: 1000 * alone(controller, seed, count=count, buffer_s=buffer_s).queue_s


def _policer(bucket: int, drops: bool) -> Callable[[Controller, int], float]:
    def measure(controller: Controller, seed: int) -> float:
        measured = alone(controller, seed, bucket_bytes=bucket)
        return measured.own_loss if drops else measured.used

    return measure


def _rows() -> list[Row]:
    rows = []
    within = lambda value: 0.5 <= value <= 2  # noqa: E731
    for buffer_s, what in ((0.0, "10 packets"), (0.05, "50 ms"), (0.2, "200 ms"), (1.0, "1 s")):
        for first in (True, False):
            late_deep = not first and buffer_s >= 0.2
            rows.append(
                Row(
                    f"beside CUBIC, {what}, {'first' if first else 'late'}",
                    "0.33 to 2" if late_deep else "0.5 to 2",
                    _beside(Cubic, buffer_s, first),
                    (lambda value: 0.33 <= value <= 2) if late_deep else within,
                )
            )
    for buffer_s, what in ((0.0, "10 packets"), (0.05, "50 ms"), (0.2, "200 ms")):
        for first in (True, False):
            rows.append(  # noqa: PERF401
                Row(
                    f"beside Reno, {what}, {'first' if first else 'late'}",
                    "0.4 to 2.5",
                    _beside(Reno, buffer_s, first),
                    lambda value: 0.4 <= value <= 2.5,
                )
            )
    for count, most in ((1, 0.012), (4, 0.025)):
        rows.append(
            Row(
                f"own loss, 10 packets, {count}",
                f"{100 * most:g} %",
                _own_loss(count, 0.0),
                most.__ge__,
                per_cent=True,
            )
        )
    rows.append(Row("own loss, 10 packets, 16, by CUBIC's", "1.5", times_cubic, lambda value: value <= 1.5))
    for buffer_s in (0.05, 0.2):
        for count in (1, 4):
            rows.append(  # noqa: PERF401
                Row(
                    f"own loss, {1000 * buffer_s:g} ms, {count}",
                    "0.3 %",
                    _own_loss(count, buffer_s),
                    lambda value: value <= 0.003,
                    per_cent=True,
                )
            )
    for count, least in ((4, 0.6), (16, 0.4)):
        for buffer_s, what in ((0.0, "10 packets"), (0.1, "100 ms")):
            rows.append(
                Row(f"least share of {count}, {what}", f"{least:g}", _least(count, buffer_s), least.__le__)
            )
    for loss, least in ((0.01, 0.95), (0.02, 0.9), (0.05, 0.7)):
        rows.append(Row(f"random loss {100 * loss:g} %", f"{least:g}", _used(loss=loss), least.__le__))
    for bucket, what in ((12_000, "10 packets"), (125_000, "100 ms")):
        rows.append(
            Row(
                f"policer of {what}: drops",
                "2 %",
                _policer(bucket, True),
                lambda value: value <= 0.02,
                per_cent=True,
            )
        )
        rows.append(
            Row(f"policer of {what}: used", "0.75", _policer(bucket, False), lambda value: value >= 0.75)
        )
    rows += [
        Row("step down by ten: drops by CUBIC's", "3", drops_by_cubic, lambda value: value <= 3),
        Row("step down by ten: used after 2 s", "0.9", settled_after_down, lambda value: value >= 0.9),
        Row("step up by ten: 90 % after", "3 s", time_up, lambda value: value <= 3, unit=" s"),
        Row("mean queue alone", "20 ms", _queue(1), lambda value: value <= 20, unit=" ms"),
        Row("mean queue of four", "50 ms", _queue(4), lambda value: value <= 50, unit=" ms"),
        Row("mean queue of eight, 1 s", "100 ms", _queue(8, 1.0), lambda value: value <= 100, unit=" ms"),
        Row("least share of 8, 1 s", "0.6", _least(8, 1.0), lambda value: value >= 0.6),
        Row("alone, 100 ms: used", "0.95", _used(), lambda value: value >= 0.95),
        Row("SACKs in bursts of 50 ms", "0.9", _used(sack_burst_s=0.05), lambda value: value >= 0.9),
        Row("5 % reordering", "0.9", _used(reorder=0.05), lambda value: value >= 0.9),
    ]
    return rows


ROWS = _rows()
