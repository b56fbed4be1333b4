"""The pool: order, drops, fairness, and no thread left."""

from __future__ import annotations

import gc
import queue
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from rtcstack.codecs.pool import CoderPool, CoderStream

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


def stop(pool: CoderPool) -> None:
    pool.close()
    assert pool.join(PATIENCE_S)
    assert pool.thread_count == 0


def test_results_come_in_order_and_together() -> None:
    loop = Loop()
    pool = CoderPool(loop.post, 4)
    got: list[int] = []
    stream = pool.stream(lambda x: x * 2, got.append, limit=1000)
    for i in range(200):
        assert stream.submit(i)
    loop.run_until(lambda: len(got) == 200)
    assert got == [i * 2 for i in range(200)]
    assert loop.calls <= 200
    stop(pool)


def test_one_delivery_for_what_came_meanwhile() -> None:
    loop = Loop()
    pool = CoderPool(loop.post, 1)
    got: list[int] = []
    done = threading.Event()
    stream = pool.stream(lambda x: done.set() if x == 49 else None, lambda _: got.append(1), limit=100)
    for i in range(50):
        stream.submit(i)
    assert done.wait(PATIENCE_S)
    loop.run_until(lambda: len(got) == 50)
    assert loop.calls <= 3  # the loop slept while fifty jobs ran
    stop(pool)


def test_one_job_of_a_stream_at_a_time() -> None:
    loop = Loop()
    pool = CoderPool(loop.post, 8)
    running = [0] * 4
    worst = [0]
    finished: list[object] = []

    def work(index: int) -> None:
        running[index] += 1
        worst[0] = max(worst[0], running[index])
        sum(range(2000))
        running[index] -= 1

    streams: list[CoderStream[int, None]] = [pool.stream(work, finished.append, limit=1000) for _ in range(4)]
    for _ in range(100):
        for i, stream in enumerate(streams):
            stream.submit(i)
    loop.run_until(lambda: len(finished) == 400)
    assert worst == [1]
    assert pool.thread_count <= 8
    stop(pool)


def test_the_oldest_picture_is_dropped_first() -> None:
    loop, gate = Loop(), Gate()
    pool = CoderPool(loop.post, 1)
    got: list[int] = []
    told: list[int] = []
    stream = pool.stream(gate, got.append, limit=2, on_dropped=told.append)
    stream.submit(0)
    gate.wait()
    for i in range(1, 6):
        assert stream.submit(i)
    assert (stream.queued, stream.dropped, told) == (2, 3, [1, 1, 1])
    gate.open()
    loop.run_until(lambda: len(got) == 3)
    assert got == [0, 4, 5]
    stop(pool)


def test_a_decoder_that_falls_behind_waits_for_a_key_frame() -> None:
    loop, gate = Loop(), Gate()
    pool = CoderPool(loop.post, 1)
    got: list[int] = []
    told: list[int] = []
    stream = pool.stream(gate, got.append, limit=3, on_dropped=told.append, starts=lambda x: x % 10 == 0)
    stream.submit(0)
    gate.wait()
    assert [stream.submit(i) for i in range(1, 8)] == [True, True, True, False, False, False, False]
    assert (stream.queued, told) == (0, [4])
    assert stream.submit(10)
    assert stream.submit(11)
    assert stream.dropped == 7
    gate.open()
    loop.run_until(lambda: len(got) == 3)
    assert got == [0, 10, 11]
    stop(pool)


def test_audio_goes_before_video() -> None:
    loop, gate = Loop(), Gate()
    pool = CoderPool(loop.post, 1)
    order: list[str] = []
    blocker = pool.stream(gate, lambda _: None)
    video = pool.stream(lambda _: order.append("video"), lambda _: None, limit=10)
    audio = pool.stream(lambda _: order.append("audio"), lambda _: None, limit=10, urgent=True)
    blocker.submit(0)
    gate.wait()
    video.submit(0)
    audio.submit(0)
    gate.open()
    last = threading.Event()
    end = pool.stream(lambda _: last.set(), lambda _: None)
    end.submit(0)
    assert last.wait(PATIENCE_S)
    assert order == ["audio", "video"]
    stop(pool)


def test_a_busy_stream_does_not_starve_another() -> None:
    loop, gate = Loop(), Gate()
    pool = CoderPool(loop.post, 1)
    order: list[str] = []
    blocker = pool.stream(gate, lambda _: None)
    blocker.submit(0)
    gate.wait()
    busy = pool.stream(lambda _: order.append("busy"), lambda _: None, limit=100)
    calm = pool.stream(lambda _: order.append("calm"), lambda _: None, limit=100)
    for _ in range(50):
        busy.submit(0)
    calm.submit(0)
    gate.open()
    loop.run_until(lambda: len(order) == 51)
    assert order.index("calm") == 1
    stop(pool)


def test_an_error_is_told_and_the_next_job_runs() -> None:
    loop = Loop()
    pool = CoderPool(loop.post, 2)
    got: list[object] = []
    stream = pool.stream(lambda x: 1 // x, got.append, on_error=got.append, limit=10)
    for i in (1, 0, 1):
        stream.submit(i)
    loop.run_until(lambda: len(got) == 3)
    assert isinstance(got[1], ZeroDivisionError)
    assert got[0] == got[2] == 1
    stop(pool)


def test_close_drops_what_waits_and_finishes_on_a_worker() -> None:
    loop, gate = Loop(), Gate()
    pool = CoderPool(loop.post, 2)
    got: list[int] = []
    finished: list[str] = []
    stream = pool.stream(
        gate, got.append, limit=10, finish=lambda: finished.append(threading.current_thread().name)
    )
    for i in range(5):
        stream.submit(i)
    gate.wait()
    stream.close()
    stream.close()
    assert not stream.submit(9)
    assert stream.queued == 0
    assert finished == []  # not while its job runs
    gate.open()
    pool.join(PATIENCE_S)
    assert finished == ["rtcstack-coder"]
    with suppress(queue.Empty):
        while True:
            loop.posted.get_nowait()()
    assert got == []
    stop(pool)


def test_threads_end_with_the_last_stream_and_start_again() -> None:
    loop = Loop()
    pool = CoderPool(loop.post, 3)
    assert pool.thread_count == 0
    for _ in range(3):
        got: list[int] = []
        streams: list[CoderStream[int, int]] = [pool.stream(lambda x: x, got.append) for _ in range(3)]
        for stream in streams:
            stream.submit(1)
        loop.run_until(lambda got=got: len(got) == 3)  # type: ignore[misc]
        assert 1 <= pool.thread_count <= 3
        for stream in streams:
            stream.close()
        assert pool.join(PATIENCE_S)
    stop(pool)


def test_a_stream_without_a_job_also_finishes() -> None:
    pool = CoderPool(Loop().post)
    finished = threading.Event()
    pool.stream(lambda x: x, lambda _: None, finish=finished.set).close()
    assert finished.wait(PATIENCE_S)
    stop(pool)


def test_a_closed_loop_is_no_error() -> None:
    def post(_: Callable[[], None]) -> None:
        raise RuntimeError("Event loop is closed")

    pool = CoderPool(post, 1)
    done = threading.Event()
    stream = pool.stream(lambda x: x, lambda _: None, finish=done.set)
    stream.submit(1)
    stream.close()
    assert done.wait(PATIENCE_S)
    stop(pool)


@pytest.mark.parametrize("streams", [1, 40])
def test_under_load_nothing_is_lost_or_doubled(streams: int) -> None:
    loop = Loop()
    pool = CoderPool(loop.post, 4)
    got: dict[int, list[int]] = {i: [] for i in range(streams)}
    made: list[CoderStream[int, int]] = [
        pool.stream(lambda x: x, got[i].append, limit=500, urgent=i % 2 == 0) for i in range(streams)
    ]
    for i in range(100):
        for stream in made:
            assert stream.submit(i)
    loop.run_until(lambda: all(len(g) == 100 for g in got.values()))
    assert all(g == list(range(100)) for g in got.values())
    stop(pool)
    gc.collect()
    assert not [t for t in threading.enumerate() if t.name == "rtcstack-coder"]
