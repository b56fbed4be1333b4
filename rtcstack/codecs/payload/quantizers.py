"""The quantizer that a picture tells in its header.

VP8's is an index of 7 bits, coded as all of its frame header is: by an arithmetic coder, here with even
chances, behind whatever segments and loop filters change before it.

Spec: RFC 6386, sections 7.3, 9.1 to 9.6 and 19.2 (y_ac_qi).
"""

from __future__ import annotations

__all__ = ["vp8_quantizer"]

_TAG_BYTES, _KEY_FRAME_BYTES = 3, 10


class _Bits:
    """Bits of even chances out of the arithmetic coder."""

    __slots__ = ("_data", "_next", "_range", "_shifted", "_value")

    def __init__(self, data: bytes, start: int) -> None:
        self._data = data
        self._next = start + 2
        self._value = data[start] << 8 | data[start + 1]
        self._range = 255
        self._shifted = 0

    def bit(self) -> int:
        split = 1 + ((self._range - 1) * 128 >> 8)
        if self._value >= split << 8:
            self._value -= split << 8
            self._range -= split
            found = 1
        else:
            self._range = split
            found = 0
        while self._range < 128:
            self._value <<= 1
            self._range <<= 1
            self._shifted += 1
            if self._shifted == 8:
                self._shifted = 0
                data, at = self._data, self._next
                self._value |= data[at] if at < len(data) else 0
                self._next = at + 1
        return found

    def number(self, bits: int) -> int:
        found = 0
        for _ in range(bits):
            found = found << 1 | self.bit()
        return found

    def skip_optional(self, bits: int) -> None:
        if self.bit():
            self.number(bits)


def vp8_quantizer(data: bytes) -> int | None:
    """The quantizer index (0 to 127) of a frame of VP8.

    Args:
        data: the whole frame.

    Returns:
        The index, or None if there is no header to read.
    """
    if len(data) < _KEY_FRAME_BYTES:
        return None
    is_key_frame = not data[0] & 1
    start = _KEY_FRAME_BYTES if is_key_frame else _TAG_BYTES
    if len(data) < start + 2:
        return None
    bits = _Bits(data, start)
    if is_key_frame:
        bits.number(2)  # color space, clamping
    if bits.bit():  # segmentation
        updates_map, updates_data = bits.bit(), bits.bit()
        if updates_data:
            bits.bit()  # absolute, or by difference
            for _ in range(4):
                bits.skip_optional(7 + 1)  # quantizer and sign
            for _ in range(4):
                bits.skip_optional(6 + 1)  # loop filter level and sign
        if updates_map:
            for _ in range(3):
                bits.skip_optional(8)
    bits.number(1 + 6 + 3)  # kind, level and sharpness of the loop filter
    if bits.bit() and bits.bit():  # adjustments of the loop filter, and new ones
        for _ in range(8):
            bits.skip_optional(6 + 1)
    bits.number(2)  # partitions
    return bits.number(7)
