"""A track of pictures that are written to a stream.

Spec: mediacapture-transform, section 3.2 (VideoTrackGenerator).
"""

from __future__ import annotations

import asyncio
from typing import Any

import av

from rtcstack.media.source import TrackSource
from rtcstack.media.track import MediaStreamTrack
from rtcstack.promises import Operation, Task, promise

__all__ = ["VideoTrackGenerator"]


class _GeneratorSource(TrackSource):
    """Ends what is written to when nobody is left who could read."""

    def __init__(self) -> None:
        super().__init__("video", "")
        self.closed = False
        self.reason: object = None
        self.is_muted = False  # what the application has said; tracks are told later

    def released(self) -> None:
        self.closed = True


class FrameWritable:
    """Takes the pictures of a generator. What is written first is given out first."""

    def __init__(self, source: _GeneratorSource) -> None:
        self._source = source

    def write(self, frame: av.VideoFrame) -> Operation[None]:
        """Give a picture to every live track; one without a time gets one. Nothing while `muted`.

        Raises:
            TypeError: it is no picture, or the stream is closed.
        """

        def steps() -> Task[None]:
            if not isinstance(frame, av.VideoFrame):
                raise TypeError(f"a VideoTrackGenerator takes video frames, not {type(frame).__name__}")

            def give() -> None:
                source = self._source
                if source.closed:
                    raise TypeError("the VideoTrackGenerator's stream is closed") from _cause(source.reason)
                if not source.is_muted:
                    source.push(frame)

            return give

        return promise(steps)

    def close(self) -> Operation[None]:
        """End the tracks, with their event; what was written before still comes to them."""
        return promise(lambda: lambda: self._end(None))

    def abort(self, reason: Any = None) -> Operation[None]:
        """Likewise; later writes fail because of `reason`."""
        return promise(lambda: lambda: self._end(reason))

    def _end(self, reason: object) -> None:
        source = self._source
        if not source.closed:
            source.closed, source.reason = True, reason
            source.end()


def _cause(reason: object) -> BaseException | None:
    return reason if isinstance(reason, BaseException) else None


class VideoTrackGenerator:
    """Makes a track of pictures that are written.

        generator = VideoTrackGenerator()
        pc.addTrack(generator.track)
        await generator.writable.write(video_frame(array))

    Spec: mediacapture-transform, section 3.2.
    """

    def __init__(self) -> None:
        self._source = _GeneratorSource()
        self._track = self._source.track()
        self._writable = FrameWritable(self._source)
        self._tells_muted = False

    @property
    def writable(self) -> FrameWritable:
        """Takes the pictures: ``await writable.write(frame)``, ``close()``, ``abort()``."""
        return self._writable

    @property
    def track(self) -> MediaStreamTrack:
        """Gives them; more tracks are made by its `clone`."""
        return self._track

    @property
    def muted(self) -> bool:
        """Whether pictures that are written go nowhere; tracks are told in a task of its own."""
        return self._source.is_muted

    @muted.setter
    def muted(self, value: bool) -> None:
        if value == self._source.is_muted:
            return
        self._source.is_muted = bool(value)
        if not self._tells_muted:
            self._tells_muted = True
            asyncio.get_running_loop().call_soon(self._tell_muted)

    def _tell_muted(self) -> None:
        self._tells_muted = False
        self._source.set_muted(self._source.is_muted)
