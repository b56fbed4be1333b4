"""How coders run: by the loop's workers, one job of a stream at a time, with queues that end somewhere.

To hand a job to a thread and its result back costs as much as coding a packet of sound. So urgent
jobs that have proved short are done at once by who submits them, as long as they take a small part
of that thread's time; then by workers, where many streams share the cost of waking one.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from rtcstack.clock import monotonic
from rtcstack.platform import Jobs

__all__ = [
    "MAX_EXTRA",
    "MAX_QUEUED_AUDIO",
    "MAX_QUEUED_DECODES",
    "MAX_QUEUED_VIDEO",
    "CoderPool",
    "CoderStream",
]

MAX_QUEUED_VIDEO = 2
"""Raw pictures that wait for an encoder. More would only add delay: each is newer than the last."""

MAX_QUEUED_AUDIO = 50
"""Audio frames that wait: a second of them."""

MAX_QUEUED_DECODES = 60
"""Encoded pictures that wait for a decoder: two seconds. After that the stream begins anew."""

MAX_EXTRA = 240
"""Items beyond a limit that may wait: of a source that took over, what came before that was known."""

SHORT_S = 0.0003
"""CPU time up to which an urgent job is short."""

SHORT_SHARE = 0.2
"""How much of the submitting thread's time short jobs may take,"""

SHORT_BURST_S = 0.005
"""and how much of that at once."""

_MEASURED_JOBS = 8
"""Jobs of a stream that workers do before it can be told whether they are short; the first ones
open the coder."""

_COST_WEIGHT = 1 / 8

Item = TypeVar("Item")
Result = TypeVar("Result")


class CoderStream(Generic[Item, Result]):
    """One coder's jobs, in order. Made by `CoderPool.stream`; used on the loop's thread.

    Attributes:
        dropped: items that were left out because the coder did not keep up.
    """

    __slots__ = (
        "__weakref__",
        "_busy",
        "_closed",
        "_cost_of",
        "_cost_s",
        "_extra",
        "_finish",
        "_limit",
        "_measured",
        "_on_dropped",
        "_on_error",
        "_on_result",
        "_pool",
        "_queue",
        "_starts",
        "_urgent",
        "_waiting",
        "_work",
        "dropped",
        "undelivered",
    )

    def __init__(
        self,
        pool: CoderPool,
        work: Callable[[Item], Result],
        on_result: Callable[[Result], object],
        on_error: Callable[[Exception], object] | None,
        on_dropped: Callable[[int], object] | None,
        finish: Callable[[], object] | None,
        limit: int,
        urgent: bool,
        starts: Callable[[Item], bool] | None,
        cost_of: Callable[[Item], float] | None,
    ) -> None:
        self._pool = pool
        self._work = work
        self._on_result = on_result
        self._on_error = on_error
        self._on_dropped = on_dropped
        self._finish = finish
        self._limit = limit
        self._urgent = urgent
        self._starts = starts
        self._cost_of = cost_of
        self._queue: deque[Item] = deque()
        self._busy = False
        self._waiting = False  # for an item that starts anew
        self._closed = False
        self._extra = 0  # items beyond the limit
        self._cost_s = 0.0  # CPU time of a job, smoothed
        self._measured = 0
        self.undelivered = 0  # outcomes on their way to the loop's thread
        self.dropped = 0

    @property
    def queued(self) -> int:
        """Items that wait."""
        return len(self._queue)

    def submit(self, item: Item, *, beyond_limit: bool = False) -> bool:
        """Have an item worked on.

        Args:
            item: the item.
            beyond_limit: it is one of many that come at once, though they were not made at once: until
                they are done up to `MAX_EXTRA` more may wait.

        Returns:
            Whether it was taken. Older ones may have been dropped for it; a short urgent job may be
            done and its result told already.
        """
        pool = self._pool
        if self._urgent and self._is_short and self._do_at_once(item):
            return True
        dropped = 0
        begins = False
        with pool.lock:
            if self._closed or pool.is_closed:
                return False
            if self._waiting:
                assert self._starts is not None
                if not self._starts(item):
                    self.dropped += 1
                    return False
                self._waiting = False
            if beyond_limit and self._extra < MAX_EXTRA:
                self._extra += 1
            if len(self._queue) >= self._limit + self._extra:
                if self._starts is None:
                    self._queue.popleft()
                    dropped = 1
                else:
                    # what follows depends on what is dropped: nothing is of use before a new start
                    dropped = len(self._queue)
                    self._queue.clear()
                    if not self._starts(item):
                        self._waiting = True
                        dropped += 1
            self.dropped += dropped
            taken = not self._waiting
            if taken:
                self._queue.append(item)
                if not self._busy:
                    self._busy = begins = True
        if begins:
            self._have_run(item)
        if dropped and self._on_dropped is not None:
            self._on_dropped(dropped)
        return taken

    @property
    def _is_short(self) -> bool:
        return self._measured >= _MEASURED_JOBS and self._cost_s < SHORT_S

    def _do_at_once(self, item: Item) -> bool:
        """Do a job here and now, if nothing of the stream is under way and there is time for it."""
        pool = self._pool
        with pool.lock:
            if self._closed or pool.is_closed or self._busy or self.undelivered:
                return False
            if not pool.has_time(self._cost_s):
                return False
            self._busy = True
        outcome = self._do(item)
        with pool.lock:
            self._busy = False
        if outcome is not None:
            outcome()
        return True

    def _do(self, item: Item) -> Callable[[], object] | None:
        """Do a job; what is to be told of it."""
        work_s = self._pool.jobs.work_s
        began = work_s()
        outcome: Callable[[], object] | None = None
        try:
            result = self._work(item)
        except Exception as exc:  # a coder's, on what a peer has sent: its owner is told
            error = exc
            if self._on_error is not None:
                report = self._on_error
                outcome = lambda: report(error)  # noqa: E731
        else:
            outcome = lambda: self._on_result(result)  # noqa: E731
        cost_s = work_s() - began
        if self._measured < _MEASURED_JOBS:
            self._measured += 1
            self._cost_s = cost_s
        else:
            self._cost_s += (cost_s - self._cost_s) * _COST_WEIGHT
        return outcome

    def close(self) -> None:
        """Drop what waits; no result is delivered any more. The coder is closed by a worker."""
        with self._pool.lock:
            if self._closed:
                return
            self._closed = True
            self._queue.clear()
            if self._busy:
                return
            self._busy = True
        self._have_run(None)

    def _have_run(self, item: Item | None) -> None:
        """Have a worker do the next job.

        Args:
            item: what it is likely to be; None for the end of the stream.
        """
        cost_s = None if item is None or self._cost_of is None else self._cost_of(item)
        try:
            self._pool.jobs.submit(self._run_next, urgent=self._urgent, cost_s=cost_s)
        except Exception as exc:  # of workers that the application has installed
            self._on_refused(exc)

    def _on_refused(self, exc: Exception) -> None:
        """Nobody takes the job: it waits for the next one to be submitted."""
        pool, report, must_post = self._pool, self._on_error, False
        with pool.lock:
            is_over = self._closed
            if not is_over:
                self._busy = False
                if report is not None and not self.undelivered:  # once is enough
                    must_post = pool.deliver(self, lambda: report(exc))
        if is_over:
            pool.forget(self)
        elif must_post:
            pool.post()

    def _run_next(self) -> None:
        """On a worker: do one job, and come back for more."""
        pool = self._pool
        following: Any = None
        with pool.lock:
            finished = self._closed
            if not finished and not self._queue:
                self._busy = False  # what it was called for has been dropped meanwhile
                return
            item: Any = None if finished else self._queue.popleft()
            if self._extra:
                self._extra -= 1
        if finished:
            try:
                if self._finish is not None:
                    self._finish()
            except Exception:  # a coder's, when it is taken down: nobody is left to be told
                pass
            pool.forget(self)
            return
        outcome = self._do(item)
        item = None
        must_post = False
        with pool.lock:
            if outcome is not None and not self._closed:
                must_post = pool.deliver(self, outcome)
            if self._queue:
                following = self._queue[0]
            elif not self._closed:
                self._busy = False
            goes_on = self._busy
        if must_post:
            pool.post()
        if goes_on:
            self._have_run(following)

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def __del__(self) -> None:
        # Nobody has closed it, and nobody can: a worker closes the coder. Not from here, where any lock
        # may be held, in any thread.
        if not self._closed and self._finish is not None:
            with contextlib.suppress(Exception):  # the loop has ended
                self._pool.jobs.post(self.close)


class CoderPool:
    """The streams of one loop.

    Args:
        jobs: the loop's workers. Results that came meanwhile are posted with one call.
        clock: monotonic seconds.
    """

    def __init__(self, jobs: Jobs, *, clock: Callable[[], float] = monotonic) -> None:
        self.jobs = jobs
        self._clock = clock
        # Weakly: a stream that nobody uses any more is not kept, nor those whom it would tell its results.
        self._streams: weakref.WeakSet[CoderStream[Any, Any]] = weakref.WeakSet()
        self._results: deque[tuple[CoderStream[Any, Any], Callable[[], object]]] = deque()
        self._is_posted = False
        self._short_debt_s = 0.0
        self._short_at = 0.0
        self.lock = threading.Lock()
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def stream(
        self,
        work: Callable[[Item], Result],
        on_result: Callable[[Result], object],
        *,
        on_error: Callable[[Exception], object] | None = None,
        on_dropped: Callable[[int], object] | None = None,
        finish: Callable[[], object] | None = None,
        limit: int = MAX_QUEUED_VIDEO,
        urgent: bool = False,
        starts: Callable[[Item], bool] | None = None,
        cost_of: Callable[[Item], float] | None = None,
    ) -> CoderStream[Item, Result]:
        """A queue of jobs that run one after the other.

        Args:
            work: on a worker; one call at a time.
            on_result: with what `work` gave, on the loop's thread, in order.
            on_error: with what it raised, likewise. Without it, errors are dropped.
            on_dropped: how many items were left out; called within `submit`.
            finish: on a worker, once, after the last job: closes the coder.
            limit: items that wait; when one more comes, the oldest is dropped.
            urgent: before all that is not, and done at once by the submitting thread when jobs have
                proved short: audio.
            starts: whether an item depends on no other. With it, an overflow drops all that
                waits, and what comes until there is such an item: for decoders.
            cost_of: seconds of work that an item stands for where time is modelled; None for none.
        """
        stream = CoderStream(
            self, work, on_result, on_error, on_dropped, finish, limit, urgent, starts, cost_of
        )
        with self.lock:
            self._streams.add(stream)
        return stream

    def close(self) -> None:
        """Close all streams; jobs that run are not waited for."""
        with self.lock:
            self._closed = True
            streams = list(self._streams)
        for stream in streams:
            stream.close()

    # -- for the streams ------------------------------------------------------------------------------

    def deliver(self, stream: CoderStream[Any, Any], outcome: Callable[[], object]) -> bool:
        """A job's outcome is to be told on the loop's thread. With the lock held.

        Returns:
            Whether `post` must be called, without the lock.
        """
        self._results.append((stream, outcome))
        stream.undelivered += 1
        if self._is_posted:
            return False
        self._is_posted = True
        return True

    def post(self) -> None:
        """Have the outcomes told."""
        try:
            self.jobs.post(self._deliver)
        except RuntimeError:  # the loop is closed
            with self.lock:
                self._results.clear()
                self._is_posted = False

    def has_time(self, cost_s: float) -> bool:
        """Whether the submitting thread has time for a short job; if so it counts as spent. With the lock
        held."""
        now = self._clock()
        debt_s = max(0.0, self._short_debt_s - (now - self._short_at) * SHORT_SHARE)
        self._short_at = now
        fits = debt_s + cost_s <= SHORT_BURST_S
        self._short_debt_s = debt_s + cost_s if fits else debt_s
        return fits

    def forget(self, stream: CoderStream[Any, Any]) -> None:
        """A stream has finished."""
        with self.lock:
            self._streams.discard(stream)

    def _deliver(self) -> None:
        with self.lock:
            results = list(self._results)
            self._results.clear()
            self._is_posted = False
            for stream, _ in results:
                stream.undelivered -= 1
        for stream, outcome in results:
            if not stream.is_closed:
                outcome()
