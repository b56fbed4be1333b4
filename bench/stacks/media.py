"""What a stack must do for the rows of audio and video, and the two that do it."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = ["EncodedRecv", "MediaPair", "MediaStack", "Packet", "Recv", "load_media"]

Recv = Callable[[], Awaitable[Any]]


class Packet(NamedTuple):
    """A frame that was encoded before."""

    data: bytes
    pts: int
    clock_rate: int
    key_frame: bool = True


EncodedRecv = Callable[[], Awaitable[Packet]]


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


class MediaStack(ABC):
    """A stack that sends and receives audio and video in Python."""

    @abstractmethod
    def track(self, kind: str, recv: Recv) -> Any:
        """A track whose frames come from `recv`."""

    @abstractmethod
    def encoded_track(self, codec: str, recv: EncodedRecv) -> Any:
        """A track of frames that were encoded before, of a MIME type."""

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
    def reader(self, pair: MediaPair, index: int, *, decoded: bool) -> Recv:
        """What brings the next frame that arrived."""

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
