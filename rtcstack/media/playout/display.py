"""Pictures that are decoded, each until it is to be shown."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import av

from rtcstack.clock import monotonic
from rtcstack.codecs.coders.limits import PictureBudget
from rtcstack.media.pipeline.rate import FrameRate
from rtcstack.media.playout.smoothness import Smoothness

__all__ = ["MAX_WAITING", "Display"]

MAX_WAITING = 30
"""Decoded pictures that wait for their sound; the oldest is shown early when there are more."""


class Display:
    """Shows the pictures of one stream, in order.

    Args:
        show: gets each picture when it is to be seen.
        budget: what pictures may take of memory, or None for any.

    Attributes:
        smoothness: how evenly they were shown.
        frame_rate: how many a second.
    """

    __slots__ = (
        "_budget",
        "_picture_bytes",
        "_show_picture",
        "_timer",
        "_waiting",
        "frame_rate",
        "smoothness",
    )

    def __init__(self, show: Callable[[av.VideoFrame], None], budget: PictureBudget | None = None) -> None:
        self._show_picture = show
        self._budget = budget
        self._waiting: deque[tuple[float, av.VideoFrame]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._picture_bytes = 0  # of the newest
        self.smoothness = Smoothness()
        self.frame_rate = FrameRate()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, picture: av.VideoFrame, wait_s: float, now: float) -> None:
        """A picture was decoded.

        Args:
            picture: the picture.
            wait_s: how long it is to wait; it is shown behind those that wait already.
            now: monotonic seconds.
        """
        self._picture_bytes = picture.width * picture.height * 3 // 2
        waiting = self._waiting
        if wait_s <= 0 and not waiting:
            self._show(picture, now)
            return
        due = now + wait_s
        if waiting:
            due = max(due, waiting[-1][0])
        waiting.append((due, picture))
        while len(waiting) > MAX_WAITING or (len(waiting) > 1 and not self._reserve()):
            self._show(waiting.popleft()[1], now)
        if self._timer is None:
            self._arm()

    def clear(self) -> None:
        """Show nothing of what waits; what comes next is measured anew."""
        self._waiting.clear()
        self._reserve()
        self.smoothness.interrupt()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        delay_s = self._waiting[0][0] - monotonic()
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_due)

    def _on_due(self) -> None:
        self._timer = None
        now = monotonic()
        waiting = self._waiting
        while waiting and waiting[0][0] <= now + 0.001:
            self._show(waiting.popleft()[1], now)
        self._reserve()
        if waiting:
            self._arm()

    def _reserve(self) -> bool:
        """Whether there is memory left for the pictures that wait."""
        budget, waiting = self._budget, self._waiting
        if budget is None:
            return True
        if not waiting:
            budget.release(self)
            return True
        # one is among those that are on their way
        return budget.reserve(self, self._picture_bytes * (len(waiting) - 1))

    def _show(self, picture: av.VideoFrame, now: float) -> None:
        self.smoothness.shown(now)
        self.frame_rate.count(now)
        self._show_picture(picture)
