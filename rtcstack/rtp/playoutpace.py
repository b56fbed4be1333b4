"""Whether time is to be stretched: what is held against what should be.

    held for too long ----> SHORTEN           too little, some of what comes will be late ----> LENGTHEN

What is looked at is not how full the buffer is, which says as much of the last packet as of the delay,
but how long the fastest packets wait in it.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

__all__ = ["HURRY_RATE", "RATE", "PlayoutPace", "Stretch", "Stretched"]

RATE = 0.12
"""How much of the time may be taken out or put in, for as long as it takes."""

HURRY_RATE = 0.25
"""Likewise while the delay is wrong by more than `HURRY_S`."""

HURRY_S = 0.1

TOO_LONG_S = 0.02
TOO_SHORT_S = 0.005
"""What is tolerated above and below. Together they are more than the longest piece that is taken out or
put in at once: one cannot call for the other."""

LONG_FOR_S = 0.5
SHORT_FOR_S = 0.06
"""How long it must have been so, unless there is a hurry. What is late is lost, what waits only waits."""

PATIENCE_S = 0.6
"""Sound that cannot be stretched unheard (between two notes) is stretched nevertheless after so long."""


ANSWER_S = 1.0
"""After so long a request counts as lost: a decoder that does not keep up leaves frames out."""


class Stretch(Enum):
    """What is to be done to a frame."""

    NONE = 0
    SHORTEN = -1
    LENGTHEN = 1


class Stretched(NamedTuple):
    """A request.

    Attributes:
        what: to be done.
        is_urgent: also where it can be heard.
    """

    what: Stretch
    is_urgent: bool = False


AS_IT_IS = Stretched(Stretch.NONE)


class PlayoutPace:
    """Decides, frame by frame, whether it is to be played in less time than it has, or in more."""

    __slots__ = ("_asked_at", "_rate", "_refused_since", "_rests_until", "_since", "_what")

    def __init__(self) -> None:
        self._what = Stretch.NONE  # that is called for,
        self._since = 0.0  # since when,
        self._asked_at: float | None = None  # and when a frame was asked to bring it, that is on its way
        self._refused_since: float | None = None
        self._rests_until = 0.0
        self._rate = RATE

    def reset(self) -> None:
        """Another beginning."""
        self._what = Stretch.NONE
        self._asked_at = None

    def next(self, excess_s: float, now: float) -> Stretched:
        """A frame is about to be played.

        Args:
            excess_s: how much longer sound is held than it should be; negative if not long enough.
            now: monotonic seconds.
        """
        if excess_s > TOO_LONG_S:
            what = Stretch.SHORTEN
        elif excess_s < -TOO_SHORT_S:
            what = Stretch.LENGTHEN
        else:
            what = Stretch.NONE
        if what is not self._what:
            self._what, self._since = what, now
            self._refused_since = None
        if what is Stretch.NONE or now < self._rests_until:
            return AS_IT_IS
        if self._asked_at is not None and now - self._asked_at < ANSWER_S:
            return AS_IT_IS
        is_hurried = abs(excess_s) > HURRY_S
        patience_s = LONG_FOR_S if what is Stretch.SHORTEN else SHORT_FOR_S
        if now - self._since < patience_s and not is_hurried:
            return AS_IT_IS
        self._asked_at = now
        self._rate = HURRY_RATE if is_hurried else RATE
        if self._refused_since is None:
            self._refused_since = now
        return Stretched(what, is_hurried or now - self._refused_since >= PATIENCE_S)

    def done(self, by_s: float, now: float) -> None:
        """The frame that was asked for has been played.

        Args:
            by_s: seconds that were taken out or put in, 0 where it could not be done unheard.
            now: monotonic seconds.
        """
        self._asked_at = None
        if by_s:
            self._rests_until = now + abs(by_s) / self._rate
            self._refused_since = None
