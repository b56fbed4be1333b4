"""The encoder's speed follows what it costs in quality."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rtcstack.codecs.coders.speed import PAUSE_FRAMES, SpeedChooser

SPEEDS = (-6, -10, -14)


def run(
    quantizer: Callable[[int, int], float], frames: int, chooser: SpeedChooser | None = None
) -> list[int]:
    """The speed of each picture, given its quantizer by number and speed."""
    chooser = chooser or SpeedChooser(SPEEDS)
    used = []
    for i in range(frames):
        used.append(chooser.speed)
        before = chooser.speed
        assert chooser.encoded(round(quantizer(i, before))) is (chooser.speed != before)
    return used


def test_easy_pictures_are_coded_fast() -> None:
    used = run(lambda i, speed: 11 + (speed == -14), 1000)
    assert used[0] == -6
    assert set(used[300:]) == {-14}


def test_where_haste_costs_quality_it_stays_careful_and_tries_seldom() -> None:
    used = run(lambda i, speed: 25 if speed == -6 else 33, 6000)
    assert Counter(used)[-6] > 0.9 * len(used)
    trials = sum(a == -6 and b == -10 for a, b in pairwise(used))
    assert trials <= 6


def test_the_middle_speed_is_kept_when_the_fastest_is_too_coarse() -> None:
    used = run(lambda i, speed: {-6: 15, -10: 15, -14: 21}[speed], 3000)
    assert Counter(used)[-10] > 0.85 * len(used)


def test_harder_pictures_are_coded_with_care_at_once() -> None:
    def quantizer(i: int, speed: int) -> float:
        return 11 if i < 1000 else {-6: 30, -10: 38, -14: 45}[speed]

    used = run(quantizer, 1000 + PAUSE_FRAMES)
    assert used[999] == -14
    assert -6 in used[1000:1070]
    assert Counter(used[1070:])[-6] > 0.6 * PAUSE_FRAMES / 2


def test_at_the_end_of_the_range_nothing_is_tried() -> None:
    assert set(run(lambda i, speed: 56, 1000)) == {-6}


@given(st.lists(st.integers(0, 63), max_size=600), st.integers(1, 3))
def test_any_quantizers(quantizers: list[int], count: int) -> None:
    chooser = SpeedChooser(SPEEDS[:count])
    for quantizer in quantizers:
        chooser.encoded(quantizer)
        assert chooser.speed in SPEEDS[:count]
