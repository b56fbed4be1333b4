"""Ranges of TSNs: what gap blocks have acknowledged."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

__all__ = ["Ranges"]


class Ranges:
    """A set of integers as sorted, disjoint ranges that never touch.

    Adding a range costs a search, and a step for each older one that it takes in, which is gone
    then: however a peer repeats and overlaps its gap blocks, no number is looked at twice.
    """

    __slots__ = ("_ends", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, start: int, end: int) -> list[range]:
        """Add `start` to `end`, both included. Returns what was not in the set before, in order."""
        starts, ends = self._starts, self._ends
        first = bisect_left(ends, start - 1)
        if first == len(ends):
            starts.append(start)
            ends.append(end)
            return [range(start, end + 1)]
        if starts[first] <= start and end <= ends[first]:
            return []
        new = []
        after = first
        at = start
        while after < len(starts) and starts[after] <= end + 1:
            if at < starts[after]:
                new.append(range(at, starts[after]))
            at = ends[after] + 1
            after += 1
        if at <= end:
            new.append(range(at, end + 1))
        if after > first:
            start = min(start, starts[first])
            end = max(end, ends[after - 1])
        starts[first:after] = [start]
        ends[first:after] = [end]
        return new

    def drop_through(self, last: int) -> None:
        """Take out all numbers up to `last`."""
        starts, ends = self._starts, self._ends
        passed = bisect_right(ends, last)
        if passed:
            del starts[:passed], ends[:passed]
        if starts and starts[0] <= last:
            starts[0] = last + 1

    def clear(self) -> None:
        """Take out all."""
        self._starts.clear()
        self._ends.clear()

    def __len__(self) -> int:
        """How many ranges."""
        return len(self._starts)
