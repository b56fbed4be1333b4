"""What is to happen, and when: virtual time, and everything on the way through the internet."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

__all__ = ["START_S", "Agenda"]

START_S = 1000.0
"""Where the virtual clock starts: not at 0, which would hide confusion of "never" and "at once"."""


class Agenda:
    """The virtual clock and all that is to happen.

    A `VirtualLoop` moves it on together with its own timers. Without one it runs by itself (`run`).

    Attributes:
        now: the virtual time in seconds.
    """

    __slots__ = ("_count", "_entries", "_soon", "now")

    def __init__(self) -> None:
        self.now = START_S
        self._entries: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._count = 0
        self._soon: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return len(self._entries) + len(self._soon)

    def at(self, time: float, action: Callable[[Any], None], argument: Any) -> None:
        """Have `action(argument)` called at `time`; of two at the same time, the first asked for first."""
        self._count += 1
        heappush(self._entries, (time, self._count, action, argument))

    def soon(self, action: Callable[[], None]) -> None:
        """Have `action` called when all that happens at this instant has happened."""
        self._soon.append(action)

    @property
    def next_time(self) -> float | None:
        """When the next thing happens; None if nothing does."""
        if self._soon:
            return self.now
        return self._entries[0][0] if self._entries else None

    def run_due(self) -> None:
        """Do all that is due now, also what that adds. What raises is over; call again for the rest."""
        entries = self._entries
        while True:
            while entries and entries[0][0] <= self.now:
                _, _, action, argument = heappop(entries)
                action(argument)
            if not self._soon:
                return
            soon = self._soon
            while soon:
                soon.pop(0)()

    def run(self, *, until: float, condition: Callable[[], bool] | None = None) -> bool:
        """Run for `until` seconds of virtual time from the start, or until `condition` holds.

        Returns:
            Whether the condition was met (False without one).
        """
        end = START_S + until
        entries = self._entries
        while (self._soon or entries) and (self.next_time or 0.0) <= end:
            if condition is not None and condition():
                return True
            if self._soon and not (entries and entries[0][0] <= self.now):
                self._soon.pop(0)()
                continue
            time, _, action, argument = heappop(entries)
            assert time >= self.now
            self.now = time
            action(argument)
        if condition is not None and condition():
            return True
        self.now = max(self.now, end)
        return False
