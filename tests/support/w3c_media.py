"""What Python stacks with the W3C's API have in common in sending media and looking at it."""

from __future__ import annotations

import asyncio
import inspect
import math
from abc import ABC, abstractmethod
from array import array
from collections.abc import AsyncIterator, Mapping
from functools import lru_cache
from typing import Any, cast

import av

from tests.support.collector import Collector
from tests.support.media import (
    LISTEN_S,
    LOOK_PICTURES,
    LOOK_S,
    THUMB_HEIGHT,
    THUMB_WIDTH,
    Card,
    Pictures,
    Sound,
    Source,
    Stats,
    Tone,
    Transceiver,
    TransceiverInfo,
    draw_i420,
)

__all__ = [
    "SAMPLES",
    "SAMPLE_RATE",
    "MediaKit",
    "W3CTransceiver",
    "Watch",
    "card_frame",
    "codec_name",
    "i420_frame",
    "sine",
    "thumbnail",
    "to_sound",
]

SAMPLE_RATE = 48_000
SAMPLES = SAMPLE_RATE // 50
"""In a frame of 20 ms."""


def card_frame(card: Card, number: int) -> av.VideoFrame:
    """A picture of a card, without a time."""
    return i420_frame(draw_i420(card, number), card.width, card.height)


def i420_frame(planes: bytes | bytearray, width: int, height: int) -> av.VideoFrame:
    """A frame of planes without padding."""
    frame = av.VideoFrame(width, height, "yuv420p")
    picture = memoryview(planes)
    for plane in frame.planes:
        size = plane.width * plane.height
        rows = picture[:size]
        if plane.line_size == plane.width:
            data = bytes(rows)
        else:
            gap = bytes(plane.line_size - plane.width)
            data = b"".join(bytes(rows[i : i + plane.width]) + gap for i in range(0, size, plane.width))
        plane.update(data.ljust(plane.buffer_size, b"\0"))
        picture = picture[size:]
    return frame


@lru_cache(maxsize=512)
def sine(tone: Tone, index: int) -> bytes:
    """SAMPLES of a tone of a whole number of hertz; they repeat after 50."""
    step = 2 * math.pi * tone.frequency_hz / SAMPLE_RATE
    first = index % 50 * SAMPLES
    peak = 32767 * tone.level
    return array("h", (round(peak * math.sin((first + i) * step)) for i in range(SAMPLES))).tobytes()


def thumbnail(frame: av.VideoFrame) -> bytes:
    """A picture as a thumbnail."""
    small = frame.reformat(width=THUMB_WIDTH, height=THUMB_HEIGHT, format="rgb24")
    plane = small.planes[0]
    row = THUMB_WIDTH * 3
    data = bytes(plane)
    return b"".join(data[i : i + row] for i in range(0, plane.line_size * THUMB_HEIGHT, plane.line_size))


def to_sound(frame: av.AudioFrame) -> tuple[int, bytes]:
    """The rate and the samples of a frame, its first channel alone."""
    samples = frame.to_ndarray()
    one = samples[0] if frame.format.is_planar else samples[0, :: frame.layout.nb_channels]
    if one.dtype.kind == "f":
        one = one * 32767
    return frame.sample_rate, cast(bytes, one.astype("int16").tobytes())


class MediaKit(ABC):
    """What is different in each stack."""

    @abstractmethod
    def make_track(self, source: Source) -> Any:
        """A track that shows, or sounds, a source."""

    @abstractmethod
    def frames(self, track: Any) -> AsyncIterator[Any]:
        """The frames that a track gives, from now on."""

    @abstractmethod
    async def picture(self, frame: Any) -> tuple[int, int, bytes]:
        """Width, height and thumbnail of a frame."""

    @abstractmethod
    def sound(self, frame: Any) -> tuple[int, bytes]:
        """Sample rate and 16-bit samples of a frame, of one channel."""

    @abstractmethod
    def capabilities(self, kind: str) -> list[Any]:
        """RTCRtpCodec of all that can be both sent and received."""

    async def reports(self, transceiver: Any) -> list[Any]:
        """What getStats gives of a transceiver's sender and receiver."""
        found: dict[str, Any] = {}
        for side in (transceiver.sender, transceiver.receiver):
            found |= dict((await side.getStats()).items())
        return list(found.values())

    @abstractmethod
    def add_transceiver(self, pc: Any, what: Any, direction: str, layers: list[dict[str, Any]]) -> Any:
        """addTransceiver of a kind or a track."""

    def release(self) -> None:  # noqa: B027 - few need it
        """The peer is being closed."""


class Watch(Collector):
    """Reads a track to its end."""

    def __init__(self, kit: MediaKit, track: Any) -> None:
        super().__init__()
        self.track = track
        self._kit = kit
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            async for frame in self._kit.frames(self.track):
                if self.wants_pictures:
                    self.put_picture(*await self._kit.picture(frame))
                if self.wants_sound:
                    self.put_sound(*self._kit.sound(frame))
        except Exception as error:
            self.fail(error)

    async def stop(self) -> None:
        """Read no more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class W3CTransceiver(Transceiver):
    """A transceiver whose names are the W3C's."""

    def __init__(self, kit: MediaKit, transceiver: Any) -> None:
        self.kit = kit
        self.transceiver = transceiver
        self._watches: list[Watch] = []

    def _kind(self) -> str:
        track = self.transceiver.receiver.track
        # aiortc makes the track when it is negotiated, and tells the kind itself
        return _text(self.transceiver.kind if track is None else track.kind)

    async def info(self) -> TransceiverInfo:
        transceiver = self.transceiver
        current = transceiver.currentDirection
        return {
            "mid": transceiver.mid,
            "kind": self._kind(),
            "direction": _text(transceiver.direction),
            "currentDirection": None if current is None else _text(current),
        }

    async def prefer(self, *codecs: str) -> None:
        wanted = {name.upper() for name in codecs}
        known = [(codec, codec_name(codec)) for codec in self.kit.capabilities(self._kind())]
        chosen = [codec for codec, name in known if name in wanted]
        retransmission = [codec for codec, name in known if name == "RTX"]
        self.transceiver.setCodecPreferences(chosen + retransmission)

    async def replace(self, source: Source | None) -> None:
        track = None if source is None else self.kit.make_track(source)
        done = self.transceiver.sender.replaceTrack(track)
        if inspect.isawaitable(done):
            await done

    async def enable(self, enabled: bool) -> None:
        self.transceiver.sender.track.enabled = enabled

    async def turn(self, direction: str) -> None:
        self.transceiver.direction = direction

    async def stats(self) -> list[Stats]:
        return [_as_stats(report) for report in await self.kit.reports(self.transceiver)]

    async def stop(self) -> None:
        stopping = self.transceiver.stop()
        if inspect.isawaitable(stopping):
            await stopping

    def watch(self, track: Any = None) -> Watch:
        """Begin to read what is received, if that is not being done yet."""
        track = self.transceiver.receiver.track if track is None else track
        for watch in self._watches:
            if watch.track is track:
                return watch
        watch = Watch(self.kit, track)
        self._watches.append(watch)
        return watch

    async def look(self, pictures: int = LOOK_PICTURES, timeout_s: float = LOOK_S) -> Pictures:
        return await self.watch().look(pictures, timeout_s)

    async def listen(self, duration_s: float = LISTEN_S, timeout_s: float = LOOK_S) -> Sound:
        return await self.watch().listen(duration_s, timeout_s)

    async def release(self) -> None:
        """Read nothing more."""
        for watch in self._watches:
            await watch.stop()


def _as_stats(report: Any) -> Stats:
    """A report, whatever it is made of, by the W3C's names and with what JSON has."""
    members = report if isinstance(report, Mapping) else vars(report)
    stats = {}
    for name, value in members.items():
        plain = getattr(value, "value", value)
        if isinstance(plain, str | int | float):
            first, *others = name.split("_")
            stats[first + "".join(other.capitalize() for other in others)] = plain
    return stats


def codec_name(codec: Any) -> str:
    """The name of an RTCRtpCodec, in upper case."""
    return str(codec.mimeType).partition("/")[2].upper()


def _text(value: Any) -> str:
    """An enumeration's value, or a string."""
    return str(getattr(value, "value", value))
