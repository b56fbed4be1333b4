"""One generation's relays: the TURN servers that are asked for an address, and what becomes of those.

Spec: RFC 8445, section 5.1.1.2; RFC 8656.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Protocol

from rtcstack.config import AddressRule
from rtcstack.ice.config import GatherPolicy, IceServer
from rtcstack.ice.engine.core import Core
from rtcstack.ice.engine.events import RelayLost, RelayMoved
from rtcstack.ice.engine.pair import Path
from rtcstack.ice.engine.priority import candidate_priority, foundation
from rtcstack.ice.rewriting import externals
from rtcstack.ice.stun import Address
from rtcstack.ice.turn.client import TurnClient
from rtcstack.ice.turn.events import (
    TurnAllocated,
    TurnEvent,
    TurnFailed,
    TurnPeerDenied,
    TurnRedirected,
)
from rtcstack.sdp.candidate import Candidate

__all__ = ["Relays"]

_ASKED_AGAIN = frozenset((437, 486, 500, 508, 701))
"""Errors after which an allocation may be had again: the server has forgotten us, is full, or is silent."""


class RelayOwner(Protocol):
    """Who collects what relays give."""

    def rule_for(self, kind: str, path: Path) -> AddressRule | None:
        """What the application wants told instead of a path's address, or beside it."""

    def add(self, path: Path, candidate: Candidate, server: IceServer | None) -> None:
        """A candidate was found."""

    def on_path(self, path: Path, now: float) -> None:
        """Pairs can be made of a relay's path."""

    def on_denied(self, path: Path, host: str) -> None:
        """A relay will not send to an address."""

    def on_relay_failed(self, server: IceServer, local: Address, code: int, text: str) -> None:
        """A server gave no address."""

    def on_relay_ended(self, paths: list[Path]) -> None:
        """A relay is no more, nor are its paths."""

    def check_done(self) -> None:
        """It may have been the last that was waited for."""


class _Relay:
    """A TURN server that is asked for an allocation."""

    __slots__ = (
        "address",
        "both",
        "client",
        "deadline",
        "is_again",
        "path",
        "paths",
        "pending",
        "server",
        "via",
    )

    def __init__(
        self,
        server: IceServer,
        via: Path,
        address: Address,
        client: TurnClient,
        path: Path,
        deadline: float,
        both: bool,
        is_again: bool,
    ) -> None:
        self.server = server
        self.via = via
        self.address = address
        self.client = client
        self.path = path
        self.deadline = deadline
        self.both = both
        self.is_again = is_again
        self.pending = True
        self.paths = [path]  # a second one where the server gives an address of each IP version


class Relays:
    """The TURN servers that are asked.

    Args:
        core: shared by the agent.
        ufrag: of the generation.
        owner: who is told.
    """

    def __init__(self, core: Core, ufrag: str, owner: RelayOwner) -> None:
        self._core = core
        self._ufrag = ufrag
        self._owner = owner
        self._relays: list[_Relay] = []
        self._lost: list[_Relay] = []  # that are asked for again when everything is; none is in both
        self._is_retired = False
        self._following = 0

    def __len__(self) -> int:
        """How many there are, with those that are lost for now."""
        return len(self._relays) + len(self._lost)

    @property
    def is_pending(self) -> bool:
        """Whether one has not answered yet, or is to be asked in the place of another."""
        return bool(self._following) or any(relay.pending for relay in self._relays)

    @property
    def paths(self) -> list[Path]:
        """Of all."""
        return [path for relay in self._relays for path in relay.paths]

    def asks(self, url: str) -> bool:
        """Whether this server has given an address, or may still."""
        return any(relay.server.url == url for relay in self._relays)

    def followed(self) -> None:
        """A redirection (`RelayMoved`) was followed, or was given up."""
        self._following -= 1
        self._owner.check_done()

    def ask(
        self,
        server: IceServer,
        via: Path,
        address: Address,
        now: float,
        *,
        both: bool = False,
        is_again: bool = False,
    ) -> None:
        """Ask a TURN server for an allocation.

        Args:
            server: as configured.
            via: over which path.
            address: the server's.
            now: the time.
            both: want addresses of both IP versions, and not the server's own.
            is_again: it is to take the place of a lost one.
        """
        core = self._core
        is_stream = via.transport != "udp"
        client = TurnClient(
            server.username or "",
            server.password or "",
            entropy=core.entropy,
            is_stream=is_stream,
            ip_version=6 if ":" in address[0] else 4,
            both=both,
        )
        path = self._add_relay_path(via, address, client)
        deadline = now + core.config.gather_timeout_s
        relay = _Relay(server, via, address, client, path, deadline, both, is_again)
        self._relays.append(relay)
        client.start(now)
        core.flush_relay(path, now)

    def _add_relay_path(self, via: Path, server: Address, client: TurnClient) -> Path:
        path = Path(self._core.new_path_id(), server, preference=via.preference)
        path.relay, path.via, path.server = client, via, server
        self._core.paths[path.id] = path
        return path

    def serving(self, via: int, remote: Address) -> list[Path]:
        """The relay whose server is reached over that path, at that address: its paths, or none."""
        for relay in self._relays:
            if relay.via.id == via and (relay.address == remote or relay.via.transport != "udp"):
                return relay.paths
        return []

    def take_events(self, path: Path, now: float) -> None:
        """A relay's client may have learnt something."""
        relay = next((r for r in self._relays if r.path is path), None)
        if relay is None:
            return
        for event in relay.client.events():
            self._on_relay_event(relay, event, now)
        self._owner.check_done()  # when both addresses of an allocation are known
        self._core.flush_relay(path, now)

    def _on_relay_event(self, relay: _Relay, event: TurnEvent, now: float) -> None:
        match event:
            case TurnAllocated(relayed, mapped):
                self._on_allocated(relay, relayed, mapped, now)
            case TurnFailed(code, reason):
                was_pending = relay.pending
                if not was_pending:
                    self._core.events.append(RelayLost(relay.server, relay.path.address, code, reason))
                self._drop(relay)
                if was_pending and not relay.is_again:
                    self._owner.on_relay_failed(relay.server, relay.via.address, code, reason)
                self._owner.check_done()
                is_asked_again = code in _ASKED_AGAIN and (relay.is_again or not was_pending)
                if is_asked_again and relay.via.id in self._core.paths:
                    self._lost.append(relay)
                    if not was_pending:
                        self._ask_again(relay, now)
            case TurnRedirected(server):
                self._following += 1
                self._core.events.append(RelayMoved(self._ufrag, relay.server, relay.via.id, server))
                self._drop(relay)
                self._owner.check_done()
            case TurnPeerDenied(host):
                for path in relay.paths:
                    self._owner.on_denied(path, host)

    def _on_allocated(self, relay: _Relay, relayed: Address, mapped: Address | None, now: float) -> None:
        path = relay.path
        if not relay.pending:  # the second address of the same allocation
            path = self._add_relay_path(relay.via, relay.address, relay.client)
            path.preference += 1
            relay.paths.append(path)
        relay.pending = False
        path.address = relayed
        over = "tls" if relay.server.scheme.is_secure else relay.via.transport
        hidden = self._core.config.policy is GatherPolicy.RELAY
        if mapped is not None and (":" in mapped[0]) is not (":" in relayed[0]):
            mapped = None  # a related address of the other version is of no use to anybody
        anywhere = "::" if path.ip_version == 6 else "0.0.0.0"
        path.candidate = Candidate(
            foundation=foundation("relay", relayed[0], "udp", relay.server.host + over),
            component=1,
            transport="udp",
            priority=candidate_priority("relay", path.preference, over=over),
            address=relayed[0],
            port=relayed[1],
            type="relay",
            related_address=anywhere if hidden or mapped is None else mapped[0],
            related_port=0 if hidden or mapped is None else mapped[1],
        )
        rule = self._owner.rule_for("relay", path)
        if rule is None or rule.append:
            self._owner.add(path, path.candidate, relay.server)
        for i, external in enumerate([] if rule is None else externals(rule, relayed[0])):
            candidate = dataclasses.replace(
                path.candidate,
                foundation=foundation("relay", external, "udp", relay.server.host + over),
                address=external,
                priority=candidate_priority("relay", path.preference + 1 + i, over=over),
            )
            self._owner.add(path, candidate, relay.server)
        self._owner.on_path(path, now)

    def probe(self, path: Path, now: float) -> None:
        """Nothing comes through a relay: ask its server whether it still knows us."""
        if path.relay is not None and path.id in self._core.paths:
            path.relay.probe(now)
            self._core.flush_relay(path, now)

    def revive(self, now: float) -> None:
        """Nothing comes from the peer: ask whether relays are still there, and for those that are not."""
        for relay in list(self._relays):
            self.probe(relay.path, now)
        for relay in list(self._lost):
            self._ask_again(relay, now)

    def _ask_again(self, relay: _Relay, now: float) -> None:
        """A NAT in between, or the server, has forgotten an allocation: have another from the same socket.

        The peer, if it does not know the new address, learns it from our checks.
        """
        if not self._core.is_usable(relay.via) or self._is_retired:
            return
        self._lost.remove(relay)
        self.ask(relay.server, relay.via, relay.address, now, both=relay.both, is_again=True)

    def retire(self) -> None:
        """Nothing more is asked for: another generation has taken the place of this one."""
        self._is_retired = True

    def _drop(self, relay: _Relay) -> None:
        relay.pending = False
        if relay in self._relays:
            self._relays.remove(relay)
            for path in relay.paths:
                self._core.paths.pop(path.id, None)
            self._owner.on_relay_ended(relay.paths)

    def lose_server(self, via: Path, reason: str, now: float) -> None:
        """The socket or connection to a server has come to its end."""
        self._lost = [relay for relay in self._lost if relay.via is not via]
        for relay in list(self._relays):
            if relay.via is via:
                relay.client.fail(701, reason)
                self.take_events(relay.path, now)

    def handle_timeout(self, now: float) -> None:
        """Do what clients have to do, and give up servers that are late."""
        for relay in list(self._relays):
            relay.client.handle_timeout(now)
            if relay.pending and relay.deadline <= now:
                relay.client.fail(701, "the server did not answer")
            self.take_events(relay.path, now)

    def deadlines(self) -> Iterator[float]:
        """When `handle_timeout` is due."""
        for relay in self._relays:
            if relay.pending:
                yield relay.deadline
            due = relay.client.next_timeout()
            if due is not None:
                yield due

    def close(self, now: float) -> None:
        """Give them back."""
        for relay in self._relays:
            relay.client.close(now)
            self._core.flush_relay(relay.path, now)
            for path in relay.paths:
                self._core.paths.pop(path.id, None)
        self._relays.clear()
        self._lost.clear()
