"""A machine with an ICE engine on the virtual internet, without a loop: the engine by itself.

net = Internet()
server = TurnServer(net, "198.51.100.1")
nat = Nat(net, "203.0.113.1", mapping=Rule.ENDPOINT, filtering=Rule.ADDRESS_AND_PORT)
a = IceHost(net, "10.0.0.2", nat=nat)
"""

from __future__ import annotations

import random
from collections.abc import Callable

from rtcstack.engine import Address, Run
from rtcstack.ice.config import IceConfig, IceServer
from rtcstack.ice.engine import (
    Arrival,
    CandidateFound,
    ChoiceEnded,
    GatheringDone,
    IceEngine,
    IceEvent,
    IceState,
    Pair,
    PairAdded,
    PairProposed,
    PairRemoved,
    PairSelected,
    PathsReleased,
    ServerFailed,
    StateChanged,
)
from rtcstack.sdp.candidate import Candidate
from rtcstack.testing import Internet, Nat
from rtcstack.testing.packets import Payload

__all__ = ["IceHost", "connect_hosts"]


class IceHost:
    """A machine with an ICE engine, driven as the product's shell drives it.

    Args:
        net: where it stands.
        address: its own address.
        more: other addresses that it has, each of a lower preference than the one before.
        nat: behind which it stands, or None for the public net.
        config: of the engine.
        servers: that it asks for addresses and relays.
        seed: of all that is random in it.
    """

    def __init__(
        self,
        net: Internet,
        address: str,
        *,
        more: tuple[str, ...] = (),
        nat: Nat | None = None,
        config: IceConfig | None = None,
        servers: tuple[IceServer, ...] = (),
        seed: int = 0,
    ) -> None:
        self.net = net
        self.nat = nat
        self.address = address
        self.more = more
        self.servers = servers
        source = random.Random(f"{address} {seed}")
        self.engine = IceEngine(config or IceConfig(), entropy=source.randbytes)
        self.candidates: list[Candidate] = []
        self.errors: list[ServerFailed] = []
        self.states: list[IceState] = []
        self.pairs: list[PairSelected] = []
        self.listed: list[Pair] = []
        """Pairs that were told as added, and not as removed."""
        self.proposed: list[Pair] = []
        """Pairs whose nomination waited for a word."""
        self.accepts = False
        """Whether the word is said at once."""
        self.choices: list[tuple[Pair, bool]] = []
        """What came of selections."""
        self.received: list[bytes] = []
        self.received_at: list[float] = []
        self.gathered: set[str] = set()
        self.on_event: Callable[[IceEvent], None] | None = None
        self._ports = 1000
        self._paths: dict[int, Address] = {}
        self._by_port: dict[int, int] = {}
        self._armed_at: float | None = None
        for each in (address, *more):
            (nat or net).attach(each, self._receive)

    @property
    def state(self) -> IceState:
        """The engine's."""
        return self.engine.state

    @property
    def connected(self) -> bool:
        """Whether packets get through, as far as the engine knows."""
        return self.state in (IceState.CONNECTED, IceState.COMPLETED)

    def to(self, source: str, destination: str) -> Pair:
        """The listed pair between these addresses."""
        return next(
            p for p in self.listed if (p.path.address[0], p.remote.address[0]) == (source, destination)
        )

    def select(self, pair: Pair) -> None:
        """Have packets take a pair."""
        self.engine.select(pair, self.net.now)
        self.flush()

    def remove(self, pair: Pair) -> None:
        """Forget a pair for good, which is not told."""
        self.engine.remove(pair, self.net.now)
        self.listed.remove(pair)
        self.flush()

    def answer(self, pair: Pair, *, accepted: bool) -> None:
        """The word on a pair that was proposed."""
        self.engine.answer(pair, self.net.now, accepted=accepted)
        self.flush()

    def move(self, address: str, nat: Nat | None = None) -> None:
        """Get another address: packets to the old one are lost."""
        (self.nat or self.net).detach(self.address)
        self.address, self.nat = address, nat
        (nat or self.net).attach(address, self._receive)

    def _open(self, address: str | None = None) -> Address:
        self._ports += 1
        return address or self.address, self._ports

    def gather(self) -> None:
        """Open sockets and ask the servers for the newest generation."""
        engine, now = self.engine, self.net.now
        if not engine.begin_gathering():
            return
        generation = engine.newest
        local = self._open()
        path = engine.add_socket(generation, local, 0, now)
        self._keep(path.id, local)
        for preference, each in enumerate(self.more, 1):
            other = self._open(each)
            self._keep(engine.add_socket(generation, other, preference, now).id, other)
        for server in self.servers:
            remote = (server.host, server.port)
            if server.scheme.is_turn:
                address = self._open()
                carrier = engine.add_socket(generation, address, 0, now, to_relay=True)
                self._keep(carrier.id, address)
                generation.gathering.relays.ask(server, carrier, remote, now)
            elif path.candidate is not None:
                generation.gathering.queries.ask(server, path, remote, now)
        engine.end_of_sources(generation)
        self.flush()

    def _keep(self, path: int, local: Address) -> None:
        self._paths[path] = local
        self._by_port[local[1]] = path

    def send(self, data: bytes) -> bool:
        """Send a datagram to the peer; False when there is no way."""
        route = self.engine.route([Run(data, len(data))], self.net.now)
        if route is None:
            return False
        path, remote, runs = route
        for run in runs:
            for datagram in run.datagrams():
                self._transmit(path, remote, datagram)
        self.flush()
        return True

    def _transmit(self, path: int, remote: Address, data: bytes) -> None:
        local = self._paths.get(path)
        if local is not None and local[0] in (self.address, *self.more):
            (self.nat or self.net).send(local, remote, data)

    def _receive(self, destination: Address, source: Address, data: Payload) -> None:
        assert isinstance(data, bytes)
        path = self._by_port.get(destination[1])
        if path is None:
            return
        engine, now = self.engine, self.net.now
        known = engine.path(path)
        if known is not None and known.candidate is None:
            for through, peer, inner, _ in engine.receive_relayed(path, source, [Run(data, len(data))], now):
                self._on_data(through, peer, inner)
        elif data and data[0] < 4:
            engine.receive([Arrival(path, source, data)], now)
        elif engine.accepts_from(source):
            self._on_data(path, source, data)
        self.flush()

    def _on_data(self, path: int, source: Address, data: bytes) -> None:
        self.engine.heard(self.engine.find_pair(path, source), self.net.now)
        self.received.append(data)
        self.received_at.append(self.net.now)

    def flush(self) -> None:
        """Send what is due, hear what happened, set the timer."""
        engine, now = self.engine, self.net.now
        for _ in range(100):
            for path, remote, data in engine.drain(now):
                self._transmit(path, remote, data)
            events = engine.events()
            for event in events:
                self._on_event(event)
            if not events:
                break
        due = engine.next_timeout()
        if due is not None and (self._armed_at is None or due < self._armed_at):
            self._armed_at = max(due, now)
            self.net.agenda.at(self._armed_at, self._on_timer, self._armed_at)

    def _on_timer(self, armed_at: float) -> None:
        if self._armed_at == armed_at:
            self._armed_at = None
            self.engine.handle_timeout(self.net.now)
            self.flush()

    def _on_event(self, event: IceEvent) -> None:
        match event:
            case CandidateFound():
                self.candidates.append(event.candidate)
            case ServerFailed():
                self.errors.append(event)
            case StateChanged():
                self.states.append(event.state)
            case PairAdded(pair):
                assert pair not in self.listed
                self.listed.append(pair)
            case PairRemoved(pair):
                self.listed.remove(pair)
            case PairProposed(pair):
                self.proposed.append(pair)
                if self.accepts:
                    self.engine.answer(pair, self.net.now, accepted=True)
            case ChoiceEnded(pair, works):
                self.choices.append((pair, works))
            case PairSelected():
                self.pairs.append(event)
                if event.state is not None:
                    self.states.append(event.state)
            case GatheringDone():
                self.gathered.add(event.ufrag)
            case PathsReleased():
                for path in event.paths:
                    local = self._paths.pop(path, None)
                    if local is not None:
                        self._by_port.pop(local[1], None)
        if self.on_event is not None:
            self.on_event(event)


def connect_hosts(
    a: IceHost, b: IceHost, *, signalling_s: float = 0.05, trickle: bool = True, end: bool = True
) -> None:
    """Gather at both, hand candidates over as they are found, and start checks; `a` is controlling.

    Also after a restart of both: everything is about the newest generations.
    """
    net = a.net
    for me, other, controlling in ((a, b, True), (b, a, False)):
        mine, theirs = me.engine.newest, other.engine.newest

        def is_current(
            me: IceHost = me, other: IceHost = other, mine: object = mine, theirs: object = theirs
        ) -> bool:
            # signalling of generations that were replaced meanwhile is not applied
            return me.engine.newest is mine and other.engine.newest is theirs

        def on_event(
            event: IceEvent,
            *,
            other: IceHost = other,
            ufrag: str = mine.ufrag,
            is_current: Callable[[], bool] = is_current,
        ) -> None:
            if isinstance(event, CandidateFound) and event.ufrag == ufrag and trickle:
                candidate = event.candidate

                def take(_: object) -> None:
                    if is_current():
                        address = (candidate.address, candidate.port)
                        other.engine.add_remote_candidate(candidate, address, net.now)
                        other.flush()

                net.agenda.at(net.now + signalling_s, take, None)
            elif isinstance(event, GatheringDone) and event.ufrag == ufrag and end:

                def finish(_: object) -> None:
                    if is_current():
                        other.engine.end_of_remote_candidates()
                        other.flush()

                net.agenda.at(net.now + signalling_s, finish, None)

        me.on_event = on_event

        def begin(
            _: object,
            *,
            me: IceHost = me,
            ufrag: str = theirs.ufrag,
            pwd: str = theirs.pwd,
            controlling: bool = controlling,
            is_current: Callable[[], bool] = is_current,
        ) -> None:
            if is_current():
                me.engine.start(ufrag, pwd, controlling=controlling, remote_is_lite=False, now=net.now)
                me.flush()

        me.gather()
        # the offer reaches b first; b's answer reaches a one way later
        delay_s = 2 * signalling_s if controlling else signalling_s
        net.agenda.at(net.now + delay_s, begin, None)
