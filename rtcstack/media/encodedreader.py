"""What of a player that decodes nothing is a worker's: reading packets, a bounded piece at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer

from rtcstack.errors import NotSupportedError, ParseError
from rtcstack.media.encoded import RTP_CLOCK_RATES, EncodedMedia
from rtcstack.media.filereader import MediaReader, placed
from rtcstack.media.frames import VIDEO_CLOCK_RATE
from rtcstack.media.timeline import Timeline
from rtcstack.media.unwrapping import Unwrapper

__all__ = ["EncodedFileReader"]

_COST_S = 10e-6
"""Of a packet, where time is modelled."""


class EncodedFileReader(MediaReader):
    """Reads the packets of a file, a URL or a device. One call at a time, by any thread.

    Args:
        container: the file, which is closed with the reader.
        unwrappers: of the streams that are wanted, by their index.
        loops: begin anew at the end; time goes on.
    """

    def __init__(
        self, container: InputContainer, unwrappers: Mapping[int, Unwrapper], *, loops: bool
    ) -> None:
        self._unwrappers = unwrappers
        super().__init__(container, [container.streams[index] for index in unwrappers], loops=loops)

    def cost_s(self, count: int) -> float:
        """See `MediaReader.cost_s`."""
        return count * _COST_S

    def read_once(self, offset_s: float) -> Iterator[tuple[float, str, EncodedMedia] | None]:
        """See `MediaReader.read_once`."""
        lines: dict[str, Timeline] = {}
        first: float | None = None
        newest: dict[str, float] = {}
        for packet in self._container.demux(self._streams):
            if self.is_stopping:
                return
            pts = packet.dts if packet.pts is None else packet.pts
            if pts is None or not packet.time_base or not packet.size:
                yield None
                continue
            kind, at = packet.stream.type, float(pts * packet.time_base)
            if first is None:
                first = at
            if kind == "video" and packet.dts is not None and pts > packet.dts and at < newest.get(kind, at):
                raise NotSupportedError("video with B-frames cannot be sent as it is")
            newest[kind] = at
            with contextlib.suppress(ParseError):  # a damaged packet costs itself only
                yield from self._frames(packet, kind, at - first, lines, offset_s)
            yield None

    def _frames(
        self, packet: av.Packet[Any], kind: str, at: float, lines: dict[str, Timeline], offset_s: float
    ) -> Iterator[tuple[float, str, EncodedMedia]]:
        unwrapper = self._unwrappers[packet.stream_index]
        name = unwrapper.codec.partition("/")[2].lower()
        rate = RTP_CLOCK_RATES.get(name, VIDEO_CLOCK_RATE if kind == "video" else 48_000)
        length_s = float(packet.duration * packet.time_base) if packet.duration and packet.time_base else 0.0
        for later, data in unwrapper.unwrap(packet):
            on_line = placed(lines, kind, at + later)
            if on_line is None:
                continue
            seconds = on_line + offset_s
            self.ends_at(seconds + (length_s or self._interval_s(kind)))
            frame = EncodedMedia(
                unwrapper.codec,
                data,
                round(seconds * rate),
                Fraction(1, rate),
                key_frame=packet.is_keyframe or kind == "audio",
            )
            if isinstance(packet.stream, av.VideoStream) and packet.is_keyframe:
                frame.width, frame.height = packet.stream.width or None, packet.stream.height or None
            yield seconds, kind, frame

    def _interval_s(self, kind: str) -> float:
        return 0.02 if kind == "audio" else self._frame_interval()
