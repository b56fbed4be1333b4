"""What is a name, and whose business it is; names that the system knows."""

from __future__ import annotations

import asyncio
import re
import socket
from ipaddress import ip_address

__all__ = ["is_hidden", "is_literal", "resolve"]


_HIDDEN = re.compile(r"[a-z0-9-]{1,63}\.local")


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
    return _HIDDEN.fullmatch(name.lower()) is not None


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
