"""The header of an SFrame ciphertext: whose key, and which use of it.

Spec: RFC 9605, section 4.3.
"""

from __future__ import annotations

from typing import NamedTuple

from rtcstack.sframe.errors import SFrameError, SFrameFault

__all__ = ["MAX_VALUE", "Header", "parse_header", "write_header"]

#      0 1 2 3 4 5 6 7
#     +-+-----+-+-----+-----------+-----------+
#     |X|  K  |Y|  C  |  KID ...  |  CTR ...  |
#     +-+-----+-+-----+-----------+-----------+
#
# Without X (Y) the three bits are the value, else one less than its length in octets.
_X, _Y = 0x80, 0x08

MAX_VALUE = (1 << 64) - 1
"""Of a key's identifier, and of a counter."""


class Header(NamedTuple):
    """A header as it was read.

    Attributes:
        key_id: of the key.
        counter: which use of the key.
        size: of the header, in octets.
    """

    key_id: int
    counter: int
    size: int


def write_header(key_id: int, counter: int) -> bytes:
    """A header, in the shortest form, which is the only one.

    Args:
        key_id, counter: 0 to `MAX_VALUE`.
    """
    config, rest = key_id << 4, b""
    if key_id > 7:
        size = (key_id.bit_length() + 7) // 8
        config, rest = _X | (size - 1) << 4, key_id.to_bytes(size, "big")
    if counter > 7:
        size = (counter.bit_length() + 7) // 8
        return bytes((config | _Y | size - 1,)) + rest + counter.to_bytes(size, "big")
    return bytes((config | counter,)) + rest


def parse_header(data: bytes) -> Header:
    """Read a header.

    Raises:
        SFrameError: it is cut short, or a value is longer than it need be.
    """
    if not data:
        raise SFrameError(SFrameFault.SYNTAX, "an SFrame ciphertext is not empty")
    config = data[0]
    key_id, at = _read(data, 1, config >> 4 & 7, extended=bool(config & _X))
    counter, at = _read(data, at, config & 7, extended=bool(config & _Y))
    return Header(key_id, counter, at)


def _read(data: bytes, at: int, bits: int, *, extended: bool) -> tuple[int, int]:
    """A value, and where the next field stands."""
    if not extended:
        return bits, at
    end = at + bits + 1
    if end > len(data):
        raise SFrameError(SFrameFault.SYNTAX, f"an SFrame header of {end} octets in a frame of {len(data)}")
    value = int.from_bytes(data[at:end], "big")
    if value <= 7 or value >> 8 * bits == 0:
        raise SFrameError(SFrameFault.SYNTAX, f"a value of an SFrame header in {bits + 1} octets: {value}")
    return value, end
