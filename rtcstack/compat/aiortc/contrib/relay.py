"""MediaRelay: one track for many readers. MediaBlackhole: what is read and thrown away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from av.frame import Frame
from av.packet import Packet

from rtcstack.compat.aiortc.mediastreams import MediaStreamError, MediaStreamTrack

__all__ = ["MediaBlackhole", "MediaRelay", "RelayStreamTrack"]

MAX_WAITING = 1_000
"""Frames that wait for a reader of a relay; of more, the oldest go."""

if TYPE_CHECKING:
    Data = Frame | Packet[Any]


class MediaBlackhole:
    """Reads tracks and keeps nothing."""

    def __init__(self) -> None:
        self._tracks: dict[MediaStreamTrack, asyncio.Task[None] | None] = {}

    def addTrack(self, track: MediaStreamTrack) -> None:
        """Read this track, once it is started."""
        self._tracks.setdefault(track, None)

    async def start(self) -> None:
        """Begin to read."""
        for track, task in self._tracks.items():
            if task is None:
                self._tracks[track] = asyncio.ensure_future(_consume(track))

    async def stop(self) -> None:
        """Read no more."""
        for task in self._tracks.values():
            if task is not None:
                task.cancel()
        self._tracks = {}


async def _consume(track: MediaStreamTrack) -> None:
    try:
        while True:
            await track.recv()
    except MediaStreamError:
        return


class RelayStreamTrack(MediaStreamTrack):
    """A reader's own track. Relays make them.

    Args:
        relay: whose.
        source: the track that is relayed.
        buffered: whether frames wait for the reader; else it gets the latest.
    """

    def __init__(self, relay: MediaRelay, source: MediaStreamTrack, buffered: bool) -> None:
        super().__init__()
        self.kind = source.kind
        self.codec_name: str | None = getattr(source, "codec_name", None)
        self._relay: MediaRelay | None = relay
        self._source: MediaStreamTrack | None = source
        self._buffered = buffered
        self._queue: asyncio.Queue[Data | None] = asyncio.Queue()

    async def recv(self) -> Data:
        """See `MediaStreamTrack.recv`."""
        if self.readyState != "live" or self._relay is None:
            raise MediaStreamError
        self._relay._start(self)
        data = await self._queue.get()
        if data is None:
            self.stop()
            raise MediaStreamError
        return data

    def _bring(self, data: Data | None) -> None:
        """For the relay: a frame, or the end."""
        queue = self._queue
        while queue.qsize() >= (MAX_WAITING if self._buffered else 1):
            queue.get_nowait()
        queue.put_nowait(data)

    def stop(self) -> None:
        """See `MediaStreamTrack.stop`."""
        super().stop()
        relay, self._relay = self._relay, None
        if relay is not None:
            relay._stop(self)
            self._source = None
            self._queue.put_nowait(None)  # who waits is told


class MediaRelay:
    """Gives the frames of tracks to any number of readers, from when the first reads."""

    def __init__(self) -> None:
        self._readers: dict[MediaStreamTrack, set[RelayStreamTrack]] = {}
        self._tasks: dict[MediaStreamTrack, asyncio.Task[None]] = {}

    def subscribe(self, track: MediaStreamTrack, buffered: bool = True) -> MediaStreamTrack:
        """A track of one's own.

        Args:
            track: what is relayed.
            buffered: whether frames wait for the reader; else it gets the latest.
        """
        self._readers.setdefault(track, set())
        return RelayStreamTrack(self, track, buffered)

    def _start(self, reader: RelayStreamTrack) -> None:
        source = reader._source
        if source is None or source not in self._readers:
            return
        self._readers[source].add(reader)
        if source not in self._tasks:
            self._tasks[source] = asyncio.ensure_future(self._run(source))

    def _stop(self, reader: RelayStreamTrack) -> None:
        if reader._source is not None:
            self._readers.get(reader._source, set()).discard(reader)

    async def _run(self, source: MediaStreamTrack) -> None:
        data: Data | None
        while True:
            try:
                data = await source.recv()
            except MediaStreamError:
                data = None
            for reader in tuple(self._readers[source]):
                reader._bring(data)
            if data is None:
                break
        del self._readers[source]
        del self._tasks[source]
