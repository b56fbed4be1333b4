"""A host: interfaces with addresses that come and go, sockets, and a place for code to stand on."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, Protocol, TypedDict, TypeVar

from rtcstack.engine import Address
from rtcstack.testing.link import BurstLoss, Link
from rtcstack.testing.nets import Net
from rtcstack.testing.packets import (
    HEADERS_BYTES,
    Packet,
    Payload,
    Segment,
    address_of,
    family_of,
    is_loopback,
    size_of,
)
from rtcstack.testing.seeds import source_of
from rtcstack.testing.trace import Trace

__all__ = [
    "ACCESS_DELAY_S",
    "FIRST_EPHEMERAL_PORT",
    "LOOPBACK_DELAY_S",
    "Host",
    "Interface",
    "LinkSettings",
    "TcpConnection",
    "World",
    "current_host",
]

ACCESS_DELAY_S = 0.0002
"""Bound of the random wait before a host's own links; see `Link.access_delay_s`."""

LOOPBACK_DELAY_S = 0.000_02
"""From a host to itself."""

FIRST_EPHEMERAL_PORT, LAST_EPHEMERAL_PORT = 49_152, 65_535
"""Ports for who asks for any (RFC 6335, section 6): more sockets than these a host does not have."""

T = TypeVar("T")

PortOwner = Callable[[Address, Address, Payload], None]
"""Takes what comes to a port: its own address, from where, what."""


class World(Net, Protocol):
    """The internet as its hosts know it: the public net, and what they have in common.

    Attributes:
        seed: of all that is random in it and on its hosts.
        names: what the domain name system knows.
        trace: is told of every packet that a host sends, if set.
    """

    seed: int
    names: dict[str, list[str]]
    trace: Trace | None


class TcpConnection(Protocol):
    """One end of a connection of TCP, as its host knows it."""

    @property
    def sockname(self) -> Address:
        """This end."""

    @property
    def peername(self) -> Address:
        """The other end."""

    @property
    def is_closed(self) -> bool:
        """Whether it is over, or will be as soon as what was written has left."""

    def take(self, segment: Segment) -> None:
        """A segment has come for it."""


_standing: ContextVar[tuple[Host, ...]] = ContextVar("rtcstack.testing.host", default=())
"""The hosts that were entered, the innermost last. Tasks, callbacks and timers inherit it, as any context."""


def current_host() -> Host | None:
    """The host on which the running code stands; None if nobody has said."""
    hosts = _standing.get()
    return hosts[-1] if hosts else None


class LinkSettings(TypedDict, total=False):
    """Settings of a host's link; see `Link`."""

    delay_s: float
    jitter_s: float
    access_delay_s: float
    rate_bytes_per_s: float | None
    queue_bytes: int | None
    bucket_bytes: int | None
    loss: float
    burst: BurstLoss | None
    reorder: float
    reorder_s: float
    duplicate: float
    mtu_bytes: int | None


class Interface:
    """One interface of a host, with a link each way to the net that it is attached to.

    Attributes:
        name: as the system names it.
        net: what it is attached to.
        addresses: its own; change them by `Host.set_addresses`.
        up, down: from and to the host.
    """

    def __init__(self, host: Host, name: str, net: Net, up: LinkSettings, down: LinkSettings) -> None:
        self._host = host
        self.name = name
        self.net = net
        self.addresses: list[str] = []
        self.up = self._link("up", up)
        self.down = self._link("down", down)

    def _link(self, direction: str, settings: LinkSettings) -> Link:
        internet = self._host.internet
        seed = f"{internet.seed} {self._host.name} {self.name} {direction}"
        usual = {"access_delay_s": ACCESS_DELAY_S, "overhead_bytes": HEADERS_BYTES, "seed": seed}
        return Link(internet.agenda, **{**usual, **settings})  # type: ignore[arg-type]

    def attach(self, addresses: list[str]) -> None:
        """Have these addresses and no others.

        Raises:
            ValueError: one is none, or somebody else's; nothing has changed then.
        """
        addresses = list(dict.fromkeys(address_of(address) for address in addresses))
        new = [address for address in addresses if address not in self.addresses]
        for index, address in enumerate(new):
            try:
                self.net.attach(address, self._receive)
            except ValueError:
                for attached in new[:index]:
                    self.net.detach(attached)
                raise
        for address in self.addresses:
            if address not in addresses:
                self.net.detach(address)
        self.addresses = addresses

    def send(self, packet: Packet) -> None:
        """Send a packet out."""
        self.up.carry(packet, size_of(packet[2]), self._has_left)

    def _has_left(self, packet: Packet) -> None:
        if packet[0][0] in self.addresses:
            self.net.send(*packet)

    def _receive(self, destination: Address, source: Address, data: Payload) -> None:
        self.down.carry((source, destination, data), size_of(data), self._arrive)

    def _arrive(self, packet: Packet) -> None:
        if packet[1][0] in self.addresses:
            self._host.deliver(packet)


class Host:
    """A machine on the internet.

    Code stands on it inside of ``with host:``, and so does all that is made there: tasks, timers, sockets,
    callbacks.

    Attributes:
        internet: the internet that it is on.
        name: its name.
        interfaces: by name, in the order in which they came.
        random: all chance of the code that stands on it.
        unreachable: packets that could not leave, for want of an interface.
        connections: those of TCP, by both ends.
        local_names: names ending in ".local" that it answers for, and their addresses.
    """

    def __init__(self, internet: World, name: str) -> None:
        self.internet = internet
        self.name = name
        self.interfaces: dict[str, Interface] = {}
        self.random = source_of(internet.seed, "host", name)
        self.unreachable = 0
        self.connections: dict[tuple[Address, Address], TcpConnection] = {}
        self.local_names: dict[str, str] = {}
        self._agenda = internet.agenda
        self._watchers: list[Callable[[], None]] = []
        self._is_told = False
        self._ports: dict[tuple[bool, str, int], PortOwner] = {}
        self._next_port = FIRST_EPHEMERAL_PORT

    def __repr__(self) -> str:
        return f"<Host {self.name!r} {self.addresses()}>"

    # -- a place to stand on --------------------------------------------------------------------

    def __enter__(self) -> Host:
        _standing.set((*_standing.get(), self))
        return self

    def __exit__(self, *_: object) -> None:
        hosts = _standing.get()
        if not hosts or hosts[-1] is not self:
            raise RuntimeError(f"{self!r} is left in another order than entered, or in another task")
        _standing.set(hosts[:-1])

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function that stands on this host."""
        with self:
            return function(*arguments)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task that stands on this host."""
        with self:
            return asyncio.get_running_loop().create_task(coroutine, name=f"on {self.name}")

    # -- interfaces -----------------------------------------------------------------------------

    def addresses(self) -> list[str]:
        """All addresses, without those that lead nowhere else."""
        return [address for interface in self.interfaces.values() for address in interface.addresses]

    def add_interface(
        self,
        name: str,
        *addresses: str,
        behind: Net | None = None,
        up: LinkSettings | None = None,
        down: LinkSettings | None = None,
    ) -> Interface:
        """Get an interface.

        Args:
            name: as the system names it.
            addresses: of one or both families; an IPv4 one is made up if there is none.
            behind: what it is attached to; None for the public net.
            up, down: the links from and to the host.

        Raises:
            ValueError: there is one of that name, or an address is none, or somebody else's in that net.
        """
        if name in self.interfaces:
            raise ValueError(f"{self.name} has an interface {name!r}")
        net: Net = self.internet if behind is None else behind
        interface = Interface(self, name, net, up or {}, down or {})
        interface.attach(list(addresses) or [net.new_address()])
        self.interfaces[name] = interface
        self._changed()
        return interface

    def remove_interface(self, name: str) -> None:
        """Lose an interface, and what is on its way over it.

        Raises:
            KeyError: there is none of that name.
        """
        self.interfaces.pop(name).attach([])
        self._changed()

    def set_addresses(self, name: str, *addresses: str) -> None:
        """Give an interface other addresses; a made-up one if none is named.

        Raises:
            KeyError: there is none of that name.
            ValueError: an address is none, or somebody else's in that net.
        """
        interface = self.interfaces[name]
        interface.attach(list(addresses) or [interface.net.new_address()])
        self._changed()

    def watch(self, callback: Callable[[], None]) -> None:
        """Have `callback` called soon whenever addresses have changed, until `unwatch`."""
        self._watchers.append(callback)

    def unwatch(self, callback: Callable[[], None]) -> None:
        """The opposite. Harmless if that is so."""
        if callback in self._watchers:
            self._watchers.remove(callback)

    def _changed(self) -> None:
        if self._watchers and not self._is_told:
            self._is_told = True
            self._agenda.at(self._agenda.now, self._tell, None)

    def _tell(self, _: None) -> None:
        self._is_told = False
        for callback in list(self._watchers):
            if callback in self._watchers:
                self.call(callback)

    # -- ways -----------------------------------------------------------------------------------

    def interface_of(self, address: str) -> Interface | None:
        """The interface that has an address."""
        for interface in self.interfaces.values():
            if address in interface.addresses:
                return interface
        return None

    def is_own(self, address: str) -> bool:
        """Whether an address is this host's, as one of its own or for itself."""
        return is_loopback(address) or self.interface_of(address) is not None

    def local_address_for(self, remote: str) -> str:
        """The address from which this host would send there.

        Raises:
            OSError: there is no way.
        """
        if self.is_own(remote):
            return remote
        family = family_of(remote)
        for interface in self.interfaces.values():
            for address in interface.addresses:
                if family_of(address) == family:
                    return address
        raise OSError(errno.ENETUNREACH, f"{self.name} has no way to {remote}")

    # -- ports ----------------------------------------------------------------------------------

    def bind(
        self, local: Address, owner: PortOwner, *, is_tcp: bool, port_range: tuple[int, int] | None = None
    ) -> Address:
        """Take a port.

        Args:
            local: address, "0.0.0.0" or "::" for all, and port; 0 for any.
            owner: who gets what comes there.
            is_tcp: TCP's, or UDP's.
            port_range: first and last port, when any may be taken.

        Returns:
            The address and the port.

        Raises:
            OSError: it is taken, or the address is not this host's.
            OverflowError: there is no such port, as a socket says it.
        """
        host, port = local
        if not 0 <= port <= LAST_EPHEMERAL_PORT:
            raise OverflowError("bind(): port must be 0-65535.")
        if host not in ("0.0.0.0", "::") and not self.is_own(host):
            raise OSError(errno.EADDRNOTAVAIL, f"{self.name} does not have {host}")
        port = port or self._free_port(host, is_tcp, port_range)
        if not self._is_free(host, port, is_tcp):
            raise OSError(errno.EADDRINUSE, f"{host} port {port} is taken on {self.name}")
        self._ports[is_tcp, host, port] = owner
        return host, port

    def unbind(self, local: Address, *, is_tcp: bool) -> None:
        """Give a port back. Harmless if that is so."""
        self._ports.pop((is_tcp, *local), None)

    @property
    def open_ports(self) -> list[tuple[bool, str, int]]:
        """What is bound now (whether TCP, address, port): for tests of what is left open."""
        return list(self._ports)

    def _is_free(self, host: str, port: int, is_tcp: bool) -> bool:
        wildcard = "::" if family_of(host) == 6 else "0.0.0.0"
        if host == wildcard:
            return not any(
                key[0] == is_tcp and key[2] == port and family_of(key[1]) == family_of(host)
                for key in self._ports
            )
        return (is_tcp, host, port) not in self._ports and (is_tcp, wildcard, port) not in self._ports

    def _free_port(self, host: str, is_tcp: bool, port_range: tuple[int, int] | None) -> int:
        if port_range is not None:
            for port in range(port_range[0], port_range[1] + 1):
                if self._is_free(host, port, is_tcp):
                    return port
            raise OSError(errno.EADDRINUSE, f"{self.name}: no port of {port_range} is free")
        for _ in range(LAST_EPHEMERAL_PORT - FIRST_EPHEMERAL_PORT + 1):
            port = self._next_port
            self._next_port = FIRST_EPHEMERAL_PORT if port >= LAST_EPHEMERAL_PORT else port + 1
            if self._is_free(host, port, is_tcp):
                return port
        raise OSError(errno.EADDRINUSE, f"{self.name}: no port is free")

    # -- packets --------------------------------------------------------------------------------

    def transmit(self, source: Address, destination: Address, payload: Payload) -> bool:
        """Send a packet; False when there is no interface for it."""
        agenda, trace = self._agenda, self.internet.trace
        if trace is not None:
            trace.sent(agenda.now, source, destination, payload)
        interface = self.interface_of(source[0])
        if self.is_own(destination[0]):
            agenda.at(agenda.now + LOOPBACK_DELAY_S, self.deliver, (source, destination, payload))
        elif interface is not None:
            interface.send((source, destination, payload))
        else:
            self.unreachable += 1
            return False
        return True

    def deliver(self, packet: Packet) -> None:
        """A packet has arrived for this host."""
        source, destination, payload = packet
        is_tcp = isinstance(payload, Segment)
        if isinstance(payload, Segment):
            end = self.connections.get((destination, source))
            if end is not None:
                end.take(payload)
                return
        host, port = destination
        owner = self._ports.get((is_tcp, host, port))
        if owner is None:
            owner = self._ports.get((is_tcp, "::" if family_of(host) == 6 else "0.0.0.0", port))
        if owner is not None:
            owner(destination, source, payload)
        elif isinstance(payload, Segment) and "R" not in payload.flags:
            self.transmit(destination, source, Segment("R"))
