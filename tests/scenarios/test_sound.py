"""Sound adapts: what is received to the network's jitter, what is sent to what the network carries."""

from __future__ import annotations

import asyncio
import random

import numpy as np
import pytest

from rtcstack import RTCSessionDescription, TestPatternSource, ToneSource
from rtcstack.media.pipeline.audio_out import AudioOutbound
from tests.conformance.helpers import negotiate
from tests.scenarios.media import Speech, Talk
from tests.scenarios.test_statistics import Watched, pattern, watched
from tests.support.insides import outbound_of
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


# -- sent -----------------------------------------------------------------------------------------

NARROW_BYTES_PER_S = 5_000
"""Forty kilobits a second, of which each packet takes 72 bytes for headers and protection."""


class Sender:
    """The sound that one side sends."""

    def __init__(self, it: Watched) -> None:
        self.it = it
        self.sender = next(s for s in it.a.getSenders() if s.track is not None and s.track.kind == "audio")
        outbound = outbound_of(self.sender)
        assert isinstance(outbound, AudioOutbound)
        self.outbound = outbound

    async def let_packets_grow(self) -> None:
        parameters = self.sender.getParameters()
        parameters.encodings[0].adaptivePtime = True
        await self.sender.setParameters(parameters)

    @property
    def target_bps(self) -> int:
        return self.outbound.target_bps or 0

    def narrow(self, rate: float = NARROW_BYTES_PER_S, queue_s: float = 0.1) -> None:
        self.it.link.rate_bytes_per_s, self.it.link.queue_bytes = rate, int(rate * queue_s)

    def widen(self) -> None:
        self.narrow(125_000)

    async def watch(self, seconds: float) -> tuple[float, float, list[int]]:
        """Loss on the link, the longest wait in its queue, and what the encoder aimed at in each second."""
        link = self.it.link
        overflowed, delivered = link.overflowed, link.delivered
        link.queue_delay_max_s = 0.0
        targets = []
        for _ in range(round(seconds)):
            await asyncio.sleep(1)
            targets.append(self.target_bps)
        lost = link.overflowed - overflowed
        return lost / (lost + link.delivered - delivered), link.queue_delay_max_s, targets


def tone_share(heard: np.ndarray) -> float:
    """How much of what is heard between 400 and 480 Hz is within 3 Hz of the tone."""
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard)))) ** 2
    hertz = np.fft.rfftfreq(len(heard), 1 / RATE)
    near = spectrum[np.abs(hertz - 440) < 3].sum()
    return float(near / spectrum[(hertz > 400) & (hertz < 480)].sum())


async def test_sound_alone_follows_a_narrow_link_and_comes_back() -> None:
    async with watched(Talk().track()) as it:
        sound = Sender(it)
        assert sound.target_bps == 48_000
        assert (await it.outbound("audio"))["targetBitrate"] == 48_000
        sound.narrow()
        await asyncio.sleep(10)
        it.heard.clear()
        loss, queue_s, targets = await sound.watch(30)
        assert loss < 0.01
        assert queue_s < 0.06
        assert max(targets) < 20_000
        assert min(targets) >= 8_000
        assert (await it.outbound("audio"))["targetBitrate"] == sound.target_bps
        assert tone_share(np.concatenate(it.heard)) > 0.5
        sound.widen()
        _, _, targets = await sound.watch(10)
        assert targets[-1] == 48_000
        it.heard.clear()
        await sound.watch(5)
        assert tone_share(np.concatenate(it.heard)) > 0.7


async def test_packets_grow_where_they_may_and_carry_more_of_the_sound() -> None:
    async with watched(Talk().track()) as it:
        sound = Sender(it)
        await sound.let_packets_grow()
        await sound.watch(3)
        assert it.link.delivered
        sound.narrow()
        await asyncio.sleep(10)
        before = await it.inbound("audio")
        it.heard.clear()
        loss, queue_s, targets = await sound.watch(30)
        after = await it.inbound("audio")
        packets = after["packetsReceived"] - before["packetsReceived"]
        assert packets / 30 < 20  # of 60 ms
        assert sum(targets) / len(targets) > 24_000
        # one packet of such is a third of the queue: it is lost as soon as a second one waits
        assert loss < 0.04
        assert queue_s < 0.1
        assert tone_share(np.concatenate(it.heard)) > 0.7
        sound.widen()
        await sound.watch(25)
        before = await it.inbound("audio")
        await sound.watch(5)
        after = await it.inbound("audio")
        assert after["packetsReceived"] - before["packetsReceived"] == pytest.approx(250, abs=3)
        assert sound.target_bps == 48_000


@pytest.mark.parametrize("limit", [{"jitter_s": 0.04}, {"loss": 0.05}, {"loss": 0.1}])
async def test_what_is_no_congestion_costs_no_bits(limit: dict[str, float]) -> None:
    async with watched(Talk().track()) as it:
        for name, value in limit.items():
            setattr(it.link, name, value)
        _, _, targets = await Sender(it).watch(40)
        it.link.loss = 0.0
        assert set(targets) == {48_000}


@pytest.mark.parametrize("seconds", [3, 10])
async def test_after_an_outage_sound_has_its_bits_again(seconds: float) -> None:
    async with watched(Talk().track()) as it:
        sound = Sender(it)
        it.link.is_up = False
        await asyncio.sleep(seconds)
        it.link.is_up = True
        _, _, targets = await sound.watch(10)
        assert targets[-1] == 48_000
        assert min(targets) >= 8_000


async def test_the_encoder_is_told_of_losses_in_steps() -> None:
    async with watched(Talk().track()) as it:
        sound = Sender(it)
        coder = sound.outbound._coder
        assert coder is not None
        assert coder.loss_percent == 0
        it.link.loss = 0.12
        await sound.watch(30)
        assert coder.loss_percent in (5, 10, 15)
        it.link.loss = 0.0
        await sound.watch(120)
        assert coder.loss_percent == 0


async def test_pictures_give_way_to_sound() -> None:
    async with watched(Talk().track(), pattern()) as it:
        sound = Sender(it)
        sound.narrow(25_000)
        await asyncio.sleep(10)
        _, _, targets = await sound.watch(20)
        assert set(targets) == {48_000}
        video = (await it.outbound("video"))["targetBitrate"]
        assert video < 150_000


async def test_sound_that_comes_encoded_keeps_its_bits_and_asks_for_no_feedback() -> None:
    speech = Speech()
    async with watched(speech.start()) as it:
        sound = Sender(it)
        before = await it.outbound("audio")
        sound.narrow(50_000)
        await asyncio.sleep(5)
        after = await it.outbound("audio")
        assert after["packetsSent"] - before["packetsSent"] == pytest.approx(250, abs=3)
        assert sound.outbound.transport.session.sending.estimate_bps is None
        speech.stop()


async def test_packets_grow_no_longer_than_the_peer_takes() -> None:
    async with watched(Talk().track()) as it:
        await it.a.setLocalDescription()
        offer = it.a.localDescription
        assert offer is not None
        await it.b.setRemoteDescription(offer)
        await it.b.setLocalDescription()
        answer = it.b.localDescription
        assert answer is not None
        assert "a=maxptime:120\r\n" in answer.sdp
        shorter = RTCSessionDescription("answer", answer.sdp.replace("maxptime:120", "maxptime:40"))
        await it.a.setRemoteDescription(shorter)
        sound = Sender(it)
        await sound.let_packets_grow()
        sound.narrow()
        await sound.watch(10)
        before = await it.inbound("audio")
        await sound.watch(10)
        after = await it.inbound("audio")
        received = after["packetsReceived"] - before["packetsReceived"]
        assert received + after["packetsLost"] - before["packetsLost"] == pytest.approx(250, abs=5)


@pytest.mark.parametrize("is_narrow", [False, True])
async def test_pictures_that_join_are_as_fast_as_without_sound(is_narrow: bool) -> None:
    async with watched(Talk().track()) as it:
        sound = Sender(it)
        sound.narrow(500_000)
        await asyncio.sleep(5)
        if is_narrow:
            sound.narrow()
            await asyncio.sleep(10)
        it.a.addTrack(TestPatternSource(1280, 720, 30).track())
        await negotiate(it.a, it.b)
        await asyncio.sleep(1)
        estimate = sound.outbound.transport.session.sending.estimate_bps
        assert estimate is not None
        if is_narrow:
            # what was learnt of the link stays
            assert estimate < 60_000
        else:
            assert estimate > 2_000_000
