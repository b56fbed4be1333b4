"""The pool over workers that model time, and over workers that refuse."""

from __future__ import annotations

from collections.abc import Callable

import av
import pytest

from rtcstack.codecs import costs
from rtcstack.codecs.pool import CoderPool
from rtcstack.workers import Threads
from tests.unit.codecs.pool import PATIENCE_S, Loop


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
