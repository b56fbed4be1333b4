"""One bottleneck, many flows, in virtual time: what congestion controllers do to each other.

The flows are senders that never run dry, reduced to what a controller sees: packets are numbered anew each
time they are sent, acknowledgements name what has come, losses are found by time as `rtcstack.sctp.rack`
does. It costs a tenth of whole associations; `tests/scenarios/test_road.py` holds both to the same figures.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

from rtcstack.sctp.congestion import Acknowledgement, CongestionController

__all__ = ["PACKET_BYTES", "Flow", "Road", "RoadSettings"]

PACKET_BYTES = 1191
QUANTUM_S = 0.001
CREDIT_S = 0.004
DELAYED_ACK_S = 0.02
INITIAL_WINDOW_BYTES = 10 * PACKET_BYTES

Controller = Callable[[int, int], CongestionController]


@dataclass(frozen=True)
class RoadSettings:
    """What the flows share.

    Attributes:
        rate: of the bottleneck, bytes per second.
        buffer_bytes: what its drop-tail queue holds.
        loss: probability of random loss.
        reorder: probability that a packet comes 10 ms late.
        sack_burst_s: acknowledgements wait for the next multiple of this.
        bucket_bytes: if set, the bottleneck is a policer with such a bucket: it drops and does not queue.
        access_delay_s: bound of a random wait before the queue.
        delay_s: one way, beside the queue.
    """

    rate: float = 1.25e6
    buffer_bytes: int = 125_000
    loss: float = 0.0
    reorder: float = 0.0
    sack_burst_s: float = 0.0
    bucket_bytes: int = 0
    access_delay_s: float = 0.0005
    delay_s: float = 0.02


class Road:
    """The bottleneck and the clock.

    Args:
        settings: see there.
        seed: of its chances.
        epoch_s: what controllers are told for the time 0: no machine's clock is there when a flow begins.

    Attributes:
        now: seconds from the beginning.
        rate: of the bottleneck, bytes per second.
        queue_sum_s, queue_count: waits of packets.
    """

    def __init__(self, settings: RoadSettings, seed: int, *, epoch_s: float = 100_000.0) -> None:
        self.settings = settings
        self.epoch_s = epoch_s
        self.now = 0.0
        self.rate = settings.rate
        self.random = random.Random(seed)
        self.queue_sum_s = 0.0
        self.queue_count = 0
        self._entries: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._count = 0
        self._free_at = 0.0
        self._tokens = float(settings.bucket_bytes)
        self._tokens_at = 0.0

    def at(self, time: float, action: Callable[[Any], None], argument: Any) -> None:
        self._count += 1
        heappush(self._entries, (time, self._count, action, argument))

    def run(self, until: float) -> None:
        entries = self._entries
        while entries and entries[0][0] <= until:
            self.now, _, action, argument = heappop(entries)
            action(argument)
        self.now = until

    def set_rate(self, rate: float) -> None:
        """What is queued leaves at the new rate."""
        if self._free_at > self.now:
            self._free_at = self.now + (self._free_at - self.now) * self.rate / rate
        self.rate = rate

    def pass_through(self, size: int = PACKET_BYTES) -> float:
        """When the packet that enters now leaves the bottleneck; -1.0 if it is dropped."""
        settings, now = self.settings, self.now
        if settings.bucket_bytes:
            tokens = self._tokens + (now - self._tokens_at) * self.rate
            self._tokens = min(tokens, settings.bucket_bytes)
            self._tokens_at = now
            if self._tokens < size:
                return -1.0
            self._tokens -= size
            return now
        wait = self._free_at - now
        if wait < 0:
            wait = 0.0
        if wait * self.rate + size > settings.buffer_bytes:
            return -1.0
        self._free_at = now + wait + size / self.rate
        self.queue_sum_s += wait
        self.queue_count += 1
        return self._free_at


class Flow:
    """A sender that never runs dry, and its receiver.

    Attributes:
        control: its congestion controller.
        sent, dropped, delivered: packets; dropped are those of the bottleneck, not the random ones.
        acks: acknowledgements taken.
    """

    def __init__(self, road: Road, controller: Controller, start_s: float = 0.0) -> None:
        self.road = road
        self.control = controller(PACKET_BYTES, INITIAL_WINDOW_BYTES)
        self.sent = self.dropped = self.delivered = self.acks = 0
        self._flight: deque[list[Any]] = (
            deque()
        )  # [number, sent_at, state], state 0 in flight, 1 acked, 2 lost
        self._by_number: dict[int, list[Any]] = {}
        self._in_flight = 0
        self._entry_at = 0.0
        self._arrival_at = 0.0
        self._pace_at = 0.0
        self._pace_timer_at = -1.0
        self._limited = False
        self._highest = -1
        self._newest_sent_at = -1.0
        self._rtt_s = 0.0
        self._min_rtt_s = 0.0
        self._srtt_s = 0.0
        self._steps = 1
        self._steps_until = 0.0
        self._reorder_at = -1.0
        self._progress_at = 0.0
        self._watch_at = -1.0
        self._probes = 0
        self._timeouts = 0
        self._stopped = False
        self._received: list[int] = []
        self._expected = 0
        self._sack_at = -1.0
        self._ack = Acknowledgement()
        road.at(start_s, self._start, None)

    def _start(self, _: None) -> None:
        self._progress_at = self.road.now
        self._pump()
        self._watch()

    def stop(self) -> None:
        """Send no more."""
        self._stopped = True

    # -- sending

    def _pump(self) -> None:
        if self._stopped:
            return
        road, control = self.road, self.control
        now = road.now
        rate = control.pacing_bytes_per_s
        pace_at = max(self._pace_at, now - CREDIT_S)
        pace_until = now + QUANTUM_S if pace_at <= now else now
        while True:
            if self._in_flight * PACKET_BYTES >= control.window_bytes:
                self._limited = True
                break
            if rate and pace_at >= pace_until:
                self._limited = True
                if self._pace_timer_at < now or pace_at < self._pace_timer_at:
                    self._pace_timer_at = pace_at
                    road.at(pace_at, self._paced, pace_at)
                break
            self._send()
            if rate:
                pace_at += PACKET_BYTES / rate
        self._pace_at = pace_at

    def _paced(self, at: float) -> None:
        if at == self._pace_timer_at:
            self._pace_timer_at = -1.0
            self._pump()

    def _send(self) -> None:
        road = self.road
        settings = road.settings
        now = road.now
        packet = [self.sent, now, 0]
        self._flight.append(packet)
        self._by_number[self.sent] = packet
        self.sent += 1
        self._in_flight += 1
        if settings.loss and road.random.random() < settings.loss:
            return
        entry = max(now + road.random.random() * settings.access_delay_s, self._entry_at)
        self._entry_at = entry
        road.at(entry, self._enter, packet[0])

    def _enter(self, number: int) -> None:
        road = self.road
        settings = road.settings
        leaves = road.pass_through()
        if leaves < 0:
            self.dropped += 1
            return
        arrival = leaves + settings.delay_s
        if settings.reorder and road.random.random() < settings.reorder:
            arrival += 0.01
        else:
            arrival = self._arrival_at = max(arrival, self._arrival_at)
        road.at(arrival, self._arrive, number)

    # -- the receiver

    def _arrive(self, number: int) -> None:
        self._received.append(number)
        gap = number != self._expected
        self._expected = max(self._expected, number + 1)
        if gap or len(self._received) >= 2:
            self._sack(None)
        elif self._sack_at < 0:
            self._sack_at = self.road.now + DELAYED_ACK_S
            self.road.at(self._sack_at, self._sack, self._sack_at)

    def _sack(self, at: float | None) -> None:
        if at is not None and at != self._sack_at:
            return
        self._sack_at = -1.0
        numbers, self._received = self._received, []
        arrival = self.road.now + self.road.settings.delay_s
        burst_s = self.road.settings.sack_burst_s
        if burst_s:
            arrival = (arrival // burst_s + 1) * burst_s
        self.road.at(arrival, self._take, numbers)

    # -- acknowledgements

    def _take(self, numbers: list[int]) -> None:
        now = self.road.now
        acked = 0
        newest: list[Any] | None = None
        flight_before = self._in_flight
        for number in numbers:
            packet = self._by_number.pop(number, None)
            if packet is None:
                continue
            if packet[2] == 2:
                self._steps = min(self._steps + 1, 16)
                self._steps_until = now + 5.0
                continue  # its retransmission is counted
            packet[2] = 1
            acked += 1
            self._in_flight -= 1
            if newest is None or number > newest[0]:
                newest = packet
        rtt_s = None
        if newest is not None:
            rtt_s = now - newest[1]
            self._srtt_s = self._srtt_s + (rtt_s - self._srtt_s) / 8 if self._srtt_s else rtt_s
            if not self._min_rtt_s or rtt_s < self._min_rtt_s:
                self._min_rtt_s = rtt_s
            if newest[0] > self._highest:
                self._highest = newest[0]
                self._newest_sent_at = newest[1]
                self._rtt_s = rtt_s
        self.delivered += acked
        lost = self._find_lost()
        if acked:
            self._progress_at = now
            self._probes = self._timeouts = 0
        self._tell(acked, lost, rtt_s, newest[1] if newest is not None else -1.0, flight_before)

    def _tell(self, acked: int, lost: int, rtt_s: float | None, sent_at: float, before: int) -> None:
        if acked or lost:
            ack = self._ack
            ack.now = self.road.epoch_s + self.road.now
            ack.acked_bytes = acked * PACKET_BYTES
            ack.lost_bytes = lost * PACKET_BYTES
            ack.rtt_s = rtt_s
            ack.sent_at = self.road.epoch_s + sent_at if sent_at >= 0 else -1.0
            ack.highest_tsn = self._highest
            ack.next_tsn = self.sent
            ack.flight_bytes = before * PACKET_BYTES
            ack.window_limited = self._limited
            self._limited = False
            self.acks += 1
            self.control.on_ack(ack)
        self._pump()

    def _find_lost(self) -> int:
        now = self.road.now
        if self._steps > 1 and now > self._steps_until:
            self._steps -= 1
            self._steps_until = now + 5.0
        wait_s = self._rtt_s + min(self._steps * self._min_rtt_s / 4, self._srtt_s)
        flight = self._flight
        lost = 0
        while flight:
            packet = flight[0]
            if packet[2] == 0:
                if packet[0] > self._highest:
                    break
                due = packet[1] + wait_s
                if due > now:
                    if self._reorder_at < now or due < self._reorder_at:
                        self._reorder_at = due
                        self.road.at(due, self._reordered, due)
                    break
                packet[2] = 2
                self._in_flight -= 1
                lost += 1
            flight.popleft()
        return lost

    def _reordered(self, at: float) -> None:
        if at == self._reorder_at:
            self._reorder_at = -1.0
            before = self._in_flight
            self._tell(0, self._find_lost(), None, -1.0, before)

    def _watch(self, at: float = -1.0) -> None:
        """Tail probes and T3, looked for now and then instead of by a timer for each packet."""
        if self._stopped:
            return
        now = self.road.now
        idle_s = now - self._progress_at
        srtt_s = self._srtt_s or 0.5
        if self._in_flight and self._probes < 2 and idle_s > 2 * srtt_s * (self._probes + 1):
            self._probes += 1
            self._send()
        elif self._in_flight and idle_s > 4 * srtt_s + max(0.4, 2 * srtt_s) * (1 << min(self._timeouts, 3)):
            self._timeouts += 1
            self._progress_at = now
            for packet in self._flight:
                packet[2] = 2
            self._flight.clear()
            self._in_flight = 0
            if self._timeouts == 1:
                self.control.on_timeout()
            self._send()
        self.road.at(now + 0.02, self._watch, -1.0)


def flows(road: Road, kinds: Sequence[tuple[Controller, float]]) -> list[Flow]:
    """Flows of these controllers, each from its time on."""
    return [
        Flow(road, controller, start_s + 0.01 * index) for index, (controller, start_s) in enumerate(kinds)
    ]
