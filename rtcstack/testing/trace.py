"""A record of what was sent: with the same seed, the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from rtcstack.engine import Address
from rtcstack.testing.packets import Payload, size_of

__all__ = ["MAX_ENTRIES", "Entry", "Trace"]

MAX_ENTRIES = 1_000_000
"""Entries that are kept to look at; the digest is of all."""

Entry = tuple[float, Address, Address, int, bytes]
"""When, from where, to where, the size of the data, and what was noted of the contents."""


@dataclass(slots=True)
class Trace:
    """Every packet that any host has sent, in order: time, source, destination and size.

    Of a connection's packets it also has what was inside, as a digest of each, before it was encrypted: what
    DTLS draws and encrypts is another each time.

    Attributes:
        has_contents: whether it has what was inside.
        keeps: whether entries are kept to look at, beside the digest.
        entries: what was kept.
        count: how many there were.
    """

    keeps: bool = True
    has_contents: bool = True
    entries: list[Entry] = field(default_factory=list)
    count: int = 0
    _hash: hashlib._Hash = field(default_factory=hashlib.sha256)

    def sent(self, now: float, source: Address, destination: Address, payload: Payload) -> None:
        """A host sends a packet."""
        self.note(now, source, destination, size_of(payload))

    def note(
        self, now: float, source: Address, destination: Address, size: int, contents: bytes = b""
    ) -> None:
        """Anything else that must be the same each time."""
        entry = (now, source, destination, size, contents)
        self.count += 1
        self._hash.update(repr(entry).encode())
        if self.keeps and len(self.entries) < MAX_ENTRIES:
            self.entries.append(entry)

    def digest(self) -> str:
        """One value for all, in hexadecimal."""
        return self._hash.hexdigest()
