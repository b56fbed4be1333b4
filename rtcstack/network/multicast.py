"""Names that end in ".local": asked for and published by multicast DNS, on one socket a loop.

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
import dns.flags
import dns.message
import dns.name
import dns.rdatatype

from rtcstack.clock import monotonic

__all__ = ["Multicast"]

logger = logging.getLogger("rtcstack.network")

RESOLVE_TIMEOUT_S = 5.0
"""How long the answer to a multicast question is waited for."""

QUESTION_S = 1.0
"""How often the question is asked: multicast packets get lost."""

MAX_MESSAGE = 9000
"""Bytes of a multicast DNS message (RFC 6762, section 17)."""

MAX_QUESTIONS = 16
"""In one message; browsers ask one or two, and what asks more is not answered."""

MAX_RECORDS = 32
"""In one message, of all sections but the questions. Each may name the same 127 labels in two bytes, which
takes as long to read as if they stood there."""

ANSWER_AGAIN_S = 1.0
"""Not earlier is the same name answered again, whoever asks (RFC 6762, section 6)."""

_COUNTS = struct.Struct("!4H")
_ADDRESSES = (dns.rdatatype.A, dns.rdatatype.AAAA)


class _Protocol(aioice.mdns.MDnsProtocol):
    """Takes what anybody on the link sends: bounded work, few answers, no exception in the loop."""

    def __init__(self) -> None:
        super().__init__()
        self._answered: dict[dns.name.Name, float] = {}

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        """See asyncio."""
        try:
            self._take(bytes(data))  # type: ignore[arg-type]
        except Exception as exc:
            logger.debug("a multicast DNS message of %s is not understood: %r", addr, exc)

    def _take(self, data: bytes) -> None:
        if not 12 <= len(data) <= MAX_MESSAGE:
            return
        questions, *records = _COUNTS.unpack_from(data, 4)
        if questions > MAX_QUESTIONS or sum(records) > MAX_RECORDS:
            return
        if not self._has_our_name(data):
            return
        message = dns.message.from_wire(data)
        if message.opcode() != 0:
            return
        for name in {q.name for q in message.question if q.rdtype in (*_ADDRESSES, dns.rdatatype.ANY)}:
            self._answer(name)
        for answer in message.answer:
            if answer.rdtype in _ADDRESSES and answer.name in self.queries:
                self._answered_for(answer.name, [item.to_generic().data for item in answer])

    def _has_our_name(self, data: bytes) -> bool:
        """Whether a message has a name that is published here, or asked for.

        Most of what is said on a link has not; and whoever is not on it does not know these names.
        """
        data = data.lower()
        return any(
            name.labels[0].lower() in data for names in (self.queries, self.zone.nodes) for name in names
        )

    def _answer(self, name: dns.name.Name) -> None:
        node = self.zone.get_node(name)
        now = monotonic()
        if node is None or now - self._answered.get(name, -ANSWER_AGAIN_S) < ANSWER_AGAIN_S:
            return
        if len(self._answered) > len(self.zone.nodes):  # names were withdrawn meanwhile
            self._answered = {known: at for known, at in self._answered.items() if known in self.zone.nodes}
        self._answered[name] = now
        response = dns.message.QueryMessage(id=0)
        response.flags |= dns.flags.QR | dns.flags.AA
        response.answer += [self.zone.find_rrset(name, rdataset.rdtype) for rdataset in node.rdatasets]
        self.transport.sendto(response.to_wire(), (aioice.mdns.MDNS_ADDRESS, aioice.mdns.MDNS_PORT))

    def _answered_for(self, name: dns.name.Name, packed: list[bytes]) -> None:
        address = next((text for each in packed if (text := _unicast(each)) is not None), None)
        if address is None:
            return  # another may tell the truth
        for future in self.queries.pop(name):
            if not future.done():  # one that was cancelled is listed until its task resumes
                future.set_result(address)

    def error_received(self, exc: Exception) -> None:
        """See asyncio."""
        logger.debug("multicast DNS: %s", exc)


def _unicast(packed: bytes) -> str | None:
    """An address as text, if it is one that a host can have."""
    try:
        address = ip_address(packed)
    except ValueError:
        return None
    if address.is_multicast or address.is_unspecified or packed == b"\xff" * 4:
        return None
    return str(address)


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
