"""One step of the negotiation: a description is set, and a new value of everything comes out.

Spec: RFC 9429, sections 5.5 to 5.11; webrtc-pc, section 4.4.1.5 (set the session description).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from rtcstack.errors import InvalidAccessError
from rtcstack.jsep.agree import agree, agree_on_cryptex, reject
from rtcstack.jsep.associate import (
    Association,
    associate_local_offer,
    associate_remote_offer,
    sections_of_answer,
)
from rtcstack.jsep.bundle import carried_keys, transport_keys, unbundled_kinds
from rtcstack.jsep.codecs import answered, common, preferred
from rtcstack.jsep.diff import diff, same_association
from rtcstack.jsep.effects import (
    Effect,
    EncodingsAgreed,
    EncodingsProposed,
    TransceiverCreated,
    TransceiverRemoved,
    TransceiverStopped,
)
from rtcstack.jsep.intents import BundlePolicy, Capabilities, Intents
from rtcstack.jsep.negotiation import Description, Negotiation
from rtcstack.jsep.numbers import remember_extensions, remember_formats
from rtcstack.jsep.read import read_media, read_transport
from rtcstack.jsep.session import (
    Codec,
    DtlsRole,
    MediaParameters,
    Section,
    Session,
    Transport,
    TransportParameters,
)
from rtcstack.jsep.states import SdpType, Side, SignalingState, next_state
from rtcstack.jsep.verify import (
    is_supported,
    verify_answer,
    verify_content,
    verify_cryptex,
    verify_offer,
    verify_transport_change,
)
from rtcstack.sdp import MediaDescription, SessionDescription, SetupRole

__all__ = ["Advanced", "advance", "rollback", "shared_parameters", "tagged_parameters"]


@dataclass(frozen=True, slots=True)
class Advanced:
    """The negotiation after a step, and what the runtime has to do about it."""

    negotiation: Negotiation
    effects: tuple[Effect, ...] = ()


def advance(negotiation: Negotiation, side: Side, description: Description, intents: Intents) -> Advanced:
    """Set a description.

    A remote offer that meets a local one rolls the local one back first.

    Args:
        negotiation: what stands now; it is not changed.
        side: whose description it is.
        description: it must have been parsed (`Description.parse`).
        intents: what the application wants now.

    Raises:
        InvalidStateError: this type may not be set in the present signaling state.
        InvalidAccessError: the description contradicts itself, or what it answers or continues.
    """
    glare = side is Side.REMOTE and description.type is SdpType.OFFER
    if glare and negotiation.state is SignalingState.HAVE_LOCAL_OFFER:
        rolled = rollback(negotiation, intents)
        then = advance(rolled.negotiation, side, description, intents)
        return Advanced(then.negotiation, rolled.effects + then.effects)
    state = next_state(negotiation.state, side, description.type)
    if description.type is SdpType.ROLLBACK:
        return rollback(negotiation, intents)
    assert description.parsed is not None
    is_answer = description.type is not SdpType.OFFER
    verify_content(description.parsed, side, is_answer=is_answer)
    if side is Side.REMOTE and intents.requires_cryptex:
        verify_cryptex(description.parsed)
    if is_answer:
        result = _set_answer(negotiation, side, description, intents, state)
    else:
        result = _set_offer(negotiation, side, description, intents, state)
    effects: list[Effect] = [
        TransceiverCreated(
            section.transceiver, section.kind, section.mid, _proposed_rids(section, intents.capabilities)
        )
        for section in result.session.sections
        if section.transceiver is not None
        and section.transceiver in result.created
        and section.transceiver not in negotiation.created
    ]
    if is_answer:
        effects += _agreed_encodings(side, result.session, intents)
    elif side is Side.REMOTE:
        effects += _proposed_encodings(result.session, intents)
    effects += diff(negotiation.session, result.session)
    if side is Side.REMOTE:
        effects += _stopped(result.session, intents)
    return Advanced(result, tuple(effects))


def rollback(negotiation: Negotiation, intents: Intents) -> Advanced:
    """Give up the exchange under way.

    Transceivers that it made are removed, unless addTrack has used them since.

    Raises:
        InvalidStateError: there is none, or it has come as far as a provisional answer.
    """
    side = Side.REMOTE if negotiation.state is SignalingState.HAVE_REMOTE_OFFER else Side.LOCAL
    state = next_state(negotiation.state, side, SdpType.ROLLBACK)
    result = Negotiation(
        state=state,
        stable=negotiation.stable,
        current_local=negotiation.current_local,
        current_remote=negotiation.current_remote,
    )
    kept = {each.key for each in intents.transceivers if each.used_by_add_track}
    removed = (TransceiverRemoved(key) for key in negotiation.created if key not in kept)
    return Advanced(result, (*diff(negotiation.session, result.session), *removed))


def _proposed_rids(section: Section, capabilities: Capabilities) -> tuple[str, ...]:
    """The simulcast streams that a remote offer asks of a section, as many as can be sent."""
    remote = section.remote
    if remote is None or not remote.simulcast or section.kind != "video":
        return ()
    return remote.receive_rids[: capabilities.max_simulcast_streams]


def _proposed_encodings(session: Session, intents: Intents) -> Iterable[Effect]:
    for section in session.sections:
        transceiver = intents.transceiver(section.transceiver)
        rids = _proposed_rids(section, intents.capabilities)
        if transceiver is not None and rids:
            yield EncodingsProposed(transceiver.key, rids)


def _agreed_encodings(side: Side, session: Session, intents: Intents) -> Iterable[Effect]:
    for section in session.sections:
        transceiver = intents.transceiver(section.transceiver)
        if transceiver is None or len(transceiver.send_encodings) < 2:
            continue
        said = section.remote if side is Side.LOCAL else section.local
        asked = () if said is None else said.receive_rids if side is Side.LOCAL else said.send_rids
        if asked and section.send_rids != tuple(each.rid for each in transceiver.send_encodings):
            yield EncodingsAgreed(transceiver.key, section.send_rids)


def _stopped(session: Session, intents: Intents) -> Iterable[Effect]:
    for section in session.sections:
        transceiver = intents.transceiver(section.transceiver)
        if section.rejected and transceiver is not None and not transceiver.stopped:
            yield TransceiverStopped(transceiver.key, section.mid)


# Offers


def _set_offer(
    negotiation: Negotiation, side: Side, description: Description, intents: Intents, state: SignalingState
) -> Negotiation:
    # an offer that replaces a pending one of the same side continues it as if it had been answered
    before = negotiation.session
    assert description.parsed is not None
    verify_offer(description.parsed, before, intents)
    if side is Side.LOCAL:
        association = associate_local_offer(description, before, intents)
        working = _local_offer(description.parsed, association, before, negotiation.stable or Session())
        return replace(
            negotiation, state=state, working=working, offered=working, pending_local=description, created=()
        )
    association = associate_remote_offer(description, before, intents)
    working = _remote_offer(description.parsed, association, before, intents)
    working = _with_proposed_transports(description.parsed, working, before, intents.bundle_policy)
    keys = tuple(key for key, _, _ in association.created)
    return replace(
        negotiation,
        state=state,
        working=working,
        offered=working,
        pending_remote=description,
        created=negotiation.created + keys,
    )


def _local_offer(
    offer: SessionDescription, association: Association, before: Session, stable: Session
) -> Session:
    groups = {section.mid: offer.bundle_of(section.mid) or (section.mid,) for section in association.sections}
    described = {
        section.mid: parameters
        for section, media in zip(association.sections, offer.media, strict=True)
        if not section.rejected
        and not media.bundle_only
        and (parameters := read_transport(offer, media)) is not None
    }
    # once bundled, sections repeat what the tagged one says; before, each speaks for itself
    carrying = tuple(mid for mid in described if not stable.bundle_groups or mid == groups[mid][0])
    keys = carried_keys(carrying, groups, before, stable)
    transports = {each.key: each for each in before.transports}
    for mid, key in keys.items():
        old = transports.get(key, Transport(key, mid, ice_controlling=True))
        transports[key] = replace(old, mid=mid, local=described[mid])
    sections = []
    for section, media in zip(association.sections, offer.media, strict=True):
        tag = next((mid for mid in groups[section.mid] if mid in keys), section.mid)
        local = read_media(offer, media, offer.section(tag))
        agreed = stable.section(section.mid)
        sections.append(
            replace(
                section,
                local=local,
                transport=section.transport
                if section.rejected
                else keys.get(section.mid, keys.get(tag or "")),
                receive_codecs=_either(local.codecs, agreed),
            )
        )
    return _session(before, sections, transports.values(), before.bundle_groups, association.next_mid)


def _remote_offer(
    offer: SessionDescription, association: Association, before: Session, intents: Intents
) -> Session:
    sections = []
    checked: set[str | None] = {None}
    for section, media in zip(association.sections, offer.media, strict=True):
        remote = read_media(offer, media, _tagged(offer, media))
        if section.transport not in checked and not section.rejected:
            checked.add(section.transport)
            transport = before.transport(section.transport)
            parameters = shared_parameters(offer, media)
            if transport is not None and parameters is not None:
                verify_transport_change(transport, parameters, is_answer=False, local_restart=False)
        transceiver = intents.transceiver(section.transceiver)
        if transceiver is not None:
            ours, _ = preferred(intents.capabilities, transceiver)
        else:
            ours = intents.capabilities.of(section.kind).receive
        receivable = tuple(answered(match) for match in common(ours, remote.codecs))
        sections.append(
            replace(section, remote=remote, receive_codecs=_either(receivable, before.section(section.mid)))
        )
    return _session(before, sections, before.transports, before.bundle_groups, association.next_mid)


def _with_proposed_transports(
    offer: SessionDescription, session: Session, before: Session, policy: BundlePolicy
) -> Session:
    """With the transports that sections will have if the answer bundles as the offer does."""
    alive = [
        section
        for section, media in zip(session.sections, offer.media, strict=True)
        if not section.rejected and is_supported(media)
    ]
    offered = {section.mid: offer.bundle_of(section.mid) for section in alive}
    refused = unbundled_kinds(policy, [(each.mid, each.kind) for each in alive], offered)
    alive = [section for section in alive if section.mid not in refused]
    mids = {section.mid for section in alive}
    groups: dict[str, tuple[str, ...]] = {}
    for group in offer.bundle_groups:
        members = tuple(mid for mid in group if mid in mids)
        groups.update(dict.fromkeys(members, members))
    keys = transport_keys(alive, groups, before)
    return replace(
        session,
        sections=tuple(
            replace(each, proposed_transport=keys.get(each.mid)) if each.transport is None else each
            for each in session.sections
        ),
    )


def _either(codecs: tuple[Codec, ...], agreed: Section | None) -> tuple[Codec, ...]:
    """`codecs`, and what was agreed before: until the answer both may arrive."""
    if agreed is None:
        return codecs
    numbers = {codec.payload_type for codec in codecs}
    return codecs + tuple(each for each in agreed.receive_codecs if each.payload_type not in numbers)


def shared_parameters(description: SessionDescription, media: MediaDescription) -> TransportParameters | None:
    """What a description says of the transport that `media` is bundled on (or has to itself)."""
    return read_transport(description, _tagged(description, media)) or read_transport(description, media)


def _tagged(description: SessionDescription, media: MediaDescription) -> MediaDescription:
    """The section that carries the transport of the bundle that `media` is in, or itself."""
    members = description.bundle_of(media.mid)
    return (description.section(members[0]) if members else None) or media


def tagged_parameters(description: SessionDescription, media: MediaDescription) -> TransportParameters | None:
    """What a description says of the transport of a section that an answer tags.

    The section's own word comes first: an answer may tag another section than the offer proposed.
    """
    return read_transport(description, media) or shared_parameters(description, media)


# Answers


def _set_answer(
    negotiation: Negotiation, side: Side, description: Description, intents: Intents, state: SignalingState
) -> Negotiation:
    offered = negotiation.offered
    offer = negotiation.pending_local if side is Side.REMOTE else negotiation.pending_remote
    assert offered is not None
    assert offer is not None
    assert offer.parsed is not None
    assert description.parsed is not None
    verify_answer(description.parsed, offer.parsed, offered, side)
    provisional = description.type is SdpType.PRANSWER
    stable = negotiation.stable or Session()
    said = negotiation.working if negotiation.state is SignalingState.HAVE_REMOTE_PRANSWER else None
    exchange = _Exchange(side, offer.parsed, description.parsed, offered, stable, said)
    agreed = exchange.session(intents, keep_unused=provisional)
    if provisional:
        pending = {"pending_local" if side is Side.LOCAL else "pending_remote": description}
        return replace(negotiation, state=state, working=agreed, **pending)  # type: ignore[arg-type]
    local, remote = (description, offer) if side is Side.LOCAL else (offer, description)
    # what trickled in while the offer was pending is part of it
    return Negotiation(state=state, stable=agreed, current_local=local, current_remote=remote)


@dataclass(frozen=True, slots=True)
class _Exchange:
    """An offer and its answer.

    Attributes:
        side: who answers.
        offered: the session as the offer left it.
        stable: the session as the last exchange left it.
        said: the session as the peer's provisional answer left it, if there was one.
    """

    side: Side
    offer: SessionDescription
    answer: SessionDescription
    offered: Session
    stable: Session
    said: Session | None = None

    def session(self, intents: Intents, *, keep_unused: bool) -> Session:
        answered_sections = sections_of_answer(self.answer, self.offered)
        groups = self._groups(answered_sections)
        alive = [
            section
            for section, media in zip(answered_sections, self.answer.media, strict=True)
            if not section.rejected and is_supported(media)
        ]
        keys = transport_keys(alive, groups, self.offered)
        transports: dict[str, Transport] = {}
        for section in alive:
            key = keys[section.mid]
            if key not in transports:
                tag = groups.get(section.mid, (section.mid,))[0]
                transports[key] = self._transport(key, tag)
        sections = agree_on_cryptex(
            [self._section(section, keys.get(section.mid), groups, intents) for section in answered_sections]
        )
        encrypting = {each.transport for each in sections if each.cryptex}
        transports = {key: replace(each, cryptex=key in encrypting) for key, each in transports.items()}
        if keep_unused:
            # a provisional answer frees nothing
            transports.update(
                (each.key, each) for each in self.offered.transports if each.key not in transports
            )
        return _session(
            self.offered,
            sections,
            transports.values(),
            tuple(dict.fromkeys(groups.values())),
            self.offered.next_mid,
        )

    def _groups(self, sections: Iterable[Section]) -> dict[str, tuple[str, ...]]:
        """The members in use of the group that a mid is in."""
        alive = {section.mid for section in sections if not section.rejected}
        result: dict[str, tuple[str, ...]] = {}
        for group in self.answer.bundle_groups:
            members = tuple(mid for mid in group if mid in alive)
            result.update(dict.fromkeys(members, members))
        return result

    def _media(self, description: SessionDescription, mid: str) -> MediaDescription:
        section = self.offered.section(mid)
        assert section is not None
        return description.media[section.index]

    def _section(
        self, section: Section, key: str | None, groups: dict[str, tuple[str, ...]], intents: Intents
    ) -> Section:
        tag = groups.get(section.mid, (section.mid,))[0]
        answering = read_media(
            self.answer, self._media(self.answer, section.mid), self._media(self.answer, tag)
        )
        offering = section.remote if self.side is Side.LOCAL else section.local
        assert offering is not None
        local, remote = (answering, offering) if self.side is Side.LOCAL else (offering, answering)
        if key is None:
            return reject(section, local, remote)
        return agree(replace(section, transport=key), local, remote, intents.capabilities)

    def _transport(self, key: str, tag: str) -> Transport:
        answering = tagged_parameters(self.answer, self._media(self.answer, tag))
        if answering is None:
            raise InvalidAccessError(f"m= section with mid {tag!r} is answered without a transport")
        before = self.offered.transport(key)
        if self.side is Side.LOCAL:
            local: TransportParameters | None = answering
            remote = tagged_parameters(self.offer, self._media(self.offer, tag))
        else:
            local, remote = (None if before is None else before.local), answering
        if local is None or remote is None:
            raise InvalidAccessError(f"m= section with mid {tag!r} was offered without a transport")
        offering = local if self.side is Side.REMOTE else remote
        old = self.stable.transport(key)
        disregarded = None
        if old is not None and self.side is Side.REMOTE and self._is_made_up(old, local, remote, tag):
            assert old.remote is not None
            disregarded = _credentials(remote)
            remote = replace(remote, ice_ufrag=old.remote.ice_ufrag, ice_pwd=old.remote.ice_pwd)
        role = self._dtls_role(offering.setup, answering.setup)
        association = 0
        if old is not None:
            if self.side is Side.REMOTE:
                verify_transport_change(
                    old, remote, is_answer=True, local_restart=_credentials(old.local) != _credentials(local)
                )
            if same_association(old, local, remote):
                # it goes on, and so does its role, whatever is written
                association, role = old.association, old.dtls_role or role
            else:
                association = old.association + 1
        controlling = None if before is None else before.ice_controlling
        if controlling is None:
            controlling = self.side is Side.REMOTE or remote.ice_lite
        peer = 0 if before is None else before.peer
        said = None if self.said is None else self.said.transport(key)
        if said is not None and said.remote is not None:
            peer, association = said.peer, said.association
            goes_on = same_association(said, local, remote)
            if _credentials(said.remote) != _credentials(remote):
                peer += 1
            elif not goes_on:
                raise InvalidAccessError(
                    f"m= section with mid {tag!r} is answered with another certificate or tls-id than in the "
                    "provisional answer, and the same ICE credentials"
                )
            if goes_on:
                role = said.dtls_role or role
            else:
                association += 1
        return Transport(key, tag, local, remote, role, controlling, association, disregarded, peer)

    def _is_made_up(
        self, old: Transport, local: TransportParameters, remote: TransportParameters, tag: str
    ) -> bool:
        """Whether the ICE credentials of a peer's answer mean nothing.

        An answer may not restart ICE on its own. But libwebrtc looks at sections, not transports:
        when the transport moves to another section it makes credentials up for that one, and keeps
        writing them from then on.
        """
        return (
            (tag != old.mid or _credentials(remote) == old.disregarded)
            and old.remote is not None
            and _credentials(old.remote) != _credentials(remote)
            and _credentials(old.local) == _credentials(local)
            and same_association(old, local, remote)
        )

    def _dtls_role(self, offering: SetupRole, answering: SetupRole) -> str:
        """Ours. Who answers "active" is the client (RFC 5763, section 5)."""
        if answering is SetupRole.ACTPASS:
            # nothing was written: what the offer leaves open, "active" where it leaves both
            answering = SetupRole.PASSIVE if offering is SetupRole.ACTIVE else SetupRole.ACTIVE
        answerer_is_client = answering is SetupRole.ACTIVE
        return DtlsRole.CLIENT if answerer_is_client == (self.side is Side.LOCAL) else DtlsRole.SERVER


def _credentials(parameters: TransportParameters | None) -> tuple[str, str] | None:
    return None if parameters is None else (parameters.ice_ufrag, parameters.ice_pwd)


def _session(
    before: Session,
    sections: Iterable[Section],
    transports: Iterable[Transport],
    bundle_groups: tuple[tuple[str, ...], ...],
    next_mid: int,
) -> Session:
    sections = tuple(sections)
    said: list[MediaParameters] = []
    for section in sections:
        # ours last: where the sides number a format differently, our offers go on with our number
        said += [each for each in (section.remote, section.local) if each is not None]
    return Session(
        sections=sections,
        transports=tuple(transports),
        bundle_groups=bundle_groups,
        formats=remember_formats(before.formats, *(each.codecs for each in said)),
        extensions=remember_extensions(before.extensions, *(each.header_extensions for each in said)),
        next_mid=next_mid,
    )
