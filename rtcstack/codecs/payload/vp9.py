"""RTP payload format for VP9.

Spec: RFC 9628.
"""

from __future__ import annotations

from collections.abc import Sequence

from rtcstack.codecs.layers import LayerPlace
from rtcstack.codecs.payload.base import DEFAULT_PAYLOAD_BYTES, PictureNumbers, joined, split_evenly
from rtcstack.codecs.payload.superframe import superframe, superframe_frames
from rtcstack.errors import ParseError
from rtcstack.rtp.frames import PayloadInfo

__all__ = ["Vp9Depacketizer", "Vp9Packetizer", "vp9_frame_size"]

# The payload descriptor (RFC 9628, section 4.2):
#
#         0 1 2 3 4 5 6 7
#        +-+-+-+-+-+-+-+-+
#        |I|P|L|F|B|E|V|Z|  P inter-picture, F flexible, B/E begin/end of a layer frame,
#        +-+-+-+-+-+-+-+-+  V scalability structure follows, Z not used by upper spatial layers
#   I:   |M| PICTURE ID  |
#   M:   | EXTENDED PID  |
#        +-+-+-+-+-+-+-+-+
#   L:   | TID |U| SID |D|  U switching up point, D depends on the layer below
#        |   TL0PICIDX   |  (not in flexible mode)
#        +-+-+-+-+-+-+-+-+
#   P,F: | P_DIFF      |N|  up to three, N: another follows
#        +-+-+-+-+-+-+-+-+
#   V:   | SS ...        |
#        +-+-+-+-+-+-+-+-+
_I, _P, _L, _F, _B, _E, _V, _Z = 0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02, 0x01
_U, _D = 0x10, 0x01
_M = 0x80

# The scalability structure (RFC 9628, section 4.2.1):
#
#        +-+-+-+-+-+-+-+-+
#   V:   | N_S |Y|G|-|-|-|
#   Y:   | WIDTH, HEIGHT |  16 bits each, N_S + 1 times
#   G:   |     N_G       |
#        | TID |U| R |-|-|  N_G times, each followed by
#        |    P_DIFF     |  R octets
#        +-+-+-+-+-+-+-+-+
_Y, _G = 0x10, 0x08

_MAX_STRUCTURE_SIZE = 0xFFFF
"""Width or height that the structure can tell; a frame's own header can tell one more."""

_MAX_REFERENCES = 3
"""P_DIFFs of one payload (RFC 9628, section 4.2)."""


class Vp9Depacketizer:
    """Reads VP9 payloads, of flexible and non-flexible mode."""

    __slots__ = ()

    def depacketize(self, payload: bytes) -> PayloadInfo:
        """Read one payload.

        Raises:
            ParseError: the descriptor is cut short or names too many references, or nothing
                follows it.
        """
        try:
            return self._read(payload)
        except IndexError:
            raise ParseError("VP9 payload descriptor is cut short") from None

    def _read(self, payload: bytes) -> PayloadInfo:
        first = payload[0]
        info = PayloadInfo(b"")
        at = 1
        if first & _I:
            value = payload[at]
            if value & _M:
                info.picture_id = (value & 0x7F) << 8 | payload[at + 1]
                info.picture_id_bits = 15
                at += 2
            else:
                info.picture_id = value
                info.picture_id_bits = 7
                at += 1
        depends_on_lower = False
        if first & _L:
            value = payload[at]
            at += 1
            info.temporal_id = value >> 5
            info.layer_sync = bool(value & 0x10)
            info.spatial_id = value >> 1 & 7
            depends_on_lower = bool(value & 1)
            if not first & _F:
                info.tl0_pic_idx = payload[at]
                at += 1
        if first & _P and first & _F:
            references = 1
            while payload[at] & 1:
                at += 1
                references += 1
                if references > _MAX_REFERENCES:
                    raise ParseError("VP9 payload descriptor names more than three references")
            at += 1
        if first & _V:
            at = self._skip_structure(payload, at, info)
        data = info.data = payload[at:]
        if not data:
            raise ParseError("VP9 payload is empty")
        base = not info.spatial_id
        info.starts_frame = bool(first & _B) and base
        info.continues = not first & _B
        info.continued = not first & _E
        # E ends a layer frame; whether a higher layer of the picture follows, only the marker tells
        info.key_frame = not first & _P and base and not depends_on_lower
        return info

    def _skip_structure(self, payload: bytes, at: int, info: PayloadInfo) -> int:
        value = payload[at]
        at += 1
        layers = info.layer_count = (value >> 5) + 1
        if value & _Y:
            at += 4 * layers
            last = payload[at - 4 : at]
            if len(last) < 4:
                raise IndexError
            info.width = last[0] << 8 | last[1]
            info.height = last[2] << 8 | last[3]
        if value & _G:
            groups = payload[at]
            at += 1
            for _ in range(groups):
                at += 1 + (payload[at] >> 2 & 3)
        return at

    def assemble(self, payloads: Sequence[PayloadInfo]) -> bytes:
        """The picture of its payloads: a frame, or a superframe of the frames of several layers.

        Raises:
            ParseError: a layer frame's beginning is missing, or there are too many.
        """
        starts = [i for i, info in enumerate(payloads) if not info.continues]
        if len(starts) <= 1:
            return joined(payloads)
        if starts[0]:
            raise ParseError("VP9 layer frame without its beginning")
        ends = [*starts[1:], len(payloads)]
        return superframe([joined(payloads[start:end]) for start, end in zip(starts, ends, strict=True)])


class Vp9Packetizer:
    """Cuts VP9 frames, in non-flexible mode. With spatial layers, each of their frames is cut by itself.

    A key frame's first payload carries a scalability structure with the size of the picture, or of each
    layer, and the pattern of the temporal layers.

    Args:
        picture_id: of the first frame, 0 to 32767.
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
        picture_id, tl0_pic_idx = self._numbers.take(place)
        rest = bytes((_M | picture_id >> 8, picture_id & 0xFF))
        structure = b""
        if place is None:
            octet = _I | (0 if key_frame else _P)
            if key_frame:
                structure = _size_structure(frame)
        else:
            octet = _I | _L | (0 if place.key_picture else _P) | (0 if place.serves_upper else _Z)
            layer = place.temporal_id << 5 | (_U if place.step.is_sync else 0)
            layer |= place.spatial_id << 1 | (_D if place.needs_lower else 0)
            rest += bytes((layer, tl0_pic_idx))
            if place.key_picture and not place.spatial_id:
                structure = _layer_structure(place)
        # every piece leaves room for the structure: the sizes stay equal, and it is small
        pieces = split_evenly(len(frame), max_payload_bytes - 1 - len(rest) - len(structure))
        last = len(pieces) - 1
        payloads = []
        for i, (start, end) in enumerate(pieces):
            bits = octet | (_E if i == last else 0)
            if i == 0:
                bits |= _B | (_V if structure else 0)
                payloads.append(bytes((bits,)) + rest + structure + frame[start:end])
            else:
                payloads.append(bytes((bits,)) + rest + frame[start:end])
        return payloads


def _size_structure(frame: bytes) -> bytes:
    """The scalability structure of a key frame without layers; none where it cannot tell the size."""
    size = vp9_frame_size(superframe_frames(frame)[-1])
    if size is None or max(size) > _MAX_STRUCTURE_SIZE:
        return b""
    width, height = size
    return bytes((_Y,)) + width.to_bytes(2, "big") + height.to_bytes(2, "big")


def _layer_structure(place: LayerPlace) -> bytes:
    mode = place.mode
    has_sizes = len(place.sizes) == mode.spatial_layers and max(map(max, place.sizes)) <= _MAX_STRUCTURE_SIZE
    parts = [bytes(((mode.spatial_layers - 1) << 5 | (_Y if has_sizes else 0) | _G,))]
    if has_sizes:
        parts += [side.to_bytes(2, "big") for size in place.sizes for side in size]
    parts.append(bytes((len(mode.steps),)))
    for step in mode.steps:
        parts.append(bytes((step.temporal_id << 5 | (_U if step.is_sync else 0) | 1 << 2, step.back)))
    return b"".join(parts)


def vp9_frame_size(frame: bytes) -> tuple[int, int] | None:
    """Width and height that a key frame states; None for another frame, or one cut short.

    Spec: VP9 bitstream specification, section 6.2 (uncompressed_header).
    """
    if len(frame) < 12:
        return None
    bits = int.from_bytes(frame[:12], "big")
    at = 96

    def take(count: int) -> int:
        nonlocal at
        at -= count
        return bits >> at & ((1 << count) - 1)

    if take(2) != 2:  # frame_marker
        return None
    profile = take(1) | take(1) << 1
    if profile == 3:
        take(1)
    if take(1):  # show_existing_frame
        return None
    if take(1):  # frame_type: 0 is a key frame
        return None
    take(2)  # show_frame, error_resilient_mode
    if take(24) != 0x498342:
        return None
    if profile >= 2:
        take(1)  # bit depth
    if take(3) != 7:  # color_space; 7 is RGB
        take(1)
        if profile in (1, 3):
            take(3)
    elif profile in (1, 3):
        take(1)
    return take(16) + 1, take(16) + 1
