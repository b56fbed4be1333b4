"""What follows for a section once both sides have described it.

Spec: RFC 3264, section 6; RFC 9429, section 5.11 (applying an answer).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rtcstack.errors import InvalidAccessError
from rtcstack.jsep.codecs import Match, common, same_codec
from rtcstack.jsep.intents import Capabilities
from rtcstack.jsep.session import Codec, HeaderExtension, MediaParameters, SctpParameters, Section
from rtcstack.sdp import Direction, MaxMessageSize

__all__ = ["agree", "agree_on_cryptex", "reject"]

DEFAULT_SCTP_PORT = 5000
"""What is assumed of a peer that leaves sctp-port out (RFC 8841 wants it, old peers do without)."""


def agree(
    section: Section, local: MediaParameters, remote: MediaParameters, capabilities: Capabilities
) -> Section:
    """The section with everything that both sides agree on.

    Raises:
        InvalidAccessError: they have no format in common, so one of them did not read the other.
    """
    section = replace(
        section,
        proposed_transport=None,
        local=local,
        remote=remote,
        rtcp_mux=local.rtcp_mux and remote.rtcp_mux,
        rtcp_rsize=local.rtcp_rsize and remote.rtcp_rsize,
        cryptex=section.is_media and local.cryptex and remote.cryptex,
    )
    if section.kind == "application":
        return replace(section, sctp=_sctp(local, remote))
    send = common(local.codecs, remote.codecs, answers=True)
    receive = common(remote.codecs, local.codecs, answers=True)
    if not send or not receive:
        raise InvalidAccessError(f"m= section {section.index} is answered with none of the formats offered")
    can_send = capabilities.of(section.kind).send
    extensions = _extensions(local, remote)
    return replace(
        section,
        current_direction=local.direction & remote.direction.reversed,
        send_codecs=tuple(
            _with_common_feedback(match)
            for match in send
            if any(same_codec(match.theirs, known) for known in can_send)
        ),
        receive_codecs=tuple(map(_with_common_feedback, receive)),
        send_extensions=tuple(
            HeaderExtension(uri, remote_id, direction)
            for uri, _, remote_id, direction in extensions
            if direction.send
        ),
        receive_extensions=tuple(
            HeaderExtension(uri, local_id, direction)
            for uri, local_id, _, direction in extensions
            if direction.recv
        ),
        send_rids=_in_both(local.send_rids, remote.receive_rids),
        receive_rids=_in_both(remote.send_rids, local.receive_rids),
    )


def agree_on_cryptex(sections: Sequence[Section]) -> list[Section]:
    """The sections of an exchange, with encrypted header extensions on all of a transport's or on none.

    Without the MID it could not be told whose a packet is.

    Spec: RFC 9335, section 4.
    """
    unwilling = {each.transport for each in sections if each.is_media and not each.cryptex}
    return [
        replace(each, cryptex=False) if each.cryptex and each.transport in unwilling else each
        for each in sections
    ]


def reject(section: Section, local: MediaParameters | None, remote: MediaParameters | None) -> Section:
    """The section without anything that could still run."""
    return replace(
        section,
        rejected=True,
        transport=None,
        proposed_transport=None,
        local=local,
        remote=remote,
        current_direction=Direction.INACTIVE if section.is_media else None,
        receive_codecs=(),
        send_codecs=(),
        receive_extensions=(),
        send_extensions=(),
        rtcp_mux=False,
        rtcp_rsize=False,
        cryptex=False,
        send_rids=(),
        receive_rids=(),
        sctp=None,
    )


def _with_common_feedback(match: Match) -> Codec:
    """Their format with the feedback that ours has too."""
    feedback = tuple(each for each in match.theirs.rtcp_fb if each in match.ours.rtcp_fb)
    return replace(match.theirs, rtcp_fb=feedback)


def _extensions(local: MediaParameters, remote: MediaParameters) -> list[tuple[str, int, int, Direction]]:
    """(URI, our number, their number, direction from our point of view) of those that both have."""
    theirs = {each.uri: each for each in reversed(remote.header_extensions)}
    return [
        (each.uri, each.id, theirs[each.uri].id, each.direction & theirs[each.uri].direction.reversed)
        for each in local.header_extensions
        if each.uri in theirs
    ]


def _in_both(ordered: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(each for each in ordered if each in other)


def _sctp(local: MediaParameters, remote: MediaParameters) -> SctpParameters | None:
    local_port = DEFAULT_SCTP_PORT if local.sctp_port is None else local.sctp_port
    remote_port = DEFAULT_SCTP_PORT if remote.sctp_port is None else remote.sctp_port
    if not local_port or not remote_port:
        return None
    size = MaxMessageSize.DEFAULT if remote.max_message_size is None else remote.max_message_size
    return SctpParameters(local_port, remote_port, size, remote.sctp_init)
