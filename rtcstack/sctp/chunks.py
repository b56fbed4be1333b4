"""Chunks: the types, and a value class with `parse` and `to_bytes` for each control chunk.

DATA and I-DATA have no value class: the paths that send and receive them pack and unpack the
structs below in place.

Spec: RFC 9260, section 3.3; RFC 3758; RFC 6525; RFC 8260.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from struct import Struct, pack, unpack_from

from rtcstack.errors import ParseError
from rtcstack.sctp.packet import chunk_bytes
from rtcstack.sctp.params import ParamType, param_bytes, split_params

__all__ = ["ChunkType", "ForwardTsn", "Init", "Sack", "SkippedStream"]


class ChunkType(IntEnum):
    """Chunk types. The two high bits say what one who does not know a type does with it."""

    DATA = 0
    INIT = 1
    INIT_ACK = 2
    SACK = 3
    HEARTBEAT = 4
    HEARTBEAT_ACK = 5
    ABORT = 6
    SHUTDOWN = 7
    SHUTDOWN_ACK = 8
    ERROR = 9
    COOKIE_ECHO = 10
    COOKIE_ACK = 11
    SHUTDOWN_COMPLETE = 14
    I_DATA = 64
    RE_CONFIG = 130
    PAD = 132
    FORWARD_TSN = 192
    I_FORWARD_TSN = 194


FLAG_END = 0x01
FLAG_BEGIN = 0x02
FLAG_UNORDERED = 0x04
FLAG_IMMEDIATE = 0x08  # RFC 9260, section 3.3.1: SACK at once
FLAG_REFLECTED_TAG = 0x01  # ABORT, SHUTDOWN COMPLETE: the tag is the receiver's own, reflected

DATA_HEADER = Struct("!BBHIHHI")
"""
     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |   Type = 0    |  Res  |I|U|B|E|            Length             |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                              TSN                              |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |      Stream Identifier S      |   Stream Sequence Number n    |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                  Payload Protocol Identifier                  |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""
DATA_FIELDS = Struct("!IHHI")  # the same, after the chunk header

I_DATA_HEADER = Struct("!BBHIHHII")
"""
     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |   Type = 64   |  Res  |I|U|B|E|       Length                  |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                              TSN                              |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |        Stream Identifier      |           Reserved            |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                      Message Identifier                       |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |    Payload Protocol Identifier / Fragment Sequence Number     |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

The last field is the payload protocol identifier in the first fragment (whose fragment sequence
number is 0 by definition), and the fragment sequence number in the others.
"""
I_DATA_FIELDS = Struct("!IHHII")

ZERO_CHECKSUM_BY_DTLS = Struct("!I").pack(1)  # RFC 9653, section 8: error detection method 1


@dataclass(frozen=True, slots=True)
class Init:
    """INIT or INIT ACK.

         0                   1                   2                   3
         0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
        +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
        |                         Initiate Tag                          |
        +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
        |           Advertised Receiver Window Credit (a_rwnd)          |
        +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
        |  Number of Outbound Streams   |   Number of Inbound Streams   |
        +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
        |                          Initial TSN                          |
        +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

    Spec: RFC 9260, sections 3.3.2 and 3.3.3.
    """

    initiate_tag: int
    a_rwnd_bytes: int
    outbound_streams: int
    inbound_streams: int
    initial_tsn: int
    extensions: bytes = b""
    forward_tsn: bool = False
    zero_checksum: bool = False
    cookie: bytes | None = None
    unrecognized: tuple[bytes, ...] = field(default=())

    @staticmethod
    def parse(body: bytes) -> Init:
        """Read the body of an INIT or INIT ACK.

        `unrecognized` has the whole parameters whose type asks to be reported.

        Raises:
            ParseError: it is too short, or has no tag or no stream. A window below 1500 bytes, which
                nobody may offer, is taken all the same: nothing depends on it.
        """
        if len(body) < _INIT.size:
            raise ParseError(f"INIT of {len(body)} bytes")
        tag, a_rwnd, outbound, inbound, tsn = _INIT.unpack_from(body)
        if tag == 0 or outbound == 0 or inbound == 0:
            raise ParseError("INIT without a tag or a stream")
        extensions, forward_tsn, zero_checksum, cookie = b"", False, False, None
        unrecognized = []
        for kind, value in split_params(body, _INIT.size):
            if kind == ParamType.SUPPORTED_EXTENSIONS:
                extensions = value
            elif kind == ParamType.FORWARD_TSN_SUPPORTED:
                forward_tsn = True
            elif kind == ParamType.ZERO_CHECKSUM:
                zero_checksum = value == ZERO_CHECKSUM_BY_DTLS
            elif kind == ParamType.STATE_COOKIE:
                cookie = value
            elif kind not in _HARMLESS_PARAMS:
                if kind & 0x4000:
                    unrecognized.append(param_bytes(kind, value))
                if not kind & 0x8000:
                    break
        return Init(
            tag,
            a_rwnd,
            outbound,
            inbound,
            tsn,
            extensions,
            forward_tsn,
            zero_checksum,
            cookie,
            tuple(unrecognized),
        )

    def to_bytes(self, kind: int = ChunkType.INIT) -> bytes:
        """The chunk, as INIT or (`kind`) INIT ACK."""
        parts = [
            _INIT.pack(
                self.initiate_tag,
                self.a_rwnd_bytes,
                self.outbound_streams,
                self.inbound_streams,
                self.initial_tsn,
            )
        ]
        if self.cookie is not None:
            parts.append(param_bytes(ParamType.STATE_COOKIE, self.cookie))
        if self.forward_tsn:
            parts.append(param_bytes(ParamType.FORWARD_TSN_SUPPORTED, b""))
        if self.zero_checksum:
            parts.append(param_bytes(ParamType.ZERO_CHECKSUM, ZERO_CHECKSUM_BY_DTLS))
        parts.extend(param_bytes(ParamType.UNRECOGNIZED, param) for param in self.unrecognized)
        if self.extensions:
            parts.append(param_bytes(ParamType.SUPPORTED_EXTENSIONS, self.extensions))
        return chunk_bytes(kind, 0, b"".join(parts))


_INIT = Struct("!IIHHI")

_HARMLESS_PARAMS = frozenset({5, 6, 9, 11, 12, ParamType.UNRECOGNIZED, 0x8000, 0x8002, 0x8003, 0x8004})
"""Addresses, cookie preservative, ECN and authentication: known, without use over DTLS."""


@dataclass(frozen=True, slots=True)
class Sack:
    """SACK.

         0                   1                   2                   3
         0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
        +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
        |                      Cumulative TSN Ack                       |
        +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
        |          Advertised Receiver Window Credit (a_rwnd)           |
        +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
        | Number of Gap Ack Blocks = N  |  Number of Duplicate TSNs = M |
        +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
        |    Gap Ack Block #1 Start     |     Gap Ack Block #1 End      |
        +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
        :                              ...                              :
        +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
        |                       Duplicate TSN 1                         |
        +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

    Attributes:
        cumulative_tsn: as on the wire.
        gaps: start and end of each block, one after the other, relative to `cumulative_tsn`.
        duplicates: as on the wire.

    Spec: RFC 9260, section 3.3.4.
    """

    cumulative_tsn: int
    a_rwnd_bytes: int
    gaps: tuple[int, ...] = ()
    duplicates: tuple[int, ...] = ()

    @staticmethod
    def parse(body: bytes) -> Sack:
        """Read the body of a SACK.

        Raises:
            ParseError: the counts do not fit the length, or the blocks are not in order.
        """
        if len(body) < _SACK.size:
            raise ParseError(f"SACK of {len(body)} bytes")
        tsn, a_rwnd, blocks, dups = _SACK.unpack_from(body)
        if len(body) < _SACK.size + 4 * (blocks + dups):
            raise ParseError(f"SACK of {len(body)} bytes with {blocks} blocks and {dups} duplicates")
        gaps: tuple[int, ...] = ()
        duplicates: tuple[int, ...] = ()
        if blocks:
            gaps = unpack_from(f"!{2 * blocks}H", body, _SACK.size)
            if not gaps[0] or sorted(gaps) != list(gaps):
                raise ParseError("SACK with gap blocks out of order")
        if dups:
            duplicates = unpack_from(f"!{dups}I", body, _SACK.size + 4 * blocks)
        return Sack(tsn, a_rwnd, gaps, duplicates)

    def to_bytes(self) -> bytes:
        """The chunk."""
        gaps, duplicates = self.gaps, self.duplicates
        body = _SACK.pack(self.cumulative_tsn, self.a_rwnd_bytes, len(gaps) // 2, len(duplicates))
        if gaps:
            body += pack(f"!{len(gaps)}H", *gaps)
        if duplicates:
            body += pack(f"!{len(duplicates)}I", *duplicates)
        return chunk_bytes(ChunkType.SACK, 0, body)


_SACK = Struct("!IIHH")


@dataclass(frozen=True, slots=True)
class SkippedStream:
    """What a FORWARD TSN says about one stream.

    Attributes:
        stream_id: the stream.
        sequence: last SSN (or message identifier) that is skipped.
        unordered: whether it counts unordered messages; I-FORWARD-TSN only.
    """

    stream_id: int
    sequence: int
    unordered: bool = False


@dataclass(frozen=True, slots=True)
class ForwardTsn:
    """FORWARD TSN, or I-FORWARD-TSN where messages are interleaved.

         0                   1                   2                   3
         0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
        +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
        |                      New Cumulative TSN                       |
        +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
        |       Stream-1 (192)          |       Stream Sequence-1       |
        +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
        |       Stream-1 (194)          |          Reserved           |U|
        +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
        |              Message Identifier (194 only)                    |
        +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

    Spec: RFC 3758, section 3.2; RFC 8260, section 2.3.1.
    """

    cumulative_tsn: int
    skipped: tuple[SkippedStream, ...]

    @staticmethod
    def parse(body: bytes, *, interleaved: bool) -> ForwardTsn:
        """Read the body.

        Raises:
            ParseError: the length is not that of whole entries.
        """
        entry = _SKIPPED_INTERLEAVED if interleaved else _SKIPPED
        if len(body) < 4 or (len(body) - 4) % entry.size:
            raise ParseError(f"FORWARD TSN of {len(body)} bytes")
        skipped = tuple(
            SkippedStream(fields[0], fields[-1], interleaved and bool(fields[1] & 1))
            for fields in entry.iter_unpack(body[4:])
        )
        return ForwardTsn(_TSN.unpack_from(body)[0], skipped)

    def to_bytes(self, *, interleaved: bool) -> bytes:
        """The chunk."""
        parts = [_TSN.pack(self.cumulative_tsn)]
        if interleaved:
            parts.extend(
                _SKIPPED_INTERLEAVED.pack(s.stream_id, int(s.unordered), s.sequence) for s in self.skipped
            )
            return chunk_bytes(ChunkType.I_FORWARD_TSN, 0, b"".join(parts))
        parts.extend(_SKIPPED.pack(s.stream_id, s.sequence) for s in self.skipped)
        return chunk_bytes(ChunkType.FORWARD_TSN, 0, b"".join(parts))


_TSN = Struct("!I")
_SKIPPED = Struct("!HH")
_SKIPPED_INTERLEAVED = Struct("!HHI")
