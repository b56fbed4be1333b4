"""What happens in a running call with other stacks: media is added, held, replaced, muted and stopped."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.interop.conftest import Pair
from tests.interop.media import (
    OUR_CARD,
    OUR_TONE,
    THEIR_CARD,
    THEIR_TONE,
    Call,
    add_audio,
    add_video,
    codecs,
    stats_of,
    together,
)
from tests.support.judge import expect_black, expect_card, expect_no_pictures, expect_silence, expect_tone
from tests.support.media import Card, Stats, Tone

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("sound_card")]

OTHER_CARD = Card(
    colours=(OUR_CARD.colours[2], OUR_CARD.colours[0], OUR_CARD.colours[3], OUR_CARD.colours[1]),
    width=240,
    height=180,
)
OTHER_TONE = Tone(660)

CUT_OFF = 8
"""Packets that were under way when a direction or a codec changed: they have numbers, and are of no use."""


def offered(*cases: str) -> pytest.MarkDecorator:
    """Run with these peers, each with who offers: "chromium-local" has us offer to Chromium.

    Where the offerer makes no difference each browser has one side of it; wrtc is Chromium's engine.
    """
    pairs = [case.split("-") for case in cases]
    return pytest.mark.parametrize(
        ("peer_name", "local_offers"),
        [(name, side == "local") for name, side in pairs],
        indirect=True,
        ids=cases,
    )


BOTH = ("chromium-local", "chromium-remote", "firefox-local", "firefox-remote")


@offered(*BOTH, "wrtc-remote", "aiortc-local", "gstreamer-local", "gstreamer-remote")
async def test_video_joins_a_call(pair: Pair) -> None:
    tones = await add_audio(pair)
    async with pair.connect():
        await tones.expect_tones()
        pictures = await add_video(pair)
        async with pair.reconnect(by=pair.offerer):
            await together(pictures.expect_pictures(), tones.expect_tones())


# when aiortc offers again it numbers the header extensions anew, and falls over packets on their way
@offered("chromium-local", "firefox-remote", "wrtc-remote", "aiortc-remote")
async def test_video_leaves_a_call_and_comes_back(pair: Pair) -> None:
    tones, pictures = await add_audio(pair), await add_video(pair)
    async with pair.connect():
        await pictures.expect_pictures()
        for transceiver in pictures.both:
            await transceiver.turn("inactive")
        async with pair.reconnect(by=pair.answerer):
            await together(
                expect_no_pictures(pictures.ours), expect_no_pictures(pictures.theirs), tones.expect_tones()
            )
            for transceiver in pictures.both:
                assert (await transceiver.info())["currentDirection"] == "inactive"
                await transceiver.turn("sendrecv")
            async with pair.reconnect(by=pair.offerer):
                await together(pictures.expect_pictures(may_lose=CUT_OFF), tones.expect_tones())


@offered("chromium-local", "firefox-remote", "wrtc-local", "aiortc-remote")
async def test_both_sides_report_what_they_receive(pair: Pair) -> None:
    tones, pictures = await add_audio(pair), await add_video(pair)
    async with pair.connect():
        await together(pictures.expect_pictures(), tones.expect_tones())
        await together(pictures.expect_reports(), tones.expect_reports())


@offered("chromium-remote", "firefox-local")
async def test_hold_and_resume(pair: Pair) -> None:
    tones, pictures = await add_audio(pair), await add_video(pair)
    async with pair.connect():
        await together(pictures.expect_pictures(), tones.expect_tones())
        # whoever is put on hold sends nothing and hears what the other sends
        for transceiver in (tones.ours, pictures.ours):
            await transceiver.turn("sendonly")
        async with pair.reconnect(by=pair.local):
            for transceiver in (tones.theirs, pictures.theirs):
                assert (await transceiver.info())["currentDirection"] == "recvonly"
            await together(
                expect_card(pictures.theirs, OUR_CARD),
                expect_tone(tones.theirs, OUR_TONE),
                expect_no_pictures(pictures.ours),
                expect_silence(tones.ours),
            )
            for transceiver in (tones.ours, pictures.ours):
                await transceiver.turn("sendrecv")
            async with pair.reconnect(by=pair.local):
                await together(pictures.expect_pictures(), tones.expect_tones())


@offered("chromium-local", "chromium-remote", "firefox-local")
async def test_a_stopped_transceiver_is_gone_at_both_sides(pair: Pair) -> None:
    tones, pictures = await add_audio(pair), await add_video(pair)
    async with pair.connect():
        await together(pictures.expect_pictures(), tones.expect_tones())
        await (pictures.ours if pair.local_offers else pictures.theirs).stop()
        async with pair.reconnect(by=pair.offerer) as (offer, answer):
            assert codecs(offer)[1:] == codecs(answer)[1:] == [""]
            for peer in (pair.local, pair.remote):
                assert [(await one.info())["kind"] for one in await peer.transceivers()] == ["audio"]
            await tones.expect_tones()
            # its section is used again
            again = await add_video(pair)
            async with pair.reconnect(by=pair.answerer) as (offer, _):
                assert len(codecs(offer)) == 2
                await together(again.expect_pictures(), tones.expect_tones())


@offered("chromium-local", "firefox-remote")
async def test_tracks_are_replaced_without_negotiation(pair: Pair) -> None:
    tones, pictures = await add_audio(pair), await add_video(pair)
    async with pair.connect():
        await together(pictures.expect_pictures(), tones.expect_tones())
        await asyncio.gather(*(one.replace(OTHER_CARD) for one in pictures.both))
        await asyncio.gather(*(one.replace(OTHER_TONE) for one in tones.both))
        await together(
            pictures.expect_pictures(ours=OTHER_CARD, theirs=OTHER_CARD),
            tones.expect_tones(ours=OTHER_TONE, theirs=OTHER_TONE),
        )
        for transceiver in (*pictures.both, *tones.both):
            await transceiver.replace(None)
        await together(
            *(expect_no_pictures(one) for one in pictures.both), *(expect_silence(one) for one in tones.both)
        )
        await pictures.ours.replace(OUR_CARD)
        await pictures.theirs.replace(THEIR_CARD)
        await tones.ours.replace(OUR_TONE)
        await tones.theirs.replace(THEIR_TONE)
        await together(pictures.expect_pictures(), tones.expect_tones())


@offered("chromium-remote", "firefox-local")
async def test_muted_tracks_are_black_and_silent(pair: Pair) -> None:
    tones, pictures = await add_audio(pair), await add_video(pair)
    async with pair.connect():
        await together(pictures.expect_pictures(), tones.expect_tones())
        for transceiver in (*pictures.both, *tones.both):
            await transceiver.enable(False)
        await together(
            *(expect_black(one) for one in pictures.both), *(expect_silence(one) for one in tones.both)
        )
        for transceiver in (*pictures.both, *tones.both):
            await transceiver.enable(True)
        await together(pictures.expect_pictures(), tones.expect_tones())


@offered(*BOTH)
async def test_media_in_one_direction_alone(pair: Pair) -> None:
    ours, theirs = await pair.offerer.send(OUR_CARD), await pair.offerer.send(OUR_TONE)
    async with pair.connect():
        pictures, tones = await pair.answerer.transceivers()
        assert (await pictures.info())["currentDirection"] == "recvonly"
        assert (await ours.info())["currentDirection"] == "sendonly"
        await together(expect_card(pictures, OUR_CARD), expect_tone(tones, OUR_TONE))
        assert (await theirs.info())["currentDirection"] == "sendonly"


@offered(*BOTH)
async def test_a_call_that_only_receives(pair: Pair) -> None:
    """The offer asks for media; what the answerer's tracks are put to."""
    for kind in ("video", "audio"):
        await pair.offerer.add_transceiver(kind, direction="recvonly")
    await pair.answerer.send(OUR_CARD)
    await pair.answerer.send(OUR_TONE)
    async with pair.connect():
        pictures, tones = await pair.offerer.transceivers()
        assert (await pictures.info())["currentDirection"] == "recvonly"
        await together(expect_card(pictures, OUR_CARD), expect_tone(tones, OUR_TONE))


@offered(*BOTH, "wrtc-local", "aiortc-local", "aiortc-remote")
async def test_the_answerer_chooses_the_codec(pair: Pair) -> None:
    pictures, tones = await add_video(pair), await add_audio(pair)
    chosen = "H264" if pair.remote.name == "aiortc" else "VP9"
    await (pictures.theirs if pair.local_offers else pictures.ours).prefer(chosen)
    await (tones.theirs if pair.local_offers else tones.ours).prefer("PCMA")
    async with pair.connect() as (_, answer):
        assert codecs(answer) == [chosen, "PCMA"]
        await together(pictures.expect_pictures(), tones.expect_tones())


@offered("chromium-local", "firefox-remote")
async def test_codecs_change_in_a_call(pair: Pair) -> None:
    pictures, tones = await add_video(pair), await add_audio(pair)
    async with pair.connect() as (_, answer):
        assert codecs(answer) == ["VP8", "OPUS"]
        await together(pictures.expect_pictures(), tones.expect_tones())
        offered = pictures.ours if pair.local_offers else pictures.theirs
        await offered.prefer("VP9")
        await (tones.ours if pair.local_offers else tones.theirs).prefer("G722")
        async with pair.reconnect(by=pair.offerer) as (_, answer):
            assert codecs(answer) == ["VP9", "G722"]
            await together(pictures.expect_pictures(may_lose=CUT_OFF), tones.expect_tones(may_lose=CUT_OFF))


@offered("chromium-remote", "firefox-local")
async def test_an_ice_restart_keeps_the_media(pair: Pair) -> None:
    pictures, tones = await add_video(pair), await add_audio(pair)
    async with pair.connect():
        await together(pictures.expect_pictures(), tones.expect_tones())
        async with pair.reconnect(by=pair.offerer, restart=True):
            await together(pictures.expect_pictures(), tones.expect_tones())


@offered("chromium-local", "firefox-remote")
async def test_two_pictures_and_two_tones_at_once(pair: Pair) -> None:
    pictures, tones = await add_video(pair), await add_audio(pair)
    others = [
        Call(await pair.local.send(source), await pair.remote.send(source))
        for source in (OTHER_CARD, OTHER_TONE)
    ]
    async with pair.connect():
        await together(
            pictures.expect_pictures(),
            tones.expect_tones(),
            others[0].expect_pictures(ours=OTHER_CARD, theirs=OTHER_CARD),
            others[1].expect_tones(ours=OTHER_TONE, theirs=OTHER_TONE),
        )


COUNTED = ("packets", "bytes", "headerBytes")


def counts(stats: Stats, way: str, *, without_repeated: bool) -> tuple[int, int, int]:
    """Packets, octets of payload, octets of headers and padding."""
    packets, payload, headers = (stats[f"{name}{way}"] for name in COUNTED)
    if without_repeated and stats.get("rtxSsrc"):  # of what headers these have nothing is told
        return (
            packets - stats[f"retransmittedPackets{way}"],
            payload - stats[f"retransmittedBytes{way}"],
            0,
        )
    return packets, payload, headers


@offered("chromium-local", "chromium-remote", "firefox-local", "wrtc-remote", "rtcstack-local")
async def test_both_ends_count_the_same(pair: Pair) -> None:
    """Sound with tones, pictures, and what probes for bandwidth: nothing twice, and nothing left out."""
    tones, pictures = await add_audio(pair), await add_video(pair)
    async with pair.connect():
        await together(pictures.expect_pictures(), tones.expect_tones())
        ours: Any = tones.ours
        ours.transceiver.sender.dtmf.insertDTMF("12#", 100, 70)
        await asyncio.sleep(1)
        for call in (tones, pictures):
            for transceiver in call.both:
                await transceiver.replace(None)
        # Firefox counts what came by RTX apart, and tells it nowhere
        without_repeated = pair.remote.name == "firefox"
        for sender, receiver in (tones.both, pictures.both):
            sent: Any = None
            for _ in range(20):  # browsers answer with what they knew some time ago
                await asyncio.sleep(0.5)
                out = stats_of(await sender.stats(), "outbound-rtp")
                came = stats_of(await receiver.stats(), "inbound-rtp", out["ssrc"])
                sent = counts(out, "Sent", without_repeated=without_repeated)
                received = counts(came, "Received", without_repeated=False)
                if without_repeated and out.get("rtxSsrc"):
                    received = (*received[:2], 0)
                if sent == received:
                    break
            assert sent == received, f"{out} is not {came}"
        for receiver, sender in (tones.both, pictures.both):
            out = stats_of(await sender.stats(), "outbound-rtp")
            came = stats_of(await receiver.stats(), "inbound-rtp", out["ssrc"])
            assert came["bytesReceived"] == out["bytesSent"], f"{out} is not {came}"
            # padding may come before there is a picture, and is of no stream then
            assert 0 <= out["packetsSent"] - came["packetsReceived"] <= 2, f"{out} is not {came}"
