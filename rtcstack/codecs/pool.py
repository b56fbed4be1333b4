"""Where coders run: a few threads, one job of a stream at a time, and queues that end somewhere.

PyAV and the native libraries let go of the interpreter lock while they work, so threads are enough.
Threads start with the first job and end with the last stream.

To hand a job to a thread and its result back costs as much as coding a packet of sound. So urgent
jobs that have proved short are done at once by who submits them, as long as they take a small part
of that thread's time; then by threads, where many streams share the cost of waking one.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from rtcstack.clock import monotonic

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

MAX_WORKERS = 32

SHORT_S = 0.0003
"""CPU time up to which an urgent job is short."""

SHORT_SHARE = 0.2
"""How much of the submitting thread's time short jobs may take,"""

SHORT_BURST_S = 0.005
"""and how much of that at once."""

_MEASURED_JOBS = 8
"""Jobs of a stream that run on threads before it can be told whether they are short; the first ones
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
        "_busy",
        "_closed",
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
                    self._busy = True
                    pool.make_ready(self, self._urgent)
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
        began = time.thread_time()
        outcome: Callable[[], object] | None = None
        try:
            result = self._work(item)
        except Exception as exc:
            error = exc
            if self._on_error is not None:
                report = self._on_error
                outcome = lambda: report(error)  # noqa: E731
        else:
            outcome = lambda: self._on_result(result)  # noqa: E731
        cost_s = time.thread_time() - began
        if self._measured < _MEASURED_JOBS:
            self._measured += 1
            self._cost_s = cost_s
        else:
            self._cost_s += (cost_s - self._cost_s) * _COST_WEIGHT
        return outcome

    def close(self) -> None:
        """Drop what waits; no result is delivered any more. The coder is closed on its thread."""
        pool = self._pool
        with pool.lock:
            if self._closed:
                return
            self._closed = True
            self._queue.clear()
            if not self._busy:
                self._busy = True
                pool.make_ready(self, self._urgent)

    # -- for the pool ---------------------------------------------------------------------------------

    def run_next(self) -> None:
        """On a worker: do one job, and come back for more."""
        pool = self._pool
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
            except Exception:
                pass  # nobody is left to be told
            pool.forget(self)
            return
        outcome = self._do(item)
        item = None
        with pool.lock:
            if outcome is not None and not self._closed:
                pool.deliver(self, outcome)
            if self._queue or self._closed:
                pool.make_ready(self, self._urgent)
            else:
                self._busy = False

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._closed


class CoderPool:
    """The threads.

    Args:
        post: runs a function on the loop's thread, soon; called from any thread
            (``loop.call_soon_threadsafe``). Results that came meanwhile go with one call.
        workers: threads at most; None for one per core.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        post: Callable[[Callable[[], None]], object],
        workers: int | None = None,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        if workers is None:
            workers = os.cpu_count() or 1
        self._post = post
        self._clock = clock
        self._limit = max(1, min(workers, MAX_WORKERS))
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._streams: set[CoderStream[Any, Any]] = set()
        self._urgent: deque[CoderStream[Any, Any]] = deque()
        self._ready: deque[CoderStream[Any, Any]] = deque()
        self._results: deque[tuple[CoderStream[Any, Any], Callable[[], object]]] = deque()
        self._is_posted = False
        self._short_debt_s = 0.0
        self._short_at = 0.0
        self.lock = threading.Lock()
        self._wake = threading.Condition(self.lock)
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    @property
    def thread_count(self) -> int:
        """Threads that live at the moment."""
        return len(self._threads)

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
    ) -> CoderStream[Item, Result]:
        """A queue of jobs that run one after the other.

        Args:
            work: on a thread of the pool; one call at a time.
            on_result: with what `work` gave, on the loop's thread, in order.
            on_error: with what it raised, likewise. Without it, errors are dropped.
            on_dropped: how many items were left out; called within `submit`.
            finish: on a thread of the pool, once, after the last job: closes the coder.
            limit: items that wait; when one more comes, the oldest is dropped.
            urgent: before all that is not, and done at once by the submitting thread when jobs have
                proved short: audio.
            starts: whether an item depends on no other. With it, an overflow drops all that
                waits, and what comes until there is such an item: for decoders.
        """
        stream = CoderStream(self, work, on_result, on_error, on_dropped, finish, limit, urgent, starts)
        with self.lock:
            self._streams.add(stream)
        return stream

    def close(self) -> None:
        """Close all streams; the threads end after the jobs that run. Does not wait; see `join`."""
        with self.lock:
            self._closed = True
            streams = list(self._streams)
        for stream in streams:
            stream.close()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until no thread is left; not on the loop's thread while it is needed.

        Returns:
            Whether that is so.
        """
        for thread in list(self._threads):
            thread.join(timeout_s)
        return not self._threads

    # -- for the streams; all with the lock held ----------------------------------------------------------

    def make_ready(self, stream: CoderStream[Any, Any], urgent: bool) -> None:
        """A stream has a job."""
        (self._urgent if urgent else self._ready).append(stream)
        if self._idle:
            self._wake.notify()
        elif len(self._threads) < self._limit:
            thread = threading.Thread(target=self._run, name="rtcstack-coder", daemon=True)
            self._threads.add(thread)
            thread.start()

    def deliver(self, stream: CoderStream[Any, Any], outcome: Callable[[], object]) -> None:
        """A job's outcome is to be told on the loop's thread."""
        self._results.append((stream, outcome))
        stream.undelivered += 1
        if not self._is_posted:
            self._is_posted = True
            try:
                self._post(self._deliver)
            except RuntimeError:  # the loop is closed
                self._results.clear()
                self._is_posted = False

    def has_time(self, cost_s: float) -> bool:
        """Whether the submitting thread has time for a short job; if so it counts as spent."""
        now = self._clock()
        debt_s = max(0.0, self._short_debt_s - (now - self._short_at) * SHORT_SHARE)
        self._short_at = now
        fits = debt_s + cost_s <= SHORT_BURST_S
        self._short_debt_s = debt_s + cost_s if fits else debt_s
        return fits

    def forget(self, stream: CoderStream[Any, Any]) -> None:
        """A stream has finished. Takes the lock itself."""
        with self.lock:
            self._streams.discard(stream)
            if not self._streams:
                self._wake.notify_all()

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

    def _run(self) -> None:
        try:
            while True:
                with self._wake:
                    while not self._urgent and not self._ready:
                        if not self._streams:
                            return
                        self._idle += 1
                        try:
                            self._wake.wait()
                        finally:
                            self._idle -= 1
                    stream = (self._urgent or self._ready).popleft()
                stream.run_next()
        finally:
            with self.lock:
                self._threads.discard(threading.current_thread())
