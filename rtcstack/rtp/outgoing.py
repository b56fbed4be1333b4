"""A packet on its way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtcstack.rtp.header import Header

if TYPE_CHECKING:
    from rtcstack.rtp.send import SendStream

__all__ = ["NEVER", "Outgoing"]

NEVER = float("inf")


class Outgoing:
    """What a packet is made of; its bytes are made when it leaves.

    Attributes:
        stream: that it belongs to.
        header: of its frame.
        second: second byte of the header: marker and payload type.
        sequence_number: unwrapped.
        timestamp: as on the wire.
        payload: with its payload descriptor, and its OSN if it is a retransmission.
        size: of the whole packet, in bytes.
        padding: bytes of padding after the payload.
        repeats: it carries what was sent before, or nothing.
        pads: it is sent for a probe's sake alone, though it may carry what was sent before.
        sent_at: monotonic seconds, `NEVER` before.
        resent_at: when it was last sent again; `NEVER` while a repetition of it waits.
        origin: of a repetition, the packet that it repeats.
        wire: the bytes that left, if it must be possible to repeat them unchanged.
        keep: whether to keep `wire`.
        probe: the probe that it was sent for, 0 for none.
    """

    __slots__ = (
        "header",
        "keep",
        "origin",
        "padding",
        "pads",
        "payload",
        "probe",
        "repeats",
        "resent_at",
        "second",
        "sent_at",
        "sequence_number",
        "size",
        "stream",
        "timestamp",
        "wire",
    )

    def __init__(
        self,
        stream: SendStream,
        header: Header,
        second: int,
        sequence_number: int,
        timestamp: int,
        payload: bytes,
        keep: bool = False,
        repeats: bool = False,
        padding: int = 0,
    ) -> None:
        self.stream = stream
        self.header = header
        self.second = second
        self.sequence_number = sequence_number
        self.timestamp = timestamp
        self.payload = payload
        self.size = header.size + len(payload) + padding
        self.padding = padding
        self.repeats = repeats
        self.sent_at = NEVER
        self.resent_at = 0.0
        self.origin: Outgoing | None = None
        self.wire: bytes | None = None
        self.keep = keep
        self.probe = 0
        self.pads = False

    def is_dropped(self) -> None:
        """It will not leave: what it repeats may be asked for again."""
        if self.origin is not None:
            self.origin.resent_at = 0.0
