"""Programs for aiortc get sound in frames of 20 ms, however long those are that were played."""

from __future__ import annotations

import random

import numpy as np
import pytest

from rtcstack.compat.aiortc.evensound import EvenSound
from rtcstack.compat.aiortc.nativetracks import RemoteStreamTrack
from rtcstack.media.frames import audio_frame, audio_to_numpy


def frames(lengths: list[int], rate: int = 48_000, channels: int = 1) -> list:
    """A ramp, cut into frames of these lengths."""
    ramp = np.arange(sum(lengths), dtype=np.int16)
    sound = ramp if channels == 1 else np.stack([ramp, -ramp], axis=1)
    ends = np.cumsum(lengths)
    starts = [int(end - length) for end, length in zip(ends, lengths, strict=True)]
    return [
        audio_frame(sound[start : start + length], rate, pts=start)
        for start, length in zip(starts, lengths, strict=True)
    ]


def test_frames_of_20_ms_are_handed_on_as_they_are() -> None:
    even = EvenSound()
    given = frames([960] * 10)
    assert [out for frame in given for out in even.cut(frame)] == given


@pytest.mark.parametrize(("rate", "channels"), [(48_000, 1), (48_000, 2), (16_000, 1), (8_000, 1)])
def test_others_are_cut_anew_and_nothing_is_lost(rate: int, channels: int) -> None:
    rng = random.Random(1)
    even = EvenSound()
    usual = rate // 50
    lengths = [rng.choice([usual, usual, usual, usual - 37, usual + 55, 3 * usual]) for _ in range(100)]
    given = frames(lengths, rate, channels)
    got = [out for frame in given for out in even.cut(frame)]
    assert {frame.samples for frame in got} == {usual}
    assert [frame.pts for frame in got] == [i * usual for i in range(len(got))]
    assert sum(lengths) - len(got) * usual < usual
    sound = np.concatenate([audio_to_numpy(frame) for frame in got])
    assert (sound[:, 0] == np.arange(len(sound), dtype=np.int16)).all()
    assert channels == 1 or (sound[:, 1] == -np.arange(len(sound), dtype=np.int16)).all()


def test_another_form_begins_anew() -> None:
    even = EvenSound()
    assert len(even.cut(frames([1000])[0])) == 1
    assert [f.samples for f in even.cut(frames([160], 8_000)[0])] == [160]


async def test_a_track_gives_them() -> None:
    track = RemoteStreamTrack("audio")
    assert track._queue.empty()
    for frame in frames([960, 800, 1120, 2880]):
        track.deliver(frame)
    got = [await track.recv() for _ in range(6)]
    assert [(frame.samples, frame.pts) for frame in got] == [(960, i * 960) for i in range(6)]
