"""Running a program in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from rtcstack.testing.internet import Internet
from rtcstack.testing.jobs import WORKERS
from rtcstack.testing.loop import LIMIT_S, VirtualLoop

__all__ = ["run"]

T = TypeVar("T")


def run(
    main: Coroutine[Any, Any, T],
    *,
    internet: Internet | None = None,
    seed: int = 0,
    limit_s: float | None = LIMIT_S,
    workers: int = WORKERS,
    debug: bool | None = None,
) -> T:
    """As `asyncio.run`, in virtual time on a virtual internet.

    Args:
        main: what to run.
        internet: where; None for a new one.
        seed: of a new internet.
        limit_s: after so much virtual time, `TimeLimitError` says what still waits; None for never.
        workers: of each host; see `VirtualJobs`.
        debug: asyncio's debug mode.

    Raises:
        RuntimeError: a loop runs already in this thread.
        NothingHappensError: what `main` waits for never comes.
        TimeLimitError: see `limit_s`.
    """

    if asyncio._get_running_loop() is not None:
        if asyncio.iscoroutine(main):
            main.close()  # or it would be said that nobody has awaited it
        raise RuntimeError("rtcstack.testing.run() cannot be called from a running event loop")

    def loop() -> VirtualLoop:
        return VirtualLoop(internet, seed=seed, limit_s=limit_s, workers=workers)

    with asyncio.Runner(debug=debug, loop_factory=loop) as runner:
        return runner.run(main)
