"""What all receiving has in common: sources that know whether anybody reads, and contributing sources."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import Protocol

from rtcstack.clock import NTP_EPOCH_S
from rtcstack.media.encoded import EncodedMedia
from rtcstack.media.encodedsource import EncodedSource
from rtcstack.media.source import TrackSource
from rtcstack.rtp.frames import EncodedFrame
from rtcstack.rtp.parameters import StreamName

__all__ = [
    "MAX_ASIDE",
    "MAX_ASIDE_BYTES",
    "MAX_ASIDE_S",
    "MAX_SOURCES",
    "Aside",
    "EncodedReceiverSource",
    "FrameSink",
    "ReceiveTransform",
    "ReceivedCodec",
    "ReceiverSource",
    "SourceNote",
    "SourceNotes",
    "as_encoded",
    "time_base",
]

MAX_SOURCES = 64
"""Contributing and synchronization sources remembered by one receiver; the oldest give way."""

MAX_ASIDE = 240
"""Frames kept of a stream that waits for a place. It has it after 2 s, or the frames are of the past."""

MAX_ASIDE_BYTES = 4 << 20
"""Their data; that of all pictures' streams counts to what decoders may use, too."""

MAX_ASIDE_S = 2.5
"""How long they are kept."""

SOURCE_LIFETIME_S = 10.0
"""How long they are told after they were last heard (webrtc-pc, section 5.3)."""


@dataclass(frozen=True, slots=True)
class ReceivedCodec:
    """What a payload type stands for.

    Attributes:
        name: encoding name in lower case: for RED, that of what is inside.
        mime_type: "video/VP8".
        clock_rate: of the RTP timestamps, in Hz.
        channels: of audio.
        parameter_sets: of H.264 and H.265, as far as the description tells them.
    """

    name: str
    mime_type: str
    clock_rate: int
    channels: int = 1
    parameter_sets: tuple[bytes, ...] = field(default=(), compare=False)


class _TellsDemand(TrackSource):
    """Tells when somebody begins to read, and when nobody does any more."""

    is_remote = True

    _on_demand: Callable[[], None]

    def demanded(self) -> None:
        """Somebody reads."""
        self._on_demand()

    def idle(self) -> None:
        """Nobody reads."""
        self._on_demand()

    def released(self) -> None:
        """Nobody can read any more."""
        self._on_demand()


class ReceiverSource(_TellsDemand):
    """A source that tells when somebody begins to read, and when nobody does any more.

    Args:
        kind: "audio" or "video".
        label: for people.
        on_demand: told of it.
    """

    def __init__(self, kind: str, label: str, on_demand: Callable[[], None]) -> None:
        super().__init__(kind, label, muted=True)
        self._on_demand = on_demand


class EncodedReceiverSource(_TellsDemand, EncodedSource):
    """Likewise, of encoded frames."""

    def __init__(
        self, codec: str, label: str, on_demand: Callable[[], None], ask: Callable[[], None]
    ) -> None:
        EncodedSource.__init__(self, codec, label, on_key_frame_wanted=ask, muted=True)
        self._on_demand = on_demand
        self._possible: tuple[str, ...] = ()

    @property
    def possible_codecs(self) -> tuple[str, ...]:
        """Of what was negotiated; () before."""
        return self._possible

    def negotiated(self, codecs: Iterable[ReceivedCodec]) -> None:
        """What may come now, the likeliest first."""
        codecs = list(codecs)
        self._possible = tuple(dict.fromkeys(codec.name for codec in codecs))
        if codecs and not self.frames:
            self.codec = codecs[0].mime_type


class FrameSink(Protocol):
    """Where transformed frames go on."""

    def take_encoded(self, frame: EncodedFrame) -> None:
        """A frame that is to be decoded."""


class ReceiveTransform(Protocol):
    """What received frames pass through before they are decoded.

    Attributes:
        is_opaque: nothing can be read in them before.
    """

    is_opaque: bool

    def on_received(self, frame: EncodedFrame, codec: ReceivedCodec, sink: FrameSink) -> None:
        """A frame: hand it on to `sink`, changed or not, now or later, or drop it."""


@lru_cache(maxsize=16)
def time_base(clock_rate: int) -> Fraction:
    """Seconds in a tick."""
    return Fraction(1, clock_rate)


def as_encoded(frame: EncodedFrame, codec: ReceivedCodec) -> EncodedMedia:
    """A received frame as tracks of encoded frames bring it."""
    captured = frame.capture_time
    return EncodedMedia(
        codec.mime_type,
        frame.data,
        frame.timestamp,
        time_base(codec.clock_rate),
        key_frame=frame.key_frame,
        duration=frame.duration,
        width=frame.width,
        height=frame.height,
        rotation=frame.rotation,
        capture_time=None if captured is None else captured - NTP_EPOCH_S,
        audio_level=frame.audio_level,
        voice=frame.voice,
        temporal_id=frame.temporal_id,
        spatial_id=frame.spatial_id,
        frame_id=frame.frame_id,
        dependencies=frame.dependencies,
        allocation=frame.allocation,
    )


class Aside:
    """Frames of a stream that has not its section's place, from one on that needs no other.

    A source that takes over begins with a key frame, at a moment when nobody knows that the one before
    it will say no more. That frame, and those that build on it, are wanted as soon as that is known.

    Args:
        reserve: told how many bytes are held after the next frame; whether that is granted.
    """

    __slots__ = ("_reserve", "_stream", "bytes", "frames")

    def __init__(self, reserve: Callable[[int], bool] = lambda size: True) -> None:
        self._reserve = reserve
        self._stream: StreamName | None = None
        self.frames: list[EncodedFrame] = []
        self.bytes = 0

    def keep(self, stream: StreamName, frame: EncodedFrame, *, begins: bool) -> None:
        """A frame of a stream that waits.

        Args:
            stream: its stream; only one is kept.
            frame: the frame.
            begins: what was kept before is not needed any more.
        """
        if begins:
            self.clear()
            self._stream = stream
        elif self._stream != stream:
            return
        size = self.bytes + len(frame.data)
        too_much = len(self.frames) >= MAX_ASIDE or size > MAX_ASIDE_BYTES
        if too_much or self._is_old(frame.received_at) or not self._reserve(size):
            self.clear()
            return
        self.bytes = size
        self.frames.append(frame)

    def take(self, stream: StreamName, now: float) -> list[EncodedFrame]:
        """The stream has its place now: what was kept of it."""
        is_it = self._stream == stream and not self._is_old(now)
        frames = self.frames if is_it else []
        self.clear()
        return frames

    def expire(self, now: float) -> None:
        """Another stream flows."""
        if self._is_old(now):
            self.clear()

    def holds(self, stream: StreamName) -> bool:
        """Whether something is kept of this stream."""
        return self._stream == stream

    def _is_old(self, now: float) -> bool:
        return bool(self.frames) and now - self.frames[0].received_at > MAX_ASIDE_S

    def clear(self) -> None:
        """Keep nothing."""
        if self.frames:
            self.frames = []
            self.bytes = 0
            self._reserve(0)
        self._stream = None


@dataclass(slots=True)
class SourceNote:
    """When a source was last heard.

    Attributes:
        source: SSRC or CSRC.
        is_contributing: a mixer's source.
        at: Unix seconds.
        rtp_timestamp: 32 bits.
        audio_level: -dBov, or None.
        voice: whether it spoke, or None.
        capture_time: seconds since 1970 by the capturer's clock, where the peer tells it, or None.
        capture_clock_offset_s: that clock minus the sender's, or None.
    """

    source: int
    is_contributing: bool
    at: float
    rtp_timestamp: int
    audio_level: int | None = None
    voice: bool | None = None
    capture_time: float | None = None
    capture_clock_offset_s: float | None = None


class SourceNotes:
    """Who was heard in the last ten seconds (webrtc-pc, section 5.3).

    Attributes:
        on_changed: told when the last frame's SSRC, or its CSRCs, are others than those of the frame
            before (webrtc-extensions, section on RTCRtpReceiver).
    """

    __slots__ = ("_contributing", "_notes", "_source", "on_changed")

    def __init__(self) -> None:
        self.on_changed: Callable[[bool, bool], None] | None = None
        self._source: int | None = None
        self._contributing: tuple[int, ...] = ()
        self._notes: dict[tuple[bool, int], SourceNote] = {}

    def played(self, frame: EncodedFrame, at: float) -> None:
        """A frame was handed to the track.

        Args:
            frame: with its sources.
            at: Unix seconds.
        """
        absolute, offset = frame.absolute_capture_time, frame.capture_clock_offset_s
        captured = None if absolute is None else absolute - NTP_EPOCH_S
        stamp = frame.timestamp & 0xFFFF_FFFF
        self._note(SourceNote(frame.ssrc, False, at, stamp, frame.audio_level, frame.voice, captured, offset))
        levels = frame.contributing_levels
        for i, source in enumerate(frame.contributing):
            level = levels[i] if i < len(levels) else None
            self._note(SourceNote(source, True, at, stamp, level, None, captured, offset))
        if (frame.ssrc, frame.contributing) != (self._source, self._contributing):
            is_other, are_others = frame.ssrc != self._source, frame.contributing != self._contributing
            self._source, self._contributing = frame.ssrc, frame.contributing
            if self.on_changed is not None:
                self.on_changed(is_other, are_others)

    def _note(self, note: SourceNote) -> None:
        key = note.is_contributing, note.source
        notes = self._notes
        notes.pop(key, None)
        if len(notes) >= MAX_SOURCES:
            del notes[next(iter(notes))]
        notes[key] = note

    def recent(self, at: float, *, contributing: bool) -> list[SourceNote]:
        """Those heard lately, the newest first."""
        return [
            note
            for note in reversed(self._notes.values())
            if note.is_contributing is contributing and at - note.at <= SOURCE_LIFETIME_S
        ]
