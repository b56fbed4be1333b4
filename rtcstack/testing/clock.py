"""Virtual time as a clock."""

from __future__ import annotations

from rtcstack.testing.agenda import START_S, Agenda

__all__ = ["START_WALL_S", "VirtualClock"]

START_WALL_S = 1_767_225_600.0
"""The Unix time at which every run begins: the first second of 2026."""


class VirtualClock:
    """An agenda's time; see `rtcstack.platform.Clock`."""

    __slots__ = ("_agenda",)

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda

    def now(self) -> float:
        """See `rtcstack.platform.Clock`; the same as the loop's ``time()``."""
        return self._agenda.now

    def wall(self) -> float:
        """See `rtcstack.platform.Clock`."""
        return START_WALL_S + (self._agenda.now - START_S)
