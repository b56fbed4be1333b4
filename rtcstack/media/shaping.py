"""Makes frames what a track's settings say: cut, scaled, thinned out, of another rate, of fewer channels.

Runs where frames are delivered, on the loop's thread: a picture of 720p takes a millisecond or two.

Spec: mediacapture-streams, section 4.3.8 (VideoResizeModeEnum): nothing is enlarged, stretched or made up.
"""

from __future__ import annotations

import logging

import av
from av.filter import Graph

from rtcstack.media.frames import VIDEO_TIME_BASE
from rtcstack.media.resampling import Resampler

__all__ = ["CropScaler", "Decimator", "SoundShaper"]

_logger = logging.getLogger("rtcstack.media")

_JITTER = 0.1
"""Part of an interval by which a picture may be early."""

LAYOUTS = ("mono", "stereo", "2.1", "quad", "5.0", "5.1", "6.1", "7.1")
"""FFmpeg's names of the layouts of so many channels, from one on."""


class CropScaler:
    """Cuts pictures to a shape, out of their middle, and scales them down.

    Args:
        width, height: of what comes out; pictures that are smaller are only cut.
    """

    def __init__(self, width: int, height: int) -> None:
        self._size = width, height
        self._graph: Graph | None = None
        self._form: tuple[object, ...] | None = None
        self._has_failed = False

    def fit(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The picture in its new size; the same where it has that already, or cannot be changed."""
        if (frame.width, frame.height) == self._size:
            return frame
        form = frame.width, frame.height, frame.format.name, int(frame.colorspace), int(frame.color_range)
        try:
            if form != self._form or self._graph is None:
                self._graph, self._form = self._make(frame), form
            self._graph.vpush(frame)
            made = self._graph.vpull()
        except (av.FFmpegError, ValueError) as exc:
            self._graph = None
            if not self._has_failed:
                self._has_failed = True
                _logger.warning("a picture of %s cannot be scaled: %s", form, exc)
            return frame
        made.pts = frame.pts
        if frame.time_base is not None:
            made.time_base = frame.time_base
        made.opaque = frame.opaque
        return made

    def _make(self, frame: av.VideoFrame) -> Graph:
        width, height = self._size
        # the largest part of the picture that has the shape
        part_w = min(frame.width, max(1, round(frame.height * width / height)))
        part_h = min(frame.height, max(1, round(frame.width * height / width)))
        base = frame.time_base or VIDEO_TIME_BASE
        graph = Graph()
        graph.threads = 1
        nodes = [
            graph.add(
                "buffer",
                f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}"
                f":time_base={base.numerator}/{base.denominator}"
                # else colours are converted to those that the filters take for granted
                f":colorspace={int(frame.colorspace)}:range={int(frame.color_range)}",
            ),
            graph.add("crop", f"{part_w}:{part_h}:exact=1"),
            graph.add("scale", f"{min(width, part_w)}:{min(height, part_h)}:flags=bilinear"),
            graph.add("format", f"pix_fmts={frame.format.name}"),
            graph.add("buffersink"),
        ]
        graph.link_nodes(*nodes).configure()
        return graph


class Decimator:
    """Leaves out pictures that come faster than wanted.

    Args:
        frame_rate: pictures a second; 0 for none.
    """

    __slots__ = ("_due", "_interval", "_last", "frame_rate")

    def __init__(self, frame_rate: float) -> None:
        self.frame_rate = frame_rate
        self._interval = 1.0 / frame_rate if frame_rate > 0 else None
        self._last: float | None = None
        self._due = 0.0

    def passes(self, frame: av.VideoFrame) -> bool:
        """Whether a picture is wanted."""
        interval, at = self._interval, frame.time
        if interval is None:
            return False
        if at is None:
            return True
        last, self._last = self._last, at
        if last is None or not -1.0 < at - last < 5.0:  # another timeline
            self._due = at + interval
            return True
        if at < self._due - _JITTER * interval:
            return False
        self._due = max(self._due, at - interval) + interval
        return True


class SoundShaper:
    """Brings sound to another rate, or to fewer channels.

    Args:
        sample_rate: Hz.
        channels: 1 to 8.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._wanted = sample_rate, channels
        self._resampler: Resampler | None = None

    def shape(self, frame: av.AudioFrame) -> list[av.AudioFrame]:
        """What is complete with this sound."""
        rate, channels = self._wanted
        if self._resampler is None:
            if (frame.sample_rate, frame.layout.nb_channels) == self._wanted:
                return [frame]
            samples = max(1, frame.samples * rate // frame.sample_rate)
            self._resampler = Resampler(LAYOUTS[channels - 1], rate, samples)
        made = self._resampler.resample(frame)
        for each in made:
            each.opaque = frame.opaque
        return made
