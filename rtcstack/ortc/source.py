"""An ICE agent that a gatherer and a transport share, and the events that it makes of both."""

from __future__ import annotations

from rtcstack.api.candidatepair import RTCIceCandidatePair, remote_candidate
from rtcstack.api.candidatepairs import CandidatePairs
from rtcstack.api.configuration import RTCConfiguration, ice_config
from rtcstack.api.description import RTCIceCandidate
from rtcstack.api.home import Home
from rtcstack.api.iceevents import RTCPeerConnectionIceEvent, server_error
from rtcstack.api.iceparameters import RTCIceParameters
from rtcstack.api.messageevent import MessageEvent
from rtcstack.engine import Run
from rtcstack.events import Event, EventTarget
from rtcstack.ice import Address, GatheringState, IceServer, IceState, PairNews, PairView, make_agent
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
        signalled: the peer's candidates of this generation.
        selected_pair: the pair that packets take.
        home: the loop that both live on.
        pairs: the transport's candidate pairs.
        is_started: whether the transport knows its role.
        transport: whose events tell of the path, once there is one.
        is_closed: whether both are closed.
    """

    def __init__(self, configuration: RTCConfiguration, gatherer: EventTarget) -> None:
        ice = configuration.settings.ice
        self.agent = make_agent(
            ice_config(configuration), self, ufrag=ice.ufrag, pwd=ice.password, network=network_here()
        )
        self.home = Home()
        self.pairs = CandidatePairs(self.agent, lambda: (), lambda: (self._mid, self._remote))
        self.signalled: list[Candidate] = []
        self.selected_pair: RTCIceCandidatePair | None = None
        self.is_started = False
        self._mid = "0"
        self.transport: EventTarget | None = None
        self.is_closed = False
        self._gatherer = gatherer

    @property
    def is_controlling(self) -> bool | None:
        """Whether this end nominates: known once it has started."""
        return self.agent.controlling if self.is_started else None

    @property
    def state(self) -> IceState:
        """How far the path is."""
        return self.agent.state

    @property
    def gathering_state(self) -> GatheringState:
        """How far gathering is."""
        return self.agent.gathering_state

    @property
    def local_candidates(self) -> list[RTCIceCandidate]:
        """The newest generation's."""
        return [self._candidate(each, None) for each in self.agent.local_candidates]

    @property
    def remote_candidates(self) -> list[RTCIceCandidate]:
        """What the peer has signalled for this generation."""
        return [remote_candidate(each, self._mid, self._remote) for each in self.signalled]

    @property
    def local_parameters(self) -> RTCIceParameters:
        """This end's credentials."""
        return RTCIceParameters(self.agent.ufrag, self.agent.pwd)

    @property
    def remote_parameters(self) -> RTCIceParameters | None:
        """The peer's credentials, once known."""
        return None if self._remote is None else RTCIceParameters(*self._remote)

    @property
    def _remote(self) -> tuple[str, str] | None:
        ufrag, pwd = self.agent.remote_ufrag, self.agent.remote_pwd
        return None if ufrag is None or pwd is None else (ufrag, pwd)

    def close(self) -> None:
        """End both, and say so."""
        if self.is_closed:
            return
        self.is_closed = True
        self.selected_pair = None
        self.pairs.close()
        self.agent.abandon()
        self._gatherer.dispatchEvent(Event("statechange"))
        self._tell("statechange")

    def _candidate(self, candidate: Candidate, server: IceServer | None) -> RTCIceCandidate:
        """A candidate of this end as it is signalled."""
        return RTCIceCandidate(
            f"candidate:{candidate}",
            sdpMid=self._mid,
            usernameFragment=self.agent.ufrag,
            url=None if server is None else server.url,
        )

    def _tell(self, name: str) -> None:
        if self.transport is not None:
            self.transport.dispatchEvent(Event(name))

    # -- IceObserver ------------------------------------------------------------------------------

    def on_ice_candidate(self, candidate: Candidate, ufrag: str, server: IceServer | None) -> None:
        """A candidate was found."""
        told = self._candidate(candidate, server)
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

    def on_ice_path(
        self, state: IceState | None, pair: PairView | None, *, is_unselected: bool = False
    ) -> None:
        """The transport's state, its pair, or both have changed."""
        if pair is not None or is_unselected:
            self.selected_pair = None if pair is None else self.pairs.shown(pair)
            self._tell("selectedcandidatepairchange")
        if state is not None:
            self._tell("statechange")
        if state is IceState.FAILED:
            self.pairs.fail()

    def on_ice_pair(self, news: PairNews, pair: PairView) -> None:
        """There is something to tell of a pair."""
        self.pairs.on_news(news, pair, self.transport)

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
