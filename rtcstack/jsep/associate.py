"""Which transceiver belongs to which section.

Spec: RFC 9429, sections 5.9 (local) and 5.10 (remote); webrtc-pc, section 5.4.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from rtcstack.jsep.intents import Intents, TransceiverIntent
from rtcstack.jsep.negotiation import Description
from rtcstack.jsep.session import Section, Session
from rtcstack.sdp import SessionDescription

__all__ = [
    "Association",
    "associate_local_offer",
    "associate_remote_offer",
    "is_recyclable",
    "sections_of_answer",
]

MAX_NUMBERED_MID = 1_000_000
"""Mids beyond this are not counted on from, whatever a peer writes."""


@dataclass(frozen=True, slots=True)
class Association:
    """The sections of an offer, with what is still true of them from before.

    Attributes:
        sections: local, remote and agreed values as they were; the rest is up to date.
        created: (key, mid, kind) of the transceivers that the offer asks for.
        next_mid: see `Session.next_mid`.
    """

    sections: tuple[Section, ...]
    created: tuple[tuple[int, str, str], ...] = ()
    next_mid: int = 0


def is_recyclable(section: Section, intents: Intents) -> bool:
    """Whether a new section may take this one's place: it is rejected and nobody stands behind it."""
    if not section.rejected:
        return False
    transceiver = intents.transceiver(section.transceiver)
    return transceiver is None or transceiver.stopped


def associate_local_offer(description: Description, before: Session, intents: Intents) -> Association:
    """Sections of an offer that we made.

    The mapping that `create_offer` noted decides. For text that came without it, the transceivers
    that have no section yet are taken in order, as `create_offer` would.
    """
    assert description.parsed is not None
    noted = description.transceivers
    sections: list[Section] = []
    waiting = [
        each
        for each in intents.transceivers
        if not each.stopped and not each.stopping and before.section_of(each.key) is None
    ]
    for index, media in enumerate(description.parsed.media):
        mid = media.mid
        assert mid is not None, "our offers have mids"
        old = _at(before, index)
        rejected = media.is_rejected
        if old is not None and old.mid == mid:
            sections.append(replace(old, rejected=rejected, protocol=media.protocol, kind=media.kind))
            continue
        key = noted[index] if noted is not None and index < len(noted) else _take(waiting, media.kind)
        sections.append(Section(index, mid, media.kind, media.protocol, key, rejected))
    return Association(tuple(sections), (), _next_mid(before.next_mid, sections))


def associate_remote_offer(description: Description, before: Session, intents: Intents) -> Association:
    """Sections of an offer that the peer made, with the transceivers that it calls for.

    A section that is new, or recycled, takes the first transceiver of its kind that addTrack made
    and that has no section, if the peer is ready to receive; otherwise a transceiver is created. One that
    fits any offer is taken in any case.
    """
    assert description.parsed is not None
    media_sections = description.parsed.media
    kept = {each.transceiver for each in before.sections if each.transceiver is not None}
    candidates = [
        each
        for each in intents.transceivers
        if (each.created_by_add_track or each.fits_any_offer) and not (each.stopped or each.stopping)
    ]
    taken = {media.mid for media in media_sections} | {each.mid for each in before.sections}
    sections: list[Section] = []
    created: list[tuple[int, str, str]] = []
    next_mid, next_key = before.next_mid, intents.next_transceiver
    for index, media in enumerate(media_sections):
        old = _at(before, index)
        mid = media.mid
        if mid is None:
            # a peer that does not know mids; its sections are told apart by their place
            if old is not None and not is_recyclable(old, intents):
                mid = old.mid
            else:
                mid, next_mid = free_mid(next_mid, taken)
        rejected = media.is_rejected
        same = old is not None and old.mid == mid and not (old.rejected and is_recyclable(old, intents))
        if old is not None and (same or (old.mid == mid and rejected)):
            sections.append(replace(old, rejected=rejected, protocol=media.protocol, kind=media.kind))
            continue
        if old is not None and old.transceiver is not None:
            # whose section is recycled is free from now on: the next may be its own
            kept.discard(old.transceiver)
        key: int | None = None
        if media.kind in ("audio", "video") and not rejected:
            waiting = [each for each in candidates if each.key not in kept]
            key = _take(waiting, media.kind, receives=media.direction.recv)
            if key is not None:
                kept.add(key)
            else:
                key, next_key = next_key, next_key + 1
                created.append((key, mid, media.kind))
        sections.append(Section(index, mid, media.kind, media.protocol, key, rejected))
    return Association(tuple(sections), tuple(created), _next_mid(next_mid, sections))


def sections_of_answer(answer: SessionDescription, offered: Session) -> tuple[Section, ...]:
    """Sections of an answer: those of the offer, with what the answer rejects."""
    return tuple(
        replace(section, rejected=section.rejected or not media.port)
        for section, media in zip(offered.sections, answer.media, strict=True)
    )


def free_mid(start: int, taken: set[str | None]) -> tuple[str, int]:
    """The first number from `start` that is not taken, as a mid, and the number behind it."""
    while str(start) in taken:
        start += 1
    taken.add(str(start))
    return str(start), start + 1


def _at(session: Session, index: int) -> Section | None:
    return session.sections[index] if index < len(session.sections) else None


def _take(waiting: list[TransceiverIntent], kind: str, *, receives: bool = True) -> int | None:
    found = next((each for each in waiting if each.kind == kind and (receives or each.fits_any_offer)), None)
    if found is None:
        return None
    waiting.remove(found)
    return found.key


def _next_mid(start: int, sections: Iterable[Section]) -> int:
    """One more than the highest number among the mids, so that no mid is used twice."""
    numbers = [
        int(each.mid) for each in sections if each.mid.isascii() and each.mid.isdigit() and len(each.mid) < 7
    ]
    return max((start, *(number + 1 for number in numbers if number < MAX_NUMBERED_MID)))
