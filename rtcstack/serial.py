"""Serial number arithmetic (RFC 1982) and unwrapping of wire counters to plain integers.

Engines unwrap a counter once, where it enters, and compare plain integers from there on.
"""

from __future__ import annotations

__all__ = ["Unwrapper", "serial_gt", "unwrap"]


def serial_gt(a: int, b: int, bits: int) -> bool:
    """Whether `a` comes after `b`, both `bits` wide. Undefined distance (half the space) is False."""
    half = 1 << (bits - 1)
    return a != b and ((a - b) & ((1 << bits) - 1)) < half


def unwrap(value: int, reference: int, bits: int) -> int:
    """The integer nearest to `reference` whose low `bits` bits are `value`.

    Args:
        value: the wire's counter, 0 to 2**bits - 1.
        reference: an unwrapped value near which `value` is expected.
        bits: width of the counter on the wire.
    """
    half = 1 << (bits - 1)
    return reference + ((value - reference + half) & ((1 << bits) - 1)) - half


class Unwrapper:
    """Unwraps a stream of wire counters against the highest value seen so far."""

    __slots__ = ("_bits", "_highest")

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._highest: int | None = None

    def unwrap(self, value: int) -> int:
        """The unwrapped value; moves the reference forward, never back."""
        if self._highest is None:
            self._highest = value
            return value
        result = unwrap(value, self._highest, self._bits)
        if result > self._highest:
            self._highest = result
        return result
