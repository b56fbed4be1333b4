"""Freezes and pauses are what webrtc-stats says they are."""

from __future__ import annotations

import pytest

from rtcstack.media.playout.smoothness import USUAL_OF, Smoothness


def show(smoothness: Smoothness, *gaps: float, at: float = 100.0) -> float:
    for gap in gaps:
        at += gap
        smoothness.shown(at)
    return at


def test_even_pictures_are_no_freeze() -> None:
    smoothness = Smoothness()
    show(smoothness, *[0.04] * 101)
    assert (smoothness.frames, smoothness.freezes, smoothness.pauses) == (101, 0, 0)
    assert smoothness.inter_frame_delay_s == pytest.approx(4.0)
    assert smoothness.inter_frame_delay_squared_s2 == pytest.approx(100 * 0.04**2)


@pytest.mark.parametrize(
    ("usual", "gap", "freezes"),
    [
        (0.04, 0.189, 0),
        (0.04, 0.191, 1),  # 150 ms more than the usual
        (0.2, 0.59, 0),
        (0.2, 0.61, 1),  # three times the usual
        (0.04, 4.9, 1),
        (0.04, 5.1, 0),  # a pause
    ],
)
def test_what_a_freeze_is(usual: float, gap: float, freezes: int) -> None:
    smoothness = Smoothness()
    show(smoothness, *[usual] * 40, gap)
    assert smoothness.freezes == freezes
    assert smoothness.freezes_s == pytest.approx(gap * freezes)
    assert smoothness.pauses == (gap > 5)
    assert smoothness.pauses_s == pytest.approx(gap if gap > 5 else 0.0)


def test_the_usual_is_that_of_the_last_thirty() -> None:
    smoothness = Smoothness()
    at = show(smoothness, *[0.5] * 100)
    at = show(smoothness, *[0.04] * USUAL_OF, at=at)
    assert smoothness.freezes == 0
    show(smoothness, 0.2, at=at)  # slow pictures are long ago
    assert smoothness.freezes == 1


def test_what_nobody_looked_at_is_no_pause() -> None:
    smoothness = Smoothness()
    at = show(smoothness, *[0.04] * 40)
    smoothness.interrupt()
    show(smoothness, 60.0, *[0.04] * 5, at=at)
    assert (smoothness.freezes, smoothness.pauses) == (0, 0)
