"""One question: how does a program hear a track as numbers?

It gets numpy arrays of one form, whatever the form of the track's frames: for speech recognition, models and
meters.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import av
import numpy as np

from rtcstack.codecs.coders.audio import SampleCutter
from rtcstack.errors import InvalidStateError
from rtcstack.media.reader import MAX_QUEUED, ReadableTrack, TrackReader

__all__ = ["PcmChunk", "PcmReader"]

_RATES = range(4_000, 192_001)
_TYPES = ("int16", "float32")


class PcmChunk(np.ndarray[Any, np.dtype[Any]]):
    """Samples, as an array like any other.

    Attributes:
        time: of the first sample, in seconds of the track's time; not a number for what was made of a chunk.
    """

    time: float = math.nan


class PcmReader:
    """An asynchronous iterator of chunks. Made by `MediaStreamTrack.pcm`.

    What is not read within a second is dropped, oldest first. Close it when it is not read to the end.

    Args:
        track: of audio.
        rate: samples a second, 4,000 to 192,000.
        channels: 1 or 2.
        frame_ms: of a chunk; a whole number of samples.
        dtype: "int16", or "float32" from -1 to 1.

    Raises:
        ValueError: one of these is none.
    """

    __slots__ = ("_channels", "_cutter", "_rate", "_reader", "_ready", "_rest", "_samples", "_scale")

    def __init__(
        self,
        track: ReadableTrack,
        rate: int = 16_000,
        channels: int = 1,
        frame_ms: float = 20,
        dtype: str = "int16",
    ) -> None:
        samples = rate * frame_ms / 1000
        if rate not in _RATES:
            raise ValueError(f"rate must be {_RATES[0]} to {_RATES[-1]}, not {rate}")
        if channels not in (1, 2):
            raise ValueError(f"channels must be 1 or 2, not {channels}")
        if not samples >= 1 or samples != round(samples) or samples > rate:
            raise ValueError(
                f"frame_ms must be a whole number of samples, a second at most: {frame_ms} ms are {samples}"
            )
        if np.dtype(dtype).name not in _TYPES:
            raise ValueError(f"dtype must be one of {', '.join(_TYPES)}, not {dtype}")
        self._rate = rate
        self._channels = channels
        self._samples = round(samples)
        self._scale = np.dtype(dtype).name == "float32"
        self._cutter = SampleCutter(rate, channels, self._samples)
        self._ready: deque[tuple[int, bytes | memoryview]] = deque()
        self._reader = TrackReader(track, MAX_QUEUED["audio"])

    @property
    def dropped(self) -> int:
        """Frames of the track that were not read in time."""
        return self._reader.dropped

    def __aiter__(self) -> PcmReader:
        return self

    async def __anext__(self) -> PcmChunk:
        """The next chunk: `samples` of them, or samples x channels."""
        while not self._ready:
            try:
                frame = await self._reader.read()
            except InvalidStateError:
                raise StopAsyncIteration from None
            if not isinstance(frame, av.AudioFrame):
                raise TypeError(f"pcm() reads sound, and the track gives {type(frame).__name__}")
            self._ready.extend(self._cutter.cut(frame))
        at, data = self._ready.popleft()
        samples = np.frombuffer(data, np.int16).copy()  # the frame goes
        if self._channels > 1:
            samples = samples.reshape(self._samples, self._channels)
        array = samples.astype(np.float32) / np.float32(32768) if self._scale else samples
        chunk = array.view(PcmChunk)
        chunk.time = at / self._rate
        return chunk

    def close(self) -> None:
        """Read no more."""
        self._reader.close()
