"""Players and recorders, with small real files."""

from __future__ import annotations

import asyncio
import io
import struct
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from rtcstack.codecs import registry
from rtcstack.codecs.coders.audio import AudioSettings
from rtcstack.codecs.coders.video import VideoSettings
from rtcstack.errors import InvalidStateError, NotFoundError, OperationError
from rtcstack.media import player as player_module
from rtcstack.media.devices import camera
from rtcstack.media.frames import frame_bytes
from rtcstack.media.player import MediaPlayer
from rtcstack.media.recorder import MediaRecorder
from rtcstack.media.sinks import save_picture
from rtcstack.media.source import TrackSource
from rtcstack.media.testsources import TestPatternSource, ToneSource, read_frame_number, test_picture
from tests.support.virtual import in_virtual_time
from tests.unit.codecs.material import loudest_hz, samples_of


def picture(index: int, width: int = 160, height: int = 128) -> av.VideoFrame:
    frame = test_picture(index, width, height)
    frame.pts, frame.time_base = index, Fraction(1, 30)
    return frame


async def record(path: object, *, pictures: int = 30, tones: int = 50, **options: object) -> None:
    """A second of the test pattern and a tone, as fast as it is written."""
    recorder = MediaRecorder(path, **options)  # type: ignore[arg-type]
    video, audio, tone = TrackSource("video"), TrackSource("audio"), ToneSource(440)
    tracks = []
    if pictures:
        tracks.append(video.track())
    if tones:
        tracks.append(audio.track())
    for track in tracks:
        recorder.add_track(track)
    await recorder.start()
    for i in range(max(pictures, tones)):
        if i < pictures:
            video.push(picture(i))
        if i < tones:
            audio.push(tone.make(i))
    await recorder.stop()
    await recorder.stop()
    assert recorder.dropped == 0
    assert no_threads("rtcstack-recorder")


def no_threads(name: str) -> bool:
    return not [t for t in threading.enumerate() if t.name == name]


def numbers_in(path: object) -> list[int | None]:
    with av.open(path) as container:  # type: ignore[arg-type]
        return [read_frame_number(f) for f in container.decode(video=0)]


def tone_in(path: object) -> tuple[float, float]:
    """Frequency and seconds."""
    with av.open(path) as container:  # type: ignore[arg-type]
        rate = container.streams.audio[0].rate
        resampler = av.AudioResampler("s16", "mono", rate)
        frames = [r for f in container.decode(audio=0) for r in resampler.resample(f)]
    wave = samples_of(frames)
    return loudest_hz(wave[rate // 5 : -rate // 5], rate), len(wave) / rate


@pytest.mark.parametrize("ending", ["webm", "mp4", "mkv"])
async def test_recorded_pictures_and_sound_are_there(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"call.{ending}"
    await record(path)
    assert numbers_in(str(path)) == list(range(30))
    hz, seconds = tone_in(str(path))
    assert abs(hz - 440) < 5
    assert 0.9 < seconds < 1.1


@pytest.mark.parametrize("ending", ["ogg", "wav", "mp3"])
async def test_recorded_sound(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"call.{ending}"
    await record(path, pictures=0)
    hz, seconds = tone_in(str(path))
    assert abs(hz - 440) < 5
    assert 0.9 < seconds < 1.15


async def test_recorded_ivf_and_open_files(tmp_path: Path) -> None:
    path = tmp_path / "call.ivf"
    await record(path, tones=0)
    assert numbers_in(str(path)) == list(range(30))
    file = io.BytesIO()
    await record(file, format="webm")
    file.seek(0)
    assert numbers_in(file) == list(range(30))


async def test_resolution_changes_while_recording(tmp_path: Path) -> None:
    path = str(tmp_path / "call.webm")
    recorder = MediaRecorder(path)
    source = TrackSource("video")
    track = source.track()
    recorder.add_track(track)
    await recorder.start()
    for i in range(20):
        source.push(picture(i, *((160, 128) if i < 10 else (320, 256))))
    await recorder.stop()
    assert numbers_in(path) == list(range(20))


async def test_gaps_in_the_sound_become_silence(tmp_path: Path) -> None:
    path = str(tmp_path / "call.wav")
    recorder = MediaRecorder(path)
    source, tone = TrackSource("audio"), ToneSource(440)
    track = source.track()
    recorder.add_track(track)
    await recorder.start()
    for i in (*range(20), *range(70, 90)):
        source.push(tone.make(i))
    await recorder.stop()
    _, seconds = tone_in(path)
    assert abs(seconds - 1.8) < 0.05


@pytest.mark.parametrize(
    ("codec", "ending"),
    [("vp8", "webm"), ("vp9", "webm"), ("av1", "webm"), ("h264", "mp4"), ("h264", "mkv"), ("h265", "mp4")],
)
async def test_encoded_frames_are_recorded_as_they_are(codec: str, ending: str, tmp_path: Path) -> None:
    if codec == "av1" and int(av.__version__.partition(".")[0]) < 18:
        pytest.skip("PyAV before 18 cannot write AV1 that it did not encode")
    path = str(tmp_path / f"call.{ending}")
    settings = VideoSettings(bitrate_bps=800_000, parameters={"packetization-mode": "1"})
    encoder = registry.video_encoder(codec, settings)
    units = [u for i in range(20) for u in encoder.encode(picture(i))]
    tones = registry.audio_encoder("opus", AudioSettings())
    tone = ToneSource(440)
    packets = [p for i in range(40) for p in tones.encode(tone.make(i))]
    recorder = MediaRecorder(path)
    video = recorder.add_encoded(codec)
    audio = recorder.add_encoded("opus", channels=1)
    await recorder.start()
    for unit in units[1:2]:  # what nobody could decode is left out
        video.write(unit.data, unit.timestamp, key_frame=False)
    for unit in units:
        video.write(unit.data, unit.timestamp, key_frame=unit.key_frame, width=unit.width, height=unit.height)
    for packet in packets:
        audio.write(packet.data, packet.timestamp)
    await recorder.stop()
    assert numbers_in(path) == list(range(20))
    hz, _ = tone_in(path)
    assert abs(hz - 440) < 5
    with av.open(path) as container:
        written = [bytes(p) for p in container.demux(video=0) if p.size]
    if codec in ("vp8", "vp9"):
        assert written == [u.data for u in units]


async def test_recording_what_a_format_does_not_hold(tmp_path: Path) -> None:
    recorder = MediaRecorder(tmp_path / "call.mkv")
    source = TrackSource("video")
    track = source.track()
    recorder.add_track(track)
    await recorder.start()
    with pytest.raises(InvalidStateError):
        await recorder.start()
    with pytest.raises(InvalidStateError):
        recorder.add_track(track)
    source.push(picture(0))
    recorder2 = MediaRecorder(tmp_path / "call.wav")
    recorder2.add_track(track)
    with pytest.raises(OperationError, match="no video"):
        await recorder2.start()
    with pytest.raises(OperationError, match="THEORA"):
        MediaRecorder(tmp_path / "x.mkv").add_encoded("theora")
    await recorder.stop()
    assert no_threads("rtcstack-recorder")


async def test_recording_to_nowhere(tmp_path: Path) -> None:
    recorder = MediaRecorder(tmp_path / "none" / "call.webm")
    source = TrackSource("video")
    track = source.track()
    recorder.add_track(track)
    with pytest.raises(OperationError, match="no folder"):
        await recorder.start()
    with pytest.raises(InvalidStateError):
        await MediaRecorder(tmp_path / "x.webm").start()


async def test_played_as_fast_as_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "call.webm"
    await record(path)
    player = MediaPlayer(path, realtime=False)
    assert player.video is not None
    assert player.audio is not None

    async def numbers() -> list[int | None]:
        assert player.video is not None
        result = []
        async for frame in player.video:
            assert isinstance(frame, av.VideoFrame)
            result.append(read_frame_number(frame))
            await asyncio.sleep(0)  # a slow reader loses nothing
        return result

    async def sound() -> list[av.AudioFrame]:
        assert player.audio is not None
        return [f async for f in player.audio if isinstance(f, av.AudioFrame)]

    found, frames = await asyncio.gather(numbers(), sound())
    assert found == list(range(30))
    assert all(f.samples == 960 and f.sample_rate == 48_000 for f in frames)
    assert abs(loudest_hz(samples_of(frames)[9600:], 48_000) - 440) < 5
    assert player.video.readyState == "ended"
    while player.is_running:
        await asyncio.sleep(0)
    assert no_threads("rtcstack-player")


async def test_played_in_a_loop_time_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "call.webm"
    await record(path, pictures=10, tones=0)
    player = MediaPlayer(str(path), realtime=False, loop=True)
    track = player.video
    assert track is not None
    reader = track.reader()
    frames = [await reader.read() for _ in range(25)]
    times = [f.time or 0.0 for f in frames]
    assert times == sorted(set(times))
    assert [read_frame_number(f) for f in frames] == [i % 10 for i in range(25)]  # type: ignore[arg-type]
    track.stop()
    while player.is_running:
        await asyncio.sleep(0)
    assert no_threads("rtcstack-player")


@in_virtual_time
async def test_played_in_real_time(tmp_path: Path) -> None:
    path = tmp_path / "call.webm"
    await record(path, pictures=8, tones=0)
    player = await MediaPlayer.open(path)
    assert player.video is not None
    loop = asyncio.get_running_loop()
    times = [loop.time() async for _ in player.video]
    assert len(times) == 8
    assert times[-1] - times[0] > 0.15  # seven thirtieths of a second, less what the first was late


async def test_stopped_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "call.webm"
    await record(path)
    player = MediaPlayer(path)
    assert player.video is not None
    ended: list[object] = []
    player.video.onended = ended.append
    await player.video.recv()
    player.stop()
    assert len(ended) == 1
    while player.is_running:
        await asyncio.sleep(0)
    MediaPlayer(path).stop()  # never read
    assert no_threads("rtcstack-player")


async def test_what_cannot_be_played(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        MediaPlayer(tmp_path / "none.mp4")
    noise = tmp_path / "noise.webm"
    noise.write_bytes(np.random.default_rng(1).bytes(5000))
    with pytest.raises(NotFoundError):
        await MediaPlayer.open(noise)
    with pytest.raises(NotFoundError):
        await camera("/dev/none-such")


@in_virtual_time
async def test_pattern_and_tone_come_at_their_pace() -> None:
    source, tone = TestPatternSource(64, 64, 100), ToneSource(1000)
    track, sound = source.track(), tone.track()
    loop = asyncio.get_running_loop()
    began = loop.time()
    frames = []
    async for frame in track:
        frames.append(frame)
        if len(frames) == 6:
            break
    assert 0.03 < loop.time() - began < 5
    assert [read_frame_number(f) for f in frames] == list(range(6))  # type: ignore[arg-type]
    assert [f.pts for f in frames] == [i * 900 for i in range(6)]
    heard = await sound.recv()
    assert isinstance(heard, av.AudioFrame)
    assert abs(loudest_hz(samples_of([heard]), 48_000) - 1000) < 60
    track.stop()
    sound.stop()


@pytest.mark.parametrize("size", [(64, 64), (320, 240), (642, 362), (1280, 720)])
def test_numbers_are_read_from_pictures(size: tuple[int, int]) -> None:
    for index in (0, 1, 123_456, 2**24 - 1):
        frame = test_picture(index, *size)
        assert read_frame_number(frame) == index
        assert read_frame_number(frame.reformat(format="rgb24")) == index
    assert read_frame_number(av.VideoFrame(16, 16, "yuv420p")) is None
    grey = av.VideoFrame(64, 64, "yuv420p")
    for plane in grey.planes:
        plane.update(b"\x80" * plane.buffer_size)
    assert read_frame_number(grey) is None


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_a_frame_becomes_a_picture_file(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"frame.{ending}"
    save_picture(picture(77), path)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    assert (frame.width, frame.height) == (160, 128)
    assert read_frame_number(frame) == 77
    with pytest.raises(OperationError):
        save_picture(picture(77), tmp_path / "frame.gif")
    with pytest.raises(OperationError):
        save_picture(picture(77), tmp_path / "none" / "frame.png")


async def test_what_waits_is_bounded_in_bytes_when_the_sound_ends_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "long pictures.webm"
    recorder = MediaRecorder(path)
    video, audio, tone = TrackSource("video"), TrackSource("audio"), ToneSource(440)
    for source in (video, audio):
        recorder.add_track(source.track())
    await recorder.start()
    for i in range(40):
        if i < 5:
            audio.push(tone.make(i))
        video.push(picture(i, 640, 384))
        await asyncio.sleep(0)
    await recorder.stop()
    assert recorder.dropped == 0
    size = frame_bytes(picture(0, 640, 384))
    limit = 5 * size
    monkeypatch.setattr(player_module, "MAX_WAITING_BYTES", limit)
    player = MediaPlayer(path, realtime=False)
    assert player.video is not None
    assert player.audio is not None
    most, seen = 0, []
    async for frame in player.video:
        most = max(most, player._waiting_bytes)
        seen.append(read_frame_number(frame))  # type: ignore[arg-type]
    assert seen == list(range(40))
    assert size <= most <= limit + size
    assert player._waiting_bytes == 0


@pytest.mark.parametrize("rate", [1, 1_999, 1_000_000_000])
async def test_sound_at_a_rate_that_nothing_plays_ends_the_tracks(
    rate: int, tmp_path: Path, expects_loop_exceptions: list[dict[str, Any]]
) -> None:
    data = bytes(8000)
    form = struct.pack("<HHIIHH", 1, 1, rate, 2 * rate & 0xFFFF_FFFF, 2, 16)
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    path = tmp_path / "odd.wav"
    path.write_bytes(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)
    player = MediaPlayer(path)
    assert player.audio is not None
    with pytest.raises(InvalidStateError):
        await player.audio.recv()
    assert f"{rate} Hz" in str(expects_loop_exceptions[0]["exception"])
