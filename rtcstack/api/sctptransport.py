"""RTCSctpTransport.

Spec: webrtc-pc, section 6.1.1.
"""

from __future__ import annotations

from enum import StrEnum

from rtcstack.api.dtlstransport import RTCDtlsTransport
from rtcstack.events import Event, EventTarget, HandlerAttribute

__all__ = ["RTCSctpTransport", "RTCSctpTransportState"]


class RTCSctpTransportState(StrEnum):
    """How far the association is (webrtc-pc, section 6.1.2)."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    CLOSED = "closed"


class RTCSctpTransport(EventTarget):
    """The association that carries the data channels.

    Events: statechange.

    Spec: webrtc-pc, section 6.1.1.
    """

    onstatechange = HandlerAttribute("statechange")

    def __init__(self, transport: RTCDtlsTransport, max_message_size: int) -> None:
        super().__init__()
        self._transport = transport
        self._state = RTCSctpTransportState.CONNECTING
        self._max_channels: int | None = None
        self._max_message_size = max_message_size

    @property
    def transport(self) -> RTCDtlsTransport:
        """What it runs over."""
        return self._transport

    @property
    def state(self) -> RTCSctpTransportState:
        """How far the association is."""
        return self._state

    @property
    def maxMessageSize(self) -> float:
        """Largest message that `RTCDataChannel.send` takes, in bytes; infinity where the peer sets
        no limit."""
        return float("inf") if not self._max_message_size else self._max_message_size

    @property
    def maxChannels(self) -> int | None:
        """How many channels can be open at once; None before "connected"."""
        return self._max_channels

    def set_max_message_size(self, size: int) -> None:
        """The peer's description says how much it takes; 0 is any."""
        self._max_message_size = size

    def on_connected(self, max_channels: int) -> None:
        """The association stands."""
        self._max_channels = max_channels
        self._set_state(RTCSctpTransportState.CONNECTED)

    def on_closed(self, *, tell: bool = True) -> None:
        """The association has ended."""
        self._set_state(RTCSctpTransportState.CLOSED, tell=tell)

    def _set_state(self, state: RTCSctpTransportState, *, tell: bool = True) -> None:
        if self._state not in (state, RTCSctpTransportState.CLOSED):
            self._state = state
            if tell:
                self.dispatchEvent(Event("statechange"))
