"""aioice's connection as one generation of an agent: the only file of this room that knows aioice.

Candidates, checks, nomination, consent and relays are aioice's. What is ours: which addresses and servers it
is asked for, that nothing of it raises into the loop, that what it keeps has a bound, and what is counted.
`tests/unit/ice/test_aioice.py` holds what is used of it beyond its documented face.

Spec: RFC 8445, RFC 7675.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

from aioice import stun
from aioice.candidate import Candidate as AioiceCandidate
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import (
    CandidatePair,
    Connection,
    StunProtocol,
    TransportPolicy,
    relayed_candidate,
    server_reflexive_candidate,
)

from rtcstack.clock import monotonic
from rtcstack.engine import Address
from rtcstack.ice.config import GatherPolicy, IceConfig, IceServer
from rtcstack.ice.contract import LocalCandidate, PairReport, PairView
from rtcstack.ice.interfaces import udp_options
from rtcstack.ice.states import GatheringState
from rtcstack.network.sockets import set_buffers
from rtcstack.refusals import Refusals
from rtcstack.sdp.candidate import Candidate

__all__ = ["AioiceConnection", "AioiceOwner"]

logger = logging.getLogger("rtcstack.ice.gather")

MAX_REMOTE_CANDIDATES = 100
"""Addresses of the peer, with those that checks have taught: each is paired with each of ours."""


class AioiceOwner(Protocol):
    """What a generation tells its agent."""

    refusals: Refusals

    def on_found(self, generation: AioiceConnection, local: LocalCandidate) -> None:
        """A candidate was found."""

    def on_server_failed(self, generation: AioiceConnection, server: IceServer, code: int, text: str) -> None:
        """A server gave none."""

    def on_nominated(self, generation: AioiceConnection) -> None:
        """Another pair was nominated: `selected`."""

    def on_heard(self, generation: AioiceConnection, *, silence: bool = False) -> None:
        """The peer has answered or asked; or, with `silence`, not answered."""

    def on_data(self, generation: AioiceConnection, data: bytes) -> None:
        """One packet that is not STUN, from an address of the peer."""


@dataclass(slots=True)
class _Figures:
    """What was counted on one pair; see `PairReport`."""

    rtt_s: float | None = None
    rtt_total_s: float = 0.0
    requests_sent: int = 0
    requests_received: int = 0
    responses_received: int = 0
    consent_requests_sent: int = 0
    packets_sent: int = 0
    bytes_sent: int = 0
    packets_received: int = 0
    bytes_received: int = 0
    data_sent_at: float | None = None
    data_received_at: float | None = None


class _Socket(StunProtocol):
    """One of aioice's sockets, or relays: nothing but STUN gets through from strangers."""

    receiver: AioiceConnection

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        """See `asyncio.DatagramProtocol`."""
        data = cast("bytes", data)
        if not data:
            return
        if data[0] < 4:
            try:
                super().datagram_received(data, addr)
            except Exception as exc:  # its codec raises more than ValueError
                self.receiver.refuse(exc, data)
        elif (addr[0], addr[1]) in self.receiver.peers:  # RFC 8445, section 12.2
            figures = self.receiver.figures_of(self, (addr[0], addr[1]))
            figures.packets_received += 1
            figures.bytes_received += len(data)
            figures.data_received_at = monotonic()
            self.receiver.data_received(data, 1)  # aioice might take some of it for STUN

    async def request(
        self,
        request: stun.Message,
        addr: Address,
        integrity_key: bytes | None = None,
        retransmissions: int | None = None,
    ) -> tuple[stun.Message, Address]:
        """See `aioice.ice.StunProtocol`; checks are counted and timed."""
        if integrity_key is None:  # of a server
            return await super().request(request, addr)
        figures, asked = self.receiver.figures_of(self, addr), monotonic()
        figures.requests_sent += 1
        figures.consent_requests_sent += retransmissions == 0
        try:
            answer = await super().request(request, addr, integrity_key, retransmissions)
        except stun.TransactionError:
            self.receiver.owner.on_heard(self.receiver, silence=True)
            raise
        figures.responses_received += 1
        figures.rtt_s = monotonic() - asked
        figures.rtt_total_s += figures.rtt_s
        self.receiver.owner.on_heard(self.receiver)
        return answer


class AioiceConnection(Connection):
    """One generation.

    Args:
        owner: who is told.
        config: its settings.
        ufrag, pwd: local credentials.

    Attributes:
        hosts: this machine's addresses that are used.
        local: the candidates found.
        mappings: see `AnyIceAgent`.
        signalled: the peer's candidates as it has signalled them, by where they are.
        peers: the addresses that may send anything but STUN; at most `MAX_REMOTE_CANDIDATES`.
        selected: the pair nominated last.
        is_begun: whether it has been told to gather; `gathered` is set when it has.
        gathering: how far that is, as far as it was told.
        remote_ended: whether the peer has no more candidates.
        is_started: whether the peer's credentials are known.
        limit: ends its checks, once they have begun.
        heard_at: when the peer was heard last.
        tasks: of the agent, for this generation.
    """

    def __init__(self, owner: AioiceOwner, config: IceConfig, ufrag: str, pwd: str) -> None:
        is_relayed = config.policy is GatherPolicy.RELAY
        super().__init__(
            ice_controlling=True,
            transport_policy=TransportPolicy.RELAY if is_relayed else TransportPolicy.ALL,
            local_username=ufrag,
            local_password=pwd,
        )
        self.owner = owner
        self.config = config
        self.hosts: list[str] = []
        self.local: list[LocalCandidate] = []
        self.mappings: list[tuple[Address, str, Address]] = []
        self.signalled: dict[Address, Candidate] = {}
        self.peers: set[Address] = set()
        self.selected: CandidatePair | None = None
        self.is_begun = False
        self.gathering = GatheringState.NEW
        self.gathered = asyncio.Event()
        self.is_started = False
        self.limit: asyncio.TimerHandle | None = None
        self.remote_ended = False
        self.heard_at = 0.0
        self.tasks: set[asyncio.Task[None]] = set()
        self._figures: dict[tuple[int, Address], _Figures] = {}

    def figures_of(self, protocol: StunProtocol, remote: Address) -> _Figures:
        """What is counted on a pair: with addresses of `peers` alone, of which there is a bound."""
        return self._figures.setdefault((protocol.id, remote), _Figures())

    def refuse(self, exc: Exception, data: bytes = b"") -> None:
        """aioice did not expect what the peer sent."""
        self.owner.refusals.add("stun", f"aioice: {type(exc).__name__}", data)

    async def add(self, candidate: Candidate, host: str) -> None:
        """A candidate of the peer's, that is at this address."""
        address = (host, candidate.port)
        if address not in self.peers and len(self.peers) < MAX_REMOTE_CANDIDATES:
            self.peers.add(address)
        if address in self.peers:
            self.signalled[address] = candidate
            await self.add_remote_candidate(
                AioiceCandidate.from_sdp(str(replace(candidate, address=host, extensions=())))
            )

    def send(self, data: bytes) -> None:  # type: ignore[override]  # no coroutine for a packet
        """Send on the nominated pair."""
        pair = self.selected
        if pair is not None:
            figures = self.figures_of(pair.protocol, pair.remote_addr)
            figures.packets_sent += 1
            figures.bytes_sent += len(data)
            figures.data_sent_at = monotonic()
            pair.protocol.transport.sendto(data, pair.remote_addr)

    def report(self) -> tuple[PairReport, ...]:
        """All pairs."""
        return tuple(self._report(pair) for pair in self._check_list)

    def _report(self, pair: CandidatePair) -> PairReport:
        figures = self.figures_of(pair.protocol, pair.remote_addr)
        view = self.view(pair)
        return PairReport(
            key=f"{pair.protocol.id}_{pair.remote_addr[0]}:{pair.remote_addr[1]}",
            local=view.local,
            remote=view.remote,
            state=pair.state.name.lower().replace("_", "-"),
            nominated=pair.nominated,
            is_selected=pair is self.selected,
            responses_sent=figures.requests_received,
            **{name: getattr(figures, name) for name in _Figures.__slots__},
        )

    def view(self, pair: CandidatePair) -> PairView:
        """A pair's candidates: the peer's as it has signalled them, if it has."""
        remote = self.signalled.get(pair.remote_addr) or _candidate(pair.remote_candidate)
        return PairView(_candidate(pair.local_candidate), remote)

    @property
    def learnt(self) -> tuple[Candidate, ...]:
        """The peer's candidates that checks have taught."""
        return tuple(_candidate(c) for c in self.remote_candidates if c.type == "prflx")

    def abort(self) -> None:
        """Release the sockets where no loop runs that `close` could wait in."""
        for protocol in self._protocols:
            with contextlib.suppress(Exception):  # of a loop that is closed
                getattr(protocol.transport, "abort", protocol.transport.close)()

    # -- aioice's own, with more around -----------------------------------------------------------

    async def get_component_candidates(
        self, component: int, addresses: list[str], timeout: int = 5
    ) -> list[AioiceCandidate]:
        """Those of `hosts` and of all servers; each is told as soon as it is found."""
        made: list[_Socket] = []
        for host in self.hosts:
            try:
                _, one = await asyncio.get_running_loop().create_datagram_endpoint(
                    lambda: _Socket(self), local_addr=(host, 0)
                )
            except OSError as exc:
                logger.warning("no socket on %s: %s", host, exc)
                continue
            set_buffers(one.transport.get_extra_info("socket"), udp_options(self.config))
            foundation = candidate_foundation("host", "udp", host)
            priority = candidate_priority(component, "host")
            port = one.transport.get_extra_info("sockname")[1]
            one.local_candidate = AioiceCandidate(foundation, component, "udp", priority, host, port, "host")
            self._protocols.append(one)
            made.append(one)
            self._found(one.local_candidate)
        await asyncio.gather(*(self._ask(server, made) for server in self.config.servers))
        return []  # they are in `local`

    def _found(self, found: AioiceCandidate, server: IceServer | None = None) -> None:
        local = LocalCandidate(_candidate(found), server)
        self.local.append(local)
        self.owner.on_found(self, local)

    async def _ask(self, server: IceServer, made: list[_Socket]) -> None:
        """One server; every failure is told, and none is raised."""
        code, text = 701, "the server did not answer"
        try:
            async with asyncio.timeout(self.config.gather_timeout_s):
                await (self._ask_turn(server) if server.scheme.is_turn else self._ask_stun(server, made))
                return
        except stun.TransactionFailed as exc:
            code, text = exc.response.attributes.get("ERROR-CODE", (701, str(exc)))
        except (OSError, ValueError, KeyError, stun.TransactionError) as exc:
            text = str(exc) or text
        self.owner.on_server_failed(self, server, code, text)

    async def _ask_stun(self, server: IceServer, made: list[_Socket]) -> None:
        if server.scheme.is_secure:
            raise OSError("STUN over TLS shows no address that UDP could use")
        asked = [each for each in made if ":" not in each.local_candidate.host]  # aioice asks by IPv4 alone
        ends = await asyncio.gather(*(self._ask_from(each, server) for each in asked), return_exceptions=True)
        for end in ends:  # when all are done: nothing is found after gathering has ended
            if isinstance(end, BaseException):
                raise end

    async def _ask_from(self, one: _Socket, server: IceServer) -> None:
        found, _ = await server_reflexive_candidate(one, (server.host, server.port))
        local = (one.local_candidate.host, one.local_candidate.port)
        self.mappings.append((local, server.url, (found.host, found.port)))
        if local != (found.host, found.port):  # or it is the host candidate (RFC 8445, section 5.1.3)
            self._found(found, server)

    async def _ask_turn(self, server: IceServer) -> None:
        if server.scheme.is_secure and server.transport == "udp":
            raise OSError("TURN over DTLS is not supported: use ?transport=tcp")
        context = self.config.options.tls_context or True
        found, protocol = await relayed_candidate(
            component=1,
            hide_related_address=self.config.policy is GatherPolicy.RELAY,
            protocol_factory=lambda: _Socket(self),
            turn_server=(server.host, server.port),
            turn_username=server.username,
            turn_password=server.password,
            turn_ssl=cast("bool", context) if server.scheme.is_secure else False,
            turn_transport=server.transport,
        )
        self._protocols.append(protocol)
        self._found(found, server)

    def check_incoming(self, message: stun.Message, addr: Address, protocol: StunProtocol) -> None:
        """An authenticated check: its sender is a peer."""
        if addr not in self.peers and len(self.peers) >= MAX_REMOTE_CANDIDATES:
            return
        self.peers.add(addr)
        self.figures_of(protocol, addr).requests_received += 1
        try:
            super().check_incoming(message, addr, protocol)
        except Exception as exc:  # without PRIORITY, say; called by aioice's own tasks, too
            self.refuse(exc)
        self.owner.on_heard(self)

    async def check_start(self, pair: CandidatePair) -> None:
        """A check, of which nothing reaches the loop's exception handler."""
        try:
            await super().check_start(pair)
        except Exception as exc:  # a role conflict without end
            self.refuse(exc)

    def check_complete(self, pair: CandidatePair) -> None:
        """A check has ended: it may have been the nomination."""
        super().check_complete(pair)
        nominated = self._nominated.get(pair.component)
        if nominated is not None and nominated is not self.selected:
            self.selected = nominated
            self.owner.on_nominated(self)

    def data_received(self, data: bytes, component: int) -> None:
        """One packet, at once: aioice's queue has no bound."""
        if data[0] >= 4:  # or it is STUN that cannot be read
            self.owner.on_data(self, data)
        else:
            self.owner.refusals.add("stun", "aioice: not a STUN message", data)


def _candidate(found: AioiceCandidate) -> Candidate:
    return Candidate.parse(found.to_sdp())
