"""Data channels as an engine. One question: what does what happens on a stream mean for its channel?

Which identifier a channel gets is asked of `stream_ids`, what comes before its OPEN waits in `early`. The
states of a channel (`ChannelState`) differ in what may be sent, and hardly in what may come: they are a
value of the channel, which its faces read, and no objects.

Spec: RFC 8831; RFC 8832, section 6.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from rtcstack.engine import Buffer
from rtcstack.errors import DOMException, InvalidStateError, OperationError, ParseError, ProtocolError
from rtcstack.sctp.association import AssociationState, SctpAssociation
from rtcstack.sctp.channel import Channel, ChannelState
from rtcstack.sctp.dcep import ACK, MESSAGE_ACK, MESSAGE_OPEN, OpenMessage, Ppid
from rtcstack.sctp.early import EarlyMessages
from rtcstack.sctp.events import (
    AssociationClosed,
    AssociationClosing,
    AssociationConnected,
    BufferedAmountLow,
    ChannelAnnounced,
    ChannelClosed,
    ChannelClosing,
    ChannelEvent,
    ChannelOpened,
    MessageReceived,
    StreamBufferedAmountLow,
    StreamMessage,
    StreamsResetByPeer,
    StreamsResetDone,
)
from rtcstack.sctp.stream_ids import MAX_ID, StreamIds

__all__ = ["ChannelDrop", "DataChannels"]

# Plain integers: an IntEnum's members cost a call to hash and more to look up.
_DCEP, _STRING, _BINARY = int(Ppid.DCEP), int(Ppid.STRING), int(Ppid.BINARY)
_STRING_EMPTY, _BINARY_EMPTY = int(Ppid.STRING_EMPTY), int(Ppid.BINARY_EMPTY)

MAX_PEER_CHANNELS = 16_384
"""Channels that the peer may have open at a time; a further one is refused by a stream reset."""

MAX_PEER_NAME_BYTES = 4 * 1024 * 1024
"""What the labels and protocols of the peer's channels may take together."""


class ChannelDrop(StrEnum):
    """Why something that arrived was dropped."""

    EARLY = "early"
    DCEP = "dcep"
    PPID = "ppid"
    TEXT = "text"
    CLOSED = "closed"


class DataChannels:
    """The data channels of one association, and the engine that drives it.

    Args:
        association: is owned from here on: feed and drain it through this object only.
        is_dtls_client: our DTLS role, which decides who uses even identifiers; None until known.
    """

    __slots__ = (
        "_by_id",
        "_early",
        "_events",
        "_ids",
        "_inbound",
        "_is_closing",
        "_max_streams",
        "_peer_channels",
        "_peer_name_bytes",
        "_unassigned",
        "association",
        "channels_closed",
        "channels_opened",
        "drops",
    )

    def __init__(self, association: SctpAssociation, *, is_dtls_client: bool | None = None) -> None:
        self.association = association
        self.drops: dict[ChannelDrop, int] = {}
        self.channels_opened = 0
        self.channels_closed = 0
        self._events: list[ChannelEvent] = []
        self._by_id: dict[int, Channel] = {}
        self._inbound: set[int] = set()  # identifiers of the channels that the peer has not reset
        self._unassigned: list[Channel] = []
        self._early = EarlyMessages()
        self._max_streams = association.options.streams
        self._ids: StreamIds | None = None  # while the DTLS role is not known
        self._peer_channels = 0
        self._peer_name_bytes = 0
        self._is_closing = False  # the peer has begun a shutdown
        if is_dtls_client is not None:
            self.set_role(is_dtls_client, 0.0)

    # -- the application's side ---------------------------------------------------------------

    @property
    def channels(self) -> Sequence[Channel]:
        """All channels that are not closed."""
        return (*self._by_id.values(), *self._unassigned)

    def set_role(self, is_dtls_client: bool, now: float) -> None:
        """Tell the DTLS role. Channels without an identifier get one, in the order of their creation."""
        if self._ids is not None:
            return
        self._ids = ids = StreamIds(is_dtls_client, lowest_first=self.association.options.reuse_lowest_ids)
        waiting, self._unassigned = self._unassigned, []
        for channel in waiting:
            try:
                self._assign(channel, ids.choose(self._by_id, self._streams()), now)
            except (OperationError, InvalidStateError) as error:
                self._end(channel, ProtocolError(error.message))

    def connect(self, now: float) -> None:
        """Begin the association's handshake."""
        self.association.connect(now)

    def open(
        self,
        label: str,
        protocol: str = "",
        *,
        ordered: bool = True,
        max_retransmits: int | None = None,
        max_packet_lifetime_ms: int | None = None,
        priority: int = 256,
        negotiated: bool = False,
        id: int | None = None,  # noqa: A002 - the W3C's name
        now: float,
    ) -> Channel:
        """Open a channel; before the association is connected, too.

        Args:
            label: at most 65535 bytes in UTF-8.
            protocol: the same.
            ordered: whether messages arrive in order.
            max_retransmits: 0 to 65535; how often a lost message is retransmitted.
            max_packet_lifetime_ms: 0 to 65535; how long a message is worth sending.
            priority: 1 to 65535; 128 very low, 256 normal (called "low" by the W3C), 512, 1024.
            negotiated: the applications on both sides open the channel, with the same `id`.
            id: 0 to 65534; needed where `negotiated`, else chosen.
            now: monotonic time in seconds.

        Raises:
            OperationError: the identifier is taken, or none is left.
            InvalidStateError: the association is closing.
            ValueError: an argument is out of its range, or both limits are given.
        """
        if self.association.state in (AssociationState.SHUTTING_DOWN, AssociationState.CLOSED):
            raise InvalidStateError(f"cannot open a channel: the association is {self.association.state}")
        if max_retransmits is not None and max_packet_lifetime_ms is not None:
            raise ValueError("give max_retransmits or max_packet_lifetime_ms, not both")
        if len(label.encode()) > 65535 or len(protocol.encode()) > 65535:
            raise ValueError("label and protocol are limited to 65535 bytes")
        if negotiated and id is None:
            raise ValueError("a negotiated channel needs an id")
        if id is not None:
            if not 0 <= id <= MAX_ID:
                raise ValueError(f"id must be 0 to {MAX_ID}, not {id}")
            if id in self._by_id or id >= self._streams():
                raise OperationError(f"stream {id} is in use, or more than are agreed")
        channel = Channel(
            label,
            protocol,
            ordered,
            max_retransmits,
            max_packet_lifetime_ms,
            priority,
            negotiated,
            None,
        )
        if id is None:
            if self._ids is None:
                self._unassigned.append(channel)
                return channel
            id = self._ids.choose(self._by_id, self._streams())  # noqa: A001
        try:
            self._assign(channel, id, now)
        except DOMException:  # the OPEN did not fit into the send buffer: there is no such channel
            del self._by_id[id]
            self._inbound.discard(id)
            if not negotiated and self._ids is not None:
                self._ids.release(id)
            raise
        return channel

    def _streams(self) -> int:
        """Streams that there are: the peer may have told of fewer before it is connected."""
        return min(self._max_streams, self.association.max_streams)

    def _assign(self, channel: Channel, stream_id: int, now: float) -> None:
        channel.id = stream_id
        self._by_id[stream_id] = channel
        self._inbound.add(stream_id)
        self._configure(channel)
        if not channel.negotiated:
            message = OpenMessage(
                channel.label,
                channel.protocol,
                channel.ordered,
                channel.max_retransmits,
                channel.max_packet_lifetime_ms,
                channel.priority,
            )
            self.association.send(stream_id, _DCEP, message.to_bytes(), now=now)
        if self.association.state is AssociationState.CONNECTED:
            self._opened(channel)

    def _configure(self, channel: Channel) -> None:
        assert channel.id is not None
        if channel.priority != 256:
            self.association.set_priority(channel.id, channel.priority)
        if channel.low_threshold_bytes:
            self.association.set_buffered_low_threshold(channel.id, channel.low_threshold_bytes)

    def _opened(self, channel: Channel) -> None:
        channel.state = ChannelState.OPEN
        self.channels_opened += 1
        self._events.append(ChannelOpened(channel))
        assert channel.id is not None
        for message in self._early.take(channel.id):
            self._on_message(message)

    def send(self, channel: Channel, data: bytes | str, now: float) -> None:
        """Queue a message.

        Raises:
            InvalidStateError: the channel is closing or closed, or has no identifier yet.
            OperationError: the send buffer is full.
        """
        if channel.id is None or channel.state in (ChannelState.CLOSING, ChannelState.CLOSED):
            raise InvalidStateError(f"cannot send: the channel is {channel.state}")
        if isinstance(data, str):
            payload = _encode(data)
            ppid = _STRING if payload else _STRING_EMPTY
        else:
            payload = data
            ppid = _BINARY if payload else _BINARY_EMPTY
        lifetime_ms = channel.max_packet_lifetime_ms
        self.association.send(
            channel.id,
            ppid,
            payload or b"\0",
            ordered=channel.ordered or not channel.acknowledged,
            max_retransmits=channel.max_retransmits,
            lifetime_s=None if lifetime_ms is None else lifetime_ms / 1000,
            now=now,
        )
        channel.messages_sent += 1
        channel.bytes_sent += len(payload)

    def buffered_amount(self, channel: Channel) -> int:
        """Bytes of user data that were handed in and have not been sent."""
        return 0 if channel.id is None else self.association.stream_buffered_bytes(channel.id)

    def set_buffered_amount_low_threshold(self, channel: Channel, threshold_bytes: int) -> None:
        """Set at which buffered amount `BufferedAmountLow` is told."""
        channel.low_threshold_bytes = threshold_bytes
        if channel.id is not None and channel.state is not ChannelState.CLOSED:
            self.association.set_buffered_low_threshold(channel.id, threshold_bytes)

    def close(self, channel: Channel, now: float) -> None:
        """Close a channel, after what is queued on it has been sent. `ChannelClosed` tells when."""
        if channel.state in (ChannelState.CLOSING, ChannelState.CLOSED):
            return
        if channel.id is None:
            self._unassigned.remove(channel)
            self._end(channel, None)
            return
        if channel.negotiated and self.association.state is AssociationState.NEW:
            self._end(channel, None)  # nobody has heard of it
            return
        channel.state = ChannelState.CLOSING
        self._begin_reset(channel)

    def _begin_reset(self, channel: Channel) -> None:
        """Reset the channel's stream, once, if the association stands.

        It may have ended already, with what is still to be told of the same packet: whoever comes
        here from an event does not know. Its end closes all channels.
        """
        assert channel.id is not None
        if not channel.reset_begun and self.association.state is AssociationState.CONNECTED:
            channel.reset_begun = True
            self.association.reset_streams((channel.id,))

    # -- engine -------------------------------------------------------------------------------

    def receive(self, datagrams: Sequence[Buffer], now: float) -> None:
        """Take packets that arrived together."""
        self.association.receive(datagrams, now)
        self._process(now)

    def handle_timeout(self, now: float) -> None:
        """Do what is due at `now`."""
        self.association.handle_timeout(now)
        self._process(now)

    def next_timeout(self) -> float | None:
        """The time at which `handle_timeout` wants to be called next, or None."""
        return self.association.next_timeout()

    def drain(self, now: float) -> list[bytes]:
        """Take packets that are to be sent now; call again until none come."""
        return self.association.drain(now)

    @property
    def has_news(self) -> bool:
        """Whether `events` may have something: a drain may end what waited, and send nothing."""
        return bool(self._events) or self.association.has_news

    def events(self) -> Sequence[ChannelEvent]:
        """Take what the layer above must learn, oldest first."""
        self._process(0.0)
        events = self._events
        if events:
            self._events = []
        return events

    def _process(self, now: float) -> None:
        for event in self.association.events():
            match event:
                case StreamMessage():
                    self._on_message(event, now)
                case StreamBufferedAmountLow():
                    channel = self._by_id.get(event.stream_id)
                    if channel is not None:
                        self._events.append(BufferedAmountLow(channel))
                case StreamsResetByPeer():
                    self._on_reset_by_peer(event.stream_ids)
                case StreamsResetDone():
                    self._on_reset_done(event.stream_ids)
                case AssociationConnected():
                    self._on_connected(event)
                case AssociationClosing():
                    self._on_closing()
                case AssociationClosed():
                    self._on_closed(event)

    # -- what the association tells -----------------------------------------------------------

    def _on_connected(self, event: AssociationConnected) -> None:
        self._max_streams = max_streams = min(event.max_inbound_streams, event.max_outbound_streams)
        self._is_closing = False
        self._events.append(event)
        for channel in list(self._by_id.values()):
            assert channel.id is not None
            if channel.id >= max_streams:
                self._end(channel, ProtocolError(f"the peer allows {max_streams} streams only"))
            elif channel.state is ChannelState.CONNECTING:
                self._opened(channel)
            elif channel.state is ChannelState.CLOSING:
                self._begin_reset(channel)

    def _on_closing(self) -> None:
        """Nothing can be sent any more, however long the peer takes to end it: no channel is open."""
        self._is_closing = True
        for channel in self.channels:
            if channel.state is ChannelState.OPEN:
                channel.state = ChannelState.CLOSING
                self._events.append(ChannelClosing(channel))

    def _on_closed(self, event: AssociationClosed) -> None:
        for channel in self.channels:
            self._end(channel, event.error)
        self._unassigned.clear()
        self._early = EarlyMessages()
        self._events.append(event)

    def _on_message(self, message: StreamMessage, now: float = 0.0) -> None:
        channel = self._by_id.get(message.stream_id)
        ppid = message.ppid
        data = message.data
        if channel is not None and channel.inbound_reset and channel.reset_begun:
            channel = self._finish_by_reuse(channel)
        if ppid == _DCEP:
            self._on_dcep(channel, message, now)
            return
        if channel is None:
            if not self._early.keep(message):
                self._drop(ChannelDrop.EARLY, message)
            return
        if channel.inbound_reset or channel.state is ChannelState.CONNECTING:
            self._drop(ChannelDrop.CLOSED, message)
            return
        channel.acknowledged = True
        if ppid == _BINARY:
            self._events.append(MessageReceived(channel, data))
        elif ppid == _STRING:
            try:
                self._events.append(MessageReceived(channel, data.decode()))
            except UnicodeDecodeError:
                self._drop(ChannelDrop.TEXT, message)
                self._refuse(channel, "a text message is not UTF-8")
                return
        elif ppid in (_BINARY_EMPTY, _STRING_EMPTY):
            data = b""
            self._events.append(MessageReceived(channel, data if ppid == _BINARY_EMPTY else ""))
        else:
            self._drop(ChannelDrop.PPID, message)
            return
        channel.messages_received += 1
        channel.bytes_received += len(data)

    def _refuse(self, channel: Channel, reason: str) -> None:
        """Close a channel for what the peer has sent on it."""
        channel.error = channel.error or ProtocolError(reason)
        if channel.state is ChannelState.OPEN:
            channel.state = ChannelState.CLOSING
            self._events.append(ChannelClosing(channel))
            self._begin_reset(channel)

    def _on_dcep(self, channel: Channel | None, message: StreamMessage, now: float) -> None:
        kind = message.data[0]
        if kind == MESSAGE_ACK and channel is not None:
            channel.acknowledged = True
        elif kind == MESSAGE_OPEN and channel is None:
            self._on_open(message, now)
        else:
            self._drop(ChannelDrop.DCEP, message)

    def _on_open(self, message: StreamMessage, now: float) -> None:
        stream_id = message.stream_id
        is_ours = self._ids is not None and self._ids.is_ours(stream_id)
        try:
            if is_ours or stream_id > MAX_ID or stream_id >= self._streams():
                raise ParseError(f"the peer may not open stream {stream_id}")
            opened = OpenMessage.parse(message.data)
            if (
                self._peer_channels >= MAX_PEER_CHANNELS
                or self._peer_name_bytes + len(message.data) > MAX_PEER_NAME_BYTES
            ):
                raise ParseError("the peer has opened as many channels as it may")
        except ParseError:
            # Told by resetting the stream (RFC 8832, section 6).
            self._drop(ChannelDrop.DCEP, message)
            self._early.take(stream_id)
            if self.association.state is AssociationState.CONNECTED:
                self.association.reset_streams((stream_id,))
            return
        channel = Channel(
            opened.label,
            opened.protocol,
            opened.ordered,
            opened.max_retransmits,
            opened.max_packet_lifetime_ms,
            opened.priority,
            False,
            stream_id,
        )
        channel.acknowledged = True
        channel.name_bytes = len(message.data)
        self._peer_channels += 1
        self._peer_name_bytes += channel.name_bytes
        channel.state = ChannelState.OPEN
        self._by_id[stream_id] = channel
        self._inbound.add(stream_id)
        self._configure(channel)
        self.channels_opened += 1
        self._events.append(ChannelAnnounced(channel))
        try:
            self.association.send(stream_id, _DCEP, ACK, now=now)
        except (OperationError, InvalidStateError):
            # The ACK only ends the peer's ordering; any message of ours does the same.
            self._drop(ChannelDrop.DCEP, message)
        for early in self._early.take(stream_id):
            self._on_message(early)
        if self._is_closing:  # what was held back may be let go by the shutdown itself
            self._on_closing()

    def _on_reset_by_peer(self, stream_ids: Iterable[int]) -> None:
        # Of all streams only those that are not reset yet: a peer may say so again and again.
        for stream_id in stream_ids or tuple(self._inbound | self._early.streams):
            self._early.take(stream_id)
            self._inbound.discard(stream_id)
            channel = self._by_id.get(stream_id)
            if channel is None or channel.inbound_reset:
                continue
            channel.inbound_reset = True
            if channel.state is ChannelState.OPEN or channel.state is ChannelState.CONNECTING:
                channel.state = ChannelState.CLOSING
                self._events.append(ChannelClosing(channel))
            self._begin_reset(channel)
            self._finish_closing(channel)

    def _on_reset_done(self, stream_ids: Iterable[int]) -> None:
        for stream_id in stream_ids:
            channel = self._by_id.get(stream_id)
            if channel is not None and channel.reset_begun:
                # A peer that refuses leaves the channel as closed as it can be.
                channel.outbound_reset = True
                if not self.association.resets_streams:
                    channel.inbound_reset = True  # it cannot close its side either
                self._finish_closing(channel)

    def _finish_by_reuse(self, channel: Channel) -> Channel | None:
        """The peer has closed its side, and sends on the stream again: it has closed ours as well, or it
        could not have the identifier back, and only its answer was lost.

        Returns:
            The channel that the stream belongs to now, if any.
        """
        assert channel.id is not None
        self._on_reset_done(self.association.assume_reset(channel.id))
        return self._by_id.get(channel.id)

    def _finish_closing(self, channel: Channel) -> None:
        if channel.inbound_reset and channel.outbound_reset:
            self._end(channel, channel.error)

    def _end(self, channel: Channel, error: ProtocolError | None) -> None:
        if channel.state is ChannelState.CLOSED:
            return
        if channel.state is not ChannelState.CONNECTING:
            self.channels_closed += 1
        channel.state = ChannelState.CLOSED
        if channel.name_bytes:
            self._peer_channels -= 1
            self._peer_name_bytes -= channel.name_bytes
        if channel.id is not None:
            self._by_id.pop(channel.id, None)
            self._inbound.discard(channel.id)
            if self._ids is not None and self.association.resets_streams:
                self._ids.release(channel.id)  # else the peer does not know that it is free
        self._events.append(ChannelClosed(channel, error))

    def _drop(self, reason: ChannelDrop, message: StreamMessage | None = None) -> None:
        self.drops[reason] = self.drops.get(reason, 0) + 1
        self.association.refusals.add("dcep", reason, b"" if message is None else message.data)


def _encode(text: str) -> bytes:
    """UTF-8; a lone surrogate becomes U+FFFD, as in the W3C's USVString."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
