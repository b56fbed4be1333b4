"""Times that jump become times that go on."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.media.timeline import MAX_SHIFT_S, MAX_STEP_S, Distance, PictureShift, Timeline

RATE = 90_000
FRAME = 3000


def placed(times: list[int], **options: bool) -> list[int | None]:
    line = Timeline(RATE)
    return [line.place(at, i / 30 if options.get("live") else None) for i, at in enumerate(times)]


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("jump", [RATE * 3600, -RATE * 3600, 2**32, -(2**32), RATE * 10, -RATE * 10])
def test_a_new_clock_goes_on_where_the_old_one_ended(jump: int, live: bool) -> None:
    start = 7200 * RATE
    times = [start + i * FRAME + (jump if i >= 30 else 0) for i in range(60)]
    made = placed(times, live=live)
    assert made[:30] == [i * FRAME for i in range(30)]
    assert made[30] is None  # alone, it might be an error
    rest = [at for at in made[31:] if at is not None]
    assert len(rest) == 29
    assert all(b - a == FRAME for a, b in pairwise(rest))
    assert FRAME <= rest[0] - 29 * FRAME <= 2 * FRAME + 1


def test_a_lone_time_far_away_is_left_out() -> None:
    times = [i * FRAME for i in range(60)]
    times[20] += 2**33
    times[40] -= 2**33
    made = placed(times)
    assert [i for i, at in enumerate(made) if at is None] == [20, 40]
    assert [at for at in made if at is not None] == [i * FRAME for i in range(60) if i not in (20, 40)]


def test_what_is_certain_is_not_left_out() -> None:
    line = Timeline(RATE)
    assert line.place(0, certain=True) == 0
    assert line.place(FRAME) == FRAME
    assert line.place(10**12, certain=True) == 2 * FRAME
    assert line.place(10**12 + FRAME) == 3 * FRAME
    assert line.jumps == 1


def test_a_pause_that_took_as_long_is_kept() -> None:
    line = Timeline(RATE)
    assert line.place(0, 0.0) == 0
    assert line.place(60 * RATE, 60.01) == 60 * RATE
    assert line.jumps == 0


def test_a_new_clock_after_a_pause_begins_after_the_pause() -> None:
    line = Timeline(RATE)
    line.place(0, 0.0)
    assert line.place(10**10, 20.0) is None
    made = line.place(10**10 + FRAME, 20.03)
    assert made is not None
    assert 19.9 < made / RATE < 20.2


def test_small_steps_stay_as_they_are() -> None:
    times = [0, 4 * FRAME, 2 * FRAME, FRAME, 3 * FRAME, int(MAX_STEP_S * RATE)]
    assert placed(times) == times


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("back_s", [1.1, 2.0, 4.0, 5.0, 5.1])
def test_a_clock_that_is_set_back_by_a_little_goes_on(back_s: float, live: bool) -> None:
    times = [i * FRAME for i in range(180)]
    times += [times[-1] - int(back_s * RATE) + i * FRAME for i in range(60)]
    made = placed(times, live=live)
    assert made[180] is None  # alone, it might be an error
    rest = [at for at in made[181:] if at is not None]
    assert len(rest) == 59
    assert all(b - a == FRAME for a, b in pairwise(rest))
    assert FRAME <= rest[0] - 179 * FRAME <= 2 * FRAME + 1


@given(st.lists(st.integers(-(2**40), 2**40), max_size=60))
def test_whatever_comes_it_never_leaps(times: list[int]) -> None:
    line = Timeline(RATE)
    newest = 0
    for at in times:
        made = line.place(at)
        if made is not None:
            assert made - newest <= (MAX_STEP_S + 1) * RATE
            newest = max(newest, made)


def test_pictures_are_moved_to_their_sound() -> None:
    sound = Distance()
    shift = PictureShift(RATE, sound)
    assert [shift.move(i * FRAME, 100 + i / 30) for i in range(3)] == [0, FRAME, 2 * FRAME]  # no sound yet
    for i in range(15):
        sound.note(i / 50 + 0.2, 100 + i / 50)  # heard 0.2 s later than the pictures are shown
    assert shift.move(3 * FRAME, 100.1) == 3 * FRAME + RATE // 5
    for i in range(15, 30):
        sound.note(i / 50 + 0.1, 100 + i / 50)  # and then 0.1 s earlier
    moved = [shift.move(i * FRAME, 100 + i / 30) for i in range(4, 30)]
    assert all(FRAME // 2 <= after - before <= FRAME for before, after in pairwise(moved))
    assert moved[-1] == 29 * FRAME + RATE // 10


def test_lone_late_readings_move_nothing() -> None:
    sound = Distance()
    shift = PictureShift(RATE, sound)
    for i in range(60):
        sound.note(i / 50, 100 + i / 50 + (0.08 if i % 5 == 0 else 0))
        assert shift.move(i * FRAME, 100 + i / 30 + (0.05 if i % 4 == 0 else 0)) == i * FRAME


@given(
    st.lists(
        st.tuples(st.integers(0, 2**33), st.none() | st.floats(allow_nan=True, allow_infinity=True)),
        max_size=60,
    ),
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=30),
)
def test_pictures_go_no_further_than_that_whatever_is_said(
    pictures: list[tuple[int, float | None]], sounds: list[float]
) -> None:
    sound = Distance()
    shift = PictureShift(RATE, sound)
    for number, (ticks, captured) in enumerate(pictures):
        if number < len(sounds):
            sound.note(number / 50, sounds[number])
        moved = shift.move(ticks, captured)
        assert abs(moved - ticks) <= MAX_SHIFT_S * RATE + 1
