"""RTP payload format for Opus, and what an Opus packet says of itself.

Spec: RFC 7587; RFC 6716, sections 3 and 4.2.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rtcstack.errors import ParseError
from rtcstack.rtp.frames import AudioUnit

__all__ = ["OpusDepacketizer", "OpusPacket", "OpusPacketizer", "parse_opus"]

# The first octet of a packet (RFC 6716, section 3.1):
#
#      0 1 2 3 4 5 6 7
#     +-+-+-+-+-+-+-+-+
#     | config  |s| c |   s stereo, c: 1, 2 equal, 2 or any number of frames
#     +-+-+-+-+-+-+-+-+
_SILK = (480, 960, 1920, 2880)
_HYBRID = (480, 960)
_CELT = (120, 240, 480, 960)
_FRAME_TICKS = (*(_SILK * 3), *(_HYBRID * 2), *(_CELT * 4))
"""Ticks of 48 kHz in a frame, by configuration (RFC 6716, table 2)."""

_FIRST_CELT_CONFIG = 16
_MAX_TICKS = 5760
"""120 ms, the longest packet (RFC 6716, section 3.2.5)."""


class OpusPacket(NamedTuple):
    """What an Opus packet says of itself.

    Attributes:
        frame_count: 1 to 48.
        duration: of all its frames, in ticks of 48 kHz.
        stereo: whether it was coded with two channels.
        has_fec: whether it carries a copy of the frame before it, in lower quality.
    """

    frame_count: int
    duration: int
    stereo: bool
    has_fec: bool


def parse_opus(packet: bytes) -> OpusPacket:
    """Read a packet's table of contents.

    Raises:
        ParseError: cut short, or it lies about its frames (RFC 6716, section 3.4).
    """
    try:
        return _read(packet)
    except IndexError:
        raise ParseError("Opus packet is cut short") from None


def _read(packet: bytes) -> OpusPacket:
    toc = packet[0]
    config = toc >> 3
    stereo = bool(toc & 4)
    ticks = _FRAME_TICKS[config]
    code = toc & 3
    at = 1
    first_bytes = len(packet) - 1
    count = 1
    if code == 1:
        count = 2
        if first_bytes & 1:
            raise ParseError("Opus packet of two equal frames has an odd size")
        first_bytes //= 2
    elif code == 2:
        count = 2
        first_bytes, at = _length(packet, 1)
        if at + first_bytes > len(packet):
            raise ParseError("Opus frame with a lying length")
    elif code == 3:
        count, first_bytes, at = _many(packet)
    if count * ticks > _MAX_TICKS:
        raise ParseError("Opus packet longer than 120 ms")
    has_fec = False
    if config < _FIRST_CELT_CONFIG and first_bytes:
        # One flag of voice activity for each 20 ms, then the one that is asked for; for the second
        # channel likewise. All are of equal odds: the range coder leaves them as plain bits.
        parts = max(1, ticks // 960)
        octet = packet[at]
        has_fec = bool(octet >> (7 - parts) & 1)
        if stereo:
            has_fec |= bool(octet >> (6 - 2 * parts) & 1)
    return OpusPacket(count, count * ticks, stereo, has_fec)


def _length(packet: bytes, at: int) -> tuple[int, int]:
    """A frame's length (RFC 6716, section 3.2.1), and where the next field stands."""
    value = packet[at]
    if value < 252:
        return value, at + 1
    return packet[at + 1] * 4 + value, at + 2


def _many(packet: bytes) -> tuple[int, int, int]:
    """Number of frames, the first one's length and its place (RFC 6716, section 3.2.5)."""
    value = packet[1]
    count = value & 0x3F
    if count == 0 or count > 48:
        raise ParseError(f"Opus packet of {count} frames")
    at, end = 2, len(packet)
    if value & 0x40:  # padding
        while packet[at] == 255:
            at += 1
            end -= 254
        end -= packet[at]
        at += 1
    if value & 0x80:  # each but the last with a length of its own
        lengths = []
        for _ in range(count - 1):
            length, at = _length(packet, at)
            lengths.append(length)
        last = end - at - sum(lengths)
        first = lengths[0] if lengths else last
    else:
        first, rest = divmod(end - at, count)
        last = first if not rest else -1
    if last < 0 or first < 0:
        raise ParseError("Opus frames with lying lengths")
    return count, first, at


class OpusDepacketizer:
    """Reads Opus payloads: one packet each."""

    __slots__ = ()

    def split(self, payload: bytes) -> Sequence[AudioUnit]:
        """The packet of a payload.

        Raises:
            ParseError: see `parse_opus`.
        """
        packet = parse_opus(payload)
        return (AudioUnit(payload, 0, packet.duration, False, packet.has_fec),)


class OpusPacketizer:
    """Makes payloads of Opus packets: they are the same."""

    __slots__ = ()

    def packetize(self, frame: bytes, timestamp: int = 0) -> bytes:
        """The payload of one packet; `timestamp` has no part in it."""
        return frame
