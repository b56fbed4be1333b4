"""Transport-wide feedback: which packets of a transport arrived, and when.

Spec: draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, NamedTuple

from rtcstack.errors import ParseError
from rtcstack.rtp.rtcp.feedback import SOURCES
from rtcstack.rtp.rtcp.wire import packet_bytes

__all__ = [
    "MAX_DELTA_TICKS",
    "MAX_SMALL_DELTA_TICKS",
    "TICKS_PER_S",
    "TICKS_PER_UNIT",
    "Arrival",
    "TransportFeedback",
]

TICKS_PER_S = 4000
"""Arrival times are told in steps of 250 us."""

TICKS_PER_UNIT = 256
"""The reference time counts 64 ms."""

MAX_DELTA_TICKS = 0x7FFF
"""The most that may lie between two arrivals in one packet: 8.19 s."""

MAX_SMALL_DELTA_TICKS = 255
"""Up to here, and not backwards, it takes one byte, else two."""

#  0                   1                   2                   3
#  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |      base sequence number     |      packet status count      |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |                 reference time                | fb pkt. count |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |          packet chunk         |  more chunks, then deltas     |
_HEAD = Struct("!HHI")
_CHUNK = Struct("!H")
_LARGE_DELTA = Struct("!h")

_LOST, _SMALL, _LARGE = 0, 1, 2
_MAX_RUN = 0x1FFF
_PER_ONE_BIT_VECTOR = 14
_PER_TWO_BIT_VECTOR = 7


class Arrival(NamedTuple):
    """A packet that arrived.

    Attributes:
        offset: its sequence number from the base.
        ticks: when, in 250 us from the reference time; may step back.
    """

    offset: int
    ticks: int


@dataclass(slots=True)
class TransportFeedback:
    """Arrivals of consecutive transport-wide sequence numbers.

    Attributes:
        sender_ssrc: who tells.
        media_ssrc: any stream of the transport.
        base_sequence_number: 16 bits: where it starts.
        status_count: how many numbers it tells of.
        reference_time: in 64 ms, signed 24 bits; any clock.
        feedback_count: 8 bits, one up per feedback packet.
        arrivals: the packets that arrived, by ascending offset; all others are lost so far.
    """

    packet_type: ClassVar[int] = 205
    format: ClassVar[int] = 15

    sender_ssrc: int
    media_ssrc: int
    base_sequence_number: int
    status_count: int
    reference_time: int
    feedback_count: int
    arrivals: Sequence[Arrival]

    def to_bytes(self) -> bytes:
        """The packet on the wire. Successive arrivals are at most `MAX_DELTA_TICKS` apart."""
        symbols = bytearray(self.status_count)
        deltas = bytearray()
        before = 0
        for offset, ticks in self.arrivals:
            delta = ticks - before
            before = ticks
            if 0 <= delta <= MAX_SMALL_DELTA_TICKS:
                symbols[offset] = _SMALL
                deltas.append(delta)
            else:
                symbols[offset] = _LARGE
                deltas += _LARGE_DELTA.pack(delta)
        body = SOURCES.pack(self.sender_ssrc, self.media_ssrc)
        body += _HEAD.pack(
            self.base_sequence_number,
            self.status_count,
            (self.reference_time & 0xFF_FFFF) << 8 | self.feedback_count & 0xFF,
        )
        body += _write_chunks(bytes(symbols)) + deltas
        return packet_bytes(self.packet_type, self.format, body + bytes(-len(body) % 4))

    @classmethod
    def parse(cls, body: bytes) -> TransportFeedback:
        """Read what follows the header.

        The work is bounded by the packet's length, not by the number of packets it claims to
        tell of: runs of lost ones are stepped over.
        """
        if len(body) < 16:
            raise ParseError("RTCP transport feedback is too short")
        sender, media = SOURCES.unpack_from(body)
        base, count, word = _HEAD.unpack_from(body, 8)
        reference = word >> 8
        if reference & 0x80_0000:
            reference -= 0x100_0000
        received, position = _read_chunks(body, 16, count)
        arrivals: list[Arrival] = []
        ticks, size = 0, len(body)
        append = arrivals.append
        for offset, is_large in received:
            if is_large:
                if position + 2 > size:
                    raise ParseError("RTCP transport feedback lacks deltas")
                ticks += _LARGE_DELTA.unpack_from(body, position)[0]
                position += 2
            else:
                if position >= size:
                    raise ParseError("RTCP transport feedback lacks deltas")
                ticks += body[position]
                position += 1
            append(Arrival(offset, ticks))
        return cls(sender, media, base, count, reference, word & 0xFF, arrivals)


def _read_chunks(body: bytes, position: int, count: int) -> tuple[list[tuple[int, bool]], int]:
    """The packets that arrived, each with whether its delta is large, and where the chunks end."""
    received: list[tuple[int, bool]] = []
    offset, size = 0, len(body)
    while offset < count:
        if position + 2 > size:
            raise ParseError("RTCP transport feedback lacks chunks")
        chunk = _CHUNK.unpack_from(body, position)[0]
        position += 2
        if chunk < 0x8000:  # run length
            # +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
            # |T| S |       Run Length        |
            # +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
            symbol, run = chunk >> 13, min(chunk & _MAX_RUN, count - offset)
            if symbol in (_SMALL, _LARGE):
                if len(received) + run > size:  # each has a delta of a byte at least
                    raise ParseError("RTCP transport feedback lacks deltas")
                is_large = symbol == _LARGE
                received += [(offset + i, is_large) for i in range(run)]
            elif symbol != _LOST:
                raise ParseError("RTCP transport feedback has a reserved symbol")
            if not run:
                raise ParseError("RTCP transport feedback has an empty run")
            offset += run
        elif chunk & 0x4000:
            # +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
            # |T|S|  seven symbols of 2 bits  |
            # +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
            for i in range(min(_PER_TWO_BIT_VECTOR, count - offset)):
                symbol = chunk >> (12 - 2 * i) & 3
                if symbol == 3:
                    raise ParseError("RTCP transport feedback has a reserved symbol")
                if symbol:
                    received.append((offset + i, symbol == _LARGE))
            offset += _PER_TWO_BIT_VECTOR
        else:
            # +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
            # |T|S| fourteen symbols of 1 bit |
            # +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
            for i in range(min(_PER_ONE_BIT_VECTOR, count - offset)):
                if chunk >> (13 - i) & 1:
                    received.append((offset + i, False))
            offset += _PER_ONE_BIT_VECTOR
    return received, position


def _write_chunks(symbols: bytes) -> bytes:
    chunks = bytearray()
    position, size = 0, len(symbols)
    while position < size:
        symbol = symbols[position]
        # A run is worth a chunk as soon as a vector could not tell as many.
        rest = symbols[position : position + _MAX_RUN]
        run = len(rest) - len(rest.lstrip(bytes((symbol,))))
        vector = symbols[position : position + _PER_ONE_BIT_VECTOR]
        two_bits = _LARGE in vector
        holds = _PER_TWO_BIT_VECTOR if two_bits else _PER_ONE_BIT_VECTOR
        if run >= min(holds, size - position):
            chunks += _CHUNK.pack(symbol << 13 | run)
            position += run
            continue
        word = 0
        vector = vector[:holds].ljust(holds, b"\0")
        if two_bits:
            for each in vector:
                word = word << 2 | each
            word |= 0xC000
        else:
            for each in vector:
                word = word << 1 | each
            word |= 0x8000
        chunks += _CHUNK.pack(word)
        position += holds
    return bytes(chunks)
