"""RTCSctpTransport.

Spec: webrtc-pc, section 6.1.1.
"""

from __future__ import annotations

from enum import StrEnum

from rtcstack.api.dtlstransport import RTCDtlsTransport
from rtcstack.connection.channels import NO_LIMIT, ChannelSet
from rtcstack.events import EventTarget, HandlerAttribute

__all__ = ["RTCSctpTransport", "RTCSctpTransportState", "move_association"]


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

    def __init__(self, channels: ChannelSet, transport: RTCDtlsTransport) -> None:
        super().__init__()
        self._channels = channels
        self._transport = transport

    @property
    def transport(self) -> RTCDtlsTransport:
        """What it runs over."""
        return self._transport

    @property
    def state(self) -> RTCSctpTransportState:
        """How far the association is."""
        if self._channels.is_closed:
            return RTCSctpTransportState.CLOSED
        if self._channels.max_channels is None:
            return RTCSctpTransportState.CONNECTING
        return RTCSctpTransportState.CONNECTED

    @property
    def maxMessageSize(self) -> float:
        """Largest message that `RTCDataChannel.send` takes, in bytes; infinity where the peer sets
        no limit."""
        limit = self._channels.max_message_size
        return float("inf") if limit >= NO_LIMIT else limit

    @property
    def maxChannels(self) -> int | None:
        """How many channels can be open at once; None before "connected"."""
        return self._channels.max_channels


def move_association(association: RTCSctpTransport, transport: RTCDtlsTransport) -> None:
    """Its section is described over another transport than before."""
    association._transport = transport
