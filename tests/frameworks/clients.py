"""Who calls the frameworks: this stack under the W3C's names, as a browser would."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

import rtcstack
from rtcstack.media.testsources import TestPatternSource, ToneSource

__all__ = ["Browser", "browser", "is_ours", "pitch", "until"]

TONE_HZ = 440


def is_ours(module: str) -> bool:
    """Whether what a framework has imported as aiortc is this stack."""
    aiortc = sys.modules["aiortc"]
    names = vars(sys.modules[module]).values()
    classes = [each for each in names if inspect.isclass(each) and each in vars(aiortc).values()]
    return aiortc.__name__ == "rtcstack.compat.aiortc" and bool(classes)


async def until(condition: Callable[[], Any], timeout_s: float = 20.0) -> Any:
    """Wait for something to become true; gives it."""
    async with asyncio.timeout(timeout_s):
        while not (found := condition()):
            await asyncio.sleep(0.02)
    return found


class Browser:
    """A connection that offers.

    Attributes:
        pc: the connection.
        tracks: what the other side sends, by kind.
        messages: what came over `channel`.
    """

    def __init__(self, kinds: str, *, channel: str | None = None, sends: bool = True) -> None:
        self.pc = rtcstack.RTCPeerConnection()
        self.tracks: dict[str, Any] = {}
        self.messages: list[Any] = []
        self.channel = None if channel is None else self.pc.createDataChannel(channel)
        if self.channel is not None:
            self.channel.on("message", lambda event: self.messages.append(event.data))
        self.pc.on("track", lambda event: self.tracks.update({event.track.kind: event.track}))
        for kind in kinds.split():
            source: Any = ToneSource(TONE_HZ) if kind == "audio" else TestPatternSource(320, 240, 30)
            if sends:
                self.pc.addTrack(source.track())
            else:
                self.pc.addTransceiver(kind, direction="recvonly")

    async def offer(self) -> dict[str, str]:
        """A whole offer."""
        await self.pc.setLocalDescription()
        description: dict[str, str] = dict((await self.pc.gathered()).toJSON())
        return description

    async def accept(self, sdp: str, kind: str = "answer") -> None:
        """The other side's answer; then, that they are connected."""
        await self.pc.setRemoteDescription({"type": kind, "sdp": sdp})
        await until(lambda: self.pc.connectionState == "connected")

    async def hears(self, frames: int = 60) -> float:
        """The pitch of what the other side sends, in Hz."""
        track = await until(lambda: self.tracks.get("audio"))
        async with asyncio.timeout(20):
            return pitch([await track.recv() for _ in range(frames)][frames // 2 :])

    async def sees(self, frames: int = 5) -> np.ndarray[Any, Any]:
        """The last of so many pictures, as RGB."""
        track = await until(lambda: self.tracks.get("video"))
        async with asyncio.timeout(30):
            frame = [await track.recv() for _ in range(frames)][-1]
        picture: np.ndarray[Any, Any] = frame.to_ndarray(format="rgb24")
        return picture


@asynccontextmanager
async def browser(kinds: str, *, channel: str | None = None, sends: bool = True) -> AsyncIterator[Browser]:
    """One that is closed at the end."""
    made = Browser(kinds, channel=channel, sends=sends)
    try:
        yield made
    finally:
        await made.pc.close()


def pitch(frames: list[Any]) -> float:
    """What sounds loudest, in Hz."""
    samples = np.concatenate([f.to_ndarray().reshape(f.samples, -1)[:, 0] for f in frames]).astype(float)
    spectrum = np.abs(np.fft.rfft(samples))
    return float(np.fft.rfftfreq(len(samples), 1 / frames[0].sample_rate)[spectrum.argmax()])
