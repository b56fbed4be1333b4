"""How many bytes code copies: counted, not timed."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable
from typing import TypeVar

__all__ = ["copied_bytes"]

T = TypeVar("T")


def copied_bytes(function: Callable[[T], object], arguments: Iterable[T]) -> int:
    """What a function allocates in all, call by call: whoever copies a buffer allocates as much.

    What a call gives back before it returns counts as well.
    """
    given = list(arguments)
    total = 0
    tracemalloc.start()
    try:
        for argument in given:
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            function(argument)
            total += tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    return total
