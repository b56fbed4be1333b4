"""One UDP port for many connections: who a packet is for is told by ufrag and by address.

A server then opens one port in its firewall. On each of the machine's addresses there is one socket
with that port; every agent that uses the mux has a path on each of them.

Two connections between the same two addresses and ports cannot be told apart but by their checks:
packets go to the one whose check came last.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from rtcstack.engine import Address, Run
from rtcstack.errors import ParseError
from rtcstack.ice.config import IceConfig
from rtcstack.ice.interfaces import host_addresses, udp_options
from rtcstack.ice.sorting import Receiver, open_sorted
from rtcstack.ice.stun import Attribute, Class, StunMessage
from rtcstack.network import network
from rtcstack.platform import Counters, HostAddress, Network, UdpOptions

__all__ = ["MuxCarrier", "MuxOwner", "MuxSocket", "UdpMux"]

logger = logging.getLogger("rtcstack.ice.mux")

MAX_ADDRESSES = 256
"""Peers' addresses that one path may send to and hear from."""

_REQUEST = b"\x00\x01"


class MuxOwner(Protocol):
    """What a mux tells the agent of a path."""

    def on_stun(self, path: int, data: bytes, address: Address, now: float) -> None:
        """One STUN message on a path."""

    def receiver(self, path: int, address: Address) -> Receiver | None:
        """Who takes other packets from there."""


class MuxCarrier:
    """One agent's share of a socket; see `rtcstack.ice.carriers.Carrier`."""

    __slots__ = ("_socket", "addresses", "owner", "path", "ufrag")

    def __init__(self, sock: MuxSocket, owner: MuxOwner, path: int, ufrag: str) -> None:
        self._socket = sock
        self.owner = owner
        self.path = path
        self.ufrag = ufrag
        self.addresses: set[Address] = set()

    @property
    def is_full(self) -> bool:
        """Whether so much waits to be sent that more would be dropped."""
        return self._socket.udp.is_full

    def send(self, data: bytes, address: Address) -> None:
        """Send one datagram; answers to a request are this agent's."""
        # a refusal that goes to a stranger makes no friend of it
        if address not in self.addresses and data[:2] == _REQUEST:
            self._socket.expect(self, address)
        self._socket.udp.send(data, address)

    def send_runs(self, runs: Sequence[Run], address: Address) -> None:
        """Send runs of datagrams, in order."""
        if address not in self.addresses:
            self._socket.expect(self, address)
        self._socket.udp.send_runs(runs, address)

    def close(self) -> None:
        """Leave the socket to the others."""
        self._socket.forget(self)


class MuxSocket:
    """The socket on one address.

    Attributes:
        address: the machine's address, and the interface that it is on.
        udp: the socket.
        unclaimed: STUN messages for nobody here.

    Raises:
        OSError: the port cannot be had.
    """

    def __init__(self, network: Network, address: HostAddress, port: int, options: UdpOptions) -> None:
        self.address = address
        self.sorter = open_sorted(network, (address.host, port), self, options)
        self.udp = self.sorter.udp
        self.unclaimed = 0
        self._by_ufrag: dict[str, MuxCarrier] = {}
        self._senders: dict[Address, list[MuxCarrier]] = {}
        self._heard: dict[Address, MuxCarrier] = {}

    def attach(self, owner: MuxOwner, path: int, ufrag: str) -> MuxCarrier:
        """A path of an agent's generation on this socket.

        Raises:
            OSError: the ufrag is in use.
        """
        if ufrag in self._by_ufrag:
            raise OSError(f"another connection on this port has the ufrag {ufrag!r}")
        carrier = self._by_ufrag[ufrag] = MuxCarrier(self, owner, path, ufrag)
        return carrier

    def expect(self, carrier: MuxCarrier, address: Address) -> None:
        """An agent sends there: what comes back may be its."""
        if len(carrier.addresses) < MAX_ADDRESSES:
            carrier.addresses.add(address)
            self._senders.setdefault(address, []).append(carrier)

    def forget(self, carrier: MuxCarrier) -> None:
        """An agent has closed its path."""
        if self._by_ufrag.get(carrier.ufrag) is carrier:
            del self._by_ufrag[carrier.ufrag]
        for address in carrier.addresses:
            senders = self._senders.get(address, [])
            if carrier in senders:
                senders.remove(carrier)
            if not senders:
                self._senders.pop(address, None)
            if self._heard.get(address) is carrier:
                del self._heard[address]
        carrier.addresses.clear()

    def route(self, address: Address) -> Receiver | None:
        """See `DatagramSink`."""
        carrier = self._heard.get(address)
        if carrier is None:
            senders = self._senders.get(address)
            if not senders:
                return None
            carrier = senders[-1]
        return carrier.owner.receiver(carrier.path, address)

    def on_stun(self, data: bytes, address: Address, now: float) -> None:
        """See `DatagramSink`."""
        if data[:2] == _REQUEST:
            carrier = self._named_by(data)
            if carrier is None:
                self.unclaimed += 1
                return
            carrier.owner.on_stun(carrier.path, data, address, now)
            # an answer was sent if the check was authentic, or refused; only the former is a peer
            if carrier.owner.receiver(carrier.path, address) is not None:
                if address not in carrier.addresses:
                    self.expect(carrier, address)
                if address in carrier.addresses:
                    self._heard[address] = carrier
            return
        senders = self._senders.get(address)
        if not senders:
            self.unclaimed += 1
            return
        for carrier in list(senders):
            carrier.owner.on_stun(carrier.path, data, address, now)

    def _named_by(self, data: bytes) -> MuxCarrier | None:
        """Whose check this is."""
        try:
            message = StunMessage(data)
            username = message.text(Attribute.USERNAME) if message.kind == Class.REQUEST else None
        except ParseError:
            return None
        return None if username is None else self._by_ufrag.get(username.partition(":")[0])

    @property
    def users(self) -> int:
        """How many paths use the socket."""
        return len(self._by_ufrag)


class UdpMux:
    """One UDP port for any number of connections; given as ``IceSettings(udp_mux=mux)``.

    Lives in the event loop in which it is made. The application closes it, after the connections.

    Args:
        port: the port; 0 for any that is free.
        config: which addresses of this machine are used, and the sockets' buffers.

    Raises:
        OSError: the port cannot be had on any address.
    """

    def __init__(self, port: int = 0, config: IceConfig | None = None) -> None:
        config = config or IceConfig()
        here = network()
        self.sockets: list[MuxSocket] = []
        error: OSError | None = None
        for address in host_addresses(here, config):
            try:
                sock = MuxSocket(here, address, port, udp_options(config, in_range=False))
            except OSError as exc:
                error = exc
                logger.warning("no socket on %s port %d: %s", address.host, port, exc)
                continue
            port = sock.udp.sockname[1]
            self.sockets.append(sock)
        self.port = port
        if not self.sockets:
            raise error or OSError("this machine has no address that may be used")

    @property
    def counters(self) -> list[Counters]:
        """What each socket has counted."""
        return [each.udp.counters for each in self.sockets]

    def close(self) -> None:
        """Close the port; connections that still use it go silent."""
        for each in self.sockets:
            each.udp.close()
