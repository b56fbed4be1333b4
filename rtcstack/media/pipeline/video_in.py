"""Receiving video: whole frames go to a decoder while somebody looks, and pictures to the track.

    packets -> assembler -> (transform) -> [decoder on a thread] -> (wait for the sound) -> track

With simulcast each layer is a feed of its own, and the receiver's track shows one of them.

Spec: webrtc-pc, section 5.3; RFC 8853.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import av

from rtcstack.clock import NTP_EPOCH_S, monotonic, unix_time
from rtcstack.codecs.coders.limits import DecoderLimits
from rtcstack.codecs.payload.parametersets import ParameterSets, has_parameter_sets
from rtcstack.codecs.payload.superframe import LayerChoice
from rtcstack.codecs.pool import MAX_QUEUED_DECODES, CoderPool, CoderStream
from rtcstack.errors import OperationError
from rtcstack.media.frames import set_capture_time, set_rotation
from rtcstack.media.pipeline.inbound import (
    Aside,
    EncodedReceiverSource,
    ReceivedCodec,
    ReceiverSource,
    ReceiveTransform,
    SourceNotes,
    as_encoded,
)
from rtcstack.media.pipeline.rate import FrameRate
from rtcstack.media.pipeline.video_decoding import Decoded, DecodingJob, DecodingThread, cost_s, starts
from rtcstack.media.pipeline.video_layers import ShownLayer
from rtcstack.media.playout.display import Display
from rtcstack.media.playout.later import AHEAD_S, Later
from rtcstack.media.playout.sync import PlayoutSync
from rtcstack.rtp.events import FrameReceived, PacketsReceived, StreamEnded, StreamStarted
from rtcstack.rtp.frames import EncodedFrame
from rtcstack.rtp.parameters import StreamName
from rtcstack.rtp.receive import ReceiveStream

__all__ = ["REFUSED_ASK_S", "VideoFeed", "VideoInbound"]

REFUSED_ASK_S = 5.0
"""While pictures are refused for their size, a key frame is asked for so often: it may be that only the one
was too large which the others need (or was none), or that there is room for it now."""


class VideoFeed:
    """One stream of a receiver: the only one, or a simulcast layer.

    Attributes:
        rid: the layer, or None.
        stream, name: what feeds it now, or None.
        counted: likewise, or the last that did: statistics tell of it until another comes.
        main: gives its pictures.
        encoded: gives its frames undecoded.
        width, height: of the last picture; while none is decoded, what the last key frame says.
        frames_received, key_frames_received: whole frames.
        frames_decoded, key_frames_decoded: pictures.
        frames_dropped: frames that nobody decoded in time.
        failures: frames that could not be decoded.
        frames_refused: frames that no decoder was given, for what their pictures would take of memory.
        display: shows them.
        assembled, assembly_s: pictures that came in several packets, and the sum over these of the time
            from the first packet to the last.
        processing_s: sum over pictures of the time from a frame's first packet to its decoding.
        waiting_s: sum over pictures of the time from there until they were to be shown.
        target_s, minimum_s: likewise of the time that was aimed at, and of what the network alone needed:
            until the last packet was there.
        decoder_implementation: name of what decodes, or did last; "" before.
        frame_rate: pictures decoded.
        qp_sum: of the pictures' quantizers; None for formats that do not tell.
        played: capture time (seconds since 1900 by the sender's clock) of the last picture that has one, and
            the monotonic time at which it was to be shown; or None.
    """

    def __init__(
        self,
        owner: VideoInbound,
        rid: str | None,
        label: str,
        mime_type: str,
    ) -> None:
        self._owner = owner
        self.rid = rid
        self.stream: ReceiveStream | None = None
        self.name: StreamName | None = None
        self.counted: ReceiveStream | None = None
        self.main = ReceiverSource("video", label, self.update_demand)
        self.encoded = EncodedReceiverSource(mime_type, label, self.update_demand, self.request_key_frame)
        self.width = 0
        self.height = 0
        self.frames_received = 0
        self.key_frames_received = 0
        self.frames_decoded = 0
        self.key_frames_decoded = 0
        self.failures = 0
        self.frames_refused = 0
        self._refused_at: float | None = None  # first, or when a key frame was asked for last
        self.assembled = 0
        self.assembly_s = 0.0
        self.processing_s = 0.0
        self.last_frame_at = 0.0
        self.asked_at = 0.0
        self.waiting_s = 0.0
        self.target_s = 0.0
        self.minimum_s = 0.0
        self.decoder_implementation = ""
        self.frame_rate = FrameRate()
        self.qp_sum: int | None = None
        self.played: tuple[float, float] | None = None
        self.display = Display(self._show, owner.limits.budget)
        self._dropped_before = 0
        self._time_before = 0.0
        self._decoder: DecodingThread | None = None
        self._jobs: CoderStream[DecodingJob, Decoded] | None = None
        self._needs_key_frame = True
        self._sets: ParameterSets | None = None
        self._told_sets: tuple[bytes, ...] = ()
        self._layers = LayerChoice()
        self._aside = Aside(self._reserve_aside)
        self._catches_up = False
        self._was_demanded = False
        self._later: Later[ReceivedCodec] = Later(self._decode)

    @property
    def pixels(self) -> int:
        """Of a picture, as far as is known."""
        return self.width * self.height

    @property
    def frames_dropped(self) -> int:
        """Frames that nobody decoded in time."""
        return self._dropped_before + (self._jobs.dropped if self._jobs is not None else 0)

    @property
    def decode_time_s(self) -> float:
        """Seconds that the decoder took in all."""
        return self._time_before + (self._decoder.decode_time_s if self._decoder is not None else 0.0)

    def codec_name(self, payload_type: int) -> str:
        """Of what was negotiated: "vp8"; "" where it was not."""
        codec = self._owner.codecs.get(payload_type)
        return "" if codec is None else codec.name

    @property
    def _is_demanded(self) -> bool:
        return self.main.is_demanded or (self._owner.shown is self and self._owner.main.is_demanded)

    def update_demand(self) -> None:
        """Decode just as long as somebody looks."""
        demanded = self._is_demanded and self._owner.is_receiving
        if demanded and not self._was_demanded:
            self._needs_key_frame = True
            self.request_key_frame()
        elif not demanded and self._was_demanded:
            self.release()
        self._was_demanded = demanded

    def set_stream(self, event: StreamStarted, stream: ReceiveStream | None, now: float) -> None:
        """Pictures come from this stream from now on."""
        self.stream = self.counted = stream
        self.name = event.stream
        self._needs_key_frame = True
        waited = self._aside.take(event.stream, now)
        if event.is_under_way and not waited and (self._was_demanded or self.encoded.is_demanded):
            self.request_key_frame()
        self._catches_up = True
        for frame in waited:
            codec = self._owner.codecs.get(frame.payload_type)
            if codec is not None:
                self.take(frame, codec, now)
        self._catches_up = False

    def keep_aside(self, stream: StreamName, frame: EncodedFrame) -> None:
        """A frame of another stream, that may take over."""
        if self._was_demanded or self.encoded.is_demanded:
            self._aside.keep(stream, frame, begins=frame.key_frame)

    def _reserve_aside(self, size: int) -> bool:
        budget = self._owner.limits.budget
        if budget is None:
            return True
        if size:
            return budget.reserve(self._aside, size)
        budget.release(self._aside)
        return True

    def request_key_frame(self) -> None:
        """Ask the peer for one."""
        if self.stream is not None:
            self.stream.request_key_frame()
            self._owner.wake()

    # -- frames -----------------------------------------------------------------------------------

    def take(self, frame: EncodedFrame, codec: ReceivedCodec, now: float) -> None:
        """A whole frame came."""
        self.frames_received += 1
        self.key_frames_received += frame.key_frame
        self.last_frame_at = now
        if frame.key_frame and frame.width and frame.height and not self._was_demanded:
            self.width, self.height = frame.width, frame.height
        if self._aside.frames:
            self._aside.expire(now)
        transform = self._owner.transform
        if transform is None and not self._prepare(frame, codec):
            return
        if self.encoded.is_demanded:
            self.encoded.codec = codec.mime_type
            self.encoded.push_encoded(as_encoded(frame, codec))
        if not self._was_demanded:
            return
        if transform is not None:
            transform.on_received(frame, codec, self)
        else:
            self.take_encoded(frame)

    def take_encoded(self, frame: EncodedFrame) -> None:
        """A frame that is to be decoded: from the wire, or out of the transform."""
        codec = self._owner.codecs.get(frame.payload_type)
        if codec is None or not self._was_demanded:
            return
        if self._owner.transform is not None and not self._prepare(frame, codec):
            return
        if self._needs_key_frame:
            if not frame.key_frame:
                self.request_key_frame()  # again and again, though not too often: the first may be lost
                return
            self._needs_key_frame = False
        now = monotonic()
        wait_s = self._owner.wait_s(frame, now)
        if wait_s > AHEAD_S or self._later:
            self._later.add(frame, codec, now + wait_s)
        else:
            self._decode(frame, codec)

    def _decode(self, frame: EncodedFrame, codec: ReceivedCodec) -> None:
        jobs = self._jobs
        if jobs is None:
            decoder = self._decoder = DecodingThread(self._owner.limits)
            jobs = self._jobs = self._owner.pool.stream(
                decoder.decode,
                self._decoded,
                on_error=self._failed,
                on_dropped=self._overrun,
                finish=decoder.close,
                limit=MAX_QUEUED_DECODES,
                starts=starts,
                cost_of=cost_s,
            )
        if self._catches_up:
            jobs.submit(DecodingJob(frame, codec), beyond_limit=True)
        else:
            jobs.submit(DecodingJob(frame, codec))

    def _prepare(self, frame: EncodedFrame, codec: ReceivedCodec) -> bool:
        """Bring a frame into a form that can be decoded by itself; whether it is of use."""
        if codec.name == "vp9":
            data = self._layers.choose(frame.data, key_frame=frame.key_frame)
            if data is None:
                self.request_key_frame()
                return False
            frame.data = data
        elif frame.key_frame or frame.has_sets:
            self._complete(frame, codec)
        return True

    def _complete(self, frame: EncodedFrame, codec: ReceivedCodec) -> None:
        """Put before a key frame the parameter sets that it lacks: they may have come once, long ago."""
        name = codec.name
        if not has_parameter_sets(name):
            return
        sets = self._sets
        if sets is None or sets.codec != name:
            sets = self._sets = ParameterSets(name)
            self._told_sets = ()
        if codec.parameter_sets != self._told_sets:
            self._told_sets = codec.parameter_sets
            sets.learn(codec.parameter_sets)
        frame.data = sets.complete(frame.data, key_frame=frame.key_frame, has_sets=frame.has_sets)

    def _overrun(self, count: int) -> None:
        self.request_key_frame()

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self._owner.tell_error(error)

    def _decoded(self, result: Decoded) -> None:
        now = monotonic()
        self.decoder_implementation = result.implementation
        if result.qp is not None:
            self.qp_sum = (self.qp_sum or 0) + result.qp
        if result.refusal is not None:
            # nothing is asked for at once: what came would be as large
            self.frames_refused += 1
            self._owner.tell_error(OperationError(f"not decoded: {result.refusal}"))
            if self._refused_at is None:
                self._refused_at = now
            elif now - self._refused_at >= REFUSED_ASK_S:
                self._refused_at = now
                self.request_key_frame()
        else:
            self._refused_at = None
        if result.has_failed:
            self.failures += 1
            if self.stream is not None and self.stream.assembler is not None:
                self.stream.assembler.decoder_failed(now)
                self.request_key_frame()
        for picture, frame in result.pictures:
            self.frames_decoded += 1
            self.key_frames_decoded += frame.key_frame
            self.processing_s += now - frame.first_received_at
            wait_s = self._owner.wait_s(frame, now)
            self._owner.notes.played(frame, unix_time())
            self.width, self.height = picture.width, picture.height
            if frame.capture_time is not None:
                set_capture_time(picture, frame.capture_time - NTP_EPOCH_S)
                self.played = frame.capture_time, now + max(0.0, wait_s)
            if frame.rotation:
                set_rotation(picture, frame.rotation)
            assembly_s = frame.received_at - frame.first_received_at
            self.frame_rate.count(now)
            self.waiting_s += now - frame.first_received_at + wait_s
            self.minimum_s += assembly_s
            self.target_s += assembly_s + max(0.0, self._owner.wait_s(frame, frame.received_at))
            if frame.packet_count > 1:
                self.assembled += 1
                self.assembly_s += assembly_s
            self.display.add(picture, wait_s, now)

    def _show(self, picture: av.VideoFrame) -> None:
        self.main.push(picture)
        if self._owner.shown is self:
            self._owner.main.push(picture)

    def release(self) -> None:
        """Close the decoder; show nothing any more."""
        if self._jobs is not None:
            self._dropped_before += self._jobs.dropped
            self._jobs.close()
        if self._decoder is not None:
            self._time_before += self._decoder.decode_time_s
        self._jobs = None
        self._decoder = None
        self._later.clear()
        self._aside.clear()
        self.display.clear()


class VideoInbound:
    """Receives a video section.

    Args:
        pool: where decoders run.
        main: what the receiver's track reads.
        sync: how long pictures wait for their sound.
        wake: something is to be sent.
        on_error: told of what a decoder cannot do.
        limits: what decoders may use of memory.

    Attributes:
        feeds: by rid; None for a stream without one.
        is_receiving: whether what was agreed lets pictures come.
        min_delay_s: least time that pictures wait, from jitterBufferTarget.
    """

    def __init__(
        self,
        pool: CoderPool,
        main: ReceiverSource,
        sync: PlayoutSync,
        wake: Callable[[], None],
        on_error: Callable[[Exception], None],
        limits: DecoderLimits | None = None,
    ) -> None:
        self.limits = limits or DecoderLimits()
        self.pool = pool
        self.main = main
        self.wake = wake
        self.tell_error = on_error
        self.feeds: dict[str | None, VideoFeed] = {}
        self._layers = ShownLayer(self.feeds)
        self._codecs: Mapping[int, ReceivedCodec] = {}
        self.notes = SourceNotes()
        self.transform: ReceiveTransform | None = None
        self.is_receiving = False
        self.min_delay_s = 0.0
        self.sync = sync

    @property
    def shown(self) -> VideoFeed | None:
        """The feed that the receiver's track shows."""
        return self._layers.shown

    @property
    def sync(self) -> PlayoutSync:
        """How long pictures wait for their sound."""
        return self._sync

    @sync.setter
    def sync(self, sync: PlayoutSync) -> None:
        self._sync = sync
        self.main.capture_clock = sync
        for feed in self.feeds.values():
            feed.main.capture_clock = feed.encoded.capture_clock = sync

    @property
    def codecs(self) -> Mapping[int, ReceivedCodec]:
        """By payload type."""
        return self._codecs

    @codecs.setter
    def codecs(self, codecs: Mapping[int, ReceivedCodec]) -> None:
        self._codecs = codecs
        for feed in self.feeds.values():
            feed.encoded.negotiated(codecs.values())

    def feed(self, rid: str | None) -> VideoFeed:
        """The feed of a layer; made when there is none."""
        found = self.feeds.get(rid)
        if found is None:
            mime_type = next((c.mime_type for c in self.codecs.values()), "video/VP8")
            label = self.main.label if rid is None else f"{self.main.label} {rid}"
            found = self.feeds[rid] = VideoFeed(self, rid, label, mime_type)
            found.encoded.negotiated(self.codecs.values())
            found.main.capture_clock = found.encoded.capture_clock = self._sync
            if self._layers.shown is None:
                self._layers.show(found)
        return found

    def set_rids(self, rids: tuple[str, ...]) -> None:
        """These layers may come; those that may not any more end."""
        wanted: tuple[str | None, ...] = rids or (None,)
        for rid in [rid for rid in self.feeds if rid not in wanted]:
            gone = self.feeds.pop(rid)
            gone.release()
            gone.main.end()
            gone.encoded.end()
            if self._layers.shown is gone:
                self._layers.shown = None
        for each in wanted:
            self.feed(each)

    def wait_s(self, frame: EncodedFrame, now: float) -> float:
        """How long a picture has to wait yet; both delays count from when it was there."""
        wait_s = self.sync.wait_s(frame.capture_time, now)
        return max(wait_s, frame.received_at + self.min_delay_s - now) if self.min_delay_s else wait_s

    def set_receiving(self, receiving: bool) -> None:
        """What was agreed lets pictures come, or not any more."""
        self.is_receiving = receiving
        self.update_demand()

    def update_demand(self) -> None:
        """Somebody began to look at the receiver's track, or nobody does any more."""
        for feed in self.feeds.values():
            feed.update_demand()

    def close(self) -> None:
        """Receive nothing any more."""
        self.is_receiving = False
        for feed in self.feeds.values():
            feed.release()
            feed.stream = feed.name = None

    # -- ReceiveOwner -----------------------------------------------------------------------------

    def on_stream_started(self, event: StreamStarted, stream: ReceiveStream | None, now: float) -> None:
        """Pictures begin, or go on from another source."""
        feed = self.feed(
            event.stream.rid if event.stream.rid in self.feeds or None not in self.feeds else None
        )
        feed.set_stream(event, stream, now)
        feed.main.set_muted(False)
        feed.encoded.set_muted(False)
        self.main.set_muted(False)

    def on_stream_ended(self, event: StreamEnded, now: float) -> None:
        """Said goodbye, or replaced."""
        for feed in self.feeds.values():
            if feed.name == event.stream:
                feed.stream = feed.name = None
                feed.main.set_muted(True)
                feed.encoded.set_muted(True)
        if all(feed.name is None for feed in self.feeds.values()):
            self.main.set_muted(True)

    def on_frame(self, event: FrameReceived, now: float) -> None:
        """A whole frame came."""
        frame, name = event.frame, event.stream
        codec = self.codecs.get(frame.payload_type)
        if codec is None:
            return
        feed = self.feeds.get(name.rid)
        if feed is None:
            feed = self.feeds.get(None)
        if feed is None:
            return
        if feed.name != name:
            feed.keep_aside(name, frame)
            return
        if len(self.feeds) > 1:
            self._layers.compare(feed, frame, now)
        feed.take(frame, codec, now)

    def on_packets(self, event: PacketsReceived, now: float) -> None:
        """Taken by the receiver itself."""
