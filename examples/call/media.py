"""What the bot does with sound and picture: the one place where media is made and used.

A `Call` asks its `Media` at three moments: before a first offer, when an offer has come and is to
be answered, and at the end. In between, the tracks of the other side arrive.

The bot sends a test picture and a tone until the other side's own arrive. From then on it sends
these back, changed: the picture in the opposite colours, the sound a second later.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from pathlib import Path
from typing import Any

import av

from rtcstack import (
    MediaRecorder,
    MediaStream,
    MediaStreamTrack,
    RTCPeerConnection,
    RTCTrackEvent,
    TestPatternSource,
    ToneSource,
    TrackSource,
)
from rtcstack.errors import DOMException
from rtcstack.media.frames import Frame
from rtcstack.media.sinks import save_picture

__all__ = ["Media", "other_colours"]

ECHO_FRAMES = 50
"""How many frames of sound later the other side hears itself: a second of 20 ms."""


def other_colours(frame: av.VideoFrame) -> av.VideoFrame:
    """The same picture in the opposite colours: green becomes magenta, light stays light."""
    picture = frame.to_ndarray(format="yuv444p")
    picture[1:] = 255 - picture[1:]
    changed = av.VideoFrame.from_ndarray(picture, format="yuv444p")
    changed.pts, changed.time_base = frame.pts, frame.time_base
    return changed


class Answering(TrackSource):
    """Gives a track's frames until it is to follow another, and then that one's, changed.

    Args:
        first: what it gives until then.
    """

    def __init__(self, first: MediaStreamTrack) -> None:
        super().__init__(first.kind, f"the bot's {first.kind}")
        self._first = first
        self._followed: MediaStreamTrack | None = None
        self._held: deque[Frame] = deque()
        first.add_sink(self)

    def follow(self, track: MediaStreamTrack) -> None:
        """Answer this track from now on."""
        self._first.stop()
        if self._followed is not None:
            self._followed.remove_sink(self)
        self._followed = track
        track.add_sink(self)

    def stop(self) -> None:
        """Give nothing any more."""
        self._first.stop()
        if self._followed is not None:
            self._followed.remove_sink(self)
        self.end()

    def deliver(self, frame: Frame) -> None:
        """A frame of the track that it listens to."""
        if self._followed is None:
            self.push(frame)
        elif isinstance(frame, av.VideoFrame):
            self.push(other_colours(frame))
        else:
            self._held.append(frame)
            if len(self._held) > ECHO_FRAMES:
                self.push(self._held.popleft())

    def track_ended(self) -> None:
        """The track that it listens to has ended."""


class Media:
    """Sends sound and picture, and takes the other side's.

    Args:
        pc: the connection of the call.
        directory: where to record the call and to save a picture; None for nowhere.
        name: of the files there.
        answers: send the other side's picture and sound back; else only what is made here.
    """

    def __init__(
        self,
        pc: RTCPeerConnection,
        directory: Path | None = None,
        name: str = "call",
        *,
        answers: bool = True,
    ) -> None:
        self.tracks: list[MediaStreamTrack] = []
        self.picture: Path | None = None
        self.recording: Path | None = None
        self._pc = pc
        self._answers = answers
        self._directory = directory
        self._name = name
        self._sources = {
            "audio": Answering(ToneSource(440).track()),
            "video": Answering(TestPatternSource(640, 480, 30).track()),
        }
        self._sending = {kind: source.track() for kind, source in self._sources.items()}
        self._stream = MediaStream(list(self._sending.values()))
        self._recorder: MediaRecorder | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        pc.on("track", self._arrived)
        pc.on("connectionstatechange", self._connected)

    def offer(self) -> None:
        """Before our first offer: what we send, and where we take theirs."""
        for track in self._sending.values():
            self._pc.addTrack(track, self._stream)

    def answer(self) -> None:
        """Between an offer and its answer: its sections are there; send through them."""
        sending = {sender.track for sender in self._pc.getSenders()}
        used = [each for each in self._pc.getTransceivers() if each.currentDirection != "stopped"]
        kinds = {each.kind for each in used}
        for kind, track in self._sending.items():
            if kind in kinds and track not in sending:
                self._pc.addTrack(track, self._stream)

    def _arrived(self, event: RTCTrackEvent) -> None:
        track = event.track
        self.tracks.append(track)
        if self._answers:
            track.on("unmute", lambda _event: self._sources[track.kind].follow(track))
        if track.kind == "video" and self._directory is not None:
            self._spawn(self._save_picture(track, self._directory / f"{self._name}.png"))

    def _connected(self, _event: Any) -> None:
        if self._pc.connectionState == "connected" and self._directory is not None and self._recorder is None:
            self._spawn(self._record(self._directory / f"{self._name}.webm"))

    async def _record(self, path: Path) -> None:
        """Write what arrives to a file, as it was encoded."""
        receivers = [receiver for receiver in self._pc.getReceivers() if receiver.track in self.tracks]
        if not receivers:
            return
        recorder = self._recorder = MediaRecorder(path)
        for receiver in receivers:
            recorder.add_track(receiver.encodedTrack)
        await recorder.start()
        self.recording = path

    async def _save_picture(self, track: MediaStreamTrack, path: Path) -> None:
        """Keep the first picture as a file."""
        reader = track.reader()
        try:
            frame = await reader.read()
        finally:
            reader.close()
        assert isinstance(frame, av.VideoFrame)
        await asyncio.to_thread(save_picture, frame, path)
        self.picture = path

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            message = "the call's media could not be kept"
            task.get_loop().call_exception_handler({"message": message, "exception": error})

    async def close(self) -> None:
        """The call is over: finish the files."""
        for task in list(self._tasks):
            task.cancel()
        for source in self._sources.values():
            source.stop()
        if self._recorder is not None:
            with contextlib.suppress(DOMException):
                await self._recorder.stop()
        for track in self.tracks:
            track.stop()
