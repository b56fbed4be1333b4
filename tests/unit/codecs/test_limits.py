"""What pictures may take of memory: sizes read from headers, references, a budget for a connection."""

from __future__ import annotations

import asyncio
import struct
from fractions import Fraction
from typing import Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.codecs import registry
from rtcstack.codecs.coders.limits import (
    DEFAULT_MAX_PIXELS,
    DecoderLimits,
    PictureBudget,
    needed_bytes,
)
from rtcstack.codecs.coders.scheduling import ordinary_scheduling
from rtcstack.codecs.coders.video_decoder import VideoDecoder
from rtcstack.codecs.payload.sequence import Sequence
from rtcstack.codecs.payload.sizes import stated_sequence
from rtcstack.config import MediaSettings
from rtcstack.errors import ParseError
from tests.support.virtual import in_virtual_time
from tests.unit.media.pipeline.receiving import Receiver, Sink, encode

ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "vp8": ("libvpx", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}),
    "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}),
    "h264": ("libx264", {"preset": "ultrafast", "tune": "zerolatency"}),
    "h265": ("libx265", {"preset": "ultrafast", "tune": "zerolatency", "x265-params": "log-level=none"}),
    "av1": ("libsvtav1", {"preset": "11"}),
}
codecs = pytest.mark.parametrize("codec", ENCODERS)


def stream(codec: str, size: tuple[int, int], count: int = 3) -> list[tuple[int, bytes, bool]]:
    name, options = ENCODERS[codec]
    if not registry.can_encode(codec):
        pytest.skip(f"no encoder of {codec}")
    return encode(name, count, size, options)


def blank(codec: str, size: tuple[int, int], private: str = "") -> bytes:
    """A large key frame that costs little to make."""
    context: Any = av.CodecContext.create(ENCODERS[codec][0], "w")
    context.width, context.height = size
    context.pix_fmt, context.time_base = "yuv420p", Fraction(1, 30)
    context.thread_count = 1
    context.options = ENCODERS[codec][1] | ({f"x{codec[1:]}-params": private} if private else {})
    frame = av.VideoFrame(*size, "yuv420p")
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    frame.pts = 0
    with ordinary_scheduling():
        packets = [*context.encode(frame), *context.encode(None)]
    return bytes(packets[0])


@codecs
@pytest.mark.parametrize("size", [(322, 182), (640, 360)])
def test_headers_tell_the_size(codec: str, size: tuple[int, int]) -> None:
    (_, data, _), *_ = stream(codec, size)
    found = stated_sequence(codec, data)
    assert found is not None
    assert (found.width, found.height) == size
    assert found.pixels >= size[0] * size[1]
    assert 1 <= found.references <= 8


@codecs
@given(data=st.binary(max_size=200))
def test_headers_of_anything_never_raise_but_what_is_said(codec: str, data: bytes) -> None:
    for head in (b"", b"\x00\x00\x01\x67", b"\x00\x00\x01\x42\x01", b"\x0a\x0b", b"\x82\x49\x83\x42"):
        try:
            found = stated_sequence(codec, head + data)
        except ParseError:
            continue
        assert found is None or found.pixels >= 0


@codecs
def test_larger_pictures_than_are_allowed_are_not_given_to_the_decoder(codec: str) -> None:
    large, small = stream(codec, (640, 360)), stream(codec, (320, 240))
    decoder = VideoDecoder(codec, limits=DecoderLimits(max_pixels=480 * 360))
    for number, data, key in large:
        assert decoder.decode(data, number, key_frame=key) == []
    assert decoder.refused == len(large)
    assert decoder.failures == decoder.refused
    assert decoder.refusal is not None
    assert "640x360" in decoder.refusal
    assert sum(len(decoder.decode(data, n, key_frame=key)) for n, data, key in small) == len(small)
    assert decoder.refusal is None


def test_the_usual_limit_is_4096_by_2304() -> None:
    assert DEFAULT_MAX_PIXELS == MediaSettings().max_decoded_pixels == 4096 * 2304
    bomb = b"\x10\x00\x00\x9d\x01\x2a" + struct.pack("<HH", 16383, 16383) + bytes(100)
    decoder = VideoDecoder("vp8")
    assert decoder.decode(bomb, key_frame=True) == []
    assert decoder.refused == 1
    data = blank("h264", (4096, 2304))
    assert len(VideoDecoder("h264").decode(data, key_frame=True)) == 1
    assert VideoDecoder("h264").decode(blank("h264", (8192, 4352)), key_frame=True) == []


def test_many_large_references_are_refused() -> None:
    decoder = VideoDecoder("h264")
    assert decoder.decode(blank("h264", (4096, 2304), "ref=16"), key_frame=True) == []
    assert decoder.refusal is not None
    assert "refer to" in decoder.refusal
    assert len(decoder.decode(blank("h264", (1920, 1080), "ref=16"), key_frame=True)) == 1


def test_decoders_share_a_budget() -> None:
    frames = stream("vp8", (640, 360))
    sequence = stated_sequence("vp8", frames[0][1])
    assert sequence is not None
    budget = PictureBudget(2 * needed_bytes(sequence))
    decoders = [VideoDecoder("vp8", limits=DecoderLimits(budget=budget)) for _ in range(3)]
    assert [len(each.decode(frames[0][1], key_frame=True)) for each in decoders] == [1, 1, 0]
    assert decoders[2].refusal is not None
    assert "max_decoder_bytes" in decoders[2].refusal
    assert budget.used_bytes == 2 * needed_bytes(sequence)
    decoders[0].close()
    assert len(decoders[2].decode(frames[0][1], key_frame=True)) == 1
    decoders.clear()
    assert budget.used_bytes == 0


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-1, 100)), max_size=60))
def test_a_budget_is_never_exceeded(steps: list[tuple[int, int]]) -> None:
    budget = PictureBudget(150)
    owners = [object() for _ in range(6)]
    has = [0] * 6
    for number, wanted in steps:
        if wanted < 0:
            budget.release(owners[number])
            has[number] = 0
        elif budget.reserve(owners[number], wanted):
            has[number] = wanted
        assert budget.used_bytes == sum(has) <= 150


def test_too_many_headers_are_refused() -> None:
    with pytest.raises(ParseError):
        stated_sequence("h264", b"\x00\x00\x01\x67\x42\x00\x1f" * 100)
    with pytest.raises(ParseError):
        stated_sequence("av1", b"\x12\x00" * 1000)


def test_pictures_that_are_held_back_are_bounded() -> None:
    options = {"preset": "veryfast", "bf": "8", "g": "60", "x264-params": "b-adapt=0:b-pyramid=none:ref=1"}
    frames = encode("libx264", 40, (640, 368), options)
    sequence = stated_sequence("h264", frames[0][1])
    assert sequence is not None
    limits = DecoderLimits()
    assert limits.max_held(sequence.pixels) > 16
    assert limits.max_held(4096 * 2304) == 6
    decoder = VideoDecoder("h264")
    assert sum(len(decoder.decode(data, n * 3000, key_frame=key)) for n, data, key in frames) >= 36
    assert len(decoder._held) <= 8


async def test_what_is_refused_is_told_once_and_nothing_is_asked_for() -> None:
    frames = stream("vp8", (640, 360), 20)
    receiver = Receiver("vp8", limits=DecoderLimits(max_pixels=320 * 240))
    seen = Sink(receiver.track)
    asked = receiver.key_frames_asked
    for _, data, key in frames:
        receiver.receive(data, key_frame=key)
    assert seen.frames == []
    assert receiver.feed.frames_refused == 20
    assert receiver.key_frames_asked == asked
    assert receiver.failures_told == 0
    assert len({str(error) for error in receiver.errors}) == 1


@in_virtual_time
async def test_after_one_picture_that_is_too_large_those_behind_it_are_seen_again() -> None:
    receiver = Receiver("vp8", limits=DecoderLimits(max_pixels=320 * 240))
    seen = Sink(receiver.track)
    asked = receiver.key_frames_asked
    _, large, _ = stream("vp8", (640, 360), 1)[0]
    (_, key, _), (_, delta, _) = stream("vp8", (320, 240), 2)
    receiver.receive(large, key_frame=True)
    requests = 0
    for _ in range(400):
        await asyncio.sleep(1 / 30)
        receiver.receive(delta, key_frame=False)
        if receiver.key_frames_asked - asked > requests:
            requests += 1
            if requests == 2:  # the first was lost
                break
    assert requests == 2
    assert not seen.frames
    receiver.receive(key, key_frame=True)
    receiver.receive(delta, key_frame=False)
    assert len(seen.frames) >= 1
    assert receiver.key_frames_asked - asked == 2


async def test_pictures_that_wait_for_their_sound_are_within_the_budget() -> None:
    frames = stream("vp8", (640, 360), 20)
    sequence = stated_sequence("vp8", frames[0][1])
    assert sequence is not None
    budget = PictureBudget(needed_bytes(sequence) + 5 * 640 * 360 * 3 // 2)
    receiver = Receiver("vp8", limits=DecoderLimits(budget=budget))
    receiver.inbound.min_delay_s = 0.24  # what waits longer waits encoded
    seen = Sink(receiver.track)
    for _, data, key in frames:
        receiver.receive(data, key_frame=key)
        assert budget.used_bytes <= budget.limit_bytes
    assert len(receiver.feed.display) == 6
    assert len(seen.frames) == 14
    receiver.inbound.close()
    assert budget.used_bytes == 0


def test_what_a_stream_needs() -> None:
    assert needed_bytes(Sequence(100, 100, 100, 100, 1)) == 8 * 15_000
    assert Sequence(100, 100, 100, 100, 1, 10, 3).picture_bytes == 60_000


@pytest.mark.parametrize("codec", ["vp8", "vp9", "av1", "h264", "h265"])
def test_large_pictures_of_each_codec_are_decoded(codec: str) -> None:
    if not registry.can_encode(codec):
        pytest.skip(f"no encoder of {codec}")
    decoder = VideoDecoder(codec)
    shown = sum(
        len(decoder.decode(data, n, key_frame=key)) for n, data, key in stream(codec, (3840, 2160), 2)
    )
    assert decoder.refusal is None
    assert shown >= 1
