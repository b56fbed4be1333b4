"""Recording tracks, and encoded frames as they came, to files: webm, mp4, mkv, ogg, ivf, wav, mp3.

One question: which tracks are recorded, and when is what written?

The loop's workers encode and write, one job after the other; what may block for good, a URL or an object with
``write``, has a thread of its own. What comes faster than it can be written waits in bounded queues. What was
written is on the disk within about a second, and can be played although the process be killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from av.container import OutputContainer

from rtcstack.clock import monotonic
from rtcstack.codecs.costs import encoding_s
from rtcstack.errors import InvalidStateError, OperationError
from rtcstack.events import Event, EventTarget, HandlerAttribute
from rtcstack.media.encodedsource import EncodedSource
from rtcstack.media.files import is_at_hand
from rtcstack.media.recording.beginning import Beginning
from rtcstack.media.recording.encoded import VIDEO_CODECS, can_be_kept, writer_of
from rtcstack.media.recording.events import MediaRecorderErrorEvent, RecordedFileEvent
from rtcstack.media.recording.formats import encoder_for, holds
from rtcstack.media.recording.inputs import EncodedInput, Entry, Input, Skip
from rtcstack.media.recording.output import Output
from rtcstack.media.recording.raw import RawAudioWriter, RawVideoWriter
from rtcstack.media.recording.rotation import Rotation
from rtcstack.media.recording.writer import Writer
from rtcstack.media.timeline import Distance
from rtcstack.media.track import MediaStreamTrack
from rtcstack.platform import Jobs
from rtcstack.workers import Threads, dedicated, jobs

__all__ = ["EncodedInput", "MediaRecorder"]

MAX_QUEUED_VIDEO = 60
"""Pictures that wait to be written; when one more comes, the oldest raw one is dropped."""

MAX_QUEUED_AUDIO = 1500
"""Audio frames that wait: 30 s of 20 ms, so that a slow disk leaves no hole in the sound."""

MAX_BATCH = 8
"""Frames that one job writes; they count as waiting until they are written."""

_logger = logging.getLogger("rtcstack.media")


class MediaRecorder(EventTarget):
    """Writes tracks to a file, or to one after the other.

    Args:
        file: path; or an object with ``write`` and ``seek``.
        format: FFmpeg's name of the format; None to go by the path's ending.
        video_codec: FFmpeg's name of the encoder; None for what suits the format.
        audio_codec: likewise.
        video_bitrate_bps: to aim at.
        audio_bitrate_bps: to aim at.
        options: FFmpeg's, for the format.
        rotate_s: go on in another file when one is so long. Files are numbered, call-0001.mp4 and so on,
            or have their number or the time (UTC) where the path says: "{time:%Y%m%d-%H%M%S}-{number}.mp4".
            Each begins with a key frame, which is asked for.
        rotate_bytes: likewise, when one is about so large.

    Tracks and encoded inputs are added before `start`. Tracks may jump in time (another sender, a camera
    that starts anew): the recording goes on where it was. An mp4 is written in fragments of a second,
    unless `options` set ``movflags``.

    Events: start, pause, resume, stop (when all is written); file, when one is complete; error, when
    writing failed (a disk is full): recording has ended then, and what was written is kept.

    Raises:
        TypeError: a file that is no path cannot be followed by others.
        ValueError: `rotate_s`, `rotate_bytes` or the path is none.
    """

    onstart = HandlerAttribute("start")
    onpause = HandlerAttribute("pause")
    onresume = HandlerAttribute("resume")
    onstop = HandlerAttribute("stop")
    onfile = HandlerAttribute("file")
    onerror = HandlerAttribute("error")

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
        rotate_s: float | None = None,
        rotate_bytes: int | None = None,
    ) -> None:
        super().__init__()
        self._file = os.fspath(file) if isinstance(file, str | os.PathLike) else file
        self._format = format
        self._options = options or {}
        self._video_codec = video_codec
        self._audio_codec = audio_codec
        self._video_bitrate_bps = video_bitrate_bps
        self._audio_bitrate_bps = audio_bitrate_bps
        self._inputs: list[Input] = []
        self._queue: deque[Entry] = deque()
        self._beginning: Beginning | None = None  # until the file has begun
        self._is_busy = False  # a worker writes
        self._batch: list[Input] = []  # whose frames a worker writes now
        self._stopping = False
        self._is_over = False
        self._workers: Jobs | None = None
        self._thread: Threads | None = None  # if they are our own
        self._finished: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self._output: Output | None = None
        self._paused_at: float | None = None
        self._paused_s = 0.0  # all pauses so far
        self._rotation: Rotation | None = None
        if rotate_s is not None or rotate_bytes is not None:
            if not isinstance(self._file, str):
                raise TypeError(f"{self._file!r} cannot be followed by another file: it is no path")
            self._rotation = Rotation(self._file, rotate_s, rotate_bytes)

    @property
    def state(self) -> str:
        """ "inactive", "recording" or "paused"."""
        if self._finished is None or self._stopping:
            return "inactive"
        return "recording" if self._paused_at is None else "paused"

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
            if possible and not any(map(can_be_kept, possible)):
                raise OperationError(f"{source.codec} cannot be recorded as it is")
            limit = MAX_QUEUED_VIDEO if track.kind == "video" else MAX_QUEUED_AUDIO
            self._inputs.append(Input(self, None, limit, track))
        elif track.kind == "video":
            writer = RawVideoWriter(self._video_codec, self._video_bitrate_bps)
            self._inputs.append(Input(self, writer, MAX_QUEUED_VIDEO, track))
        else:
            writer = RawAudioWriter(self._audio_codec, self._audio_bitrate_bps)
            self._inputs.append(Input(self, writer, MAX_QUEUED_AUDIO, track))

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
        if not can_be_kept(codec):
            raise OperationError(f"{codec.upper()} cannot be recorded as it is")
        writer = writer_of(codec, channels)
        limit = MAX_QUEUED_VIDEO if codec in VIDEO_CODECS else MAX_QUEUED_AUDIO
        entry = Input(self, writer, limit, None, codec)
        self._inputs.append(entry)
        return EncodedInput(self, entry, codec)

    def _check_not_started(self) -> None:
        if self._finished is not None:
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
        self._output = self._open()
        if is_at_hand(self._file, is_new=True):
            self._workers = jobs()
        else:
            self._workers = self._thread = dedicated("rtcstack-recorder")
        self._finished = asyncio.get_running_loop().create_future()
        self._beginning = Beginning(self._inputs, self._go_on)
        for entry in self._inputs:
            if entry.track is not None:
                entry.track.add_sink(entry)
                entry.ask_for_key_frame()
        self.dispatchEvent(Event("start"))

    def pause(self) -> None:
        """Record nothing for a while: the file goes on, without a gap, where `resume` is called. Encoded
        pictures go on with a key frame, which is asked for. Harmless when it is paused.

        Raises:
            InvalidStateError: nothing is being recorded.
        """
        if self.state == "inactive":
            raise InvalidStateError("pause on a recorder that is inactive")
        if self._paused_at is None:
            self._paused_at = monotonic()
            self.dispatchEvent(Event("pause"))

    def resume(self) -> None:
        """Go on after `pause`. Harmless when it is not paused.

        Raises:
            InvalidStateError: nothing is being recorded.
        """
        if self.state == "inactive":
            raise InvalidStateError("resume on a recorder that is inactive")
        if self._paused_at is None:
            return
        paused_s, self._paused_at = monotonic() - self._paused_at, None
        self._paused_s += paused_s
        for entry in self._inputs:
            if self._beginning is not None:
                self._beginning.skip(entry, Skip(paused_s))
            else:
                entry.queued += 1
                self._queue.append((entry, Skip(paused_s), self._now()))
            entry.needs_key_frame = entry.is_encoded and entry.is_video
            entry.ask_for_key_frame()
        self._go_on()
        self.dispatchEvent(Event("resume"))

    def _now(self) -> float:
        return monotonic() - self._paused_s

    def _join_clocks(self) -> None:
        """Find for each input the sound that was captured by the same clock, if there is any."""
        sounds: dict[int, Distance] = {}
        for kind in ("audio", "video"):
            for entry in self._inputs:
                track, writer = entry.track, entry.writer
                clock = None if track is None else track.source.capture_clock
                if track is None or writer is None or clock is None or track.kind != kind:
                    continue
                if kind == "video":
                    writer.sound = sounds.get(id(clock))
                elif id(clock) not in sounds:  # of several the first leads
                    writer.sound = sounds[id(clock)] = Distance()

    def _open(self) -> Output:
        output = Output(self, self._inputs, self._file, self._format, self._options, self._rotation)
        try:
            for entry in self._inputs:
                self._check(output.container, entry)
        except OperationError as exc:
            output.container.close()
            raise OperationError(f"{self._file!r} cannot be recorded: {exc}") from None
        return output

    def _check(self, container: OutputContainer, entry: Input) -> None:
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

    def choose_writer(self, entry: Input, codec: str) -> bool:
        """For the inputs: the first encoded frame tells its codec; whether it can be recorded."""
        if self._error is not None or self._output is None:
            return False
        container = self._output.container
        if not can_be_kept(codec) or not holds(container, codec):
            self._fail(OperationError(f"{container.format.name} does not hold {codec.upper()} as it is"))
            return False
        entry.writer = writer_of(codec, 2 if codec == "opus" else 1)
        entry.codec = codec
        return True

    def _fail(self, error: Exception) -> None:
        """Record nothing any more; `stop` raises it, and the log tells it now."""
        if self._error is not None:
            return
        self._error = error
        _logger.warning("recording %r has failed: %s", self._file, error)
        for entry, _, _ in self._queue:
            entry.queued -= 1
        self._queue.clear()
        if self._beginning is not None:
            self._beginning.end().clear()
            self._beginning = None
        self._end()
        if self.has_listeners("error"):
            told = OperationError(f"{self._file!r} cannot be recorded: {error}")
            self.dispatchEvent(MediaRecorderErrorEvent(told))

    def _end(self) -> None:
        """Take no more; what waits is written, and the file is closed."""
        for entry in self._inputs:
            if entry.track is not None:
                entry.track.remove_sink(entry)
        self._stopping = True
        self._go_on()

    async def stop(self) -> None:
        """Write what waits, and close the file. Harmless when it was stopped before.

        Raises:
            OperationError: the file could not be written.
        """
        if self._finished is None:
            return
        if not self._stopping:
            self._end()
        await asyncio.shield(self._finished)
        if self._error is not None:
            error, self._error = self._error, None
            raise OperationError(f"{self._file!r} cannot be recorded: {error}") from error

    def enqueue(self, entry: Input, item: Any) -> None:
        """For the inputs: something to write."""
        if self.state != "recording":
            return
        if entry.needs_key_frame:
            if not item[2]:
                entry.dropped += 1
                return
            entry.needs_key_frame = False
        if self._beginning is not None:
            self._beginning.keep(entry, item, self._now())
            return
        if entry.queued >= entry.limit:
            entry.dropped += 1
            if entry.is_encoded:
                return  # encoded frames depend on those before: the new one goes
            for i, (other, old, _) in enumerate(self._queue):
                if other is entry and not isinstance(old, Skip):
                    del self._queue[i]
                    entry.queued -= 1
                    break
        entry.queued += 1
        self._queue.append((entry, item, self._now()))
        self._go_on()

    def _go_on(self) -> None:
        """Have the next thing done, unless something is being done or there is nothing."""
        output = self._output
        if self._is_busy or self._is_over or output is None:
            return
        if self._beginning is not None:
            if not (self._beginning.is_complete or self._stopping):
                return
            early = self._beginning.end()
            self._beginning = None
            self._join_clocks()
            self._have_done(lambda: output.begin(early), early)
        elif self._queue:
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), MAX_BATCH))]
            self._batch = [entry for entry, _, _ in batch]
            self._have_done(lambda: output.write_all(batch), batch)
        elif self._stopping:
            self._is_over = True
            has_failed = self._error is not None
            self._have_done(lambda: output.finish(has_failed=has_failed), ())

    def _have_done(self, job: Callable[[], None], entries: Sequence[Entry]) -> None:
        workers = self._workers
        assert workers is not None
        self._is_busy = True

        def run() -> None:
            error: Exception | None = None
            try:
                job()
            except Exception as exc:
                error = exc.with_traceback(None)  # which would hold the file
            self._post(lambda: self._done(error))

        cost_s = sum(encoding_s(item) for _, item, _ in entries if not isinstance(item, Skip))
        workers.submit(run, cost_s=cost_s)

    def _done(self, error: Exception | None) -> None:
        self._is_busy = False
        is_finished = self._is_over  # what follows may have the rest done
        for entry in self._batch:
            entry.queued -= 1
        self._batch = []
        if error is not None:
            self._fail(error)
        if not is_finished:
            self._go_on()
            return
        if self._thread is not None:
            self._thread.close()
        assert self._finished is not None
        if not self._finished.done():
            self._finished.set_result(None)
            output, self._output = self._output, None
            if self._error is None and output is not None and output.has_begun:
                self.dispatchEvent(RecordedFileEvent(output.file))
            self.dispatchEvent(Event("stop"))

    def _post(self, told: Callable[[], None]) -> None:
        assert self._workers is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._workers.post(told)

    def file_done(self, file: Any) -> None:
        """For the output: a file is complete. On a worker."""

        def tell() -> None:
            self.dispatchEvent(RecordedFileEvent(file))

        self._post(tell)

    def key_frame_wanted(self, entry: Input) -> None:
        """For the output: another file waits for one. On a worker."""
        self._post(entry.ask_for_key_frame)
