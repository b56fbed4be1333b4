"""Where a track's frames come from: pushed in once, brought to any number of tracks.

Everything here happens on the event loop's thread; `Feed.push_threadsafe` is the way in for others.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Generic, Protocol, TypeVar

import av

from rtcstack.clock import monotonic
from rtcstack.entropy import random_uuid
from rtcstack.media.form import Form
from rtcstack.media.frames import VIDEO_CLOCK_RATE, VIDEO_TIME_BASE, Frame
from rtcstack.media.timeline import MAX_STEP_S

__all__ = ["FedTrack", "Feed", "TrackSink"]

_logger = logging.getLogger("rtcstack.media")


class TrackSink(Protocol):
    """What takes a track's frames as they come, without a task or a queue between.

    Called on the loop's thread. Must not block, and must not change the frame.
    """

    def deliver(self, frame: Frame) -> None:
        """A frame."""

    def track_ended(self) -> None:
        """There will be no more."""


class FedTrack(Protocol):
    """A track, as what gives it its frames knows it."""

    @property
    def has_sinks(self) -> bool:
        """Whether anybody reads."""

    @property
    def has_full_reader(self) -> bool:
        """Whether a reader has not read for long."""

    def deliver(self, frame: Frame) -> None:
        """A frame: bring it to all who read."""

    def source_muted(self) -> None:
        """`Feed.muted` has changed."""

    def source_changed(self) -> None:
        """Frames will be others than before."""

    def source_ended(self) -> None:
        """There will be no more."""


T = TypeVar("T", bound=FedTrack)


class Feed(Generic[T]):
    """Frames that are pushed in, and the tracks that give them out.

    What an application pushes into is a `TrackSource`, which makes the tracks, too.

    Args:
        kind: "audio" or "video".
        label: for people.
        muted: whether it gives nothing at the moment.
    """

    capture_clock: object | None = None
    """What keeps the time by which its frames say when they were captured; frames of sources that have
    the same can be compared. None when nobody knows."""

    is_remote = False
    """Whether a peer sends what it gives: it is as it is, whatever is asked of its tracks."""

    can_be_shaped = True
    """Whether its frames can be cut, scaled, thinned out or resampled for a track."""

    processing: Mapping[str, Sequence[bool]] = {}
    """Of a source of sound that can do it: what echoCancellation, autoGainControl, noiseSuppression and
    voiceIsolation may be; the first is the default. See `settings_changed`."""

    def __init__(self, kind: str, label: str = "", *, muted: bool = False) -> None:
        if kind not in ("audio", "video"):
            raise TypeError(f"kind must be 'audio' or 'video', not {kind!r}")
        self._kind = kind
        self._label = label
        self._muted = muted
        self._ended = False
        self._tracks: tuple[weakref.ref[T], ...] = ()
        self._is_demanded = False
        self._size = (0, 0)
        self._sample_bits = 16
        self._latency_s = 0.0
        self._declared: Form | None = None
        self._identity: dict[str, str] | None = None
        self._last_at: float | None = None
        self._interval_s = 0.0
        self._started_at: float | None = None
        self._end = 0, 1  # of the sound so far: samples, at so many a second
        self._has_objected = False
        self.frames = 0
        """Frames given so far."""
        self.dropped = 0
        """Frames that were pushed after the end, and went nowhere."""

    @property
    def kind(self) -> str:
        """ "audio" or "video"."""
        return self._kind

    @property
    def label(self) -> str:
        """For people."""
        return self._label

    @property
    def muted(self) -> bool:
        """Whether it gives nothing at the moment."""
        return self._muted

    @property
    def ended(self) -> bool:
        """Whether it will never give anything again."""
        return self._ended

    @property
    def tracks(self) -> list[T]:
        """The tracks that are live."""
        return [track for ref in self._tracks if (track := ref()) is not None]

    @property
    def is_demanded(self) -> bool:
        """Whether anybody reads one of the tracks."""
        return self._is_demanded

    def push(self, frame: Frame) -> None:
        """Give a frame to all who read.

        A frame without a time gets one: video the time that has passed since the first frame, audio
        the end of the frame before.

        Raises:
            TypeError: it is no frame.
        """
        if self._ended:
            self._drop("the source has ended")
            return
        self._observe(frame)
        self.frames += 1
        for ref in self._tracks:
            track = ref()
            if track is not None:
                track.deliver(frame)

    def _drop(self, why: str) -> None:
        """Count a frame that goes nowhere, and say so once."""
        self.dropped += 1
        if self.dropped == 1:
            _logger.warning("a frame pushed into %r is dropped: %s", self._label or self._kind, why)

    def _object(self, frame: object) -> None:
        """It is no frame, or one of the other kind, of which most readers make nothing."""
        name = type(frame).__name__
        if not isinstance(frame, av.VideoFrame | av.AudioFrame):
            raise TypeError(f"a source of {self._kind} gives no {name}")
        if not self._has_objected:
            self._has_objected = True
            _logger.warning("a %s is pushed into %r, a source of %s", name, self._label, self._kind)

    def push_threadsafe(self, loop: asyncio.AbstractEventLoop, frame: Frame) -> None:
        """`push` from another thread; what comes after the loop's end is lost."""
        try:
            loop.call_soon_threadsafe(self.push, frame)
        except RuntimeError:  # the loop is closed
            self._drop("the loop is closed")

    def _observe(self, frame: Frame) -> None:
        """Note what the frames are like, and give the frame a time."""
        is_picture = isinstance(frame, av.VideoFrame)
        if is_picture is not (self._kind == "video") or not isinstance(frame, av.VideoFrame | av.AudioFrame):
            self._object(frame)
        if isinstance(frame, av.VideoFrame):
            self._size = frame.width, frame.height
            if frame.pts is None:
                now = monotonic()
                if self._started_at is None:
                    self._started_at = now
                frame.pts = int((now - self._started_at) * VIDEO_CLOCK_RATE)
                frame.time_base = VIDEO_TIME_BASE
            at = frame.time
            if at is not None:
                last = self._last_at
                if last is not None and 0 < at - last <= MAX_STEP_S:  # else a clock was set anew
                    interval = at - last
                    known = self._interval_s
                    self._interval_s = interval if not known else known + (interval - known) / 8
                self._last_at = at
        else:
            self._size = frame.sample_rate, frame.layout.nb_channels
            self._sample_bits = frame.format.bits
            self._latency_s = frame.samples / frame.sample_rate
            self._place(frame)

    def _place(self, frame: av.AudioFrame) -> None:
        """Sound without a time follows on, also where its rate is another than that of the sound before."""
        rate, base = frame.sample_rate, frame.time_base
        if frame.pts is None:
            samples, known = self._end
            frame.pts = samples * rate // known
            frame.time_base = Fraction(1, rate)
            begins = frame.pts
        else:
            begins = frame.pts if not base else frame.pts * rate * base.numerator // base.denominator
        self._end = begins + frame.samples, rate

    @property
    def form(self) -> Form | None:
        """What the frames are like; None before the first, unless the source has said."""
        first, second = self._size
        declared = self._declared
        if not first:
            return declared
        if self._kind == "audio":
            return Form(
                sample_rate=first,
                channels=second,
                sample_bits=self._sample_bits,
                latency_s=self._latency_s,
                is_declared=declared is not None,
            )
        if declared is not None:
            return Form(first, second, declared.frame_rate, is_declared=True)
        return Form(first, second, 1 / self._interval_s if self._interval_s else 0.0)

    @property
    def identity(self) -> Mapping[str, str]:
        """deviceId and groupId: of this source for ever, and of no other; none of a peer's."""
        if self._identity is None:
            self._identity = {} if self.is_remote else {"deviceId": random_uuid(), "groupId": random_uuid()}
        return self._identity

    def set_muted(self, muted: bool) -> None:
        """Media stopped, or began again: tells all tracks."""
        if muted is self._muted or self._ended:
            return
        self._muted = muted
        for track in self.tracks:
            track.source_muted()

    def end(self) -> None:
        """No more media will come: ends all tracks, with their event."""
        if self._ended:
            return
        self._ended = True
        tracks = self.tracks
        self._tracks = ()
        for track in tracks:
            track.source_ended()
        self._update_demand()
        self.released()

    # -- for sources that inherit -------------------------------------------------------------------------

    def declare(self, form: Form) -> None:
        """Say what the frames will be like from now on; tracks that there are tell of a change."""
        before, self._declared = self._declared, replace(form, is_declared=True)
        if self._declared != before:
            self._size = (0, 0)  # seen before
            for track in self.tracks:
                track.source_changed()

    def settings_changed(self, track: T) -> None:
        """A track's settings are others: a source that can do some of its `processing` follows."""

    def demanded(self) -> None:
        """Somebody began to read; before, nobody did. Called within the loop."""

    def idle(self) -> None:
        """Nobody reads any more, though tracks are live."""

    def released(self) -> None:
        """No track is left, or the source has ended: let go of devices, files and threads."""

    def consumed(self) -> None:
        """A reader took a frame: there may be room again."""

    @property
    def has_room(self) -> bool:
        """Whether a frame that is pushed now drops none that waits for a reader."""
        return not any(track.has_full_reader for track in self.tracks)

    # -- for tracks ---------------------------------------------------------------------------------------

    def attach(self, track: T) -> None:
        """A track was made."""
        self._tracks = (*self._tracks, weakref.ref(track, self._forget))

    def detach(self, track: T) -> None:
        """A track was stopped."""
        before = len(self._tracks)
        self._tracks = tuple(ref for ref in self._tracks if ref() not in (track, None))
        if before and not self._tracks:
            self._update_demand()
            self.released()
        else:
            self._update_demand()

    def _forget(self, gone: weakref.ref[T]) -> None:
        self._tracks = tuple(ref for ref in self._tracks if ref is not gone)
        if not self._tracks and not self._ended:
            self._is_demanded = False
            self.released()

    def demand_changed(self) -> None:
        """A track got its first reader, or lost its last."""
        self._update_demand()

    def _update_demand(self) -> None:
        demanded = any(track.has_sinks for track in self.tracks)
        if demanded is self._is_demanded:
            return
        self._is_demanded = demanded
        if demanded:
            self.demanded()
        elif not self._ended and self._tracks:
            self.idle()
