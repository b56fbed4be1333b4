"""What a transformer reads encoded frames from, and writes them to; and what tells it of key frames.

Spec: webrtc-encoded-transform, sections 3.2 (stream processing) and 5.8.
"""

from __future__ import annotations

import asyncio
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol, TypeVar

from rtcstack.api.encodedframes import Frame, RTCEncodedAudioFrame, RTCEncodedVideoFrame, taken_out
from rtcstack.errors import InvalidStateError
from rtcstack.events import CancelableEvent
from rtcstack.promises import Operation, rejected, settled

__all__ = ["KeyFrameRequestEvent", "Readable", "ThroughReadable", "ThroughWritable", "Writable"]

MAX_QUEUED = 60
"""Frames that wait for the transform; beyond, the oldest is dropped."""


class KeyFrameRequestEvent(CancelableEvent):
    """The peer cannot go on without a key frame; unless `preventDefault` is called, the encoder makes one.

    Args:
        type: "keyframerequest".
        rid: of the layer, or None.

    Spec: webrtc-encoded-transform, section 5.8.
    """

    __slots__ = ("rid",)

    def __init__(self, type: str, rid: str | None = None) -> None:  # noqa: A002 - the W3C's name
        super().__init__(type)
        self.rid = rid


class _Writes(Protocol):
    def write(self, frame: Any, /) -> Awaitable[None]:
        """Take a chunk."""

    def close(self) -> Awaitable[None]:
        """Take no more."""


R_co = TypeVar("R_co", bound="_Chunks", covariant=True)
R = TypeVar("R", bound="_Chunks")


class _Pair(Protocol[R_co]):
    @property
    def writable(self) -> _Writes:
        """Where chunks go in."""

    @property
    def readable(self) -> R_co:
        """Where they come out."""


class _Chunks(ABC):
    """What is read, by ``async for``, or by what it is piped into; by one at a time."""

    _waiter: asyncio.Future[None] | None = None
    _closed = False
    _piping: asyncio.Task[None] | None = None  # of what writes here
    _reader: weakref.ref[_Reader] | None = None  # gone as soon as its loop is left

    @abstractmethod
    def _next(self) -> Any:
        """The next chunk that waits, or None."""

    @abstractmethod
    def cancel(self) -> None:
        """Read no more."""

    def __aiter__(self) -> AsyncIterator[Any]:
        if self._reader is not None and self._reader() is not None:
            raise TypeError("somebody reads the stream already")
        reader = _Reader(self)
        self._reader = weakref.ref(reader)
        return reader

    async def _read(self) -> Any:
        while (chunk := self._next()) is None:
            if self._closed:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return chunk

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def pipeTo(self, writable: _Writes) -> None:
        """Write all that is read, and close what it is written to when there is no more.

        Raises:
            TypeError: somebody reads it already.
            What writing raises: then nothing more is read, as when it is cancelled, and what pipes into this
                stream ends, too.
        """
        await self._pipe(aiter(self), writable)

    async def _pipe(self, reader: AsyncIterator[Any], writable: _Writes) -> None:
        try:
            async for chunk in reader:
                await writable.write(chunk)
        except BaseException:  # the writer's, or the task's end: whoever pipes has it, and none waits
            self.cancel()
            raise
        await writable.close()

    def pipeThrough(self, pair: _Pair[R]) -> R:
        """Pipe into a pair's `writable`, as a task; what comes out of the pair.

        Raises:
            TypeError: somebody reads it already.
        """
        readable = pair.readable
        pipe = self._pipe(aiter(self), pair.writable)
        readable._piping = asyncio.get_running_loop().create_task(pipe)
        readable._piping.add_done_callback(_report)
        return readable


class _Reader:
    """Whoever reads a stream, for as long as it does. Args: chunks."""

    __slots__ = ("__weakref__", "_chunks")

    def __init__(self, chunks: _Chunks) -> None:
        self._chunks = chunks

    def __aiter__(self) -> _Reader:
        return self

    async def __anext__(self) -> Any:
        return await self._chunks._read()


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        context = {"message": "a pipe of encoded frames has ended", "exception": error}
        task.get_loop().call_exception_handler(context)


class Readable(_Chunks):
    """The frames that come; a queue with a bound."""

    def __init__(self, on_dropped: Callable[[], None]) -> None:
        self._queue: deque[Frame] = deque()
        self._on_dropped = on_dropped
        self.dropped = 0

    def put(self, frame: Frame) -> None:
        if self._closed:
            return
        if len(self._queue) >= MAX_QUEUED:
            self._queue.popleft()
            self.dropped += 1
            self._on_dropped()
        self._queue.append(frame)
        self._wake()

    def _next(self) -> Frame | None:
        return self._queue.popleft() if self._queue else None

    def cancel(self) -> None:
        """Read no more: frames that come are dropped."""
        self.close()

    def close(self) -> None:
        self._closed = True
        self._queue.clear()
        self._wake()


class ThroughReadable(_Chunks):
    """What comes out of a stream that changes what is written."""

    def __init__(self) -> None:
        self._queue: deque[Any] = deque()
        self._room: asyncio.Future[None] | None = None

    def put(self, chunk: Any) -> Operation[None]:
        """For the other half: when somebody has read all that waits, it is settled."""
        self._queue.append(chunk)
        self._wake()
        if self._room is None:
            self._room = asyncio.get_running_loop().create_future()
        return Operation(self._room)

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be put."""
        return len(self._queue) >= MAX_QUEUED

    @property
    def is_closed(self) -> bool:
        """Whether nothing more may be put, and never will be."""
        return self._closed

    def _next(self) -> Any:
        if self._queue:
            return self._queue.popleft()
        self._make_room()
        return None

    def _make_room(self) -> None:
        if self._room is not None:
            self._room.set_result(None)
            self._room = None

    def cancel(self) -> None:
        """Read no more: what waits is dropped, nothing can be written, and what pipes in ends."""
        self._queue.clear()
        self._make_room()
        self.close()
        if self._piping is not None:
            self._piping.cancel()

    def close(self) -> None:
        """What waits is read, and then no more."""
        self._closed = True
        self._wake()


class ThroughWritable:
    """What goes into a stream that changes it.

    Args:
        readable: where it comes out.
        change: makes one of the other; None drops it.
    """

    def __init__(self, readable: ThroughReadable, change: Callable[[Any], Any]) -> None:
        self._readable = readable
        self._change = change

    def write(self, chunk: Any) -> Operation[None]:
        """Have a chunk changed. What it returns is settled when somebody has read all that waits.

        Raises:
            TypeError: `close` was called, or the readable's `cancel`.
            InvalidStateError: `MAX_QUEUED` chunks wait.
        """
        if self._readable.is_closed:
            return rejected(TypeError("the stream is closed"))
        if self._readable.is_full:
            return rejected(InvalidStateError(f"{MAX_QUEUED} chunks wait, and nobody reads them"))
        made = self._change(chunk)
        return settled(None) if made is None else self._readable.put(made)

    def close(self) -> Operation[None]:
        """Write no more."""
        self._readable.close()
        return settled(None)


class Writable:
    """Takes frames back, in the order in which they were read.

    Attributes:
        dropped: frames that were somebody else's, written before, or behind one that was written.
    """

    def __init__(self, owner: object) -> None:
        self._owner: object | None = owner
        self._last = 0
        self._closed = False
        self.dropped = 0

    def write(self, frame: Frame) -> Operation[None]:
        """Send a frame on; it has no `data` any more.

        Nothing is sent, and nobody told, for a frame that was written before or read before the one that
        was written last, for one of another transformer, and for a copy: a transform can drop frames and
        delay them, but neither make nor reorder any. Nor once the transform is not set any more.

        Args:
            frame: that the transform read.

        Raises:
            TypeError: it is no frame, or `close` was called.
        """
        if not isinstance(frame, RTCEncodedAudioFrame | RTCEncodedVideoFrame):
            return rejected(TypeError(f"a transformer writes encoded frames, not {type(frame).__name__}"))
        if self._closed:
            return rejected(TypeError("the transformer's writable is closed"))
        taken = None if self._owner is None else taken_out(frame, self._owner, self._last)
        if taken is None:
            self.dropped += 1
        else:
            self._last, send = taken
            send()
        return settled(None)

    def close(self) -> Operation[None]:
        """Write no more: from now on nothing passes."""
        self._closed = True
        return settled(None)

    def detach(self) -> None:
        """The transform is not set any more."""
        self._owner = None
