"""pipecat-ai: its SmallWebRTC connection, and the tracks of its transport."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest

from tests.support.wanted import wanted

connection = wanted("pipecat.transports.smallwebrtc.connection")

from pipecat.transports.smallwebrtc.transport import RawAudioTrack, RawVideoTrack  # noqa: E402

from tests.frameworks.clients import TONE_HZ, browser, is_ours, pitch, until  # noqa: E402

RATE = 24_000


async def test_a_connection_hears_and_speaks() -> None:
    assert is_ours("pipecat.transports.smallwebrtc.connection")
    made = connection.SmallWebRTCConnection()
    told: list[Any] = []
    for name in ("connected", "app-message", "track-started", "closed", "disconnected"):

        async def handler(_: Any, *arguments: Any, name: str = name) -> None:
            told.append((name, *arguments))

        made.event_handler(name)(handler)
    async with browser("audio video", channel="chat") as me:
        offer = await me.offer()
        await made.initialize(offer["sdp"], offer["type"])
        answer = made.get_answer()
        await made.connect()
        await me.accept(answer["sdp"])
        await until(lambda: made.is_connected() and ("connected",) in told)

        voice = RawAudioTrack(RATE)
        made.replace_audio_track(voice)
        tone = (np.sin(np.arange(RATE * 3) * 2 * np.pi * TONE_HZ / RATE) * 10_000).astype(np.int16)
        spoken = voice.add_audio_bytes(tone.tobytes())
        picture = RawVideoTrack(320, 240)
        made.replace_video_track(picture)
        for _ in range(200):
            picture.add_video_frame(type("Image", (), {"image": bytes([255, 0, 0]) * 320 * 240}))
        red, green, blue = (await me.sees()).mean(axis=(0, 1))
        assert red > 180 > 80 > max(green, blue)
        assert await me.hears(100) == pytest.approx(TONE_HZ, abs=10)
        assert await asyncio.wait_for(spoken, 20)

        heard = made.audio_input_track()
        await heard.discard_old_frames()
        frames = [await asyncio.wait_for(heard.recv(), 20) for _ in range(40)]
        assert pitch(frames[20:]) == pytest.approx(TONE_HZ, abs=10)
        seen = await asyncio.wait_for(made.video_input_track().recv(), 20)
        assert (seen.width, seen.height) == (320, 240)

        assert me.channel is not None
        me.channel.send(json.dumps({"label": "rtvi-ai", "type": "text", "text": "hello"}))
        await until(lambda: any(each[0] == "app-message" for each in told))
        made.send_app_message({"text": "welcome"})
        await until(lambda: any("welcome" in str(message) for message in me.messages))

        await made.disconnect()
        await until(lambda: any("peerLeft" in str(message) for message in me.messages))
        assert made.pc.connectionState == "closed"


async def test_frames_that_nobody_reads_are_not_kept() -> None:
    made = connection.SmallWebRTCConnection()
    async with browser("audio") as me:
        offer = await me.offer()
        await made.initialize(offer["sdp"], offer["type"])
        await made.connect()
        await me.accept(made.get_answer()["sdp"])
        track = made.audio_input_track()
        await track.discard_old_frames()
        await asyncio.sleep(1.0)
        assert track._queue.qsize() == 0  # it says that its receiver is not to fill it
        await asyncio.wait_for(track.recv(), 20)
        await made.disconnect()
