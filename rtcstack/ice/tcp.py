"""ICE over TCP: connections that carry datagrams, and one port on which many are accepted.

Whom an accepted connection is for is told by its first message, a check with a ufrag; so one port
serves any number of agents, and an agent's own port is one that nobody else uses.

Spec: RFC 6544 (ICE-TCP); RFC 4571 (framing).
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Sequence
from typing import Protocol

from rtcstack.engine import Address, Run
from rtcstack.errors import ParseError
from rtcstack.ice.config import IceConfig
from rtcstack.ice.interfaces import host_addresses
from rtcstack.ice.sorting import Receiver
from rtcstack.ice.stun import Attribute, Class, StunMessage
from rtcstack.ice.unfinished import Unfinished
from rtcstack.network import network
from rtcstack.platform import HostAddress, Listener, Network, Stream

__all__ = ["TcpCarrier", "TcpListener", "TcpMux", "TcpOwner", "connect_tcp", "listen_tcp"]

logger = logging.getLogger("rtcstack.ice.tcp")

CLAIM_S = 10.0
"""How long an accepted connection may take to say whose it is."""

MAX_UNCLAIMED = 64
"""Accepted connections of one socket that have not said yet whose they are."""

MAX_UNCLAIMED_BYTES = 2048
"""What such a connection may begin before its first whole message: a check is shorter."""

MAX_WAITING_BYTES = 1 << 20
"""What may wait for a connection that its receiver does not empty; beyond, packets are dropped."""

#  0                   1
#  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+------------------------------
# |             LENGTH            |  a datagram ...
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+------------------------------
_LENGTH = struct.Struct("!H")


class TcpOwner(Protocol):
    """What a connection tells its agent."""

    def on_stun(self, path: int, data: bytes, address: Address, now: float) -> None:
        """One STUN message on a path."""

    def receiver(self, path: int, address: Address) -> Receiver | None:
        """Who takes other packets from there."""

    def on_carrier_lost(self, path: int, reason: str) -> None:
        """A connection has ended."""

    def on_tcp_accepted(self, listener: int, carrier: TcpCarrier, peer: Address) -> int | None:
        """A peer has connected to a path that listens.

        Returns:
            The connection's own path, or None when there is no room for it.
        """


class TcpCarrier:
    """One connection, the sink of its stream; see `rtcstack.ice.carriers.Carrier`.

    Args:
        owner: the agent, or None for a connection that was accepted and is not claimed yet.
        path: the connection's.
        listener: where it was accepted.

    Attributes:
        stream: the connection, set by who has made it.
        peer: its other end.
        dropped: packets that found too much waiting.
    """

    def __init__(self, owner: TcpOwner | None, path: int, listener: TcpListener | None = None) -> None:
        self._owner = owner
        self._path = path
        self._listener = listener
        self._held = Unfinished()
        self._closed = False
        self.stream: Stream | None = None
        self.peer: Address = ("", 0)
        self.dropped = 0

    def attach(self, stream: Stream) -> None:
        """The connection is there."""
        self.stream = stream
        self.peer = stream.peername

    @property
    def is_full(self) -> bool:
        """Whether so much waits to be sent that more would be dropped."""
        return self.stream is not None and self.stream.waiting_bytes > MAX_WAITING_BYTES

    def on_lost(self, reason: str) -> None:
        """See `rtcstack.platform.StreamSink`."""
        was_closed, self._closed = self._closed, True
        if self._listener is not None:
            self._listener.forget(self)
        if not was_closed and self._owner is not None:
            self._owner.on_carrier_lost(self._path, reason)

    def on_data(self, data: bytes, now: float) -> None:
        """See `rtcstack.platform.StreamSink`."""
        if self._closed:
            return
        joined = self._held.join(data)
        if joined is None:
            return
        data, size, position = joined, len(joined), 0
        wanted = 2
        dtls: list[Run] = []
        srtp: list[bytes] = []
        while size - position >= 2:
            length = _LENGTH.unpack_from(data, position)[0]
            if size - position - 2 < length:
                wanted = 2 + length
                break
            packet = data[position + 2 : position + 2 + length]
            position += 2 + length
            if not packet:
                continue
            kind = packet[0]
            if kind < 4:
                self._on_stun(packet, now)
                if self._closed:
                    return
            elif 20 <= kind < 64:
                dtls.append(Run(packet, length))
            elif 128 <= kind < 192:
                srtp.append(packet)
        self._held.keep(data, position, wanted)
        if self._owner is None:
            if dtls or srtp or self._held.wanted > MAX_UNCLAIMED_BYTES:
                self.close()  # whoever this is, it does not begin as ICE does
        elif dtls or srtp:
            receiver = self._owner.receiver(self._path, self.peer)
            if receiver is not None:
                receiver.on_datagrams(dtls, srtp, now)

    def _on_stun(self, packet: bytes, now: float) -> None:
        if self._owner is None:
            claim = None if self._listener is None else self._listener.claim(self, packet)
            if claim is None:
                self.close()
                return
            self._owner, self._path = claim
        self._owner.on_stun(self._path, packet, self.peer, now)

    def send(self, data: bytes, address: Address) -> None:
        """Send one datagram; there is one address only."""
        self.send_runs((Run(data, len(data)),), address)

    def send_runs(self, runs: Sequence[Run], address: Address) -> None:
        """Send runs of datagrams, in order."""
        if self.stream is None or self._closed:
            return
        if self.is_full:
            self.dropped += len(runs)
            return
        pieces: list[bytes] = []
        for run in runs:
            for datagram in run.datagrams():
                pieces += (_LENGTH.pack(len(datagram)), datagram)
        self.stream.write(b"".join(pieces))

    def close(self) -> None:
        """Send nothing more, and close the connection."""
        self._closed = True
        if self._listener is not None:
            self._listener.forget(self)
        if self.stream is not None:
            self.stream.close()


class TcpShare:
    """One agent's place on a listening socket; the carrier of a path that only listens."""

    is_full = False

    def __init__(self, place: TcpListener, ufrag: str) -> None:
        self._place = place
        self._ufrag = ufrag

    def send(self, data: bytes, address: Address) -> None:
        """Nothing is ever sent on it."""

    def send_runs(self, runs: Sequence[Run], address: Address) -> None:
        """Nothing is ever sent on it."""

    def close(self) -> None:
        """Accept nothing more for this agent."""
        self._place.detach(self._ufrag)


class TcpListener:
    """A listening socket on one address.

    Attributes:
        address: the machine's address, and the interface that it is on.
        sockname: address and port.
        unclaimed: connections that were closed because they were for nobody.
    """

    def __init__(self, address: HostAddress, *, is_own: bool) -> None:
        self.address = address
        self.sockname: Address = (address.host, 0)
        self.unclaimed = 0
        self._is_own = is_own
        self._listener: Listener | None = None
        self._waiting: dict[TcpCarrier, asyncio.TimerHandle] = {}
        self._users: dict[str, tuple[TcpOwner, int]] = {}

    async def open(
        self, network: Network, port: int, port_range: tuple[int, int] | None, *, shares_port: bool = False
    ) -> None:
        """Begin to accept, on this port, or 0 for any of the range; see `Network.listen_tcp`.

        Raises:
            OSError: it cannot be had.
        """
        local = (self.address.host, port)
        self._listener = await network.listen_tcp(
            local, self._accept, port_range=port_range, shares_port=shares_port
        )
        self.sockname = self._listener.sockname

    def _accept(self, stream: Stream) -> TcpCarrier:
        carrier = TcpCarrier(None, 0, self)
        carrier.attach(stream)
        self.on_connected(carrier)
        return carrier

    def attach(self, owner: TcpOwner, path: int, ufrag: str) -> TcpShare:
        """Accept for an agent.

        Raises:
            OSError: the ufrag is in use.
        """
        if ufrag in self._users:
            raise OSError(f"another connection on this port has the ufrag {ufrag!r}")
        self._users[ufrag] = owner, path
        return TcpShare(self, ufrag)

    def detach(self, ufrag: str) -> None:
        """Accept no more for an agent; its own socket is closed with it."""
        self._users.pop(ufrag, None)
        if self._is_own:
            self.close()

    def on_connected(self, carrier: TcpCarrier) -> None:
        """Somebody has connected, and has a while to say for whom."""
        if len(self._waiting) >= MAX_UNCLAIMED:
            # whoever keeps silent must not keep those out who have something to say
            oldest = next(iter(self._waiting))
            self.forget(oldest)
            self.unclaimed += 1
            oldest.close()
        loop = asyncio.get_running_loop()
        self._waiting[carrier] = loop.call_later(CLAIM_S, self._on_late, carrier)

    def _on_late(self, carrier: TcpCarrier) -> None:
        self.unclaimed += 1
        carrier.close()

    def forget(self, carrier: TcpCarrier) -> None:
        """A connection waits no longer."""
        timer = self._waiting.pop(carrier, None)
        if timer is not None:
            timer.cancel()

    def claim(self, carrier: TcpCarrier, packet: bytes) -> tuple[TcpOwner, int] | None:
        """Whose a connection is, by its first message, and the path that it is from now on."""
        self.forget(carrier)
        try:
            message = StunMessage(packet)
            username = message.text(Attribute.USERNAME) if message.kind == Class.REQUEST else None
        except ParseError:
            username = None
        user = None if username is None else self._users.get(username.partition(":")[0])
        if user is None:
            self.unclaimed += 1
            return None
        owner, place = user
        path = owner.on_tcp_accepted(place, carrier, carrier.peer)
        return None if path is None else (owner, path)

    def close(self) -> None:
        """Accept nothing more; connections that were claimed go on."""
        if self._listener is not None:
            self._listener.close()
        for carrier in list(self._waiting):
            self.forget(carrier)
            carrier.close()


async def listen_tcp(
    network: Network,
    address: HostAddress,
    *,
    port: int,
    port_range: tuple[int, int] | None,
    is_own: bool,
    shares_port: bool = False,
) -> TcpListener:
    """Listen on one of the machine's addresses.

    Raises:
        OSError: it cannot be had.
    """
    place = TcpListener(address, is_own=is_own)
    await place.open(network, port, port_range, shares_port=shares_port)
    return place


async def connect_tcp(
    network: Network, owner: TcpOwner, path: int, local: Address, remote: Address
) -> TcpCarrier:
    """Connect to a peer's passive or simultaneous-open candidate.

    Args:
        network: that we are on.
        owner: the agent.
        path: the connection's.
        local: from where; port 0 for any.
        remote: where to.

    Raises:
        OSError: there is no way.
    """
    carrier = TcpCarrier(owner, path)
    carrier.attach(await network.open_tcp(remote, carrier, local=local))
    return carrier


class TcpMux:
    """One TCP port for any number of connections; given as ``IceSettings(tcp_mux=mux)``.

    ``mux = await TcpMux.open(port)``. The application closes it, after the connections.
    """

    def __init__(self, listeners: list[TcpListener]) -> None:
        self.listeners = listeners
        self.port = listeners[0].sockname[1]

    @classmethod
    async def open(cls, port: int = 0, config: IceConfig | None = None) -> TcpMux:
        """Listen on every address of this machine that is used.

        Args:
            port: the port; 0 for any that is free.
            config: which addresses are used.

        Raises:
            OSError: the port cannot be had on any address.
        """
        config = config or IceConfig()
        listeners: list[TcpListener] = []
        error: OSError | None = None
        here = network()
        for address in host_addresses(here, config):
            try:
                place = await listen_tcp(here, address, port=port, port_range=None, is_own=False)
            except OSError as exc:
                error = exc
                logger.warning("nothing listens on %s port %d: %s", address.host, port, exc)
                continue
            port = place.sockname[1]
            listeners.append(place)
        if not listeners:
            raise error or OSError("this machine has no address that may be used")
        return cls(listeners)

    def close(self) -> None:
        """Accept nothing more."""
        for place in self.listeners:
            place.close()
