"""RTCDataChannel.

Spec: webrtc-pc, section 6.2; RFC 8831.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import StrEnum
from threading import get_ident
from typing import TYPE_CHECKING, Any

from rtcstack.api.blob import Blob
from rtcstack.api.dictionaries import enforce_range
from rtcstack.api.events import MessageEvent, RTCErrorEvent
from rtcstack.api.home import at_home
from rtcstack.errors import InvalidStateError, OperationError, RTCError
from rtcstack.events import Event, EventTarget, HandlerAttribute

if TYPE_CHECKING:
    from rtcstack.api.channelset import ChannelSet
    from rtcstack.sctp.channels import Channel
    from rtcstack.sctp.holdings import Holding

__all__ = ["RTCDataChannel", "RTCDataChannelInit", "RTCDataChannelState", "Sendable", "check_init"]

Message = str | bytes | Blob
Sendable = str | bytes | bytearray | memoryview | Blob

USER_INITIATED_ABORT = 12
"""SCTP's cause code (RFC 9260, section 3.3.10.12) with which browsers hang up."""

MAX_EARLY_MESSAGES = 1024
"""Messages kept for a channel to which nobody listens yet; later ones are dropped, as the W3C's
event model drops all of them."""

MAX_EARLY_BYTES = 1 << 20
"""The same in bytes."""

MAX_EARLY_TOTAL_BYTES = 4 << 20
"""The same for all channels of a connection. A channel whose message exceeds it is closed, with an
error: what nobody has listened for by then is no oversight of a moment."""

MESSAGE_OVERHEAD_BYTES = 64
"""What a message that waits for the application is charged beside its data."""


def _size(data: str | bytes) -> int:
    """What a message that waits is charged: a flood of empty ones must not be free."""
    return MESSAGE_OVERHEAD_BYTES + (len(data) if isinstance(data, bytes) else len(data.encode()))


class EarlyBudget:
    """What the messages that nobody has listened for take, in all channels of a connection.

    Attributes:
        held_bytes: the sum of their charges.
    """

    __slots__ = ("held_bytes",)

    def __init__(self) -> None:
        self.held_bytes = 0


class RTCDataChannelState(StrEnum):
    """Where a channel stands (webrtc-pc, section 6.2)."""

    CONNECTING = "connecting"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


@dataclass(slots=True)
class RTCDataChannelInit:
    """How a data channel is to be.

    Attributes:
        ordered: messages arrive in the order in which they were sent.
        maxPacketLifeTime: milliseconds during which a message is retransmitted, or None.
        maxRetransmits: how often a message is retransmitted, or None. Not both.
        protocol: name of a subprotocol, at most 65,535 bytes of UTF-8.
        negotiated: both applications make the channel with the same `id`; nothing is announced.
        id: 0 to 65,534, for negotiated channels.
        priority: "very-low", "low", "medium" or "high" (webrtc-priority).

    Spec: webrtc-pc, section 6.2 (RTCDataChannelInit).
    """

    ordered: bool = True
    maxPacketLifeTime: int | None = None
    maxRetransmits: int | None = None
    protocol: str = ""
    negotiated: bool = False
    id: int | None = None
    priority: str = "low"


class RTCDataChannel(EventTarget):
    """A bidirectional channel for messages. Made by `RTCPeerConnection.createDataChannel`, or by
    the peer and announced by the "datachannel" event.

    Besides the events, ``async for message in channel`` gives each message; while it lags behind,
    at most a quarter of the association's receive window is held, and the peer's sending slows
    down. A reader that takes nothing for `Settings.reader_idle_timeout_s` loses what waits: "error".

    Events: open, message, bufferedamountlow, error, closing, close.

    Spec: webrtc-pc, section 6.2.
    """

    onopen = HandlerAttribute("open")
    onmessage = HandlerAttribute("message")
    onbufferedamountlow = HandlerAttribute("bufferedamountlow")
    onerror = HandlerAttribute("error")
    onclosing = HandlerAttribute("closing")
    onclose = HandlerAttribute("close")

    def __init__(self, channels: ChannelSet, channel: Channel) -> None:
        super().__init__()
        self._channels = channels
        self.home = channels.home
        self._channel = channel
        self._state = RTCDataChannelState.CONNECTING
        self._binary_type = "arraybuffer"
        self._early: list[str | bytes] | None = []
        self._early_bytes = 0
        self._early_overflowed = False
        self._early_budget = channels.early_budget
        self._inbox: deque[str | bytes | RTCError] | None = None
        self._holding: Holding | None = None
        self._lost: RTCError | None = None  # what was let go, until a reader has heard of it
        self._has_taken = True
        self._idle_ticks = 0
        self._waiters: list[asyncio.Future[None]] = []
        self._error: RTCError | None = None
        self.unheard = 0
        """Messages that were lost because nobody listened for them, or their reader took nothing."""

    # -- attributes -------------------------------------------------------------------------------

    @property
    def record(self) -> Channel:
        """The engine's record of the channel, with its counters."""
        return self._channel

    @property
    def label(self) -> str:
        """The name that it was made with."""
        return self._channel.label

    @property
    def ordered(self) -> bool:
        """Whether messages arrive in the order in which they were sent."""
        return self._channel.ordered

    @property
    def maxPacketLifeTime(self) -> int | None:
        """Milliseconds during which a message is retransmitted, or None."""
        return self._channel.max_packet_lifetime_ms

    @property
    def maxRetransmits(self) -> int | None:
        """How often a message is retransmitted, or None."""
        return self._channel.max_retransmits

    @property
    def protocol(self) -> str:
        """The name of the subprotocol, or ""."""
        return self._channel.protocol

    @property
    def negotiated(self) -> bool:
        """Whether the applications agreed on the channel by themselves."""
        return self._channel.negotiated

    @property
    def id(self) -> int | None:
        """The stream id, 0 to 65,534; None until the DTLS role decides on it."""
        return self._channel.id

    @property
    def priority(self) -> str:
        """ "very-low", "low", "medium" or "high" (webrtc-priority)."""
        return self._channels.priority_name(self._channel.priority)

    @property
    def readyState(self) -> RTCDataChannelState:
        """Where it stands."""
        return self._state

    @property
    def bufferedAmount(self) -> int:
        """Bytes of data, without framing, that `send` took and that have not been sent."""
        return self._channels.buffered_amount(self._channel)

    @property
    def bufferedAmountLowThreshold(self) -> int:
        """When `bufferedAmount` falls to this or below, "bufferedamountlow" is fired."""
        return self._channel.low_threshold_bytes

    @bufferedAmountLowThreshold.setter
    def bufferedAmountLowThreshold(self, value: int) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise TypeError(f"bufferedAmountLowThreshold must be an integer of 0 or more, not {value!r}")
        self._channels.set_buffered_amount_low_threshold(self._channel, value)

    @property
    def binaryType(self) -> str:
        """What binary messages arrive as: "arraybuffer" (bytes) or "blob" (`Blob`)."""
        return self._binary_type

    @binaryType.setter
    def binaryType(self, value: str) -> None:
        if value not in ("arraybuffer", "blob"):
            raise TypeError(f"binaryType must be 'arraybuffer' or 'blob', not {value!r}")
        self._binary_type = value

    # -- methods ----------------------------------------------------------------------------------

    def send(self, data: Sendable) -> None:
        """Queue a message; it leaves in the loop's next turn at the latest.

        Args:
            data: str is sent as text; bytes, bytearray, memoryview, `Blob` or another object with
                the buffer protocol (a contiguous numpy array) is sent as binary. Empty is allowed.

        Raises:
            InvalidStateError: the channel is not open, or this is not its event loop's thread.
            TypeError: another type, or more than `RTCSctpTransport.maxMessageSize` bytes.
            OperationError: the send buffer is full (`Settings.max_send_buffer_bytes`). Nothing was
                queued; wait with `drain`.
        """
        home = self.home
        if get_ident() != home.thread:  # per message: asking for the running loop would be a system call
            home.check("send")
        if self._state is not RTCDataChannelState.OPEN:
            raise InvalidStateError(f"send on a data channel that is {self._state}")
        payload: str | bytes
        if isinstance(data, (str, bytes)):
            payload = data
        elif isinstance(data, Blob):
            payload = bytes(data)
        else:
            try:
                payload = bytes(memoryview(data))
            except TypeError:
                raise TypeError(f"send takes str, bytes-like or Blob, not {type(data).__name__}") from None
        self._channels.send(self._channel, payload)

    async def drain(self, amount: int = 0) -> None:
        """Wait until `bufferedAmount` is at most `amount`.

        Args:
            amount: bytes.

        Raises:
            InvalidStateError: the channel closed while waiting.
        """
        while self.bufferedAmount > amount:
            if self._state in (RTCDataChannelState.CLOSING, RTCDataChannelState.CLOSED):
                raise InvalidStateError(f"drain on a data channel that is {self._state}")
            await self._channels.wait_for_room(self._channel, amount)

    async def send_async(self, data: Sendable, high_water: int = 1 << 20) -> None:
        """`send`, after waiting until the channel is open and at most `high_water` bytes are buffered.

        Raises:
            InvalidStateError: the channel is closed, or closes meanwhile.
            TypeError, OperationError: see `send`.
        """
        while self._state is RTCDataChannelState.CONNECTING:
            await self._news()
        if self.bufferedAmount > high_water:
            await self.drain(high_water // 2)
        try:
            self.send(data)
        except OperationError:
            if not self.bufferedAmount:
                raise
            await self.drain(self.bufferedAmount // 2)  # many small messages fill the buffer sooner
            self.send(data)

    @at_home
    def close(self) -> None:
        """Close the channel after what is queued has been sent; "close" is fired when the peer has
        agreed. Nothing happens when it is closing or closed already."""
        if self._state in (RTCDataChannelState.CLOSING, RTCDataChannelState.CLOSED):
            return
        self._state = RTCDataChannelState.CLOSING
        self._wake()
        self._channels.close(self._channel)

    def __aiter__(self) -> AsyncIterator[Message]:
        """Each message until the channel is closed, or the peer has closed the connection.

        Raises:
            RTCError: the connection failed; or ("data-channel-failure") messages were lost, because the
                reader began too late or took nothing for too long. Reading may go on behind the gap.
        """
        return self._messages()

    async def _messages(self) -> AsyncIterator[Message]:
        self._open_inbox()
        while True:
            inbox = self._inbox
            if inbox is None:
                self._open_inbox()  # raises: what it held was let go
            elif inbox:
                data = inbox.popleft()
                if isinstance(data, RTCError):
                    raise data
                self._has_taken = True
                if self._holding is not None:
                    self._holding.take(_size(data))
                    if not inbox and self._state is RTCDataChannelState.CLOSED:
                        self._end_holding()
                    self._channels.tell_window()
                yield self._as_message(data)
            elif self._state is RTCDataChannelState.CLOSED:
                self._end_holding()
                error = self._error
                if error is not None and error.sctpCauseCode != USER_INITIATED_ABORT:
                    raise error
                return
            else:
                await self._news()

    def _news(self) -> asyncio.Future[None]:
        """Ends with the next message or change of state."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return waiter

    def _open_inbox(self) -> None:
        lost, self._lost = self._lost, None
        if lost is not None:
            raise lost
        if self._inbox is None:
            early = self._take_early()
            self._inbox = deque(early)
            if self._early_overflowed:
                self._early_overflowed = False
                self._inbox.append(
                    RTCError(
                        "data-channel-failure",
                        f"{self.unheard} messages on the channel {self.label!r} were lost: they came before"
                        " anybody read",
                    )
                )
            holding = self._holding = self._channels.begin_reading(self)
            for data in early:
                holding.hold(_size(data))
            if early:
                self._channels.watch_readers()

    def _end_holding(self) -> None:
        if self._holding is not None:
            self._holding.end()
            self._holding = None
            self._channels.end_reading(self)

    def look_at_reader(self, idle_ticks: int, hopeless: Holding | None) -> bool:
        """Look, at every tick of a clock, whether the reader moves; let go of what it holds if not.

        Args:
            idle_ticks: whole intervals between two ticks that it may take nothing in.
            hopeless: what is held for a reader that is too slow.

        Returns:
            Whether anything waits for it still.
        """
        inbox, holding = self._inbox, self._holding
        if inbox is None or holding is None or not holding.held_bytes:
            return False
        if holding is not hopeless:
            if self._has_taken:
                self._has_taken = False
                self._idle_ticks = 0
                return True
            self._idle_ticks += 1
            if self._idle_ticks < idle_ticks:
                return True
        count = sum(not isinstance(each, RTCError) for each in inbox)
        self._inbox = None
        self._end_holding()
        self.unheard += count
        took = "too little" if holding is hopeless else "none"
        text = (
            f"{count} messages on the channel {self.label!r} were lost: its reader took {took} for too long"
        )
        error = self._lost = RTCError("data-channel-failure", text)
        self._channels.warn("stalled", "%s", text)
        if self._state is not RTCDataChannelState.CLOSED and self.has_listeners("error"):
            self.dispatchEvent(RTCErrorEvent("error", error))
        return False

    # -- what the channel set tells ---------------------------------------------------------------

    def _add_event_handler(self, event: str, k: Any, v: Any) -> None:
        super()._add_event_handler(event, k, v)
        if event == "message" and self._early:
            asyncio.get_running_loop().call_soon(self._flush_early)

    def _flush_early(self) -> None:
        if self._early is not None and self.has_listeners("message"):
            self._early_overflowed = False
            for data in self._take_early():
                self.dispatchEvent(MessageEvent("message", self._as_message(data)))

    def _take_early(self) -> list[str | bytes]:
        """The messages that nobody has listened for; from here on somebody does."""
        early, self._early = self._early or [], None
        self._early_budget.held_bytes -= self._early_bytes
        self._early_bytes = 0
        return early

    def __del__(self) -> None:
        # Who has never listened may still do so while the object lives, also after "close".
        if self._early_bytes:
            self._early_budget.held_bytes -= self._early_bytes

    def _as_message(self, data: str | bytes) -> Message:
        if self._binary_type == "blob" and isinstance(data, bytes):
            return Blob((data,))
        return data

    def on_opened(self) -> None:
        """The channel may be used."""
        if self._state is RTCDataChannelState.CONNECTING:
            self._state = RTCDataChannelState.OPEN
            self._wake()
            self.dispatchEvent(Event("open"))

    def on_announced(self, tell: Callable[[RTCDataChannel], None]) -> None:
        """The peer has opened the channel: it is open when `tell` shows it to the application.

        Who hears of it may send at once. "open" follows, for handlers that are attached meanwhile.
        """
        self._state = RTCDataChannelState.OPEN
        tell(self)
        if self.readyState is RTCDataChannelState.OPEN:  # nobody has closed it
            self.dispatchEvent(Event("open"))

    def on_message(self, data: str | bytes) -> None:
        """A message has arrived."""
        inbox = self._inbox
        if inbox is not None:
            self._put(inbox, data)
        if self.has_listeners("message"):
            if self._early is not None:
                self._flush_early()
            if self._binary_type == "blob":
                data = self._as_message(data)  # type: ignore[assignment]
            self.dispatchEvent(MessageEvent("message", data))
        elif inbox is None:
            self._keep_early(data)

    def _put(self, inbox: deque[str | bytes | RTCError], data: str | bytes) -> None:
        holding = self._holding
        if holding is None:  # the connection was closed by a handler of what came before
            return
        if not holding.held_bytes:
            self._has_taken = True  # nothing has waited until now
            self._channels.watch_readers()
        inbox.append(data)
        holding.hold(_size(data))
        self._wake()

    def _keep_early(self, data: str | bytes) -> None:
        """Keep a message for whoever listens first, if there is room, and none was lost before it: what is
        kept has no holes."""
        early = self._early
        size = _size(data)
        if (
            early is None
            or self._early_overflowed
            or len(early) >= MAX_EARLY_MESSAGES
            or self._early_bytes + size > MAX_EARLY_BYTES
        ):
            self._early_overflowed = early is not None
            self._drop_unheard()
        elif self._early_budget.held_bytes + size > MAX_EARLY_TOTAL_BYTES:
            self._take_early()
            self._drop_unheard()
            self._channels.refuse(self._channel, "too many messages that nobody listens for")
        else:
            early.append(data)
            self._early_bytes += size
            self._early_budget.held_bytes += size

    def _drop_unheard(self) -> None:
        """A message that nobody listens for is gone: that is said once."""
        self.unheard += 1
        if self.unheard == 1:
            self._channels.warn(
                "unheard",
                "messages on the channel %r are lost: nobody listens for them, or too many came before"
                " somebody did",
                self._channel.label,
            )

    def on_low(self) -> None:
        """The buffered amount has fallen to the threshold."""
        self.dispatchEvent(Event("bufferedamountlow"))

    def on_closing(self) -> None:
        """The peer is closing the channel."""
        if self._state in (RTCDataChannelState.CONNECTING, RTCDataChannelState.OPEN):
            self._state = RTCDataChannelState.CLOSING
            self._wake()
            self.dispatchEvent(Event("closing"))

    def on_closed(self, error: RTCError | None) -> None:
        """The channel is closed, by an error or without. One that nobody listens for its owner tells."""
        if self._state is RTCDataChannelState.CLOSED:
            return
        self._state = RTCDataChannelState.CLOSED
        self._error = error
        if not self._inbox:
            self._end_holding()
        self._wake()
        if error is not None and self.has_listeners("error"):
            self.dispatchEvent(RTCErrorEvent("error", error))
        self.dispatchEvent(Event("close"))

    def on_shut(self) -> None:
        """The whole connection was closed by the application, which therefore is not told so."""
        self._state = RTCDataChannelState.CLOSED
        self._end_holding()
        self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def __repr__(self) -> str:
        return f"<RTCDataChannel {self.label!r} id={self.id} {self._state}>"


def check_init(label: object, init: RTCDataChannelInit) -> None:
    """Refuse what createDataChannel refuses of its arguments alone.

    Raises:
        TypeError: see `RTCPeerConnection.createDataChannel`.
    """
    for name, text in (("label", label), ("protocol", init.protocol)):
        if not isinstance(text, str):
            raise TypeError(f"{name} must be a str, not {type(text).__name__}")
        if len(text.encode("utf-8", "replace")) > 65_535:
            raise TypeError(f"{name} is longer than 65,535 bytes")
    if init.maxPacketLifeTime is not None:
        init.maxPacketLifeTime = enforce_range("maxPacketLifeTime", init.maxPacketLifeTime, 0, 65_535)
    if init.maxRetransmits is not None:
        init.maxRetransmits = enforce_range("maxRetransmits", init.maxRetransmits, 0, 65_535)
    if init.maxPacketLifeTime is not None and init.maxRetransmits is not None:
        raise TypeError("maxPacketLifeTime and maxRetransmits cannot both be set")
    if init.negotiated and init.id is None:
        raise TypeError("a negotiated data channel needs an id")
    if init.id is not None and init.negotiated:
        init.id = enforce_range("id", init.id, 0, 65_534)
    if not init.negotiated:
        init.id = None
