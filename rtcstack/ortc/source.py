"""An ICE agent that a gatherer and a transport share, and the events that it makes of both."""

from __future__ import annotations

from rtcstack.api.configuration import RTCConfiguration, ice_config
from rtcstack.api.description import RTCIceCandidate
from rtcstack.api.iceevents import RTCPeerConnectionIceEvent, server_error
from rtcstack.api.messageevent import MessageEvent
from rtcstack.engine import Run
from rtcstack.events import Event, EventTarget
from rtcstack.ice import Address, GatheringState, IceServer, IceState, PairView, make_agent
from rtcstack.network import network_here
from rtcstack.sdp.candidate import Candidate

__all__ = ["IceSource"]


class IceSource:
    """The agent's observer.

    Args:
        configuration: validated.
        gatherer: whose events tell of candidates.

    Attributes:
        agent: the agent.
        mid: what candidates are signalled with.
        remote_candidates: what the peer has signalled for this generation.
        transport: whose events tell of the path, once there is one.
        is_closed: whether both are closed.
    """

    def __init__(self, configuration: RTCConfiguration, gatherer: EventTarget) -> None:
        ice = configuration.settings.ice
        self.agent = make_agent(
            ice_config(configuration), self, ufrag=ice.ufrag, pwd=ice.password, network=network_here()
        )
        self.mid = "0"
        self.remote_candidates: list[Candidate] = []
        self.transport: EventTarget | None = None
        self.is_closed = False
        self._gatherer = gatherer

    @property
    def is_controlling(self) -> bool | None:
        """Whether this end nominates: known once it has started."""
        return None if self.agent.state is IceState.NEW else self.agent.controlling

    @property
    def state(self) -> IceState:
        """How far the path is."""
        return self.agent.state

    @property
    def gathering_state(self) -> GatheringState:
        """How far gathering is."""
        return self.agent.gathering_state

    @property
    def selected_pair(self) -> PairView | None:
        """The pair that packets take."""
        return self.agent.selected_pair

    def close(self) -> None:
        """End both, and say so."""
        if self.is_closed:
            return
        self.is_closed = True
        self.agent.abandon()
        self._gatherer.dispatchEvent(Event("statechange"))
        self._tell("statechange")

    def candidate(self, candidate: Candidate, server: IceServer | None) -> RTCIceCandidate:
        """A candidate of this end as it is signalled."""
        return RTCIceCandidate(
            f"candidate:{candidate}",
            sdpMid=self.mid,
            usernameFragment=self.agent.ufrag,
            url=None if server is None else server.url,
        )

    def _tell(self, name: str) -> None:
        if self.transport is not None:
            self.transport.dispatchEvent(Event(name))

    # -- IceObserver ------------------------------------------------------------------------------

    def on_ice_candidate(self, candidate: Candidate, ufrag: str, server: IceServer | None) -> None:
        """A candidate was found."""
        told = self.candidate(candidate, server)
        self._gatherer.dispatchEvent(RTCPeerConnectionIceEvent("icecandidate", told, told.url))

    def on_ice_gathering(self, state: GatheringState) -> None:
        """The state changed."""
        if state is GatheringState.COMPLETE:
            self._gatherer.dispatchEvent(RTCPeerConnectionIceEvent("icecandidate", None))
        self._gatherer.dispatchEvent(Event("statechange"))
        self._tell("gatheringstatechange")

    def on_ice_server_error(self, server: IceServer, local: Address | None, code: int, text: str) -> None:
        """A server failed."""
        self._gatherer.dispatchEvent(server_error(server.url, local, code, text))

    def on_ice_state(self, state: IceState) -> None:
        """The transport's state changed."""
        self._tell("statechange")

    def on_ice_selected_pair(self, pair: PairView) -> None:
        """Packets take another pair."""
        self._tell("selectedcandidatepairchange")

    def on_datagrams(
        self, dtls: list[Run], srtp: list[bytes], now: float, arrived: list[float] | None = None
    ) -> None:
        """Packets arrived."""
        transport = self.transport
        if transport is None:
            return
        for run in dtls:
            for packet in run.datagrams():
                transport.dispatchEvent(MessageEvent("message", packet))
        for packet in srtp:
            transport.dispatchEvent(MessageEvent("message", packet))
