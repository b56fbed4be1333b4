"""Stands for the loop of a pool, and work that waits to be let through."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from rtcstack.codecs.pool import CoderPool
from rtcstack.workers import Threads

PATIENCE_S = 10.0


class Loop:
    """Stands for the event loop: runs what is posted, when told to."""

    def __init__(self) -> None:
        self.posted: queue.Queue[Callable[[], None]] = queue.Queue()
        self.calls = 0

    def post(self, function: Callable[[], None]) -> None:
        self.posted.put(function)

    def run_until(self, done: Callable[[], bool]) -> None:
        while not done():
            self.posted.get(timeout=PATIENCE_S)()
            self.calls += 1


class Gate:
    """Work that stops until it is let through, one at a time."""

    def __init__(self) -> None:
        self.entered: queue.Queue[int] = queue.Queue()
        self.passes = threading.Semaphore(0)

    def __call__(self, item: int) -> int:
        self.entered.put(item)
        assert self.passes.acquire(timeout=PATIENCE_S)
        return item

    def wait(self) -> int:
        return self.entered.get(timeout=PATIENCE_S)

    def open(self, count: int = 1000) -> None:
        self.passes.release(count)


def threads(pool: CoderPool) -> Threads:
    assert isinstance(pool.jobs, Threads)
    return pool.jobs


def stop(pool: CoderPool) -> None:
    pool.close()
    threads(pool).close()
    assert threads(pool).join(PATIENCE_S)
    assert threads(pool).thread_count == 0
