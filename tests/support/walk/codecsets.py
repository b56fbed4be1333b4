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
from tests.support.walk.both import Both

__all__ = ["RECEIVED", "SENT", "check_codecs", "negotiated", "without"]

SENT, RECEIVED = "sent", "received"


def _names(kind: str) -> list[str]:
    known = RTCRtpReceiver.getCapabilities(kind)
    assert known is not None
    return list(dict.fromkeys(each.mimeType.split("/")[1] for each in known.codecs))


def without(dice: random.Random) -> tuple[list[str], Callable[[str], str]]:
    """Some codecs that the two have not in common, now and then all of a kind.

    Returns:
        Their names, and what makes them unknown: descriptions name them otherwise on their way, so that
        either side hears of codecs that it does not know, and of its own only those that are common.
    """
    missing: list[str] = []
    for kind in ("audio", "video"):
        names = [each for each in _names(kind) if each.lower() != "rtx"]
        share = 1.0 if dice.random() < 0.15 else dice.choice((0.0, 0.3, 0.6))
        missing += [each for each in names if dice.random() < share]
    unknown = {each.lower() for each in missing}

    def carry(sdp: str) -> str:
        lines = []
        for line in sdp.split("\r\n"):
            if line.startswith("a=rtpmap:"):
                number, name = line.split(" ", 1)
                if name.split("/")[0].lower() in unknown:
                    line = f"{number} x-{name}"
            lines.append(line)
        return "\r\n".join(lines)

    return missing, carry


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
            shown = [
                f"{c.mimeType.split('/')[1]}/{c.clockRate}"
                + (f"/{c.channels}" if (c.channels or 1) > 1 else "")
                for c in parameters.codecs
            ]
            got = list(
                dict.fromkeys(name.lower() for name in shown if name.split("/")[0].lower() not in AUXILIARY)
            )
            wanted = negotiated(side.model.slots, each, way)
            if got != wanted:
                raise DivergenceError(
                    f"{side.name}: transceiver {each.number}: codecs {way}: {got}, not {wanted}"
                )
