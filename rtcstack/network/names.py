"""Names to addresses: by the system, and ".local" ones by multicast DNS, on one socket a loop.

Spec: RFC 6762; draft-ietf-mmusic-mdns-ice-candidates.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

import aioice.mdns

__all__ = ["Multicast", "is_hidden", "is_literal", "resolve"]

logger = logging.getLogger("rtcstack.network")

RESOLVE_TIMEOUT_S = 5.0
"""How long the answer to a multicast question is waited for."""

QUESTION_S = 1.0
"""How often the question is asked: multicast packets get lost."""


MAX_MESSAGE_BYTES = 9000
"""Longest multicast message that is read (RFC 6762, section 17)."""

MAX_RECORDS = 32
"""Questions and records of a message; one with more is not read. Each may name the same 127 labels in two bytes,
which takes a reader as long as if they stood there."""

MAX_QUESTIONS = 4
"""Questions of a message: each is answered to everybody on the link."""

_COUNTS = struct.Struct("!4H")
_COUNTS_AT, _HEADER_BYTES = 4, 12


def is_literal(host: str) -> bool:
    """Whether this is an address, and no name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_hidden(name: str) -> bool:
    """Whether multicast DNS answers for a name: one label before ".local" (RFC 6762, section 3).

    Names below it, as some companies have, are the system's business.
    """
    return aioice.mdns.is_mdns_hostname(name.lower())


async def resolve(name: str) -> list[str]:
    """A name's addresses as the system has them, at most one of each family, in its order.

    Raises:
        OSError: there is no such name.
    """
    loop = asyncio.get_running_loop()
    found: dict[socket.AddressFamily, str] = {}
    try:
        answers = await loop.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    except UnicodeError as exc:  # a label that IDNA does not allow
        raise OSError(f"{name!r} is no name: {exc}") from exc
    for family, _, _, _, address in answers:
        if family in (socket.AF_INET, socket.AF_INET6):
            found.setdefault(family, str(address[0]))
    return list(found.values())


class _Protocol(aioice.mdns.MDnsProtocol):
    """What anybody on the link sends must not reach the loop as an exception."""

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        """See asyncio."""
        if isinstance(data, str) or not self._concerns_us(data):
            return
        try:
            super().datagram_received(data, addr)
        except Exception as exc:
            logger.debug("a multicast DNS message of %s is not understood: %r", addr, exc)

    def _concerns_us(self, data: bytes) -> bool:
        """Whether a message is short, and has a name that is published here, or asked for.

        Most of what is said on a link has not; and whoever is not on it does not know these names.
        """
        if not _HEADER_BYTES <= len(data) <= MAX_MESSAGE_BYTES:
            return False
        counts = _COUNTS.unpack_from(data, _COUNTS_AT)
        if counts[0] > MAX_QUESTIONS or sum(counts) > MAX_RECORDS:
            return False
        lowered = data.lower()
        return any(
            name.labels[0].lower() in lowered for names in (self.queries, self.zone.nodes) for name in names
        )

    def error_received(self, exc: Exception) -> None:
        """See asyncio."""
        logger.debug("multicast DNS: %s", exc)


async def _open() -> _Protocol:
    loop = asyncio.get_running_loop()
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the system's own responder has it, too
        if hasattr(socket, "SO_REUSEPORT"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("", aioice.mdns.MDNS_PORT))
        _, protocol = await loop.create_datagram_endpoint(_Protocol, sock=sock)
    except BaseException:
        sock.close()
        raise
    return protocol


class Multicast:
    """Multicast DNS of one loop: a socket while a name is published, or being asked for."""

    def __init__(self) -> None:
        self._asking = 0
        self._published: set[str] = set()
        self._opening: asyncio.Task[_Protocol] | None = None

    @asynccontextmanager
    async def _in_use(self) -> AsyncIterator[_Protocol]:
        self._asking += 1
        try:
            if self._opening is None:
                self._opening = asyncio.create_task(_open())
            opening = self._opening
            try:
                protocol = await asyncio.shield(opening)
            except OSError:
                if self._opening is opening:
                    self._opening = None
                raise
            yield protocol
        finally:
            self._asking -= 1
            self._close_if_unused()

    def _close_if_unused(self) -> None:
        opening = self._opening
        if opening is None or self._asking or self._published:
            return
        self._opening = None
        if not opening.done():
            opening.cancel()
        elif not opening.cancelled() and opening.exception() is None:
            opening.result().transport.close()

    async def resolve(self, name: str) -> str:
        """The address of a name.

        Raises:
            OSError: nobody answers for it, this machine has no multicast, or the port is taken.
        """
        async with self._in_use() as protocol:
            for _ in range(round(RESOLVE_TIMEOUT_S / QUESTION_S)):
                address = await protocol.resolve(name, timeout=QUESTION_S)
                if address is not None:
                    return address
        raise OSError(f"nobody answers for {name}")

    async def publish(self, address: str) -> str:
        """See `rtcstack.platform.Network`."""
        async with self._in_use() as protocol:
            name = aioice.mdns.create_mdns_hostname()
            await protocol.publish(name, address)
            self._published.add(name)
        return name

    def withdraw(self, name: str) -> None:
        """See `rtcstack.platform.Network`."""
        if name not in self._published:
            return
        self._published.remove(name)
        opening = self._opening
        if opening is not None and opening.done() and not opening.cancelled() and not opening.exception():
            opening.result().zone.delete_node(name + ".")
        self._close_if_unused()
