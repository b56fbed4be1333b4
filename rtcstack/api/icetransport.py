"""RTCIceTransport.

Spec: webrtc-pc, section 5.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from rtcstack.api.description import RTCIceCandidate
from rtcstack.events import EventTarget, HandlerAttribute
from rtcstack.ice import GatheringState as RTCIceGathererState
from rtcstack.ice import IceState as RTCIceTransportState
from rtcstack.ice import PairView
from rtcstack.sdp.candidate import Candidate

if TYPE_CHECKING:
    from rtcstack.api.transportset import TransportEntry

__all__ = [
    "RTCIceCandidatePair",
    "RTCIceGathererState",
    "RTCIceParameters",
    "RTCIceRole",
    "RTCIceTransport",
    "RTCIceTransportState",
]


class RTCIceRole(StrEnum):
    """Who nominates (webrtc-pc, section 5.6.5)."""

    UNKNOWN = "unknown"
    CONTROLLING = "controlling"
    CONTROLLED = "controlled"


@dataclass(frozen=True, slots=True)
class RTCIceParameters:
    """ICE credentials.

    Attributes:
        usernameFragment: the ufrag.
        password: the password.

    Spec: webrtc-pc, section 5.6.3.
    """

    usernameFragment: str
    password: str


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


class RTCIceTransport(EventTarget):
    """The path that packets take.

    Events: statechange, gatheringstatechange, selectedcandidatepairchange.

    Spec: webrtc-pc, section 5.6.
    """

    onstatechange = HandlerAttribute("statechange")
    ongatheringstatechange = HandlerAttribute("gatheringstatechange")
    onselectedcandidatepairchange = HandlerAttribute("selectedcandidatepairchange")

    def __init__(self, entry: TransportEntry) -> None:
        super().__init__()
        self._entry = entry

    @property
    def role(self) -> RTCIceRole:
        """Who nominates: known once checks have begun."""
        ice = self._entry.transport.ice
        if ice.state is RTCIceTransportState.NEW:
            return RTCIceRole.UNKNOWN
        return RTCIceRole.CONTROLLING if ice.controlling else RTCIceRole.CONTROLLED

    @property
    def component(self) -> str:
        """ "rtp": RTCP is always multiplexed."""
        return "rtp"

    @property
    def state(self) -> RTCIceTransportState:
        """How far the path is."""
        return self._entry.transport.ice.state

    @property
    def gatheringState(self) -> RTCIceGathererState:
        """How far gathering is."""
        return self._entry.transport.ice.gathering_state

    def getLocalCandidates(self) -> list[RTCIceCandidate]:
        """The candidates gathered so far for this generation."""
        return [self._candidate(c) for c in self._entry.transport.ice.local_candidates]

    def getRemoteCandidates(self) -> list[RTCIceCandidate]:
        """The candidates that the peer has signalled for this generation."""
        return [self._candidate(c) for c in self._entry.remote_candidates]

    def getSelectedCandidatePair(self) -> RTCIceCandidatePair | None:
        """The pair that packets take, or None."""
        pair = self._entry.transport.ice.selected_pair
        return None if pair is None else self._pair(pair)

    def getLocalParameters(self) -> RTCIceParameters | None:
        """This end's credentials."""
        ice = self._entry.transport.ice
        return RTCIceParameters(ice.ufrag, ice.pwd)

    def getRemoteParameters(self) -> RTCIceParameters | None:
        """The peer's credentials, once known."""
        ice = self._entry.transport.ice
        if ice.remote_ufrag is None or ice.remote_pwd is None:
            return None
        return RTCIceParameters(ice.remote_ufrag, ice.remote_pwd)

    def _pair(self, pair: PairView) -> RTCIceCandidatePair:
        return RTCIceCandidatePair(self._candidate(pair.local), self._candidate(pair.remote))

    def _candidate(self, candidate: Candidate) -> RTCIceCandidate:
        return RTCIceCandidate(f"candidate:{candidate}", sdpMid=self._entry.mid, sdpMLineIndex=None)
