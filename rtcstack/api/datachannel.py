"""RTCDataChannel.

Spec: webrtc-pc, section 6.2; RFC 8831.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import StrEnum
from threading import get_ident
from typing import TYPE_CHECKING, Any

from rtcstack.api.blob import Blob
from rtcstack.api.dictionaries import enforce_range
from rtcstack.api.errorevent import RTCErrorEvent
from rtcstack.api.home import Home, Resident, at_home
from rtcstack.api.messageevent import MessageEvent
from rtcstack.connection.channels import USER_INITIATED_ABORT, ChannelSet
from rtcstack.connection.delivery import Delivery
from rtcstack.errors import InvalidStateError, OperationError, ProtocolError, RTCError
from rtcstack.events import Event, EventTarget, HandlerAttribute
from rtcstack.sctp.channel import Channel

if TYPE_CHECKING:
    from rtcstack.api.channelstreams import ChannelWriter

__all__ = [
    "RTCDataChannel",
    "RTCDataChannelInit",
    "RTCDataChannelState",
    "Sendable",
    "announce_channel",
    "open_channel",
]

Message = str | bytes | Blob
Sendable = str | bytes | bytearray | memoryview | Blob

_PRIORITIES = {"very-low": 128, "low": 256, "medium": 512, "high": 1024}
"""webrtc-priority, section 4, as SCTP's scheduler weighs them (RFC 8831, section 6.4)."""


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


class RTCDataChannel(Resident, EventTarget):
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

    def __init__(self, channels: ChannelSet, channel: Channel, home: Home) -> None:
        super().__init__()
        self._channels = channels
        self._home = home
        self._channel = channel
        self._state = RTCDataChannelState.CONNECTING
        self._binary_type = "arraybuffer"
        self._delivery = Delivery(channels, channel)
        self._waiters: list[asyncio.Future[None]] = []
        self._error: RTCError | None = None
        channels.observe(channel, _Observer(self))

    # -- attributes -------------------------------------------------------------------------------

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
        return next((name for name, value in _PRIORITIES.items() if self._channel.priority <= value), "high")

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

    @property
    def unheard(self) -> int:
        """Messages that were lost because nobody listened for them, or their reader took nothing."""
        return self._delivery.unheard

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
        home = self._home
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

    async def opened(self) -> RTCDataChannel:
        """The channel, once it is open: ``channel = await pc.createDataChannel("x").opened()``.

        Raises:
            RTCError, InvalidStateError: the connection failed, or the channel was closed, instead.
        """
        while self._state is RTCDataChannelState.CONNECTING:
            await self._news()
        if self._state is not RTCDataChannelState.OPEN:
            raise self._error or InvalidStateError(f"opened on a data channel that is {self._state}")
        return self

    async def streams(self, limit: int = 1 << 16) -> tuple[asyncio.StreamReader, ChannelWriter]:
        """The channel as a stream of bytes, once it is open: ``reader, writer = await channel.streams()``.

        The borders of messages are lost; text counts as its UTF-8. Whoever reads so reads all: neither
        "message" handlers nor ``async for`` beside it.

        Args:
            limit: bytes that wait for the reader, and longest line of `readline`; then the peer waits.

        Raises:
            RTCError, InvalidStateError: see `opened`.
        """
        from rtcstack.api.channelstreams import channel_streams

        return channel_streams(await self.opened(), limit)

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
        delivery = self._delivery
        while True:
            is_over = self._state is RTCDataChannelState.CLOSED
            data = delivery.take(is_over=is_over)
            if data is not None:
                yield self._as_message(data)
            elif is_over:
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

    def _add_event_handler(self, event: str, k: Any, v: Any) -> None:
        super()._add_event_handler(event, k, v)
        if event == "message" and self._delivery.has_early:
            asyncio.get_running_loop().call_soon(self._flush_early)

    def _flush_early(self) -> None:
        if self._delivery.is_early and self.has_listeners("message"):
            for data in self._delivery.take_early():
                self.dispatchEvent(MessageEvent("message", self._as_message(data)))

    def _as_message(self, data: str | bytes) -> Message:
        if self._binary_type == "blob" and isinstance(data, bytes):
            return Blob((data,))
        return data

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def __repr__(self) -> str:
        return f"<RTCDataChannel {self.label!r} id={self.id} {self._state}>"


class _Observer:
    """What the connection tells of a channel: state first, then events."""

    __slots__ = ("_channel", "_delivery")

    def __init__(self, channel: RTCDataChannel) -> None:
        self._channel = channel
        self._delivery = channel._delivery

    def on_opened(self) -> None:
        """See `ChannelObserver`."""
        channel = self._channel
        if channel._state is RTCDataChannelState.CONNECTING:
            channel._state = RTCDataChannelState.OPEN
            channel._wake()
            channel.dispatchEvent(Event("open"))

    def on_message(self, data: str | bytes) -> None:
        """See `ChannelObserver`."""
        channel, delivery = self._channel, self._delivery
        is_read = delivery.is_read
        if is_read:
            delivery.put(data)
            channel._wake()
        if channel.has_listeners("message"):
            if delivery.is_early:
                channel._flush_early()
            if channel._binary_type == "blob":
                data = channel._as_message(data)  # type: ignore[assignment]
            channel.dispatchEvent(MessageEvent("message", data))
        elif not is_read:
            delivery.keep(data)

    def on_low(self) -> None:
        """See `ChannelObserver`."""
        self._channel.dispatchEvent(Event("bufferedamountlow"))

    def on_closing(self) -> None:
        """See `ChannelObserver`."""
        channel = self._channel
        if channel._state in (RTCDataChannelState.CONNECTING, RTCDataChannelState.OPEN):
            channel._state = RTCDataChannelState.CLOSING
            channel._wake()
            channel.dispatchEvent(Event("closing"))

    def on_closed(self, cause: ProtocolError | None) -> bool:
        """See `ChannelObserver`."""
        channel = self._channel
        if channel._state is RTCDataChannelState.CLOSED:
            return True
        channel._state = RTCDataChannelState.CLOSED
        if cause is not None:
            channel._error = RTCError("sctp-failure", str(cause), sctpCauseCode=cause.code)
        self._delivery.close()
        channel._wake()
        is_heard = channel.has_listeners("error")
        if channel._error is not None and is_heard:
            channel.dispatchEvent(RTCErrorEvent("error", channel._error))
        channel.dispatchEvent(Event("close"))
        return is_heard

    def on_given_up(self, error: RTCError) -> None:
        """See `ChannelObserver`."""
        channel = self._channel
        channel._wake()
        if channel.has_listeners("error"):
            channel.dispatchEvent(RTCErrorEvent("error", error))

    def on_shut(self) -> None:
        """See `ChannelObserver`."""
        self._channel._state = RTCDataChannelState.CLOSED
        self._delivery.end()
        self._channel._wake()


def _check_init(label: object, init: RTCDataChannelInit) -> None:
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


def open_channel(
    channels: Callable[[], ChannelSet], home: Home, label: str, init: RTCDataChannelInit
) -> RTCDataChannel:
    """createDataChannel, without its first step.

    Args:
        channels: of the connection; asked for when the arguments are in order.
        home: of the connection.
        label: see `RTCPeerConnection.createDataChannel`.
        init: likewise.

    Raises:
        TypeError, OperationError: see there.
    """
    _check_init(label, init)
    priority = _PRIORITIES.get(init.priority)
    if priority is None:
        raise TypeError(f"priority must be one of {', '.join(_PRIORITIES)}, not {init.priority!r}")
    owner = channels()
    channel = owner.open(
        label,
        init.protocol,
        ordered=bool(init.ordered),
        max_retransmits=init.maxRetransmits,
        max_packet_lifetime_ms=init.maxPacketLifeTime,
        priority=priority,
        negotiated=bool(init.negotiated),
        id=init.id,
    )
    return RTCDataChannel(owner, channel, home)


def announce_channel(
    channels: ChannelSet, home: Home, channel: Channel, tell: Callable[[RTCDataChannel], None]
) -> None:
    """The peer has opened a channel: it is open when `tell` shows it to the application.

    Who hears of it may send at once. "open" follows, for handlers that are attached meanwhile.

    Args:
        channels, home: of the connection.
        channel: the engine's record.
        tell: shows it.
    """
    announced = RTCDataChannel(channels, channel, home)
    announced._state = RTCDataChannelState.OPEN
    tell(announced)
    if announced.readyState is RTCDataChannelState.OPEN:  # nobody has closed it
        announced.dispatchEvent(Event("open"))
