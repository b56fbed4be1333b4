"""Sound that changes its form on the way is heard whole."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from rtcstack import MediaPlayer, TrackSource
from rtcstack.media.frames import audio_to_numpy
from rtcstack.media.resampling import Resampler
from rtcstack.media.sinks import CallbackSink
from tests.support.virtual import in_virtual_time

Form = tuple[str, str, int]
FORMS: list[Form] = [
    ("s16", "mono", 24_000),
    ("s16", "stereo", 48_000),
    ("fltp", "stereo", 44_100),
    ("s16", "mono", 8_000),
    ("s16p", "mono", 16_000),
    ("fltp", "5.1", 48_000),
]


def tone(form: Form, begin: int, samples: int, hz: float) -> av.AudioFrame:
    name, layout, rate = form
    channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    wave = np.sin((np.arange(samples) + begin) * 2 * np.pi * hz / rate) * 0.4
    planar = name.endswith("p")
    data = np.stack([wave] * channels) if planar else np.repeat(wave, channels)[None, :]
    data = data.astype(np.float32) if "flt" in name else (data * 32767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(data), format=name, layout=layout)
    frame.sample_rate = rate
    return frame


def test_every_form_becomes_the_wanted_one_and_keeps_its_time() -> None:
    resampler = Resampler("mono", 48_000, 960)
    out: list[av.AudioFrame] = []
    seconds = 0.0
    for number, form in enumerate(FORMS):
        rate = form[2]
        for i in range(25):
            frame = tone(form, i * rate // 50, rate // 50, 400 + 100 * number)
            frame.pts, frame.time_base = round(seconds * rate), Fraction(1, rate)
            seconds += 0.02
            out += resampler.resample(frame)
    out += resampler.resample(None)
    assert {(f.format.name, f.layout.name, f.sample_rate) for f in out} == {("s16", "mono", 48_000)}
    assert sum(f.samples for f in out) / 48_000 == pytest.approx(seconds, abs=0.01)
    for before, after in pairwise(out):
        assert after.time is not None
        assert before.time is not None
        assert after.time - before.time == pytest.approx(before.samples / 48_000, abs=0.003)
    for number in range(len(FORMS)):
        sound = np.concatenate([audio_to_numpy(f)[:, 0] for f in out])[
            round((number * 0.5 + 0.1) * 48_000) : round((number * 0.5 + 0.4) * 48_000)
        ].astype(float)
        spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
        assert np.argmax(spectrum) * 48_000 / len(sound) == pytest.approx(400 + 100 * number, abs=8)
    assert resampler.resample(None) == []


@in_virtual_time
async def test_sound_without_a_time_follows_on_at_any_rate() -> None:
    source = TrackSource("audio")
    track = source.track()
    got: list[Any] = []
    sink = CallbackSink(track, got.append)
    for form in FORMS:
        for i in range(3):
            source.push(tone(form, i, form[2] // 50, 400))
    assert [round(float(f.pts * f.time_base), 3) for f in got] == [
        round(0.02 * i, 3) for i in range(len(got))
    ]
    # and behind one that has a time, in whatever base
    frame = tone(FORMS[0], 0, 480, 400)
    frame.pts, frame.time_base = 5_000, Fraction(1, 1000)
    source.push(frame)
    source.push(tone(FORMS[1], 0, 960, 400))
    assert float(got[-1].pts * got[-1].time_base) == pytest.approx(5.02)
    sink.stop()


def mp3(channels: int, rate: int, hz: float, path: Path) -> bytes:
    with av.open(str(path), "w", format="mp3", options={"write_xing": "0", "id3v2_version": "0"}) as file:
        layout = "mono" if channels == 1 else "stereo"
        stream: Any = file.add_stream("mp3", rate=rate)
        stream.layout = layout
        frame = tone(("s16", layout, rate), 0, rate, hz)
        frame.pts, frame.time_base = 0, Fraction(1, rate)
        resampler = av.AudioResampler(stream.codec_context.format.name, layout, rate, 1152)
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            file.mux(stream.encode(piece))
        file.mux(stream.encode(None))
    return path.read_bytes()


@pytest.mark.parametrize("second", [(2, 44_100), (1, 48_000)], ids=["mono to stereo", "44.1 to 48 kHz"])
def test_a_file_whose_sound_changes_is_played_whole(second: tuple[int, int], tmp_path: Path) -> None:
    joined = mp3(1, 44_100, 440, tmp_path / "a.mp3") + mp3(*second, 880, tmp_path / "b.mp3")
    (tmp_path / "radio.mp3").write_bytes(joined)

    @in_virtual_time
    async def play() -> None:
        player = await MediaPlayer.open(str(tmp_path / "radio.mp3"), realtime=False)
        assert player.audio is not None
        samples = [frame.samples async for frame in player.audio]
        player.stop()
        assert sum(samples) / 48_000 == pytest.approx(2.0, abs=0.12)

    play()


def test_the_picture_on_a_sleeve_is_no_video(tmp_path: Path) -> None:
    path = str(tmp_path / "song.mp3")
    with av.open(path, "w", format="mp3") as file:
        sound: Any = file.add_stream("mp3", rate=44_100)
        sound.layout = "mono"
        sleeve: Any = file.add_stream("mjpeg")
        sleeve.width = sleeve.height = 64
        sleeve.pix_fmt = "yuvj420p"
        sleeve.disposition = av.stream.Disposition.attached_pic
        file.mux(sleeve.encode(av.VideoFrame(64, 64, "yuvj420p")))
        file.mux(sleeve.encode(None))
        frame = tone(("s16", "mono", 44_100), 0, 44_100, 440)
        frame.pts, frame.time_base = 0, Fraction(1, 44_100)
        resampler = av.AudioResampler(sound.codec_context.format.name, "mono", 44_100, 1152)
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            file.mux(sound.encode(piece))
        file.mux(sound.encode(None))
    with av.open(path) as file:
        assert len(file.streams.video) == 1

    @in_virtual_time
    async def play() -> None:
        player = await MediaPlayer.open(path, realtime=False)
        assert player.video is None
        assert player.audio is not None
        assert sum([frame.samples async for frame in player.audio]) > 40_000
        player.stop()

    play()
