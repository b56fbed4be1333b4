"""Forward error correction: what packets of parity are made of, and how one brings a lost packet back.

A packet of parity is the exclusive or of media packets. Where one of these is missing, it is the exclusive
or of all others. What changes on the way out (send times, transport-wide numbers) counts as zero, for
libwebrtc reckons so.

Spec: RFC 5109 (one level of protection); RFC 2198 (both go in RED packets, of one block).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from struct import Struct

from rtcstack.errors import ParseError
from rtcstack.rtp.extensions import ExtensionIds
from rtcstack.rtp.packet import FIXED_HEADER_BYTES, MAX_PACKET_BYTES, RtpPacket, parse
from rtcstack.serial import unwrap

__all__ = [
    "MAX_KEPT_PACKETS",
    "MAX_PARITIES",
    "MAX_PROTECTED",
    "Parity",
    "Recovery",
    "leave_red",
    "make_parity",
    "read_parity",
    "still_bytes",
]

MAX_PROTECTED = 48
"""Packets that one packet of parity can name."""

MAX_KEPT_PACKETS = 128
"""Media packets of a stream that are kept for recovery: more than one packet of parity reaches back."""

MAX_PARITIES = 16
"""Packets of parity that wait for more of what they protect."""

_SHORT_MASK, _LONG_MASK = 2, 6  # in octets

# The FEC header, and the header of its one level (RFC 5109, sections 7.3 and 7.4):
#
#  0                   1                   2                   3
#  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |E|L|P|X|  CC   |M| PT recovery |            SN base            |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |                          TS recovery                          |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |        length recovery        |       protection length       |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |             mask              |        more mask, L set       :
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
_HEAD = Struct("!BBHIHH")
_MEDIA_HEAD = Struct("!BBHI").unpack_from
_RTP_HEAD = Struct("!BBHII").pack
_EXTENDED, _LONG = 0x80, 0x40
_FIELDS = 0x3F  # P, X and CC


def leave_red(packet: RtpPacket) -> None:
    """Let what stands in a packet of RED take its place (RFC 2198, section 3); padding stays what it is.

    Raises:
        ParseError: it holds several blocks, which is for sound.
    """
    start = packet.payload_start
    if start == packet.payload_end:
        return
    inner = packet.data[start]
    if inner & 0x80 or inner == packet.payload_type:
        raise ParseError("RED packet of several blocks, or of RED")
    packet.payload_type = inner
    packet.payload_start = start + 1


class Parity:
    """A packet of parity.

    Attributes:
        base: the lowest number that it may protect, 16 bits.
        offsets: of the packets that it protects, from there.
        first, second, timestamp, length: exclusive or of those fields of theirs; the length is that of
            what follows the fixed header.
        body: exclusive or of what follows the fixed header, as far as it protects.
    """

    __slots__ = ("base", "body", "first", "length", "offsets", "second", "timestamp")

    def __init__(
        self,
        base: int,
        offsets: Sequence[int],
        first: int,
        second: int,
        timestamp: int,
        length: int,
        body: bytes,
    ) -> None:
        self.base = base
        self.offsets = offsets
        self.first = first
        self.second = second
        self.timestamp = timestamp
        self.length = length
        self.body = body


def read_parity(payload: bytes) -> Parity:
    """Read the payload of a packet of parity.

    Raises:
        ParseError: cut short, of a form that is reserved, or it protects nothing.
    """
    if len(payload) < _HEAD.size + _SHORT_MASK:
        raise ParseError("packet of parity is cut short")
    first, second, base, timestamp, length, size = _HEAD.unpack_from(payload)
    if first & _EXTENDED:
        raise ParseError("packet of parity with a reserved form")
    width = _LONG_MASK if first & _LONG else _SHORT_MASK
    start = _HEAD.size + width
    if len(payload) < start + size:
        raise ParseError("packet of parity is cut short")
    mask = int.from_bytes(payload[_HEAD.size : start], "big")
    top = 8 * width - 1
    offsets = [i for i in range(8 * width) if mask >> top - i & 1]
    if not offsets:
        raise ParseError("packet of parity that protects nothing")
    return Parity(base, offsets, first & _FIELDS, second, timestamp, length, payload[start : start + size])


def make_parity(packets: Sequence[tuple[int, bytes]]) -> bytes:
    """The payload of a packet of parity.

    Args:
        packets: number (unwrapped) and bytes of each packet, in order; see `still_bytes`. Not more apart
            than `MAX_PROTECTED`.
    """
    base = packets[0][0]
    size = max(len(data) for _, data in packets) - FIXED_HEADER_BYTES
    first = second = timestamp = length = body = mask = 0
    is_long = packets[-1][0] - base >= 8 * _SHORT_MASK
    width = _LONG_MASK if is_long else _SHORT_MASK
    for number, data in packets:
        its_first, its_second, _, its_timestamp = _MEDIA_HEAD(data)
        first ^= its_first
        second ^= its_second
        timestamp ^= its_timestamp
        length ^= len(data) - FIXED_HEADER_BYTES
        body ^= int.from_bytes(data[FIXED_HEADER_BYTES:].ljust(size, b"\0"), "big")
        mask |= 1 << 8 * width - 1 - (number - base)
    head = first & _FIELDS | (_LONG if is_long else 0)
    return (
        _HEAD.pack(head, second, base & 0xFFFF, timestamp, length, size)
        + mask.to_bytes(width, "big")
        + body.to_bytes(size, "big")
    )


def still_bytes(packet: RtpPacket, ids: ExtensionIds) -> bytes:
    """A media packet as parity counts it: not in RED, and with zeros for what changes on the way.

    Not of one that was sent again: its header is another.
    """
    data = packet.data
    head_end = packet.extension_end or FIXED_HEADER_BYTES + 4 * (data[0] & 0x0F)
    head = bytearray(data[:head_end])
    head[1] = packet.payload_type | packet.marker << 7
    start = packet.extension_start
    for identifier in (ids.abs_send_time, ids.transport_cc, ids.time_offset):
        span = packet.span(identifier)
        if span is not None:
            head[start + span[0] : start + span[1]] = bytes(span[1] - span[0])
    return bytes(head) + data[packet.payload_start :]


class Recovery:
    """Brings lost packets of one stream back.

    Attributes:
        packets: of parity that came.
        bytes: of their payloads.
        discarded: of them, those that were of no use.
        recovered: media packets that were brought back.
    """

    __slots__ = ("_kept", "_parities", "bytes", "discarded", "packets", "recovered")

    def __init__(self) -> None:
        self._kept: dict[int, RtpPacket] = {}  # by unwrapped number, in the order in which they came
        self._parities: list[tuple[int, Parity]] = []  # with the unwrapped number that each begins at
        self.packets = 0
        self.bytes = 0
        self.discarded = 0
        self.recovered = 0

    def clear(self) -> None:
        """The stream begins anew."""
        self._kept.clear()
        self.discarded += len(self._parities)
        self._parities.clear()

    def keep(self, packet: RtpPacket) -> None:
        """A media packet of the stream came; its `index` is set."""
        kept = self._kept
        kept[packet.index] = packet
        if len(kept) > MAX_KEPT_PACKETS:
            del kept[next(iter(kept))]

    @property
    def waits(self) -> bool:
        """Whether there is parity that more media packets would make use of."""
        return bool(self._parities)

    def add(self, packet: RtpPacket) -> None:
        """A packet of parity came; what is left of it is a packet without payload.

        Its number counts for what it stands between, like that of padding.

        Args:
            packet: out of RED; its `index` is set.

        Raises:
            ParseError: see `read_parity`; it is counted as discarded.
        """
        payload, index = packet.payload, packet.index
        packet.payload_start = packet.payload_end
        self.packets += 1
        self.bytes += len(payload)
        try:
            parity = read_parity(payload)
        except ParseError:
            self.discarded += 1
            raise
        self._parities.append((unwrap(parity.base, index, 16), parity))
        if len(self._parities) > MAX_PARITIES:
            del self._parities[0]
            self.discarded += 1

    def take(self, ssrc: int, ids: ExtensionIds) -> list[RtpPacket]:
        """The packets that can be brought back now; whoever takes one hands it to `keep`.

        Args:
            ssrc: of the stream.
            ids: the numbers of its header extensions.
        """
        found: list[RtpPacket] = []
        left: list[tuple[int, Parity]] = []
        oldest = next(iter(self._kept), 0)
        for base, parity in self._parities:
            missing = [base + i for i in parity.offsets if base + i not in self._kept]
            if not missing or base + parity.offsets[-1] < oldest:
                self.discarded += 1
            elif len(missing) > 1:
                left.append((base, parity))
            elif (packet := _restore(base, parity, missing[0], self._kept, ssrc, ids)) is None:
                self.discarded += 1
            else:
                self.recovered += 1
                self.keep(packet)
                found.append(packet)
        self._parities = left
        return found


def _restore(
    base: int,
    parity: Parity,
    missing: int,
    kept: Mapping[int, RtpPacket],
    ssrc: int,
    ids: ExtensionIds,
) -> RtpPacket | None:
    """The one packet that is missing of those that parity protects; None if it makes no sense."""
    size = len(parity.body)
    first, second, timestamp, length = parity.first, parity.second, parity.timestamp, parity.length
    body = int.from_bytes(parity.body, "big")
    for offset in parity.offsets:
        number = base + offset
        if number == missing:
            continue
        data = still_bytes(kept[number], ids)
        its_first, its_second, _, its_timestamp = _MEDIA_HEAD(data)
        first ^= its_first & _FIELDS
        second ^= its_second
        timestamp ^= its_timestamp
        rest = data[FIXED_HEADER_BYTES:]
        length ^= len(rest)
        body ^= int.from_bytes(rest[:size].ljust(size, b"\0"), "big")
    if length > size or FIXED_HEADER_BYTES + length > MAX_PACKET_BYTES:
        return None
    head = _RTP_HEAD(0x80 | first & _FIELDS, second, missing & 0xFFFF, timestamp, ssrc)
    try:
        packet = parse(head + body.to_bytes(size, "big")[:length])
    except ParseError:
        return None
    packet.index = missing
    return packet
