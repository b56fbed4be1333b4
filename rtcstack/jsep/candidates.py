"""Trickled candidates: they become part of the descriptions and of the transports.

Spec: RFC 9429, sections 4.1.17 (addIceCandidate) and 3.5.2; webrtc-pc, sections 4.4.2 and 5.6.2
(surface a candidate); RFC 8840.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rtcstack.errors import InvalidStateError, OperationError
from rtcstack.jsep.apply import shared_parameters
from rtcstack.jsep.negotiation import Description, Negotiation
from rtcstack.jsep.sections import default_destination
from rtcstack.jsep.session import Section, Session, Transport, TransportParameters
from rtcstack.sdp import Attribute, Candidate, MediaDescription, SessionDescription, write_session

__all__ = ["RemoteCandidate", "with_local_candidates", "with_remote_candidate"]

MAX_CANDIDATES = 256
"""Candidates that one section takes, of each side; a peer that trickles more is refused."""


@dataclass(frozen=True, slots=True)
class RemoteCandidate:
    """What came of a candidate of the peer.

    Attributes:
        negotiation: with the candidate in it.
        transports: keys of the transports that are to be told; empty while the offer that it
            belongs to is unanswered, or when its section is out of use.
    """

    negotiation: Negotiation
    transports: tuple[str, ...] = ()


def with_local_candidates(
    negotiation: Negotiation,
    key: str,
    ufrag: str,
    candidates: Sequence[Candidate],
    end_of_candidates: bool = False,
) -> Negotiation:
    """The negotiation with gathered candidates in its local descriptions.

    Args:
        negotiation: what stands now.
        key: of the transport that gathered them.
        ufrag: the generation that they belong to; descriptions of another one stay as they are.
        candidates: new ones.
        end_of_candidates: this generation is complete.

    Returns:
        The very same object when no description has this generation.
    """

    def write(description: Description | None, session: Session | None) -> Description | None:
        transport = None if session is None else session.transport(key)
        if description is None or session is None or transport is None:
            return description
        return _write_local(description, session, transport, ufrag, tuple(candidates), end_of_candidates)

    pending = write(negotiation.pending_local, negotiation.working)
    current = write(negotiation.current_local, negotiation.stable)
    if pending is negotiation.pending_local and current is negotiation.current_local:
        return negotiation

    def extend(transport: Transport) -> Transport:
        local = transport.local
        if transport.key != key or local is None or local.ice_ufrag != ufrag:
            return transport
        return replace(transport, local=_extended(local, tuple(candidates), end_of_candidates))

    return replace(_map_transports(negotiation, extend), pending_local=pending, current_local=current)


def with_remote_candidate(
    negotiation: Negotiation,
    candidate: Candidate | None,
    mid: str | None,
    index: int | None,
    ufrag: str | None,
    unreadable: str = "",
    stopped: Callable[[int | None], bool] = lambda key: key is None,
) -> RemoteCandidate:
    """The negotiation with a candidate of the peer in its remote descriptions.

    Args:
        negotiation: what stands now.
        candidate: None for the end of candidates.
        mid, index: the section; the mid counts when both are given, and is not empty, as some stacks
            write it that know the index alone. Both None stands for all sections, with the end of
            candidates only.
        ufrag: the generation, or None (or "") for the most recent one.
        unreadable: what stands for the candidate, if it cannot be read. It is refused where it would count.
        stopped: whether the transceiver with a key has stopped, or is gone.

    Raises:
        InvalidStateError: there is no remote description.
        OperationError: there is no such section or generation, or it has too many candidates, or it cannot
            be read.
    """
    latest = negotiation.remote_description
    if latest is None or latest.parsed is None:
        raise InvalidStateError("a candidate cannot be added without a remote description")
    ufrag = ufrag or (None if candidate is None else candidate.username_fragment)
    if mid == "" and index is not None:
        mid = None
    indices = _indices(latest.parsed, negotiation.session, candidate, mid, index)
    if (mid is not None or index is not None) and all(
        _is_stopped(negotiation, latest.parsed.media[each], each, stopped) for each in indices
    ):
        return RemoteCandidate(negotiation)
    target = _generation(negotiation, indices, ufrag)
    if unreadable:
        raise OperationError(f"cannot read {unreadable[:100]!r}")
    pending, current = negotiation.pending_remote, negotiation.current_remote
    sessions = (negotiation.working, negotiation.stable)
    found: dict[str, str] = {}
    for session in sessions:
        for each in indices if session is not None else ():
            section = session.sections[each] if session and each < len(session.sections) else None
            transport = session.transport(section.transport) if session and section else None
            if transport is None or transport.remote is None:
                continue
            if target.get(each, transport.remote.ice_ufrag) == transport.remote.ice_ufrag:
                found[transport.key] = transport.remote.ice_ufrag
    added = () if candidate is None else (candidate,)

    def extend(transport: Transport) -> Transport:
        remote = transport.remote
        if remote is None or found.get(transport.key) != remote.ice_ufrag:
            return transport
        return replace(transport, remote=_extended(remote, added, candidate is None))

    result = replace(
        _map_transports(negotiation, extend),
        pending_remote=_write_remote(pending, target, added, candidate is None),
        current_remote=_write_remote(current, target, added, candidate is None),
    )
    return RemoteCandidate(result, tuple(found))


def _indices(
    description: SessionDescription,
    session: Session,
    candidate: Candidate | None,
    mid: str | None,
    index: int | None,
) -> list[int]:
    """The sections that a candidate is for."""
    if mid is not None:
        # a section whose peer writes no mid goes by the one that we made up for it
        section: Section | None = session.section(mid)
        places = [place for place, media in enumerate(description.media) if media.mid == mid]
        if not places and section is not None and section.index < len(description.media):
            places = [section.index] if description.media[section.index].mid is None else []
        if not places:
            raise OperationError(f"candidate for mid {mid!r}, which the remote description does not have")
        return places
    if index is not None:
        if not 0 <= index < len(description.media):
            raise OperationError(
                f"candidate for m= section {index}, the remote description has {len(description.media)}"
            )
        return [index]
    if candidate is not None:
        raise OperationError("candidate names neither a mid nor an m= section")
    return list(range(len(description.media)))


def _is_stopped(
    negotiation: Negotiation, media: MediaDescription, index: int, stopped: Callable[[int | None], bool]
) -> bool:
    """Whether the transceiver of a section has stopped: what comes for it is of no consequence.

    An offer of ours that is to stop it may yet be taken back, and until it is answered others may use its
    transport.
    """
    if media.kind not in ("audio", "video"):
        return False
    for session in (negotiation.working, negotiation.stable):
        section = session.sections[index] if session and index < len(session.sections) else None
        if section is not None and media.mid in (None, section.mid):
            return stopped(section.transceiver)
    return True


def _generation(negotiation: Negotiation, indices: list[int], ufrag: str | None) -> dict[int, str]:
    """The ufrag that the candidate goes with, for each section that has it."""
    result: dict[int, str] = {}
    for description in (negotiation.current_remote, negotiation.pending_remote):
        if description is None or description.parsed is None:
            continue
        for index in indices:
            if index >= len(description.parsed.media):
                continue
            own = _ufrag(description.parsed, description.parsed.media[index])
            if own is not None and ufrag in (None, own):
                result[index] = own
    if ufrag is not None and not result:
        raise OperationError(f"candidate of generation {ufrag!r}, which no remote description has")
    return result


def _ufrag(description: SessionDescription, media: MediaDescription) -> str | None:
    parameters = shared_parameters(description, media)
    return None if parameters is None else parameters.ice_ufrag


def _extended(
    parameters: TransportParameters, candidates: tuple[Candidate, ...], end: bool
) -> TransportParameters:
    new = tuple([each for each in candidates if each not in parameters.candidates])
    if len(parameters.candidates) + len(new) > MAX_CANDIDATES:
        raise OperationError(f"more than {MAX_CANDIDATES} candidates")
    return replace(
        parameters,
        candidates=parameters.candidates + new,
        end_of_candidates=parameters.end_of_candidates or end,
    )


def _map_transports(negotiation: Negotiation, change: Callable[[Transport], Transport]) -> Negotiation:
    def mapped(session: Session | None) -> Session | None:
        if session is None:
            return None
        transports = tuple(map(change, session.transports))
        if all(map(operator.is_, transports, session.transports)):
            return session
        return replace(session, transports=transports)

    return replace(
        negotiation,
        stable=mapped(negotiation.stable),
        working=mapped(negotiation.working),
        offered=mapped(negotiation.offered),
    )


def _with_lines(media: MediaDescription, candidates: tuple[Candidate, ...], end: bool) -> MediaDescription:
    known = media.candidates
    lines = [each.attribute() for each in candidates if each not in known]
    if len(known) + len(lines) > MAX_CANDIDATES:
        raise OperationError(f"more than {MAX_CANDIDATES} candidates")
    if end and not media.end_of_candidates:
        lines.append(Attribute("end-of-candidates"))
    return replace(media, attributes=(*media.attributes, *lines)) if lines else media


def _rewritten(description: Description, media: tuple[MediaDescription, ...]) -> Description:
    assert description.parsed is not None
    if all(map(operator.is_, media, description.parsed.media)):
        return description
    parsed = replace(description.parsed, media=media)
    return replace(description, sdp=write_session(parsed), parsed=parsed)


def _write_local(
    description: Description,
    session: Session,
    transport: Transport,
    ufrag: str,
    candidates: tuple[Candidate, ...],
    end: bool,
) -> Description:
    """The candidates behind the section that carries the transport, the default one in the m= and
    c= lines of all that share it."""
    parsed = description.parsed
    assert parsed is not None
    tagged = session.section(transport.mid)
    if tagged is None or parsed.media[tagged.index].ice_ufrag != ufrag:
        return description
    written = _with_lines(parsed.media[tagged.index], candidates, end)
    destination = default_destination(written.candidates)
    media = list(parsed.media)
    for section, each in zip(session.sections, parsed.media, strict=True):
        if section.transport == transport.key and each.port:
            line = written if section.index == tagged.index else each
            media[section.index] = replace(line, port=destination.port, connections=(destination.connection,))
    return _rewritten(description, tuple(media))


def _write_remote(
    description: Description | None, target: dict[int, str], candidates: tuple[Candidate, ...], end: bool
) -> Description | None:
    if description is None or description.parsed is None:
        return description
    parsed = description.parsed
    media = list(parsed.media)
    for index, ufrag in target.items():
        if index < len(media) and _ufrag(parsed, media[index]) == ufrag:
            media[index] = _with_lines(media[index], candidates, end)
    return _rewritten(description, tuple(media))
