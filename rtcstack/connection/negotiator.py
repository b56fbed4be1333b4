"""Drives the negotiation: what is to be described, and what follows when it is.

Spec: webrtc-pc, sections 4.4.1.5 (set a description), 4.4.1.6 and 4.7; RFC 9429, section 5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rtcstack import jsep
from rtcstack.connection.capabilities import capabilities_with
from rtcstack.connection.config import ConnectionConfig
from rtcstack.connection.happened import Happened, SignalingStateChanged, TrackEnded
from rtcstack.connection.remotetracks import RemoteTracks
from rtcstack.connection.state import NegotiationState
from rtcstack.connection.transceivers import TransceiverSet
from rtcstack.connection.transportentry import TransportEntry
from rtcstack.connection.transports import TransportSet
from rtcstack.entropy import entropy
from rtcstack.jsep import (
    Advanced,
    Capabilities,
    Description,
    Effect,
    EncodingsAgreed,
    EncodingsProposed,
    Intents,
    LocalTransport,
    Negotiation,
    SdpType,
    SectionChanged,
    Side,
    SignalingState,
    TransceiverCreated,
    TransceiverRemoved,
    TransceiverStopped,
    TransportAdded,
    TransportChanged,
    TransportRemoved,
)
from rtcstack.jsep.session import Section, Session
from rtcstack.sdp import Candidate

__all__ = ["Negotiator", "Plan"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a description leads to, found out without changing anything.

    Attributes:
        side: whose description it is.
        description: the description.
        advanced: the negotiation after it, and what the runtime has to do.
    """

    side: Side
    description: Description
    advanced: Advanced


class Negotiator:
    """Offers, answers and candidates of one connection.

    Args:
        state: where the negotiation stands; replaced here and nowhere else.
        transports, transceivers, tracks: what a description is made of, and what follows it.
        config: of the connection; may be replaced.
        wants_channels: whether the application section is to be negotiated.
    """

    __slots__ = (
        "_credentials_to_replace",
        "_last_answer",
        "_last_offer",
        "_last_restarts",
        "_session_id",
        "_state",
        "_tracks",
        "_transceivers",
        "_transports",
        "_wants_channels",
        "config",
    )

    def __init__(
        self,
        state: NegotiationState,
        transports: TransportSet,
        transceivers: TransceiverSet,
        tracks: RemoteTracks,
        config: ConnectionConfig,
        wants_channels: Callable[[], bool],
    ) -> None:
        self.config = config
        self._state = state
        self._transports = transports
        self._transceivers = transceivers
        self._tracks = tracks
        self._wants_channels = wants_channels
        self._last_offer: Description | None = None
        self._last_restarts = False
        self._last_answer: Description | None = None
        self._session_id = entropy().random.getrandbits(62) + 1
        self._credentials_to_replace: frozenset[tuple[str, str]] = frozenset()

    # -- what the negotiation reads ---------------------------------------------------------------

    @property
    def capabilities(self) -> Capabilities:
        """What this connection can do, and asks for."""
        media = self.config.settings.media
        return capabilities_with(stereo=media.opus_stereo, dtx=media.opus_dtx, fec=media.opus_fec)

    def _intents(self) -> Intents:
        config = self.config
        ice = config.settings.ice
        return Intents(
            capabilities=self.capabilities,
            transceivers=self._transceivers.intents(),
            next_transceiver=self._transceivers.next_key,
            data_channel=self._wants_channels(),
            always_negotiate_data_channels=config.always_negotiate_data_channels,
            bundle_policy=config.bundle_policy,
            max_message_size=config.settings.max_message_size,
            ice_lite=ice.lite,
            requires_cryptex=config.requires_cryptex,
            ice_options=("trickle", "ice2", *(("renomination",) if ice.renomination else ())),
        )

    def _local(self, restart: Callable[[str, tuple[str, str]], bool]) -> Callable[[str], LocalTransport]:
        def local(key: str) -> LocalTransport:
            entry = self._transports.prepare(key)
            ice = entry.transport.ice
            credentials = (ice.ufrag, ice.pwd)
            # what is new begins with what the others began with: that may have to be replaced, too
            is_used_up = credentials in self._credentials_to_replace
            return entry.local(restart=restart(key, credentials) if entry.in_use else is_used_up)

        return local

    def _version(self) -> int:
        latest = self._state.negotiation.local_description
        if latest is None or latest.parsed is None:
            return 0
        return latest.parsed.origin.session_version + 1

    # -- offers and answers -----------------------------------------------------------------------

    def create_offer(self, *, ice_restart: bool = False) -> Description:
        """A new offer.

        Raises:
            InvalidStateError: an offer cannot be made in this signaling state.
        """

        def restart(key: str, credentials: tuple[str, str]) -> bool:
            return ice_restart or credentials in self._credentials_to_replace

        self._last_restarts = ice_restart
        self._last_offer = jsep.create_offer(
            self._state.negotiation,
            self._intents(),
            self._local(restart),
            session_id=self._session_id,
            version=self._version(),
        )
        return self._last_offer

    def create_answer(self) -> Description:
        """A new answer to the pending remote offer.

        Raises:
            InvalidStateError: there is none.
        """
        restarted = jsep.restarted_transports(self._state.negotiation)
        # an answer restarts what its offer does; what restartIce asked for waits for an offer of ours
        self._last_answer = jsep.create_answer(
            self._state.negotiation,
            self._intents(),
            self._local(lambda key, _: key in restarted),
            session_id=self._session_id,
            version=self._version(),
        )
        return self._last_answer

    def last(self, sdp_type: SdpType) -> Description | None:
        """What was last created for this type, and still counts."""
        return self._last_offer if sdp_type is SdpType.OFFER else self._last_answer

    def last_accurate(self, sdp_type: SdpType) -> Description | None:
        """Likewise, as long as what would be created now comes out the same.

        Raises:
            InvalidStateError: it cannot be created in this signaling state.
        """
        offer, answer = self._last_offer, self._last_answer
        last = self.last(sdp_type)
        if last is None:
            return None
        try:
            if sdp_type is SdpType.OFFER:
                now = self.create_offer(ice_restart=self._last_restarts)
            else:
                now = self.create_answer()
        finally:
            self._last_offer, self._last_answer = offer, answer
        return last if now.sdp == last.sdp else None

    # -- descriptions -----------------------------------------------------------------------------

    def propose(self, side: Side, description: Description) -> Plan:
        """What applying a description comes to. Changes nothing.

        Args:
            side: whose it is.
            description: parsed.

        Raises:
            InvalidStateError, InvalidAccessError, OperationError: see `rtcstack.jsep.advance`.
        """
        return Plan(
            side, description, jsep.advance(self._state.negotiation, side, description, self._intents())
        )

    def commit(self, plan: Plan) -> list[Happened]:
        """Do what was proposed, and nothing has come between.

        Returns:
            What is to be told, in this order.
        """
        old = self._state.negotiation
        if old.working is None:
            self._tracks.note_stable()
        self._state.negotiation = new = plan.advanced.negotiation
        happened: list[Happened] = [SignalingStateChanged()] if new.state is not old.state else []
        ended: list[Happened] = []
        proposed = _proposed_transports(new.session)
        with self._transports.changing():
            for key in proposed:
                self._transports.propose(key, controlling=_peer_is_lite(new))
            for effect in plan.advanced.effects:
                if isinstance(effect, TransceiverStopped | TransceiverRemoved):
                    transceiver = self._transceivers.get(effect.key)
                    if transceiver is not None:
                        ended.append(TrackEnded(transceiver.receiver))
                        transceiver.finish()
                self._carry_out(effect)
            for key in _proposed_transports(old.session) - proposed:
                if new.session.transport(key) is None:
                    self._transports.remove(key)
        if plan.description.type is SdpType.ROLLBACK:
            self._roll_back(old.created)
        if plan.description.type is SdpType.ANSWER:
            self._last_offer = self._last_answer = None
            for transceiver in self._transceivers.all:
                transceiver.sender.settle()
            if self._credentials_to_replace and new.stable is not old.stable:
                # all or none: some that are used no more may come again, with a transport that is new
                used = {
                    (t.local.ice_ufrag, t.local.ice_pwd)
                    for t in new.session.transports
                    if t.local is not None
                }
                if self._credentials_to_replace.isdisjoint(used):
                    self._credentials_to_replace = frozenset()
        if plan.description.type is not SdpType.ROLLBACK:
            happened += self._tracks.described(plan.side, plan.description.type, new.session.sections)
        elif old.state is SignalingState.HAVE_REMOTE_OFFER:
            happened += self._tracks.rolled_back()
        if plan.description.type is SdpType.ANSWER:
            self._finish_undescribed()
            self._transceivers.drop_stopped()
        for effect in plan.advanced.effects:
            if isinstance(effect, TransceiverRemoved):
                self._transceivers.forget(effect.key)
        return happened + ended

    def _finish_undescribed(self) -> None:
        """What was stopped before it had a section has none to be refused: it ends with the exchange.

        webrtc-pc lets it need negotiation for ever, which no exchange could satisfy.
        """
        for transceiver in self._transceivers.all:
            if transceiver.stopping and not transceiver.stopped and transceiver.section is None:
                transceiver.finish()

    def _roll_back(self, created: Sequence[int]) -> None:
        """What an offer changed besides the session is as it was before.

        Args:
            created: keys of the transceivers that the offer made. Those that are left have been used by
                addTrack, and are taken when the offer comes again.
        """
        for transceiver in self._transceivers.all:
            transceiver.sender.withdraw_proposal()
            if transceiver.section is None:
                transceiver.sender.bind(None, None)
                transceiver.receiver.bind(None, None)
            if transceiver.key in created:
                transceiver.created_by_add_track = True

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case TransceiverCreated():
                self._transceivers.create_remote(effect.key, effect.kind, effect.rids)
            case EncodingsProposed() | EncodingsAgreed():
                self._change_encodings(effect)
            case TransportAdded():
                self._transports.prepare(effect.transport.key).apply(effect.transport)
            case TransportChanged():
                self._transports.prepare(effect.new.key).apply(effect.new)
            case TransportRemoved():
                self._transports.remove(effect.transport.key)
            case SectionChanged():
                self._bind(effect.old, effect.new)

    def _change_encodings(self, effect: EncodingsProposed | EncodingsAgreed) -> None:
        transceiver = self._transceivers.get(effect.key)
        if transceiver is None:
            return
        if isinstance(effect, EncodingsProposed):
            transceiver.sender.propose_encodings(effect.rids)
        else:
            transceiver.sender.keep_encodings(effect.rids)

    def _bind(self, old: Section | None, new: Section | None) -> None:
        """A section has changed: so may have what its transceiver sends and receives."""
        before = None if old is None else self._transceivers.get(old.transceiver)
        transceiver = None if new is None else self._transceivers.get(new.transceiver)
        if before is not None and before is not transceiver and not before.stopped:
            before.sender.bind(None, None)
            before.receiver.bind(None, None)
        if new is not None and transceiver is not None:
            entry = self._transports.get(new.expected_transport)
            if entry is None and new.rejected:
                entry = transceiver.sender.entry  # closed, and still the one that it had
            transceiver.sender.bind(new, entry)
            transceiver.receiver.bind(new, entry)
            if new.current_direction is not None and new.current_direction.send:
                transceiver.has_sent = True

    # -- candidates -------------------------------------------------------------------------------

    def add_candidate(
        self,
        candidate: Candidate | None,
        mid: str | None,
        index: int | None,
        ufrag: str | None,
        unreadable: str = "",
    ) -> None:
        """Take a trickled candidate of the peer; there must be a remote description.

        Args:
            candidate: None for the end of candidates.
            mid, index, ufrag: which section and generation it is of; all None for all.
            unreadable: what was given, if it cannot be read.

        Raises:
            OperationError: it belongs to no section or generation, or cannot be read.
        """
        result = jsep.with_remote_candidate(
            self._state.negotiation, candidate, mid, index, ufrag, unreadable, self._is_stopped
        )
        self._state.negotiation = result.negotiation
        for key in result.transports:
            entry = self._transports.get(key)
            agreement = self._state.negotiation.session.transport(key)
            if entry is not None and agreement is not None:
                entry.apply(agreement)

    def _is_stopped(self, key: int | None) -> bool:
        transceiver = self._transceivers.get(key)
        return transceiver is None or transceiver.stopped

    def on_local_candidate(self, entry: TransportEntry, candidate: Candidate | None, ufrag: str) -> bool:
        """Write a gathered candidate into the descriptions.

        Args:
            entry: whose it is.
            candidate: None for the end of this generation.
            ufrag: of its generation.

        Returns:
            Whether a description wants it still.
        """
        added = () if candidate is None else (candidate,)
        before = self._state.negotiation
        self._state.negotiation = jsep.with_local_candidates(
            before, entry.key, ufrag, added, candidate is None
        )
        return self._state.negotiation is not before

    # -- restart and negotiation needed -----------------------------------------------------------

    def restart_ice(self) -> None:
        """Let the next offer start new ICE generations, of all that are described now.

        Spec: webrtc-pc, section 4.4.2 (restartIce): of the current and the pending local description.
        """
        negotiation = self._state.negotiation
        self._credentials_to_replace = frozenset(
            (t.local.ice_ufrag, t.local.ice_pwd)
            for session in (negotiation.stable, negotiation.working)
            if session is not None
            for t in session.transports
            if t.local is not None
        )

    @property
    def is_needed(self) -> bool:
        """Whether an offer is called for; asked in "stable" only (webrtc-pc, section 4.7.3)."""
        return jsep.negotiation_needed(
            self._state.negotiation, self._intents(), ice_restart=bool(self._credentials_to_replace)
        )

    def close(self) -> None:
        """No more of anything."""
        self._state.negotiation = self._state.negotiation.closed()


def _proposed_transports(session: Session) -> set[str]:
    """The transports that a peer's offer proposes, and no answer has agreed on yet."""
    return {each.proposed_transport for each in session.sections if each.proposed_transport is not None}


def _peer_is_lite(negotiation: Negotiation) -> bool:
    """Whether the peer's latest description is that of an agent which only answers checks."""
    remote = negotiation.remote_description
    return remote is not None and remote.parsed is not None and remote.parsed.ice_lite
