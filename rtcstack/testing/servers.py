"""A STUN and TURN server on the virtual internet, that misbehaves as a test wants.

Spec: RFC 8489, RFC 8656.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import NamedTuple

from rtcstack.errors import ParseError
from rtcstack.ice.config import IceServer, parse_server_uri
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
from rtcstack.ice.turn.framing import TurnFraming
from rtcstack.network.tls import TlsStream
from rtcstack.platform import Stream, StreamSink
from rtcstack.testing.host import Host
from rtcstack.testing.internet import Internet
from rtcstack.testing.nets import Net
from rtcstack.testing.packets import Payload, Segment, address_of, family_of
from rtcstack.testing.tcp import TcpEnd, TcpListener

__all__ = ["TurnServer"]


class _Client(NamedTuple):
    """Who asks: by datagrams, or over a connection."""

    address: Address
    connection: _Connection | None = None


class _Connection:
    """A client's TCP or TLS connection: the sink of its stream."""

    def __init__(self, server: TurnServer, end: TcpEnd, tls: ssl.SSLContext | None) -> None:
        self._server = server
        self._framing = TurnFraming()
        self._end = end
        self.client = _Client(end.peername, self)
        self.stream: Stream = end
        self.sink: StreamSink = self
        if tls is not None:
            stream = TlsStream(self, tls, None, lambda reason: None)
            stream.attach(end)
            self.stream = self.sink = stream

    def send(self, data: bytes) -> None:
        """Send a message, padded to four bytes (RFC 8656, section 12.5)."""
        self.stream.write(data + bytes(-len(data) & 3))

    def on_data(self, data: bytes, now: float) -> None:
        """See `rtcstack.platform.StreamSink`."""
        try:
            messages = self._framing.feed(data)
        except ParseError:
            self.stream.close()
            self._server.forget(self.client)
            return
        for message in messages:
            self._server.take(self.client, message)

    def on_lost(self, reason: str) -> None:
        """See `rtcstack.platform.StreamSink`."""
        self._server.forget(self.client)


CHANNEL_LIFETIME_S = 600.0
CHANNEL_REST_S = 300.0
"""So long after a channel has expired its number is no other peer's (RFC 8656, section 12)."""


class _Binding(NamedTuple):
    """A channel: whose, and until when."""

    peer: Address
    until: float


@dataclass
class _Allocation:
    relayed: dict[int, Address]  # by IP version
    expires_at: float
    permissions: dict[str, float] = field(default_factory=dict)
    channels: dict[int, _Binding] = field(default_factory=dict)

    def bind(self, number: int, peer: Address, now: float) -> bool:
        """Bind a channel, or keep it; False where the number or the peer has another, or had until lately."""
        for other, binding in self.channels.items():
            if (other == number) is not (binding.peer == peer) and now < binding.until + CHANNEL_REST_S:
                return False
        self.channels = {n: b for n, b in self.channels.items() if b.peer != peer}
        self.channels[number] = _Binding(peer, now + CHANNEL_LIFETIME_S)
        return True


class TurnServer:
    """A STUN and TURN server: over UDP on port 3478, and where `listen_tcp` says over TCP and TLS.

    Args:
        internet: the internet that it is on.
        host: its address.
        also: its address of the other IP version, for relays alone; None for none.
        behind: what it is attached to; None for the public net.

    Attributes:
        host: as given.
        gives_both: whether it understands the wish for a relay of each IP version.
        password: what clients must know; a change is credentials that have expired.
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

    def __init__(
        self, internet: Internet, host: str, *, also: str | None = None, behind: Net | None = None
    ) -> None:
        self._internet = internet
        self._net: Net = internet if behind is None else behind
        self._machine: Host | None = None
        self._listeners: list[TcpListener] = []
        self.host = host = address_of(host)
        self.password = self.PASSWORD
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
        self._clients: dict[_Client, _Allocation] = {}
        self._by_port: dict[int, _Client] = {}
        self._connections: set[_Connection] = set()
        self._net.attach(host, self._receive)
        self.gives_both = True
        self._hosts = {family_of(host): host}
        if also is not None:
            self._hosts[family_of(also)] = also = address_of(also)
            self._net.attach(also, self._receive)

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
        return sum(a.expires_at > self._net.agenda.now for a in self._clients.values())

    # -- what happens to servers ----------------------------------------------------------------

    def listen_tcp(self, port: int = 3478, tls: ssl.SSLContext | None = None) -> None:
        """Be there over TCP, too.

        Args:
            port: on which.
            tls: with what TLS is spoken; None for none.
        """
        if self._machine is None:
            self._machine = Host(self._internet, f"server {self.host}")
            self._net.detach(self.host)
            self._machine.add_interface("eth0", self.host, behind=self._net)
            self._net.detach(self.host)  # its datagrams are taken here first
            self._net.attach(self.host, self._receive)

        def accept(end: TcpEnd) -> StreamSink:
            connection = _Connection(self, end, tls)
            self._connections.add(connection)
            return connection.sink

        self._listeners.append(TcpListener(self._machine, (self.host, port), accept))

    def restart(self) -> None:
        """Lose all allocations, connections and nonces."""
        self.lose_allocations()
        self._nonce += 1
        for connection in list(self._connections):
            connection.stream.close()
        self._connections.clear()

    def lose_allocations(self) -> None:
        """Know none of the allocations any more, and tell nobody."""
        self._clients.clear()
        self._by_port.clear()

    def close(self) -> None:
        """Accept no connections any more, and end those that there are."""
        for listener in self._listeners:
            listener.close()
        self.restart()

    def forget(self, client: _Client) -> None:
        """A client's connection is over, and its allocation with it."""
        allocation = self._clients.pop(client, None)
        if allocation is not None:
            for _, port in allocation.relayed.values():
                self._by_port.pop(port, None)
        if client.connection is not None:
            self._connections.discard(client.connection)

    # -- messages -------------------------------------------------------------------------------

    def _receive(self, destination: Address, source: Address, data: Payload) -> None:
        if isinstance(data, Segment):
            if self._machine is not None:
                self._machine.deliver((source, destination, data))
        elif destination[1] != 3478:
            self._from_peer(destination, source, data)
        elif destination[0] == self.host:
            self.take(_Client(source), data)

    def take(self, client: _Client, data: bytes) -> None:
        """A client's message."""
        if self.silent or not data:
            return
        if self.garbage is not None:
            self._send(client, self.garbage)
        elif data[0] >> 6 == 1:
            self._on_channel_data(client, data)
        else:
            try:
                message = StunMessage(data)
            except ParseError:
                return
            self._on_message(client, message)

    def _send(self, client: _Client, data: bytes) -> None:
        if client.connection is not None:
            client.connection.send(data)
        else:
            self._net.send((self.host, 3478), client.address, data)

    def _answer(
        self, client: _Client, request: StunMessage, kind: int, *attributes: tuple[int, bytes]
    ) -> None:
        key = None
        if request.method != Method.BINDING and Attribute.USERNAME in request:
            key = long_term_key(self.USERNAME, self.REALM, self.password)
        data = encode(request.method, kind, request.transaction_id, attributes, key=key)
        self._send(client, data)

    def _challenge(self, client: _Client, request: StunMessage, code: int) -> None:
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
        self._send(client, data)

    def _is_authorised(self, client: _Client, request: StunMessage) -> bool:
        key = long_term_key(self.USERNAME, self.REALM, self.password)
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

    def _on_message(self, client: _Client, request: StunMessage) -> None:
        method, now = request.method, self._net.agenda.now
        if request.kind == Class.INDICATION:
            if method == Method.SEND:
                self._on_send(client, request)
            return
        self.requests[method] = self.requests.get(method, 0) + 1
        if method == Method.BINDING:
            mapped = encode_address(client.address, request.transaction_id)
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
            self._on_allocate(client, request)
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
        if peer is None:
            self._answer(client, request, Class.ERROR, error_attribute(400, "no peer"))
            return
        if family_of(peer[0]) not in allocation.relayed:
            self._answer(client, request, Class.ERROR, error_attribute(443, "another IP version"))
            return
        if peer[0] in self.denied:
            self._answer(client, request, Class.ERROR, error_attribute(403, "forbidden"))
            return
        if method == Method.CHANNEL_BIND:
            number = request.number(Attribute.CHANNEL_NUMBER)
            if number is None:
                self._answer(client, request, Class.ERROR, error_attribute(400, "no channel"))
                return
            if not 0x4000 <= number >> 16 <= 0x4FFF or not allocation.bind(number >> 16, peer, now):
                self._answer(client, request, Class.ERROR, error_attribute(400, "not this channel"))
                return
        allocation.permissions[peer[0]] = now + 300
        self._answer(client, request, Class.SUCCESS)

    def _on_allocate(self, client: _Client, request: StunMessage) -> None:
        """Give an address, or one of each IP version (RFC 8656, section 7.2)."""
        wanted, additional = self._wanted(request)
        if not wanted:
            self._answer(client, request, Class.ERROR, error_attribute(400, "which IP version"))
            return
        versions = [version for version in wanted if version in self._hosts]
        if not versions:
            self._answer(client, request, Class.ERROR, error_attribute(440, "no such IP version"))
            return
        allocation = self._clients.get(client)
        if allocation is None:
            self._ports += 1
            relayed = {version: (self._hosts[version], self._ports) for version in versions}
            allocation = self._clients[client] = _Allocation(relayed, 0.0)
            self._by_port[self._ports] = client
        allocation.expires_at = self._net.agenda.now + self.lifetime_s
        identifier = request.transaction_id
        attributes: list[tuple[int, bytes]] = [
            (Attribute.XOR_RELAYED_ADDRESS, encode_address(each, identifier))
            for each in allocation.relayed.values()
        ]
        if additional and len(allocation.relayed) == 1:
            _, error = error_attribute(440, "no such IP version")
            missing = 2 if 6 not in allocation.relayed else 1
            attributes.append((Attribute.ADDRESS_ERROR_CODE, bytes((missing,)) + error[1:]))
        attributes += (
            (Attribute.XOR_MAPPED_ADDRESS, encode_address(client.address, identifier)),
            (Attribute.LIFETIME, self.lifetime_s.to_bytes(4, "big")),
        )
        self._answer(client, request, Class.SUCCESS, *attributes)

    def _wanted(self, request: StunMessage) -> tuple[list[int], bool]:
        """The IP versions that a client asks for, and whether it asks for both; none for nonsense."""
        requested = request.get(Attribute.REQUESTED_ADDRESS_FAMILY)
        additional = request.get(Attribute.ADDITIONAL_ADDRESS_FAMILY) if self.gives_both else None
        if additional is not None:
            is_sound = additional[:1] == b"\2" and requested is None
            return ([4, 6] if is_sound else []), True
        if requested is None:
            return [4], False
        return ([4] if requested[:1] == b"\1" else [6] if requested[:1] == b"\2" else []), False

    def _relay(self, client: _Client, peer: Address, data: bytes) -> None:
        allocation = self._clients.get(client)
        now = self._net.agenda.now
        if allocation is None or allocation.expires_at <= now:
            return
        relayed = allocation.relayed.get(family_of(peer[0]))
        if relayed is not None and allocation.permissions.get(peer[0], 0.0) > now:
            self.relayed += 1
            self._net.send(relayed, peer, data)

    def _on_send(self, client: _Client, message: StunMessage) -> None:
        peer, data = message.address(Attribute.XOR_PEER_ADDRESS), message.get(Attribute.DATA)
        if peer is not None and data is not None:
            self._relay(client, peer, data)

    def _on_channel_data(self, client: _Client, data: bytes) -> None:
        allocation = self._clients.get(client)
        number, length = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
        binding = None if allocation is None else allocation.channels.get(number)
        if binding is not None and binding.until > self._net.agenda.now:
            self._relay(client, binding.peer, data[4 : 4 + length])

    def _from_peer(self, relayed: Address, peer: Address, data: bytes) -> None:
        client = self._by_port.get(relayed[1])
        allocation = None if client is None else self._clients.get(client)
        now = self._net.agenda.now
        if client is None or allocation is None or allocation.expires_at <= now or self.silent:
            return
        if allocation.permissions.get(peer[0], 0.0) <= now:
            return
        for number, binding in allocation.channels.items():
            if binding.peer == peer and binding.until > now:
                header = number.to_bytes(2, "big") + len(data).to_bytes(2, "big")
                self._send(client, header + data)
                return
        identifier = bytes(12)
        attributes = (
            (Attribute.XOR_PEER_ADDRESS, encode_address(peer, identifier)),
            (Attribute.DATA, data),
        )
        indication = encode(Method.DATA, Class.INDICATION, identifier, attributes)
        self._send(client, indication)
