"""Recordings that pause, go on in other files, and fail."""

from __future__ import annotations

import asyncio
import errno
import io
import logging
import os
import subprocess
import sys
from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from rtcstack.errors import InvalidStateError, OperationError
from rtcstack.media.encodedsource import EncodedSource
from rtcstack.media.recorder import MediaRecorder
from rtcstack.media.source import TrackSource
from rtcstack.media.testsources import TestPatternSource, ToneSource, read_frame_number, test_picture
from rtcstack.testing import run
from tests.unit.media.test_recorder import encoded


def packets(path: object) -> dict[str, list[tuple[float, bool]]]:
    """Times of each kind, in order, and whether they are key frames."""
    found: dict[str, list[tuple[float, bool]]] = {"audio": [], "video": []}
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.pts is not None and packet.time_base:
                found[packet.stream.type].append((float(packet.pts * packet.time_base), packet.is_keyframe))
    return {kind: sorted(times) for kind, times in found.items()}


def gaps(times: Iterable[tuple[float, bool]]) -> float:
    """The widest step."""
    line = [at for at, _ in times]
    return max(b - a for a, b in pairwise(line))


# -- pausing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["mp4", "webm"])
@pytest.mark.parametrize("pause_s", [0.7, 3.0, 60.0])
def test_a_pause_is_no_part_of_the_file(ending: str, pause_s: float, tmp_path: Path) -> None:
    path = tmp_path / f"call.{ending}"

    async def main() -> None:
        recorder = MediaRecorder(path)
        video, audio = TestPatternSource(64, 64).track(), ToneSource(440).track()
        for track in (video, audio):
            recorder.add_track(track)
        told: list[str] = []
        for name in ("start", "pause", "resume", "file", "stop"):
            recorder.on(name, lambda event: told.append(event.type))
        assert recorder.state == "inactive"
        await recorder.start()
        await asyncio.sleep(2)
        assert recorder.state == "recording"
        recorder.pause()
        recorder.pause()
        assert recorder.state == "paused"
        await asyncio.sleep(pause_s)
        recorder.resume()
        recorder.resume()
        await asyncio.sleep(2)
        await recorder.stop()
        assert recorder.state == "inactive"
        assert told == ["start", "pause", "resume", "file", "stop"]
        assert recorder.dropped == 0

    run(main())
    found = packets(path)
    for kind, step in (("video", 1 / 30), ("audio", 0.03)):
        assert found[kind][-1][0] - found[kind][0][0] == pytest.approx(4, abs=0.15), kind
        assert gaps(found[kind]) < step + 0.05, kind
    with av.open(str(path)) as container:
        numbers = [read_frame_number(frame) for frame in container.decode(video=0)]
    jumps = [b - a for a, b in pairwise(numbers) if a is not None and b is not None]
    assert max(jumps) == pytest.approx(pause_s * 30, abs=3)  # what was on while it paused is not there
    assert sorted(jumps)[-2] <= 2


def test_a_pause_before_the_file_has_begun(tmp_path: Path) -> None:
    path = tmp_path / "call.mp4"

    async def main() -> None:
        recorder = MediaRecorder(path)
        video, audio = TestPatternSource(64, 64).track(), TrackSource("audio").track()
        for track in (video, audio):
            recorder.add_track(track)
        await recorder.start()
        await asyncio.sleep(1)  # the sound is waited for
        recorder.pause()
        await asyncio.sleep(1)
        recorder.resume()
        await asyncio.sleep(3)
        await recorder.stop()

    run(main())
    times = packets(path)["video"]
    assert times[-1][0] - times[0][0] == pytest.approx(4, abs=0.15)
    assert gaps(times) < 0.1


async def test_encoded_pictures_go_on_with_a_key_frame(tmp_path: Path) -> None:
    path = tmp_path / "call.webm"
    wanted: list[bool] = []
    source = EncodedSource("video/VP8", on_key_frame_wanted=lambda: wanted.append(True))
    track = source.track()
    recorder = MediaRecorder(path)
    recorder.add_track(track)
    await recorder.start()
    frames = list(encoded("vp8", 40, g="15"))
    for frame in frames[:10]:
        source.push_encoded(frame)
    before = len(wanted)
    recorder.pause()
    for frame in frames[10:20]:
        source.push_encoded(frame)
    recorder.resume()
    assert len(wanted) == before + 1
    for frame in frames[20:]:
        source.push_encoded(frame)
    await recorder.stop()
    at = next(i for i, frame in enumerate(frames) if i >= 20 and frame.key_frame)
    times = packets(path)["video"]
    assert len(times) == 10 + len(frames[at:])
    assert times[10][1]
    assert recorder.dropped == at - 20


async def test_what_is_not_recording_does_not_pause(tmp_path: Path) -> None:
    recorder = MediaRecorder(tmp_path / "call.wav")
    track = ToneSource(440).track()
    recorder.add_track(track)
    for call in (recorder.pause, recorder.resume):
        with pytest.raises(InvalidStateError, match=call.__name__):
            call()
    await recorder.start()
    await recorder.stop()
    with pytest.raises(InvalidStateError, match="pause"):
        recorder.pause()


# -- one file after the other ---------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["mp4", "webm", "mkv"])
def test_files_of_ten_seconds(ending: str, tmp_path: Path) -> None:
    done: list[str] = []

    async def main() -> None:
        recorder = MediaRecorder(tmp_path / f"call.{ending}", rotate_s=10)
        tracks = [TestPatternSource(64, 64, 10).track(), ToneSource(440).track()]
        for track in tracks:
            recorder.add_track(track)
        recorder.on("file", lambda event: done.append(event.file))
        await recorder.start()
        await asyncio.sleep(35)
        assert len(done) == 3
        await recorder.stop()
        assert recorder.dropped == 0

    run(main())
    assert done == [str(tmp_path / f"call-{number:04}.{ending}") for number in (1, 2, 3, 4)]
    assert sorted(str(each) for each in tmp_path.iterdir()) == done
    numbers: list[int] = []
    sound = 0
    for path in done:
        found = packets(path)
        assert found["video"][0][1], "a file begins with a key frame"
        assert found["video"][0][0] < 0.15
        assert found["audio"][0][0] < 0.15
        if path != done[-1]:
            assert found["video"][-1][0] == pytest.approx(9.9, abs=0.2)
        with av.open(path) as container:
            numbers += [n for f in container.decode(video=0) if (n := read_frame_number(f)) is not None]
        with av.open(path) as container:
            sound += sum(frame.samples for frame in container.decode(audio=0))
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "no picture is lost or twice"
    assert len(numbers) >= 345
    assert sound / 48_000 == pytest.approx(35, abs=0.4)


def test_files_of_a_size_with_the_time_in_their_names(tmp_path: Path) -> None:
    done: list[str] = []

    async def main() -> None:
        recorder = MediaRecorder(tmp_path / "{time:%Y%m%d-%H%M%S}.wav", rotate_bytes=192_000)
        track = ToneSource(440, channels=1).track()
        recorder.add_track(track)
        recorder.on("file", lambda event: done.append(event.file))
        await recorder.start()
        await asyncio.sleep(7)
        await recorder.stop()

    run(main())
    assert len(done) == len(set(done)) == 4
    assert all(os.path.getsize(path) <= 192_000 + 48_000 for path in done)


async def test_another_file_waits_for_a_key_frame_of_what_is_encoded(tmp_path: Path) -> None:
    wanted: list[bool] = []
    source = EncodedSource("video/VP8", on_key_frame_wanted=lambda: wanted.append(True))
    track = source.track()
    recorder = MediaRecorder(tmp_path / "call-{number}.mkv", rotate_s=1)
    recorder.add_track(track)
    done: list[str] = []
    recorder.on("file", lambda event: done.append(event.file))
    await recorder.start()
    frames = list(encoded("vp8", 90, g="20"))
    keys = [i for i, frame in enumerate(frames) if frame.key_frame]
    for frame in frames:
        source.push_encoded(frame)
        while any(entry.queued > 4 for entry in recorder._inputs):
            await asyncio.sleep(0.001)
    await recorder.stop()
    assert len(wanted) >= 2  # at the start, and when the first second was over
    lengths = [packets(path)["video"] for path in done]
    assert sum(map(len, lengths)) == 90
    assert all(times[0][1] for times in lengths)
    assert 1 < len(done) <= len(keys)


def test_what_cannot_follow_one_another_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="no path"):
        MediaRecorder(io.BytesIO(), "wav", rotate_s=10)
    for wrong in ({"rotate_s": 0.5}, {"rotate_bytes": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            MediaRecorder(tmp_path / "call.wav", **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="fields"):
        MediaRecorder(tmp_path / "{who}.wav", rotate_s=10)


# -- what fails -----------------------------------------------------------------------------------------


class FullDisk(io.BytesIO):
    """Holds so many bytes."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self.size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


async def test_a_full_disk_is_said_and_what_is_written_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    disk = FullDisk(60_000)
    recorder = MediaRecorder(disk, "matroska")
    video = TrackSource("video")
    track = video.track()
    recorder.add_track(track)
    failed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    recorder.on("error", lambda event: failed.set_result(event.error))
    await recorder.start()
    with caplog.at_level(logging.WARNING, "rtcstack"):
        index = 0
        while not failed.done():
            frame = test_picture(index, 320, 240)
            frame.pts, frame.time_base = index, Fraction(1, 30)
            video.push(frame)
            index += 1
            await asyncio.sleep(0.002)
    assert "space" in str(failed.result())
    assert recorder.state == "inactive"
    assert not track.has_sinks
    assert len([r for r in caplog.records if "has failed" in r.getMessage()]) == 1
    with pytest.raises(OperationError, match="space"):
        await recorder.stop()
    await recorder.stop()
    with av.open(io.BytesIO(disk.getvalue())) as container:
        assert len(list(container.decode(video=0))) > 5


FULL = """
import asyncio, os, resource, sys
from rtcstack import MediaRecorder, OperationError, ToneSource, TestPatternSource
from rtcstack.media.testsources import test_picture
from fractions import Fraction
from rtcstack import TrackSource

async def main():
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    recorder = MediaRecorder(sys.argv[1])
    source = TrackSource("video")
    track = source.track()
    recorder.add_track(track)
    failed = asyncio.Event()
    recorder.on("error", lambda event: (print(event.error), failed.set()))
    await recorder.start()
    index = 0
    while not failed.is_set():
        frame = test_picture(index, 320, 240)
        frame.pts, frame.time_base = index, Fraction(1, 30)
        source.push(frame)
        index += 1
        await asyncio.sleep(0.002)
    try:
        await recorder.stop()
    except OperationError as exc:
        print("stop:", exc)
    paths = [f"/proc/self/fd/{n}" for n in os.listdir("/proc/self/fd")]
    print("open:", sys.argv[1] in [os.readlink(path) for path in paths if os.path.exists(path)])

asyncio.run(main())
"""


@pytest.mark.parametrize("ending", ["mp4", "webm", "mkv"])
def test_a_file_that_cannot_grow_can_be_played(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"call.{ending}"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    error, stop, still = done.stdout.splitlines()
    assert "cannot be recorded" in error
    assert stop.startswith("stop:")
    assert still == "open: False"
    with av.open(str(path)) as container:
        frames = 0
        try:
            for _ in container.decode(video=0):
                frames += 1
        except av.error.FFmpegError:
            pass  # the last piece is not whole
    assert frames > 5
