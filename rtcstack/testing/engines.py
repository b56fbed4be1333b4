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

__all__ = ["EngineHost", "Simulation"]


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
        """Let the engine send what it has, tell what it has to tell, and set its timer."""
        now = self._simulation.now
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
