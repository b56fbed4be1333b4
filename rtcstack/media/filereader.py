"""What of a player is a worker's: reading and decoding, a bounded piece at a time."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from fractions import Fraction
from typing import NamedTuple

import av
from av.container import InputContainer
from av.stream import Disposition, Stream

from rtcstack.codecs.costs import DECODING_S_PER_PIXEL, SOUND_S_PER_SAMPLE
from rtcstack.media.encoded import EncodedMedia
from rtcstack.media.frames import AUDIO_SAMPLE_RATE, VIDEO_CLOCK_RATE, VIDEO_TIME_BASE, Frame
from rtcstack.media.resampling import Resampler
from rtcstack.media.timeline import MAX_STEP_S, Timeline

__all__ = ["MAX_PACKETS", "FileReader", "MediaReader", "Piece", "placed", "wanted_streams"]

MAX_PACKETS = 64
"""Packets that a piece may take of a file, also of damaged ones, that give no frame."""

SAMPLE_RATES_HZ = (2_000, 768_000)
"""Of sound that is played: at a rate of 1 Hz a kilobyte is an hour."""

_AUDIO_FRAME_SAMPLES = AUDIO_SAMPLE_RATE // 50


class Piece(NamedTuple):
    """What was read.

    Attributes:
        frames: each with the seconds since the beginning, from which its pts counts too, and its kind.
        is_last: there is no more.
        error: why, if it is not the file's end.
    """

    frames: list[tuple[float, str, Frame | EncodedMedia]]
    is_last: bool = False
    error: Exception | None = None


def wanted_streams(container: InputContainer) -> dict[str, Stream]:
    """The first pictures and the first sound of a file, by kind. The picture on a sleeve is no video."""
    found: dict[str, Stream] = {}
    for stream in container.streams.video:
        if not stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails):
            found["video"] = stream
            break
    if container.streams.audio:
        found["audio"] = container.streams.audio[0]
    return found


class MediaReader(ABC):
    """Reads a file, a URL or a device. One call at a time, by any thread.

    Args:
        container: the file, which is closed with the reader.
        streams: those that are wanted.
        loops: begin anew at the end; time goes on.

    Attributes:
        is_stopping: set by whoever wants no more: then the piece that is being read is cut short.
        is_closed: whether it was closed.
    """

    def __init__(self, container: InputContainer, streams: list[Stream], *, loops: bool) -> None:
        self._container = container
        self._streams = streams
        self._video = next((each for each in streams if isinstance(each, av.VideoStream)), None)
        self._loops = loops
        self._steps = self._read_all()
        self._end_s = 0.0
        self.is_stopping = False
        self.is_closed = False

    @abstractmethod
    def cost_s(self, count: int) -> float:
        """Seconds of work that so many frames stand for, where time is modelled."""

    @abstractmethod
    def read_once(self, offset_s: float) -> Iterator[tuple[float, str, Frame | EncodedMedia] | None]:
        """Frames from the beginning to the end, and None after each packet.

        Args:
            offset_s: where the beginning stands.
        """

    def ends_at(self, seconds: float) -> None:
        """A frame reaches until then."""
        self._end_s = max(self._end_s, seconds)

    def read(self, count: int) -> Piece:
        """Read on.

        Args:
            count: frames at most. There may be fewer, or none, before the end.
        """
        frames: list[tuple[float, str, Frame | EncodedMedia]] = []
        if self.is_closed:
            return Piece(frames, is_last=True)
        packets = 0
        try:
            for step in self._steps:
                if step is None:
                    packets += 1
                else:
                    frames.append(step)
                if len(frames) >= count or packets >= MAX_PACKETS:
                    return Piece(frames)
        except Exception as exc:
            return Piece(frames, is_last=True, error=exc)
        return Piece(frames, is_last=True)

    def close(self) -> None:
        """Let go of the file or device. Harmless when that is so."""
        if not self.is_closed:
            self._steps.close()
            self._container.close()
            self.is_closed = True

    def _read_all(self) -> Generator[tuple[float, str, Frame | EncodedMedia] | None]:
        offset = 0.0
        while True:
            with contextlib.suppress(av.error.EOFError):
                yield from self.read_once(offset)
            if not self._loops or self.is_stopping or self._end_s <= offset:
                return
            offset = self._end_s
            self._container.seek(0)

    def _frame_interval(self) -> float:
        rate = None if self._video is None else self._video.average_rate
        return float(1 / rate) if rate else 1 / 30


class FileReader(MediaReader):
    """Decodes what it reads."""

    def cost_s(self, count: int) -> float:
        """See `MediaReader.cost_s`."""
        video = self._video
        if video is None:
            return count * _AUDIO_FRAME_SAMPLES * SOUND_S_PER_SAMPLE
        return count * video.width * video.height * DECODING_S_PER_PIXEL

    def read_once(self, offset_s: float) -> Iterator[tuple[float, str, Frame | EncodedMedia] | None]:
        """See `MediaReader.read_once`."""
        # What was cut together, or sent by a camera that began anew, jumps; each kind goes on where
        # it was, and both begin with the first of them.
        lines: dict[str, Timeline] = {}
        first: float | None = None
        resampler = Resampler(self._layout(), AUDIO_SAMPLE_RATE, _AUDIO_FRAME_SAMPLES)
        for frame in self._decoded():
            if frame is None:
                yield None
                continue
            at = frame.time
            if at is None:
                continue
            if first is None:
                first = at
            if isinstance(frame, av.VideoFrame):
                on_line = placed(lines, "video", at - first)
                if on_line is None:
                    continue
                seconds = on_line + offset_s
                frame.pts = round(seconds * VIDEO_CLOCK_RATE)
                frame.time_base = VIDEO_TIME_BASE
                self.ends_at(seconds + self._frame_interval())
                yield seconds, "video", frame
                continue
            if not SAMPLE_RATES_HZ[0] <= frame.sample_rate <= SAMPLE_RATES_HZ[1]:
                raise ValueError(f"sound of {frame.sample_rate} Hz cannot be played")
            for piece in resampler.resample(frame):
                on_line = placed(lines, "audio", (piece.time or 0.0) - first)
                if on_line is None:
                    continue
                seconds = on_line + offset_s
                piece.pts = round(seconds * AUDIO_SAMPLE_RATE)
                piece.time_base = Fraction(1, AUDIO_SAMPLE_RATE)
                self.ends_at(seconds + piece.samples / AUDIO_SAMPLE_RATE)
                yield seconds, "audio", piece

    def _decoded(self) -> Iterator[Frame | None]:
        for packet in self._container.demux(self._streams):
            if self.is_stopping:
                return
            try:
                for frame in packet.decode():
                    if isinstance(frame, av.VideoFrame | av.AudioFrame):
                        yield frame
            except av.error.InvalidDataError:
                pass  # a damaged packet costs itself only
            yield None

    def _layout(self) -> str:
        audio = self._container.streams.audio
        return "mono" if audio and audio[0].codec_context.layout.nb_channels == 1 else "stereo"


def placed(lines: dict[str, Timeline], kind: str, seconds: float) -> float | None:
    """Where a frame stands on its line, in seconds; None for one that is to be left out."""
    line = lines.get(kind)
    if line is None:
        began = max(0, round(seconds * VIDEO_CLOCK_RATE)) if abs(seconds) <= MAX_STEP_S else 0
        line = lines[kind] = Timeline(VIDEO_CLOCK_RATE, start=began)
    placed = line.place(round(seconds * VIDEO_CLOCK_RATE))
    return None if placed is None else max(0.0, placed / VIDEO_CLOCK_RATE)
