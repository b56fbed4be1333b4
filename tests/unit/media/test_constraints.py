"""Constraints of tracks: which settings are chosen, and that frames are what the settings say.

Spec: mediacapture-streams, sections 4.3.3 and 11.1; webrtc-pc, section 9.4; mst-content-hint, section 4.1.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.errors import OverconstrainedError
from rtcstack.media.constraints import SUPPORTED_CONSTRAINTS, MediaTrackSupportedConstraints, wanted_settings
from rtcstack.media.form import Form
from rtcstack.media.frames import Frame, audio_frame, audio_to_numpy, set_capture_time, video_to_numpy
from rtcstack.media.pipeline.inbound import ReceiverSource
from rtcstack.media.selecting import Space, select
from rtcstack.media.shaping import CropScaler
from rtcstack.media.source import TrackSource
from rtcstack.media.testsources import TestPatternSource, ToneSource, read_frame_number, test_picture
from rtcstack.media.track import MediaStreamTrack
from rtcstack.testing import run
from tests.support.virtual import in_virtual_time
from tests.unit.media.test_track import Sink, video


def hd() -> MediaStreamTrack:
    return TestPatternSource(1280, 720, 30).track()


def size(track: MediaStreamTrack) -> tuple[Any, ...]:
    got = track.getSettings()
    return got["width"], got["height"], got["frameRate"], str(got["resizeMode"])


SELECTED: list[tuple[dict[str, Any], tuple[int, int, float, str]]] = [
    ({}, (1280, 720, 30.0, "none")),
    ({"width": 1280}, (1280, 720, 30.0, "none")),
    ({"width": 640}, (640, 360, 30.0, "crop-and-scale")),
    ({"height": {"max": 180}}, (320, 180, 30.0, "crop-and-scale")),
    ({"width": {"exact": 640}, "height": {"exact": 480}}, (640, 480, 30.0, "crop-and-scale")),
    ({"width": 4000, "height": 3000}, (1280, 720, 30.0, "none")),
    ({"width": {"ideal": 640}, "resizeMode": {"exact": "none"}}, (1280, 720, 30.0, "none")),
    ({"resizeMode": "crop-and-scale"}, (1280, 720, 30.0, "crop-and-scale")),
    ({"aspectRatio": {"exact": 1.0}}, (720, 720, 30.0, "crop-and-scale")),
    ({"aspectRatio": {"exact": 4 / 3}, "width": {"max": 640}}, (640, 480, 30.0, "crop-and-scale")),
    ({"frameRate": 15}, (1280, 720, 15.0, "crop-and-scale")),
    ({"frameRate": {"max": 10}, "width": 320}, (320, 180, 10.0, "crop-and-scale")),
    ({"frameRate": {"min": 20, "ideal": 5}}, (1280, 720, 20.0, "crop-and-scale")),
    ({"facingMode": "user"}, (1280, 720, 30.0, "none")),
    ({"width": {"min": 100, "max": 200, "ideal": 150}}, (150, 84, 30.0, "crop-and-scale")),
    ({"deviceId": []}, (1280, 720, 30.0, "none")),
    # of advanced sets each holds that can be met beside those before it
    ({"advanced": [{"width": 640, "height": 480}]}, (640, 480, 30.0, "crop-and-scale")),
    ({"advanced": [{"width": 1920}, {"width": {"max": 640}}]}, (640, 360, 30.0, "crop-and-scale")),
    ({"advanced": [{"width": 640}, {"width": 320}, {"height": 200}]}, (640, 200, 30.0, "crop-and-scale")),
    (
        {"width": {"min": 600}, "advanced": [{"width": 320}, {"frameRate": 10}]},
        (1280, 720, 10.0, "crop-and-scale"),
    ),
    # an ideal of an advanced set does not count
    ({"advanced": [{"width": {"ideal": 320}}]}, (1280, 720, 30.0, "none")),
]


@pytest.mark.parametrize(("constraints", "expected"), SELECTED)
async def test_settings_are_those_of_least_distance(
    constraints: dict[str, Any], expected: tuple[int, int, float, str]
) -> None:
    track = hd()
    await track.applyConstraints(constraints)
    assert size(track) == expected
    assert track.getConstraints() == constraints


@pytest.mark.parametrize(
    ("constraints", "name"),
    [
        ({"width": {"min": 1281}}, "width"),
        ({"width": {"exact": 640}, "resizeMode": {"exact": "none"}}, ""),
        ({"frameRate": {"exact": 60}}, "frameRate"),
        ({"width": {"max": 640}, "height": {"min": 480}, "aspectRatio": {"exact": 16 / 9}}, ""),
        ({"deviceId": {"exact": "another"}}, "deviceId"),
        ({"facingMode": {"exact": "user"}}, "facingMode"),
        ({"sampleRate": {"exact": 48_000}}, "sampleRate"),
        ({"width": {"min": 800, "max": 600}}, "width"),
        ({"height": {"max": 360}, "frameRate": {"min": 31}}, "frameRate"),
    ],
)
async def test_what_cannot_be_met_changes_nothing(constraints: dict[str, Any], name: str) -> None:
    track = hd()
    before = {"width": 320}
    await track.applyConstraints(before)
    settings = track.getSettings()
    with pytest.raises(OverconstrainedError) as failed:
        await track.applyConstraints(constraints)
    assert failed.value.constraint == name
    assert failed.value.name == "OverconstrainedError"
    assert (track.getConstraints(), track.getSettings()) == (before, settings)


@pytest.mark.parametrize(
    "constraints",
    [
        {"width": "wide"},
        {"width": {"exact": True}},
        {"frameRate": float("nan")},
        {"resizeMode": 3},
        {"autoGainControl": "yes"},
        {"advanced": {"width": 1}},
        {"advanced": [3]},
        [1],
    ],
)
async def test_values_of_a_wrong_type(constraints: Any) -> None:
    track = hd()
    with pytest.raises(TypeError):
        await track.applyConstraints(constraints)
    assert track.getConstraints() == {}


async def test_calls_take_effect_in_their_order() -> None:
    track = hd()
    first = track.applyConstraints({"width": 640})
    second = track.applyConstraints({"width": {"exact": 5000}})
    third = track.applyConstraints({"width": 320})
    assert track.getConstraints() == {}  # a promise is not settled within the call
    await first
    with pytest.raises(OverconstrainedError):
        await second
    await third
    assert size(track)[0] == 320


async def test_an_ended_track_resolves_and_tells_its_source_alone() -> None:
    track = hd()
    before = track.getSettings()
    track.stop()
    await track.applyConstraints({"width": {"exact": 9999}})
    assert track.getConstraints() == {}
    assert track.getSettings() == {name: before[name] for name in ("deviceId", "groupId")}  # type: ignore[literal-required]


async def test_capabilities_of_a_source_that_says_its_size() -> None:
    got = hd().getCapabilities()
    assert got["width"] == {"min": 1, "max": 1280}
    assert got["height"] == {"min": 1, "max": 720}
    assert got["frameRate"] == {"min": 0.0, "max": 30.0}
    assert got["resizeMode"] == ["none", "crop-and-scale"]
    assert got["deviceId"]
    sound = ToneSource(channels=2).track().getCapabilities()
    assert sound["channelCount"] == {"min": 1, "max": 2}
    assert sound["echoCancellation"] == sound["autoGainControl"] == [False]


def test_supported_constraints_are_all() -> None:
    assert set(SUPPORTED_CONSTRAINTS) == set(MediaTrackSupportedConstraints.__annotations__)
    assert all(SUPPORTED_CONSTRAINTS.values())


@in_virtual_time
async def test_readers_get_the_size_and_the_rate() -> None:
    source = TestPatternSource(640, 480, 30)
    whole, small = source.track(), source.track()
    await small.applyConstraints({"width": {"exact": 320}, "height": {"exact": 240}, "frameRate": 10})
    big, little = Sink(), Sink()
    whole.add_sink(big)
    small.add_sink(little)
    await asyncio.sleep(2.01)
    assert {(f.width, f.height) for f in big.frames} == {(640, 480)}
    assert {(f.width, f.height) for f in little.frames} == {(320, 240)}
    assert len(big.frames) == 61
    assert len(little.frames) == 21
    numbers = [read_frame_number(f) for f in little.frames]
    assert numbers == list(range(0, 61, 3))
    assert little.frames[1].pts == big.frames[3].pts
    assert little.frames[1].opaque == big.frames[3].opaque
    whole.stop()
    small.stop()


async def test_pictures_are_cut_out_of_the_middle() -> None:
    source = TrackSource("video")
    track = source.track()
    sink = Sink()
    track.add_sink(sink)
    await track.applyConstraints({"aspectRatio": {"exact": 1.0}})
    frame = av.VideoFrame.from_ndarray(
        np.concatenate([np.full((64, w, 3), v, np.uint8) for w, v in ((32, 0), (64, 255), (32, 0))], axis=1)
    )
    set_capture_time(frame, 12.5)
    source.push(frame)
    made = sink.frames[0]
    assert (made.width, made.height, made.format.name) == (64, 64, "rgb24")
    assert video_to_numpy(made).min() == 255
    assert made.opaque == frame.opaque


async def test_nothing_is_enlarged_and_settings_follow_what_comes() -> None:
    source = TrackSource("video")
    track = source.track()
    await track.applyConstraints({"width": {"exact": 64}})  # what will come is not known
    sink = Sink()
    track.add_sink(sink)
    for each in (video(0, 32, 16), video(1, 128, 64), video(2, 64, 64), video(3, 256, 64)):
        source.push(each)
        assert track.getSettings()["width"] == sink.frames[-1].width
    assert [(f.width, f.height) for f in sink.frames] == [(32, 16), (64, 32), (64, 64), (64, 16)]


async def test_disabled_tracks_are_black_in_the_size_that_was_asked_for() -> None:
    source = TrackSource("video")
    track = source.track()
    sink = Sink()
    track.add_sink(sink)
    await track.applyConstraints({"width": 16})
    track.enabled = False
    source.push(video())
    assert (sink.frames[0].width, sink.frames[0].height) == (16, 8)
    assert bytes(sink.frames[0].planes[0])[:16] == bytes((16,)) * 16


async def test_sound_is_brought_to_its_settings() -> None:
    source = TrackSource("audio")
    track = source.track()
    sink = Sink()
    track.add_sink(sink)
    source.push(audio_frame(np.zeros((960, 2), np.int16)))
    await track.applyConstraints({"sampleRate": {"exact": 16_000}, "channelCount": 1})
    for _ in range(10):
        source.push(audio_frame(np.full((960, 2), 1000, np.int16)))
    made = [f for f in sink.frames[1:] if isinstance(f, av.AudioFrame)]
    assert {(f.sample_rate, f.layout.nb_channels) for f in made} == {(16_000, 1)}
    assert 2800 < sum(f.samples for f in made) <= 3200
    assert abs(int(audio_to_numpy(made[-1]).mean()) - 1000) < 50
    got = track.getSettings()
    assert (got["sampleRate"], got["channelCount"], got["latency"]) == (16_000, 1, 0.02)


async def test_clones_have_what_was_asked_and_go_their_own_way() -> None:
    track = hd()
    await track.applyConstraints({"width": 640})
    clone = track.clone()
    assert clone.getConstraints() == {"width": 640}
    assert clone.getSettings() == track.getSettings()
    await clone.applyConstraints({"width": 320})
    assert (size(track)[0], size(clone)[0]) == (640, 320)
    await track.applyConstraints()
    assert (size(track)[0], size(clone)[0]) == (1280, 320)
    given = clone.getConstraints()
    given["width"] = 1
    assert clone.getConstraints() == {"width": 320}


async def test_tracks_of_a_peer_are_as_they_come() -> None:
    source = ReceiverSource("video", "remote", lambda: None)
    track = source.track()
    source.push(video(0, 64, 32))
    assert track.getSettings() == {"width": 64, "height": 32, "aspectRatio": 2.0}
    assert track.getCapabilities() == {}
    for constraints, name in (({"height": 10}, "height"), ({"advanced": [{"frameRate": 1}]}, "frameRate")):
        with pytest.raises(OverconstrainedError) as failed:
            await track.applyConstraints(constraints)
        assert failed.value.constraint == name
    await track.applyConstraints({})


class Microphone(TrackSource):
    processing: ClassVar = {"echoCancellation": (True, False), "noiseSuppression": (False, True)}

    def __init__(self) -> None:
        super().__init__("audio")
        self.told: list[dict[str, Any]] = []

    def settings_changed(self, track: MediaStreamTrack) -> None:
        self.told.append(dict(track.getSettings()))


async def test_a_content_hint_chooses_where_constraints_leave_it_open() -> None:
    source = Microphone()
    track = source.track()
    source.push(audio_frame(np.zeros(480, np.int16)))
    assert track.getSettings()["echoCancellation"] is True
    track.contentHint = "music"
    assert track.getSettings()["echoCancellation"] is False
    assert source.told[-1]["echoCancellation"] is False
    await track.applyConstraints({"echoCancellation": {"exact": True}})
    assert track.getSettings()["echoCancellation"] is True
    await track.applyConstraints({})
    assert track.getSettings()["echoCancellation"] is False  # remembered
    track.contentHint = ""
    assert track.getSettings()["echoCancellation"] is True
    with pytest.raises(OverconstrainedError):
        await track.applyConstraints({"autoGainControl": {"exact": True}})


def spaces(width: int, height: int) -> list[Space]:
    return (
        TestPatternSource(width, height, 30)
        .track()
        ._tuning._spaces(Form(width, height, 30, is_declared=True))
    )


bound = st.integers(0, 40)
numbers = st.one_of(
    bound,
    st.fixed_dictionaries({}, optional={"min": bound, "max": bound, "ideal": bound, "exact": bound}),
)
ratios = st.sampled_from([0.5, 1.0, 4 / 3, 2.0])
shapes = st.one_of(
    ratios, st.fixed_dictionaries({}, optional={"min": ratios, "max": ratios, "ideal": ratios})
)


@given(st.fixed_dictionaries({}, optional={"width": numbers, "height": numbers, "aspectRatio": shapes}))
def test_no_size_is_nearer_than_the_chosen_one(constraints: dict[str, Any]) -> None:
    """Against all sizes that there are, of a small picture."""
    width, height = 30, 20
    defaults = {"width": width, "height": height, "frameRate": 1.0}
    box = Space(
        {
            "width": (1, width),
            "height": (1, height),
            "aspectRatio": (1 / height, width),
            "frameRate": (0.0, 1.0),
        },
        {},
        defaults,
    )
    wanted = wanted_settings(constraints)
    chosen = select([box], wanted)

    def distance(w: int, h: int) -> float | None:
        far = 0.0
        for name, value in (("width", w), ("height", h), ("aspectRatio", w / h)):
            each = wanted.basic.get(name)
            if each is None:
                continue
            low = max(each.low, *map(float, each.exact), -1e9)
            high = min(each.high, *map(float, each.exact), 1e9)
            if low > high:
                return None
            if name == "aspectRatio":
                if low * h - w > max(0.5, 0.5 * low) or w - high * h > max(0.5, 0.5 * high):
                    return None
            elif not low <= value <= high:
                return None
            for ideal in map(float, each.ideal):
                far += 0.0 if value == ideal else abs(value - ideal) / max(value, ideal)
        return far

    all_of_them = [
        d for w in range(1, width + 1) for h in range(1, height + 1) if (d := distance(w, h)) is not None
    ]
    if chosen is None:
        assert not all_of_them
    else:
        mine = distance(int(chosen["width"]), int(chosen["height"]))
        assert mine is not None
        assert (
            mine <= min(all_of_them) + 0.06
        )  # where sides are whole, another may be nearer by less than a pixel


def test_a_frame_rate_of_nothing_brings_nothing() -> None:
    async def main() -> None:
        source = TestPatternSource(64, 64)
        track = source.track()
        await track.applyConstraints({"frameRate": {"exact": 0}})
        sink = Sink()
        track.add_sink(sink)
        await asyncio.sleep(1)
        assert source.frames
        assert sink.frames == []
        track.stop()

    run(main())


@pytest.mark.parametrize(("fps", "count"), [(30, 60), (20, 40), (15, 30), (12.5, 25), (1, 2)])
async def test_the_rate_is_kept_whatever_it_divides(fps: float, count: int) -> None:
    source = TrackSource("video")
    track = source.track()
    await track.applyConstraints({"frameRate": {"max": fps}})
    seen: list[Frame] = []
    sink = Sink()
    track.add_sink(sink)
    for i in range(60):
        frame = test_picture(i, 64, 64)
        frame.pts, frame.time_base = i * 3000, video().time_base / 3000
        source.push(frame)
    seen = sink.frames
    assert abs(len(seen) - count) <= 1


@pytest.mark.parametrize("colorspace", [0, 1, 2, 5, 6, 9])
@pytest.mark.parametrize("color_range", [0, 1, 2])
@pytest.mark.parametrize("form", ["yuv420p", "nv12", "yuv444p"])
def test_colours_stay_what_they_are(form: str, colorspace: int, color_range: int) -> None:
    frame = av.VideoFrame(128, 64, form)
    for plane, value in zip(frame.planes, (200, 90, 150), strict=False):
        plane.update(bytes((value,)) * plane.buffer_size)
    frame.pts = 7
    frame.colorspace, frame.color_range = colorspace, color_range
    made = CropScaler(32, 32).fit(frame)
    assert (made.width, made.height, made.pts, made.format.name) == (32, 32, 7, form)
    for plane, value in zip(made.planes, (200, 90, 150), strict=False):
        assert abs(bytes(plane)[0] - value) <= 1
    assert (made.colorspace, made.color_range) == (colorspace, color_range)
