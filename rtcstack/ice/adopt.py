"""aioice as the connectivity-check engine: everything that touches its internals stands here.

aioice makes the checks, answers them, nominates and repairs role conflicts. What is ours: who
reads and writes the sockets (`UdpEndpoint`), when candidates are reported (each as it is found),
when checks are paced (an event, not a poll every 20 ms), consent with its states, and bounds on
what a peer may make it remember. tests/unit/ice/test_adopt.py holds one test for each name used
below aioice's public surface, so that a release that moves one fails a test that names it.

Spec: RFC 8445 (ICE), RFC 8838 (trickle), RFC 7675 (consent).
"""

from __future__ import annotations

import asyncio
import functools
import random
import socket
from collections.abc import Callable
from typing import Any

import aioice
import aioice.ice
import aioice.mdns
import aioice.stun
import aioice.turn

from rtcstack.clock import monotonic
from rtcstack.engine import Run
from rtcstack.ice.candidates import PairView, host_addresses, to_aioice, to_candidate
from rtcstack.ice.config import IceConfig, IceServer
from rtcstack.ice.endpoint import Address, EndpointCounters, UdpEndpoint
from rtcstack.sdp.candidate import Candidate

__all__ = ["AdoptedConnection"]

MAX_REMOTE_CANDIDATES = 100
"""Remote candidates kept, peer-reflexive ones included; later ones are counted and dropped."""

MAX_PAIRS = 100
"""Candidate pairs, RFC 8445 section 6.1.2.5's own number."""

MAX_RESOLUTIONS = 32
"""mDNS names being resolved at once."""

CHECK_INTERVAL_S = 0.02
"""Time between two new checks: Ta of RFC 8445 is 50 ms, 20 ms is what aioice and others use."""

_State = aioice.ice.CandidatePair.State


class _Unread:
    """Stands for aioice's queues of received data and of outcomes, which nobody here reads: two
    real ones cost each connection 6 KB."""

    __slots__ = ()

    def put_nowait(self, item: object) -> None:
        pass


class _Protocol(aioice.ice.StunProtocol):
    """A STUN protocol that times its transactions."""

    receiver: AdoptedConnection
    endpoint: UdpEndpoint | None = None

    async def request(self, *args: Any, **kwargs: Any) -> tuple[aioice.stun.Message, Address]:
        connection = self.receiver
        connection.requests_sent += 1
        started = monotonic()
        response, address = await super().request(*args, **kwargs)
        now = monotonic()
        connection.responses_received += 1
        connection.on_response(address, now - started, now)
        return response, address


class AdoptedConnection(aioice.Connection):
    """One generation of ICE (one ufrag and password) for one component.

    Args:
        config: see `IceConfig`.
        controlling: the initial role.
        deliver: takes what is not STUN: DTLS, SRTP and the time of the pass.
        on_candidate: a local candidate was found.
        on_server_error: a server failed: the server, the local address, a STUN error code (701
            for no answer) and text (webrtc-pc, section 4.8.2, RTCPeerConnectionIceErrorEvent).
        on_selected: a pair was nominated, at first and whenever it changes.
        on_checks_failed: every pair has failed and no more candidates are expected.
        ufrag, pwd: local credentials, or None for random ones.
    """

    def __init__(
        self,
        config: IceConfig,
        *,
        controlling: bool,
        deliver: Callable[[list[Run], list[bytes], float], None],
        on_candidate: Callable[[Candidate, IceServer | None], None],
        on_server_error: Callable[[IceServer, Address | None, int, str], None],
        on_selected: Callable[[PairView], None],
        on_checks_failed: Callable[[], None],
        ufrag: str | None = None,
        pwd: str | None = None,
    ) -> None:
        super().__init__(ice_controlling=controlling, local_username=ufrag, local_password=pwd)
        self._queue: Any = _Unread()
        self._check_list_state: Any = _Unread()
        self._config = config
        self._deliver = deliver
        self._on_candidate = on_candidate
        self._on_server_error = on_server_error
        self._on_selected = on_selected
        self._on_checks_failed = on_checks_failed
        self._selected: aioice.ice.CandidatePair | None = None
        self._checking = False
        self._next_check = 0.0
        self._check_timer: asyncio.TimerHandle | None = None
        self._reported_failure = False
        self._gathered = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._remote_addresses: set[Address] = set()
        self.last_received = 0.0
        self.last_consent = 0.0
        self.rtt_s: float | None = None
        self.total_rtt_s = 0.0
        self.requests_sent = 0
        self.requests_received = 0
        self.responses_received = 0
        self.responses_sent = 0
        self.dropped_candidates = 0
        self.dropped_stun = 0

    # -- gathering --------------------------------------------------------------------------------

    async def gather(self) -> None:
        """Gather candidates, reporting each as it is found; returns when all servers are done."""
        loop = asyncio.get_running_loop()
        config = self._config
        self._local_candidates_start = True
        # connect() insists on a complete gathering; ours goes on while checks run.
        self._local_candidates_end = True
        relay_only = config.policy == "relay"
        protocols = [] if relay_only else self._open_hosts(loop)
        jobs = []
        for server in config.servers:
            if server.scheme.is_turn:
                jobs.append(self._gather_relay(server, relay_only))
            elif not relay_only:
                jobs.extend(self._gather_reflexive(server, protocol) for protocol in protocols)
        if jobs:
            await asyncio.gather(*jobs)
        self._gathered = True
        if self._checking and not self._check_list_maybe_complete():
            self._check_list_maybe_fail()
            self._report_failure()

    def _open_hosts(self, loop: asyncio.AbstractEventLoop) -> list[_Protocol]:
        protocols = []
        for preference, address in enumerate(host_addresses(self._config)):
            try:
                sock = _bind(address, self._config)
            except OSError:
                continue  # an address that went away, or that the sandbox does not let us use
            protocol = _Protocol(self)
            endpoint = UdpEndpoint(
                loop, sock, _SocketSink(self, protocol), functools.partial(protocol.connection_lost, None)
            )
            protocol.endpoint = endpoint
            protocol.connection_made(endpoint)
            host, port = endpoint.sockname
            candidate = aioice.Candidate(
                foundation=aioice.candidate.candidate_foundation("host", "udp", host),
                component=1,
                transport="udp",
                priority=aioice.candidate.candidate_priority(1, "host", 65535 - preference),
                host=host,
                port=port,
                type="host",
            )
            protocol.local_candidate = candidate
            self._add_protocol(protocol)
            protocols.append(protocol)
            self._report(candidate, None)
        return protocols

    async def _gather_reflexive(self, server: IceServer, protocol: _Protocol) -> None:
        local = protocol.local_candidate
        family = socket.AF_INET6 if ":" in local.host else socket.AF_INET
        loop = asyncio.get_running_loop()
        request = aioice.stun.Message(
            message_method=aioice.stun.Method.BINDING, message_class=aioice.stun.Class.REQUEST
        )
        try:
            async with asyncio.timeout(self._config.gather_timeout_s):
                [info, *_] = await loop.getaddrinfo(
                    server.host, server.port, family=family, type=socket.SOCK_DGRAM
                )
                response, _ = await protocol.request(request, info[4][:2])
            host, port = response.attributes["XOR-MAPPED-ADDRESS"]
        except (OSError, TimeoutError, aioice.stun.TransactionError, KeyError, ValueError) as exc:
            self._report_error(server, (local.host, local.port), exc)
            return
        if (host, port) == (local.host, local.port):
            return  # no NAT: redundant with the host candidate (RFC 8445, section 5.1.3)
        candidate = aioice.Candidate(
            foundation=aioice.candidate.candidate_foundation("srflx", "udp", local.host + server.host),
            component=1,
            transport="udp",
            priority=aioice.candidate.candidate_priority(1, "srflx"),
            host=host,
            port=port,
            type="srflx",
            related_address=local.host,
            related_port=local.port,
        )
        self._report(candidate, server)

    async def _gather_relay(self, server: IceServer, relay_only: bool) -> None:
        try:
            async with asyncio.timeout(self._config.gather_timeout_s):
                candidate, protocol = await aioice.ice.relayed_candidate(
                    component=1,
                    hide_related_address=relay_only,
                    protocol_factory=lambda: _Protocol(self),
                    turn_server=(server.host, server.port),
                    turn_username=server.username,
                    turn_password=server.password,
                    turn_ssl=server.scheme.is_secure,
                    turn_transport=server.transport,
                )
        except (OSError, TimeoutError, aioice.stun.TransactionError, KeyError, ValueError) as exc:
            self._report_error(server, None, exc)
            return
        if self._closing:
            await protocol.close()
            return
        self._add_protocol(protocol)
        self._report(candidate, server)

    def _add_protocol(self, protocol: aioice.ice.StunProtocol) -> None:
        self._protocols.append(protocol)
        if self._checking:
            for remote in self._remote_candidates:
                if protocol.local_candidate.can_pair_with(remote) and len(self._check_list) < MAX_PAIRS:
                    self._check_list.append(aioice.ice.CandidatePair(protocol, remote))
            self.sort_check_list()
            self._pace()

    def _report(self, candidate: aioice.Candidate, server: IceServer | None) -> None:
        if not self._closing:
            self._local_candidates.append(candidate)
            self._on_candidate(to_candidate(candidate), server)

    def _report_error(self, server: IceServer, local: Address | None, exc: Exception) -> None:
        if self._closing:
            return
        code, text = 701, str(exc) or "the server did not answer"
        if isinstance(exc, aioice.stun.TransactionFailed):
            code, text = exc.response.attributes.get("ERROR-CODE", (code, text))
        self._on_server_error(server, local, code, text)

    # -- remote candidates ------------------------------------------------------------------------

    def add_remote(self, candidate: Candidate) -> None:
        """Take a trickled candidate; one of a kind that cannot be used is counted and ignored."""
        if (
            self._closing
            or self._remote_candidates_end
            or len(self._remote_candidates) >= MAX_REMOTE_CANDIDATES
            or candidate.component != 1
            or candidate.transport.lower() != "udp"
            or not candidate.port
        ):
            self.dropped_candidates += 1
            return
        known = to_aioice(candidate)
        if candidate.is_mdns:
            if self._remote_candidates_resolving >= MAX_RESOLUTIONS:
                self.dropped_candidates += 1
                return
            self.run(self._resolve(known))
            return
        self._add_remote_candidate(known, known.host)
        self._after_remote_change()

    async def _resolve(self, candidate: aioice.Candidate) -> None:
        try:
            await self.add_remote_candidate(candidate)
        except (OSError, ValueError):
            # no multicast on this machine, or its port is taken by something that does not share
            self.dropped_candidates += 1
        self._after_remote_change()

    def end_remote(self) -> None:
        """No more remote candidates will come."""
        if self._closing or self._remote_candidates_end:
            return
        self._remote_candidates_end = True
        if not self._remote_candidates_resolving:
            self._end_remote_candidates()
        self._report_failure()

    @property
    def remote_ended(self) -> bool:
        """Whether the peer has said that no more candidates will come."""
        return self._remote_candidates_end

    def _after_remote_change(self) -> None:
        if len(self._check_list) > MAX_PAIRS:
            del self._check_list[MAX_PAIRS:]
        self._remote_addresses = {(c._network_host, c.port) for c in self._remote_candidates}
        self._pace()

    # -- checks -----------------------------------------------------------------------------------

    def start_checks(self) -> None:
        """Begin connectivity checks; needs the remote ufrag and password."""
        assert self.remote_username is not None
        assert self.remote_password is not None
        self._checking = True
        for remote in self._remote_candidates:
            self._pair_remote_candidate(remote)
        self.sort_check_list()
        self._after_remote_change()
        self._unfreeze_initial()
        self._early_checks_done = True
        early = list(self._early_checks)
        self._early_checks = ()  # type: ignore[assignment]  # nothing is kept from here on
        for check in early:
            self.check_incoming(*check)
        self._pace()

    def _pace(self) -> None:
        """Start the next check, now or when the interval since the last one is over."""
        if not self._checking or self._check_timer is not None or self._closing:
            return
        now = monotonic()
        if now < self._next_check:
            loop = asyncio.get_running_loop()
            self._check_timer = loop.call_later(self._next_check - now, self._paced)
            return
        if not self._has_unchecked():
            return
        self._check_periodic()
        self._next_check = now + CHECK_INTERVAL_S
        if self._has_unchecked():
            self._pace()

    def _paced(self) -> None:
        self._check_timer = None
        self._pace()

    def _has_unchecked(self) -> bool:
        return not self._check_list_done and any(
            pair.task is None and pair.state in (_State.WAITING, _State.FROZEN) for pair in self._check_list
        )

    def check_incoming(
        self, message: aioice.stun.Message, addr: Address, protocol: aioice.ice.StunProtocol
    ) -> None:
        """An authenticated check from the peer: learn its address, answer with a check."""
        if addr not in self._remote_addresses:
            if len(self._remote_candidates) >= MAX_REMOTE_CANDIDATES or len(self._check_list) >= MAX_PAIRS:
                self.dropped_candidates += 1
                return
            self._remote_addresses.add(addr)
        super().check_incoming(message, addr, protocol)

    def check_complete(self, pair: aioice.ice.CandidatePair) -> None:
        """A check has ended: aioice's bookkeeping, then ours."""
        super().check_complete(pair)
        nominated = self._nominated.get(1)
        if nominated is not None and nominated is not self._selected:
            self._selected = nominated
            self.last_received = self.last_consent = monotonic()
            for other in self._check_list:
                if other is not nominated and other.task is not None and other is not pair:
                    other.task.cancel()
            self._on_selected(PairView(nominated))
        self._report_failure()
        self._pace()

    def _check_list_maybe_fail(self) -> None:
        # A list that is exhausted while servers are still asked may yet grow a relayed pair.
        if self._gathered:
            super()._check_list_maybe_fail()

    def _report_failure(self) -> None:
        if self._check_list_done and self._selected is None and not self._reported_failure:
            self._reported_failure = True
            self._on_checks_failed()

    # -- what arrives -----------------------------------------------------------------------------

    def accepts_from(self, address: Address) -> bool:
        """Whether data from there belongs to this connection."""
        return address in self._remote_addresses

    def on_stun(self, protocol: _Protocol, data: bytes, address: Address, now: float) -> None:
        """One STUN message on one of the sockets."""
        try:
            message = aioice.stun.parse_message(data)
            if message.message_class == aioice.stun.Class.REQUEST:
                if message.message_method == aioice.stun.Method.BINDING and not (
                    "PRIORITY" in message.attributes and "USERNAME" in message.attributes
                ):
                    self.dropped_stun += 1
                    return
                self.requests_received += 1
                self.request_received(message, address, protocol)
                self.responses_sent += 1
                if address in self._remote_addresses:
                    self.last_received = now
            elif message.transaction_id in protocol.transactions:
                protocol.transactions[message.transaction_id].response_received(message, address)
        except Exception:
            self.dropped_stun += 1

    def on_response(self, address: Address, rtt_s: float, now: float) -> None:
        """A transaction was answered."""
        pair = self._selected
        if pair is None or pair.remote_addr == address:
            self.rtt_s = rtt_s
            self.total_rtt_s += rtt_s
            self.last_received = self.last_consent = now

    def data_received(self, data: bytes, component: int) -> None:
        """Data that came through a relay, which aioice reads itself."""
        now = monotonic()
        self.last_received = now
        kind = data[0] if data else 255
        if 20 <= kind < 64:
            self._deliver([Run(data, len(data))], [], now)
        elif 128 <= kind < 192:
            self._deliver([], [data], now)

    # -- the selected pair ------------------------------------------------------------------------

    @property
    def selected(self) -> aioice.ice.CandidatePair | None:
        """The pair that data takes, or None."""
        return self._selected

    def pairs(self) -> list[aioice.ice.CandidatePair]:
        """The candidate pairs; at least the selected one once checks are over."""
        pairs = list(self._check_list)
        if self._selected is not None and self._selected not in pairs:
            pairs.append(self._selected)
        return pairs

    def socket_counters(self, pair: aioice.ice.CandidatePair) -> EndpointCounters | None:
        """What the pair's socket has counted, or None where it is not ours (a relay's)."""
        endpoint = getattr(pair.protocol, "endpoint", None)
        return None if endpoint is None else endpoint.counters

    def send_runs(self, runs: list[Run]) -> None:
        """Send on the selected pair; without one, nothing is sent."""
        pair = self._selected
        if pair is None:
            return
        endpoint = getattr(pair.protocol, "endpoint", None)
        if endpoint is not None:
            endpoint.send_runs(runs, pair.remote_addr)
            return
        transport = pair.protocol.transport
        for data, segment in runs:
            for start in range(0, len(data), segment):
                transport.sendto(data[start : start + segment], pair.remote_addr)

    async def check_consent(self) -> None:
        """Ask the peer once whether it still wants our packets; `last_consent` has the answer."""
        pair = self._selected
        if pair is None or self.remote_password is None:
            return
        request = self.build_request(pair, nominate=False)
        try:
            await pair.protocol.request(
                request,
                pair.remote_addr,
                integrity_key=self.remote_password.encode(),
                retransmissions=0,
            )
        except aioice.stun.TransactionError:
            return

    def consent_interval(self) -> float:
        """Seconds to the next consent check, randomised by a fifth (RFC 7675, section 5.1)."""
        return self._config.keepalive_s * (0.8 + 0.4 * random.random())

    def run(self, coroutine: Any) -> None:
        """Run a coroutine until it ends or the connection closes."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop everything and close the sockets."""
        self._closing = True
        if self._check_timer is not None:
            self._check_timer.cancel()
            self._check_timer = None
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await super().close()


class _SocketSink:
    """Ties a socket's packets to the protocol whose socket it is."""

    __slots__ = ("_connection", "_deliver", "_protocol")

    def __init__(self, connection: AdoptedConnection, protocol: _Protocol) -> None:
        self._connection = connection
        self._protocol = protocol
        self._deliver = connection._deliver

    def on_datagrams(self, dtls: list[Run], srtp: list[bytes], now: float) -> None:
        self._connection.last_received = now
        self._deliver(dtls, srtp, now)

    def accepts_from(self, address: Address) -> bool:
        return self._connection.accepts_from(address)

    def on_stun(self, data: bytes, address: Address, now: float) -> None:
        self._connection.on_stun(self._protocol, data, address, now)


def _bind(address: str, config: IceConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        # The default receive buffer, 208 KB, loses packets as soon as the program is busy.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, config.receive_buffer_bytes)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, config.send_buffer_bytes)
        sock.bind((address, 0))
    except BaseException:
        sock.close()
        raise
    return sock
