"""The state of negotiation as one frozen value.

The functions that work on it:

    create_offer(negotiation, intents, transports, *, session_id, version) -> Description
    create_answer(negotiation, intents, transports, *, session_id, version) -> Description
        `transports(key)` gives the `LocalTransport` of a transport: of an existing one, or, when
        the key is a mid that has none, of one that is made for it now. After an ICE restart
        (ours, or the peer's: see `restarted_transports`) it gives new credentials.
    advance(negotiation, side, description, intents) -> Advanced(negotiation, effects)
    rollback(negotiation, intents) -> Advanced
    with_local_candidates(negotiation, key, ufrag, candidates, end_of_candidates) -> Negotiation
    with_remote_candidate(negotiation, candidate, mid, index, ufrag) -> RemoteCandidate
    negotiation_needed(negotiation, intents, *, ice_restart) -> bool
    diff(old, new) -> tuple[Effect, ...]

Spec: RFC 9429; webrtc-pc, section 4.4.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rtcstack.errors import ParseError, RTCError
from rtcstack.jsep.session import Section, Session
from rtcstack.jsep.states import SdpType, SignalingState
from rtcstack.sdp import IceOptions

if TYPE_CHECKING:
    from rtcstack.sdp import SessionDescription

__all__ = ["Description", "Negotiation"]


@dataclass(frozen=True, slots=True)
class Description:
    """A session description, parsed once.

    Attributes:
        type: what it is meant as.
        sdp: its text; "" for a rollback.
        parsed: its value; None for a rollback.
        transceivers: for an offer that `create_offer` made, the transceiver behind each section.
            Transceivers may come and go before the offer is set; this keeps the mapping exact.
    """

    type: SdpType
    sdp: str
    parsed: SessionDescription | None
    transceivers: tuple[int | None, ...] | None = field(default=None, compare=False)

    @classmethod
    def parse(cls, sdp_type: SdpType | str, sdp: str) -> Description:
        """Parse what the application hands over.

        Raises:
            RTCError: the text is not valid SDP ("sdp-syntax-error", with its line number).
        """
        sdp_type = SdpType(sdp_type)
        if sdp_type is SdpType.ROLLBACK:
            return cls(sdp_type, "", None)
        from rtcstack.sdp import parse_session

        try:
            return cls(sdp_type, sdp, parse_session(sdp))
        except ParseError as error:
            raise RTCError("sdp-syntax-error", str(error), sdpLineNumber=error.line) from None

    def as_type(self, sdp_type: SdpType) -> Description:
        """The same text, meant as another type (an answer as a provisional one)."""
        return replace(self, type=sdp_type)


@dataclass(frozen=True, slots=True)
class Negotiation:
    """The whole of it; each step makes a new one, and a step that fails makes none.

    Attributes:
        state: the signaling state.
        stable: what the last answer agreed on; None before the first.
        working: what the exchange under way has led to so far; None in "stable". Dropping it is
            the rollback.
        current_local, current_remote: the descriptions behind `stable`.
        pending_local, pending_remote: the descriptions behind `working`.
        offered: `working` as the pending offer left it. Every answer, provisional or not, starts
            from it, so that a later answer is free of what an earlier one had narrowed.
        created: keys of the transceivers that the pending remote offer called for.
    """

    state: SignalingState = SignalingState.STABLE
    stable: Session | None = None
    working: Session | None = None
    current_local: Description | None = None
    current_remote: Description | None = None
    pending_local: Description | None = None
    pending_remote: Description | None = None
    offered: Session | None = None
    created: tuple[int, ...] = ()

    @classmethod
    def initial(cls) -> Negotiation:
        """What a new connection starts with."""
        return cls()

    def closed(self) -> Negotiation:
        """The same after close()."""
        return replace(self, state=SignalingState.CLOSED)

    @property
    def session(self) -> Session:
        """What holds now: `working` during an exchange, else `stable`."""
        return self.working or self.stable or Session()

    @property
    def local_description(self) -> Description | None:
        """pendingLocalDescription, else currentLocalDescription."""
        return self.pending_local or self.current_local

    @property
    def remote_description(self) -> Description | None:
        """pendingRemoteDescription, else currentRemoteDescription."""
        return self.pending_remote or self.current_remote

    @property
    def can_trickle_ice_candidates(self) -> bool | None:
        """Whether the peer said that it takes trickled candidates; None before it said anything."""
        description = self.remote_description
        if description is None or description.parsed is None:
            return None
        options = description.parsed.get(IceOptions)
        if options is not None and "trickle" in options.tags:
            return True
        return any("trickle" in each.ice_options for each in description.parsed.media)

    def section_of(self, transceiver: int) -> Section | None:
        """The section that a transceiver is associated with."""
        return self.session.section_of(transceiver)

    def mid_of(self, transceiver: int) -> str | None:
        """RTCRtpTransceiver.mid."""
        section = self.session.section_of(transceiver)
        return None if section is None else section.mid
