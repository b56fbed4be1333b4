"""RtpPacket: one packet by its fields."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from rtcstack.compat.aiortc.rtcrtpparameters import RTCRtpParameters
from rtcstack.errors import ParseError
from rtcstack.rtp.packet import parse

__all__ = [
    "DYNAMIC_PAYLOAD_TYPES",
    "RTCRtpParameters",
    "RtpPacket",
]

DYNAMIC_PAYLOAD_TYPES = range(96, 128)

_HEADER = struct.Struct("!BBHII")


@dataclass
class RtpPacket:
    """A packet (RFC 3550, section 5.1)."""

    payload_type: int = 0
    marker: int = 0
    sequence_number: int = 0
    timestamp: int = 0
    ssrc: int = 0
    payload: bytes = b""
    version: int = 2
    csrc: list[int] = field(default_factory=list)
    padding_size: int = 0

    def __post_init__(self) -> None:
        self._data = self.payload  # what a jitter buffer joins, once somebody has set it to the codec's data

    @classmethod
    def parse(cls, data: bytes) -> RtpPacket:
        """A packet from its bytes.

        Raises:
            ValueError: it is none.
        """
        try:
            packet = parse(data)
        except ParseError as exc:
            raise ValueError(str(exc)) from None
        return cls(
            payload_type=packet.payload_type,
            marker=int(packet.marker),
            sequence_number=packet.sequence_number,
            timestamp=packet.timestamp,
            ssrc=packet.ssrc,
            payload=packet.payload,
            csrc=list(packet.csrcs),
        )

    def serialize(self) -> bytes:
        """Its bytes."""
        first = self.version << 6 | len(self.csrc)
        second = self.marker << 7 | self.payload_type
        header = _HEADER.pack(first, second, self.sequence_number, self.timestamp, self.ssrc)
        return header + b"".join(each.to_bytes(4, "big") for each in self.csrc) + self.payload
