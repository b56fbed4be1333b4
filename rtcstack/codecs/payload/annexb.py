"""Annex B byte streams of H.264 and H.265: NAL units behind start codes, and back."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rtcstack.codecs.payload.base import joined
from rtcstack.errors import ParseError
from rtcstack.rtp.frames import PayloadInfo

__all__ = ["START_CODE", "assembled", "nal_units"]

START_CODE = b"\x00\x00\x00\x01"

_SHORT_START_CODE = re.compile(rb"\x00\x00\x01")


def nal_units(stream: bytes) -> list[bytes]:
    """The NAL units of a byte stream, without start codes and trailing zeros.

    Raises:
        ParseError: it does not begin with a start code, or holds no NAL unit.

    Spec: H.264, Annex B.1; H.265, Annex B.
    """
    starts = [m.end() for m in _SHORT_START_CODE.finditer(stream)]
    if not starts or stream[: starts[0] - 3].strip(b"\x00"):
        raise ParseError("byte stream does not begin with a start code")
    ends = [start - 3 for start in starts[1:]]
    ends.append(len(stream))
    units = []
    for start, end in zip(starts, ends, strict=True):
        # a NAL unit never ends in a zero octet: zeros before a start code belong to the stream
        if end > start and stream[end - 1] == 0:
            unit = stream[start:end].rstrip(b"\x00")
        else:
            unit = stream[start:end]
        if unit:
            units.append(unit)
    if not units:
        raise ParseError("byte stream holds no NAL unit")
    return units


def assembled(codec: str, payloads: Sequence[PayloadInfo]) -> bytes:
    """The access unit of a frame's payloads, whose fragments must fit together.

    Args:
        codec: its name, for the error.
        payloads: in order.

    Raises:
        ParseError: a fragment's beginning or end is missing.
    """
    open_unit = False
    for info in payloads:
        if info.continues is not open_unit:
            raise ParseError(f"{codec} fragments do not fit together")
        open_unit = info.continued
    if open_unit:
        raise ParseError(f"{codec} NAL unit is cut short")
    return joined(payloads)
