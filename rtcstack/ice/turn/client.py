"""A TURN client, as an engine. One question: what does one server relay for us, and until when?

The server's side of it is a path that this engine does not see: it gives back what is to be sent
to the server and takes what came from there, as datagrams or as a stream.

Spec: RFC 8656 (TURN), RFC 8489 section 9.2 (long-term credentials).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rtcstack.engine import Run
from rtcstack.errors import ParseError
from rtcstack.ice.stun import (
    MAX_TEXT_BYTES,
    Address,
    Attribute,
    Class,
    Method,
    StunMessage,
    encode,
    encode_address,
)
from rtcstack.ice.transactions import MAX_SENDS, RTO_S, Transactions
from rtcstack.ice.turn.credentials import Credentials
from rtcstack.ice.turn.events import (
    Relayed,
    TurnAllocated,
    TurnEvent,
    TurnFailed,
    TurnPeerDenied,
    TurnRedirected,
)
from rtcstack.ice.turn.framing import TurnFraming, channel_data, in_channel, read_channel_data
from rtcstack.ice.turn.peers import Channel, Grant, Permission

__all__ = ["TurnClient"]

MAX_PERMISSIONS = 128
"""Peer addresses that one allocation knows."""

MAX_CHANNELS = 64
"""Peers with a channel, or with one that has expired not long ago; the others are sent indications."""

MAX_CHALLENGES = 4
"""Times that one request is repeated for a new realm or nonce."""

MAX_RECEIVED = 1024
"""Relayed datagrams of one pass; later ones are dropped."""

ASKED_LIFETIME_S = 600
MIN_LIFETIME_S = 20
"""A server that grants less is asked again no more often than this allows."""

REFRESH_MARGIN_S = 60.0
PERMISSION_REFRESH_S = 240.0
"""A permission lasts 300 s (RFC 8656, section 9)."""

CHANNEL_LIFETIME_S = 600.0
CHANNEL_REFRESH_S = 540.0
CHANNEL_REST_S = 300.0
"""So long after it has expired, a channel's number is no other peer's, and its peer has no other number
(section 12)."""

KEEPALIVE_S = 20.0
"""So long after the last packet to a server over UDP it is sent a Binding indication: a NAT forgets a
mapping that is not used, some after 30 s, and the server would take what comes next for another client's."""

IDLE_S = 300.0
"""A peer to whom nothing was sent for so long is not kept up."""

STREAM_ANSWER_S = 39.5
"""How long an answer over TCP or TLS is waited for (RFC 8489, section 6.2.2)."""

_SERVER: Address = ("", 0)
_NEVER = float("inf")
_UDP = bytes((17, 0, 0, 0))
_FAMILY = {4: bytes((1, 0, 0, 0)), 6: bytes((2, 0, 0, 0))}

_FIRST_CHANNEL = 0x4000
_U32 = struct.Struct("!I")


class _Request(NamedTuple):
    """What a transaction asked, so that it can be asked again with another nonce."""

    method: Method
    attributes: tuple[tuple[int, bytes], ...]
    subject: Permission | Channel | None
    host: str
    challenges: int


class TurnClient:
    """One allocation.

    Args:
        username, password: long-term credentials.
        entropy: gives that many random bytes.
        is_stream: whether the server is reached over TCP or TLS.
        ip_version: 4 or 6, of the relayed address.
        both: have addresses of both versions, if the server can.

    Attributes:
        relayed: where peers reach us, while there is an allocation.
        relays: the same, of each version that there is.
        mapped: where the server sees us.
        failed: why there is none, or no longer.
        lacking: error code and reason of the version that the server could not give; None if it says none.
        dropped: what was not understood, or found no place.
    """

    def __init__(
        self,
        username: str,
        password: str,
        *,
        entropy: Callable[[int], bytes],
        is_stream: bool = False,
        ip_version: int = 4,
        both: bool = False,
    ) -> None:
        self.relayed: Address | None = None
        self.relays: tuple[Address, ...] = ()
        self.lacking: tuple[int, str] | None = None
        self.mapped: Address | None = None
        self.failed: TurnFailed | None = None
        self.dropped = 0
        self._credentials = Credentials(username, password)
        self._entropy = entropy
        self._framing = TurnFraming() if is_stream else None
        self._ip_version = ip_version
        self._both = both
        self._transactions: Transactions[_Request] = Transactions()
        self._refresh_at: float | None = None
        self._is_refreshing = False
        self._expires_at = 0.0
        self._spoke_at = 0.0  # when anything went to the server
        self._permissions: dict[str, Permission] = {}
        self._channels: dict[Address, Channel] = {}
        self._peers: dict[int, Address] = {}
        self._out: list[bytes] = []
        self._events: list[TurnEvent] = []
        self._received: list[Relayed] = []
        self._closed = False

    # -- life -------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Ask for an allocation."""
        attributes = [
            (Attribute.REQUESTED_TRANSPORT, _UDP),
            (Attribute.LIFETIME, _U32.pack(ASKED_LIFETIME_S)),
        ]
        if self._both:  # a server that does not know it gives an IPv4 one (RFC 8656, section 7.1)
            attributes.append((Attribute.ADDITIONAL_ADDRESS_FAMILY, _FAMILY[6]))
            attributes.append((Attribute.DRAFT_ADDITIONAL_ADDRESS_FAMILY, _FAMILY[6]))
        elif self._ip_version == 6:
            attributes.append((Attribute.REQUESTED_ADDRESS_FAMILY, _FAMILY[6]))
        self._ask(_Request(Method.ALLOCATE, tuple(attributes), None, "", 0), now)

    def close(self, now: float) -> None:
        """Give the allocation back; the request leaves with the next `drain`."""
        if self.relayed is not None and not self._closed:
            self._ask(_Request(Method.REFRESH, ((Attribute.LIFETIME, bytes(4)),), None, "", 0), now)
        self._closed = True

    def probe(self, now: float) -> None:
        """Have the server say, by a refresh, whether it still knows us.

        A NAT that has forgotten us, or a server that has been restarted, makes us strangers: then it says so
        at once. Harmless while that is being asked.
        """
        if self.relayed is None or self._closed or self._is_refreshing:
            return
        self._is_refreshing = True
        lifetime = ((Attribute.LIFETIME, _U32.pack(ASKED_LIFETIME_S)),)
        self._ask(_Request(Method.REFRESH, lifetime, None, "", 0), now)

    def fail(self, code: int, reason: str) -> None:
        """The path to the server is gone, or the server is of no use."""
        if self.failed is None and not self._closed:
            self.failed = TurnFailed(code, reason)
            self.relayed, self.relays = None, ()
            self._channels.clear()
            self._peers.clear()
            self._permissions.clear()
            self._closed = True
            self._events.append(self.failed)

    # -- the five verbs ---------------------------------------------------------------------------

    def receive(self, datagrams: Sequence[bytes], now: float, at: float | None = None) -> None:
        """Take what came from the server: datagrams, or pieces of the stream.

        Args:
            datagrams: in order.
            now: the time.
            at: when they reached this machine; None for `now`.
        """
        if at is None:
            at = now
        if self._framing is not None:
            try:
                datagrams = [m for piece in datagrams for m in self._framing.feed(piece)]
            except ParseError as exc:
                self.fail(701, str(exc))
                return
        for data in datagrams:
            if not data:
                continue
            if data[0] >> 6 == 1:
                self._on_channel_data(data, at)
            else:
                try:
                    self._on_message(StunMessage(data), now, at)
                except ParseError:
                    self.dropped += 1

    def receive_runs(self, runs: Sequence[Run], now: float, arrived: Sequence[float] | None = None) -> None:
        """The same for joined datagrams; `arrived` says when each run came, None that all just have."""
        if arrived is None:
            for run in runs:
                self.receive(run.datagrams(), now)
        else:
            for run, at in zip(runs, arrived, strict=True):
                self.receive(run.datagrams(), now, at)

    def received(self) -> list[Relayed]:
        """Take what peers have sent through the relay, in order."""
        received, self._received = self._received, []
        return received

    def handle_timeout(self, now: float) -> None:
        """Repeat, refresh, give up."""
        again, over = self._transactions.take_due(now)
        self._out += [t.data for t in again]
        for transaction in over:
            self._on_silence(transaction.owner, now)
        if self._closed:
            return
        if self._is_kept_alive and self._spoke_at + KEEPALIVE_S <= now:
            self._out.append(encode(Method.BINDING, Class.INDICATION, self._entropy(12), ()))
        if self._refresh_at is not None and self._refresh_at <= now:
            self._refresh_at = None
            self.probe(now)
        for host, permission in list(self._permissions.items()):
            if permission.refresh_at <= now:
                if now - permission.used_at >= IDLE_S or permission.state is Grant.DENIED:
                    del self._permissions[host]
                else:
                    self._permit(host, permission, now)
        for channel in list(self._channels.values()):
            self._look_after(channel, now)

    def next_timeout(self) -> float | None:
        """When `handle_timeout` is due."""
        due = self._transactions.next_timeout()
        if self._closed:
            return due
        times = [] if due is None else [due]
        if self._is_kept_alive:
            times.append(self._spoke_at + KEEPALIVE_S)
        if self._refresh_at is not None:
            times.append(self._refresh_at)
        times += [p.refresh_at for p in self._permissions.values()]
        for channel in self._channels.values():
            times += (channel.refresh_at, channel.free_at)
            if channel.state is Grant.GRANTED:
                times.append(channel.bound_until)
        return min(times, default=None)

    def drain(self, now: float) -> list[bytes]:
        """Take what is to be sent to the server."""
        out, self._out = self._out, []
        if out:
            self._spoke_at = now
        return out

    @property
    def _is_kept_alive(self) -> bool:
        return self.relayed is not None and self._framing is None

    def events(self) -> list[TurnEvent]:
        """Take what happened."""
        events, self._events = self._events, []
        return events

    # -- data -------------------------------------------------------------------------------------

    def send(self, data: bytes, peer: Address, now: float) -> None:
        """Send one datagram to a peer; it waits for the permission, if that is not there yet."""
        permission = self._permission(peer[0], now)
        if permission is None or permission.state is Grant.DENIED:
            self.dropped += 1
            return
        permission.used_at = now
        channel = self._channels.get(peer)
        if permission.state is not Grant.GRANTED:
            if not permission.hold(peer, data):
                self.dropped += 1
        elif channel is not None and channel.state is Grant.GRANTED:
            channel.used_at = now
            self._out.append(channel_data(channel.number, data, is_stream=self._framing is not None))
        else:
            self._indicate(peer, data)

    def send_runs(self, runs: Sequence[Run], peer: Address, now: float) -> list[Run]:
        """Wrap runs of datagrams for a peer.

        Returns:
            What is to be sent to the server at once; runs, where there is a channel.
        """
        channel = self._channels.get(peer)
        permission = self._permissions.get(peer[0])
        if (
            channel is None
            or channel.state is not Grant.GRANTED
            or permission is None  # it has ended sooner than the channel, which is of no use without
            or permission.state is not Grant.GRANTED
        ):
            self.prepare(peer, now)
            for run in runs:
                for data in run.datagrams():
                    self.send(data, peer, now)
            return [Run(data, len(data)) for data in self.drain(now)]
        channel.used_at = permission.used_at = self._spoke_at = now
        if self._framing is not None:
            number = channel.number
            framed = (channel_data(number, d, is_stream=True) for r in runs for d in r.datagrams())
            return [Run(d, len(d)) for d in framed]
        return [in_channel(channel.number, run) for run in runs]

    def _indicate(self, peer: Address, data: bytes) -> None:
        transaction_id = self._entropy(12)
        attributes = (
            (Attribute.XOR_PEER_ADDRESS, encode_address(peer, transaction_id)),
            (Attribute.DATA, data),
        )
        self._out.append(encode(Method.SEND, Class.INDICATION, transaction_id, attributes, fingerprint=False))

    def _on_channel_data(self, data: bytes, at: float) -> None:
        read = read_channel_data(data)
        peer = None if read is None else self._peers.get(read[0])
        if read is None or peer is None:
            self.dropped += 1
        else:
            self._deliver(peer, read[1], at)

    def _deliver(self, peer: Address, data: bytes, at: float) -> None:
        if len(self._received) < MAX_RECEIVED:
            self._received.append((peer, data, at))
        else:
            self.dropped += 1

    # -- permissions and channels -----------------------------------------------------------------

    def _permission(self, host: str, now: float) -> Permission | None:
        permission = self._permissions.get(host)
        if permission is None and self.relayed is not None and len(self._permissions) < MAX_PERMISSIONS:
            permission = self._permissions[host] = Permission(now)
            self._permit(host, permission, now)
        return permission

    def _permit(self, host: str, permission: Permission, now: float) -> None:
        permission.refresh_at = now + PERMISSION_REFRESH_S
        if permission.state is Grant.NONE:
            permission.state = Grant.ASKED
        self._ask(_Request(Method.CREATE_PERMISSION, (), permission, host, 0), now)

    def prepare(self, peer: Address, now: float) -> None:
        """Much is going to be sent to this peer: bind a channel to it."""
        if self.relayed is None:
            return
        channel = self._channels.get(peer)
        if channel is None:
            if len(self._channels) >= MAX_CHANNELS:
                return
            number = next(
                n for n in range(_FIRST_CHANNEL, _FIRST_CHANNEL + MAX_CHANNELS) if n not in self._peers
            )
            channel = self._channels[peer] = Channel(number, peer, now)
            self._peers[number] = peer
        elif channel.state is not Grant.NONE:
            return
        channel.used_at = now
        self._bind(channel, now)

    def _bind(self, channel: Channel, now: float) -> None:
        channel.refresh_at = now + CHANNEL_REFRESH_S
        if channel.state is Grant.NONE:
            channel.state = Grant.ASKED
        number = _U32.pack(channel.number << 16)
        self._ask(_Request(Method.CHANNEL_BIND, ((Attribute.CHANNEL_NUMBER, number),), channel, "", 0), now)

    def _look_after(self, channel: Channel, now: float) -> None:
        """Bind a channel again, let it expire, give its number back."""
        if channel.state is Grant.GRANTED and channel.bound_until <= now:
            channel.state = (
                Grant.NONE
            )  # what is sent on it would be lost; it is asked for with what comes next
        if channel.refresh_at <= now:
            if now - channel.used_at >= IDLE_S or channel.state is Grant.DENIED:
                channel.refresh_at = _NEVER
                if channel.state is not Grant.GRANTED:
                    channel.state = Grant.NONE
            else:
                self._bind(channel, now)
        if channel.free_at <= now:
            del self._channels[channel.peer], self._peers[channel.number]

    # -- requests ---------------------------------------------------------------------------------

    def _ask(self, request: _Request, now: float) -> None:
        transaction_id = self._entropy(12)
        attributes = list(request.attributes)
        if isinstance(request.subject, Channel):
            channel = request.subject
            channel.asked_at = now
            channel.free_at = (
                now + STREAM_ANSWER_S + CHANNEL_LIFETIME_S + CHANNEL_REST_S
            )  # if it is heard late
            peer = channel.peer
            attributes.append((Attribute.XOR_PEER_ADDRESS, encode_address(peer, transaction_id)))
        elif isinstance(request.subject, Permission):
            peer = (request.host, 0)
            attributes.append((Attribute.XOR_PEER_ADDRESS, encode_address(peer, transaction_id)))
        attributes += self._credentials.attributes
        key = self._credentials.key
        data = encode(request.method, Class.REQUEST, transaction_id, attributes, key=key)
        self._out.append(data)
        # a stream repeats by itself (RFC 8489, section 6.2.2)
        rto_s, sends_max = (RTO_S, MAX_SENDS) if self._framing is None else (STREAM_ANSWER_S, 1)
        self._transactions.start(
            transaction_id, request, request.subject, 0, _SERVER, data, now, rto_s=rto_s, sends_max=sends_max
        )

    def _on_message(self, message: StunMessage, now: float, at: float) -> None:
        if message.kind == Class.INDICATION:
            if message.method == Method.DATA:
                peer = message.address(Attribute.XOR_PEER_ADDRESS)
                data = message.get(Attribute.DATA)
                if peer is not None and data is not None and peer[0] in self._permissions:
                    self._deliver(peer, data, at)
                    return
            self.dropped += 1
            return
        transaction = self._transactions.get(message.transaction_id)
        if transaction is None or message.kind == Class.REQUEST:
            self.dropped += 1
            return
        error = message.error() if message.kind == Class.ERROR else None
        challenged = error is not None and error[0] in (401, 438)
        may_be_unsigned = challenged or (error is not None and error[0] == 300)
        key = self._credentials.key
        if not may_be_unsigned and key is not None and not message.is_authentic(key):
            self.dropped += 1
            return
        request = transaction.owner
        if message.kind == Class.SUCCESS:
            self._on_success(request, message, now)
            self._transactions.remove(message.transaction_id)
            return
        self._transactions.remove(message.transaction_id)
        code, reason = error if error is not None else (500, "an error without a code")
        may_repeat = challenged and request.challenges < MAX_CHALLENGES
        if may_repeat and self._credentials.take_challenge(message, code):
            self._ask(request._replace(challenges=request.challenges + 1), now)
        elif code == 300 and request.method == Method.ALLOCATE:
            self._on_redirect(message)
        else:
            self._on_refusal(request, code, reason, now)

    def _on_success(self, request: _Request, message: StunMessage, now: float) -> None:
        subject = request.subject
        if isinstance(subject, Permission):
            subject.state = Grant.GRANTED
            waiting, subject.waiting = subject.waiting, []
            for peer, data in waiting:
                self._indicate(peer, data)
            return
        if isinstance(subject, Channel):
            subject.state = Grant.GRANTED
            subject.bound_until = subject.asked_at + CHANNEL_LIFETIME_S
            self._on_bound(subject.peer[0], now)
            return
        if self._closed:
            return
        lifetime_s = message.number(Attribute.LIFETIME)
        self._is_refreshing = False
        if request.method == Method.ALLOCATE:
            relays: dict[bool, Address] = {}
            for relayed in message.addresses(Attribute.XOR_RELAYED_ADDRESS):
                if relayed[1] and (self._both or not relays):
                    relays.setdefault(":" in relayed[0], relayed)
            if not relays:
                raise ParseError("an allocation without an address")
            self.mapped = message.address(Attribute.XOR_MAPPED_ADDRESS)
            self.relays = tuple(relays.values())
            self.relayed = self.relays[0]
            if self._both:
                self.lacking = _address_error(message)
            granted = ASKED_LIFETIME_S if lifetime_s is None else lifetime_s
            self._events += [TurnAllocated(relayed, self.mapped, granted) for relayed in self.relays]
        granted = ASKED_LIFETIME_S if lifetime_s is None else max(lifetime_s, MIN_LIFETIME_S)
        self._expires_at = now + granted
        self._refresh_at = now + max(granted - REFRESH_MARGIN_S, granted / 2)

    def _on_bound(self, host: str, now: float) -> None:
        """With a channel the server has granted its peer's permission, too."""
        permission = self._permissions.get(host)
        if permission is None:
            if len(self._permissions) >= MAX_PERMISSIONS:
                return
            permission = self._permissions[host] = Permission(now)
            permission.refresh_at = now + PERMISSION_REFRESH_S
        permission.state = Grant.GRANTED

    def _on_redirect(self, message: StunMessage) -> None:
        server = message.address(Attribute.ALTERNATE_SERVER)
        if server is None:
            self.fail(300, "the server names no other server")
            return
        self._closed = True
        self._events.append(TurnRedirected(server))

    def _on_refusal(self, request: _Request, code: int, reason: str, now: float) -> None:
        subject = request.subject
        if isinstance(subject, Permission):
            subject.state = Grant.DENIED
            subject.waiting = []
            self._events.append(TurnPeerDenied(request.host, code))
        elif isinstance(subject, Channel):
            subject.state = Grant.DENIED
        elif (
            self._both and request.method == Method.ALLOCATE and code in (400, 420, 440) and not self._closed
        ):
            # It does not understand the question, or has no IPv4 address, which it takes for the wish.
            self._both = False
            if code == 440:
                self._ip_version = 6
            self.start(now)
        elif not self._closed:
            self.fail(code, reason or f"error {code}")

    def _on_silence(self, request: _Request, now: float) -> None:
        """A request was never answered."""
        subject = request.subject
        if isinstance(subject, Permission | Channel):
            if subject.state is Grant.GRANTED:
                subject.refresh_at = now  # it lasts a while yet: ask again before it ends
            else:
                self._on_refusal(request, 701, "the server did not answer", now)
        elif request.method == Method.REFRESH and now < self._expires_at:
            # the path may be interrupted, which says nothing of the allocation
            self._is_refreshing = False
            if self._refresh_at is None:
                self._refresh_at = now
        else:
            self.fail(701, "the server did not answer")


def _address_error(message: StunMessage) -> tuple[int, str] | None:
    """ADDRESS-ERROR-CODE: the code and the reason for which one of two addresses is lacking.

    Spec: RFC 8656, section 18.12.
    """
    # +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    # |  Family       |    Reserved             |Class|     Number    |
    # |      Reason Phrase (variable)                                ..
    value = message.get(Attribute.ADDRESS_ERROR_CODE)
    if value is None or len(value) < 4:
        return None
    return (value[2] & 7) * 100 + value[3], value[4 : 4 + MAX_TEXT_BYTES].decode("utf-8", "replace")
