"""Media never fails in silence: what is dropped is counted and said, what goes wrong is in the log."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import av
import numpy as np
import pytest

from rtcstack.events import Event, EventTarget
from rtcstack.media.frames import audio_frame, audio_to_numpy, video_frame
from rtcstack.media.processed import processed
from rtcstack.media.source import TrackSource
from tests.support.virtual import in_virtual_time
from tests.unit.media.pipeline.receiving import Sink

HALF = 0.5 * np.sin(np.arange(960) / 20)


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "int16", "int32", "int64", "uint8"])
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_of_any_kind_are_heard(kind: str, channels: int) -> None:
    scale = {"int16": 2**15, "int32": 2**31, "int64": 2**63, "uint8": 2**7}.get(kind, 1)
    wave: Any = (HALF * scale + (128 if kind == "uint8" else 0)).astype(kind)
    if channels == 2:
        wave = np.stack([wave, wave], axis=1)
    made = audio_to_numpy(audio_frame(wave))
    assert made.shape == (960, channels)
    wanted = HALF * 2**15
    assert np.max(np.abs(made[:, 0] - wanted)) < (300 if kind == "uint8" else 20)


def test_what_is_too_loud_is_clipped() -> None:
    made = audio_to_numpy(audio_frame(np.array([-9.0, -1.0, 1.0, 9.0, np.nan, np.inf, -np.inf], np.float32)))
    assert list(made[:, 0]) == [-32768, -32768, 32767, 32767, 0, 32767, -32768]


def test_16_bit_samples_in_a_wider_type_stay_as_they_are() -> None:
    assert list(audio_to_numpy(audio_frame(np.array([-300, 0, 300])))[:, 0]) == [-300, 0, 300]


@pytest.mark.parametrize("kind", ["bool", "complex64", "uint16"])
def test_what_is_no_sound_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="audio needs"):
        audio_frame(np.zeros(10, kind))


async def test_frames_that_go_nowhere_are_counted_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    source = TrackSource("video", "camera")
    seen = Sink(source.track())
    picture = video_frame(np.zeros((48, 64, 3), np.uint8))
    with caplog.at_level(logging.WARNING, "rtcstack"):
        source.push(picture)
        source.end()
        source.push(picture)
        source.push(picture)
    assert (source.frames, source.dropped, len(seen.frames)) == (1, 2, 1)
    (said,) = caplog.records
    assert "camera" in said.getMessage()


class _Errors(EventTarget):
    pass


class _Error(Event):
    error = "the reason"


def test_an_error_that_nobody_listens_for_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    target = _Errors()
    with caplog.at_level(logging.WARNING, "rtcstack"):
        target.dispatchEvent(_Error("error"))
        target.dispatchEvent(Event("other"))
        target.on("error", lambda: None)
        target.dispatchEvent(_Error("error"))
    (said,) = caplog.records
    assert "the reason" in said.getMessage()
    assert "_Errors" in said.getMessage()


@pytest.mark.usefixtures("expects_loop_exceptions")
@in_virtual_time
async def test_a_function_that_fails_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def work(frame: Any) -> Any:
        raise ValueError("bad function")

    source = TrackSource("video", "camera")
    origin = source.track()
    sink = Sink(processed(origin, work))
    with caplog.at_level(logging.WARNING, "rtcstack"):
        for _ in range(3):
            source.push(av.VideoFrame(64, 48, "yuv420p"))
            for _ in range(200):
                await asyncio.sleep(0.001)
                if caplog.records:
                    break
    assert sink.frames == []
    assert len([r for r in caplog.records if "bad function" in r.getMessage()]) == 1


@pytest.mark.parametrize("kind", ["audio", "video"])
async def test_what_is_no_frame_is_refused_and_one_of_the_other_kind_said(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = TrackSource(kind)
    seen = Sink(source.track())
    sound, picture = av.AudioFrame("s16", "mono", 960), av.VideoFrame(64, 48, "yuv420p")
    sound.sample_rate = 48_000
    for wrong in (b"x", None, 5):
        with pytest.raises(TypeError, match="gives no"):
            source.push(wrong)  # type: ignore[arg-type]
    assert source.frames == 0
    with caplog.at_level(logging.WARNING, "rtcstack"):
        source.push(sound if kind == "audio" else picture)
        assert not caplog.records
        for _ in range(3):
            source.push(picture if kind == "audio" else sound)
    assert len(caplog.records) == 1
    assert len(seen.frames) == 4


@pytest.mark.usefixtures("expects_loop_exceptions")
@in_virtual_time
async def test_a_function_that_makes_frames_of_another_kind_is_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = TrackSource("video", "camera")
    origin = source.track()
    sink = Sink(processed(origin, lambda frame: np.zeros(3)))  # type: ignore[arg-type,return-value]
    with caplog.at_level(logging.WARNING, "rtcstack"):
        for _ in range(200):
            source.push(av.VideoFrame(64, 48, "yuv420p"))
            await asyncio.sleep(0.001)
            if caplog.records:
                break
    assert sink.frames == []
    assert len([r for r in caplog.records if "gives no ndarray" in r.getMessage()]) == 1
