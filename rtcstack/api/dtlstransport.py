"""RTCDtlsTransport.

Spec: webrtc-pc, section 5.5.
"""

from __future__ import annotations

from rtcstack.api.icetransport import RTCIceTransport
from rtcstack.api.transportslots import TransportSlots
from rtcstack.dtls.events import DtlsState as RTCDtlsTransportState
from rtcstack.events import EventTarget, HandlerAttribute

__all__ = ["RTCDtlsTransport", "RTCDtlsTransportState"]


class RTCDtlsTransport(EventTarget):
    """The security of a path.

    Events: statechange, error (with an RTCError).

    Spec: webrtc-pc, section 5.5.
    """

    onstatechange = HandlerAttribute("statechange")
    onerror = HandlerAttribute("error")

    def __init__(self, slots: TransportSlots) -> None:
        super().__init__()
        self._slots = slots
        self._ice = RTCIceTransport(slots)

    @property
    def iceTransport(self) -> RTCIceTransport:
        """The path underneath."""
        return self._ice

    @property
    def state(self) -> RTCDtlsTransportState:
        """How far the handshake is."""
        return self._slots.dtls_state

    def getRemoteCertificates(self) -> list[bytes]:
        """The peer's certificates in DER, its own first; empty before "connected"."""
        return list(self._slots.entry.remote_certificates)
