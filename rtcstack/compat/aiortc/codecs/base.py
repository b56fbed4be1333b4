"""What encoders and decoders have in common, and their forms on this stack's coders."""

from __future__ import annotations

import fractions
from abc import ABCMeta, abstractmethod
from typing import Any

import av
from av.frame import Frame
from av.packet import Packet

from rtcstack.codecs.coders.audio import AudioEncoder as NativeAudioEncoder
from rtcstack.codecs.coders.audio import AudioSettings
from rtcstack.codecs.coders.video import VideoEncoder as NativeVideoEncoder
from rtcstack.codecs.coders.video import VideoSettings
from rtcstack.codecs.registry import (
    audio_decoder,
    audio_encoder,
    video_decoder,
    video_depacketizer,
    video_encoder,
    video_packetizer,
)
from rtcstack.compat.aiortc.jitterbuffer import JitterFrame
from rtcstack.compat.aiortc.mediastreams import VIDEO_TIME_BASE, convert_timebase

__all__ = [
    "AudioDecoder",
    "AudioEncoder",
    "Decoder",
    "Encoder",
    "VideoDecoder",
    "VideoEncoder",
    "depayload_video",
]

PACKET_MAX = 1_200
"""Bytes of a payload."""


class Decoder(metaclass=ABCMeta):
    """Makes frames of what a jitter buffer gives."""

    @abstractmethod
    def decode(self, encoded_frame: JitterFrame) -> list[Frame]:
        """The frames of one encoded frame: none, while it cannot be decoded."""


class Encoder(metaclass=ABCMeta):
    """Makes payloads of frames."""

    @abstractmethod
    def encode(self, frame: Frame, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        """The payloads of a frame, and its time in ticks of the RTP clock."""

    @abstractmethod
    def pack(self, packet: Packet[Any]) -> tuple[list[bytes], int]:
        """The same of a packet that was encoded elsewhere."""


class VideoEncoder(Encoder):
    """Of one codec.

    Args:
        codec: its name in lower case.
        parameters: of the format.
    """

    def __init__(self, codec: str, parameters: dict[str, str] | None = None) -> None:
        self._codec = codec
        self._parameters = parameters or {}
        self._packetizer = video_packetizer(codec, self._parameters)
        self._encoder: NativeVideoEncoder | None = None
        self._target_bitrate = self._limits()[0]

    @abstractmethod
    def _limits(self) -> tuple[int, int, int]:
        """To begin with, least and most, in bit/s."""

    def encode(self, frame: Frame, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        """See `Encoder.encode`."""
        assert isinstance(frame, av.VideoFrame)
        if self._encoder is None:
            settings = VideoSettings(bitrate_bps=self._target_bitrate, parameters=self._parameters)
            self._encoder = video_encoder(self._codec, settings)
        payloads: list[bytes] = []
        for unit in self._encoder.encode(frame, force_key_frame=force_keyframe):
            payloads += self._packetizer.packetize(
                unit.data, key_frame=unit.key_frame, max_payload_bytes=PACKET_MAX
            )
        return payloads, convert_timebase(frame.pts or 0, frame.time_base or VIDEO_TIME_BASE, VIDEO_TIME_BASE)

    def pack(self, packet: Packet[Any]) -> tuple[list[bytes], int]:
        """See `Encoder.pack`."""
        assert isinstance(packet, Packet)
        payloads = self._packetizer.packetize(
            bytes(packet), key_frame=packet.is_keyframe, max_payload_bytes=PACKET_MAX
        )
        base = packet.time_base or VIDEO_TIME_BASE
        return payloads, convert_timebase(packet.pts or 0, base, VIDEO_TIME_BASE)

    @property
    def target_bitrate(self) -> int:
        """What it aims at, in bit/s; kept within the module's least and most."""
        return self._target_bitrate

    @target_bitrate.setter
    def target_bitrate(self, bitrate: int) -> None:
        _, least, most = self._limits()
        self._target_bitrate = max(least, min(bitrate, most))
        if self._encoder is not None:
            self._encoder.set_bitrate(self._target_bitrate)


class VideoDecoder(Decoder):
    """Of one codec: its name in lower case."""

    def __init__(self, codec: str) -> None:
        self._decoder = video_decoder(codec)

    def decode(self, encoded_frame: JitterFrame) -> list[Frame]:
        """See `Decoder.decode`."""
        frames = self._decoder.decode(encoded_frame.data, encoded_frame.timestamp)
        for frame in frames:
            frame.pts, frame.time_base = encoded_frame.timestamp, VIDEO_TIME_BASE
        return list(frames)


class AudioEncoder(Encoder):
    """Of one codec.

    Args:
        codec: its name in lower case.
        rate: of the RTP clock, in Hz.
        settings: how to encode.
    """

    def __init__(self, codec: str, rate: int, settings: AudioSettings | None = None) -> None:
        self._encoder: NativeAudioEncoder = audio_encoder(codec, settings or AudioSettings())
        self._time_base = fractions.Fraction(1, rate)

    def encode(self, frame: Frame, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        """See `Encoder.encode`."""
        assert isinstance(frame, av.AudioFrame)
        encoded = self._encoder.encode(frame)
        timestamp = convert_timebase(frame.pts or 0, frame.time_base or self._time_base, self._time_base)
        return [each.data for each in encoded], timestamp

    def pack(self, packet: Packet[Any]) -> tuple[list[bytes], int]:
        """See `Encoder.pack`."""
        assert isinstance(packet, Packet)
        base = packet.time_base or self._time_base
        return [bytes(packet)], convert_timebase(packet.pts or 0, base, self._time_base)


class AudioDecoder(Decoder):
    """Of one codec.

    Args:
        codec: its name in lower case.
        rate: of the RTP clock, in Hz.
    """

    def __init__(self, codec: str, rate: int) -> None:
        self._decoder = audio_decoder(codec)
        self._time_base = fractions.Fraction(1, rate)

    def decode(self, encoded_frame: JitterFrame) -> list[Frame]:
        """See `Decoder.decode`."""
        frame = self._decoder.decode(encoded_frame.data)
        if frame is None:
            return []
        frame.pts, frame.time_base = encoded_frame.timestamp, self._time_base
        return [frame]


def depayload_video(codec: str, payload: bytes) -> bytes:
    """A payload's part of the encoded frame.

    Args:
        codec: its name in lower case.
        payload: of one RTP packet.

    Raises:
        ValueError: it is none.
    """
    depacketizer = video_depacketizer(codec)
    return depacketizer.assemble([depacketizer.depacketize(payload)])
