"""The Data Channel Establishment Protocol: OPEN and ACK.

Spec: RFC 8832, section 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct

from rtcstack.errors import ParseError

__all__ = ["ACK", "MESSAGE_ACK", "MESSAGE_OPEN", "OpenMessage", "Ppid"]

MESSAGE_ACK = 0x02
MESSAGE_OPEN = 0x03
ACK = bytes((MESSAGE_ACK,))


class Ppid(IntEnum):
    """Payload protocol identifiers. Spec: RFC 8831, section 8.1."""

    DCEP = 50
    STRING = 51
    BINARY = 53
    STRING_EMPTY = 56
    BINARY_EMPTY = 57


_OPEN = Struct("!BBHIHH")
"""
     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |  Message Type |  Channel Type |            Priority           |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                    Reliability Parameter                      |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |         Label Length          |       Protocol Length         |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    :                    Label, then Protocol                       :
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

_RELIABLE = 0x00
_PARTIAL_RELIABLE_REXMIT = 0x01
_PARTIAL_RELIABLE_TIMED = 0x02
_UNORDERED = 0x80


@dataclass(frozen=True, slots=True)
class OpenMessage:
    """DATA_CHANNEL_OPEN.

    Attributes:
        label, protocol: at most 65535 bytes each in UTF-8.
        ordered: whether messages are delivered in order.
        max_retransmits: number of retransmissions, or None.
        max_packet_lifetime_ms: lifetime in milliseconds, or None. Never both.
        priority: 0 to 65535.
    """

    label: str
    protocol: str = ""
    ordered: bool = True
    max_retransmits: int | None = None
    max_packet_lifetime_ms: int | None = None
    priority: int = 256

    def to_bytes(self) -> bytes:
        """The message."""
        kind, reliability = _RELIABLE, 0
        if self.max_retransmits is not None:
            kind, reliability = _PARTIAL_RELIABLE_REXMIT, self.max_retransmits
        elif self.max_packet_lifetime_ms is not None:
            kind, reliability = _PARTIAL_RELIABLE_TIMED, self.max_packet_lifetime_ms
        if not self.ordered:
            kind |= _UNORDERED
        label, protocol = self.label.encode(), self.protocol.encode()
        header = _OPEN.pack(MESSAGE_OPEN, kind, self.priority, reliability, len(label), len(protocol))
        return header + label + protocol

    @staticmethod
    def parse(data: bytes) -> OpenMessage:
        """Read the message.

        Raises:
            ParseError: it is cut off, its type is unknown, or its text is not UTF-8.
        """
        if len(data) < _OPEN.size:
            raise ParseError(f"DATA_CHANNEL_OPEN of {len(data)} bytes")
        message, kind, priority, reliability, label_bytes, protocol_bytes = _OPEN.unpack_from(data)
        end = _OPEN.size + label_bytes + protocol_bytes
        if message != MESSAGE_OPEN or end > len(data):
            raise ParseError("DATA_CHANNEL_OPEN cut off")
        if kind & ~_UNORDERED not in (_RELIABLE, _PARTIAL_RELIABLE_REXMIT, _PARTIAL_RELIABLE_TIMED):
            raise ParseError(f"unknown channel type {kind}")
        try:
            label = data[_OPEN.size : _OPEN.size + label_bytes].decode()
            protocol = data[_OPEN.size + label_bytes : end].decode()
        except UnicodeDecodeError as error:
            raise ParseError("label or protocol is not UTF-8") from error
        base = kind & ~_UNORDERED
        return OpenMessage(
            label,
            protocol,
            not kind & _UNORDERED,
            reliability if base == _PARTIAL_RELIABLE_REXMIT else None,
            reliability if base == _PARTIAL_RELIABLE_TIMED else None,
            priority,
        )
