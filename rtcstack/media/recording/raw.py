"""One question: how do pictures and sound become packets of a file, through an encoder?"""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from rtcstack.codecs.coders.audio import Converter, make_frame
from rtcstack.codecs.coders.video import FrameFitter
from rtcstack.media.frames import VIDEO_CLOCK_RATE, VIDEO_TIME_BASE, capture_time
from rtcstack.media.recording.formats import encoder_for
from rtcstack.media.recording.writer import SoundLine, VideoLine
from rtcstack.media.timeline import Timeline

__all__ = ["RawAudioWriter", "RawVideoWriter"]

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

_KEY_FRAME_EVERY = 150
"""Frames: five seconds at 30 a second, for players to jump to."""


class RawVideoWriter(VideoLine):
    """Encodes pictures. All become of the first one's size: files have one."""

    def __init__(self, codec: str | None, bitrate_bps: int) -> None:
        super().__init__()
        self._codec = codec
        self._bitrate_bps = bitrate_bps
        self._reformatter = VideoReformatter()
        self._fitter: FrameFitter | None = None
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._last = -1

    def can_begin(self, item: Any) -> bool:
        """With a picture of some size: the file has that."""
        return bool(item.width and item.height)

    def open(self, container: OutputContainer, item: Any, offset_s: float) -> bool:
        """See `Writer`."""
        self._open_stream(container, item.width, item.height)
        self._begin_line(offset_s)
        return True

    def _open_stream(self, container: OutputContainer, width: int, height: int) -> None:
        codec = encoder_for(container, "video", self._codec)
        options = dict(_VIDEO_OPTIONS.get(codec, {}))
        stream = container.add_stream(codec, rate=30, options=options)
        assert isinstance(stream, VideoStream)
        stream.width = max(2, width & ~1)
        stream.height = max(2, height & ~1)
        formats = [f.name for f in stream.codec_context.codec.video_formats or ()]
        stream.pix_fmt = "yuv420p" if not formats or "yuv420p" in formats else formats[0]
        stream.codec_context.time_base = VIDEO_TIME_BASE
        stream.codec_context.gop_size = _KEY_FRAME_EVERY
        stream.bit_rate = self._bitrate_bps
        stream.codec_context.open(strict=False)
        self._container, self._stream = container, stream
        self._fitter = FrameFitter(stream.pix_fmt, 1.0, even=True)

    def reopen(self, container: OutputContainer, item: Any, base_s: float) -> None:
        """See `Writer`."""
        assert self._stream is not None
        self._base = round(base_s * VIDEO_CLOCK_RATE)
        self._open_stream(container, self._stream.width, self._stream.height)

    def write(self, item: Any, at: float) -> None:
        """Encode a picture."""
        frame: av.VideoFrame = item
        stream, container = self._stream, self._container
        assert stream is not None
        assert container is not None
        pts = self._timeline.place(round((frame.time or 0.0) * VIDEO_CLOCK_RATE), at)
        if pts is not None and self._shift is not None:
            pts = self._shift.move(pts, capture_time(frame))
        if pts is None or pts <= self._last or pts < self._base:
            return
        self._last = pts
        fitter = self._fitter
        assert fitter is not None
        own = fitter.own(frame)  # PyAV writes the time into what it encodes, and frames are shared
        if (own.width, own.height) != (stream.width, stream.height):
            own = self._reformatter.reformat(own, stream.width, stream.height)
        own.pts, own.time_base = pts - self._base, VIDEO_TIME_BASE
        own.pict_type = 0
        container.mux(stream.encode(own))

    def flush(self) -> None:
        """Write what the encoder still holds."""
        if self._stream is not None and self._container is not None:
            self._container.mux(self._stream.encode(None))


class RawAudioWriter(SoundLine):
    """Encodes sound. Gaps become silence, what overlaps is left out: it stays with the pictures."""

    def __init__(self, codec: str | None, bitrate_bps: int) -> None:
        super().__init__(48_000)
        self._codec = codec
        self._bitrate_bps = bitrate_bps
        self._container: OutputContainer | None = None
        self._stream: AudioStream | None = None
        self._converter: Converter | None = None
        self._resampler: av.AudioResampler | None = None
        self._samples = 960
        self._channels = 1
        self._pending = bytearray()
        self._written = 0  # samples, up to where the pending ones begin
        self._off: deque[int] = deque(maxlen=_OFF_FRAMES)

    def open(self, container: OutputContainer, item: Any, offset_s: float) -> bool:
        """See `Writer`."""
        frame: av.AudioFrame = item
        codec = encoder_for(container, "audio", self._codec)
        self._rate = frame.sample_rate if codec.startswith("pcm") else 48_000
        self._channels = 1 if frame.layout.nb_channels == 1 else 2
        self._open_stream(container, codec)
        self._converter = Converter(self._rate, self._channels)
        self._written = int(offset_s * self._rate)
        self._timeline = Timeline(self._rate, start=self._written, interval=self._samples)
        return True

    def _open_stream(self, container: OutputContainer, codec: str) -> None:
        channels = self._channels
        stream = container.add_stream(codec, rate=self._rate)
        assert isinstance(stream, AudioStream)
        stream.layout = "mono" if channels == 1 else "stereo"
        if not codec.startswith("pcm"):
            stream.bit_rate = self._bitrate_bps
        context = stream.codec_context
        context.time_base = Fraction(1, self._rate)
        context.open(strict=False)
        self._samples = context.frame_size or self._rate // 50
        if context.format.name != "s16":
            self._resampler = av.AudioResampler(context.format.name, stream.layout.name, self._rate)
        self._container, self._stream = container, stream

    @property
    def end_s(self) -> float:
        """See `Writer`."""
        return self._written / self._rate

    def reopen(self, container: OutputContainer, item: Any, base_s: float) -> None:
        """See `Writer`. Sound that fills no frame of the encoder yet goes to the other file."""
        self._base = round(base_s * self._rate)
        self._open_stream(container, encoder_for(container, "audio", self._codec))

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
        frame.pts = self._written - self._base
        self._written += self._samples
        for ready in [frame] if self._resampler is None else self._resampler.resample(frame):
            container.mux(stream.encode(ready))

    def flush(self) -> None:
        """Write what the encoder still holds."""
        if self._stream is not None and self._container is not None:
            self._container.mux(self._stream.encode(None))
