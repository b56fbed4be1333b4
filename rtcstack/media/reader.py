"""Reading a track: a bounded queue between the source's pace and the reader's."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from rtcstack.errors import InvalidStateError
from rtcstack.media.feed import TrackSink
from rtcstack.media.frames import Frame

__all__ = ["MAX_QUEUED", "ReadableTrack", "TrackReader"]

MAX_QUEUED = {"video": 4, "audio": 50}
"""Frames that wait for a reader: a slow one sees new pictures and hears the last second."""


class ReadableTrack(Protocol):
    """A track, as its readers know it."""

    def add_sink(self, sink: TrackSink) -> None:
        """Have each frame brought, from now on."""

    def remove_sink(self, sink: TrackSink) -> None:
        """Bring no more frames."""

    def frame_read(self) -> None:
        """A frame that waited was taken: there may be room again."""


class TrackReader:
    """Frames of a track for one reader.

    Read with ``async for`` or `read`. What is not read in time is dropped, oldest first. Close it
    when it is not read to the end.

    Attributes:
        dropped: frames that were not read in time.
    """

    __slots__ = ("__weakref__", "_ended", "_queue", "_track", "_waiters", "dropped")

    def __init__(self, track: ReadableTrack, max_queued: int) -> None:
        self._queue: deque[Frame] = deque(maxlen=max(1, max_queued))
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._track = track
        self._ended = False
        self.dropped = 0
        track.add_sink(self)

    @property
    def queued(self) -> int:
        """Frames that wait."""
        return len(self._queue)

    async def read(self) -> Frame:
        """The next frame.

        Raises:
            InvalidStateError: the track has ended, and all frames were read.
        """
        while not self._queue:
            if self._ended:
                raise InvalidStateError("the track has ended")
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake()  # the frame that woke us is another's
                elif waiter in self._waiters:
                    self._waiters.remove(waiter)
                raise
        frame = self._queue.popleft()
        self._track.frame_read()
        return frame

    @property
    def is_full(self) -> bool:
        """Whether the next frame drops one."""
        return len(self._queue) == self._queue.maxlen

    def __aiter__(self) -> TrackReader:
        return self

    async def __anext__(self) -> Frame:
        try:
            return await self.read()
        except InvalidStateError:
            raise StopAsyncIteration from None

    def close(self) -> None:
        """Read no more; who waits is told that the track has ended."""
        self._track.remove_sink(self)
        self._queue.clear()
        self.track_ended()

    def deliver(self, frame: Frame) -> None:
        """For the track."""
        if len(self._queue) == self._queue.maxlen:
            self.dropped += 1
        self._queue.append(frame)
        if self._waiters:
            self._wake()

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def track_ended(self) -> None:
        """For the track."""
        self._ended = True
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
