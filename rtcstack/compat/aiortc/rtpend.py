"""What senders and receivers have in common."""

from __future__ import annotations

from rtcstack.compat.aiortc.codecsets import get_capabilities
from rtcstack.compat.aiortc.rtcdtlstransport import RTCDtlsTransport
from rtcstack.compat.aiortc.rtcrtpparameters import RTCRtpCapabilities

__all__ = ["RtpEnd"]


class RtpEnd:
    """An end of a track's way.

    Args:
        kind: "audio" or "video".
        transport: what the track travels over.
    """

    def __init__(self, kind: str, transport: RTCDtlsTransport) -> None:
        self._kind = kind
        self._transport = transport

    @property
    def transport(self) -> RTCDtlsTransport:
        """What the track travels over."""
        return self._transport

    @classmethod
    def getCapabilities(cls, kind: str) -> RTCRtpCapabilities:
        """What this stack can send and receive.

        Raises:
            ValueError: neither "audio" nor "video".
        """
        return get_capabilities(kind)

    def setTransport(self, transport: RTCDtlsTransport) -> None:
        """It travels over another one, of a bundle."""
        self._transport = transport
