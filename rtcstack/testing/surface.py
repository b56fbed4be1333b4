"""asyncio's own network calls, on the virtual internet: of the host on which the code stands."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast

from rtcstack.engine import Address
from rtcstack.testing.datagrams import VirtualDatagramTransport
from rtcstack.testing.network import VirtualNetwork, is_literal
from rtcstack.testing.packets import family_of

__all__ = ["Surface"]


class Surface:
    """The calls; what they stand on is the loop's `network`."""

    def network(self) -> VirtualNetwork:
        """The network of the host on which the running code stands."""
        raise NotImplementedError

    async def getaddrinfo(
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 -- asyncio's name
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """See `asyncio.loop.getaddrinfo`. Raises `socket.gaierror` for what the internet does not know."""
        number = int(port or 0)
        if host is None or host == "":
            addresses = ["0.0.0.0", "::"] if flags & socket.AI_PASSIVE else ["127.0.0.1", "::1"]
        else:
            addresses = await self.network().resolve(host.decode() if isinstance(host, bytes) else host)
        found: list[Any] = []
        for address in addresses:
            of = socket.AF_INET6 if family_of(address) == 6 else socket.AF_INET
            if family in (0, of):
                sockaddr = (address, number, 0, 0) if of == socket.AF_INET6 else (address, number)
                found.append((of, type or socket.SOCK_STREAM, proto, "", sockaddr))
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, f"{host} has no address of that family")
        return found

    async def _address(self, given: tuple[Any, ...], family: int) -> Address:
        if given[0] and is_literal(given[0]):
            return given[0], int(given[1])
        entry = (await self.getaddrinfo(given[0], given[1], family=family, flags=socket.AI_PASSIVE))[0]
        return cast("Address", entry[4][:2])

    async def create_datagram_endpoint(
        self,
        protocol_factory: Callable[[], asyncio.DatagramProtocol],
        local_addr: Any = None,
        remote_addr: Any = None,
        *,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        reuse_port: bool | None = None,
        allow_broadcast: bool | None = None,
        sock: Any = None,
    ) -> Any:
        """See `asyncio.loop.create_datagram_endpoint`."""
        remote = None if remote_addr is None else await self._address(remote_addr, family)
        if local_addr is not None:
            local = await self._address(local_addr, family)
        else:
            is_six = family == socket.AF_INET6 or (remote is not None and family_of(remote[0]) == 6)
            local = ("::" if is_six else "0.0.0.0", 0)
        network = self.network()
        if remote is not None and local[0] in ("0.0.0.0", "::"):
            local = (network.local_address_for(remote), local[1])
        protocol = protocol_factory()
        transport = VirtualDatagramTransport(
            cast("asyncio.AbstractEventLoop", self), network, local, remote, protocol
        )
        return transport, protocol
