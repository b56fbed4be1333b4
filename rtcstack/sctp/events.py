"""What an association and its data channels tell the layer above."""

from __future__ import annotations

from dataclasses import dataclass

from rtcstack.errors import ProtocolError
from rtcstack.sctp.channel import Channel

__all__ = [
    "AssociationClosed",
    "AssociationClosing",
    "AssociationConnected",
    "BufferedAmountLow",
    "ChannelAnnounced",
    "ChannelClosed",
    "ChannelClosing",
    "ChannelEvent",
    "ChannelOpened",
    "MessageReceived",
    "SctpEvent",
    "StreamBufferedAmountLow",
    "StreamMessage",
    "StreamsResetByPeer",
    "StreamsResetDone",
]


@dataclass(slots=True)
class AssociationConnected:
    """The handshake is done; the counts are what both sides agree on."""

    max_inbound_streams: int
    max_outbound_streams: int


@dataclass(slots=True)
class AssociationClosing:
    """The peer has begun a shutdown: nothing more is taken to be sent, and the end follows."""


@dataclass(slots=True)
class AssociationClosed:
    """The association is over. `graceful` after a shutdown by either side; `error` else."""

    error: ProtocolError | None
    graceful: bool


@dataclass(slots=True)
class StreamMessage:
    """A whole user message has arrived."""

    stream_id: int
    ppid: int
    data: bytes


@dataclass(slots=True)
class StreamBufferedAmountLow:
    """What waits in a stream's send queue has fallen to the threshold."""

    stream_id: int


@dataclass(slots=True)
class StreamsResetByPeer:
    """The peer has reset its outgoing streams (all of them if none is named), and numbers anew.
    May be told twice for one reset."""

    stream_ids: tuple[int, ...]


@dataclass(slots=True)
class StreamsResetDone:
    """The peer has answered our reset of outgoing streams; `performed` is False where it refused."""

    stream_ids: tuple[int, ...]
    performed: bool


SctpEvent = (
    AssociationConnected
    | AssociationClosing
    | AssociationClosed
    | StreamMessage
    | StreamBufferedAmountLow
    | StreamsResetByPeer
    | StreamsResetDone
)


@dataclass(slots=True)
class ChannelOpened:
    """A channel of ours may be used: the association stands and its OPEN, if any, is on its way."""

    channel: Channel


@dataclass(slots=True)
class ChannelAnnounced:
    """The peer has opened a channel; it may be used at once."""

    channel: Channel


@dataclass(slots=True)
class MessageReceived:
    """A message has arrived: str for text, bytes for binary."""

    channel: Channel
    data: bytes | str


@dataclass(slots=True)
class BufferedAmountLow:
    """The channel's buffered amount has fallen from above its threshold to it or below."""

    channel: Channel


@dataclass(slots=True)
class ChannelClosing:
    """The peer is closing the channel."""

    channel: Channel


@dataclass(slots=True)
class ChannelClosed:
    """The channel is closed; `error` says what went wrong, None if nothing did."""

    channel: Channel
    error: ProtocolError | None = None


ChannelEvent = (
    AssociationConnected
    | AssociationClosed
    | ChannelOpened
    | ChannelAnnounced
    | MessageReceived
    | BufferedAmountLow
    | ChannelClosing
    | ChannelClosed
)
