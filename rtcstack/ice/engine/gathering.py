"""One generation's local candidates: from sockets, from STUN servers, from relays.

The shell opens sockets and resolves the servers' names; what is asked over them, and what the
answers mean, stands here.

Spec: RFC 8445, section 5.1.1; RFC 8656.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from rtcstack.config import AddressRule
from rtcstack.errors import ParseError
from rtcstack.ice.config import GatherPolicy, IceServer
from rtcstack.ice.engine.core import Core
from rtcstack.ice.engine.events import (
    CandidateFound,
    ConnectTcp,
    GatheringDone,
    GatheringState,
    RelayLost,
    RelayMoved,
    ServerFailed,
)
from rtcstack.ice.engine.pair import Path, RemoteCandidate
from rtcstack.ice.engine.priority import candidate_priority, foundation
from rtcstack.ice.rewriting import externals, find_rule
from rtcstack.ice.stun import Address, Attribute, Class, Method, StunMessage, encode
from rtcstack.ice.turn.client import (
    TurnAllocated,
    TurnClient,
    TurnEvent,
    TurnFailed,
    TurnPeerDenied,
    TurnRedirected,
)
from rtcstack.sdp.candidate import Candidate

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Gathering", "LocalCandidate", "Query"]

MAX_LOCAL_CANDIDATES = 128
"""Candidates of one generation; the servers' answers that come later are ignored."""

MAX_TCP_CONNECTIONS = 32
"""Connections of one generation, made and accepted."""

_DISCARD_PORT = 9
"""What an active TCP candidate has for a port (RFC 6544, section 4.5)."""

_ASKED_AGAIN = frozenset((437, 486, 500, 508, 701))
"""Errors after which an allocation may be had again: the server has forgotten us, is full, or is silent."""

_UNREACHABLE = 701
"""No answer: outside of STUN's own codes (webrtc-pc, section 4.8.3)."""

KEEPALIVE_S = 15.0
"""How often a server is asked again, so that a NAT keeps the address that it showed, until there is
a selected pair (RFC 8445, section 5.1.1.4)."""


class LocalCandidate(NamedTuple):
    """A candidate of ours.

    Attributes:
        path: that it stands for.
        candidate: with its true address.
        server: that was asked for it, or None.
    """

    path: Path
    candidate: Candidate
    server: IceServer | None


class Query:
    """A STUN server that is asked from one path.

    Attributes:
        gathering: that it belongs to.
        server, address: who.
        path: from where.
        deadline: when it is given up.
        mapped: what it has answered.
    """

    __slots__ = ("address", "deadline", "gathering", "mapped", "next_at", "path", "server")

    def __init__(
        self, gathering: Gathering, server: IceServer, path: Path, address: Address, deadline: float
    ) -> None:
        self.gathering = gathering
        self.server = server
        self.path = path
        self.address = address
        self.deadline = deadline
        self.mapped: Address | None = None
        self.next_at: float | None = None

    def on_answer(self, message: StunMessage, sends: int, sent_at: float, now: float) -> None:
        """See `Gathering.on_answer`."""
        self.gathering.on_answer(self, message, now)

    def on_silence(self, now: float) -> None:
        """See `Gathering.on_silence`."""
        self.gathering.on_silence(self)


class _Relay:
    """A TURN server that is asked for an allocation."""

    __slots__ = (
        "address",
        "both",
        "carrier",
        "client",
        "deadline",
        "is_again",
        "path",
        "paths",
        "pending",
        "server",
    )

    def __init__(
        self,
        server: IceServer,
        carrier: Path,
        address: Address,
        client: TurnClient,
        path: Path,
        deadline: float,
        both: bool,
        is_again: bool,
    ) -> None:
        self.server = server
        self.carrier = carrier
        self.address = address
        self.client = client
        self.path = path
        self.deadline = deadline
        self.both = both
        self.is_again = is_again
        self.pending = True
        self.paths = [path]  # a second one where the server gives an address of each IP version


class Gathering:
    """Collects the candidates of one generation.

    Args:
        core: shared by the agent.
        ufrag: of the generation.
        on_path: a path came with a candidate of its own, that pairs can be made of.
        on_denied: a relay will not send to an address.
        on_lost: a path came to its end.
    """

    def __init__(
        self,
        core: Core,
        ufrag: str,
        on_path: Callable[[Path, float], None],
        on_denied: Callable[[Path, str], None],
        on_lost: Callable[[Path], None],
    ) -> None:
        self.state = GatheringState.NEW
        self.candidates: list[Candidate] = []
        """As the peer may see them."""
        self.local: list[LocalCandidate] = []
        """With their true addresses."""
        self.paths: list[Path] = []
        self.active = True
        """Whether servers are to be asked again and again."""
        self._core = core
        self._ufrag = ufrag
        self._on_path = on_path
        self._on_denied = on_denied
        self._on_lost = on_lost
        self._queries: list[Query] = []
        self._relays: list[_Relay] = []
        self._lost: list[_Relay] = []  # that are asked for again when everything is; none is in both
        self._unreached: set[str] = set()  # URLs of servers of which this was said
        self._is_retired = False
        self._sources_open = True
        self._following = 0

    # -- what the shell provides ------------------------------------------------------------------

    def add_socket(
        self,
        address: Address,
        preference: int,
        now: float,
        *,
        transport: str = "udp",
        tcp_type: str | None = None,
        interface: str | None = None,
        name: str | None = None,
        carrier_only: bool = False,
    ) -> Path:
        """A bound socket: a host candidate, unless the policy keeps it from being one.

        Args:
            address: that it is bound to.
            preference: 0 for the address that is liked best, 1 for the next.
            now: the time.
            transport: "udp" or "tcp".
            tcp_type: "passive" or "so" for a socket that listens, "active" for an address alone.
            interface: the network interface's name, where it is known.
            name: that the peer is told instead of the address.
            carrier_only: it leads to a relay, and peers never see it.
        """
        path = Path(
            self._core.new_path_id(), address, transport=transport, preference=preference, tcp_type=tcp_type
        )
        path.interface, path.name = interface, name
        self._core.paths[path.id] = path
        self.paths.append(path)
        if not carrier_only and self._core.config.policy is not GatherPolicy.RELAY:
            path.candidate = self._make("host", path, address)
            self._add_host(path, path.candidate)
            self._on_path(path, now)
        return path

    def _add_host(self, path: Path, candidate: Candidate) -> None:
        """A host candidate, and what the application's rules make of it."""
        rule = self._rule("host", path)
        if rule is None or rule.append:
            self._add(path, candidate, None)
        if rule is not None:
            for i, external in enumerate(externals(rule, candidate.address)):
                address = (external, candidate.port)
                self._add(path, self._make("host", path, address, offset=1 + i), None)
        rule = self._rule("srflx", path)
        if rule is not None:
            for i, external in enumerate(externals(rule, candidate.address)):
                address = (external, candidate.port)
                self._add(path, self._make("srflx", path, address, offset=1 + i), None)

    def _rule(self, kind: str, path: Path) -> AddressRule | None:
        rules = self._core.config.options.address_rules
        return find_rule(rules, kind, path.address[0], path.interface, path.transport) if rules else None

    @staticmethod
    def _make(kind: str, path: Path, address: Address, *, server: str = "", offset: int = 0) -> Candidate:
        """A candidate whose base is this path.

        Args:
            kind: "host" or "srflx".
            path: its base.
            address: where peers reach it.
            server: that told the address.
            offset: how many of the same kind and base are preferred to it.
        """
        host, port = path.address
        is_host = kind == "host"
        if path.tcp_type == "active":
            address = address[0], _DISCARD_PORT
        return Candidate(
            foundation=foundation(kind, address[0] if is_host else host, path.transport, server),
            component=1,
            transport=path.transport,
            priority=candidate_priority(kind, path.preference + 1000 * offset, tcp_type=path.tcp_type),
            address=address[0],
            port=address[1],
            type=kind,
            related_address=None if is_host else host,
            related_port=None if is_host else port,
            extensions=() if path.tcp_type is None else (("tcptype", path.tcp_type),),
        )

    def query(self, server: IceServer, path: Path, address: Address, now: float) -> None:
        """Ask a STUN server, from this path, where it sees us."""
        query = Query(self, server, path, address, now + self._core.config.gather_timeout_s)
        self._queries.append(query)
        self._send(query, now)

    def relay(
        self,
        server: IceServer,
        carrier: Path,
        address: Address,
        now: float,
        *,
        both: bool = False,
        is_again: bool = False,
    ) -> None:
        """Ask a TURN server for an allocation.

        Args:
            server: as configured.
            carrier: over which path.
            address: the server's.
            now: the time.
            both: want addresses of both IP versions, and not the server's own.
            is_again: it is to take the place of a lost one.
        """
        core = self._core
        is_stream = carrier.transport != "udp"
        client = TurnClient(
            server.username or "",
            server.password or "",
            entropy=core.entropy,
            is_stream=is_stream,
            ip_version=6 if ":" in address[0] else 4,
            both=both,
        )
        path = self._add_relay_path(carrier, address, client)
        deadline = now + core.config.gather_timeout_s
        relay = _Relay(server, carrier, address, client, path, deadline, both, is_again)
        self._relays.append(relay)
        client.start(now)
        core.flush_relay(path, now)

    def _add_relay_path(self, carrier: Path, server: Address, client: TurnClient) -> Path:
        path = Path(self._core.new_path_id(), server, preference=carrier.preference)
        path.relay, path.carrier, path.server = client, carrier, server
        self._core.paths[path.id] = path
        return path

    def report_error(
        self,
        server: IceServer,
        local: Address | None,
        code: int,
        text: str,
        *,
        failed: _Relay | None = None,
    ) -> None:
        """A server failed, as the shell or the engine saw.

        That it cannot be reached (701) is said once, and only if it cannot be from any of our addresses; from
        which one it was asked, if the peer is told of that address.

        Spec: webrtc-pc, section 4.8.3.
        """
        if code == _UNREACHABLE:
            others = {query.server.url for query in self._queries}
            others |= {relay.server.url for relay in self._relays if relay is not failed}
            if server.url in self._unreached | others:
                return
            self._unreached.add(server.url)
        known = {host for each in self.candidates for host in (each.address, each.related_address)}
        shown = local if local is not None and local[0] in known else None
        self._core.events.append(ServerFailed(server, shown, code, text))

    def followed(self) -> None:
        """A redirection (`RelayMoved`) was followed, or was given up."""
        self._following -= 1
        self._check_done()

    def end_of_sources(self) -> None:
        """The shell has nothing more to give: gathering is over once all servers are done."""
        self._sources_open = False
        self._check_done()

    @property
    def _all_paths(self) -> list[Path]:
        return [*self.paths, *(path for relay in self._relays for path in relay.paths)]

    @property
    def bases(self) -> list[Path]:
        """The paths that pairs are made of."""
        return [path for path in self._all_paths if path.is_base]

    @property
    def is_empty(self) -> bool:
        """Whether there is no candidate, told or not."""
        return all(path.candidate is None for path in self._all_paths)

    # -- TCP --------------------------------------------------------------------------------------

    def connect(self, remote: RemoteCandidate) -> None:
        """Connect to a peer's passive or simultaneous-open candidate, wherever it can be done."""
        theirs = remote.candidate.tcp_type
        wanted = {"passive": "active", "so": "so"}.get(theirs or "")
        for place in list(self.paths):
            if place.transport == "tcp" and place.peer is None and place.tcp_type == wanted:
                self.connect_from(place, remote)

    def connect_from(self, place: Path, remote: RemoteCandidate) -> None:
        """The same from one address."""
        fits = (place.tcp_type, remote.candidate.tcp_type) in (("active", "passive"), ("so", "so"))
        if not fits or place.candidate is None or place.ip_version != remote.ip_version:
            return
        path = self._add_connection(place, remote.address)
        if path is not None:
            port = 0 if place.tcp_type == "active" else place.address[1]
            self._core.events.append(ConnectTcp(path.id, (place.address[0], port), remote.address))

    def accept(self, place: Path, peer: Address) -> Path | None:
        """A peer has connected to a socket that listens; None when there are too many."""
        return self._add_connection(place, peer)

    def _add_connection(self, place: Path, peer: Address) -> Path | None:
        if sum(p.peer is not None for p in self.paths) >= MAX_TCP_CONNECTIONS:
            return None
        path = Path(
            self._core.new_path_id(),
            place.address,
            transport="tcp",
            preference=place.preference,
            candidate=place.candidate,
            tcp_type=place.tcp_type,
        )
        path.peer = peer
        self._core.paths[path.id] = path
        self.paths.append(path)
        return path

    # -- candidates -------------------------------------------------------------------------------

    def find_local(self, path: Path, mapped: Address) -> Candidate | None:
        """The local candidate of this path with that address."""
        if path.peer is not None and mapped[0] == path.address[0]:
            return path.candidate  # a connection's port says nothing
        for other, candidate, _ in self.local:
            if other is path and (candidate.address, candidate.port) == mapped:
                return candidate
        return None

    def add_reflexive(self, path: Path, mapped: Address, priority: int) -> Candidate:
        """The peer sees us at an address that we did not know: a candidate that is not signalled."""
        candidate = Candidate(
            foundation=foundation("prflx", path.address[0], path.transport),
            component=1,
            transport=path.transport,
            priority=priority,
            address=mapped[0],
            port=mapped[1],
            type="prflx",
            related_address=path.address[0],
            related_port=path.address[1],
        )
        if len(self.local) < MAX_LOCAL_CANDIDATES:
            self.local.append(LocalCandidate(path, candidate, None))
        return candidate

    def _add(self, path: Path, candidate: Candidate, server: IceServer | None) -> None:
        if len(self.local) >= MAX_LOCAL_CANDIDATES:
            return
        self.local.append(LocalCandidate(path, candidate, server))
        if self.state is GatheringState.COMPLETE:
            return  # the peer was told that there are no more: it learns of this one by its checks
        public = self._public(path, candidate)
        if public is not None:
            self.candidates.append(public)
            self._core.events.append(CandidateFound(self._ufrag, public, server))

    def _public(self, path: Path, candidate: Candidate) -> Candidate | None:
        """The candidate as the peer may see it, or None when it may not.

        Where the machine's own addresses are not to be told, they are not told as related ones.
        """
        no_host = self._core.config.policy is GatherPolicy.NO_HOST
        if candidate.type == "host":
            if no_host:
                return None
            if path.name is not None and candidate.address == path.address[0]:
                return dataclasses.replace(candidate, address=path.name)
        elif candidate.type == "srflx" and (no_host or path.name is not None):
            anywhere = "::" if ":" in candidate.address else "0.0.0.0"
            return dataclasses.replace(candidate, related_address=anywhere, related_port=0)
        return candidate

    # -- STUN servers -----------------------------------------------------------------------------

    def _send(self, query: Query, now: float) -> None:
        transaction_id = self._core.entropy(12)
        data = encode(Method.BINDING, Class.REQUEST, transaction_id)
        self._core.transactions.start(transaction_id, query, query, query.path.id, query.address, data, now)
        self._core.transmit(query.path, query.address, data, now)

    def on_answer(self, query: Query, message: StunMessage, now: float) -> None:
        """A STUN server has answered.

        Raises:
            ParseError: with nonsense.
        """
        if query.deadline == float("inf"):
            self._keep(query, now)
            return
        if message.kind == Class.ERROR:
            error = message.error() or (500, "an error without a code")
            self._end_query(query, *error)
            return
        mapped = message.address(Attribute.XOR_MAPPED_ADDRESS) or message.address(Attribute.MAPPED_ADDRESS)
        if mapped is None or not mapped[1]:
            raise ParseError("a binding response without an address")
        query.mapped = mapped
        query.deadline = float("inf")
        self._keep(query, now)
        path = query.path
        # Without a NAT it is the host's own, and redundant (RFC 8445, section 5.1.3).
        if path.candidate is not None and self.find_local(path, mapped) is None:
            rule = self._rule("srflx", path)
            if mapped != path.address and (rule is None or rule.append):
                self._add(path, self._make("srflx", path, mapped, server=query.server.host), query.server)
        self._check_done()

    def _keep(self, query: Query, now: float) -> None:
        query.next_at = now + KEEPALIVE_S

    def on_silence(self, query: Query) -> None:
        """A STUN server has not answered."""
        if query.deadline != float("inf"):
            self._end_query(query, 701, "the server did not answer")

    def _end_query(self, query: Query, code: int, text: str) -> None:
        if query in self._queries:
            self._queries.remove(query)
            self._core.transactions.forget(query)
            self.report_error(query.server, query.path.address, code, text)
            self._check_done()

    def mappings(self) -> list[tuple[Address, str, Address]]:
        """What STUN servers saw: the local address, the server's URL, and the address behind a NAT."""
        return [(q.path.address, q.server.url, q.mapped) for q in self._queries if q.mapped is not None]

    # -- relays -----------------------------------------------------------------------------------

    def relay_for(self, carrier: int, remote: Address) -> list[Path]:
        """The relay whose server is reached over that path, at that address: its paths, or none."""
        for relay in self._relays:
            if relay.carrier.id == carrier and (relay.address == remote or relay.carrier.transport != "udp"):
                return relay.paths
        return []

    def take_relay_events(self, path: Path, now: float) -> None:
        """A relay's client may have learnt something."""
        relay = next((r for r in self._relays if r.path is path), None)
        if relay is None:
            return
        for event in relay.client.events():
            self._on_relay_event(relay, event, now)
        self._check_done()  # when both addresses of an allocation are known
        self._core.flush_relay(path, now)

    def _on_relay_event(self, relay: _Relay, event: TurnEvent, now: float) -> None:
        match event:
            case TurnAllocated(relayed, mapped):
                self._on_allocated(relay, relayed, mapped, now)
            case TurnFailed(code, reason):
                was_pending = relay.pending
                if not was_pending:
                    self._core.events.append(RelayLost(relay.server, relay.path.address, code, reason))
                elif not relay.is_again:
                    self.report_error(relay.server, relay.carrier.address, code, reason, failed=relay)
                self._end_relay(relay)
                is_asked_again = code in _ASKED_AGAIN and (relay.is_again or not was_pending)
                if is_asked_again and relay.carrier.id in self._core.paths:
                    self._lost.append(relay)
                    if not was_pending:
                        self._ask_again(relay, now)
            case TurnRedirected(server):
                self._following += 1
                self._core.events.append(RelayMoved(self._ufrag, relay.server, relay.carrier.id, server))
                self._end_relay(relay)
            case TurnPeerDenied(host):
                for path in relay.paths:
                    self._on_denied(path, host)

    def _on_allocated(self, relay: _Relay, relayed: Address, mapped: Address | None, now: float) -> None:
        path = relay.path
        if not relay.pending:  # the second address of the same allocation
            path = self._add_relay_path(relay.carrier, relay.address, relay.client)
            path.preference += 1
            relay.paths.append(path)
        relay.pending = False
        path.address = relayed
        via = "tls" if relay.server.scheme.is_secure else relay.carrier.transport
        hidden = self._core.config.policy is GatherPolicy.RELAY
        if mapped is not None and (":" in mapped[0]) is not (":" in relayed[0]):
            mapped = None  # a related address of the other version is of no use to anybody
        anywhere = "::" if path.ip_version == 6 else "0.0.0.0"
        path.candidate = Candidate(
            foundation=foundation("relay", relayed[0], "udp", relay.server.host + via),
            component=1,
            transport="udp",
            priority=candidate_priority("relay", path.preference, carrier=via),
            address=relayed[0],
            port=relayed[1],
            type="relay",
            related_address=anywhere if hidden or mapped is None else mapped[0],
            related_port=0 if hidden or mapped is None else mapped[1],
        )
        rule = self._rule("relay", path)
        if rule is None or rule.append:
            self._add(path, path.candidate, relay.server)
        for i, external in enumerate([] if rule is None else externals(rule, relayed[0])):
            candidate = dataclasses.replace(
                path.candidate,
                foundation=foundation("relay", external, "udp", relay.server.host + via),
                address=external,
                priority=candidate_priority("relay", path.preference + 1 + i, carrier=via),
            )
            self._add(path, candidate, relay.server)
        self._on_path(path, now)

    def probe_relay(self, path: Path, now: float) -> None:
        """Nothing comes through a relay: ask its server whether it still knows us."""
        if path.relay is not None and path.id in self._core.paths:
            path.relay.probe(now)
            self._core.flush_relay(path, now)

    def revive_relays(self, now: float) -> None:
        """Nothing comes from the peer: ask whether relays are still there, and for those that are not."""
        for relay in list(self._relays):
            self.probe_relay(relay.path, now)
        for relay in list(self._lost):
            self._ask_again(relay, now)

    def _ask_again(self, relay: _Relay, now: float) -> None:
        """A NAT in between, or the server, has forgotten an allocation: have another from the same socket.

        The peer, if it does not know the new address, learns it from our checks.
        """
        if not self._core.is_usable(relay.carrier) or self._is_retired:
            return
        self._lost.remove(relay)
        self.relay(relay.server, relay.carrier, relay.address, now, both=relay.both, is_again=True)

    def retire(self) -> None:
        """Nothing more is asked for: another generation has taken the place of this one."""
        self.active = False
        self._is_retired = True

    def _end_relay(self, relay: _Relay) -> None:
        relay.pending = False
        self.local = [each for each in self.local if each.path.id in self._core.paths]  # of earlier lost ones
        if relay in self._relays:
            self._relays.remove(relay)
            for path in relay.paths:
                self._core.paths.pop(path.id, None)
            for path in relay.paths:
                self._on_lost(path)
        self._check_done()

    def lose_path(self, path: Path, reason: str, now: float) -> None:
        """A socket or connection has come to its end."""
        self._core.paths.pop(path.id, None)
        self._lost = [relay for relay in self._lost if relay.carrier is not path]
        if path in self.paths:
            self.paths.remove(path)
        for relay in list(self._relays):
            if relay.carrier is path:
                relay.client.fail(701, reason)
                self.take_relay_events(relay.path, now)
        for query in [q for q in self._queries if q.path is path]:
            if query.mapped is None:
                self._end_query(query, 701, reason)
            else:
                self._queries.remove(query)
                self._core.transactions.forget(query)
        self._on_lost(path)

    # -- time -------------------------------------------------------------------------------------

    def _check_done(self) -> None:
        if self.state is GatheringState.COMPLETE or self._sources_open or self._following:
            return
        if any(q.mapped is None for q in self._queries) or any(r.pending for r in self._relays):
            return
        self.state = GatheringState.COMPLETE
        self._core.events.append(GatheringDone(self._ufrag))

    def handle_timeout(self, now: float) -> None:
        """Give up servers that are late, keep the others' answers alive."""
        for query in list(self._queries):
            if query.deadline <= now:
                self._end_query(query, 701, "the server did not answer")
            elif self.active and query.next_at is not None and query.next_at <= now:
                self._keep(query, now)
                self._send(query, now)
        for relay in list(self._relays):
            relay.client.handle_timeout(now)
            if relay.pending and relay.deadline <= now:
                relay.client.fail(701, "the server did not answer")
            self.take_relay_events(relay.path, now)

    def _deadlines(self) -> Iterator[float]:
        for query in self._queries:
            if query.mapped is None:
                yield query.deadline
            elif query.next_at is not None and self.active:
                yield query.next_at
        for relay in self._relays:
            if relay.pending:
                yield relay.deadline
            due = relay.client.next_timeout()
            if due is not None:
                yield due

    def next_timeout(self) -> float | None:
        """When `handle_timeout` is due."""
        return min(self._deadlines(), default=None)

    def close(self, now: float) -> tuple[int, ...]:
        """Give the relays back.

        Returns:
            The paths whose sockets may be closed.
        """
        for relay in self._relays:
            relay.client.close(now)
            self._core.flush_relay(relay.path, now)
            for path in relay.paths:
                self._core.paths.pop(path.id, None)
        self._relays.clear()
        self._lost.clear()
        for query in self._queries:
            self._core.transactions.forget(query)
        self._queries.clear()
        for path in self.paths:
            self._core.paths.pop(path.id, None)
        return tuple(path.id for path in self.paths)
