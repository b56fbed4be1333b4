"""Two peers that have not the same codecs, and what they negotiate for all that.

Spec: RFC 9429, sections 5.3.1 (which formats an answer has) and 5.11; webrtc-pc, [[SendCodecs]] and
[[ReceiveCodecs]].
"""

from __future__ import annotations

import random
from collections.abc import Callable

from rtcstack import RTCRtpReceiver
from tests.support.model.errors import DivergenceError
from tests.support.model.slots import Slots
from tests.support.model.text import AUXILIARY, RECV
from tests.support.model.transceiver import Transceiver
from tests.support.walk.both import Both, is_auxiliary, name_of

__all__ = ["RECEIVED", "SENT", "check_codecs", "negotiated", "without"]

SENT, RECEIVED = "sent", "received"


def _names(kind: str) -> list[str]:
    known = RTCRtpReceiver.getCapabilities(kind)
    assert known is not None
    return list(dict.fromkeys(each.mimeType.split("/")[1] for each in known.codecs))


def without(dice: random.Random) -> tuple[list[str], Callable[[str], str]]:
    """Some codecs that the two have not in common, now and then all of a kind.

    Returns:
        Their names, and what takes them out of descriptions on their way, as if either side had only what is
        common. Where nothing else is left, one stays by another name: a codec that nobody knows.
    """
    missing: list[str] = []
    for kind in ("audio", "video"):
        names = [each for each in _names(kind) if each.lower() != "rtx"]
        share = 1.0 if dice.random() < 0.15 else dice.choice((0.0, 0.3, 0.6))
        missing += [each for each in names if dice.random() < share]
    unknown = {each.lower() for each in missing}

    def carry(sdp: str) -> str:
        head, *sections = sdp.split("\r\nm=")
        return "\r\nm=".join([head, *(_without(each, unknown) for each in sections)])

    return missing, carry


def _without(section: str, unknown: set[str]) -> str:
    """A section without those codecs, and what goes with them."""
    media, *lines = section.split("\r\n")
    kind, port, protocol, *formats = media.split(" ")
    if kind not in ("audio", "video"):
        return section
    names: dict[str, str] = {}
    goes_with: dict[str, str] = {}
    for line in lines:
        number, _, value = line.partition(":")[2].partition(" ")
        if line.startswith("a=rtpmap:"):
            names[number] = value.split("/")[0].lower()
        elif line.startswith("a=fmtp:"):
            goes_with[number] = value.removeprefix("apt=").partition("/")[0]
    kept = [each for each in formats if names.get(each) not in unknown]
    kept = [each for each in kept if goes_with.get(each, each) in kept or goes_with[each] not in formats]
    renamed = ""
    if all(names.get(each) in AUXILIARY for each in kept):
        renamed = formats[0]
        kept = [renamed]
    written = [" ".join((kind, port, protocol, *kept))]
    for line in lines:
        name, _, value = line.partition(":")
        number = value.split(" ")[0]
        if name in ("a=rtpmap", "a=fmtp", "a=rtcp-fb") and number != "*" and number not in kept:
            continue
        if name == "a=rtpmap" and number == renamed:
            line = f"a=rtpmap:{number} x-none/90000"
        written.append(line)
    return "\r\n".join(written)


def negotiated(slots: Slots, transceiver: Transceiver, way: str) -> list[str]:
    """The codecs that carry media, as getParameters tells them: what both descriptions have, in the order
    of whoever receives."""
    descriptions = slots.current_local, slots.current_remote
    media = [None if each is None else each[1].of_mid(transceiver.mid) for each in descriptions]
    local, remote = media
    if local is None or remote is None or local.rejected or remote.rejected:
        return []
    if way == SENT:
        return [each for each in remote.media_codecs if each in local.media_codecs]
    if local.direction not in RECV:
        return []
    return [each for each in local.media_codecs if each in remote.media_codecs]


def check_codecs(side: Both) -> None:
    """Whether getParameters tells what was negotiated.

    Raises:
        DivergenceError: it does not.
    """
    for each in side.model.slots.transceivers:
        if each.stopped or each.stopping or each.mid is None or each.current_direction is None:
            continue
        face = side.face(each)
        for way, parameters in (
            (SENT, face.sender.getParameters()),
            (RECEIVED, face.receiver.getParameters()),
        ):
            got = list(dict.fromkeys(name_of(c) for c in parameters.codecs if not is_auxiliary(c)))
            wanted = negotiated(side.model.slots, each, way)
            if got != wanted:
                raise DivergenceError(
                    f"{side.name}: transceiver {each.number}: codecs {way}: {got}, not {wanted}"
                )
