"""Numbers that wrap."""

from __future__ import annotations

from rtcstack.entropy import random_bytes

__all__ = [
    "random16",
    "random32",
    "uint16_add",
    "uint16_gt",
    "uint16_gte",
    "uint32_add",
    "uint32_gt",
    "uint32_gte",
]


def random16() -> int:
    """A random number of 16 bits."""
    return int.from_bytes(random_bytes(2), "big")


def random32() -> int:
    """A random number of 32 bits."""
    return int.from_bytes(random_bytes(4), "big")


def _is_later(a: int, b: int, bits: int) -> bool:
    """Whether `a` comes after `b` (RFC 1982)."""
    return 0 < (a - b) % (1 << bits) < 1 << (bits - 1) or (a - b) % (1 << bits) == 1 << (bits - 1) < a


def uint16_add(a: int, b: int) -> int:
    """The sum, of 16 bits."""
    return (a + b) & 0xFFFF


def uint16_gt(a: int, b: int) -> bool:
    """Whether `a` comes after `b`."""
    return _is_later(a, b, 16)


def uint16_gte(a: int, b: int) -> bool:
    """Whether `a` is `b` or comes after it."""
    return a == b or uint16_gt(a, b)


def uint32_add(a: int, b: int) -> int:
    """The sum, of 32 bits."""
    return (a + b) & 0xFFFFFFFF


def uint32_gt(a: int, b: int) -> bool:
    """Whether `a` comes after `b`."""
    return _is_later(a, b, 32)


def uint32_gte(a: int, b: int) -> bool:
    """Whether `a` is `b` or comes after it."""
    return a == b or uint32_gt(a, b)
