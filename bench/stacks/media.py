"""What a stack must do for the rows of audio and video, and the two that do it."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

__all__ = ["Line", "MediaPair", "MediaStack", "Pace", "Packet", "load_media"]


class Packet(NamedTuple):
    """A frame that was encoded before."""

    data: bytes
    pts: int
    clock_rate: int
    key_frame: bool = True


class Pace:
    """Comes round at a fixed rate.

    Args:
        per_s: rounds a second.
        phase: when the first round is, as a part of the time between two.
    """

    def __init__(self, per_s: float, phase: float = 0.0) -> None:
        self._interval = 1 / per_s
        self._phase = phase
        self._next = 0.0
        self._round = -1
        self._takers: list[Callable[[int], object]] = []
        self._waiting: list[asyncio.Future[int]] = []

    def each(self, taker: Callable[[int], object]) -> None:
        """Have each round's number told."""
        self._takers.append(taker)
        self._start()

    async def round(self) -> int:
        """Wait for the next round; its number."""
        self._start()
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        return await future

    def _start(self) -> None:
        if not self._next:
            loop = asyncio.get_running_loop()
            self._next = loop.time() + self._phase * self._interval
            loop.call_at(self._next, self._come)

    def _come(self) -> None:
        loop = asyncio.get_running_loop()
        self._next = max(self._next + self._interval, loop.time() - 10 * self._interval)
        loop.call_at(self._next, self._come)
        self._round += 1
        for taker in self._takers:
            taker(self._round)
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(self._round)


@dataclass(slots=True)
class MediaPair:
    """Two connections in this process; media goes from one to the other.

    Attributes:
        sender, receiver: the connections.
        tracks: what arrives, in the order of what is sent.
        connected: set when the receiver's connection is.
    """

    sender: Any
    receiver: Any
    tracks: list[Any]
    connected: asyncio.Event


class Line(Protocol):
    """A program's voice: a track that plays what is written. Attributes: track."""

    track: Any

    async def write(self, samples: Any) -> None:
        """Play these 16-bit samples, of one channel, behind those that wait."""

    def flush(self) -> object:
        """Play nothing of what waits."""


class MediaStack(ABC):
    """A stack that sends and receives audio and video in Python."""

    @abstractmethod
    def track(self, kind: str, pace: Pace, make: Callable[[int], Any]) -> Any:
        """A track that has a frame made in each round, in the quickest way the stack has."""

    @abstractmethod
    def encoded_track(self, codec: str, pace: Pace, make: Callable[[int], Packet]) -> Any:
        """The same with frames that were encoded before, of a MIME type."""

    @abstractmethod
    async def connect(self, tracks: list[Any], *, codec: str | None, bitrate_bps: int) -> MediaPair:
        """Connect, and return when descriptions have been exchanged.

        Args:
            tracks: to send.
            codec: of video, "VP8" or "H264"; None for audio.
            bitrate_bps: of each video, as nearly as the stack allows.
        """

    @abstractmethod
    def without_decoders(self) -> None:
        """From now on what arrives is put together and not decoded."""

    @abstractmethod
    def listen(self, pair: MediaPair, index: int, take: Callable[[Any], object], *, decoded: bool) -> None:
        """Have each frame that arrives on a track brought, in the quickest way the stack has."""

    @abstractmethod
    def line(self, rate: int) -> Line:
        """Something to speak with, of so many samples a second."""

    @abstractmethod
    def hear(self, pair: MediaPair, index: int, take: Callable[[Any], object], rate: int) -> None:
        """Have what arrives on a track brought as 16-bit samples of one channel, as users of the stack do."""

    @abstractmethod
    async def close(self, pair: MediaPair) -> None:
        """Close both."""

    async def packets_received(self, pair: MediaPair) -> int:
        """RTP packets that arrived."""
        return sum(await _members(pair.receiver, "inbound-rtp", "packetsReceived"))

    async def payload_bytes(self, pair: MediaPair) -> int:
        """Bytes of payload that were sent."""
        return sum(await _members(pair.sender, "outbound-rtp", "bytesSent"))


async def _members(pc: Any, kind: str, name: str) -> list[int]:
    """A member of all statistics of a kind; some stacks have dictionaries, others objects."""
    found = []
    for each in (await pc.getStats()).values():
        members = each if isinstance(each, dict) else vars(each)
        if str(members.get("type")) == kind:
            found.append(int(members.get(name) or 0))
    return found


def load_media(name: str) -> MediaStack:
    """The adapter of that name.

    Raises:
        LookupError: the stack has no rows of media.
    """
    if name == "rtcstack":
        from bench.stacks.rtcstack_media import RtcstackMedia

        return RtcstackMedia()
    if name == "aiortc":
        from bench.stacks.aiortc_media import AiortcMedia

        return AiortcMedia()
    raise LookupError(f"{name} has no rows of media here")
