"""A voice agent: a browser's microphone in, a pipeline of your choice, its voice out.

Talk into its word, and it stops.

    python -m examples.voice_agent                      # says again what you say
    OPENAI_API_KEY=... python -m examples.voice_agent --openai

Then open http://localhost:8080. With `pip install rtcstack aiohttp numpy`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from typing import Any, Protocol

import aiohttp
import numpy as np
from aiohttp import web

from examples.realtime import RealtimeError, RealtimePipeline
from rtcstack import AudioOutput, MediaStreamTrack, RTCPeerConnection

PAGE = """<!doctype html><meta charset=utf-8><title>voice agent</title>
<button id=talk>Talk</button> <output id=state></output><script type=module>
talk.onclick = async () => {
  talk.disabled = true;
  const pc = new RTCPeerConnection();
  const sound = { echoCancellation: true, noiseSuppression: true };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: sound });
  pc.addTrack(stream.getAudioTracks()[0], stream);
  pc.ontrack = (event) => { const a = new Audio(); a.srcObject = new MediaStream([event.track]); a.play(); };
  pc.onconnectionstatechange = () => { state.value = pc.connectionState; };
  await pc.setLocalDescription();
  while (pc.iceGatheringState !== "complete") await new Promise((done) => setTimeout(done, 50));
  const answer = await fetch("/call", { method: "POST", body: JSON.stringify(pc.localDescription) });
  if (!answer.ok) { state.value = await answer.text(); pc.close(); return; }
  await pc.setRemoteDescription(await answer.json());
};
</script>"""

RATE = 16_000
FRAME_MS = 20
LOUD = 500
"""Mean level of 16-bit samples that is taken for speech."""

QUIET_MS = 400
"""Silence that ends what somebody says."""

MAX_SAID_S = 30
"""What is said in one piece; more is cut."""

log = logging.getLogger("voice_agent")


class Pipeline(Protocol):
    """What listens and speaks: recognition, a model and a synthesizer, or one service for all."""

    async def open(self) -> None:
        """Get ready; raises what the caller is to be told."""

    async def run(self, microphone: MediaStreamTrack, voice: AudioOutput) -> None:
        """Listen to one, write to the other, until the microphone ends."""

    async def close(self) -> None:
        """Let go of everything."""


class EchoPipeline:
    """Says again what was said, after a while: a stand-in for recognition, model and synthesizer.

    Args:
        delay_s: how long it thinks.
    """

    def __init__(self, delay_s: float = 0.5) -> None:
        self._delay_s = delay_s
        self._answering: asyncio.Task[None] | None = None
        self.interrupted = 0

    async def open(self) -> None:
        """Nothing to do."""

    async def run(self, microphone: MediaStreamTrack, voice: AudioOutput) -> None:
        """See `Pipeline`."""
        said: list[Any] = []
        quiet_ms = 0
        async for chunk in microphone.pcm(RATE, frame_ms=FRAME_MS):
            if np.abs(chunk.astype(np.int32)).mean() > LOUD:
                if self._answering is not None and not self._answering.done():
                    self._be_silent(voice)  # barge-in: somebody talks into our word
                quiet_ms = 0
                said.append(chunk)
            elif said:
                quiet_ms += FRAME_MS
                said.append(chunk)
            if said and (quiet_ms >= QUIET_MS or len(said) * FRAME_MS >= MAX_SAID_S * 1000):
                self._answering = asyncio.create_task(self._answer(np.concatenate(said), voice))
                said, quiet_ms = [], 0

    def _be_silent(self, voice: AudioOutput) -> None:
        assert self._answering is not None
        self._answering.cancel()
        voice.flush()
        self.interrupted += 1

    async def _answer(self, words: Any, voice: AudioOutput) -> None:
        await asyncio.sleep(self._delay_s)
        await voice.write(words)
        await voice.drained()

    async def close(self) -> None:
        """See `Pipeline`."""
        if self._answering is not None:
            self._answering.cancel()


class Agent:
    """Answers browsers, each with a pipeline of its own.

    Args:
        make: a new pipeline, and the rate of what it says.
    """

    def __init__(self, make: Callable[[], Pipeline], rate: int = RATE) -> None:
        self._make = make
        self._rate = rate
        self._calls: dict[RTCPeerConnection, asyncio.Task[None] | None] = {}
        self.pipelines: list[Pipeline] = []

    @property
    def calls(self) -> int:
        """How many there are."""
        return len(self._calls)

    async def call(self, request: web.Request) -> web.Response:
        """An offer comes in, an answer goes out."""
        pipeline = self._make()
        try:
            await pipeline.open()
        except (RealtimeError, aiohttp.ClientError) as exc:
            log.warning("%s", exc)
            raise web.HTTPBadGateway(text=str(exc)) from exc
        pc = RTCPeerConnection()
        voice = AudioOutput(self._rate)
        pc.addTrack(voice.track)
        self._calls[pc] = None
        self.pipelines.append(pipeline)

        @pc.on("track")
        def talk(event: Any) -> None:
            self._calls[pc] = asyncio.create_task(self._talk(pc, pipeline, event.track, voice))

        for over in ("peerleft", "connectionstatechange"):

            @pc.on(over)
            async def left(event: Any) -> None:
                if event.type == "peerleft" or pc.connectionState in ("failed", "closed"):
                    await self._hang_up(pc, pipeline, voice)

        try:
            await pc.setRemoteDescription(await request.json())
            await pc.setLocalDescription()
            return web.json_response((await pc.gathered()).toJSON())
        except Exception as exc:
            await self._hang_up(pc, pipeline, voice)
            raise web.HTTPBadRequest(text=f"no offer: {exc}") from exc

    async def _talk(
        self, pc: RTCPeerConnection, pipeline: Pipeline, track: MediaStreamTrack, voice: AudioOutput
    ) -> None:
        try:
            await pipeline.run(track, voice)
        except Exception:
            log.exception("the pipeline failed: the call ends")
        await self._hang_up(pc, pipeline, voice)

    async def _hang_up(self, pc: RTCPeerConnection, pipeline: Pipeline, voice: AudioOutput) -> None:
        if pc not in self._calls:
            return
        task = self._calls.pop(pc)
        self.pipelines.remove(pipeline)
        if task is not None and task is not asyncio.current_task():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        voice.close()
        await pipeline.close()
        await pc.close()

    async def close(self, _app: object = None) -> None:
        """Hang up everywhere."""
        for pc in list(self._calls):
            await pc.close()
        while self._calls:
            await asyncio.sleep(0.01)

    def app(self) -> web.Application:
        """The page and its signalling."""
        app = web.Application()
        app.add_routes([web.get("/", _page), web.post("/call", self.call)])
        app.on_shutdown.append(self.close)
        return app


async def _page(_request: web.Request) -> web.Response:
    return web.Response(text=PAGE, content_type="text/html")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m examples.voice_agent", description=__doc__)
    parser.add_argument("--openai", action="store_true", help="OpenAI's realtime API in place of an echo")
    parser.add_argument("--model", default="gpt-realtime")
    parser.add_argument("--port", type=int, default=8080)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    if arguments.openai:
        key = os.environ.get("OPENAI_API_KEY", "")
        if not key:
            parser.error("OPENAI_API_KEY is not set")
        agent = Agent(lambda: RealtimePipeline(key, arguments.model), 24_000)
    else:
        agent = Agent(EchoPipeline)
    web.run_app(agent.app(), host="localhost", port=arguments.port)


if __name__ == "__main__":
    main()
