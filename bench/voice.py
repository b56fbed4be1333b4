"""Rows of voice: how long it takes until a program hears, is heard, and is silent.

The sound is a tone that begins and ends; where it does so is looked for in what comes out at the other end.
Both ends are in one process.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

import av
import numpy as np

from bench.stacks.media import Line, MediaStack, Pace

__all__ = ["Onsets", "voice"]

RATE = 48_000
FRAME = RATE // 50
HEARD_RATE = 16_000
LOUD = 1_500
"""A sample above this is sound; the tone's loudest is 9,800."""

BURST_FRAMES, EVERY_FRAMES = 5, 25
PAUSE_S = 0.4
STEP_S = 0.007
"""Beginnings are moved by so much each time: whoever writes knows nothing of the clock of 20 ms."""


def tone(samples: int) -> np.ndarray[Any, np.dtype[np.int16]]:
    """440 Hz from its beginning."""
    wave: np.ndarray[Any, Any] = 9_800 * np.sin(np.arange(samples) * (2 * np.pi * 440 / RATE))
    made: np.ndarray[Any, np.dtype[np.int16]] = np.rint(wave).astype(np.int16)
    return made


class Onsets:
    """When what is heard became loud, and when silent, by this process's clock."""

    def __init__(self) -> None:
        self.is_loud = False
        self.loud_at = self.silent_at = 0.0
        self._changed = asyncio.Event()

    def hear(self, samples: np.ndarray[Any, Any]) -> None:
        """Samples that were handed out now."""
        is_loud = bool(np.abs(samples.astype(np.int32)).max(initial=0) > LOUD)
        if is_loud != self.is_loud:
            self.is_loud = is_loud
            if is_loud:
                self.loud_at = time.perf_counter()
            else:
                self.silent_at = time.perf_counter()
            self._changed.set()

    async def until(self, *, loud: bool) -> float:
        """Wait until it is so; when it became so."""
        while self.is_loud != loud:
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), 10)
        return self.loud_at if loud else self.silent_at


class _Microphone:
    """A burst of the tone every half second, a frame at a time."""

    def __init__(self) -> None:
        self.began_at: list[float] = []
        self._tone = tone(BURST_FRAMES * FRAME)

    def make(self, i: int) -> av.AudioFrame:
        """The frame of a round."""
        at = i % EVERY_FRAMES
        samples = (
            self._tone[at * FRAME : (at + 1) * FRAME] if at < BURST_FRAMES else np.zeros(FRAME, np.int16)
        )
        frame = av.AudioFrame("s16", "mono", FRAME)
        frame.planes[0].update(samples.tobytes())
        frame.sample_rate, frame.pts = RATE, i * FRAME
        if at == 0:
            self.began_at.append(time.perf_counter())
        return frame


async def _from_microphone(media: MediaStack, warm_up_s: float, rounds: int) -> float:
    microphone, heard = _Microphone(), Onsets()
    pair = await media.connect([media.track("audio", Pace(50), microphone.make)], codec=None, bitrate_bps=0)
    await asyncio.wait_for(pair.connected.wait(), 10)
    media.hear(pair, 0, heard.hear, HEARD_RATE)
    await asyncio.sleep(warm_up_s + 1)
    delays = []
    for _ in range(rounds):
        await heard.until(loud=False)
        at = await heard.until(loud=True)
        delays.append(at - max(began for began in microphone.began_at if began < at))
    await media.close(pair)
    return statistics.median(delays)


async def _written(line: Line, heard: Onsets, rounds: int) -> tuple[float, float]:
    """Until what is written is heard, and until it is silent after a flush, of which two seconds wait."""
    began, ended = [], []
    for i in range(rounds):
        await heard.until(loud=False)
        await asyncio.sleep(PAUSE_S + i * STEP_S)
        written = time.perf_counter()
        writing = asyncio.ensure_future(line.write(tone(2 * RATE)))
        began.append(await heard.until(loud=True) - written)
        await asyncio.sleep(PAUSE_S + i * STEP_S)
        flushed = time.perf_counter()
        line.flush()
        ended.append(await heard.until(loud=False) - flushed)
        await writing
    return statistics.median(began), statistics.median(ended)


async def voice(media: MediaStack, warm_up_s: float, window_s: float) -> dict[str, float]:
    """From microphone to samples, from samples to ear, from flush to silence; medians."""
    rounds = max(5, round(3 * window_s))
    microphone = await _from_microphone(media, warm_up_s, rounds)
    line, heard = media.line(RATE), Onsets()
    pair = await media.connect([line.track], codec=None, bitrate_bps=0)
    await asyncio.wait_for(pair.connected.wait(), 10)
    media.hear(pair, 0, heard.hear, HEARD_RATE)
    await asyncio.sleep(warm_up_s + 1)
    written, flushed = await _written(line, heard, rounds)
    await media.close(pair)
    return {"voice_heard": microphone * 1e3, "voice_said": written * 1e3, "voice_flushed": flushed * 1e3}
