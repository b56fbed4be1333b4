"""The other side hangs up: our application is told at once, and nothing of the connection is left open."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.interop.conftest import Pair
from tests.interop.media import add_audio, add_video, together
from tests.support.media import Transceiver
from tests.support.peers import ChannelOptions, pause_trickling
from tests.support.rtcstack_peer import RtcstackPeer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("sound_card")]

TOLD_S = 2.0
"""A connection that is lost without a word takes many seconds longer to be noticed."""


@pytest.mark.parametrize(
    ("peer_name", "local_offers"),
    [("chromium", True), ("firefox", False), ("wrtc", False), ("aiortc", True), ("pion", False)],
    indirect=True,
)
async def test_we_are_told_when_the_other_side_hangs_up(pair: Pair) -> None:
    local = pair.local
    assert isinstance(local, RtcstackPeer)
    left: list[float] = []
    pc = local.pc
    pc.on("peerleft", lambda *_: left.append(time.monotonic()))
    channels = await pair.offerer.create_channel(ChannelOptions())
    sections: list[Transceiver] = []
    if pair.remote.name != "pion":
        pictures, tones = await add_video(pair), await add_audio(pair)
        sections = [pictures.ours, tones.ours]
    async with pair.connect():
        other = await pair.answerer.next_channel()
        ours, _ = await pair.opened(channels, other, by=pair.offerer)
        if sections:
            await together(pictures.expect_pictures(), tones.expect_tones())
        sctp = pc.sctp
        assert sctp is not None
        assert not left
        await pause_trickling(local)
        await pair.remote.close()
        began = time.monotonic()
        while not left and time.monotonic() - began < TOLD_S:
            await asyncio.sleep(0.02)
        assert len(left) == 1, f"{pc.connectionState} {sctp.transport.state} {sctp.state}"
        await ours.closed()
        assert (await ours.info())["readyState"] == "closed"
        assert sctp.state == "closed"
        assert sctp.transport.state == "closed"
        assert pc.sctp is None or pc.sctp is sctp
        await asyncio.sleep(0.1)
        assert len(left) == 1
