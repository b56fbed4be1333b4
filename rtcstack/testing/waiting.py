"""What a loop's tasks wait for, in words."""

from __future__ import annotations

import asyncio
from types import FrameType
from typing import Any

__all__ = ["MAX_TASKS", "what_waits"]

MAX_TASKS = 50
"""Tasks that are listed."""

MAX_DEPTH = 100
"""Awaits that are followed."""


def _stack(task: asyncio.Task[Any]) -> list[FrameType]:
    """The frames of a task that waits, each awaiting the next."""
    frames: list[FrameType] = []
    waits: Any = task.get_coro()
    while len(frames) < MAX_DEPTH:
        frame = getattr(waits, "cr_frame", None) or getattr(waits, "gi_frame", None)
        if frame is None:
            break
        frames.append(frame)
        waits = getattr(waits, "cr_await", None) or getattr(waits, "gi_yieldfrom", None)
    return frames


def _place(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"


def what_waits(loop: asyncio.AbstractEventLoop) -> str:
    """Each task that is not done: its name, and where it waits, the innermost call last."""
    lines = []
    tasks = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    for task in tasks[:MAX_TASKS]:
        lines.append(f"  {task.get_name()} waits at")
        lines += [f"    {_place(frame)}" for frame in _stack(task)]
    if len(tasks) > MAX_TASKS:
        lines.append(f"  and {len(tasks) - MAX_TASKS} more")
    return "\n".join(lines) or "  no task"
