"""Looking at media: what a picture or a sound holds, and waiting for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import av
import numpy as np

from rtcstack import MediaStreamTrack
from rtcstack.media.frames import audio_to_numpy
from rtcstack.media.testsources import read_frame_number

__all__ = ["TIMEOUT_S", "dominant_hz", "frames", "next_frame", "picture_numbers", "until_true"]

TIMEOUT_S = 10.0


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
