"""One question: how do frames that came encoded become packets of a file, as they are?"""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.stream import Stream

from rtcstack.codecs.coders.audio import make_frame
from rtcstack.codecs.payload.annexb import nal_units
from rtcstack.errors import OperationError
from rtcstack.media.frames import VIDEO_CLOCK_RATE, VIDEO_TIME_BASE
from rtcstack.media.recording.writer import SoundLine, VideoLine, Writer
from rtcstack.media.timeline import Timeline

__all__ = ["VIDEO_CODECS", "can_be_kept", "writer_of"]

VIDEO_CODECS = ("vp8", "vp9", "av1", "h264", "h265")
_AUDIO_CODECS = ("opus", "pcmu", "pcma")

_BASELINE = 66
"""profile_idc of H.264 (section A.2.1)."""

_REORDERED_TICKS = VIDEO_CLOCK_RATE // 4
"""How much earlier than they are shown pictures of H.264 and H.265 may have to be decoded."""


def can_be_kept(codec: str) -> bool:
    """Whether a codec, by its name in RTP, in lower case, can be recorded as it is."""
    return codec in VIDEO_CODECS or codec in _AUDIO_CODECS


def writer_of(codec: str, channels: int) -> Writer:
    """What writes a codec as it is.

    Args:
        codec: one that can be kept.
        channels: of audio.
    """
    return EncodedVideoWriter(codec) if codec in VIDEO_CODECS else EncodedAudioWriter(codec, channels)


class EncodedVideoWriter(VideoLine):
    """Writes encoded pictures as they are, from the first key frame on."""

    def __init__(self, codec: str) -> None:
        super().__init__()
        self._codec = codec
        self._container: OutputContainer | None = None
        self._stream: Stream | None = None
        self._template: InputContainer | None = None  # the file's stream refers to it
        self._delay = 0
        self._needs_key_frame = True
        self._last_dts: int | None = None
        self._newest = 0

    def can_begin(self, item: Any) -> bool:
        """With a key frame."""
        return bool(item[2])

    def open(self, container: OutputContainer, item: Any, offset_s: float) -> bool:
        """See `Writer`."""
        if not item[2]:
            return False
        self._open_stream(container, item)
        self._begin_line(offset_s)
        return True

    def _open_stream(self, container: OutputContainer, item: Any) -> None:
        data, _, _, width, height, _ = item
        stream: Stream
        if self._codec == "av1":
            if not hasattr(container, "add_mux_stream"):
                raise OperationError("AV1: recording it as it is needs PyAV 18")
            stream = container.add_mux_stream(
                "av1", width=width or 640, height=height or 480, time_base=VIDEO_TIME_BASE
            )
        else:
            raw = {"h264": "h264", "h265": "hevc"}.get(self._codec)
            if raw is None:
                head = _ivf(self._codec, width or 640, height or 480, data)
                self._template = av.open(io.BytesIO(head), "r", format="ivf")
            else:
                self._template = av.open(io.BytesIO(data), "r", format=raw)
            stream = container.add_stream_from_template(self._template.streams.video[0])
        self._container, self._stream = container, stream
        self._delay = 0
        if self._codec == "h265" or (self._codec == "h264" and _may_reorder(data)):
            self._delay = _REORDERED_TICKS

    def reopen(self, container: OutputContainer, item: Any, base_s: float) -> None:
        """See `Writer`. Begins with a key frame again."""
        self._base = round(base_s * VIDEO_CLOCK_RATE)
        self._needs_key_frame = True
        self._last_dts = None
        self._open_stream(container, item)

    def write(self, item: Any, at: float) -> None:
        """Add a picture."""
        data, timestamp, key_frame, _, _, captured = item
        container, stream = self._container, self._stream
        if container is None or stream is None or not data:
            return
        if self._needs_key_frame and not key_frame:
            return
        pts = self._timeline.place(timestamp, at, certain=key_frame)
        if pts is None:
            return
        self._needs_key_frame = False
        if self._shift is not None:
            pts = self._shift.move(pts, captured)
        # They come in the order of decoding, in which their times may go back and forth.
        self._newest = max(self._newest, pts)
        dts, last = self._newest - self._delay, self._last_dts
        if last is not None and dts <= last:
            dts = last + 1
        if pts < dts:
            return  # of the same time, or reordered further than is provided for
        self._last_dts = dts
        packet = av.Packet(data)
        packet.pts, packet.dts = pts - self._base, dts - self._base
        packet.time_base = VIDEO_TIME_BASE
        packet.is_keyframe = key_frame
        packet.stream = stream
        container.mux(packet)

    def flush(self) -> None:
        """Nothing is held."""
        if self._template is not None:
            self._template.close()


class EncodedAudioWriter(SoundLine):
    """Writes encoded sound as it is."""

    def __init__(self, codec: str, channels: int) -> None:
        super().__init__(48_000 if codec == "opus" else 8_000)
        self._codec = codec
        self._channels = channels
        self._container: OutputContainer | None = None
        self._stream: Stream | None = None
        self._template: InputContainer | None = None
        self._last = -1

    def open(self, container: OutputContainer, item: Any, offset_s: float) -> bool:
        """See `Writer`."""
        self._open_stream(container)
        self._timeline = Timeline(self._rate, start=int(offset_s * self._rate), interval=self._rate // 50)
        return True

    @property
    def end_s(self) -> float:
        """See `Writer`."""
        return self._timeline.end_s

    def reopen(self, container: OutputContainer, item: Any, base_s: float) -> None:
        """See `Writer`."""
        self._base = round(base_s * self._rate)
        self._open_stream(container)

    def _open_stream(self, container: OutputContainer) -> None:
        layout = "mono" if self._channels == 1 else "stereo"
        names = {"opus": ("libopus", "ogg"), "pcmu": ("pcm_mulaw", "wav"), "pcma": ("pcm_alaw", "wav")}
        codec, form = names[self._codec]
        # a file of one silent frame tells the muxer what its header needs
        file = io.BytesIO()
        with av.open(file, "w", format=form) as example:
            stream = example.add_stream(codec, rate=self._rate)
            assert isinstance(stream, AudioStream)
            stream.layout = layout
            frame = make_frame(self._rate // 50, self._rate, 1 if self._channels == 1 else 2)
            plane = frame.planes[0]
            plane.update(bytes(plane.buffer_size))
            frame.pts = 0
            example.mux(stream.encode(frame))
            example.mux(stream.encode(None))
        file.seek(0)
        self._template = av.open(file, "r")
        self._container = container
        self._stream = container.add_stream_from_template(self._template.streams.audio[0])

    def write(self, item: Any, at: float) -> None:
        """Add a packet."""
        data, timestamp, *_, captured = item
        container, stream = self._container, self._stream
        if container is None or stream is None or not data:
            return
        pts = self._timeline.place(timestamp, at)
        if pts is None or pts <= self._last or pts < self._base:
            return
        self._last = pts
        if self.sound is not None:
            self.sound.note(pts / self._rate, captured)
        packet = av.Packet(data)
        packet.pts = packet.dts = pts - self._base
        packet.time_base = Fraction(1, self._rate)
        packet.is_keyframe = True
        packet.stream = stream
        container.mux(packet)

    def flush(self) -> None:
        """Nothing is held."""
        if self._template is not None:
            self._template.close()


def _may_reorder(key_frame: bytes) -> bool:
    """Whether H.264 is of a profile that may show pictures in another order than it decodes them."""
    for unit in nal_units(key_frame):
        if unit[0] & 0x1F == 7 and len(unit) > 1:
            return unit[1] != _BASELINE
    return True


def _ivf(codec: str, width: int, height: int, frame: bytes) -> bytes:
    """An IVF file of one frame: a header of 32 octets, then size, time and data of each frame."""
    header = struct.pack(
        "<4sHH4sHHIIII", b"DKIF", 0, 32, codec.upper().encode() + b"0", width, height, 90_000, 1, 1, 0
    )
    return header + struct.pack("<IQ", len(frame), 0) + frame
