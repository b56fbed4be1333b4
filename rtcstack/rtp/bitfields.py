"""Numbers of so many bits, one behind the other, as header extensions pack them."""

from __future__ import annotations

from rtcstack.errors import ParseError

__all__ = ["BitReader", "BitWriter"]


class BitReader:
    """Reads numbers, the highest bit first.

    Args:
        data: the bytes.
    """

    __slots__ = ("_bits", "_left")

    def __init__(self, data: bytes) -> None:
        self._bits = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        """A number of so many bits.

        Raises:
            ParseError: there are fewer.
        """
        left = self._left - count
        if left < 0:
            raise ParseError("header extension is cut short")
        self._left = left
        return self._bits >> left & ((1 << count) - 1)

    def take_one_of(self, count: int) -> int:
        """One of so many values: ns(n) of the AV1 specifications, section 4.10.7."""
        width = count.bit_length()
        short = (1 << width) - count
        value = self.take(width - 1)
        return value if value < short else (value << 1) - short + self.take(1)


class BitWriter:
    """Packs numbers, the highest bit first."""

    __slots__ = ("_bits", "_count")

    def __init__(self) -> None:
        self._bits = 0
        self._count = 0

    def put(self, count: int, value: int) -> None:
        """A number of so many bits."""
        assert 0 <= value < 1 << count
        self._bits = self._bits << count | value
        self._count += count

    def put_one_of(self, count: int, value: int) -> None:
        """One of so many values; see `BitReader.take_one_of`."""
        width = count.bit_length()
        short = (1 << width) - count
        if value < short:
            self.put(width - 1, value)
        else:
            self.put(width, value + short)

    def bytes(self) -> bytes:
        """All of them, filled up with zeros."""
        padding = -self._count % 8
        return (self._bits << padding).to_bytes((self._count + padding) // 8, "big")
