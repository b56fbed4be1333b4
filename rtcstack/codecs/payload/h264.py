"""RTP payload format for H.264.

Spec: RFC 6184.
"""

from __future__ import annotations

from collections.abc import Sequence

from rtcstack.codecs.layers import LayerPlace
from rtcstack.codecs.payload.annexb import START_CODE, assembled, nal_units
from rtcstack.codecs.payload.base import DEFAULT_PAYLOAD_BYTES, split_evenly
from rtcstack.codecs.payload.parametersets import ParameterSets
from rtcstack.codecs.payload.sequence import h264_frame_size
from rtcstack.errors import ParseError
from rtcstack.rtp.frames import PayloadInfo

__all__ = ["H264Depacketizer", "H264Packetizer", "h264_frame_size"]

# The NAL unit header (RFC 6184, section 1.3), and the FU header (section 5.8):
#
#     +---------------+      +---------------+
#     |0|1|2|3|4|5|6|7|      |0|1|2|3|4|5|6|7|
#     +-+-+-+-+-+-+-+-+      +-+-+-+-+-+-+-+-+
#     |F|NRI|  Type   |      |S|E|R|  Type   |
#     +---------------+      +---------------+
_F, _NRI, _TYPE = 0x80, 0x60, 0x1F
_S, _E = 0x80, 0x40
_FIRST_MB_IS_0 = 0x80

_IDR, _SEI, _SPS, _PPS, _AUD, _FILLER = 5, 6, 7, 8, 9, 12
_FIRST_SLICE, _PARTITION_B, _PARTITION_C = 1, 3, 4
_SUBSET_SPS, _SPS_EXTENSION = 15, 13
_SETS = (_SPS, _PPS, _SPS_EXTENSION, _SUBSET_SPS)
_STAP_A, _FU_A = 24, 28

_MAX_UNITS = 256
"""NAL units of one STAP-A: more than a packet of real ones holds (each is a header and a length)."""


class H264Depacketizer:
    """Reads H.264 payloads: single NAL units, STAP-A and FU-A (packetization modes 0 and 1).

    `PayloadInfo.data` is Annex B already; a frame is its payloads' data joined. STAP-B, MTAP and
    FU-B belong to packetization mode 2, which WebRTC does not have (RFC 7742, section 6.2).
    """

    __slots__ = ()

    def depacketize(self, payload: bytes) -> PayloadInfo:
        """Read one payload.

        Raises:
            ParseError: cut short, of an unknown or an interleaved kind, or with lying lengths.
        """
        if len(payload) < 2:
            raise ParseError("H.264 payload is cut short")
        first = payload[0]
        kind = first & _TYPE
        if first & _F:
            raise ParseError("H.264 NAL unit says of itself that it is damaged")
        if kind == _FU_A:
            return _fragment(payload)
        if kind == _STAP_A:
            return _aggregate(payload)
        if not 1 <= kind <= 23:
            raise ParseError(f"H.264 payload of kind {kind} is not of packetization mode 0 or 1")
        info = PayloadInfo(START_CODE + payload)
        _describe(info, payload)
        return info

    def assemble(self, payloads: Sequence[PayloadInfo]) -> bytes:
        """The access unit as an Annex B byte stream.

        Raises:
            ParseError: a fragment's beginning or end is missing.
        """
        return assembled("H.264", payloads)


def _fragment(payload: bytes) -> PayloadInfo:
    header = payload[1]
    if len(payload) < 3:
        raise ParseError("H.264 fragment is empty")
    kind = header & _TYPE
    if not 1 <= kind <= 23:
        raise ParseError(f"H.264 fragment of a unit of kind {kind}")
    info = PayloadInfo(b"")
    if header & _S:
        if header & _E:
            raise ParseError("H.264 fragment is both first and last")
        unit = bytes((payload[0] & (_F | _NRI) | kind,)) + payload[2:]
        info.data = START_CODE + unit
        _describe(info, unit)
        info.continued = True
    else:
        info.data = payload[2:]
        info.continues = True
        info.continued = not header & _E
        info.key_frame = kind == _IDR
        info.starts_frame = False
        info.is_picture = _FIRST_SLICE <= kind <= _IDR
        info.has_sets = kind in _SETS
        info.discardable = not payload[0] & _NRI
    return info


def _aggregate(payload: bytes) -> PayloadInfo:
    info = PayloadInfo(b"")
    parts = []
    at, end = 1, len(payload)
    discardable = True
    info.is_picture = False
    while at < end:
        if at + 2 > end:
            raise ParseError("H.264 aggregate is cut short")
        size = payload[at] << 8 | payload[at + 1]
        at += 2
        if size == 0 or at + size > end:
            raise ParseError("H.264 aggregate with a lying length")
        unit = payload[at : at + size]
        at += size
        if not 1 <= unit[0] & _TYPE <= 23:
            raise ParseError("H.264 aggregate within an aggregate")
        known = info.is_picture, info.later_slice
        _describe(info, unit)
        if known[0]:  # the first slice tells where the picture begins
            info.is_picture, info.later_slice = known
        discardable &= info.discardable
        parts.append(unit)
        if len(parts) > _MAX_UNITS:
            raise ParseError("H.264 aggregate of too many units")
    info.discardable = discardable
    info.data = START_CODE + START_CODE.join(parts)
    return info


def _describe(info: PayloadInfo, unit: bytes) -> None:
    kind = unit[0] & _TYPE
    info.discardable = not unit[0] & _NRI
    if _FIRST_SLICE <= kind <= _IDR:
        info.is_picture = True
        # first_mb_in_slice, whose code for 0 is a single 1 (H.264, section 7.3.3)
        info.later_slice = kind in (_PARTITION_B, _PARTITION_C) or (
            len(unit) > 1 and not unit[1] & _FIRST_MB_IS_0
        )
        if kind == _IDR:
            info.key_frame = True
        return
    info.is_picture = False
    if kind == _SPS:
        info.key_frame = info.starts_sequence = info.has_sets = True
        size = h264_frame_size(unit)
        if size is not None:
            info.width, info.height = size
    elif kind in _SETS:
        info.has_sets = True
    elif kind == _AUD:
        info.starts_frame = True  # nothing of an access unit stands before it (section 7.4.1.2.3)


class H264Packetizer:
    """Cuts H.264 access units.

    Args:
        packetization_mode: 1 for aggregates and fragments; 0 for single NAL units only, which the
            encoder must have made small enough (a unit that is not is a ParseError).

    Parameter sets are kept, and put before each IDR picture that comes without them.
    """

    __slots__ = ("_mode", "_sets")

    def __init__(self, packetization_mode: int = 1) -> None:
        if packetization_mode not in (0, 1):
            raise ValueError(f"packetization_mode must be 0 or 1, not {packetization_mode}")
        self._mode = packetization_mode
        self._sets = ParameterSets("h264")

    def packetize(
        self,
        frame: bytes,
        *,
        key_frame: bool = False,
        max_payload_bytes: int = DEFAULT_PAYLOAD_BYTES,
        place: LayerPlace | None = None,
        discardable: bool = False,
    ) -> list[bytes]:
        """The payloads of one access unit; see `Packetizer`. H.264 carries no layer numbers."""
        units = self._with_parameter_sets(nal_units(frame))
        if self._mode == 0:
            for unit in units:
                if len(unit) > max_payload_bytes:
                    raise ParseError(f"H.264 unit of {len(unit)} bytes does not fit packetization mode 0")
            return units
        payloads: list[bytes] = []
        together: list[bytes] = []
        size = 1
        for unit in units:
            if len(unit) + 3 > max_payload_bytes:
                _flush(payloads, together)
                size = 1
                if len(unit) <= max_payload_bytes:
                    payloads.append(unit)
                else:
                    _split(payloads, unit, max_payload_bytes)
                continue
            if size + 2 + len(unit) > max_payload_bytes:
                _flush(payloads, together)
                size = 1
            together.append(unit)
            size += 2 + len(unit)
        _flush(payloads, together)
        return payloads

    def _with_parameter_sets(self, units: list[bytes]) -> list[bytes]:
        kept: list[bytes] = []
        is_key = has_sets = False
        for unit in units:
            kind = unit[0] & _TYPE
            if kind in (_AUD, _FILLER):
                continue  # nothing a decoder needs, and the marker bit ends the access unit
            if kind in _SETS:
                has_sets = True
            elif kind == _IDR:
                is_key = True
            kept.append(unit)
        if not kept:
            raise ParseError("H.264 access unit holds nothing to send")
        if has_sets:
            self._sets.learn(kept)
        return self._sets.put_before(kept) if is_key else kept


def _flush(payloads: list[bytes], together: list[bytes]) -> None:
    """Send what is waiting: alone as it is, several as a STAP-A (RFC 6184, section 5.7.1)."""
    if len(together) == 1:
        payloads.append(together[0])
    elif together:
        nri = max(unit[0] & _NRI for unit in together)
        parts = [bytes((nri | _STAP_A,))]
        for unit in together:
            parts += (len(unit).to_bytes(2, "big"), unit)
        payloads.append(b"".join(parts))
    together.clear()


def _split(payloads: list[bytes], unit: bytes, limit: int) -> None:
    """Send a unit in fragments (RFC 6184, section 5.8)."""
    indicator = unit[0] & (_F | _NRI) | _FU_A
    kind = unit[0] & _TYPE
    middle = bytes((indicator, kind))
    first_at = len(payloads)
    for start, end in split_evenly(len(unit) - 1, limit - 2):
        payloads.append(middle + unit[1 + start : 1 + end])
    payloads[first_at] = bytes((indicator, kind | _S)) + payloads[first_at][2:]
    payloads[-1] = bytes((indicator, kind | _E)) + payloads[-1][2:]
