"""JitterBuffer: packets in order, frame by frame.

For programs that use it by themselves: connections here have their own (`rtcstack.rtp`).
"""

from __future__ import annotations

from typing import Protocol

from rtcstack.compat.aiortc.rtp import RtpPacket
from rtcstack.compat.aiortc.utils import uint16_add

__all__ = [
    "MAX_MISORDER",
    "JitterBuffer",
    "JitterFrame",
    "RtpPacket",
]

MAX_MISORDER = 100
"""A packet that is older than this by its number begins anew."""


class Packet(Protocol):
    """What is put in."""

    sequence_number: int
    timestamp: int
    _data: bytes


class JitterFrame:
    """A frame: what its packets brought, and their time."""

    def __init__(self, data: bytes, timestamp: int) -> None:
        self.data = data
        self.timestamp = timestamp


class JitterBuffer:
    """Puts packets in order and gives a frame once the next has begun.

    Args:
        capacity: packets that it holds; a power of two.
        prefetch: frames that must be there before one is given.
        is_video: whether who is told of a loss asks for a key frame.
    """

    def __init__(self, capacity: int, prefetch: int = 0, is_video: bool = False) -> None:
        assert capacity & (capacity - 1) == 0, "capacity must be a power of 2"
        self._capacity = capacity
        self._prefetch = prefetch
        self._is_video = is_video
        self._origin: int | None = None
        self._packets: list[Packet | None] = [None] * capacity

    @property
    def capacity(self) -> int:
        """Packets that it holds."""
        return self._capacity

    def add(self, packet: Packet) -> tuple[bool, JitterFrame | None]:
        """Take a packet.

        Returns:
            Whether pictures were lost, and the frame that is whole now, if there is one.
        """
        number, lost = packet.sequence_number, False
        if self._origin is None:
            self._origin = number
        ahead = uint16_add(number, -self._origin)
        behind = uint16_add(self._origin, -number)
        if behind < ahead:
            if behind < MAX_MISORDER:
                return False, None  # too late
            self._clear(number)
            ahead, lost = 0, self._is_video
        if ahead >= self._capacity:
            lost = self._is_video
            if self.smart_remove(ahead - self._capacity + 1):
                self._origin = number
        self._packets[number % self._capacity] = packet
        return lost, self._take()

    def _clear(self, origin: int) -> None:
        self._packets = [None] * self._capacity
        self._origin = origin

    def _take(self) -> JitterFrame | None:
        """The first frame, when as many as are to be there have ended."""
        assert self._origin is not None
        data: list[bytes] = []
        timestamp: int | None = None
        first: tuple[JitterFrame, int] | None = None
        frames = 0
        for place in range(self._capacity):
            packet = self._packets[(self._origin + place) % self._capacity]
            if packet is None:
                return None
            if timestamp is not None and packet.timestamp != timestamp:
                if first is None:
                    first = JitterFrame(b"".join(data), timestamp), place
                frames += 1
                if frames >= self._prefetch:
                    self.remove(first[1])
                    return first[0]
            timestamp = packet.timestamp
            data.append(packet._data)
        return None

    def remove(self, count: int) -> None:
        """Let the first packets go."""
        assert count <= self._capacity
        assert self._origin is not None or not count
        for _ in range(count):
            self._drop()

    def smart_remove(self, count: int) -> bool:
        """Let the first packets go, and with them the rest of the last one's frame.

        Returns:
            Whether none is left.
        """
        timestamp: int | None = None
        for place in range(self._capacity):
            assert self._origin is not None
            packet = self._packets[self._origin % self._capacity]
            if packet is not None:
                if place >= count and packet.timestamp != timestamp:
                    return False
                timestamp = packet.timestamp
            self._drop()
        return True

    def _drop(self) -> None:
        assert self._origin is not None
        self._packets[self._origin % self._capacity] = None
        self._origin = uint16_add(self._origin, 1)
