"""Parity with Chromium, both ways: each brings back what the other's parity is made of."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rtcstack.rtp import protection, sending
from rtcstack.rtp.fec import Recovery
from rtcstack.rtp.history import History
from rtcstack.rtp.packet import RtpPacket
from rtcstack.rtp.receive import ReceiveStream
from tests.interop.conftest import Pair
from tests.interop.media import stats_of
from tests.interop.outage import Network
from tests.support.judge import expect_card
from tests.support.media import Card

pytestmark = pytest.mark.asyncio(loop_scope="session")

CAMERA = Card(width=640, height=480)

EVERY = 12
"""Of so many packets one is lost."""

LOSING_S = 5.0
"""How long all pictures come through, though packets are lost."""

DELAY_S = 0.1
"""Of a shorter round trip Chromium, like us, thinks that retransmissions come soon enough."""

RESTORED, PATIENCE_S = 5, 45.0
"""So many packets are brought back, sooner or later: Chromium sends parity when it has seen losses."""


@pytest.mark.parametrize("codec", ["VP8", "VP9"])
@pytest.mark.parametrize("peer_name", ["chromium"], indirect=True, ids=[""])
@pytest.mark.parametrize("local_offers", [True], indirect=True, ids=[""])
async def test_chromium_brings_back_what_we_lose(
    pair: Pair, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any retransmission, and each packet protected by itself: all pictures are decoded."""
    for name, value in (("_MIN_RTT_S", 0.0), ("_PER_LOSS", 100.0), ("MAX_OVERHEAD", 1.0)):
        monkeypatch.setattr(protection, name, value)
    monkeypatch.setattr(History, "retransmit", lambda *_: None)
    ours = await pair.local.add_transceiver("video", CAMERA, direction="sendonly")
    await ours.prefer(codec, "RED", "ULPFEC")
    take = sending.Sending.take
    count = 0

    def lose(controller: sending.Sending, now: float) -> list[bytes]:
        nonlocal count
        kept = []
        for packet in take(controller, now):
            count += 1
            if count % EVERY:
                kept.append(packet)
        return kept

    async with pair.connect():
        (theirs,) = await pair.remote.transceivers()
        await expect_card(theirs, CAMERA)
        monkeypatch.setattr(sending.Sending, "take", lose)
        await asyncio.sleep(5.0)  # until reports tell of losses, and Chromium has its key frame
        await expect_card(theirs, CAMERA)
        before = stats_of(await theirs.stats(), "inbound-rtp")
        sent = stats_of(await ours.stats(), "outbound-rtp")
        await asyncio.sleep(LOSING_S)
        after = stats_of(await theirs.stats(), "inbound-rtp")
        assert after["packetsLost"] > before["packetsLost"] + 10
        assert after["pliCount"] == before["pliCount"]
        assert after["keyFramesDecoded"] == before["keyFramesDecoded"]
        decoded = after["framesDecoded"] - before["framesDecoded"]
        made = stats_of(await ours.stats(), "outbound-rtp")["framesSent"] - sent["framesSent"]
        assert decoded >= made - 5
        assert stats_of(await ours.stats(), "outbound-rtp")["fecPacketsSent"] > made / 2


@pytest.mark.parametrize("codec", ["VP8", "VP9"])
@pytest.mark.parametrize("peer_name", ["chromium"], indirect=True, ids=[""])
@pytest.mark.parametrize("local_offers", [False], indirect=True, ids=[""])
async def test_we_bring_back_what_chromium_loses(
    pair: Pair, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network(monkeypatch)
    network.delay_s = DELAY_S
    theirs = await pair.remote.add_transceiver("video", CAMERA, direction="sendonly")
    await theirs.prefer(codec, "RED", "ULPFEC")
    receive, take = ReceiveStream.receive, Recovery.take
    count = 0
    lost: dict[int, RtpPacket] = {}
    restored: list[RtpPacket] = []

    def lose(stream: ReceiveStream, packet: RtpPacket, now: float) -> None:
        nonlocal count
        count += 1
        if count % EVERY:
            receive(stream, packet, now)
        else:
            lost[packet.sequence_number] = packet

    def note(recovery: Recovery, *args: Any) -> list[RtpPacket]:
        found = take(recovery, *args)
        restored.extend(found)
        return found

    async with pair.connect():
        (ours,) = await pair.local.transceivers()
        await expect_card(ours, CAMERA)
        monkeypatch.setattr(ReceiveStream, "receive", lose)
        monkeypatch.setattr(Recovery, "take", note)

        def known() -> list[tuple[bytes, bytes]]:
            pairs = [(packet, lost.get(packet.sequence_number)) for packet in restored]
            # what was lost still stands in RED
            return [(packet.payload, each.payload[1:]) for packet, each in pairs if each is not None]

        async with asyncio.timeout(PATIENCE_S):
            while len(known()) < RESTORED:
                await asyncio.sleep(0.1)
        assert all(payload == original for payload, original in known())
        found = stats_of(await ours.stats(), "inbound-rtp")
        assert found["fecPacketsReceived"] - found["fecPacketsDiscarded"] >= RESTORED
        monkeypatch.setattr(ReceiveStream, "receive", receive)
        await expect_card(ours, CAMERA)
        network.delay_s = 0.0
    await asyncio.sleep(2 * DELAY_S)  # what is still on its way goes
