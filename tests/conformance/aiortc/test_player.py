"""MediaPlayer under aiortc's name: files, devices, encoded packets, and what goes wrong with them."""

from __future__ import annotations

import asyncio
import errno
import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from rtcstack.codecs.payload.annexb import nal_units
from rtcstack.compat.aiortc import MediaStreamError, MediaStreamTrack, RTCPeerConnection
from rtcstack.compat.aiortc.contrib import player as module
from rtcstack.compat.aiortc.contrib.media import MediaPlayer, MediaRelay
from rtcstack.media.testsources import read_frame_number
from tests.conformance.aiortc.films import SIDE, film, sound
from tests.conformance.aiortc.helpers import negotiate, pair


async def all_of(track: MediaStreamTrack) -> list[Any]:
    """What a track gives until its end."""
    found: list[Any] = []
    while True:
        try:
            found.append(await track.recv())
        except MediaStreamError:
            return found


@pytest.mark.parametrize(("rate", "layout"), [(8_000, "mono"), (16_000, "mono"), (48_000, "stereo")])
async def test_all_sound_is_stereo_of_48_khz(tmp_path: Path, rate: int, layout: str) -> None:
    player = MediaPlayer(str(sound(tmp_path / "x.wav", "pcm_s16le", rate=rate, layout=layout)))
    assert player.video is None
    assert player.audio is not None
    assert (player.audio.kind, player.audio.readyState) == ("audio", "live")
    frames = await all_of(player.audio)
    assert player.audio.readyState == "ended"
    assert {(f.sample_rate, f.layout.name, f.format.name, f.samples) for f in frames} == {
        (48_000, "stereo", "s16", 960)
    }
    assert [f.pts for f in frames] == [i * 960 for i in range(len(frames))]
    assert {f.time_base for f in frames} == {Fraction(1, 48_000)}
    assert 48 <= len(frames) <= 50
    left, right = frames[25].to_ndarray().reshape(-1, 2).T
    assert np.array_equal(left, right)
    assert np.abs(left).max() > 1_000


async def test_pictures_come_at_their_times(tmp_path: Path) -> None:
    player = MediaPlayer(str(film(tmp_path / "x.webm", "libvpx")))
    assert player.audio is None
    assert player.video is not None
    loop = asyncio.get_running_loop()
    await player.video.recv()
    began = loop.time()
    frames = await all_of(player.video)
    assert len(frames) == 29
    assert loop.time() - began == pytest.approx(29 / 30, abs=0.05)
    assert [read_frame_number(f) for f in frames] == list(range(1, 30))


async def test_a_file_is_read_no_further_than_somebody_needs(tmp_path: Path) -> None:
    player = MediaPlayer(str(film(tmp_path / "x.webm", "libvpx", 100, audio="libopus")))
    assert player.audio is not None
    assert player.video is not None
    first: Any = await player.video.recv()
    await asyncio.sleep(5)
    for track in (player.audio, player.video):
        assert track._queue.qsize() <= 2 * module.MAX_AHEAD  # type: ignore[attr-defined]
    second: Any = await player.video.recv()
    assert (read_frame_number(first), read_frame_number(second)) == (0, 1)
    player.audio.stop()
    player.video.stop()


async def test_what_nobody_reads_is_bounded(tmp_path: Path) -> None:
    player = MediaPlayer(str(film(tmp_path / "x.webm", "libvpx", 400, audio="libopus")))
    assert player.audio is not None
    assert player.video is not None
    await all_of(player.video)
    assert player.audio._queue.qsize() <= module.MAX_WAITING + 1  # type: ignore[attr-defined]
    assert await player.audio.recv() is not None
    player.audio.stop()


async def test_a_loop_begins_anew(tmp_path: Path) -> None:
    player = MediaPlayer(str(film(tmp_path / "x.webm", "libvpx", 10)), loop=True)
    assert player.video is not None
    frames = [await player.video.recv() for _ in range(25)]
    assert [read_frame_number(f) for f in frames] == [i % 10 for i in range(25)]
    times = [f.pts for f in frames]
    assert times == sorted(set(times))  # they go on
    player.video.stop()


async def test_a_stopped_track_ends_and_the_last_closes_the_file(tmp_path: Path) -> None:
    player = MediaPlayer(str(film(tmp_path / "x.webm", "libvpx", audio="libopus")))
    assert player.audio is not None
    assert player.video is not None
    ended: list[str] = []
    player.video.on("ended", lambda: ended.append("video"))
    await player.video.recv()
    await player.audio.recv()
    waiting = asyncio.ensure_future(all_of(player.video))
    await asyncio.sleep(0)
    player.video.stop()
    player.video.stop()
    assert ended == ["video"]
    await waiting
    await player.audio.recv()
    player.audio.stop()
    for track in (player.audio, player.video):
        with pytest.raises(MediaStreamError):
            await track.recv()


async def test_a_player_that_nobody_reads_is_closed(tmp_path: Path) -> None:
    player = MediaPlayer(str(film(tmp_path / "x.webm", "libvpx")))
    assert player.video is not None
    player.video.stop()
    with pytest.raises(MediaStreamError):
        await player.video.recv()


async def test_an_object_is_played(tmp_path: Path) -> None:
    data = film(tmp_path / "x.webm", "libvpx", 5).read_bytes()
    player = MediaPlayer(io.BytesIO(data), format="webm", options={}, timeout=None)
    assert player.video is not None
    assert len(await all_of(player.video)) == 5


async def test_what_cannot_be_played(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        MediaPlayer(str(tmp_path / "nowhere.mp4"))
    junk = tmp_path / "junk.mp4"
    junk.write_bytes(b"junk" * 100)
    with pytest.raises(av.InvalidDataError):
        MediaPlayer(str(junk))
    with pytest.raises(ValueError, match="format"):
        MediaPlayer(str(junk), format="no such format")


async def test_a_file_that_ends_in_the_middle_is_played_as_far_as_it_goes(tmp_path: Path) -> None:
    path = film(tmp_path / "x.webm", "libvpx", 60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    player = MediaPlayer(str(path))
    assert player.video is not None
    numbers = [read_frame_number(f) for f in await all_of(player.video)]
    assert numbers == list(range(len(numbers)))
    assert 10 < len(numbers) < 60
    assert player.video.readyState == "ended"


class Hesitant:
    """A container that has nothing, every second time, and at last breaks."""

    def __init__(self, inner: Any, breaks_after: int) -> None:
        self._inner = inner
        self._count = 0
        self._breaks_after = breaks_after
        self.refused = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def decode(self, *streams: Any) -> Any:
        for frame in self._inner.decode(*streams):
            self._count += 1
            if self._count > self._breaks_after:
                raise av.FFmpegError(errno.EIO, "it broke")
            yield frame
            if self._count % 2:
                self.refused += 1
                raise av.error.BlockingIOError(errno.EAGAIN, "not now")


async def test_a_device_with_nothing_at_the_moment_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = film(tmp_path / "x.webm", "libvpx", 30)
    opened: list[Hesitant] = []

    def opens(**arguments: Any) -> Any:
        opened.append(Hesitant(av.open(arguments["file"]), 12))
        return opened[0]

    monkeypatch.setattr(module, "av", type("Av", (), {"open": staticmethod(opens)}))
    player = MediaPlayer(str(path))
    assert player.video is not None
    frames = await all_of(player.video)
    assert len(frames) == 12
    assert opened[0].refused == 6
    assert "it broke" in caplog.text


# -- packets ------------------------------------------------------------------------------------------


async def test_packets_of_an_mp4_have_start_codes_and_parameter_sets(tmp_path: Path) -> None:
    player = MediaPlayer(str(film(tmp_path / "x.mp4", "libx264")), decode=False)
    assert player.video is not None
    packets = await all_of(player.video)
    assert len(packets) == 30
    kinds = [[unit[0] & 31 for unit in nal_units(bytes(packet))] for packet in packets]
    for packet, units in zip(packets, kinds, strict=True):
        assert ({7, 8, 5} <= set(units)) is packet.is_keyframe
    assert sum(packet.is_keyframe for packet in packets) == 3
    assert [p.pts * p.time_base for p in packets] == [Fraction(i, 30) for i in range(30)]


async def test_packets_of_other_codecs_are_not_given(tmp_path: Path) -> None:
    player = MediaPlayer(str(sound(tmp_path / "x.wav", "pcm_s16le")), decode=False)
    assert (player.audio, player.video) == (None, None)


async def sent(a: RTCPeerConnection, b: RTCPeerConnection, track: MediaStreamTrack) -> MediaStreamTrack:
    """Send a track from one to the other."""
    found: list[MediaStreamTrack] = []
    b.on("track", found.append)
    a.addTrack(track)
    await negotiate(a, b)
    return found[0]


@pytest.mark.parametrize(
    ("name", "codec", "mime_type"),
    [
        ("x.mp4", "libx264", "video/H264"),
        ("x.webm", "libvpx", "video/VP8"),
        ("x.ts", "libx264", "video/H264"),
    ],
)
@pytest.mark.parametrize("who", ["offers", "answers"])
async def test_packets_of_a_film_are_sent_as_they_are(
    tmp_path: Path, name: str, codec: str, mime_type: str, who: str
) -> None:
    player = MediaPlayer(str(film(tmp_path / name, codec, 90)), decode=False)
    assert player.video is not None
    async with pair() as (a, b):
        if who == "offers":
            track = await sent(a, b, player.video)
        else:
            a.addTrack(player.video)
            transceiver = b.addTransceiver("video", direction="recvonly")
            await negotiate(b, a)
            assert transceiver.receiver.track is not None
            track = transceiver.receiver.track
        frames: list[Any] = [await asyncio.wait_for(track.recv(), 20) for _ in range(20)]
        assert {(f.width, f.height) for f in frames} == {(SIDE, SIDE)}
        numbers = [read_frame_number(f) for f in frames]
        assert numbers == list(range(numbers[0], numbers[0] + 20))
        native = a.getSenders()[0].native
        report = await native.getStats()
        outbound = next(each for each in report.values() if each["type"] == "outbound-rtp")
        assert report[outbound["codecId"]]["mimeType"] == mime_type
        assert "encoderImplementation" not in outbound or not outbound["encoderImplementation"]


@pytest.mark.parametrize(
    ("name", "codec"), [("x.ogg", "libopus"), ("x.wav", "pcm_mulaw"), ("y.wav", "pcm_alaw")]
)
async def test_packets_of_a_sound_are_sent_as_they_are(tmp_path: Path, name: str, codec: str) -> None:
    rate, layout = (48_000, "stereo") if codec == "libopus" else (8_000, "mono")
    path = sound(tmp_path / name, codec, rate=rate, layout=layout, frames=150)
    player = MediaPlayer(str(path), decode=False)
    assert player.audio is not None
    async with pair() as (a, b):
        track = await sent(a, b, player.audio)
        frames: list[Any] = [await asyncio.wait_for(track.recv(), 20) for _ in range(40)]
        heard = np.concatenate([f.to_ndarray().reshape(f.samples, -1)[:, 0] for f in frames[10:]])
        spectrum = np.abs(np.fft.rfft(heard.astype(float)))
        peak = float(np.fft.rfftfreq(len(heard), 1 / frames[0].sample_rate)[spectrum.argmax()])
        assert peak == pytest.approx(440, abs=5)


async def test_packets_through_a_relay_are_sent_as_they_are(tmp_path: Path) -> None:
    player = MediaPlayer(str(film(tmp_path / "x.mp4", "libx264", 90)), decode=False)
    assert player.video is not None
    async with pair() as (a, b):
        track = await sent(a, b, MediaRelay().subscribe(player.video))
        frame: Any = await asyncio.wait_for(track.recv(), 20)
        assert frame.width == SIDE
        player.video.stop()
        await asyncio.sleep(0.2)
