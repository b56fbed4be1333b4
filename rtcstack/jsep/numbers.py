"""Payload types and header extension numbers: stable for the life of a session, and never the same
for two things, because bundled sections share them.

Spec: RFC 9143, sections 9.1 and 9.2; RFC 3264, section 8.3.2; RFC 8285, section 5.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from itertools import chain

from rtcstack.jsep.codecs import same_codec
from rtcstack.jsep.session import Codec, HeaderExtension
from rtcstack.sdp import Direction

__all__ = [
    "ABS_SEND_TIME",
    "DEPENDENCY_DESCRIPTOR",
    "EXPERIMENT",
    "HDREXT",
    "LAYERS_ALLOCATION",
    "MID",
    "TRANSPORT_CC",
    "ExtensionNumbers",
    "PayloadTypes",
    "remember_extensions",
    "remember_formats",
    "with_layers",
]

_DYNAMIC = (*range(96, 128), *range(35, 64))
"""RFC 5761, section 4: 64 to 95 would be taken for RTCP; 35 to 63 where 96 to 127 are used up."""
_ONE_BYTE_IDS = range(14, 0, -1)
_TWO_BYTE_IDS = range(16, 256)


class PayloadTypes:
    """Hands out payload types for the sections of one offer.

    A number keeps its meaning. Only where all are used up, those give way that nothing is sent or received
    with: a peer may have spent them on formats that nobody knows.

    Args:
        formats: what the session has given numbers to.
        agreed: numbers of what may be sent or received now.
    """

    __slots__ = ("_agreed", "_given", "_last", "_meaning")

    def __init__(self, formats: Iterable[Codec], agreed: Collection[int] = ()) -> None:
        self._meaning: dict[int, Codec] = {codec.payload_type: codec for codec in formats}
        self._agreed = agreed
        self._given: set[int] = set()  # in this offer
        self._last: tuple[Sequence[Codec], tuple[Codec, ...]] | None = None

    def assign(self, codecs: Sequence[Codec], used: Sequence[Codec] = ()) -> tuple[Codec, ...]:
        """Give each of `codecs` its number in a section.

        Args:
            codecs: with proposed numbers.
            used: what the section has used before; a format that is found there keeps its number.
        """
        # Most sections want the same as the one before, and get it: each format finds its number in place.
        if self._last is not None and self._last[0] is codecs and not used:
            return self._last[1]
        numbers: dict[int, int] = {}
        taken: dict[int, Codec] = {}
        given: dict[int, Codec] = {}
        for place in sorted(range(len(codecs)), key=lambda place: _depends(codecs[place])):
            codec = codecs[place]
            wanted = replace(codec, parameters=_renumbered(codec, numbers))
            number = self._find(wanted, used, taken)
            if number is not None:
                numbers[codec.payload_type] = number
                given[place] = taken[number] = self._meaning[number] = replace(wanted, payload_type=number)
                self._given.add(number)
        result = tuple(given[place] for place in sorted(given))
        if not used:
            self._last = codecs, result
        return result

    def _find(self, codec: Codec, used: Sequence[Codec], taken: dict[int, Codec]) -> int | None:
        for known in (used, self._meaning.values()):
            for each in known:
                if each.payload_type not in taken and _same_meaning(each, codec):
                    return each.payload_type
        candidates = (codec.payload_type, *_DYNAMIC)
        free = (each for each in candidates if each not in self._meaning and each not in taken)
        idle = (each for each in candidates if each not in self._agreed and each not in self._given)
        return next(chain(free, idle), None)


def _depends(codec: Codec) -> bool:
    """Whether its parameters name other payload types, so that those must be numbered first."""
    return codec.name in ("rtx", "red")


def _same_meaning(first: Codec, second: Codec) -> bool:
    if not same_codec(first, second):
        return False
    if first.name == "rtx":
        return first.apt == second.apt
    return first.name != "red" or first.kind != "audio" or first.parameters == second.parameters


def _renumbered(codec: Codec, numbers: dict[int, int]) -> str:
    """The parameters with the payload types that they name replaced by the ones given."""
    if codec.name == "rtx" and codec.apt is not None:
        return f"apt={numbers.get(codec.apt, codec.apt)}"
    if codec.name == "red" and codec.kind == "audio":
        parts = codec.parameters.split("/")
        return "/".join(str(numbers.get(int(part), int(part))) if part.isdigit() else part for part in parts)
    return codec.parameters


EXPERIMENT = "http://www.webrtc.org/experiments/rtp-hdrext/"
HDREXT = "urn:ietf:params:rtp-hdrext:"
ABS_SEND_TIME = EXPERIMENT + "abs-send-time"
TRANSPORT_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
MID = HDREXT + "sdes:mid"

DEPENDENCY_DESCRIPTOR = (
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
)
LAYERS_ALLOCATION = EXPERIMENT + "video-layers-allocation00"

_LIBWEBRTC: dict[str, tuple[tuple[str, int], ...]] = {
    "audio": ((HDREXT + "ssrc-audio-level", 1), (ABS_SEND_TIME, 2), (TRANSPORT_CC, 3), (MID, 4)),
    "video": (
        (HDREXT + "toffset", 1),
        (ABS_SEND_TIME, 2),
        ("urn:3gpp:video-orientation", 3),
        (TRANSPORT_CC, 4),
        (EXPERIMENT + "playout-delay", 5),
        (EXPERIMENT + "video-content-type", 6),
        (EXPERIMENT + "video-timing", 7),
        (EXPERIMENT + "color-space", 8),
        (MID, 9),
        (HDREXT + "sdes:rtp-stream-id", 10),
        (HDREXT + "sdes:repaired-rtp-stream-id", 11),
    ),
}
_LIBWEBRTC_LAYERED = ((DEPENDENCY_DESCRIPTOR, 13), (LAYERS_ALLOCATION, 14))
"""The numbers that libwebrtc gives, section by section, in the order in which it does."""


def with_layers(extensions: Iterable[HeaderExtension]) -> tuple[HeaderExtension, ...]:
    """The same, with what tells of layers switched on: who sends layers offers it, as libwebrtc does."""
    return tuple(
        replace(each, direction=Direction.SENDRECV)
        if each.uri in (DEPENDENCY_DESCRIPTOR, LAYERS_ALLOCATION)
        else each
        for each in extensions
    )


class ExtensionNumbers:
    """Hands out header extension numbers for the sections of one description.

    They are those that libwebrtc would give in our place, and what it would give to extensions that
    are not offered here stays free. A browser that has an offer pending when ours arrives remembers
    its numbers although it takes that offer back, and refuses ours for good if one of them means
    something else; so it does between two browsers, too, unless they number alike.
    """

    __slots__ = ("_ids", "_mixed")

    def __init__(self, extensions: Iterable[HeaderExtension], *, allow_two_byte: bool) -> None:
        self._ids: dict[int, str] = {each.id: each.uri for each in extensions}
        self._mixed = allow_two_byte

    def assign(
        self, wanted: Iterable[HeaderExtension], kind: str = "", *, layered: bool = False
    ) -> tuple[HeaderExtension, ...]:
        """Give each of `wanted` the number that its URI has, else libwebrtc's, else a free one.

        One for which no number is left is passed over.

        Args:
            wanted: of one section, with proposed numbers.
            kind: "audio" or "video"; the section's.
            layered: it sends several layers.
        """
        known = {uri: number for number, uri in reversed(self._ids.items())}
        for uri, proposed in (*_LIBWEBRTC.get(kind, ()), *(_LIBWEBRTC_LAYERED if layered else ())):
            self._number(uri, proposed, known)
        result = []
        for extension in wanted:
            number = self._number(extension.uri, extension.id, known)
            if number is not None:
                result.append(replace(extension, id=number))
        return tuple(result)

    def _number(self, uri: str, proposed: int, known: dict[str, int]) -> int | None:
        number = known.get(uri)
        if number is None:
            number = self._free(proposed)
            if number is not None:
                self._ids[number] = uri
                known[uri] = number
        return number

    def _free(self, proposed: int) -> int | None:
        candidates = (proposed, *_ONE_BYTE_IDS, *(_TWO_BYTE_IDS if self._mixed else ()))
        return next((each for each in candidates if each not in self._ids), None)


def remember_formats(formats: tuple[Codec, ...], *used: Iterable[Codec]) -> tuple[Codec, ...]:
    """What payload types mean after `used`; at most one entry for each of the 128."""
    meaning = {codec.payload_type: codec for codec in formats}
    for codecs in used:
        meaning.update((codec.payload_type, codec) for codec in codecs)
    return tuple(meaning.values())


def remember_extensions(
    extensions: tuple[HeaderExtension, ...], *used: Iterable[HeaderExtension]
) -> tuple[HeaderExtension, ...]:
    """What header extension numbers mean after `used`; numbers are at most 255."""
    meaning = {extension.id: extension for extension in extensions}
    for several in used:
        meaning.update((each.id, HeaderExtension(each.uri, each.id)) for each in several if each.id <= 255)
    return tuple(meaning.values())
