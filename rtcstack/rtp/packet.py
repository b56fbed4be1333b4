"""RTP packets: a view over the bytes that came in, and the bytes that go out.

Spec: RFC 3550, section 5.1; RFC 5761, section 4 (telling RTCP apart).
"""

from __future__ import annotations

import struct
from struct import Struct

from rtcstack.errors import ParseError
from rtcstack.rtp.layout import Layout

__all__ = [
    "FIXED_HEADER_BYTES",
    "MAX_PACKET_BYTES",
    "RtpPacket",
    "is_rtcp",
    "parse",
]

#  0                   1                   2                   3
#  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |V=2|P|X|  CC   |M|     PT      |       sequence number         |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |                           timestamp                           |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |           synchronization source (SSRC) identifier            |
# +=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+
# |            contributing source (CSRC) identifiers ...         |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |  defined by profile (X set)   |    length, in 32-bit words    |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
_HEADER = Struct("!BBHII")
_UNPACK_HEADER = _HEADER.unpack_from
_UNPACK_EXTENSION = Struct("!HH").unpack_from

FIXED_HEADER_BYTES = 12

MAX_PACKET_BYTES = 2048
"""Longer datagrams are no media: a sender keeps below the path's MTU."""

_RTCP_FIRST, _RTCP_LAST = 192, 223


def is_rtcp(data: bytes | bytearray | memoryview) -> bool:
    """Whether a packet of an RTP session is RTCP, by its second byte.

    Spec: RFC 5761, section 4: the packet types from 192 to 223, which RTP payload types with a
    marker avoid.
    """
    return len(data) > 1 and _RTCP_FIRST <= data[1] <= _RTCP_LAST


class RtpPacket:
    """One RTP packet, as a view over its bytes: what is not asked for is not copied.

    A packet restored from a retransmission (RFC 4588) shares the bytes of the retransmission; its
    fields are those of the original.

    Attributes:
        data: the datagram it came in.
        payload_type: 0 to 127.
        marker: the M bit.
        sequence_number: 0 to 65535.
        timestamp: 0 to 2**32 - 1.
        ssrc: the synchronisation source.
        payload_start, payload_end: where in `data` the payload stands, padding left out.
        extension_start, extension_end: where the elements of the header extension stand; both 0
            without one.
        extension_profile: the 16 bits "defined by profile", 0 without an extension.
        layout: the shape of the header extension, where it has been looked at.
        index: the sequence number, unwrapped by the stream that received it.
        received_at: monotonic seconds.
        retransmitted: whether it was restored from a retransmission.
    """

    __slots__ = (
        "data",
        "extension_end",
        "extension_profile",
        "extension_start",
        "index",
        "layout",
        "marker",
        "payload_end",
        "payload_start",
        "payload_type",
        "received_at",
        "retransmitted",
        "sequence_number",
        "ssrc",
        "timestamp",
    )

    def __init__(
        self,
        data: bytes,
        payload_type: int,
        marker: bool,
        sequence_number: int,
        timestamp: int,
        ssrc: int,
        payload_start: int = FIXED_HEADER_BYTES,
        payload_end: int | None = None,
        extension_start: int = 0,
        extension_end: int = 0,
        extension_profile: int = 0,
    ) -> None:
        self.data = data
        self.payload_type = payload_type
        self.marker = marker
        self.sequence_number = sequence_number
        self.timestamp = timestamp
        self.ssrc = ssrc
        self.payload_start = payload_start
        self.payload_end = len(data) if payload_end is None else payload_end
        self.extension_start = extension_start
        self.extension_end = extension_end
        self.extension_profile = extension_profile
        self.layout: Layout | None = None
        self.index = sequence_number
        self.received_at = 0.0
        self.retransmitted = False

    def __repr__(self) -> str:
        return (
            f"RtpPacket(ssrc={self.ssrc}, pt={self.payload_type}, seq={self.sequence_number}, "
            f"timestamp={self.timestamp}, marker={self.marker}, payload={self.payload_bytes} bytes)"
        )

    @property
    def payload(self) -> bytes:
        """The payload, without padding."""
        return self.data[self.payload_start : self.payload_end]

    @property
    def payload_bytes(self) -> int:
        """Length of the payload."""
        return self.payload_end - self.payload_start

    @property
    def header_bytes(self) -> int:
        """Length of the header, with its extension and CSRCs (and the OSN of a retransmission)."""
        return self.payload_start

    @property
    def csrcs(self) -> tuple[int, ...]:
        """The contributing sources."""
        count = self.data[0] & 0x0F
        return Struct(f"!{count}I").unpack_from(self.data, FIXED_HEADER_BYTES) if count else ()

    @property
    def extensions(self) -> dict[int, bytes]:
        """The header extension's elements by id; of several with one id, the first."""
        start = self.extension_start
        return {i: self.data[start + a : start + b] for i, (a, b) in self._spans().items()}

    def extension(self, identifier: int) -> bytes | None:
        """One element's bytes, or None; always None for id 0, which stands for "not agreed"."""
        span = self.span(identifier)
        if span is None:
            return None
        start = self.extension_start
        return self.data[start + span[0] : start + span[1]]

    def span(self, identifier: int) -> tuple[int, int] | None:
        """Where one element's bytes stand, from `extension_start`; None where there is none."""
        return self._spans().get(identifier)

    def _spans(self) -> dict[int, tuple[int, int]]:
        if not self.extension_start:
            return {}
        if self.layout is None:
            block = self.data[self.extension_start : self.extension_end]
            self.layout = Layout(block, self.extension_profile)
        return self.layout.spans

    def to_bytes(self) -> bytes:
        """The packet as its fields say, which differs from `data` for one that was restored.

        CSRCs and the extension block are kept, padding is not.
        """
        data = self.data
        end = self.extension_end or FIXED_HEADER_BYTES + 4 * (data[0] & 0x0F)
        header = _HEADER.pack(
            data[0] & ~0x20,
            self.payload_type | self.marker << 7,
            self.sequence_number,
            self.timestamp,
            self.ssrc,
        )
        return header + data[FIXED_HEADER_BYTES:end] + self.payload


def parse(data: bytes) -> RtpPacket:
    """Read the header of an RTP packet.

    Raises:
        ParseError: if it is no RTP packet of version 2, or if a length in it points beyond it.
    """
    try:
        first, second, sequence_number, timestamp, ssrc = _UNPACK_HEADER(data)
        if first & 0xC0 != 0x80:
            raise ParseError("RTP version is not 2")
        start = FIXED_HEADER_BYTES + 4 * (first & 0x0F)
        extension_start = extension_end = profile = 0
        if first & 0x10:
            profile, words = _UNPACK_EXTENSION(data, start)
            extension_start = start + 4
            start = extension_end = extension_start + 4 * words
    except struct.error:
        raise ParseError("RTP packet is shorter than its header") from None
    end = len(data)
    if first & 0x20:
        padding = data[-1]
        if padding == 0:
            raise ParseError("RTP padding of no length")
        end -= padding
    if start > end:
        raise ParseError("RTP header and padding are longer than the packet")
    return RtpPacket(
        data,
        second & 0x7F,
        second > 0x7F,
        sequence_number,
        timestamp,
        ssrc,
        start,
        end,
        extension_start,
        extension_end,
        profile,
    )
