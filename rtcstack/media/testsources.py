"""Pictures and tones that are made here: colour bars that move and are numbered, and sines.

The number of each picture stands in it twice: in digits for people, and as a strip of black and white
cells that survives coding and scaling, for `read_frame_number`.
"""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from array import array
from fractions import Fraction
from functools import lru_cache

import av

from rtcstack.clock import monotonic, unix_time
from rtcstack.media.form import Form
from rtcstack.media.frames import AUDIO_SAMPLE_RATE, VIDEO_CLOCK_RATE, VIDEO_TIME_BASE, set_capture_time
from rtcstack.media.source import TrackSource

__all__ = ["TestPatternSource", "TimedSource", "ToneSource", "read_frame_number", "test_picture"]

_BARS = (
    # brightness and colour difference of white, yellow, cyan, green, magenta, red, blue, black at
    # 75 % (ITU-R BT.801), as BT.601 writes them
    (180, 128, 128),
    (162, 44, 142),
    (131, 156, 44),
    (112, 72, 58),
    (84, 184, 198),
    (65, 100, 212),
    (35, 212, 114),
    (16, 128, 128),
)

_DIGITS = ("757577", "262227", "717477", "717177", "557111", "747177", "747577", "711111", "757577", "757177")
"""Six lines of three dots for each digit, as octal numbers (the second line doubled is the waist)."""

_CODE_BITS = 24
_CODE_CELLS = _CODE_BITS + 8
"""Cells of the strip: the number, and eight bits that must be its bytes' sum."""

_DARK, _LIGHT = 16, 235
_MAX_LATE_S = 0.5
"""A source that is further behind than this goes on from now instead of catching up."""


class TimedSource(TrackSource, ABC):
    """A source that makes a frame at regular times, while somebody reads.

    Args:
        kind: "audio" or "video".
        label: for people.
        interval: seconds between frames.
    """

    def __init__(self, kind: str, label: str, interval: Fraction) -> None:
        super().__init__(kind, label)
        self.capture_clock = unix_time
        self._interval = interval
        self._index = 0
        self._began_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @abstractmethod
    def make(self, index: int) -> av.VideoFrame | av.AudioFrame:
        """The frame of that number."""

    def demanded(self) -> None:
        """Start the clock; the numbers go on."""
        if self._timer is None and not self.ended:
            loop = asyncio.get_running_loop()
            self._began_at = monotonic() - float(self._index * self._interval)
            self._timer = loop.call_soon(self._tick)  # type: ignore[assignment] # both can be cancelled

    def idle(self) -> None:
        """Stop the clock."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def released(self) -> None:
        """Stop the clock."""
        self.idle()

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        frame = self.make(self._index)
        set_capture_time(frame, unix_time())
        self._index += 1
        due = self._began_at + float(self._index * self._interval)
        now = monotonic()
        if due < now - _MAX_LATE_S:
            self._began_at += now - due
            due = now
        self.push(frame)
        if self.is_demanded and self._timer is None and not self.ended:
            self._timer = loop.call_later(due - monotonic(), self._tick)


class TestPatternSource(TimedSource):
    """Colour bars with a moving line and the picture's number.

    Args:
        width, height: in pixels; even, 64 or more.
        frame_rate: pictures a second.
    """

    __test__ = False  # for pytest: the name does not make it a test

    def __init__(self, width: int = 640, height: int = 480, frame_rate: float = 30) -> None:
        if width < 64 or height < 64 or width % 2 or height % 2:
            raise ValueError(f"test pictures are even and of 64x64 pixels or more, not {width}x{height}")
        rate = Fraction(frame_rate).limit_denominator(1001)
        super().__init__("video", "test pattern", 1 / rate)
        self._width, self._height = width, height
        self.declare(Form(width, height, float(rate)))

    def make(self, index: int) -> av.VideoFrame:
        """The picture of that number, its pts by the frame rate."""
        frame = test_picture(index, self._width, self._height)
        frame.pts = int(index * self._interval * VIDEO_CLOCK_RATE)
        frame.time_base = VIDEO_TIME_BASE
        return frame


@lru_cache(maxsize=4)
def _background(width: int, height: int) -> tuple[bytes, bytes, bytes]:
    """The bars' planes, lines without padding."""
    planes = []
    for component, shift in ((0, 0), (1, 1), (2, 1)):
        columns = width >> shift
        line = bytes(_BARS[x * len(_BARS) // columns][component] for x in range(columns))
        planes.append(line * (height >> shift))
    return planes[0], planes[1], planes[2]


def test_picture(index: int, width: int, height: int) -> av.VideoFrame:
    """One picture of the test pattern, without a time."""
    luma, blue, red = _background(width, height)
    picture = bytearray(luma)
    _draw_line(picture, width, height, index)
    _draw_digits(picture, width, height, index)
    _draw_code(picture, width, height, index)
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, data in zip(frame.planes, (picture, blue, red), strict=True):
        columns, stride = plane.width, plane.line_size
        if columns == stride:
            lines = bytes(data)
        else:
            gap = bytes(stride - columns)
            lines = gap.join([bytes(data[i : i + columns]) for i in range(0, len(data), columns)]) + gap
        plane.update(lines.ljust(plane.buffer_size, b"\0"))
    return frame


test_picture.__test__ = False  # type: ignore[attr-defined] # for pytest


def _draw_line(picture: bytearray, width: int, height: int, index: int) -> None:
    """A bright bar that goes round, a few lines high."""
    thick = max(2, height // 32)
    top = height // 4
    bottom = height * 3 // 4
    y = top + index * thick % max(1, bottom - top - thick)
    picture[y * width : (y + thick) * width] = bytes((_LIGHT,)) * (thick * width)


def _draw_digits(picture: bytearray, width: int, height: int, index: int) -> None:
    text = f"{index % 1_000_000:06d}"
    dot = max(1, min(width // 32, height // 24))
    left = dot
    for digit in text:
        for row, octal in enumerate(_DIGITS[int(digit)]):
            bits = int(octal, 8)
            line = b"".join(
                bytes((_LIGHT if bits >> (2 - column) & 1 else _DARK,)) * dot for column in range(3)
            )
            for y in range(dot * (1 + row), dot * (2 + row)):
                at = y * width + left
                picture[at : at + len(line)] = line
        left += 4 * dot


def _code(index: int) -> int:
    number = index & ((1 << _CODE_BITS) - 1)
    return number << 8 | sum(number.to_bytes(3, "big")) & 0xFF ^ 0xA5


def _code_area(width: int, height: int) -> tuple[int, int, int]:
    """Cell width, and first and last line, of the strip."""
    return width // _CODE_CELLS, height - max(8, height // 12), height


def _draw_code(picture: bytearray, width: int, height: int, index: int) -> None:
    cell, top, bottom = _code_area(width, height)
    code = _code(index)
    line = b"".join(
        bytes((_LIGHT if code >> (_CODE_CELLS - 1 - i) & 1 else _DARK,)) * cell for i in range(_CODE_CELLS)
    ).ljust(width, bytes((_DARK,)))
    picture[top * width : bottom * width] = line * (bottom - top)


def read_frame_number(frame: av.VideoFrame) -> int | None:
    """The number of a test picture, as it arrived; None when it cannot be read.

    Numbers wrap at 2**24.
    """
    if frame.format.name not in ("yuv420p", "yuvj420p", "nv12", "gray"):
        frame = frame.reformat(format="yuv420p")
    width, height = frame.width, frame.height
    if width < _CODE_CELLS or height < 16:
        return None
    _, top, bottom = _code_area(width, height)
    plane = frame.planes[0]
    data = memoryview(plane)
    y = (top + bottom) // 2
    code = 0
    cell = width / _CODE_CELLS if width % _CODE_CELLS == 0 else width // _CODE_CELLS
    for i in range(_CODE_CELLS):
        at = y * plane.line_size + int((i + 0.5) * cell)
        code = code << 1 | (data[at] > (_DARK + _LIGHT) // 2)
    number = code >> 8
    return number if _code(number) == code else None


class ToneSource(TimedSource):
    """A sine, in frames of 20 ms.

    Args:
        frequency_hz: below half of the sample rate.
        channels: 1 or 2, all the same.
        sample_rate: in Hz; a multiple of 50.
        level: of the peak, 0.0 to 1.0.
    """

    def __init__(
        self,
        frequency_hz: float = 440.0,
        *,
        channels: int = 1,
        sample_rate: int = AUDIO_SAMPLE_RATE,
        level: float = 0.25,
    ) -> None:
        if channels not in (1, 2) or sample_rate % 50 or not 0 <= level <= 1:
            raise ValueError("a tone has 1 or 2 channels, a rate of a multiple of 50 Hz, a level of 0 to 1")
        super().__init__("audio", f"tone of {frequency_hz:g} Hz", Fraction(1, 50))
        self._samples_per_frame = sample_rate // 50
        self._rate = sample_rate
        self._channels = channels
        self.declare(Form(sample_rate=sample_rate, channels=channels, latency_s=1 / 50))
        self._step = 2 * math.pi * frequency_hz / sample_rate
        self._peak = int(level * 32767)
        # a second of a whole number of waves repeats itself
        self._period = 50 if frequency_hz == int(frequency_hz) else 0
        self._known: dict[int, bytes] = {}

    def make(self, index: int) -> av.AudioFrame:
        """The frame of that number, its pts in samples."""
        count = self._samples_per_frame
        data = self._known.get(index % self._period) if self._period else None
        if data is None:
            first = index * count
            wave = array("h")
            for i in range(count):
                value = int(self._peak * math.sin((first + i) * self._step))
                wave.extend((value,) * self._channels)
            data = wave.tobytes()
            if self._period:
                self._known[index % self._period] = data
        frame = av.AudioFrame("s16", "mono" if self._channels == 1 else "stereo", count)
        plane = frame.planes[0]
        plane.update(data.ljust(plane.buffer_size, b"\0"))
        frame.sample_rate = self._rate
        frame.pts = index * count
        frame.time_base = Fraction(1, self._rate)
        return frame
