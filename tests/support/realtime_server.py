"""Behaves as OpenAI's realtime API over WebRTC: takes an offer, listens, answers with sound and events."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import numpy as np
from aiohttp import web

from rtcstack import AudioOutput, RTCPeerConnection

RATE = 24_000
KEY = "sk-test"
SPEAKS_HZ = 660.0


class RealtimeServer:
    """One call at a time.

    Args:
        says_s: how long each of its answers is.

    Attributes:
        failure: status, content type and body to answer with, in place of a call.
        connections: those that were made.
        heard: samples of speech.
    """

    def __init__(self, says_s: float = 1.0) -> None:
        self._says_s = says_s
        self.failure: tuple[int, str, str] | None = None
        self.connections: list[RTCPeerConnection] = []
        self.heard: list[Any] = []
        self.models: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def app(self) -> web.Application:
        """What is served."""
        app = web.Application()
        app.add_routes([web.post("/v1/realtime/calls", self._call)])
        app.on_shutdown.append(self._close)
        return app

    async def _close(self, _app: object) -> None:
        for task in list(self._tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for pc in self.connections:
            await pc.close()

    async def _call(self, request: web.Request) -> web.Response:
        if self.failure is not None:
            status, kind, body = self.failure
            return web.Response(status=status, content_type=kind, text=body)
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            error = {"error": {"message": "Incorrect API key provided.", "code": "invalid_api_key"}}
            return web.json_response(error, status=401)
        self.models.append(request.query["model"])
        pc = RTCPeerConnection()
        self.connections.append(pc)
        voice = AudioOutput(RATE)
        pc.addTrack(voice.track)
        channels: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        pc.on("datachannel", lambda event: channels.set_result(event.channel))
        await pc.setRemoteDescription({"type": "offer", "sdp": await request.text()})
        await pc.setLocalDescription()
        answer = await pc.gathered()
        task = asyncio.create_task(self._talk(pc, voice, channels))
        self._tasks.add(task)
        return web.Response(status=201, content_type="application/sdp", text=answer.sdp)

    async def _talk(self, pc: RTCPeerConnection, voice: AudioOutput, channels: asyncio.Future[Any]) -> None:
        channel = await channels

        def tell(type: str, **more: Any) -> None:  # noqa: A002 - the API's name
            if channel.readyState == "open":
                channel.send(json.dumps({"type": type, **more}))

        tell("session.created", session={"model": self.models[-1]})
        speaks, quiet = False, 0
        async for chunk in pc.getReceivers()[0].track.pcm(RATE):
            is_loud = np.abs(chunk.astype(np.int32)).mean() > 500
            if is_loud:
                self.heard.append(chunk)
                quiet = 0
                if not speaks:
                    speaks = True
                    tell("input_audio_buffer.speech_started")
                    if voice.flush():
                        tell("output_audio_buffer.cleared")
            elif speaks:
                quiet += 1
                if quiet == 15:
                    speaks = False
                    tell("input_audio_buffer.speech_stopped")
                    tell("response.created")
                    tell("response.output_audio_transcript.delta", delta="beep")
                    at = np.arange(int(RATE * self._says_s)) / RATE
                    words = (np.sin(2 * np.pi * SPEAKS_HZ * at) * 12_000).astype(np.int16)
                    saying = asyncio.create_task(voice.write(words))
                    self._tasks.add(saying)
                    saying.add_done_callback(self._tasks.discard)
                    tell("output_audio_buffer.started")
                    tell("response.done", response={"status": "completed"})
