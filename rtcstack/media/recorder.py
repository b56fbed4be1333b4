"""Recording tracks, and encoded frames as they came, to files: webm, mp4, mkv, ogg, ivf, wav, mp3.

One thread encodes and writes. What comes faster than it can write waits in bounded queues. What was written
is on the disk within about a second, and can be played although the process be killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections import deque
from typing import Any

import av
from av.container import OutputContainer

from rtcstack.codecs.payload.parametersets import ParameterSets, has_parameter_sets
from rtcstack.errors import InvalidStateError, OperationError
from rtcstack.media.encoded import EncodedMedia, EncodedSource
from rtcstack.media.frames import Frame
from rtcstack.media.track import MediaStreamTrack
from rtcstack.media.writers import (
    EncodedAudioWriter,
    EncodedVideoWriter,
    RawAudioWriter,
    RawVideoWriter,
    Writer,
    encoder_for,
    holds,
)

__all__ = ["EncodedInput", "MediaRecorder"]

MAX_QUEUED_VIDEO = 60
"""Pictures that wait to be written; when one more comes, the oldest raw one is dropped."""

MAX_QUEUED_AUDIO = 1500
"""Audio frames that wait: 30 s of 20 ms, so that a slow disk leaves no hole in the sound."""

_SURVIVING: dict[str, dict[str, str]] = {
    "mp4": {"movflags": "+empty_moov+default_base_moof+delay_moov", "frag_duration": "1000000"},
    "mov": {"movflags": "+empty_moov+default_base_moof+delay_moov", "frag_duration": "1000000"},
    "matroska": {"cluster_time_limit": "1000"},
    "webm": {"cluster_time_limit": "1000"},
    "ogg": {"page_duration": "500000"},
}
"""Options of formats with which a file is of use although its end was never written."""

_ALWAYS = {"flush_packets": "1", "max_interleave_delta": "500000"}
"""To the disk with each packet; and a stream that pauses holds the others up for half a second at most."""

_logger = logging.getLogger("rtcstack.media")

_START_WAIT_S = 3.0
"""A file's header names all streams: inputs that give nothing for this long are left out."""


MAX_EARLY_ENCODED = 3000
"""Encoded frames of one input that wait meanwhile; when there are more, the others are waited for no longer.
Of raw ones no more wait than in the queue."""

_VIDEO = ("vp8", "vp9", "av1", "h264", "h265")
_AUDIO = ("opus", "pcmu", "pcma")


class _Input:
    """What is recorded into one stream of the file."""

    __slots__ = (
        "_has_told",
        "_recorder",
        "codec",
        "dropped",
        "is_encoded",
        "limit",
        "queued",
        "track",
        "writer",
    )

    def __init__(
        self,
        recorder: MediaRecorder,
        writer: Writer | None,
        limit: int,
        track: MediaStreamTrack | None,
        codec: str | None = None,
    ) -> None:
        self._recorder = recorder
        self._has_told = False
        self.codec = codec
        self.is_encoded = writer is None or codec is not None
        self.writer = writer  # None until the first encoded frame tells its codec
        self.limit = limit
        self.track = track
        self.queued = 0
        self.dropped = 0

    def deliver(self, frame: Frame) -> None:
        """For the track."""
        if not isinstance(frame, EncodedMedia):
            self._recorder.enqueue(self, frame)
            return
        if self.writer is None and not self._recorder.choose_writer(self, frame.name):
            return
        if frame.name == self.codec:
            item = (frame.data, frame.ticks, frame.key_frame, frame.width or 0, frame.height or 0)
            self._recorder.enqueue(self, item)
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


class EncodedInput:
    """Takes encoded frames for one stream of the file. Made by `MediaRecorder.add_encoded`."""

    __slots__ = ("_input", "_recorder", "_sets")

    def __init__(self, recorder: MediaRecorder, entry: _Input, codec: str) -> None:
        self._recorder = recorder
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
        self._recorder.enqueue(self._input, (data, timestamp, key_frame, width, height))


class MediaRecorder:
    """Writes tracks to a file.

    Args:
        file: path; or an object with ``write`` and ``seek``.
        format: FFmpeg's name of the format; None to go by the path's ending.
        video_codec: FFmpeg's name of the encoder; None for what suits the format.
        audio_codec: likewise.
        video_bitrate_bps: to aim at.
        audio_bitrate_bps: to aim at.
        options: FFmpeg's, for the format.

    Tracks and encoded inputs are added before `start`. Tracks may jump in time (another sender, a camera
    that starts anew): the recording goes on where it was. An mp4 is written in fragments of a second,
    unless `options` set ``movflags``.
    """

    def __init__(
        self,
        file: str | os.PathLike[str] | Any,
        format: str | None = None,  # noqa: A002 - FFmpeg's name
        *,
        video_codec: str | None = None,
        audio_codec: str | None = None,
        video_bitrate_bps: int = 2_000_000,
        audio_bitrate_bps: int = 96_000,
        options: dict[str, str] | None = None,
    ) -> None:
        self._file = os.fspath(file) if isinstance(file, str | os.PathLike) else file
        self._format = format
        self._options = options or {}
        self._video_codec = video_codec
        self._audio_codec = audio_codec
        self._video_bitrate_bps = video_bitrate_bps
        self._audio_bitrate_bps = audio_bitrate_bps
        self._inputs: list[_Input] = []
        self._queue: deque[tuple[_Input, Any, float]] = deque()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._finished: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._error: Exception | None = None
        self._container: OutputContainer | None = None

    @property
    def dropped(self) -> int:
        """Frames that were left out: writing did not keep up, or they fit nothing in the file."""
        return sum(entry.dropped for entry in self._inputs)

    def add_track(self, track: MediaStreamTrack) -> None:
        """Record this track: encoded anew, or, if it brings encoded frames, as they are.

        Raises:
            InvalidStateError: recording has begun.
            OperationError: its codec is known, and cannot be recorded as it is.
        """
        self._check_not_started()
        if any(entry.track is track for entry in self._inputs):
            return
        writer: Writer
        if isinstance(track.source, EncodedSource):
            source = track.source
            possible = source.possible_codecs
            if possible and not any(map(_can_be_kept, possible)):
                raise OperationError(f"{source.codec} cannot be recorded as it is")
            limit = MAX_QUEUED_VIDEO if track.kind == "video" else MAX_QUEUED_AUDIO
            self._inputs.append(_Input(self, None, limit, track))
        elif track.kind == "video":
            writer = RawVideoWriter(self._video_codec, self._video_bitrate_bps)
            self._inputs.append(_Input(self, writer, MAX_QUEUED_VIDEO, track))
        else:
            writer = RawAudioWriter(self._audio_codec, self._audio_bitrate_bps)
            self._inputs.append(_Input(self, writer, MAX_QUEUED_AUDIO, track))

    def add_encoded(self, codec: str, *, channels: int = 2) -> EncodedInput:
        """Record encoded frames as they are, without encoding them anew.

        Args:
            codec: "vp8", "vp9", "av1" (webm, mkv), "h264", "h265" (mp4, mkv), "opus", "pcmu", "pcma".
            channels: of audio.

        Raises:
            InvalidStateError: recording has begun.
            OperationError: the codec cannot be recorded.
        """
        self._check_not_started()
        if not _can_be_kept(codec):
            raise OperationError(f"{codec.upper()} cannot be recorded as it is")
        writer = _writer(codec, channels)
        limit = MAX_QUEUED_VIDEO if codec in _VIDEO else MAX_QUEUED_AUDIO
        entry = _Input(self, writer, limit, None, codec)
        self._inputs.append(entry)
        return EncodedInput(self, entry, codec)

    def _check_not_started(self) -> None:
        if self._thread is not None:
            raise InvalidStateError("the recorder has been started")

    async def start(self) -> None:
        """Begin to record.

        Raises:
            InvalidStateError: it was started before, or has nothing to record.
            OperationError: the file cannot be written: its format is unknown or does not hold what is
                to be recorded, or its folder is not there.
        """
        self._check_not_started()
        if not self._inputs:
            raise InvalidStateError("the recorder has nothing to record")
        self._container = self._open()
        self._loop = asyncio.get_running_loop()
        self._finished = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="rtcstack-recorder", daemon=True)
        self._thread.start()
        for entry in self._inputs:
            if entry.track is not None:
                entry.track.add_sink(entry)
                if isinstance(entry.track.source, EncodedSource):
                    entry.track.source.request_key_frame()

    def _open(self) -> OutputContainer:
        """Make the file, as far as that can be done before the first frame."""
        name = self._file
        if isinstance(name, str) and "://" not in name:
            folder = os.path.dirname(os.path.abspath(name))
            if not os.path.isdir(folder):
                raise OperationError(f"{name!r} cannot be recorded: there is no folder {folder}")
            writable = name if os.path.exists(name) else folder
            if os.path.isdir(name) or not os.access(writable, os.W_OK):
                raise OperationError(f"{name!r} cannot be recorded: {writable} cannot be written to")
        try:
            container = av.open(name, "w", format=self._format)
        except (av.FFmpegError, OSError, ValueError) as exc:
            raise OperationError(f"{name!r} cannot be recorded: {exc}") from exc
        options = dict(_ALWAYS)
        for form in container.format.name.split(","):
            options.update(_SURVIVING.get(form, {}))
        if "movflags" in self._options:
            options.pop("frag_duration", None)
        options.update(self._options)
        container.close()
        container = av.open(name, "w", format=self._format, options=options)
        try:
            for entry in self._inputs:
                self._check(container, entry)
        except OperationError as exc:
            container.close()
            raise OperationError(f"{name!r} cannot be recorded: {exc}") from None
        return container

    def _check(self, container: OutputContainer, entry: _Input) -> None:
        """See whether the file can hold an input, as far as its codec is known."""
        track = entry.track
        if not entry.is_encoded:
            assert track is not None
            wanted = self._video_codec if track.kind == "video" else self._audio_codec
            encoder_for(container, track.kind, wanted)
            return
        codecs: tuple[str, ...] = () if entry.codec is None else (entry.codec,)
        if track is not None and isinstance(track.source, EncodedSource):
            codecs = track.source.possible_codecs
        if codecs and not any(holds(container, codec) for codec in codecs):
            names = " or ".join(codec.upper() for codec in codecs)
            raise OperationError(f"{container.format.name} does not hold {names}")

    def choose_writer(self, entry: _Input, codec: str) -> bool:
        """For the inputs: the first encoded frame tells its codec; whether it can be recorded."""
        container = self._container
        if self._error is not None or container is None:
            return False
        if not _can_be_kept(codec) or not holds(container, codec):
            self._fail(OperationError(f"{container.format.name} does not hold {codec.upper()} as it is"))
            return False
        entry.writer = _writer(codec, 2 if codec == "opus" else 1)
        entry.codec = codec
        return True

    def _fail(self, error: Exception) -> None:
        """Record nothing any more. Any thread; `stop` raises it, and the log tells it now."""
        if self._error is None:
            self._error = error
            _logger.warning("recording %r has failed: %s", self._file, error)
        with self._wake:
            self._queue.clear()
            self._wake.notify()

    async def stop(self) -> None:
        """Write what waits, and close the file. Harmless when it was stopped before.

        Raises:
            OperationError: the file could not be written.
        """
        if self._thread is None or self._finished is None:
            return
        for entry in self._inputs:
            if entry.track is not None:
                entry.track.remove_sink(entry)
        with self._wake:
            self._stopping = True
            self._wake.notify()
        await asyncio.shield(self._finished)
        self._thread.join()
        if self._error is not None:
            error, self._error = self._error, None
            raise OperationError(f"{self._file!r} cannot be recorded: {error}") from error

    def enqueue(self, entry: _Input, item: Any) -> None:
        """For the inputs: something to write."""
        with self._wake:
            if self._thread is None or self._stopping or self._error is not None:
                return
            if entry.queued >= entry.limit:
                entry.dropped += 1
                if entry.is_encoded:
                    return  # encoded frames depend on those before: the new one goes
                for i, (other, _, _) in enumerate(self._queue):
                    if other is entry:
                        del self._queue[i]
                        entry.queued -= 1
                        break
            entry.queued += 1
            self._queue.append((entry, item, time.monotonic()))
            self._wake.notify()

    # -- on our own thread --------------------------------------------------------------------

    def _take(self, timeout_s: float | None) -> tuple[_Input, Any, float] | None:
        """The next item; None when the time is over, or all is written and nothing will come."""
        with self._wake:
            while not self._queue:
                if self._stopping or not self._wake.wait(timeout_s):
                    return None
            entry, item, at = self._queue.popleft()
            entry.queued -= 1
            return entry, item, at

    def _run(self) -> None:
        try:
            self._record()
        except Exception as exc:
            self._fail(exc)
        finally:
            finished, loop = self._finished, self._loop
            assert finished is not None
            assert loop is not None
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(_settle, finished)

    def _record(self) -> None:
        container = self._container
        assert container is not None
        early = self._wait_for_first()
        try:
            if not early:
                _logger.warning("recording %r has ended without a frame", self._file)
                return
            began_at = early[0][2]
            seen: set[int] = set()
            for entry, item, at in early:
                # a stream is opened with its first frame, which tells its size or rate
                writer = entry.writer
                if id(entry) not in seen and writer and writer.open(container, item, at - began_at):
                    seen.add(id(entry))
            for entry, item, at in early:
                self._write(entry, item, at, is_open=id(entry) in seen)
            early.clear()
            while (taken := self._take(None)) is not None:
                entry, item, at = taken
                self._write(entry, item, at, is_open=id(entry) in seen)
            for entry in self._inputs:
                if id(entry) in seen and entry.writer:
                    entry.writer.flush()
        finally:
            container.close()

    def _write(self, entry: _Input, item: Any, at: float, *, is_open: bool) -> None:
        if not is_open or entry.writer is None:
            entry.leave_out("the input began after the file's header was written")
            return
        try:
            entry.writer.write(item, at)
        except OperationError as exc:
            if entry.is_encoded:
                raise
            entry.leave_out(exc)  # of this frame alone

    def _wait_for_first(self) -> list[tuple[_Input, Any, float]]:
        """Items until each input has given one that it can begin with, or the wait is over."""
        early: list[tuple[_Input, Any, float]] = []
        missing = {id(entry) for entry in self._inputs}
        deadline: float | None = None
        waiting: dict[int, int] = {}
        while missing:
            wait_s = None if deadline is None else deadline - time.monotonic()
            if wait_s is not None and wait_s <= 0:
                break
            taken = self._take(wait_s)
            if taken is None:
                break
            entry, item, at = taken
            if id(entry) in missing:
                if entry.writer is None or not entry.writer.can_begin(item):
                    continue
                missing.discard(id(entry))
            if deadline is None:
                deadline = at + _START_WAIT_S
            early.append(taken)
            count = waiting[id(entry)] = waiting.get(id(entry), 0) + 1
            if entry.is_encoded:
                if count >= MAX_EARLY_ENCODED:
                    break
            elif count > entry.limit:
                entry.dropped += 1
                waiting[id(entry)] -= 1
                del early[next(i for i, (other, _, _) in enumerate(early) if other is entry)]
        return early


def _can_be_kept(codec: str) -> bool:
    return codec in _VIDEO or codec in _AUDIO


def _writer(codec: str, channels: int) -> Writer:
    return EncodedVideoWriter(codec) if codec in _VIDEO else EncodedAudioWriter(codec, channels)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
