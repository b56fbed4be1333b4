"""RTCIceGatherer: candidates without an RTCPeerConnection.

    gatherer = RTCIceGatherer({"iceServers": [{"urls": "stun:stun.example.org"}]})
    transport = RTCIceTransport(gatherer)
    gatherer.on("icecandidate", lambda event: signal(event.candidate))
    gatherer.gather()
    ...
    transport.start(remote_parameters, "controlling")
    transport.addRemoteCandidate(remote_candidate)

Spec: ORTC, section 2 (RTCIceGatherer); webrtc-ice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from rtcstack.api.configuration import RTCConfiguration, validated
from rtcstack.api.description import RTCIceCandidate
from rtcstack.api.iceparameters import RTCIceParameters
from rtcstack.errors import InvalidStateError
from rtcstack.events import EventTarget, HandlerAttribute
from rtcstack.ice import GatheringState
from rtcstack.ortc.source import IceSource

__all__ = ["RTCIceGatherer", "source_of"]


class RTCIceGatherer(EventTarget):
    """Finds this end's candidates, for one `RTCIceTransport`.

    Events: icecandidate (the last with a candidate of None), icecandidateerror, statechange.

    Args:
        options: an `RTCConfiguration` or a mapping with its members; what concerns ICE counts.

    Raises:
        TypeError, SyntaxError, InvalidAccessError: see `RTCConfiguration`.
    """

    onicecandidate = HandlerAttribute("icecandidate")
    onicecandidateerror = HandlerAttribute("icecandidateerror")
    onstatechange = HandlerAttribute("statechange")

    def __init__(self, options: RTCConfiguration | Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._source = IceSource(validated(options), self)

    @property
    def component(self) -> str:
        """ "rtp": RTCP is always multiplexed."""
        return "rtp"

    @property
    def state(self) -> GatheringState:
        """ "new", "gathering", "complete" or "closed"."""
        return GatheringState.CLOSED if self._source.is_closed else self._source.agent.gathering_state

    def gather(self) -> None:
        """Begin; a second call does nothing. Needs a running event loop.

        Raises:
            InvalidStateError: it was closed.
        """
        if self._source.is_closed:
            raise InvalidStateError("gather on a gatherer that is closed")
        self._source.agent.gather()

    def getLocalParameters(self) -> RTCIceParameters:
        """This end's credentials."""
        return self._source.local_parameters

    def getLocalCandidates(self) -> list[RTCIceCandidate]:
        """The candidates found so far."""
        return self._source.local_candidates

    def close(self) -> asyncio.Future[None]:
        """Close the gatherer and its transport at once.

        Returns:
            What may be awaited until every socket and task is gone.
        """
        self._source.close()
        return asyncio.ensure_future(self._source.agent.close())

    async def __aenter__(self) -> RTCIceGatherer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def source_of(gatherer: RTCIceGatherer) -> IceSource:
    """What a gatherer shares with its transport."""
    return gatherer._source
