"""STUN messages and channel data out of a stream of bytes.

Spec: RFC 8489, section 6.2.2; RFC 8656, section 12.5.
"""

from __future__ import annotations

import struct

from rtcstack.errors import ParseError

__all__ = ["TurnFraming"]

_PREFIX = struct.Struct("!HH")

MAX_HELD_BYTES = 4 + 65_535 + 3
"""An unfinished message that is kept: the longest there is."""


class TurnFraming:
    """Cuts what a stream brings into messages."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes in order.

        Returns:
            The messages that are complete now; channel data without its padding.

        Raises:
            ParseError: this is no stream of TURN; nothing after it can be understood.
        """
        data = self._held + data
        size = len(data)
        position = 0
        messages: list[bytes] = []
        while size - position >= 4:
            first, length = _PREFIX.unpack_from(data, position)
            if first >> 14 == 0:
                taken = total = 20 + length
            elif first >> 14 == 1:
                taken = 4 + length
                total = taken + (-length & 3)
            else:
                self._held = b""
                raise ParseError("a TURN server's stream holds neither STUN nor channel data")
            if size - position < total:
                break
            messages.append(data[position : position + taken])
            position += total
        self._held = data[position:]
        return messages
