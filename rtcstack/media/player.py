"""Files, URLs, cameras and screens as tracks, through PyAV.

The loop's workers read and decode a file, a few frames ahead; what may block for good, a device or a URL,
has a thread of its own. Reading begins when somebody reads a track, and ends with the file, with
`MediaPlayer.stop`, or when no track is left. Frames are handed out by a timer of the loop.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import os
from collections.abc import Mapping
from typing import Any, cast

import av
from av.container import InputContainer
from av.stream import Stream

from rtcstack.clock import monotonic, unix_time
from rtcstack.errors import NotFoundError, NotSupportedError
from rtcstack.events import Event, EventTarget, HandlerAttribute
from rtcstack.media.encoded import EncodedMedia
from rtcstack.media.encodedreader import EncodedFileReader
from rtcstack.media.encodedsource import EncodedSource
from rtcstack.media.filereader import FileReader, MediaReader, Piece, wanted_streams
from rtcstack.media.files import is_at_hand
from rtcstack.media.frames import Frame, frame_bytes, set_capture_time
from rtcstack.media.source import TrackSource
from rtcstack.media.track import MediaStreamTrack
from rtcstack.media.unwrapping import Unwrapper, unwrapper
from rtcstack.platform import Jobs
from rtcstack.workers import Threads, dedicated, jobs, run

__all__ = [
    "MAX_DECODED_AHEAD",
    "MAX_IN_FLIGHT",
    "MAX_WAITING_BYTES",
    "MediaPlayer",
    "MediaPlayerErrorEvent",
]

MAX_DECODED_AHEAD = 64
"""Frames that are decoded and wait for their time: tracks in a file are not quite interleaved."""

MAX_WAITING_BYTES = 96 << 20
"""What those frames may take: seven pictures of 4K, or all of 720p. One more read may come on top."""

MAX_IN_FLIGHT = 8
"""Frames that are read ahead of those that can be shown; of a device, frames that are on their way."""

_logger = logging.getLogger("rtcstack.media")


class _OfPlayer(TrackSource):
    """Tells its player."""

    _player: MediaPlayer

    def demanded(self) -> None:
        self._player.start()

    def released(self) -> None:
        self._player.source_released()

    def consumed(self) -> None:
        self._player.hand_out()


class _PlayerSource(_OfPlayer):
    """One of a player's tracks."""

    def __init__(self, kind: str, label: str, player: MediaPlayer) -> None:
        super().__init__(kind, label)
        self._player = player


class _EncodedPlayerSource(_OfPlayer, EncodedSource):
    """One of the tracks of a player that decodes nothing."""

    def __init__(self, codec: str, label: str, player: MediaPlayer) -> None:
        EncodedSource.__init__(self, codec, label)
        self._player = player


class MediaPlayerErrorEvent(Event):
    """Playing has failed, and the tracks have ended.

    Attributes:
        error: why.
    """

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        super().__init__("error")
        self.error = error


class MediaPlayer(EventTarget):
    """Plays a file, a URL or a device.

    Audio comes as 16-bit stereo (or mono) at 48 kHz in frames of 20 ms; video as it is. Or nothing is
    decoded: a connection then sends what is in the file, H.264, H.265, VP8, VP9, AV1, Opus or G.711, and
    offers that codec first. A file has key frames where it has them, whoever asks for one.

    Args:
        file: path, URL, or the device's name; or an object with ``read``.
        format: FFmpeg's name of the format; None to guess. Devices need it.
        options: FFmpeg's, for the format, e.g. ``{"framerate": "30", "video_size": "640x480"}``.
        loop: begin anew at the end; time goes on.
        realtime: as fast as the time in it says; False for as fast as it is read, with nothing
            dropped. Devices and RTSP have their own time and are never held back.
        decode: False for `EncodedMedia` frames, as they are in the file.

    Attributes:
        refused: of what cannot be sent as it is, by kind, why: AAC, or pictures with B-frames. The log says
            it, too, and there is no track of it.

    Events: error, when reading fails in the middle: the tracks end.

    Raises:
        NotFoundError: it cannot be opened, or holds neither audio nor video.
        NotSupportedError: nothing in it can be sent as it is.
    """

    onerror = HandlerAttribute("error")

    def __init__(
        self,
        file: str | os.PathLike[str] | Any,
        format: str | None = None,  # noqa: A002 - FFmpeg's name
        options: Mapping[str, str] | None = None,
        *,
        loop: bool = False,
        realtime: bool = True,
        decode: bool = True,
    ) -> None:
        super().__init__()
        name = os.fspath(file) if isinstance(file, str | os.PathLike) else file
        try:
            container = av.open(name, "r", format=format, options=dict(options or {}), timeout=(20.0, 20.0))
        except (av.FFmpegError, OSError, ValueError) as exc:
            raise NotFoundError(f"{name!r} cannot be played: {exc}") from exc
        self._is_device = _is_device(container)
        self._is_at_hand = is_at_hand(name) and not self._is_device
        self._realtime = realtime and not self._is_device
        self._sources: dict[str, _OfPlayer] = {}
        self.refused: dict[str, NotSupportedError] = {}
        self._name = str(name)
        wanted = wanted_streams(container)
        if not wanted:
            container.close()
            raise NotFoundError(f"{name!r} holds neither audio nor video")
        self._reader: MediaReader
        loops = loop and not self._is_device
        if decode:
            self._reader = self._decoding(container, wanted, loops=loops)
        else:
            self._reader = self._passing(container, wanted, loops=loops)
        self._tracks = {kind: source.track() for kind, source in self._sources.items()}
        self._workers: Jobs | None = None  # once it has begun
        self._thread: Threads | None = None  # if they are its own
        self._stopping = False
        self._reads = 0  # under way
        self._is_read = False
        self._is_closing = False
        self._waiting: list[tuple[float, int, str, Frame | EncodedMedia]] = []
        self._counts = dict.fromkeys(self._sources, 0)  # of what waits
        self._waiting_bytes = 0
        self._largest = 0  # frame so far, in bytes
        self._number = 0
        self._began_at = 0.0
        self._is_giving = False
        self._timer: asyncio.TimerHandle | None = None

    def _decoding(self, container: InputContainer, wanted: dict[str, Stream], *, loops: bool) -> MediaReader:
        for kind in wanted:
            self._sources[kind] = _PlayerSource(kind, self._name, self)
        if (video := wanted.get("video")) is not None:
            video.codec_context.thread_type = "AUTO"
        return FileReader(container, list(wanted.values()), loops=loops)

    def _passing(self, container: InputContainer, wanted: dict[str, Stream], *, loops: bool) -> MediaReader:
        unwrappers: dict[int, Unwrapper] = {}
        for kind, stream in wanted.items():
            try:
                unwrappers[stream.index] = found = unwrapper(stream)
            except NotSupportedError as exc:
                self.refused[kind] = exc
            else:
                self._sources[kind] = _EncodedPlayerSource(found.codec, self._name, self)
        said = "; ".join(str(exc) for exc in self.refused.values())
        if not unwrappers:
            container.close()
            raise NotSupportedError(f"{self._name!r}: {said}")
        if said:
            _logger.warning("%s: %s", self._name, said)
        return EncodedFileReader(container, unwrappers, loops=loops)

    @classmethod
    async def open(
        cls,
        file: str | os.PathLike[str] | Any,
        format: str | None = None,  # noqa: A002 - FFmpeg's name
        options: Mapping[str, str] | None = None,
        *,
        loop: bool = False,
        realtime: bool = True,
        decode: bool = True,
    ) -> MediaPlayer:
        """The same, without holding up the event loop: for URLs and devices.

        Raises:
            NotFoundError, NotSupportedError: see the class.
        """

        def make() -> MediaPlayer:
            return cls(file, format, options, loop=loop, realtime=realtime, decode=decode)

        if is_at_hand(file) and format not in _DEVICES:
            return await run(make, jobs(), unwanted=cls.stop)
        thread = dedicated("rtcstack-open")
        opened = run(make, thread, unwanted=cls.stop)
        thread.close()
        return await opened

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
        """Whether it has begun and still holds the file or device."""
        return self._workers is not None and not self._reader.is_closed

    def stop(self) -> None:
        """End the tracks, and let go of the file or device."""
        self._stopping = self._reader.is_stopping = True
        self._waiting.clear()
        self._waiting_bytes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for source in self._sources.values():
            source.end()
        if not self._reads:
            self._close()

    # -- reading ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """For the sources: somebody reads."""
        if self._workers is not None or self._stopping:
            return
        if self._is_at_hand:
            self._workers = jobs()
        else:
            self._workers = self._thread = dedicated("rtcstack-player")
        self._began_at = monotonic()
        self._read_on()

    def _read_on(self) -> None:
        """Have as much read as may wait. Of a file one piece at a time, for workers keep no order; a
        device's thread goes on reading while the loop is busy."""
        if self._workers is None:
            return
        while self._reads < (MAX_IN_FLIGHT if self._is_device else 1):
            count = self._room()
            if count <= 0 or self._is_read or self._stopping:
                return
            self._reads += 1
            self._workers.submit(lambda count=count: self._read(count), cost_s=self._reader.cost_s(count))  # type: ignore[misc]

    def _room(self) -> int:
        """How many frames are to be read."""
        if self._is_device:
            return 1
        waiting = len(self._waiting)
        most = MAX_IN_FLIGHT if all(self._counts.values()) else MAX_DECODED_AHEAD
        room = min(most - waiting, MAX_IN_FLIGHT)
        if self._largest:
            room = min(room, (MAX_WAITING_BYTES - self._waiting_bytes) // self._largest)
        return max(room, not waiting)

    @property
    def _is_full(self) -> bool:
        """Whether nothing more is read before something was given."""
        return (
            len(self._waiting) >= MAX_DECODED_AHEAD or self._waiting_bytes + self._largest > MAX_WAITING_BYTES
        )

    def _read(self, count: int) -> None:
        """On a worker."""
        piece = self._reader.read(count)
        workers = self._workers
        assert workers is not None
        try:
            workers.post(lambda: self._have_read(piece))
        except RuntimeError:  # the loop is closed
            self._reader.close()

    def _have_read(self, piece: Piece) -> None:
        self._reads -= 1
        if self._stopping:
            if not self._reads:
                self._close()
            return
        for at, kind, frame in piece.frames:
            heapq.heappush(self._waiting, (at, self._number, kind, frame))
            self._number += 1
            self._counts[kind] += 1
            size = _bytes(frame)
            self._waiting_bytes += size
            self._largest = max(self._largest, size)
        if piece.is_last and not self._is_read:
            self._is_read = True
            if piece.error is not None:
                _logger.warning("%s: playing failed, its tracks end: %s", self._name, piece.error)
                if self.has_listeners("error"):
                    self.dispatchEvent(MediaPlayerErrorEvent(piece.error))
                else:
                    context = {"message": "a player failed: its tracks end", "exception": piece.error}
                    asyncio.get_running_loop().call_exception_handler(context)
        self.hand_out()

    def _close(self) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        if self._workers is None:
            self._reader.close()
            return
        self._workers.submit(self._reader.close)
        if self._thread is not None:
            self._thread.close()

    # -- handing out --------------------------------------------------------------------------------------

    def source_released(self) -> None:
        """For the sources: a track of ours is gone."""
        if not any(source.tracks for source in self._sources.values()):
            self.stop()
        else:
            self.hand_out()

    def hand_out(self) -> None:
        """For the sources: give what is due, or what there is room for."""
        if self._is_giving or self._stopping or self._workers is None:
            return
        self._is_giving = True
        try:
            while self._may_give():
                _, _, kind, frame = heapq.heappop(self._waiting)
                self._counts[kind] -= 1
                self._waiting_bytes -= _bytes(frame)
                if isinstance(frame, EncodedMedia):
                    frame.capture_time = unix_time()
                else:
                    set_capture_time(frame, unix_time())
                self._sources[kind].push(cast(Frame, frame))
        finally:
            self._is_giving = False
        if not self._stopping:
            self._go_on()

    def _may_give(self) -> bool:
        """Whether the next frame is to be given now. A timer is set if time alone is missing."""
        waiting = self._waiting
        if not waiting:  # also when it was stopped by what it gave
            return False
        if self._is_device:
            return True
        if not self._is_read and not all(self._counts.values()) and not self._is_full:
            return False  # what the others bring may be due before it
        at, _, kind, _ = waiting[0]
        if not self._realtime:
            return self._sources[kind].has_room
        wait_s = self._began_at + at - monotonic()
        if wait_s <= 0:
            return True
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._ring)
        return False

    def _ring(self) -> None:
        self._timer = None
        self.hand_out()

    def _go_on(self) -> None:
        self._read_on()
        if self._is_read:
            if not self._reads:
                self._close()
            if not self._waiting:
                self._stopping = True
                for source in self._sources.values():
                    source.end()


_DEVICES = frozenset(
    (
        "v4l2",
        "video4linux2",
        "x11grab",
        "fbdev",
        "alsa",
        "pulse",
        "avfoundation",
        "dshow",
        "gdigrab",
    )
)


_LIVE = frozenset(("rtsp", "rtp", "sdp"))
"""Formats that come at their own pace, though from no device."""


def _is_device(container: InputContainer) -> bool:
    return bool((_DEVICES | _LIVE) & set(container.format.name.split(",")))


def _bytes(frame: Frame | EncodedMedia) -> int:
    return len(frame.data) if isinstance(frame, EncodedMedia) else frame_bytes(frame)
