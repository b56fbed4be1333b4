"""Files, URLs, cameras and screens as tracks, through PyAV.

A player has one thread that reads and decodes. It starts when somebody reads a track, and ends with the
file, with `MediaPlayer.stop`, or when no track is left.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any, TypeVar

import av
from av.container import InputContainer

from rtcstack.errors import NotFoundError
from rtcstack.media.frames import (
    AUDIO_SAMPLE_RATE,
    VIDEO_CLOCK_RATE,
    VIDEO_TIME_BASE,
    Frame,
    set_capture_time,
)
from rtcstack.media.source import TrackSource
from rtcstack.media.timeline import MAX_STEP_S, Timeline
from rtcstack.media.track import MediaStreamTrack

__all__ = ["MediaPlayer", "camera", "microphone", "screen"]

MAX_DECODED_AHEAD = 64
"""Frames that are decoded and wait for their time: tracks in a file are not quite interleaved."""

MAX_IN_FLIGHT = 8
"""Frames that were handed to the loop and not yet taken up."""

_AUDIO_FRAME_SAMPLES = AUDIO_SAMPLE_RATE // 50

_logger = logging.getLogger("rtcstack.media")

T = TypeVar("T")


class _PlayerSource(TrackSource):
    """One of a player's tracks."""

    def __init__(self, kind: str, label: str, player: MediaPlayer) -> None:
        super().__init__(kind, label)
        self._player = player

    def demanded(self) -> None:
        self._player.start()

    def released(self) -> None:
        self._player.source_released()

    def consumed(self) -> None:
        self._player.hand_out()


class MediaPlayer:
    """Plays a file, a URL or a device.

    Audio comes as 16-bit stereo (or mono) at 48 kHz in frames of 20 ms; video as it is.

    Args:
        file: path, URL, or the device's name; or an object with ``read``.
        format: FFmpeg's name of the format; None to guess. Devices need it.
        options: FFmpeg's, for the format, e.g. ``{"framerate": "30", "video_size": "640x480"}``.
        loop: begin anew at the end; time goes on.
        realtime: as fast as the time in it says; False for as fast as it is read, with nothing
            dropped. Devices have their own time and are never held back.

    Raises:
        NotFoundError: it cannot be opened, or holds neither audio nor video.
    """

    def __init__(
        self,
        file: str | os.PathLike[str] | Any,
        format: str | None = None,  # noqa: A002 - FFmpeg's name
        options: Mapping[str, str] | None = None,
        *,
        loop: bool = False,
        realtime: bool = True,
    ) -> None:
        name = os.fspath(file) if isinstance(file, str | os.PathLike) else file
        try:
            container = av.open(name, "r", format=format, options=dict(options or {}), timeout=(20.0, 20.0))
        except (av.FFmpegError, OSError, ValueError) as exc:
            raise NotFoundError(f"{name!r} cannot be played: {exc}") from exc
        self._container: InputContainer = container
        self._is_device = _is_device(container)
        self._loop_file = loop and not self._is_device
        self._realtime = realtime and not self._is_device
        self._sources: dict[str, _PlayerSource] = {}
        self._streams = []
        label = self._name = str(name)
        for kind, streams in (("video", container.streams.video), ("audio", container.streams.audio)):
            if streams:
                self._sources[kind] = _PlayerSource(kind, label, self)
                self._streams.append(streams[0])
        if not self._streams:
            container.close()
            raise NotFoundError(f"{name!r} holds neither audio nor video")
        if container.streams.video:
            container.streams.video[0].thread_type = "AUTO"
        self._tracks = {kind: source.track() for kind, source in self._sources.items()}
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = threading.Event()
        self._in_flight = threading.BoundedSemaphore(MAX_IN_FLIGHT)
        self._held: deque[tuple[_PlayerSource, Frame]] = deque()
        self._done = False

    @classmethod
    async def open(
        cls,
        file: str | os.PathLike[str] | Any,
        format: str | None = None,  # noqa: A002 - FFmpeg's name
        options: Mapping[str, str] | None = None,
        *,
        loop: bool = False,
        realtime: bool = True,
    ) -> MediaPlayer:
        """The same, without holding up the event loop: for URLs and devices.

        Raises:
            NotFoundError: see the class.
        """
        return await _in_thread(lambda: cls(file, format, options, loop=loop, realtime=realtime))

    @property
    def audio(self) -> MediaStreamTrack | None:
        """The first audio of it, or None."""
        return self._tracks.get("audio")

    @property
    def video(self) -> MediaStreamTrack | None:
        """The first video of it, or None."""
        return self._tracks.get("video")

    @property
    def is_running(self) -> bool:
        """Whether its thread lives."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """End the tracks, and let go of the file or device."""
        self._stopping.set()
        self._release_held()
        for source in self._sources.values():
            source.end()
        if self._thread is None and not self._done:
            self._done = True
            self._container.close()

    # -- on the loop's thread ----------------------------------------------------------------

    def start(self) -> None:
        """For the sources: somebody reads."""
        if self._thread is None and not self._stopping.is_set():
            self._loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._run, name="rtcstack-player", daemon=True)
            self._thread.start()

    def source_released(self) -> None:
        """For the sources: a track of ours is gone."""
        if not any(source.tracks for source in self._sources.values()):
            self.stop()
        else:
            self.hand_out()

    def _receive(self, source: _PlayerSource, frame: Frame) -> None:
        self._held.append((source, frame))
        self.hand_out()

    def hand_out(self) -> None:
        """For the sources: give what there is room for."""
        held = self._held
        while held:
            source, frame = held[0]
            if not self._realtime and not self._is_device and not source.has_room:
                return
            held.popleft()
            self._in_flight.release()
            source.push(frame)

    def _release_held(self) -> None:
        while self._held:
            self._held.popleft()
            self._in_flight.release()

    def _end(self) -> None:
        if self._held and not self._stopping.is_set():
            # readers still have to take what is held; the last of them calls us again
            assert self._loop is not None
            self._loop.call_later(0.02, self._end)
            return
        for source in self._sources.values():
            source.end()

    # -- on our own thread --------------------------------------------------------------------

    def _run(self) -> None:
        loop = self._loop
        assert loop is not None
        try:
            self._play(loop)
        except (av.FFmpegError, OSError, ValueError) as exc:
            _logger.warning("%s: playing failed, its tracks end: %s", self._name, exc)
            context = {"message": "a player failed: its tracks end", "exception": exc}
            self._post(loop, loop.call_exception_handler, context)
        finally:
            self._container.close()
            self._done = True
            self._post(loop, self._end)

    @staticmethod
    def _post(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: object) -> bool:
        try:
            loop.call_soon_threadsafe(function, *args)
        except RuntimeError:  # the loop is closed
            return False
        return True

    def _play(self, loop: asyncio.AbstractEventLoop) -> None:
        began_at = time.monotonic()
        waiting: list[tuple[float, int, _PlayerSource, Frame]] = []
        number = 0
        for at, source, frame in self._frames():
            heapq.heappush(waiting, (at, number, source, frame))
            number += 1
            if self._is_device:
                while waiting:
                    if not self._give(loop, heapq.heappop(waiting)):
                        return
                continue
            kinds = {id(entry[2]) for entry in waiting}
            while waiting and (len(kinds) == len(self._sources) or len(waiting) >= MAX_DECODED_AHEAD):
                entry = heapq.heappop(waiting)
                if not self._wait_until(began_at + entry[0]) or not self._give(loop, entry):
                    return
                kinds = {id(entry[2]) for entry in waiting}
        while waiting:
            entry = heapq.heappop(waiting)
            if not self._wait_until(began_at + entry[0]) or not self._give(loop, entry):
                return

    def _wait_until(self, due: float) -> bool:
        if not self._realtime:
            return not self._stopping.is_set()
        wait_s = due - time.monotonic()
        return not self._stopping.wait(wait_s) if wait_s > 0 else not self._stopping.is_set()

    def _give(self, loop: asyncio.AbstractEventLoop, entry: tuple[float, int, _PlayerSource, Frame]) -> bool:
        while not self._in_flight.acquire(timeout=0.1):
            if self._stopping.is_set() or loop.is_closed():
                return False
        _, _, source, frame = entry
        set_capture_time(frame, time.time())
        return self._post(loop, self._receive, source, frame) and not self._stopping.is_set()

    def _frames(self) -> Iterator[tuple[float, _PlayerSource, Frame]]:
        """Frames with the seconds since the beginning, their pts counted from there too."""
        offset = 0.0
        while True:
            # What was cut together, or sent by a camera that began anew, jumps; each kind goes on where
            # it was, and both begin with the first of them.
            lines: dict[str, Timeline] = {}
            first: float | None = None
            last = 0.0
            resampler = av.AudioResampler("s16", self._layout(), AUDIO_SAMPLE_RATE, _AUDIO_FRAME_SAMPLES)
            for frame in self._decoded():
                at = frame.time
                if at is None:
                    continue
                if first is None:
                    first = at
                if isinstance(frame, av.VideoFrame):
                    placed = _placed(lines, "video", at - first)
                    if placed is None:
                        continue
                    seconds = placed + offset
                    frame.pts = round(seconds * VIDEO_CLOCK_RATE)
                    frame.time_base = VIDEO_TIME_BASE
                    last = max(last, seconds + self._frame_interval())
                    yield seconds, self._sources["video"], frame
                    continue
                for piece in resampler.resample(frame):
                    placed = _placed(lines, "audio", (piece.time or 0.0) - first)
                    if placed is None:
                        continue
                    seconds = placed + offset
                    piece.pts = round(seconds * AUDIO_SAMPLE_RATE)
                    piece.time_base = Fraction(1, AUDIO_SAMPLE_RATE)
                    last = max(last, seconds + piece.samples / AUDIO_SAMPLE_RATE)
                    yield seconds, self._sources["audio"], piece
            if not self._loop_file or self._stopping.is_set() or last <= offset:
                return
            offset = last
            self._container.seek(0)

    def _decoded(self) -> Iterator[Frame]:
        try:
            for packet in self._container.demux(self._streams):
                if self._stopping.is_set():
                    return
                try:
                    for frame in packet.decode():
                        if isinstance(frame, av.VideoFrame | av.AudioFrame):
                            yield frame
                except av.error.InvalidDataError:
                    continue  # a damaged packet costs itself only
        except av.error.EOFError:
            return

    def _layout(self) -> str:
        audio = self._container.streams.audio
        return "mono" if audio and audio[0].codec_context.layout.nb_channels == 1 else "stereo"

    def _frame_interval(self) -> float:
        rate = self._container.streams.video[0].average_rate
        return float(1 / rate) if rate else 1 / 30


def _placed(lines: dict[str, Timeline], kind: str, seconds: float) -> float | None:
    """Where a frame stands on its line, in seconds; None for one that is to be left out."""
    line = lines.get(kind)
    if line is None:
        began = max(0, round(seconds * VIDEO_CLOCK_RATE)) if abs(seconds) <= MAX_STEP_S else 0
        line = lines[kind] = Timeline(VIDEO_CLOCK_RATE, start=began)
    placed = line.place(round(seconds * VIDEO_CLOCK_RATE))
    return None if placed is None else max(0.0, placed / VIDEO_CLOCK_RATE)


def _is_device(container: InputContainer) -> bool:
    names = set(container.format.name.split(","))
    devices = {
        "v4l2",
        "video4linux2",
        "x11grab",
        "fbdev",
        "alsa",
        "pulse",
        "avfoundation",
        "dshow",
        "gdigrab",
    }
    return bool(names & devices)


async def _in_thread(work: Callable[[], T]) -> T:
    """Run something slow on a thread of its own, that ends with it."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, exc: BaseException | None) -> None:
        if future.done():
            if isinstance(result, MediaPlayer):
                result.stop()
        elif exc is not None:
            future.set_exception(exc)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as exc:
            error = exc
        try:
            loop.call_soon_threadsafe(tell, result, error)
        except RuntimeError:  # the loop is closed
            return

    threading.Thread(target=run, name="rtcstack-open", daemon=True).start()
    return await future


async def camera(
    device: str | None = None,
    *,
    width: int = 640,
    height: int = 480,
    frame_rate: float = 30,
) -> MediaPlayer:
    """A camera.

    Args:
        device: its name in the system; None for the first.
        width, height, frame_rate: what it is asked for.

    Raises:
        NotFoundError: there is none, or it refuses.
    """
    options = {"video_size": f"{width}x{height}", "framerate": f"{frame_rate:g}"}
    if sys.platform == "darwin":
        return await MediaPlayer.open(device or "default:none", "avfoundation", options)
    if sys.platform == "win32":
        return await MediaPlayer.open(f"video={device or 'Integrated Camera'}", "dshow", options)
    return await MediaPlayer.open(device or "/dev/video0", "v4l2", options)


async def microphone(device: str | None = None) -> MediaPlayer:
    """A microphone.

    Args:
        device: its name in the system; None for the first.

    Raises:
        NotFoundError: there is none, or it refuses.
    """
    if sys.platform == "darwin":
        return await MediaPlayer.open(device or "none:default", "avfoundation")
    if sys.platform == "win32":
        return await MediaPlayer.open(f"audio={device or 'Microphone'}", "dshow")
    return await MediaPlayer.open(device or "default", "alsa")


async def screen(display: str | None = None, *, frame_rate: float = 15) -> MediaPlayer:
    """The screen.

    Args:
        display: its name in the system; None for the one in use.
        frame_rate: pictures a second.

    Raises:
        NotFoundError: there is none, or it refuses.
    """
    options = {"framerate": f"{frame_rate:g}"}
    if sys.platform == "darwin":
        return await MediaPlayer.open(display or "Capture screen 0:none", "avfoundation", options)
    if sys.platform == "win32":
        return await MediaPlayer.open(display or "desktop", "gdigrab", options)
    return await MediaPlayer.open(display or os.environ.get("DISPLAY", ":0"), "x11grab", options)
