"""RTCSctpTransport: the association that carries a connection's data channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyee.asyncio import AsyncIOEventEmitter

from rtcstack.compat.aiortc.exceptions import InvalidStateError
from rtcstack.compat.aiortc.rtcdtlstransport import RTCDtlsTransport
from rtcstack.compat.aiortc.sctpcapabilities import RTCSctpCapabilities
from rtcstack.compat.aiortc.utils import random32, uint16_add, uint16_gt, uint32_gt, uint32_gte

if TYPE_CHECKING:
    from rtcstack.api.sctptransport import RTCSctpTransport as NativeTransport

__all__ = [
    "USERDATA_MAX_LENGTH",
    "InvalidStateError",
    "RTCSctpCapabilities",
    "RTCSctpTransport",
    "random32",
    "uint16_add",
    "uint16_gt",
    "uint32_gt",
    "uint32_gte",
]

USERDATA_MAX_LENGTH = 1160
"""Bytes of a message in a packet. Programs set it; packets here are as large as the path takes."""

MAX_MESSAGE_SIZE = 262_144
PORT = 5000


class RTCSctpTransport(AsyncIOEventEmitter):
    """The association.

    Args:
        transport: what it runs over.
        port: its port.

    Attributes:
        native: this stack's, once there is one.
        mid: of its section, once there is one.
    """

    def __init__(self, transport: RTCDtlsTransport, port: int = PORT) -> None:
        super().__init__()
        self._dtls = transport
        self._port = port
        self.native: NativeTransport | None = None
        self._is_closed = False
        self.mid: str | None = None

    def bind(self, transport: NativeTransport) -> None:
        """Show this one from now on."""
        self.native = transport

    def end(self) -> None:
        """The connection is closed."""
        self._is_closed = True
        self.remove_all_listeners()

    @property
    def maxChannels(self) -> int | None:
        """How many channels there may be; None before it is connected."""
        return None if self.native is None else self.native.maxChannels

    @property
    def port(self) -> int:
        """This end's port."""
        return self._port

    @property
    def state(self) -> str:
        """ "new", "connecting", "connected" or "closed"."""
        if self._is_closed:
            return "closed"
        return "new" if self.native is None else str(self.native.state)

    @property
    def transport(self) -> RTCDtlsTransport:
        """What it runs over."""
        return self._dtls

    @classmethod
    def getCapabilities(cls) -> RTCSctpCapabilities:
        """What this end takes."""
        return RTCSctpCapabilities(maxMessageSize=MAX_MESSAGE_SIZE)

    def setTransport(self, transport: RTCDtlsTransport) -> None:
        """It runs over another one, of a bundle."""
        self._dtls = transport
