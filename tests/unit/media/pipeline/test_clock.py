"""RTP time of what is sent."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.media.pipeline.clock import RtpClock, captured_at

RATE = 90_000


def test_a_steady_source_keeps_its_own_spacing() -> None:
    clock = RtpClock(RATE)
    stamps = [clock.map(i * 3000, 50.0 + i / 30 + (i % 3) * 0.004)[0] for i in range(300)]
    assert {b - a for a, b in itertools.pairwise(stamps)} == {3000}


def test_two_sources_of_one_moment_have_one_time() -> None:
    video, audio = RtpClock(RATE), RtpClock(48_000)
    for i in range(500):
        _, shown = video.map(7_000_000 + i * 3000, 50.0 + i / 30)
        _, heard = audio.map(99 + i * 1600, 50.0 + i / 30)
        assert shown == pytest.approx(heard, abs=1e-3)


def test_another_source_goes_on_without_a_break() -> None:
    clock = RtpClock(RATE)
    last = [clock.map(i * 3000, 50.0 + i / 30)[0] for i in range(30)][-1]
    clock.restart()
    first, _ = clock.map(12, 51.0)
    assert 0 < first - last <= 3000 * 2


def test_a_source_that_jumps_back_goes_on() -> None:
    clock = RtpClock(RATE)
    last = [clock.map(10**9 + i * 3000, 50.0 + i / 30)[0] for i in range(30)][-1]
    first, _ = clock.map(0, 51.0)
    assert 0 < first - last <= 3000 * 2


def test_a_source_that_paused_is_brought_forward() -> None:
    clock = RtpClock(RATE)
    clock.map(0, 50.0)
    after, when = clock.map(3000, 60.0)
    assert after == pytest.approx(60.0 * RATE, abs=1)
    assert when == pytest.approx(60.0, abs=1e-3)


def test_a_drifting_source_is_reported_at_its_real_time() -> None:
    clock = RtpClock(RATE)
    for i in range(30 * 600):  # ten minutes at 100 ppm
        at = 50.0 + i / 30 * 1.0001
        _, when = clock.map(i * 3000, at)
    assert when == pytest.approx(at, abs=0.01)


@given(st.lists(st.tuples(st.integers(-(2**40), 2**40), st.floats(0, 5)), min_size=1, max_size=50))
def test_whatever_a_source_says_time_does_not_run_far_from_the_clock(
    steps: list[tuple[int, float]],
) -> None:
    clock, now = RtpClock(RATE), 1000.0
    for ticks, pause in steps:
        now += pause
        timestamp, _ = clock.map(ticks, now)
        assert -2.1 * RATE < timestamp - now * RATE < 10.1 * RATE


def test_capture_times_are_believed_within_a_minute() -> None:
    now = 500.0
    assert captured_at(None, now) is None
    assert captured_at(time.time() - 0.5, now) == pytest.approx(499.5, abs=0.05)
    assert captured_at(time.time() - 3600, now) is None
