"""A track made from another by a function, on a thread of the coders' pool.

track = processed(event.track, lambda frame: ...)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import av

from rtcstack.codecs.pool import MAX_QUEUED_AUDIO, MAX_QUEUED_VIDEO, CoderStream
from rtcstack.media.frames import Frame
from rtcstack.media.pipeline.coders import coder_pool
from rtcstack.media.source import TrackSource
from rtcstack.media.track import MediaStreamTrack

__all__ = ["processed"]

_logger = logging.getLogger("rtcstack.media")

Work = Callable[[Frame], Frame | None]


class _Processed(TrackSource):
    """Runs the function while somebody reads."""

    def __init__(self, origin: MediaStreamTrack, function: Work) -> None:
        super().__init__(origin.kind, origin.label, muted=origin.muted)
        self._origin = origin
        self.capture_clock = origin.source.capture_clock
        self._function = function
        self._jobs: CoderStream[Frame, Frame | None] | None = None
        self._has_failed = False

    def demanded(self) -> None:
        is_audio = self.kind == "audio"
        self._jobs = coder_pool().stream(
            self._work,
            self._worked,
            on_error=self._failed,
            limit=MAX_QUEUED_AUDIO if is_audio else MAX_QUEUED_VIDEO,
            urgent=is_audio,
        )
        self._origin.add_sink(self)

    def idle(self) -> None:
        self._origin.remove_sink(self)
        if self._jobs is not None:
            self._jobs.close()
            self._jobs = None

    def released(self) -> None:
        self.idle()

    def _work(self, frame: Frame) -> Frame | None:
        """On the thread. What comes out keeps the time of what went in, unless it has its own."""
        made = self._function(frame)
        if made is not None and made is not frame:
            if not isinstance(made, av.VideoFrame if self.kind == "video" else av.AudioFrame):
                raise TypeError(f"a track of {self.kind} gives no {type(made).__name__}")
            if made.pts is None:
                made.pts = frame.pts
                if frame.time_base is not None:
                    made.time_base = frame.time_base
            if made.opaque is None and frame.opaque is not None:
                made.opaque = frame.opaque
        return made

    def _worked(self, frame: Frame | None) -> None:
        if frame is not None:
            self.push(frame)

    def _failed(self, error: Exception) -> None:
        if not self._has_failed:
            self._has_failed = True
            _logger.warning("%s: the function of a processed track failed: %s", self.label, error)
            context = {"message": "the function of a processed track failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    def deliver(self, frame: Frame) -> None:
        """For the origin."""
        if self._jobs is not None:
            self._jobs.submit(frame)

    def track_ended(self) -> None:
        """For the origin."""
        self.end()


def processed(track: MediaStreamTrack, function: Work) -> MediaStreamTrack:
    """A track of what a function makes of another track's frames.

    The function runs on a thread, so it may take its time and must not touch the event loop. What it
    has no time for is left out: the oldest picture first, sound after a second of queue. It runs only
    while somebody reads the track.

    Args:
        track: frames; not changed.
        function: takes a frame and gives one of the same kind (with numpy: `video_frame`,
            `audio_frame`), the same one, or None to leave it out. A frame without a time gets the
            time of the one that it was made from. If it raises, the frame is left out; the first
            exception goes to the loop's exception handler.
    """
    return _Processed(track, function).track()
