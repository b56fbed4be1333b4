"""What the tests of receiving video share: a receiver whose decoders run at once, and encoded streams."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import av

from rtcstack.clock import monotonic
from rtcstack.codecs.coders.limits import DecoderLimits
from rtcstack.codecs.coders.scheduling import ordinary_scheduling
from rtcstack.media.frames import Frame
from rtcstack.media.pipeline.inbound import ReceivedCodec, ReceiverSource
from rtcstack.media.pipeline.video_in import VideoInbound
from rtcstack.media.playout.sync import PlayoutSync
from rtcstack.media.track import MediaStreamTrack
from rtcstack.rtp.events import FrameReceived, StreamStarted
from rtcstack.rtp.frames import EncodedFrame
from rtcstack.rtp.parameters import StreamName
from tests.unit.codecs.material import picture


class Jobs:
    """A stream of jobs that are done when they are submitted."""

    def __init__(
        self, work: Callable[[Any], Any], on_result: Callable[[Any], object], **options: Any
    ) -> None:
        self._work, self._on_result, self._options = work, on_result, options
        self.dropped = 0

    def submit(self, item: Any, *, beyond_limit: bool = False) -> bool:
        try:
            result = self._work(item)
        except Exception as exc:
            self._options["on_error"](exc)
        else:
            self._on_result(result)
        return True

    def close(self) -> None:
        self._options["finish"]()


class Pool:
    """Threads that are none."""

    def stream(self, work: Callable[[Any], Any], on_result: Callable[[Any], object], **options: Any) -> Jobs:
        return Jobs(work, on_result, **options)


class Sink:
    """What a track brought."""

    def __init__(self, track: MediaStreamTrack) -> None:
        self.frames: list[Any] = []
        self.track = track  # a source only holds its tracks weakly
        track.add_sink(self)

    def deliver(self, frame: Frame) -> None:
        self.frames.append(frame)

    def track_ended(self) -> None:
        pass


class Receiver:
    """A video section that receives, without a network."""

    def __init__(
        self, codec: str = "h264", sets: tuple[bytes, ...] = (), limits: DecoderLimits | None = None
    ) -> None:
        self.errors: list[Exception] = []
        self.key_frames_asked = 0
        self.failures_told = 0
        self.source = ReceiverSource("video", "remote", lambda: self.inbound.update_demand())
        self.track = self.source.track()
        self.inbound = VideoInbound(
            Pool(),  # type: ignore[arg-type]
            self.source,
            PlayoutSync(),
            lambda: None,
            self.errors.append,
            limits,
        )
        self.inbound.codecs = {96: ReceivedCodec(codec, f"video/{codec.upper()}", 90_000, 1, sets)}
        self.inbound.set_rids(())
        self.inbound.set_receiving(True)
        self.feed = self.inbound.feed(None)
        self.stream = SimpleNamespace(
            name=StreamName("v", None, 7),
            request_key_frame=self._asked,
            assembler=SimpleNamespace(decoder_failed=self._failed),
        )
        self.inbound.on_stream_started(StreamStarted(self.stream.name), self.stream, monotonic())
        self.number = 0

    def _asked(self) -> None:
        self.key_frames_asked += 1

    def _failed(self, now: float) -> None:
        self.failures_told += 1

    def receive(self, data: bytes, *, key_frame: bool, timestamp: int | None = None, **changes: Any) -> None:
        """A whole frame came."""
        now = monotonic()
        at = self.number * 3000 if timestamp is None else timestamp
        frame = EncodedFrame(data, at, 96, 7, now, key_frame, first_received_at=now, **changes)
        self.number += 1
        self.inbound.on_frame(FrameReceived(self.stream.name, frame), now)


def encode(
    name: str, count: int, size: tuple[int, int] = (320, 240), options: dict[str, str] | None = None
) -> list[tuple[int, bytes, bool]]:
    """Number of the picture, data and whether it is a key frame, in decoding order."""
    context: Any = av.CodecContext.create(name, "w")
    context.width, context.height = size
    context.pix_fmt = "yuv420p"
    context.time_base = Fraction(1, 30)
    context.bit_rate = 300_000
    context.thread_count = 1  # libvpx's threads wait by spinning, which is slow where cores are few
    context.options = options or {}
    with ordinary_scheduling():
        packets = [p for i in range(count) for p in context.encode(picture(i, *size))]
        packets += context.encode(None)
    return [(int(p.pts or 0), bytes(p), p.is_keyframe) for p in packets]
