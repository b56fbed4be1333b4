"""Stacks without codecs: what we send them they send back, packet by packet, as a forwarding server would."""

from __future__ import annotations

import asyncio

import pytest

from tests.interop.conftest import Pair
from tests.interop.media import OUR_CARD, OUR_TONE, codecs, stats_of, together
from tests.support.judge import expect_card, expect_tone
from tests.support.w3c_media import W3CTransceiver

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY_FRAME_S = 3.0
"""How long a request takes to go through, and its key frame to come back."""


@pytest.mark.parametrize(
    ("peer_name", "video"), [("pion", "VP8"), ("pion", "H264"), ("werift", "VP8")], indirect=["peer_name"]
)
async def test_what_is_sent_comes_back(pair: Pair, video: str) -> None:
    pictures, tones = await pair.local.send(OUR_CARD), await pair.local.send(OUR_TONE)
    assert isinstance(pictures, W3CTransceiver)
    if pair.local_offers:
        await pictures.prefer(video)
    else:
        theirs = await pair.remote.add_transceiver("video")
        if pair.remote.name == "pion":
            await theirs.prefer(video)
        await pair.remote.add_transceiver("audio")
    async with pair.connect() as (_, answer):
        assert codecs(answer) == [video, "OPUS"]
        await together(expect_card(pictures, OUR_CARD), expect_tone(tones, OUR_TONE))
        before = stats_of(await pictures.stats(), "outbound-rtp")
        received = stats_of(await pictures.stats(), "inbound-rtp")
        pictures.transceiver.receiver.requestKeyFrame()
        for _ in range(round(KEY_FRAME_S / 0.05)):
            await asyncio.sleep(0.05)
            sent = stats_of(await pictures.stats(), "outbound-rtp")
            came = stats_of(await pictures.stats(), "inbound-rtp")
            if came["keyFramesDecoded"] > received["keyFramesDecoded"]:
                break
        assert sent["pliCount"] + sent["firCount"] > before["pliCount"] + before["firCount"], sent
        assert came["keyFramesDecoded"] > received["keyFramesDecoded"], came
        # what came back is what was sent, and nothing of it was lost on either way
        assert came["packetsLost"] == 0, came
        assert (came["frameWidth"], came["frameHeight"]) == (OUR_CARD.width, OUR_CARD.height)
        heard = stats_of(await tones.stats(), "inbound-rtp")
        assert heard["packetsLost"] == 0, heard
        told = stats_of(await tones.stats(), "remote-inbound-rtp")
        assert told.get("packetsLost", 0) == 0, told
