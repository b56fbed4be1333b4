"""Tracks: reading, bounds, ends, clones, what is disabled."""

from __future__ import annotations

import asyncio
import gc
import weakref
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rtcstack.errors import InvalidStateError
from rtcstack.media.frames import (
    Frame,
    audio_frame,
    audio_to_numpy,
    capture_time,
    set_capture_time,
    video_frame,
    video_planes,
    video_to_numpy,
)
from rtcstack.media.reader import MAX_QUEUED
from rtcstack.media.sinks import CallbackSink, MediaBlackhole, MediaRelay
from rtcstack.media.source import TrackSource
from rtcstack.media.stream import MediaStream
from rtcstack.media.track import MediaStreamTrack, MediaStreamTrackState


def video(index: int = 0, width: int = 32, height: int = 16) -> av.VideoFrame:
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane in frame.planes:
        plane.update(b"\x77" * plane.buffer_size)
    frame.pts, frame.time_base = index, Fraction(1, 30)
    return frame


class Sink:
    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.ends = 0

    def deliver(self, frame: Frame) -> None:
        self.frames.append(frame)

    def track_ended(self) -> None:
        self.ends += 1


async def test_frames_are_read_in_order() -> None:
    source = TrackSource("video")
    track = source.track()
    reading = asyncio.create_task(track.recv())
    await asyncio.sleep(0)
    for i in range(3):
        source.push(video(i))
    assert (await reading).pts == 0
    assert [(await track.recv()).pts for _ in range(2)] == [1, 2]


async def test_async_for_ends_with_the_track() -> None:
    source = TrackSource("video")
    track = source.track()

    async def read() -> list[Any]:
        return [frame.pts async for frame in track]

    task = asyncio.create_task(read())
    for i in range(3):
        await asyncio.sleep(0)
        source.push(video(i))
    await asyncio.sleep(0)
    source.end()
    assert await task == [0, 1, 2]
    assert not track.has_sinks
    with pytest.raises(InvalidStateError):
        await track.recv()


async def test_two_readers_each_get_all_frames() -> None:
    source = TrackSource("video")
    track = source.track()
    first, second = track.reader(), track.reader()
    source.push(video(7))
    assert (await first.read()).pts == (await second.read()).pts == 7
    first.close()
    source.push(video(8))
    assert (await second.read()).pts == 8
    with pytest.raises(InvalidStateError):
        await first.read()


@pytest.mark.parametrize("kind", ["audio", "video"])
async def test_a_slow_reader_loses_the_oldest(kind: str) -> None:
    source = TrackSource(kind)
    track = source.track()
    reader = track.reader()
    for i in range(1000):
        source.push(video(i))
    assert reader.queued == MAX_QUEUED[kind]
    assert reader.dropped == 1000 - MAX_QUEUED[kind]
    assert (await reader.read()).pts == reader.dropped


async def test_a_track_that_nobody_reads_keeps_nothing() -> None:
    source = TrackSource("video")
    track = source.track()
    frame = video()
    known = weakref.ref(frame) if hasattr(frame, "__weakref__") else None
    source.push(frame)
    assert not track.has_sinks
    reader = track.reader()
    assert reader.queued == 0
    del frame
    gc.collect()
    assert known is None or known() is None


async def test_a_cancelled_reader_loses_no_frame() -> None:
    source = TrackSource("video")
    track = source.track()
    first = asyncio.create_task(track.recv())
    second = asyncio.create_task(track.recv())
    await asyncio.sleep(0)
    source.push(video(1))  # wakes the first
    first.cancel()
    assert (await second).pts == 1
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_stop_wakes_readers_and_fires_nothing() -> None:
    track = TrackSource("video").track()
    fired: list[object] = []
    track.onended = fired.append
    reading = asyncio.create_task(track.recv())
    await asyncio.sleep(0)
    track.stop()
    with pytest.raises(InvalidStateError):
        await reading
    assert fired == []
    assert track.readyState == "ended"


async def test_end_of_the_source_is_told_to_all_clones() -> None:
    source = TrackSource("audio", "mic")
    track = source.track("a")
    clone = track.clone()
    stopped = track.clone()
    stopped.stop()
    ended: list[str] = []
    for each in (track, clone, stopped):
        each.onended = lambda event: ended.append(event.target.id)
    source.end()
    source.end()
    assert ended == ["a", clone.id]
    assert clone.label == "mic"
    assert source.track().readyState == "ended"


async def test_mute_is_the_sources() -> None:
    source = TrackSource("video", muted=True)
    track = source.track()
    clone = track.clone()
    told: list[str] = []
    for each in (track, clone):
        each.onmute = each.onunmute = lambda event: told.append(event.type)
    assert track.muted
    track.set_muted(False)
    track.set_muted(False)
    source.set_muted(True)
    assert told == ["unmute", "unmute", "mute", "mute"]
    source.end()
    source.set_muted(False)
    assert track.muted


async def test_clones_end_and_are_disabled_by_themselves() -> None:
    source = TrackSource("video")
    track = source.track()
    clone = track.clone()
    a, b = Sink(), Sink()
    track.add_sink(a)
    clone.add_sink(b)
    clone.enabled = False
    source.push(video())
    picture, black = a.frames[0], b.frames[0]
    assert isinstance(picture, av.VideoFrame)
    assert isinstance(black, av.VideoFrame)
    assert set(bytes(picture.planes[0])) == {0x77}
    assert set(bytes(black.planes[0])) == {16}
    assert set(bytes(black.planes[1])) == {128}
    assert (black.width, black.height, black.pts) == (32, 16, 0)
    track.stop()
    source.push(video(1))
    assert (len(a.frames), a.ends) == (1, 1)
    assert (len(b.frames), b.ends) == (2, 0)


async def test_disabled_audio_is_silent() -> None:
    source = TrackSource("audio")
    track = source.track()
    sink = Sink()
    track.add_sink(sink)
    track.enabled = False
    source.push(audio_frame(np.full((960, 2), 1000, np.int16), 48_000, pts=960))
    frame = sink.frames[0]
    assert isinstance(frame, av.AudioFrame)
    assert not audio_to_numpy(frame).any()
    assert (frame.samples, frame.pts, frame.sample_rate) == (960, 960, 48_000)


async def test_a_sink_that_fails_harms_no_other(expects_loop_exceptions: list[dict[str, Any]]) -> None:
    source = TrackSource("video")
    track = source.track()
    good = Sink()

    def fail(_: Frame) -> None:
        raise RuntimeError("mine")

    CallbackSink(track, fail)
    track.add_sink(good)
    source.push(video())
    assert len(good.frames) == 1
    assert isinstance(expects_loop_exceptions[0]["exception"], RuntimeError)
    assert track.readyState is MediaStreamTrackState.LIVE


async def test_settings_follow_the_frames() -> None:
    source = TrackSource("video")
    track = source.track()
    assert set(track.getSettings()) == {"deviceId", "groupId", "resizeMode"}
    for i in range(30):
        source.push(video(i, 64, 32))
    got = track.getSettings()
    assert (got["width"], got["height"], got["aspectRatio"], got["frameRate"]) == (64, 32, 2.0, 30.0)
    audio = TrackSource("audio")
    audio.push(audio_frame(np.zeros(480, np.int16), 48_000))
    got = audio.track().getSettings()
    assert (got["sampleRate"], got["channelCount"], got["sampleSize"]) == (48_000, 1, 16)
    assert track.getConstraints() == {}


async def test_content_hint_takes_what_the_kind_has() -> None:
    track = TrackSource("video").track()
    track.contentHint = "detail"
    track.contentHint = "music"
    assert track.contentHint == "detail"
    assert track.clone().contentHint == "detail"


async def test_frames_without_a_time_get_one() -> None:
    source = TrackSource("audio")
    sink = Sink()
    source.track().add_sink(sink)  # the track lives as long as...
    track = source.track()
    track.add_sink(sink)
    for _ in range(3):
        source.push(audio_frame(np.zeros(480, np.int16), 48_000))
    assert [f.pts for f in sink.frames] == [0, 480, 960]
    pictures = TrackSource("video")
    taker = pictures.track()
    taker.add_sink(sink)
    frame = video_frame(np.zeros((16, 32, 3), np.uint8))
    pictures.push(frame)
    assert (frame.pts, frame.time_base) == (0, Fraction(1, 90_000))


class Pulled(MediaStreamTrack):
    """A track that writes its own recv, as one writes it for other libraries."""

    def __init__(self, count: int) -> None:
        super().__init__("video")
        self.count = count
        self.made = 0

    async def recv(self) -> Frame:
        if self.made >= self.count:
            raise InvalidStateError("over")
        self.made += 1
        return video(self.made)


async def test_a_track_that_is_pulled(expects_loop_exceptions: list[dict[str, Any]]) -> None:
    track = Pulled(3)
    await asyncio.sleep(0)
    assert track.made == 0  # nobody reads
    assert [f.pts async for f in track] == [1, 2, 3]
    assert track.readyState == "ended"
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_pulled_track_stops_pulling() -> None:
    track = Pulled(10**9)
    reader = track.reader()
    await reader.read()
    reader.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    again = track.reader()
    await again.read()
    track.stop()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


class Camera(MediaStreamTrack):
    """A track of one's own that says its kind as a class does."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self.made = 0

    async def recv(self) -> Frame:
        self.made += 1
        return video(self.made)


async def test_a_class_may_say_the_kind_of_its_tracks() -> None:
    track = Camera()
    assert track.kind == "video"
    reader = track.reader()
    assert [(await reader.read()).pts for _ in range(3)] == [1, 2, 3]
    reader.close()
    assert track.clone().kind == "video"
    track.contentHint = "detail"
    assert track.contentHint == "detail"
    track.stop()


async def test_a_kind_that_is_none_or_another_is_refused() -> None:
    class Microphone(MediaStreamTrack):
        kind = "sound"

    class Screen(MediaStreamTrack):
        kind = "video"

    with pytest.raises(TypeError, match="sound"):
        Microphone()
    with pytest.raises(TypeError, match="None"):
        MediaStreamTrack()
    with pytest.raises(TypeError, match=r"Screen.*'audio'"):
        Screen("audio")
    assert Screen("video").kind == "video"


async def test_demand_starts_and_stops_a_source() -> None:
    told: list[str] = []

    class Watched(TrackSource):
        def demanded(self) -> None:
            told.append("demanded")

        def idle(self) -> None:
            told.append("idle")

        def released(self) -> None:
            told.append("released")

    source = Watched("video")
    track, other = source.track(), source.track()
    a, b = Sink(), Sink()
    track.add_sink(a)
    other.add_sink(b)
    track.remove_sink(a)
    other.remove_sink(b)
    track.add_sink(a)
    track.stop()
    assert told == ["demanded", "idle", "demanded", "idle"]
    del other
    gc.collect()
    assert told[-1] == "released"


async def test_relay_gives_to_several() -> None:
    source = TrackSource("video")
    origin = source.track()
    relay = MediaRelay()
    one, two = relay.subscribe(origin), relay.subscribe(origin)
    assert not origin.has_sinks
    a, b = Sink(), Sink()
    one.add_sink(a)
    two.add_sink(b)
    source.push(video())
    one.stop()
    source.push(video(1))
    assert (len(a.frames), len(b.frames)) == (1, 2)
    ended: list[object] = []
    two.onended = ended.append
    source.end()
    assert len(ended) == 1
    assert two.readyState == "ended"


async def test_blackhole_counts_and_lets_go() -> None:
    source = TrackSource("video")
    track = source.track()
    hole = MediaBlackhole()
    hole.add_track(track)
    hole.add_track(track)
    source.push(video())
    hole.stop()
    source.push(video())
    assert hole.frames == 1
    assert not track.has_sinks


async def test_stream_clones_its_tracks() -> None:
    source = TrackSource("audio")
    stream = MediaStream([source.track()])
    other = stream.clone()
    source.end()
    assert not stream.active
    assert not other.active


def test_numpy_there_and_back() -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (16, 32, 3), np.uint8)
    assert (video_to_numpy(video_frame(pixels, pts=3)) == pixels).all()
    samples = np.arange(1920, dtype=np.int16).reshape(-1, 2)
    frame = audio_frame(samples, 48_000)
    assert (audio_to_numpy(frame) == samples).all()
    assert (audio_to_numpy(audio_frame(samples[:, 0])) == samples[:, :1]).all()
    planar = av.AudioFrame.from_ndarray(samples.T.copy(), format="s16p")
    assert (audio_to_numpy(planar) == samples).all()
    with pytest.raises(ValueError, match="samples"):
        audio_frame(np.zeros((4, 4), np.int16))


def test_a_view_of_any_format_shows_its_numbers_or_is_refused() -> None:
    shown = set()
    for name in av.video.format.names:
        try:
            picture = av.VideoFrame(18, 10, name)
        except ValueError:
            continue  # of hardware
        for plane in picture.planes:
            plane.update((bytes(range(256)) * (plane.buffer_size // 256 + 1))[: plane.buffer_size])
        try:
            views = video_planes(picture)
        except ValueError:
            continue
        shown.add(name)
        order = "big" if picture.format.is_big_endian else "little"
        for index, (view, plane) in enumerate(zip(views, picture.planes, strict=True)):
            size = view.dtype.itemsize
            assert 8 * size >= max(each.bits for each in picture.format.components if each.plane == index)
            assert int(view[1].flat[0]) == int.from_bytes(bytes(plane)[plane.line_size :][:size], order)
    assert {"yuv420p", "nv12", "rgb24", "rgba", "gray", "yuv420p10be", "yuv420p10le", "gray16be"} <= shown
    assert not {"pal8", "rgb565le", "gbrpf32le", "gbrpf16le", "grayf32be"} & shown


def test_views_copy_nothing() -> None:
    picture = av.VideoFrame(62, 48, "yuv420p")  # its lines are padded
    for plane in picture.planes:
        plane.update(bytes(range(plane.line_size % 256)) * (plane.buffer_size // (plane.line_size % 256)))
    planes = video_planes(picture)
    assert [plane.shape for plane in planes] == [(48, 62), (24, 31), (24, 31)]
    assert (np.concatenate([plane.ravel() for plane in planes]) == picture.to_ndarray().ravel()).all()
    line = picture.planes[0].line_size
    picture.planes[0].update(b"\7" * line * 48)
    assert (planes[0] == 7).all()
    assert not any(plane.flags.writeable for plane in planes)
    with pytest.raises(ValueError, match="rgb24"):
        video_to_numpy(picture, copy=False)
    with pytest.raises(ValueError, match="rgb565"):
        video_planes(av.VideoFrame(8, 8, "rgb565le"))

    for format_, shape, kind in (
        ("rgb24", (48, 62, 3), np.uint8),
        ("rgba", (48, 62, 4), np.uint8),
        ("rgb48le", (48, 62, 3), np.uint16),
        ("gray", (48, 62), np.uint8),
        ("gray16le", (48, 62), np.uint16),
    ):
        pixels = np.random.default_rng(1).integers(0, 255, shape).astype(kind)
        view = video_to_numpy(video_frame(pixels, format_), format_, copy=False)
        assert view.shape == shape
        assert view.dtype == kind
        assert (view == pixels).all()
        shared = video_frame(pixels, format_, copy=False)
        pixels[3, 4] = 9
        assert (video_to_numpy(shared, format_) == pixels).all()
        assert not (view == pixels).all()
    with pytest.raises(ValueError, match="CONTIGUOUS"):
        video_frame(np.zeros((8, 8, 3), np.uint8)[:, ::2], copy=False)

    samples = np.arange(960, dtype=np.int16).reshape(-1, 2)
    sound = audio_frame(samples)
    view = audio_to_numpy(sound, copy=False)
    assert (view == samples).all()
    sound.planes[0].update(bytes(samples.nbytes))
    assert not view.any()
    assert (audio_to_numpy(audio_frame(samples[::2, 0]), copy=False)[:, 0] == samples[::2, 0]).all()
    with pytest.raises(ValueError, match="apart"):
        audio_to_numpy(av.AudioFrame.from_ndarray(samples.T.copy(), format="s16p"), copy=False)


@pytest.mark.skipif(not hasattr(av.video.plane.VideoPlane, "__dlpack__"), reason="PyAV before 17")
def test_planes_speak_dlpack() -> None:
    picture = video(64, 48)
    assert (np.from_dlpack(picture.planes[0]) == video_planes(picture)[0]).all()


def test_capture_time_stays_with_the_frame() -> None:
    frame = video()
    assert capture_time(frame) is None
    set_capture_time(frame, 12.5)
    assert capture_time(frame) == 12.5


class TrackMachine(RuleBasedStateMachine):
    """Tracks, sinks, clones and ends in any order: sinks see what is pushed while they are there."""

    def __init__(self) -> None:
        super().__init__()
        self.source = TrackSource("video")
        self.tracks: list[MediaStreamTrack] = [self.source.track()]
        self.sinks: list[tuple[int, Sink, list[int]]] = []
        self.count = 0

    @rule(pick=st.integers(0, 9))
    def clone(self, pick: int) -> None:
        if len(self.tracks) < 6:
            self.tracks.append(self.tracks[pick % len(self.tracks)].clone())

    @rule(pick=st.integers(0, 9))
    def add(self, pick: int) -> None:
        at = pick % len(self.tracks)
        sink = Sink()
        self.tracks[at].add_sink(sink)
        if self.tracks[at].readyState == "live":
            self.sinks.append((at, sink, []))
        else:
            assert sink.ends == 1

    @rule(pick=st.integers(0, 9))
    @precondition(lambda self: self.sinks)
    def remove(self, pick: int) -> None:
        at, sink, expected = self.sinks.pop(pick % len(self.sinks))
        self.tracks[at].remove_sink(sink)
        assert [f.pts for f in sink.frames] == expected

    @rule()
    def push(self) -> None:
        self.count += 1
        self.source.push(video(self.count))
        if not self.source.ended:
            for at, _, expected in self.sinks:
                if self.tracks[at].readyState == "live":
                    expected.append(self.count)

    @rule(pick=st.integers(0, 9))
    def stop(self, pick: int) -> None:
        self.tracks[pick % len(self.tracks)].stop()

    @rule()
    def end(self) -> None:
        self.source.end()

    @invariant()
    def sinks_saw_what_was_pushed(self) -> None:
        for at, sink, expected in self.sinks:
            assert [f.pts for f in sink.frames] == expected
            assert sink.ends == (self.tracks[at].readyState == "ended")
        live = [t for t in self.tracks if t.readyState == "live"]
        assert self.source.tracks == live
        assert self.source.is_demanded is any(t.has_sinks for t in live)


TestTrackMachine = TrackMachine.TestCase
TestTrackMachine.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
