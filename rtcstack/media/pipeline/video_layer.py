"""Sending one encoding of a video track: its encoder, and the stream that it feeds.

Spec: webrtc-pc, section 5.2 (encodings); RFC 8853 (simulcast).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import av

from rtcstack.clock import monotonic
from rtcstack.codecs.coders.video import CLOCK_RATE, EncodedUnit, VideoSettings
from rtcstack.codecs.costs import encoding_s
from rtcstack.codecs.layers import scalability_mode
from rtcstack.codecs.pool import CoderPool, CoderStream
from rtcstack.errors import ParseError
from rtcstack.media.encoded import EncodedMedia
from rtcstack.media.frames import VIDEO_TIME_BASE, noted_capture_time
from rtcstack.media.pipeline.adaptation import Adaptation
from rtcstack.media.pipeline.allocation import AllocationTeller, SentStream
from rtcstack.media.pipeline.bitrates import default_bitrate
from rtcstack.media.pipeline.clock import RtpClock
from rtcstack.media.pipeline.outbound import Layer, SendTransform
from rtcstack.media.pipeline.rate import FrameRate
from rtcstack.media.pipeline.transport import MediaTransport
from rtcstack.media.pipeline.video_coding import VideoCoder
from rtcstack.media.pipeline.video_counts import Limitation, VideoCounts
from rtcstack.media.pipeline.video_packets import OutgoingFrame, VideoPackets
from rtcstack.rtp.extensions import Extension
from rtcstack.rtp.send import SendStream

__all__ = ["LayerOwner", "VideoLayer"]

_HEADERS_SHARE = 0.95
"""Of a stream's bit rate, what is left for pictures after RTP headers."""

_START_BPS = 300_000
"""What is aimed at before the congestion control has spoken."""

_REPEAT_AFTER_S = 0.15
"""When a key frame is asked for and the source gave no picture for so long, the last one is sent again."""

_USUAL_FRAME_RATE = 30.0
"""Of a source that has not shown its own yet."""

_RETRY_AFTER_S = 1.0
"""Pause after an encoder failed several times in a row."""

_FAILURES = 3


_SUITS = {
    "motion": "maintain-framerate",
    "detail": "maintain-resolution",
    "text": "maintain-resolution",
}
"""What is kept of content of that hint, unless the application has said (mst-content-hint, section 4.3)."""


class LayerOwner(Protocol):
    """What an encoding belongs to: what sends the track.

    Attributes:
        transport: it goes over this.
        pool: where encoders run.
        tell_error: told of what an encoder cannot do.
        transform: what encoded frames pass through, or None.
        on_key_frame_requested: told whenever the peer asks for one.
    """

    transport: MediaTransport
    pool: CoderPool
    transform: SendTransform | None
    on_key_frame_requested: Callable[[], None]

    @property
    def tell_error(self) -> Callable[[Exception], None]:
        """Told of what an encoder cannot do."""

    @property
    def content_hint(self) -> str:
        """Of the track."""

    def bound(self, layer: VideoLayer, max_bitrate_bps: int | None) -> None:
        """How much a layer can use has changed."""

    def told_of_layers(self, layer: VideoLayer, frame: EncodedMedia) -> list[tuple[Extension, bytes]]:
        """What is told of the layers with a frame of one stream, if that was agreed."""

    def mismatched(self, frame: EncodedMedia) -> None:
        """An encoded frame is of a codec that was not agreed."""

    def ask_source_for_key_frame(self) -> None:
        """The track brings encoded frames: who encodes them must make a key frame."""


class VideoLayer:
    """One encoding: an encoder and the stream that it feeds.

    Attributes:
        layer: how it is to be.
        stream: where it goes.
        width, height: of the last picture sent.
        counts: pictures that came out of the encoder.
        teller: of the layers, to whoever sends them on.
        implementation: name of what encodes, or did last; "" before the first picture.
        frames_dropped: pictures that the encoder had no time for.
        errors: pictures that could not be encoded.
    """

    def __init__(self, owner: LayerOwner, layer: Layer, stream: SendStream) -> None:
        self._owner = owner
        self.layer = layer
        self.stream = stream
        self.width = 0
        self.height = 0
        self.counts = VideoCounts()
        self.implementation = ""
        self.errors = 0
        self.frame_rate = FrameRate()
        self.teller = AllocationTeller()
        self.adaptation = Adaptation()
        self._limitation = Limitation(monotonic())
        self._source_rate = FrameRate()
        self._due_at = 0.0
        self._dropped_before = 0
        self._time_before = 0.0
        self._packets = VideoPackets(layer.codec, layer.parameters)
        self._clock = RtpClock(CLOCK_RATE)
        self._coder: VideoCoder | None = None
        self._hint = ""  # contentHint of the track that the encoder is made for
        self._jobs: CoderStream[av.VideoFrame, tuple[list[EncodedUnit], float | None]] | None = None
        self._share_bps: int | None = stream.bitrate_bps
        self._cap_bps: int | None = layer.max_bitrate_bps
        self._failures = 0
        self._retry_at = 0.0
        self._awaits_key_frame = False  # of frames that come encoded, after a pause
        self._last_frame: av.VideoFrame | None = None
        self._last_frame_at = 0.0
        self._last_size = 0, 0
        self._scale = max(1.0, layer.scale_down_by)  # what was asked for, and what the peer takes
        self._max_rate = layer.max_frame_rate

    @property
    def frames_dropped(self) -> int:
        """Pictures that the encoder had no time for."""
        return self._dropped_before + (self._jobs.dropped if self._jobs is not None else 0)

    @property
    def encode_time_s(self) -> float:
        """Seconds that the encoder took in all."""
        return self._time_before + (self._coder.encode_time_s if self._coder is not None else 0.0)

    @property
    def limited_by(self) -> str:
        """What keeps the pictures from being better: "bandwidth", "cpu" or "none" (webrtc-stats)."""
        if not self.stream.active:
            return "none"
        if self.adaptation.limited_by != "none":
            return self.adaptation.limited_by
        starved = self._share_bps is not None and self.target_bps < 0.98 * (self._cap_bps or 0)
        return "bandwidth" if starved else "none"

    def limited_s(self, now: float) -> dict[str, float]:
        """For how long it was limited by what, and not, in seconds (qualityLimitationDurations)."""
        self._limitation.note(self.limited_by, now)
        return self._limitation.durations_s(now)

    @property
    def target_bps(self) -> int:
        """What the encoder aims at; 0 while it pauses."""
        bound = self._cap_bps
        share = self._share_bps
        if share is None:
            return bound if bound is not None else _START_BPS
        wanted = int(share * _HEADERS_SHARE * self.stream.media_share)
        return wanted if bound is None else min(wanted, bound)

    def as_sent(self, now: float) -> SentStream:
        """What is told of it to whoever sends it on."""
        mode = scalability_mode(self.layer.scalability_mode)
        assert mode is not None
        bitrate_bps = self.target_bps if self.stream.active else 0
        return SentStream(mode, bitrate_bps, self.width, self.height, self._rate(now))

    def update(self, layer: Layer) -> None:
        """What was agreed, or set, has changed; an encoder that no longer fits is replaced."""
        old, self.layer = self.layer, layer
        if (old.codec, old.parameters) != (layer.codec, layer.parameters):
            self._packets.set_format(layer.codec, layer.parameters)
        if old.encoder != layer.encoder:
            self.release()
        if layer.active and not old.active:
            self.request_key_frame()
        if any(self._last_size):
            self._fit(*self._last_size)
        self._set_cap()
        self._aim()

    def restart(self) -> None:
        """Another source."""
        self._clock.restart()
        self._last_frame = None

    def release(self) -> None:
        """Close the encoder."""
        if self._jobs is not None:
            self._dropped_before += self._jobs.dropped
            self._jobs.close()
        if self._coder is not None:
            self._time_before += self._coder.encode_time_s
        self._jobs = None
        self._coder = None
        self._last_frame = None

    # -- rate -------------------------------------------------------------------------------------

    def on_bitrate(self, bitrate_bps: int) -> None:
        """The stream's share changed; after a pause it begins with a key frame."""
        was_paused, self._share_bps = self._share_bps == 0, bitrate_bps
        if was_paused and bitrate_bps:
            self._awaits_key_frame = True
            self.request_key_frame()
        self._aim()

    def _set_cap(self) -> None:
        cap, limits = self.layer.max_bitrate_bps, self.layer.limits
        if cap is None and any(self._last_size):
            cap = default_bitrate(self.width, self.height)
        if cap is not None and limits is not None and limits.bitrate_bps is not None:
            cap = min(cap, limits.bitrate_bps)
        self._cap_bps = cap
        bound = None if cap is None else int(cap / _HEADERS_SHARE)
        if self.stream.parameters.max_bitrate_bps != bound:
            self._owner.bound(self, bound)

    def _aim(self) -> None:
        if self._coder is not None:
            self._coder.bitrate_bps = max(1, self.target_bps)

    def _measure(self, frame: av.VideoFrame) -> None:
        """The pictures' size says what the stream can use."""
        self._last_size = frame.width, frame.height
        self._fit(frame.width, frame.height)
        self._set_cap()
        self._aim()

    def _fit(self, width: int, height: int) -> None:
        """How large and how frequent pictures of this size may be sent; another encoder if need be."""
        layer, limits = self.layer, self.layer.limits
        scale = layer.scale(width, height)
        rate = layer.max_frame_rate
        if limits is not None:
            scale *= limits.scale(width / scale, height / scale)
            bound = limits.rate(int(width / scale), int(height / scale))
            if bound is not None:
                rate = bound if rate is None else min(rate, bound)
        self.width, self.height = int(width / scale), int(height / scale)
        if rate != self._max_rate:
            self.release()
        self._scale, self._max_rate = scale, rate
        if self._coder is not None:
            self._coder.scale = scale * self.adaptation.scale

    # -- pictures ---------------------------------------------------------------------------------

    def encode(self, frame: av.VideoFrame, now: float) -> None:
        """Have a picture encoded."""
        if (frame.width, frame.height) != self._last_size:
            self._measure(frame)
        if not self.stream.active or not self.target_bps or now < self._retry_at:
            return
        if self._max_rate == 0:
            return
        if self._hint != self._owner.content_hint:
            self.release()  # the encoder is made for other pictures
        jobs = self._jobs
        if jobs is None:
            jobs = self._open()
        self._last_frame, self._last_frame_at = frame, now
        self._aim()
        if self._adapt(frame, now):
            jobs.submit(frame)

    def _adapt(self, frame: av.VideoFrame, now: float) -> bool:
        """Follow what the bits and the encoder's time allow; whether this picture is to be sent."""
        adaptation, layer, scale = self.adaptation, self.layer, self._scale
        adaptation.preference = layer.degradation or _SUITS.get(self._hint, "balanced")
        self._source_rate.count(now)
        rate = self._rate(now)
        size = int(frame.width / scale), int(frame.height / scale)
        cap = self._cap_bps or default_bitrate(*size)
        changed = adaptation.look(
            now, self.target_bps, cap, size, rate, self.counts.frames, self.frames_dropped
        )
        self._limitation.note(self.limited_by, now)
        if changed and self._coder is not None:
            self._coder.scale = scale * adaptation.scale
        if adaptation.frame_rate is None:
            return True
        if now < self._due_at:
            return False
        self._due_at = max(self._due_at, now - 1 / rate) + 1 / adaptation.frame_rate
        return True

    def _rate(self, now: float) -> float:
        """Pictures a second of the source, as far as they are wanted."""
        rate = self._source_rate.per_second(now) or _USUAL_FRAME_RATE
        bound = self._max_rate
        return rate if bound is None else min(rate, bound)

    def _open(self) -> CoderStream[av.VideoFrame, tuple[list[EncodedUnit], float | None]]:
        layer = self.layer
        self._hint = self._owner.content_hint
        settings = VideoSettings(
            bitrate_bps=max(1, self.target_bps),
            scale_down_by=self._scale * self.adaptation.scale,
            max_frame_rate=self._max_rate,
            content=self._hint,
            parameters=layer.parameters,
            implementation=layer.implementation,
            scalability_mode=layer.scalability_mode,
        )
        coder = self._coder = VideoCoder(layer.codec, settings)
        self._jobs = self._owner.pool.stream(
            coder.encode,
            self._encoded,
            on_error=self._failed,
            finish=coder.close,
            cost_of=encoding_s,
        )
        return self._jobs

    def _failed(self, error: Exception) -> None:
        self.errors += 1
        self._failures += 1
        if self._failures >= _FAILURES:
            self._failures = 0
            self._retry_at = monotonic() + _RETRY_AFTER_S
        self._owner.tell_error(error)

    def _encoded(self, result: tuple[list[EncodedUnit], float | None]) -> None:
        units, captured = result
        if not units:
            return
        self._failures = 0
        now = monotonic()
        newest = captured
        if self._coder is not None:
            self.implementation = self._coder.implementation
        rate = min(self._rate(now), self.adaptation.frame_rate or math.inf)
        wanted = self.target_bps / 8 / (rate or _USUAL_FRAME_RATE)
        for picture in _pictures(units):
            first, last = picture[0], picture[-1]
            # an encoder may take several pictures before it gives the first
            captured = newest if first.opaque is None else noted_capture_time(first.opaque)
            timestamp, when = self._clock.map_captured(first.timestamp, captured, now)
            self.frame_rate.count(now)
            size = sum(len(unit.data) for unit in picture)
            self.counts.made(size, wanted, last.qp, key_frame=first.key_frame)
            self.width, self.height = last.width, last.height
            for unit in picture:
                self._send(unit, timestamp, when, captured)
        self._owner.transport.wake()

    def _send(self, unit: EncodedUnit, timestamp: int, when: float, captured: float | None) -> None:
        described = self._packets.describe(unit.place, key_frame=unit.key_frame)
        frame = OutgoingFrame(
            self.layer.mime_type,
            unit.data,
            unit.timestamp,
            VIDEO_TIME_BASE,
            key_frame=unit.key_frame,
            width=unit.width,
            height=unit.height,
            capture_time=captured,
            discardable=unit.discardable,
            place=unit.place,
            described=described,
        )
        if described is not None:
            frame.temporal_id, frame.spatial_id = described.frame.temporal_id, described.frame.spatial_id
            frame.frame_id, frame.dependencies = described.frame_id, described.dependencies
        transform = self._owner.transform
        if transform is not None:
            transform.on_encoded(frame, timestamp, when, self.stream, self)
        else:
            self.send_encoded(frame, timestamp, when)

    # -- frames that are encoded already ----------------------------------------------------------

    def pass_on(self, frame: EncodedMedia, now: float) -> None:
        """Send an encoded frame as it is."""
        if not self.stream.active or self._share_bps == 0:
            return
        if self._awaits_key_frame:
            if not frame.key_frame:
                return
            self._awaits_key_frame = False
        if frame.codec != self.layer.mime_type and frame.name != self.layer.codec:
            self._owner.mismatched(frame)
            return
        if frame.width and frame.height:
            self.width, self.height = frame.width, frame.height
        timestamp, when = self._clock.map_captured(frame.ticks, frame.capture_time, now)
        transform = self._owner.transform
        if transform is not None:
            transform.on_encoded(frame, timestamp, when, self.stream, self)
        else:
            self.send_encoded(frame, timestamp, when)

    def send_encoded(self, frame: EncodedMedia, timestamp: int, captured_at: float) -> bool:
        """Put a frame into packets and send them."""
        now = monotonic()
        try:
            sent = self._packets.send(
                self.stream,
                frame,
                timestamp,
                now,
                captured_at=captured_at,
                max_payload_bytes=self.layer.max_payload_bytes,
                extensions=self._owner.told_of_layers(self, frame),
            )
        except ParseError as exc:
            self.errors += 1
            self._owner.tell_error(exc)
            return False
        if not sent and self.stream.active:
            self.request_key_frame()  # what follows would depend on what was not sent
        self._owner.transport.wake()
        return sent

    # -- key frames -------------------------------------------------------------------------------

    def on_key_frame_requested(self) -> None:
        """The peer cannot go on without one."""
        transform = self._owner.transform
        rid, make = self.layer.send.rid, self.make_key_frame
        if transform is None or not transform.on_key_frame_requested(rid, make):
            make()
        self._owner.on_key_frame_requested()

    def make_key_frame(self) -> None:
        """Make the next picture a key frame, and the last one again if none comes."""
        self.request_key_frame()
        frame, now = self._last_frame, monotonic()
        if frame is not None and now - self._last_frame_at > _REPEAT_AFTER_S:
            # a source that gives a picture only when something changes would leave the peer waiting
            self.encode(frame, now)

    def request_key_frame(self) -> None:
        """Make the next picture a key frame."""
        if self._coder is not None:
            self._coder.key_frame_wanted = True
        self._owner.ask_source_for_key_frame()


def _pictures(units: Sequence[EncodedUnit]) -> Iterable[list[EncodedUnit]]:
    """The frames of each picture: one, or one for each spatial layer."""
    picture: list[EncodedUnit] = []
    for unit in units:
        picture.append(unit)
        if unit.place is None or unit.place.is_last:
            yield picture
            picture = []
