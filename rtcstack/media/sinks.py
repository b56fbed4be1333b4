"""Where tracks end: nowhere, in several readers, or in a picture file. The recorder has its own file."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from typing import cast

import av
from av.video.codeccontext import VideoCodecContext

from rtcstack.errors import OperationError
from rtcstack.media.frames import Frame
from rtcstack.media.source import TrackSource
from rtcstack.media.track import MediaStreamTrack

__all__ = ["CallbackSink", "MediaBlackhole", "MediaRelay", "save_picture"]


class MediaBlackhole:
    """Reads tracks and forgets what it reads: sources that wait for a reader go on.

    Attributes:
        frames: that came, of all tracks.
    """

    def __init__(self) -> None:
        self._tracks: list[MediaStreamTrack] = []
        self.frames = 0

    def add_track(self, track: MediaStreamTrack) -> None:
        """Read this track from now on."""
        if track not in self._tracks:
            self._tracks.append(track)
            track.add_sink(self)

    def stop(self) -> None:
        """Read nothing any more."""
        tracks, self._tracks = self._tracks, []
        for track in tracks:
            track.remove_sink(self)

    def deliver(self, frame: Frame) -> None:
        """For the tracks."""
        self.frames += 1

    def track_ended(self) -> None:
        """For the tracks."""


class CallbackSink:
    """Calls a function with each frame of a track, on the loop's thread.

    Args:
        track: to be read.
        function: must not block, nor change the frame.
    """

    def __init__(self, track: MediaStreamTrack, function: Callable[[Frame], object]) -> None:
        self._track = track
        self._function = function
        track.add_sink(self)

    def deliver(self, frame: Frame) -> None:
        """For the track."""
        self._function(frame)

    def track_ended(self) -> None:
        """For the track."""

    def stop(self) -> None:
        """Call no more."""
        self._track.remove_sink(self)


class _Relayed(TrackSource):
    """A track's frames once more, under a source of its own."""

    def __init__(self, origin: MediaStreamTrack) -> None:
        super().__init__(origin.kind, origin.label, muted=origin.muted)
        self._origin = origin
        self.capture_clock = origin.source.capture_clock

    def demanded(self) -> None:
        self._origin.add_sink(self)

    def idle(self) -> None:
        self._origin.remove_sink(self)

    def released(self) -> None:
        self._origin.remove_sink(self)

    def deliver(self, frame: Frame) -> None:
        """For the origin."""
        self.push(frame)

    def track_ended(self) -> None:
        """For the origin."""
        self.end()


class MediaRelay:
    """Gives one track to several, each with its own end, `enabled` and queue.

    Unlike clones, what a relay gives follows the origin's `enabled` and ends with the origin.
    """

    def subscribe(self, track: MediaStreamTrack) -> MediaStreamTrack:
        """A new track with the frames of `track`."""
        return _Relayed(track).track()


def save_picture(frame: av.VideoFrame, path: str | os.PathLike[str]) -> None:
    """Write a frame as a PNG or JPEG file, by the path's ending.

    Raises:
        OperationError: the ending is another, or the file cannot be written.
    """
    name = os.fspath(path)
    ending = os.path.splitext(name)[1].lower()
    codecs = {".png": ("png", "rgb24"), ".jpg": ("mjpeg", "yuvj420p"), ".jpeg": ("mjpeg", "yuvj420p")}
    if ending not in codecs:
        raise OperationError(f"{name}: pictures are written as .png, .jpg or .jpeg")
    codec, pixel_format = codecs[ending]
    try:
        context = cast(VideoCodecContext, av.CodecContext.create(codec, "w"))
        context.width, context.height = frame.width, frame.height
        context.pix_fmt = pixel_format
        context.time_base = Fraction(1, 30)
        picture = frame.reformat(format=pixel_format)
        if picture is frame:
            picture = frame.reformat(format="rgb24").reformat(format=pixel_format)
        picture.pts = 0
        data = b"".join([bytes(p) for p in (*context.encode(picture), *context.encode(None))])
        with open(name, "wb") as file:
            file.write(data)
    except (av.FFmpegError, OSError, ValueError) as exc:
        raise OperationError(f"{name} cannot be written: {exc}") from exc
