"""The pool: order, drops, fairness, and no thread left."""

from __future__ import annotations

import gc
import queue
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from rtcstack.codecs.pool import MAX_EXTRA, CoderPool, CoderStream
from rtcstack.workers import Threads
from tests.unit.codecs.pool import PATIENCE_S, Gate, Loop, stop, threads


def test_results_come_in_order_and_together() -> None:
    loop = Loop()
    pool = CoderPool(Threads(loop.post, 4))
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
    pool = CoderPool(Threads(loop.post, 1))
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
    pool = CoderPool(Threads(loop.post, 8))
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
    assert threads(pool).thread_count <= 8
    stop(pool)


def test_the_oldest_picture_is_dropped_first() -> None:
    loop, gate = Loop(), Gate()
    pool = CoderPool(Threads(loop.post, 1))
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
    pool = CoderPool(Threads(loop.post, 1))
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
    pool = CoderPool(Threads(loop.post, 1))
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
    pool = CoderPool(Threads(loop.post, 1))
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
    pool = CoderPool(Threads(loop.post, 2))
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
    pool = CoderPool(Threads(loop.post, 2))
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
    threads(pool).join(PATIENCE_S)
    assert finished == ["rtcstack-worker"]
    with suppress(queue.Empty):
        while True:
            loop.posted.get_nowait()()
    assert got == []
    stop(pool)


def test_threads_end_with_the_last_stream_and_start_again() -> None:
    loop = Loop()
    pool = CoderPool(Threads(loop.post, 3))
    assert threads(pool).thread_count == 0
    for _ in range(3):
        got: list[int] = []
        streams: list[CoderStream[int, int]] = [pool.stream(lambda x: x, got.append) for _ in range(3)]
        for stream in streams:
            stream.submit(1)
        loop.run_until(lambda got=got: len(got) == 3)  # type: ignore[misc]
        assert 1 <= threads(pool).thread_count <= 3
        for stream in streams:
            stream.close()
        assert threads(pool).join(PATIENCE_S)
    stop(pool)


def test_a_stream_without_a_job_also_finishes() -> None:
    pool = CoderPool(Threads(Loop().post))
    finished = threading.Event()
    pool.stream(lambda x: x, lambda _: None, finish=finished.set).close()
    assert finished.wait(PATIENCE_S)
    stop(pool)


def test_a_closed_loop_is_no_error() -> None:
    def post(_: Callable[[], None]) -> None:
        raise RuntimeError("Event loop is closed")

    pool = CoderPool(Threads(post, 1))
    done = threading.Event()
    stream = pool.stream(lambda x: x, lambda _: None, finish=done.set)
    stream.submit(1)
    stream.close()
    assert done.wait(PATIENCE_S)
    stop(pool)


def test_a_stream_that_nobody_holds_closes_its_coder() -> None:
    """Nor does the pool hold it, with those whom it would tell its results."""
    loop = Loop()
    pool = CoderPool(Threads(loop.post, 2))
    finished = threading.Event()
    got: list[int] = []
    stream: CoderStream[int, int] = pool.stream(lambda x: x, got.append, finish=finished.set)
    assert stream.submit(1)
    loop.run_until(lambda: got == [1])
    del stream
    gc.collect()
    loop.posted.get(timeout=PATIENCE_S)()
    assert finished.wait(PATIENCE_S)
    stop(pool)


@pytest.mark.parametrize("streams", [1, 40])
def test_under_load_nothing_is_lost_or_doubled(streams: int) -> None:
    loop = Loop()
    pool = CoderPool(Threads(loop.post, 4))
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
    assert not [t for t in threading.enumerate() if t.name == "rtcstack-worker"]


def test_a_decoder_whose_turn_had_not_come_when_all_was_dropped_goes_on() -> None:
    loop, gate = Loop(), Gate()
    pool = CoderPool(Threads(loop.post, 1))
    got: list[int] = []
    other = pool.stream(gate, lambda _: None)
    other.submit(0)
    gate.wait()  # the only thread is busy
    stream = pool.stream(lambda x: x, got.append, limit=2, starts=lambda x: x % 10 == 0)
    for i in range(5):
        stream.submit(i)
    assert stream.dropped == 5
    gate.open()
    other.submit(1)
    gate.wait()  # it has passed the other stream's turn
    stream.submit(10)
    loop.run_until(lambda: bool(got))
    assert got == [10]
    assert threads(pool).thread_count == 1
    stop(pool)


def test_what_comes_at_once_may_wait_beyond_the_limit_until_it_is_done() -> None:
    loop, gate = Loop(), Gate()
    pool = CoderPool(Threads(loop.post, 1))
    got: list[int] = []
    stream = pool.stream(gate, got.append, limit=2, starts=lambda x: x == 0)
    for i in range(40):
        assert stream.submit(i, beyond_limit=True)
    assert stream.submit(40)  # and what follows has its place behind them
    assert stream.dropped == 0
    gate.open()
    loop.run_until(lambda: len(got) == 41)
    assert got == list(range(41))
    gate.passes, gate.entered = threading.Semaphore(0), queue.Queue()
    stream.submit(0)
    gate.wait()
    taken = [stream.submit(i) for i in range(1, 10)]
    assert taken.count(True) == 2  # the limit is what it was
    gate.open()
    stop(pool)


def test_what_may_wait_beyond_the_limit_is_bounded() -> None:
    loop, gate = Loop(), Gate()
    pool = CoderPool(Threads(loop.post, 1))
    stream = pool.stream(gate, lambda _: None, limit=2, starts=lambda x: True)
    most = 0
    for i in range(3 * MAX_EXTRA):
        stream.submit(i, beyond_limit=True)
        most = max(most, stream.queued)
    assert most <= MAX_EXTRA + 2
    gate.open(10_000)
    stop(pool)
