"""Parameter sets of H.264 and H.265, remembered for who begins to decode later.

Cameras send them once, or tell them in the description only (``sprop-parameter-sets``); without them
no key frame can be decoded, recorded or sent on.

Spec: RFC 6184, section 8.1; RFC 7798, section 7.1.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence

from rtcstack.codecs.payload.annexb import START_CODE, nal_units
from rtcstack.codecs.payload.bits import Bits
from rtcstack.codecs.payload.sequence import h265_set_id
from rtcstack.errors import ParseError

__all__ = ["MAX_SETS", "MAX_SETS_BYTES", "ParameterSets", "described_sets", "has_parameter_sets"]

MAX_SETS = 64
"""Parameter sets of a stream that are remembered; the oldest give way."""

MAX_SETS_BYTES = 32 * 1024
"""All of them together."""

_H264_KINDS = {7: 0, 15: 1, 8: 2}
"""Sequence, subset sequence and picture parameter sets, in the order in which they are to be given."""

_H265_KINDS = {32: 0, 33: 1, 34: 2}
"""Video, sequence and picture parameter sets."""

_H264_IDR, _H264_AUD = 5, 9
_H265_FIRST_IRAP, _H265_LAST_IRAP, _H265_AUD = 16, 23, 35

_PARAMETERS = {
    "h264": ("sprop-parameter-sets",),
    "h265": ("sprop-vps", "sprop-sps", "sprop-pps"),
}


def has_parameter_sets(codec: str) -> bool:
    """Whether a codec, by its name in lower case, has parameter sets beside its pictures."""
    return codec in _PARAMETERS


def described_sets(codec: str, parameters: Mapping[str, str]) -> tuple[bytes, ...]:
    """The parameter sets that a description tells; what is damaged is left out.

    Args:
        codec: "h264" or "h265"; others have none.
        parameters: of the format, by lower-case name.
    """
    found: list[bytes] = []
    for name in _PARAMETERS.get(codec, ()):
        for text in parameters.get(name, "").split(",")[:MAX_SETS]:
            try:
                unit = base64.b64decode(text.strip() + "=" * (-len(text.strip()) % 4), validate=True)
            except (binascii.Error, ValueError):
                continue
            if 0 < len(unit) <= MAX_SETS_BYTES and b"\x00\x00\x01" not in unit:
                found.append(unit)
    return tuple(found)


class ParameterSets:
    """The newest parameter sets of a stream.

    Args:
        codec: "h264" or "h265".
    """

    __slots__ = ("_bytes", "_codec", "_is_h264", "_sets")

    def __init__(self, codec: str) -> None:
        self._codec = codec
        self._is_h264 = codec == "h264"
        self._sets: dict[tuple[int, int], bytes] = {}
        self._bytes = 0

    @property
    def codec(self) -> str:
        """Whose they are."""
        return self._codec

    def __len__(self) -> int:
        return len(self._sets)

    @property
    def units(self) -> list[bytes]:
        """What is remembered, in the order in which a decoder needs it."""
        return [self._sets[key] for key in sorted(self._sets)]

    def learn(self, units: Iterable[bytes]) -> None:
        """Remember the parameter sets among some NAL units; a new one replaces that of its number."""
        for unit in units:
            key = self._key(unit)
            if key is not None:
                self._keep(key, unit)

    def _keep(self, key: tuple[int, int], unit: bytes) -> None:
        sets = self._sets
        old = sets.get(key)
        if old == unit:
            return
        if len(unit) > MAX_SETS_BYTES:
            return
        if old is not None:
            self._bytes -= len(old)
            del sets[key]
        while sets and (len(sets) >= MAX_SETS or self._bytes + len(unit) > MAX_SETS_BYTES):
            self._bytes -= len(sets.pop(next(iter(sets))))
        sets[key] = unit
        self._bytes += len(unit)

    def _key(self, unit: bytes) -> tuple[int, int] | None:
        """Kind and number of a parameter set; None for anything else."""
        order = _H264_KINDS.get(unit[0] & 0x1F) if self._is_h264 else _H265_KINDS.get(unit[0] >> 1 & 0x3F)
        if order is None:
            return None
        try:
            if self._is_h264:
                return order, Bits(unit[1 if order == 2 else 4 :][:8]).ue()
            if order == 0:
                return order, unit[2] >> 4
            return order, h265_set_id(unit) if order == 1 else Bits(unit[2:10]).ue()
        except (ParseError, IndexError):
            return order, -1  # for the decoder to make sense of

    def begins_with_picture(self, data: bytes) -> bool:
        """Whether an access unit begins with a slice: then no parameter sets stand before it."""
        at = 4 if data.startswith(START_CODE) else 3
        if len(data) <= at:
            return True
        if self._is_h264:
            return 1 <= data[at] & 0x1F <= 5
        return data[at] >> 1 & 0x3F <= 31

    def complete(self, data: bytes, *, key_frame: bool, has_sets: bool = True) -> bytes:
        """Learn from an access unit, and put before a key frame what it lacks.

        Args:
            data: Annex B.
            key_frame: it is one.
            has_sets: it may hold parameter sets.

        Returns:
            The same, or the completed one.
        """
        if not key_frame and not has_sets:
            return data
        try:
            units = nal_units(data)
        except ParseError:
            return data
        if has_sets:
            self.learn(units)
        if not key_frame or not self._sets:
            return data
        made = self.put_before(units)
        return data if made is units else START_CODE + START_CODE.join(made)

    def put_before(self, units: list[bytes]) -> list[bytes]:
        """A key frame's units with all the parameter sets, if it lacks some; else the same list."""
        sets = self._sets
        there = {key for unit in units if (key := self._key(unit)) is not None}
        if len(there) >= len(sets) and all(key in there for key in sets):
            return units
        if not any(self._is_key(unit) for unit in units):
            return units
        rest: Sequence[bytes] = [unit for unit in units if self._key(unit) not in sets]
        first = 1 if rest and self._is_delimiter(rest[0]) else 0
        return [*rest[:first], *self.units, *rest[first:]]

    def _is_key(self, unit: bytes) -> bool:
        if self._is_h264:
            return 1 <= unit[0] & 0x1F <= _H264_IDR
        return _H265_FIRST_IRAP <= unit[0] >> 1 & 0x3F <= _H265_LAST_IRAP

    def _is_delimiter(self, unit: bytes) -> bool:
        if self._is_h264:
            return unit[0] & 0x1F == _H264_AUD
        return unit[0] >> 1 & 0x3F == _H265_AUD
