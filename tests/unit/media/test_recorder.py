"""Recordings of sources that jump, of what came encoded, and of processes that are killed."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from rtcstack.errors import OperationError
from rtcstack.media.encoded import EncodedMedia
from rtcstack.media.encodedsource import EncodedSource
from rtcstack.media.frames import audio_frame, video_frame
from rtcstack.media.pipeline.inbound import EncodedReceiverSource, ReceivedCodec
from rtcstack.media.player import MediaPlayer
from rtcstack.media.recorder import MAX_QUEUED_VIDEO, MediaRecorder
from rtcstack.media.source import TrackSource
from rtcstack.media.testsources import ToneSource, test_picture
from tests.unit.media.pipeline.receiving import encode

JUMPS = [90_000 * 3600, -90_000 * 3600, 2**32, -(2**32), 90_000 * 20, -90_000 * 2, -90_000 * 4]


def times_in(path: object, kind: str = "video") -> list[float]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0] if kind == "video" else container.streams.audio[0]
        return sorted(float(p.pts * p.time_base) for p in container.demux(stream) if p.pts is not None)


@pytest.mark.parametrize("ending", ["mp4", "webm"])
@pytest.mark.parametrize("jump", JUMPS)
async def test_a_recording_goes_on_when_its_source_begins_anew(
    jump: int, ending: str, tmp_path: Path
) -> None:
    path = tmp_path / f"call.{ending}"
    recorder = MediaRecorder(path)
    video, audio, tone = TrackSource("video"), TrackSource("audio"), ToneSource(440)
    tracks = video.track(), audio.track()
    for track in tracks:
        recorder.add_track(track)
    await recorder.start()
    for i in range(60):
        frame = test_picture(i, 64, 48)
        frame.pts, frame.time_base = 10**9 + i * 3000 + (jump if i >= 30 else 0), Fraction(1, 90_000)
        video.push(frame)
        for number in (2 * i, 2 * i + 1):
            sound = tone.make(number)
            sound.pts = 10**9 + number * 960 + (jump if i >= 30 else 0)
            audio.push(sound)
    await recorder.stop()
    times, heard = times_in(path), times_in(path, "audio")
    assert len(times) >= 58
    assert 1.8 < times[-1] - times[0] < 2.2
    assert 2.2 < heard[-1] - heard[0] < 2.6


@pytest.mark.parametrize("first", ["audio", "video"])
async def test_streams_stand_in_the_order_of_their_tracks(first: str, tmp_path: Path) -> None:
    path = tmp_path / "call.mp4"
    recorder = MediaRecorder(path)
    sources = {kind: TrackSource(kind) for kind in ("audio", "video")}
    tracks = [sources[kind].track() for kind in sorted(sources, key=lambda kind: kind != first)]
    for track in tracks:
        recorder.add_track(track)
    await recorder.start()
    picture = test_picture(0, 64, 48)
    picture.pts, picture.time_base = 0, Fraction(1, 90_000)
    sources["video"].push(picture)  # before the sound, in any case
    for i in range(10):
        sources["audio"].push(ToneSource(440).make(i))
    await recorder.stop()
    with av.open(str(path)) as container:
        assert [each.type for each in container.streams] == [track.kind for track in tracks]


async def test_a_lone_time_far_away_costs_its_picture_only(tmp_path: Path) -> None:
    path = tmp_path / "call.mp4"
    recorder = MediaRecorder(path)
    video = TrackSource("video")
    track = video.track()
    recorder.add_track(track)
    await recorder.start()
    for i in range(40):
        frame = test_picture(i, 64, 48)
        frame.pts, frame.time_base = i * 3000 + (2**40 if i == 20 else 0), Fraction(1, 90_000)
        video.push(frame)
    await recorder.stop()
    times = times_in(path)
    assert len(times) == 39
    assert times[-1] < 1.4


def encoded(codec: str, count: int, **options: str) -> list[EncodedMedia]:
    name, usual = {
        "h264": ("libx264", {"preset": "veryfast"}),
        "vp8": ("libvpx", {"deadline": "realtime", "lag-in-frames": "0"}),
    }[codec]
    return [
        EncodedMedia(f"video/{codec.upper()}", data, n * 3000, Fraction(1, 90_000), key_frame=key)
        for n, data, key in encode(name, count, (160, 96), usual | options)
    ]


@pytest.mark.parametrize("jump", JUMPS)
async def test_encoded_frames_go_on_with_the_new_source_s_key_frame(jump: int, tmp_path: Path) -> None:
    path = tmp_path / "call.webm"
    source = EncodedSource("video/VP8")
    track = source.track()
    recorder = MediaRecorder(path)
    recorder.add_track(track)
    await recorder.start()
    for offset in (10**10, 10**10 + jump):
        for frame in encoded("vp8", 30):
            frame.pts += offset
            source.push_encoded(frame)
    await recorder.stop()
    times = times_in(path)
    assert len(times) == 60
    assert 1.8 < times[-1] - times[0] < 2.2


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
async def test_encoded_pictures_that_are_reordered_are_all_there(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"call.{ending}"
    source = EncodedSource("video/H264")
    track = source.track()
    recorder = MediaRecorder(path)
    recorder.add_track(track)
    await recorder.start()
    for frame in encoded("h264", 40, bf="3", g="30"):
        source.push_encoded(frame)
    await recorder.stop()
    assert len(times_in(path)) == 40
    with av.open(str(path)) as container:
        shown = [frame.pts for frame in container.decode(video=0)]
    assert len(shown) == 40
    assert shown == sorted(shown)


def receiver_source(*codecs: str) -> EncodedReceiverSource:
    source = EncodedReceiverSource("video/VP8", "remote", lambda: None, lambda: None)
    source.negotiated(ReceivedCodec(c, f"video/{c.upper()}", 90_000) for c in codecs)
    return source


async def test_the_first_frame_tells_the_codec(tmp_path: Path) -> None:
    path = tmp_path / "call.mp4"
    source = receiver_source()
    track = source.track()
    recorder = MediaRecorder(path)
    recorder.add_track(track)
    source.negotiated(
        [ReceivedCodec("vp8", "video/VP8", 90_000), ReceivedCodec("h264", "video/H264", 90_000)]
    )
    await recorder.start()
    for frame in encoded("h264", 20, tune="zerolatency"):
        source.push_encoded(frame)
    await recorder.stop()
    assert len(times_in(path)) == 20


async def test_what_a_file_cannot_hold_is_refused_at_start(tmp_path: Path) -> None:
    source = receiver_source("vp8")
    track = source.track()
    recorder = MediaRecorder(tmp_path / "call.mp4")
    recorder.add_track(track)
    with pytest.raises(OperationError, match="mp4 does not hold VP8"):
        await recorder.start()
    for name, form in (("call.zzz", None), ("call", None), ("call.mp4", "nosuch")):
        again = MediaRecorder(tmp_path / name, form)
        again.add_track(track)
        with pytest.raises(OperationError, match="cannot be recorded"):
            await again.start()
    assert list(tmp_path.iterdir()) == []


async def test_what_a_file_cannot_hold_is_told_when_it_comes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = receiver_source("h264", "vp8")
    track = source.track()
    recorder = MediaRecorder(tmp_path / "call.mp4")
    recorder.add_track(track)
    await recorder.start()
    with caplog.at_level(logging.WARNING, "rtcstack"):
        for frame in encoded("vp8", 3):
            source.push_encoded(frame)
    assert len([r for r in caplog.records if "does not hold VP8" in r.getMessage()]) == 1
    with pytest.raises(OperationError, match="does not hold VP8"):
        await recorder.stop()


KILLED = """
import asyncio, os, signal, sys
from fractions import Fraction
from rtcstack import MediaRecorder, TrackSource
from rtcstack.media.testsources import ToneSource, test_picture
from rtcstack.testing import run

async def main(path, pictures):
    recorder = MediaRecorder(path)
    video, audio, tone = TrackSource("video"), TrackSource("audio"), ToneSource(440)
    tracks = [video.track(), audio.track()] if pictures else [audio.track()]
    for track in tracks:
        recorder.add_track(track)
    await recorder.start()
    for i in range(240):
        if pictures:
            frame = test_picture(i, 64, 48)
            frame.pts, frame.time_base = i, Fraction(1, 30)
            video.push(frame)
        for number in range(i * 5 // 3, (i + 1) * 5 // 3):
            audio.push(tone.make(number))
        while any(entry.queued > 10 for entry in recorder._inputs):
            await asyncio.sleep(0.002)
    while any(entry.queued for entry in recorder._inputs):
        await asyncio.sleep(0.002)
    os.kill(os.getpid(), signal.SIGKILL)

run(main(sys.argv[1], sys.argv[2] == "1"))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
@pytest.mark.parametrize("ending", ["webm", "mkv", "mp4", "ogg"])
def test_what_was_recorded_survives_the_process(ending: str, tmp_path: Path) -> None:
    """Eight seconds, of which at most the last may be lost."""
    path = tmp_path / f"call.{ending}"
    pictures = ending != "ogg"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path), str(int(pictures))], timeout=60, check=False
    )
    assert done.returncode == -9
    heard = times_in(path, "audio")
    assert heard[-1] - heard[0] > 6.5
    if pictures:
        times = times_in(path)
        assert times[-1] - times[0] > 6.5
        with av.open(str(path)) as container:
            shown: list[Any] = list(container.decode(video=0))
        assert len(shown) > 190


async def test_a_player_goes_on_where_a_file_jumps(tmp_path: Path) -> None:
    path = tmp_path / "jumps.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"tune": "zerolatency"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 90_000)
        for i in range(60):
            frame = test_picture(i, 64, 48)
            frame.pts = i * 3000 + (90_000 * 3600 * 26 if i >= 30 else 0)
            frame.time_base = Fraction(1, 90_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    player = MediaPlayer(path, realtime=False)
    assert player.video is not None
    times = [frame.time or 0.0 async for frame in player.video]
    assert len(times) >= 58
    assert times[-1] < 2.2
    assert times == sorted(times)


def empty_sound(pts: int) -> av.AudioFrame:
    frame = av.AudioFrame("s16", "mono", 0)
    frame.sample_rate, frame.pts, frame.time_base = 48_000, pts, Fraction(1, 48_000)
    return frame


@pytest.mark.parametrize("ending", ["wav", "mp4", "webm"])
async def test_empty_and_endless_sound_costs_no_recording(
    ending: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"call.{ending}"
    recorder = MediaRecorder(path)
    source, tone = TrackSource("audio"), ToneSource(440)
    track = source.track()
    recorder.add_track(track)
    await recorder.start()
    with caplog.at_level(logging.WARNING, "rtcstack"):
        for i in range(100):
            source.push(empty_sound(i * 960))
            source.push(tone.make(i))
            if i == 50:
                endless = av.AudioFrame("s16", "mono", 1_000_000)
                endless.sample_rate, endless.pts, endless.time_base = 48_000, i * 960, Fraction(1, 48_000)
                source.push(endless)
        await recorder.stop()
    heard = times_in(path, "audio")
    assert 1.8 < heard[-1] - heard[0] < 2.2
    assert recorder.dropped == 1
    assert len(caplog.records) == 1


async def test_pictures_of_any_size_cost_no_recording(tmp_path: Path) -> None:
    path = tmp_path / "call.mp4"
    recorder = MediaRecorder(path)
    source = TrackSource("video")
    track = source.track()
    recorder.add_track(track)
    await recorder.start()
    for i, size in enumerate([(0, 0), (64, 48), (1, 1), (0, 0), (3, 5), (64, 0), (65, 49), (64, 48)]):
        frame = av.VideoFrame(*size, "yuv420p")
        frame.pts, frame.time_base = i * 3000, Fraction(1, 90_000)
        source.push(frame)
    await recorder.stop()
    assert len(times_in(path)) >= 5


async def test_an_input_that_begins_late_is_counted_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtcstack.media.recording.beginning.START_WAIT_S", 0.0)
    path = tmp_path / "call.mp4"
    recorder = MediaRecorder(path)
    video, audio, tone = TrackSource("video"), TrackSource("audio"), ToneSource(440)
    tracks = video.track(), audio.track()
    for track in tracks:
        recorder.add_track(track)
    await recorder.start()
    for i in range(10):
        frame = test_picture(i, 64, 48)
        frame.pts, frame.time_base = i * 3000, Fraction(1, 90_000)
        video.push(frame)
        for _ in range(1000):
            if not recorder._queue:
                break
            await asyncio.sleep(0)
    with caplog.at_level(logging.WARNING, "rtcstack"):
        for i in range(5):
            audio.push(tone.make(i))
        await recorder.stop()
    assert len(times_in(path)) == 10
    assert recorder.dropped == 5
    assert len(caplog.records) == 1


async def test_what_waits_for_another_input_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "call.mp4"
    recorder = MediaRecorder(path)
    video, audio = TrackSource("video"), TrackSource("audio")
    tracks = video.track(), audio.track()
    for track in tracks:
        recorder.add_track(track)
    await recorder.start()
    count = 3 * MAX_QUEUED_VIDEO
    for i in range(count):
        frame = test_picture(0, 64, 48)
        frame.pts, frame.time_base = i * 3000, Fraction(1, 90_000)
        video.push(frame)
    await recorder.stop()
    assert len(times_in(path)) + recorder.dropped == count
    assert len(times_in(path)) <= 2 * MAX_QUEUED_VIDEO + 1


async def test_a_recording_of_nothing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = MediaRecorder(tmp_path / "call.mp4")
    track = TrackSource("video").track()
    recorder.add_track(track)
    await recorder.start()
    with caplog.at_level(logging.WARNING, "rtcstack"):
        await recorder.stop()
    assert len(caplog.records) == 1


def first_sound_and_light(path: Path, after_s: float) -> tuple[float, float]:
    """When, after some seconds, the first loud sample and the first bright picture are played."""
    bright = loud = -1.0
    with av.open(str(path)) as container:
        for picture in container.decode(video=0):
            if bright < 0 and picture.time > after_s and picture.to_ndarray(format="gray").mean() > 128:
                bright = picture.time
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("s16", "mono", 48_000)
        for frame in container.decode(audio=0):
            for each in resampler.resample(frame):
                samples = np.flatnonzero(np.abs(each.to_ndarray()[0]) > 6000)
                if loud < 0 and len(samples) and each.time + samples[0] / 48_000 > after_s:
                    loud = each.time + samples[0] / 48_000
    return loud, bright


@pytest.mark.parametrize("both", [True, False], ids=["both stall", "the sound alone"])
@pytest.mark.parametrize("stall_ms", [7, 33, 80, 99, 130, 250])
@pytest.mark.parametrize("ending", ["mp4", "webm", "mkv"])
async def test_stalls_move_sound_and_pictures_alike(
    ending: str, stall_ms: int, both: bool, tmp_path: Path
) -> None:
    """Their times tell where they belong; nothing else does."""
    path = tmp_path / f"call.{ending}"
    recorder = MediaRecorder(path, audio_codec="pcm_s16le" if ending == "mkv" else None)
    video, audio = TrackSource("video"), TrackSource("audio")
    for track in (tracks := (video.track(), audio.track())):
        recorder.add_track(track)
    await recorder.start()
    lost_ms = 0
    tone = (np.sin(np.arange(480) * 0.13) * 16_000).astype(np.int16)
    for number in range(600):  # hundredths of a second of sound
        at_ms = number * 10 + lost_ms
        flashes = number >= 590
        if number % 2 == 0:
            picture = np.full((64, 64, 3), 255 if flashes else 0, np.uint8)
            pts_ms = at_ms if both else number * 10
            video.push(video_frame(picture, pts=pts_ms * 90))
        beeps = flashes if both else at_ms >= 5900
        audio.push(audio_frame(tone if beeps else tone * 0, pts=at_ms * 48))
        if not both and at_ms >= 5990:
            break
        if number % 20 == 19 and number < 200:
            lost_ms += stall_ms
        while any(entry.queued > 10 for entry in recorder._inputs):
            await asyncio.sleep(0.001)
    if not both:
        for later in range(number + number % 2, 600, 2):
            picture = np.full((64, 64, 3), 255 if later >= 590 else 0, np.uint8)
            video.push(video_frame(picture, pts=later * 900))
            while any(entry.queued > 10 for entry in recorder._inputs):
                await asyncio.sleep(0.001)
    await recorder.stop()
    assert tracks
    loud, bright = first_sound_and_light(path, 5.5)
    assert loud > 0
    assert abs(loud - bright) < 0.02
