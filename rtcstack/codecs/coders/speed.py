"""How much time an encoder takes for each picture: as little as costs no quality worth the name.

At a fixed bit rate a hastier search shows in a coarser quantizer; by how much depends on the pictures.
In a talk before a still wall it is hardly anything, in sport decibels. So now and then the next faster
speed is tried for a few pictures, and kept when the quantizer stays where it was.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["SpeedChooser"]

SETTLE_FRAMES = 30
"""Pictures before any are compared: rate control takes a second to settle, and pictures feed on better
ones before them."""

TRIAL_FRAMES = 30
"""Pictures at each speed that are compared."""

PAUSE_FRAMES = 300
"""Pictures between a trial that failed and the next, ten seconds at 30 a second; twice as many after
each failure,"""

MAX_PAUSE_FRAMES = 2400
"""and no more than this."""

MAX_LOSS = 2.5
"""How much the mean quantizer (0 to 63) may rise: less than half a decibel."""

HARDER = 6.0
"""When it has risen by so much since the speed was chosen, the pictures are others: begin anew."""

CEILING = 52.0
"""Near the end of its range the quantizer tells nothing more, and frames grow instead."""


class SpeedChooser:
    """Chooses among an encoder's speeds.

    Args:
        speeds: from the most careful to the fastest, in the encoder's own numbers.

    Attributes:
        speed: the one to use now.
    """

    __slots__ = (
        "_before",
        "_chosen_at_quantizer",
        "_count",
        "_is_trial",
        "_level",
        "_pause",
        "_speeds",
        "_sum",
        "_wait",
        "speed",
    )

    def __init__(self, speeds: Sequence[int]) -> None:
        self._speeds = tuple(speeds)
        self._pause = PAUSE_FRAMES
        self._begin(0)

    def _begin(self, level: int) -> None:
        self._set(level)
        self._is_trial = False
        self._wait = SETTLE_FRAMES
        self._before = 0.0
        self._chosen_at_quantizer = 0.0

    def _set(self, level: int) -> None:
        self._level = level
        self.speed = self._speeds[level]
        self._sum = 0
        self._count = 0

    def encoded(self, quantizer: int) -> bool:
        """A picture was encoded.

        Args:
            quantizer: its, 0 (best) to 63.

        Returns:
            Whether `speed` has changed.
        """
        if self._wait > 0:
            self._wait -= 1
            return False
        self._sum += quantizer
        self._count += 1
        if self._count < TRIAL_FRAMES:
            return False
        mean = self._sum / self._count
        self._sum = self._count = 0
        return self._judge_trial(mean) if self._is_trial else self._look(mean)

    def _judge_trial(self, mean: float) -> bool:
        self._is_trial = False
        self._wait = SETTLE_FRAMES
        if mean <= self._before + MAX_LOSS and mean < CEILING:
            self._pause = PAUSE_FRAMES
            self._chosen_at_quantizer = mean
            return self._try_faster(mean)
        self._set(self._level - 1)
        self._wait = self._pause
        self._pause = min(2 * self._pause, MAX_PAUSE_FRAMES)
        return True

    def _look(self, mean: float) -> bool:
        chosen_at = self._chosen_at_quantizer
        if self._level and (mean > chosen_at + HARDER or mean >= CEILING):
            self._begin(0)
            return True
        return self._try_faster(mean)

    def _try_faster(self, mean: float) -> bool:
        if self._level + 1 >= len(self._speeds) or mean >= CEILING - MAX_LOSS:
            return False
        self._before = mean
        self._is_trial = True
        self._set(self._level + 1)
        self._wait = SETTLE_FRAMES
        return True
