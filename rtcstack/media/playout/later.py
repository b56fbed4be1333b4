"""Frames that are to be shown much later wait as they came: decoded they take a hundred times the memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from rtcstack.clock import monotonic
from rtcstack.rtp.frames import EncodedFrame

__all__ = ["AHEAD_S", "MAX_LATER_BYTES", "MAX_LATER_FRAMES", "Later"]

AHEAD_S = 0.25
"""A frame goes to its decoder so long before it is shown: what is shown sooner does not wait here."""

MAX_LATER_FRAMES = 600
"""Frames that wait: the longest delay that can be asked for, at 120 a second; the oldest goes early."""

MAX_LATER_BYTES = 32 << 20
"""What they may take together: that delay at 60 Mbit/s; likewise."""

Codec = TypeVar("Codec")


class Later(Generic[Codec]):
    """Frames in order, each until it is due.

    Args:
        submit: takes a frame that is due, and its codec.
    """

    __slots__ = ("_bytes", "_frames", "_submit", "_timer")

    def __init__(self, submit: Callable[[EncodedFrame, Codec], object]) -> None:
        self._submit = submit
        self._frames: deque[tuple[float, EncodedFrame, Codec]] = deque()
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: EncodedFrame, codec: Codec, show_at: float) -> None:
        """Keep a frame until shortly before it is to be shown, or behind those that wait."""
        frames = self._frames
        due = show_at - AHEAD_S
        if frames:
            due = max(due, frames[-1][0])
        frames.append((due, frame, codec))
        self._bytes += len(frame.data)
        while len(frames) > MAX_LATER_FRAMES or self._bytes > MAX_LATER_BYTES:
            self._submit_first()
        self._arm()

    def _submit_first(self) -> None:
        _, frame, codec = self._frames.popleft()
        self._bytes -= len(frame.data)
        self._submit(frame, codec)

    def _arm(self) -> None:
        if self._timer is None and self._frames:
            delay_s = self._frames[0][0] - monotonic()
            self._timer = asyncio.get_running_loop().call_later(max(0.0, delay_s), self._on_due)

    def _on_due(self) -> None:
        self._timer = None
        now = monotonic()
        while self._frames and self._frames[0][0] <= now + 0.001:
            self._submit_first()
        self._arm()

    def clear(self) -> None:
        """Drop all that waits."""
        self._frames.clear()
        self._bytes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
