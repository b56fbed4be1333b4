"""Media whose contents can be checked: numbered pictures and packets of sound, encoded before."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import Any

import av
import numpy as np

from rtcstack import CallbackSink, EncodedMedia, EncodedSource, MediaStreamTrack, audio_frame
from rtcstack.media.testsources import TimedSource

__all__ = ["Film", "Followed", "Numbered", "Speech", "Taken", "Talk", "contents"]

OPUS_20_MS = 0x78
"""Configuration 15 of RFC 6716, section 3.1: one frame of 20 ms, mono."""

_VP8_START_CODE = b"\x9d\x01\x2a"


def contents(number: int, size: int) -> bytes:
    """Bytes that only this number has."""
    seed = hashlib.sha256(b"%d" % number).digest()
    return number.to_bytes(4, "big") + (seed * (size // 32 + 1))[: size - 4]


class Numbered:
    """A source of numbered frames at an even pace, while somebody reads.

    Attributes:
        source: gives them.
        sent: how many it has given.
    """

    def __init__(self, codec: str, interval_s: float, size: int) -> None:
        self.source = EncodedSource(codec)
        self.interval_s = interval_s
        self.size = size
        self.sent = 0
        self._timer: asyncio.TimerHandle | None = None
        self._began_at = 0.0
        self._ticks = 0

    def start(self) -> MediaStreamTrack:
        """Begin; the track."""
        self._began_at = asyncio.get_running_loop().time()
        track = self.source.track()
        self._tick()
        return track

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        if self.source.ended:
            return
        if self.source.is_demanded:
            self.source.push_encoded(self.make(self.sent))
            self.sent += 1
        self._ticks += 1
        due = self._began_at + self._ticks * self.interval_s
        self._timer = loop.call_later(max(0.0, due - loop.time()), self._tick)

    def make(self, number: int) -> EncodedMedia:
        """The frame of that number."""
        raise NotImplementedError

    def stop(self) -> None:
        """End the source."""
        if self._timer is not None:
            self._timer.cancel()
        self.source.end()


class Film(Numbered):
    """VP8 in form: a key frame at the beginning, and whenever one is asked for."""

    def __init__(self, frame_rate: float = 30, size: int = 2500) -> None:
        super().__init__("video/VP8", 1 / frame_rate, size)
        self.source.on_key_frame_wanted = self._on_wanted
        self.key_frames = 0
        self._wanted = True

    def _on_wanted(self) -> None:
        self._wanted = True

    def make(self, number: int) -> EncodedMedia:
        key, self._wanted = self._wanted, False
        self.key_frames += key
        # RFC 6386, section 9.1: frame tag; a key frame's start code and size
        tag = (0 if key else 1) | 1 << 4 | self.size << 5
        head = tag.to_bytes(3, "little")
        if key:
            head += _VP8_START_CODE + (320).to_bytes(2, "little") + (240).to_bytes(2, "little")
        pts = round(self._ticks * self.interval_s * 90_000)
        data = head + contents(number, self.size)
        return EncodedMedia("video/VP8", data, pts, Fraction(1, 90_000), key_frame=key, width=320, height=240)


class Followed(Film):
    """Pictures whose size follows what the encoder of a sender would aim at.

    Args:
        target_bps: asked before each picture.
        most_bps: what the pictures need at most.
    """

    def __init__(self, target_bps: Callable[[], int], *, most_bps: int, frame_rate: float = 30) -> None:
        super().__init__(frame_rate)
        self._target_bps = target_bps
        self._most_bps = most_bps

    def make(self, number: int) -> EncodedMedia:
        # no two pictures are equally hard: up to a fifth more or less
        hardness = 0.8 + 0.4 * (number * 2_654_435_761 % 4096) / 4096
        wanted = min(self._target_bps(), self._most_bps)
        self.size = max(200, int(hardness * wanted * self.interval_s / 8))
        return super().make(number)


class Speech(Numbered):
    """Opus in form, 20 ms a packet."""

    def __init__(self, size: int = 100, interval_s: float = 0.02) -> None:
        super().__init__("audio/opus", interval_s, size)

    def make(self, number: int) -> EncodedMedia:
        pts = round(self._ticks * self.interval_s * 48_000)
        data = bytes((OPUS_20_MS,)) + contents(number, self.size)
        return EncodedMedia("audio/opus", data, pts, Fraction(1, 48_000), duration=960)


class Talk(TimedSource):
    """Somebody speaks beside a tone of 440 Hz: an encoder needs its bits for one, a test finds the other."""

    SECONDS = 10

    def __init__(self) -> None:
        super().__init__("audio", "talk", Fraction(1, 50))
        at = np.arange(self.SECONDS * 48_000) / 48_000
        pitch = 130 + 25 * np.sin(2 * np.pi * 0.9 * at) + 10 * np.sin(2 * np.pi * 3.1 * at)
        phase = 2 * np.pi * np.cumsum(pitch) / 48_000
        vowels = np.sum([np.sin(k * phase) / k**0.8 for k in range(1, 28)], axis=0)
        consonants = np.random.default_rng(1).normal(0, 1, len(at))
        beat = np.sin(4 * np.pi * at)
        said = vowels / 3 * np.clip(beat + 0.5, 0, None) + 0.4 * consonants * np.clip(-beat - 0.3, 0, None)
        sound = said / np.abs(said).max() * 9_000 + 5_000 * np.sin(2 * np.pi * 440 * at)
        self._sound = sound.astype(np.int16)

    def make(self, index: int) -> av.AudioFrame:
        """The frame of that number."""
        first = index * 960 % len(self._sound)
        return audio_frame(self._sound[first : first + 960], pts=index * 960)


class Taken:
    """What a track of encoded frames brings, checked byte by byte.

    Attributes:
        numbers: of the frames, in order of arrival.
        at: when each came, in seconds.
        broken: frames whose contents are not what was sent.
    """

    def __init__(self, track: MediaStreamTrack) -> None:
        self.numbers: list[int] = []
        self.at: list[float] = []
        self.broken = 0
        self.key_frames = 0
        self._sink = CallbackSink(track, self._take)

    def _take(self, frame: Any) -> None:
        head = 1 if frame.kind == "audio" else 10 if frame.key_frame else 3
        body = frame.data[head:]
        number = int.from_bytes(body[:4], "big")
        if body != contents(number, len(body)):
            self.broken += 1
        self.key_frames += frame.key_frame
        self.numbers.append(number)
        self.at.append(asyncio.get_running_loop().time())

    def stop(self) -> None:
        """Take no more."""
        self._sink.stop()

    def forget(self) -> None:
        """Forget what came."""
        self.numbers.clear()
        self.at.clear()

    def since(self, at: float) -> list[int]:
        """The numbers that came since then."""
        return [number for number, when in zip(self.numbers, self.at, strict=True) if when >= at]

    def longest_gap_s(self, begin: float, end: float) -> float:
        """The longest time without a frame between these moments."""
        moments = [begin, *(at for at in self.at if begin <= at <= end), end]
        return max(b - a for a, b in pairwise(moments))
