"""RTP payload format for H.265.

Spec: RFC 7798. Without sprop-max-don-diff, as WebRTC uses it: no decoding order numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

from rtcstack.codecs.layers import LayerPlace
from rtcstack.codecs.payload.annexb import START_CODE, assembled, nal_units
from rtcstack.codecs.payload.base import DEFAULT_PAYLOAD_BYTES, split_evenly
from rtcstack.codecs.payload.parametersets import ParameterSets
from rtcstack.errors import ParseError
from rtcstack.rtp.frames import PayloadInfo

__all__ = ["H265Depacketizer", "H265Packetizer"]

# The NAL unit header (RFC 7798, section 1.1.4), and the FU header (section 4.4.3):
#
#     +---------------+---------------+      +---------------+
#     |0|1|2|3|4|5|6|7|0|1|2|3|4|5|6|7|      |0|1|2|3|4|5|6|7|
#     +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+      +-+-+-+-+-+-+-+-+
#     |F|   Type    |  LayerId  | TID |      |S|E|  FuType   |
#     +-------------+-----------------+      +---------------+
_F = 0x80
_S, _E, _FU_TYPE = 0x80, 0x40, 0x3F

_FIRST_IRAP, _LAST_IRAP = 16, 23
_LAST_SLICE = 31
_VPS, _SPS, _PPS, _AUD, _FILLER = 32, 33, 34, 35, 38
_SETS = (_VPS, _SPS, _PPS)
_FIRST_SLICE_SEGMENT = 0x80
_AP, _FU, _PACI = 48, 49, 50

_MAX_UNITS = 256
"""NAL units of one aggregation packet: more than a packet of real ones holds."""


def _kind(unit: bytes) -> int:
    return unit[0] >> 1 & 0x3F


def _is_sub_layer_non_reference(kind: int) -> bool:
    """RFC 7798, table 1: even types up to 14 are not referred to within their sub-layer."""
    return kind <= 14 and not kind & 1


class H265Depacketizer:
    """Reads H.265 payloads. `PayloadInfo.data` is Annex B already."""

    __slots__ = ()

    def depacketize(self, payload: bytes) -> PayloadInfo:
        """Read one payload.

        Raises:
            ParseError: cut short, of an unknown kind, or with lying lengths.
        """
        if len(payload) < 3:
            raise ParseError("H.265 payload is cut short")
        if payload[0] & _F:
            raise ParseError("H.265 NAL unit says of itself that it is damaged")
        temporal = payload[1] & 7
        if not temporal:
            raise ParseError("H.265 temporal id of 0 is forbidden")
        kind = _kind(payload)
        if kind == _FU:
            info = _fragment(payload)
        elif kind == _AP:
            info = _aggregate(payload)
        elif kind > _FU:
            raise ParseError(f"H.265 payload of kind {kind}")
        else:
            info = PayloadInfo(START_CODE + payload)
            _describe(info, kind, payload)
        info.temporal_id = temporal - 1
        return info

    def assemble(self, payloads: Sequence[PayloadInfo]) -> bytes:
        """The access unit as an Annex B byte stream.

        Raises:
            ParseError: a fragment's beginning or end is missing.
        """
        return assembled("H.265", payloads)


def _describe(info: PayloadInfo, kind: int, unit: bytes) -> None:
    """Note what a unit is.

    Args:
        info: of its packet.
        kind: of the unit.
        unit: with its header of two octets; b"" for what goes on from another packet.
    """
    info.discardable = _is_sub_layer_non_reference(kind)
    if kind <= _LAST_SLICE:
        info.is_picture = True
        # first_slice_segment_in_pic_flag (H.265, section 7.3.6.1)
        info.later_slice = len(unit) > 2 and not unit[2] & _FIRST_SLICE_SEGMENT
        if _FIRST_IRAP <= kind <= _LAST_IRAP:
            info.key_frame = True
        return
    info.is_picture = False
    if kind in _SETS:
        info.has_sets = True
        if kind != _PPS:
            info.key_frame = True
        if kind == _VPS:
            info.starts_sequence = True
    elif kind == _AUD and unit:
        info.starts_frame = True  # nothing of an access unit stands before it (section 7.4.2.4.4)


def _fragment(payload: bytes) -> PayloadInfo:
    header = payload[2]
    kind = header & _FU_TYPE
    if len(payload) < 4 or kind >= _AP:
        raise ParseError("H.265 fragment is empty, or of no NAL unit")
    info = PayloadInfo(payload[3:])
    if header & _S:
        if header & _E:
            raise ParseError("H.265 fragment is both first and last")
        unit = bytes((payload[0] & 0x81 | kind << 1, payload[1])) + info.data
        _describe(info, kind, unit)
        info.data = START_CODE + unit
        info.continued = True
    else:
        _describe(info, kind, b"")
        info.starts_frame = False
        info.continues = True
        info.continued = not header & _E
    return info


def _aggregate(payload: bytes) -> PayloadInfo:
    info = PayloadInfo(b"")
    parts = []
    at, end = 2, len(payload)
    discardable = True
    info.is_picture = False
    while at < end:
        size = int.from_bytes(payload[at : at + 2], "big")
        at += 2
        unit = payload[at : at + size]
        at += size
        if size < 2 or at > end:
            raise ParseError("H.265 aggregate with a lying length")
        kind = _kind(unit)
        if kind >= _AP:
            raise ParseError("H.265 aggregate within an aggregate")
        known = info.is_picture, info.later_slice
        _describe(info, kind, unit)
        if known[0]:  # the first slice tells where the picture begins
            info.is_picture, info.later_slice = known
        discardable &= info.discardable
        parts.append(unit)
        if len(parts) > _MAX_UNITS:
            raise ParseError("H.265 aggregate of too many units")
    info.discardable = discardable
    info.data = START_CODE + START_CODE.join(parts)
    return info


class H265Packetizer:
    """Cuts H.265 access units. Parameter sets are kept, and put before random access pictures that
    come without them."""

    __slots__ = ("_sets",)

    def __init__(self) -> None:
        self._sets = ParameterSets("h265")

    def packetize(
        self,
        frame: bytes,
        *,
        key_frame: bool = False,
        max_payload_bytes: int = DEFAULT_PAYLOAD_BYTES,
        place: LayerPlace | None = None,
        discardable: bool = False,
    ) -> list[bytes]:
        """The payloads of one access unit; see `Packetizer`. Layers stand in the units themselves."""
        payloads: list[bytes] = []
        together: list[bytes] = []
        size = 2
        for unit in self._with_parameter_sets(nal_units(frame)):
            if len(unit) < 3:
                raise ParseError("H.265 unit is cut short")
            if size + 2 + len(unit) > max_payload_bytes:
                _flush(payloads, together)
                size = 2
            if len(unit) > max_payload_bytes:
                _split(payloads, unit, max_payload_bytes)
            elif len(unit) + 4 > max_payload_bytes:
                payloads.append(unit)
            else:
                together.append(unit)
                size += 2 + len(unit)
        _flush(payloads, together)
        return payloads

    def _with_parameter_sets(self, units: list[bytes]) -> list[bytes]:
        kept: list[bytes] = []
        is_key = has_sets = False
        for unit in units:
            kind = _kind(unit)
            if kind in (_AUD, _FILLER):
                continue
            if kind in _SETS:
                has_sets = True
            elif _FIRST_IRAP <= kind <= _LAST_IRAP:
                is_key = True
            kept.append(unit)
        if not kept:
            raise ParseError("H.265 access unit holds nothing to send")
        if has_sets:
            self._sets.learn(kept)
        return self._sets.put_before(kept) if is_key else kept


def _flush(payloads: list[bytes], together: list[bytes]) -> None:
    """Send what is waiting: alone as it is, several as an aggregation packet (RFC 7798, 4.4.2)."""
    if len(together) == 1:
        payloads.append(together[0])
    elif together:
        layer = min((u[0] & 1) << 5 | u[1] >> 3 for u in together)
        temporal = min(u[1] & 7 for u in together)
        parts = [bytes((_AP << 1 | layer >> 5, (layer & 0x1F) << 3 | temporal))]
        for unit in together:
            parts += (len(unit).to_bytes(2, "big"), unit)
        payloads.append(b"".join(parts))
    together.clear()


def _split(payloads: list[bytes], unit: bytes, limit: int) -> None:
    """Send a unit in fragments (RFC 7798, section 4.4.3)."""
    head = bytes((unit[0] & 0x81 | _FU << 1, unit[1]))
    kind = _kind(unit)
    first_at = len(payloads)
    for start, end in split_evenly(len(unit) - 2, limit - 3):
        payloads.append(head + bytes((kind,)) + unit[2 + start : 2 + end])
    payloads[first_at] = head + bytes((kind | _S,)) + payloads[first_at][3:]
    payloads[-1] = head + bytes((kind | _E,)) + payloads[-1][3:]
