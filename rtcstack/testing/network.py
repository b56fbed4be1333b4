"""The virtual internet as one of its hosts has it."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable

from rtcstack.engine import Address
from rtcstack.network import is_literal
from rtcstack.platform import HostAddress, Stream, StreamSink, UdpOptions, UdpSink
from rtcstack.testing.host import Host
from rtcstack.testing.packets import Payload
from rtcstack.testing.tcp import TcpEnd, TcpListener
from rtcstack.testing.udp import VirtualUdp

__all__ = ["LOOKUP_S", "MULTICAST_TIMEOUT_S", "VirtualNetwork"]

LOOKUP_S = 0.01
"""What asking for a name takes."""

MULTICAST_TIMEOUT_S = 1.0
"""After what time a ".local" name that nobody answers for counts as unknown."""

_USUAL = UdpOptions()


def _nobody(_destination: Address, _source: Address, _payload: Payload) -> None:
    """Who owns a port that connections go out from: what comes there, and is of none, is dropped."""


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

    async def open_tcp(self, remote: Address, sink: StreamSink, *, local: Address | None = None) -> TcpEnd:
        """See `rtcstack.platform.Network`."""
        return await self.connect(remote, lambda _: sink, local=local)

    async def connect(
        self, remote: Address, sink_of: Callable[[TcpEnd], StreamSink], *, local: Address | None = None
    ) -> TcpEnd:
        """As `open_tcp`; who takes what comes is asked for once the connection is there.

        Raises:
            OSError: there is no way, or nobody listens, or nobody answers.
        """
        host = self._host
        address, port = local or ("0.0.0.0", 0)
        if address in ("0.0.0.0", "::"):
            address = host.local_address_for(remote[0])
        mine = (address, port) if port else host.bind((address, 0), _nobody, is_tcp=True)
        if (mine, remote) in host.connections:
            raise OSError(errno.EADDRINUSE, f"{mine} is connected with {remote}")
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def opened(error: OSError | None) -> None:
            if waiter.done():
                end.abort()
            elif error is not None:
                waiter.set_exception(error)
            else:
                end.sink = sink_of(end)
                waiter.set_result(None)

        end = TcpEnd(host, mine, remote, opened, owns_port=not port)
        end.begin()
        try:
            await waiter
        except asyncio.CancelledError:
            end.abort()
            raise
        return end

    async def listen_tcp(
        self,
        local: Address,
        accept: Callable[[Stream], StreamSink],
        *,
        port_range: tuple[int, int] | None = None,
        shares_port: bool = False,
    ) -> TcpListener:
        """See `rtcstack.platform.Network`. Connections may be made from a listener's port in any case."""
        return TcpListener(self._host, local, accept, port_range=port_range)

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
