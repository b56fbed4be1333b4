"""The signaling state machine, as a table.

Spec: RFC 9429, sections 3.2 and 5.5 to 5.7; webrtc-pc, section 4.3.1 (RTCSignalingState).
"""

from __future__ import annotations

from enum import StrEnum

from rtcstack.errors import InvalidStateError

__all__ = ["SdpType", "Side", "SignalingState", "next_state"]


class SignalingState(StrEnum):
    """Where an offer/answer exchange stands."""

    STABLE = "stable"
    HAVE_LOCAL_OFFER = "have-local-offer"
    HAVE_REMOTE_OFFER = "have-remote-offer"
    HAVE_LOCAL_PRANSWER = "have-local-pranswer"
    HAVE_REMOTE_PRANSWER = "have-remote-pranswer"
    CLOSED = "closed"


class SdpType(StrEnum):
    """What a description is meant as."""

    OFFER = "offer"
    PRANSWER = "pranswer"
    ANSWER = "answer"
    ROLLBACK = "rollback"


class Side(StrEnum):
    """Whose description it is."""

    LOCAL = "local"
    REMOTE = "remote"

    @property
    def other(self) -> Side:
        """The opposite side."""
        return Side.REMOTE if self is Side.LOCAL else Side.LOCAL


_S, _T = SignalingState, SdpType

TRANSITIONS: dict[tuple[SignalingState, Side, SdpType], SignalingState] = {
    (_S.STABLE, Side.LOCAL, _T.OFFER): _S.HAVE_LOCAL_OFFER,
    (_S.STABLE, Side.REMOTE, _T.OFFER): _S.HAVE_REMOTE_OFFER,
    (_S.HAVE_LOCAL_OFFER, Side.LOCAL, _T.OFFER): _S.HAVE_LOCAL_OFFER,
    (_S.HAVE_LOCAL_OFFER, Side.REMOTE, _T.PRANSWER): _S.HAVE_REMOTE_PRANSWER,
    (_S.HAVE_LOCAL_OFFER, Side.REMOTE, _T.ANSWER): _S.STABLE,
    (_S.HAVE_REMOTE_OFFER, Side.REMOTE, _T.OFFER): _S.HAVE_REMOTE_OFFER,
    (_S.HAVE_REMOTE_OFFER, Side.LOCAL, _T.PRANSWER): _S.HAVE_LOCAL_PRANSWER,
    (_S.HAVE_REMOTE_OFFER, Side.LOCAL, _T.ANSWER): _S.STABLE,
    (_S.HAVE_LOCAL_PRANSWER, Side.LOCAL, _T.PRANSWER): _S.HAVE_LOCAL_PRANSWER,
    (_S.HAVE_LOCAL_PRANSWER, Side.LOCAL, _T.ANSWER): _S.STABLE,
    (_S.HAVE_REMOTE_PRANSWER, Side.REMOTE, _T.PRANSWER): _S.HAVE_REMOTE_PRANSWER,
    (_S.HAVE_REMOTE_PRANSWER, Side.REMOTE, _T.ANSWER): _S.STABLE,
    # Who has set an offer takes it back. JSEP would roll back provisional answers too; webrtc-pc,
    # section 4.4.1.5, does not, and it is the one that applications see.
    (_S.HAVE_LOCAL_OFFER, Side.LOCAL, _T.ROLLBACK): _S.STABLE,
    (_S.HAVE_REMOTE_OFFER, Side.REMOTE, _T.ROLLBACK): _S.STABLE,
}
"""All that is legal; whatever is not here is an InvalidStateError."""


def next_state(state: SignalingState, side: Side, sdp_type: SdpType) -> SignalingState:
    """The state after a description of `sdp_type` has been set on `side`.

    Raises:
        InvalidStateError: it may not be set in `state`.
    """
    result = TRANSITIONS.get((state, side, sdp_type))
    if result is None:
        raise InvalidStateError(f"cannot set {side} {sdp_type} in signaling state {state!s}")
    return result
