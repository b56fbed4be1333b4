"""RTCDataChannel: messages in both directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyee.asyncio import AsyncIOEventEmitter

from rtcstack.compat.aiortc.exceptions import InvalidStateError

if TYPE_CHECKING:
    from rtcstack.api.datachannel import RTCDataChannel as NativeChannel
    from rtcstack.api.messageevent import MessageEvent
    from rtcstack.compat.aiortc.rtcsctptransport import RTCSctpTransport

__all__ = ["RTCDataChannel", "RTCDataChannelParameters"]

_MAX_THRESHOLD = 0xFFFFFFFF


@dataclass
class RTCDataChannelParameters:
    """What a channel is like; see `RTCPeerConnection.createDataChannel`."""

    label: str = ""
    maxPacketLifeTime: int | None = None
    maxRetransmits: int | None = None
    ordered: bool = True
    protocol: str = ""
    negotiated: bool = False
    id: int | None = None


class RTCDataChannel(AsyncIOEventEmitter):
    """A channel. Connections make them.

    Events: open, message (with the message, str or bytes), bufferedamountlow, close.
    """

    def __init__(self, transport: RTCSctpTransport, channel: NativeChannel) -> None:
        super().__init__()
        self._transport = transport
        self._channel = channel
        self._is_closed = self._is_announced = False
        channel.on("open", lambda: self._is_announced or self.emit("open"))
        channel.on("bufferedamountlow", lambda: self.emit("bufferedamountlow"))
        channel.on("close", self.ended)

    def _add_event_handler(self, event: str, k: object, v: object) -> None:
        super()._add_event_handler(event, k, v)  # type: ignore[arg-type]
        if event == "message" and not self._channel.has_listeners("message"):
            self._channel.on("message", self._message)  # what came before waits for it

    def announced(self) -> None:
        """For the connection: the peer has made it, and it is open when it is told of."""
        self._is_announced = True

    def _message(self, event: MessageEvent) -> None:
        self.emit("message", event.data)

    def ended(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self.emit("close")
            self.remove_all_listeners()

    @property
    def bufferedAmount(self) -> int:
        """Bytes that wait to be sent."""
        return self._channel.bufferedAmount

    @property
    def bufferedAmountLowThreshold(self) -> int:
        """When as few bytes wait, "bufferedamountlow" is fired."""
        return self._channel.bufferedAmountLowThreshold

    @bufferedAmountLowThreshold.setter
    def bufferedAmountLowThreshold(self, value: int) -> None:
        if not 0 <= value <= _MAX_THRESHOLD:
            raise ValueError(f"bufferedAmountLowThreshold must be in range 0 - {_MAX_THRESHOLD}")
        self._channel.bufferedAmountLowThreshold = value

    @property
    def negotiated(self) -> bool:
        """Whether the applications agreed on it by themselves."""
        return self._channel.negotiated

    @property
    def id(self) -> int | None:
        """Its stream; None until that is known."""
        return self._channel.id

    @property
    def label(self) -> str:
        """Its name."""
        return self._channel.label

    @property
    def ordered(self) -> bool:
        """Whether messages arrive in order."""
        return self._channel.ordered

    @property
    def maxPacketLifeTime(self) -> int | None:
        """Milliseconds for which a message is sent again, or None."""
        return self._channel.maxPacketLifeTime

    @property
    def maxRetransmits(self) -> int | None:
        """How often a message is sent again, or None."""
        return self._channel.maxRetransmits

    @property
    def protocol(self) -> str:
        """The subprotocol's name."""
        return self._channel.protocol

    @property
    def readyState(self) -> str:
        """ "connecting", "open", "closing" or "closed"."""
        if self._is_closed:
            return "closed"
        state = str(self._channel.readyState)
        return "open" if self._is_announced and state == "connecting" else state

    @property
    def transport(self) -> RTCSctpTransport:
        """What it runs over."""
        return self._transport

    def close(self) -> None:
        """Close it, after what waits has been sent; one that is not open yet closes at once."""
        at_once = self.readyState == "connecting"
        self._channel.close()
        if at_once:
            self.ended()

    def send(self, data: bytes | str) -> None:
        """Send a message.

        Raises:
            InvalidStateError: it is not open.
            ValueError: neither str nor bytes, or larger than the peer takes.
        """
        if self.readyState != "open":
            raise InvalidStateError(f"send on a data channel that is {self.readyState}")
        if not isinstance(data, str | bytes):
            raise ValueError(f"Cannot send unsupported data type: {type(data)}")
        try:
            self._channel.send(data)
        except TypeError as exc:
            raise ValueError(str(exc)) from None
