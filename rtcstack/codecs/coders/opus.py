"""Opus: encoder and decoder on libopus itself, or on PyAV where it cannot be called."""

from __future__ import annotations

import ctypes

import av
from av.audio.codeccontext import AudioCodecContext

from rtcstack.codecs.coders.audio import AudioSettings, EncodedAudio, SampleCutter, make_frame
from rtcstack.codecs.coders.concealment import Concealment, fade_out
from rtcstack.codecs.native.opus import (
    MAX_DECODED_SAMPLES,
    Application,
    NativeOpusDecoder,
    NativeOpusEncoder,
    available,
)
from rtcstack.errors import OperationError, ParseError

__all__ = [
    "DEFAULT_BITRATE_BPS",
    "LEAST_BITRATE_BPS",
    "AvOpusDecoder",
    "AvOpusEncoder",
    "OpusDecoder",
    "OpusEncoder",
    "opus_bitrates",
    "opus_decoder",
    "opus_encoder",
]

_RATE = 48_000
_PTIMES_MS = (2.5, 5, 10, 20, 40, 60, 80, 100, 120)
_MAX_CONCEALED = 24_000
"""Half a second: what libopus goes on with after that is a hum, and becomes silence here."""

_SILENT_BYTES = 2
"""A packet of this or less says that nothing need be sent (libopus, opus_encode)."""

DEFAULT_BITRATE_BPS = {1: 48_000, 2: 64_000}
"""Bits a second by channels (RFC 7587, section 3.1.1)."""

LEAST_BITRATE_BPS = {1: 8_000, 2: 12_000}
"""Speech of narrow band needs so much (RFC 7587, section 3.1.1)."""


def _check(settings: AudioSettings) -> None:
    if settings.ptime_ms not in _PTIMES_MS:
        raise OperationError(f"Opus has no packets of {settings.ptime_ms} ms")


class OpusEncoder:
    """See `AudioEncoder`.

    Args:
        settings: how to encode.

    Raises:
        OperationError: libopus is not there, or the settings are not Opus'.
    """

    def __init__(self, settings: AudioSettings) -> None:
        _check(settings)
        if not available():
            raise OperationError("Opus: libopus is not there")
        self._settings = settings
        self._samples = int(settings.ptime_ms * _RATE / 1000)
        self._cutter = SampleCutter(_RATE, None if settings.stereo else 1, self._samples)
        self._encoder: NativeOpusEncoder | None = None
        self._bitrate_bps = settings.bitrate_bps
        self._loss = settings.packet_loss_percent
        self._silent = True

    @property
    def implementation(self) -> str:
        """ "libopus"."""
        return "libopus"

    def _open(self, channels: int) -> NativeOpusEncoder:
        settings = self._settings
        application = Application.VOIP if settings.content == "speech" else Application.AUDIO
        encoder = NativeOpusEncoder(_RATE, channels, application)
        encoder.set_bitrate(self._bitrate_bps or DEFAULT_BITRATE_BPS[channels])
        encoder.set_complexity(settings.complexity)
        encoder.set_variable_bitrate(settings.variable_bitrate)
        encoder.set_in_band_fec(settings.in_band_fec, self._loss)
        encoder.set_dtx(settings.dtx)
        encoder.set_max_playback_rate(settings.max_playback_rate)
        return encoder

    def encode(self, frame: av.AudioFrame) -> list[EncodedAudio]:
        """Encode what is complete; silence gives nothing with DTX. See `AudioEncoder`."""
        pieces = self._cutter.cut(frame)
        if not pieces:
            return []
        encoder = self._encoder
        if encoder is None:
            encoder = self._encoder = self._open(self._cutter.channels or 1)
        samples = self._samples
        out = []
        for at, piece in pieces:
            if isinstance(piece, bytes):
                data = encoder.encode(piece, samples)
            else:
                data = encoder.encode(frame.planes[0].buffer_ptr, samples)
            if len(data) <= _SILENT_BYTES and self._settings.dtx:
                if (
                    not self._silent
                ):  # the first says that silence follows, so that nobody takes it for a loss
                    out.append(EncodedAudio(data, at, samples, False))
                self._silent = True
                continue
            out.append(EncodedAudio(data, at, samples, self._silent))
            self._silent = False
        return out

    def set_bitrate(self, bitrate_bps: int | None) -> None:
        """Aim at another bit rate; None to choose by channels."""
        self._bitrate_bps = None if bitrate_bps is None else max(6_000, min(bitrate_bps, 510_000))
        if self._encoder is not None:
            usual = DEFAULT_BITRATE_BPS[self._cutter.channels or 1]
            self._encoder.set_bitrate(self._bitrate_bps or usual)

    def set_packet_loss(self, percent: int) -> None:
        """Prepare in-band FEC for this much loss."""
        self._loss = max(0, min(percent, 100))
        if self._encoder is not None:
            self._encoder.set_in_band_fec(self._settings.in_band_fec, self._loss)

    def set_packet_time(self, ptime_ms: float) -> None:
        """Put so much sound into each packet; see `AudioEncoder`."""
        if ptime_ms in _PTIMES_MS:
            self._samples = int(ptime_ms * _RATE / 1000)
            self._cutter.set_piece(self._samples)

    @property
    def bitrate_bps(self) -> int | None:
        """What it aims at; see `AudioEncoder`."""
        channels = self._cutter.channels
        return self._bitrate_bps or (None if channels is None else DEFAULT_BITRATE_BPS[channels])

    def close(self) -> None:
        """Give libopus' memory back; the next frame takes it again."""
        if self._encoder is not None:
            self._encoder.close()
            self._encoder = None


class OpusDecoder:
    """See `AudioDecoder`. Gives 48 kHz.

    Args:
        channels: of what is given, 1 or 2.

    Raises:
        OperationError: libopus is not there.
    """

    def __init__(self, channels: int = 2) -> None:
        self._decoder = NativeOpusDecoder(_RATE, channels)
        self._channels = channels
        self._room = ctypes.create_string_buffer(MAX_DECODED_SAMPLES * 2 * channels)
        self._room_address = ctypes.addressof(self._room)
        self._concealed = 0

    @property
    def implementation(self) -> str:
        """ "libopus"."""
        return "libopus"

    def decode(self, data: bytes) -> av.AudioFrame | None:
        """The sound of one packet; None when it is damaged."""
        self._concealed = 0
        return self._run(data, MAX_DECODED_SAMPLES) if data else None

    def decode_fec(self, data: bytes, duration: int) -> av.AudioFrame | None:
        """The lost packet before this one; see `AudioDecoder`."""
        self._concealed = 0
        return self._run(data, _whole(duration), fec=True) if data else None

    def conceal(self, duration: int) -> av.AudioFrame:
        """Sound in the place of a lost packet; see `AudioDecoder`."""
        samples = _whole(duration)
        if self._concealed > _MAX_CONCEALED:
            silence = make_frame(samples, _RATE, self._channels)
            ctypes.memset(silence.planes[0].buffer_ptr, 0, samples * 2 * self._channels)
            return silence
        frame = self._run(None, samples)
        assert frame is not None
        self._concealed += samples
        if self._concealed > _MAX_CONCEALED:
            fade_out(frame)
        return frame

    def _run(self, data: bytes | None, samples: int, *, fec: bool = False) -> av.AudioFrame | None:
        try:
            count = self._decoder.decode(data, self._room_address, samples, fec=fec)
        except ParseError:
            return None
        frame = make_frame(count, _RATE, self._channels)
        ctypes.memmove(frame.planes[0].buffer_ptr, self._room_address, count * 2 * self._channels)
        return frame

    def close(self) -> None:
        """Give libopus' memory back; nothing may be decoded afterwards."""
        self._decoder.close()


def _whole(duration: int) -> int:
    """The nearest duration that libopus can conceal: a multiple of 2.5 ms, 120 ms at most."""
    return max(120, min(MAX_DECODED_SAMPLES, (duration + 60) // 120 * 120))


class AvOpusEncoder:
    """Opus through PyAV; see `AudioEncoder`. The bit rate and the loss to expect stay as they are."""

    def __init__(self, settings: AudioSettings) -> None:
        _check(settings)
        self._settings = settings
        self._samples = int(settings.ptime_ms * _RATE / 1000)
        self._cutter = SampleCutter(_RATE, None if settings.stereo else 1, self._samples)
        self._context: AudioCodecContext | None = None
        self._silent = True
        try:
            av.Codec("libopus", "w")
        except (av.FFmpegError, ValueError) as exc:
            raise OperationError("Opus: PyAV was built without libopus") from exc

    @property
    def implementation(self) -> str:
        """ "libopus"."""
        return "libopus"

    def _open(self, channels: int) -> AudioCodecContext:
        settings = self._settings
        context = av.CodecContext.create("libopus", "w")
        context.sample_rate = _RATE
        context.layout = "mono" if channels == 1 else "stereo"
        context.format = "s16"
        context.bit_rate = settings.bitrate_bps or DEFAULT_BITRATE_BPS[channels]
        context.options = {
            "application": "voip" if settings.content == "speech" else "audio",
            "frame_duration": str(settings.ptime_ms),
            "fec": str(int(settings.in_band_fec)),
            "packet_loss": str(settings.packet_loss_percent),
            "vbr": "on" if settings.variable_bitrate else "off",
            "dtx": str(int(settings.dtx)),
            "compression_level": str(settings.complexity),
        }
        return context

    def encode(self, frame: av.AudioFrame) -> list[EncodedAudio]:
        """Encode what is complete; see `AudioEncoder`."""
        pieces = self._cutter.cut(frame)
        if not pieces:
            return []
        channels = self._cutter.channels or 1
        if self._context is None:
            self._context = self._open(channels)
        out = []
        for at, piece in pieces:
            whole = make_frame(self._samples, _RATE, channels)
            whole.planes[0].update(bytes(piece))
            whole.pts = at
            try:
                packets = self._context.encode(whole)
            except (av.FFmpegError, ValueError) as exc:
                self.close()
                raise OperationError(f"Opus: libopus failed to encode: {exc}") from exc
            for packet in packets:
                data = bytes(packet)
                if len(data) <= _SILENT_BYTES and self._settings.dtx:
                    if not self._silent:
                        out.append(EncodedAudio(data, at, self._samples, False))
                    self._silent = True
                    continue
                out.append(EncodedAudio(data, at, self._samples, self._silent))
                self._silent = False
        return out

    def set_bitrate(self, bitrate_bps: int | None) -> None:
        """Without effect: FFmpeg's wrapper reads it once."""

    def set_packet_loss(self, percent: int) -> None:
        """Without effect: FFmpeg's wrapper reads it once."""

    def set_packet_time(self, ptime_ms: float) -> None:
        """Without effect, likewise."""

    @property
    def bitrate_bps(self) -> int | None:
        """What it aims at; see `AudioEncoder`."""
        channels = self._cutter.channels
        wanted = self._settings.bitrate_bps
        return wanted or (None if channels is None else DEFAULT_BITRATE_BPS[channels])

    def close(self) -> None:
        """Give the codec back; the next frame opens it again."""
        self._context = None


class AvOpusDecoder:
    """Opus through PyAV; see `AudioDecoder`. Conceals with a fade of its own, and reads no FEC."""

    def __init__(self, channels: int = 2) -> None:
        self._channels = channels
        self._context = self._open()
        self._concealment = Concealment(_RATE, channels)
        self._cutter = av.AudioResampler("s16", "mono" if channels == 1 else "stereo", _RATE)

    def _open(self) -> AudioCodecContext:
        for name in ("libopus", "opus"):
            try:
                context = av.CodecContext.create(name, "r")
                context.sample_rate = _RATE
                context.layout = "mono" if self._channels == 1 else "stereo"
                context.open()
            except (av.FFmpegError, ValueError):
                continue
            return context
        raise OperationError("Opus: PyAV was built without a decoder for it")

    @property
    def implementation(self) -> str:
        """FFmpeg's name of what decodes."""
        return self._context.name

    def decode(self, data: bytes) -> av.AudioFrame | None:
        """The sound of one packet; None when it is damaged."""
        try:
            decoded = self._context.decode(av.Packet(data)) if data else []
            frames = [out for each in decoded for out in self._cutter.resample(each)]
        except (av.FFmpegError, ValueError, MemoryError):
            return None
        if not frames:
            return None
        pcm = b"".join([memoryview(f.planes[0])[: f.samples * 2 * self._channels] for f in frames])
        return self._concealment.heard(pcm)

    def decode_fec(self, data: bytes, duration: int) -> av.AudioFrame | None:
        """None: FFmpeg does not give it."""
        return None

    def conceal(self, duration: int) -> av.AudioFrame:
        """Sound in the place of a lost packet; see `AudioDecoder`."""
        return self._concealment.conceal(duration)

    def close(self) -> None:
        """Nothing to give back before the object goes."""


def opus_bitrates(settings: AudioSettings) -> tuple[int, int]:
    """What the better encoder aims at with these settings, and the least that it is of use to tell it."""
    channels = 2 if settings.stereo else 1
    wanted = settings.bitrate_bps or DEFAULT_BITRATE_BPS[channels]
    return wanted, min(wanted, LEAST_BITRATE_BPS[channels]) if available() else wanted


def opus_encoder(settings: AudioSettings) -> OpusEncoder | AvOpusEncoder:
    """The better encoder that there is."""
    return OpusEncoder(settings) if available() else AvOpusEncoder(settings)


def opus_decoder(channels: int = 2) -> OpusDecoder | AvOpusDecoder:
    """The better decoder that there is."""
    return OpusDecoder(channels) if available() else AvOpusDecoder(channels)
