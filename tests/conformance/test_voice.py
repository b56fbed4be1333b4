"""Sound as numbers: what is heard, and what a program says."""

from __future__ import annotations

import asyncio
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtcstack import AudioOutput, InvalidStateError, MediaStreamTrack, ToneSource, TrackSource, audio_frame
from rtcstack.media.audiooutput import MAX_MARKS
from rtcstack.media.frames import audio_to_numpy
from tests.conformance.helpers import negotiate, pair, trickle

Samples = npt.NDArray[Any]


def tone(seconds: float, rate: int = 24_000, hertz: float = 440.0) -> Samples:
    at = np.arange(round(seconds * rate)) / rate
    return (np.sin(2 * np.pi * hertz * at) * 20_000).astype(np.int16)


def pitch(samples: Samples, rate: int) -> float:
    """The strongest frequency."""
    spectrum = np.abs(np.fft.rfft(samples.astype(float) * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))


async def heard(track: MediaStreamTrack, frames: int) -> Samples:
    """The next frames' samples, one channel."""
    reader = track.reader(frames + 10)
    parts = [audio_to_numpy(await reader.read())[:, 0] for _ in range(frames)]  # type: ignore[arg-type]
    reader.close()
    return np.concatenate(parts)


# -- hearing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "channels", "frame_ms", "dtype"),
    [
        (16_000, 1, 20, "int16"),
        (8_000, 1, 10, "float32"),
        (48_000, 2, 30, "int16"),
        (24_000, 2, 32, "float32"),
    ],
)
async def test_chunks_are_of_exactly_this_form(rate: int, channels: int, frame_ms: int, dtype: str) -> None:
    source = ToneSource(440)
    chunks = source.track().pcm(rate, channels, frame_ms, dtype)
    got = []
    async for chunk in chunks:
        got.append(chunk)
        if len(got) == 20:
            break
    chunks.close()
    samples = rate * frame_ms // 1000
    shape = (samples,) if channels == 1 else (samples, channels)
    assert {each.shape for each in got} == {shape}
    assert {each.dtype for each in got} == {np.dtype(dtype)}
    steps = np.diff([each.time for each in got])
    assert steps == pytest.approx(frame_ms / 1000)
    sound = np.concatenate(got)
    assert pitch(sound if channels == 1 else sound[:, 0], rate) == pytest.approx(440, abs=5)
    if dtype == "float32":
        assert 0.1 < np.abs(sound).max() <= 1
    source.end()


async def test_a_peers_voice_is_heard_as_numbers() -> None:
    async with pair() as (a, b):
        trickle(a, b)
        a.addTrack(ToneSource(440).track())
        tracks: list[MediaStreamTrack] = []
        b.ontrack = lambda event: tracks.append(event.track)
        await negotiate(a, b)
        chunks = tracks[0].pcm(16_000)
        sound = np.concatenate([await anext(chunks) for _ in range(100)])
        assert pitch(sound[8_000:], 16_000) == pytest.approx(440, abs=5)
        chunks.close()


async def test_sound_that_changes_its_form_gives_chunks_of_one() -> None:
    source = TrackSource("audio")
    chunks = source.track().pcm(16_000, frame_ms=10)
    at = 0.0
    for rate, shape in ((48_000, (960,)), (8_000, (160,)), (44_100, (882, 2))) * 3:
        frame = audio_frame(np.zeros(shape, np.int16), rate)
        frame.pts = round(at * rate)
        at += 0.02
        source.push(frame)
    source.end()
    got = [chunk async for chunk in chunks]
    assert len(got) >= 15
    assert {each.shape for each in got} == {(160,)}


async def test_a_gap_in_time_is_a_gap_in_the_chunks_times() -> None:
    source = TrackSource("audio")
    chunks = source.track().pcm(48_000)
    for at in (0, 960, 96_000):
        source.push(audio_frame(np.zeros(960, np.int16), pts=at))
    source.end()
    assert [chunk.time async for chunk in chunks] == [0.0, 0.02, 2.0]


async def test_who_reads_too_slowly_misses_the_oldest() -> None:
    source = TrackSource("audio")
    chunks = source.track().pcm(48_000)
    for number in range(80):
        source.push(audio_frame(np.full(960, number, np.int16), pts=960 * number))
    source.end()
    assert [int(chunk[0]) async for chunk in chunks] == list(range(30, 80))
    assert chunks.dropped == 30


@pytest.mark.parametrize(
    "wrong",
    [{"rate": 0}, {"rate": 400_000}, {"channels": 3}, {"frame_ms": 0}, {"frame_ms": 0.03}, {"dtype": "int8"}],
)
async def test_no_such_form(wrong: dict[str, Any]) -> None:
    track = TrackSource("audio").track()
    with pytest.raises(ValueError, match=next(iter(wrong))):
        track.pcm(**wrong)
    assert not track.has_sinks


async def test_pictures_have_no_samples() -> None:
    with pytest.raises(TypeError, match="video"):
        TrackSource("video").track().pcm()


# -- speaking -----------------------------------------------------------------------------------------


async def test_ten_seconds_at_once_are_heard_whole() -> None:
    output = AudioOutput(24_000)
    said = tone(10)
    listening = asyncio.ensure_future(heard(output.track, 510))
    await output.write(said)
    assert output.queued_s <= 1
    await output.drained()
    assert output.played_s == 10
    sound = await listening
    begin = int(np.flatnonzero(sound)[0]) - 1  # its first sample is 0
    assert np.array_equal(sound[begin : begin + len(said)], said)
    assert not sound[begin + len(said) :].any()
    output.close()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=30), st.sampled_from([1, 2]))
def test_any_lengths_are_heard_in_order(lengths: list[int], channels: int) -> None:
    async def run() -> None:
        output = AudioOutput(16_000, channels, max_buffered_s=0.1)
        total = sum(lengths)
        said = np.arange(1, total + 1).astype(np.int16) if channels == 1 else np.ones((total, 2), np.int16)
        listening = asyncio.ensure_future(heard(output.track, total // 320 + 5))
        at = 0
        for length in lengths:
            await output.write(said[at : at + length])
            at += length
        await output.drained()
        sound = await listening
        assert np.array_equal(sound[sound != 0], said if channels == 1 else said[:, 0])
        output.close()

    from rtcstack.testing import Internet
    from rtcstack.testing import run as run_virtually

    run_virtually(run(), internet=Internet(seed=1))


async def test_writers_take_turns() -> None:
    output = AudioOutput(8_000, max_buffered_s=0.1)
    listening = asyncio.ensure_future(heard(output.track, 160))
    await asyncio.gather(*(output.write(np.full(8_000, number, np.int16)) for number in (1, 2, 3)))
    await output.drained()
    sound = await listening
    assert sound[sound != 0].tolist() == [1] * 8_000 + [2] * 8_000 + [3] * 8_000
    output.close()


async def test_flush_silences_at_once_and_lets_writers_go() -> None:
    output = AudioOutput(24_000)
    frames: list[Samples] = []
    reader = output.track.reader(1000)

    async def listen() -> None:
        while True:
            frames.append(audio_to_numpy(await reader.read())[:, 0])  # type: ignore[arg-type]

    listening = asyncio.ensure_future(listen())
    writing = asyncio.ensure_future(output.write(tone(10)))
    also = asyncio.ensure_future(output.write(tone(1)))
    await asyncio.sleep(1.0)
    mark = output.mark()
    before = len(frames)
    assert output.flush() == pytest.approx(1.0, abs=0.05)
    await asyncio.gather(writing, also)
    assert await mark is False
    await asyncio.sleep(1.0)
    assert all(frame.any() for frame in frames[1:before])
    assert not any(frame.any() for frame in frames[before + 1 :])  # one was on its way
    assert output.queued_s == 0
    await output.write(tone(0.1))  # and it can be spoken on
    await output.drained()
    await asyncio.sleep(0)
    assert frames[-1].any()
    output.close()
    with pytest.raises(InvalidStateError):
        await listening


async def test_marks_are_reached_in_order_when_their_sample_is_played() -> None:
    output = AudioOutput(16_000)
    reader = output.track.reader(500)
    reached: list[tuple[str, float]] = []
    began = asyncio.get_running_loop().time()

    def note(name: str) -> Any:
        return lambda was: reached.append((name, asyncio.get_running_loop().time() - began)) if was else None

    output.mark(note("before anything"))
    await output.write(tone(0.5, 16_000))
    output.mark(note("half a second"))
    await output.write(tone(0.25, 16_000))
    assert await output.mark(note("three quarters")) is True
    await asyncio.sleep(0)
    assert [name for name, _ in reached] == ["before anything", "half a second", "three quarters"]
    assert [at for _, at in reached] == pytest.approx([0, 0.5, 0.75], abs=0.021)
    reader.close()
    output.close()


async def test_what_is_said_waits_until_somebody_listens() -> None:
    output = AudioOutput(8_000)
    await output.write(tone(0.5, 8_000))
    await asyncio.sleep(5)
    assert output.queued_s == 0.5
    sound = await heard(output.track, 26)
    assert np.array_equal(sound[:4_000], tone(0.5, 8_000))
    output.close()


async def test_the_peer_hears_what_was_written() -> None:
    async with pair() as (a, b):
        trickle(a, b)
        output = AudioOutput(24_000)
        a.addTrack(output.track)
        tracks: list[MediaStreamTrack] = []
        b.ontrack = lambda event: tracks.append(event.track)
        await negotiate(a, b)
        chunks = tracks[0].pcm(24_000)
        await output.write(tone(2))
        sound = np.concatenate([await anext(chunks) for _ in range(90)])
        assert pitch(sound[12_000:36_000], 24_000) == pytest.approx(440, abs=5)
        chunks.close()
        output.close()


async def test_floating_point_and_mono_on_two_channels() -> None:
    output = AudioOutput(8_000, 2)
    reader = output.track.reader()
    await output.write(np.array([0.5, -0.5, 2.0], np.float32))
    await output.write(np.array([[0.25, -0.25]], np.float64))
    frame: Any = await reader.read()
    assert audio_to_numpy(frame)[:4].tolist() == [
        [16_384, 16_384],
        [-16_384, -16_384],
        [32_767, 32_767],
        [8_192, -8_192],
    ]
    assert isinstance(frame, av.AudioFrame)
    reader.close()
    output.close()


async def test_wrong_arguments_and_the_end() -> None:
    for wrong in ({"rate": 11_025}, {"rate": 96_000}, {"channels": 3}, {"max_buffered_s": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            AudioOutput(**wrong)  # type: ignore[arg-type]
    output = AudioOutput(8_000)
    for array in (np.zeros((4, 2), np.int16), np.zeros((1, 1, 1), np.int16), np.zeros(4, np.complex64)):
        with pytest.raises(ValueError, match=r"audio|array"):
            await output.write(array)
    await output.write(np.zeros(0, np.int16))
    await output.write(np.ones(8, np.int16))
    for _ in range(MAX_MARKS):
        mark = output.mark()
    with pytest.raises(InvalidStateError, match="marks"):
        output.mark()
    writing = asyncio.ensure_future(output.write(np.ones(80_000, np.int16)))
    draining = asyncio.ensure_future(output.drained())
    await asyncio.sleep(0.1)
    output.close()
    output.close()
    with pytest.raises(InvalidStateError, match="closed"):
        await writing
    await draining
    assert await mark is False
    assert output.track.readyState == "ended"
    with pytest.raises(InvalidStateError, match="closed"):
        await output.write(np.ones(8, np.int16))
