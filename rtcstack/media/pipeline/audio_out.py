"""Sending audio: sound goes to the encoder in order, what comes out into packets.

    track -> [encoder on a thread, a second of queue] -> (transform) -> (RED) -> packets -> pacer
                 ^---- bit rate and packet time, by the stream's share of the estimate ----|

Spec: webrtc-pc, section 5.2; RFC 7587 (Opus), RFC 2198 (RED), RFC 4733 (telephone events).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

import av

from rtcstack.clock import monotonic
from rtcstack.codecs.coders.audio import AudioEncoder, AudioSettings, EncodedAudio
from rtcstack.codecs.costs import encoding_s
from rtcstack.codecs.payload.red import RedPacketizer
from rtcstack.codecs.pool import MAX_QUEUED_AUDIO, CoderPool, CoderStream
from rtcstack.codecs.registry import audio_bitrates, audio_encoder, audio_settings, max_packet_time_ms
from rtcstack.errors import ParseError
from rtcstack.media.encoded import EncodedMedia
from rtcstack.media.frames import Frame, capture_time
from rtcstack.media.pipeline.clock import RtpClock
from rtcstack.media.pipeline.level import VOICE_LEVEL, dbov, mean_power
from rtcstack.media.pipeline.outbound import Layer, Outbound
from rtcstack.media.pipeline.sound_adaptation import (
    HEADER_BYTES,
    PTIMES_MS,
    LossSteps,
    SoundAdaptation,
    SoundNeeds,
)
from rtcstack.media.pipeline.transport import MediaTransport
from rtcstack.rtp.send import SendStream

__all__ = ["AudioCoder", "AudioOutbound", "AudioResult"]

_LOOK_EVERY_S = 1.0
"""Between looks at the loss that the peer reports, and at how long things have been as they are."""

_MAX_AHEAD_S = 1.0
"""A frame is not this far from the beginning of the packet that it completes: its time says nothing."""


class AudioResult(NamedTuple):
    """What the encoder made of one frame.

    Attributes:
        units: packets that are complete with it.
        power: of its sound, or None.
        captured: seconds since the Unix epoch when it was captured, or None.
        time: of its first sample, in seconds on its own clock, or None.
        seconds: how long it is.
    """

    units: list[EncodedAudio]
    power: float | None
    captured: float | None
    time: float | None
    seconds: float = 0.0

    def ahead_s(self, unit: EncodedAudio, clock_rate: int) -> float:
        """By how much the frame began after a packet did: that may hold sound of frames before."""
        if self.time is None:
            return 0.0
        ahead_s = self.time - unit.timestamp / clock_rate
        return ahead_s if abs(ahead_s) <= _MAX_AHEAD_S else 0.0


class AudioCoder:
    """What belongs to the encoder's thread. The loop only sets the wishes."""

    __slots__ = (
        "_encoder",
        "_loss",
        "_ptime_ms",
        "_rate",
        "_settings",
        "bitrate_bps",
        "codec",
        "implementation",
        "loss_percent",
        "ptime_ms",
        "target_bps",
    )

    def __init__(self, codec: str, settings: AudioSettings) -> None:
        self._encoder: AudioEncoder | None = None
        self._settings = settings
        self._loss = -1
        self._rate: int | None = -1
        self._ptime_ms = settings.ptime_ms
        self.ptime_ms = settings.ptime_ms
        self.target_bps: int | None = None
        self.codec = codec
        self.bitrate_bps: int | None = settings.bitrate_bps
        self.loss_percent = 0
        self.implementation = ""

    def encode(self, frame: av.AudioFrame) -> AudioResult:
        """On the thread: what is complete with this sound."""
        encoder = self._encoder
        if encoder is None:
            encoder = self._encoder = audio_encoder(self.codec, self._settings)
            self.implementation = encoder.implementation
            self._loss, self._rate, self._ptime_ms = -1, -1, self._settings.ptime_ms
        if self.bitrate_bps != self._rate:
            self._rate = self.bitrate_bps
            encoder.set_bitrate(self.bitrate_bps)
        if self.loss_percent != self._loss:
            self._loss = self.loss_percent
            encoder.set_packet_loss(self._loss)
        if self.ptime_ms != self._ptime_ms:
            self._ptime_ms = self.ptime_ms
            encoder.set_packet_time(self._ptime_ms)
        power, seconds = mean_power(frame), frame.samples / frame.sample_rate
        units = encoder.encode(frame)
        self.target_bps = encoder.bitrate_bps
        return AudioResult(units, power, capture_time(frame), frame.time, seconds)

    def close(self) -> None:
        """On the thread."""
        if self._encoder is not None:
            self._encoder.close()
            self._encoder = None


class AudioOutbound(Outbound):
    """Sends an audio track.

    Args:
        transport: it goes over this.
        pool: where encoders run.
        layers: one encoding.
        on_error: see `Outbound`.

    Attributes:
        frames_encoded: packets' worth of sound that came out of the encoder.
    """

    def __init__(
        self,
        transport: MediaTransport,
        pool: CoderPool,
        layers: Sequence[Layer],
        on_error: Callable[[Exception], None],
    ) -> None:
        super().__init__(transport, on_error)
        self._pool = pool
        self.layer = layers[0]
        self.stream = transport.session.add_send_stream(self.layer.send)
        transport.session.set_active(self.stream, False)
        transport.senders[self.stream.ssrc] = self
        self.frames_encoded = 0
        self.tones_until = 0.0
        """Monotonic seconds until which sound gives way to telephone events."""
        self._clock = RtpClock(self.layer.send.clock_rate)
        self._jobs: CoderStream[av.AudioFrame, AudioResult] | None = None
        self._coder: AudioCoder | None = None
        self._hint = ""  # contentHint of the track that the encoder is made for
        self._adaptation = SoundAdaptation()
        self._loss = LossSteps()
        self._reports = 0  # of loss, that were looked at
        self._looked_at = 0.0
        self._red = self._make_red()

    @property
    def streams(self) -> list[SendStream]:
        """The one."""
        return [self.stream]

    @property
    def target_bps(self) -> int | None:
        """What the encoder aims at; None while there is none."""
        return None if self._coder is None else self._coder.target_bps

    @property
    def implementation(self) -> str:
        """Name of what encodes; "" before the first sound."""
        return self._coder.implementation if self._coder is not None else ""

    def _make_red(self) -> RedPacketizer | None:
        return None if self.layer.red_payload_type is None else RedPacketizer(self.layer.send.payload_type)

    def update(self, layers: Sequence[Layer]) -> None:
        """What is to be sent has changed; an encoder that no longer fits is replaced."""
        session = self.transport.session
        old, layer = self.layer, layers[0]
        self.layer = layer
        if layer.send.clock_rate != old.send.clock_rate:
            self._clock = RtpClock(layer.send.clock_rate)
        session.update_send_stream(self.stream, layer.send)
        if layer.red_payload_type != old.red_payload_type or layer.send.payload_type != old.send.payload_type:
            self._red = self._make_red()
        if (old.codec, old.parameters, old.ptime_ms) != (layer.codec, layer.parameters, layer.ptime_ms):
            self.release()
        elif self._coder is not None:
            self._adapt(monotonic())
        active = self._sending and layer.active
        if self.stream.active is not active:
            session.set_active(self.stream, active)

    # -- sound ------------------------------------------------------------------------------------

    def deliver(self, frame: Frame | EncodedMedia) -> None:
        """Sound, or an encoded frame, of the track."""
        if not self.stream.active:
            if self.meter is not None and isinstance(frame, av.AudioFrame):
                self.meter.heard(mean_power(frame), frame.samples / frame.sample_rate)
            return
        if isinstance(frame, EncodedMedia):
            self._pass_on(frame)
        elif isinstance(frame, av.AudioFrame):
            if self._hint != self._wanted_hint:
                self.release()  # the encoder is made for another kind of sound
            jobs = self._jobs
            if jobs is None:
                jobs = self._open()
            jobs.submit(frame)

    @property
    def _wanted_hint(self) -> str:
        return "" if self.track is None else self.track.contentHint

    def _settings(self) -> AudioSettings:
        layer = self.layer
        base = replace(
            layer.audio,
            bitrate_bps=layer.max_bitrate_bps,
            ptime_ms=layer.ptime_ms or layer.audio.ptime_ms,
            content=self._hint,
        )
        parameters = layer.parameters
        if layer.ptime_ms and "ptime" in parameters:
            parameters = {name: value for name, value in parameters.items() if name != "ptime"}
        return audio_settings(base, parameters)

    def _open(self) -> CoderStream[av.AudioFrame, AudioResult]:
        self._hint = self._wanted_hint
        coder = self._coder = AudioCoder(self.layer.codec, self._settings())
        self._adapt(monotonic())
        self._jobs = self._pool.stream(
            coder.encode,
            self._encoded,
            on_error=self.tell_error,
            finish=coder.close,
            limit=MAX_QUEUED_AUDIO,
            urgent=True,
            cost_of=encoding_s,
        )
        return self._jobs

    def _encoded(self, result: AudioResult) -> None:
        units, power = result.units, result.power
        if self.meter is not None:
            self.meter.heard(power, result.seconds)
        if not units:
            return
        wants_level = self.transform is not None or bool(self.stream.extension_ids.audio_level)
        level = dbov(power) if wants_level else None
        now = monotonic()
        rate = self.layer.send.clock_rate
        for unit in units:
            ahead_s = result.ahead_s(unit, rate)
            captured = None if result.captured is None else result.captured - ahead_s
            timestamp, when = self._clock.map_captured(unit.timestamp, captured, now - ahead_s)
            self.frames_encoded += 1
            if self.transform is not None:
                frame = EncodedMedia(
                    self.layer.mime_type,
                    unit.data,
                    timestamp,
                    Fraction(1, rate),
                    duration=unit.duration,
                    capture_time=captured,
                    audio_level=level,
                )
                self.transform.on_encoded(frame, timestamp, when, self.stream, self)
            else:
                self._send(unit.data, timestamp, now, when, level, unit.starts_talk)
        if now - self._looked_at >= _LOOK_EVERY_S:
            self._looked_at = now
            self._adapt(now)
        self.transport.wake()

    # -- what the network carries -------------------------------------------------------------------

    def _needs(self, settings: AudioSettings) -> SoundNeeds:
        layer, counts = self.layer, self.stream.counts
        wanted_bps, floor_bps = audio_bitrates(layer.codec, settings)
        usual_ms = most_ms = settings.ptime_ms
        if layer.adaptive_ptime:
            most_ms = min(layer.max_ptime_ms or math.inf, max_packet_time_ms(layer.parameters), PTIMES_MS[-1])
        # in steps: it must not change with every packet
        header_bytes = -(-counts.header_bytes // counts.packets // 4) * 4 if counts.packets else HEADER_BYTES
        return SoundNeeds(
            wanted_bps,
            floor_bps,
            2 if settings.stereo else 1,
            usual_ms,
            most_ms,
            header_bytes,
            0 if self._red is None else self._red.depth,
        )

    def _adapt(self, now: float) -> None:
        """Let the encoder follow the stream's share of the estimate, and the loss that the peer reports."""
        coder = self._coder
        if coder is None:
            return
        settings = self._settings()
        needs = self._needs(settings)
        self.transport.session.set_wanted(self.stream, needs.share_bps, needs.least_bps)
        adaptation = self._adaptation
        adaptation.look(self.stream.bitrate_bps, needs, now)
        bitrate_bps = adaptation.bitrate_bps
        coder.bitrate_bps = settings.bitrate_bps if bitrate_bps is None else bitrate_bps
        coder.ptime_ms = adaptation.ptime_ms or settings.ptime_ms
        remote = self.stream.remote
        if remote.reports != self._reports:
            self._reports = remote.reports
            coder.loss_percent = self._loss.reported(remote.fraction_lost)

    def _send(
        self, data: bytes, timestamp: int, now: float, when: float, level: int | None, marker: bool
    ) -> bool:
        if now < self.tones_until:
            return True  # the peer hears the tone instead
        voice = level is not None and level <= VOICE_LEVEL
        red = self._red
        payload_type = None
        if red is not None:
            data = red.packetize(data, timestamp)
            payload_type = self.layer.red_payload_type
        return self.stream.send(
            (data,),
            timestamp,
            now,
            marker=marker,
            captured_at=when,
            audio_level=level,
            voice=voice,
            payload_type=payload_type,
        )

    # -- frames that are encoded already ----------------------------------------------------------

    def _pass_on(self, frame: EncodedMedia) -> None:
        if frame.codec != self.layer.mime_type and frame.name != self.layer.codec:
            self.frames_mismatched += 1
            self.tell_error(
                ParseError(f"the track brings {frame.codec}, but {self.layer.mime_type} was negotiated")
            )
            return
        self.transport.session.set_wanted(self.stream, None)  # it has the bit rate that it has
        timestamp, when = self._clock.map_captured(frame.ticks, frame.capture_time, monotonic())
        if self.transform is not None:
            self.transform.on_encoded(frame, timestamp, when, self.stream, self)
        else:
            self.send_encoded(frame, timestamp, when)

    def send_encoded(self, frame: EncodedMedia, timestamp: int, captured_at: float) -> bool:
        """Send one frame as a packet."""
        if not frame.data:
            return False
        sent = self._send(frame.data, timestamp, monotonic(), captured_at, frame.audio_level, False)
        self.transport.wake()
        return sent

    # -- the rest ---------------------------------------------------------------------------------

    def on_key_frame_requested(self) -> None:
        """Sound has none."""

    def on_bitrate(self, bitrate_bps: int) -> None:
        """The share of the estimate has changed."""
        self._adapt(monotonic())

    def rtp_time(self, now: float) -> int:
        """The timestamp of this moment, for telephone events."""
        return int(now * self.layer.send.clock_rate)

    def release(self) -> None:
        """Close the encoder."""
        if self._jobs is not None:
            self._jobs.close()
        self._jobs = None
        self._coder = None

    def _is_active(self, stream: SendStream) -> bool:
        return self.layer.active

    def _source_changed(self) -> None:
        self._clock.restart()
        if self._attached is None:
            self.release()
