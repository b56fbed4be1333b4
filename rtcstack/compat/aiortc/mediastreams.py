"""Tracks: objects whose `recv` gives the next frame."""

from __future__ import annotations

import asyncio
import fractions
from abc import ABCMeta, abstractmethod
from typing import Any, Protocol

from av import AudioFrame, VideoFrame
from av.frame import Frame
from av.packet import Packet
from pyee.asyncio import AsyncIOEventEmitter

from rtcstack.clock import unix_time
from rtcstack.entropy import random_uuid

__all__ = [
    "AUDIO_PTIME",
    "VIDEO_CLOCK_RATE",
    "VIDEO_PTIME",
    "VIDEO_TIME_BASE",
    "AudioStreamTrack",
    "MediaStreamError",
    "MediaStreamTrack",
    "VideoStreamTrack",
    "convert_timebase",
]

AUDIO_PTIME = 0.020
"""Seconds of sound in a packet."""

VIDEO_CLOCK_RATE = 90_000
"""Ticks of a picture's time in a second."""

VIDEO_PTIME = 1 / 30
"""Seconds between pictures."""

VIDEO_TIME_BASE = fractions.Fraction(1, VIDEO_CLOCK_RATE)
"""Seconds in a tick."""

_SILENCE_RATE = 8_000


class TimeBase(Protocol):
    """Seconds in a tick, as PyAV has it."""

    @property
    def numerator(self) -> int: ...

    @property
    def denominator(self) -> int: ...


def convert_timebase(pts: int, from_base: TimeBase, to_base: TimeBase) -> int:
    """A time in ticks of another length, rounded down.

    Args:
        pts: the time, in ticks.
        from_base, to_base: seconds in a tick.
    """
    if from_base == to_base:
        return pts
    source = fractions.Fraction(from_base.numerator, from_base.denominator)
    sink = fractions.Fraction(to_base.numerator, to_base.denominator)
    return int(pts * source / sink)


class MediaStreamError(Exception):
    """A track has ended."""


class MediaStreamTrack(AsyncIOEventEmitter, metaclass=ABCMeta):
    """Audio or video. A track of one's own inherits from it, says its `kind` and writes `recv`.

    Events: ended.
    """

    kind = "unknown"

    def __init__(self) -> None:
        super().__init__()
        self._has_ended = False
        self._id = random_uuid()

    @property
    def id(self) -> str:
        """Unique."""
        return self._id

    @property
    def readyState(self) -> str:
        """ "live" or "ended"."""
        return "ended" if self._has_ended else "live"

    @abstractmethod
    async def recv(self) -> Frame | Packet[Any]:
        """The next frame, or encoded packet, when it is due.

        Raises:
            MediaStreamError: the track has ended.
        """

    def stop(self) -> None:
        """End the track: "ended" is fired, once."""
        if not self._has_ended:
            self._has_ended = True
            self.emit("ended")
            self.remove_all_listeners()  # nothing more is fired


class _Paced(MediaStreamTrack):
    """A track that gives something at an even pace."""

    _start: float | None = None
    _timestamp = 0

    async def _next(self, ticks: int, rate: int) -> int:
        """Wait for the next of its times, in ticks.

        Raises:
            MediaStreamError: the track has ended.
        """
        if self.readyState != "live":
            raise MediaStreamError
        if self._start is None:
            self._start, self._timestamp = unix_time(), 0
        else:
            self._timestamp += ticks
            await asyncio.sleep(self._start + self._timestamp / rate - unix_time())
        return self._timestamp


class AudioStreamTrack(_Paced):
    """Silence: 20 ms of it, 50 times a second."""

    kind = "audio"

    async def recv(self) -> Frame | Packet[Any]:
        """See `MediaStreamTrack.recv`."""
        samples = int(AUDIO_PTIME * _SILENCE_RATE)
        pts = await self._next(samples, _SILENCE_RATE)
        frame = AudioFrame(format="s16", layout="mono", samples=samples)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.pts = pts
        frame.sample_rate = _SILENCE_RATE
        frame.time_base = fractions.Fraction(1, _SILENCE_RATE)
        return frame


class VideoStreamTrack(_Paced):
    """A green picture, 30 times a second."""

    kind = "video"

    async def next_timestamp(self) -> tuple[int, fractions.Fraction]:
        """Wait until the next picture is due.

        Returns:
            Its time, in ticks, and seconds in a tick.

        Raises:
            MediaStreamError: the track has ended.
        """
        pts = await self._next(int(VIDEO_PTIME * VIDEO_CLOCK_RATE), VIDEO_CLOCK_RATE)
        return pts, VIDEO_TIME_BASE

    async def recv(self) -> Frame | Packet[Any]:
        """See `MediaStreamTrack.recv`."""
        pts, time_base = await self.next_timestamp()
        frame = VideoFrame(width=640, height=480)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.pts = pts
        frame.time_base = time_base
        return frame
