"""A source takes over from another: nothing that came while the other might still go on is lost."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rtcstack.clock import monotonic
from rtcstack.codecs.coders.limits import DecoderLimits, PictureBudget
from rtcstack.media.pipeline.audio_in import AudioInbound
from rtcstack.media.pipeline.inbound import (
    MAX_ASIDE,
    MAX_ASIDE_BYTES,
    MAX_ASIDE_S,
    Aside,
    EncodedReceiverSource,
    ReceivedCodec,
    ReceiverSource,
)
from rtcstack.media.playout.sync import PlayoutSync
from rtcstack.rtp.events import FrameReceived, StreamStarted
from rtcstack.rtp.frames import EncodedFrame
from rtcstack.rtp.parameters import StreamName
from tests.unit.media.pipeline.receiving import Pool, Receiver, Sink, encode

NAMES = {
    "h264": ("libx264", {"preset": "ultrafast", "tune": "zerolatency", "g": "300"}),
    "vp8": ("libvpx", {"deadline": "realtime", "lag-in-frames": "0", "g": "300"}),
}


def other(receiver: Receiver) -> Any:
    return SimpleNamespace(
        name=StreamName("v", None, 8),
        request_key_frame=receiver._asked,
        assembler=receiver.stream.assembler,
    )


def deliver(receiver: Receiver, stream: Any, data: bytes, number: int, *, key: bool) -> None:
    now = monotonic()
    frame = EncodedFrame(data, 90_000_000 + number * 3000, 96, 8, now, key, first_received_at=now)
    receiver.inbound.on_frame(FrameReceived(stream.name, frame), now)


def start(receiver: Receiver, stream: Any, now: float | None = None) -> None:
    event = StreamStarted(stream.name, is_under_way=True)
    receiver.inbound.on_stream_started(event, stream, monotonic() if now is None else now)


@pytest.mark.parametrize("codec", NAMES)
async def test_pictures_from_the_new_source_s_key_frame_on_are_shown(codec: str) -> None:
    name, options = NAMES[codec]
    frames = encode(name, 20, options=options)
    receiver = Receiver(codec)
    seen = Sink(receiver.track)
    for _, data, key in frames:
        receiver.receive(data, key_frame=key)
    asked = receiver.key_frames_asked
    new = other(receiver)
    for number, data, key in frames[:12]:
        deliver(receiver, new, data, number, key=key)
    assert len(seen.frames) == 20
    start(receiver, new)
    assert len(seen.frames) == 32
    for number, data, key in frames[12:]:
        deliver(receiver, new, data, number, key=key)
    assert len(seen.frames) == 40
    assert receiver.key_frames_asked == asked
    assert receiver.feed.failures == 0


async def test_without_a_key_frame_one_is_asked_for() -> None:
    name, options = NAMES["h264"]
    frames = encode(name, 20, options=options)
    receiver = Receiver("h264")
    seen = Sink(receiver.track)
    receiver.receive(frames[0][1], key_frame=True)
    asked = receiver.key_frames_asked
    new = other(receiver)
    for number, data, key in frames[1:]:
        deliver(receiver, new, data, number, key=key)
    start(receiver, new)
    assert len(seen.frames) == 1
    assert receiver.key_frames_asked > asked


async def test_what_is_of_the_past_is_not_shown() -> None:
    name, options = NAMES["h264"]
    frames = encode(name, 5, options=options)
    receiver = Receiver("h264")
    seen = Sink(receiver.track)
    receiver.receive(frames[0][1], key_frame=True)
    asked = receiver.key_frames_asked
    new = other(receiver)
    for number, data, key in frames:
        deliver(receiver, new, data, number, key=key)
    start(receiver, new, monotonic() + MAX_ASIDE_S + 0.1)
    assert len(seen.frames) == 1
    assert receiver.key_frames_asked > asked


async def test_what_waits_counts_to_the_memory_of_decoders_and_is_given_back() -> None:
    budget = PictureBudget(64 << 20)
    receiver = Receiver("h264", limits=DecoderLimits(budget=budget))
    seen = Sink(receiver.track)
    new = other(receiver)
    before = budget._used
    deliver(receiver, new, bytes(100_000), 0, key=True)
    assert budget._used == before + 100_000
    receiver.inbound.close()
    assert budget._used == before
    assert not seen.frames


def frame(size: int = 10, at: float = 1.0) -> EncodedFrame:
    return EncodedFrame(bytes(size), 0, 96, 8, at, True, first_received_at=at)


@pytest.mark.parametrize("size", [1, MAX_ASIDE_BYTES // 100])
def test_what_waits_is_bounded(size: int) -> None:
    held: list[int] = []
    aside = Aside(lambda size: held.append(size) or True)  # type: ignore[func-returns-value]
    stream = StreamName("v", None, 8)
    for i in range(3 * MAX_ASIDE):
        aside.keep(stream, frame(size), begins=i == 0)
        assert len(aside.frames) <= MAX_ASIDE
        assert sum(len(each.data) for each in aside.frames) == aside.bytes <= MAX_ASIDE_BYTES
    assert not aside.frames  # its beginning did not fit, so the rest is of no use
    assert held[-1] == 0


def test_only_the_stream_that_began_last_waits() -> None:
    aside = Aside()
    one, two = StreamName("v", None, 8), StreamName("v", None, 9)
    aside.keep(one, frame(), begins=True)
    aside.keep(two, frame(), begins=False)
    assert len(aside.frames) == 1
    aside.keep(two, frame(), begins=True)
    aside.keep(one, frame(), begins=False)
    assert aside.take(one, 1.0) == []
    aside.keep(two, frame(), begins=True)
    assert len(aside.take(two, 1.0)) == 1
    assert aside.take(two, 1.0) == []


def test_what_no_memory_is_granted_for_does_not_wait() -> None:
    aside = Aside(lambda size: size < 15)
    stream = StreamName("v", None, 8)
    aside.keep(stream, frame(), begins=True)
    aside.keep(stream, frame(), begins=False)
    assert not aside.frames


async def test_encoded_sound_of_the_new_source_is_all_there() -> None:
    taken: list[bytes] = []
    main = ReceiverSource("audio", "remote", lambda: None)
    encoded = EncodedReceiverSource("audio/PCMU", "remote", lambda: None, lambda: None)
    inbound = AudioInbound(Pool(), main, encoded, PlayoutSync())  # type: ignore[arg-type]
    inbound.codecs = {0: ReceivedCodec("pcmu", "audio/PCMU", 8000)}
    sink = Sink(encoded.track())
    streams = [StreamName("a", None, 8), StreamName("a", None, 9)]

    def sound(stream: StreamName, data: bytes) -> None:
        each = EncodedFrame(data, len(sink.frames), 0, 8, monotonic(), True)
        inbound.on_frame(FrameReceived(stream, each), monotonic())
        taken[:] = [bytes(f.data) for f in sink.frames]

    inbound.on_stream_started(StreamStarted(streams[0]), None, monotonic())
    sound(streams[0], b"a1")
    sound(streams[1], b"stray")
    sound(streams[0], b"a2")
    for data in (b"b1", b"b2"):
        sound(streams[1], data)
    assert taken == [b"a1", b"a2"]
    inbound.on_stream_started(StreamStarted(streams[1]), None, monotonic())
    sound(streams[1], b"b3")
    assert taken == [b"a1", b"a2", b"b1", b"b2", b"b3"]
    inbound.close()
