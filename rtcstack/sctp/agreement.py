"""What both sides of an association have settled, as a value."""

from __future__ import annotations

__all__ = ["Agreement"]


class Agreement:
    """What INIT and INIT ACK have settled.

    Attributes:
        local_tag: tag that packets to us carry.
        peer_tag: tag that packets to the peer carry.
        local_tsn: our initial TSN.
        peer_tsn: the peer's initial TSN.
        peer_window_bytes: the peer's receive window.
        inbound_streams, outbound_streams: the lesser of what is offered and asked for.
        partial_reliability, interleaving, stream_reset, zero_checksum: extensions that both sides have.
        takes_forward_tsn: whether the peer may use FORWARD TSN. It may where we may not: what it has
            answered may have been an earlier INIT than the last one.
    """

    __slots__ = (
        "inbound_streams",
        "interleaving",
        "local_tag",
        "local_tsn",
        "outbound_streams",
        "partial_reliability",
        "peer_tag",
        "peer_tsn",
        "peer_window_bytes",
        "stream_reset",
        "takes_forward_tsn",
        "zero_checksum",
    )

    def __init__(
        self,
        local_tag: int,
        peer_tag: int,
        local_tsn: int,
        peer_tsn: int,
        peer_window_bytes: int,
        inbound_streams: int,
        outbound_streams: int,
        partial_reliability: bool,
        interleaving: bool,
        stream_reset: bool,
        zero_checksum: bool,
        takes_forward_tsn: bool,
    ) -> None:
        self.local_tag = local_tag
        self.peer_tag = peer_tag
        self.local_tsn = local_tsn
        self.peer_tsn = peer_tsn
        self.peer_window_bytes = peer_window_bytes
        self.inbound_streams = inbound_streams
        self.outbound_streams = outbound_streams
        self.partial_reliability = partial_reliability
        self.interleaving = interleaving
        self.stream_reset = stream_reset
        self.zero_checksum = zero_checksum
        self.takes_forward_tsn = takes_forward_tsn
