"""What all video encoders and decoders have in common."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import av
from av.video.reformatter import VideoReformatter

from rtcstack.codecs.layers import SINGLE_LAYER, LayerPlace
from rtcstack.errors import OperationError

__all__ = [
    "CLOCK_RATE",
    "EncodedUnit",
    "FrameClock",
    "FrameFitter",
    "VideoEncoder",
    "VideoSettings",
    "threads_for",
]

CLOCK_RATE = 90_000
"""Ticks a second of every video format's RTP clock."""

DEFAULT_DURATION = CLOCK_RATE // 30
"""What a frame is taken to last before there is a second one."""

MAX_JUMP = 10 * CLOCK_RATE
"""A frame further ahead of the last than this, or a tenth of it behind, begins a new timeline: another
track's, mostly."""

_MAX_DURATION = CLOCK_RATE
"""A longer silence of the source does not earn the next frame more bits than a second's."""

MAX_FRAME_SIDE = 16_384
"""Pixels: what the codecs' headers can hold."""

_BLACK, _GREY = 16, 128

MAX_ENLARGED_SIDE = 1_024
"""Pixels: a picture that is too narrow for its encoder is not enlarged beyond this for it."""


@dataclass(slots=True)
class EncodedUnit:
    """One encoded frame.

    Attributes:
        data: as the codec's packetizer takes it.
        timestamp: of the frame in ticks of 90 kHz, from its pts; grows from picture to picture.
        key_frame: needs no other.
        width: in pixels.
        height: in pixels.
        place: where it stands among the layers; None without layers. A picture of several spatial
            layers has a unit for each.
        discardable: no later frame refers to it.
        opaque: of the frame that it is made from, where the encoder may give it later than it took it.
        qp: its quantizer, where the format tells and somebody has looked.
    """

    data: bytes
    timestamp: int
    key_frame: bool
    width: int
    height: int
    place: LayerPlace | None = None
    discardable: bool = False
    opaque: object = None
    qp: int | None = None


@dataclass(frozen=True, slots=True)
class VideoSettings:
    """How to encode.

    Attributes:
        bitrate_bps: to aim at from the start.
        scale_down_by: divides width and height; 1.0 or more.
        max_frame_rate: frames that come faster are left out; None for no limit.
        content: "" or "motion" for cameras, "detail" or "text" for screens (the track's contentHint).
        parameters: the negotiated format parameters by lower-case name (``a=fmtp``).
        implementation: of the encoder, by PyAV's name ("h264_nvenc"); the software one is taken when
            it cannot be opened. None for the software one.
        threads: of the codec; None to choose by the size.
        scalability_mode: which layers to make, of those that the codec's encoder can.
    """

    bitrate_bps: int = 1_000_000
    scale_down_by: float = 1.0
    max_frame_rate: float | None = None
    content: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    implementation: str | None = None
    threads: int | None = None
    scalability_mode: str = SINGLE_LAYER

    @property
    def is_screen(self) -> bool:
        """Whether edges matter more than motion."""
        return self.content in ("detail", "text")


class VideoEncoder(Protocol):
    """One stream's encoder. Used by one thread at a time, any thread.

    Resolution and frame rate are those of the frames, whenever they change.
    """

    @property
    def implementation(self) -> str:
        """Name of what encodes, e.g. "libvpx"."""

    @property
    def key_frames(self) -> int:
        """Key frames made so far."""

    def encode(self, frame: av.VideoFrame, *, force_key_frame: bool = False) -> list[EncodedUnit]:
        """Encode one frame.

        Args:
            frame: of any size and format; not changed. Its pts should grow.
            force_key_frame: make it one that needs no other.

        Returns:
            Mostly one unit, or one for each spatial layer; none when the frame was left out, or the
            codec wants more first.

        Raises:
            OperationError: the codec refuses; the next call starts it anew.
        """

    def set_bitrate(self, bitrate_bps: int) -> None:
        """Aim at another bit rate."""

    def close(self) -> None:
        """Give the codec back."""


def threads_for(width: int, height: int, wanted: int | None, *, spins: bool = False) -> int:
    """Threads for a frame's size: one as long as one keeps up, for each costs start and hand-over.

    Args:
        width, height: in pixels.
        wanted: by the application; None to choose.
        spins: the codec's threads wait for each other without letting go of their cores. One that is
            not running then costs all others their time: with as many threads as cores, on a machine
            that is busy, a picture has taken fifty seconds. They get half of the cores.
    """
    cores = os.cpu_count() or 1
    if spins:
        cores = max(1, cores // 2)
    if wanted is not None:
        return max(1, min(wanted, cores) if spins else wanted)
    pixels = width * height
    if pixels > 1920 * 1088:
        return min(8, cores)
    if pixels > 1280 * 720:
        return min(4, cores)
    return min(2, cores) if pixels > 640 * 480 and cores > 2 else 1


class _Time(NamedTuple):
    timestamp: int
    duration: int


class FrameClock:
    """Turns the frames' times into ticks that grow, and leaves out frames that come too fast.

    Args:
        max_frame_rate: frames a second; None for no limit.
    """

    __slots__ = ("_credit_at", "_duration", "_interval", "_last", "_offset")

    def __init__(self, max_frame_rate: float | None = None) -> None:
        self._interval = CLOCK_RATE / max_frame_rate if max_frame_rate else 0.0
        self._last: int | None = None
        self._offset = 0
        self._duration = DEFAULT_DURATION
        self._credit_at = 0.0

    @property
    def frame_rate(self) -> float:
        """Frames a second, from the last two."""
        return CLOCK_RATE / self._duration

    def tick(self, frame: av.VideoFrame) -> _Time | None:
        """When a frame is to be shown, and for how long; None when it is left out."""
        last = self._last
        pts, base = frame.pts, frame.time_base
        if pts is None or not base:
            timestamp = 0 if last is None else last + self._duration
        else:
            timestamp = pts * CLOCK_RATE * base.numerator // base.denominator + self._offset
            if last is not None and not -MAX_JUMP // 10 < timestamp - last < MAX_JUMP:
                # goes on where the old timeline ended
                self._offset += last + self._duration - timestamp
                timestamp = last + self._duration
        if last is None:
            self._last = timestamp
            self._credit_at = timestamp + self._interval
            return _Time(timestamp, self._duration)
        if self._interval:
            # a tenth of jitter is forgiven: 30 frames a second through a gate of 30 stay 30
            if last < timestamp < self._credit_at - self._interval / 10:
                return None
            self._credit_at = max(self._credit_at, timestamp - self._interval) + self._interval
        if timestamp <= last:
            timestamp = last + 1  # time went backwards: encoders and receivers want it to grow
        else:
            self._duration = min(timestamp - last, _MAX_DURATION)
        self._last = timestamp
        return _Time(timestamp, self._duration)


class FrameFitter:
    """Brings frames to a codec's pixel format and to the size that is wanted.

    Keeps its scaler from frame to frame: setting one up costs as much as scaling a small frame.

    Args:
        pixel_format: FFmpeg's name.
        scale_down_by: divides width and height.
        even: width and height must be even; a line or column more is cut off.
        min_side: pixels that width and height must have at least. Smaller pictures are enlarged, and what
            is very narrow gets black borders.
    """

    __slots__ = ("_even", "_format", "_min_side", "_reformatter", "_scale", "_scratch")

    def __init__(
        self, pixel_format: str, scale_down_by: float, *, even: bool = False, min_side: int = 1
    ) -> None:
        self._even = even
        self._min_side = max(min_side, 2) if even else min_side
        self._format = pixel_format
        self._scale = max(1.0, scale_down_by)
        self._reformatter: VideoReformatter | None = None
        self._scratch: av.VideoFrame | None = None

    def fit(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame itself where it fits, else a new one.

        Raises:
            OperationError: it is of no size, or cannot be converted.
        """
        width, height = frame.width, frame.height
        if not (0 < width <= MAX_FRAME_SIDE and 0 < height <= MAX_FRAME_SIDE):
            raise OperationError(f"frame of {width}x{height} pixels cannot be encoded")
        fits = frame.format.name == self._format and all(p.line_size > 0 for p in frame.planes)
        least = self._min_side
        if min(width, height) < least * self._scale:
            size = width / self._scale, height / self._scale
            if min(size) < least:
                return self._enlarge(frame, *size)
        if self._scale != 1.0 or (self._even and not fits and (width | height) & 1):
            width = max(2, int(width / self._scale) & ~1)
            height = max(2, int(height / self._scale) & ~1)
        elif fits:
            return frame
        return self._reformat(frame, width, height)

    def _enlarge(self, frame: av.VideoFrame, wanted_width: float, wanted_height: float) -> av.VideoFrame:
        """Make a picture of a small size large enough: its shape stays, as far as that is possible."""
        least = self._min_side
        factor = least / min(wanted_width, wanted_height)
        factor = min(factor, max(1.0, MAX_ENLARGED_SIDE / max(wanted_width, wanted_height)))
        width, height = (max(2, round(side * factor / 2) * 2) for side in (wanted_width, wanted_height))
        content = self._reformat(frame, width, height)
        whole_width, whole_height = max(width, least), max(height, least)
        if (whole_width, whole_height) == (width, height):
            return content
        return _framed(content, whole_width, whole_height)

    def _reformat(self, frame: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
        if self._reformatter is None:
            self._reformatter = VideoReformatter()
        try:
            return self._reformatter.reformat(
                frame, width, height, self._format, interpolation="FAST_BILINEAR"
            )
        except (av.FFmpegError, ValueError) as exc:
            raise OperationError(f"frame of format {frame.format.name} cannot be converted: {exc}") from exc

    def own(self, frame: av.VideoFrame) -> av.VideoFrame:
        """A fitting frame that is ours to write to: frames are shared between encoders."""
        fitted = self.fit(frame)
        if fitted is not frame:
            return fitted
        width, height = frame.width, frame.height
        if self._even:
            width, height = max(2, width & ~1), max(2, height & ~1)
        scratch = self._scratch
        if scratch is None or (scratch.width, scratch.height) != (width, height):
            scratch = self._scratch = av.VideoFrame(width, height, self._format)
        for source, target in zip(frame.planes, scratch.planes, strict=True):
            if source.line_size == target.line_size and source.buffer_size == target.buffer_size:
                target.update(source)  # type: ignore[arg-type] # takes any buffer
            else:
                _copy_lines(source, target)
        return scratch


def _framed(content: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
    """A picture in the middle of a larger black one; YUV with subsampled colours, planar or NV12."""
    whole = av.VideoFrame(width, height, content.format.name)
    left, top = (width - content.width) // 4 * 2, (height - content.height) // 4 * 2
    for plane, (source, target) in enumerate(zip(content.planes, whole.planes, strict=True)):
        shift = 1 if plane else 0
        pixel = 2 if plane and len(whole.planes) == 2 else 1  # the two colours lie side by side
        size = (content.width >> shift) * pixel
        data, lines = memoryview(source), bytearray(bytes((_GREY if plane else _BLACK,)) * target.buffer_size)
        for y in range(content.height >> shift):
            begin = ((top >> shift) + y) * target.line_size + (left >> shift) * pixel
            lines[begin : begin + size] = data[y * source.line_size : y * source.line_size + size]
        target.update(bytes(lines))
    return whole


def _copy_lines(source: av.video.plane.VideoPlane, target: av.video.plane.VideoPlane) -> None:
    width = min(source.line_size, target.line_size)
    data, lines = memoryview(source), bytearray(target.buffer_size)
    for y in range(min(source.height, target.height)):
        lines[y * target.line_size : y * target.line_size + width] = data[
            y * source.line_size : y * source.line_size + width
        ]
    target.update(bytes(lines))
