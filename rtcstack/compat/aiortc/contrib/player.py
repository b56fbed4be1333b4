"""MediaPlayer: the tracks of a file, a device or a URL, that are read as fast as they are asked for."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import av
from av.container import InputContainer
from av.frame import Frame
from av.packet import Packet

from rtcstack.clock import unix_time
from rtcstack.compat.aiortc.contrib.filereader import FileReader, Piece
from rtcstack.compat.aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from rtcstack.media.files import is_at_hand
from rtcstack.platform import Jobs
from rtcstack.workers import Threads, dedicated, jobs

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

_UNDECODED = {"audio": ("opus", "pcm_alaw", "pcm_mulaw"), "video": ("h264", "vp8")}
_RETRY_S = 0.01

if TYPE_CHECKING:
    Data = Frame | Packet[Any]


class PlayerStreamTrack(MediaStreamTrack):
    """One track of a player.

    Args:
        player: whose.
        kind: "audio" or "video".
        codec_name: FFmpeg's name of the codec, where packets are given.
    """

    def __init__(self, player: MediaPlayer, kind: str, codec_name: str | None = None) -> None:
        super().__init__()
        self.kind = kind
        self.codec_name = codec_name
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
        player._read_on()
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
            self._queue.put_nowait(None)  # who waits is told


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
        self._name = container.name
        self._throttle_playback = not set(container.format.name.split(",")) & set(REAL_TIME_FORMATS)
        self._loop_playback = loop
        self._is_at_hand = is_at_hand(file) and self._throttle_playback
        self._tracks: dict[str, PlayerStreamTrack] = {}
        streams: dict[str, Any] = {}
        for stream in container.streams:
            kind = stream.type
            if kind not in _UNDECODED or kind in streams:
                continue
            name = stream.codec_context.name
            if decode or name in _UNDECODED[kind]:
                self._tracks[kind] = PlayerStreamTrack(self, kind, None if decode else name)
                streams[kind] = stream
        assert not loop or container.duration is not None, "The `loop` argument requires a seekable file"
        self._reader: FileReader | None = FileReader(container, streams, decode=decode, loop=loop)
        self._started: set[PlayerStreamTrack] = set()
        self._workers: Jobs | None = None  # once it has begun
        self._thread: Threads | None = None  # if they are its own
        self._is_reading = False
        self._is_over = False

    @property
    def audio(self) -> MediaStreamTrack | None:
        """The sound, if there is some."""
        return self._tracks.get("audio")

    @property
    def video(self) -> MediaStreamTrack | None:
        """The pictures, if there are some."""
        return self._tracks.get("video")

    def _start(self, track: PlayerStreamTrack) -> None:
        """Somebody reads a track."""
        self._started.add(track)
        if self._workers is None:
            if self._is_at_hand:
                self._workers = jobs()
            else:  # what may block for good
                self._workers = self._thread = dedicated("rtcstack-player")
        self._read_on()

    def _read_on(self) -> None:
        """Have more read, where somebody needs it."""
        workers = self._workers
        if self._is_reading or self._is_over or self._reader is None or workers is None:
            return
        if self._started and all(each._queue.qsize() >= MAX_AHEAD for each in self._started):
            return
        reader, self._is_reading = self._reader, True

        def read() -> None:
            piece = reader.read()
            try:
                workers.post(lambda: self._have_read(piece, reader))
            except RuntimeError:  # the loop is closed
                reader.close()

        workers.submit(read)

    def _have_read(self, piece: Piece, reader: FileReader) -> None:
        self._is_reading = False
        if self._reader is None:
            self._close(reader)
            return
        for kind, data in piece.data:
            queue = self._tracks[kind]._queue
            if queue.qsize() >= MAX_WAITING:
                queue.get_nowait()
            queue.put_nowait(data)
        if piece.is_last:
            if piece.error is not None:
                logger.warning("MediaPlayer(%s) ends: %s", self._name, piece.error)
            self._is_over = True
            for track in self._tracks.values():
                track._queue.put_nowait(None)
        elif piece.is_early:  # a device has nothing at the moment
            asyncio.get_running_loop().call_later(_RETRY_S, self._read_on)
        else:
            self._read_on()

    def _stop(self, track: PlayerStreamTrack) -> None:
        """A track has ended; with the last, the file is closed, when nobody reads it any more."""
        self._started.discard(track)
        if self._started:
            return
        reader, self._reader = self._reader, None
        if reader is not None and not self._is_reading:
            self._close(reader)

    def _close(self, reader: FileReader) -> None:
        if self._workers is None:
            reader.close()
            return
        self._workers.submit(reader.close)
        if self._thread is not None:
            self._thread.close()
