"""Players and recorders whose time is virtual: nothing waits, and all happens again in the same way."""

from __future__ import annotations

import asyncio
import hashlib
import io
import threading
from collections.abc import Callable, Coroutine
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from rtcstack.clock import monotonic
from rtcstack.errors import NotFoundError, OperationError
from rtcstack.media.filereader import MAX_PACKETS, FileReader, Piece
from rtcstack.media.files import is_at_hand
from rtcstack.media.player import MAX_DECODED_AHEAD, MAX_IN_FLIGHT, MediaPlayer
from rtcstack.media.recorder import MAX_BATCH, MediaRecorder
from rtcstack.media.recording.beginning import START_WAIT_S
from rtcstack.media.source import TrackSource
from rtcstack.media.testsources import TestPatternSource, ToneSource, read_frame_number, test_picture
from rtcstack.testing import run
from tests.unit.media.test_files import no_threads

PATIENCE_S = 10.0


def write_film(path: Path, *, pictures: int = 30, tones: int = 50, sound_first: bool = False) -> None:
    """A second of the test pattern and a tone, without a recorder."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libvpx", rate=30, options={"deadline": "realtime", "cpu-used": "-10"})
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        audio = container.add_stream("libopus", rate=48_000)
        tone = ToneSource(440)
        streams = []
        for i in range(pictures):
            frame = test_picture(i, 64, 64)
            frame.pts, frame.time_base = i, Fraction(1, 30)
            streams += [(i / 30, packet) for packet in video.encode(frame)]
        streams += [(1e9, packet) for packet in video.encode(None)]
        sound = [(i / 50, packet) for i in range(tones) for packet in audio.encode(tone.make(i))]
        sound += [(1e9, packet) for packet in audio.encode(None)]
        if not sound_first:
            sound = sorted([*streams, *sound], key=lambda entry: entry[0])
        else:
            sound += streams
        for _, packet in sound:
            container.mux(packet)


async def played(player: MediaPlayer) -> list[tuple[str, float, str]]:
    """Kind, time and content of each frame."""
    found: list[tuple[str, float, str]] = []

    async def read(track: Any) -> None:
        async for frame in track:
            digest = hashlib.sha256(b"".join(bytes(plane) for plane in frame.planes)).hexdigest()
            found.append((track.kind, monotonic(), digest))

    await asyncio.gather(*(read(track) for track in (player.video, player.audio) if track is not None))
    return found


def test_a_film_is_played_at_its_pace_and_the_same_each_time(tmp_path: Path) -> None:
    path = tmp_path / "film.webm"
    write_film(path)

    async def main() -> list[tuple[str, float, str]]:
        player = await MediaPlayer.open(path)
        found = await played(player)
        while player.is_running:
            await asyncio.sleep(0.001)
        return found

    first, again = run(main(), seed=1), run(main(), seed=1)
    assert first == again
    times = [at for kind, at, _ in first if kind == "video"]
    assert len(times) == 30
    assert all(abs(b - a - 1 / 30) < 1e-3 for a, b in pairwise(times[1:]))
    heard = [at for kind, at, _ in first if kind == "audio"]
    assert all(abs(b - a - 0.02) < 1e-3 for a, b in pairwise(heard[2:]))
    assert no_threads("rtcstack-player")


def test_a_looped_film_goes_on_in_time(tmp_path: Path) -> None:
    path = tmp_path / "film.webm"
    write_film(path, tones=0)

    async def main() -> list[tuple[int | None, float]]:
        player = MediaPlayer(path, loop=True)
        assert player.video is not None
        reader = player.video.reader()
        found = []
        for _ in range(100):
            frame = await reader.read()
            assert isinstance(frame, av.VideoFrame)
            found.append((read_frame_number(frame), monotonic()))
        player.stop()
        while player.is_running:
            await asyncio.sleep(0.001)
        return found

    found = run(main())
    assert [number for number, _ in found] == [i % 30 for i in range(100)]
    assert abs(found[-1][1] - found[0][1] - 99 / 30) < 0.01


@pytest.mark.parametrize("realtime", [True, False])
@pytest.mark.parametrize("sound_first", [True, False])
def test_what_is_read_ahead_is_bounded(tmp_path: Path, realtime: bool, sound_first: bool) -> None:
    path = tmp_path / "film.mkv"
    write_film(path, pictures=240, tones=400, sound_first=sound_first)
    waiting: list[int] = []

    async def main() -> int:
        player = MediaPlayer(path, realtime=realtime)
        push = {kind: source.push for kind, source in player._sources.items()}

        def look(kind: str) -> Callable[[Any], None]:
            def pushed(frame: Any) -> None:
                waiting.append(len(player._waiting) + 1)
                push[kind](frame)

            return pushed

        for kind, source in player._sources.items():
            source.push = look(kind)  # type: ignore[method-assign,assignment]
        return len(await played(player))

    count = run(main())
    assert count >= (590 if not realtime else 500)
    assert max(waiting) <= MAX_DECODED_AHEAD + MAX_IN_FLIGHT
    if not sound_first:  # the last of the one that goes on alone, aside
        assert sorted(waiting)[len(waiting) * 9 // 10] <= 2 * MAX_IN_FLIGHT


def test_a_slow_reader_holds_a_film_up_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "film.webm"
    write_film(path, tones=0)

    async def main() -> list[int | None]:
        player = MediaPlayer(path, realtime=False)
        assert player.video is not None
        found = []
        async for frame in player.video:
            assert isinstance(frame, av.VideoFrame)
            found.append(read_frame_number(frame))
            await asyncio.sleep(5.0)
        return found

    assert run(main()) == list(range(30))


def test_a_piece_is_bounded_and_its_reader_closes_once(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    write_film(path, pictures=20, tones=300, sound_first=True)
    container = av.open(str(path))
    reader = FileReader(container, [container.streams.video[0]], loops=False)
    assert len(reader.read(3).frames) == 3
    pieces = [reader.read(1000) for _ in range(20)]
    assert all(len(piece.frames) <= MAX_PACKETS for piece in pieces)
    assert sum(len(piece.frames) for piece in pieces) == 17
    assert pieces[-1].is_last
    assert reader.cost_s(2) > 0
    reader.close()
    reader.close()
    assert reader.read(5).is_last


def test_packets_that_give_no_frames_end_a_piece(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    write_film(path, pictures=300, tones=0)
    container = av.open(str(path))
    damaged = [bytes([0xFF]) * 50] * 300

    class Damaged:
        streams = container.streams

        def demux(self, _: object) -> Any:
            for _data in damaged:
                yield self

        def decode(self) -> Any:
            raise av.error.InvalidDataError(1, "damaged")

        def close(self) -> None:
            container.close()

    reader = FileReader(Damaged(), [container.streams.video[0]], loops=False)  # type: ignore[arg-type]
    pieces: list[Piece] = []
    while not pieces or not pieces[-1].is_last:
        pieces.append(reader.read(8))
    assert len(pieces) == -(-300 // MAX_PACKETS)
    assert not any(piece.frames for piece in pieces)
    reader.close()


def record(path: Any, seconds: float) -> Callable[[], Coroutine[Any, Any, float]]:
    async def main() -> float:
        began = monotonic()
        pattern, tone = TestPatternSource(64, 64, 30), ToneSource(440)
        recorder = MediaRecorder(path)
        tracks = pattern.track(), tone.track()
        for track in tracks:
            recorder.add_track(track)
        await recorder.start()
        await asyncio.sleep(seconds)
        await recorder.stop()
        for track in tracks:
            track.stop()
        assert recorder.dropped == 0
        return monotonic() - began

    return main


@pytest.mark.parametrize("ending", ["webm", "mkv", "mp4", "ogg"])
def test_a_recording_is_the_same_to_the_byte(ending: str, tmp_path: Path) -> None:
    def once() -> bytes:
        path = tmp_path / f"call.{ending}"

        async def sound() -> float:
            tone = ToneSource(440)
            recorder = MediaRecorder(path)
            track = tone.track()
            recorder.add_track(track)
            await recorder.start()
            await asyncio.sleep(4.0)
            await recorder.stop()
            track.stop()
            return 4.0

        took = run(sound() if ending == "ogg" else record(path, 4.0)(), seed=3)
        assert 4.0 <= took < 4.2
        return path.read_bytes()

    first = once()
    assert once() == first
    with av.open(io.BytesIO(first), "r") as container:
        assert 3.8 < sum(frame.samples for frame in container.decode(audio=0)) / 48_000 < 4.3


def test_inputs_that_give_nothing_are_waited_for_so_long(tmp_path: Path) -> None:
    path = tmp_path / "call.mp4"

    async def main() -> list[float]:
        recorder = MediaRecorder(path)
        video, audio, tone = TrackSource("video"), TrackSource("audio"), ToneSource(440)
        tracks = video.track(), audio.track()
        for track in tracks:
            recorder.add_track(track)
        await recorder.start()
        video.push(test_picture(0, 64, 48))
        await asyncio.sleep(START_WAIT_S - 0.01)
        assert recorder._beginning is not None
        await asyncio.sleep(0.02)
        assert recorder._beginning is None
        audio.push(tone.make(0))
        await recorder.stop()
        return [float(recorder.dropped)]

    assert run(main()) == [1.0]


def test_one_job_of_a_recording_at_a_time_and_each_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    sizes: list[int] = []

    async def main() -> None:
        recorder = MediaRecorder(path)
        source, tone = TrackSource("audio"), ToneSource(440)
        track = source.track()
        recorder.add_track(track)
        await recorder.start()
        source.push(tone.make(0))
        output = recorder._output
        assert output is not None
        write_all = output.write_all

        def write(entries: Any) -> None:
            sizes.append(len(entries))
            assert recorder._is_busy
            write_all(entries)

        output.write_all = write  # type: ignore[method-assign]
        for i in range(1, 100):
            source.push(tone.make(i))
        assert max(entry.queued for entry in recorder._inputs) == 99
        await recorder.stop()
        assert max(entry.queued for entry in recorder._inputs) == 0

    run(main())
    assert sum(sizes) == 100
    assert max(sizes) == MAX_BATCH


# -- what may block for good ------------------------------------------------------------------------------


class Stuck:
    """A file that gives nothing until it is let go of."""

    def __init__(self, data: bytes, gate: threading.Event, after: int) -> None:
        self._file = io.BytesIO(data)
        self._gate = gate
        self._left = after
        self.names: set[str] = set()

    def read(self, size: int = -1) -> bytes:
        self.names.add(threading.current_thread().name)
        self._left -= 1
        if self._left < 0:
            assert self._gate.wait(PATIENCE_S)
        return self._file.read(size)


async def test_what_blocks_holds_up_its_own_thread_alone(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    write_film(path)
    gate = threading.Event()
    opening = asyncio.ensure_future(MediaPlayer.open(Stuck(path.read_bytes(), gate, 0), "matroska"))
    films = [await MediaPlayer.open(path, realtime=False) for _ in range(40)]
    found = await asyncio.gather(*(played(film) for film in films))
    assert all(len(frames) >= 75 for frames in found)
    assert not opening.done()
    gate.set()
    player = await opening
    again = await played(player)
    assert len(again) >= 75
    while player.is_running:
        await asyncio.sleep(0)


async def test_a_player_that_nobody_waits_for_any_more_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    write_film(path)
    gate = threading.Event()
    stopped = threading.Event()
    file = Stuck(path.read_bytes(), gate, 0)

    class Watched(MediaPlayer):
        def stop(self) -> None:
            super().stop()
            stopped.set()

    opening = asyncio.ensure_future(Watched.open(file, "matroska"))
    while not file.names:
        await asyncio.sleep(0)
    assert file.names == {"rtcstack-open"}
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    gate.set()
    while not stopped.is_set():
        await asyncio.sleep(0)


def test_which_files_hold_up_nobody(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    assert not is_at_hand(path)
    assert is_at_hand(path, is_new=True)
    path.write_bytes(b"x")
    assert is_at_hand(path)
    assert is_at_hand(str(path), is_new=True)
    assert is_at_hand(io.BytesIO())
    with path.open("rb") as file:
        assert is_at_hand(file)
    for other in (tmp_path, "/dev/null", "rtmp://host/app", "pipe:1", 5, Stuck(b"", threading.Event(), 0)):
        assert not is_at_hand(other)
        assert not is_at_hand(other, is_new=True)


def test_what_cannot_be_opened_is_said_in_virtual_time_too(tmp_path: Path) -> None:
    async def main() -> None:
        noise = tmp_path / "noise.webm"
        noise.write_bytes(b"noise" * 1000)
        with pytest.raises(NotFoundError):
            await MediaPlayer.open(noise)
        recorder = MediaRecorder(tmp_path / "none" / "call.webm")
        track = TrackSource("video").track()
        recorder.add_track(track)
        with pytest.raises(OperationError):
            await recorder.start()

    run(main())
