"""Freed memory goes back to the system: seldom, and by each loop's own count and clock."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from rtcstack.clock import monotonic
from rtcstack.testing import run
from rtcstack.transport import memory


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When the heap was looked through."""
    found: list[float] = []

    def trim(_: int) -> int:
        found.append(monotonic())
        return 1

    monkeypatch.setattr(memory, "_find_trim", lambda: trim)
    return found


def test_many_that_come_to_rest_are_one_look_and_looks_are_seldom(looks: list[float]) -> None:
    async def main() -> float:
        began = monotonic()
        for _ in range(memory.MIN_RELEASES - 1):
            memory.released()
        await asyncio.sleep(100)
        assert not looks
        for _ in range(10 * memory.MIN_RELEASES):
            memory.released()
            await asyncio.sleep(1)
        await asyncio.sleep(100)
        return began

    began = run(main())
    assert looks[0] - began == pytest.approx(100 + memory.TRIM_DELAY_S)
    assert 4 <= len(looks) <= 7
    assert all(b - a >= memory.MIN_INTERVAL_S - 1e-9 for a, b in pairwise(looks))
    before = [at - began for at in looks]
    looks.clear()
    again = run(main())
    assert [at - again for at in looks] == before  # another loop begins to count anew
