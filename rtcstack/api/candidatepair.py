"""RTCIceCandidatePair, and the event that tells of one.

Spec: webrtc-pc, section 5.6.4; webrtc-extensions, section "RTCIceTransport extensions".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtcstack.api.description import RTCIceCandidate
from rtcstack.events import CancelableEvent

if TYPE_CHECKING:
    from rtcstack.sdp.candidate import Candidate

__all__ = ["Credentials", "RTCIceCandidatePair", "RTCIceCandidatePairEvent", "remote_candidate", "renew"]

Credentials = tuple[str, str]
"""A ufrag and a password."""


class RTCIceCandidatePair:
    """A local and a remote candidate: the same object for the same pair, as long as a transport has it.

    What a check teaches of a pair shows in it when packets take it: behind a NAT, the local candidate is the
    one that the peer sees.

    Args:
        local: this end's candidate.
        remote: the peer's.

    Spec: webrtc-pc, section 5.6.4.
    """

    __slots__ = ("_local", "_remote")

    def __init__(self, local: RTCIceCandidate, remote: RTCIceCandidate) -> None:
        self._local = local
        self._remote = remote

    @property
    def local(self) -> RTCIceCandidate:
        """This end's candidate: one that "icecandidate" has told, or one that a check has taught."""
        return self._local

    @property
    def remote(self) -> RTCIceCandidate:
        """The peer's candidate: one that it has signalled, or one that a check has taught."""
        return self._remote

    def __repr__(self) -> str:
        return f"<RTCIceCandidatePair {self._local.candidate} -> {self._remote.candidate}>"


def renew(pair: RTCIceCandidatePair, fresh: RTCIceCandidatePair) -> None:
    """Show what is known of a pair by now."""
    if pair.local.candidate != fresh.local.candidate:
        pair._local = fresh.local
    if pair.remote.candidate != fresh.remote.candidate:
        pair._remote = fresh.remote


def remote_candidate(candidate: Candidate, mid: str, parameters: Credentials | None) -> RTCIceCandidate:
    """A candidate of the peer's as an object.

    Args:
        candidate: as signalled, or as a check has taught it.
        mid: what candidates are signalled with.
        parameters: the peer's credentials, where they are known.
    """
    ufrag = None if parameters is None else parameters[0]
    return RTCIceCandidate(f"candidate:{candidate}", sdpMid=mid, usernameFragment=ufrag)


class RTCIceCandidatePairEvent(CancelableEvent):
    """A candidate pair was added, is going to be nominated, or is removed.

    Args:
        type: "icecandidatepairadd", "icecandidatepairnominate" or "icecandidatepairremove".
        candidatePair: which.
        cancelable: whether `preventDefault` keeps it from happening.

    Attributes:
        candidatePair: which.

    Spec: webrtc-extensions, section "RTCIceCandidatePairEvent".
    """

    __slots__ = ("candidatePair",)

    def __init__(
        self,
        type: str,  # noqa: A002
        candidatePair: RTCIceCandidatePair,
        *,
        cancelable: bool = False,
    ) -> None:
        super().__init__(type, cancelable=cancelable)
        self.candidatePair = candidatePair
