"""Decoding video: what belongs to the decoder's thread."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import av

from rtcstack.clock import monotonic
from rtcstack.codecs.coders.limits import DecoderLimits
from rtcstack.codecs.coders.video_decoder import VideoDecoder
from rtcstack.codecs.costs import decoding_s
from rtcstack.codecs.payload.quantizers import vp8_quantizer
from rtcstack.codecs.registry import video_decoder
from rtcstack.media.pipeline.inbound import ReceivedCodec
from rtcstack.rtp.frames import EncodedFrame

__all__ = [
    "MAX_HELD",
    "MAX_SILENT",
    "Decoded",
    "DecodedPicture",
    "DecodingJob",
    "DecodingThread",
    "cost_s",
    "starts",
]

MAX_HELD = 64
"""Frames whose pictures a decoder holds back, to bring them in order; more than any codec does."""

MAX_SILENT = 60
"""Frames in a row that may give no picture: not shown, or held back. After that decoding has failed."""


class DecodingJob(NamedTuple):
    """A frame to be decoded, and of what it is."""

    frame: EncodedFrame
    codec: ReceivedCodec


def cost_s(job: DecodingJob) -> float:
    """What a job is likely to take."""
    frame = job.frame
    return decoding_s(frame.width, frame.height, len(frame.data))


class DecodedPicture(NamedTuple):
    """A picture, and the frame that it was in, without its data if it was held back."""

    picture: av.VideoFrame
    frame: EncodedFrame


class Decoded(NamedTuple):
    """What came of a frame: any number of pictures, a failure, or why no decoder was given it.

    Attributes:
        pictures, has_failed, refusal: as above.
        implementation: of the decoder.
        qp: quantizer of the frame, if it gave pictures and its format tells.
    """

    pictures: list[DecodedPicture]
    has_failed: bool
    refusal: str | None
    implementation: str = ""
    qp: int | None = None


class DecodingThread:
    """What belongs to the decoder's thread."""

    __slots__ = ("_codec", "_decoder", "_held", "_limits", "_silent", "decode_time_s", "implementation")

    def __init__(self, limits: DecoderLimits) -> None:
        self._limits = limits
        self._codec: ReceivedCodec | None = None
        self._decoder: VideoDecoder | None = None
        self._held: dict[int, EncodedFrame] = {}  # by timestamp: their pictures come later, or never
        self._silent = 0
        self.decode_time_s = 0.0
        self.implementation = ""

    def decode(self, job: DecodingJob) -> Decoded:
        """On the thread: one frame."""
        began = monotonic()
        decoder = self._decoder
        if decoder is None or job.codec != self._codec:
            if decoder is not None:
                decoder.close()
            decoder = self._decoder = video_decoder(job.codec.name, limits=self._limits)
            self._codec = job.codec
            self._held.clear()
            self.implementation = decoder.implementation
        frame = job.frame
        failures = decoder.failures
        pictures = decoder.decode(frame.data, frame.timestamp, key_frame=frame.key_frame)
        has_failed = decoder.failures != failures and decoder.refusal is None
        if pictures:
            self._silent = 0
        elif not has_failed and decoder.refusal is None:
            # not to be shown, or to be shown later; but one of these must come some time
            self._silent += 1
            if self._silent >= MAX_SILENT:
                self._silent = 0
                has_failed = True
        made = self._matched(pictures, frame)
        self.decode_time_s += monotonic() - began
        qp = vp8_quantizer(frame.data) if made and job.codec.name == "vp8" else None
        return Decoded(made, has_failed, decoder.refusal, self.implementation, qp)

    def _matched(self, pictures: list[av.VideoFrame], frame: EncodedFrame) -> list[DecodedPicture]:
        """Each picture with the frame that it was in: decoders hold some back to bring them in order."""
        held = self._held
        if not held and len(pictures) == 1 and pictures[0].pts == frame.timestamp:
            return [DecodedPicture(pictures[0], frame)]
        if len(held) >= MAX_HELD:
            del held[next(iter(held))]
        held[frame.timestamp] = replace(frame, data=b"")
        made = []
        for picture in pictures:
            its = None if picture.pts is None else held.pop(picture.pts, None)
            made.append(DecodedPicture(picture, frame if its is None else its))
        return made

    def close(self) -> None:
        """On the thread."""
        if self._decoder is not None:
            self._decoder.close()
        self._decoder = None
        self._held.clear()


def starts(job: DecodingJob) -> bool:
    """Whether decoding can begin with it."""
    return job.frame.key_frame
