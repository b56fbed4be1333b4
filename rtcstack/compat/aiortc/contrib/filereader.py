"""What of a MediaPlayer is a worker's: reading, and decoding or not."""

from __future__ import annotations

import errno
import fractions
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import av
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer
from av.frame import Frame
from av.packet import Packet

from rtcstack.compat.aiortc.mediastreams import AUDIO_PTIME

__all__ = ["FileReader", "Piece"]

logger = logging.getLogger("rtcstack.compat.aiortc.media")

MAX_PACKETS = 64
"""Packets that are read at once, where they bring nothing."""

_RATE = 48_000
_AVCC = 1
"""What H.264's configuration begins with where units have lengths (ISO 14496-15, section 5.3.3.1)."""

if TYPE_CHECKING:
    Data = Frame | Packet[Any]


class Piece(NamedTuple):
    """What was read.

    Attributes:
        data: frames or packets, each with its kind.
        is_last: there is no more.
        is_early: there is nothing at the moment.
        error: what ended it, if that is not the file's end.
    """

    data: list[tuple[str, Data]]
    is_last: bool = False
    is_early: bool = False
    error: Exception | None = None


class FileReader:
    """Reads a container. One call at a time, by any thread.

    Args:
        container: closed with the reader.
        streams: those that are wanted, by kind.
        decode: give frames; else packets.
        loop: begin anew at the end; the pictures' times go on.
    """

    def __init__(
        self, container: InputContainer, streams: dict[str, Any], *, decode: bool, loop: bool
    ) -> None:
        self._container = container
        self._streams = list(streams.values())
        self._decode = decode
        self._loop = loop
        self._iterator: Iterator[Data] | None = None
        self._first: int | None = None
        self._offset = 0
        self._end = 0
        self._samples = 0
        self._has_read = False
        self._filters = {stream: _annex_b(stream) for stream in self._streams if not decode}
        self._resampler = av.AudioResampler(
            format="s16", layout="stereo", rate=_RATE, frame_size=int(_RATE * AUDIO_PTIME)
        )

    def close(self) -> None:
        """Let go of the file or device."""
        self._iterator = None
        self._container.close()

    def read(self) -> Piece:
        """Read on: until there is something."""
        found: list[tuple[str, Data]] = []
        try:
            for _ in range(MAX_PACKETS):
                data = self._next()
                if data is None:
                    return Piece(found, is_last=True)
                found += self._prepared(data)
                if found:
                    break
        except Exception as exc:  # the file's or the device's: whoever reads is told, and it has ended
            self._iterator = None  # it has ended with that
            if isinstance(exc, av.FFmpegError) and exc.errno == errno.EAGAIN:
                return Piece(found, is_early=True)
            return Piece(found, is_last=True, error=exc)
        return Piece(found)

    def _next(self) -> Data | None:
        """The next frame or packet; None for the end."""
        for _ in range(2):
            if self._iterator is None:
                read = self._container.decode if self._decode else self._container.demux
                self._iterator = iter(read(*self._streams))
            try:
                data = next(self._iterator, None)
            except av.EOFError:
                data = None
            if data is not None and (isinstance(data, Frame) or data.size):
                self._has_read = True
                return data
            if not self._loop or not self._has_read:
                return None
            self._container.seek(0)
            self._iterator, self._has_read = None, False
            self._offset, self._first = self._end, None
        return None

    def _prepared(self, data: Data) -> Iterator[tuple[str, Data]]:
        if isinstance(data, av.AudioFrame):
            for frame in self._resampler.resample(data):
                frame.pts, frame.time_base = self._samples, fractions.Fraction(1, _RATE)
                self._samples += frame.samples
                yield "audio", frame
            return
        kind = data.stream.type if isinstance(data, Packet) else "video"
        if data.pts is None:
            logger.warning("MediaPlayer(%s) leaves out what has no time", self._container.name)
            return
        if kind == "video":
            if self._first is None:
                self._first = data.pts  # cameras do not begin with 0
            data.pts += self._offset - self._first
            self._end = max(self._end, data.pts + self._step(data))
        if isinstance(data, Packet) and (filtered := self._filters.get(data.stream)) is not None:
            pts, base = data.pts, data.time_base
            for each in filtered.filter(data):
                each.pts, each.time_base = pts, base
                yield kind, each
            return
        yield kind, data

    @staticmethod
    def _step(data: Data) -> int:
        """How long a picture lasts, in its ticks."""
        base = data.time_base
        return data.duration or (max(1, int(1 / (30 * base))) if base else 1)


def _annex_b(stream: Any) -> Any:
    """What gives packets start codes, and key frames their parameter sets; None if they have them."""
    context = stream.codec_context
    extradata = context.extradata
    if context.name != "h264" or not extradata or extradata[0] != _AVCC:
        return None
    return BitStreamFilterContext("h264_mp4toannexb", stream)
