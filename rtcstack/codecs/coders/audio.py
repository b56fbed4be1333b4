"""What all audio encoders and decoders have in common, and cutting sound into frames."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import av

from rtcstack.errors import OperationError

__all__ = [
    "AudioDecoder",
    "AudioEncoder",
    "AudioSettings",
    "Converter",
    "EncodedAudio",
    "SampleCutter",
    "make_frame",
]

_MAX_GAP_S = 0.1
"""A frame whose pts is further than this from where the sound before it ended begins anew."""

_MAX_FRAME_SAMPLES = 480_000
"""Samples of one frame that is encoded: ten seconds at 48 kHz."""

_LAYOUTS = {1: "mono", 2: "stereo"}

_TIME_BASES = {rate: Fraction(1, rate) for rate in (8_000, 16_000, 48_000)}


@dataclass(slots=True)
class EncodedAudio:
    """One encoded frame.

    Attributes:
        data: as the codec's packetizer takes it.
        timestamp: of its first sample in ticks of the RTP clock, from the frames' pts.
        duration: in ticks.
        starts_talk: first after a silence that was not sent: the RTP marker (RFC 3551, section 4.1).
    """

    data: bytes
    timestamp: int
    duration: int
    starts_talk: bool = False


@dataclass(frozen=True, slots=True)
class AudioSettings:
    """How to encode.

    Attributes:
        bitrate_bps: Opus: 6,000 to 510,000; None to choose by channels. Others have one rate.
        ptime_ms: sound in a packet. Opus: 2.5, 5, 10, 20, 40 or 60 (80, 100, 120 also).
        stereo: Opus: send two channels when the frames have two.
        in_band_fec: Opus: packets carry a copy of the one before.
        packet_loss_percent: Opus: what FEC prepares for, 0 to 100.
        dtx: Opus: silence is not sent.
        variable_bitrate: Opus: the rate follows the sound.
        complexity: Opus: 0 (cheapest) to 10. From 7 on libopus listens to what it codes, which takes
            longer than coding it (docs/decisions/codecs-native-libraries.md).
        content: "" for anything; "speech" for what is tuned for voices, which takes twice as long;
            "music" (the track's contentHint).
        max_playback_rate: Hz above which the peer hears nothing (RFC 7587, section 6.1).
    """

    bitrate_bps: int | None = None
    ptime_ms: float = 20
    stereo: bool = False
    in_band_fec: bool = True
    packet_loss_percent: int = 0
    dtx: bool = False
    variable_bitrate: bool = True
    complexity: int = 6
    content: str = ""
    max_playback_rate: int = 48_000


class AudioEncoder(Protocol):
    """One stream's encoder. Used by one thread at a time, any thread."""

    @property
    def implementation(self) -> str:
        """Name of what encodes."""

    def encode(self, frame: av.AudioFrame) -> list[EncodedAudio]:
        """Encode what is complete, and keep the rest for the next call.

        Args:
            frame: of any rate, layout, format and length; not changed.

        Raises:
            OperationError: the codec refuses.
        """

    def set_bitrate(self, bitrate_bps: int | None) -> None:
        """Aim at another bit rate, where the codec has several."""

    def set_packet_loss(self, percent: int) -> None:
        """Prepare for loss, where the codec can."""

    def set_packet_time(self, ptime_ms: float) -> None:
        """Put so much sound into each packet from now on, where that can be changed.

        Args:
            ptime_ms: milliseconds; see `AudioSettings`.
        """

    @property
    def bitrate_bps(self) -> int | None:
        """What it aims at, bits a second; None while that depends on sound that has not come yet."""

    def close(self) -> None:
        """Give the codec back."""


class AudioDecoder(Protocol):
    """One stream's decoder. Used by one thread at a time, any thread."""

    @property
    def implementation(self) -> str:
        """Name of what decodes."""

    def decode(self, data: bytes) -> av.AudioFrame | None:
        """The sound of one packet; None when it is damaged."""

    def decode_fec(self, data: bytes, duration: int) -> av.AudioFrame | None:
        """The lost packet before this one, from the copy that this one carries.

        Args:
            data: the packet behind the gap.
            duration: what is missing, in ticks of the RTP clock.
        """

    def conceal(self, duration: int) -> av.AudioFrame:
        """Sound in the place of a lost packet: a likely continuation that fades out.

        Args:
            duration: what is missing, in ticks of the RTP clock.
        """

    def close(self) -> None:
        """Give the codec back."""


def make_frame(samples: int, sample_rate: int, channels: int) -> av.AudioFrame:
    """A frame of 16-bit samples, its content undefined."""
    frame = av.AudioFrame("s16", _LAYOUTS[channels], samples)
    frame.sample_rate = sample_rate
    frame.time_base = _TIME_BASES.get(sample_rate) or Fraction(1, sample_rate)
    return frame


class Converter:
    """Turns frames of any form into 16-bit samples of one rate and layout.

    Args:
        sample_rate: that is wanted, in Hz.
        channels: 1 or 2.
    """

    __slots__ = ("_channels", "_from", "_rate", "_to_rate")

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._rate = sample_rate
        self._channels = channels
        self._from: tuple[str, str, int] | None = None
        self._to_rate: av.AudioResampler | None = None

    def convert(self, frame: av.AudioFrame) -> memoryview:
        """The samples of a frame, channels interleaved: in the frame itself where it has that form.

        Raises:
            OperationError: the frame is too long, or cannot be converted.
        """
        if frame.samples > _MAX_FRAME_SAMPLES:
            raise OperationError(f"audio frame of {frame.samples} samples cannot be encoded")
        channels = self._channels
        layout = _LAYOUTS[channels]
        form = frame.format.name, frame.layout.name, frame.sample_rate
        if form == ("s16", layout, self._rate):
            return memoryview(frame.planes[0])[: frame.samples * 2 * channels]
        if self._to_rate is None or self._from != form:
            self._to_rate = av.AudioResampler("s16", layout, self._rate)
            self._from = form
        try:
            out = self._to_rate.resample(frame)
        except (av.FFmpegError, ValueError) as exc:
            self._to_rate = None
            raise OperationError(f"audio frame cannot be converted: {exc}") from exc
        return memoryview(b"".join([memoryview(f.planes[0])[: f.samples * 2 * channels] for f in out]))


class SampleCutter:
    """Turns frames as they come into pieces of equal length, as 16-bit samples.

    Args:
        sample_rate: of the pieces, in Hz.
        channels: of the pieces; None for what the first frame has (1 or 2).
        piece_samples: samples of each channel in a piece.
    """

    __slots__ = ("_at", "_converter", "_rate", "_rest", "_samples", "channels")

    def __init__(self, sample_rate: int, channels: int | None, piece_samples: int) -> None:
        self._rate = sample_rate
        self.channels = channels
        self._samples = piece_samples
        self._rest = bytearray()
        self._at: int | None = None
        self._converter: Converter | None = None

    @property
    def waiting(self) -> int:
        """Samples of each channel that are kept for the next piece."""
        return len(self._rest) // (2 * (self.channels or 1))

    def set_piece(self, samples: int) -> None:
        """Make pieces of another length from now on; what is kept is part of the next."""
        self._samples = samples

    def cut(self, frame: av.AudioFrame) -> list[tuple[int, bytes | memoryview]]:
        """The pieces that are complete with this frame.

        Returns:
            (time of the first sample, in samples; the piece, channels interleaved) for each. A
            memoryview lies in the frame, from its beginning on; what was converted is bytes.

        Raises:
            OperationError: the frame is too long, or cannot be converted.
        """
        if not frame.samples:
            return []
        channels = self.channels
        if channels is None:
            channels = self.channels = 1 if frame.layout.nb_channels == 1 else 2
        start = self._start(frame)
        data = self._samples_of(frame, channels)
        size = self._samples * 2 * channels
        rest = self._rest
        if not rest and len(data) == size:
            # the common case: a frame is a piece, and is read where it lies
            self._at = start + self._samples
            converted = data.obj
            return [(start, converted if isinstance(converted, bytes) else data)]
        at = start - len(rest) // (2 * channels)
        rest += data
        pieces: list[tuple[int, bytes | memoryview]] = []
        used = 0
        while len(rest) - used >= size:
            pieces.append((at, bytes(rest[used : used + size])))
            used += size
            at += self._samples
        if used:
            del rest[:used]
        self._at = at + len(rest) // (2 * channels)
        return pieces

    def _start(self, frame: av.AudioFrame) -> int:
        """Where the frame's sound begins, in our samples; follows on unless its pts says otherwise."""
        expected = self._at
        pts, base = frame.pts, frame.time_base
        if pts is None or not base:
            return 0 if expected is None else expected
        start = pts * self._rate * base.numerator // base.denominator
        if expected is not None and abs(start - expected) <= _MAX_GAP_S * self._rate:
            return expected
        self._rest.clear()
        return start

    def _samples_of(self, frame: av.AudioFrame, channels: int) -> memoryview:
        converter = self._converter
        if converter is None:
            converter = self._converter = Converter(self._rate, channels)
        return converter.convert(frame)
