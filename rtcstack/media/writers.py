"""What puts one stream into a recorded file: raw frames through an encoder, encoded ones as they are.

One question: how do frames of each kind become packets of a file?

Times come from foreign clocks; each writer brings them on one line (see `rtcstack.media.timeline`).
"""

from __future__ import annotations

import io
import struct
from collections import deque
from fractions import Fraction
from typing import Any, Protocol

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.stream import Stream
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from rtcstack.codecs.coders.audio import Converter, make_frame
from rtcstack.codecs.coders.video import FrameFitter
from rtcstack.codecs.payload.annexb import nal_units
from rtcstack.errors import OperationError
from rtcstack.media.frames import VIDEO_CLOCK_RATE, VIDEO_TIME_BASE, capture_time
from rtcstack.media.timeline import Distance, PictureShift, Timeline

__all__ = [
    "EncodedAudioWriter",
    "EncodedVideoWriter",
    "RawAudioWriter",
    "RawVideoWriter",
    "Writer",
    "encoder_for",
    "holds",
]

_BASELINE = 66
"""profile_idc of H.264 (section A.2.1)."""

_MAX_SILENCE_S = 60.0
"""Silence that is written for a gap in the sound; the rest of a longer one is left empty."""

_MAX_OFF_S = 0.1
"""Sound whose time is further than this from the end of the sound before is moved there at once;"""

_TOLERATED_OFF_S = 0.004
"""nearer than this, never;"""

_OFF_FRAMES = 25
"""and in between, if so many frames in a row say so."""

_VIDEO_OPTIONS = {
    # below nothing libvpx keeps the speed that it is told; above, VP8 is as careful as it measures that it
    # has time for, and what it writes is another each time
    "libvpx": {"deadline": "realtime", "cpu-used": "-10", "lag-in-frames": "0"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "lag-in-frames": "0"},
    # a look ahead of ten pictures: what is looked at is lost when the process ends
    "libx264": {"preset": "veryfast", "x264-params": "rc-lookahead=10:sync-lookahead=0:bframes=2"},
}
_VIDEO_CODECS = {
    "webm": "libvpx",
    "ivf": "libvpx",
    "mp4": "libx264",
    "mov": "libx264",
    "matroska": "libx264",
    "mpegts": "libx264",
    "hls": "libx264",
    "flv": "libx264",
}
_AUDIO_CODECS = {
    "webm": "libopus",
    "ogg": "libopus",
    "wav": "pcm_s16le",
    "mp4": "aac",
    "mov": "aac",
    "mpegts": "aac",
    "hls": "aac",
    "flv": "aac",
}
_NAMES = {"h265": "hevc", "pcmu": "pcm_mulaw", "pcma": "pcm_alaw"}
"""FFmpeg's, of codecs that have another in RTP."""

_ALSO_HELD = {"ogg": {"opus"}, "mpegts": {"h264", "hevc", "opus"}, "hls": {"hevc", "opus"}}
"""Beside what FFmpeg's muxers say of themselves."""

_REORDERED_TICKS = VIDEO_CLOCK_RATE // 4
"""How much earlier than they are shown pictures of H.264 and H.265 may have to be decoded."""
_KEY_FRAME_EVERY = 150
"""Frames: five seconds at 30 a second, for players to jump to."""


class Writer(Protocol):
    """One stream of a file. Used on the recorder's thread.

    Attributes:
        sound: notes where the sound of a capture clock stands: its writer notes, those of pictures of
            the same clock read. None when there is nothing to compare. Set before the first frame.
    """

    sound: Distance | None

    def can_begin(self, item: Any) -> bool:
        """Whether the stream can begin with this."""

    def open(self, container: OutputContainer, item: Any, offset_s: float) -> bool:
        """Add the stream to the file.

        Args:
            container: whose header is not yet written.
            item: the first.
            offset_s: when it came, since the file's beginning.

        Returns:
            Whether the stream can begin with this.
        """

    def write(self, item: Any, at: float) -> None:
        """Add a frame.

        Args:
            item: the frame.
            at: monotonic seconds when it came.
        """

    def flush(self) -> None:
        """There are no more."""


def _names(container: OutputContainer) -> set[str]:
    return set(container.format.name.split(","))


def encoder_for(container: OutputContainer, kind: str, wanted: str | None) -> str:
    """FFmpeg's name of the encoder for a kind of media in a file.

    Args:
        container: the file.
        kind: "audio" or "video".
        wanted: what the application asks for; None for what suits the format.

    Raises:
        OperationError: the format holds no such media, or nothing here encodes it.
    """
    suited, usual = _VIDEO_CODECS, container.default_video_codec
    if kind == "audio":
        suited, usual = _AUDIO_CODECS, container.default_audio_codec
    codec = wanted or next((c for f, c in suited.items() if f in _names(container)), usual)
    # to FFmpeg the picture on a sleeve is video, too
    if not codec or codec == "none" or (kind == "video" and codec == "png" and wanted is None):
        raise OperationError(f"{container.format.name} holds no {kind}")
    try:
        av.Codec(codec, "w")
    except (av.FFmpegError, ValueError):
        raise OperationError(f"{container.format.name}: there is no encoder {codec} here") from None
    return codec


def holds(container: OutputContainer, codec: str) -> bool:
    """Whether a file may hold what came encoded; True where its format does not tell.

    Args:
        container: the file.
        codec: its name in RTP, in lower case.
    """
    name = _NAMES.get(codec, codec)
    if any(name in also for f, also in _ALSO_HELD.items() if f in _names(container)):
        return True
    held = container.supported_codecs
    if held:
        return name in held
    return not _names(container) & _ALSO_HELD.keys()


def _may_reorder(key_frame: bytes) -> bool:
    """Whether H.264 is of a profile that may show pictures in another order than it decodes them."""
    for unit in nal_units(key_frame):
        if unit[0] & 0x1F == 7 and len(unit) > 1:
            return unit[1] != _BASELINE
    return True


class RawVideoWriter:
    """Encodes pictures. All become of the first one's size: files have one."""

    def __init__(self, codec: str | None, bitrate_bps: int) -> None:
        self._codec = codec
        self._bitrate_bps = bitrate_bps
        self._reformatter = VideoReformatter()
        self._fitter: FrameFitter | None = None
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._timeline = Timeline(VIDEO_CLOCK_RATE)
        self._last = -1
        self.sound: Distance | None = None
        self._shift: PictureShift | None = None

    def can_begin(self, item: Any) -> bool:
        """With a picture of some size: the file has that."""
        return bool(item.width and item.height)

    def open(self, container: OutputContainer, item: Any, offset_s: float) -> bool:
        """See `Writer`."""
        frame: av.VideoFrame = item
        codec = encoder_for(container, "video", self._codec)
        options = dict(_VIDEO_OPTIONS.get(codec, {}))
        stream = container.add_stream(codec, rate=30, options=options)
        assert isinstance(stream, VideoStream)
        stream.width = max(2, frame.width & ~1)
        stream.height = max(2, frame.height & ~1)
        formats = [f.name for f in stream.codec_context.codec.video_formats or ()]
        stream.pix_fmt = "yuv420p" if not formats or "yuv420p" in formats else formats[0]
        stream.codec_context.time_base = VIDEO_TIME_BASE
        stream.codec_context.gop_size = _KEY_FRAME_EVERY
        stream.bit_rate = self._bitrate_bps
        stream.codec_context.open(strict=False)
        self._container, self._stream = container, stream
        self._fitter = FrameFitter(stream.pix_fmt, 1.0, even=True)
        self._shift = None if self.sound is None else PictureShift(VIDEO_CLOCK_RATE, self.sound)
        self._timeline = Timeline(VIDEO_CLOCK_RATE, start=int(offset_s * VIDEO_CLOCK_RATE))
        return True

    def write(self, item: Any, at: float) -> None:
        """Encode a picture."""
        frame: av.VideoFrame = item
        stream, container = self._stream, self._container
        assert stream is not None
        assert container is not None
        pts = self._timeline.place(round((frame.time or 0.0) * VIDEO_CLOCK_RATE), at)
        if pts is not None and self._shift is not None:
            pts = self._shift.move(pts, capture_time(frame))
        if pts is None or pts <= self._last:
            return
        self._last = pts
        fitter = self._fitter
        assert fitter is not None
        own = fitter.own(frame)  # PyAV writes the time into what it encodes, and frames are shared
        if (own.width, own.height) != (stream.width, stream.height):
            own = self._reformatter.reformat(own, stream.width, stream.height)
        own.pts, own.time_base = pts, VIDEO_TIME_BASE
        own.pict_type = 0
        container.mux(stream.encode(own))

    def flush(self) -> None:
        """Write what the encoder still holds."""
        if self._stream is not None and self._container is not None:
            self._container.mux(self._stream.encode(None))


class RawAudioWriter:
    """Encodes sound. Gaps become silence, what overlaps is left out: it stays with the pictures."""

    def __init__(self, codec: str | None, bitrate_bps: int) -> None:
        self._codec = codec
        self._bitrate_bps = bitrate_bps
        self._container: OutputContainer | None = None
        self._stream: AudioStream | None = None
        self._converter: Converter | None = None
        self._resampler: av.AudioResampler | None = None
        self._rate = 48_000
        self._samples = 960
        self._channels = 1
        self._timeline = Timeline(48_000)
        self._pending = bytearray()
        self._written = 0  # samples, up to where the pending ones begin
        self._off: deque[int] = deque(maxlen=_OFF_FRAMES)
        self.sound: Distance | None = None

    def can_begin(self, item: Any) -> bool:
        """Always."""
        return True

    def open(self, container: OutputContainer, item: Any, offset_s: float) -> bool:
        """See `Writer`."""
        frame: av.AudioFrame = item
        codec = encoder_for(container, "audio", self._codec)
        self._rate = frame.sample_rate if codec.startswith("pcm") else 48_000
        channels = self._channels = 1 if frame.layout.nb_channels == 1 else 2
        stream = container.add_stream(codec, rate=self._rate)
        assert isinstance(stream, AudioStream)
        stream.layout = "mono" if channels == 1 else "stereo"
        if not codec.startswith("pcm"):
            stream.bit_rate = self._bitrate_bps
        context = stream.codec_context
        context.time_base = Fraction(1, self._rate)
        context.open(strict=False)
        self._samples = context.frame_size or self._rate // 50
        self._converter = Converter(self._rate, channels)
        if context.format.name != "s16":
            self._resampler = av.AudioResampler(context.format.name, stream.layout.name, self._rate)
        self._container, self._stream = container, stream
        self._written = int(offset_s * self._rate)
        self._timeline = Timeline(self._rate, start=self._written, interval=self._samples)
        return True

    @property
    def _end(self) -> int:
        """Where the sound so far ends, in samples."""
        return self._written + len(self._pending) // (2 * self._channels)

    def write(self, item: Any, at: float) -> None:
        """Encode what is complete."""
        frame: av.AudioFrame = item
        converter = self._converter
        assert converter is not None
        if not frame.samples:
            return
        data = converter.convert(frame)
        pts, base = frame.pts, frame.time_base
        if pts is not None and base:
            ticks = pts * self._rate * base.numerator // base.denominator
            start = self._timeline.place(ticks, at)
            if start is None:
                return
            data = self._join(start - self._end, data)
        if self.sound is not None:
            # the resampler may hold a few samples back
            ends = self._end + len(data) // (2 * self._channels)
            began = ends - frame.samples * self._rate // frame.sample_rate
            self.sound.note(began / self._rate, capture_time(frame))
        self._pending += data
        self._encode_complete()

    def _join(self, off: int, data: memoryview) -> memoryview:
        """Bring the sound to where a frame begins: by silence, or without what would be there twice.

        Times that waver are let waver: only where many in a row are off on the same side, or one by far,
        the sound is moved.

        Args:
            off: samples from the end of the sound so far to the frame.
            data: the frame's samples.

        Returns:
            What is to be written of it.
        """
        if abs(off) <= _MAX_OFF_S * self._rate:
            seen = self._off
            seen.append(off)
            least = min(seen) if off > 0 else max(seen)
            if len(seen) < _OFF_FRAMES or least * off <= 0 or abs(least) <= _TOLERATED_OFF_S * self._rate:
                return data
            off = least
        self._off.clear()
        if off > 0:
            self._be_silent(off)
            return data
        return data[-off * 2 * self._channels :]

    def _be_silent(self, samples: int) -> None:
        size = 2 * self._channels
        silent = min(samples, int(_MAX_SILENCE_S * self._rate))
        for begin in range(0, silent, self._samples):
            self._pending += bytes(min(self._samples, silent - begin) * size)
            self._encode_complete()
        self._written += samples - silent

    def _encode_complete(self) -> None:
        pending, size = self._pending, self._samples * 2 * self._channels
        used = 0
        while len(pending) - used >= size:
            self._encode(bytes(pending[used : used + size]))
            used += size
        if used:
            del pending[:used]

    def _encode(self, piece: bytes) -> None:
        stream, container = self._stream, self._container
        assert stream is not None
        assert container is not None
        frame = make_frame(self._samples, self._rate, self._channels)
        plane = frame.planes[0]
        plane.update(piece.ljust(plane.buffer_size, b"\0"))
        frame.pts = self._written
        self._written += self._samples
        for ready in [frame] if self._resampler is None else self._resampler.resample(frame):
            container.mux(stream.encode(ready))

    def flush(self) -> None:
        """Write what the encoder still holds."""
        if self._stream is not None and self._container is not None:
            self._container.mux(self._stream.encode(None))


class EncodedVideoWriter:
    """Writes encoded pictures as they are, from the first key frame on."""

    def __init__(self, codec: str) -> None:
        self._codec = codec
        self._container: OutputContainer | None = None
        self._stream: Stream | None = None
        self._template: InputContainer | None = None  # the file's stream refers to it
        self._timeline = Timeline(VIDEO_CLOCK_RATE)
        self.sound: Distance | None = None
        self._shift: PictureShift | None = None
        self._delay = 0
        self._last_dts: int | None = None
        self._newest = 0

    def can_begin(self, item: Any) -> bool:
        """With a key frame."""
        return bool(item[2])

    def open(self, container: OutputContainer, item: Any, offset_s: float) -> bool:
        """See `Writer`."""
        data, _, key_frame, width, height, _ = item
        if not key_frame:
            return False
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
        self._shift = None if self.sound is None else PictureShift(VIDEO_CLOCK_RATE, self.sound)
        self._timeline = Timeline(VIDEO_CLOCK_RATE, start=int(offset_s * VIDEO_CLOCK_RATE))
        if self._codec == "h265" or (self._codec == "h264" and _may_reorder(data)):
            self._delay = _REORDERED_TICKS
        return True

    def write(self, item: Any, at: float) -> None:
        """Add a picture."""
        data, timestamp, key_frame, _, _, captured = item
        container, stream = self._container, self._stream
        if container is None or stream is None or not data:
            return
        if not self._timeline.has_begun and not key_frame:
            return
        pts = self._timeline.place(timestamp, at, certain=key_frame)
        if pts is None:
            return
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
        packet.pts, packet.dts = pts, dts
        packet.time_base = VIDEO_TIME_BASE
        packet.is_keyframe = key_frame
        packet.stream = stream
        container.mux(packet)

    def flush(self) -> None:
        """Nothing is held."""
        if self._template is not None:
            self._template.close()


class EncodedAudioWriter:
    """Writes encoded sound as it is."""

    def __init__(self, codec: str, channels: int) -> None:
        self._codec = codec
        self._channels = channels
        self._rate = 48_000 if codec == "opus" else 8_000
        self._container: OutputContainer | None = None
        self._stream: Stream | None = None
        self._template: InputContainer | None = None
        self._timeline = Timeline(self._rate)
        self.sound: Distance | None = None
        self._last = -1

    def can_begin(self, item: Any) -> bool:
        """Always."""
        return True

    def open(self, container: OutputContainer, item: Any, offset_s: float) -> bool:
        """See `Writer`."""
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
        self._timeline = Timeline(self._rate, start=int(offset_s * self._rate), interval=self._rate // 50)
        return True

    def write(self, item: Any, at: float) -> None:
        """Add a packet."""
        data, timestamp, *_, captured = item
        container, stream = self._container, self._stream
        if container is None or stream is None or not data:
            return
        pts = self._timeline.place(timestamp, at)
        if pts is None or pts <= self._last:
            return
        self._last = pts
        if self.sound is not None:
            self.sound.note(pts / self._rate, captured)
        packet = av.Packet(data)
        packet.pts = packet.dts = pts
        packet.time_base = Fraction(1, self._rate)
        packet.is_keyframe = True
        packet.stream = stream
        container.mux(packet)

    def flush(self) -> None:
        """Nothing is held."""
        if self._template is not None:
            self._template.close()


def _ivf(codec: str, width: int, height: int, frame: bytes) -> bytes:
    """An IVF file of one frame: a header of 32 octets, then size, time and data of each frame."""
    header = struct.pack(
        "<4sHH4sHHIIII", b"DKIF", 0, 32, codec.upper().encode() + b"0", width, height, 90_000, 1, 1, 0
    )
    return header + struct.pack("<IQ", len(frame), 0) + frame
