"""Receiving video: parameter sets for who comes late, pictures that are not shown, reordered ones."""

from __future__ import annotations

import pytest

from rtcstack.clock import NTP_EPOCH_S
from rtcstack.codecs.payload.annexb import START_CODE, nal_units
from rtcstack.media.encodedsource import EncodedSource
from rtcstack.media.frames import capture_time, rotation
from rtcstack.media.pipeline.video_decoding import MAX_HELD, MAX_SILENT
from tests.unit.codecs.payload.test_parameter_sets import is_set
from tests.unit.media.pipeline.receiving import Receiver, Sink, encode

STREAMS = {
    "h264": ("libx264", {"preset": "ultrafast", "tune": "zerolatency", "g": "10"}),
    "h265": (
        "libx265",
        {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "x265-params": "log-level=none:keyint=10:min-keyint=10:repeat-headers=1:open-gop=0",
        },
    ),
}
codecs = pytest.mark.parametrize("codec", STREAMS)


def bare(codec: str, count: int = 30) -> tuple[tuple[bytes, ...], list[tuple[bytes, bool]]]:
    """The parameter sets, and the pictures without them."""
    name, options = STREAMS[codec]
    sets: dict[bytes, None] = {}
    pictures = []
    for _, data, key in encode(name, count, options=options):
        units = nal_units(data)
        sets.update({unit: None for unit in units if is_set(codec, unit)})
        rest = [unit for unit in units if not is_set(codec, unit)]
        pictures.append((START_CODE + START_CODE.join(rest), key))
    return tuple(sets), pictures


@codecs
async def test_parameter_sets_of_the_description_are_enough(codec: str) -> None:
    sets, pictures = bare(codec)
    receiver = Receiver(codec, sets)
    seen = Sink(receiver.track)
    for data, key in pictures:
        receiver.receive(data, key_frame=key)
    assert len(seen.frames) == len(pictures)
    assert receiver.feed.failures == 0


@codecs
async def test_who_looks_late_sees_a_stream_that_gave_its_parameter_sets_once(codec: str) -> None:
    sets, pictures = bare(codec)
    receiver = Receiver(codec)
    (first, key), *rest = pictures
    receiver.receive(START_CODE + START_CODE.join(sets) + first, key_frame=key, has_sets=True)
    for data, key in rest[:14]:
        receiver.receive(data, key_frame=key)
    seen, encoded = Sink(receiver.track), Sink(receiver.feed.encoded.track())
    for data, key in rest[14:]:
        receiver.receive(data, key_frame=key)
    assert len(seen.frames) == 10  # from the key frame on
    assert len(encoded.frames) == 15
    (key_frame,) = [frame for frame in encoded.frames if frame.key_frame]
    assert [unit for unit in nal_units(key_frame.data) if is_set(codec, unit)] == list(sets)
    again = Sink(receiver.feed.main.track())
    receiver.receive(*pictures[20][:1], key_frame=True)
    assert len(again.frames) == 1


@codecs
async def test_who_reads_a_source_of_encoded_frames_late_gets_the_parameter_sets(codec: str) -> None:
    sets, pictures = bare(codec)
    source = EncodedSource(f"video/{codec.upper()}")
    receiver = Receiver(codec)
    reader: Sink | None = None
    tap = Sink(receiver.feed.encoded.track())
    for number, (data, key) in enumerate(pictures):
        head = START_CODE + START_CODE.join(sets) if number == 0 else b""
        receiver.receive(head + data, key_frame=key)
        source.push_encoded(tap.frames[-1])
        if number == 5:
            reader = Sink(source.track())
    assert reader is not None
    keys = [frame for frame in reader.frames if frame.key_frame]
    assert len(keys) == 2
    for frame in keys:
        assert [unit for unit in nal_units(frame.data) if is_set(codec, unit)] == list(sets)


def hidden(data: bytes) -> bytes:
    """A VP8 frame that is not to be shown (RFC 6386, section 9.1)."""
    return bytes((data[0] & ~0x10,)) + data[1:]


async def test_frames_that_are_not_to_be_shown_are_no_failure() -> None:
    options = {"deadline": "realtime", "lag-in-frames": "0", "g": "300"}
    receiver = Receiver("vp8")
    seen = Sink(receiver.track)
    before = receiver.key_frames_asked
    for number, data, key in encode("libvpx", 60, options=options):
        receiver.receive(hidden(data) if number % 10 == 9 else data, key_frame=key)
    assert [frame.pts // 3000 for frame in seen.frames] == [n for n in range(60) if n % 10 != 9]
    assert receiver.key_frames_asked == before
    assert receiver.feed.failures == receiver.failures_told == 0
    assert receiver.feed.frames_decoded == 54


REORDERED = {
    "h264": ("libx264", {"preset": "veryfast", "bf": "3", "g": "30"}),
    "h265": ("libx265", {"preset": "ultrafast", "x265-params": "log-level=none:bframes=3:keyint=30"}),
}


@pytest.mark.parametrize("codec", REORDERED)
async def test_pictures_that_come_out_later_keep_what_was_said_of_them(codec: str) -> None:
    name, options = REORDERED[codec]
    receiver = Receiver(codec)
    seen = Sink(receiver.track)
    before = receiver.key_frames_asked
    frames = encode(name, 60, options=options)
    assert [number for number, _, _ in frames] != sorted(number for number, _, _ in frames)
    for number, data, key in frames:
        receiver.receive(
            data,
            key_frame=key,
            timestamp=number * 3000,
            capture_time=NTP_EPOCH_S + 1000 + number,
            rotation=90 * (number % 4),
        )
    assert len(seen.frames) >= 56
    for number, frame in enumerate(seen.frames):
        assert frame.pts == number * 3000
        assert capture_time(frame) == 1000 + number
        assert rotation(frame) == 90 * (number % 4)
    assert receiver.key_frames_asked == before
    assert receiver.feed.failures == receiver.failures_told == 0
    assert receiver.feed._decoder is not None
    assert len(receiver.feed._decoder._held) <= MAX_HELD


async def test_what_is_damaged_is_a_failure() -> None:
    receiver = Receiver("h264")
    Sink(receiver.track)
    seen = Sink(receiver.track)
    before = receiver.key_frames_asked
    receiver.receive(START_CODE + b"\x65\x88garbage", key_frame=True)
    assert seen.frames == []
    assert receiver.feed.failures == receiver.failures_told == 1
    assert receiver.key_frames_asked == before + 1


async def test_a_decoder_that_gives_nothing_for_ever_has_failed() -> None:
    options = {"deadline": "realtime", "lag-in-frames": "0", "g": "300"}
    receiver = Receiver("vp8")
    seen = Sink(receiver.track)
    for _, data, key in encode("libvpx", MAX_SILENT * 2, options=options):
        receiver.receive(hidden(data), key_frame=key)
    assert seen.frames == []
    assert receiver.feed.failures == receiver.failures_told == 2
    assert receiver.feed._decoder is not None
    assert len(receiver.feed._decoder._held) <= MAX_HELD
