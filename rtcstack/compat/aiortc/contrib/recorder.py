"""MediaRecorder: tracks into a file, or pictures into numbered files."""

from __future__ import annotations

import asyncio
import fractions
import functools
import logging
import os
from collections.abc import Callable
from typing import Any

import av
from av.container import OutputContainer

from rtcstack.compat.aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from rtcstack.compat.aiortc.nativetracks import native_track
from rtcstack.media.frames import Frame
from rtcstack.media.processed import processed
from rtcstack.media.recorder import MediaRecorder as NativeRecorder
from rtcstack.workers import jobs, run

__all__ = ["MediaRecorder"]

logger = logging.getLogger("rtcstack.compat.aiortc.media")

_CODECS = {".png": "png", ".jpg": "mjpeg", ".jpeg": "mjpeg", ".bmp": "bmp", ".tif": "tiff", ".tiff": "tiff"}
"""Encoders of pictures by the ending of their file."""

_RATE = 30
_AUDIO = {"wav": "pcm_s16le", "alsa": "pcm_s16le", "pulse": "pcm_s16le", "mp3": "libmp3lame"}
_OPUS = ("ogg", "opus", "webm")


class MediaRecorder:
    """Writes tracks to a file.

    Args:
        file: a path; one like "picture-%3d.png" gives a file for each picture. Or an object with ``write``.
        format: FFmpeg's name of the format; None to go by the path's ending.
        options: FFmpeg's.

    Raises:
        OSError: it cannot be written.
        ValueError: there is no such format.
    """

    def __init__(
        self,
        file: Any,
        format: str | None = None,  # noqa: A002 - FFmpeg's name
        options: dict[str, str] | None = None,
    ) -> None:
        path = os.fspath(file) if isinstance(file, str | os.PathLike) else ""
        self._pictures: _Pictures | None = None
        self._recorder: NativeRecorder | None = None
        self._has_tracks = self._has_begun = False
        if format == "image2" or (format is None and str(path).lower().endswith(tuple(_CODECS))):
            self._pictures = _Pictures(file, options or {})
            return
        name = format or os.path.splitext(str(path))[1].lstrip(".").lower()
        with av.open(file, "w", format=format) as container:
            known = container.format.name  # whether it can be made at all is told at once
        name = name if name in (*_AUDIO, *_OPUS) else known
        audio = _AUDIO.get(name, None if name in _OPUS else "aac")
        self._recorder = NativeRecorder(file, format, audio_codec=audio, options=options)

    def addTrack(self, track: MediaStreamTrack) -> None:
        """Record a track; before `start`."""
        if self._pictures is not None:
            self._pictures.add(track)
        elif self._recorder is not None:
            native = native_track(track)
            self._recorder.add_track(processed(native, _in_stereo()) if track.kind == "audio" else native)
            self._has_tracks = True

    async def start(self) -> None:
        """Begin to record."""
        if self._pictures is not None:
            self._pictures.start()
        elif self._recorder is not None and self._has_tracks and not self._has_begun:
            self._has_begun = True
            await self._recorder.start()

    async def stop(self) -> None:
        """Finish the file; a second call does nothing.

        Raises:
            OperationError: it could not be written.
        """
        pictures, self._pictures = self._pictures, None
        recorder, self._recorder = self._recorder, None
        if pictures is not None:
            await pictures.stop()
        elif recorder is not None:
            await recorder.stop()


def _in_stereo() -> Callable[[Frame], Frame | None]:
    """What makes sound of any kind 16 bit stereo at 48 kHz: all files are of that."""
    resampler = av.AudioResampler(format="s16", layout="stereo", rate=48_000)

    def convert(frame: Frame) -> Frame | None:
        if not isinstance(frame, av.AudioFrame):
            return frame
        made = resampler.resample(frame)
        return made[0] if made else None

    return convert


class _Pictures:
    """A file for each picture of a track."""

    def __init__(self, file: Any, options: dict[str, str]) -> None:
        self._container: OutputContainer = av.open(file, "w", format="image2", options=options)
        self._codec = _CODECS.get(os.path.splitext(str(file))[1].lower(), "png")
        self._tracks: dict[MediaStreamTrack, asyncio.Task[None] | None] = {}
        self._turn = asyncio.Lock()  # of several tracks one writes
        self._writing: asyncio.Future[None] | None = None

    def add(self, track: MediaStreamTrack) -> None:
        """Write this track's pictures."""
        self._tracks.setdefault(track, None)

    def start(self) -> None:
        """Begin."""
        for track, task in self._tracks.items():
            if task is None and track.kind == "video":
                self._tracks[track] = asyncio.ensure_future(self._run(track))

    async def _run(self, track: MediaStreamTrack) -> None:
        stream: Any = None
        number = 0
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            if not isinstance(frame, av.VideoFrame):
                continue
            if stream is None:
                stream = self._container.add_stream(self._codec, rate=_RATE)
                stream.pix_fmt = "yuvj420p" if self._codec == "mjpeg" else "rgb24"
                stream.width, stream.height = frame.width, frame.height
            picture = frame.reformat(stream.width, stream.height, stream.pix_fmt)
            picture.pts, picture.time_base = number, fractions.Fraction(1, _RATE)
            number += 1
            async with self._turn:
                write = functools.partial(self._write, stream, picture)
                self._writing = run(write, jobs())
                await asyncio.shield(self._writing)

    def _write(self, stream: Any, picture: av.VideoFrame) -> None:
        """On a worker: a disk may be slow."""
        for packet in stream.encode(picture):
            self._container.mux(packet)

    async def stop(self) -> None:
        """Finish."""
        tasks = [task for task in self._tracks.values() if task is not None]
        for task in tasks:
            task.cancel()
        for error in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(error, Exception):
                logger.error("MediaRecorder(%s) could not write: %s", self._container.name, error)
        self._tracks = {}
        if self._writing is not None:  # the container must not be closed under a worker that writes
            await asyncio.gather(self._writing, return_exceptions=True)
        self._container.close()
