"""Work, counted: lines of the engines' code that a call runs. It is the same on every machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["lines_run"]


def lines_run(call: Callable[[], Any], limit: int | None = None) -> int:
    """Lines of rtcstack that `call` runs; each turn of a loop counts, in comprehensions, too.

    Args:
        call: what to run.
        limit: more is an AssertionError at once, so that a failing test ends.
    """
    count = 0

    def line(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if event == "line":
            count += 1
            if limit is not None and count > limit:
                raise AssertionError(f"more than {limit} lines")
        return line

    def called(frame: FrameType, event: str, _: Any) -> Any:
        return line if "/rtcstack/" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(called)
    try:
        call()
    finally:
        sys.settrace(before)
    return count
