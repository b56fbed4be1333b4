"""What a transformer reads encoded frames from, and writes them to; and what tells it of key frames.

Spec: webrtc-encoded-transform, sections 3.2 (stream processing) and 5.8.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from rtcstack.api.encodedframes import Frame, RTCEncodedAudioFrame, RTCEncodedVideoFrame, taken_out
from rtcstack.events import CancelableEvent
from rtcstack.promises import Operation, rejected, settled

__all__ = ["KeyFrameRequestEvent", "Readable", "Writable"]

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


class Readable:
    """The frames that come; a queue with a bound."""

    def __init__(self, on_dropped: Callable[[], None]) -> None:
        self._queue: deque[Frame] = deque()
        self._on_dropped = on_dropped
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False
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

    def cancel(self) -> None:
        """Read no more: frames that come are dropped."""
        self.close()

    def close(self) -> None:
        self._closed = True
        self._queue.clear()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def __aiter__(self) -> AsyncIterator[Frame]:
        while True:
            while self._queue:
                yield self._queue.popleft()
            if self._closed:
                return
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter


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
