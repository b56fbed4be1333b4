"""Receiving video: parameter sets for who comes late, pictures that are not shown, reordered ones."""

from __future__ import annotations

import pytest

from rtcstack.codecs.payload.annexb import START_CODE, nal_units
from rtcstack.media.encoded import EncodedSource
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
