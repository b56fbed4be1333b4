"""What a description costs grows with its sections, and no faster: in calls, which are counted."""

from __future__ import annotations

import sys
from collections.abc import Awaitable
from types import FrameType

import pytest

from tests.conformance.helpers import pair

pytestmark = pytest.mark.asyncio

STEPS = ("offer", "take it", "answer", "take that", "offer anew", "take it", "answer", "take that")


async def counted(step: Awaitable[object]) -> int:
    """Calls of Python functions until the operation has ended, of whatever runs meanwhile."""
    count = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(note)
    try:
        await step
    finally:
        sys.setprofile(None)
    return count


async def exchange(sections: int) -> list[int]:
    """Calls of each step of two exchanges, the second of which changes nothing."""
    counts = []
    async with pair() as (a, b):
        for pc in (a, b):
            pc.remove_all_listeners("icecandidate")
        for _ in range(sections):
            a.addTransceiver("video")
        for _ in range(2):
            counts.append(await counted(a.setLocalDescription()))
            assert a.localDescription is not None
            counts.append(await counted(b.setRemoteDescription(a.localDescription)))
            for transceiver in b.getTransceivers():
                transceiver.direction = "sendrecv"
            counts.append(await counted(b.setLocalDescription()))
            assert b.localDescription is not None
            counts.append(await counted(a.setRemoteDescription(b.localDescription)))
    return counts


async def test_descriptions_are_linear_in_their_sections() -> None:
    await exchange(2)  # what is found out once
    few, many = await exchange(25), await exchange(100)
    assert len(few) == len(many) == len(STEPS)
    grown = {f"{i}: {name}": many[i] / few[i] for i, name in enumerate(STEPS)}
    assert {name: factor for name, factor in grown.items() if factor > 4.3} == {}
