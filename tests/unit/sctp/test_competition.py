"""When a flow that aims at a delay takes others for flows that fill the buffer. Times are of any clock."""

from __future__ import annotations

from math import inf

from rtcstack.sctp.competition import FALL_S, FOREIGN_AFTER_S, FOREIGN_QUEUE_S, Competition

NOW = 1e6
PACKETS = 40.0
FULL_S = 0.24


def watch(competition: Competition, now: float, *, rtt_s: float = 0.2, excess_s: float = 0.0) -> bool:
    return competition.watch(rtt_s, excess_s, PACKETS, now)


def test_a_queue_that_was_there_first_must_stand_as_long_as_any_other() -> None:
    competition = Competition()
    excess_s = 2 * FOREIGN_QUEUE_S
    assert not watch(competition, NOW, excess_s=excess_s)
    assert not watch(competition, NOW + FOREIGN_AFTER_S, excess_s=excess_s)
    assert watch(competition, NOW + FOREIGN_AFTER_S + 0.1, excess_s=excess_s)
    assert competition.window == PACKETS


def test_a_queue_that_was_gone_meanwhile_begins_anew() -> None:
    competition = Competition()
    watch(competition, NOW, excess_s=0.1)
    watch(competition, NOW + FOREIGN_AFTER_S - 1, excess_s=0.0)
    assert not watch(competition, NOW + FOREIGN_AFTER_S + 1, excess_s=0.1)


def test_a_queue_that_falls_after_a_loss_was_somebodys_who_fills_the_buffer() -> None:
    competition = Competition()
    competition.on_losses(FULL_S, inf, NOW)
    assert not watch(competition, NOW + 0.2, rtt_s=FULL_S - FALL_S + 0.001)
    assert watch(competition, NOW + 0.4, rtt_s=FULL_S - FALL_S - 0.001)


def test_a_queue_that_falls_long_after_a_loss_says_nothing() -> None:
    competition = Competition()
    competition.on_losses(FULL_S, inf, NOW)
    assert not watch(competition, NOW + 2.0, rtt_s=FULL_S - 2 * FALL_S)


def test_a_queue_of_our_own_falls_no_lower_than_it_was() -> None:
    competition = Competition()
    competition.on_losses(FULL_S, 0.08, NOW)
    assert not watch(competition, NOW + 0.2, rtt_s=0.09)
    assert watch(competition, NOW + 0.3, rtt_s=0.07)


def test_what_we_emptied_ourselves_says_nothing() -> None:
    competition = Competition()
    competition.on_losses(FULL_S, inf, NOW)
    competition.forget_losses()
    assert not watch(competition, NOW + 0.2, rtt_s=0.05)
