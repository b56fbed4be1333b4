"""What sound gives up for a share that is too small, and how it comes back."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.media.pipeline.sound_adaptation import (
    GOOD_BPS,
    LEAVE_AFTER,
    POOR_FOR_S,
    PTIMES_MS,
    RICH_FOR_S,
    STEPS_PERCENT,
    LossSteps,
    SoundAdaptation,
    SoundNeeds,
)

FIXED = SoundNeeds(48_000, 8_000)
ADAPTIVE = SoundNeeds(48_000, 8_000, max_ptime_ms=60)
HEADERS_BPS = FIXED.headers_bps(20)


def test_what_has_enough_is_left_alone() -> None:
    adaptation = SoundAdaptation()
    for share in (None, FIXED.share_bps, 10 * FIXED.share_bps, int(0.98 * FIXED.share_bps)):
        for now in range(10):
            adaptation.look(share, FIXED, float(now))
            assert (adaptation.bitrate_bps, adaptation.ptime_ms) == (None, None)


def test_headers_are_part_of_the_share() -> None:
    adaptation = SoundAdaptation()
    adaptation.look(40_000, FIXED, 0.0)
    assert adaptation.bitrate_bps == 40_000 - HEADERS_BPS
    adaptation.look(40_000, FIXED._replace(copies=1), 0.0)
    assert adaptation.bitrate_bps == (40_000 - HEADERS_BPS) // 2


def test_the_floor_is_the_floor_and_never_more_than_is_wanted() -> None:
    adaptation = SoundAdaptation()
    adaptation.look(1_000, FIXED, 0.0)
    assert adaptation.bitrate_bps == 8_000
    adaptation.look(1_000, FIXED._replace(wanted_bps=6_000), 0.0)
    assert adaptation.bitrate_bps == 6_000


def test_small_changes_change_nothing() -> None:
    adaptation = SoundAdaptation()
    adaptation.look(40_000, FIXED, 0.0)
    known = adaptation.bitrate_bps
    adaptation.look(40_500, FIXED, 1.0)
    assert adaptation.bitrate_bps == known
    adaptation.look(44_000, FIXED, 2.0)
    assert adaptation.bitrate_bps == 44_000 - HEADERS_BPS
    adaptation.look(FIXED.share_bps, FIXED, 3.0)
    assert adaptation.bitrate_bps is None


def test_the_packet_time_is_fixed_unless_it_may_change() -> None:
    adaptation = SoundAdaptation()
    for now in range(20):
        adaptation.look(25_000, FIXED, float(now))
        assert adaptation.ptime_ms is None


def times(
    share_bps: int, seconds: float, adaptation: SoundAdaptation, needs: SoundNeeds, begin: float
) -> list:
    seen = []
    for i in range(round(10 * seconds)):
        adaptation.look(share_bps, needs, begin + i / 10)
        if not seen or seen[-1] != adaptation.ptime_ms:
            seen.append(adaptation.ptime_ms)
    return seen


def test_packets_grow_one_step_after_another_and_shrink_again_later() -> None:
    adaptation = SoundAdaptation()
    assert times(20_000, 10, adaptation, ADAPTIVE, 0.0) == [None, 40, 60]
    assert adaptation.bitrate_bps == 20_000 - ADAPTIVE.headers_bps(60)
    adaptation = SoundAdaptation()
    assert times(20_000, POOR_FOR_S - 0.1, adaptation, ADAPTIVE, 0.0) == [None]
    # with 40 ms it is good enough
    adaptation = SoundAdaptation()
    assert times(GOOD_BPS + ADAPTIVE.headers_bps(40), 10, adaptation, ADAPTIVE, 0.0) == [None, 40]
    assert times(ADAPTIVE.share_bps, RICH_FOR_S - 0.1, adaptation, ADAPTIVE, 10.0) == [40]
    assert times(ADAPTIVE.share_bps, 10, adaptation, ADAPTIVE, 10.0 + RICH_FOR_S - 0.1) == [40, None]
    assert adaptation.bitrate_bps is None


@pytest.mark.parametrize(
    ("most", "expected"), [(20, [None]), (30, [None]), (40, [None, 40]), (120, [None, 40, 60])]
)
def test_the_peer_says_how_long_packets_may_be(most: float, expected: list[float | None]) -> None:
    assert times(15_000, 10, SoundAdaptation(), FIXED._replace(max_ptime_ms=most), 0.0) == expected


def test_who_prefers_longer_packets_begins_there() -> None:
    needs = SoundNeeds(48_000, 8_000, ptime_ms=40, max_ptime_ms=60)
    assert times(15_000, 10, SoundAdaptation(), needs, 0.0) == [None, 60]


def test_a_codec_of_one_rate_saves_headers_alone() -> None:
    needs = SoundNeeds(64_000, 64_000, max_ptime_ms=60)
    adaptation = SoundAdaptation()
    assert times(70_000, 10, adaptation, needs, 0.0) == [None, 40]
    assert adaptation.bitrate_bps is None


def test_a_share_that_wavers_does_not_make_packets_waver() -> None:
    rng = random.Random(1)
    adaptation = SoundAdaptation()
    border = GOOD_BPS + ADAPTIVE.headers_bps(20)
    changes = 0
    for i in range(6_000):
        before = adaptation.ptime_ms
        adaptation.look(round(border * rng.uniform(0.85, 1.15)), ADAPTIVE, i / 10)
        changes += adaptation.ptime_ms != before
    assert changes <= 2


def test_when_it_may_not_change_any_more_it_is_the_usual_one_at_once() -> None:
    adaptation = SoundAdaptation()
    times(15_000, 10, adaptation, ADAPTIVE, 0.0)
    assert adaptation.ptime_ms == 60
    adaptation.look(15_000, FIXED, 10.0)
    assert adaptation.ptime_ms is None
    times(15_000, 10, adaptation, ADAPTIVE, 20.0)
    adaptation.look(None, ADAPTIVE, 40.0)
    assert (adaptation.ptime_ms, adaptation.bitrate_bps) == (None, None)


@given(
    st.lists(st.tuples(st.none() | st.integers(0, 10**6), st.floats(0, 3)), max_size=50),
    st.integers(6_000, 510_000),
    st.integers(6_000, 64_000),
    st.sampled_from([10, 20, 40, 60, 120]),
    st.sampled_from([10, 20, 40, 60, 120]),
    st.integers(0, 2),
)
def test_whatever_the_share_is_bounds_are_kept(
    shares: list[tuple[int | None, float]], wanted: int, floor: int, usual: float, most: float, copies: int
) -> None:
    needs = SoundNeeds(wanted, floor, 1, usual, most, copies=copies)
    adaptation = SoundAdaptation()
    now = 0.0
    for share, wait_s in shares:
        now += wait_s
        adaptation.look(share, needs, now)
        bitrate, ptime = adaptation.bitrate_bps, adaptation.ptime_ms
        assert bitrate is None or min(floor, wanted) <= bitrate <= wanted
        assert ptime is None or (ptime in PTIMES_MS and usual < ptime <= most)


# -- losses ---------------------------------------------------------------------------------------


def told(*losses: float) -> list[int]:
    steps = LossSteps()
    return [steps.reported(loss) for loss in losses]


def test_loss_is_told_in_steps_that_go_up_at_once() -> None:
    assert told(0.0, 0.01, 0.01, 0.0) == [0, 0, 0, 0]
    assert told(0.2) == [10]
    assert told(0.2, 0.2, 0.2)[-1] == 15
    assert told(*[0.06] * 10)[-1] == 5
    assert told(*[1.0] * 20)[-1] == STEPS_PERCENT[-1]


def test_loss_goes_down_after_a_while_and_one_good_report_is_none() -> None:
    wavering = told(*[0.08, 0.04] * 20)
    assert set(wavering[5:]) == {5}
    after = told(*[0.1] * 10, *[0.0] * 30)
    assert after[10:12] == [after[9]] * 2
    assert after[-1] == 0
    assert len([1 for a, b in pairwise(after) if b < a]) <= 3
    assert after[9 + LEAVE_AFTER] == after[9]


@given(st.lists(st.floats(0, 1), max_size=50))
def test_only_steps_are_told(losses: list[float]) -> None:
    assert set(told(*losses)) <= set(STEPS_PERCENT)
