"""A call and a file through one bottleneck: rows of `bench.beside`, one seed of each, and shorter."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from rtcstack.sctp.cubic import Cubic
from tests.scenarios.beside import Beside, Figures, measure

FROM_15_TO_40_S = (15.0, 40.0)
FROM_20_TO_60_S = (20.0, 60.0)
"""Long enough for several turns of an estimate that rises slowly and falls at once."""


@cache
def figures(case: Beside) -> Figures:
    return measure(case)


def short(mbps: float, **changes: Any) -> Beside:
    return replace(Beside(mbps=mbps, measured_s=FROM_15_TO_40_S), **changes)


def by_alone(case: Beside) -> float:
    """The video's rate by what it has alone."""
    alone = replace(case, data=None, data_s=(0.0, 1e9), video_s=(0.0, 1e9), congestion=None, against=False)
    return figures(case).video_bps / figures(alone).video_bps


def assert_short_queue(measured: Figures) -> None:
    assert measured.queue_mean_s < 0.03
    assert measured.queue_95_s < 0.06
    assert measured.back_mean_s < 0.05
    assert measured.sound_lost == 0


@pytest.mark.parametrize(("mbps", "begins"), [(1.0, "data_s"), (1.0, "video_s"), (5.0, "video_s")])
def test_an_important_video_keeps_four_fifths(mbps: float, begins: str) -> None:
    case = short(mbps, measured_s=FROM_20_TO_60_S, **{begins: (5.0, 1e9)})
    assert by_alone(case) > 0.78  # the table's medians are above 0.8
    assert_short_queue(figures(case))
    assert figures(case).data_bps > 0.1e6 * mbps


def test_of_equal_priorities_each_has_half() -> None:
    case = short(2.0, video="low", data_s=(5.0, 1e9))
    assert 0.45 < by_alone(case) < 0.6
    assert figures(case).data_bps > 0.3e6 * case.mbps
    assert_short_queue(figures(case))


def test_whatever_controller_data_has() -> None:
    case = short(2.0, congestion=Cubic, data_s=(5.0, 1e9), measured_s=FROM_20_TO_60_S)
    assert by_alone(case) > 0.78
    assert_short_queue(figures(case))


def test_data_has_what_a_small_video_leaves() -> None:
    """And it is not bounded by what a small video knows of a fast road."""
    case = short(20.0, video_max_bps=1_000_000, video="low", data_s=(3.0, 1e9), measured_s=(12.0, 22.0))
    measured = figures(case)
    assert measured.video_bps > 0.92e6
    assert measured.data_bps > 0.75 * 19e6
    assert_short_queue(measured)
    second_by_second = [data for _, data in measured.by_second]
    assert second_by_second[5] > 0.5 * 19e6  # two seconds after it began


def test_what_a_video_does_not_use_is_data_s_until_it_does() -> None:
    case = short(2.0, video_use=0.1, then_use=((20.0, 1.0),), data_s=(3.0, 1e9), measured_s=(10.0, 30.0))
    seconds = figures(case).by_second
    still = sum(data for _, data in seconds[10:20]) / 10
    moving, beside = (sum(each) / 8 for each in zip(*seconds[22:30], strict=True))
    assert still > 0.35 * 2e6
    assert beside < 0.25 * 2e6
    assert moving > 0.45 * 2e6
    assert seconds[20][0] > 0.4 * 2e6  # at once
    assert_short_queue(figures(case))


def test_beside_sound_alone_data_has_nearly_all() -> None:
    measured = figures(short(2.0, video=None))
    assert measured.data_bps > 0.85 * 2e6
    assert_short_queue(replace(measured, queue_mean_s=measured.queue_mean_s - 0.015))
    assert measured.queue_mean_s < 0.05


def test_a_file_against_the_video_costs_it_little() -> None:
    case = short(2.0, against=True)
    assert by_alone(case) > 0.85
    assert figures(case).data_bps > 0.8 * 2e6
    assert_short_queue(figures(case))


def test_when_the_file_is_over_the_video_is_as_before() -> None:
    case = short(2.0, data_s=(3.0, 10.0))
    assert by_alone(case) > 0.95


def test_when_media_is_over_data_has_all_of_it() -> None:
    case = short(2.0, sound=False, video_s=(0.0, 10.0))
    assert figures(case).data_bps > 0.88 * 2e6
    assert figures(case).by_second[8][1] < 0.3 * 2e6


def test_both_follow_a_road_that_becomes_wider_and_narrower() -> None:
    case = Beside(mbps=2.0, then_mbps=((12.0, 8.0), (25.0, 2.0)), measured_s=(32.0, 40.0))
    measured = figures(case)
    video, data = (sum(each) / 5 for each in zip(*measured.by_second[20:25], strict=True))
    assert video > 0.4 * 8e6
    assert data > 0.08 * 8e6
    assert measured.video_bps > 0.5 * 2e6
    assert measured.data_bps > 0.1 * 2e6
    assert_short_queue(measured)


def test_without_feedback_of_packets_each_goes_by_itself() -> None:
    """Nothing is bounded then: the video has what the controller of data leaves it."""
    measured = figures(short(2.0, feedback=False))
    assert measured.data_bps > 0.5 * 2e6
    assert measured.video_bps > 0.05 * 2e6
    assert measured.sound_lost == 0
