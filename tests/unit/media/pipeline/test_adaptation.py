"""Size and pace of pictures under few bits and slow encoders, on virtual time."""

from __future__ import annotations

import pytest

from rtcstack.media.pipeline.adaptation import MIN_SIDE, SCALES, Adaptation

HD = (1280, 720)
CAP = 2_500_000


class Run:
    """Feeds an adaptation with pictures at 30 a second."""

    def __init__(self, preference: str = "balanced") -> None:
        self.adaptation = Adaptation(preference)
        self.now = 100.0
        self.encoded = 0
        self.dropped = 0

    def last(self, seconds: float, target_bps: int, *, drop: float = 0.0, size: tuple[int, int] = HD) -> int:
        """Let time pass; how often the size changed."""
        before = self.adaptation.changes
        for i in range(int(seconds * 30)):
            self.now += 1 / 30
            if drop and i % round(1 / drop) == 0:
                self.dropped += 1
            else:
                self.encoded += 1
            self.adaptation.look(self.now, target_bps, CAP, size, 30.0, self.encoded, self.dropped)
        return self.adaptation.changes - before


def test_enough_bits_change_nothing() -> None:
    run = Run()
    assert run.last(10, CAP) == 0
    assert run.adaptation.scale == 1.0
    assert run.adaptation.limited_by == "none"


def test_few_bits_make_pictures_small_and_many_make_them_large_again() -> None:
    run = Run()
    run.last(10, 150_000)
    small = run.adaptation.scale
    assert small >= 2.0
    assert run.adaptation.limited_by == "bandwidth"
    run.last(30, CAP)
    assert run.adaptation.scale == 1.0
    assert run.adaptation.limited_by == "none"


@pytest.mark.parametrize("target_bps", range(50_000, 2_500_000, 125_000))
def test_a_steady_rate_ends_in_a_steady_size(target_bps: int) -> None:
    run = Run()
    run.last(20, target_bps)
    assert run.last(60, target_bps) == 0


def test_a_short_dip_changes_nothing() -> None:
    run = Run()
    run.last(5, CAP)
    run.last(0.8, 100_000)
    assert run.last(5, CAP) == 0
    assert run.adaptation.scale == 1.0


def test_pictures_are_not_made_smaller_than_can_be_seen() -> None:
    run = Run()
    run.last(60, 1000, size=(320, 180))
    assert 180 / run.adaptation.scale >= MIN_SIDE


def test_an_overloaded_encoder_gets_smaller_pictures() -> None:
    run = Run()
    run.last(5, CAP, drop=1 / 3)
    assert run.adaptation.scale in SCALES[1:]
    assert run.adaptation.limited_by == "cpu"


def test_screens_keep_their_size_and_lose_pace() -> None:
    run = Run("maintain-resolution")
    run.last(5, 300_000)
    assert run.adaptation.scale == 1.0
    assert run.adaptation.frame_rate is not None
    assert 5.0 <= run.adaptation.frame_rate < 30.0
    assert run.adaptation.limited_by == "bandwidth"
    run.last(5, CAP)
    assert run.adaptation.frame_rate is None


def test_nothing_is_given_up_when_both_are_wanted() -> None:
    run = Run("maintain-framerate-and-resolution")
    assert run.last(20, 100_000) == 0
    assert run.adaptation.frame_rate is None
    assert run.adaptation.limited_by == "bandwidth"


def test_another_preference_takes_back_what_the_first_gave_up() -> None:
    adaptation = Adaptation("balanced")
    now, frames = 10.0, 0
    while adaptation.scale == 1.0:
        now, frames = now + 0.1, frames + 3
        adaptation.look(now, 100_000, 2_500_000, (1280, 720), 30, frames, 0)
    adaptation.preference = "maintain-resolution"
    assert adaptation.look(now + 1, 100_000, 2_500_000, (1280, 720), 30, frames, 0)
    assert adaptation.scale == 1.0
    assert adaptation.frame_rate is not None
    adaptation.preference = "maintain-framerate"
    adaptation.look(now + 2, 100_000, 2_500_000, (1280, 720), 30, frames, 0)
    assert adaptation.frame_rate is None
