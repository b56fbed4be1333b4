"""Connections with media, and looking at it: what a picture or a sound holds, and waiting for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import av
import numpy as np

from rtcstack import (
    MediaStreamTrack,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCRtpTransceiver,
    TestPatternSource,
)
from rtcstack.media.frames import audio_to_numpy
from rtcstack.media.testsources import read_frame_number
from tests.conformance.helpers import negotiate, until

__all__ = [
    "TIMEOUT_S",
    "connected",
    "dominant_hz",
    "frames",
    "next_frame",
    "pattern",
    "picture_numbers",
    "prefer",
    "receiver",
    "until_true",
]

TIMEOUT_S = 10.0


def pattern(width: int = 320, height: int = 240, frame_rate: float = 30) -> MediaStreamTrack:
    """A track of numbered pictures."""
    return TestPatternSource(width, height, frame_rate).track()


async def connected(a: RTCPeerConnection, b: RTCPeerConnection) -> None:
    """Negotiate, and wait until both sides are connected."""
    await negotiate(a, b)
    for pc in (a, b):
        await until(lambda pc=pc: pc.connectionState == "connected", pc, "connectionstatechange")


def receiver(pc: RTCPeerConnection, kind: str) -> RTCRtpReceiver:
    """A connection's first receiver of a kind."""
    return next(r for r in pc.getReceivers() if r.track.kind == kind)


def prefer(transceiver: RTCRtpTransceiver, mime_type: str, parameters: str = "") -> None:
    """Offer this codec first, and no other but retransmissions."""
    known = RTCRtpReceiver.getCapabilities(transceiver.kind)
    assert known is not None
    chosen = [
        c
        for c in known.codecs
        if c.mimeType.lower() == mime_type.lower() and parameters in (c.sdpFmtpLine or "")
    ]
    rest = [c for c in known.codecs if c.mimeType.endswith("/rtx")]
    transceiver.setCodecPreferences(chosen + rest)


async def next_frame(track: MediaStreamTrack, condition: Callable[[Any], bool] = lambda frame: True) -> Any:
    """The first frame of a track that fulfils a condition."""
    reader = track.reader()
    try:
        async with asyncio.timeout(TIMEOUT_S):
            async for frame in reader:
                if condition(frame):
                    return frame
        raise AssertionError("the track ended")
    finally:
        reader.close()


async def frames(track: MediaStreamTrack, count: int) -> list[Any]:
    """The next frames of a track, none left out."""
    reader = track.reader(max_queued=count)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return [await reader.read() for _ in range(count)]
    finally:
        reader.close()


async def picture_numbers(track: MediaStreamTrack, count: int) -> list[int | None]:
    """The numbers that the test pattern writes into its pictures."""
    return [read_frame_number(frame) for frame in await frames(track, count)]


async def dominant_hz(track: MediaStreamTrack, seconds: float = 0.4, skip_s: float = 0.2) -> float:
    """The strongest frequency of what a track plays; 0 for silence."""
    reader = track.reader(max_queued=500)
    heard: list[np.ndarray] = []
    rate = 48_000
    wanted = 0
    try:
        async with asyncio.timeout(TIMEOUT_S):
            async for frame in reader:
                assert isinstance(frame, av.AudioFrame)
                rate = frame.sample_rate
                samples = audio_to_numpy(frame)[:, 0].astype(float)
                heard.append(samples)
                wanted += len(samples)
                if wanted >= (seconds + skip_s) * rate:
                    break
    finally:
        reader.close()
    sound = np.concatenate(heard)[int(skip_s * rate) :]
    if np.abs(sound).max() < 50:
        return 0.0
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    return float(np.argmax(spectrum) * rate / len(sound))


async def until_true(condition: Callable[[], Any], what: str = "the condition") -> None:
    """Wait until something holds that no event tells of."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"{what} did not come true") from None
