"""The pool: order, drops, fairness, and no thread left."""

from __future__ import annotations

import gc
import queue
import threading
from collections.abc import Callable
from contextlib import suppress

import av
import pytest

from rtcstack.codecs import costs
from rtcstack.codecs.pool import MAX_EXTRA, SHORT_BURST_S, SHORT_S, CoderPool, CoderStream
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


# -- short jobs -----------------------------------------------------------------------------------


class Sounds:
    """An urgent stream whose jobs tell the thread that they ran on, and a clock for its pool."""

    def __init__(self) -> None:
        self.now = 100.0
        self.loop = Loop()
        self.pool = CoderPool(Threads(self.loop.post, 2), clock=lambda: self.now)
        self.got: list[tuple[int, bool]] = []
        self.errors: list[Exception] = []
        self.here = threading.get_ident()
        self.stream: CoderStream[int, tuple[int, bool]] = self.pool.stream(
            self.work, self.got.append, on_error=self.errors.append, limit=1000, urgent=True
        )

    def work(self, item: int) -> tuple[int, bool]:
        if item < 0:
            raise ValueError(item)
        return item, threading.get_ident() == self.here

    def prove_short(self, count: int = 8) -> None:
        for i in range(count):
            self.stream.submit(i)
            self.loop.run_until(lambda n=i + 1: len(self.got) == n)  # type: ignore[misc]


def test_urgent_jobs_that_proved_short_are_done_at_once() -> None:
    sounds = Sounds()
    sounds.prove_short()
    assert not any(here for _, here in sounds.got)
    posted = sounds.loop.calls
    for i in range(8, 20):
        sounds.now += 1
        assert sounds.stream.submit(i)
        assert sounds.got[-1] == (i, True)
    assert sounds.loop.calls == posted
    assert sounds.loop.posted.empty()
    sounds.now += 1
    assert sounds.stream.submit(-1)
    assert [str(error) for error in sounds.errors] == ["-1"]
    stop(sounds.pool)


def test_short_jobs_take_a_part_of_the_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(10**9))
    monkeypatch.setattr(Threads, "work_s", staticmethod(lambda: next(ticks) * 0.0001))
    sounds = Sounds()
    sounds.prove_short()
    most = round(SHORT_BURST_S / 0.0001)
    # the clock stands still: after a while threads must take over, and order is kept
    for i in range(8, 8 + most + 50):
        sounds.stream.submit(i)
    sounds.loop.run_until(lambda: len(sounds.got) == 8 + most + 50)
    assert [item for item, _ in sounds.got] == list(range(8 + most + 50))
    assert 0.9 * most <= sum(here for _, here in sounds.got) <= most
    assert not sounds.got[-1][1]
    sounds.now += 1
    sounds.stream.submit(-2)
    sounds.stream.submit(10**6)
    assert sounds.got[-1] == (10**6, True)
    stop(sounds.pool)


def test_long_jobs_go_to_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(10**9))
    monkeypatch.setattr(Threads, "work_s", staticmethod(lambda: next(ticks) * 2 * SHORT_S))
    sounds = Sounds()
    sounds.prove_short(20)
    assert not any(here for _, here in sounds.got)
    stop(sounds.pool)


def test_a_short_job_waits_for_the_outcomes_before_it() -> None:
    sounds = Sounds()
    sounds.prove_short(7)
    done = threading.Event()
    work = sounds.work
    sounds.stream._work = lambda item: (work(item), done.set())[0]
    sounds.stream.submit(7)
    assert done.wait(PATIENCE_S)
    sounds.now += 1
    sounds.stream.submit(8)  # the outcome of 7 is still on its way
    assert len(sounds.got) == 7
    sounds.loop.run_until(lambda: len(sounds.got) == 9)
    assert [item for item, _ in sounds.got] == list(range(9))
    stop(sounds.pool)


def test_a_stream_may_be_closed_by_the_outcome_of_a_short_job() -> None:
    sounds = Sounds()
    sounds.prove_short()
    sounds.stream._on_result = lambda result: sounds.stream.close()
    sounds.now += 1
    assert sounds.stream.submit(8)
    assert not sounds.stream.submit(9)
    stop(sounds.pool)


def test_jobs_that_are_not_urgent_never_run_here() -> None:
    loop = Loop()
    pool = CoderPool(Threads(loop.post, 1))
    got: list[bool] = []
    here = threading.get_ident()
    stream: CoderStream[int, bool] = pool.stream(lambda _: threading.get_ident() == here, got.append)
    for i in range(20):
        stream.submit(i)
        loop.run_until(lambda n=i + 1: len(got) == n)  # type: ignore[misc]
    assert not any(got)
    stop(pool)


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


# -- modelled time ------------------------------------------------------------------------------------


class Modelled:
    """Jobs that run on the loop's thread, when told to; work costs nothing that is read."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], None], bool, float | None]] = []
        self.post_refused = False

    def submit(self, job: Callable[[], None], *, urgent: bool = False, cost_s: float | None = None) -> None:
        self.waiting.append((job, urgent, cost_s))

    def post(self, callback: Callable[[], None]) -> None:
        if self.post_refused:
            raise RuntimeError
        callback()  # at once: the pool must not hold its lock meanwhile

    def work_s(self) -> float:
        return 0.0

    def run(self) -> list[tuple[bool, float | None]]:
        done = []
        while self.waiting:
            job, urgent, cost_s = self.waiting.pop(0)
            job()
            done.append((urgent, cost_s))
        return done


def test_workers_are_told_what_each_job_costs() -> None:
    jobs = Modelled()
    pool = CoderPool(jobs)
    got: list[int] = []
    stream = pool.stream(lambda x: x, got.append, limit=10, cost_of=lambda x: x / 1000)
    other = pool.stream(lambda x: x, got.append, urgent=True)
    for i in range(1, 5):
        stream.submit(i)
    other.submit(9)
    assert len(jobs.waiting) == 2  # one job of a stream at a time
    assert jobs.run() == [(False, 0.001), (True, None), (False, 0.002), (False, 0.003), (False, 0.004)]
    assert got == [1, 9, 2, 3, 4]
    stream.close()
    other.close()
    assert jobs.run() == [(False, None), (True, None)]


def test_where_work_costs_nothing_short_jobs_are_done_at_once_and_in_order() -> None:
    jobs = Modelled()
    pool = CoderPool(jobs, clock=lambda: 0.0)
    got: list[int] = []
    stream = pool.stream(lambda x: x, got.append, urgent=True)
    for i in range(100):
        stream.submit(i)
        jobs.run()
    assert got == list(range(100))


def test_a_loop_that_is_gone_takes_the_outcomes_with_it() -> None:
    jobs = Modelled()
    pool = CoderPool(jobs)
    got: list[int] = []
    stream = pool.stream(lambda x: x, got.append)
    jobs.post_refused = True
    stream.submit(1)
    jobs.run()
    assert got == []
    assert not pool._results
    stream.close()


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (640, 480)])
def test_costs_grow_with_what_there_is_to_code(width: int, height: int) -> None:
    picture = av.VideoFrame(width, height, "yuv420p")
    sound = av.AudioFrame("s16", "mono", 960)
    assert costs.encoding_s(picture) == width * height * costs.ENCODING_S_PER_PIXEL
    assert costs.encoding_s(sound) == 960 * costs.SOUND_S_PER_SAMPLE
    assert costs.encoding_s(b"encoded") == 0
    assert costs.decoding_s(width, height, 5) == width * height * costs.DECODING_S_PER_PIXEL
    assert costs.decoding_s(0, 0, 1000) == 1000 * costs.DECODING_S_PER_BYTE
    assert costs.playing_s(160, 8000) == costs.playing_s(960, 48_000) == costs.encoding_s(sound)


class Reluctant(Threads):
    """Workers that refuse jobs for a while, which they may not."""

    refuses = True

    def submit(self, job: Callable[[], None], *, urgent: bool = False, cost_s: float | None = None) -> None:
        if self.refuses:
            raise RuntimeError("no job today")
        super().submit(job, urgent=urgent, cost_s=cost_s)


def test_workers_that_refuse_a_job_are_told_of_and_asked_again() -> None:
    loop = Loop()
    workers = Reluctant(loop.post, 1)
    pool = CoderPool(workers)
    results: list[int] = []
    errors: list[Exception] = []
    stream = pool.stream(lambda item: item, results.append, on_error=errors.append)
    stream.submit(1)
    loop.run_until(lambda: bool(errors))
    assert str(errors[0]) == "no job today"
    workers.refuses = False
    stream.submit(2)
    loop.run_until(lambda: len(results) == 2)
    assert results == [1, 2]
    assert len(errors) == 1
    workers.refuses = True
    stream.close()  # nobody closes the coder; the stream is forgotten all the same
    assert not pool._streams
    workers.close()
    assert workers.join(PATIENCE_S)
