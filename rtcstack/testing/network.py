"""The virtual internet as one of its hosts has it."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable

from rtcstack.engine import Address
from rtcstack.platform import HostAddress, Listener, Stream, StreamSink, UdpOptions, UdpSink
from rtcstack.testing.host import Host
from rtcstack.testing.udp import VirtualUdp

__all__ = ["LOOKUP_S", "MULTICAST_TIMEOUT_S", "VirtualNetwork", "is_literal"]

LOOKUP_S = 0.01
"""What asking for a name takes."""

MULTICAST_TIMEOUT_S = 1.0
"""After what time a ".local" name that nobody answers for counts as unknown."""

_USUAL = UdpOptions()


def is_literal(name: str) -> bool:
    """Whether a name is an address."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, name)
        except OSError:
            continue
        return True
    return False


class VirtualWatch:
    """A wish to be told of changes; see `rtcstack.platform.Watch`."""

    def __init__(self, host: Host, callback: Callable[[], None]) -> None:
        self._host = host
        self._callback = callback
        host.watch(callback)

    def close(self) -> None:
        """Be told no more. Harmless when that is so."""
        self._host.unwatch(self._callback)


class VirtualNetwork:
    """A host's network; see `rtcstack.platform.Network`.

    Args:
        host: whose.
        coalesces: whether its UDP sockets receive runs, or each datagram by itself.
    """

    def __init__(self, host: Host, *, coalesces: bool = True) -> None:
        self._host = host
        self._coalesces = coalesces

    @property
    def host(self) -> Host:
        """The host whose network it is."""
        return self._host

    def interfaces(self) -> list[HostAddress]:
        """See `rtcstack.platform.Network`."""
        found = [HostAddress("127.0.0.1", "lo", True), HostAddress("::1", "lo", True)]
        for interface in self._host.interfaces.values():
            found += [HostAddress(address, interface.name) for address in interface.addresses]
        return found

    def watch(self, callback: Callable[[], None]) -> VirtualWatch:
        """See `rtcstack.platform.Network`."""
        return VirtualWatch(self._host, callback)

    def local_address_for(self, remote: Address) -> str:
        """See `rtcstack.platform.Network`."""
        return self._host.local_address_for(remote[0])

    def open_udp(self, local: Address, sink: UdpSink, options: UdpOptions = _USUAL) -> VirtualUdp:
        """See `rtcstack.platform.Network`."""
        return VirtualUdp(self._host, local, sink, options, coalesces=self._coalesces)

    async def open_tcp(self, remote: Address, sink: StreamSink, *, local: Address | None = None) -> Stream:
        """See `rtcstack.platform.Network`."""
        raise OSError(errno.ECONNREFUSED, "no TCP yet")

    async def listen_tcp(
        self,
        local: Address,
        accept: Callable[[Stream], StreamSink],
        *,
        port_range: tuple[int, int] | None = None,
    ) -> Listener:
        """See `rtcstack.platform.Network`."""
        raise OSError(errno.EADDRNOTAVAIL, "no TCP yet")

    async def resolve(self, name: str) -> list[str]:
        """See `rtcstack.platform.Network`. What the domain name system knows is `Internet.names`."""
        if is_literal(name):
            return [name]
        if name == "localhost":
            return ["127.0.0.1", "::1"]
        if name.endswith(".local"):
            return await self._ask_around(name)
        await asyncio.sleep(LOOKUP_S)
        addresses = self._host.internet.names.get(name)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, f"{name} is not in the internet's names")
        return list(addresses)

    async def _ask_around(self, name: str) -> list[str]:
        await asyncio.sleep(LOOKUP_S)
        host = self._host
        for known in (host.local_names, *(i.net.local_names for i in host.interfaces.values())):
            if known is not None and name in known:
                return [known[name]]
        await asyncio.sleep(MULTICAST_TIMEOUT_S)
        raise socket.gaierror(socket.EAI_NONAME, f"nobody near {host.name} answers for {name}")

    async def publish(self, address: str) -> str:
        """See `rtcstack.platform.Network`. Those behind the same router hear of it."""
        host = self._host
        interface = host.interface_of(address)
        if interface is None:
            raise OSError(errno.EADDRNOTAVAIL, f"{host.name} does not have {address}")
        digits = host.random.randbytes(16).hex()
        name = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])) + ".local"
        host.local_names[name] = address
        if interface.net.local_names is not None:
            interface.net.local_names[name] = address
        return name

    def withdraw(self, name: str) -> None:
        """See `rtcstack.platform.Network`."""
        self._host.local_names.pop(name, None)
        for interface in self._host.interfaces.values():
            if interface.net.local_names is not None:
                interface.net.local_names.pop(name, None)
