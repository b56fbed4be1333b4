"""Feedback that asks for something: retransmissions, key frames, a lower bit rate.

Spec: RFC 4585, section 6; RFC 5104, section 4.3.1; draft-alvestrand-rmcat-remb-03.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar

from rtcstack.errors import ParseError
from rtcstack.rtp.rtcp.wire import packet_bytes

__all__ = ["FullIntraRequest", "Nack", "PictureLossIndication", "ReceiverEstimate"]

#  0                   1                   2                   3
#  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |V=2|P|   FMT   |       PT      |          length               |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |                  SSRC of packet sender                        |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |                  SSRC of media source                         |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# :            Feedback Control Information (FCI)                 :
SOURCES = Struct("!II")

# |            PID                |             BLP               |
_NACK = Struct("!HH")

MAX_NACKED_PER_PACKET = 253 * 17
"""Sequence numbers in the largest NACK that fits a packet of 1,024 bytes; more are not read."""


def _sources(body: bytes) -> tuple[int, int]:
    if len(body) < SOURCES.size:
        raise ParseError("RTCP feedback is too short")
    sender, media = SOURCES.unpack_from(body)
    return sender, media


@dataclass(slots=True)
class Nack:
    """Generic NACK: packets that the receiver misses.

    Attributes:
        sender_ssrc: who asks.
        media_ssrc: the stream.
        sequence_numbers: 16 bits each, oldest first.

    Spec: RFC 4585, section 6.2.1.
    """

    packet_type: ClassVar[int] = 205
    format: ClassVar[int] = 1

    sender_ssrc: int
    media_ssrc: int
    sequence_numbers: tuple[int, ...]

    def to_bytes(self) -> bytes:
        """The packet on the wire; numbers that are near each other share a word."""
        words: list[bytes] = []
        first, mask = -1, 0
        for number in self.sequence_numbers:
            distance = (number - first) & 0xFFFF
            if first >= 0 and 1 <= distance <= 16:
                mask |= 1 << (distance - 1)
                continue
            if first >= 0:
                words.append(_NACK.pack(first, mask))
            first, mask = number, 0
        if first >= 0:
            words.append(_NACK.pack(first, mask))
        body = SOURCES.pack(self.sender_ssrc, self.media_ssrc) + b"".join(words)
        return packet_bytes(self.packet_type, self.format, body)

    @classmethod
    def parse(cls, body: bytes) -> Nack:
        """Read what follows the header."""
        sender, media = _sources(body)
        numbers: list[int] = []
        for start in range(8, len(body) - 3, 4):
            first, mask = _NACK.unpack_from(body, start)
            numbers.append(first)
            while mask:
                low = mask & -mask
                numbers.append((first + low.bit_length()) & 0xFFFF)
                mask ^= low
            if len(numbers) > MAX_NACKED_PER_PACKET:
                break
        return cls(sender, media, tuple(numbers))


@dataclass(slots=True)
class PictureLossIndication:
    """PLI: the decoder needs a key frame. Spec: RFC 4585, section 6.3.1."""

    packet_type: ClassVar[int] = 206
    format: ClassVar[int] = 1

    sender_ssrc: int
    media_ssrc: int

    def to_bytes(self) -> bytes:
        """The packet on the wire."""
        return packet_bytes(self.packet_type, self.format, SOURCES.pack(self.sender_ssrc, self.media_ssrc))

    @classmethod
    def parse(cls, body: bytes) -> PictureLossIndication:
        """Read what follows the header."""
        return cls(*_sources(body))


# |                              SSRC                             |
# | Seq nr.       |    Reserved                                   |
_FIR = Struct("!IBxxx")


@dataclass(slots=True)
class FullIntraRequest:
    """FIR: key frames are asked for; a repeated number repeats a request.

    Attributes:
        sender_ssrc: who asks.
        requests: (media ssrc, command number of 8 bits).

    Spec: RFC 5104, section 4.3.1.
    """

    packet_type: ClassVar[int] = 206
    format: ClassVar[int] = 4

    sender_ssrc: int
    requests: tuple[tuple[int, int], ...]

    def to_bytes(self) -> bytes:
        """The packet on the wire."""
        body = SOURCES.pack(self.sender_ssrc, 0)
        body += b"".join([_FIR.pack(ssrc, number & 0xFF) for ssrc, number in self.requests])
        return packet_bytes(self.packet_type, self.format, body)

    @classmethod
    def parse(cls, body: bytes) -> FullIntraRequest:
        """Read what follows the header."""
        sender, _ = _sources(body)
        requests = tuple(
            _FIR.unpack_from(body, start) for start in range(8, len(body) - _FIR.size + 1, _FIR.size)
        )
        return cls(sender, requests)


# |  Unique identifier 'R' 'E' 'M' 'B'                            |
# |  Num SSRC     | BR Exp    |  BR Mantissa                      |
# |   SSRC feedback                                               |
_REMB = Struct("!4sI")


@dataclass(slots=True)
class ReceiverEstimate:
    """REMB: the bit rate that the receiver takes in all for these streams.

    Attributes:
        sender_ssrc: who tells.
        bitrate_bps: at most 2**18 - 1 times a power of two on the wire.
        ssrcs: the streams; at most 255.
    """

    packet_type: ClassVar[int] = 206
    format: ClassVar[int] = 15

    sender_ssrc: int
    bitrate_bps: int
    ssrcs: tuple[int, ...] = ()

    def to_bytes(self) -> bytes:
        """The packet on the wire; the bit rate is rounded down to what can be written."""
        exponent = max(0, self.bitrate_bps.bit_length() - 18)
        word = len(self.ssrcs) << 24 | exponent << 18 | self.bitrate_bps >> exponent
        body = SOURCES.pack(self.sender_ssrc, 0) + _REMB.pack(b"REMB", word)
        body += Struct(f"!{len(self.ssrcs)}I").pack(*self.ssrcs)
        return packet_bytes(self.packet_type, self.format, body)

    @classmethod
    def parse(cls, body: bytes) -> ReceiverEstimate | None:
        """Read what follows the header; None for other application layer feedback."""
        sender, _ = _sources(body)
        if len(body) < 16:
            return None
        name, word = _REMB.unpack_from(body, 8)
        if name != b"REMB":
            return None
        count = word >> 24
        if 16 + 4 * count > len(body):
            raise ParseError("RTCP receiver estimate is shorter than its sources")
        bitrate = (word & 0x3_FFFF) << (word >> 18 & 0x3F)
        return cls(sender, bitrate, Struct(f"!{count}I").unpack_from(body, 16))
