"""The pool: short jobs that are done at once."""

from __future__ import annotations

import threading

import pytest

from rtcstack.codecs.pool import SHORT_BURST_S, SHORT_S, CoderPool, CoderStream
from rtcstack.workers import Threads
from tests.unit.codecs.pool import PATIENCE_S, Loop, stop


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
