"""Files whose packets are given out as they are."""

from __future__ import annotations

import asyncio
import itertools
import logging
import wave
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.codecs.payload.annexb import nal_units
from rtcstack.errors import NotFoundError, NotSupportedError, ParseError
from rtcstack.media.encoded import EncodedMedia
from rtcstack.media.player import MediaPlayer
from rtcstack.media.testsources import ToneSource, test_picture
from rtcstack.media.unwrapping import configuration
from rtcstack.testing import run

PLAIN = {"bframes": "0", "g": "15", "preset": "ultrafast", "tune": "zerolatency"}


def write(
    path: Path,
    video: str | None = "libx264",
    audio: str | None = "libopus",
    *,
    options: Mapping[str, str] = PLAIN,
    pictures: int = 30,
    muxer: Mapping[str, str] | None = None,
) -> None:
    """A second of the test pattern and a tone."""
    with av.open(str(path), "w", options=dict(muxer or {})) as container:
        streams = []
        if video is not None:
            pictured: Any = container.add_stream(video, rate=30, options=dict(options))
            pictured.width, pictured.height, pictured.pix_fmt = 64, 64, "yuv420p"
            for i in range(pictures):
                frame = test_picture(i, 64, 64)
                frame.pts, frame.time_base = i, Fraction(1, 30)
                streams += [(i / 30, packet) for packet in pictured.encode(frame)]
            streams += [(1e9, packet) for packet in pictured.encode(None)]
        if audio is not None:
            sounding: Any = container.add_stream(audio, rate=48_000 if "pcm" not in audio else 8_000)
            sounding.layout = "mono"
            tone = ToneSource(440, sample_rate=sounding.rate, channels=1)
            resampler = av.AudioResampler(sounding.format.name, "mono", sounding.rate)
            for i in range(50):
                for piece in resampler.resample(tone.make(i)):
                    streams += [(i / 50, packet) for packet in sounding.encode(piece)]
            streams += [(1e9, packet) for packet in sounding.encode(None)]
        for _, packet in sorted(streams, key=lambda entry: entry[0]):
            container.mux(packet)


def given_out(path: object, **how: Any) -> dict[str, list[EncodedMedia]]:
    """Everything that a player of it gives, by kind."""
    found: dict[str, list[EncodedMedia]] = {}

    async def main() -> None:
        player = await MediaPlayer.open(path, decode=False, realtime=False, **how)

        async def read(track: Any) -> None:
            found[track.kind] = [frame async for frame in track]

        await asyncio.gather(*(read(track) for track in (player.audio, player.video) if track))

    run(main())
    return found


def packets(path: Path, kind: str) -> list[Any]:
    with av.open(str(path)) as container:
        return [p for p in container.demux() if p.stream.type == kind and p.size]


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
def test_h264_of_any_wrapping_becomes_a_byte_stream_with_its_parameter_sets(
    ending: str, tmp_path: Path
) -> None:
    path = tmp_path / f"film.{ending}"
    write(path, audio=None)
    frames = given_out(path)["video"]
    assert len(frames) == 30
    assert [frame.key_frame for frame in frames].count(True) == 2
    for frame in frames:
        kinds = [unit[0] & 0x1F for unit in nal_units(frame.data)]
        assert ({7, 8} <= set(kinds)) is frame.key_frame
        assert (5 in kinds) is frame.key_frame
        assert (frame.codec, frame.time_base) == ("video/H264", Fraction(1, 90_000))
    assert [frame.pts for frame in frames] == pytest.approx(
        [i * 3000 for i in range(30)], abs=45
    )  # mkv: 1 ms
    assert (frames[0].width, frames[0].height) == (64, 64)
    decoder: Any = av.CodecContext.create("h264", "r")
    shown = [p for f in frames for p in decoder.decode(av.Packet(f.data))] + decoder.decode(None)
    assert len(shown) == 30


def test_h265_in_mp4(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    try:
        write(path, "libx265", None, options={"preset": "ultrafast", "x265-params": "bframes=0:log-level=0"})
    except av.FFmpegError:
        pytest.skip("nothing here encodes H.265")
    frames = given_out(path)["video"]
    assert frames[0].codec == "video/H265"
    kinds = {unit[0] >> 1 & 0x3F for unit in nal_units(frames[0].data)}
    assert {32, 33, 34} <= kinds
    assert len(frames) == 30


@pytest.mark.parametrize(("video", "ending"), [("libvpx", "webm"), ("libvpx-vp9", "webm")])
def test_other_packets_are_as_they_are(video: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"film.{ending}"
    write(path, video, options={"deadline": "realtime", "lag-in-frames": "0"})
    frames = given_out(path)
    for kind in ("video", "audio"):
        assert [frame.data for frame in frames[kind]] == [bytes(p) for p in packets(path, kind)]
    assert frames["audio"][0].codec == "audio/opus"
    assert all(b.pts > a.pts for a, b in zip(frames["audio"], frames["audio"][1:], strict=False))


@pytest.mark.parametrize("codec", ["pcm_mulaw", "pcm_alaw"])
def test_g711_comes_in_pieces_of_20_ms(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    write(path, None, codec)
    frames = given_out(path)["audio"]
    whole = b"".join(bytes(p) for p in packets(path, "audio"))
    assert b"".join(frame.data for frame in frames) == whole[: len(whole) // 160 * 160]
    assert {len(frame.data) for frame in frames} == {160}
    assert [frame.pts for frame in frames] == [i * 160 for i in range(len(frames))]


def test_a_loop_goes_on_in_time_and_begins_with_a_key_frame(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    write(path)
    times: list[tuple[float, bool]] = []

    async def main() -> None:
        player = await MediaPlayer.open(path, decode=False, loop=True)
        assert player.video is not None
        async for frame in player.video:
            assert isinstance(frame, EncodedMedia)
            times.append((frame.time, frame.key_frame))
            if len(times) == 90:
                break
        player.stop()

    run(main())
    assert [key for _, key in times][30::30] == [True, True]
    steps = [b - a for (a, _), (b, _) in itertools.pairwise(times)]
    assert max(steps) < 0.08
    assert min(steps) > 0


def test_b_frames_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    write(path, audio=None, options={"bframes": "3", "preset": "medium"}, pictures=60)
    with pytest.raises(NotSupportedError, match=r"film\.mp4.*H264.*B-frames"):
        MediaPlayer(path, decode=False)


def test_what_cannot_be_sent_is_named_and_the_rest_is_given(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "film.mp4"
    write(path, audio="aac")
    with caplog.at_level(logging.WARNING, "rtcstack"):
        player = MediaPlayer(path, decode=False)
    assert player.audio is None
    assert player.video is not None
    assert "AAC" in str(player.refused["audio"])
    assert len([r for r in caplog.records if "AAC" in r.getMessage()]) == 1
    player.stop()
    alone = tmp_path / "song.m4a"
    write(alone, None, "aac")
    with pytest.raises(NotSupportedError, match="AAC"):
        MediaPlayer(alone, decode=False)


def test_g711_of_another_rate_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("pcm_mulaw", rate=16_000)
        stream.layout = "stereo"
        frame = av.AudioFrame("s16", "stereo", 320)
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
    with pytest.raises(NotSupportedError, match=r"PCMU of 2 .* 16000 Hz"):
        MediaPlayer(path, decode=False)


def test_what_is_no_media(tmp_path: Path) -> None:
    path = tmp_path / "page.mp4"
    path.write_text("<!doctype html><title>404</title>")
    with pytest.raises(NotFoundError, match=r"page\.mp4"):
        MediaPlayer(path, decode=False)
    empty = tmp_path / "empty.wav"
    with wave.open(str(empty), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
    with pytest.raises(NotSupportedError, match="PCM_S16LE"):
        MediaPlayer(empty, decode=False)


@pytest.mark.parametrize("decode", [True, False])
def test_a_file_that_ends_in_the_middle_ends_its_tracks(decode: bool, tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    write(path, pictures=30)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    ended: list[str] = []

    async def main() -> None:
        player = await MediaPlayer.open(path, decode=decode)
        player.on("error", lambda event: ended.append("error"))
        assert player.video is not None
        player.video.on("ended", lambda: ended.append("ended"))
        assert [frame async for frame in player.video]
        assert not player.is_running

    run(main())
    assert ended[-1] == "ended"


def test_a_device_that_is_unplugged_is_told(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    write(path, "libvpx", None, options={"deadline": "realtime", "lag-in-frames": "0"})

    class Unplugged:
        """Fails in the middle, as a device does."""

        def __init__(self) -> None:
            self.file = path.open("rb")

        def read(self, size: int) -> bytes:
            if self.file.tell() > path.stat().st_size // 2:
                raise OSError(19, "No such device")
            return self.file.read(min(size, 512))

    told: list[BaseException] = []

    async def main() -> None:
        device = Unplugged()
        player = await MediaPlayer.open(device, decode=False, options={"probesize": "2048"})
        player.on("error", lambda event: told.append(event.error))
        assert player.video is not None
        frames = [frame async for frame in player.video]
        assert 0 < len(frames) < 30
        assert player.video.readyState == "ended"
        device.file.close()

    asyncio.run(main())
    assert "No such device" in str(told[0])


# -- configuration records -----------------------------------------------------------------------------------


@given(st.binary(max_size=200), st.sampled_from(["h264", "h265"]))
def test_any_configuration_is_read_or_refused(data: bytes, codec: str) -> None:
    try:
        size, units = configuration(codec, b"\x01" + data)
    except ParseError:
        return
    assert 1 <= size <= 4
    assert all(units)
    assert sum(map(len, units)) <= len(data)


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=31),
    st.lists(st.binary(min_size=1, max_size=40), max_size=255),
    st.integers(1, 4),
)
def test_a_configuration_record_comes_back(first: list[bytes], second: list[bytes], size: int) -> None:
    def listed(units: list[bytes]) -> bytes:
        return b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)

    record = bytes([1, 66, 0, 30, 0xFC | size - 1, 0xE0 | len(first)]) + listed(first)
    record += bytes([len(second)]) + listed(second)
    assert configuration("h264", record) == (size, first + second)
    hevc = bytes([1, *bytes(20), 0xFC | size - 1, 2])
    for units in (first, second):
        hevc += b"\x21" + len(units).to_bytes(2, "big") + listed(units)
    assert configuration("h265", hevc) == (size, first + second)
