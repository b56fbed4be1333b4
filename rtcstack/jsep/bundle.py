"""Which section shares whose transport.

Spec: RFC 9143 (BUNDLE), sections 7 and 9; RFC 9429, sections 5.2 and 5.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rtcstack.jsep.intents import BundlePolicy
from rtcstack.jsep.session import Section, Session

__all__ = ["bundle_only_mids", "carried_keys", "transport_keys", "unbundled_kinds"]


def bundle_only_mids(policy: BundlePolicy, sections: Sequence[tuple[str, str]]) -> frozenset[str]:
    """The mids that an initial offer marks bundle-only.

    Args:
        policy: see `BundlePolicy`.
        sections: (mid, kind) of the sections in use; the tagged one first.
    """
    if policy == BundlePolicy.MAX_COMPAT:
        return frozenset()
    if policy == BundlePolicy.MAX_BUNDLE:
        return frozenset(mid for mid, _ in sections[1:])
    seen: set[str] = set()
    repeated = []
    for mid, kind in sections:
        if kind in seen:
            repeated.append(mid)
        seen.add(kind)
    return frozenset(repeated)


def unbundled_kinds(
    policy: BundlePolicy, sections: Iterable[tuple[str, str]], groups: Mapping[str, tuple[str, ...]]
) -> frozenset[str]:
    """The mids that an answer must reject because the offer does not bundle them.

    Args:
        policy: see `BundlePolicy`.
        sections: (mid, kind) of all sections of the offer, in order.
        groups: the members of the group that a mid is in.
    """
    if policy == BundlePolicy.MAX_COMPAT:
        return frozenset()
    first: dict[str, str] = {}
    refused = []
    for mid, kind in sections:
        scope = kind if policy == BundlePolicy.BALANCED else ""
        leader = first.setdefault(scope, mid)
        if mid != leader and leader not in groups.get(mid, ()):
            refused.append(mid)
    return frozenset(refused)


def carried_keys(
    carrying: Sequence[str], groups: Mapping[str, tuple[str, ...]], before: Session, stable: Session
) -> dict[str, str]:
    """The key of the transport that each section of our offer describes.

    Args:
        carrying: mids of the sections that describe one, in order.
        groups: the members of the group that a mid is in.
        before: the session that the offer starts from.
        stable: the session that was agreed last. What an offer has put on one of its transports, and the
            peer has not answered, has no claim to it: the peer knows of none.
    """
    agreed = {each.key for each in stable.transports}

    def claim(mid: str) -> str | None:
        section = before.section(mid)
        key = None if section is None else section.transport
        if key in agreed:
            known = stable.section(mid)
            return key if known is not None and known.transport == key else None
        return key

    all_carrying = frozenset(carrying)
    keys: dict[str, str] = {}
    for mid in carrying:
        taken = set(keys.values())
        others = (other for other in groups.get(mid, ()) if other not in all_carrying)
        inherited = (key for each in (mid, *others) if (key := claim(each)) is not None)
        key = next((each for each in inherited if each not in taken), None)
        if key is None:
            taken.update(each.key for each in before.transports)
            key = _unused(mid, taken)
        keys[mid] = key
    return keys


def transport_keys(
    sections: Iterable[Section], groups: Mapping[str, tuple[str, ...]], before: Session
) -> dict[str, str]:
    """The key of the transport of each section that is in use, once an answer has grouped them.

    A bundle keeps the transport of its tagged section, else of any member that has one, else the one that
    the offer put a new member on; a new one is named by the mid of its tagged section. Transports outlive
    the section they were made for, so a section that leaves, or is rejected, cannot take along the one that
    others use.

    Args:
        sections: the ones in use.
        groups: the members of the answer's group that a mid is in, the tagged one first.
        before: the session as the offer left it.
    """
    keys: dict[str, str] = {}
    sections = tuple(sections)
    # of what the offer keeps and the answer refuses; what the offer itself ends takes its transport along
    free = {each.transport for each in before.sections if not each.rejected}
    free -= {each.transport for each in sections}
    for section in sections:
        members = groups.get(section.mid, (section.mid,))
        tag = members[0]
        if tag not in keys:
            known = [each for mid in members if (each := before.section(mid)) is not None]
            inherited = [each.transport for each in known if each.transport is not None]
            inherited += [p for each in known if (p := each.proposed_transport) in free and p is not None]
            taken = set(keys.values())
            key = next((each for each in inherited if each not in taken), None)
            taken.update(each.key for each in before.transports)
            keys[tag] = _unused(tag, taken) if key is None else key
        keys[section.mid] = keys[tag]
    return keys


def _unused(key: str, taken: set[str]) -> str:
    while key in taken:
        key += "'"
    return key
