"""RTP payload format for VP8.

Spec: RFC 7741; the frame header: RFC 6386, section 9.1.
"""

from __future__ import annotations

from collections.abc import Sequence

from rtcstack.codecs.layers import LayerPlace
from rtcstack.codecs.payload.base import DEFAULT_PAYLOAD_BYTES, PictureNumbers, joined, split_evenly
from rtcstack.errors import ParseError
from rtcstack.rtp.frames import PayloadInfo

__all__ = ["Vp8Depacketizer", "Vp8Packetizer", "vp8_frame_header"]

# The payload descriptor (RFC 7741, section 4.2):
#
#      0 1 2 3 4 5 6 7
#     +-+-+-+-+-+-+-+-+
#     |X|R|N|S|R| PID |   X extensions follow, N non-reference, S start of partition PID
#     +-+-+-+-+-+-+-+-+
# X:  |I|L|T|K| RSV   |
#     +-+-+-+-+-+-+-+-+
# I:  |M| PictureID   |   M: 15 bits, in two octets
#     +-+-+-+-+-+-+-+-+
# L:  |   TL0PICIDX   |
#     +-+-+-+-+-+-+-+-+
# T/K:|TID|Y| KEYIDX  |
#     +-+-+-+-+-+-+-+-+
_X, _N, _S, _PID = 0x80, 0x20, 0x10, 0x07
_I, _L, _T, _K = 0x80, 0x40, 0x20, 0x10
_M, _Y = 0x80, 0x20

_NOT_KEY = 0x01  # in the frame's first octet
_KEY_START_CODE = b"\x9d\x01\x2a"


class Vp8Depacketizer:
    """Reads VP8 payloads."""

    __slots__ = ()

    def depacketize(self, payload: bytes) -> PayloadInfo:
        """Read one payload.

        Raises:
            ParseError: the descriptor is cut short, or nothing follows it.
        """
        try:
            return self._read(payload)
        except IndexError:
            raise ParseError("VP8 payload descriptor is cut short") from None

    def _read(self, payload: bytes) -> PayloadInfo:
        first = payload[0]
        info = PayloadInfo(b"", starts_frame=False, discardable=bool(first & _N))
        at = 1
        if first & _X:
            bits = payload[1]
            at = 2
            if bits & _I:
                value = payload[at]
                if value & _M:
                    info.picture_id = (value & 0x7F) << 8 | payload[at + 1]
                    info.picture_id_bits = 15
                    at += 2
                else:
                    info.picture_id = value
                    info.picture_id_bits = 7
                    at += 1
            if bits & _L:
                info.tl0_pic_idx = payload[at]
                at += 1
            if bits & (_T | _K):
                value = payload[at]
                if bits & _T:
                    info.temporal_id = value >> 6
                    info.layer_sync = bool(value & _Y)
                at += 1
        data = info.data = payload[at:]
        if not data:
            raise ParseError("VP8 payload is empty")
        if first & _S and not first & _PID:
            info.starts_frame = True
            if not data[0] & _NOT_KEY:
                info.key_frame, info.width, info.height = vp8_frame_header(data)
        return info

    def assemble(self, payloads: Sequence[PayloadInfo]) -> bytes:
        """The frame of its payloads."""
        return joined(payloads)


def vp8_frame_header(data: bytes) -> tuple[bool, int | None, int | None]:
    """Whether a frame needs no other, and if so its width and height, as far as its beginning tells.

    Spec: RFC 6386, section 9.1.
    """
    if not data or data[0] & _NOT_KEY:
        return False, None, None
    if len(data) < 10 or data[3:6] != _KEY_START_CODE:
        return True, None, None
    return True, (data[7] << 8 | data[6]) & 0x3FFF, (data[9] << 8 | data[8]) & 0x3FFF


class Vp8Packetizer:
    """Cuts VP8 frames.

    Args:
        picture_id: of the first frame, 0 to 32767; random is best, so that a stream that begins
            again is not taken for the old one.
        tl0_pic_idx: of the first base-layer frame, 0 to 255.
    """

    __slots__ = ("_numbers",)

    def __init__(self, picture_id: int = 0, tl0_pic_idx: int = 0) -> None:
        self._numbers = PictureNumbers(picture_id, tl0_pic_idx)

    def packetize(
        self,
        frame: bytes,
        *,
        key_frame: bool = False,
        max_payload_bytes: int = DEFAULT_PAYLOAD_BYTES,
        place: LayerPlace | None = None,
        discardable: bool = False,
    ) -> list[bytes]:
        """The payloads of one frame; see `Packetizer`. The picture id counts on by one."""
        octet = _X | (_N if discardable else 0)
        picture_id, tl0_pic_idx = self._numbers.take(place)
        if place is None:
            rest = bytes((_I, _M | picture_id >> 8, picture_id & 0xFF))
        else:
            # of the lowest layer no picture is a switching point, for none needs another layer
            is_sync = place.temporal_id and place.step.is_sync
            layer = (place.temporal_id & 3) << 6 | (_Y if is_sync else 0)
            rest = bytes((_I | _L | _T, _M | picture_id >> 8, picture_id & 0xFF, tl0_pic_idx, layer))
        follow = bytes((octet,)) + rest
        pieces = split_evenly(len(frame), max_payload_bytes - len(follow))
        payloads = [follow + frame[start:end] for start, end in pieces]
        if payloads:
            payloads[0] = bytes((octet | _S,)) + payloads[0][1:]
        return payloads
