"""What belongs to the thread that decodes sound: decoding, concealment, and stretching time."""

from __future__ import annotations

from array import array
from typing import NamedTuple

import av

from rtcstack.clock import monotonic
from rtcstack.codecs.coders.audio import AudioDecoder, make_frame
from rtcstack.codecs.coders.stretching import TimeStretch, can_stretch
from rtcstack.codecs.costs import playing_s
from rtcstack.codecs.registry import audio_decoder
from rtcstack.media.pipeline.inbound import ReceivedCodec, time_base
from rtcstack.media.pipeline.level import mean_power
from rtcstack.rtp.audio import AudioJitterBuffer, Pulled
from rtcstack.rtp.frames import EncodedFrame
from rtcstack.rtp.playoutpace import AS_IT_IS, Stretch, Stretched

__all__ = ["AudioDecoding", "AudioJob", "PlayedSound", "job_cost_s"]

_CROSSFADE_MS = 5
"""Where a frame was left out, sound goes over from what would have followed to what follows."""


class AudioJob(NamedTuple):
    """What the decoder is to do for one pull.

    Attributes:
        what: play a frame, make something up, or be silent.
        frame: what to play, or what carries a copy of what is missing; or None.
        duration: of what is played, in RTP ticks.
        skipped: frames that were left out before this one.
        codec: of the frame, or of those before.
        pulled_at: monotonic seconds.
        stretch: whether it is to be played in another time than its own.
        asked_by: who wants that; None where nobody does.
    """

    what: Pulled
    frame: EncodedFrame | None
    duration: int
    skipped: int
    codec: ReceivedCodec
    pulled_at: float
    stretch: Stretched = AS_IT_IS
    asked_by: AudioJitterBuffer | None = None


def job_cost_s(job: AudioJob) -> float:
    """Seconds of work, where time is modelled."""
    return playing_s(job.duration, job.codec.clock_rate)


class PlayedSound(NamedTuple):
    """What came of a job.

    Attributes:
        frame: the sound.
        encoded: that was decoded; None for what was made up.
        power: see `mean_power`.
        spent_s: seconds that it took.
        pulled_at: monotonic seconds.
        asked_by: see `AudioJob`.
        by: RTP ticks that were put in; negative: that were taken out.
    """

    frame: av.AudioFrame
    encoded: EncodedFrame | None
    power: float | None
    spent_s: float
    pulled_at: float
    asked_by: AudioJitterBuffer | None
    by: int


class AudioDecoding:
    """What belongs to the decoder's thread."""

    __slots__ = (
        "_codec",
        "_decoder",
        "_format",
        "_position",
        "_stretching",
        "decode_time_s",
        "failures",
        "implementation",
    )

    def __init__(self) -> None:
        self._codec: ReceivedCodec | None = None
        self._decoder: AudioDecoder | None = None
        self._format = (48_000, 1)
        self._position = 0
        self._stretching: TimeStretch | None = None
        self.failures = 0
        self.decode_time_s = 0.0
        self.implementation = ""

    def play(self, job: AudioJob) -> PlayedSound:
        """On the thread: the sound of one pull."""
        began = monotonic()
        if job.codec != self._codec:
            self.close()
            self._decoder = audio_decoder(job.codec.name, channels=job.codec.channels)
            self.implementation = self._decoder.implementation
            self._codec = job.codec
            # now, and not when it is needed: numpy takes long to be imported
            self._stretching = TimeStretch(*self._format) if can_stretch() else None
        decoder = self._decoder
        assert decoder is not None
        sound: av.AudioFrame | None = None
        if job.what is Pulled.FRAME and job.frame is not None:
            bridge = decoder.conceal(job.duration) if job.skipped else None
            sound = decoder.decode(job.frame.data)
            if sound is None:
                self.failures += 1
                sound = decoder.conceal(job.duration)
            elif bridge is not None:
                _crossfade(bridge, sound)
        elif job.what is Pulled.CONCEAL:
            if job.frame is not None:
                sound = decoder.decode_fec(job.frame.data, job.duration)
            if sound is None:
                sound = decoder.conceal(job.duration)
        else:
            rate, channels = self._format
            sound = make_frame(max(1, job.duration * rate // job.codec.clock_rate), rate, channels)
            plane = sound.planes[0]
            plane.update(bytes(plane.buffer_size))
        rate = sound.sample_rate
        if rate != self._format[0]:
            self._position = self._position * rate // self._format[0]
        if (rate, sound.layout.nb_channels) != self._format:
            self._format = rate, sound.layout.nb_channels
            if self._stretching is not None:
                self._stretching = TimeStretch(*self._format)
        by = 0
        if job.stretch.what is not Stretch.NONE:
            before = sound.samples
            sound = self._stretched(sound, job.stretch)
            by = round((sound.samples - before) * job.codec.clock_rate / rate)
        sound.pts = self._position
        sound.time_base = time_base(rate)
        self._position += sound.samples
        spent_s = monotonic() - began
        self.decode_time_s += spent_s
        encoded = job.frame if job.what is Pulled.FRAME else None
        return PlayedSound(sound, encoded, mean_power(sound), spent_s, job.pulled_at, job.asked_by, by)

    def _stretched(self, sound: av.AudioFrame, wanted: Stretched) -> av.AudioFrame:
        """The same in another time, if that can be done."""
        stretching = self._stretching
        if stretching is None:
            return sound
        rate, channels = self._format
        data = memoryview(sound.planes[0])[: sound.samples * channels * 2]
        change = stretching.shorten if wanted.what is Stretch.SHORTEN else stretching.lengthen
        changed = change(data, urgent=wanted.is_urgent)
        if changed is None:
            return sound
        out = make_frame(len(changed) // (2 * channels), rate, channels)
        plane = out.planes[0]
        plane.update(changed + bytes(plane.buffer_size - len(changed)))
        return out

    def close(self) -> None:
        """On the thread."""
        if self._decoder is not None:
            self._decoder.close()
            self._decoder = None
            self._codec = None


def _crossfade(before: av.AudioFrame, after: av.AudioFrame) -> None:
    """Let a frame begin as the one that it takes the place of."""
    channels = after.layout.nb_channels
    if before.layout.nb_channels != channels or before.sample_rate != after.sample_rate:
        return
    count = min(before.samples, after.samples, after.sample_rate * _CROSSFADE_MS // 1000)
    old = array("h", bytes(before.planes[0]))
    plane = after.planes[0]
    new = array("h", bytes(plane))
    for i in range(count * channels):
        share = i // channels
        new[i] = (old[i] * (count - share) + new[i] * share) // count
    plane.update(new.tobytes())
