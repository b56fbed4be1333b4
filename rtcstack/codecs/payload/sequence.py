"""What sequence parameter sets say of the pictures: their size, and how many a decoder has to keep.

Spec: H.264, section 7.3.2.1.1; H.265, section 7.3.2.2.1.
"""

from __future__ import annotations

from typing import NamedTuple

from rtcstack.codecs.payload.bits import Bits, unescaped
from rtcstack.errors import ParseError

__all__ = ["Sequence", "h264_frame_size", "h264_sequence", "h265_sequence", "h265_set_id"]

_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})

_MAX_SPS_BYTES = 256
"""Octets of a sequence parameter set that are read; what is looked for stands before the VUI."""

_MAX_SIDE = 65_536
_MAX_REFERENCES = 16


class Sequence(NamedTuple):
    """What a sequence parameter set states.

    Attributes:
        width, height: to be shown, in pixels.
        coded_width, coded_height: in memory.
        references: pictures that a decoder keeps to refer to, and to bring them in order.
        bit_depth: of a sample.
        chroma: 0 (none) to 3 (4:4:4), chroma_format_idc.
    """

    width: int
    height: int
    coded_width: int
    coded_height: int
    references: int
    bit_depth: int = 8
    chroma: int = 1

    @property
    def pixels(self) -> int:
        """Of a picture in memory."""
        return self.coded_width * self.coded_height

    @property
    def picture_bytes(self) -> int:
        """What a picture takes in memory."""
        samples = self.pixels * (2, 3, 4, 6)[min(self.chroma, 3)] // 2
        return samples * (2 if self.bit_depth > 8 else 1)


def h264_frame_size(sps: bytes) -> tuple[int, int] | None:
    """Width and height in pixels that a sequence parameter set states; None when it cannot be read."""
    found = h264_sequence(sps)
    return None if found is None else (found.width, found.height)


def h264_sequence(sps: bytes) -> Sequence | None:
    """Read a sequence parameter set of H.264, with its header; None when it cannot be read."""
    try:
        return _h264(sps)
    except ParseError:
        return None


def _h264(sps: bytes) -> Sequence | None:
    if len(sps) < 5:
        return None
    profile = sps[1]
    bits = Bits(unescaped(sps[4 : 4 + _MAX_SPS_BYTES]))
    bits.ue()  # seq_parameter_set_id
    chroma, depth = 1, 8
    if profile in _HIGH_PROFILES:
        chroma = bits.ue()
        if chroma == 3:
            bits.take(1)
        depth = max(bits.ue(), bits.ue()) + 8
        bits.take(1)
        if bits.take(1):  # scaling lists
            for i in range(8 if chroma != 3 else 12):
                if bits.take(1):
                    last = following = 8
                    for _ in range(16 if i < 6 else 64):
                        if following:
                            following = (last + bits.se()) & 0xFF
                        last = following or last
    bits.ue()  # log2_max_frame_num_minus4
    order = bits.ue()
    if order == 0:
        bits.ue()
    elif order == 1:
        bits.take(1), bits.ue(), bits.ue()
        for _ in range(min(bits.ue(), 255)):
            bits.ue()
    references = bits.ue()
    bits.take(1)
    coded_width, coded_height = (bits.ue() + 1) * 16, (bits.ue() + 1) * 16
    frame_only = bits.take(1)
    coded_height *= 2 - frame_only
    if not frame_only:
        bits.take(1)
    bits.take(1)
    width, height = coded_width, coded_height
    if bits.take(1):  # cropping, in units of chroma samples
        x = 1 if chroma in (0, 3) else 2
        y = (2 if chroma == 1 else 1) * (2 - frame_only)
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
        width -= (left + right) * x
        height -= (top + bottom) * y
    return _checked(width, height, coded_width, coded_height, references, depth, chroma)


def _checked(
    width: int, height: int, coded_width: int, coded_height: int, references: int, depth: int, chroma: int
) -> Sequence | None:
    if not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE):
        return None
    return Sequence(width, height, coded_width, coded_height, references, depth, chroma)


def _to_h265_set_id(bits: Bits) -> None:
    """Read a sequence parameter set of H.265 up to its number."""
    bits.take(16 + 4)
    sub_layers = bits.take(3)
    bits.take(1)
    bits.take(96)  # general profile, tier and level (section 7.3.3)
    if sub_layers:
        present = [(bits.take(1), bits.take(1)) for _ in range(sub_layers)]
        bits.take(2 * (8 - sub_layers))
        for profile, level in present:
            bits.take(88 * profile + 8 * level)


def h265_set_id(sps: bytes) -> int:
    """The number of a sequence parameter set.

    Raises:
        ParseError: it is cut short.
    """
    bits = Bits(unescaped(sps[:_MAX_SPS_BYTES]))
    _to_h265_set_id(bits)
    return bits.ue()


def h265_sequence(sps: bytes) -> Sequence | None:
    """Read a sequence parameter set of H.265, with its header; None when it cannot be read."""
    try:
        return _h265(sps)
    except ParseError:
        return None


def _h265(sps: bytes) -> Sequence | None:
    bits = Bits(unescaped(sps[:_MAX_SPS_BYTES]))
    sub_layers = (sps[2] >> 1 & 7) if len(sps) > 2 else 0
    _to_h265_set_id(bits)
    bits.ue()
    chroma = bits.ue()
    if chroma == 3:
        bits.take(1)
    coded_width, coded_height = bits.ue(), bits.ue()
    width, height = coded_width, coded_height
    if bits.take(1):  # conformance window
        x, y = (2 if chroma in (1, 2) else 1), (2 if chroma == 1 else 1)
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
        width -= (left + right) * x
        height -= (top + bottom) * y
    depth = max(bits.ue(), bits.ue()) + 8
    bits.ue()  # log2_max_pic_order_cnt_lsb_minus4
    references = 0
    for _ in range(sub_layers + 1 if bits.take(1) else 1):
        references = max(references, bits.ue())
        bits.ue(), bits.ue()
    return _checked(width, height, coded_width, coded_height, references, depth, chroma)
