"""A STUN and TURN server on the virtual internet, that misbehaves as a test wants.

Spec: RFC 8489, RFC 8656.
"""

from __future__ import annotations

from dataclasses import dataclass, field

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
from rtcstack.testing.nets import Net
from rtcstack.testing.packets import Payload

__all__ = ["TurnServer"]


@dataclass
class _Allocation:
    relayed: Address
    expires_at: float
    permissions: dict[str, float] = field(default_factory=dict)
    channels: dict[int, Address] = field(default_factory=dict)


class TurnServer:
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

    def __init__(self, net: Net, host: str) -> None:
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
        return sum(a.expires_at > self._net.agenda.now for a in self._clients.values())

    def _receive(self, destination: Address, source: Address, data: Payload) -> None:
        if not isinstance(data, bytes):
            return
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
        method, now = request.method, self._net.agenda.now
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
        now = self._net.agenda.now
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
        now = self._net.agenda.now
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
