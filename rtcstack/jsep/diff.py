"""What the runtime must do to get from one session to another."""

from __future__ import annotations

from collections.abc import Iterator

from rtcstack.jsep.effects import Effect, SectionChanged, TransportAdded, TransportChanged, TransportRemoved
from rtcstack.jsep.session import Section, Session, Transport, TransportParameters

__all__ = ["diff", "same_association"]


def diff(old: Session | None, new: Session | None) -> tuple[Effect, ...]:
    """The effects that lead from `old` to `new`, in order.

    Transports come before the sections that use them and go after. A rollback is the same
    difference taken the other way.
    """
    before, after = old or Session(), new or Session()
    if before == after:
        return ()
    return (
        *_transports(before, after),
        *_sections(before, after),
        *(TransportRemoved(each) for each in before.transports if after.transport(each.key) is None),
    )


def _transports(before: Session, after: Session) -> Iterator[Effect]:
    for each in after.transports:
        known = before.transport(each.key)
        if known is None:
            yield TransportAdded(each)
        elif known != each:
            yield _changed(known, each)


def _changed(old: Transport, new: Transport) -> TransportChanged:
    return TransportChanged(
        old,
        new,
        local_restart=_restarted(old.local, new.local),
        remote_restart=_restarted(old.remote, new.remote),
        new_dtls=old.association != new.association,
    )


def same_association(
    old: Transport, local: TransportParameters | None, remote: TransportParameters | None
) -> bool:
    """Whether the DTLS association of a transport goes on under these parameters.

    It ends when either side's certificates or tls-id change (RFC 8842, section 3.1).
    """
    return _association(old.local) == _association(local) and _association(old.remote) == _association(remote)


def _association(parameters: TransportParameters | None) -> object:
    return None if parameters is None else (frozenset(parameters.fingerprints), parameters.tls_id)


def _restarted(old: TransportParameters | None, new: TransportParameters | None) -> bool:
    return (
        old is not None and new is not None and (old.ice_ufrag, old.ice_pwd) != (new.ice_ufrag, new.ice_pwd)
    )


def _sections(before: Session, after: Session) -> Iterator[Effect]:
    for index in range(max(len(before.sections), len(after.sections))):
        old, new = _at(before, index), _at(after, index)
        if old == new:
            continue
        if old is not None and new is not None and not _is_same(old, new):
            yield SectionChanged(old, None)
            old = None
        yield SectionChanged(old, new)


def _at(session: Session, index: int) -> Section | None:
    return session.sections[index] if index < len(session.sections) else None


def _is_same(old: Section, new: Section) -> bool:
    """Whether it is one section before and after, rather than one that took another's place."""
    return old.mid == new.mid and old.kind == new.kind and old.transceiver == new.transceiver
