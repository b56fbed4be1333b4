"""Reading headers bit by bit."""

from __future__ import annotations

from rtcstack.errors import ParseError

__all__ = ["Bits", "unescaped"]


class Bits:
    """Bits of a header, first to last.

    Args:
        data: what is read; a header, not a frame: the cost grows with its length.
    """

    __slots__ = ("_at", "_bits", "_length")

    def __init__(self, data: bytes) -> None:
        self._bits = int.from_bytes(data, "big")
        self._length = len(data) * 8
        self._at = 0

    @property
    def left(self) -> int:
        """Bits that have not been read."""
        return self._length - self._at

    def take(self, count: int) -> int:
        """An unsigned number of so many bits.

        Raises:
            ParseError: there are fewer.
        """
        self._at += count
        left = self._length - self._at
        if left < 0:
            raise ParseError("header is cut short")
        return self._bits >> left & ((1 << count) - 1)

    def ue(self) -> int:
        """An unsigned Exp-Golomb number (H.264, section 9.1).

        Raises:
            ParseError: cut short, or wider than 32 bits.
        """
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 31:
                raise ParseError("Exp-Golomb number is too long")
        return (1 << zeros) - 1 + self.take(zeros)

    def se(self) -> int:
        """A signed one (H.264, section 9.1.1)."""
        code = self.ue()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def unescaped(unit: bytes) -> bytes:
    """A NAL unit's bytes without the octets that keep start codes out (H.264, section 7.4.1)."""
    return unit.replace(b"\x00\x00\x03", b"\x00\x00")
