"""Video decoding through PyAV, tolerant of damage, and with bounds of its own."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import cast

import av
from av.codec.context import Flags, ThreadType
from av.video.codeccontext import VideoCodecContext

from rtcstack.codecs.coders.limits import DEFAULT_MAX_PIXELS, DecoderLimits, needed_bytes
from rtcstack.codecs.coders.video import CLOCK_RATE
from rtcstack.codecs.payload.sequence import Sequence
from rtcstack.codecs.payload.sizes import stated_sequence
from rtcstack.errors import OperationError, ParseError

__all__ = ["MAX_DECODED_PIXELS", "VideoDecoder"]

_DECODERS: Mapping[str, tuple[str, ...]] = {
    "vp8": ("vp8", "libvpx"),
    "vp9": ("vp9", "libvpx-vp9"),
    "h264": ("h264",),
    "h265": ("hevc",),
    "av1": ("libdav1d", "libaom-av1"),
}

MAX_DECODED_PIXELS = DEFAULT_MAX_PIXELS
"""Of one frame, unless the settings say more: what a bitstream may make us allocate (14 MB in 4:2:0)."""

_MAX_FAILURES = 30
"""Failures in a row after which the decoder is opened anew: some states never heal."""

_TIME_BASE = Fraction(1, CLOCK_RATE)

_NO_LIMITS = DecoderLimits()


class VideoDecoder:
    """One stream's decoder. Used by one thread at a time, any thread.

    Args:
        codec: "vp8", "vp9", "h264", "h265" or "av1".
        implementation: FFmpeg's name of a decoder, to be tried before the usual ones.
        threads: of the codec. One adds no delay; each more may hold pictures of its own.
        limits: what it may use of memory.

    Attributes:
        frames_decoded: frames that came out.
        failures: frames that could not be decoded, and those that were refused.
        refused: frames that the decoder was not given, for what their pictures would take.
        refusal: why, while that is so; else None.

    Raises:
        OperationError: PyAV has no decoder for it.
    """

    def __init__(
        self,
        codec: str,
        *,
        implementation: str | None = None,
        threads: int = 1,
        limits: DecoderLimits = _NO_LIMITS,
    ) -> None:
        self._codec = codec
        self._threads = threads
        self._limits = limits
        self._names = (*(() if implementation is None else (implementation,)), *_DECODERS.get(codec, ()))
        self._context = self._open()
        self._failures_in_row = 0
        self._sequence: Sequence | None = None  # that memory is reserved for
        self._held: list[int] = []  # times of frames that may still come out
        self.frames_decoded = 0
        self.failures = 0
        self.refused = 0
        self.refusal: str | None = None

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
                context.options = {"max_pixels": str(self._limits.max_pixels)}
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
            once); and none when it is damaged, decoding must wait for a key frame, or pictures are
            refused for their size (see `refusal`): these alone count in `failures`. Each has the
            timestamp of what it was in as its pts.
        """
        if not data:
            self.failures += 1  # to FFmpeg, no bytes would be the end of the stream
            return []
        if not self._admits(data, key_frame=key_frame):
            self.refused += 1
            self.failures += 1
            return []
        frames = self._try(data, timestamp)
        if frames is None and key_frame:
            self._context.flush_buffers()
            self._held.clear()
            frames = self._try(data, timestamp)
        if frames is None:
            self.failures += 1
            self._failures_in_row += 1
            if self._failures_in_row >= _MAX_FAILURES:
                self._reopen()
            return []
        self._failures_in_row = 0
        if len(frames) > 1 and self._codec == "vp9":
            # one picture's spatial layers, each of which says that it is to be shown: the highest is
            # the picture (VP9 reorders nothing)
            frames = frames[-1:]
        if frames and not self._is_reserved(frames[-1]):
            self.refused += 1
            self.failures += 1
            return []
        self._count_held(timestamp, frames)
        for frame in frames:
            frame.time_base = _TIME_BASE
        self.frames_decoded += len(frames)
        return frames

    def close(self) -> None:
        """Give the memory back. May be used again."""
        if self._limits.budget is not None:
            self._limits.budget.release(self)
        self._sequence = None

    def __del__(self) -> None:
        if hasattr(self, "_limits"):
            self.close()

    # -- memory -----------------------------------------------------------------------------------

    def _admits(self, data: bytes, *, key_frame: bool) -> bool:
        """Whether the decoder may be given this; reserves what its pictures take."""
        try:
            stated = stated_sequence(self._codec, data)
        except ParseError as exc:
            self._refuse(str(exc))
            return False
        if stated is None:
            return self.refusal is None  # else what it refers to was never decoded
        if stated == self._sequence:
            return True
        if not self._reserve(stated):
            return False
        if self.refusal is not None:
            self.refusal = None
            return key_frame
        return True

    def _reserve(self, sequence: Sequence) -> bool:
        why = self._limits.objection(sequence)
        budget = self._limits.budget
        if why is None and budget is not None:
            needed = needed_bytes(sequence)
            if not budget.reserve(self, needed):
                why = (
                    f"pictures of {sequence.width}x{sequence.height} need {needed >> 20} MB, of which the "
                    f"connection has {max(0, budget.free_bytes) >> 20} left (max_decoder_bytes)"
                )
        if why is not None:
            self._refuse(why)
            return False
        self._sequence = sequence
        return True

    def _is_reserved(self, frame: av.VideoFrame) -> bool:
        """Whether a picture is no larger than its headers were understood to say."""
        known = self._sequence
        if known is not None and frame.width * frame.height <= known.pixels:
            return True
        width, height = frame.width, frame.height
        references = 1 if known is None else known.references
        return self._reserve(Sequence(width, height, width, height, references))

    def _count_held(self, timestamp: int, frames: list[av.VideoFrame]) -> None:
        """Bound the pictures that the decoder holds back to bring them in order."""
        held = self._held
        if frames:
            last = frames[-1].pts
            if not held and last == timestamp:
                return
            if last is not None:
                self._held = held = [at for at in held if at > last]
                if timestamp <= last:
                    return
        held.append(timestamp)
        known = self._sequence
        if known is not None and len(held) > self._limits.max_held(known.pixels):
            if self._codec in ("h264", "h265"):
                self._refuse(f"pictures of {known.width}x{known.height} are held back in too great a number")
            else:
                held.clear()  # not to be shown

    def _refuse(self, why: str) -> None:
        """Decode nothing before a key frame that may be decoded; give back what was taken."""
        self.refusal = why
        self._reopen()
        self.close()

    def _reopen(self) -> None:
        self._failures_in_row = 0
        self._held.clear()
        self._context = self._open()

    def _try(self, data: bytes, timestamp: int) -> list[av.VideoFrame] | None:
        packet = av.Packet(data)
        packet.pts = packet.dts = timestamp
        packet.time_base = _TIME_BASE
        try:
            return self._context.decode(packet)
        except (av.FFmpegError, ValueError, MemoryError):
            return None
