"""The SCTP packet: common header, checksum, and the chain of chunks.

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |     Source Port Number        |     Destination Port Number   |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                      Verification Tag                         |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                           Checksum                            |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

Spec: RFC 9260, section 3.
"""

from __future__ import annotations

from struct import Struct

from google_crc32c import extend as crc32c_extend

from rtcstack.errors import ParseError

__all__ = ["COMMON_HEADER_BYTES", "PacketWriter", "chunk_bytes", "split_chunks", "verify_checksum"]

COMMON_HEADER_BYTES = 12
CHUNK_HEADER_BYTES = 4

_PORTS_TAG = Struct("!HHI")
_CHECKSUM = Struct("<I")  # CRC32c travels low byte first (RFC 9260, appendix A)
_PACK_CHECKSUM = _CHECKSUM.pack
_NO_CHECKSUM = b"\0\0\0\0"

_CHUNK_HEADER = Struct("!BBH")
"""
     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |   Chunk Type  |  Chunk Flags  |        Chunk Length           |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")
"""What pads a length up to a multiple of four, by `length & 3`."""


def chunk_bytes(kind: int, flags: int, body: bytes) -> bytes:
    """A chunk with its header and padding."""
    length = CHUNK_HEADER_BYTES + len(body)
    return _CHUNK_HEADER.pack(kind, flags, length) + body + PADDING[length & 3]


def split_chunks(packet: bytes, position: int = COMMON_HEADER_BYTES) -> list[tuple[int, int, bytes]]:
    """The chunks of a packet, from `position` on, as (type, flags, body).

    Raises:
        ParseError: a chunk is shorter than its header or longer than the packet.
    """
    chunks = []
    end = len(packet)
    if position >= end:
        raise ParseError("a packet without a chunk")
    while position < end:
        if end - position < CHUNK_HEADER_BYTES:
            raise ParseError("a chunk header is cut off")
        kind, flags, length = _CHUNK_HEADER.unpack_from(packet, position)
        if length < CHUNK_HEADER_BYTES or position + length > end:
            raise ParseError(f"chunk of type {kind} claims {length} of {end - position} bytes")
        chunks.append((kind, flags, packet[position + CHUNK_HEADER_BYTES : position + length]))
        position += (length + 3) & ~3
    return chunks


def verify_checksum(packet: bytes, *, accept_zero: bool = False) -> bool:
    """Whether the packet's CRC32c is right, or zero where that is agreed (RFC 9653)."""
    checksum = packet[8:12]
    if accept_zero and checksum == _NO_CHECKSUM:
        return True
    crc: int = crc32c_extend(crc32c_extend(0, packet[:8] + _NO_CHECKSUM), packet[12:])
    return _CHECKSUM.pack(crc) == checksum


class PacketWriter:
    """Puts the common header of one direction in front of chunks.

    The checksum of the header is taken once: it is the same for each packet of a direction.
    """

    __slots__ = ("_header", "_header_crc", "_header_zero", "zero_checksum")

    def __init__(self, source_port: int, destination_port: int, tag: int) -> None:
        self._header = _PORTS_TAG.pack(source_port, destination_port, tag)
        self._header_zero = self._header + _NO_CHECKSUM
        self._header_crc: int = crc32c_extend(0, self._header_zero)
        self.zero_checksum = False

    def write(self, chunks: list[bytes], checksum: bool = False) -> bytes:
        """One packet of whole, padded chunks.

        Args:
            chunks: as `chunk_bytes` makes them.
            checksum: force a checksum though zero is agreed (INIT and COOKIE ECHO need one).
        """
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if self.zero_checksum and not checksum:
            return self._header_zero + body
        return self._header + _PACK_CHECKSUM(crc32c_extend(self._header_crc, body)) + body
