"""What a stream has sent, kept in case the peer asks for it again, and its retransmission.

Spec: RFC 4585, section 6.2.1 (NACK); RFC 4588 (retransmissions).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct

from rtcstack.rtp.header import Header
from rtcstack.rtp.outgoing import NEVER, Outgoing, SendCounts
from rtcstack.rtp.pacer import Lane, Pacer
from rtcstack.serial import unwrap

__all__ = ["MAX_HISTORY_PACKETS", "MIN_HISTORY_S", "History"]

MAX_HISTORY_PACKETS = 9600
"""Packets kept in case the peer asks for them again."""

MIN_HISTORY_S = 1.0
"""How long they are kept at least; three round trips if that is longer."""

MIN_RETRANSMIT_S = 0.005
"""Between two retransmissions of one packet, however short the round trip is said to be."""

MAX_PADDING_BYTES = 224

PADDING_CHOICE = 32
"""How many of the newest packets are looked at for one long enough to probe with."""

_OSN = Struct("!H").pack


def _undescribed(elements: tuple[tuple[int, bytes], ...]) -> Header:
    raise AssertionError("retransmissions are not bound")


class History:
    """The packets that one stream has sent, and its retransmissions.

    Args:
        counts: the stream's.
        pacer: where retransmissions wait.
        first: number of the stream's first packet.
        rtx_first: number of the first packet of the retransmissions' SSRC.
        numbers: by SSRC, the number that follows those which streams of before have used.

    Attributes:
        unknown: packets that were asked for and are not kept any more.
    """

    __slots__ = (
        "_counts",
        "_describe",
        "_next",
        "_numbers",
        "_oldest",
        "_pacer",
        "_packets",
        "_retransmit_from",
        "_rtx_header",
        "_rtx_next",
        "_rtx_ssrc",
        "_rtx_type",
        "unknown",
    )

    def __init__(
        self, counts: SendCounts, pacer: Pacer, first: int, rtx_first: int, numbers: dict[int, int]
    ) -> None:
        self._counts = counts
        self._pacer = pacer
        self._numbers = numbers
        self._packets: dict[int, Outgoing] = {}
        self._oldest = self._next = first
        self._retransmit_from = 0
        self._rtx_header: Header | None = None
        self._describe: Callable[[tuple[tuple[int, bytes], ...]], Header] = _undescribed
        self._rtx_type = 0
        self._rtx_ssrc: int | None = None
        self._rtx_next = rtx_first
        self.unknown = 0

    def __len__(self) -> int:
        return len(self._packets)

    @property
    def has_rtx(self) -> bool:
        """Whether retransmissions, and padding, have an SSRC of their own."""
        return self._rtx_header is not None

    def bind(
        self,
        ssrc: int | None,
        payload_type: int | None,
        header: Header | None,
        describe: Callable[[tuple[tuple[int, bytes], ...]], Header],
    ) -> None:
        """Retransmissions go like this from now on; where another stream's have ended, they go on.

        Args:
            ssrc: theirs; None if they go out as what they repeat.
            payload_type: theirs.
            header: what their packets begin with; None if they go out as what they repeat.
            describe: makes what a packet begins with that repeats header extensions.
        """
        self._rtx_header = header
        self._describe = describe
        self._rtx_type = payload_type or 0
        if ssrc is not None and ssrc != self._rtx_ssrc:
            self.note_numbers()
            self._rtx_ssrc = ssrc
            self._rtx_next = self._numbers.get(ssrc, self._rtx_next & 0x7FFF)

    def note_numbers(self) -> None:
        """Whoever has the retransmissions' SSRC after this goes on behind its numbers."""
        if self._rtx_ssrc is not None:
            self._numbers[self._rtx_ssrc] = self._rtx_next

    def add(self, packets: Sequence[Outgoing], following: int, now: float, rtt_s: float) -> None:
        """Keep packets, and forget those of the past.

        Args:
            packets: that were queued.
            following: number of the packet behind the newest.
            now: monotonic seconds.
            rtt_s: round-trip time.
        """
        history = self._packets
        for packet in packets:
            history[packet.sequence_number] = packet
        self._next = following
        horizon = now - max(MIN_HISTORY_S, 3 * rtt_s)
        oldest = self._oldest
        while oldest < following:
            old = history.get(oldest)
            if old is not None:
                if (old.sent_at > horizon) and len(history) <= MAX_HISTORY_PACKETS:
                    break
                del history[oldest]
            oldest += 1
        self._oldest = oldest

    def add_late(self, packet: Outgoing) -> None:
        """Keep a packet that stands before the newest; not where nobody looks, nor tidies up."""
        if packet.sequence_number >= self._oldest:
            self._packets[packet.sequence_number] = packet

    def begin_at(self, number: int) -> None:
        """The peer's decoder goes on from here: what was before is of no use to it any more, and would
        only keep this waiting."""
        self._retransmit_from = number
        self._pacer.drop([self._counts], (Lane.RETRANSMISSION,))

    def retransmit(self, sequence_numbers: Sequence[int], now: float, rtt_s: float) -> None:
        """The peer misses packets: retransmit those that are kept.

        A packet is retransmitted at most once per round trip, and the stream never retransmits more than
        it sent, whatever the peer asks for.
        """
        again_after = now - max(rtt_s * 0.9, MIN_RETRANSMIT_S)
        out: list[Outgoing] = []
        reference = self._next - 1
        counts = self._counts
        for number in sequence_numbers:
            index = unwrap(number, reference, 16)
            packet = self._packets.get(index)
            if packet is None:
                self.unknown += 1
                continue
            if index < self._retransmit_from:
                continue
            if self._rtx_header is None and packet.wire is None:
                continue  # its bytes are gone, and under its number no others may be sent
            if packet.sent_at == NEVER or packet.retransmitted_at > again_after:
                continue
            if packet.size > counts.retransmit_credit_bytes:
                break
            counts.retransmit_credit_bytes -= packet.size
            packet.retransmitted_at = NEVER
            out.append(self._retransmission(packet))
        if out and not self._pacer.push(out, Lane.RETRANSMISSION):
            for retransmission in out:
                retransmission.is_dropped()

    # The payload of a retransmission packet (RFC 4588, section 4):
    # +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    # |            OSN                |                               |
    # +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+                               |
    # |                  Original RTP Packet Payload                  |
    # +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    def _retransmission(self, packet: Outgoing) -> Outgoing:
        header = self._rtx_header
        if header is None:
            # Unchanged to the last bit: SRTP's numbers may not be used for other bytes again.
            again = Outgoing(
                self._counts,
                packet.header,
                packet.second,
                packet.sequence_number,
                packet.timestamp,
                packet.payload,
                repeats=True,
            )
            again.wire = packet.wire
            again.origin = packet
            return again
        number = self._rtx_next
        self._rtx_next = number + 1
        if packet.elements:
            header = self._describe(packet.elements)
        # what stood in RED is sent again without it: this payload type repeats the media's
        payload = packet.payload[1:] if packet.in_red else packet.payload
        again = Outgoing(
            self._counts,
            header,
            self._rtx_type | packet.second & 0x80,
            number,
            packet.timestamp,
            _OSN(packet.sequence_number & 0xFFFF) + payload,
            repeats=True,
        )
        again.origin = packet
        return again

    def make_padding(self, wanted_bytes: int, timestamp: int) -> list[Outgoing]:
        """Packets that carry nothing new, for probing: what was sent last, or plain padding.

        Only on the SSRC of retransmissions, where they disturb nothing; without one there are none.

        Args:
            wanted_bytes: of all together, at least.
            timestamp: of plain padding, as on the wire.
        """
        header = self._rtx_header
        if header is None or wanted_bytes <= 0 or not self._counts.packets:
            return []
        out: list[Outgoing] = []
        size = 0
        for number in range(self._next - 1, max(self._oldest, self._next - PADDING_CHOICE) - 1, -1):
            packet = self._packets.get(number)
            if packet is None or packet.sent_at == NEVER or len(packet.payload) < MAX_PADDING_BYTES:
                continue
            out.append(self._retransmission(packet))
            out[-1].pads = True
            size += out[-1].size
            if size >= wanted_bytes:
                return out
        while size < wanted_bytes:
            number = self._rtx_next
            self._rtx_next = number + 1
            out.append(
                Outgoing(
                    self._counts,
                    header,
                    self._rtx_type,
                    number,
                    timestamp,
                    b"",
                    repeats=True,
                    padding=MAX_PADDING_BYTES,
                )
            )
            size += out[-1].size
        return out
