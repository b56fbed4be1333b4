"""Keeps of what a track gives nothing but what somebody is looking for."""

from __future__ import annotations

import asyncio
import contextlib

from tests.support.media import LISTEN_S, LOOK_PICTURES, LOOK_S, Looks, Pictures, Sound

__all__ = ["Collector"]


class Collector(Looks):
    """Pictures and samples are put in as they come; a look takes those that come after it began."""

    def __init__(self) -> None:
        self._pictures: Pictures | None = None
        self._sound: Sound | None = None
        self._came = asyncio.Event()
        self._failure: BaseException | None = None

    @property
    def wants_pictures(self) -> bool:
        """Whether somebody is looking."""
        return self._pictures is not None

    @property
    def wants_sound(self) -> bool:
        """Whether somebody is listening."""
        return self._sound is not None

    def put_picture(self, width: int, height: int, thumb: bytes) -> None:
        """A picture has come."""
        pictures = self._pictures
        if pictures is not None:
            pictures.width, pictures.height = width, height
            pictures.times_s.append(asyncio.get_running_loop().time())
            pictures.thumbs.append(thumb)
            self._came.set()

    def put_sound(self, sample_rate: int, samples: bytes) -> None:
        """Samples have come."""
        if self._sound is not None:
            self._sound.sample_rate = sample_rate
            self._sound.samples += samples
            self._came.set()

    def fail(self, error: BaseException) -> None:
        """Reading went wrong: whoever looks is to know."""
        self._failure = error
        self._came.set()

    async def look(self, pictures: int = LOOK_PICTURES, timeout_s: float = LOOK_S) -> Pictures:
        """The pictures that come next; fewer when the time is up."""
        self._pictures = taken = Pictures()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while len(taken.thumbs) < pictures:
                    await self._wait()
        self._pictures = None
        return taken

    async def listen(self, duration_s: float = LISTEN_S, timeout_s: float = LOOK_S) -> Sound:
        """What is heard next; less when the time is up."""
        self._sound = sound = Sound()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while len(sound.samples) < max(1, 2 * sound.sample_rate * duration_s):
                    await self._wait()
        self._sound = None
        return sound

    async def _wait(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._came.clear()
        await self._came.wait()
