"""Foreign clocks: times that jump become times that go on.

A camera starts anew, a sender is replaced, a file was cut together: what comes has another origin from one
frame to the next. Whoever paces, records or plays by such times needs them on one line.
"""

from __future__ import annotations

__all__ = ["MAX_BACK_S", "MAX_STEP_S", "Timeline"]

MAX_STEP_S = 5.0
"""A step forward of more than this, that did not take so long either, begins a new timeline;"""

MAX_BACK_S = 1.0
"""one back of more than this, too: pictures in the order of decoding go back by less."""

_MAX_PAUSE_S = 24 * 3600.0
"""A pause between two timelines is kept up to this."""


class Timeline:
    """Maps the times of one source to times that go on, joined where the source's clock was set anew.

    Small steps are kept as they are, also backwards (pictures may come in the order of decoding). A lone
    time that is far from those around it is left out.

    Args:
        rate: ticks a second, of the times that come and of those that are made.
        start: the first time that is made.
        interval: ticks between two frames, until two were seen.
    """

    __slots__ = (
        "_at",
        "_candidate",
        "_interval",
        "_last",
        "_max_back",
        "_max_step",
        "_newest",
        "_offset",
        "_rate",
        "jumps",
    )

    def __init__(self, rate: int, *, start: int = 0, interval: int | None = None) -> None:
        self._rate = rate
        self._max_step = int(MAX_STEP_S * rate)
        self._max_back = int(MAX_BACK_S * rate)
        self._interval = rate // 30 if interval is None else interval
        self._offset: int | None = None
        self._last = 0  # the time that came last, and
        self._newest = start  # the highest that was made
        self._at: float | None = None
        self._candidate: int | None = None
        self.jumps = 0
        """How often a new timeline was joined."""

    @property
    def has_begun(self) -> bool:
        """Whether there was a frame."""
        return self._offset is not None

    @property
    def interval_s(self) -> float:
        """Seconds between the last two frames."""
        return self._interval / self._rate

    def place(self, ticks: int, now: float | None = None, *, certain: bool = False) -> int | None:
        """The time of a frame on the line.

        Args:
            ticks: the frame's own time.
            now: monotonic seconds when it came, where it came as it was made; None when it was read
                from somewhere.
            certain: it begins something new (a key frame): not left out though it be alone.

        Returns:
            None for a frame that is to be left out.
        """
        offset = self._offset
        if offset is None:
            self._offset = self._newest - ticks
            self._last, self._at = ticks, now
            return self._newest
        step = ticks - self._last
        if not -self._max_back <= step <= self._max_step and not self._took(step, now):
            candidate, self._candidate = self._candidate, ticks
            alone = candidate is None or abs(ticks - candidate) > self._max_step
            if alone and not certain:
                return None
            offset = self._join(ticks, now)
        elif 0 < step <= self._max_step:
            self._interval = min(step, self._rate)
        self._candidate = None
        self._last, self._at = ticks, now
        made = ticks + offset
        if made > self._newest:
            self._newest = made
        return made

    def _took(self, step: int, now: float | None) -> bool:
        """Whether the source really paused for so long."""
        if now is None or self._at is None or step < 0:
            return False
        return abs(step - (now - self._at) * self._rate) <= self._max_step

    def _join(self, ticks: int, now: float | None) -> int:
        passed = self._interval
        if now is not None and self._at is not None:
            passed = max(passed, int(min(now - self._at, _MAX_PAUSE_S) * self._rate))
        self._offset = offset = self._newest + passed - ticks
        self.jumps += 1
        return offset
