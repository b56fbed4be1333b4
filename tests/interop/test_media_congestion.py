"""Congestion control with Chromium: a call is soon as large as its camera, and soon again after an outage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from tests.interop.conftest import Pair
from tests.interop.media import stats_of
from tests.interop.outage import Network
from tests.support.judge import expect_card
from tests.support.media import Card, Stats, Transceiver

pytestmark = pytest.mark.asyncio(loop_scope="session")

FULL_SIZE_S = 2.0
"""From our first picture until Chromium shows them at the camera's size, and the rate is the codec's own."""

OUTAGE_S = 6.0
BACK_S = 3.0
"""After the outage rate and size must be as before within this time."""

HELD_S = 1.0
"""So long it must stay so."""

CAMERAS = [Card(width=640, height=480), Card(width=1280, height=720)]


async def until(condition: Callable[[], Awaitable[bool]], *, timeout_s: float) -> float:
    """Wait for something; how long it took, or no less than the timeout."""
    began = time.monotonic()
    while (waited := time.monotonic() - began) < timeout_s:
        if await condition():
            break
        await asyncio.sleep(0.02)
    return waited


async def sent(ours: Transceiver) -> Stats:
    """What our side says of what it sends."""
    return stats_of(await ours.stats(), "outbound-rtp")


async def received(theirs: Transceiver) -> Stats:
    """What Chromium says of what it receives."""
    return stats_of(await theirs.stats(), "inbound-rtp")


@pytest.mark.parametrize("camera", CAMERAS, ids=["640x480", "1280x720"])
@pytest.mark.parametrize("peer_name", ["chromium"], indirect=True, ids=[""])
@pytest.mark.parametrize("local_offers", [True], indirect=True, ids=[""])
async def test_a_call_is_soon_as_large_as_its_camera(pair: Pair, camera: Card) -> None:
    ours = await pair.local.send(camera)
    async with pair.connect():
        (theirs,) = await pair.remote.transceivers()

        async def begun() -> bool:
            return bool((await sent(ours)).get("framesSent"))

        async def is_full() -> bool:
            there = await received(theirs)
            here = await sent(ours)
            whole = (there.get("frameWidth"), there.get("frameHeight")) == (camera.width, camera.height)
            return whole and here["qualityLimitationReason"] == "none"

        await until(begun, timeout_s=5.0)
        assert await until(is_full, timeout_s=5.0) < FULL_SIZE_S
        await asyncio.sleep(HELD_S)
        assert await is_full()
        await expect_card(theirs, camera)
        there = await received(theirs)
        assert (there["frameWidth"], there["frameHeight"]) == (camera.width, camera.height)
        assert there["packetsLost"] == 0


@pytest.mark.parametrize("peer_name", ["chromium"], indirect=True, ids=[""])
@pytest.mark.parametrize("local_offers", [True], indirect=True, ids=[""])
async def test_after_an_outage_rate_and_size_are_soon_back(
    monkeypatch: pytest.MonkeyPatch, pair: Pair
) -> None:
    network = Network(monkeypatch)
    camera = CAMERAS[1]
    ours = await pair.local.send(camera)
    async with pair.connect():
        (theirs,) = await pair.remote.transceivers()
        await expect_card(theirs, camera)

        async def is_full() -> bool:
            return bool((await sent(ours))["qualityLimitationReason"] == "none")

        assert await until(is_full, timeout_s=5.0) < FULL_SIZE_S
        before_bps = (await sent(ours))["targetBitrate"]
        decoded = 0

        async def is_back() -> bool:
            here, there = await sent(ours), await received(theirs)
            return (
                here["targetBitrate"] >= 0.9 * before_bps
                and (here["frameWidth"], here["frameHeight"]) == (camera.width, camera.height)
                and (there["frameWidth"], there["frameHeight"]) == (camera.width, camera.height)
                and there["framesDecoded"] > decoded + 5
            )

        async with network.interrupted(OUTAGE_S):
            assert network.dropped
            decoded = (await received(theirs))["framesDecoded"]
            assert await until(is_back, timeout_s=2 * BACK_S) < BACK_S
        await expect_card(theirs, camera)
        await asyncio.sleep(HELD_S)
        assert await is_back()
