"""What travels: datagrams, and the segments of TCP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from rtcstack.engine import Address

__all__ = [
    "HEADERS_BYTES",
    "Packet",
    "Payload",
    "Receiver",
    "Segment",
    "address_of",
    "family_of",
    "is_loopback",
    "size_of",
]

HEADERS_BYTES = 28
"""IPv4's and UDP's headers: what a datagram has on the wire beside its data."""

_MORE_IN_TCP_BYTES = 12


@dataclass(frozen=True, slots=True)
class Segment:
    """What TCP sends.

    Attributes:
        flags: letters, of "S" (begin), "A" (acknowledges), "F" (end), "R" (reset),
            "P" (wants an answer).
        sequence: of the first byte of `data`, from 0.
        acknowledged: the next byte that is expected.
        data: bytes of the stream.
        window: bytes that the sender of this would take.
    """

    flags: str
    sequence: int = 0
    acknowledged: int = 0
    data: bytes = b""
    window: int = 1 << 20

    @property
    def length(self) -> int:
        """What it counts for in sequence numbers: its bytes, and one for the end."""
        return len(self.data) + ("F" in self.flags)


Payload = bytes | Segment
"""A datagram, or TCP's."""

Packet = tuple[Address, Address, Payload]
"""Source, destination, payload."""

Receiver = Callable[[Address, Address, Payload], None]
"""Takes a packet: to which of its own addresses, from where, and the payload."""


def size_of(payload: Payload) -> int:
    """Bytes that a payload counts for, beside `HEADERS_BYTES`."""
    return len(payload) if isinstance(payload, bytes) else len(payload.data) + _MORE_IN_TCP_BYTES


def address_of(text: str) -> str:
    """An address as it is written everywhere on the internet: of IPv6, the shortest form.

    Raises:
        ValueError: it is no address, or has a scope.
    """
    address = ip_address(text)
    if "%" in text:
        raise ValueError(f"{text} has a scope: link-local addresses lead to nobody here")
    return str(address)


def family_of(address: str) -> int:
    """4 or 6."""
    return 6 if ":" in address else 4


def is_loopback(address: str) -> bool:
    """Whether an address leads nowhere else."""
    return address == "::1" or address.startswith("127.")
