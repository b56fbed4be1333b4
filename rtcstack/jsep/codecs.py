"""Which codecs are the same, which both sides have in common, and in which order they stand.

Spec: RFC 9429, sections 5.2 and 5.3; RFC 3264, section 6.1; webrtc-pc, "codec dictionary match".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from rtcstack.jsep import h264
from rtcstack.jsep.intents import Capabilities, MediaCapabilities, TransceiverIntent
from rtcstack.jsep.session import Codec, CodecFormat
from rtcstack.sdp import Direction

__all__ = ["Match", "answered", "codecs_match", "common", "preferred", "same_codec"]

_SYMMETRICAL: dict[str, dict[str, str]] = {
    "h264": {"packetization-mode": "0"},
    "vp9": {"profile-id": "0"},
    "av1": {"profile": "0"},
    "h265": {"profile-space": "0", "profile-id": "1", "tier-flag": "0", "tx-mode": "SRST"},
}
"""Parameters that must be equal on both sides, and what they are when absent (RFC 6184, 9628, 7798;
AV1 RTP specification, section 7.2.1)."""


_MAX_CACHED = 256
"""Characters of parameters up to which what they say is remembered; Chromium's longest are 80."""

_Identity = tuple[str, int, int, tuple[str, ...]]


def same_codec(first: CodecFormat, second: CodecFormat) -> bool:
    """Whether one side's format is the other's, with regard to symmetrical parameters only.

    RTX formats are the same when all but their ``apt`` is: whoever compares them follows it.
    """
    return _identity(first) == _identity(second)


def _identity(codec: CodecFormat) -> _Identity:
    """What is equal for formats that are the same."""
    mime_type, parameters = codec.mime_type.lower(), codec.parameters
    if codec.name not in _SYMMETRICAL:
        parameters = ""
    read = _read_identity if len(parameters) <= _MAX_CACHED else _read_identity.__wrapped__
    return read(mime_type, codec.clock_rate, codec.channels or 1, parameters)


@lru_cache(maxsize=512)
def _read_identity(mime_type: str, clock_rate: int, channels: int, parameters: str) -> _Identity:
    codec = CodecFormat(mime_type, clock_rate, channels, parameters)
    rules = _SYMMETRICAL.get(codec.name)
    if rules is None:
        return mime_type, clock_rate, channels, ()
    fmtp = codec.fmtp
    configuration = [fmtp.get(name, default) for name, default in rules.items()]
    if codec.name == "h264":
        level = h264.ProfileLevel.parse(fmtp.get("profile-level-id") or h264.DEFAULT)
        configuration.append("malformed" if level is None else level.profile)
    return mime_type, clock_rate, channels, tuple(configuration)


def codecs_match(first: CodecFormat, second: CodecFormat, *, ignore_asymmetrical: bool = False) -> bool:
    """The "codec dictionary match" of webrtc-pc, section 5.4."""
    if (
        first.mime_type.lower() != second.mime_type.lower()
        or first.clock_rate != second.clock_rate
        or first.channels != second.channels
        or bool(first.parameters) != bool(second.parameters)
    ):
        return False
    a, b = first.fmtp, second.fmtp
    if "" in a or "" in b:
        return first.parameters == second.parameters
    return same_codec(first, second) and (ignore_asymmetrical or a == b)


def _may_be_same(first: Codec, second: Codec) -> bool:
    """Whether formats differ in nothing but an H.264 profile that one of them leaves out."""
    if same_codec(first, second):
        return first.name != "rtx"
    profiles = [codec.fmtp.get("profile-level-id") for codec in (first, second)]
    if first.name != "h264" or all(profiles):
        return False
    stated = f"profile-level-id={profiles[0] or profiles[1] or h264.DEFAULT}"
    return same_codec(*(_with_parameter(codec, stated) for codec in (first, second)))


def _with_parameter(codec: Codec, parameter: str) -> Codec:
    return replace(codec, parameters=";".join(filter(None, (codec.parameters, parameter))))


@dataclass(frozen=True, slots=True)
class Match:
    """A format that both sides have."""

    ours: Codec
    theirs: Codec


def common(ours: Sequence[Codec], theirs: Sequence[Codec], *, answers: bool = False) -> list[Match]:
    """The formats of `theirs` that `ours` has too, in their order.

    A retransmission format counts when the format that it repairs does, on both sides; RED for
    audio when the format that it carries does.

    Args:
        ours, theirs: formats of the two sides.
        answers: one side answered the other. Then a payload type of both means one format, also
            where the answer leaves out which profile it is of (RFC 3264, section 6.1).
    """
    matches: dict[int, Match] = {}
    by_number = {codec.payload_type: codec for codec in ours} if answers else {}
    known: dict[_Identity, Codec] = {}
    for codec in ours:
        known.setdefault(_identity(codec), codec)
    for their in theirs:
        our = known.get(_identity(their)) if their.name != "rtx" else None
        numbered = by_number.get(their.payload_type)
        if numbered is not None and _may_be_same(numbered, their):
            our = numbered
        if our is not None:
            matches.setdefault(their.payload_type, Match(our, their))
    our_rtx = {codec.apt: codec for codec in ours if codec.name == "rtx"}
    for their in theirs:
        if their.name == "rtx" and their.apt is not None:
            primary = matches.get(their.apt)
            our = our_rtx.get(primary.ours.payload_type) if primary is not None else None
            if our is not None and our.clock_rate == their.clock_rate:
                matches.setdefault(their.payload_type, Match(our, their))
    found = [matches[each.payload_type] for each in theirs if each.payload_type in matches]
    return [match for match in found if _carried_formats(match.theirs) <= matches.keys()]


def _carried_formats(codec: Codec) -> set[int]:
    """The payload types that a RED format says it carries (RFC 2198, section 5)."""
    if codec.name != "red" or codec.kind != "audio":
        return set()
    numbers = codec.parameters.replace("/", " ").split()
    return {int(each) if each.isascii() and each.isdigit() and len(each) <= 3 else -1 for each in numbers}


def answered(match: Match) -> Codec:
    """The format as an answer states it: their number, our parameters, the feedback of both."""
    ours, theirs = match.ours, match.theirs
    if theirs.name in ("rtx", "red"):
        # their parameters name payload types, and the payload types are theirs
        parameters = theirs.parameters
    elif theirs.name == "h264":
        parameters = _answered_h264(ours, theirs)
    else:
        parameters = ours.parameters
    return replace(
        theirs, parameters=parameters, rtcp_fb=tuple(each for each in theirs.rtcp_fb if each in ours.rtcp_fb)
    )


def _answered_h264(ours: Codec, theirs: Codec) -> str:
    a, b = ours.fmtp, theirs.fmtp
    asymmetry = a.get("level-asymmetry-allowed") == b.get("level-asymmetry-allowed") == "1"
    result = dict(a)
    if not asymmetry:
        result.pop("level-asymmetry-allowed", None)
    result["profile-level-id"] = h264.answer_profile_level_id(
        a.get("profile-level-id", ""), b.get("profile-level-id", ""), asymmetry=asymmetry
    )
    return ";".join(f"{name}={value}" if name else value for name, value in result.items())


def supported(capabilities: Capabilities, kind: str, direction: Direction) -> tuple[Codec, ...]:
    """Our codecs for a direction: what can be sent, received, or (for sendrecv and inactive) both."""
    media = capabilities.of(kind)
    if direction is Direction.SENDONLY:
        return media.send
    if direction is Direction.RECVONLY:
        return media.receive
    return _both_ways(media)


@lru_cache(maxsize=16)
def _both_ways(media: MediaCapabilities) -> tuple[Codec, ...]:
    kept = [
        codec
        for codec in media.receive
        if codec.name == "rtx" or any(same_codec(codec, each) for each in media.send)
    ]
    return _without_orphans(kept)


def preferred(capabilities: Capabilities, transceiver: TransceiverIntent) -> tuple[tuple[Codec, ...], bool]:
    """Our codecs for a transceiver, in order, and whether the order is the application's.

    Preferences pick and order; those that the direction rules out are passed over, and when none
    is left the default holds (webrtc-pc, "filteredCodecs"); then what the track is encoded with already
    comes first. Naming RTX keeps the retransmission
    format of every codec that was picked, behind it.
    """
    available = supported(capabilities, transceiver.kind, transceiver.direction)
    wanted = transceiver.codec_preferences or ()
    rtx = {codec.apt: codec for codec in available if codec.name == "rtx"}
    keep_rtx = any(each.name == "rtx" for each in wanted)
    picked: list[Codec] = []
    for preference in wanted:
        for codec in available:
            if codec.name == "rtx" or codec in picked:
                continue
            if codecs_match(codec, preference, ignore_asymmetrical=True):
                picked.append(codec)
                if keep_rtx and codec.payload_type in rtx:
                    picked.append(rtx[codec.payload_type])
                break
    result = _without_orphans(picked)
    if result:
        return result, True
    brought = {
        codec.payload_type: None
        for name in transceiver.codecs_brought
        for codec in available
        if codec.name == name
    }
    if not brought:
        return available, False
    first = [c for number in brought for c in available if number in (c.payload_type, c.apt)]
    return (*first, *(codec for codec in available if codec not in first)), True


def _without_orphans(codecs: Iterable[Codec]) -> tuple[Codec, ...]:
    """Without retransmission and RED formats whose codec is not there."""
    codecs = tuple(codecs)
    present = {codec.payload_type for codec in codecs if codec.name != "rtx"}
    return tuple(
        codec
        for codec in codecs
        if (codec.name != "rtx" or codec.apt in present) and _carried_formats(codec) <= present
    )
