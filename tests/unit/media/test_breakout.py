"""MediaStreamTrackProcessor and VideoTrackGenerator: frames as streams.

Spec: mediacapture-transform, section 3.
"""

from __future__ import annotations

import asyncio
from typing import Any

import av
import numpy as np
import pytest

from rtcstack import MediaStreamTrackProcessor, VideoTrackGenerator
from rtcstack.media.frames import audio_frame
from rtcstack.media.source import TrackSource
from rtcstack.media.track import MediaStreamTrackState
from rtcstack.media.trackprocessor import MAX_BUFFERED
from tests.unit.media.test_track import Sink, video


@pytest.mark.parametrize(("wanted", "kept"), [(0, 1), (1, 1), (3, 3), (65_535, MAX_BUFFERED)])
async def test_the_oldest_gives_way(wanted: int, kept: int) -> None:
    source = TrackSource("video")
    track = source.track()
    processor = MediaStreamTrackProcessor(track, wanted)
    for i in range(100):
        source.push(video(i))
    got = [(await processor.readable.read()) for _ in range(kept)]
    assert [f.pts for f in got if f] == list(range(100 - kept, 100))
    assert processor.readable.dropped == 100 - kept
    assert processor.readable is processor.readable
    track.stop()


@pytest.mark.parametrize(
    "wrong", [{"track": 3}, {"maxBufferSize": -1}, {"maxBufferSize": 65_536}, {"maxBufferSize": "2"}]
)
async def test_wrong_arguments(wrong: dict[str, Any]) -> None:
    track = TrackSource("video").track()
    with pytest.raises(TypeError):
        MediaStreamTrackProcessor(**{"track": track, **wrong})
    assert not track.has_sinks


async def test_frames_come_in_order_to_all_who_ask() -> None:
    source = TrackSource("audio")
    track = source.track()
    readable = MediaStreamTrackProcessor(track, 4).readable
    first, second = (asyncio.ensure_future(readable.read()) for _ in range(2))
    await asyncio.sleep(0)
    for i in range(3):
        source.push(audio_frame(np.full(480, i, np.int16)))
    third = await readable.read()
    assert [f and f.pts for f in (await first, await second, third)] == [0, 480, 960]
    track.stop()


async def test_who_waits_no_more_takes_no_frame() -> None:
    source = TrackSource("video")
    track = source.track()
    readable = MediaStreamTrackProcessor(track, 4).readable
    gone, late = asyncio.ensure_future(readable.read()), asyncio.ensure_future(readable.read())
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    source.push(video(0))
    assert (await late).pts == 0  # type: ignore[union-attr]
    last = asyncio.ensure_future(readable.read())
    await asyncio.sleep(0)
    source.push(video(1))
    last.cancel()  # in the turn in which it got its frame
    with pytest.raises(asyncio.CancelledError):
        await last
    assert (await readable.read()).pts == 1  # type: ignore[union-attr]
    track.stop()


async def test_the_end_of_the_track_ends_the_stream() -> None:
    source = TrackSource("video")
    track = source.track()
    processor = MediaStreamTrackProcessor(track, 4)
    source.push(video())
    track.stop()
    assert [f async for f in processor.readable] == []  # what waited is gone
    assert [f async for f in MediaStreamTrackProcessor(track).readable] == []


async def test_cancel_leaves_the_track_alone() -> None:
    source = TrackSource("video")
    track = source.track()
    readable = MediaStreamTrackProcessor(track).readable
    waiting = asyncio.ensure_future(readable.read())
    await asyncio.sleep(0)
    readable.cancel()
    readable.cancel()
    assert await waiting is None
    assert track.readyState is MediaStreamTrackState.LIVE
    assert not track.has_sinks


async def test_a_generator_gives_what_is_written() -> None:
    generator = VideoTrackGenerator()
    sink, other = Sink(), Sink()
    clone = generator.track.clone()
    generator.track.add_sink(sink)
    clone.add_sink(other)
    await clone.applyConstraints({"width": 16})
    frame = video()
    await generator.writable.write(frame)
    assert sink.frames == [frame]
    assert [(f.width, f.height) for f in other.frames if isinstance(f, av.VideoFrame)] == [(16, 8)]
    for wrong in (3, audio_frame(np.zeros(480, np.int16))):
        with pytest.raises(TypeError):
            await generator.writable.write(wrong)  # type: ignore[arg-type]
    got = generator.track.getCapabilities()
    assert got["frameRate"]["min"] == 0
    assert got["resizeMode"] == ["none", "crop-and-scale"]
    clone.stop()
    generator.track.stop()


async def test_muting_is_told_once_a_turn() -> None:
    generator = VideoTrackGenerator()
    sink = Sink()
    track = generator.track
    track.add_sink(sink)
    told: list[str] = []
    track.onmute = track.onunmute = lambda event: told.append(event.type)
    generator.muted = True
    assert (generator.muted, track.muted) == (True, False)
    await generator.writable.write(video())
    assert sink.frames == []
    assert (track.muted, told) == (True, ["mute"])
    generator.muted = False
    generator.muted = True
    generator.muted = False
    await asyncio.sleep(0)
    assert told == ["mute", "unmute"]
    await generator.writable.write(video())
    assert len(sink.frames) == 1
    track.stop()


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_the_end_of_the_stream_ends_the_tracks(how: str) -> None:
    generator = VideoTrackGenerator()
    clone = generator.track.clone()
    sink = Sink()
    clone.add_sink(sink)
    told: list[str] = []
    for each in (generator.track, clone):
        each.onended = lambda event: told.append(event.type)
    written = generator.writable.write(video())
    await getattr(generator.writable, how)()
    await written
    assert len(sink.frames) == 1
    assert told == ["ended", "ended"]
    assert clone.readyState is MediaStreamTrackState.ENDED
    with pytest.raises(TypeError):
        await generator.writable.write(video())
    await generator.writable.close()


async def test_the_end_of_the_last_track_closes_the_stream() -> None:
    generator = VideoTrackGenerator()
    clone = generator.track.clone()
    generator.track.stop()
    await generator.writable.write(video())
    clone.stop()
    with pytest.raises(TypeError):
        await generator.writable.write(video())
