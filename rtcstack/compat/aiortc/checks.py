"""What descriptions are refused for, and with which errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rtcstack.compat.aiortc.codecsets import common_codecs
from rtcstack.compat.aiortc.exceptions import InvalidStateError, OperationError
from rtcstack.compat.aiortc.rtcrtpparameters import RTCRtpCodecCapability
from rtcstack.compat.aiortc.rtcsessiondescription import RTCSessionDescription
from rtcstack.compat.aiortc.sdp import codecs_from_native
from rtcstack.errors import ParseError
from rtcstack.sdp import SetupRole, parse_session
from rtcstack.sdp.model import SessionDescription

if TYPE_CHECKING:
    from rtcstack.api.description import RTCSessionDescription as NativeDescription

__all__ = [
    "check_answers_offer",
    "check_codecs",
    "check_description",
    "check_state",
    "parsed",
    "track_ids",
]

_ALLOWED = {
    ("offer", True): ("stable", "have-local-offer"),
    ("offer", False): ("stable", "have-remote-offer"),
    ("answer", True): ("have-remote-offer", "have-local-pranswer"),
    ("answer", False): ("have-local-offer", "have-remote-pranswer"),
}


def check_state(kind: str, state: str, *, is_local: bool) -> None:
    """Whether a description may be set now.

    Raises:
        InvalidStateError: it may not.
    """
    allowed = _ALLOWED.get(("answer" if kind == "pranswer" else kind, is_local))
    if state == "closed" or (allowed is not None and state not in allowed):
        raise InvalidStateError(f'Cannot handle {kind} in signaling state "{state}"')


def parsed(description: RTCSessionDescription | NativeDescription) -> SessionDescription:
    """What a description says.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        return parse_session(description.sdp)
    except ParseError as exc:
        raise ValueError(f"the {description.type} cannot be read: {exc}") from None


def check_description(description: SessionDescription, *, is_offer: bool) -> None:
    """What every section needs.

    Raises:
        ValueError: it lacks something.
    """
    for media in description.media:
        if media.is_rejected:
            continue
        if not media.ice_ufrag or not media.ice_pwd:
            raise ValueError("ICE username fragment or password is missing")
        if not is_offer and media.setup not in (SetupRole.ACTIVE, SetupRole.PASSIVE):
            raise ValueError("DTLS setup attribute must be 'active' or 'passive' for an answer")
        if media.is_rtp and not media.rtcp_mux:
            raise ValueError("RTCP mux is not enabled")


def check_answers_offer(answer: SessionDescription, offer: NativeDescription | None) -> None:
    """Whether an answer has the offer's sections.

    Raises:
        ValueError: it has others.
    """
    if offer is not None and _sections(answer) != _sections(parsed(offer)):
        raise ValueError("Media sections in answer do not match offer")


def _sections(description: SessionDescription) -> list[tuple[str, str | None]]:
    return [(media.kind, media.mid) for media in description.media]


def check_codecs(
    description: SessionDescription, preferred: Mapping[str | None, Sequence[RTCRtpCodecCapability]]
) -> None:
    """Whether each section has a codec that this end has, too.

    Args:
        description: the peer's.
        preferred: what the application wants, by mid.

    Raises:
        OperationError: one has none.
    """
    for media in description.media:
        if not media.is_rtp or media.is_rejected or media.kind not in ("audio", "video"):
            continue
        if not common_codecs(media.kind, preferred.get(media.mid, ()), codecs_from_native(media)):
            raise OperationError(f"Failed to set remote {media.kind} description send parameters")


def track_ids(description: SessionDescription) -> dict[str, str]:
    """The ids that a peer's tracks have there, by mid."""
    ids: dict[str, str] = {}
    for media in description.media:
        words = (media.value("msid") or "").split()
        words = words or next(
            (each.value.split() for each in media.ssrcs if each.name == "msid" and each.value), []
        )
        if media.mid is not None and len(words) > 1:
            ids[media.mid] = words[1]
    return ids
