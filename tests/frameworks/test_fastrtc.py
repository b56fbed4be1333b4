"""fastrtc: its streams echo what a browser sends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.support.wanted import wanted

fastrtc = wanted("fastrtc")

from fastapi import FastAPI  # noqa: E402
from fastrtc.stream import Body  # noqa: E402

from tests.frameworks.clients import TONE_HZ, browser, is_ours, until  # noqa: E402


class Echo(fastrtc.AsyncStreamHandler):  # type: ignore[misc]
    """Says what it hears."""

    def __init__(self) -> None:
        super().__init__(input_sample_rate=48_000, output_sample_rate=48_000)
        self.queue: asyncio.Queue[Any] = asyncio.Queue()

    async def receive(self, frame: Any) -> None:
        self.queue.put_nowait(frame)

    async def emit(self) -> Any:
        return await fastrtc.wait_for_item(self.queue)

    def copy(self) -> Echo:
        return Echo()

    async def start_up(self) -> None:
        pass


async def call(stream: Any, offer: dict[str, str]) -> str:
    """What its route for offers does."""
    app = FastAPI()
    stream.mount(app)
    answer = await stream.offer(Body(sdp=offer["sdp"], type=offer["type"], webrtc_id="me"))
    return str(answer["sdp"])


async def test_an_audio_handler_echoes() -> None:
    assert is_ours("fastrtc.webrtc_connection_mixin")
    stream = fastrtc.Stream(handler=Echo(), modality="audio", mode="send-receive")
    async with browser("audio", channel="text") as me:
        await me.accept(await call(stream, await me.offer()))
        assert await me.hears() == pytest.approx(TONE_HZ, abs=10)
        assert me.channel is not None
        me.channel.send("hello")
        await until(lambda: any("hello" in str(message) for message in me.messages))
    await until(lambda: "me" not in stream.connections)


async def test_a_video_handler_changes_pictures() -> None:
    def inverted(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        made = np.zeros_like(image)
        made[:, :, 2] = 255  # BGR: red
        return made

    handler: Callable[..., Any] = inverted
    stream = fastrtc.Stream(handler=handler, modality="video", mode="send-receive")
    async with browser("video", channel="text") as me:
        await me.accept(await call(stream, await me.offer()))
        stream.set_input("me", "__webrtc_value__")
        red, green, blue = (await me.sees(40)).mean(axis=(0, 1))
        assert red > 180 > 80 > max(green, blue)
