"""An internet in virtual time: public hosts, NATs of every kind of RFC 4787, STUN and TURN servers.

All packets are IPv4-like datagrams between (address, port) pairs; what is random comes from seeds.

    net = Internet()
    server = ModelServer(net, "198.51.100.1")
    nat = Nat(net, "203.0.113.1", mapping=Rule.ENDPOINT, filtering=Rule.ADDRESS_AND_PORT)
    a = IceHost(net, "10.0.0.2", nat=nat)

Spec: RFC 4787, sections 4.1 (mapping), 5 (filtering) and 6 (hairpinning).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from rtcstack.engine import Run
from rtcstack.ice.config import IceConfig, IceServer, parse_server_uri
from rtcstack.ice.engine import (
    Arrival,
    CandidateFound,
    GatheringDone,
    IceEngine,
    IceEvent,
    IceState,
    PairSelected,
    PathsReleased,
    ServerFailed,
    StateChanged,
)
from rtcstack.ice.stun import (
    Address,
    Attribute,
    Class,
    Method,
    StunMessage,
    encode,
    encode_address,
    error_attribute,
    long_term_key,
)
from rtcstack.sdp.candidate import Candidate
from tests.support.link import Network

__all__ = ["IceHost", "Internet", "ModelServer", "Nat", "Rule", "connect_hosts"]

Receiver = Callable[[Address, Address, bytes], None]
"""Takes a datagram: to which of its own addresses, from where, and the data."""


class Rule(Enum):
    """On what a NAT's mapping or filter depends (RFC 4787)."""

    ENDPOINT = "endpoint-independent"
    ADDRESS = "address-dependent"
    ADDRESS_AND_PORT = "address-and-port-dependent"

    def key(self, remote: Address) -> object:
        """What of a remote address the rule looks at."""
        if self is Rule.ENDPOINT:
            return None
        return remote[0] if self is Rule.ADDRESS else remote


class Internet:
    """Who is where, and how packets fare on the way.

    Attributes:
        network: the virtual clock.
        delay_s: of each packet on the public net.
        loss, duplicate, reorder: probability per packet.
        filter: decides for each packet (source, destination, data) whether it may pass.
        sent: packets on the public net.
    """

    def __init__(self, *, delay_s: float = 0.02, loss: float = 0.0, seed: int = 0) -> None:
        self.network = Network()
        self.delay_s = delay_s
        self.loss = loss
        self.duplicate = 0.0
        self.reorder = 0.0
        self.filter: Callable[[Address, Address, bytes], bool] | None = None
        self.sent = 0
        self.random = random.Random(seed)
        self._receivers: dict[str, Receiver] = {}

    @property
    def now(self) -> float:
        """The virtual time."""
        return self.network.now

    def attach(self, host: str, receiver: Receiver) -> None:
        """Give an address to somebody."""
        self._receivers[host] = receiver

    def detach(self, host: str) -> None:
        """Take it away."""
        del self._receivers[host]

    def send(self, source: Address, destination: Address, data: bytes) -> None:
        """Send a datagram over the public net."""
        self.sent += 1
        if self.filter is not None and not self.filter(source, destination, data):
            return
        if self.loss and self.random.random() < self.loss:
            return
        delay_s = self.delay_s
        if self.reorder and self.random.random() < self.reorder:
            delay_s *= 2
        self.network.at(self.now + delay_s, self._arrive, (source, destination, data))
        if self.duplicate and self.random.random() < self.duplicate:
            self.network.at(self.now + 1.1 * delay_s, self._arrive, (source, destination, data))

    def _arrive(self, packet: tuple[Address, Address, bytes]) -> None:
        source, destination, data = packet
        receiver = self._receivers.get(destination[0])
        if receiver is not None:
            receiver(destination, source, data)


@dataclass
class _Mapping:
    inside: Address
    port: int
    used_at: float
    contacted: set[object] = field(default_factory=set)


class Nat:
    """A NAT with one public address and any number of hosts behind it.

    Args:
        net: where it stands.
        public: its public address.
        mapping, filtering: see `Rule`.
        hairpin: whether hosts behind it reach each other by its public address.
        lifetime_s: how long a mapping lasts without being used from inside.
    """

    def __init__(
        self,
        net: Internet,
        public: str,
        *,
        mapping: Rule,
        filtering: Rule,
        hairpin: bool = False,
        lifetime_s: float = 60.0,
    ) -> None:
        self._net = net
        self.public = public
        self.mapping = mapping
        self.filtering = filtering
        self.hairpin = hairpin
        self.lifetime_s = lifetime_s
        self._ports = 40_000
        self._mappings: dict[tuple[Address, object], _Mapping] = {}
        self._by_port: dict[int, _Mapping] = {}
        self._inside: dict[str, Receiver] = {}
        net.attach(public, self._from_outside)

    def attach(self, host: str, receiver: Receiver) -> None:
        """Put a host behind the NAT."""
        self._inside[host] = receiver

    def detach(self, host: str) -> None:
        """Take it away."""
        del self._inside[host]

    def send(self, source: Address, destination: Address, data: bytes) -> None:
        """Send a datagram from inside."""
        if destination[0] in self._inside:
            self._net.network.at(self._net.now + 0.0005, self._deliver_inside, (destination, source, data))
            return
        if destination[0].startswith(("10.", "192.168.")):
            return  # private, and not ours
        mapping = self._map(source, destination)
        external = (self.public, mapping.port)
        if destination[0] == self.public:
            if self.hairpin:
                self._from_outside(destination, external, data)
            return
        self._net.send(external, destination, data)

    def _map(self, source: Address, destination: Address) -> _Mapping:
        key = (source, self.mapping.key(destination))
        mapping = self._mappings.get(key)
        now = self._net.now
        if mapping is None or now - mapping.used_at > self.lifetime_s:
            self._ports += 1
            mapping = self._mappings[key] = _Mapping(source, self._ports, now)
            self._by_port[mapping.port] = mapping
        mapping.used_at = now
        mapping.contacted.add(self.filtering.key(destination))
        return mapping

    def _from_outside(self, destination: Address, source: Address, data: bytes) -> None:
        mapping = self._by_port.get(destination[1])
        if mapping is None or self._net.now - mapping.used_at > self.lifetime_s:
            return
        if self.filtering is not Rule.ENDPOINT and self.filtering.key(source) not in mapping.contacted:
            return
        self._deliver_inside((mapping.inside, source, data))

    def _deliver_inside(self, packet: tuple[Address, Address, bytes]) -> None:
        destination, source, data = packet
        receiver = self._inside.get(destination[0])
        if receiver is not None:
            receiver(destination, source, data)


@dataclass
class _Allocation:
    relayed: Address
    expires_at: float
    permissions: dict[str, float] = field(default_factory=dict)
    channels: dict[int, Address] = field(default_factory=dict)


class ModelServer:
    """A STUN and TURN server over UDP on port 3478.

    Attributes:
        refuse: STUN error code with which allocations are refused, or None.
        silent: whether it answers nothing.
        denied: addresses that it will not relay to.
        stale_after: requests after which its nonce changes each time, or None.
        alternate: another server that it sends clients to, or None.
        garbage: answers with this instead, if set.
        lifetime_s: of allocations.
        relayed: datagrams that went through it.
        requests: how often each method was asked for.
    """

    USERNAME, PASSWORD, REALM = "user", "secret", "model"

    def __init__(self, net: Internet, host: str) -> None:
        self._net = net
        self.host = host
        self.refuse: int | None = None
        self.silent = False
        self.denied: set[str] = set()
        self.stale_after: int | None = None
        self.alternate: Address | None = None
        self.garbage: bytes | None = None
        self.lifetime_s = 600
        self.relayed = 0
        self.requests: dict[int, int] = {}
        self._nonce = 1
        self._authorised = 0
        self._ports = 50_000
        self._clients: dict[Address, _Allocation] = {}
        self._by_port: dict[int, Address] = {}
        net.attach(host, self._receive)

    @property
    def stun(self) -> IceServer:
        """How a client is configured for STUN."""
        return parse_server_uri(f"stun:{self.host}")

    @property
    def turn(self) -> IceServer:
        """How a client is configured for TURN."""
        return parse_server_uri(f"turn:{self.host}", self.USERNAME, self.PASSWORD)

    @property
    def allocations(self) -> int:
        """How many clients have an allocation now."""
        return sum(a.expires_at > self._net.now for a in self._clients.values())

    def _receive(self, destination: Address, source: Address, data: bytes) -> None:
        if destination[1] != 3478:
            self._from_peer(destination, source, data)
        elif self.silent:
            return
        elif self.garbage is not None:
            self._net.send(destination, source, self.garbage)
        elif data[0] >> 6 == 1:
            self._on_channel_data(source, data)
        else:
            self._on_message(source, StunMessage(data))

    def _answer(
        self, client: Address, request: StunMessage, kind: int, *attributes: tuple[int, bytes]
    ) -> None:
        key = None
        if request.method != Method.BINDING and Attribute.USERNAME in request:
            key = long_term_key(self.USERNAME, self.REALM, self.PASSWORD)
        data = encode(request.method, kind, request.transaction_id, attributes, key=key)
        self._net.send((self.host, 3478), client, data)

    def _challenge(self, client: Address, request: StunMessage, code: int) -> None:
        data = encode(
            request.method,
            Class.ERROR,
            request.transaction_id,
            [
                error_attribute(code, "again"),
                (Attribute.REALM, self.REALM.encode()),
                (Attribute.NONCE, b"nonce-%d" % self._nonce),
            ],
        )
        self._net.send((self.host, 3478), client, data)

    def _is_authorised(self, client: Address, request: StunMessage) -> bool:
        key = long_term_key(self.USERNAME, self.REALM, self.PASSWORD)
        if request.text(Attribute.USERNAME) != self.USERNAME or not request.is_authentic(key):
            self._challenge(client, request, 401)
            return False
        if request.get(Attribute.NONCE) != b"nonce-%d" % self._nonce:
            self._challenge(client, request, 438)
            return False
        self._authorised += 1
        if self.stale_after is not None and self._authorised >= self.stale_after:
            self._nonce += 1
        return True

    def _on_message(self, client: Address, request: StunMessage) -> None:
        method, now = request.method, self._net.now
        if request.kind == Class.INDICATION:
            if method == Method.SEND:
                self._on_send(client, request)
            return
        self.requests[method] = self.requests.get(method, 0) + 1
        if method == Method.BINDING:
            mapped = encode_address(client, request.transaction_id)
            self._answer(client, request, Class.SUCCESS, (Attribute.XOR_MAPPED_ADDRESS, mapped))
            return
        if not self._is_authorised(client, request):
            return
        allocation = self._clients.get(client)
        if method == Method.ALLOCATE:
            if self.refuse is not None:
                self._answer(client, request, Class.ERROR, error_attribute(self.refuse, "no"))
                return
            if self.alternate is not None:
                other = encode_address(self.alternate, None)
                self._answer(
                    client,
                    request,
                    Class.ERROR,
                    error_attribute(300, "elsewhere"),
                    (Attribute.ALTERNATE_SERVER, other),
                )
                return
            if allocation is None:
                self._ports += 1
                allocation = self._clients[client] = _Allocation((self.host, self._ports), 0.0)
                self._by_port[self._ports] = client
            allocation.expires_at = now + self.lifetime_s
            identifier = request.transaction_id
            self._answer(
                client,
                request,
                Class.SUCCESS,
                (Attribute.XOR_RELAYED_ADDRESS, encode_address(allocation.relayed, identifier)),
                (Attribute.XOR_MAPPED_ADDRESS, encode_address(client, identifier)),
                (Attribute.LIFETIME, self.lifetime_s.to_bytes(4, "big")),
            )
            return
        if allocation is None or allocation.expires_at <= now:
            self._answer(client, request, Class.ERROR, error_attribute(437, "no allocation"))
            return
        if method == Method.REFRESH:
            asked = request.number(Attribute.LIFETIME)
            lifetime_s = self.lifetime_s if asked else 0
            allocation.expires_at = now + lifetime_s
            lifetime = (Attribute.LIFETIME, lifetime_s.to_bytes(4, "big"))
            self._answer(client, request, Class.SUCCESS, lifetime)
            return
        peer = request.address(Attribute.XOR_PEER_ADDRESS)
        assert peer is not None
        if peer[0] in self.denied:
            self._answer(client, request, Class.ERROR, error_attribute(403, "forbidden"))
            return
        allocation.permissions[peer[0]] = now + 300
        if method == Method.CHANNEL_BIND:
            number = request.number(Attribute.CHANNEL_NUMBER)
            assert number is not None
            allocation.channels[number >> 16] = peer
        self._answer(client, request, Class.SUCCESS)

    def _relay(self, client: Address, peer: Address, data: bytes) -> None:
        allocation = self._clients.get(client)
        now = self._net.now
        if allocation is None or allocation.expires_at <= now:
            return
        if allocation.permissions.get(peer[0], 0.0) > now:
            self.relayed += 1
            self._net.send(allocation.relayed, peer, data)

    def _on_send(self, client: Address, message: StunMessage) -> None:
        peer, data = message.address(Attribute.XOR_PEER_ADDRESS), message.get(Attribute.DATA)
        if peer is not None and data is not None:
            self._relay(client, peer, data)

    def _on_channel_data(self, client: Address, data: bytes) -> None:
        allocation = self._clients.get(client)
        number, length = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
        if allocation is not None and number in allocation.channels:
            self._relay(client, allocation.channels[number], data[4 : 4 + length])

    def _from_peer(self, relayed: Address, peer: Address, data: bytes) -> None:
        client = self._by_port.get(relayed[1])
        allocation = None if client is None else self._clients.get(client)
        now = self._net.now
        if client is None or allocation is None or allocation.expires_at <= now or self.silent:
            return
        if allocation.permissions.get(peer[0], 0.0) <= now:
            return
        for number, other in allocation.channels.items():
            if other == peer:
                header = number.to_bytes(2, "big") + len(data).to_bytes(2, "big")
                self._net.send((self.host, 3478), client, header + data)
                return
        identifier = bytes(12)
        attributes = (
            (Attribute.XOR_PEER_ADDRESS, encode_address(peer, identifier)),
            (Attribute.DATA, data),
        )
        indication = encode(Method.DATA, Class.INDICATION, identifier, attributes)
        self._net.send((self.host, 3478), client, indication)


class IceHost:
    """A machine with an ICE engine, driven as the product's shell drives it.

    Args:
        net: where it stands.
        address: its own address.
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
        nat: Nat | None = None,
        config: IceConfig | None = None,
        servers: tuple[IceServer, ...] = (),
        seed: int = 0,
    ) -> None:
        self.net = net
        self.nat = nat
        self.address = address
        self.servers = servers
        source = random.Random(f"{address} {seed}")
        self.engine = IceEngine(config or IceConfig(), entropy=source.randbytes)
        self.candidates: list[Candidate] = []
        self.errors: list[ServerFailed] = []
        self.states: list[IceState] = []
        self.pairs: list[PairSelected] = []
        self.received: list[bytes] = []
        self.received_at: list[float] = []
        self.gathered: set[str] = set()
        self.on_event: Callable[[IceEvent], None] | None = None
        self._ports = 1000
        self._paths: dict[int, Address] = {}
        self._by_port: dict[int, int] = {}
        self._armed_at: float | None = None
        (nat or net).attach(address, self._receive)

    @property
    def state(self) -> IceState:
        """The engine's."""
        return self.engine.state

    @property
    def connected(self) -> bool:
        """Whether packets get through, as far as the engine knows."""
        return self.state in (IceState.CONNECTED, IceState.COMPLETED)

    def move(self, address: str, nat: Nat | None = None) -> None:
        """Get another address: packets to the old one are lost."""
        (self.nat or self.net).detach(self.address)
        self.address, self.nat = address, nat
        (nat or self.net).attach(address, self._receive)

    def _open(self) -> Address:
        self._ports += 1
        return self.address, self._ports

    def gather(self) -> None:
        """Open sockets and ask the servers for the newest generation."""
        engine, now = self.engine, self.net.now
        if not engine.begin_gathering():
            return
        generation = engine.newest
        local = self._open()
        path = engine.add_socket(generation, local, 0, now)
        self._keep(path.id, local)
        for server in self.servers:
            remote = (server.host, server.port)
            if server.scheme.is_turn:
                address = self._open()
                carrier = engine.add_socket(generation, address, 0, now, carrier_only=True)
                self._keep(carrier.id, address)
                engine.relay(generation, server, carrier, remote, now)
            elif path.candidate is not None:
                engine.query(generation, server, path, remote, now)
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
        if local is not None and local[0] == self.address:
            (self.nat or self.net).send(local, remote, data)

    def _receive(self, destination: Address, source: Address, data: bytes) -> None:
        path = self._by_port.get(destination[1])
        if path is None:
            return
        engine, now = self.engine, self.net.now
        known = engine.path(path)
        if known is not None and known.candidate is None:
            _, relayed = engine.receive_relayed(path, source, [Run(data, len(data))], now)
            for _, inner in relayed:
                self._on_data(inner)
        elif data and data[0] < 4:
            engine.receive([Arrival(path, source, data)], now)
        elif engine.accepts_from(source):
            self._on_data(data)
        self.flush()

    def _on_data(self, data: bytes) -> None:
        self.engine.heard(self.net.now)
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
            self.net.network.at(self._armed_at, self._on_timer, self._armed_at)

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
            case PairSelected():
                self.pairs.append(event)
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

                net.network.at(net.now + signalling_s, take, None)
            elif isinstance(event, GatheringDone) and event.ufrag == ufrag and end:

                def finish(_: object) -> None:
                    if is_current():
                        other.engine.end_of_remote_candidates()
                        other.flush()

                net.network.at(net.now + signalling_s, finish, None)

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
        net.network.at(net.now + delay_s, begin, None)
