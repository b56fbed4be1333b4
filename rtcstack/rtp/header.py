"""Making RTP headers: one Struct per stream and shape of its header extension.

The block of extensions that every packet of a frame shares is made once per frame. What differs
from packet to packet (absolute send time, transport-wide sequence number) is packed with the rest
of the header in one call.

Spec: RFC 3550, section 5.1; RFC 8285, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct

from rtcstack.rtp.layout import ONE_BYTE_PROFILE

__all__ = ["Header", "make_header"]

_TWO_BYTE_PROFILE = 0x1000
_MAX_SHAPES = 1024


class Header:
    """All of a frame's headers, but for what differs between its packets.

    Attributes:
        size: of the whole header, in bytes.
        wide: whether it bears a transport-wide sequence number.
    """

    __slots__ = ("_head", "_middle", "_pack", "_ssrc", "_times", "size", "wide")

    def __init__(self, ssrc: int, shape: Struct, head: bytes, middle: bytes, times: bool, wide: bool) -> None:
        self._ssrc = ssrc
        self._pack = shape.pack
        self._head = head
        self._middle = middle
        self._times = times
        self.wide = wide
        self.size = shape.size

    def write(
        self, payload_type_marker: int, sequence_number: int, timestamp: int, send_time: int, wide: int
    ) -> bytes:
        """The bytes of a header.

        Args:
            payload_type_marker: the second byte.
            sequence_number, timestamp: as on the wire.
            send_time: 24 bits; disregarded when the header has no absolute send time.
            wide: 16 bits; disregarded when it has no transport-wide sequence number.
        """
        if self._times:
            if self.wide:
                return self._pack(
                    0x90,
                    payload_type_marker,
                    sequence_number,
                    timestamp,
                    self._ssrc,
                    self._head,
                    send_time >> 16,
                    send_time & 0xFFFF,
                    self._middle,
                    wide,
                )
            return self._pack(
                0x90,
                payload_type_marker,
                sequence_number,
                timestamp,
                self._ssrc,
                self._head,
                send_time >> 16,
                send_time & 0xFFFF,
            )
        if self.wide:
            return self._pack(
                0x90, payload_type_marker, sequence_number, timestamp, self._ssrc, self._head, wide
            )
        first = 0x90 if self._head else 0x80
        return self._pack(first, payload_type_marker, sequence_number, timestamp, self._ssrc, self._head)


@lru_cache(_MAX_SHAPES)
def _shape(head: int, middle: int, padding: int, times: bool, wide: bool) -> Struct:
    code = f"!BBHII{head}s"
    if times:
        code += "BH"
    if wide:
        code += f"{middle}sH" if times else "H"
    return Struct(code + "x" * padding)


def make_header(
    ssrc: int,
    elements: Sequence[tuple[int, bytes]] = (),
    *,
    abs_send_time: int = 0,
    transport_cc: int = 0,
) -> Header:
    """Prepare headers.

    Args:
        ssrc: of the stream.
        elements: ids and values that all packets share; values of 1 to 255 bytes.
        abs_send_time, transport_cc: ids, or 0 for none.
    """
    if not (elements or abs_send_time or transport_cc):
        return Header(ssrc, _shape(0, 0, 0, False, False), b"", b"", False, False)
    two_byte = (
        abs_send_time > 14
        or transport_cc > 14
        or any(i > 14 or not 1 <= len(value) <= 16 for i, value in elements)
    )

    def heading(identifier: int, size: int) -> bytes:
        return bytes((identifier, size)) if two_byte else bytes((identifier << 4 | size - 1,))

    head = b"".join([heading(i, len(value)) + value for i, value in elements])
    middle = heading(transport_cc, 2) if transport_cc else b""
    size = len(head) + len(middle) + (2 if transport_cc else 0)
    if abs_send_time:
        head += heading(abs_send_time, 3)
        size = len(head) + 3 + (len(middle) + 2 if transport_cc else 0)
    elif transport_cc:
        head += middle
    padding = -size % 4
    profile = _TWO_BYTE_PROFILE if two_byte else ONE_BYTE_PROFILE
    words = (size + padding) // 4
    head = profile.to_bytes(2, "big") + words.to_bytes(2, "big") + head
    times, wide = bool(abs_send_time), bool(transport_cc)
    return Header(ssrc, _shape(len(head), len(middle), padding, times, wide), head, middle, times, wide)
