"""Makes offers.

Spec: RFC 9429, section 5.2; webrtc-pc, "final steps to create an offer".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rtcstack.errors import InvalidStateError
from rtcstack.jsep.associate import free_mid, is_recyclable
from rtcstack.jsep.bundle import bundle_only_mids, carried_keys
from rtcstack.jsep.codecs import common, preferred
from rtcstack.jsep.intents import Intents, LocalTransport, TransceiverIntent
from rtcstack.jsep.negotiation import Description, Negotiation
from rtcstack.jsep.numbers import ExtensionNumbers, PayloadTypes, with_layers
from rtcstack.jsep.sections import (
    TransportLines,
    data_section,
    default_destination,
    media_section,
    rejected_section,
    session_level,
)
from rtcstack.jsep.session import Codec, HeaderExtension, Section, Session
from rtcstack.jsep.states import SdpType, SignalingState
from rtcstack.sdp import Direction, Group, MediaDescription, SetupRole, write_session

__all__ = ["create_offer", "lip_sync_groups", "offered_extensions"]

_RTP_PROTOCOL = "UDP/TLS/RTP/SAVPF"
_SCTP_PROTOCOL = "UDP/DTLS/SCTP"
_DATA_FORMATS = ("webrtc-datachannel",)


@dataclass(frozen=True, slots=True)
class _Slot:
    """A section of the offer to be.

    Attributes:
        old: the section as it was, if it was there before under this mid.
        transceiver: None for data, and for what is rejected.
        alive: False for port zero.
    """

    mid: str
    kind: str
    old: Section | None
    transceiver: TransceiverIntent | None
    alive: bool


def create_offer(
    negotiation: Negotiation,
    intents: Intents,
    transports: Callable[[str], LocalTransport],
    *,
    session_id: int,
    version: int,
) -> Description:
    """An offer of everything that `intents` ask for. Nothing changes until it is set.

    Args:
        negotiation: in "stable" or "have-local-offer".
        intents: what the application wants.
        transports: what our end of a transport says, by key. Asked once for each transport that
            the offer describes; a key that names none yet is the mid of a section that needs one.
            New credentials for an existing one restart ICE.
        session_id: of the o= line, 0 to 2**63 - 2; the same for the life of the connection.
        version: of the o= line; greater with each description that differs.

    Raises:
        InvalidStateError: in any other state.
    """
    if negotiation.state not in (SignalingState.STABLE, SignalingState.HAVE_LOCAL_OFFER):
        raise InvalidStateError(f"cannot create an offer in signaling state {negotiation.state!s}")
    before = negotiation.session
    stable = negotiation.stable or Session()
    slots = _slots(before, stable, intents)
    latest = None if negotiation.local_description is None else negotiation.local_description.parsed
    we_offered = negotiation.current_local is not None and negotiation.current_local.type is SdpType.OFFER
    plan = _Plan(slots, before, stable, intents)
    agreed = {c.payload_type for each in before.sections for c in (*each.send_codecs, *each.receive_codecs)}
    payload_types = PayloadTypes(before.formats, agreed)
    numbers = ExtensionNumbers(before.extensions, allow_two_byte=True)
    keys = plan.transport_keys()
    local = {key: transports(key) for key in keys.values()}
    media: list[MediaDescription] = []
    for slot in slots:
        if not slot.alive:
            # what is dead was alive, or refused, in a description of ours
            assert latest is not None
            media.append(_rejected(slot, latest.media[len(media)], next(iter(local.values()), None)))
            continue
        tag = plan.tag_of(slot.mid)
        transport_lines = plan.transport_lines(slot, local[keys[tag]], tagged=tag == slot.mid)
        destination = default_destination(transport_lines.transport.candidates)
        if slot.transceiver is None:
            media.append(
                data_section(
                    protocol=_SCTP_PROTOCOL,
                    formats=_DATA_FORMATS,
                    mid=slot.mid,
                    destination=destination,
                    port=intents.sctp_port,
                    max_message_size=intents.max_message_size,
                    sctp_init=intents.sctp_init,
                    transport_lines=transport_lines,
                    bundle_only=slot.mid in plan.bundle_only,
                )
            )
            continue
        rids = [each.rid for each in slot.transceiver.send_encodings if each.rid is not None]
        send_rids = rids if slot.transceiver.direction.send and len(rids) > 1 else []
        media.append(
            media_section(
                kind=slot.kind,
                protocol=_RTP_PROTOCOL,
                mid=slot.mid,
                direction=slot.transceiver.direction,
                destination=destination,
                codecs=payload_types.assign(
                    _codecs(slot, intents, stable.section(slot.mid), we_offered=we_offered),
                    _numbered_before(slot),
                ),
                extensions=numbers.assign(
                    offered_extensions(slot.transceiver, intents),
                    slot.kind,
                    layered=bool(send_rids) or slot.transceiver.layered,
                ),
                transceiver=slot.transceiver,
                transport_lines=transport_lines,
                bundle_only=slot.mid in plan.bundle_only,
                rtcp_rsize=plan.is_new(slot) or (slot.old is not None and slot.old.rtcp_rsize),
                send_rids=send_rids,
                simulcast=bool(send_rids),
                before=None if slot.old is None else slot.old.local,
            )
        )
    groups = [Group("BUNDLE", mids) for mids in plan.groups]
    groups += lip_sync_groups([(slot.mid, slot.transceiver) for slot in slots if slot.alive])
    parsed = session_level(session_id, version, media, groups, intents.ice_options, ice_lite=intents.ice_lite)
    return Description(
        SdpType.OFFER,
        write_session(parsed),
        parsed,
        tuple(
            slot.transceiver.key if slot.transceiver else slot.old.transceiver if slot.old else None
            for slot in slots
        ),
    )


def _slots(before: Session, stable: Session, intents: Intents) -> list[_Slot]:
    """The sections: old ones keep their place, new ones recycle dead ones or go to the end.

    Dead is what was rejected in a description that counts: an offer that is pending may be taken back, here
    or there, before it has been answered (RFC 9429, section 5.2.2).
    """
    slots: list[_Slot] = []
    waiting = [
        each
        for each in intents.transceivers
        if not each.stopped and not each.stopping and before.section_of(each.key) is None
    ]
    wants_data = intents.data_channel or intents.always_negotiate_data_channels
    taken: set[str | None] = {each.mid for each in before.sections}
    next_mid = before.next_mid
    new: list[tuple[str, TransceiverIntent | None]] = [(each.kind, each) for each in waiting]
    if wants_data and before.data_section is None:
        if intents.always_negotiate_data_channels:
            new.insert(0, ("application", None))
        else:
            new.append(("application", None))
    for section in before.sections:
        transceiver = intents.transceiver(section.transceiver)
        gone = transceiver is None or transceiver.stopped or transceiver.stopping
        alive = not gone if section.is_media else section.kind == "application" and not section.rejected
        slots.append(_Slot(section.mid, section.kind, section, transceiver if alive else None, alive))
    dead = [index for index, slot in enumerate(slots) if not slot.alive]
    first_alive = next((index for index, slot in enumerate(slots) if slot.alive), len(slots))
    # a new section in front of the others becomes the tagged one, so those places are taken last
    dead.sort(key=lambda index: index < first_alive)
    free = [
        index
        for index in dead
        if is_recyclable(before.sections[index], intents)
        and (agreed := stable.section(before.sections[index].mid)) is not None
        and agreed.rejected
    ]
    for kind, wanted in new:
        mid, next_mid = free_mid(next_mid, taken)
        slot = _Slot(mid, kind, None, wanted, alive=True)
        if free:
            slots[free.pop(0)] = slot
        else:
            slots.append(slot)
    return slots


class _Plan:
    """Which section carries which transport, and what is bundled.

    Once bundling is agreed it stays: members repeat what the tagged section says for them, and
    new sections join. Before that the policy decides which sections describe a transport of their
    own, for the case that the peer does not bundle.
    """

    __slots__ = ("_before", "_carrying", "_group_of", "_stable", "bundle_only", "groups")

    def __init__(self, slots: Sequence[_Slot], before: Session, stable: Session, intents: Intents) -> None:
        self._before = before
        self._stable = stable
        alive = [slot for slot in slots if slot.alive]
        agreed = {mid for group in stable.bundle_groups for mid in group}
        new = [slot for slot in alive if self.is_new(slot)]
        if agreed:
            groups = [[slot for slot in alive if slot.mid in group] for group in stable.bundle_groups]
            members = {slot.mid for slot in (*groups[0], *new)}
            groups[0] = [slot for slot in alive if slot.mid in members]
        else:
            # where the peer did not bundle what there was, it may still bundle what is new
            groups = [new]
        # webrtc-pc would tag the section of the first transceiver. That is the first section too,
        # unless one was recycled in front of it; then libwebrtc, whose answers tag in the order of
        # the m= lines whatever was offered, could not answer
        self.groups = tuple(tuple(slot.mid for slot in group) for group in groups if group)
        self._group_of = {mid: group for group in self.groups for mid in group}
        self.bundle_only: frozenset[str] = frozenset()
        if agreed:
            carried = {group[0] for group in self.groups}
        else:
            self.bundle_only = bundle_only_mids(
                intents.bundle_policy, [(slot.mid, slot.kind) for slot in new]
            )
            carried = self._group_of.keys() - self.bundle_only
        self._carrying = tuple(
            slot.mid for slot in alive if slot.mid in carried or slot.mid not in self._group_of
        )

    def is_new(self, slot: _Slot) -> bool:
        """Whether the section has not been through an answer yet (or was rejected by the last)."""
        agreed = self._stable.section(slot.mid)
        return agreed is None or agreed.rejected

    def tag_of(self, mid: str) -> str:
        """The section whose transport this one uses, if all goes as offered."""
        if mid in self._group_of and (self._stable.bundle_groups or mid in self.bundle_only):
            return self._group_of[mid][0]
        return mid

    def transport_keys(self) -> dict[str, str]:
        """The key of the transport that each carrying section describes."""
        return carried_keys(self._carrying, self._group_of, self._before, self._stable)

    def transport_lines(self, slot: _Slot, transport: LocalTransport, *, tagged: bool) -> TransportLines:
        initial = (
            tagged and slot.transceiver is not None and self.is_new(slot) and not self._stable.bundle_groups
        )
        return TransportLines(
            transport, SetupRole.ACTPASS, tagged=tagged, rtcp_mux_only=initial, rtcp_address=initial
        )


def _rejected(slot: _Slot, before: MediaDescription, transport: LocalTransport | None) -> MediaDescription:
    """A dead section, with the formats that we last wrote there."""
    assert slot.old is not None
    transport_lines = (
        None if transport is None else TransportLines(transport, SetupRole.ACTPASS, tagged=False)
    )
    protocol = _RTP_PROTOCOL if slot.old.is_media else before.protocol
    codecs = () if slot.old.local is None else slot.old.local.codecs
    return rejected_section(slot.kind, protocol, before.formats, slot.mid, transport_lines, codecs)


def _codecs(slot: _Slot, intents: Intents, agreed: Section | None, *, we_offered: bool) -> tuple[Codec, ...]:
    """Our codecs for the section: in the application's order, else as last answered, then the rest."""
    assert slot.transceiver is not None
    codecs, ordered = preferred(intents.capabilities, slot.transceiver)
    answer = None if agreed is None else agreed.remote if we_offered else agreed.local
    if ordered or answer is None:
        return codecs
    first = dict.fromkeys(match.ours for match in common(codecs, answer.codecs))
    return (*first, *(codec for codec in codecs if codec not in first))


def _numbered_before(slot: _Slot) -> tuple[Codec, ...]:
    if slot.old is None:
        return ()
    return tuple(
        codec for each in (slot.old.local, slot.old.remote) if each is not None for codec in each.codecs
    )


def offered_extensions(
    transceiver: TransceiverIntent, intents: Intents, *, answers: bool = False
) -> tuple[HeaderExtension, ...]:
    """The header extensions that a transceiver offers; or accepts, in an answer."""
    wanted = transceiver.header_extensions
    if wanted is None:
        wanted = intents.capabilities.of(transceiver.kind).header_extensions
        if transceiver.layered or answers:
            wanted = with_layers(wanted)
    return tuple(each for each in wanted if each.direction is not Direction.INACTIVE)


def lip_sync_groups(sections: Sequence[tuple[str, TransceiverIntent | None]]) -> Iterator[Group]:
    """An LS group for each stream that several transceivers send in (RFC 5888, section 7)."""
    streams: dict[str, list[str]] = {}
    for mid, transceiver in sections:
        if transceiver is not None and transceiver.direction.send:
            for stream in dict.fromkeys(stream for stream, _ in transceiver.msids if stream != "-"):
                streams.setdefault(stream, []).append(mid)
    groups = dict.fromkeys(tuple(mids) for mids in streams.values() if len(mids) > 1)
    return (Group("LS", mids) for mids in groups)
