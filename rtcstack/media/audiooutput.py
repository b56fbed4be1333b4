"""One question: how does a program speak in a call, with samples that it has or gets at any pace?

A synthesizer may bring ten seconds at once, or three milliseconds: what is written is heard whole, at its own
pace, and can be silenced at any moment.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av

from rtcstack.errors import InvalidStateError
from rtcstack.events import call_handler
from rtcstack.media.frames import as_16_bits
from rtcstack.media.testsources import TimedSource
from rtcstack.media.track import MediaStreamTrack

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["MAX_MARKS", "AudioOutput"]

FRAME_MS = 20

MAX_MARKS = 1_000
"""Marks that wait; of more, the call raises."""

_LAYOUTS = {1: "mono", 2: "stereo"}


@dataclass(slots=True)
class _Mark:
    """Somebody wants to know when a sample has been played."""

    at: int
    future: asyncio.Future[bool]


class AudioOutput:
    """Sound that a program makes.

        output = AudioOutput(24_000)
        pc.addTrack(output.track)
        await output.write(samples)
        await output.drained()

    Samples are played in the order in which they were written, 20 ms at a time, while somebody takes the
    track: before, they wait. Between them there is silence.

    Args:
        rate: samples a second, 8,000 to 48,000; a multiple of 50.
        channels: 1 or 2.
        max_buffered_s: sound that waits; who writes more waits until there is room.
        label: for people.

    Attributes:
        track: the sound, to be sent.

    Raises:
        ValueError: one of these is out of range.
    """

    def __init__(
        self, rate: int = 48_000, channels: int = 1, *, max_buffered_s: float = 1.0, label: str = ""
    ) -> None:
        if not 8_000 <= rate <= 48_000 or rate % 50:
            raise ValueError(f"rate must be 8,000 to 48,000 and a multiple of 50, not {rate}")
        if channels not in _LAYOUTS:
            raise ValueError(f"channels must be 1 or 2, not {channels}")
        if not max_buffered_s >= FRAME_MS / 1000:
            raise ValueError(f"max_buffered_s must be at least {FRAME_MS / 1000}, not {max_buffered_s}")
        self._rate = rate
        self._channels = channels
        self._sample_bytes = 2 * channels
        self._limit = int(max_buffered_s * rate) * self._sample_bytes
        self._buffer = bytearray()
        self._played = 0
        self._flushes = 0
        self._marks: deque[_Mark] = deque()
        self._room: asyncio.Future[None] | None = None
        self._order = asyncio.Lock()
        self._source = _Output(self, label)
        self.track: MediaStreamTrack = self._source.track()

    @property
    def rate(self) -> int:
        """Samples a second."""
        return self._rate

    @property
    def channels(self) -> int:
        """1 or 2."""
        return self._channels

    @property
    def queued_s(self) -> float:
        """Seconds of sound that wait to be played."""
        return len(self._buffer) / self._sample_bytes / self._rate

    @property
    def played_s(self) -> float:
        """Seconds of what was written that have been played."""
        return self._played / self._rate

    async def write(self, samples: npt.NDArray[Any]) -> None:
        """Play samples behind those that wait. Returns when all of them wait or are played, or were silenced.

        Args:
            samples: samples for mono, samples x channels for more; mono is played on both channels. 16-bit
                integers, or floating point from -1 to 1 (what is louder is clipped). Any number of them.

        Raises:
            InvalidStateError: it was closed, before or while this waited.
            ValueError: the array has no such shape, or is of no numbers that sound is made of.
        """
        data = memoryview(self._as_bytes(samples))
        flushes = self._flushes
        async with self._order:
            while data.nbytes:
                if self._source.ended:
                    raise InvalidStateError("write on an AudioOutput that is closed")
                if self._flushes != flushes:
                    return
                room = self._limit - len(self._buffer)
                if room > 0:
                    self._buffer += data[:room]
                    data = data[room:]
                else:
                    await self._taken()
        if self._source.ended:
            raise InvalidStateError("write on an AudioOutput that is closed")

    def _as_bytes(self, samples: npt.NDArray[Any]) -> bytes:
        channels = 1 if samples.ndim == 1 else samples.shape[1] if samples.ndim == 2 else 0
        if channels not in (1, self._channels):
            raise ValueError(
                f"an array of samples or samples x {self._channels} is wanted, not {samples.shape}"
            )
        data = as_16_bits(samples)
        if channels < self._channels:
            data = data.reshape(-1, 1).repeat(self._channels, axis=1)
        return data.tobytes()

    def flush(self) -> float:
        """Silence at once what waits, and what is being written: the next 20 ms are silent. Marks that were
        not reached are told that they will not be.

        Returns:
            Seconds of sound that nobody will hear.
        """
        silenced = self.queued_s
        self._flushes += 1
        self._buffer.clear()
        marks, self._marks = self._marks, deque()
        for mark in marks:
            _tell(mark, reached=False)
        self._make_room()
        return silenced

    def mark(self, callback: Callable[[bool], object] | None = None) -> asyncio.Future[bool]:
        """To know when what has been written so far has been played.

        Args:
            callback: called with True then, or with False when it was silenced or the output closed.

        Returns:
            What may be awaited for the same.

        Raises:
            InvalidStateError: `MAX_MARKS` wait already.
        """
        if len(self._marks) >= MAX_MARKS:
            raise InvalidStateError(f"{MAX_MARKS} marks are waiting already")
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if callback is not None:
            future.add_done_callback(
                lambda done: None if done.cancelled() else call_handler(callback, done.result())
            )
        mark = _Mark(self._played + len(self._buffer) // self._sample_bytes, future)
        if not self._buffer or self._source.ended:
            _tell(mark, reached=not self._buffer)
        else:
            self._marks.append(mark)
        return future

    async def drained(self) -> None:
        """Wait until everything that was written has been played, or silenced."""
        while (self._order.locked() or self._buffer) and not self._source.ended:
            await self._taken()

    def close(self) -> None:
        """End the track. What waits is not heard."""
        if not self._source.ended:
            self.flush()
            self._source.end()
            self._make_room()

    async def _taken(self) -> None:
        """Wait until something has been played, or silenced."""
        if self._room is None:
            self._room = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._room)  # one for all who wait

    def _make_room(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    def take(self, samples: int) -> bytes:
        """For the source: the next samples; fewer, where there are no more."""
        size = samples * self._sample_bytes
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._played += len(data) // self._sample_bytes
        while self._marks and self._marks[0].at <= self._played:
            _tell(self._marks.popleft(), reached=True)
        self._make_room()
        return data


def _tell(mark: _Mark, *, reached: bool) -> None:
    if not mark.future.done():
        mark.future.set_result(reached)


class _Output(TimedSource):
    """Plays 20 ms at a time."""

    def __init__(self, output: AudioOutput, label: str) -> None:
        super().__init__("audio", label or "AudioOutput", Fraction(FRAME_MS, 1000))
        self._output = output
        self._samples = output.rate * FRAME_MS // 1000
        self._time_base = Fraction(1, output.rate)

    def make(self, index: int) -> av.AudioFrame:
        """See `TimedSource.make`."""
        frame = av.AudioFrame("s16", _LAYOUTS[self._output.channels], self._samples)
        data = self._output.take(self._samples)
        plane = frame.planes[0]
        plane.update(data.ljust(plane.buffer_size, b"\0"))
        frame.sample_rate = self._output.rate
        frame.time_base = self._time_base
        frame.pts = index * self._samples
        return frame
