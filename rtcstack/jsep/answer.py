"""Makes answers.

Spec: RFC 9429, section 5.3; RFC 9143, section 7.3; webrtc-pc, "final steps to create an answer".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from rtcstack.errors import InvalidStateError
from rtcstack.jsep.apply import shared_parameters, tagged_parameters
from rtcstack.jsep.bundle import transport_keys, unbundled_kinds
from rtcstack.jsep.codecs import Match, answered, common, preferred, same_codec
from rtcstack.jsep.intents import Intents, LocalTransport, TransceiverIntent
from rtcstack.jsep.negotiation import Description, Negotiation
from rtcstack.jsep.offer import offered_extensions
from rtcstack.jsep.read import read_transport
from rtcstack.jsep.sections import (
    Destination,
    TransportLines,
    data_section,
    default_destination,
    media_section,
    rejected_section,
    session_level,
)
from rtcstack.jsep.session import (
    Codec,
    DtlsRole,
    HeaderExtension,
    MediaParameters,
    Section,
    Session,
    Transport,
    TransportParameters,
)
from rtcstack.jsep.states import SdpType, SignalingState
from rtcstack.jsep.verify import in_use
from rtcstack.sdp import (
    Direction,
    Group,
    IceOptions,
    MediaDescription,
    SessionDescription,
    SetupRole,
    write_session,
)

__all__ = ["create_answer", "restarted_transports"]


def create_answer(
    negotiation: Negotiation,
    intents: Intents,
    transports: Callable[[str], LocalTransport],
    *,
    session_id: int,
    version: int,
) -> Description:
    """An answer to the pending remote offer. Nothing changes until it is set.

    Args:
        negotiation: in "have-remote-offer" or "have-local-pranswer".
        intents: what the application wants.
        transports: what our end of a transport says, by key. Asked once for each transport that
            the answer describes; a key that names none yet is the mid of a section that needs one.
            Those in `restarted_transports` need new credentials.
        session_id, version: of the o= line.

    Raises:
        InvalidStateError: in any other state.
    """
    if negotiation.state not in (SignalingState.HAVE_REMOTE_OFFER, SignalingState.HAVE_LOCAL_PRANSWER):
        raise InvalidStateError(f"cannot create an answer in signaling state {negotiation.state!s}")
    assert negotiation.offered is not None
    assert negotiation.pending_remote is not None
    assert negotiation.pending_remote.parsed is not None
    answering = _Answering(
        negotiation.pending_remote.parsed, negotiation.offered, negotiation.stable or Session(), intents
    )
    return answering.description(transports, session_id, version)


def restarted_transports(negotiation: Negotiation) -> frozenset[str]:
    """Keys of the transports whose ICE the pending remote offer restarts, and an answer has to.

    Where a provisional answer has done so, the answer stays with what that said.
    """
    description = negotiation.pending_remote
    if negotiation.offered is None or description is None or description.parsed is None:
        return frozenset()
    if negotiation.state not in (SignalingState.HAVE_REMOTE_OFFER, SignalingState.HAVE_LOCAL_PRANSWER):
        return frozenset()
    restarted = set()
    for section, media in zip(negotiation.offered.sections, description.parsed.media, strict=True):
        transport = negotiation.offered.transport(section.transport)
        if transport is None or transport.remote is None or section.rejected:
            continue
        answered = None if negotiation.working is None else negotiation.working.transport(transport.key)
        if answered is not None and answered.local != transport.local:
            continue
        now = shared_parameters(description.parsed, media)
        if now is not None and (now.ice_ufrag, now.ice_pwd) != (
            transport.remote.ice_ufrag,
            transport.remote.ice_pwd,
        ):
            restarted.add(transport.key)
    return frozenset(restarted)


@dataclass(frozen=True, slots=True)
class _Answering:
    """An offer on its way to an answer."""

    offer: SessionDescription
    offered: Session
    stable: Session
    intents: Intents

    def description(
        self, transports: Callable[[str], LocalTransport], session_id: int, version: int
    ) -> Description:
        matches = {section.mid: self._matches(section) for section in self.offered.sections}
        groups, accepted = self._accept(matches)
        alive = [section for section in self.offered.sections if section.mid in accepted]
        keys = transport_keys(alive, groups, self.offered)
        local = {key: transports(key) for key in dict.fromkeys(keys.values())}
        lines_by_key = {
            key: self._transport_lines(key, groups.get(mid, (mid,))[0], local[key])
            for mid, key in keys.items()
        }
        any_lines = next(iter(lines_by_key.values()), None)
        encrypting = self._encrypting(accepted, groups)
        media = []
        for section, offered in zip(self.offered.sections, self.offer.media, strict=True):
            if section.mid not in accepted:
                rejected = rejected_section(
                    offered.kind, offered.protocol, offered.formats, offered.mid, any_lines
                )
                media.append(rejected)
                continue
            transport = local[keys[section.mid]]
            tag = groups.get(section.mid, (section.mid,))[0]
            transport_lines = replace(lines_by_key[keys[section.mid]], tagged=tag == section.mid)
            destination = default_destination(transport.candidates)
            if section.kind == "application":
                media.append(self._data(offered, transport_lines, destination))
            else:
                media.append(
                    self._media(
                        section,
                        offered,
                        transport_lines,
                        destination,
                        matches[section.mid] or [],
                        cryptex=section.mid in encrypting,
                    )
                )
        written = [Group("BUNDLE", members) for members in dict.fromkeys(groups.values())]
        written += self._lip_sync(accepted)
        parsed = session_level(
            session_id, version, media, written, self._ice_options(), ice_lite=self.intents.ice_lite
        )
        return Description(
            SdpType.ANSWER,
            write_session(parsed),
            parsed,
            tuple(section.transceiver for section in self.offered.sections),
        )

    # what is accepted

    def _matches(self, section: Section) -> list[Match] | None:
        """The formats to accept, in order; None to reject the section, whatever the bundles are."""
        media = self.offer.media[section.index]
        if section.rejected or not in_use(media):
            return None
        if section.kind == "application":
            first = next(
                each
                for each, other in zip(self.offered.sections, self.offer.media, strict=True)
                if each.kind == "application" and in_use(other)
            )
            return [] if first is section and section.remote is not None else None
        transceiver = self.intents.transceiver(section.transceiver)
        if transceiver is None or transceiver.stopped:
            return None
        assert section.remote is not None
        ours, ordered = preferred(self.intents.capabilities, transceiver)
        matches = common(ours, section.remote.codecs)
        if ordered:
            matches = _in_our_order(matches, ours)
        # repair formats and tones alone carry no media
        return matches if any(not each.ours.is_resiliency for each in matches) else None

    def _accept(
        self, matches: dict[str, list[Match] | None]
    ) -> tuple[dict[str, tuple[str, ...]], frozenset[str]]:
        """The groups of the answer, by member, and the mids that it does not reject.

        The tagged section must be one that the offer gives a transport (RFC 9143, section 7.3.1).
        Where the offerer's choice is rejected the next such member takes its place; without any,
        the whole group goes.
        """
        offered_groups = {section.mid: self.offer.bundle_of(section.mid) for section in self.offered.sections}
        refused = unbundled_kinds(
            self.intents.bundle_policy,
            [
                (section.mid, section.kind)
                for section, media in zip(self.offered.sections, self.offer.media, strict=True)
                if not section.rejected and in_use(media)
            ],
            offered_groups,
        )
        accepted = {mid for mid, found in matches.items() if found is not None and mid not in refused}
        groups: dict[str, tuple[str, ...]] = {}
        for members in dict.fromkeys(filter(None, offered_groups.values())):
            kept = [mid for mid in members if mid in accepted]
            tag = next((mid for mid in kept if self._can_be_tagged(mid)), None)
            if tag is None:
                accepted.difference_update(kept)
                continue
            ordered = (tag, *(mid for mid in kept if mid != tag))
            groups.update(dict.fromkeys(ordered, ordered))
        return groups, frozenset(accepted)

    def _can_be_tagged(self, mid: str) -> bool:
        section = self.offered.section(mid)
        assert section is not None
        media = self.offer.media[section.index]
        if not media.port:
            return False
        # a member of a bundle that exists already is described by whichever section carries it now
        continues = section.transport is not None
        return continues or read_transport(self.offer, media) is not None or self._shares(mid)

    def _shares(self, mid: str) -> bool:
        """Whether the section leaves its transport to the tagged one of an existing bundle."""
        known = (self.offered.section(each) for each in self.offer.bundle_of(mid))
        return any(each is not None and each.transport is not None for each in known)

    def _encrypting(self, accepted: frozenset[str], groups: dict[str, tuple[str, ...]]) -> frozenset[str]:
        """The mids of the sections whose header extensions are encrypted: of a bundle, all or none."""
        willing = {
            section.mid
            for section in self.offered.sections
            if not section.is_media or (section.remote is not None and section.remote.cryptex)
        }
        return frozenset(mid for mid in accepted if willing.issuperset(groups.get(mid, (mid,))))

    # what is written

    def _transport_lines(self, key: str, tag: str, transport: LocalTransport) -> TransportLines:
        section = self.offered.section(tag)
        assert section is not None
        media = self.offer.media[section.index]
        remote = tagged_parameters(self.offer, media)
        assert remote is not None
        known = self.stable.transport(key)
        return TransportLines(
            transport, _setup(remote, transport, known), tls_id=remote.tls_id is not None, tagged=False
        )

    def _data(
        self, offered: MediaDescription, transport_lines: TransportLines, destination: Destination
    ) -> MediaDescription:
        return data_section(
            protocol=offered.protocol,
            formats=offered.formats,
            mid=offered.mid,
            destination=destination,
            port=self.intents.sctp_port,
            max_message_size=self.intents.max_message_size,
            sctp_init=self.intents.sctp_init,
            transport_lines=transport_lines,
            old_style="webrtc-datachannel" not in offered.formats,
        )

    def _media(
        self,
        section: Section,
        offered: MediaDescription,
        transport_lines: TransportLines,
        destination: Destination,
        matches: Sequence[Match],
        *,
        cryptex: bool,
    ) -> MediaDescription:
        transceiver = self.intents.transceiver(section.transceiver)
        remote = section.remote
        assert transceiver is not None
        assert remote is not None
        direction = transceiver.direction & remote.direction.reversed
        send_rids, receive_rids = self._rids(transceiver, remote, direction)
        return media_section(
            kind=section.kind,
            protocol=offered.protocol,
            mid=offered.mid,
            direction=direction,
            destination=destination,
            codecs=_answered_codecs(matches),
            extensions=tuple(self._extensions(transceiver, remote)),
            transceiver=transceiver,
            transport_lines=transport_lines,
            rtcp_mux=remote.rtcp_mux,
            rtcp_rsize=remote.rtcp_rsize,
            cryptex=cryptex,
            send_rids=send_rids,
            receive_rids=receive_rids,
            simulcast=remote.simulcast and bool(send_rids or receive_rids),
            before=section.local,
        )

    def _extensions(
        self, transceiver: TransceiverIntent, remote: MediaParameters
    ) -> Iterator[HeaderExtension]:
        ours = {each.uri: each for each in offered_extensions(transceiver, self.intents, answers=True)}
        for each in remote.header_extensions:
            # numbers above 255 cannot be sent; they are for offers of more than can be numbered
            known = ours.pop(each.uri, None) if each.id <= 255 else None
            direction = Direction.INACTIVE if known is None else known.direction & each.direction.reversed
            if direction is not Direction.INACTIVE:
                yield HeaderExtension(each.uri, each.id, direction)

    def _rids(
        self, transceiver: TransceiverIntent, remote: MediaParameters, direction: Direction
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        configured = {each.rid for each in transceiver.send_encodings}
        send = tuple(rid for rid in remote.receive_rids if rid in configured) if direction.send else ()
        receive: tuple[str, ...] = ()
        if self.intents.capabilities.receive_simulcast and direction.recv and transceiver.kind == "video":
            receive = remote.send_rids[: self.intents.capabilities.max_simulcast_streams]
        return send, receive

    def _ice_options(self) -> tuple[str, ...]:
        session = self.offer.get(IceOptions)
        offered = set(() if session is None else session.tags)
        offered.update(tag for media in self.offer.media for tag in media.ice_options)
        return tuple(each for each in self.intents.ice_options if each in offered)

    def _lip_sync(self, accepted: frozenset[str]) -> Iterator[Group]:
        """Offered LS groups, kept for the transceivers that agree with being grouped."""
        for group in self.offer.groups:
            if group.semantics != "LS":
                continue
            members: list[tuple[str, frozenset[str]]] = []
            for mid in group.mids:
                section = self.offered.section(mid)
                transceiver = None if section is None else self.intents.transceiver(section.transceiver)
                if mid in accepted and transceiver is not None:
                    streams = frozenset(stream for stream, _ in transceiver.msids if stream != "-")
                    members.append((mid, streams))
            known = [streams for _, streams in members if streams]
            shared = frozenset.intersection(*known) if known else frozenset()
            kept = [mid for mid, streams in members if not streams or streams & shared]
            if len(kept) > 1:
                yield Group("LS", tuple(kept))


def _setup(remote: TransportParameters, local: LocalTransport, known: Transport | None) -> SetupRole:
    """Our DTLS role: kept while the association goes on, else active unless the offer rules it out."""
    if (
        known is not None
        and known.local is not None
        and known.remote is not None
        and set(known.remote.fingerprints) == set(remote.fingerprints)
        and set(known.local.fingerprints) == set(local.fingerprints)
        and known.remote.tls_id == remote.tls_id
    ):
        return SetupRole.ACTIVE if known.dtls_role == DtlsRole.CLIENT else SetupRole.PASSIVE
    return SetupRole.PASSIVE if remote.setup is SetupRole.ACTIVE else SetupRole.ACTIVE


def _in_our_order(matches: Sequence[Match], ours: Sequence[Codec]) -> list[Match]:
    places = {codec.payload_type: place for place, codec in enumerate(ours)}
    return sorted(matches, key=lambda match: places[match.ours.payload_type])


def _answered_codecs(matches: Sequence[Match]) -> tuple[Codec, ...]:
    """Each format once, under the first number that the offer gives it."""
    result: list[Codec] = []
    for match in matches:
        codec = answered(match)
        if codec.name == "rtx":
            duplicate = all(each.payload_type != codec.apt for each in result)
        else:
            duplicate = any(same_codec(each, codec) for each in result)
        if not duplicate:
            result.append(codec)
    return tuple(result)
