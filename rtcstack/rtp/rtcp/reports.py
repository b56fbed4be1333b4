"""Sender and receiver reports, source descriptions, goodbyes, application packets.

Spec: RFC 3550, sections 6.4 to 6.7.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, NamedTuple

from rtcstack.errors import ParseError
from rtcstack.rtp.rtcp.wire import UINT32, packet_bytes

__all__ = [
    "MAX_BLOCKS",
    "Application",
    "Goodbye",
    "ReceiverReport",
    "ReportBlock",
    "SenderReport",
    "SourceDescription",
]

MAX_BLOCKS = 31
"""Report blocks, chunks and sources that a packet's five-bit count can tell."""

MAX_TEXT_BYTES = 255
"""Length of a source description item or a reason, by its one-byte length."""

# +=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+
# |                             SSRC                              |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# | fraction lost |       cumulative number of packets lost       |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |           extended highest sequence number received           |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |                      interarrival jitter                      |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |                         last SR (LSR)                         |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |                   delay since last SR (DLSR)                  |
# +=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+
_BLOCK = Struct("!IIIIII")


class ReportBlock(NamedTuple):
    """What a receiver tells of one source.

    Attributes:
        ssrc: the source.
        fraction_lost: of the packets since the last report, in 1/256.
        packets_lost: in all, signed 24 bits: duplicates count against losses.
        highest_sequence_number: extended by the cycles, 32 bits.
        jitter: in RTP ticks.
        last_sr: the middle 32 bits of the last sender report's NTP time, 0 without one.
        delay_since_last_sr: in 1/65536 s.
    """

    ssrc: int
    fraction_lost: int = 0
    packets_lost: int = 0
    highest_sequence_number: int = 0
    jitter: int = 0
    last_sr: int = 0
    delay_since_last_sr: int = 0

    def to_bytes(self) -> bytes:
        """The block on the wire; values beyond their fields are held at the bounds."""
        lost = max(-0x80_0000, min(self.packets_lost, 0x7F_FFFF)) & 0xFF_FFFF
        return _BLOCK.pack(
            self.ssrc,
            min(self.fraction_lost, 255) << 24 | lost,
            self.highest_sequence_number & 0xFFFF_FFFF,
            min(self.jitter, 0xFFFF_FFFF),
            self.last_sr,
            max(0, min(self.delay_since_last_sr, 0xFFFF_FFFF)),
        )


def _read_blocks(body: bytes, start: int, count: int) -> tuple[ReportBlock, ...]:
    if start + count * _BLOCK.size > len(body):
        raise ParseError("RTCP report is shorter than its blocks")
    blocks = []
    for i in range(count):
        ssrc, loss, highest, jitter, lsr, dlsr = _BLOCK.unpack_from(body, start + i * _BLOCK.size)
        lost = loss & 0xFF_FFFF
        if lost & 0x80_0000:
            lost -= 0x100_0000
        blocks.append(ReportBlock(ssrc, loss >> 24, lost, highest, jitter, lsr, dlsr))
    return tuple(blocks)


#  0                   1                   2                   3
#  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |V=2|P|    RC   |   PT=SR=200   |             length            |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |                         SSRC of sender                        |
# +=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+
# |              NTP timestamp, most significant word             |
# |             NTP timestamp, least significant word             |
# |                         RTP timestamp                         |
# |                     sender's packet count                     |
# |                      sender's octet count                     |
# +=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+
_SENDER = Struct("!IQIII")


@dataclass(slots=True)
class SenderReport:
    """SR: what a source has sent, and when its timestamps are in wall-clock time.

    Attributes:
        ssrc: the source.
        ntp: 64-bit NTP timestamp of the moment the report was made.
        rtp_timestamp: the same moment by the source's RTP clock.
        packet_count, octet_count: sent so far, payload only; 32 bits.
        blocks: of sources that it receives; at most 31.
    """

    packet_type: ClassVar[int] = 200

    ssrc: int
    ntp: int
    rtp_timestamp: int
    packet_count: int
    octet_count: int
    blocks: tuple[ReportBlock, ...] = ()

    def to_bytes(self) -> bytes:
        """The packet on the wire."""
        body = _SENDER.pack(
            self.ssrc,
            self.ntp,
            self.rtp_timestamp & 0xFFFF_FFFF,
            self.packet_count & 0xFFFF_FFFF,
            self.octet_count & 0xFFFF_FFFF,
        )
        body += b"".join([block.to_bytes() for block in self.blocks])
        return packet_bytes(self.packet_type, len(self.blocks), body)

    @classmethod
    def parse(cls, count: int, body: bytes) -> SenderReport:
        """Read what follows the header. Profile-specific extensions at its end are passed over."""
        if len(body) < _SENDER.size:
            raise ParseError("RTCP sender report is too short")
        ssrc, ntp, rtp_timestamp, packets, octets = _SENDER.unpack_from(body)
        blocks = _read_blocks(body, _SENDER.size, count)
        return cls(ssrc, ntp, rtp_timestamp, packets, octets, blocks)


@dataclass(slots=True)
class ReceiverReport:
    """RR: what a receiver tells of its sources; at most 31 blocks."""

    packet_type: ClassVar[int] = 201

    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()

    def to_bytes(self) -> bytes:
        """The packet on the wire."""
        body = UINT32.pack(self.ssrc) + b"".join([block.to_bytes() for block in self.blocks])
        return packet_bytes(self.packet_type, len(self.blocks), body)

    @classmethod
    def parse(cls, count: int, body: bytes) -> ReceiverReport:
        """Read what follows the header. Profile-specific extensions at its end are passed over."""
        if len(body) < 4:
            raise ParseError("RTCP receiver report is too short")
        return cls(UINT32.unpack_from(body)[0], _read_blocks(body, 4, count))


def _as_bytes(text: str) -> bytes:
    """Text as an item has it; one that is too long ends with a whole character."""
    return text.encode()[:MAX_TEXT_BYTES].decode("utf-8", "ignore").encode()


@dataclass(slots=True)
class SourceDescription:
    """SDES.

    Attributes:
        chunks: (ssrc, ((item type, text), ...)) of each source; at most 31.
    """

    packet_type: ClassVar[int] = 202
    CNAME: ClassVar[int] = 1

    chunks: tuple[tuple[int, tuple[tuple[int, bytes], ...]], ...] = ()

    @classmethod
    def of_cname(cls, cname: str, *ssrcs: int) -> SourceDescription:
        """The description that WebRTC endpoints send: nothing but the canonical name."""
        items = ((cls.CNAME, _as_bytes(cname)),)
        return cls(tuple((ssrc, items) for ssrc in ssrcs[:MAX_BLOCKS]))

    def to_bytes(self) -> bytes:
        """The packet on the wire."""
        body = b""
        for ssrc, items in self.chunks:
            chunk = UINT32.pack(ssrc)
            for kind, text in items:
                chunk += bytes((kind, len(text))) + text
            body += chunk + bytes(4 - len(chunk) % 4)  # a zero byte at least ends the items
        return packet_bytes(self.packet_type, len(self.chunks), body)

    @classmethod
    def parse(cls, count: int, body: bytes) -> SourceDescription:
        """Read what follows the header."""
        chunks = []
        position, size = 0, len(body)
        for _ in range(count):
            if position + 4 > size:
                raise ParseError("RTCP source description is shorter than its chunks")
            ssrc = UINT32.unpack_from(body, position)[0]
            position += 4
            items = []
            while position < size and body[position]:
                if position + 2 > size or position + 2 + body[position + 1] > size:
                    raise ParseError("RTCP source description item is cut off")
                end = position + 2 + body[position + 1]
                items.append((body[position], body[position + 2 : end]))
                position = end
            position = (position + 4) & ~3
            chunks.append((ssrc, tuple(items)))
        return cls(tuple(chunks))

    @property
    def cnames(self) -> dict[int, str]:
        """The canonical name of each source that tells one."""
        return {
            ssrc: text.decode("utf-8", "replace")
            for ssrc, items in self.chunks
            for kind, text in items
            if kind == self.CNAME
        }


@dataclass(slots=True)
class Goodbye:
    """BYE: these sources send no more.

    Attributes:
        sources: at most 31.
        reason: text for people.
    """

    packet_type: ClassVar[int] = 203

    sources: tuple[int, ...]
    reason: str = ""

    def to_bytes(self) -> bytes:
        """The packet on the wire."""
        body = b"".join([UINT32.pack(ssrc) for ssrc in self.sources])
        if self.reason:
            text = _as_bytes(self.reason)
            body += bytes((len(text),)) + text
            body += bytes(-len(body) % 4)
        return packet_bytes(self.packet_type, len(self.sources), body)

    @classmethod
    def parse(cls, count: int, body: bytes) -> Goodbye:
        """Read what follows the header."""
        if 4 * count > len(body):
            raise ParseError("RTCP goodbye is shorter than its sources")
        sources = Struct(f"!{count}I").unpack_from(body)
        rest = body[4 * count :]
        return cls(sources, rest[1 : 1 + rest[0]].decode("utf-8", "replace") if rest else "")


@dataclass(slots=True)
class Application:
    """APP: what an application defines for itself.

    Attributes:
        ssrc: the sender.
        name: four ASCII characters.
        data: a multiple of four bytes.
        subtype: 0 to 31.
    """

    packet_type: ClassVar[int] = 204

    ssrc: int
    name: bytes
    data: bytes = b""
    subtype: int = 0

    def to_bytes(self) -> bytes:
        """The packet on the wire."""
        return packet_bytes(self.packet_type, self.subtype, UINT32.pack(self.ssrc) + self.name + self.data)

    @classmethod
    def parse(cls, count: int, body: bytes) -> Application:
        """Read what follows the header."""
        if len(body) < 8:
            raise ParseError("RTCP application packet is too short")
        return cls(UINT32.unpack_from(body)[0], body[4:8], body[8:], count)
