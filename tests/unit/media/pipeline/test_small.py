"""Levels, rates, lip sync, the metronome, and notes of who was heard."""

from __future__ import annotations

import asyncio
import math

import numpy as np
import pytest

from rtcstack.clock import monotonic
from rtcstack.media.frames import audio_frame
from rtcstack.media.pipeline.inbound import MAX_SOURCES, SourceNotes
from rtcstack.media.pipeline.level import SILENCE, audio_level
from rtcstack.media.pipeline.rate import FrameRate
from rtcstack.media.playout.metronome import GRID_S, metronome
from rtcstack.media.playout.sync import MAX_WAIT_S, PlayoutSync
from rtcstack.rtp.frames import EncodedFrame
from tests.support.virtual import in_virtual_time


def sine(amplitude: float) -> np.ndarray:
    return (np.sin(np.arange(960) * 2 * math.pi * 480 / 48_000) * amplitude).astype(np.int16)


@pytest.mark.parametrize(("amplitude", "level"), [(32767, 3), (3277, 23), (328, 43)])
def test_the_level_of_a_sine(amplitude: float, level: int) -> None:
    assert audio_level(audio_frame(sine(amplitude))) == pytest.approx(level, abs=1)


def test_silence_is_the_lowest_level() -> None:
    assert audio_level(audio_frame(np.zeros(960, np.int16))) == SILENCE


def test_a_rate_is_known_after_a_second_and_forgotten_after_two() -> None:
    rate = FrameRate()
    now = 100.0
    assert rate.per_second(now) is None
    for _ in range(60):
        now += 1 / 25
        rate.count(now)
    assert rate.per_second(now) == pytest.approx(25, abs=1)
    assert rate.per_second(now + 3) is None


def test_pictures_wait_for_their_sound() -> None:
    sync = PlayoutSync()
    assert sync.wait_s(10.0, 500.0) == 0.0
    for i in range(50):
        sync.heard(10.0 + i * 0.02, 500.1 + i * 0.02)  # sound is 0.1 s old when it is heard
    assert sync.wait_s(11.0, 501.0) == pytest.approx(0.1, abs=0.005)
    assert sync.wait_s(11.0, 501.2) == 0.0, "late pictures do not wait"
    assert sync.wait_s(25.0, 501.0) == MAX_WAIT_S
    assert sync.wait_s(11.0, 503.0) == 0.0, "sound that stopped says nothing"
    assert sync.wait_s(None, 501.0) == 0.0


class Drummer:
    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.next_at = math.inf
        self.times: list[float] = []

    def tick(self, now: float) -> None:
        self.times.append(now)
        self.next_at += self.interval


@in_virtual_time
async def test_players_of_one_pace_are_called_together() -> None:
    one, two = Drummer(0.02), Drummer(0.02)
    metronome().add(one)
    await asyncio.sleep(0.013)
    metronome().add(two)
    while len(two.times) < 5:
        await asyncio.sleep(0.005)
    metronome().remove(one)
    metronome().remove(two)
    phases = {round((t.next_at / GRID_S) % 2) % 2 for t in (one, two)}
    assert len(phases) <= 2
    assert abs(one.next_at / GRID_S - round(one.next_at / GRID_S)) < 1e-3
    await asyncio.sleep(0.05)
    count = len(one.times)
    await asyncio.sleep(0.05)
    assert len(one.times) == count
    assert one.times[0] <= monotonic()


def test_sources_are_remembered_for_ten_seconds_and_not_without_bound() -> None:
    notes = SourceNotes()
    for ssrc in range(3 * MAX_SOURCES):
        notes.played(EncodedFrame(b"", ssrc, 0, ssrc, 0.0, audio_level=20), 100.0 + ssrc / 1000)
    recent = notes.recent(101.0, contributing=False)
    assert len(recent) == MAX_SOURCES
    assert recent[0].source == 3 * MAX_SOURCES - 1
    assert notes.recent(120.0, contributing=False) == []
    notes.played(EncodedFrame(b"", 1, 0, 1, 0.0, contributing=(7, 8), contributing_levels=(30, 40)), 130.0)
    mixed = notes.recent(130.0, contributing=True)
    assert [(n.source, n.audio_level) for n in mixed] == [(8, 40), (7, 30)]
