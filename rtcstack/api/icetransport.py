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
    from collections.abc import Iterable

    from rtcstack.ice import PairView
    from rtcstack.sdp.candidate import Candidate

__all__ = [
    "RTCIceCandidatePair",
    "RTCIceGathererState",
    "RTCIceParameters",
    "RTCIceRole",
    "RTCIceTransport",
    "RTCIceTransportState",
]

Credentials = tuple[str, str]
"""A ufrag and a password."""

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


def remote_candidate(candidate: Candidate, mid: str, parameters: Credentials | None) -> RTCIceCandidate:
    """A candidate of the peer's as an object.

    Args:
        candidate: as signalled, or as a check has taught it.
        mid: what candidates are signalled with.
        parameters: the peer's credentials, where they are known.
    """
    ufrag = None if parameters is None else parameters[0]
    return RTCIceCandidate(f"candidate:{candidate}", sdpMid=mid, usernameFragment=ufrag)


def candidate_pair(
    pair: PairView, mid: str, parameters: Credentials | None, local: Iterable[RTCIceCandidate]
) -> RTCIceCandidatePair:
    """To create an RTCIceCandidatePair (webrtc-pc, section 5.6.4).

    Args:
        pair: its candidates.
        mid, parameters: see `remote_candidate`.
        local: the candidates of ours that were told: if it is one of them, it is that object.
    """
    text = f"candidate:{pair.local}"
    own = next((each for each in local if each.candidate == text), None)
    return RTCIceCandidatePair(
        own or RTCIceCandidate(text, sdpMid=mid), remote_candidate(pair.remote, mid, parameters)
    )


class PathSource(Protocol):
    """What a path is read from."""

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
    def selected_pair(self) -> RTCIceCandidatePair | None:
        """The pair that packets take, likewise."""

    @property
    def local_candidates(self) -> list[RTCIceCandidate]:
        """What was told of the newest generation."""

    @property
    def remote_candidates(self) -> list[RTCIceCandidate]:
        """What the peer has signalled for this generation."""

    @property
    def local_parameters(self) -> RTCIceParameters | None:
        """This end's credentials, once they are signalled."""

    @property
    def remote_parameters(self) -> RTCIceParameters | None:
        """The peer's, once they are known."""


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
        """The candidates of this generation that were told by "icecandidate": the same objects."""
        return list(self._source.local_candidates)

    def getRemoteCandidates(self) -> list[RTCIceCandidate]:
        """The candidates that the peer has signalled for this generation."""
        return self._source.remote_candidates

    def getSelectedCandidatePair(self) -> RTCIceCandidatePair | None:
        """The pair that packets take, or None: the same object until it is another."""
        return self._source.selected_pair

    def getLocalParameters(self) -> RTCIceParameters | None:
        """This end's credentials, once a local description has told them."""
        return self._source.local_parameters

    def getRemoteParameters(self) -> RTCIceParameters | None:
        """The peer's credentials, once a remote description has told them."""
        return self._source.remote_parameters
