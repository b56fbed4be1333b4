"""The voice agent as it stands, with a caller of this stack in the browser's place."""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiohttp.test_utils import TestServer

from examples.realtime import RealtimeError, RealtimePipeline
from examples.voice_agent import Agent, EchoPipeline
from rtcstack import AudioOutput, RTCPeerConnection
from tests.interop.test_examples import ROOT
from tests.support.realtime_server import KEY, SPEAKS_HZ, RealtimeServer

RATE = 16_000


def tone(seconds: float, hertz: float) -> Any:
    at = np.arange(round(seconds * RATE)) / RATE
    return (np.sin(2 * np.pi * hertz * at) * 12_000).astype(np.int16)


def is_loud(chunk: Any) -> bool:
    return bool(np.abs(chunk.astype(np.int32)).mean() > 500)


class Caller:
    """What a browser does."""

    def __init__(self) -> None:
        self.pc = RTCPeerConnection()
        self.microphone = AudioOutput(RATE, max_buffered_s=20)
        self.pc.addTrack(self.microphone.track)
        self.chunks: Any = None

    async def call(self, url: str) -> None:
        await self.pc.setLocalDescription()
        offer = await self.pc.gathered()
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{url}/call", json=offer.toJSON()) as response,
        ):
            if response.status != 200:
                raise RuntimeError(f"{response.status} {await response.text()}")
            await self.pc.setRemoteDescription(await response.json())
        self.chunks = self.pc.getReceivers()[0].track.pcm(RATE)

    async def hear(self, condition: Callable[[Any], bool], count: int) -> Any:
        """Chunks, from the first of a row of so many that are all like that."""
        row: list[Any] = []
        async for chunk in self.chunks:
            row = [*row, chunk] if condition(chunk) else []
            if len(row) == count:
                return np.concatenate(row)
        raise AssertionError("the agent has hung up")

    async def close(self) -> None:
        if self.chunks is not None:
            self.chunks.close()
        self.microphone.close()
        await self.pc.close()


def pitch(samples: Any) -> float:
    spectrum = np.abs(np.fft.rfft(samples.astype(float) * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * RATE / len(samples))


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    server = TestServer(app)
    await server.start_server()
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        await server.close()


async def gone(agent: Agent) -> None:
    async with asyncio.timeout(10):
        while agent.calls:
            await asyncio.sleep(0.02)


async def test_the_echo_says_again_what_was_said_and_is_interrupted() -> None:
    agent = Agent(lambda: EchoPipeline(delay_s=0.3))
    caller = Caller()
    async with asyncio.timeout(40), serving(agent.app()) as url:
        await caller.call(url)
        await caller.microphone.write(tone(3.0, 440))
        said = await caller.hear(is_loud, 20)
        assert pitch(said) == pytest.approx(440, abs=10)
        # in the middle of its three seconds somebody talks
        await caller.microphone.write(tone(0.5, 880))
        await caller.hear(lambda chunk: not is_loud(chunk), 10)
        (pipeline,) = agent.pipelines
        assert isinstance(pipeline, EchoPipeline)
        assert pipeline.interrupted == 1
        assert pitch(await caller.hear(is_loud, 15)) == pytest.approx(880, abs=15)
        await caller.close()
        await gone(agent)


async def test_the_realtime_api_answers_and_is_interrupted() -> None:
    service = RealtimeServer(says_s=5.0)
    events: list[str] = []
    async with asyncio.timeout(40), serving(service.app()) as api:
        agent = Agent(
            lambda: RealtimePipeline(
                KEY, "gpt-test", f"{api}/v1/realtime/calls", lambda event: events.append(event["type"])
            ),
            24_000,
        )
        caller = Caller()
        async with serving(agent.app()) as url:
            await caller.call(url)
            await caller.microphone.write(tone(1.0, 440))
            assert pitch(await caller.hear(is_loud, 20)) == pytest.approx(SPEAKS_HZ, abs=15)
            await caller.microphone.write(tone(0.5, 440))  # into its word
            await caller.hear(lambda chunk: not is_loud(chunk), 8)
            assert "output_audio_buffer.cleared" in events
            assert pitch(await caller.hear(is_loud, 20)) == pytest.approx(SPEAKS_HZ, abs=15)
            await caller.close()
            await gone(agent)
    assert service.models == ["gpt-test"]
    assert events[0] == "session.created"
    assert events[1:4] == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "response.created",
    ]
    assert len(service.heard) > 40


FAILURES = [
    (None, "wrong key", r"refuses the key \(401\): Incorrect API key"),
    ((429, "application/json", '{"error": {"message": "slow down"}}'), KEY, "429: slow down"),
    ((500, "text/html", "<h1>Oops</h1>"), KEY, "500: '<h1>Oops"),
    ((503, "text/plain", ""), KEY, "503: without saying why"),
    ((200, "text/html", "<!doctype html>"), KEY, "200 with text/html, not with a description"),
    ((201, "application/sdp", ""), KEY, "201 with nothing in it"),
    ((201, "application/sdp", "v=0\r\nrubbish"), KEY, "does not fit"),
]


@pytest.mark.parametrize(("failure", "key", "said"), FAILURES)
async def test_a_service_that_refuses_is_named_and_leaves_nothing(
    failure: tuple[int, str, str] | None, key: str, said: str
) -> None:
    service = RealtimeServer()
    service.failure = failure
    async with serving(service.app()) as api:
        pipeline = RealtimePipeline(key, url=f"{api}/v1/realtime/calls")
        with pytest.raises(RealtimeError, match=said):
            await pipeline.open()
        agent = Agent(lambda: RealtimePipeline(key, url=f"{api}/v1/realtime/calls"))
        caller = Caller()
        async with serving(agent.app()) as url:
            with pytest.raises(RuntimeError, match=r"^502 "):
                await caller.call(url)
        assert agent.calls == 0
        await caller.close()


@pytest.mark.parametrize("key", [KEY, "wrong"])
async def test_the_example_of_the_how_to(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "how-to" / "voice-agent.md").read_text()
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[1]
    service = RealtimeServer()
    microphone = AudioOutput(RATE)
    async with asyncio.timeout(30), serving(service.app()) as api:
        hang_up = asyncio.get_running_loop().call_later(1.5, microphone.close)
        names = {
            "AudioOutput": AudioOutput,
            "key": key,
            "track": microphone.track,
            "url": f"{api}/v1/realtime/calls",
        }
        await eval(compile(code, "voice-agent.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
        hang_up.cancel()
        microphone.close()
    said = capsys.readouterr().out
    assert ("session.created" if key == KEY else "refuses the key") in said


async def test_a_service_that_is_not_there() -> None:
    with pytest.raises(RealtimeError, match="cannot be reached"):
        await RealtimePipeline(KEY, url="http://127.0.0.1:9/v1/realtime/calls").open()


async def test_what_is_no_offer_is_refused() -> None:
    agent = Agent(EchoPipeline)
    async with serving(agent.app()) as url, aiohttp.ClientSession() as session:
        for body in ("", "<html>", "[]", '{"type": "offer", "sdp": "v=0"}'):
            async with session.post(f"{url}/call", data=body) as response:
                assert response.status == 400
        async with session.get(url) as response:
            assert "getUserMedia" in await response.text()
    assert agent.calls == 0
