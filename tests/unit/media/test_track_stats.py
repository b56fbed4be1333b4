"""MediaStreamTrack.stats and configurationchange.

Spec: mediacapture-extensions.
"""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from rtcstack.clock import unix_time
from rtcstack.media.form import Form
from rtcstack.media.frames import audio_frame, set_capture_time
from rtcstack.media.pipeline.inbound import ReceiverSource
from rtcstack.media.source import TrackSource
from rtcstack.media.testsources import TestPatternSource
from rtcstack.media.trackstats import MediaStreamTrackAudioStats, MediaStreamTrackVideoStats
from tests.support.virtual import in_virtual_time
from tests.unit.media.test_track import Sink, video


async def test_pictures_are_counted_also_those_that_nobody_reads() -> None:
    source = TrackSource("video")
    track = source.track()
    stats = track.stats
    assert isinstance(stats, MediaStreamTrackVideoStats)
    assert stats is track.stats
    for i in range(30):
        source.push(video(i))
    assert (stats.deliveredFrames, stats.discardedFrames, stats.totalFrames) == (30, 0, 30)
    await track.applyConstraints({"frameRate": 10})
    sink = Sink()
    track.add_sink(sink)
    assert stats.deliveredFrames == 30
    for i in range(30, 60):
        source.push(video(i))
    assert stats.deliveredFrames == 30  # the same within a turn
    await asyncio.sleep(0)
    assert stats.toJSON() == {"deliveredFrames": 40, "discardedFrames": 20, "totalFrames": 60}
    assert len(sink.frames) == 10
    track.enabled = False
    source.push(video(60))
    track.enabled = True
    source.set_muted(True)
    source.push(video(61))
    await asyncio.sleep(0)
    assert stats.totalFrames == 60
    assert track.clone().stats is not stats


@in_virtual_time
async def test_sound_is_counted_with_its_latency() -> None:
    source = TrackSource("audio")
    track = source.track()
    stats = track.stats
    assert isinstance(stats, MediaStreamTrackAudioStats)

    def push(latency_s: float) -> None:
        frame = audio_frame(np.zeros(480, np.int16))
        set_capture_time(frame, unix_time() - latency_s)
        source.push(frame)

    for latency_s in (0.01, 0.03, 0.02):
        push(latency_s)
    assert (stats.deliveredFrames, stats.totalFrames) == (1440, 1440)
    assert stats.deliveredFramesDuration == stats.totalFramesDuration == pytest.approx(30)
    figures = [stats.latency, stats.averageLatency, stats.minimumLatency, stats.maximumLatency]
    assert figures == pytest.approx([20, 20, 10, 30], abs=0.01)
    stats.resetLatency()
    assert [stats.averageLatency, stats.minimumLatency] == pytest.approx([20, 20], abs=0.01)
    await asyncio.sleep(0)
    push(0.04)
    assert [stats.averageLatency, stats.minimumLatency, stats.maximumLatency] == pytest.approx(
        [30, 20, 40], abs=0.01
    )


async def test_tracks_of_a_peer_have_none() -> None:
    assert ReceiverSource("video", "remote", lambda: None).track().stats is None


async def test_a_source_that_becomes_another_is_told() -> None:
    source = TestPatternSource(640, 480, 30)
    track, other = source.track(), source.track()
    told: list[int] = []
    track.onconfigurationchange = lambda: told.append(track.getSettings()["width"])
    other.onconfigurationchange = lambda: told.append(-1)
    other.stop()
    source.declare(Form(640, 480, 30))
    source.declare(Form(1280, 720, 30))
    assert told == []
    await asyncio.sleep(0)
    assert told == [1280]
    assert track.getCapabilities()["width"]["max"] == 1280
    source.set_muted(True)
    source.declare(Form(320, 240, 30))
    await asyncio.sleep(0)
    assert told == [1280]  # not while it is muted
    source.set_muted(False)
    await asyncio.sleep(0)
    assert told == [1280, 320]
    track.stop()
