"""Work away from the loop, in modelled time: every host has so many workers, and a job takes what it is
said to take. It runs in the loop's own thread, when its time is over."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context

from rtcstack.testing.agenda import Agenda
from rtcstack.testing.host import current_host

__all__ = ["DEFAULT_COST_S", "WORKERS", "VirtualJobs", "must_be_somebody"]

DEFAULT_COST_S = 0.001
"""What a job takes when nobody knows."""

WORKERS = 2
"""Workers of each host, unless one asks for others."""

_Job = tuple[Callable[[], None], float, Context]


def must_be_somebody(workers: int) -> None:
    """Look whether jobs would ever be done.

    Raises:
        ValueError: by nobody.
    """
    if workers < 1:
        raise ValueError(f"workers is {workers}: jobs are done by at least 1")


class _Pool:
    __slots__ = ("busy", "urgent", "waiting")

    def __init__(self) -> None:
        self.busy = 0
        self.urgent: deque[_Job] = deque()
        self.waiting: deque[_Job] = deque()


class VirtualJobs:
    """Workers in virtual time; see `rtcstack.platform.Jobs`.

    Args:
        loop: on which `post` calls.
        agenda: the time.
        workers: of each host.

    Attributes:
        done: jobs that have been done.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, agenda: Agenda, workers: int = WORKERS) -> None:
        self._loop = loop
        self._agenda = agenda
        must_be_somebody(workers)
        self._workers = workers
        self._pools: dict[str | None, _Pool] = {}
        self.done = 0

    def submit(self, job: Callable[[], None], *, urgent: bool = False, cost_s: float | None = None) -> None:
        """See `rtcstack.platform.Jobs`. Without a cost, a job takes `DEFAULT_COST_S`."""
        host = current_host()
        pool = self._pools.setdefault(None if host is None else host.name, _Pool())
        entry = (job, DEFAULT_COST_S if cost_s is None else cost_s, copy_context())
        (pool.urgent if urgent else pool.waiting).append(entry)
        self._begin(pool)

    def post(self, callback: Callable[[], None]) -> None:
        """See `rtcstack.platform.Jobs`."""
        self._loop.call_soon(callback)

    def work_s(self) -> float:
        """See `rtcstack.platform.Jobs`."""
        return 0.0

    def _begin(self, pool: _Pool) -> None:
        while pool.busy < self._workers and (pool.urgent or pool.waiting):
            job, cost_s, context = (pool.urgent or pool.waiting).popleft()
            pool.busy += 1
            self._agenda.at(self._agenda.now + cost_s, self._end, (pool, job, context))

    def _end(self, ended: tuple[_Pool, Callable[[], None], Context]) -> None:
        pool, job, context = ended
        pool.busy -= 1
        self._begin(pool)
        self.done += 1
        context.run(job)
