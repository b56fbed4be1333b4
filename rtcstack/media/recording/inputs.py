"""One question: what comes in for one stream of a file, from a track or from who has encoded frames?"""

from __future__ import annotations

import logging
from typing import Any, Protocol

from rtcstack.codecs.payload.parametersets import ParameterSets, has_parameter_sets
from rtcstack.media.encoded import EncodedMedia
from rtcstack.media.encodedsource import EncodedSource
from rtcstack.media.frames import Frame
from rtcstack.media.recording.encoded import VIDEO_CODECS
from rtcstack.media.recording.writer import Writer
from rtcstack.media.track import MediaStreamTrack

__all__ = ["EncodedInput", "Entry", "Input", "Recording", "Skip"]

_logger = logging.getLogger("rtcstack.media")


class Recording(Protocol):
    """Takes what comes in."""

    def enqueue(self, entry: Input, item: Any) -> None:
        """There is something to write."""

    def choose_writer(self, entry: Input, codec: str) -> bool:
        """The first encoded frame tells its codec; whether it can be recorded."""


class Input:
    """What is recorded into one stream of the file.

    Args:
        recording: takes its frames.
        writer: of its stream; None until the first encoded frame tells its codec.
        limit: of frames that wait.
        track: where they come from; None if they are handed in.
        codec: of encoded frames, once it is known.

    Attributes:
        queued: frames that wait, those that are being written included.
        dropped: frames that were left out.
        needs_key_frame: encoded pictures are left out until one needs no other.
        first: the last frame that a stream can begin with.
    """

    __slots__ = (
        "_has_told",
        "_recording",
        "codec",
        "dropped",
        "first",
        "is_encoded",
        "limit",
        "needs_key_frame",
        "queued",
        "track",
        "writer",
    )

    def __init__(
        self,
        recording: Recording,
        writer: Writer | None,
        limit: int,
        track: MediaStreamTrack | None,
        codec: str | None = None,
    ) -> None:
        self._recording = recording
        self._has_told = False
        self.codec = codec
        self.is_encoded = writer is None or codec is not None
        self.writer = writer
        self.limit = limit
        self.track = track
        self.queued = 0
        self.dropped = 0
        self.needs_key_frame = False
        self.first: Any = None

    @property
    def is_video(self) -> bool:
        """Whether it brings pictures."""
        return self.track.kind == "video" if self.track is not None else self.codec in VIDEO_CODECS

    def ask_for_key_frame(self) -> None:
        """Of what is encoded elsewhere."""
        if self.track is not None and isinstance(self.track.source, EncodedSource):
            self.track.source.request_key_frame()

    def deliver(self, frame: Frame) -> None:
        """For the track."""
        if not isinstance(frame, EncodedMedia):
            self._recording.enqueue(self, frame)
            return
        if self.writer is None and not self._recording.choose_writer(self, frame.name):
            return
        if frame.name == self.codec:
            size = frame.width or 0, frame.height or 0
            item = (frame.data, frame.ticks, frame.key_frame, *size, frame.capture_time)
            self._recording.enqueue(self, item)
            return
        self.leave_out(f"{frame.codec}, in a stream of {self.codec}: a file's stream has one codec")

    def leave_out(self, reason: object) -> None:
        """A frame is not recorded. Any thread; the log tells it once."""
        self.dropped += 1
        if not self._has_told:
            self._has_told = True
            _logger.warning("a recording leaves frames out: %s", reason)

    def track_ended(self) -> None:
        """For the track."""


Entry = tuple[Input, Any, float]
"""Where a frame is to go, the frame, and monotonic seconds when it came, without the pauses."""


class Skip(float):
    """In a frame's place: a pause of so many seconds was here, which is no part of the file."""


class EncodedInput:
    """Takes encoded frames for one stream of the file. Made by `MediaRecorder.add_encoded`."""

    __slots__ = ("_input", "_recording", "_sets")

    def __init__(self, recording: Recording, entry: Input, codec: str) -> None:
        self._recording = recording
        self._input = entry
        self._sets = ParameterSets(codec) if has_parameter_sets(codec) else None

    def write(
        self, data: bytes, timestamp: int, *, key_frame: bool = True, width: int = 0, height: int = 0
    ) -> None:
        """Add a frame; on the loop's thread.

        Args:
            data: as a depacketizer assembled it. H.264 and H.265: parameter sets that came once are
                put before key frames that lack them.
            timestamp: RTP timestamp, unwrapped.
            key_frame: needs no other. What comes before the first is left out.
            width, height: in pixels, of key frames where known.
        """
        sets = self._sets
        if sets is not None:
            has_sets = not sets.begins_with_picture(data)
            data = sets.complete(data, key_frame=key_frame, has_sets=has_sets)
        self._recording.enqueue(self._input, (data, timestamp, key_frame, width, height, None))
