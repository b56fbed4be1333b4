"""One timer for all players of sound on a loop: what is due together is done together."""

from __future__ import annotations

import asyncio
import math
import weakref
from typing import Protocol

from rtcstack.clock import monotonic
from rtcstack.platform import one_for_loop

__all__ = ["GRID_S", "SLOT_S", "Metronome", "Player", "metronome", "slot"]

GRID_S = 0.01
"""Players begin on multiples of this, so that those of equal pace share a wake-up for good."""

SLOT_S = 0.005
"""Those that have left it, because they stretch time, keep to multiples of this: see `slot`."""

_EARLY_S = 0.001
"""Timers ring this much early at most."""


def slot(at: float) -> float:
    """The time, from this one on, at which a player that stretches time is to be called."""
    return math.ceil(at / SLOT_S - 1e-6) * SLOT_S


class Player(Protocol):
    """Wants to be called at a pace of its own.

    Attributes:
        next_at: monotonic seconds; to be set by `tick`.
    """

    next_at: float

    def tick(self, now: float) -> None:
        """It is time: play, and say when the next time is."""

    def tick_failed(self, exc: Exception) -> None:
        """`tick` has raised: it is not called any more."""


class Metronome:
    """Calls players. Made by `metronome`.

    Args:
        loop: whose timer is used.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._players: dict[Player, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due = math.inf

    def add(self, player: Player) -> None:
        """Call a player from the next point of the grid on."""
        if player in self._players:
            return
        player.next_at = math.ceil(monotonic() / GRID_S) * GRID_S
        self._players[player] = None
        self._arm()

    def remove(self, player: Player) -> None:
        """Call it no more."""
        self._players.pop(player, None)
        if not self._players and self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._due = math.inf

    def moved(self, player: Player) -> None:
        """A player has set its `next_at` outside of its `tick`."""
        if player in self._players:
            self._arm()

    def _arm(self) -> None:
        loop = self._loop()
        if loop is None or not self._players:
            return
        due = min(player.next_at for player in self._players)
        if self._timer is not None:
            if self._due <= due:
                return
            self._timer.cancel()
        self._due = due
        self._timer = loop.call_later(due - monotonic(), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._due = math.inf
        now = monotonic()
        for player in list(self._players):
            if player.next_at <= now + _EARLY_S:
                try:
                    player.tick(now)
                except Exception as exc:  # a fault of ours, which must not stop all sound of the loop
                    self._players.pop(player, None)
                    player.tick_failed(exc)
        self._arm()


def metronome() -> Metronome:
    """The running loop's."""
    return one_for_loop(Metronome)
