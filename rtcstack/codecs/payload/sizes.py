"""How large the pictures of a bitstream are, read from its headers before a decoder sees it.

Spec: RFC 6386, section 9.1 (VP8); VP9 bitstream specification, section 6.2; AV1, section 5.5; H.264 and
H.265: see `rtcstack.codecs.payload.sequence`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable

from rtcstack.codecs.payload.av1 import read_leb128
from rtcstack.codecs.payload.bits import Bits
from rtcstack.codecs.payload.sequence import Sequence, h264_sequence, h265_sequence
from rtcstack.codecs.payload.superframe import superframe_frames
from rtcstack.errors import ParseError

__all__ = ["stated_sequence"]

_H264_SPS = re.compile(rb"\x00\x00\x01[\x07\x0f\x27\x2f\x47\x4f\x67\x6f\x87\x8f\xa7\xaf\xc7\xcf\xe7\xef]")
_H265_SPS = re.compile(rb"\x00\x00\x01[\x42\x43\xc2\xc3]")

_MAX_HEADERS = 32
"""Sequence headers of one access unit that are looked at; an access unit with more is refused."""

_MAX_OBUS = 512
"""OBUs of one temporal unit that are walked over in search of headers; likewise."""

_VP8_REFERENCES, _VP9_REFERENCES, _AV1_REFERENCES = 3, 8, 8
_VP9_SYNC_CODE = 0x498342


def stated_sequence(codec: str, data: bytes) -> Sequence | None:
    """The largest pictures that an access unit's headers tell of.

    Args:
        codec: "vp8", "vp9", "h264", "h265" or "av1".
        data: an access unit.

    Returns:
        None when it tells none: the decoder goes on with the size that it knows, or fails.

    Raises:
        ParseError: too many headers.
    """
    return _READERS[codec](data)


def _largest(found: Sequence | None, other: Sequence | None) -> Sequence | None:
    if found is None or other is None:
        return found or other
    first, second = (found, other) if found.pixels >= other.pixels else (other, found)
    return first._replace(
        references=max(first.references, second.references),
        bit_depth=max(first.bit_depth, second.bit_depth),
        chroma=max(first.chroma, second.chroma),
    )


def _vp8(data: bytes) -> Sequence | None:
    if len(data) < 10 or data[0] & 1:
        return None
    width = (data[7] << 8 | data[6]) & 0x3FFF
    height = (data[9] << 8 | data[8]) & 0x3FFF
    return Sequence(width, height, width, height, _VP8_REFERENCES)


def _vp9(data: bytes) -> Sequence | None:
    found = None
    for frame in superframe_frames(data):
        try:
            found = _largest(found, _vp9_frame(Bits(frame[:24])))
        except ParseError:
            continue
    return found


def _vp9_frame(bits: Bits) -> Sequence | None:
    if bits.take(2) != 2:
        return None
    profile = bits.take(1) | bits.take(1) << 1
    if profile == 3:
        bits.take(1)
    if bits.take(1):  # show_existing_frame
        return None
    is_inter, is_shown, is_resilient = bits.take(1), bits.take(1), bits.take(1)
    depth, chroma = 8, 1
    if is_inter:
        intra_only = 0 if is_shown else bits.take(1)
        if not is_resilient:
            bits.take(2)
        if intra_only:
            if bits.take(24) != _VP9_SYNC_CODE:
                return None
            if profile > 0:
                depth, chroma = _vp9_color(bits, profile)
            bits.take(8)
        else:
            bits.take(8 + 3 * 4)
            if bits.take(1) or bits.take(1) or bits.take(1):  # as large as one that is referred to
                return None
    else:
        if bits.take(24) != _VP9_SYNC_CODE:
            return None
        depth, chroma = _vp9_color(bits, profile)
    width, height = bits.take(16) + 1, bits.take(16) + 1
    return Sequence(width, height, width, height, _VP9_REFERENCES, depth, chroma)


def _vp9_color(bits: Bits, profile: int) -> tuple[int, int]:
    depth = 8 if profile < 2 else 12 if bits.take(1) else 10
    chroma = 1 if profile in (0, 2) else 3
    if bits.take(3) != 7:  # color_space; 7 is RGB
        bits.take(1)
        if profile in (1, 3):
            bits.take(3)
    elif profile in (1, 3):
        bits.take(1)
    return depth, chroma


def _av1(data: bytes) -> Sequence | None:
    found = None
    at = 0
    for _ in range(_MAX_OBUS):
        if at >= len(data):
            return found
        header = data[at]
        at += 2 if header & 0x04 else 1
        if header & 0x02:
            try:
                size, at = read_leb128(data, at)
            except ParseError:
                return found
        else:
            size = len(data) - at
        if header >> 3 & 0xF == 1:
            with contextlib.suppress(ParseError):  # the decoder will find it, too
                found = _largest(found, _av1_sequence(Bits(data[at : at + min(size, 256)])))
        at += size
    raise ParseError("AV1 temporal unit of too many OBUs")


def _av1_sequence(bits: Bits) -> Sequence:
    profile = bits.take(3)
    bits.take(1)
    if bits.take(1):  # reduced_still_picture_header
        bits.take(5)
    else:
        has_model, delay_bits = 0, 0
        if bits.take(1):  # timing_info
            bits.take(64)
            if bits.take(1):
                bits.ue()  # uvlc() is the same code
            has_model = bits.take(1)
            if has_model:
                delay_bits = bits.take(5) + 1
                bits.take(42)
        has_display_delay = bits.take(1)
        for _ in range(bits.take(5) + 1):
            bits.take(12)
            if bits.take(5) > 7:
                bits.take(1)
            if has_model and bits.take(1):
                bits.take(2 * delay_bits + 1)
            if has_display_delay and bits.take(1):
                bits.take(4)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    width, height = bits.take(width_bits) + 1, bits.take(height_bits) + 1
    # 10 or 12 bits a sample stand further behind: what a profile allows is taken for what is there
    depth = 12 if profile == 2 else 8
    return Sequence(width, height, width, height, _AV1_REFERENCES, depth, 3 if profile else 1)


def _units(
    pattern: re.Pattern[bytes], read: Callable[[bytes], Sequence | None]
) -> Callable[[bytes], Sequence | None]:
    def sequence(data: bytes) -> Sequence | None:
        found = None
        for count, match in enumerate(pattern.finditer(data)):
            if count >= _MAX_HEADERS:
                raise ParseError("access unit of too many sequence parameter sets")
            start = match.start() + 3
            found = _largest(found, read(data[start : start + 300]))
        return found

    return sequence


_READERS: dict[str, Callable[[bytes], Sequence | None]] = {
    "vp8": _vp8,
    "vp9": _vp9,
    "av1": _av1,
    "h264": _units(_H264_SPS, h264_sequence),
    "h265": _units(_H265_SPS, h265_sequence),
}
