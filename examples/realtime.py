"""OpenAI's realtime API over WebRTC: an HTTP POST of the offer, a data channel of events, and two sounds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp

from rtcstack import AudioOutput, MediaStreamTrack, RTCPeerConnection

__all__ = ["RealtimeError", "RealtimePipeline"]

URL = "https://api.openai.com/v1/realtime/calls"

MAX_ANSWER_BYTES = 1 << 18
TIMEOUT_S = 20.0


class RealtimeError(Exception):
    """The service refused, or did not answer as it should."""


async def exchange(url: str, key: str, offer: str, model: str) -> str:
    """Post an offer; the answer.

    Raises:
        RealtimeError: says what came in its place.
    """
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/sdp"}
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, params={"model": model}, headers=headers, data=offer) as response,
        ):
            body = (await response.content.read(MAX_ANSWER_BYTES)).decode(errors="replace")
            status, kind = response.status, response.content_type
    except TimeoutError:
        raise RealtimeError(f"{url} has not answered for {TIMEOUT_S:g} s") from None
    except aiohttp.ClientError as exc:
        raise RealtimeError(f"{url} cannot be reached: {exc}") from exc
    if status == 401:
        raise RealtimeError(f"{url} refuses the key (401): {_reason(body)}")
    if not 200 <= status < 300:
        raise RealtimeError(f"{url} answers {status}: {_reason(body)}")
    if not body.strip():
        raise RealtimeError(f"{url} answers {status} with nothing in it")
    if not body.startswith("v="):
        raise RealtimeError(f"{url} answers {status} with {kind}, not with a description: {body[:80]!r}")
    return body


def _reason(body: str) -> str:
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return repr(body[:80]) if body.strip() else "without saying why"


class RealtimePipeline:
    """The service listens, thinks and speaks.

    Args:
        key: of the API; from the environment, never in a page.
        model: its name.
        url: of the service.
        on_event: called with each event that comes over the channel.
    """

    def __init__(
        self,
        key: str,
        model: str = "gpt-realtime",
        url: str = URL,
        on_event: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self._key = key
        self._model = model
        self._url = url
        self._on_event = on_event
        self._pc: RTCPeerConnection | None = None
        self._events: Any = None
        self._voice: AudioOutput | None = None
        self.interrupted = 0

    async def open(self) -> None:
        """Connect. See `exchange` for what is raised."""
        pc = self._pc = RTCPeerConnection()
        pc.addTransceiver("audio")
        self._events = pc.createDataChannel("oai-events")
        self._events.on("message", self._heard)
        try:
            await pc.setLocalDescription()
            offer = await pc.gathered()
            answer = await exchange(self._url, self._key, offer.sdp, self._model)
            try:
                await pc.setRemoteDescription({"type": "answer", "sdp": answer})
            except Exception as exc:
                raise RealtimeError(
                    f"{self._url} answers with a description that does not fit: {exc}"
                ) from exc
        except BaseException:
            await self.close()
            raise

    def send(self, event: dict[str, Any]) -> None:
        """Say something over the channel: ``{"type": "response.create"}``."""
        self._events.send(json.dumps(event))

    def _heard(self, message: Any) -> None:
        try:
            event = json.loads(message.data)
        except ValueError:
            return
        if not isinstance(event, dict):
            return
        somebody_speaks = event.get("type") == "input_audio_buffer.speech_started"
        if somebody_speaks and self._voice is not None and self._voice.flush() > 0:  # barge-in
            self.interrupted += 1
        if self._on_event is not None:
            self._on_event(event)

    async def run(self, microphone: MediaStreamTrack, voice: AudioOutput) -> None:
        """See `examples.voice_agent.Pipeline`."""
        assert self._pc is not None
        self._voice = voice
        transceiver = self._pc.getTransceivers()[0]
        await transceiver.sender.replaceTrack(microphone)
        speaking = asyncio.create_task(self._speak(transceiver.receiver.track, voice))
        microphone.on("ended", lambda: speaking.cancel())
        try:
            await asyncio.wait({speaking})
        finally:
            speaking.cancel()

    async def _speak(self, track: MediaStreamTrack, voice: AudioOutput) -> None:
        chunks = track.pcm(voice.rate)
        try:
            async for chunk in chunks:
                await voice.write(chunk)
        finally:
            chunks.close()

    async def close(self) -> None:
        """See `examples.voice_agent.Pipeline`."""
        pc, self._pc = self._pc, None
        if pc is not None:
            await pc.close()
