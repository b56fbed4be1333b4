"""Video decoding through PyAV, tolerant of damage."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import cast

import av
from av.codec.context import Flags, ThreadType
from av.video.codeccontext import VideoCodecContext

from rtcstack.codecs.coders.video import CLOCK_RATE
from rtcstack.errors import OperationError

__all__ = ["MAX_DECODED_PIXELS", "VideoDecoder"]

_DECODERS: Mapping[str, tuple[str, ...]] = {
    "vp8": ("vp8", "libvpx"),
    "vp9": ("vp9", "libvpx-vp9"),
    "h264": ("h264",),
    "h265": ("hevc",),
    "av1": ("libdav1d", "libaom-av1"),
}

MAX_DECODED_PIXELS = 8192 * 4352
"""Of one frame: what a bitstream may make us allocate (54 MB in 4:2:0, a few frames of it)."""

_MAX_FAILURES = 30
"""Failures in a row after which the decoder is opened anew: some states never heal."""

_TIME_BASE = Fraction(1, CLOCK_RATE)


class VideoDecoder:
    """One stream's decoder. Used by one thread at a time, any thread.

    Args:
        codec: "vp8", "vp9", "h264", "h265" or "av1".
        implementation: FFmpeg's name of a decoder, to be tried before the usual ones.
        threads: of the codec. One adds no delay.

    Attributes:
        frames_decoded: frames that came out.
        failures: frames that could not be decoded.

    Raises:
        OperationError: PyAV has no decoder for it.
    """

    def __init__(self, codec: str, *, implementation: str | None = None, threads: int = 1) -> None:
        self._codec = codec
        self._threads = threads
        self._names = (*(() if implementation is None else (implementation,)), *_DECODERS.get(codec, ()))
        self._context = self._open()
        self._failures_in_row = 0
        self.frames_decoded = 0
        self.failures = 0

    @property
    def implementation(self) -> str:
        """FFmpeg's name of what decodes."""
        return self._context.name

    def _open(self) -> VideoCodecContext:
        reasons = []
        for name in self._names:
            try:
                context = cast(VideoCodecContext, av.CodecContext.create(name, "r"))
                context.flags |= Flags.low_delay
                context.thread_count = self._threads
                context.thread_type = ThreadType.SLICE
                context.options = {"max_pixels": str(MAX_DECODED_PIXELS)}
                context.open(strict=False)
            except (av.FFmpegError, ValueError) as exc:
                reasons.append(f"{name}: {exc}")
            else:
                return context
        why = "; ".join(reasons) or "PyAV has no decoder for it"
        raise OperationError(f"{self._codec.upper()} cannot be decoded: {why}")

    def decode(self, data: bytes, timestamp: int = 0, *, key_frame: bool = False) -> list[av.VideoFrame]:
        """Decode one frame.

        Args:
            data: as the codec's depacketizer assembles it.
            timestamp: RTP timestamp; becomes the frame's pts, in ticks of 90 kHz.
            key_frame: it needs no other: should what came before stand in its way, that is forgotten.

        Returns:
            Mostly one frame; none when it is not to be shown, or shown later (then several may come at
            once); and none when it is damaged, or decoding must wait for a key frame: this alone
            counts in `failures`. Each has the timestamp of what it was in as its pts.
        """
        if not data:
            self.failures += 1  # to FFmpeg, no bytes would be the end of the stream
            return []
        frames = self._try(data, timestamp)
        if frames is None and key_frame:
            self._context.flush_buffers()
            frames = self._try(data, timestamp)
        if frames is None:
            self.failures += 1
            self._failures_in_row += 1
            if self._failures_in_row >= _MAX_FAILURES:
                self._failures_in_row = 0
                self._context = self._open()
            return []
        self._failures_in_row = 0
        if len(frames) > 1 and self._codec == "vp9":
            # one picture's spatial layers, each of which says that it is to be shown: the highest is
            # the picture (VP9 reorders nothing)
            frames = frames[-1:]
        for frame in frames:
            frame.time_base = _TIME_BASE
        self.frames_decoded += len(frames)
        return frames

    def _try(self, data: bytes, timestamp: int) -> list[av.VideoFrame] | None:
        packet = av.Packet(data)
        packet.pts = packet.dts = timestamp
        packet.time_base = _TIME_BASE
        try:
            return self._context.decode(packet)
        except (av.FFmpegError, ValueError, MemoryError):
            return None
