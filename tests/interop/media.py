"""What the media tests share: a call with pictures and tones both ways."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from tests.interop.conftest import Pair
from tests.support.judge import expect_card, expect_tone
from tests.support.media import Card, Stats, Tone, Transceiver
from tests.support.peers import Description

__all__ = [
    "OUR_CARD",
    "OUR_TONE",
    "THEIR_CARD",
    "THEIR_TONE",
    "Call",
    "add_audio",
    "add_video",
    "codecs",
    "stats_of",
    "together",
]

OUR_CARD = Card()
OUR_TONE = Tone(440)
THEIR_CARD = Card(colours=OUR_CARD.colours[::-1])
THEIR_TONE = Tone(1000)


def codecs(description: Description) -> list[str]:
    """The first codec of each section, by name in upper case; "" for a section that is rejected."""
    names = []
    for section in description["sdp"].split("\r\nm=")[1:]:
        first = re.match(r"\w+ (\d+) \S+ (\d+)", section)
        found = re.search(rf"a=rtpmap:{first[2]} ([^/\s]+)", section) if first and first[1] != "0" else None
        names.append(found[1].upper() if found else "")
    return names


async def together(*expectations: Coroutine[Any, Any, None]) -> None:
    """Wait for all; if several fail, all are told."""
    results = await asyncio.gather(*expectations, return_exceptions=True)
    failures = [one for one in results if isinstance(one, BaseException)]
    for failure in failures[1:]:
        failures[0].add_note(f"and: {failure}")
    if failures:
        raise failures[0]


@dataclass(frozen=True, slots=True)
class Call:
    """A section of a call at both ends."""

    ours: Transceiver
    theirs: Transceiver

    @property
    def both(self) -> tuple[Transceiver, Transceiver]:
        """Ours and theirs."""
        return self.ours, self.theirs

    async def expect_pictures(self, *, ours: Card = OUR_CARD, theirs: Card = THEIR_CARD) -> None:
        """Both sides see the other's card."""
        await together(expect_card(self.ours, theirs), expect_card(self.theirs, ours))

    async def expect_tones(self, *, ours: Tone = OUR_TONE, theirs: Tone = THEIR_TONE) -> None:
        """Both sides hear the other's tone."""
        await together(expect_tone(self.ours, theirs), expect_tone(self.theirs, ours))


async def add_video(pair: Pair) -> Call:
    """Both sides send a picture."""
    return Call(await pair.local.send(OUR_CARD), await pair.remote.send(THEIR_CARD))


async def add_audio(pair: Pair) -> Call:
    """Both sides send a tone."""
    return Call(await pair.local.send(OUR_TONE), await pair.remote.send(THEIR_TONE))


def stats_of(reports: list[Stats], kind: str) -> Stats:
    """The one report of this type; of several the one with the most bytes, of none nothing."""
    found = [report for report in reports if report["type"] == kind]
    return max(found, key=lambda each: each.get("bytesSent", each.get("bytesReceived", 0)), default={})
