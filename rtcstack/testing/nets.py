"""What stands between hosts and the public internet: routers, NATs of every kind, firewalls.

Each is a `Net`: hosts are attached to it, and it is attached to another one, so they nest.

Spec: RFC 4787, sections 4.1 (mapping), 5 (filtering) and 6 (hairpinning); RFC 5382 for TCP.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from rtcstack.engine import Address
from rtcstack.testing.agenda import Agenda
from rtcstack.testing.link import Link
from rtcstack.testing.packets import Packet, Payload, Receiver, Segment, address_of, family_of, size_of

__all__ = ["LAN_DELAY_S", "MAX_MAPPINGS", "Firewall", "Lan", "Nat", "Net", "Rule", "must_be_free"]

LAN_DELAY_S = 0.0005
"""Between two hosts behind the same router."""

MAX_MAPPINGS = 20_000
"""What a NAT remembers; the one that was made first is forgotten for a new one."""

_FIRST_PORT, _LAST_PORT = 40_001, 64_999


def must_be_free(address: str, taken: Container[str]) -> None:
    """Look whether an address may be given to somebody.

    Raises:
        ValueError: somebody has it.
    """
    if address in taken:
        raise ValueError(f"{address} is somebody else's in this net")


class Net(Protocol):
    """To what a host's interface may be attached.

    Attributes:
        agenda: the time.
        local_names: names ending in ".local" that those who are attached hear of; None where nobody hears
            of the others.
    """

    agenda: Agenda
    local_names: dict[str, str] | None

    def attach(self, address: str, receiver: Receiver) -> None:
        """Give an address to somebody."""

    def detach(self, address: str) -> None:
        """Take it away."""

    def send(self, source: Address, destination: Address, data: Payload) -> None:
        """Take a packet from somebody attached."""

    def new_address(self) -> str:
        """An IPv4 address that nobody has had yet."""


class Lan:
    """A router that translates nothing: those behind it have addresses of the outer net.

    Args:
        net: what it is attached to.
        up, down: links to and from the outer net, that all behind it share; None for nothing between.
    """

    def __init__(self, net: Net, *, up: Link | None = None, down: Link | None = None) -> None:
        self.net = net
        self.agenda = net.agenda
        self.local_names: dict[str, str] | None = {}
        self.up = up
        self.down = down
        self._inside: dict[str, Receiver] = {}

    def new_address(self) -> str:
        """See `Net`."""
        return self.net.new_address()

    def attach(self, address: str, receiver: Receiver) -> None:
        """Put a host behind the router."""
        self.net.attach(address, self._from_net)  # which asks whether it is free
        self._inside[address] = receiver

    def detach(self, address: str) -> None:
        """Take it away."""
        del self._inside[address]
        self.net.detach(address)

    def send(self, source: Address, destination: Address, data: Payload) -> None:
        """Take a packet from inside."""
        if destination[0] in self._inside:
            self._send_inside(destination, source, data)
        else:
            self._leave(source, destination, data)

    def _send_inside(self, destination: Address, source: Address, data: Payload) -> None:
        self.agenda.at(self.agenda.now + LAN_DELAY_S, self._deliver_inside, (source, destination, data))

    def _deliver_inside(self, packet: Packet) -> None:
        source, destination, data = packet
        receiver = self._inside.get(destination[0])
        if receiver is not None:
            receiver(destination, source, data)

    def _leave(self, source: Address, destination: Address, data: Payload) -> None:
        if self.up is None:
            self.net.send(source, destination, data)
        else:
            self.up.carry((source, destination, data), size_of(data), self._has_left)

    def _has_left(self, packet: Packet) -> None:
        self.net.send(*packet)

    def _from_net(self, destination: Address, source: Address, data: Payload) -> None:
        if self.down is None:
            self._enter((source, destination, data))
        else:
            self.down.carry((source, destination, data), size_of(data), self._enter)

    def _enter(self, packet: Packet) -> None:
        self._deliver_inside(packet)


class Rule(Enum):
    """On what a NAT's mapping or filter depends (RFC 4787)."""

    ENDPOINT = "endpoint-independent"
    ADDRESS = "address-dependent"
    ADDRESS_AND_PORT = "address-and-port-dependent"

    def key(self, remote: Address) -> object:
        """What of a remote address the rule looks at."""
        if self is Rule.ENDPOINT:
            return None
        return remote[0] if self is Rule.ADDRESS else remote


@dataclass(slots=True)
class _Mapping:
    key: object
    inside: Address
    port: int
    used_at: float
    contacted: set[object] = field(default_factory=set)


class Nat(Lan):
    """A NAT with one public address and any number of hosts behind it.

    IPv6 is not translated: the same filter stands before the hosts' own addresses.

    Args:
        net: where it stands: the public net, or another NAT's inside.
        public: its address there; None for any.
        mapping, filtering: see `Rule`.
        hairpin: whether hosts behind it reach each other by its public address.
        lifetime_s: how long a mapping lasts without being used from inside.
        tcp_lifetime_s: the same, of TCP.
        inside: the first three numbers of addresses that it hands out.
        up, down: see `Lan`.

    Attributes:
        public: its address in `net`.
        blocked: packets from outside that the filter, or a missing mapping, kept out.
    """

    def __init__(
        self,
        net: Net,
        public: str | None = None,
        *,
        mapping: Rule = Rule.ENDPOINT,
        filtering: Rule = Rule.ADDRESS_AND_PORT,
        hairpin: bool = False,
        lifetime_s: float = 60.0,
        tcp_lifetime_s: float = 7440.0,
        inside: str = "192.168.1",
        up: Link | None = None,
        down: Link | None = None,
    ) -> None:
        super().__init__(net, up=up, down=down)
        self.public = net.new_address() if public is None else address_of(public)
        self.mapping = Rule(mapping)
        self.filtering = Rule(filtering)
        self.hairpin = hairpin
        self.lifetime_s = lifetime_s
        self.tcp_lifetime_s = tcp_lifetime_s
        self.blocked = 0
        self._prefix = inside
        self._handed_out = 1
        self._ports = _FIRST_PORT - 1
        self._mappings: dict[object, _Mapping] = {}
        self._by_port: dict[tuple[bool, int], _Mapping] = {}
        net.attach(self.public, self._from_net)

    def new_address(self) -> str:
        """See `Net`."""
        while True:
            self._handed_out += 1
            address = f"{self._prefix}.{self._handed_out}"
            if address not in self._inside:
                return address

    def forget(self) -> None:
        """Lose all mappings, as a NAT does that restarts: new ones have other ports."""
        self._mappings.clear()
        self._by_port.clear()

    def attach(self, address: str, receiver: Receiver) -> None:
        """Put a host behind the NAT."""
        must_be_free(address, self._inside)
        self._inside[address] = receiver
        if family_of(address) == 6:
            self.net.attach(address, self._from_net)

    def detach(self, address: str) -> None:
        """Take it away."""
        del self._inside[address]
        if family_of(address) == 6:
            self.net.detach(address)

    def send(self, source: Address, destination: Address, data: Payload) -> None:
        """Take a packet from inside."""
        if destination[0] in self._inside:
            self._send_inside(destination, source, data)
            return
        if destination[0].startswith(("10.", "192.168.")) and not isinstance(self.net, Lan):
            return  # private, and not ours
        mapping = self._map(source, destination, is_tcp=isinstance(data, Segment))
        external = source if family_of(source[0]) == 6 else (self.public, mapping.port)
        if destination[0] == self.public:
            if self.hairpin:
                self._enter((external, destination, data))
            return
        self._leave(external, destination, data)

    def _map(self, source: Address, destination: Address, *, is_tcp: bool = False) -> _Mapping:
        key = (is_tcp, source, self.mapping.key(destination))
        mapping = self._mappings.get(key)
        now = self.agenda.now
        if mapping is None or self._has_ended(mapping, is_tcp):
            if mapping is not None or len(self._mappings) >= MAX_MAPPINGS:
                self._drop(mapping or next(iter(self._mappings.values())))
            mapping = self._mappings[key] = _Mapping(key, source, self._free_port(is_tcp), now)
            self._by_port[is_tcp, mapping.port] = mapping
        mapping.used_at = now
        mapping.contacted.add(self.filtering.key(destination))
        return mapping

    def _has_ended(self, mapping: _Mapping, is_tcp: bool) -> bool:
        return self.agenda.now - mapping.used_at > (self.tcp_lifetime_s if is_tcp else self.lifetime_s)

    def _drop(self, mapping: _Mapping) -> None:
        self._mappings.pop(mapping.key, None)
        for is_tcp in (False, True):
            if self._by_port.get((is_tcp, mapping.port)) is mapping:
                del self._by_port[is_tcp, mapping.port]

    def _free_port(self, is_tcp: bool) -> int:
        while True:  # there are more ports than mappings
            self._ports = _FIRST_PORT if self._ports >= _LAST_PORT else self._ports + 1
            if (is_tcp, self._ports) not in self._by_port:
                return self._ports

    def _enter(self, packet: Packet) -> None:
        source, destination, data = packet
        is_tcp = isinstance(data, Segment)
        if family_of(destination[0]) == 6:
            mapping = self._mappings.get((is_tcp, destination, self.mapping.key(source)))
        else:
            mapping = self._by_port.get((is_tcp, destination[1]))
        if (
            mapping is None
            or self._has_ended(mapping, is_tcp)
            or (self.filtering is not Rule.ENDPOINT and self.filtering.key(source) not in mapping.contacted)
        ):
            self.blocked += 1
            return
        self._deliver_inside((source, mapping.inside, data))


class Firewall(Lan):
    """A router that lets not everything pass.

    Args:
        net: what it is attached to.
        udp: whether datagrams pass.
        tcp_ports: to which ports outside connections may be opened; None for all.
        drop: decides for each packet, either way, whether it is lost (source, destination, payload).
        up, down: see `Lan`.

    Attributes:
        udp, tcp_ports, drop: as given; may be changed.
        blocked: packets that did not pass.
    """

    def __init__(
        self,
        net: Net,
        *,
        udp: bool = True,
        tcp_ports: frozenset[int] | set[int] | None = None,
        drop: Callable[[Address, Address, Payload], bool] | None = None,
        up: Link | None = None,
        down: Link | None = None,
    ) -> None:
        super().__init__(net, up=up, down=down)
        self.udp = udp
        self.tcp_ports = tcp_ports
        self.drop = drop
        self.blocked = 0

    def _passes(self, source: Address, destination: Address, data: Payload, outside: Address) -> bool:
        if isinstance(data, Segment):
            passes = self.tcp_ports is None or outside[1] in self.tcp_ports
        else:
            passes = self.udp
        if passes and (self.drop is None or not self.drop(source, destination, data)):
            return True
        self.blocked += 1
        return False

    def _leave(self, source: Address, destination: Address, data: Payload) -> None:
        if self._passes(source, destination, data, destination):
            super()._leave(source, destination, data)

    def _enter(self, packet: Packet) -> None:
        source, destination, data = packet
        if self._passes(source, destination, data, source):
            super()._enter(packet)
