"""A network in virtual time: links that delay, queue, lose, reorder and double what passes.

It knows nothing of any protocol: it connects whatever satisfies `rtcstack.engine.Engine`. All that
is random comes from seeds, so a run is the same each time.

    network = Network()
    forth, back = network.link(delay_s=0.02), network.link(delay_s=0.02)
    network.connect(engine_a, engine_b, forth=[forth], back=[back])
    network.run(until=5.0)
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

from rtcstack.engine import Engine

__all__ = ["BurstLoss", "Host", "Link", "Network"]

START_S = 1000.0
"""Where the virtual clock starts: not at 0, which would hide confusion of "never" and "at once"."""


@dataclass(frozen=True, slots=True)
class BurstLoss:
    """Losses in bursts, after Gilbert: a good state without, a bad state with losses.

    Attributes:
        enter: probability, per packet, of going from good to bad.
        leave: probability, per packet, of going back.
        loss: probability of loss while bad.
    """

    enter: float
    leave: float
    loss: float = 1.0


class Link:
    """One direction of a wire: a drop-tail queue before a bottleneck, then a delay.

    Attributes:
        delay_s, jitter_s: fixed delay, and the bound of a random one on top that keeps the order.
        rate_bytes_per_s: rate of the bottleneck, or None for infinite. May be changed on the way.
        queue_bytes: what the queue before the bottleneck holds, or None for no bound.
        loss, duplicate: probability per packet.
        reorder: probability that a packet takes `reorder_s` longer, and is overtaken.
        burst: losses in bursts, beside `loss`.
        filter: decides for each packet whether it may pass; for losing exactly what a test wants.
        delivered, delivered_bytes, lost, overflowed, reordered, duplicated: counts.
        queue_delay_max_s: longest wait in the queue.
    """

    def __init__(
        self,
        network: Network,
        *,
        delay_s: float = 0.0,
        jitter_s: float = 0.0,
        rate_bytes_per_s: float | None = None,
        queue_bytes: int | None = None,
        loss: float = 0.0,
        burst: BurstLoss | None = None,
        reorder: float = 0.0,
        reorder_s: float = 0.01,
        duplicate: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._network = network
        self._random = random.Random(seed)
        self._free_at = 0.0  # when the bottleneck has sent all that is queued
        self._last_arrival = 0.0
        self._bad = False
        self._queue_delay_sum_s = 0.0
        self._queue_delay_count = 0
        self.delay_s = delay_s
        self.jitter_s = jitter_s
        self.rate_bytes_per_s = rate_bytes_per_s
        self.queue_bytes = queue_bytes
        self.loss = loss
        self.burst = burst
        self.reorder = reorder
        self.reorder_s = reorder_s
        self.duplicate = duplicate
        self.filter: Callable[[bytes], bool] | None = None
        self.delivered = 0
        self.delivered_bytes = 0
        self.lost = 0
        self.overflowed = 0
        self.reordered = 0
        self.duplicated = 0
        self.queue_delay_max_s = 0.0

    def set_rate(self, rate_bytes_per_s: float) -> None:
        """Change the bottleneck's rate; what is queued leaves at the new one."""
        now = self._network.now
        if self.rate_bytes_per_s is not None and self._free_at > now:
            self._free_at = now + (self._free_at - now) * self.rate_bytes_per_s / rate_bytes_per_s
        self.rate_bytes_per_s = rate_bytes_per_s

    def reset_counts(self) -> None:
        """Begin to measure the queue anew."""
        self._queue_delay_sum_s = 0.0
        self._queue_delay_count = 0
        self.queue_delay_max_s = 0.0

    @property
    def queue_delay_mean_s(self) -> float:
        """Mean wait in the queue of the packets that were delivered."""
        return self._queue_delay_sum_s / self._queue_delay_count if self._queue_delay_count else 0.0

    def _is_lost(self, datagram: bytes) -> bool:
        if self.filter is not None and not self.filter(datagram):
            return True
        if self.burst is not None:
            if self._random.random() < (self.burst.leave if self._bad else self.burst.enter):
                self._bad = not self._bad
            if self._bad and self._random.random() < self.burst.loss:
                return True
        return self.loss > 0.0 and self._random.random() < self.loss

    def send(self, datagram: bytes, arrive: Callable[[bytes], None]) -> None:
        """Send a datagram; `arrive` gets it at the other end, if it comes through."""
        if self._is_lost(datagram):
            self.lost += 1
            return
        now = self._network.now
        leaves = now
        if self.rate_bytes_per_s is not None:
            wait = max(0.0, self._free_at - now)
            if (
                self.queue_bytes is not None
                and wait * self.rate_bytes_per_s + len(datagram) > self.queue_bytes
            ):
                self.overflowed += 1
                return
            leaves = self._free_at = now + wait + len(datagram) / self.rate_bytes_per_s
            self._queue_delay_sum_s += wait
            self._queue_delay_count += 1
            self.queue_delay_max_s = max(self.queue_delay_max_s, wait)
        arrival = leaves + self.delay_s
        if self.jitter_s:
            arrival += self._random.random() * self.jitter_s
        if self.reorder and self._random.random() < self.reorder:
            self.reordered += 1
            arrival += self.reorder_s
        else:
            arrival = self._last_arrival = max(arrival, self._last_arrival)
        self._deliver(arrival, datagram, arrive)
        if self.duplicate and self._random.random() < self.duplicate:
            self.duplicated += 1
            self._deliver(arrival + self._random.random() * 0.001, datagram, arrive)

    def _deliver(self, arrival: float, datagram: bytes, arrive: Callable[[bytes], None]) -> None:
        self.delivered += 1
        self.delivered_bytes += len(datagram)
        self._network.at(arrival, arrive, datagram)


class Host:
    """An engine at the end of a path, driven as the product's pump drives it.

    Attributes:
        engine: the engine.
        events: everything it has told, oldest first; a test may clear it.
        on_event: if set, gets each event instead of `events`.
        after_flush: if set, is called after each pass, to feed the engine more.
        timer_slack_s: how much later than asked its timer fires.
        sent, received: datagrams.
    """

    def __init__(self, network: Network, engine: Engine[Any], timer_slack_s: float) -> None:
        self._network = network
        self._inbox: list[bytes] = []
        self._route: Sequence[Link] = ()
        self._peer: Host | None = None
        self._armed_at: float | None = None
        self.engine = engine
        self.events: list[Any] = []
        self.on_event: Callable[[Any], None] | None = None
        self.after_flush: Callable[[], None] | None = None
        self.timer_slack_s = timer_slack_s
        self.sent = 0
        self.received = 0

    def attach(self, route: Sequence[Link], peer: Host) -> None:
        """Say by which links, one after the other, the peer is reached."""
        self._route = route
        self._peer = peer

    def flush(self) -> None:
        """Let the engine send what it has, tell what it has to tell, and set its timer."""
        now = self._network.now
        rounds = 0
        while True:
            datagrams = self.engine.drain(now)
            for datagram in datagrams:
                self._send(datagram)
            if not datagrams:
                if self.after_flush is None:
                    break
                self.after_flush()
                datagrams = self.engine.drain(now)
                if not datagrams:
                    break
                for datagram in datagrams:
                    self._send(datagram)
            rounds += 1
            assert rounds < 100_000, "the engine never stops sending"
        for event in self.engine.events():
            if self.on_event is not None:
                self.on_event(event)
            else:
                self.events.append(event)
        self._arm()

    def _send(self, datagram: bytes) -> None:
        self.sent += 1
        assert self._peer is not None
        self._forward(datagram, 0)

    def _forward(self, datagram: bytes, hop: int) -> None:
        peer = self._peer
        assert peer is not None
        if hop + 1 >= len(self._route):
            if self._route:
                self._route[hop].send(datagram, peer.arrive)
            else:
                self._network.at(self._network.now, peer.arrive, datagram)
        else:
            self._route[hop].send(datagram, lambda passed: self._forward(passed, hop + 1))

    def arrive(self, datagram: bytes) -> None:
        """Take a datagram from the network; the engine gets it with all that come at the same time."""
        self._inbox.append(datagram)
        if len(self._inbox) == 1:
            self._network.at(self._network.now, self._wake, None)

    def _wake(self, _: None) -> None:
        inbox, self._inbox = self._inbox, []
        self.received += len(inbox)
        self.engine.receive(inbox, self._network.now)
        self.flush()

    def _arm(self) -> None:
        deadline = self.engine.next_timeout()
        if deadline is None:
            return
        deadline = max(deadline, self._network.now) + self.timer_slack_s
        if self._armed_at is None or deadline < self._armed_at:
            self._armed_at = deadline
            self._network.at(deadline, self._timer, deadline)

    def _timer(self, deadline: float) -> None:
        if self._armed_at != deadline:
            return  # an earlier one has taken its place
        self._armed_at = None
        due = self.engine.next_timeout()
        if due is not None and due <= self._network.now:
            self.engine.handle_timeout(self._network.now)
            self.flush()
        else:
            self._arm()


class Network:
    """The virtual clock and all that is to happen.

    Attributes:
        now: the virtual time in seconds.
    """

    def __init__(self) -> None:
        self.now = START_S
        self._agenda: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._count = 0

    def at(self, time: float, action: Callable[[Any], None], argument: Any) -> None:
        """Have `action(argument)` called at `time`; of two at the same time, the first asked for first."""
        self._count += 1
        heappush(self._agenda, (time, self._count, action, argument))

    def link(self, **settings: Any) -> Link:
        """Make a link; the settings are those of `Link`."""
        return Link(self, **settings)

    def connect(
        self,
        a: Engine[Any],
        b: Engine[Any],
        *,
        forth: Sequence[Link] = (),
        back: Sequence[Link] = (),
        timer_slack_s: float = 0.0,
    ) -> tuple[Host, Host]:
        """Connect two engines by a sequence of links each way. Links may be shared with others."""
        host_a = Host(self, a, timer_slack_s)
        host_b = Host(self, b, timer_slack_s)
        host_a.attach(forth, host_b)
        host_b.attach(back, host_a)
        return host_a, host_b

    def run(self, *, until: float, condition: Callable[[], bool] | None = None) -> bool:
        """Run for `until` seconds of virtual time from the start, or until `condition` holds.

        Returns:
            Whether the condition was met (False without one).
        """
        end = START_S + until
        agenda = self._agenda
        while agenda and agenda[0][0] <= end:
            if condition is not None and condition():
                return True
            time, _, action, argument = heappop(agenda)
            assert time >= self.now
            self.now = time
            action(argument)
        if condition is not None and condition():
            return True
        self.now = max(self.now, end)
        return False
