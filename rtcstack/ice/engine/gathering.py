"""One generation's local candidates: from sockets, from STUN servers, from relays.

The shell opens sockets and resolves the servers' names; what is asked over them, and what the
answers mean, stands here.

Spec: RFC 8445, section 5.1.1; RFC 8656.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

from rtcstack.config import AddressRule
from rtcstack.ice.config import GatherPolicy, IceServer
from rtcstack.ice.engine.core import Core
from rtcstack.ice.engine.events import CandidateFound, ConnectTcp, GatheringDone, ServerFailed
from rtcstack.ice.engine.pair import Path, RemoteCandidate
from rtcstack.ice.engine.priority import candidate_priority, foundation
from rtcstack.ice.engine.queries import Queries
from rtcstack.ice.engine.relays import Relays
from rtcstack.ice.rewriting import externals, find_rule
from rtcstack.ice.states import GatheringState
from rtcstack.ice.stun import Address
from rtcstack.sdp.candidate import Candidate

__all__ = ["Gathering", "LocalCandidate"]

MAX_LOCAL_CANDIDATES = 128
"""Candidates of one generation; the servers' answers that come later are ignored."""

MAX_TCP_CONNECTIONS = 32
"""Connections of one generation, made and accepted."""

_DISCARD_PORT = 9
"""What an active TCP candidate has for a port (RFC 6544, section 4.5)."""

_UNREACHABLE = 701
"""No answer: outside of STUN's own codes (webrtc-pc, section 4.8.3)."""


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


class Gathering:
    """Collects the candidates of one generation; a `QueryOwner` and a `RelayOwner`.

    Attributes:
        queries, relays: the STUN and the TURN servers that are asked.

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
        self.queries = Queries(core, self)
        self.relays = Relays(core, ufrag, self)
        self._core = core
        self._ufrag = ufrag
        self._on_path = on_path
        self._on_denied = on_denied
        self._on_lost = on_lost
        self._unreached: set[str] = set()  # URLs of servers of which this was said
        self._sources_open = True

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
        to_relay: bool = False,
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
            to_relay: it leads to a relay, and peers never see it.
        """
        path = Path(
            self._core.new_path_id(), address, transport=transport, preference=preference, tcp_type=tcp_type
        )
        path.interface, path.name = interface, name
        self._core.paths[path.id] = path
        self.paths.append(path)
        if not to_relay and self._core.config.policy is not GatherPolicy.RELAY:
            path.candidate = self._make("host", path, address)
            self._add_host(path, path.candidate)
            self._on_path(path, now)
        return path

    def _add_host(self, path: Path, candidate: Candidate) -> None:
        """A host candidate, and what the application's rules make of it."""
        rule = self.rule_for("host", path)
        if rule is None or rule.append:
            self.add(path, candidate, None)
        if rule is not None:
            for i, external in enumerate(externals(rule, candidate.address)):
                address = (external, candidate.port)
                self.add(path, self._make("host", path, address, offset=1 + i), None)
        rule = self.rule_for("srflx", path)
        if rule is not None:
            for i, external in enumerate(externals(rule, candidate.address)):
                address = (external, candidate.port)
                self.add(path, self._make("srflx", path, address, offset=1 + i), None)

    def rule_for(self, kind: str, path: Path) -> AddressRule | None:
        """What the application wants told instead of a path's address, or beside it."""
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

    def report_error(self, server: IceServer, local: Address | None, code: int, text: str) -> None:
        """A server failed, as the shell or the engine saw.

        That it cannot be reached (701) is said once, and only if it cannot be from any of our addresses; from
        which one it was asked, if the peer is told of that address.

        Spec: webrtc-pc, section 4.8.3.
        """
        if code == _UNREACHABLE:
            if server.url in self._unreached or self.queries.asks(server.url) or self.relays.asks(server.url):
                return
            self._unreached.add(server.url)
        known = {host for each in self.candidates for host in (each.address, each.related_address)}
        shown = local if local is not None and local[0] in known else None
        self._core.events.append(ServerFailed(server, shown, code, text))

    def end_of_sources(self) -> None:
        """The shell has nothing more to give: gathering is over once all servers are done."""
        self._sources_open = False
        self.check_done()

    @property
    def _all_paths(self) -> list[Path]:
        return [*self.paths, *self.relays.paths]

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

    def add(self, path: Path, candidate: Candidate, server: IceServer | None) -> None:
        """A candidate was found."""
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

    # -- what servers say, see `QueryOwner` and `RelayOwner` ---------------------------------------

    def on_mapped(self, path: Path, mapped: Address, server: IceServer) -> None:
        """A STUN server sees packets of a path come from that address."""
        # Without a NAT it is the host's own, and redundant (RFC 8445, section 5.1.3).
        if path.candidate is not None and self.find_local(path, mapped) is None:
            rule = self.rule_for("srflx", path)
            if mapped != path.address and (rule is None or rule.append):
                self.add(path, self._make("srflx", path, mapped, server=server.host), server)
        self.check_done()

    def on_query_failed(self, server: IceServer, local: Address, code: int, text: str) -> None:
        """A STUN server gave no address."""
        self.report_error(server, local, code, text)
        self.check_done()

    def on_path(self, path: Path, now: float) -> None:
        """Pairs can be made of a path."""
        self._on_path(path, now)

    def on_denied(self, path: Path, host: str) -> None:
        """A relay will not send to an address."""
        self._on_denied(path, host)

    def on_relay_failed(self, server: IceServer, local: Address, code: int, text: str) -> None:
        """A TURN server gave no address."""
        self.report_error(server, local, code, text)

    def on_relay_ended(self, paths: list[Path]) -> None:
        """A relay is no more, nor are its paths; reports show its candidates until another one ends."""
        self.local = [e for e in self.local if e.path in paths or e.path.id in self._core.paths]
        for path in paths:
            self._on_lost(path)

    def retire(self) -> None:
        """Nothing more is asked for: another generation has taken the place of this one."""
        self.queries.active = False
        self.relays.retire()

    def lose_path(self, path: Path, reason: str, now: float) -> None:
        """A socket or connection has come to its end."""
        self._core.paths.pop(path.id, None)
        if path in self.paths:
            self.paths.remove(path)
        self.relays.lose_server(path, reason, now)
        self.queries.lose_path(path, reason)
        self._on_lost(path)

    # -- time -------------------------------------------------------------------------------------

    def check_done(self) -> None:
        """Gathering may be over."""
        if self.state is GatheringState.COMPLETE or self._sources_open:
            return
        if not self.queries.is_pending and not self.relays.is_pending:
            self.state = GatheringState.COMPLETE
            self._core.events.append(GatheringDone(self._ufrag))

    def handle_timeout(self, now: float) -> None:
        """Give up servers that are late, keep what the others have given."""
        self.queries.handle_timeout(now)
        self.relays.handle_timeout(now)

    def next_timeout(self) -> float | None:
        """When `handle_timeout` is due."""
        return min((*self.queries.deadlines(), *self.relays.deadlines()), default=None)

    def close(self, now: float) -> tuple[int, ...]:
        """Give the relays back.

        Returns:
            The paths whose sockets may be closed.
        """
        self.relays.close(now)
        self.queries.close()
        for path in self.paths:
            self._core.paths.pop(path.id, None)
        return tuple(path.id for path in self.paths)
