"""Foreign clocks: times that jump become times that go on.

A camera starts anew, a sender is replaced, a file was cut together: what comes has another origin from one
frame to the next. Whoever paces, records or plays by such times needs them on one line.
"""

from __future__ import annotations

from collections import deque

__all__ = ["MAX_BACK_S", "MAX_SHIFT_S", "MAX_STEP_S", "Distance", "PictureShift", "Timeline"]

MAX_STEP_S = 5.0
"""A step forward of more than this, that did not take so long either, begins a new timeline;"""

MAX_BACK_S = 1.0
"""one back of more than this, too: pictures in the order of decoding go back by less."""

MAX_SHIFT_S = 5.0
"""Pictures further than this from their sound are not of the same clock, whatever is said."""

_WINDOW = 15
"""Frames whose median tells a distance: frames that are read late seem to be captured late."""

_TOLERANCE_S = 0.005
"""Pictures this near to their sound are left where they are."""

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

    def skip(self, seconds: float) -> None:
        """Take a pause out of the line: what comes next stands there as if the source had rested meanwhile.

        Args:
            seconds: how long it was; ``now`` of the frames to come lacks it, too.
        """
        ticks = round(seconds * self._rate)
        if self._offset is not None:
            self._offset -= ticks
            self._last += ticks

    @property
    def end_s(self) -> float:
        """Where the next frame is expected, in seconds."""
        return (self._newest + (self._interval if self.has_begun else 0)) / self._rate

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


class Distance:
    """How far the times of one line are from the capture times of what stands there."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: deque[float] = deque(maxlen=_WINDOW)

    def note(self, position_s: float, captured: float | None) -> None:
        """A frame: where it stands, and when it was captured if it says so. Both in seconds."""
        if captured is not None:
            self._seen.append(position_s - captured)

    def move(self, seconds: float) -> None:
        """All that stands there from now on stands so much later."""
        self._seen = deque((each + seconds for each in self._seen), maxlen=_WINDOW)

    @property
    def seconds(self) -> float | None:
        """The median of the last; None before the first."""
        seen = sorted(self._seen)
        return seen[len(seen) // 2] if seen else None


class PictureShift:
    """Keeps pictures with the sound that was captured with them.

    Sound stands in a file as it was heard: it is made up for where it was late, and left out where the
    delay became shorter. Pictures have the times at which they were captured. So the distance of the two
    changes with each stall, and the pictures are moved to where their sound is.

    Args:
        rate: ticks a second of the pictures' times.
        sound: noted by whoever writes the sound of the same capture clock.
    """

    __slots__ = ("_last", "_pictures", "_rate", "_shift", "_sound")

    def __init__(self, rate: int, sound: Distance) -> None:
        self._rate = rate
        self._sound = sound
        self._pictures = Distance()
        self._shift = 0
        self._last: int | None = None

    def skip(self, seconds: float) -> None:
        """A pause was taken out of the pictures' line; see `Timeline.skip`."""
        self._pictures.move(-seconds)

    def move(self, ticks: int, captured: float | None) -> int:
        """Where a picture belongs.

        A shift forward is made at once. One back is shared among the pictures, which stay in order and
        apart.

        Args:
            ticks: its time on its own line.
            captured: seconds on the capture clock, or None.
        """
        self._pictures.note(ticks / self._rate, captured)
        sound, pictures = self._sound.seconds, self._pictures.seconds
        if sound is not None and pictures is not None and abs(sound - pictures) <= MAX_SHIFT_S:
            wanted = round((sound - pictures) * self._rate)
            if abs(wanted - self._shift) > _TOLERANCE_S * self._rate:
                step = 0 if self._last is None else max(0, ticks - self._last)
                self._shift = max(wanted, self._shift - step // 2)
        self._last = ticks if self._last is None else max(self._last, ticks)
        return max(0, ticks + self._shift)
