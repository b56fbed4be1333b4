"""Channel data as messages; STUN messages and channel data out of a stream of bytes.

Spec: RFC 8489, section 6.2.2; RFC 8656, section 12.5.
"""

from __future__ import annotations

import struct

from rtcstack.engine import Run
from rtcstack.errors import ParseError
from rtcstack.ice.unfinished import Unfinished

__all__ = ["TurnFraming", "channel_data", "in_channel", "read_channel_data"]

# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |         Channel Number        |            Length             |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |                       Application Data                        |
_PREFIX = struct.Struct("!HH")

MAX_HELD_BYTES = 4 + 65_535 + 3
"""An unfinished message that is kept: the longest there is."""


class TurnFraming:
    """Cuts what a stream brings into messages."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = Unfinished()

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes in order.

        Returns:
            The messages that are complete now; channel data without its padding.

        Raises:
            ParseError: this is no stream of TURN; nothing after it can be understood.
        """
        messages: list[bytes] = []
        joined = self._held.join(data)
        if joined is None:
            return messages
        data, size, position = joined, len(joined), 0
        wanted = 4
        while size - position >= 4:
            first, length = _PREFIX.unpack_from(data, position)
            if first >> 14 == 0:
                taken = total = 20 + length
            elif first >> 14 == 1:
                taken = 4 + length
                total = taken + (-length & 3)
            else:
                raise ParseError("a TURN server's stream holds neither STUN nor channel data")
            if size - position < total:
                wanted = total
                break
            messages.append(data[position : position + taken])
            position += total
        self._held.keep(data, position, wanted)
        return messages


def channel_data(number: int, data: bytes, *, is_stream: bool = False) -> bytes:
    """A datagram with a channel's header; over a stream padded to four bytes."""
    framed = _PREFIX.pack(number, len(data)) + data
    return framed + bytes(-len(data) & 3) if is_stream else framed


def read_channel_data(message: bytes) -> tuple[int, bytes] | None:
    """A channel's number and what came on it, or None if it is not whole."""
    if len(message) < 4:
        return None
    number, length = _PREFIX.unpack_from(message)
    return (number, message[4 : 4 + length]) if length <= len(message) - 4 else None


def in_channel(number: int, run: Run) -> Run:
    """A run in which each datagram has a channel's header."""
    data, segment = run
    size = len(data)
    if size <= segment:
        return Run(_PREFIX.pack(number, size) + data, size + 4)
    header = _PREFIX.pack(number, segment)
    pieces: list[bytes] = []
    last = (size - 1) // segment * segment
    for start in range(0, last, segment):
        pieces += (header, data[start : start + segment])
    pieces += (_PREFIX.pack(number, size - last), data[last:])
    return Run(b"".join(pieces), segment + 4)
