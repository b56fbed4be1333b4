"""This machine's threads as workers: urgency, order, bounds, and none left when there is nothing to do."""

from __future__ import annotations

import asyncio
import gc
import queue
import threading
import weakref
from collections.abc import Callable

import pytest

from rtcstack import testing as virtual
from rtcstack.media.pipeline.coders import coder_pool
from rtcstack.media.playout.metronome import metronome
from rtcstack.platform import Jobs, Platform, install, one_for_loop, uninstall
from rtcstack.testing import Internet
from rtcstack.workers import MAX_WORKERS, Threads, dedicated, jobs, run

PATIENCE_S = 10.0


def nowhere(_: Callable[[], None]) -> None:
    raise AssertionError("nothing is posted")


def end(threads: Threads) -> None:
    threads.close()
    assert threads.join(PATIENCE_S)


def hold(threads: Threads, count: int = 1) -> threading.Event:
    """Keep so many threads busy until the event is set."""
    gate, entered = threading.Event(), threading.Semaphore(0)

    def wait() -> None:
        entered.release()
        assert gate.wait(PATIENCE_S)

    for _ in range(count):
        threads.submit(wait)
    for _ in range(count):
        assert entered.acquire(timeout=PATIENCE_S)
    return gate


def test_urgent_jobs_go_first_and_equals_in_order() -> None:
    threads = Threads(nowhere, 1)
    gate = hold(threads)
    order: list[int] = []
    done = threading.Event()
    for i in range(50):
        threads.submit(lambda i=i: order.append(i))  # type: ignore[misc]
        threads.submit(lambda i=i: order.append(100 + i), urgent=True, cost_s=1.0)  # type: ignore[misc]
    threads.submit(done.set)
    gate.set()
    assert done.wait(PATIENCE_S)
    assert order == [*range(100, 150), *range(50)]
    end(threads)


def test_there_are_never_more_threads_than_were_asked_for() -> None:
    threads = Threads(nowhere, 3)
    assert threads.thread_count == 0
    gate = hold(threads, 3)
    for _ in range(50):
        threads.submit(lambda: None)
    assert threads.thread_count == 3
    gate.set()
    end(threads)
    many = Threads(nowhere, 10 * MAX_WORKERS)
    gate = hold(many, MAX_WORKERS)
    for _ in range(50):
        many.submit(lambda: None)
    assert many.thread_count == MAX_WORKERS
    gate.set()
    end(many)


def test_a_thread_that_waits_is_used_before_another_is_made() -> None:
    threads = Threads(nowhere, 8, idle_s=PATIENCE_S)
    done: queue.Queue[int] = queue.Queue()
    for _ in range(20):
        threads.submit(lambda: done.put(threading.get_ident()))
        done.get(timeout=PATIENCE_S)
        while threads._idle != threads.thread_count:
            pass  # it has told us, and is on its way back
    assert threads.thread_count == 1
    gate = hold(threads, 2)  # two jobs at once: one thread is not enough
    assert threads.thread_count == 2
    gate.set()
    end(threads)


def test_threads_end_when_there_is_nothing_to_do_and_begin_anew() -> None:
    threads = Threads(nowhere, 2, idle_s=0.001)
    for _ in range(50):
        done = threading.Event()
        threads.submit(done.set)
        assert done.wait(PATIENCE_S)
    assert threads.join(PATIENCE_S)
    assert threads.thread_count == 0


def test_a_job_that_comes_while_a_thread_ends_is_done() -> None:
    threads = Threads(nowhere, 1, idle_s=0.0)
    done: queue.Queue[int] = queue.Queue()
    for i in range(500):
        threads.submit(lambda i=i: done.put(i))  # type: ignore[misc]
        if i % 3:
            assert done.get(timeout=PATIENCE_S) <= i
    end(threads)
    assert threads.thread_count == 0


def test_a_job_that_comes_when_a_thread_has_decided_to_end_is_done() -> None:
    done = threading.Event()

    class Late(Threads):
        def _next(self) -> Callable[[], None] | None:
            job = super()._next()
            if job is None and not done.is_set():
                self.submit(done.set)
            return job

    threads = Late(nowhere, 1, idle_s=0.0)
    threads.submit(lambda: None)
    assert done.wait(PATIENCE_S)
    end(threads)


def test_what_is_submitted_after_closing_is_done_all_the_same() -> None:
    threads = Threads(nowhere, 2)
    threads.close()
    done = threading.Event()
    threads.submit(done.set)
    assert done.wait(PATIENCE_S)
    assert threads.join(PATIENCE_S)


def test_work_is_what_the_thread_has_done() -> None:
    threads = Threads(nowhere, 1)
    costs: queue.Queue[float] = queue.Queue()

    def work() -> None:
        began = threads.work_s()
        sum(range(200_000))
        costs.put(threads.work_s() - began)

    threads.submit(work)
    assert costs.get(timeout=PATIENCE_S) > 0
    end(threads)


def test_a_job_waits_while_there_is_no_thread_to_be_had(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    threads = Threads(nowhere, 2)
    done: queue.Queue[int] = queue.Queue()
    with monkeypatch.context() as patched, caplog.at_level("WARNING", "rtcstack"):
        patched.setattr(threading.Thread, "start", refuse)
        threads.submit(lambda: done.put(1))
    assert threads.thread_count == 0
    assert "can't start new thread" in caplog.text
    threads.submit(lambda: done.put(2))
    assert [done.get(timeout=PATIENCE_S) for _ in range(2)] == [1, 2]
    end(threads)


async def test_a_loop_has_its_own_workers_and_what_they_post_runs_in_it() -> None:
    mine = jobs()
    assert mine is jobs()
    loop, here = asyncio.get_running_loop(), threading.get_ident()
    told: asyncio.Future[tuple[int, int]] = loop.create_future()

    def work() -> None:
        there = threading.get_ident()
        mine.post(lambda: told.set_result((there, threading.get_ident())))

    mine.submit(work)
    there, back = await told
    assert there != here
    assert back == here


def test_a_loop_is_not_kept_by_its_workers_and_posting_to_what_is_gone_is_said_or_nothing() -> None:
    async def find() -> Jobs:
        await run(lambda: None, jobs())
        return jobs()

    loop = asyncio.new_event_loop()
    found = loop.run_until_complete(find())
    assert isinstance(found, Threads)
    end(found)  # the thread holds its last job for a moment longer
    loop.close()
    with pytest.raises(RuntimeError):
        found.post(lambda: None)
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None
    found.post(lambda: None)


async def test_a_loop_that_has_workers_of_its_own_uses_them() -> None:
    class Inline:
        def submit(
            self, job: Callable[[], None], *, urgent: bool = False, cost_s: float | None = None
        ) -> None:
            job()

        def post(self, callback: Callable[[], None]) -> None:
            callback()

        def work_s(self) -> float:
            return 0.0

    loop, inline = asyncio.get_running_loop(), Inline()
    install(loop, Platform(jobs=inline))
    try:
        assert jobs() is inline
        assert await run(threading.get_ident, jobs()) == threading.get_ident()
    finally:
        uninstall(loop)
    assert jobs() is not inline


async def test_what_a_loop_has_one_of_goes_when_its_platform_goes() -> None:
    loop = asyncio.get_running_loop()

    def make(loop: asyncio.AbstractEventLoop) -> list[asyncio.AbstractEventLoop]:
        return [loop]  # it would keep the loop alive

    install(loop, Platform())
    try:
        first = one_for_loop(make)
        assert first == [loop]
        assert one_for_loop(make) is first
    finally:
        uninstall(loop)
    assert one_for_loop(make) is not first
    uninstall(loop)


async def test_results_errors_and_whoever_waits_no_more() -> None:
    threads = dedicated("rtcstack-test")
    assert await run(lambda: 7, threads) == 7
    with pytest.raises(ZeroDivisionError):
        await run(lambda: 1 // 0, threads)
    gate = hold(threads)
    future = run(lambda: 7, threads)
    last = run(lambda: threading.current_thread().name, threads)
    future.cancel()
    gate.set()
    assert await last == "rtcstack-test"
    end(threads)


def test_machines_on_one_loop_have_their_own() -> None:
    internet = Internet()

    async def main() -> None:
        found = []
        for name in ("a", "b", "a"):
            with internet.host(name):
                found.append((coder_pool(), metronome()))
        assert found[0] == found[2]
        assert found[0][0] is not found[1][0]
        assert found[0][1] is not found[1][1]

    virtual.run(main(), internet=internet)
