"""What the media tests share: a call with pictures and tones both ways."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from tests.interop.conftest import Pair
from tests.support.judge import expect_card, expect_tone
from tests.support.media import Card, Source, Stats, Tone, Transceiver
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
    "expect_picture",
    "expect_report",
    "expect_sound",
    "stats_of",
    "together",
]

WITHOUT_STATS = ("gstreamer",)
"""Stacks whose getStats is not asked here."""

ONE_REPORT = ("aiortc",)
"""Stacks that tell of one source of a receiver alone (it may be RTX), and give reports other SSRCs."""

REMEMBERED = 20
"""Packets: browsers answer getStats with what they knew some time ago."""

REPORT_S = 8.0
"""How long reports may take: five seconds, and half of it more, are the longest interval (RFC 3550)."""

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

    async def expect_pictures(
        self, *, ours: Card = OUR_CARD, theirs: Card = THEIR_CARD, may_lose: int = 0
    ) -> None:
        """Both sides see the other's card, and their statistics agree with it."""
        await together(
            expect_picture(self.theirs, self.ours, theirs, may_lose=may_lose),
            expect_picture(self.ours, self.theirs, ours, may_lose=may_lose),
        )

    async def expect_tones(
        self, *, ours: Tone = OUR_TONE, theirs: Tone = THEIR_TONE, may_lose: int = 0
    ) -> None:
        """Both sides hear the other's tone, and their statistics agree with it."""
        await together(
            expect_sound(self.theirs, self.ours, theirs, may_lose=may_lose),
            expect_sound(self.ours, self.theirs, ours, may_lose=may_lose),
        )

    async def expect_reports(self) -> None:
        """Each side learns from the other's reports that nothing is lost, and how long they take."""
        await together(expect_report(self.ours, self.theirs), expect_report(self.theirs, self.ours))


async def add_video(pair: Pair) -> Call:
    """Both sides send a picture."""
    return Call(await pair.local.send(OUR_CARD), await pair.remote.send(THEIR_CARD))


async def add_audio(pair: Pair) -> Call:
    """Both sides send a tone."""
    return Call(await pair.local.send(OUR_TONE), await pair.remote.send(THEIR_TONE))


async def expect_picture(
    sender: Transceiver, receiver: Transceiver, card: Card, *, may_lose: int = 0
) -> None:
    """The receiver sees this card, and what both say of it in getStats is so."""
    await expect_card(receiver, card)
    await _expect_counted(sender, receiver, card, may_lose)


async def expect_sound(sender: Transceiver, receiver: Transceiver, tone: Tone, *, may_lose: int = 0) -> None:
    """The receiver hears this tone, and what both say of it in getStats is so."""
    await expect_tone(receiver, tone)
    await _expect_counted(sender, receiver, tone, may_lose)


async def _expect_counted(
    sender: Transceiver, receiver: Transceiver, source: Source, may_lose: int = 0
) -> None:
    """getStats of both ends: what is sent arrives whole, in its size, and at its pace."""
    # first what came: of what was sent there is more by then
    received = await receiver.stats()
    out = stats_of(await sender.stats(), "outbound-rtp")
    came = stats_of(received, "inbound-rtp", None if receiver.name in ONE_REPORT else out.get("ssrc"))
    for what, name, stats in (("sends", sender.name, out), ("receives", receiver.name, came)):
        told = f"{name} {what}: {stats}"
        if not stats:
            assert name in WITHOUT_STATS, told
            continue
        assert stats["kind"] == source.kind, told
        for member in ("packetsSent", "packetsReceived", "bytesSent", "bytesReceived", "framesDecoded"):
            assert stats.get(member, 1) > 0, told
        assert stats.get("packetsLost", 0) <= may_lose, told
        if isinstance(source, Card):
            size = stats.get("frameWidth", source.width), stats.get("frameHeight", source.height)
            assert size == (source.width, source.height), told
    if out and came:
        assert came["packetsReceived"] <= out["packetsSent"] + REMEMBERED, f"{out} is less than {came}"


async def expect_report(sender: Transceiver, receiver: Transceiver) -> None:
    """By their reports the sender learns what became of its packets, and the receiver what was sent."""
    heard, told, ssrc = Stats(), Stats(), 0
    for _ in range(round(REPORT_S / 0.1)):
        sent = await sender.stats()
        ssrc = stats_of(sent, "outbound-rtp")["ssrc"]
        heard = stats_of(sent, "remote-inbound-rtp", None if sender.name in ONE_REPORT else ssrc)
        told = stats_of(
            await receiver.stats(), "remote-outbound-rtp", None if receiver.name in ONE_REPORT else ssrc
        )
        if "packetsLost" in heard and told.get("packetsSent"):
            break
        await asyncio.sleep(0.1)
    assert heard, f"{sender.name} has no report of {receiver.name}"
    assert heard["packetsLost"] == 0, f"{sender.name}: {heard}"
    assert heard.get("fractionLost", 0) == 0, f"{sender.name}: {heard}"
    assert 0 <= heard.get("roundTripTime", 0) < 0.5, f"{sender.name}: {heard}"
    assert heard.get("jitter", 0) >= 0, f"{sender.name}: {heard}"
    assert told, f"{receiver.name} has no report of {sender.name}"
    out = stats_of(await sender.stats(), "outbound-rtp", ssrc)
    assert 0 < told["packetsSent"] <= out["packetsSent"] + REMEMBERED, f"{told} is not {out}"
    assert told["bytesSent"] > 0, f"{told} is not {out}"


def stats_of(reports: list[Stats], kind: str, ssrc: int | None = None) -> Stats:
    """The report of this type and SSRC; of several the one with the most bytes, of none nothing."""
    found = [each for each in reports if each["type"] == kind and ssrc in (None, each["ssrc"])]

    def octets(report: Stats) -> int:
        return int(report.get("bytesSent") or report.get("bytesReceived") or 0)

    return max(found, key=octets, default={})
