"""MediaPlayer: the tracks of a file, a device or a URL, that are read as fast as they are asked for."""

from __future__ import annotations

import asyncio
import errno
import fractions
import logging
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import av
from av.container import InputContainer
from av.frame import Frame
from av.packet import Packet

from rtcstack.clock import unix_time
from rtcstack.compat.aiortc.mediastreams import AUDIO_PTIME, MediaStreamError, MediaStreamTrack

__all__ = ["REAL_TIME_FORMATS", "MediaPlayer", "PlayerStreamTrack"]

logger = logging.getLogger("rtcstack.compat.aiortc.media")

REAL_TIME_FORMATS = [
    "alsa",
    "android_camera",
    "avfoundation",
    "bktr",
    "decklink",
    "dshow",
    "fbdev",
    "gdigrab",
    "iec61883",
    "jack",
    "kmsgrab",
    "openal",
    "oss",
    "pulse",
    "sndio",
    "rtsp",
    "v4l2",
    "vfwcap",
    "x11grab",
]
"""Formats that have a pace of their own; all others are paced by their frames' times."""

MAX_AHEAD = 30
"""Frames of a track that wait to be read before the reading of the file waits, too."""

MAX_WAITING = 300
"""Frames of a track that nobody reads while another of the file is read; of more, the oldest go."""

_RATE = 48_000
_UNDECODED = {"audio": ("opus", "pcm_alaw", "pcm_mulaw"), "video": ("h264", "vp8")}
_RETRY_S = 0.01

if TYPE_CHECKING:
    Data = Frame | Packet[Any]


class PlayerStreamTrack(MediaStreamTrack):
    """One track of a player.

    Args:
        player: whose.
        kind: "audio" or "video".
    """

    def __init__(self, player: MediaPlayer, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self._player: MediaPlayer | None = player
        self._queue: asyncio.Queue[Data | None] = asyncio.Queue()
        self._start: float | None = None

    async def recv(self) -> Data:
        """See `MediaStreamTrack.recv`; frames come at their times."""
        player = self._player
        if self.readyState != "live" or player is None:
            raise MediaStreamError
        player._start(self)
        data = await self._queue.get()
        player._taken()
        if data is None:
            self.stop()
            raise MediaStreamError
        at = _time_of(data)
        if at is not None and player._throttle_playback:
            if self._start is None:
                self._start = unix_time() - at
            else:
                await asyncio.sleep(self._start + at - unix_time())
        return data

    def stop(self) -> None:
        """See `MediaStreamTrack.stop`; with its last track the file is closed."""
        super().stop()
        player, self._player = self._player, None
        if player is not None:
            player._stop(self)


def _time_of(data: Data) -> float | None:
    if isinstance(data, Frame):
        return data.time
    return None if data.pts is None or not data.time_base else float(data.pts * data.time_base)


class MediaPlayer:
    """Plays a file, a device or a URL.

    Args:
        file: path or URL; or an object with ``read``.
        format: FFmpeg's name of the format; None to find out.
        options: FFmpeg's.
        timeout: of opening and reading, in seconds; None for none.
        loop: begin anew at the end.
        decode: give frames; else the encoded packets, of codecs that can be sent.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(
        self,
        file: Any,
        format: str | None = None,  # noqa: A002 - FFmpeg's name
        options: dict[str, str] | None = None,
        timeout: float | None = None,
        loop: bool = False,
        decode: bool = True,
    ) -> None:
        container: InputContainer = av.open(
            file=file, format=format, mode="r", options=options or {}, timeout=timeout
        )
        self._container: InputContainer | None = container
        self._name = container.name
        self._decode = decode
        self._loop_playback = loop
        self._throttle_playback = not set(container.format.name.split(",")) & set(REAL_TIME_FORMATS)
        self._tracks: dict[str, PlayerStreamTrack] = {}
        self._streams: list[Any] = []
        for stream in container.streams:
            kind = stream.type
            if kind not in _UNDECODED or kind in self._tracks:
                continue
            if decode or stream.codec_context.name in _UNDECODED[kind]:
                self._tracks[kind] = PlayerStreamTrack(self, kind)
                self._streams.append(stream)
        assert not loop or container.duration is not None, "The `loop` argument requires a seekable file"
        self._started: set[PlayerStreamTrack] = set()
        self._thread: threading.Thread | None = None
        self._quit = False
        self._room = threading.Condition()

    @property
    def audio(self) -> MediaStreamTrack | None:
        """The sound, if there is some."""
        return self._tracks.get("audio")

    @property
    def video(self) -> MediaStreamTrack | None:
        """The pictures, if there are some."""
        return self._tracks.get("video")

    # -- on the loop's thread -----------------------------------------------------------------------

    def _start(self, track: PlayerStreamTrack) -> None:
        """Somebody reads a track."""
        self._started.add(track)
        if self._thread is None and self._container is not None:
            worker = _Reader(self, asyncio.get_running_loop(), self._container)
            self._thread = threading.Thread(name="media-player", target=worker.run, daemon=True)
            self._thread.start()

    def _taken(self) -> None:
        """A frame was read: there may be room again."""
        with self._room:
            self._room.notify()

    def _stop(self, track: PlayerStreamTrack) -> None:
        """A track has ended."""
        self._started.discard(track)
        if any(each.readyState == "live" for each in self._started):
            return
        thread, self._thread = self._thread, None
        container, self._container = self._container, None
        with self._room:
            self._quit = True
            self._room.notify()
        if thread is None and container is not None:
            container.close()  # the thread closes it otherwise: it may be reading

    def _bring(self, track: PlayerStreamTrack, data: Data | None) -> None:
        """For the thread: a frame, or the end."""
        queue = track._queue
        if queue.qsize() >= MAX_WAITING:
            queue.get_nowait()
        queue.put_nowait(data)

    # -- on the reader's thread ---------------------------------------------------------------------

    def _wait_for_room(self) -> bool:
        """Wait while nobody needs more.

        Returns:
            Whether to go on.
        """
        with self._room:
            while not self._quit and all(each._queue.qsize() >= MAX_AHEAD for each in tuple(self._started)):
                self._room.wait(timeout=1.0)
            return not self._quit


class _Reader:
    """Reads a container in a thread of its own."""

    def __init__(
        self, player: MediaPlayer, loop: asyncio.AbstractEventLoop, container: InputContainer
    ) -> None:
        self._player = player
        self._loop = loop
        self._container = container
        self._tracks = dict(player._tracks)
        self._data: Iterator[Data] | None = None
        self._first_picture: int | None = None
        self._samples = 0
        self._resampler = av.AudioResampler(
            format="s16", layout="stereo", rate=_RATE, frame_size=int(_RATE * AUDIO_PTIME)
        )

    def run(self) -> None:
        """Until the end, or until nobody reads any longer."""
        try:
            while self._player._wait_for_room():
                try:
                    data = self._next()
                except StopIteration:
                    if not self._player._loop_playback:
                        break
                    self._container.seek(0)
                    self._data = None
                    continue
                if data is None:
                    time.sleep(_RETRY_S)  # a device without anything at the moment
                    continue
                for track, each in self._prepare(data):
                    self._tell(track, each)
        except Exception as exc:
            logger.warning("MediaPlayer(%s) ends: %s", self._player._name, exc)
        finally:
            for track in self._tracks.values():
                self._tell(track, None)
            self._container.close()

    def _next(self) -> Data | None:
        if self._data is None:
            player = self._player
            read = self._container.decode if player._decode else self._container.demux
            self._data = iter(read(*player._streams))
        try:
            data = next(self._data)
        except av.FFmpegError as exc:
            self._data = None  # it has ended with that
            if exc.errno == errno.EAGAIN:
                return None
            if isinstance(exc, av.EOFError):
                raise StopIteration from None
            raise
        if isinstance(data, Packet) and not data.size:
            raise StopIteration
        return data

    def _prepare(self, data: Data) -> Iterator[tuple[PlayerStreamTrack, Data]]:
        kind = "audio" if isinstance(data, av.AudioFrame) else "video"
        if isinstance(data, Packet):
            kind = data.stream.type
        track = self._tracks.get(kind)
        if track is None:
            return
        if isinstance(data, av.AudioFrame):
            for frame in self._resampler.resample(data):
                frame.pts, frame.time_base = self._samples, fractions.Fraction(1, _RATE)
                self._samples += frame.samples
                yield track, frame
            return
        if data.pts is None:
            logger.warning("MediaPlayer(%s) leaves out a picture without a time", self._player._name)
            return
        if kind == "video":
            if self._first_picture is None:
                self._first_picture = data.pts  # cameras do not begin with 0
            data.pts -= self._first_picture
        yield track, data

    def _tell(self, track: PlayerStreamTrack, data: Data | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._player._bring, track, data)
        except RuntimeError:  # the loop has been closed
            self._player._quit = True
