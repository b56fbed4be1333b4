"""Received sound in frames of 20 ms, as programs for aiortc know it.

Its frames here are as long as the packets, and longer or shorter where time was stretched.
"""

from __future__ import annotations

import fractions

import av

from rtcstack.codecs.coders.audio import SampleCutter, make_frame

__all__ = ["EvenSound"]

_A_SECOND = 50


class EvenSound:
    """Cuts the frames of one track."""

    __slots__ = ("_cutter", "_form")

    def __init__(self) -> None:
        self._cutter: SampleCutter | None = None
        self._form = (0, 0)

    def cut(self, frame: av.AudioFrame) -> list[av.AudioFrame]:
        """The frames that are complete with this one: itself, where it is one of them."""
        rate, channels = form = frame.sample_rate, frame.layout.nb_channels
        samples = rate // _A_SECOND
        if channels > 2 or not samples or frame.format.name != "s16":
            return [frame]
        cutter = self._cutter
        if cutter is None or form != self._form:
            cutter = self._cutter = SampleCutter(rate, channels, samples)
            self._form = form
        if frame.samples == samples and not cutter.waiting:
            cutter.cut(frame)  # so that it knows where the next one begins
            return [frame]
        return [self._make(at, data, samples) for at, data in cutter.cut(frame)]

    def _make(self, at: int, data: bytes | memoryview, samples: int) -> av.AudioFrame:
        rate, channels = self._form
        frame = make_frame(samples, rate, channels)
        plane = frame.planes[0]
        plane.update(bytes(data) + bytes(plane.buffer_size - len(data)))
        frame.pts, frame.time_base = at, fractions.Fraction(1, rate)
        return frame
