"""The states of a connection: sums over its transports.

Spec: webrtc-pc, section 4.3.
"""

from __future__ import annotations

from enum import StrEnum

from rtcstack.dtls.events import DtlsState
from rtcstack.ice import GatheringState, IceState

__all__ = [
    "RTCIceConnectionState",
    "RTCIceGatheringState",
    "RTCPeerConnectionState",
    "sum_connection",
    "sum_gathering",
    "sum_ice",
]


class RTCIceGatheringState(StrEnum):
    """How far gathering is, over all transports (webrtc-pc, section 4.3.2)."""

    NEW = "new"
    GATHERING = "gathering"
    COMPLETE = "complete"


class RTCPeerConnectionState(StrEnum):
    """How the connection is, over all transports (webrtc-pc, section 4.3.3)."""

    CLOSED = "closed"
    FAILED = "failed"
    DISCONNECTED = "disconnected"
    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"


class RTCIceConnectionState(StrEnum):
    """How ICE is, over all transports (webrtc-pc, section 4.3.4)."""

    CLOSED = "closed"
    FAILED = "failed"
    DISCONNECTED = "disconnected"
    NEW = "new"
    CHECKING = "checking"
    COMPLETED = "completed"
    CONNECTED = "connected"


def sum_gathering(states: list[GatheringState]) -> RTCIceGatheringState:
    """Spec: webrtc-pc, section 4.3.2."""
    if GatheringState.GATHERING in states:
        return RTCIceGatheringState.GATHERING
    if states and all(s is GatheringState.COMPLETE for s in states):
        return RTCIceGatheringState.COMPLETE
    return RTCIceGatheringState.NEW


def sum_ice(states: list[IceState]) -> RTCIceConnectionState:
    """Spec: webrtc-pc, section 4.3.4."""
    if IceState.FAILED in states:
        return RTCIceConnectionState.FAILED
    if IceState.DISCONNECTED in states:
        return RTCIceConnectionState.DISCONNECTED
    if all(s in (IceState.NEW, IceState.CLOSED) for s in states):
        return RTCIceConnectionState.NEW
    if any(s in (IceState.NEW, IceState.CHECKING) for s in states):
        return RTCIceConnectionState.CHECKING
    if all(s in (IceState.COMPLETED, IceState.CLOSED) for s in states):
        return RTCIceConnectionState.COMPLETED
    return RTCIceConnectionState.CONNECTED


def sum_connection(ice: list[IceState], dtls: list[DtlsState]) -> RTCPeerConnectionState:
    """Spec: webrtc-pc, section 4.3.3."""
    if IceState.FAILED in ice or DtlsState.FAILED in dtls:
        return RTCPeerConnectionState.FAILED
    if IceState.DISCONNECTED in ice:
        return RTCPeerConnectionState.DISCONNECTED
    if all(s in (IceState.NEW, IceState.CLOSED) for s in ice) and all(
        s in (DtlsState.NEW, DtlsState.CLOSED) for s in dtls
    ):
        return RTCPeerConnectionState.NEW
    if any(s in (IceState.NEW, IceState.CHECKING) for s in ice) or any(
        s in (DtlsState.NEW, DtlsState.CONNECTING) for s in dtls
    ):
        return RTCPeerConnectionState.CONNECTING
    return RTCPeerConnectionState.CONNECTED
