"""RTCIceTransport.

Spec: webrtc-pc, section 5.6.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from rtcstack.api.candidatepair import RTCIceCandidatePair
from rtcstack.api.home import Home, Resident, at_home
from rtcstack.api.iceparameters import RTCIceParameters
from rtcstack.events import EventTarget, HandlerAttribute
from rtcstack.ice import GatheringState, IceState

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rtcstack.api.candidatepairs import CandidatePairs
    from rtcstack.api.description import RTCIceCandidate
    from rtcstack.promises import Operation

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


class PathSource(Protocol):
    """What a path is read from.

    Attributes:
        home: the loop that it lives on.
        pairs: its candidate pairs.
    """

    home: Home
    pairs: CandidatePairs

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


class RTCIceTransport(EventTarget, Resident):
    """The path that packets take.

    Events: statechange, gatheringstatechange, selectedcandidatepairchange; with an RTCIceCandidatePairEvent
    icecandidatepairadd, icecandidatepairremove and icecandidatepairnominate.

    Before the controlling end nominates a pair, "icecandidatepairnominate" asks for a word, if anybody
    listens: its `preventDefault` leaves the pair as it is, and all pairs that work go on being checked.
    Packets take the best one meanwhile, but the state does not become "completed". That pair is not proposed
    again before it is selected; a better one is. "icecandidatepairremove" cannot be prevented: pairs are
    removed where there is no choice, and none to free a candidate.

    Spec: webrtc-pc, section 5.6; webrtc-extensions, section "RTCIceTransport extensions".
    """

    onstatechange = HandlerAttribute("statechange")
    ongatheringstatechange = HandlerAttribute("gatheringstatechange")
    onselectedcandidatepairchange = HandlerAttribute("selectedcandidatepairchange")

    onicecandidatepairadd = HandlerAttribute("icecandidatepairadd")
    onicecandidatepairremove = HandlerAttribute("icecandidatepairremove")
    onicecandidatepairnominate = HandlerAttribute("icecandidatepairnominate")

    def __init__(self, source: PathSource) -> None:
        super().__init__()
        self._source = source
        self._home = source.home

    def _add_event_handler(self, event: str, k: Callable[..., Any], v: Callable[..., Any]) -> None:
        super()._add_event_handler(event, k, v)
        if event == "icecandidatepairnominate":
            self._source.pairs.hold()

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

    @at_home
    def selectCandidatePair(self, candidatePair: RTCIceCandidatePair) -> Operation[None]:
        """Have packets take another pair, and stay on it while it works, whatever its priority.

        They do at once if a check of the pair was answered lately, otherwise when one is. The controlling end
        then nominates it (and asks, see above); a controlled end's packets take it until the peer nominates
        another one.

        Args:
            candidatePair: of "icecandidatepairadd", or `getSelectedCandidatePair`.

        Returns:
            Settled when packets take the pair, with the events of the change fired. Rejected with
            InvalidStateError: the transport is "new", "failed" or "closed", or a nomination is being decided;
            NotFoundError: not a pair of this transport, or not any more;
            OperationError: the pair does not work, or another was selected before it did;
            NotSupportedError: the ICE agent in use cannot do it.

        Raises:
            TypeError: not an RTCIceCandidatePair.

        Spec: webrtc-extensions, section "RTCIceTransport extensions".
        """
        return self._source.pairs.select(_as_pair(candidatePair), self._source.state)

    @at_home
    def removeCandidatePair(self, candidatePair: RTCIceCandidatePair) -> Operation[None]:
        """Do without a pair, for as long as this generation of ICE is in use.

        No check is made or answered on it any more, and no packet takes it. If packets took it, they take the
        best other one that works; without any, `getSelectedCandidatePair` is None and the state "checking".

        Args:
            candidatePair: see `selectCandidatePair`.

        Returns:
            Settled when it is gone, and "icecandidatepairremove" fired. Rejected as `selectCandidatePair` is,
            but for OperationError.

        Raises:
            TypeError: not an RTCIceCandidatePair.

        Spec: webrtc-extensions, section "RTCIceTransport extensions".
        """
        return self._source.pairs.remove(_as_pair(candidatePair), self._source.state, self)


def _as_pair(argument: object) -> RTCIceCandidatePair:
    if not isinstance(argument, RTCIceCandidatePair):
        raise TypeError(f"candidatePair must be an RTCIceCandidatePair, not {type(argument).__name__}")
    return argument
