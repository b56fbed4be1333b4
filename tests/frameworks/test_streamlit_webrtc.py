"""streamlit-webrtc: its worker handles a browser's offer in a loop of its own thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
import pytest

from tests.support.wanted import wanted

webrtc = wanted("streamlit_webrtc.webrtc")

from aiortc.contrib.media import MediaRelay  # noqa: E402

from tests.frameworks.clients import TONE_HZ, browser, is_ours  # noqa: E402


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """The framework's: it runs in another thread than whoever asks."""
    made = asyncio.new_event_loop()
    thread = threading.Thread(target=made.run_forever)
    thread.start()
    yield made
    made.call_soon_threadsafe(made.stop)
    thread.join()
    made.close()


def worker(loop: asyncio.AbstractEventLoop, mode: Any, **arguments: Any) -> Any:
    """One, with what is asked for."""
    names = [
        *("source_video_track", "source_audio_track", "sink_video_track", "sink_audio_track"),
        *("player_factory", "in_recorder_factory", "out_recorder_factory", "video_frame_callback"),
        *("audio_frame_callback", "queued_video_frames_callback", "queued_audio_frames_callback"),
        *("on_video_ended", "on_audio_ended", "video_processor_factory", "audio_processor_factory"),
    ]
    return webrtc.WebRtcWorker(
        mode=mode,
        rtc_configuration=webrtc.RTCConfiguration(iceServers=[])
        if hasattr(webrtc, "RTCConfiguration")
        else None,
        **{name: arguments.get(name) for name in names},
        async_processing=True,
        video_receiver_size=4,
        audio_receiver_size=4,
        sendback_video=True,
        sendback_audio=True,
        loop=loop,
        relay=MediaRelay(),
    )


async def answered(made: Any, offer: dict[str, str]) -> str:
    """Its answer; asking blocks, so that is done away from our loop."""
    answer = await asyncio.to_thread(made.process_offer, offer["sdp"], offer["type"], 20.0)
    return str(answer.sdp)


async def test_callbacks_change_sound_and_pictures(loop: asyncio.AbstractEventLoop) -> None:
    assert is_ours("streamlit_webrtc.webrtc")
    heard: list[float] = []

    def picture(frame: av.VideoFrame) -> av.VideoFrame:
        made = np.zeros((frame.height, frame.width, 3), np.uint8)
        made[:, :, 1] = 255
        return av.VideoFrame.from_ndarray(made, "rgb24")

    def sound(frame: av.AudioFrame) -> av.AudioFrame:
        heard.append(frame.time or 0.0)
        return frame

    made = await asyncio.to_thread(
        worker, loop, webrtc.WebRtcMode.SENDRECV, video_frame_callback=picture, audio_frame_callback=sound
    )
    async with browser("audio video") as me:
        await me.accept(await answered(made, await me.offer()))
        assert await me.hears() == pytest.approx(TONE_HZ, abs=10)
        red, green, blue = (await me.sees()).mean(axis=(0, 1))
        assert green > 180 > 80 > max(red, blue)
        assert heard == sorted(heard)
        await asyncio.to_thread(made.stop)


async def test_a_receiver_takes_frames(loop: asyncio.AbstractEventLoop) -> None:
    made = await asyncio.to_thread(worker, loop, webrtc.WebRtcMode.SENDONLY)
    async with browser("video") as me:
        await me.accept(await answered(made, await me.offer()))
        frame = await asyncio.to_thread(made.video_receiver.get_frame, 20)
        assert (frame.width, frame.height) == (320, 240)
        await asyncio.to_thread(made.stop)
