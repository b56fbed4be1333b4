"""The jitter buffer of a player that can stretch time: the delay follows, and nothing is left out."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.rtp.audio import BACKLOG, MIN_BACKLOG_S, Playout, Pulled
from rtcstack.rtp.packet import RtpPacket
from rtcstack.rtp.playoutpace import (
    ANSWER_S,
    HURRY_RATE,
    HURRY_S,
    LONG_FOR_S,
    PATIENCE_S,
    RATE,
    SHORT_FOR_S,
    TOO_LONG_S,
    TOO_SHORT_S,
    PlayoutPace,
    Stretch,
)
from tests.unit.rtp.media import Speech
from tests.unit.rtp.test_audio import READER, STEP, STEP_S, Player, packet

PERIOD = 384
"""What is taken out or put in at once: 8 ms."""


class Stretcher(Player):
    """A player that can stretch time.

    Attributes:
        able: whether this frame can be stretched.
        asked: how often it was to be.
        out: samples that it has played.
        at: when it stretched, and by how many samples.
    """

    def __init__(self, delay_s: float = 0.0, able: Callable[[bool], bool] = lambda urgent: True) -> None:
        super().__init__(delay_s)
        self.buffer.can_stretch = True
        self.able = able
        self.asked = 0
        self.out = 0
        self.at: list[tuple[float, int]] = []

    def pull(self, count: int = 1) -> Playout:
        for _ in range(count):
            out = self.buffer.pop(self.now)
            self.played.append(out)
            by = 0
            if out.stretch.what is not Stretch.NONE:
                assert out.what is Pulled.FRAME
                self.asked += 1
                if self.able(out.stretch.is_urgent):
                    by = PERIOD * out.stretch.what.value
                    self.at.append((self.now, by))
                self.buffer.stretched(by, self.now)
            self.out += out.duration + by
            self.now += (out.duration + by) / 48_000
        return self.played[-1]

    def mean_delay_s(self, play: Callable[[], object]) -> float:
        """How long sound was held while something was played."""
        delay_s, emitted = self.buffer.delay_s, self.buffer.emitted
        play()
        return (self.buffer.delay_s - delay_s) / (self.buffer.emitted - emitted)

    def go_on(self, packets: Sequence[tuple[float, RtpPacket]], begin: float, end: float) -> None:
        """Play this part of what was going to come."""
        passed = self.now - 10.0
        self.play([(at - passed, each) for at, each in packets if begin <= at < end], end - passed)


def steady(count: int, pace: float = 1.0, first: int = 0) -> list[tuple[float, RtpPacket]]:
    return [(i * STEP_S * pace, packet(first + i)) for i in range(count)]


@pytest.mark.parametrize("drift", [100e-6, -100e-6])
def test_an_hour_of_drifting_clocks_is_made_good_by_stretching_alone(drift: float) -> None:
    player = Stretcher()
    start = player.now
    buffer = player.buffer
    count = round(3600 / STEP_S)
    next_packet, longest_s = 0, 0.0
    while next_packet < count:
        while next_packet < count and next_packet * STEP_S * (1 + drift) <= player.now - start:
            at = start + next_packet * STEP_S * (1 + drift)
            buffer.insert(packet(next_packet, payload=b"%06d" % next_packet), Speech(), READER, at)
            next_packet += 1
        if next_packet == count:
            break
        player.pull()
        player.played.clear()
        longest_s = max(longest_s, buffer.level_s)
    assert (buffer.concealed, buffer.late, buffer.discarded, buffer.flushes) == (0, 0, 0, 0)
    assert longest_s < 0.08
    assert buffer.delay_s / buffer.emitted < 0.05
    moved = sum(by for _, by in player.at)
    # all of the drift, and no more than what is tolerated beside it
    assert moved == pytest.approx(drift * 3600 * 48_000, abs=0.03 * 48_000)
    assert (buffer.inserted, buffer.removed) == ((moved, 0) if drift > 0 else (0, -moved))
    assert len(player.at) < 60  # one in a minute


@pytest.mark.parametrize("drift", [2000e-6, -2000e-6])
def test_clocks_that_are_far_apart(drift: float) -> None:
    player = Stretcher()
    player.play(steady(6000, 1 + drift), 118.0)
    buffer = player.buffer
    assert (buffer.concealed, buffer.discarded) == (0, 0)
    assert buffer.level_s < 0.08


def test_when_the_network_calms_down_the_delay_shrinks_without_leaving_anything_out() -> None:
    rng = random.Random(4)
    player = Stretcher()
    packets = [(i * STEP_S + (rng.random() * 0.2 if i < 500 else 0.0), packet(i)) for i in range(3500)]
    player.go_on(packets, 0, 12)
    heard = len(player.numbers)
    player.go_on(packets, 12, 48)
    late_s = player.mean_delay_s(lambda: player.go_on(packets, 48, 69))
    assert late_s < 0.06
    assert player.numbers[heard:] == list(range(player.numbers[heard], player.numbers[-1] + 1))
    assert not any(out.skipped for out in player.played)
    assert player.buffer.removed > 0.05 * 48_000


def test_more_delay_comes_by_stretching_and_goes_by_it() -> None:
    player = Stretcher()
    packets = steady(2000)
    player.go_on(packets, 0, 10)
    player.buffer.min_delay_s = 0.25
    player.go_on(packets, 10, 13)
    more_s = player.mean_delay_s(lambda: player.go_on(packets, 13, 20))
    assert more_s == pytest.approx(0.25, abs=0.03)
    player.buffer.min_delay_s = 0.0
    player.go_on(packets, 20, 24)
    less_s = player.mean_delay_s(lambda: player.go_on(packets, 24, 30))
    assert less_s < 0.05
    assert player.buffer.concealed == 0
    assert not any(out.skipped for out in player.played)
    assert player.numbers == list(range(len(player.numbers)))


def test_after_an_outage_what_is_far_too_much_is_left_out_and_counted() -> None:
    player = Stretcher()
    packets = steady(1000)
    packets = [(max(at, 12.0) if 10 <= at < 12 else at, each) for at, each in packets]
    player.go_on(packets, 0, 10)
    player.go_on(packets, 10, 12.5)
    # what has come at once is more than is made good by playing faster: all but what is needed goes
    skips = [out.skipped for out in player.played if out.skipped]
    assert len(skips) == 1
    assert skips[0] * STEP_S > max((BACKLOG - 1) * player.buffer.target_s, MIN_BACKLOG_S)
    assert player.buffer.removed >= skips[0] * STEP
    assert player.buffer.level_s < player.buffer.target_s + 0.08
    player.go_on(packets, 12.5, 19)
    assert player.buffer.level_s < 0.08
    assert sum(out.skipped for out in player.played) == skips[0]


def test_a_short_outage_is_made_good_by_playing_faster() -> None:
    player = Stretcher()
    packets = [(max(at, 10.25) if 10 <= at < 10.25 else at, each) for at, each in steady(1000)]
    player.go_on(packets, 0, 14)
    late_s = player.mean_delay_s(lambda: player.go_on(packets, 14, 19))
    assert late_s < 0.06
    assert not any(out.skipped for out in player.played)
    assert player.numbers == list(range(len(player.numbers)))


@pytest.mark.parametrize("excess_s", [0.05, 0.5, -0.05, -0.5])
def test_time_is_not_stretched_by_more_than_a_part_of_it(excess_s: float) -> None:
    pace = PlayoutPace()
    now = 0.0
    begun: float | None = None
    moved = 0.0
    for _ in range(1000):
        if pace.next(excess_s, now).what is not Stretch.NONE:
            pace.done(0.008, now)
            begun = now if begun is None else begun
            moved += 0.008
        now += STEP_S
    assert begun is not None
    assert (RATE, HURRY_RATE) == (0.12, 0.25)  # more is heard as haste
    rate = HURRY_RATE if abs(excess_s) > HURRY_S else RATE
    assert moved <= rate * (now - begun) + 0.008
    assert moved >= 0.6 * rate * (now - begun)
    patience_s = 0.0 if abs(excess_s) > HURRY_S else LONG_FOR_S if excess_s > 0 else SHORT_FOR_S
    assert begun == pytest.approx(patience_s, abs=STEP_S)


@pytest.mark.parametrize("excess_s", [TOO_LONG_S, 0.0, -TOO_SHORT_S])
def test_what_is_tolerated_is_left_alone(excess_s: float) -> None:
    pace = PlayoutPace()
    assert all(pace.next(excess_s, i * STEP_S).what is Stretch.NONE for i in range(500))


def test_a_moment_is_no_reason() -> None:
    """A packet that comes late, or several at once, change nothing for good."""
    pace = PlayoutPace()
    for i in range(500):
        excess_s = 0.06 if i % 20 else 0.0
        assert pace.next(excess_s, i * STEP_S).what is Stretch.NONE


def test_what_cannot_be_stretched_unheard_is_stretched_in_the_end() -> None:
    player = Stretcher(able=lambda urgent: urgent)
    player.play(steady(6000, 0.998), 100.0)
    assert player.at
    assert player.asked > 5 * len(player.at)
    assert player.buffer.level_s < 0.12
    pace = PlayoutPace()
    urgent = []
    for i in range(100):
        wanted = pace.next(0.05, i * STEP_S)
        if wanted.what is Stretch.SHORTEN:
            pace.done(0.0, i * STEP_S)
            urgent.append(wanted.is_urgent)
    assert urgent.index(True) == pytest.approx(PATIENCE_S / STEP_S, abs=1)
    assert all(urgent[urgent.index(True) :])


def test_an_answer_that_never_comes_is_not_waited_for() -> None:
    pace = PlayoutPace()
    asked = [i * STEP_S for i in range(300) if pace.next(0.05, i * STEP_S).what is Stretch.SHORTEN]
    assert len(asked) > 2
    assert all(b - a >= ANSWER_S - 1e-9 for a, b in pairwise(asked))


def test_hardly_anything_held_is_not_played_faster() -> None:
    player = Stretcher(0.06)
    player.put(packet(0), packet(1), packet(2))
    player.buffer.min_delay_s = 0.0
    player.now += 2.0  # nobody has played it: it is far too late by now
    player.pull(20)
    assert all(out.stretch.what is Stretch.NONE for out in player.played[2:])


@given(
    arrivals=st.lists(
        st.tuples(st.floats(0, 0.4), st.integers(0, 3), st.integers(1, 12)), min_size=1, max_size=80
    ),
    wanted=st.sampled_from([0.0, 0.1, 0.4]),
    seed=st.integers(0, 1000),
)
def test_what_goes_in_comes_out_but_for_what_was_counted(
    arrivals: list[tuple[float, int, int]], wanted: float, seed: int
) -> None:
    rng = random.Random(seed)
    player = Stretcher(wanted, able=lambda urgent: rng.random() < 0.7)
    buffer = player.buffer
    number, began = 0, player.now
    due = player.now
    for late_s, lost, together in arrivals:
        number += lost
        for _ in range(together):
            buffer.insert(packet(number, payload=b"%06d" % number), Speech(), READER, due)
            number += 1
            due += STEP_S
        while player.now < due + late_s - 0.2:
            before = player.out
            player.pull()
            assert 0 < player.out - before <= STEP + PERIOD
    frames = sum(out.duration for out in player.played if out.what is Pulled.FRAME)
    made = sum(out.duration for out in player.played if out.what is not Pulled.FRAME)
    stretched = sum(by for _, by in player.at)
    # what was played is as long as the time that it was played in,
    assert player.out == pytest.approx((player.now - began) * 48_000, abs=1)
    # and as long as what came, less what was taken out, and more by what was put in
    assert player.out == frames + made + stretched
    assert buffer.emitted == frames
    assert buffer.concealed <= made
    taken_out = -sum(by for _, by in player.at if by < 0)
    put_in = sum(by for _, by in player.at if by > 0)
    left_out = buffer.removed - taken_out
    assert left_out >= sum(out.skipped for out in player.played) * STEP
    assert left_out % STEP == 0
    assert buffer.inserted >= put_in
