"""What a target may cost: steps and bytes held, counted, so that it is the same on every machine.

A step is a call, of Python's or of C's functions. `bounded` is put around a target, `spends` around a
call into an engine within it:

    with spends(len(packet)):
        engine.receive([packet], now)
"""

from __future__ import annotations

import contextlib
import functools
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

__all__ = ["PASS", "Limit", "TooMuchError", "bounded", "spends"]

Target = Callable[[bytes], None]


class TooMuchError(AssertionError):
    """More steps, or more bytes, than the input accounts for."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What may be used: so much in any case, and so much for each byte.

    Attributes:
        fixed: also for no input: the target's own set-up.
        per_byte: for each byte that the engine is given.
    """

    fixed: int
    per_byte: int

    def of(self, size: int) -> int:
        """For so many bytes."""
        return self.fixed + self.per_byte * size


PASS = Limit(1_500, 40)
"""Steps of one pass of an engine. A pass with nothing to do takes 10 to 100 of them, a packet some 100; what
a packet sets free (a window's worth of data) takes up to 400. For a byte it is a step or two; where packets
are made of tiny units, each of a few bytes, up to 10."""

STEPS = Limit(8_000, 400)
"""Steps of a whole target: its set-up, which takes up to 2,000, and passes that are given as little as a byte
each, which take up to 110."""

HELD = Limit(1 << 20, 2_000)
"""Bytes that a target may hold at its worst moment, above what was held before it. Two engines and what they
have to say to each other take up to 170 KB. For a byte of input it is up to 480 where each is a packet, that
is kept as a refusal's sample with what belongs to it."""


class _Meter:
    """The one that counts; targets do not run at the same time."""

    def __init__(self) -> None:
        self.steps = 0
        self.limit = 0
        self.given = 0

    def profile(self, frame: FrameType, event: str, arg: Any) -> None:
        if event == "call" or (event == "c_call" and getattr(arg, "__module__", None) != "atheris.native"):
            self.steps += 1
            if self.steps > self.limit:
                raise TooMuchError(f"more steps than {self.limit}")


_meter = _Meter()


def bounded(target: Target, *, steps: Limit = STEPS, held: Limit = HELD) -> Target:
    """A target that fails where it takes more than these.

    Args:
        target: the target.
        steps: its steps, by its input or, where that is more, by what `spends` was told.
        held: its bytes, likewise.
    """

    @functools.wraps(target)
    def measured(data: bytes) -> None:
        for attempt in range(2):
            peak = _measure(target, data, steps)
            size = max(len(data), _meter.given)
            if _meter.steps > steps.of(size):
                raise TooMuchError(f"{_meter.steps} steps for {size} bytes")
            # a table of the interpreter's own that grows is not the target's, and does so once
            if peak <= held.of(size):
                return
            if attempt:
                raise TooMuchError(f"{peak} bytes held for {size} bytes")

    return measured


def _measure(target: Target, data: bytes, steps: Limit) -> int:
    """Run a target; the most bytes that it has held. The meter has its steps."""
    _meter.steps = _meter.given = 0
    # each limit of `spends` is looked at by itself; this one only ends what does not end
    _meter.limit = steps.of(len(data)) * 20
    tracemalloc.start()
    before = sys.getprofile()
    sys.setprofile(_meter.profile)
    try:
        target(data)
    finally:
        sys.setprofile(before)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


@contextlib.contextmanager
def spends(given: int, limit: Limit = PASS) -> Iterator[None]:
    """What is done within takes no more steps than so many bytes may.

    Args:
        given: bytes that the engine is given.
        limit: of steps.
    """
    meter = _meter
    before = meter.steps
    meter.given += given
    yield
    taken = meter.steps - before
    if taken > limit.of(given):
        raise TooMuchError(f"{taken} steps in one pass, that was given {given} bytes")
