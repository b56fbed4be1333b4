"""RTP payload format for AV1.

Spec: AOM, "RTP Payload Format For AV1" (v1.0); AV1 bitstream specification, section 5.3.
"""

from __future__ import annotations

from collections.abc import Sequence

from rtcstack.codecs.layers import LayerPlace
from rtcstack.codecs.payload.base import DEFAULT_PAYLOAD_BYTES, split_evenly
from rtcstack.errors import ParseError
from rtcstack.rtp.frames import PayloadInfo

__all__ = ["Av1Depacketizer", "Av1Packetizer", "read_leb128"]

# The aggregation header (section 4.4):
#
#      0 1 2 3 4 5 6 7
#     +-+-+-+-+-+-+-+-+
#     |Z|Y| W |N|-|-|-|   Z/Y first/last element continues from/in another packet,
#     +-+-+-+-+-+-+-+-+   W number of elements or 0, N a coded video sequence begins
_Z, _Y, _N = 0x80, 0x40, 0x08

# The OBU header (AV1, section 5.3.2), and its extension:
#
#     +-+-+-+-+-+-+-+-+     +-+-+-+-+-+-+-+-+
#     |0| type  |X|S|-|     | TID | SID |-|-|-|
#     +-+-+-+-+-+-+-+-+     +-+-+-+-+-+-+-+-+
_HAS_EXTENSION, _HAS_SIZE = 0x04, 0x02
_SEQUENCE_HEADER, _TEMPORAL_DELIMITER, _TILE_LIST, _PADDING = 1, 2, 8, 15

_TEMPORAL_DELIMITER_OBU = b"\x12\x00"

_MAX_COUNTED = 3
"""Elements of a payload whose number W can tell."""

_MAX_ELEMENTS = 256
"""OBUs of one payload: more than any encoder puts there."""


def read_leb128(data: bytes, at: int) -> tuple[int, int]:
    """A little-endian number of 7 bits an octet.

    Returns:
        The number, and where the next field stands.

    Raises:
        ParseError: cut short, or wider than 32 bits (AV1, section 4.10.5).
    """
    value = 0
    for shift in range(0, 35, 7):
        if at >= len(data):
            raise ParseError("AV1 length is cut short")
        octet = data[at]
        at += 1
        value |= (octet & 0x7F) << shift
        if not octet & 0x80:
            if value >= 1 << 32:
                break
            return value, at
    raise ParseError("AV1 length is too long")


def _leb128(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Av1Depacketizer:
    """Reads AV1 payloads. `PayloadInfo.parts` are the OBU elements."""

    __slots__ = ()

    def depacketize(self, payload: bytes) -> PayloadInfo:
        """Read one payload.

        Raises:
            ParseError: cut short, or with lying lengths.
        """
        if len(payload) < 2:
            raise ParseError("AV1 payload is cut short")
        header = payload[0]
        if header & _Z and header & _N:
            raise ParseError("AV1 payload both continues a frame and begins a sequence")
        count = header >> 4 & 3
        at, end = 1, len(payload)
        parts: list[bytes] = []
        while at < end:
            if count and len(parts) == count - 1:
                length = end - at
            else:
                length, at = read_leb128(payload, at)
            if at + length > end or len(parts) >= _MAX_ELEMENTS or (count and len(parts) >= count):
                raise ParseError("AV1 element with a lying length")
            parts.append(payload[at : at + length])
            at += length
        if not parts or (count and len(parts) != count):
            raise ParseError("AV1 payload holds fewer elements than it says")
        info = PayloadInfo(
            payload,
            starts_frame=False if header & _Z else True if header & _N else None,
            key_frame=bool(header & _N),
            parts=tuple(parts),
            continues=bool(header & _Z),
            continued=bool(header & _Y),
        )
        first = parts[0]
        if not info.continues and len(first) > 1 and first[0] & _HAS_EXTENSION:
            info.temporal_id = first[1] >> 5
            info.spatial_id = first[1] >> 3 & 3
        return info

    def assemble(self, payloads: Sequence[PayloadInfo]) -> bytes:
        """The temporal unit in the low-overhead format: each OBU with its size.

        Raises:
            ParseError: an element's beginning or end is missing, or one is no OBU.
        """
        out = [_TEMPORAL_DELIMITER_OBU]
        pending = b""
        is_open = False
        for info in payloads:
            parts = info.parts
            if info.continues is not is_open:
                raise ParseError("AV1 fragments do not fit together")
            last = len(parts) - 1
            for i, part in enumerate(parts):
                piece = pending + part if i == 0 and is_open else part
                if i == last and info.continued:
                    pending = piece
                else:
                    _append_obu(out, piece)
            is_open = info.continued
        if is_open:
            raise ParseError("AV1 element is cut short")
        return b"".join(out)


def _append_obu(out: list[bytes], obu: bytes) -> None:
    if not obu:
        return
    header = obu[0]
    if header & 0x80:
        raise ParseError("AV1 OBU with the forbidden bit")
    if header >> 3 & 0xF in (_TEMPORAL_DELIMITER, _TILE_LIST):
        return
    at = 2 if header & _HAS_EXTENSION else 1
    if len(obu) < at:
        raise ParseError("AV1 OBU is cut short")
    if header & _HAS_SIZE:
        size, body = read_leb128(obu, at)
        if body + size > len(obu):
            raise ParseError("AV1 OBU with a lying length")
        out.append(obu[: body + size])
        return
    out += (bytes((header | _HAS_SIZE,)), obu[1:at], _leb128(len(obu) - at), obu[at:])


class Av1Packetizer:
    """Cuts AV1 temporal units: takes the sizes and the delimiters out, fills packets evenly."""

    __slots__ = ()

    def packetize(
        self,
        frame: bytes,
        *,
        key_frame: bool = False,
        max_payload_bytes: int = DEFAULT_PAYLOAD_BYTES,
        place: LayerPlace | None = None,
        discardable: bool = False,
    ) -> list[bytes]:
        """The payloads of one temporal unit; see `Packetizer`. Layers stand in the OBUs themselves."""
        obus = _obus(frame)
        begins_sequence = any(obu[0] >> 3 & 0xF == _SEQUENCE_HEADER for obu in obus)
        # Elements behind their lengths, cut into packets of equal size. A packet's last element has
        # no length as long as W can tell the number of elements; past three, all of them have.
        total = sum(len(obu) + len(_leb128(len(obu))) for obu in obus)
        goal = max(end - start for start, end in split_evenly(total, max_payload_bytes - 1))
        payloads: list[bytes] = []
        elements: list[bytes] = []
        used = 0
        continues = False
        for obu in obus:
            at = 0  # a slice of what is left would copy it once for each packet
            while at < len(obu):
                free = goal - used - (0 if len(elements) < _MAX_COUNTED else 2)
                if elements and free < 2:
                    payloads.append(_payload(elements, continues, continued=False))
                    elements, used, continues = [], 0, False
                    free = goal
                piece = obu[at : at + free]
                at += free
                elements.append(piece)
                used += len(piece) + len(_leb128(len(piece)))
                if at < len(obu):
                    payloads.append(_payload(elements, continues, continued=True))
                    elements, used, continues = [], 0, True
        if elements:
            payloads.append(_payload(elements, continues, continued=False))
        if begins_sequence:
            payloads[0] = bytes((payloads[0][0] | _N,)) + payloads[0][1:]
        return payloads


def _payload(elements: list[bytes], continues: bool, *, continued: bool) -> bytes:
    count = len(elements)
    header = (_Z if continues else 0) | (_Y if continued else 0)
    if count <= _MAX_COUNTED:
        parts = [bytes((header | count << 4,))]
        for element in elements[:-1]:
            parts += (_leb128(len(element)), element)
        parts.append(elements[-1])
    else:
        parts = [bytes((header,))]
        for element in elements:
            parts += (_leb128(len(element)), element)
    return b"".join(parts)


def _obus(frame: bytes) -> list[bytes]:
    """The OBUs that are to be sent, without their sizes.

    Raises:
        ParseError: not in the low-overhead format, or nothing to send.
    """
    obus: list[bytes] = []
    at, end = 0, len(frame)
    while at < end:
        header = frame[at]
        body = at + (2 if header & _HAS_EXTENSION else 1)
        if header & 0x80 or body > end:
            raise ParseError("AV1 OBU with the forbidden bit, or cut short")
        if header & _HAS_SIZE:
            size, start = read_leb128(frame, body)
        else:
            size, start = end - body, body
        if start + size > end:
            raise ParseError("AV1 OBU with a lying length")
        if header >> 3 & 0xF not in (_TEMPORAL_DELIMITER, _TILE_LIST, _PADDING):
            obus.append(bytes((header & ~_HAS_SIZE,)) + frame[at + 1 : body] + frame[start : start + size])
        at = start + size
    if not obus:
        raise ParseError("AV1 temporal unit holds nothing to send")
    return obus
