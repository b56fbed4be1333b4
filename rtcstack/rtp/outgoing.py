"""A packet on its way out, and the counts of the stream that it is of."""

from __future__ import annotations

from rtcstack.rtp.header import Header

__all__ = ["MAX_RETRANSMIT_CREDIT_BYTES", "NEVER", "START_RETRANSMIT_CREDIT_BYTES", "Outgoing", "SendCounts"]

NEVER = float("inf")

MAX_RETRANSMIT_CREDIT_BYTES = 512 * 1024
"""A stream retransmits as much as it sent, not more: this much of that may be saved up."""

START_RETRANSMIT_CREDIT_BYTES = 64 * 1024


class SendCounts:
    """What has left of one stream. Its packets bear it, and so tell whose they are.

    Attributes:
        packets, bytes, header_bytes: payload and headers apart; retransmissions included.
        retransmitted_packets, retransmitted_bytes: of these, those that the peer asked for.
        delay_s: sum of the times that they waited for their turn.
        last_at: monotonic seconds when the last one left; 0 before.
        padding_packets, padding_bytes: sent only to probe for bandwidth, with or without payload; of that.
        padding_retransmissions: of these packets, those that carry what was sent before.
        parity_packets, parity_bytes: of parity; of their payloads.
        retransmit_credit_bytes: as much may be retransmitted.
    """

    __slots__ = (
        "bytes",
        "delay_s",
        "header_bytes",
        "last_at",
        "packets",
        "padding_bytes",
        "padding_packets",
        "padding_retransmissions",
        "parity_bytes",
        "parity_packets",
        "retransmit_credit_bytes",
        "retransmitted_bytes",
        "retransmitted_packets",
    )

    def __init__(self) -> None:
        self.packets = 0
        self.delay_s = 0.0
        self.last_at = 0.0
        self.bytes = 0
        self.header_bytes = 0
        self.retransmitted_packets = 0
        self.retransmitted_bytes = 0
        self.padding_packets = 0
        self.padding_bytes = 0
        self.padding_retransmissions = 0
        self.parity_packets = 0
        self.parity_bytes = 0
        self.retransmit_credit_bytes = START_RETRANSMIT_CREDIT_BYTES

    def has_left(self, packet: Outgoing) -> None:
        """A packet of the stream has left."""
        size, payload_size = packet.size, len(packet.payload)
        self.packets += 1
        self.last_at = sent_at = packet.sent_at
        if packet.queued_at < sent_at:
            self.delay_s += sent_at - packet.queued_at
        self.bytes += payload_size
        self.header_bytes += size - payload_size
        if packet.is_parity:
            self.parity_packets += 1
            self.parity_bytes += payload_size
        if not packet.repeats:
            self.retransmit_credit_bytes = min(
                self.retransmit_credit_bytes + size, MAX_RETRANSMIT_CREDIT_BYTES
            )
            return
        origin = packet.origin
        if origin is not None:
            origin.retransmitted_at = packet.sent_at
        if packet.padding or packet.pads:
            self.padding_packets += 1
            self.padding_bytes += payload_size
            self.padding_retransmissions += origin is not None
        else:
            self.retransmitted_packets += 1
            self.retransmitted_bytes += payload_size


class Outgoing:
    """What a packet is made of; its bytes are made when it leaves.

    Attributes:
        counts: of its stream.
        header: of its frame.
        second: second byte of the header: marker and payload type.
        sequence_number: unwrapped.
        timestamp: as on the wire.
        elements: header extensions that its retransmission repeats (RFC 4588, section 4).
        payload: with its payload descriptor, and its OSN if it is a retransmission.
        in_red: whether the payload stands behind the header of RED (RFC 2198).
        is_parity: it is a packet of parity.
        size: of the whole packet, in bytes.
        padding: bytes of padding after the payload.
        repeats: it carries what was sent before, or nothing.
        pads: it is sent for a probe's sake alone, though it may carry what was sent before.
        queued_at: monotonic seconds when it was made; `NEVER` of those that are made when they may leave.
        sent_at: monotonic seconds, `NEVER` before.
        retransmitted_at: when it was last retransmitted; `NEVER` while a retransmission of it waits.
        origin: of a retransmission, the packet that it repeats.
        wire: the bytes that left, if it must be possible to repeat them unchanged.
        keep: whether to keep `wire`.
        probe: the probe that it was sent for, 0 for none.
    """

    __slots__ = (
        "counts",
        "elements",
        "header",
        "in_red",
        "is_parity",
        "keep",
        "origin",
        "padding",
        "pads",
        "payload",
        "probe",
        "queued_at",
        "repeats",
        "retransmitted_at",
        "second",
        "sent_at",
        "sequence_number",
        "size",
        "timestamp",
        "wire",
    )

    def __init__(
        self,
        counts: SendCounts,
        header: Header,
        second: int,
        sequence_number: int,
        timestamp: int,
        payload: bytes,
        keep: bool = False,
        repeats: bool = False,
        padding: int = 0,
        queued_at: float = NEVER,
    ) -> None:
        self.counts = counts
        self.header = header
        self.second = second
        self.sequence_number = sequence_number
        self.timestamp = timestamp
        self.payload = payload
        self.size = header.size + len(payload) + padding
        self.padding = padding
        self.repeats = repeats
        self.queued_at = queued_at
        self.sent_at = NEVER
        self.retransmitted_at = 0.0
        self.origin: Outgoing | None = None
        self.wire: bytes | None = None
        self.keep = keep
        self.probe = 0
        self.pads = False
        self.elements: tuple[tuple[int, bytes], ...] = ()
        self.in_red = False
        self.is_parity = False

    def set_header(self, header: Header, elements: tuple[tuple[int, bytes], ...]) -> None:
        """Let it have a header of its own; see `elements`."""
        self.size += header.size - self.header.size
        self.header = header
        self.elements = elements

    def put_in_red(self, red_type: int) -> None:
        """Let the payload stand behind the header of RED, as its only block (RFC 2198, section 3)."""
        self.payload = bytes((self.second & 0x7F,)) + self.payload
        self.size += 1
        self.second = self.second & 0x80 | red_type
        self.in_red = True

    def is_dropped(self) -> None:
        """It will not leave: what it repeats may be asked for again."""
        if self.origin is not None:
            self.origin.retransmitted_at = 0.0
