"""Whether what the application wants differs from what has been agreed.

Spec: webrtc-pc, section 4.7.3 (check if negotiation is needed).
"""

from __future__ import annotations

from rtcstack.jsep.intents import Intents, TransceiverIntent
from rtcstack.jsep.negotiation import Description, Negotiation
from rtcstack.jsep.session import Section
from rtcstack.jsep.states import SdpType
from rtcstack.sdp import Direction, MediaDescription

__all__ = ["negotiation_needed"]


def negotiation_needed(negotiation: Negotiation, intents: Intents, *, ice_restart: bool = False) -> bool:
    """Whether an offer is called for.

    Args:
        negotiation: meant to be in "stable"; the caller asks in no other state.
        intents: what the application wants now.
        ice_restart: local ICE credentials are to be replaced ([[LocalIceCredentialsToReplace]]).
    """
    if ice_restart:
        return True
    session = negotiation.session
    wants_data = intents.data_channel or intents.always_negotiate_data_channels
    if wants_data and session.data_section is None:
        return True
    return any(_differs(negotiation, session.section_of(each.key), each) for each in intents.transceivers)


def _differs(negotiation: Negotiation, section: Section | None, transceiver: TransceiverIntent) -> bool:
    if transceiver.stopped:
        return section is not None and not section.rejected
    if transceiver.stopping or section is None:
        return True
    local = _media(negotiation.current_local, section)
    remote = _media(negotiation.current_remote, section)
    if local is None or remote is None:
        return True
    assert negotiation.current_local is not None
    if transceiver.direction.send and _streams(local) != _wanted_streams(transceiver):
        return True
    if negotiation.current_local.type is SdpType.OFFER:
        return transceiver.direction not in (_direction(local), _direction(remote).reversed)
    return _direction(local) != transceiver.direction & _direction(remote).reversed


def _media(description: Description | None, section: Section) -> MediaDescription | None:
    if description is None or description.parsed is None:
        return None
    sections = description.parsed.media
    return sections[section.index] if section.index < len(sections) else None


def _direction(media: MediaDescription) -> Direction:
    return media.direction


def _streams(media: MediaDescription) -> tuple[str, ...]:
    return tuple(sorted(each.stream_id for each in media.msids))


def _wanted_streams(transceiver: TransceiverIntent) -> tuple[str, ...]:
    return tuple(sorted(stream for stream, _ in transceiver.msids)) or ("-",)
