"""The states of a connection: sums over its transports.

Spec: webrtc-pc, section 4.3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import TYPE_CHECKING

from rtcstack.api.home import Home
from rtcstack.api.iceevents import RTCPeerConnectionIceEvent
from rtcstack.dtls.events import DtlsState
from rtcstack.events import Event, EventTarget
from rtcstack.ice import GatheringState, IceState

if TYPE_CHECKING:
    from rtcstack.api.faces import Faces
    from rtcstack.connection.transports import TransportSet

__all__ = [
    "ConnectionStates",
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


_GATHERED = {GatheringState.COMPLETE}
_ICE_IDLE = {IceState.NEW, IceState.CLOSED}
_ICE_STARTING = {IceState.NEW, IceState.CHECKING}
_ICE_DONE = {IceState.COMPLETED, IceState.CLOSED}
_DTLS_IDLE = {DtlsState.NEW, DtlsState.CLOSED}
_DTLS_STARTING = {DtlsState.NEW, DtlsState.CONNECTING}


def sum_gathering(states: AbstractSet[GatheringState]) -> RTCIceGatheringState:
    """Spec: webrtc-pc, section 4.3.2."""
    if GatheringState.GATHERING in states:
        return RTCIceGatheringState.GATHERING
    if states == _GATHERED:
        return RTCIceGatheringState.COMPLETE
    return RTCIceGatheringState.NEW


def sum_ice(states: AbstractSet[IceState]) -> RTCIceConnectionState:
    """Spec: webrtc-pc, section 4.3.4."""
    if IceState.FAILED in states:
        return RTCIceConnectionState.FAILED
    if IceState.DISCONNECTED in states:
        return RTCIceConnectionState.DISCONNECTED
    if states <= _ICE_IDLE:
        return RTCIceConnectionState.NEW
    if states & _ICE_STARTING:
        return RTCIceConnectionState.CHECKING
    if states <= _ICE_DONE:
        return RTCIceConnectionState.COMPLETED
    return RTCIceConnectionState.CONNECTED


def sum_connection(ice: AbstractSet[IceState], dtls: AbstractSet[DtlsState]) -> RTCPeerConnectionState:
    """Spec: webrtc-pc, section 4.3.3."""
    if IceState.FAILED in ice or DtlsState.FAILED in dtls:
        return RTCPeerConnectionState.FAILED
    if IceState.DISCONNECTED in ice:
        return RTCPeerConnectionState.DISCONNECTED
    if ice <= _ICE_IDLE and dtls <= _DTLS_IDLE:
        return RTCPeerConnectionState.NEW
    if ice & _ICE_STARTING or dtls & _DTLS_STARTING:
        return RTCPeerConnectionState.CONNECTING
    return RTCPeerConnectionState.CONNECTED


class ConnectionStates:
    """The states of one connection: [[IceGatheringState]], [[IceConnectionState]], [[ConnectionState]].

    Args:
        target: the connection, which fires their events.
        home: whether the connection is closed.
        faces, transports: of the connection; the transports' slots are summed up.

    Attributes:
        gathering, ice, connection: the states.
    """

    __slots__ = (
        "_faces",
        "_home",
        "_target",
        "_transports",
        "_waiters",
        "connection",
        "gathering",
        "ice",
    )

    def __init__(self, target: EventTarget, home: Home, faces: Faces, transports: TransportSet) -> None:
        self.gathering = RTCIceGatheringState.NEW
        self.ice = RTCIceConnectionState.NEW
        self.connection = RTCPeerConnectionState.NEW
        self._target = target
        self._home = home
        self._faces = faces
        self._transports = transports
        self._waiters: list[asyncio.Future[None]] = []

    def update(self, *events: tuple[EventTarget, Event]) -> None:
        """Sum up the transports' states; fire what changed: of a transport first.

        All state is new when the first of the events is fired.

        Args:
            events: a transport's own, and what fires them.
        """
        if self._home.is_closed:
            return
        gatherings, ices, dtlses = set(), set(), set()
        for entry in self._transports:
            slots = self._faces.slots(entry)
            gatherings.add(slots.gathering_state)
            ices.add(slots.state)
            dtlses.add(slots.dtls_state)
        gathering, ice, connection = sum_gathering(gatherings), sum_ice(ices), sum_connection(ices, dtlses)
        told = list(events)
        if gathering is not self.gathering:
            self.gathering = gathering
            told.append((self._target, Event("icegatheringstatechange")))
            self._wake()
            if gathering is RTCIceGatheringState.COMPLETE:
                told.append((self._target, RTCPeerConnectionIceEvent("icecandidate", None)))
        if ice is not self.ice:
            self.ice = ice
            told.append((self._target, Event("iceconnectionstatechange")))
        if connection is not self.connection:
            self.connection = connection
            told.append((self._target, Event("connectionstatechange")))
        for target, event in told:
            target.dispatchEvent(event)

    def close(self) -> None:
        """The connection is closed, and nobody is told."""
        self.ice = RTCIceConnectionState.CLOSED
        self.connection = RTCPeerConnectionState.CLOSED
        self._wake()

    def gathering_changes(self) -> asyncio.Future[None]:
        """Ends with the next change of the gathering state, or with the connection."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
