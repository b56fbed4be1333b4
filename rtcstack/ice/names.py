"""Names to addresses: the servers' by the system, the peers' ".local" ones by multicast DNS.

Spec: RFC 6762; draft-ietf-mmusic-mdns-ice-candidates.
"""

from __future__ import annotations

import asyncio
import socket
import weakref
from ipaddress import ip_address

import aioice.mdns

__all__ = ["MdnsUser", "is_literal", "resolve"]

RESOLVE_TIMEOUT_S = 5.0
"""How long the answer to a multicast question is waited for."""

QUESTION_S = 1.0
"""How often the question is asked: multicast packets get lost."""


def is_literal(host: str) -> bool:
    """Whether this is an address, and no name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


async def resolve(host: str, port: int) -> list[tuple[str, int]]:
    """A server's addresses, at most one of each family; a literal one without asking anybody.

    Raises:
        OSError: there is no such name.
    """
    if is_literal(host):
        return [(host, port)]
    loop = asyncio.get_running_loop()
    found: dict[socket.AddressFamily, tuple[str, int]] = {}
    for family, _, _, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM):
        if family in (socket.AF_INET, socket.AF_INET6):
            found.setdefault(family, (str(address[0]), port))
    return list(found.values())


class _Shared:
    """The one mDNS socket of a loop, and for how many it is open."""

    def __init__(self) -> None:
        self.users = 0
        self.opening: asyncio.Task[aioice.mdns.MDnsProtocol] | None = None


_of_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Shared] = weakref.WeakKeyDictionary()


class MdnsUser:
    """One agent's use of multicast DNS; all agents of a loop share one socket."""

    def __init__(self) -> None:
        self._shared: _Shared | None = None
        self._published: list[str] = []

    async def _protocol(self) -> aioice.mdns.MDnsProtocol:
        if self._shared is None:
            loop = asyncio.get_running_loop()
            self._shared = _of_loop.setdefault(loop, _Shared())
            self._shared.users += 1
        shared = self._shared
        if shared.opening is None:
            shared.opening = asyncio.create_task(aioice.mdns.create_mdns_protocol())
        try:
            return await asyncio.shield(shared.opening)
        except OSError:
            shared.opening = None
            raise

    async def resolve(self, name: str) -> str | None:
        """The address of a name, or None when nobody answers for it.

        Raises:
            OSError: this machine has no multicast, or the port is taken.
        """
        protocol = await self._protocol()
        for _ in range(round(RESOLVE_TIMEOUT_S / QUESTION_S)):
            address = await protocol.resolve(name, timeout=QUESTION_S)
            if address is not None:
                return address
        return None

    async def publish(self, address: str) -> str:
        """Make up a name for one of our addresses, and answer for it while this user is open.

        Raises:
            OSError: this machine has no multicast, or the port is taken.
        """
        protocol = await self._protocol()
        name = aioice.mdns.create_mdns_hostname()
        await protocol.publish(name, address)
        self._published.append(name)
        return name

    async def close(self) -> None:
        """The last user closes the socket."""
        shared, self._shared = self._shared, None
        if shared is None:
            return
        shared.users -= 1
        opening = shared.opening
        if opening is None:
            return
        if shared.users == 0:
            shared.opening = None
        try:
            protocol = await opening
        except OSError:
            return
        for name in self._published:
            protocol.zone.delete_node(name + ".")
        if shared.users == 0:
            await protocol.close()
