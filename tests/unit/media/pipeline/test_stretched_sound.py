"""Received sound whose time is stretched: decoded Opus, by a player in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from rtcstack.clock import monotonic
from rtcstack.codecs import registry
from rtcstack.codecs.coders.audio import AudioSettings
from rtcstack.codecs.coders.stretching import MAX_LAG_S
from rtcstack.media.frames import audio_frame, audio_to_numpy
from rtcstack.media.pipeline import audio_in
from rtcstack.media.pipeline.audio_in import AudioInbound
from rtcstack.media.pipeline.inbound import EncodedReceiverSource, ReceivedCodec, ReceiverSource
from rtcstack.media.playout.metronome import SLOT_S
from rtcstack.media.playout.sync import PlayoutSync
from rtcstack.rtp.audio import AudioJitterBuffer
from rtcstack.rtp.capture import HeaderReader
from rtcstack.rtp.events import StreamStarted
from rtcstack.rtp.extensions import ExtensionIds
from rtcstack.rtp.header import make_header
from rtcstack.rtp.packet import parse
from rtcstack.rtp.parameters import StreamName
from tests.support.virtual import in_virtual_time
from tests.unit.codecs.test_stretching import peak_hz, roughness, tone, voice
from tests.unit.media.pipeline.receiving import Pool, Sink

STEP_S = 0.02
RATE = 48_000
HEADER = make_header(7)
READER = HeaderReader(ExtensionIds(), RATE)

Samples = npt.NDArray[np.int16]


@cache
def encoded(name: str) -> tuple[bytes, ...]:
    """A second of sound that joins itself, as packets of 20 ms."""
    sound = tone(440, 1.2) if name == "tone" else voice(120, 1.2)
    encoder = registry.audio_encoder("opus", AudioSettings(bitrate_bps=64_000))
    frames = [audio_frame(sound[i : i + 960], pts=i) for i in range(0, len(sound), 960)]
    packets = [unit.data for frame in frames for unit in encoder.encode(frame)]
    encoder.close()
    return tuple(packets[5:55])


class Hearing:
    """A receiver of sound without a network, and somebody who listens.

    Attributes:
        inbound: the receiver.
        buffer: its jitter buffer.
    """

    def __init__(self, name: str = "tone", channels: int = 1) -> None:
        self.packets = encoded(name)
        self.source = ReceiverSource("audio", "remote", lambda: self.inbound.update_demand())
        other = EncodedReceiverSource("audio/opus", "remote", lambda: None, lambda: None)
        self.errors: list[Exception] = []
        pool: Any = Pool()
        self.inbound = AudioInbound(pool, self.source, other, PlayoutSync(), self.errors.append)
        self.inbound.codecs = {111: ReceivedCodec("opus", "audio/opus", RATE, channels)}
        self.inbound.set_receiving(True)
        self.buffer = AudioJitterBuffer(RATE)
        stream: Any = SimpleNamespace(playout=self.buffer, reception=SimpleNamespace(clock_rate=RATE))
        self.inbound.on_stream_started(StreamStarted(StreamName("a", None, 7)), stream, monotonic())
        self.sink = Sink(self.source.track())
        self.at: list[float] = []
        take = self.sink.deliver
        self.sink.deliver = lambda frame: (self.at.append(monotonic()), take(frame))[1]  # type: ignore[method-assign]

    def insert(self, number: int) -> None:
        data = HEADER.write(111, number & 0xFFFF, number * 960 & 0xFFFF_FFFF, 0, 0)
        packet = parse(data + self.packets[number % len(self.packets)])
        packet.index = number
        self.buffer.insert(packet, registry.audio_depacketizer("opus"), READER, monotonic())

    async def hear(
        self, seconds: float, pace: float = 1.0, late_s: Callable[[int], float | None] = lambda number: 0.0
    ) -> None:
        """Let packets come for so long, each as late as it is said to; None loses it."""
        loop = asyncio.get_running_loop()
        began, last = loop.time() + 0.5, 0.0
        for number in range(int(seconds / STEP_S)):
            wait_s = late_s(number)
            if wait_s is None:
                continue
            last = max(last, began + number * STEP_S * pace + wait_s)
            loop.call_at(last, partial(self.insert, number))
        await asyncio.sleep(seconds * pace + 0.5)
        self.inbound.close()
        await asyncio.sleep(0.01)  # what is still under way
        assert not self.errors

    @property
    def frames(self) -> list[av.AudioFrame]:
        return self.sink.frames

    @property
    def sound(self) -> Samples:
        """All that was heard, mixed to one channel, without the first half second."""
        heard = np.concatenate([audio_to_numpy(frame)[:, 0] for frame in self.frames])
        return np.asarray(heard[RATE // 2 :])


def assert_time_is_whole(hearing: Hearing) -> None:
    """Frames follow one another on one line, which is that of the clock."""
    frames = hearing.frames
    assert all(b.pts == a.pts + a.samples for a, b in pairwise(frames))
    least, most = RATE * (STEP_S - MAX_LAG_S), RATE * (STEP_S + MAX_LAG_S)
    assert all(least <= frame.samples <= most for frame in frames)
    begun = hearing.at[0]
    for frame, at in zip(frames, hearing.at, strict=True):
        played_s = (frame.pts - frames[0].pts) / RATE
        assert -1e-6 <= at - begun - played_s < SLOT_S + 1e-6


def assert_counted(hearing: Hearing) -> None:
    """What was put in and taken out is what frames are longer and shorter by."""
    by = [frame.samples - 960 for frame in hearing.frames]
    assert hearing.buffer.removed == -sum(each for each in by if each < 0)
    assert hearing.buffer.inserted >= sum(each for each in by if each > 0)
    assert hearing.inbound.samples == sum(frame.samples for frame in hearing.frames)


@pytest.mark.parametrize("drift", [2000e-6, -2000e-6])
@pytest.mark.parametrize("name", ["tone", "voice"])
@in_virtual_time
async def test_drift_is_inaudible(name: str, drift: float) -> None:
    hearing = Hearing(name)
    await hearing.hear(60, 1 + drift)
    buffer = hearing.buffer
    assert (buffer.concealed, buffer.late, buffer.discarded) == (0, 0, 0)
    moved = buffer.inserted - buffer.removed
    assert moved == pytest.approx(drift * 60 * RATE, abs=0.03 * RATE)
    assert min(buffer.inserted, buffer.removed) == 0
    assert buffer.delay_s / buffer.emitted < 0.05
    assert_time_is_whole(hearing)
    assert_counted(hearing)
    sound, clean = hearing.sound[:-RATE], tone(440, 2) if name == "tone" else voice(120, 2)
    if name == "tone":
        assert abs(peak_hz(sound) - 440) < 1
    assert roughness(sound) < 1.5 * roughness(clean) + 200


@pytest.mark.parametrize("channels", [1, 2])
@in_virtual_time
async def test_a_tone_through_jitter_stays_the_tone(channels: int) -> None:
    rng = random.Random(5)
    hearing = Hearing(channels=channels)

    def late_s(number: int) -> float:
        # calm, rough for a while, and calm again: the delay grows and shrinks
        return rng.random() * (0.1 if 250 <= number < 500 else 0.005)

    await hearing.hear(60, late_s=late_s)
    buffer = hearing.buffer
    assert buffer.removed > 0.02 * RATE
    assert buffer.inserted > 0.02 * RATE
    assert_time_is_whole(hearing)
    assert abs(peak_hz(hearing.sound[:-RATE]) - 440) < 1
    # what is stretched has no clicks; only what is made up at the few places where a packet was late may
    rough = np.abs(np.diff(hearing.sound[:-RATE].astype(np.int64), 2)) > 1.5 * roughness(tone(440, 2)) + 200
    assert np.count_nonzero(rough) <= 10 * buffer.concealment_events
    assert buffer.concealment_events <= 6


@in_virtual_time
async def test_sound_that_passes_a_transform_is_stretched_likewise() -> None:
    hearing = Hearing()

    class Later:
        """Gives frames back after a while, in order."""

        def on_received(self, frame: Any, codec: Any, sink: Any) -> None:
            asyncio.get_running_loop().call_later(0.003, sink.take_encoded, frame)

    hearing.inbound.transform = Later()
    await hearing.hear(30, 0.998)
    assert hearing.buffer.concealed == 0
    assert hearing.buffer.removed == pytest.approx(0.06 * RATE, abs=0.03 * RATE)
    assert_counted(hearing)
    assert abs(peak_hz(hearing.sound[:-RATE]) - 440) < 1


@in_virtual_time
async def test_where_numpy_is_missing_frames_are_left_out_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audio_in, "can_stretch", lambda: False)
    hearing = Hearing()
    await hearing.hear(60, 0.995)
    assert {frame.samples for frame in hearing.frames} == {960}
    assert hearing.buffer.removed > 0
    assert hearing.buffer.removed % 960 == 0


@in_virtual_time
async def test_who_reads_again_hears_from_then_on() -> None:
    """A player that was stopped begins at a whole place of the grid, whatever it had stretched before."""
    hearing = Hearing()
    task = asyncio.ensure_future(hearing.hear(20, 0.995))
    await asyncio.sleep(8)
    hearing.sink.track.remove_sink(hearing.sink)
    count = len(hearing.frames)
    await asyncio.sleep(3)
    assert len(hearing.frames) == count
    hearing.sink.track.add_sink(hearing.sink)
    await task
    again = hearing.frames[count + 100 :]
    assert len(again) > 200
    assert {b.pts - a.pts - a.samples for a, b in pairwise(again)} == {0}
