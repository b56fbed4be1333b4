"""RTCIceCandidate, RTCIceGatherer and RTCIceTransport.

A connection's own show what its native transports are; a gatherer may also work by itself.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pyee.asyncio import AsyncIOEventEmitter

from rtcstack.compat.aiortc.candidates import RTCIceCandidate, RTCIceParameters, candidate_from_native
from rtcstack.compat.aiortc.exceptions import InvalidStateError
from rtcstack.compat.aiortc.rtcconfiguration import (
    RTCConfiguration,
    RTCIceServer,
    RTCIceTransportPolicy,
    default_ice_servers,
    native,
)
from rtcstack.compat.aiortc.serveruris import parse_stun_turn_uri
from rtcstack.ortc import RTCIceGatherer as NativeGatherer

if TYPE_CHECKING:
    from rtcstack.api.icetransport import RTCIceTransport as NativeTransport

__all__ = [
    "InvalidStateError",
    "RTCIceCandidate",
    "RTCIceGatherer",
    "RTCIceParameters",
    "RTCIceTransport",
    "parse_stun_turn_uri",
]

_STATES = {"connected": "completed", "disconnected": "completed"}
"""There is neither "connected" nor "disconnected": a path works, or has failed."""

_GATHERING = {"complete": "completed"}


class RTCIceGatherer(AsyncIOEventEmitter):
    """Finds candidates.

    Args:
        iceServers: None for the usual one.
        iceTransportPolicy: which candidates are used.

    Events: statechange.
    """

    def __init__(
        self,
        iceServers: list[RTCIceServer] | None = None,
        iceTransportPolicy: RTCIceTransportPolicy = RTCIceTransportPolicy.ALL,
    ) -> None:
        super().__init__()
        self._configuration = native(
            RTCConfiguration(iceServers=iceServers, iceTransportPolicy=iceTransportPolicy)
        )
        self._transport: NativeTransport | None = None
        self._gatherer: NativeGatherer | None = None

    def bind(self, transport: NativeTransport) -> None:
        """Show this transport's from now on."""
        self._transport = transport
        transport.on("gatheringstatechange", lambda: self.emit("statechange"))

    def _own(self) -> NativeGatherer:
        """The gatherer of one that works by itself."""
        if self._gatherer is None:
            options = {name: self._configuration[name] for name in ("iceServers", "iceTransportPolicy")}
            self._gatherer = NativeGatherer(options)
            self._gatherer.on("statechange", lambda: self.emit("statechange"))
        return self._gatherer

    @property
    def state(self) -> str:
        """ "new", "gathering" or "completed"."""
        if self._transport is not None:
            state = str(self._transport.gatheringState)
        else:
            state = "new" if self._gatherer is None else str(self._gatherer.state)
        return _GATHERING.get(state, state)

    async def gather(self) -> None:
        """Find candidates, and return when all are found."""
        if self._transport is not None or self.state != "new":
            return
        gatherer = self._own()
        found: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def changed() -> None:
            if self.state == "completed" and not found.done():
                found.set_result(None)

        gatherer.on("statechange", changed)
        gatherer.gather()
        changed()
        await found

    @classmethod
    def getDefaultIceServers(cls) -> list[RTCIceServer]:
        """The servers that are asked where none are named."""
        return default_ice_servers()

    def getLocalCandidates(self) -> list[RTCIceCandidate]:
        """The candidates that were found."""
        if self._transport is not None:
            found = self._transport.getLocalCandidates()
        else:
            found = [] if self._gatherer is None else self._gatherer.getLocalCandidates()
        return [candidate_from_native(each) for each in found if each.candidate]

    def getLocalParameters(self) -> RTCIceParameters:
        """This end's credentials."""
        if self._transport is not None:
            parameters = self._transport.getLocalParameters()
            if parameters is None:
                return RTCIceParameters()
        else:
            parameters = self._own().getLocalParameters()
        return RTCIceParameters(parameters.usernameFragment, parameters.password)


class RTCIceTransport(AsyncIOEventEmitter):
    """The path that packets take.

    Args:
        gatherer: where its candidates come from.

    Events: statechange.
    """

    def __init__(self, gatherer: RTCIceGatherer) -> None:
        super().__init__()
        self._gatherer = gatherer
        self._transport: NativeTransport | None = None
        self._told = "new"
        self._is_closed = False

    def bind(self, transport: NativeTransport) -> None:
        """Show this one from now on."""
        self._transport = transport
        self._gatherer.bind(transport)
        transport.on("statechange", self._changed)

    def _changed(self) -> None:
        if self._told != self.state:
            self._told = self.state
            self.emit("statechange")
            if self._told in ("closed", "failed"):
                self.remove_all_listeners()

    def end(self) -> None:
        """The connection is closed."""
        self._is_closed = True
        self._changed()

    @property
    def iceGatherer(self) -> RTCIceGatherer:
        """Where its candidates come from."""
        return self._gatherer

    @property
    def role(self) -> str:
        """ "controlling" or "controlled"; as for an end that answers while nobody knows."""
        role = "unknown" if self._transport is None else str(self._transport.role)
        return "controlled" if role == "unknown" else role

    @property
    def state(self) -> str:
        """ "new", "checking", "completed", "failed" or "closed"."""
        if self._is_closed:
            return "closed"
        state = "new" if self._transport is None else str(self._transport.state)
        return _STATES.get(state, state)

    def getRemoteCandidates(self) -> list[RTCIceCandidate]:
        """The peer's candidates."""
        found = [] if self._transport is None else self._transport.getRemoteCandidates()
        return [candidate_from_native(each) for each in found if each.candidate]
