"""A film is played into a call, and recorded at the other end: real files and coders, in virtual time."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import av
import pytest

from rtcstack import MediaPlayer, MediaRecorder
from rtcstack.media.testsources import read_frame_number
from rtcstack.testing import Internet, LinkSettings, run
from tests.unit.media.test_files_in_virtual_time import write_film
from tests.unit.testing.calls import Call, until

FILM_S = 4


def call(film: Path, recording: Path, seed: int) -> tuple[str, str]:
    """Play the film through a network that loses a little; what was received and recorded, as digests."""
    internet = Internet(seed=seed)
    link = LinkSettings(delay_s=0.03, jitter_s=0.01, loss=0.01)
    hosts = []
    for name in ("alice", "bob"):
        host = internet.add_bare_host(name)
        host.add_interface("eth0", up=link)
        hosts.append(host)
    alice, bob = hosts
    received = hashlib.sha256()

    async def main() -> None:
        calls = Call(alice, bob)
        with alice:
            player = await MediaPlayer.open(film)
            assert player.video is not None
            assert player.audio is not None
            for track in (player.video, player.audio):
                calls.alice.connection.addTrack(track)
        await calls.connect()
        await until(lambda: len(calls.bob.tracks) == 2)
        with bob:
            recorder = MediaRecorder(recording)
            for track in calls.bob.tracks:
                recorder.add_track(track)
                track.add_sink(Sink(received, track.kind))
            await recorder.start()
        await until(lambda: not player.is_running)
        await asyncio.sleep(1)
        await recorder.stop()
        await calls.close()
        for track in (player.video, player.audio):
            track.stop()

    run(main(), internet=internet)
    return received.hexdigest(), hashlib.sha256(recording.read_bytes()).hexdigest()


class Sink:
    """Takes a digest of what comes, and when."""

    def __init__(self, digest: hashlib._Hash, kind: str) -> None:
        self._digest = digest
        self._kind = kind

    def deliver(self, frame: object) -> None:
        assert isinstance(frame, av.VideoFrame | av.AudioFrame)
        self._digest.update(f"{self._kind} {asyncio.get_running_loop().time():.9f} {frame.pts}".encode())
        for plane in frame.planes:
            self._digest.update(bytes(plane))

    def track_ended(self) -> None:
        pass


@pytest.mark.parametrize("ending", ["webm", "mp4"])
def test_the_same_seed_gives_the_same_recording(ending: str, tmp_path: Path) -> None:
    film, recording = tmp_path / "film.webm", tmp_path / f"call.{ending}"
    write_film(film, pictures=30 * FILM_S, tones=50 * FILM_S)
    first = call(film, recording, seed=1)
    with av.open(str(recording), "r") as container:
        shown = [read_frame_number(frame) for frame in container.decode(video=0)]
    known = [number for number in shown if number is not None]
    assert len(known) > 20 * FILM_S
    assert known == sorted(known)
    assert call(film, recording, seed=1) == first
    other = call(film, recording, seed=2)
    assert other[0] != first[0]
    assert other[1] != first[1]
