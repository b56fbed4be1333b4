"""Drives the negotiation: the one place that replaces the connection's `Negotiation` value.

Spec: webrtc-pc, sections 4.4.1.5 (set a description), 4.4.1.6, 4.7 (negotiation needed).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from rtcstack.api.description import RTCIceCandidate, RTCSdpType, RTCSessionDescription
from rtcstack.entropy import entropy
from rtcstack.errors import InvalidModificationError, InvalidStateError, OperationError
from rtcstack.events import Event
from rtcstack.ice import IceServer
from rtcstack.jsep import (
    BundlePolicy,
    Description,
    Effect,
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
    advance,
    create_answer,
    create_offer,
    negotiation_needed,
    restarted_transports,
    with_local_candidates,
    with_remote_candidate,
)
from rtcstack.jsep.session import Section
from rtcstack.sdp import Candidate

if TYPE_CHECKING:
    from rtcstack.api.peerconnection import RTCPeerConnection
    from rtcstack.api.transportset import TransportEntry

__all__ = ["Negotiator"]


class Negotiator:
    """Offers, answers and candidates of one connection.

    Each method does all of its work or raises and changes nothing.

    Args:
        connection: whose state this is.
    """

    def __init__(self, connection: RTCPeerConnection) -> None:
        self._connection = connection
        self.negotiation = Negotiation.initial()
        self.is_needed = False
        self._update_when_empty = False
        self._check_pending = False
        self._last_offer: Description | None = None
        self._last_answer: Description | None = None
        self._session_id = entropy().random.getrandbits(62) + 1
        self._credentials_to_replace: frozenset[tuple[str, str]] = frozenset()

    # -- what the negotiation reads ---------------------------------------------------------------

    def _intents(self) -> Intents:
        connection = self._connection
        configuration = connection.configuration
        ice = configuration.settings.ice
        return Intents(
            capabilities=connection.capabilities,
            transceivers=connection.transceivers.intents(),
            next_transceiver=connection.transceivers.next_key,
            data_channel=connection.wants_data_channels,
            always_negotiate_data_channels=configuration.alwaysNegotiateDataChannels,
            bundle_policy=BundlePolicy(configuration.bundlePolicy),
            max_message_size=configuration.settings.max_message_size,
            ice_lite=ice.lite,
            ice_options=("trickle", "ice2", *(("renomination",) if ice.renomination else ())),
        )

    def _transports(self, restart: Callable[[str, tuple[str, str]], bool]) -> Callable[[str], LocalTransport]:
        def local(key: str) -> LocalTransport:
            entry = self._connection.transports.prepare(key)
            ice = entry.transport.ice
            return entry.local(restart=entry.in_use and restart(key, (ice.ufrag, ice.pwd)))

        return local

    def _version(self) -> int:
        latest = self.negotiation.local_description
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

        self._last_offer = create_offer(
            self.negotiation,
            self._intents(),
            self._transports(restart),
            session_id=self._session_id,
            version=self._version(),
        )
        return self._last_offer

    def create_answer(self) -> Description:
        """A new answer to the pending remote offer.

        Raises:
            InvalidStateError: there is none.
        """
        restarted = restarted_transports(self.negotiation)

        def restart(key: str, credentials: tuple[str, str]) -> bool:
            return key in restarted or credentials in self._credentials_to_replace

        self._last_answer = create_answer(
            self.negotiation,
            self._intents(),
            self._transports(restart),
            session_id=self._session_id,
            version=self._version(),
        )
        return self._last_answer

    def set_local(self, given: RTCSessionDescription | None, sdp_type: SdpType | None) -> None:
        """Apply a local description: the last that was created, or, without text, a new one.

        Raises:
            InvalidModificationError: the text is not what createOffer or createAnswer gave.
            InvalidStateError, OperationError: see `rtcstack.jsep.advance`.
        """
        state = self.negotiation.state
        if sdp_type is None:
            offers = (
                SignalingState.STABLE,
                SignalingState.HAVE_LOCAL_OFFER,
                SignalingState.HAVE_REMOTE_PRANSWER,
            )
            sdp_type = SdpType.OFFER if state in offers else SdpType.ANSWER
        if sdp_type is SdpType.ROLLBACK:
            self._apply(Side.LOCAL, Description.parse(sdp_type, ""))
            return
        text = "" if given is None else given.sdp
        last = self._last_offer if sdp_type is SdpType.OFFER else self._last_answer
        if text and (last is None or text != last.sdp):
            made_by = "createOffer" if sdp_type is SdpType.OFFER else "createAnswer"
            raise InvalidModificationError(
                f"setLocalDescription: the {sdp_type} is not the one that {made_by} last gave"
            )
        if not text:
            # What was created before may have gone out of date; what has not comes out the same.
            last = self.create_offer() if sdp_type is SdpType.OFFER else self.create_answer()
        assert last is not None
        self._apply(Side.LOCAL, last.as_type(sdp_type))

    def set_remote(self, given: RTCSessionDescription) -> None:
        """Apply a remote description; an offer that comes in between rolls ours back first.

        Raises:
            RTCError: the text is not SDP.
            InvalidStateError, InvalidAccessError, OperationError: see `rtcstack.jsep.advance`.
        """
        self._apply(Side.REMOTE, Description.parse(given.type.value, given.sdp))

    def _apply(self, side: Side, description: Description) -> None:
        connection = self._connection
        old = self.negotiation
        advanced = advance(old, side, description, self._intents())
        self.negotiation = new = advanced.negotiation
        fire: list[Callable[[], None]] = []
        if new.state is not old.state:
            fire.append(partial(connection.fire, "signalingstatechange"))
        for effect in advanced.effects:
            self._carry_out(effect)
        self._after(old, fire)
        for tell in fire:
            tell()
            if connection.is_closed:
                return
        connection.update_states()

    def _carry_out(self, effect: Effect) -> None:
        connection = self._connection
        if isinstance(effect, TransceiverCreated):
            connection.transceivers.create_remote(effect.key, effect.kind)
        elif isinstance(effect, TransceiverRemoved):
            connection.transceivers.forget(effect.key)
        elif isinstance(effect, TransceiverStopped):
            transceiver = connection.transceivers.get(effect.key)
            if transceiver is not None:
                transceiver.finish()
        elif isinstance(effect, TransportAdded):
            connection.transports.prepare(effect.transport.key).apply(effect.transport)
        elif isinstance(effect, TransportChanged):
            connection.transports.prepare(effect.new.key).apply(effect.new)
        elif isinstance(effect, TransportRemoved):
            connection.transports.remove(effect.transport.key)
        elif isinstance(effect, SectionChanged):
            self._bind(effect.old, effect.new)

    def _bind(self, old: Section | None, new: Section | None) -> None:
        """A section has changed: so may have what its transceiver sends and receives."""
        connection = self._connection
        before = None if old is None else connection.transceivers.get(old.transceiver)
        transceiver = None if new is None else connection.transceivers.get(new.transceiver)
        if before is not None and before is not transceiver:
            before.sender.bind(None, None)
            before.receiver.bind(None, None)
        if new is not None and transceiver is not None:
            entry = connection.transports.get(new.transport)
            transceiver.sender.bind(new, entry)
            transceiver.receiver.bind(new, entry)
            if new.current_direction is not None and new.current_direction.send:
                transceiver.has_sent = True

    def _after(self, old: Negotiation, fire: list[Callable[[], None]]) -> None:
        """What is done once all effects are carried out."""
        connection, new = self._connection, self.negotiation
        if new.state is SignalingState.STABLE:
            self._last_offer = self._last_answer = None
            if self._credentials_to_replace and new.stable is not old.stable:
                in_use = {
                    (t.local.ice_ufrag, t.local.ice_pwd)
                    for t in new.session.transports
                    if t.local is not None
                }
                self._credentials_to_replace &= in_use
            connection.transceivers.drop_stopped()
        connection.transceivers.update_remote_tracks(new.session.sections, fire)
        connection.update_sctp()
        if new.state is SignalingState.STABLE:
            self.is_needed = False
            self.update_needed()

    # -- candidates -------------------------------------------------------------------------------

    def add_ice_candidate(self, candidate: RTCIceCandidate | None) -> None:
        """Take a trickled candidate of the peer.

        Raises:
            InvalidStateError: there is no remote description.
            OperationError: it cannot be read, or belongs to no section or generation.
        """
        if self.negotiation.remote_description is None:
            raise InvalidStateError("addIceCandidate without a remote description")
        parsed: Candidate | None = None
        mid: str | None = None
        index: int | None = None
        ufrag: str | None = None
        if candidate is not None:
            mid, index, ufrag = candidate.sdpMid, candidate.sdpMLineIndex, candidate.usernameFragment
            parsed = candidate.parsed
            if candidate.candidate and parsed is None:
                raise OperationError(f"addIceCandidate: cannot read {candidate.candidate[:100]!r}")
        result = with_remote_candidate(self.negotiation, parsed, mid, index, ufrag)
        self.negotiation = result.negotiation
        for key in result.transports:
            entry = self._connection.transports.get(key)
            agreement = self.negotiation.session.transport(key)
            if entry is not None and agreement is not None:
                entry.apply(agreement)

    def on_local_candidate(
        self, entry: TransportEntry, candidate: Candidate | None, ufrag: str, server: IceServer | None
    ) -> RTCIceCandidate | None:
        """Write a gathered candidate into the descriptions.

        Args:
            candidate: None for the end of this generation.

        Returns:
            What the application is to be told, or None when no description wants it any more.
        """
        added = () if candidate is None else (candidate,)
        before = self.negotiation
        self.negotiation = with_local_candidates(before, entry.key, ufrag, added, candidate is None)
        if self.negotiation is before:
            return None
        section = self.negotiation.session.section(entry.mid)
        relay_protocol = None
        if server is not None and candidate is not None and candidate.type == "relay":
            relay_protocol = "tls" if server.scheme.is_secure else server.transport
        return RTCIceCandidate(
            "" if candidate is None else f"candidate:{candidate}",
            sdpMid=entry.mid,
            sdpMLineIndex=0 if section is None else section.index,
            usernameFragment=ufrag,
            relayProtocol=relay_protocol,
            url=None if server is None else server.url,
        )

    # -- restart and negotiation needed -----------------------------------------------------------

    def restart_ice(self) -> None:
        """Let the next offer start new ICE generations."""
        session = self.negotiation.stable
        transports = () if session is None else session.transports
        self._credentials_to_replace = frozenset(
            (t.local.ice_ufrag, t.local.ice_pwd) for t in transports if t.local is not None
        )
        self.update_needed()

    def update_needed(self) -> None:
        """Look, soon and once, whether the application must negotiate (webrtc-pc, 4.7.3)."""
        connection = self._connection
        if connection.is_closed:
            return
        if not connection.chain.is_empty:
            self._update_when_empty = True
        elif not self._check_pending:
            self._check_pending = True
            connection.soon(self._check_needed)

    def on_chain_empty(self) -> None:
        """The operations chain has run dry."""
        if self._update_when_empty:
            self._update_when_empty = False
            self.update_needed()

    def _check_needed(self) -> None:
        self._check_pending = False
        connection = self._connection
        if connection.is_closed:
            return
        if not connection.chain.is_empty:
            self._update_when_empty = True
            return
        if self.negotiation.state is not SignalingState.STABLE:
            return
        needed = negotiation_needed(
            self.negotiation, self._intents(), ice_restart=bool(self._credentials_to_replace)
        )
        if not needed:
            self.is_needed = False
        elif not self.is_needed:
            self.is_needed = True
            connection.dispatchEvent(Event("negotiationneeded"))

    def close(self) -> None:
        """No more of anything."""
        self.negotiation = self.negotiation.closed()
        self.is_needed = False


def as_session_description(description: Description | None) -> RTCSessionDescription | None:
    """A description as the application sees it."""
    if description is None:
        return None
    return RTCSessionDescription(RTCSdpType(description.type.value), description.sdp)


__all__ += ["as_session_description"]
