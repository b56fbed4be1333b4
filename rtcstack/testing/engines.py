"""Engines at the two ends of a path: they run by themselves, without a loop and without sockets.

It knows nothing of any protocol: it connects whatever satisfies `rtcstack.engine.Engine`.

    simulation = Simulation()
    forth, back = simulation.link(delay_s=0.02), simulation.link(delay_s=0.02)
    simulation.connect(engine_a, engine_b, forth=[forth], back=[back])
    simulation.run(until=5.0)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rtcstack.engine import Engine
from rtcstack.testing.agenda import Agenda
from rtcstack.testing.link import Link
from rtcstack.transport.transport import FULL_BATCH, MAX_ROUNDS_PER_PASS, MAX_TELLINGS_PER_PASS

__all__ = ["EngineHost", "Simulation"]

MAX_FEEDS = 100_000
"""Times that `after_flush` may give an engine more at one instant."""


class EngineHost:
    """An engine at the end of a path, driven as the product's pump drives it.

    Attributes:
        engine: the engine.
        events: everything it has told, oldest first; a test may clear it.
        on_event: if set, gets each event instead of `events`.
        after_flush: if set, is called after each pass, to feed the engine more.
        timer_slack_s: how much later than asked its timer fires.
        sent, received: datagrams.
    """

    def __init__(self, simulation: Simulation, engine: Engine[Any], timer_slack_s: float) -> None:
        self._simulation = simulation
        self._inbox: list[bytes] = []
        self._route: Sequence[Link] = ()
        self._peer: EngineHost | None = None
        self._armed_at: float | None = None
        self.engine = engine
        self.events: list[Any] = []
        self.on_event: Callable[[Any], None] | None = None
        self.after_flush: Callable[[], None] | None = None
        self.timer_slack_s = timer_slack_s
        self.sent = 0
        self.received = 0

    def attach(self, route: Sequence[Link], peer: EngineHost) -> None:
        """Say by which links, one after the other, the peer is reached."""
        self._route = route
        self._peer = peer

    def flush(self) -> None:
        """A pass: tell what the engine has to tell, send what it has, set its timer.

        As `rtcstack.transport.Transport` does it: events first, so that what a handler answers leaves in the
        same packet as the acknowledgement; batches while they are full, and no drain to see whether more is
        there.
        """
        for _ in range(MAX_FEEDS):
            self._pass()
            if self.after_flush is None:
                return
            sent = self.sent
            self.after_flush()
            self._pass()
            if self.sent == sent:
                return
        raise AssertionError("the engine never stops sending")

    def _pass(self) -> None:
        self._tell()
        for _ in range(MAX_TELLINGS_PER_PASS):
            if not self._send_batches() or not self._tell():
                break
        else:
            self._flush_later()
        self._arm()

    def _send_batches(self) -> bool:
        now = self._simulation.now
        for i in range(MAX_ROUNDS_PER_PASS):
            datagrams = self.engine.drain(now)
            for datagram in datagrams:
                self._send(datagram)
            if len(datagrams) < FULL_BATCH:
                return i > 0 or bool(datagrams) or getattr(self.engine, "has_news", False)
        self._flush_later()
        return True

    def _tell(self) -> bool:
        events = self.engine.events()
        for event in events:
            if self.on_event is not None:
                self.on_event(event)
            else:
                self.events.append(event)
        return bool(events)

    def _flush_later(self) -> None:
        self._simulation.at(self._simulation.now, lambda _: self.flush(), None)

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
                self._simulation.at(self._simulation.now, peer.arrive, datagram)
        else:
            self._route[hop].send(datagram, lambda passed: self._forward(passed, hop + 1))

    def arrive(self, datagram: bytes) -> None:
        """Take a datagram from the network; the engine gets it with all that come at the same time."""
        self._inbox.append(datagram)
        if len(self._inbox) == 1:
            self._simulation.at(self._simulation.now, self._wake, None)

    def _wake(self, _: None) -> None:
        inbox, self._inbox = self._inbox, []
        self.received += len(inbox)
        self.engine.receive(inbox, self._simulation.now)
        self.flush()

    def _arm(self) -> None:
        deadline = self.engine.next_timeout()
        if deadline is None:
            return
        deadline = max(deadline, self._simulation.now) + self.timer_slack_s
        if self._armed_at is None or deadline < self._armed_at:
            self._armed_at = deadline
            self._simulation.at(deadline, self._timer, deadline)

    def _timer(self, deadline: float) -> None:
        if self._armed_at != deadline:
            return  # an earlier one has taken its place
        self._armed_at = None
        due = self.engine.next_timeout()
        if due is not None and due <= self._simulation.now:
            self.engine.handle_timeout(self._simulation.now)
            self.flush()
        else:
            self._arm()


class Simulation(Agenda):
    """Virtual time in which engines talk by links."""

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
    ) -> tuple[EngineHost, EngineHost]:
        """Connect two engines by a sequence of links each way. Links may be shared with others."""
        host_a = EngineHost(self, a, timer_slack_s)
        host_b = EngineHost(self, b, timer_slack_s)
        host_a.attach(forth, host_b)
        host_b.attach(back, host_a)
        return host_a, host_b
