"""All data channels of a connection, between who uses them and the engine.

Spec: webrtc-pc, section 6.1.1 (RTCSctpTransport) and 6.2; RFC 8831; webrtc-priority, section 4.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from rtcstack.clock import monotonic
from rtcstack.config import Settings
from rtcstack.errors import InvalidStateError, OperationError, ProtocolError, RTCError
from rtcstack.sctp.association import AssociationState, SctpAssociation
from rtcstack.sctp.channel import Channel
from rtcstack.sctp.channels import DataChannels
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

__all__ = [
    "NO_LIMIT",
    "USER_INITIATED_ABORT",
    "ChannelObserver",
    "ChannelSet",
    "ChannelSetObserver",
    "EarlyBudget",
    "Reader",
]

USER_INITIATED_ABORT = 12
"""SCTP's cause code (RFC 9260, section 3.3.10.12) with which browsers hang up."""

MAX_UNHEARD_TOLD = 16
"""Lines in the log of a connection about errors of channels that nobody listens for; as many about messages
that are lost because nobody does, and about readers that take nothing: the peer may open any number."""

READER_TICKS = 6
"""How often readers are looked at in the time that they may be idle. A loop that was held up for all of it
has one tick only, and its readers go on before they are given up."""

logger = logging.getLogger("rtcstack.channels")

DEFAULT_MAX_MESSAGE_SIZE = 65_536
"""What a peer takes that does not say (RFC 8841, section 6)."""

NO_LIMIT = 1 << 53
"""What stands for no limit of messages' sizes: more than fits into any memory."""

MAX_UTF8_BYTES = 4
"""Most bytes that a character takes in UTF-8."""

REFUSALS_GATHERED_S = 0.5
"""For so long channels that are refused are gathered, before their streams are reset together: a peer
that floods many would have a reset for each, and may have one under way only (RFC 6525, section 5.1.1)."""

MAX_CLOSED = 256
"""Channels that are closed, and that statistics still tell of: the last ones."""

_ENDING = (AssociationState.SHUTTING_DOWN, AssociationState.CLOSED)


class EarlyBudget:
    """What the messages that nobody has listened for take, in all channels of a connection.

    Attributes:
        held_bytes: the sum of their charges.
    """

    __slots__ = ("held_bytes",)

    def __init__(self) -> None:
        self.held_bytes = 0


class ChannelObserver(Protocol):
    """Who uses a channel."""

    def on_opened(self) -> None:
        """The channel may be used."""

    def on_message(self, data: str | bytes) -> None:
        """A message has arrived."""

    def on_low(self) -> None:
        """The buffered amount has fallen to the threshold."""

    def on_closing(self) -> None:
        """The peer is closing the channel."""

    def on_closed(self, cause: ProtocolError | None) -> bool:
        """The channel is closed, by an error or without; whether somebody listens for the error."""

    def on_given_up(self, error: RTCError) -> None:
        """What was held for a reader that took nothing is lost."""

    def on_shut(self) -> None:
        """The application has closed the whole connection."""


class Reader(Protocol):
    """For whom messages are held.

    Attributes:
        channel: which it reads.
        lost: why what was held is gone, if it is.
    """

    channel: Channel
    lost: RTCError | None

    def look(self, idle_ticks: int, hopeless: Holding | None) -> bool:
        """Whether something waits for it that it may take yet; see `Delivery.look`."""


class ChannelSetObserver(Protocol):
    """Who is told of the channels as a whole."""

    def on_channel(self, channel: Channel) -> None:
        """The peer has opened a channel; `ChannelSet.observe` says who uses it."""

    def on_association_state(self) -> None:
        """The association stands, or has ended."""


class ChannelSet:
    """Makes channels, hands their calls to the engine and the engine's events to who uses them.

    Args:
        settings: limits and what to offer.
        observer: who is told of what the peer does.

    Attributes:
        transport: what the association runs over; None before it was agreed.
        max_message_size: bytes that the peer takes at once.
        max_channels: how many channels there is room for; None before the association stands.
        is_closed: whether the association has ended.
        numbers: of each channel, and of the last that were closed, for statistics.
        requested: channels that were opened here.
    """

    def __init__(self, settings: Settings, observer: ChannelSetObserver) -> None:
        self._observer = observer
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
                    reuse_lowest_ids=settings.reuse_lowest_channel_ids,
                )
            )
        )
        self.transport: Transport | None = None
        self.early_budget = EarlyBudget()
        self._reader_tick_s = (
            None if settings.reader_idle_timeout_s is None else settings.reader_idle_timeout_s / READER_TICKS
        )
        self._readers: dict[Reader, None] = {}  # a set, in order
        self._reader_watch: asyncio.TimerHandle | None = None
        self.max_message_size = DEFAULT_MAX_MESSAGE_SIZE
        self.max_channels: int | None = None
        self.is_closed = False
        self._is_shut = False
        self._observers: dict[Channel, ChannelObserver] = {}
        self.numbers: dict[Channel, int] = {}
        self.requested = 0
        self._numbered = 0
        self._closed: deque[Channel] = deque()
        self._refused: list[Channel] = []
        self._refusing: asyncio.TimerHandle | None = None
        self._drainers: list[tuple[Channel, int, asyncio.Future[None]]] = []

    @property
    def channels(self) -> list[Channel]:
        """The channels that are not closed."""
        return list(self._observers)

    def open(
        self,
        label: str,
        protocol: str,
        *,
        ordered: bool,
        max_retransmits: int | None,
        max_packet_lifetime_ms: int | None,
        priority: int,
        negotiated: bool,
        id: int | None,  # noqa: A002 - the W3C's name
    ) -> Channel:
        """A channel of ours; `observe` says who uses it.

        Raises:
            OperationError: the id is in use or too high, no id is left, or the association has ended.
        """
        if self.is_closed or self.engine.association.state in _ENDING:
            raise OperationError("the SCTP association has ended")
        channel = self.engine.open(
            label,
            protocol,
            ordered=ordered,
            max_retransmits=max_retransmits,
            max_packet_lifetime_ms=max_packet_lifetime_ms,
            priority=priority,
            negotiated=negotiated,
            id=id,
            now=monotonic(),
        )
        self.requested += 1
        self._wake()
        return channel

    def observe(self, channel: Channel, observer: ChannelObserver) -> None:
        """Say who uses a channel."""
        self._observers[channel] = observer
        self._numbered += 1
        self.numbers[channel] = self._numbered

    @property
    def accepted(self) -> int:
        """How many channels the peer has opened, that somebody uses."""
        return self._numbered - self.requested

    def attach(self, transport: Transport, *, is_dtls_client: bool, remote_max_message_size: int) -> None:
        """Run over a transport, once; later calls only take the peer's limit.

        Args:
            transport: the one that the data section uses.
            is_dtls_client: this end's DTLS role, which decides on even or odd stream ids.
            remote_max_message_size: bytes; 0 for any.
        """
        self.max_message_size = remote_max_message_size or NO_LIMIT
        if self.transport is None:
            self.transport = transport
            self.engine.set_role(is_dtls_client, monotonic())
            transport.attach_channels(self.engine)
            transport.wake()

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
        self._tell_closed(channel, ProtocolError(reason))
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

    def begin_reading(self, target: Reader) -> Holding:
        """A channel is read from here on, until `end_reading`: what its reader has not taken is held."""
        self._readers[target] = None
        return self.engine.association.begin_reading()

    def end_reading(self, target: Reader) -> None:
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
            if target.look(READER_TICKS, hopeless):
                waits = True
            elif target.lost is not None and (observer := self._observers.get(target.channel)) is not None:
                observer.on_given_up(target.lost)
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
            if channel not in self._observers or self.engine.buffered_amount(channel) <= amount:
                future.set_result(None)
            else:
                waiting.append((channel, amount, future))
        self._drainers = waiting
        if not waiting and self.transport is not None:
            self.transport.after_pass = None

    def _wake(self) -> None:
        if self.transport is not None:
            self.transport.wake()
        elif self.engine.has_news:  # a channel was closed that never had a transport
            asyncio.get_running_loop().call_soon(self._tell_without_transport)

    def _tell_without_transport(self) -> None:
        if self.transport is None and not self.is_closed:
            self.on_events(self.engine.events())

    # -- what the engine tells --------------------------------------------------------------------

    def on_events(self, events: Sequence[ChannelEvent]) -> None:
        """Hand the engine's events to whom they concern: each by itself, whatever another one does."""
        for event in events:
            try:
                if isinstance(event, MessageReceived):  # most of them
                    target = self._observers.get(event.channel)
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
        observers = self._observers
        if isinstance(event, BufferedAmountLow):
            target = observers.get(event.channel)
            if target is not None:
                target.on_low()
        elif isinstance(event, ChannelAnnounced):
            self._observer.on_channel(event.channel)
        elif isinstance(event, ChannelOpened):
            target = observers.get(event.channel)
            if target is not None:
                target.on_opened()
        elif isinstance(event, ChannelClosing):
            target = observers.get(event.channel)
            if target is not None:
                target.on_closing()
        elif isinstance(event, ChannelClosed):
            self._tell_closed(event.channel, event.error)
        elif isinstance(event, AssociationConnected):
            self.max_channels = min(event.max_inbound_streams, event.max_outbound_streams)
            self._observer.on_association_state()
        elif isinstance(event, AssociationClosed):
            self.is_closed = True
            for channel in list(observers):
                self._tell_closed(channel, event.error)
            self._observer.on_association_state()

    def _tell_closed(self, channel: Channel, cause: ProtocolError | None) -> None:
        target = self._observers.pop(channel, None)
        if target is None:
            return
        self._closed.append(channel)
        if len(self._closed) > MAX_CLOSED:
            self.numbers.pop(self._closed.popleft(), None)
        is_heard = target.on_closed(cause)
        # who hangs up makes no mistake
        if cause is not None and cause.code != USER_INITIATED_ABORT and not is_heard:
            self._unheard += 1
            self._unheard_cause = cause

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
        observers, self._observers = self._observers, {}
        for target in observers.values():
            target.on_shut()
        self._check_drainers()
