"""Tracks of programs as this stack's own, and the other way round."""

from __future__ import annotations

import asyncio
import fractions
from typing import Any
from weakref import WeakKeyDictionary

import av
from av.frame import Frame
from av.packet import Packet

from rtcstack.compat.aiortc.evensound import EvenSound
from rtcstack.compat.aiortc.mediastreams import VIDEO_TIME_BASE, MediaStreamError, MediaStreamTrack
from rtcstack.media.encoded import EncodedMedia
from rtcstack.media.encodedsource import EncodedSource
from rtcstack.media.feed import Feed
from rtcstack.media.track import MediaStreamTrack as NativeTrack

__all__ = ["MAX_WAITING", "RemoteStreamTrack", "native_track", "source_mime_type"]

MAX_WAITING = {"audio": 250, "video": 30}
"""Frames of a peer's track that wait to be read: five seconds of sound, one of pictures. Of more, the oldest
go."""

_MIME_TYPES = {
    "h264": "video/H264",
    "hevc": "video/H265",
    "libx264": "video/H264",
    "libvpx": "video/VP8",
    "vp8": "video/VP8",
    "vp9": "video/VP9",
    "av1": "video/AV1",
    "libopus": "audio/opus",
    "opus": "audio/opus",
    "pcm_mulaw": "audio/PCMU",
    "pcm_alaw": "audio/PCMA",
    "adpcm_g722": "audio/G722",
}
_SOUND = fractions.Fraction(1, 48_000)


def source_mime_type(track: MediaStreamTrack | None) -> str | None:
    """The codec of the packets that a track brings; None where they are frames, or nobody knows."""
    name = getattr(track, "codec_name", None)
    return _MIME_TYPES.get(name) if isinstance(name, str) else None


class _PulledSource(Feed[NativeTrack]):
    """Takes frames, and packets, too: what a program's track brings is known when it does."""

    def _observe(self, frame: Any) -> None:
        if not isinstance(frame, EncodedMedia):
            super()._observe(frame)


class _Pulled(NativeTrack):
    """A program's track, read as long as somebody sends it."""

    def __init__(self, track: MediaStreamTrack) -> None:
        codec = source_mime_type(track)
        source = _PulledSource(track.kind) if codec is None else EncodedSource(codec)
        super().__init__(track.kind, track.id, source=source)
        self._track = track
        if track.readyState != "live":
            self.stop()
        else:
            track.once("ended", self.stop)

    async def recv(self) -> Any:
        """See `MediaStreamTrack.recv`."""
        try:
            data = await self._track.recv()
        except MediaStreamError:
            self._track.stop()
            raise StopAsyncIteration from None
        except Exception:  # the application's: it ends its track, and is told of it
            self._track.stop()
            raise
        if not isinstance(data, Packet):
            return data
        codec = source_mime_type(self._track)
        if codec is None:
            stream = data.stream
            name = "h264" if stream is None else stream.codec_context.name
            codec = _MIME_TYPES.get(name, f"{self.kind}/{name}")
        return EncodedMedia.from_packet(data, codec)


_pulled: WeakKeyDictionary[MediaStreamTrack, NativeTrack] = WeakKeyDictionary()


def native_track(track: MediaStreamTrack) -> NativeTrack:
    """This stack's track for a program's: the same for all connections that send it."""
    if isinstance(track, RemoteStreamTrack) and track.native is not None:
        return track.native
    found = _pulled.get(track)
    if found is None:
        found = _pulled[track] = _Pulled(track)
    return found


class RemoteStreamTrack(MediaStreamTrack):
    """What a peer sends. It is decoded as soon as somebody reads it.

    Args:
        kind: "audio" or "video".
        id: as the peer has it; a random one without.
        native: where the frames come from; None for whoever puts them into the queue.

    Attributes:
        is_kept: whether frames that nobody waits for are kept.
    """

    def __init__(self, kind: str, id: str | None = None, native: NativeTrack | None = None) -> None:  # noqa: A002
        super().__init__()
        self.kind = kind
        if id is not None:
            self._id = id
        self.native = native
        self._frames: asyncio.Queue[Frame | None] | None = None
        self._origin: int | None = None
        self._sound = EvenSound()
        self.is_kept = True
        if native is not None:
            native.on("ended", self.finish)

    @property
    def _queue(self) -> asyncio.Queue[Frame | None]:
        """The frames that wait to be read; None for the end."""
        if self._frames is None:
            self._frames = asyncio.Queue()
            if self.native is not None:
                self.native.add_sink(self)
        return self._frames

    def deliver(self, frame: Any) -> None:
        """For the native track: a frame has come."""
        queue = self._queue
        if not self.is_kept:
            return
        for each in self._sound.cut(frame) if isinstance(frame, av.AudioFrame) else (frame,):
            if queue.qsize() >= MAX_WAITING[self.kind]:
                queue.get_nowait()
            queue.put_nowait(self._timed(each))

    def track_ended(self) -> None:
        """For the native track: no more will come."""
        self.finish()

    def finish(self) -> None:
        """No more will come: the end stands behind what waits to be read."""
        if self._frames is not None:
            self._frames.put_nowait(None)
        else:
            self.stop()

    def _timed(self, frame: Any) -> Any:
        """Times begin with 0, in ticks of the codec's clock."""
        if isinstance(frame, av.VideoFrame | av.AudioFrame) and frame.pts is not None and frame.time_base:
            base = VIDEO_TIME_BASE if self.kind == "video" else _SOUND
            ticks = int(frame.pts * fractions.Fraction(frame.time_base) / base)
            if self._origin is None:
                self._origin = ticks
            frame.pts, frame.time_base = ticks - self._origin, base
        return frame

    async def recv(self) -> Frame | Packet[Any]:
        """See `MediaStreamTrack.recv`."""
        if self.readyState != "live":
            raise MediaStreamError
        frame = await self._queue.get()
        if frame is None:
            self.stop()
            raise MediaStreamError
        return frame

    def stop(self) -> None:
        """See `MediaStreamTrack.stop`."""
        if self._frames is not None:
            if self.native is not None:
                self.native.remove_sink(self)
            self._frames.put_nowait(None)  # who waits is told
        super().stop()
