"""A fault in one player stops no other."""

from __future__ import annotations

import asyncio
from typing import Any

from rtcstack.media.playout.metronome import metronome
from tests.support.virtual import in_virtual_time


class Player:
    next_at = 0.0

    def __init__(self, fails_at: int | None = None) -> None:
        self.ticks = 0
        self.failed: list[Exception] = []
        self._fails_at = fails_at

    def tick(self, now: float) -> None:
        self.ticks += 1
        if self.ticks == self._fails_at:
            raise RuntimeError("in a tick")
        self.next_at += 0.02

    def tick_failed(self, exc: Exception) -> None:
        self.failed.append(exc)


@in_virtual_time
async def test_a_player_that_raises_is_told_and_called_no_more() -> None:
    players: list[Any] = [Player(), Player(fails_at=5), Player()]
    for player in players:
        metronome().add(player)
    await asyncio.sleep(1)
    assert [len(player.failed) for player in players] == [0, 1, 0]
    assert players[1].ticks == 5
    assert players[0].ticks == players[2].ticks >= 49
    for player in players:
        metronome().remove(player)
