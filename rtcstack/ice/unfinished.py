"""The beginning of a message that a stream has not brought in full yet."""

from __future__ import annotations

__all__ = ["Unfinished"]


class Unfinished:
    """What waits for its end, and is copied once when that is there: not again with each piece.

    A peer that sends 64 KiB byte by byte would have us copy 2 GB otherwise. Memory is one buffer, whatever
    the pieces are.
    """

    __slots__ = ("_bytes", "wanted")

    def __init__(self) -> None:
        self._bytes = bytearray()
        self.wanted = 0
        """How long it must be before there is anything to look at; 0 while nothing waits."""

    def __len__(self) -> int:
        return len(self._bytes)

    def join(self, data: bytes) -> bytes | None:
        """What has waited and what has come; None while that is not enough."""
        held = self._bytes
        if not held:
            return data
        held += data
        if len(held) < self.wanted:
            return None
        data = bytes(held)
        self.clear()
        return data

    def keep(self, data: bytes, position: int, wanted: int) -> None:
        """Have what is left from a position on wait until it is so long.

        Args:
            data: what `join` has given.
            position: up to where it was of use.
            wanted: length of what begins there, as far as it is known: more than there is.
        """
        if position < len(data):
            self._bytes += memoryview(data)[position:]
            self.wanted = wanted

    def clear(self) -> None:
        """Forget it."""
        self._bytes = bytearray()  # the buffer of a long message does not outlive it
        self.wanted = 0
