"""Receiving audio: the jitter buffer is played at the pace of the clock, while somebody listens.

    packets -> jitter buffer -> (pull, every 20 ms or so) -> (transform) -> [decoder on a thread] -> track
                                  ^---------- by how much a frame was stretched ----------|

Spec: webrtc-pc, section 5.3.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping

from rtcstack.clock import NTP_EPOCH_S, monotonic, unix_time
from rtcstack.codecs.coders.stretching import can_stretch
from rtcstack.codecs.pool import MAX_QUEUED_AUDIO, CoderPool, CoderStream
from rtcstack.errors import OperationError
from rtcstack.media.frames import set_capture_time
from rtcstack.media.pipeline.audio_decoding import AudioDecoding, AudioJob, PlayedSound, job_cost_s
from rtcstack.media.pipeline.inbound import (
    Aside,
    EncodedReceiverSource,
    ReceivedCodec,
    ReceiverSource,
    ReceiveTransform,
    SourceNotes,
    as_encoded,
)
from rtcstack.media.playout.metronome import SLOT_S, Metronome, metronome, slot
from rtcstack.media.playout.sync import PlayoutSync
from rtcstack.rtp.audio import AudioJitterBuffer, Playout, Pulled
from rtcstack.rtp.events import FrameReceived, PacketsReceived, StreamEnded, StreamStarted
from rtcstack.rtp.frames import EncodedFrame
from rtcstack.rtp.parameters import StreamName
from rtcstack.rtp.playoutpace import AS_IT_IS, Stretch, Stretched
from rtcstack.rtp.receive import ReceiveStream
from rtcstack.serial import Unwrapper

__all__ = ["AudioInbound"]

_logger = logging.getLogger("rtcstack.media")

_MAX_CATCH_UP = 10
"""Frames played at one tick: a loop that was held up for longer leaves the rest out."""


class AudioInbound:
    """Receives an audio section. A player of the loop's metronome while somebody listens.

    Args:
        pool: where the decoder runs.
        main: what the receiver's track reads.
        encoded: what the track of encoded frames reads.
        sync: told what is heard, for pictures to wait for.
        on_error: told of what a decoder cannot do.

    Attributes:
        stream: that plays now, or None.
        counted: likewise, or the last that did: statistics tell of it until another comes.
        notes: who was heard.
        transform: what frames pass through, or None.
        samples: of the sound that was handed to the track.
        total_energy, audio_level: of it, as webrtc-stats reckons them.
        output_delay_s: sum over its samples of the time from leaving the jitter buffer to the track.
        played: capture time (seconds since 1900 by the sender's clock) of the last frame that has one, and
            the monotonic time at which it was played; or None.
        decoding_of_samples_s: sum over its samples of the time that decoding took.
        next_at: see `Player`.
    """

    def __init__(
        self,
        pool: CoderPool,
        main: ReceiverSource,
        encoded: EncodedReceiverSource,
        sync: PlayoutSync,
        on_error: Callable[[Exception], None] = lambda error: None,
    ) -> None:
        self._pool = pool
        self._tell_error = on_error
        self._main = main
        self._encoded = encoded
        self.sync = sync
        self.stream: ReceiveStream | None = None
        self._name: StreamName | None = None
        self.counted: ReceiveStream | None = None
        self.output_delay_s = 0.0
        self.played: tuple[float, float] | None = None
        self._codecs: Mapping[int, ReceivedCodec] = {}
        self._timestamps = Unwrapper(32)
        self.notes = SourceNotes()
        self.transform: ReceiveTransform | None = None
        self.samples = 0
        self.total_energy = 0.0
        self.decoding_of_samples_s = 0.0
        self.total_duration_s = 0.0
        self.audio_level: float | None = None
        self.next_at = math.inf
        self._receiving = False
        self._has_played = False
        self._decoder: AudioDecoding | None = None
        self._jobs: CoderStream[AudioJob, PlayedSound] | None = None
        self._metronome: Metronome | None = None
        self._codec: ReceivedCodec | None = None
        # what was asked for of the frame that is in the transform
        self._asked: tuple[Stretched, AudioJitterBuffer | None] = AS_IT_IS, None
        self._due_at = -math.inf  # when the next sound is to be played: `next_at` is a slot after it
        self._aside = Aside()

    @property
    def sync(self) -> PlayoutSync:
        """Told what is heard, for pictures to wait for."""
        return self._sync

    @sync.setter
    def sync(self, sync: PlayoutSync) -> None:
        self._sync = sync
        self._main.capture_clock = self._encoded.capture_clock = sync

    @property
    def codecs(self) -> Mapping[int, ReceivedCodec]:
        """By payload type."""
        return self._codecs

    @codecs.setter
    def codecs(self, codecs: Mapping[int, ReceivedCodec]) -> None:
        self._codecs = codecs
        self._encoded.negotiated(codecs.values())

    @property
    def wants_playout(self) -> bool:
        """Whether somebody listens."""
        return self._main.is_demanded

    @property
    def wants_frames(self) -> bool:
        """Whether somebody takes encoded frames."""
        return self._encoded.is_demanded

    @property
    def decoder_implementation(self) -> str:
        """Name of what decodes; "" before."""
        return self._decoder.implementation if self._decoder is not None else ""

    @property
    def is_playing(self) -> bool:
        """Whether sound is being played out."""
        return self._metronome is not None

    @property
    def samples_per_tick(self) -> int:
        """Samples for each tick of the RTP clock."""
        return 2 if self._codec is not None and self._codec.name == "g722" else 1

    @property
    def decode_time_s(self) -> float:
        """Seconds that the decoder took in all."""
        return self._decoder.decode_time_s if self._decoder is not None else 0.0

    def set_receiving(self, receiving: bool) -> None:
        """What was agreed lets sound come, or not any more."""
        self._receiving = receiving
        if not receiving:
            self._has_played = False
        self.update_demand()

    def update_demand(self) -> None:
        """Play just as long as somebody listens."""
        if self._receiving and self._main.is_demanded and self.stream is not None:
            if self._metronome is None:
                self._metronome = metronome()
            self._metronome.add(self)
        else:
            self._stop()

    def _stop(self) -> None:
        if self._metronome is not None:
            self._metronome.remove(self)
            self._metronome = None
            self.next_at = math.inf
        if self._jobs is not None and not self._main.is_demanded:
            self._jobs.close()
            self._jobs = None
            self._decoder = None

    def close(self) -> None:
        """Receive nothing any more."""
        self._receiving = False
        self.stream = self._name = None
        self._aside.clear()
        self._stop()
        if self._jobs is not None:
            self._jobs.close()
            self._jobs = None

    # -- ReceiveOwner -----------------------------------------------------------------------------

    def on_stream_started(self, event: StreamStarted, stream: ReceiveStream | None, now: float) -> None:
        """Sound begins, or goes on from another source."""
        self.stream = self.counted = stream
        self._name = event.stream
        self._timestamps = Unwrapper(32)
        self._main.set_muted(False)
        self._encoded.set_muted(False)
        for frame in self._aside.take(event.stream, now):
            self._pass_on(frame)
        self.update_demand()

    def on_stream_ended(self, event: StreamEnded, now: float) -> None:
        """Said goodbye, or replaced."""
        if event.stream == self._name:
            self.stream = self._name = None
            self._main.set_muted(True)
            self._encoded.set_muted(True)
            self.update_demand()

    def on_frame(self, event: FrameReceived, now: float) -> None:
        """For who takes encoded frames: as they arrive."""
        if not self._encoded.is_demanded:
            self._aside.clear()
        elif event.stream == self._name:
            self._aside.clear()
            self._pass_on(event.frame)
        else:
            begins = not self._aside.holds(event.stream)
            self._aside.keep(event.stream, event.frame, begins=begins)

    def _pass_on(self, frame: EncodedFrame) -> None:
        codec = self.codecs.get(frame.payload_type)
        if codec is not None:
            self._encoded.codec = codec.mime_type
            frame.timestamp = self._timestamps.unwrap(frame.timestamp & 0xFFFF_FFFF)
            self._encoded.push_encoded(as_encoded(frame, codec))

    def on_packets(self, event: PacketsReceived, now: float) -> None:
        """Taken by the receiver itself."""

    # -- the player -------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Play what is due."""
        stream = self.stream
        buffer = None if stream is None else stream.playout
        if buffer is None or stream is None:
            self.next_at = self._due_at = now + 0.02
            return
        rate = stream.reception.clock_rate
        buffer.can_stretch = can_stretch()
        if self.next_at - self._due_at > SLOT_S:
            self._due_at = self.next_at  # it begins
        for _ in range(_MAX_CATCH_UP):
            if self.next_at > now + 0.001:
                return
            pulled = buffer.pop(now)
            self._go_on(max(pulled.duration, 1) / rate)
            self._play(pulled, now, buffer)
        if self.next_at < now:
            self.next_at = self._due_at = now + 0.01

    def _go_on(self, by_s: float) -> None:
        """The next sound is to be played so much later than was thought."""
        self._due_at += by_s
        self.next_at = slot(self._due_at)

    def tick_failed(self, exc: Exception) -> None:
        """A fault of ours: there is silence from now on, and that is said."""
        _logger.error("a receiver of sound has a fault, and is silent", exc_info=exc)
        self._main.set_muted(True)
        self._tell_error(exc)

    def _play(self, pulled: Playout, now: float, buffer: AudioJitterBuffer) -> None:
        what, frame = pulled.what, pulled.frame
        asked_by = None if pulled.stretch.what is Stretch.NONE else buffer
        if frame is not None:
            codec = self.codecs.get(frame.payload_type)
            if codec is None:
                return
            self._codec = codec
        elif self._codec is None or not self._has_played:
            return  # nothing has come yet
        if what is Pulled.FRAME:
            assert frame is not None
            self._has_played = True
            self.sync.heard(frame.capture_time, now)
            self.notes.played(frame, unix_time())
            if frame.capture_time is not None:
                self.played = frame.capture_time, now
            if self.transform is not None:
                if asked_by is not None:
                    self._asked = pulled.stretch, asked_by
                self.transform.on_received(frame, self._codec, self)
                return
        self._submit(
            AudioJob(what, frame, pulled.duration, pulled.skipped, self._codec, now, pulled.stretch, asked_by)
        )

    def take_encoded(self, frame: EncodedFrame) -> None:
        """A frame came out of the transform."""
        codec = self._codec
        if codec is not None:
            duration = frame.duration or codec.clock_rate // 50
            (stretch, asked_by), self._asked = self._asked, (AS_IT_IS, None)
            self._submit(AudioJob(Pulled.FRAME, frame, duration, 0, codec, monotonic(), stretch, asked_by))

    def _submit(self, job: AudioJob) -> None:
        jobs = self._jobs
        if jobs is None:
            decoder = self._decoder = AudioDecoding()
            jobs = self._jobs = self._pool.stream(
                decoder.play,
                self._played,
                on_error=self._failed,
                finish=decoder.close,
                limit=MAX_QUEUED_AUDIO,
                urgent=True,
                cost_of=job_cost_s,
            )
        jobs.submit(job)

    def _was_stretched(self, buffer: AudioJitterBuffer, by: int) -> None:
        """A frame was played in another time than its own, or could not be: what follows comes as much
        later."""
        buffer.stretched(by, monotonic())
        stream, beat = self.stream, self._metronome
        if by and beat is not None and stream is not None and stream.playout is buffer:
            self._go_on(by / stream.reception.clock_rate)
            beat.moved(self)

    def _failed(self, error: Exception) -> None:
        self._tell_error(error)
        if not isinstance(error, OperationError):
            return  # one frame of sound is missing
        self._main.set_muted(True)

    def _played(self, sound: PlayedSound) -> None:
        frame, encoded, power, spent_s, pulled_at, buffer, by = sound
        if buffer is not None:
            self._was_stretched(buffer, by)
        self.samples += frame.samples
        self.output_delay_s += (monotonic() - pulled_at) * frame.samples
        seconds = frame.samples / frame.sample_rate
        self.total_duration_s += seconds
        if power is not None:
            self.audio_level = power**0.5
            self.total_energy += power * seconds
        if encoded is not None:
            # a sample has waited for all of its frame to be decoded
            self.decoding_of_samples_s += spent_s * frame.samples
            if encoded.capture_time is not None:
                set_capture_time(frame, encoded.capture_time - NTP_EPOCH_S)
        self._main.push(frame)
