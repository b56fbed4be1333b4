"""MediaStreamTrack.

Spec: mediacapture-streams, section 4.3; mst-content-hint, section 3.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from rtcstack.clock import monotonic
from rtcstack.entropy import random_uuid
from rtcstack.events import Event, EventTarget, HandlerAttribute
from rtcstack.media.constraints import MediaTrackCapabilities, MediaTrackConstraints, MediaTrackSettings
from rtcstack.media.encoded import EncodedMedia
from rtcstack.media.feed import Feed, TrackSink
from rtcstack.media.frames import Frame, blank
from rtcstack.media.reader import MAX_QUEUED, TrackReader
from rtcstack.media.timeline import MAX_STEP_S, Timeline
from rtcstack.media.tracksettings import TrackSettings, read
from rtcstack.media.trackstats import MediaStreamTrackAudioStats, MediaStreamTrackVideoStats, TrackCounts
from rtcstack.promises import Operation, Task, promise

if TYPE_CHECKING:
    from rtcstack.media.pcm import PcmReader

__all__ = ["MediaStreamTrack", "MediaStreamTrackState"]

_PACE_RATE = 90_000

_MAX_AHEAD_S = 0.1
"""How far a pulled track may be ahead of real time."""

_CONTENT_HINTS = {
    "audio": ("", "speech", "speech-recognition", "music"),
    "video": ("", "motion", "detail", "text"),
}


class MediaStreamTrackState(StrEnum):
    """Whether a track can still give media."""

    LIVE = "live"
    ENDED = "ended"


class MediaStreamTrack(EventTarget):
    """Audio or video from one source.

    Read it with ``async for frame in track`` or ``await track.recv()``, or have each frame brought
    with `add_sink`. Readers have bounded queues that drop the oldest frame: a track that nobody
    reads costs a constant. A track of one's own is made by a `TrackSource` (frames are pushed), or
    by inheriting and writing ``recv`` (frames are pulled as long as somebody reads)::

        class Camera(MediaStreamTrack):
            kind = "video"

            async def recv(self):
                return video_frame(await grab())

    Args:
        kind: "audio" or "video"; None for what the class says, as above.
        id: unique; a random UUID when not given.
        label: for people.
        muted: whether the source gives nothing at the moment.
        source: what gives the frames; one of its own when not given.

    Events: mute, unmute, ended; configurationchange, when its source says that it gives something else
    (mediacapture-extensions).
    """

    onmute = HandlerAttribute("mute")
    onunmute = HandlerAttribute("unmute")
    onended = HandlerAttribute("ended")
    onconfigurationchange = HandlerAttribute("configurationchange")

    def __init__(
        self,
        kind: str | None = None,
        id: str | None = None,  # noqa: A002 - the W3C's name
        *,
        label: str = "",
        muted: bool = False,
        source: Feed[MediaStreamTrack] | None = None,
    ) -> None:
        super().__init__()
        of_class = type(self).kind
        if isinstance(of_class, str):  # a subclass has put its own in the property's place
            if kind is not None and kind != of_class:
                raise TypeError(f"a {type(self).__name__} is of kind {of_class!r}, not {kind!r}")
            kind = of_class
        if kind not in ("audio", "video"):
            raise TypeError(f"kind must be 'audio' or 'video', not {kind!r}")
        self._kind = kind
        self._id = random_uuid() if id is None else id
        self._label = label
        self._source: Feed[MediaStreamTrack] = Feed(kind, label, muted=muted) if source is None else source
        self._tuning = TrackSettings(self._source)
        self._counts = TrackCounts()
        self._stats: MediaStreamTrackAudioStats | MediaStreamTrackVideoStats | None = None
        self._muted = self._source.muted
        self._is_changed = False  # while it was muted
        self._state = MediaStreamTrackState.LIVE
        self._content_hint = ""
        self._sinks: tuple[TrackSink, ...] = ()
        self._reader: TrackReader | None = None
        self._pump: asyncio.Task[None] | None = None
        self.enabled = True
        if self._source.ended:
            self._state = MediaStreamTrackState.ENDED
        else:
            self._source.attach(self)

    @property
    def kind(self) -> str:
        """ "audio" or "video"."""
        return self._kind

    @property
    def id(self) -> str:
        """Unique among tracks."""
        return self._id

    @property
    def label(self) -> str:
        """What the source is called."""
        return self._label

    @property
    def muted(self) -> bool:
        """Whether the source gives nothing at the moment."""
        return self._muted

    @property
    def readyState(self) -> MediaStreamTrackState:  # noqa: N802 - the W3C's name
        """ "live" or "ended"."""
        return self._state

    @property
    def contentHint(self) -> str:  # noqa: N802 - the W3C's name
        """What the content is, for the encoder: "speech", "music", "motion", "detail", "text" or ""."""
        return self._content_hint

    @contentHint.setter
    def contentHint(self, value: str) -> None:  # noqa: N802
        if value in _CONTENT_HINTS[self._kind]:  # anything else is ignored, as in browsers
            self._content_hint = value
            if self._kind == "audio":
                self._tuning.hint(value)
                self._source.settings_changed(self)

    @property
    def source(self) -> Feed[MediaStreamTrack]:
        """What gives the frames, to this track and its clones."""
        return self._source

    @property
    def stats(self) -> MediaStreamTrackAudioStats | MediaStreamTrackVideoStats | None:
        """What it has given; None for a peer's tracks.

        Spec: mediacapture-extensions, section on MediaStreamTrack.stats.
        """
        if self._stats is None and not self._source.is_remote:
            made = MediaStreamTrackAudioStats if self._kind == "audio" else MediaStreamTrackVideoStats
            self._stats = made(self._counts)
        return self._stats

    def getSettings(self) -> MediaTrackSettings:  # noqa: N802
        """What the frames are like, as far as that is known; of a track that has ended, which source it had.

        Spec: mediacapture-streams, section 4.3.3.
        """
        return self._tuning.settings(ended=self._state is MediaStreamTrackState.ENDED)

    def getCapabilities(self) -> MediaTrackCapabilities:  # noqa: N802
        """What the settings may be; of a peer's tracks nothing (webrtc-pc, section 9.4)."""
        return self._tuning.capabilities()

    def getConstraints(self) -> MediaTrackConstraints:  # noqa: N802
        """What was asked for, by the last `applyConstraints` that succeeded."""
        return self._tuning.constraints()

    def applyConstraints(  # noqa: N802
        self, constraints: MediaTrackConstraints | Mapping[str, Any] | None = None
    ) -> Operation[None]:
        """Ask for other settings, of this track alone: its clones keep theirs.

        Pictures are cut out of the middle, scaled down and thinned out, sound is resampled and its channels
        are put together, for whoever reads this track. Nothing is enlarged or made up. Each call replaces
        what was asked before; calls take effect in their order.

        Args:
            constraints: None for none.

        Raises:
            OverconstrainedError: what is required cannot be met, or it is asked of a peer's track; nothing
                has changed.
            TypeError: a member is of another type.

        Spec: mediacapture-streams, sections 4.3.3 and 11.1.
        """
        return promise(lambda: self._apply_constraints(constraints))

    def _apply_constraints(self, constraints: object) -> Task[None]:
        given, wanted = read(constraints)
        if self._state is MediaStreamTrackState.ENDED:
            return lambda: None

        def apply() -> None:
            self._tuning.apply(given, wanted)
            self._source.settings_changed(self)

        return apply

    def stop(self) -> None:
        """End the track; no event is fired for what the application does itself."""
        if self._state is MediaStreamTrackState.LIVE:
            self._finish()
            self._source.detach(self)

    def clone(self) -> MediaStreamTrack:
        """A track of the same source with an id, an end and an `enabled` of its own."""
        track = MediaStreamTrack(self._kind, label=self._label, source=self._source)
        track.enabled = self.enabled
        track._content_hint = self._content_hint
        track._tuning = self._tuning.copied()
        if self._state is MediaStreamTrackState.ENDED:
            track.stop()
        return track

    # -- reading --------------------------------------------------------------------------------------------

    async def recv(self) -> Frame:
        """The next frame. Frames that come between two calls wait, the latest few of them.

        Raises:
            InvalidStateError: the track has ended.
        """
        if self._reader is None:
            self._reader = TrackReader(self, MAX_QUEUED[self._kind])
        return await self._reader.read()

    def reader(self, max_queued: int | None = None) -> TrackReader:
        """A queue of one's own: several readers each get all frames.

        Args:
            max_queued: frames that wait; when one more comes, the oldest is dropped. None for a
                number that suits the kind.
        """
        return TrackReader(self, MAX_QUEUED[self._kind] if max_queued is None else max_queued)

    def pcm(
        self, rate: int = 16_000, channels: int = 1, frame_ms: float = 20, dtype: str = "int16"
    ) -> PcmReader:
        """The sound as numpy arrays of one form: ``async for chunk in track.pcm(16_000)``.

        Args:
            rate: samples a second, 4,000 to 192,000.
            channels: 1 or 2.
            frame_ms: of a chunk; a whole number of samples, a second at most.
            dtype: "int16", or "float32" from -1 to 1.

        Returns:
            An asynchronous iterator of `rtcstack.media.pcm.PcmChunk`: arrays of samples, or of samples x
            channels, with the `time` of the first. Close it when it is not read to the end.

        Raises:
            TypeError: the track is of video.
            ValueError: an argument is out of range.
        """
        if self._kind != "audio":
            raise TypeError(f"pcm() reads sound, and this is a track of {self._kind}")
        from rtcstack.media.pcm import PcmReader

        return PcmReader(self, rate, channels, frame_ms, dtype)

    async def __aiter__(self) -> AsyncIterator[Frame]:
        reader = self.reader()
        try:
            async for frame in reader:
                yield frame
        finally:
            reader.close()

    @property
    def has_sinks(self) -> bool:
        """Whether anybody reads."""
        return bool(self._sinks)

    @property
    def has_full_reader(self) -> bool:
        """Whether a reader has not read for long."""
        return any(isinstance(sink, TrackReader) and sink.is_full for sink in self._sinks)

    def add_sink(self, sink: TrackSink) -> None:
        """Have each frame brought, from now on. A track that has ended says so at once."""
        if self._state is MediaStreamTrackState.ENDED:
            sink.track_ended()
            return
        if sink in self._sinks:
            return
        self._sinks = (*self._sinks, sink)
        if len(self._sinks) == 1:
            if type(self).recv is not MediaStreamTrack.recv:
                self._pump = asyncio.get_running_loop().create_task(self._pull())
            self._source.demand_changed()

    def remove_sink(self, sink: TrackSink) -> None:
        """Bring no more frames."""
        if sink not in self._sinks:
            return
        self._sinks = tuple(s for s in self._sinks if s is not sink)
        if not self._sinks:
            self._stop_pump()
            self._source.demand_changed()

    async def _pull(self) -> None:
        """For tracks that write their own `recv`: bring what it gives until nobody reads."""
        loop = asyncio.get_running_loop()
        began: float | None = None
        timeline = Timeline(_PACE_RATE)
        try:
            while self._sinks:
                frame = await self.recv()
                self._source.push(frame)
                # a recv that never waits would keep the loop: then the frames' own times pace it
                now = monotonic()
                placed = timeline.place(round((frame.time or 0.0) * _PACE_RATE), now)
                at = 0.0 if placed is None else placed / _PACE_RATE
                if began is None:
                    began = now - at
                ahead = at - (now - began)
                if placed is None:
                    ahead = timeline.interval_s + _MAX_AHEAD_S  # a clock that was set anew
                elif ahead < -MAX_STEP_S:
                    began = now - at  # so much is not to be caught up with
                await asyncio.sleep(ahead - _MAX_AHEAD_S if ahead > _MAX_AHEAD_S else 0)
        except asyncio.CancelledError:
            raise
        except Exception as exc:
            self._pump = None
            if not isinstance(exc, StopAsyncIteration) and self._state is MediaStreamTrackState.LIVE:
                loop.call_exception_handler(
                    {"message": "a track's recv failed: the track ends", "exception": exc}
                )
            self._source.end()

    def _stop_pump(self) -> None:
        pump, self._pump = self._pump, None
        if pump is not None:
            pump.cancel()

    def frame_read(self) -> None:
        """For readers: one took a frame that waited, and there may be room again."""
        self._source.consumed()

    # -- for sources ----------------------------------------------------------------------------------------

    def deliver(self, frame: Frame) -> None:
        """A frame of the source: bring it to all who read."""
        sinks, tuning, enabled = self._sinks, self._tuning, self.enabled
        wanted = not tuning.shapes or tuning.wants(frame)
        if enabled and not self._muted:
            self._counts.count(frame, delivered=wanted)
        if not sinks or not wanted:
            return
        if not enabled:
            if isinstance(frame, EncodedMedia):
                return  # there is no black to put in its place
            frame = blank(frame)
        if not tuning.shapes:
            self._bring(frame, sinks)
            return
        for each in tuning.shape(frame):
            self._bring(each, sinks)

    @staticmethod
    def _bring(frame: Frame, sinks: tuple[TrackSink, ...]) -> None:
        for sink in sinks:
            try:
                sink.deliver(frame)
            except Exception as exc:
                _report(exc, sink)

    def set_muted(self, muted: bool) -> None:
        """Media stopped, or began again, for this track and its clones."""
        if self._state is MediaStreamTrackState.LIVE:
            self._source.set_muted(muted)

    def end(self) -> None:
        """No more media will come, for this track and its clones."""
        self._source.end()

    def source_muted(self) -> None:
        """The source says that `muted` has changed."""
        muted = self._source.muted
        if muted is not self._muted:
            self._muted = muted
            self.dispatchEvent(Event("mute" if muted else "unmute"))
            if not muted and self._is_changed:
                self.source_changed()

    def source_changed(self) -> None:
        """The source says that its frames will be others; a muted track is told when it is unmuted."""
        if self._muted:
            self._is_changed = True
            return
        self._is_changed = False
        asyncio.get_running_loop().call_soon(self._tell_change)

    def _tell_change(self) -> None:
        if self._state is MediaStreamTrackState.LIVE:
            self.dispatchEvent(Event("configurationchange"))

    def source_ended(self) -> None:
        """The source says that it has ended."""
        if self._state is MediaStreamTrackState.LIVE:
            self._finish()
            self.dispatchEvent(Event("ended"))

    def _finish(self) -> None:
        self._state = MediaStreamTrackState.ENDED
        self._stop_pump()
        sinks, self._sinks = self._sinks, ()
        for sink in sinks:
            try:
                sink.track_ended()
            except Exception as exc:
                _report(exc, sink)

    def __repr__(self) -> str:
        return f"<MediaStreamTrack {self._kind} {self._id} {self._state}>"


def _report(exc: Exception, sink: TrackSink) -> None:
    context = {"message": f"exception in a sink of a track: {sink!r}", "exception": exc}
    try:
        asyncio.get_running_loop().call_exception_handler(context)
    except RuntimeError:
        raise exc from None
