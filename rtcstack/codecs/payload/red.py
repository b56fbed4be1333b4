"""RTP payload for redundant audio: each packet also carries the frames before it.

Spec: RFC 2198; for Opus as browsers write it, ``a=fmtp:63 111/111``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from rtcstack.codecs.payload.base import DEFAULT_PAYLOAD_BYTES
from rtcstack.errors import ParseError
from rtcstack.rtp.frames import AudioDepacketizer, AudioUnit

__all__ = ["RedDepacketizer", "RedPacketizer"]

# A redundant block's header, and the last block's (RFC 2198, section 3):
#
#      0                   1                    2                   3
#      0 1 2 3 4 5 6 7 8 9 0 1 2 3  4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
#     +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
#     |1|   block PT  |  timestamp offset         |   block length    |
#     +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
#     |0|   block PT  |
#     +-+-+-+-+-+-+-+-+
_FOLLOWS = 0x80
_MAX_OFFSET = (1 << 14) - 1
_MAX_LENGTH = (1 << 10) - 1

_MAX_BLOCKS = 10
"""Blocks of one payload: what browsers send has three at most."""


class RedDepacketizer:
    """Reads redundant audio.

    Args:
        payload_type: of the codec inside; blocks of others are passed over.
        inner: reads the blocks.
    """

    __slots__ = ("_inner", "_payload_type")

    def __init__(self, payload_type: int, inner: AudioDepacketizer) -> None:
        self._payload_type = payload_type
        self._inner = inner

    def split(self, payload: bytes) -> Sequence[AudioUnit]:
        """The frames, oldest first, the packet's own last.

        Raises:
            ParseError: cut short, lying lengths, too many blocks, or none of our codec.
        """
        headers: list[tuple[int, int, int]] = []
        at, end = 0, len(payload)
        while True:
            if at >= end:
                raise ParseError("RED payload is cut short")
            first = payload[at]
            if not first & _FOLLOWS:
                at += 1
                break
            if at + 4 > end or len(headers) >= _MAX_BLOCKS:
                raise ParseError("RED payload is cut short or has too many blocks")
            word = int.from_bytes(payload[at + 1 : at + 4], "big")
            headers.append((first & 0x7F, word >> 10, word & _MAX_LENGTH))
            at += 4
        primary_at = at + sum(length for _, _, length in headers)
        if primary_at > end:
            raise ParseError("RED block with a lying length")
        units: list[AudioUnit] = []
        for payload_type, offset, length in headers:
            block = payload[at : at + length]
            at += length
            if block and payload_type == self._payload_type:
                try:
                    inner = self._inner.split(block)
                except ParseError:
                    continue  # a damaged copy costs itself only
                units += (
                    AudioUnit(u.data, u.timestamp_offset - offset, u.duration, True, u.has_fec) for u in inner
                )
        units.sort(key=lambda u: u.timestamp_offset)
        if first == self._payload_type and primary_at < end:
            units += self._inner.split(payload[primary_at:])
        if not units:
            raise ParseError("RED payload holds nothing of the codec")
        return units


class RedPacketizer:
    """Adds to each frame the frames before it.

    Args:
        payload_type: of the codec inside.
        depth: how many earlier frames, 1 to 9.
    """

    __slots__ = ("_earlier", "_payload_type")

    def __init__(self, payload_type: int, depth: int = 1) -> None:
        if not 1 <= depth < _MAX_BLOCKS:
            raise ValueError(f"depth must be 1 to {_MAX_BLOCKS - 1}, not {depth}")
        self._payload_type = payload_type
        self._earlier: deque[tuple[int, bytes]] = deque(maxlen=depth)

    @property
    def depth(self) -> int:
        """How many earlier frames a packet carries at most."""
        return self._earlier.maxlen or 0

    def packetize(
        self, frame: bytes, timestamp: int, max_payload_bytes: int = DEFAULT_PAYLOAD_BYTES
    ) -> bytes:
        """The payload of one frame.

        Args:
            frame: encoded.
            timestamp: of the frame, in RTP ticks; unwrapped, or 32 bits wide.
            max_payload_bytes: redundancy that would pass it is left out, oldest first.
        """
        headers: list[bytes] = []
        blocks: list[bytes] = []
        room = max_payload_bytes - 1 - len(frame)
        for earlier, data in reversed(self._earlier):
            offset = (timestamp - earlier) & 0xFFFF_FFFF
            room -= 4 + len(data)
            if offset > _MAX_OFFSET or room < 0:
                break
            word = offset << 10 | len(data)
            headers.append(bytes((_FOLLOWS | self._payload_type,)) + word.to_bytes(3, "big"))
            blocks.append(data)
        if len(frame) <= _MAX_LENGTH:
            self._earlier.append((timestamp, frame))
        else:
            self._earlier.clear()
        return b"".join((*reversed(headers), bytes((self._payload_type,)), *reversed(blocks), frame))
