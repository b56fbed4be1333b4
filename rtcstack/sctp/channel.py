"""A data channel, as whoever uses it holds it.

Spec: RFC 8831, section 6.
"""

from __future__ import annotations

from enum import StrEnum

from rtcstack.errors import ProtocolError

__all__ = ["Channel", "ChannelState"]


class ChannelState(StrEnum):
    """As W3C's RTCDataChannelState."""

    CONNECTING = "connecting"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class Channel:
    """One data channel, as a handle and a record.

    Attributes:
        id: stream identifier, or None while the DTLS role is not known.
        label, protocol, ordered, max_retransmits, max_packet_lifetime_ms, priority: as opened.
        negotiated: whether both applications agreed on the channel by themselves.
        state: see `ChannelState`.
        low_threshold_bytes: see `DataChannels.set_buffered_amount_low_threshold`.
        messages_sent, messages_received, bytes_sent, bytes_received: user data handed in and delivered.
        acknowledged: whether the peer knows of the channel: before that, messages are sent in order
            (RFC 8832, section 6).
        inbound_reset, outbound_reset: whether the peer has reset its stream, and ours has been.
        reset_begun: whether ours has been asked for. A channel is closed when both are reset.
        error: what `ChannelClosed` will say.
        name_bytes: of the OPEN that announced it, if the peer did.
    """

    __slots__ = (
        "acknowledged",
        "bytes_received",
        "bytes_sent",
        "error",
        "id",
        "inbound_reset",
        "label",
        "low_threshold_bytes",
        "max_packet_lifetime_ms",
        "max_retransmits",
        "messages_received",
        "messages_sent",
        "name_bytes",
        "negotiated",
        "ordered",
        "outbound_reset",
        "priority",
        "protocol",
        "reset_begun",
        "state",
    )

    def __init__(
        self,
        label: str,
        protocol: str,
        ordered: bool,
        max_retransmits: int | None,
        max_packet_lifetime_ms: int | None,
        priority: int,
        negotiated: bool,
        id: int | None,  # noqa: A002 - the W3C's name
    ) -> None:
        self.id = id
        self.label = label
        self.protocol = protocol
        self.ordered = ordered
        self.max_retransmits = max_retransmits
        self.max_packet_lifetime_ms = max_packet_lifetime_ms
        self.priority = priority
        self.negotiated = negotiated
        self.state = ChannelState.CONNECTING
        self.messages_sent = 0
        self.messages_received = 0
        self.bytes_sent = 0
        self.bytes_received = 0
        self.acknowledged = negotiated
        self.low_threshold_bytes = 0
        self.name_bytes = 0
        self.inbound_reset = False
        self.outbound_reset = False
        self.reset_begun = False
        self.error: ProtocolError | None = None

    def __repr__(self) -> str:
        return f"<Channel {self.id} {self.label!r} {self.state}>"
