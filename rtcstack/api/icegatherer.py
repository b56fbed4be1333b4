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
from typing import TYPE_CHECKING, Any

from rtcstack.api.configuration import RTCConfiguration, ice_config, validated
from rtcstack.api.description import RTCIceCandidate
from rtcstack.api.events import MessageEvent, RTCPeerConnectionIceErrorEvent, RTCPeerConnectionIceEvent
from rtcstack.api.iceparameters import RTCIceParameters
from rtcstack.engine import Run
from rtcstack.errors import InvalidStateError
from rtcstack.events import Event, EventTarget, HandlerAttribute
from rtcstack.ice import Address, GatheringState, IceAgent, IceServer, IceState, PairView
from rtcstack.network import network_here
from rtcstack.sdp.candidate import Candidate

if TYPE_CHECKING:
    from rtcstack.api.icetransport import RTCIceTransport

__all__ = ["RTCIceGatherer"]


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
        configuration = validated(options)
        ice = configuration.settings.ice
        self.agent = IceAgent(
            ice_config(configuration), self, ufrag=ice.ufrag, pwd=ice.password, network=network_here()
        )
        self.mid = "0"
        self.remote_candidates: list[Candidate] = []
        self.transport: RTCIceTransport | None = None
        self._closed = False

    @property
    def component(self) -> str:
        """ "rtp": RTCP is always multiplexed."""
        return "rtp"

    @property
    def state(self) -> GatheringState:
        """ "new", "gathering", "complete" or "closed"."""
        return GatheringState.CLOSED if self._closed else self.agent.gathering_state

    def gather(self) -> None:
        """Begin; a second call does nothing. Needs a running event loop.

        Raises:
            InvalidStateError: it was closed.
        """
        if self._closed:
            raise InvalidStateError("gather on a gatherer that is closed")
        self.agent.gather()

    def getLocalParameters(self) -> RTCIceParameters:
        """This end's credentials."""
        return RTCIceParameters(self.agent.ufrag, self.agent.pwd)

    def getLocalCandidates(self) -> list[RTCIceCandidate]:
        """The candidates found so far."""
        return [self._candidate(c, None) for c in self.agent.local_candidates]

    def close(self) -> asyncio.Future[None]:
        """Close the gatherer and its transport at once.

        Returns:
            What may be awaited until every socket and task is gone.
        """
        if not self._closed:
            self._closed = True
            self.agent.abandon()
            self.dispatchEvent(Event("statechange"))
            if self.transport is not None:
                self.transport.dispatchEvent(Event("statechange"))
        return asyncio.ensure_future(self.agent.close())

    async def __aenter__(self) -> RTCIceGatherer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _candidate(self, candidate: Candidate, server: IceServer | None) -> RTCIceCandidate:
        return RTCIceCandidate(
            f"candidate:{candidate}",
            sdpMid=self.mid,
            usernameFragment=self.agent.ufrag,
            url=None if server is None else server.url,
        )

    # IceObserver

    def on_ice_candidate(self, candidate: Candidate, ufrag: str, server: IceServer | None) -> None:
        """A candidate was found."""
        told = self._candidate(candidate, server)
        self.dispatchEvent(RTCPeerConnectionIceEvent("icecandidate", told, told.url))

    def on_ice_gathering(self, state: GatheringState) -> None:
        """The state changed."""
        if state is GatheringState.COMPLETE:
            self.dispatchEvent(RTCPeerConnectionIceEvent("icecandidate", None))
        self.dispatchEvent(Event("statechange"))
        if self.transport is not None:
            self.transport.dispatchEvent(Event("gatheringstatechange"))

    def on_ice_server_error(self, server: IceServer, local: Address | None, code: int, text: str) -> None:
        """A server failed."""
        address, port = local if local is not None else (None, None)
        self.dispatchEvent(
            RTCPeerConnectionIceErrorEvent(
                "icecandidateerror",
                address=address,
                port=port,
                url=server.url,
                errorCode=code,
                errorText=text,
            )
        )

    def on_ice_state(self, state: IceState) -> None:
        """The transport's state changed."""
        if self.transport is not None:
            self.transport.dispatchEvent(Event("statechange"))

    def on_ice_selected_pair(self, pair: PairView) -> None:
        """Packets take another pair."""
        if self.transport is not None:
            self.transport.dispatchEvent(Event("selectedcandidatepairchange"))

    def on_datagrams(
        self, dtls: list[Run], srtp: list[bytes], now: float, arrived: list[float] | None = None
    ) -> None:
        """Packets arrived."""
        if self.transport is None:
            return
        for run in dtls:
            for packet in run.datagrams():
                self.transport.dispatchEvent(MessageEvent("message", packet))
        for packet in srtp:
            self.transport.dispatchEvent(MessageEvent("message", packet))
