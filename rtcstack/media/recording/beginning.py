"""One question: when can a file begin? Its header names all streams, so each input is waited for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from rtcstack.media.recording.inputs import Entry, Input, Skip

__all__ = ["MAX_EARLY_ENCODED", "START_WAIT_S", "Beginning"]

START_WAIT_S = 3.0
"""Inputs that give nothing for this long are left out of the file."""

MAX_EARLY_ENCODED = 3000
"""Encoded frames of one input that wait meanwhile; when there are more, the others are waited for no longer.
Of raw ones no more wait than in the queue."""


class Beginning:
    """What comes before the file begins.

    Args:
        inputs: are waited for.
        on_complete: called when no input is waited for any longer.

    Attributes:
        is_complete: no input is waited for any longer.
    """

    __slots__ = ("_counts", "_entries", "_missing", "_on_complete", "_timer", "is_complete")

    def __init__(self, inputs: Iterable[Input], on_complete: Callable[[], None]) -> None:
        self._missing = set(inputs)
        self._on_complete = on_complete
        self._entries: list[Entry] = []
        self._counts: dict[Input, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.is_complete = False

    def keep(self, entry: Input, item: Any, at: float) -> None:
        """Keep a frame until each input has given one that it can begin with, or the wait is over."""
        if entry in self._missing:
            if entry.writer is None or not entry.writer.can_begin(item):
                return
            self._missing.discard(entry)
        early = self._entries
        if not early:
            self._timer = asyncio.get_running_loop().call_later(START_WAIT_S, self._waited)
        early.append((entry, item, at))
        count = self._counts[entry] = self._counts.get(entry, 0) + 1
        has_waited = at - early[0][2] >= START_WAIT_S  # the timer may be late
        if not self._missing or has_waited or (entry.is_encoded and count >= MAX_EARLY_ENCODED):
            self._waited()
        elif not entry.is_encoded and count > entry.limit:
            entry.dropped += 1
            self._counts[entry] -= 1
            del early[
                next(
                    i for i, (other, it, _) in enumerate(early) if other is entry and not isinstance(it, Skip)
                )
            ]

    def skip(self, entry: Input, pause: Skip) -> None:
        """There was a pause: it is no part of the file for an input that had begun."""
        if entry in self._missing or not self._entries:
            return
        self._entries.append((entry, pause, self._entries[-1][2]))

    def _waited(self) -> None:
        """Whoever has given nothing yet is waited for no longer."""
        self.is_complete = True
        self._on_complete()

    def end(self) -> list[Entry]:
        """The file begins, or never will: what came before, in order."""
        if self._timer is not None:
            self._timer.cancel()
        return self._entries
