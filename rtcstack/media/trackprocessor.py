"""A track's frames as a stream that is read.

Spec: mediacapture-transform, section 3.1 (MediaStreamTrackProcessor).
"""

from __future__ import annotations

import asyncio
from collections import deque

from rtcstack.media.frames import Frame
from rtcstack.media.track import MediaStreamTrack

__all__ = ["MediaStreamTrackProcessor"]

MAX_BUFFERED = 64
"""Frames that may be asked to wait: they are pictures, of megabytes each."""


class FrameReadable:
    """The frames of a processor: ``async for frame in processor.readable``.

    One that waits is given out when somebody asks for it, the oldest first.

    Attributes:
        dropped: frames that were not read in time.
    """

    def __init__(self, track: MediaStreamTrack, max_buffered: int) -> None:
        self._track = track
        self._queue: deque[Frame] = deque(maxlen=max_buffered)
        self._waiters: deque[asyncio.Future[Frame | None]] = deque()
        self._closed = False
        self.dropped = 0
        track.add_sink(self)

    async def read(self) -> Frame | None:
        """The next frame; None when there will be none: the track has ended, or `cancel` was called."""
        if self._queue:
            return self._queue.popleft()
        if self._closed:
            return None
        waiter: asyncio.Future[Frame | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and (frame := waiter.result()) is not None:
                self._give_back(frame)
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            raise

    def _give_back(self, frame: Frame) -> None:
        """Who waited for it has gone: it is the next for another."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(frame)
                return
        if not self._closed and len(self._queue) != self._queue.maxlen:
            self._queue.appendleft(frame)
        else:
            self.dropped += 1

    def __aiter__(self) -> FrameReadable:
        return self

    async def __anext__(self) -> Frame:
        frame = await self.read()
        if frame is None:
            raise StopAsyncIteration
        return frame

    def cancel(self) -> None:
        """Read no more: what waits is dropped, the track goes on."""
        self._track.remove_sink(self)
        self.track_ended()

    def deliver(self, frame: Frame) -> None:
        """For the track."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(frame)
                return
        if len(self._queue) == self._queue.maxlen:
            self.dropped += 1  # the oldest gives way
        self._queue.append(frame)

    def track_ended(self) -> None:
        """For the track."""
        self._closed = True
        self._queue.clear()
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)


class MediaStreamTrackProcessor:
    """Gives out the frames of a track, the newest if they are not read in time.

    Args:
        track: of pictures or sound. It is read from now on.
        maxBufferSize: frames that wait at most, 1 to 64; when one more comes, the oldest is dropped.

    Raises:
        TypeError: it is no track, or no number of frames.

    Spec: mediacapture-transform, section 3.1.
    """

    def __init__(self, track: MediaStreamTrack, maxBufferSize: int = 1) -> None:  # noqa: N803
        if not isinstance(track, MediaStreamTrack):
            raise TypeError(f"a processor reads a MediaStreamTrack, not {type(track).__name__}")
        if isinstance(maxBufferSize, bool) or not isinstance(maxBufferSize, int):
            raise TypeError(f"maxBufferSize is a number of frames, not {maxBufferSize!r}")
        if not 0 <= maxBufferSize <= 0xFFFF:
            raise TypeError(f"maxBufferSize must be 0 to 65535, not {maxBufferSize}")
        self._readable = FrameReadable(track, min(max(1, maxBufferSize), MAX_BUFFERED))

    @property
    def readable(self) -> FrameReadable:
        """The frames: for ``async for``, or ``await readable.read()``; ``cancel()`` ends it."""
        return self._readable
