"""RTCIceTransport: a connection's, or one of its own with an `RTCIceGatherer`.

Spec: webrtc-pc, section 5.6; ORTC, section 3; webrtc-ice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from rtcstack.api.description import RTCIceCandidate
from rtcstack.api.dictionaries import as_dictionary, enum_member
from rtcstack.api.icegatherer import RTCIceGatherer
from rtcstack.api.iceparameters import RTCIceParameters
from rtcstack.engine import Run
from rtcstack.errors import InvalidAccessError, InvalidStateError, OperationError, ParseError
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


MAX_REMOTE_CANDIDATES = 256
"""Candidates of the peer that `getRemoteCandidates` remembers."""


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


class RTCIceTransport(EventTarget):
    """The path that packets take.

    Events: statechange, gatheringstatechange, selectedcandidatepairchange; of a transport with a
    gatherer of its own also message, with a packet of the peer's.

    Args:
        source: an `RTCIceGatherer` that no other transport has.

    Raises:
        InvalidStateError: the gatherer has a transport, or is closed.

    Spec: webrtc-pc, section 5.6.
    """

    onstatechange = HandlerAttribute("statechange")
    ongatheringstatechange = HandlerAttribute("gatheringstatechange")
    onselectedcandidatepairchange = HandlerAttribute("selectedcandidatepairchange")
    onmessage = HandlerAttribute("message")

    def __init__(self, source: RTCIceGatherer | TransportEntry) -> None:
        super().__init__()
        self._source = source
        if isinstance(source, RTCIceGatherer):
            if source.transport is not None or source.state is RTCIceGathererState.CLOSED:
                raise InvalidStateError("the gatherer belongs to a transport, or is closed")
            source.transport = self

    @property
    def iceGatherer(self) -> RTCIceGatherer | None:
        """The gatherer, where it is one of its own."""
        return self._source if isinstance(self._source, RTCIceGatherer) else None

    @property
    def role(self) -> RTCIceRole:
        """Who nominates: known once checks have begun."""
        ice = self._source.agent
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
        return self._source.agent.state

    @property
    def gatheringState(self) -> RTCIceGathererState:
        """How far gathering is."""
        return self._source.agent.gathering_state

    def getLocalCandidates(self) -> list[RTCIceCandidate]:
        """The candidates gathered so far for this generation."""
        return [self._candidate(c) for c in self._source.agent.local_candidates]

    def getRemoteCandidates(self) -> list[RTCIceCandidate]:
        """The candidates that the peer has signalled for this generation."""
        return [self._candidate(c) for c in self._source.remote_candidates]

    def getSelectedCandidatePair(self) -> RTCIceCandidatePair | None:
        """The pair that packets take, or None."""
        pair = self._source.agent.selected_pair
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

    # -- with a gatherer of its own ---------------------------------------------------------------

    def _own(self, method: str) -> RTCIceGatherer:
        if not isinstance(self._source, RTCIceGatherer):
            raise InvalidStateError(f"{method}: an RTCPeerConnection negotiates this transport")
        if self._source.state is RTCIceGathererState.CLOSED:
            raise InvalidStateError(f"{method} on a transport that is closed")
        return self._source

    def start(
        self,
        remoteParameters: RTCIceParameters | Mapping[str, Any],
        role: RTCIceRole | str = RTCIceRole.CONTROLLED,
    ) -> None:
        """Start checks; with other parameters than before, restart.

        Args:
            remoteParameters: the peer's credentials.
            role: "controlling" or "controlled".

        Raises:
            InvalidStateError: a connection negotiates this transport, or it is closed.
            InvalidAccessError: the credentials are too short.
            TypeError: an argument is of the wrong type.
        """
        source = self._own("start")
        remote = as_dictionary(RTCIceParameters, remoteParameters)
        if len(remote.usernameFragment) < 4 or len(remote.password) < 22:
            raise InvalidAccessError("a ufrag has 4 characters at least, a password 22")
        wanted = enum_member(RTCIceRole, "role", role)
        if wanted is RTCIceRole.UNKNOWN:
            raise TypeError('role must be "controlling" or "controlled"')
        if source.agent.remote_ufrag not in (None, remote.usernameFragment):
            raise InvalidStateError("start: call restart first, and signal the new parameters")
        source.agent.start(
            remote.usernameFragment, remote.password, controlling=wanted is RTCIceRole.CONTROLLING
        )

    def restart(self) -> RTCIceParameters:
        """Make new credentials and gather again; packets take the old pair until there is a new one.

        Returns:
            The new local credentials, for the peer; `start` takes the peer's.
        """
        source = self._own("restart")
        source.agent.restart()
        source.remote_candidates.clear()
        source.agent.gather()
        return source.getLocalParameters()

    def addRemoteCandidate(self, candidate: RTCIceCandidate | Mapping[str, Any] | None) -> None:
        """Take a candidate of the peer; None when there are no more.

        Raises:
            InvalidStateError: a connection negotiates this transport, or it is closed.
            OperationError: the candidate cannot be read.
        """
        source = self._own("addRemoteCandidate")
        text = "" if candidate is None else _text(candidate)
        if not text:
            source.agent.end_of_remote_candidates()
            return
        try:
            parsed = Candidate.parse(text)
        except ParseError as exc:
            raise OperationError(str(exc)) from None
        if len(source.remote_candidates) < MAX_REMOTE_CANDIDATES:
            source.remote_candidates.append(parsed)
        source.agent.add_remote_candidate(parsed)

    def send(self, packet: bytes) -> None:
        """Send a packet of a protocol that shares the port with STUN: its first byte is 20 to 63, as
        in DTLS, or 128 to 191, as in SRTP (RFC 7983). Dropped while there is no path.

        Raises:
            InvalidStateError: a connection uses this transport, or it is closed.
            TypeError: the packet is empty, or begins otherwise.
        """
        source = self._own("send")
        if not packet or not (20 <= packet[0] < 64 or 128 <= packet[0] < 192):
            raise TypeError("a packet's first byte must be 20 to 63 or 128 to 191")
        source.agent.send_runs([Run(bytes(packet), len(packet))])

    def stop(self) -> None:
        """Close the transport and its gatherer."""
        self._own("stop").close()

    # -- forms ------------------------------------------------------------------------------------

    def _pair(self, pair: PairView) -> RTCIceCandidatePair:
        return RTCIceCandidatePair(self._candidate(pair.local), self._candidate(pair.remote))

    def _candidate(self, candidate: Candidate) -> RTCIceCandidate:
        return RTCIceCandidate(f"candidate:{candidate}", sdpMid=self._source.mid, sdpMLineIndex=None)


def _text(candidate: RTCIceCandidate | Mapping[str, Any]) -> str:
    text = candidate.get("candidate", "") if isinstance(candidate, Mapping) else candidate.candidate
    if not isinstance(text, str):
        raise TypeError(f"candidate must be a str, not {type(text).__name__}")
    return text
