"""MediaRecorder under aiortc's name."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from rtcstack.compat.aiortc import AudioStreamTrack, MediaStreamTrack, RTCPeerConnection, VideoStreamTrack
from rtcstack.compat.aiortc.contrib.media import MediaPlayer, MediaRecorder
from rtcstack.errors import OperationError
from rtcstack.media.testsources import read_frame_number
from tests.conformance.aiortc.films import SIDE, film
from tests.conformance.aiortc.helpers import negotiate, pair


def streams(path: Path) -> list[tuple[str, str]]:
    """Kind and codec of what is in a file, with sound of 48 kHz in stereo."""
    with av.open(str(path)) as container:
        assert 1.0 <= (container.duration or 0) / 1e6 <= 2.1
        for stream in container.streams.audio:
            assert (stream.codec_context.sample_rate, stream.codec_context.layout.nb_channels) == (48_000, 2)
        return [(each.type, each.codec_context.name) for each in container.streams]


@pytest.mark.parametrize(
    ("name", "kinds", "expected"),
    [
        ("x.wav", "audio", ["pcm_s16le"]),
        ("x.mp3", "audio", ["mp3float"]),
        ("x.ogg", "audio", ["opus"]),
        ("x.mp4", "audio video", ["aac", "h264"]),
        ("x.mp4", "video", ["h264"]),
        ("x.mkv", "video audio", ["h264", "aac"]),
        ("x.webm", "audio video", ["opus", "vp8"]),
    ],
)
async def test_files(tmp_path: Path, name: str, kinds: str, expected: list[str]) -> None:
    recorder = MediaRecorder(str(tmp_path / name))
    tracks: list[MediaStreamTrack] = [
        AudioStreamTrack() if kind == "audio" else VideoStreamTrack() for kind in kinds.split()
    ]
    for track in tracks:
        recorder.addTrack(track)
    await recorder.start()
    await recorder.start()
    await asyncio.sleep(1.5)
    await recorder.stop()
    await recorder.stop()
    assert streams(tmp_path / name) == list(zip(kinds.split(), expected, strict=True))
    for track in tracks:
        track.stop()


async def test_an_object_is_written(tmp_path: Path) -> None:
    class Kept(io.BytesIO):
        def close(self) -> None:
            (tmp_path / "x.wav").write_bytes(self.getvalue())

    file = Kept()
    recorder = MediaRecorder(file, format="wav")
    track = AudioStreamTrack()
    recorder.addTrack(track)
    await recorder.start()
    await asyncio.sleep(1.5)
    await recorder.stop()
    file.close()
    assert streams(tmp_path / "x.wav") == [("audio", "pcm_s16le")]
    track.stop()


async def test_pictures_have_numbered_files(tmp_path: Path) -> None:
    recorder = MediaRecorder(str(tmp_path / "picture-%3d.png"))
    player = MediaPlayer(str(film(tmp_path / "x.webm", "libvpx", 12)))
    assert player.video is not None
    recorder.addTrack(player.video)
    await recorder.start()
    await asyncio.sleep(1)
    await recorder.stop()
    files = sorted(tmp_path.glob("*.png"))
    assert [each.name for each in files] == [f"picture-{i:03}.png" for i in range(1, 13)]
    for i, each in enumerate(files):
        with av.open(str(each)) as container:
            frame: Any = next(container.decode(video=0))
        assert (frame.width, frame.height, read_frame_number(frame)) == (SIDE, SIDE, i)


async def test_a_picture_that_is_being_written_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[str] = []
    recorder = MediaRecorder(str(tmp_path / "picture-%3d.png"))
    pictures: Any = recorder._pictures
    container = pictures._container

    class Watched:
        name = "watched"

        def add_stream(self, *arguments: Any, **options: Any) -> Any:
            return container.add_stream(*arguments, **options)

        def close(self) -> None:
            log.append("close")
            container.close()

    def write(stream: Any, picture: Any) -> None:
        log.append("write")

    pictures._container = Watched()
    pictures._write = write
    asked: list[Any] = []

    def run(work: Any, workers: Any) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asked.append(lambda: (work(), future.set_result(None)))
        return future

    monkeypatch.setattr("rtcstack.compat.aiortc.contrib.recorder.run", run)
    track = VideoStreamTrack()
    recorder.addTrack(track)
    await recorder.start()
    await asyncio.sleep(0.01)
    stopping = asyncio.ensure_future(recorder.stop())
    await asyncio.sleep(1)
    assert log == []
    asked[0]()
    await stopping
    assert log == ["write", "close"]
    track.stop()


async def test_a_call_is_recorded(tmp_path: Path) -> None:
    async def record(a: RTCPeerConnection, b: RTCPeerConnection) -> None:
        recorder = MediaRecorder(str(tmp_path / "x.mp4"))
        b.on("track", recorder.addTrack)
        player = MediaPlayer(str(film(tmp_path / "film.mp4", "libx264", 60, audio="aac")))
        assert player.audio is not None
        assert player.video is not None
        a.addTrack(player.audio)
        a.addTrack(player.video)
        await negotiate(a, b)
        await recorder.start()
        await asyncio.sleep(2.5)
        await recorder.stop()

    async with pair() as (a, b):
        await record(a, b)
    with av.open(str(tmp_path / "x.mp4")) as container:
        assert [each.codec_context.name for each in container.streams] == ["aac", "h264"]
        numbers = [read_frame_number(frame) for frame in container.decode(video=0)]
        assert len(numbers) > 40
        assert numbers == sorted(numbers)
        container.seek(0)
        heard = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
        assert np.abs(heard).max() > 0.1


async def test_nothing_to_record_makes_no_trouble(tmp_path: Path) -> None:
    recorder = MediaRecorder(str(tmp_path / "x.mp4"))
    await recorder.start()
    await recorder.stop()


async def test_what_cannot_be_recorded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="format"):
        MediaRecorder(str(tmp_path / "x.unknown"))
    recorder = MediaRecorder(str(tmp_path / "nowhere" / "x.mp4"))
    track = AudioStreamTrack()
    recorder.addTrack(track)
    with pytest.raises(OperationError, match="no folder"):
        await recorder.start()
    track.stop()


class FullDisk(io.FileIO):
    """A file on a disk that is full after a while."""

    room = 100_000

    def write(self, data: Any, /) -> int:
        if self.tell() + len(data) > self.room:
            raise OSError(28, "No space left on device")
        return super().write(data)


async def test_a_full_disk_is_told_and_what_is_written_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.wav"
    with FullDisk(str(path), "w+") as file:
        recorder = MediaRecorder(file, format="wav")
        track = AudioStreamTrack()
        recorder.addTrack(track)
        await recorder.start()
        await asyncio.sleep(3)
        with pytest.raises(OperationError, match="No space left"):
            await recorder.stop()
        await recorder.stop()
    assert "No space left" in caplog.text
    assert path.stat().st_size > FullDisk.room * 0.9
    with av.open(str(path)) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) > 20_000
    track.stop()
