"""Sound adapts: what is received to the network's jitter, what is sent to what the network carries."""

from __future__ import annotations

import asyncio
import random

import numpy as np
import pytest

from rtcstack import ToneSource
from tests.scenarios.test_statistics import Watched, watched
from tests.unit.codecs.test_stretching import peak_hz

pytestmark = pytest.mark.asyncio

RATE = 48_000


NAMES = (
    "concealedSamples",
    "concealmentEvents",
    "packetsLost",
    "packetsDiscarded",
    "jitterBufferDelay",
    "jitterBufferEmittedCount",
    "insertedSamplesForDeceleration",
    "removedSamplesForAcceleration",
    "totalSamplesReceived",
)


async def counted(it: Watched, seconds: float) -> dict[str, float]:
    """What statistics count in so much time, and the mean delay in it."""
    before = await it.inbound("audio")
    it.heard.clear()
    await asyncio.sleep(seconds)
    after = await it.inbound("audio")
    moved = {name: after[name] - before[name] for name in NAMES}
    moved["held_s"] = moved["jitterBufferDelay"] / moved["jitterBufferEmittedCount"]
    return moved


@pytest.mark.parametrize("jitter_s", [0.04, 0.1])
async def test_three_minutes_of_jitter_and_loss(jitter_s: float) -> None:
    """Nothing is made up but what is lost, and nothing waits for longer than the jitter asks for."""
    async with watched(ToneSource(440).track()) as it:
        it.link.jitter_s, it.link.loss = jitter_s, 0.05
        await asyncio.sleep(5)
        moved = await counted(it, 180)
        it.link.loss = 0.0
        assert moved["packetsLost"] == pytest.approx(450, abs=80)
        assert moved["concealedSamples"] <= (moved["packetsLost"] + 2) * 960
        assert moved["packetsDiscarded"] <= 2
        assert moved["held_s"] < jitter_s
        assert abs(peak_hz(np.concatenate(it.heard)) - 440) < 1


async def test_a_link_that_stands_still_now_and_then() -> None:
    """The delay grows to what the stops ask for, and goes again without anything being left out."""
    async with watched(ToneSource(440).track()) as it:
        usual_s, rng = it.link.delay_s, random.Random(7)

        async def stop_now_and_then() -> None:
            while True:
                await asyncio.sleep(rng.uniform(0.5, 3))
                # for so long nothing comes, and then all of it at once
                stop_s = rng.uniform(0.06, 0.15)
                it.link.delay_s = usual_s + stop_s
                await asyncio.sleep(0.0199)  # one packet: what comes behind waits for it
                it.link.delay_s = usual_s

        stopping = asyncio.ensure_future(stop_now_and_then())
        moved = await counted(it, 180)
        stopping.cancel()
        assert moved["packetsLost"] == 0
        assert moved["concealedSamples"] < 0.003 * moved["totalSamplesReceived"]
        assert moved["held_s"] < 0.17
        await asyncio.sleep(40)
        moved = await counted(it, 20)
        assert moved["concealedSamples"] == 0
        assert moved["held_s"] < 0.06
        assert abs(peak_hz(np.concatenate(it.heard)) - 440) < 1
