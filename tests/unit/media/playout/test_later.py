"""Frames that are to be shown much later wait as they came."""

from __future__ import annotations

import asyncio

import pytest

from rtcstack.clock import monotonic
from rtcstack.media.playout import later
from rtcstack.media.playout.later import AHEAD_S, Later
from rtcstack.rtp.frames import EncodedFrame
from tests.support.virtual import in_virtual_time


def frame(number: int, size: int = 10) -> EncodedFrame:
    return EncodedFrame(bytes(size), number, 96, 1, 0.0, False, None, None)


class Shown:
    """What was handed on, and when."""

    def __init__(self) -> None:
        self.began = monotonic()
        self.numbers: list[int] = []
        self.at: list[float] = []
        self.later: Later[str] = Later(self.take)

    def take(self, frame: EncodedFrame, codec: str) -> None:
        assert codec == "vp8"
        self.numbers.append(frame.timestamp)
        self.at.append(round(monotonic() - self.began, 6))


@in_virtual_time
async def test_each_goes_shortly_before_it_is_due_and_in_order() -> None:
    shown = Shown()
    now = monotonic()
    for number, due in enumerate((2.0, 2.5, 2.4, 3.0)):  # the third is not before the second
        shown.later.add(frame(number), "vp8", now + due)
    await asyncio.sleep(5)
    assert shown.numbers == [0, 1, 2, 3]
    assert shown.at == pytest.approx([due - AHEAD_S for due in (2.0, 2.5, 2.5, 3.0)], abs=0.002)
    assert len(shown.later) == 0


@in_virtual_time
async def test_what_waits_is_bounded_in_number_and_bytes() -> None:
    for size, count in ((10, later.MAX_LATER_FRAMES), (1 << 20, later.MAX_LATER_BYTES >> 20)):
        shown = Shown()
        for number in range(count + 5):
            shown.later.add(frame(number, size), "vp8", monotonic() + 4)
            assert len(shown.later) <= count
        assert shown.numbers == [0, 1, 2, 3, 4]  # the oldest go early
        shown.later.clear()


@in_virtual_time
async def test_what_is_dropped_is_never_shown() -> None:
    shown = Shown()
    shown.later.add(frame(0), "vp8", monotonic() + 1)
    shown.later.clear()
    await asyncio.sleep(3)
    assert shown.numbers == []
    shown.later.add(frame(1), "vp8", monotonic() + 1)
    await asyncio.sleep(3)
    assert shown.numbers == [1]
