"""The marker bit is a hint: pictures are found wherever it stands (RFC 6184, section 5.1; RFC 7798, 4.1)."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.codecs.payload.annexb import nal_units
from rtcstack.codecs.registry import video_depacketizer
from rtcstack.rtp.packet import RtpPacket
from rtcstack.rtp.pictures import MAX_QUIET_S, MIN_QUIET_S, TRUST_AFTER
from rtcstack.rtp.video import MAX_LEADING_BYTES
from tests.unit.rtp.test_video import Bench, packet

Units = list[bytes]


class Codec:
    """Units of one of the two codecs, and how they are cut."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.format = video_depacketizer(name)

    def unit(self, kind: str, number: int, slice_: int = 0, size: int = 20) -> bytes:
        body = bytes((0x80 if slice_ == 0 else 0x20, number + 1, slice_ + 1)).ljust(size, b"\xaa")
        if self.name == "h264":
            head = {"vps": 0x06, "sps": 0x67, "pps": 0x68, "sei": 0x06, "key": 0x65, "delta": 0x41}[kind]
            return bytes((head,)) + body
        head = {"vps": 32, "sps": 33, "pps": 34, "sei": 39, "key": 19, "delta": 1}[kind]
        return bytes((head << 1, 1)) + body

    @property
    def sets(self) -> Units:
        kinds = ["sps", "pps"] if self.name == "h264" else ["vps", "sps", "pps"]
        return [self.unit(kind, 0) for kind in kinds]

    def picture(self, number: int, slices: int, *, key: bool, size: int = 20) -> Units:
        return [self.unit("key" if key else "delta", number, i, size) for i in range(slices)]

    def payloads(self, unit: bytes, limit: int = 100) -> list[bytes]:
        if len(unit) <= limit:
            return [unit]
        head = 1 if self.name == "h264" else 2
        pieces = [unit[i : i + limit] for i in range(head, len(unit), limit)]
        out = []
        for i, piece in enumerate(pieces):
            flags = (0x80 if i == 0 else 0) | (0x40 if i == len(pieces) - 1 else 0)
            if self.name == "h264":
                out.append(bytes((unit[0] & 0x60 | 28, flags | unit[0] & 0x1F)) + piece)
            else:
                out.append(bytes((49 << 1, 1, flags | unit[0] >> 1)) + piece)
        return out


CODECS = {name: Codec(name) for name in ("h264", "h265")}
codecs = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
Marking = Callable[[int, bool, bool], bool]

MARKINGS: dict[str, Marking] = {
    "picture": lambda number, ends_unit, ends_picture: ends_picture,
    "unit": lambda number, ends_unit, ends_picture: ends_unit,
    "never": lambda number, ends_unit, ends_picture: False,
    "every packet": lambda number, ends_unit, ends_picture: True,
    "all but the last": lambda number, ends_unit, ends_picture: not ends_picture,
}


def stream(codec: Codec, pictures: list[tuple[int, Units]], marking: Marking) -> list[list[RtpPacket]]:
    """The packets of each access unit."""
    out, index = [], 50
    for timestamp, units in pictures:
        packets = []
        for i, unit in enumerate(units):
            payloads = codec.payloads(unit)
            for j, payload in enumerate(payloads):
                ends = j == len(payloads) - 1
                mark = marking(index, ends, ends and i == len(units) - 1)
                packets.append(packet(index, timestamp, payload, mark))
                index += 1
        out.append(packets)
    return out


def film(
    codec: Codec, count: int, slices: int, *, size: int = 20, sets: bool = True
) -> list[tuple[int, Units]]:
    out = []
    for number in range(count):
        units = codec.picture(number, slices, key=number == 0, size=size)
        out.append((number * 3000, [*(codec.sets if sets and number == 0 else []), *units]))
    return out


def whole(bench: Bench) -> list[Units]:
    return [nal_units(frame.data) for frame in bench.frames]


@codecs
@pytest.mark.parametrize("sets", [True, False], ids=["sets", "no sets"])
@pytest.mark.parametrize("slices", [1, 4])
@pytest.mark.parametrize("marking", MARKINGS)
def test_pictures_are_whole_wherever_markers_stand(
    codec: Codec, marking: str, slices: int, sets: bool
) -> None:
    bench = Bench(codec.format)
    pictures = film(codec, 20, slices, size=250, sets=sets)
    for packets in stream(codec, pictures, MARKINGS[marking]):
        bench.put(*packets)
        bench.wait(0.033)
    bench.wait(MAX_QUIET_S)
    if not sets:
        bench.wait(0.5)
    assert whole(bench) == [units for _, units in pictures]
    assert not bench.assembler.wants_key_frame
    assert bench.assembler.held_packets == 0


@codecs
def test_right_markers_cost_no_time(codec: Codec) -> None:
    bench = Bench(codec.format)
    for i, packets in enumerate(stream(codec, film(codec, 10, 3), MARKINGS["picture"])):
        bench.put(*packets)
        assert len(bench.frames) == i + 1
    assert bench.assembler.deadline is None


@codecs
def test_markers_are_believed_again_once_they_have_been_right_for_long(codec: Codec) -> None:
    bench = Bench(codec.format)
    pictures = film(codec, 3 + TRUST_AFTER + 3, 3)
    waited = 0
    good = stream(codec, pictures, MARKINGS["picture"])
    bad = stream(codec, pictures, MARKINGS["unit"])
    for i, packets in enumerate([*bad[:3], *good[3:]]):
        bench.put(*packets)
        waited += len(bench.frames) <= i
    assert 3 <= waited <= TRUST_AFTER + 5
    assert len(bench.frames) == len(pictures)


@codecs
@given(st.integers(0, 2**32).map(random.Random), st.integers(1, 5), st.integers(0, 6), st.floats(0.0, 1.0))
def test_any_markers_and_any_order_give_the_same_pictures(
    codec: Codec, rng: random.Random, slices: int, reach: int, share: float
) -> None:
    """The first picture has the markers right, or all wrong; behind it they stand anywhere."""
    pictures = film(codec, 12, slices)
    units = stream(codec, pictures, lambda index, *_: rng.random() < share)
    first, *rest = units
    for each in first:
        each.marker = True  # the stream shows early what its markers are worth
    rest[-1][-1].marker = True  # where they are believed, a picture without one goes on
    bench = Bench(codec.format)
    bench.put(*first)
    packets = [p for unit in rest for p in unit]
    packets.sort(key=lambda p: p.index + rng.random() * reach)
    bench.put(*packets)
    bench.wait(1.0)
    got = whole(bench)
    if slices > 1:
        assert got == [units for _, units in pictures]
    assert bench.assembler.held_packets == 0


@codecs
def test_the_rest_of_a_picture_that_was_cut_short_is_no_picture(codec: Codec) -> None:
    bench = Bench(codec.format)
    pictures = film(codec, 6, 3)
    good = stream(codec, pictures, MARKINGS["picture"])
    bad = stream(codec, pictures, MARKINGS["unit"])
    for packets in (*good[:3], *bad[3:]):
        bench.put(*packets)
    bench.wait(1.0)
    timestamps = [frame.timestamp for frame in bench.frames]
    assert timestamps == [n * 3000 for n in range(6)]
    assert whole(bench)[4:] == [units for _, units in pictures[4:]]
    assert bench.assembler.malformed == 1
    assert bench.assembler.wants_key_frame


@codecs
@pytest.mark.parametrize("marking", MARKINGS)
@pytest.mark.parametrize("at", ["older", "own", "same for all"])
def test_parameter_sets_with_another_timestamp_go_with_the_picture_behind_them(
    codec: Codec, at: str, marking: str
) -> None:
    bench = Bench(codec.format)
    pictures: list[tuple[int, Units]] = []
    for number in range(8):
        now = 90_000 + number * 3000
        if number % 4 == 0:
            when = {"older": now - 3000, "own": now - 1500, "same for all": 77}[at]
            pictures.append((when, codec.sets))
        pictures.append((now, codec.picture(number, 2, key=number % 4 == 0)))
    for packets in stream(codec, pictures, MARKINGS[marking]):
        bench.put(*packets)
        bench.wait(0.02)
    bench.wait(1.0)
    assert [f.timestamp for f in bench.frames] == [90_000 + n * 3000 for n in range(8)]
    assert [f.key_frame for f in bench.frames] == [n % 4 == 0 for n in range(8)]
    everything = [unit for units in whole(bench) for unit in units]
    assert everything == [unit for _, units in pictures for unit in units]
    assert bench.frames[0].has_sets
    assert whole(bench)[0][: len(codec.sets)] == codec.sets


@codecs
def test_parameter_sets_alone_are_no_picture_and_bounded(codec: Codec) -> None:
    bench = Bench(codec.format)
    big = codec.unit("pps", 0, size=1000)
    for i in range(300):
        bench.put(packet(i, 3000 * i, big, True))
    assert bench.frames == []
    bench.put(packet(300, 0, codec.sets[0]), packet(301, 900_000, codec.picture(0, 1, key=True)[0], True))
    for i in range(302, 602):
        bench.put(packet(i, 3000 * i, big, True))
    last = packet(602, 2_000_000, codec.picture(1, 1, key=False)[0], True)
    bench.put(last, packet(603, 2_003_000, codec.picture(2, 1, key=False)[0], True))
    bench.wait(1.0)
    assert all(len(frame.data) <= MAX_LEADING_BYTES + 3000 for frame in bench.frames)
    assert bench.frames


@codecs
def test_a_pause_in_a_picture_without_markers_makes_it_wait_longer_next_time(codec: Codec) -> None:
    bench = Bench(codec.format)
    pictures = film(codec, 12, 3)
    units = stream(codec, pictures, MARKINGS["never"])
    for packets in units[:4]:
        bench.put(*packets)
        bench.wait(0.033)
    for packets in units[4:]:
        bench.put(packets[0])
        bench.wait(MIN_QUIET_S * 1.5)
        bench.put(*packets[1:])
        bench.wait(MIN_QUIET_S * 1.5)
    bench.wait(1.0)
    assert [f.timestamp for f in bench.frames] == [n * 3000 for n in range(12)]
    assert whole(bench)[6:] == [units for _, units in pictures[6:]]
    assert bench.assembler.malformed <= 2


@codecs
def test_the_last_picture_of_a_stream_without_markers_comes_after_a_while(codec: Codec) -> None:
    bench = Bench(codec.format)
    for packets in stream(codec, film(codec, 3, 2), MARKINGS["never"]):
        bench.put(*packets)
    assert len(bench.frames) == 2
    bench.wait(MIN_QUIET_S + 0.001)
    assert len(bench.frames) == 3
    bench.wait(1.0)
    assert bench.assembler.deadline is None


@codecs
def test_a_stream_whose_sets_the_description_tells_begins_with_its_first_key_frame(codec: Codec) -> None:
    """However soon another key frame follows."""
    bench = Bench(codec.format)
    pictures = [(n * 3000, codec.picture(n, 1, key=n in (0, 4))) for n in range(6)]
    for packets in stream(codec, pictures, MARKINGS["picture"]):
        bench.put(*packets)
    assert whole(bench) == [units for _, units in pictures]


@codecs
@pytest.mark.parametrize("sets", [True, False], ids=["sets", "no sets"])
@pytest.mark.parametrize("slices", [1, 3])
@pytest.mark.parametrize("distance", [1, 10], ids=["key frames alone", "every tenth"])
@pytest.mark.parametrize("lost", [slice(-1, None), slice(0, 1), slice(None)], ids=["end", "begin", "all"])
def test_a_key_frame_behind_a_packet_that_is_lost_for_good_is_used(
    codec: Codec, sets: bool, slices: int, distance: int, lost: slice
) -> None:
    """Nothing tells where it starts, for the end of the picture before it is what was lost."""
    bench = Bench(codec.format)
    pictures = []
    for number in range(100):
        key = number % distance == 0
        units = codec.picture(number, slices, key=key, size=250)
        pictures.append((number * 3000, [*(codec.sets if key and (sets or number == 0) else []), *units]))
    for number, packets in enumerate(stream(codec, pictures, MARKINGS["picture"])):
        if number == 49:
            del packets[lost]
        bench.put(*packets)
        bench.wait(0.033)
    bench.wait(0.5)
    # without its first parameter set, which came before as well, a picture is still of use
    rest = pictures[49][1][1:]
    got = [units for units in whole(bench) if units != rest]
    assert got == [units for number, (_, units) in enumerate(pictures) if number != 49]
    assert bench.assembler.held_packets == 0


@codecs
@pytest.mark.parametrize("sets", [True, False], ids=["sets", "no sets"])
def test_a_pause_behind_a_key_frame_that_follows_a_gap_ends_it(codec: Codec, sets: bool) -> None:
    """Without markers nothing tells where it starts, nor where it ends."""
    bench = Bench(codec.format)
    pictures = film(codec, 3, 2)
    pictures.append((9000, [*(codec.sets if sets else []), *codec.picture(3, 2, key=True)]))
    units = stream(codec, pictures, MARKINGS["never"])
    bench.put(*units[0], *units[1], *units[2][:-1], *units[3])
    bench.wait(MAX_QUIET_S)
    assert whole(bench)[-1] == pictures[3][1]
    assert bench.assembler.held_packets == 0


@codecs
def test_a_key_frame_waits_for_its_beginning_while_that_may_still_come(codec: Codec) -> None:
    bench = Bench(codec.format)
    pictures = [(n * 3000, codec.picture(n, 3, key=n in (0, 5))) for n in range(7)]
    packets = stream(codec, pictures, MARKINGS["picture"])
    late = packets[5].pop(0)
    bench.missing.add(late.index)
    for each in packets[:6]:
        bench.put(*each)
        bench.wait(0.033)
    bench.wait(0.15)
    bench.put(late)
    bench.put(*packets[6])
    bench.wait(0.5)
    assert whole(bench) == [units for _, units in pictures]
