"""All data channels of a connection, between the W3C's objects and the engine.

Spec: webrtc-pc, section 6.1.1 (RTCSctpTransport) and 6.2; RFC 8831; webrtc-priority, section 4.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from rtcstack.api.datachannel import (
    USER_INITIATED_ABORT,
    EarlyBudget,
    RTCDataChannel,
    RTCDataChannelInit,
    check_init,
)
from rtcstack.api.home import Home
from rtcstack.clock import monotonic
from rtcstack.config import Settings
from rtcstack.errors import InvalidStateError, OperationError, ProtocolError, RTCError
from rtcstack.sctp.association import AssociationState, SctpAssociation
from rtcstack.sctp.channels import Channel, DataChannels
from rtcstack.sctp.events import (
    AssociationClosed,
    AssociationConnected,
    BufferedAmountLow,
    ChannelAnnounced,
    ChannelClosed,
    ChannelClosing,
    ChannelEvent,
    ChannelOpened,
    MessageReceived,
)
from rtcstack.sctp.holdings import Holding
from rtcstack.sctp.options import SctpOptions

if TYPE_CHECKING:
    from rtcstack.transport import Transport

__all__ = ["ChannelSet"]

MAX_UNHEARD_TOLD = 16
"""Lines in the log of a connection about errors of channels that nobody listens for; as many about messages
that are lost because nobody does, and about readers that take nothing: the peer may open any number."""

READER_TICKS = 6
"""How often readers are looked at in the time that they may be idle. A loop that was held up for all of it
has one tick only, and its readers go on before they are given up."""

logger = logging.getLogger("rtcstack.channels")

DEFAULT_MAX_MESSAGE_SIZE = 65_536
"""What a peer takes that does not say (RFC 8841, section 6)."""

MAX_UTF8_BYTES = 4
"""Most bytes that a character takes in UTF-8."""

REFUSALS_GATHERED_S = 0.5
"""For so long channels that are refused are gathered, before their streams are reset together: a peer
that floods many would have a reset for each, and may have one under way only (RFC 6525, section 5.1.1)."""

_PRIORITIES = {"very-low": 128, "low": 256, "medium": 512, "high": 1024}

_ENDING = (AssociationState.SHUTTING_DOWN, AssociationState.CLOSED)


class ChannelSet:
    """Makes channels, hands their calls to the engine and the engine's events to them.

    Args:
        settings: limits and what to offer.
        on_channel: a channel that the peer opened.
        on_connected: the association stands; with the number of channels it has room for.
        on_closed: the association has ended.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        home: Home,
        on_channel: Callable[[RTCDataChannel], None],
        on_connected: Callable[[int], None],
        on_closed: Callable[[], None],
    ) -> None:
        self.home = home
        self._on_channel = on_channel
        self._on_connected = on_connected
        self._on_closed = on_closed
        self._unheard = 0
        self._unheard_cause: ProtocolError | None = None
        self._told: dict[str, int] = {}
        self.engine = DataChannels(
            SctpAssociation(
                SctpOptions(
                    receive_window_bytes=settings.receive_window_bytes,
                    max_message_size=settings.max_message_size,
                    max_send_buffer_bytes=settings.max_send_buffer_bytes,
                    zero_checksum=settings.zero_checksum,
                    interleaving=settings.interleaving,
                )
            )
        )
        self.transport: Transport | None = None
        self.early_budget = EarlyBudget()
        self._reader_tick_s = (
            None if settings.reader_idle_timeout_s is None else settings.reader_idle_timeout_s / READER_TICKS
        )
        self._readers: dict[RTCDataChannel, None] = {}  # a set, in order
        self._reader_watch: asyncio.TimerHandle | None = None
        self.max_message_size = DEFAULT_MAX_MESSAGE_SIZE
        self.is_closed = False
        self._is_shut = False
        self._objects: dict[Channel, RTCDataChannel] = {}
        self._refused: list[Channel] = []
        self._refusing: asyncio.TimerHandle | None = None
        self._drainers: list[tuple[Channel, int, asyncio.Future[None]]] = []

    @property
    def channels(self) -> list[RTCDataChannel]:
        """The channels that are not closed."""
        return list(self._objects.values())

    def create(self, label: str, init: RTCDataChannelInit) -> RTCDataChannel:
        """A channel of ours. See `RTCPeerConnection.createDataChannel` for what it raises."""
        check_init(label, init)
        priority = _PRIORITIES.get(init.priority)
        if priority is None:
            raise TypeError(f"priority must be one of {', '.join(_PRIORITIES)}, not {init.priority!r}")
        if self.is_closed or self.engine.association.state in _ENDING:
            raise OperationError("createDataChannel on a connection whose SCTP association has ended")
        channel = self.engine.open(
            label,
            init.protocol,
            ordered=bool(init.ordered),
            max_retransmits=init.maxRetransmits,
            max_packet_lifetime_ms=init.maxPacketLifeTime,
            priority=priority,
            negotiated=bool(init.negotiated),
            id=init.id,
            now=monotonic(),
        )
        result = RTCDataChannel(self, channel)
        self._objects[channel] = result
        self._wake()
        return result

    def attach(self, transport: Transport, *, is_dtls_client: bool, remote_max_message_size: int) -> None:
        """Run over a transport, once; later calls only take the peer's limit.

        Args:
            transport: the one that the data section uses.
            is_dtls_client: this end's DTLS role, which decides on even or odd stream ids.
            remote_max_message_size: bytes; 0 for any.
        """
        self.max_message_size = remote_max_message_size or (1 << 53)
        if self.transport is None:
            self.transport = transport
            self.engine.set_role(is_dtls_client, monotonic())
            transport.attach_channels(self.engine)

    # -- what channels ask for --------------------------------------------------------------------

    def send(self, channel: Channel, data: str | bytes) -> None:
        """Queue a message. See `RTCDataChannel.send`."""
        size = len(data)
        if isinstance(data, str) and size * MAX_UTF8_BYTES > self.max_message_size and not data.isascii():
            size = len(data.encode("utf-8", "replace"))  # near the limit only: the engine encodes it again
        if size > self.max_message_size:
            raise TypeError(f"{size} bytes exceed the peer's maximum message size of {self.max_message_size}")
        try:
            self.engine.send(channel, data, monotonic())
        except InvalidStateError:
            # Its object is open still: the packet that is being told of has closed it as well, and that is
            # told next. What is sent to a peer that goes is lost.
            return
        transport = self.transport
        if transport is not None:
            transport.wake()

    def close(self, channel: Channel) -> None:
        """Begin the closing procedure."""
        self.engine.close(channel, monotonic())
        self._wake()

    def refuse(self, channel: Channel, reason: str) -> None:
        """Close a channel for what the peer has sent on it: for the application at once, whatever
        the peer answers to the reset of its stream."""
        self._refused.append(channel)
        if self._refusing is None:
            self._refusing = asyncio.get_running_loop().call_later(REFUSALS_GATHERED_S, self._reset_refused)
        self._close_object(channel, ProtocolError(reason))
        if self._unheard:
            self._tell_unheard()
        self._wake()

    def _reset_refused(self) -> None:
        self._refusing = None
        refused, self._refused = self._refused, []
        for channel in refused:
            self.engine.close(channel, monotonic())
        self._wake()

    def buffered_amount(self, channel: Channel) -> int:
        """Bytes that wait in the send queue."""
        return self.engine.buffered_amount(channel)

    def set_buffered_amount_low_threshold(self, channel: Channel, amount: int) -> None:
        """See `RTCDataChannel.bufferedAmountLowThreshold`."""
        self.engine.set_buffered_amount_low_threshold(channel, amount)

    def begin_reading(self, target: RTCDataChannel) -> Holding:
        """A channel is read from here on, until `end_reading`: what its reader has not taken is held."""
        self._readers[target] = None
        return self.engine.association.begin_reading()

    def end_reading(self, target: RTCDataChannel) -> None:
        """It is read no more, and holds nothing."""
        self._readers.pop(target, None)
        self.tell_window()

    def tell_window(self) -> None:
        """Something was taken: the peer hears of it if that opens its window far enough."""
        if self.engine.association.tell_window():
            self._wake()

    def watch_readers(self) -> None:
        """Something waits for a reader: look from time to time whether it moves."""
        if self._reader_watch is None and self._reader_tick_s is not None and not self.is_closed:
            loop = asyncio.get_running_loop()
            self._reader_watch = loop.call_later(self._reader_tick_s, self._look_at_readers)

    def _look_at_readers(self) -> None:
        self._reader_watch = None
        if self.is_closed:
            return  # what is held harms nobody any more
        waits = False
        hopeless = self.engine.association.hopeless_reader
        for target in list(self._readers):
            waits |= target.look_at_reader(READER_TICKS, hopeless)
        if waits:
            self.watch_readers()

    def warn(self, kind: str, text: str, *args: object) -> None:
        """Say something in the log that the peer may cause as often as it likes: so often, and no more."""
        told = self._told[kind] = self._told.get(kind, 0) + 1
        if told <= MAX_UNHEARD_TOLD:
            logger.warning(text, *args)

    async def wait_for_room(self, channel: Channel, amount: int) -> None:
        """Wait until at most `amount` bytes are buffered, or the channel has closed."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._drainers.append((channel, amount, future))
        if self.transport is not None:
            self.transport.after_pass = self._check_drainers
        await future

    def _check_drainers(self) -> None:
        waiting = []
        for channel, amount, future in self._drainers:
            if future.done():
                continue
            if channel not in self._objects or self.engine.buffered_amount(channel) <= amount:
                future.set_result(None)
            else:
                waiting.append((channel, amount, future))
        self._drainers = waiting
        if not waiting and self.transport is not None:
            self.transport.after_pass = None

    def priority_name(self, priority: int) -> str:
        """RTCPriorityType for an engine's priority."""
        for name, value in _PRIORITIES.items():
            if priority <= value:
                return name
        return "high"

    def _wake(self) -> None:
        if self.transport is not None:
            self.transport.wake()

    # -- what the engine tells --------------------------------------------------------------------

    def on_events(self, events: list[ChannelEvent]) -> None:
        """Hand the engine's events to whom they concern: each by itself, whatever another one does."""
        for event in events:
            try:
                if isinstance(event, MessageReceived):  # most of them
                    target = self._objects.get(event.channel)
                    if target is not None:
                        target.on_message(event.data)
                else:
                    self._on_event(event)
            except Exception as exc:  # a fault of ours, in what was told
                logger.error("a fault while telling %s", type(event).__name__, exc_info=exc)
        if self._unheard:
            self._tell_unheard()
        if self._drainers:
            self._check_drainers()

    def _on_event(self, event: ChannelEvent) -> None:
        if self._is_shut:
            return  # by a handler of an earlier event
        objects = self._objects
        if isinstance(event, BufferedAmountLow):
            target = objects.get(event.channel)
            if target is not None:
                target.on_low()
        elif isinstance(event, ChannelAnnounced):
            target = RTCDataChannel(self, event.channel)
            objects[event.channel] = target
            target.on_announced(self._on_channel)
        elif isinstance(event, ChannelOpened):
            target = objects.get(event.channel)
            if target is not None:
                target.on_opened()
        elif isinstance(event, ChannelClosing):
            target = objects.get(event.channel)
            if target is not None:
                target.on_closing()
        elif isinstance(event, ChannelClosed):
            self._close_object(event.channel, event.error)
        elif isinstance(event, AssociationConnected):
            self._on_connected(min(event.max_inbound_streams, event.max_outbound_streams))
        elif isinstance(event, AssociationClosed):
            self.is_closed = True
            for channel in list(objects):
                self._close_object(channel, event.error)
            self._on_closed()

    def _close_object(self, channel: Channel, cause: ProtocolError | None) -> None:
        target = self._objects.pop(channel, None)
        if target is None:
            return
        error = None
        if cause is not None:
            error = RTCError("sctp-failure", str(cause), sctpCauseCode=cause.code)
            # who hangs up makes no mistake
            if cause.code != USER_INITIATED_ABORT and not target.has_listeners("error"):
                self._unheard += 1
                self._unheard_cause = cause
        target.on_closed(error)

    def _tell_unheard(self) -> None:
        """Errors that nobody listens for are in the log: those of a pass together, and not without end, for
        the peer may open and fail as many channels as it likes."""
        count, self._unheard = self._unheard, 0
        self.warn(
            "failed", "%d data channels failed, and nobody listens for errors: %s", count, self._unheard_cause
        )

    def fail(self, reason: str) -> None:
        """Data channels will never work on this connection: close them with an error."""
        if not self.is_closed:
            self.on_events([AssociationClosed(ProtocolError(reason), graceful=False)])

    def shut(self) -> None:
        """The connection was closed by the application: all channels are closed, without events."""
        self.is_closed = self._is_shut = True
        if self._refusing is not None:
            self._refusing.cancel()
            self._refusing = None
        if self._reader_watch is not None:
            self._reader_watch.cancel()
            self._reader_watch = None
        objects, self._objects = self._objects, {}
        for target in objects.values():
            target.on_shut()
        self._check_drainers()
