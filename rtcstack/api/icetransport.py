"""RTCIceTransport.

Spec: webrtc-pc, section 5.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from rtcstack.api.description import RTCIceCandidate
from rtcstack.api.iceparameters import RTCIceParameters
from rtcstack.events import EventTarget, HandlerAttribute
from rtcstack.ice import GatheringState, IceState

if TYPE_CHECKING:
    from rtcstack.ice import AnyIceAgent, PairView
    from rtcstack.sdp.candidate import Candidate

__all__ = [
    "RTCIceCandidatePair",
    "RTCIceGathererState",
    "RTCIceParameters",
    "RTCIceRole",
    "RTCIceTransport",
    "RTCIceTransportState",
]

RTCIceGathererState = GatheringState
RTCIceTransportState = IceState


class RTCIceRole(StrEnum):
    """Who nominates (webrtc-pc, section 5.6.5)."""

    UNKNOWN = "unknown"
    CONTROLLING = "controlling"
    CONTROLLED = "controlled"


@dataclass(frozen=True, slots=True)
class RTCIceCandidatePair:
    """A local and a remote candidate.

    Attributes:
        local: this end's candidate.
        remote: the peer's.

    Spec: webrtc-pc, section 5.6.4.
    """

    local: RTCIceCandidate
    remote: RTCIceCandidate


class PathSource(Protocol):
    """What a path is read from."""

    @property
    def mid(self) -> str:
        """What candidates are signalled with."""

    @property
    def remote_candidates(self) -> list[Candidate]:
        """What the peer has signalled for this generation."""

    @property
    def agent(self) -> AnyIceAgent:
        """The ICE agent."""

    @property
    def is_controlling(self) -> bool | None:
        """Whether this end nominates; None while nobody knows."""

    @property
    def state(self) -> IceState:
        """How far the path is, as far as it was told."""

    @property
    def gathering_state(self) -> GatheringState:
        """How far gathering is, likewise."""

    @property
    def selected_pair(self) -> PairView | None:
        """The pair that packets take, likewise."""


class RTCIceTransport(EventTarget):
    """The path that packets take.

    Events: statechange, gatheringstatechange, selectedcandidatepairchange.

    Spec: webrtc-pc, section 5.6.
    """

    onstatechange = HandlerAttribute("statechange")
    ongatheringstatechange = HandlerAttribute("gatheringstatechange")
    onselectedcandidatepairchange = HandlerAttribute("selectedcandidatepairchange")

    def __init__(self, source: PathSource) -> None:
        super().__init__()
        self._source = source

    @property
    def role(self) -> RTCIceRole:
        """Who nominates: known from the first description on."""
        controlling = self._source.is_controlling
        if controlling is None:
            return RTCIceRole.UNKNOWN
        return RTCIceRole.CONTROLLING if controlling else RTCIceRole.CONTROLLED

    @property
    def component(self) -> str:
        """ "rtp": RTCP is always multiplexed."""
        return "rtp"

    @property
    def state(self) -> RTCIceTransportState:
        """How far the path is."""
        return self._source.state

    @property
    def gatheringState(self) -> RTCIceGathererState:
        """How far gathering is."""
        return self._source.gathering_state

    def getLocalCandidates(self) -> list[RTCIceCandidate]:
        """The candidates gathered so far for this generation."""
        return [self._candidate(c) for c in self._source.agent.local_candidates]

    def getRemoteCandidates(self) -> list[RTCIceCandidate]:
        """The candidates that the peer has signalled for this generation."""
        return [self._candidate(c) for c in self._source.remote_candidates]

    def getSelectedCandidatePair(self) -> RTCIceCandidatePair | None:
        """The pair that packets take, or None."""
        pair = self._source.selected_pair
        return None if pair is None else self._pair(pair)

    def getLocalParameters(self) -> RTCIceParameters | None:
        """This end's credentials."""
        ice = self._source.agent
        return RTCIceParameters(ice.ufrag, ice.pwd)

    def getRemoteParameters(self) -> RTCIceParameters | None:
        """The peer's credentials, once known."""
        ice = self._source.agent
        if ice.remote_ufrag is None or ice.remote_pwd is None:
            return None
        return RTCIceParameters(ice.remote_ufrag, ice.remote_pwd)

    # -- forms ------------------------------------------------------------------------------------

    def _pair(self, pair: PairView) -> RTCIceCandidatePair:
        return RTCIceCandidatePair(self._candidate(pair.local), self._candidate(pair.remote))

    def _candidate(self, candidate: Candidate) -> RTCIceCandidate:
        return RTCIceCandidate(f"candidate:{candidate}", sdpMid=self._source.mid, sdpMLineIndex=None)
