"""From packets to pictures: order, gaps, key frames, layers, bounds."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from rtcstack.rtp.capture import HeaderReader
from rtcstack.rtp.extensions import ExtensionIds
from rtcstack.rtp.frames import Depacketizer, EncodedFrame, PayloadInfo
from rtcstack.rtp.header import make_header
from rtcstack.rtp.packet import RtpPacket, parse
from rtcstack.rtp.video import (
    FIRST_KEY_FRAME_S,
    MAX_BLOCKED_S,
    MAX_HELD_PACKETS,
    REORDERING_S,
    VideoAssembler,
)
from tests.unit.rtp.media import KEY, MIDDLE, START, Blind, Plain, frame_data, video_payloads

HEADER = make_header(7)


def packet(index: int, timestamp: int, payload: bytes, marker: bool = False) -> RtpPacket:
    data = HEADER.write(96 | marker << 7, index & 0xFFFF, timestamp & 0xFFFFFFFF, 0, 0) + payload
    p = parse(data)
    p.index = index
    return p


def film(
    frames: int, *, first: int = 65500, sizes: list[int] | None = None, keys: set[int] | None = None
) -> list[list[RtpPacket]]:
    """The packets of some frames."""
    out, index = [], first
    for number in range(frames):
        count = sizes[number] if sizes else 3
        key = number in (keys if keys is not None else {0})
        payloads = video_payloads(number, count, key=key, size=40)
        out.append([packet(index + i, number * 3000, p, i == count - 1) for i, p in enumerate(payloads)])
        index += count
    return out


class Bench:
    """An assembler and what came of it."""

    def __init__(self, payload_format: Depacketizer | None = None, **options: object) -> None:
        self.frames: list[EncodedFrame] = []
        self.woken = 0
        self.missing: set[int] = set()
        self.format = payload_format or Plain()
        reader = HeaderReader(ExtensionIds(), 90000)
        self.assembler = VideoAssembler(
            reader,
            self.frames.append,
            wake=self.wake,
            missing=self.missing,
            **options,  # type: ignore[arg-type]
        )
        self.now = 1.0

    def wake(self) -> None:
        self.woken += 1

    def put(self, *packets: RtpPacket) -> None:
        for each in packets:
            self.assembler.insert(each, self.format, self.now)

    def wait(self, seconds: float) -> None:
        """Let time pass, serving every deadline."""
        end = self.now + seconds
        for _ in range(1000):
            due = self.assembler.deadline
            if due is None or due > end:
                break
            self.now = max(self.now, due)
            self.assembler.handle_timeout(self.now)
        else:
            raise AssertionError("deadlines without end")
        self.now = end

    @property
    def numbers(self) -> list[int]:
        return [int(frame.data.split(b"/")[0]) for frame in self.frames]


def test_in_order() -> None:
    bench = Bench()
    for frame in film(10):
        bench.put(*frame)
    assert bench.numbers == list(range(10))
    assert [f.key_frame for f in bench.frames] == [True] + [False] * 9
    assert [f.timestamp for f in bench.frames] == [n * 3000 for n in range(10)]
    assert bench.frames[3].data == frame_data(3, 3, 40)
    assert bench.frames[3].packet_count == 3
    assert bench.assembler.deadline is None
    assert bench.assembler.held_packets == 0


def test_nothing_before_the_first_key_frame() -> None:
    bench = Bench()
    frames = film(6, keys={3})
    for frame in frames:
        bench.put(*frame)
    assert bench.numbers == [3, 4, 5]
    assert bench.assembler.frames_dropped == 3


def test_pictures_that_overtake_the_first_key_frame_follow_it() -> None:
    bench = Bench()
    a, b, c = film(3)
    bench.put(a[0], *b, *c, a[2], a[1])
    assert bench.numbers == [0, 1, 2]
    assert bench.assembler.held_packets == 0
    assert bench.assembler.deadline is None


def test_after_a_failure_nothing_older_is_handed_on() -> None:
    bench = Bench()
    a, b, c, d = film(4, sizes=[3, 1, 3, 3], keys={0, 1, 3})
    bench.put(*a, *c)
    bench.wait(0.2)
    bench.put(*d)  # ends the wait for b
    bench.wait(0.2)
    bench.assembler.decoder_failed(bench.now)
    bench.put(*b)
    assert bench.numbers == [0, 3]
    assert bench.assembler.late_packets == 1


def test_a_failure_goes_on_with_a_key_frame_that_is_there() -> None:
    bench = Bench()
    a, b, c, d = film(4, keys={0, 2})
    bench.put(*a, b[0], b[2], *c, *d)
    assert bench.numbers == [0]
    bench.assembler.decoder_failed(bench.now)
    assert bench.numbers == [0, 2, 3]
    assert not bench.assembler.wants_key_frame


class Unmarked(Blind):
    """As H.264 with its parameter sets in the description."""

    def depacketize(self, payload: bytes) -> PayloadInfo:
        info = super().depacketize(payload)
        info.starts_sequence = False
        return info


def test_a_stream_that_nothing_tells_the_start_of_begins_after_a_while() -> None:
    bench = Bench(Unmarked())
    a, b, c = film(3)
    bench.put(*a, *b)
    assert bench.numbers == []
    bench.wait(FIRST_KEY_FRAME_S)
    assert bench.numbers == [0, 1]
    assert not bench.assembler.wants_key_frame
    bench.put(*c)
    assert bench.numbers == [0, 1, 2]


def test_while_a_key_frame_is_awaited_the_older_half_gives_way() -> None:
    bench = Bench()
    frames = film(MAX_HELD_PACKETS, keys={MAX_HELD_PACKETS - 1}, sizes=[1] * (MAX_HELD_PACKETS - 1) + [4])
    *waiting, last = frames
    for each in waiting:
        bench.put(*each)
    bench.put(last[0], last[1])
    assert bench.assembler.overflows == 1
    assert bench.assembler.held_packets <= MAX_HELD_PACKETS // 2 + 4
    bench.put(last[2], last[3])
    assert bench.numbers == [MAX_HELD_PACKETS - 1]


def test_a_picture_that_contradicts_itself_stops_nothing_for_good() -> None:
    """Its packets are all there, and yet it is never whole: another's stands in its midst."""
    bench = Bench()
    a, b, c = film(3, keys={0, 2}, first=0)
    stray = packet(4, 90_000, bytes((START,)) + b"9/")
    bench.put(*a, b[2], b[0], stray)
    for each in c:
        bench.put(each)
    bench.wait(0.5)
    assert bench.numbers[-1] == 2


def test_a_picture_that_ends_before_it_starts_is_malformed() -> None:
    bench = Bench()
    (a,) = film(1, first=0)
    late = [packet(5, 3000, bytes((KEY,)) + b"1/"), packet(6, 3000, bytes((MIDDLE,)), True)]
    bench.put(*a, *late, packet(4, 3000, bytes((MIDDLE,)) + b"x", True))
    bench.wait(0.5)
    assert bench.numbers == [0]
    assert bench.assembler.malformed == 1
    assert bench.assembler.wants_key_frame


def test_a_key_frame_is_asked_for_when_none_comes() -> None:
    bench = Bench()
    bench.put(*film(1, keys=set())[0])
    assert bench.woken == 1
    assert not bench.assembler.wants_key_frame
    bench.wait(FIRST_KEY_FRAME_S)
    assert bench.assembler.wants_key_frame


def test_it_waits_for_a_packet_and_goes_on_when_it_comes() -> None:
    bench = Bench()
    a, b, c, d = film(4)
    bench.put(*a, b[0], b[2], *c, *d)
    assert bench.numbers == [0]
    assert bench.assembler.deadline is not None
    bench.wait(0.1)
    assert not bench.assembler.wants_key_frame
    bench.put(b[1])
    assert bench.numbers == [0, 1, 2, 3]
    assert bench.assembler.deadline is None


def test_a_key_frame_is_asked_for_when_waiting_takes_too_long_but_the_packet_still_helps() -> None:
    bench = Bench()
    a, b, c = film(3)
    bench.put(*a, b[0], b[2], *c)
    bench.wait(1.0)
    assert bench.assembler.wants_key_frame
    bench.put(b[1])
    assert bench.numbers == [0, 1, 2]


def test_a_key_frame_ends_the_wait() -> None:
    bench = Bench()
    a, b, c, d, e = film(5, keys={0, 3})
    bench.put(*a, b[0], b[2], *c, *d)
    assert bench.numbers == [0]
    bench.wait(0.2)  # a little more than a round trip for what is missing
    assert bench.numbers == [0, 3]
    bench.put(*e, b[1])
    assert bench.numbers == [0, 3, 4]
    assert bench.assembler.late_packets == 1
    assert bench.assembler.held_packets == 0


def test_without_retransmissions_it_does_not_wait_long() -> None:
    bench = Bench(asks=False)
    a, b, c = film(3)
    bench.put(*a, b[0], b[2], *c)
    bench.wait(REORDERING_S + 0.001)
    assert bench.assembler.wants_key_frame


def test_what_is_held_too_long_is_dropped() -> None:
    bench = Bench()
    a, b, c = film(3)
    bench.put(*a, b[0], b[2], *c)
    bench.wait(MAX_BLOCKED_S + 1)
    assert bench.assembler.held_packets == 0
    bench.put(b[1])
    assert bench.numbers == [0]


def test_a_large_picture_in_progress_is_no_gap() -> None:
    bench = Bench()
    (a,), (b,) = film(1)[0:1], film(2, sizes=[3, 100])[1:2]
    bench.put(*a, *b[:50])
    bench.wait(2.0)
    assert not bench.assembler.wants_key_frame
    # a gap in it that was closed leaves no alarm behind
    bench.put(*b[51:60], b[50])
    bench.wait(2.0)
    assert not bench.assembler.wants_key_frame
    bench.put(*b[60:])
    assert bench.numbers == [0, 1]


@given(
    st.integers(0, 2**32).map(random.Random),
    st.lists(st.integers(1, 6), min_size=1, max_size=12),
    st.booleans(),
)
def test_any_order_within_a_stream_gives_the_same_frames(
    rng: random.Random, sizes: list[int], blind: bool
) -> None:
    """With the first key frame there, whatever order the rest comes in."""
    frames = film(len(sizes), sizes=sizes)
    bench = Bench(Blind() if blind else Plain())
    bench.put(*frames[0])
    rest = [p for frame in frames[1:] for p in frame]
    rng.shuffle(rest)
    bench.put(*rest)
    assert bench.numbers == list(range(len(sizes)))
    assert [f.data for f in bench.frames] == [frame_data(n, s, 40) for n, s in enumerate(sizes)]
    assert bench.assembler.held_packets == 0
    assert bench.assembler.deadline is None


@given(
    st.integers(0, 2**32).map(random.Random),
    st.floats(0.0, 0.5),
    st.integers(0, 8),
    st.sets(st.integers(0, 40), max_size=6),
    st.booleans(),
)
def test_under_loss_and_reordering_only_whole_decodable_frames_come_out(
    rng: random.Random, loss: float, reach: int, keys: set[int], blind: bool
) -> None:
    count = 41
    sizes = [rng.randint(1, 5) for _ in range(count)]
    frames = film(count, sizes=sizes, keys=keys | {0})
    stream = [p for frame in frames for p in frame if rng.random() >= loss]
    stream.sort(key=lambda p: p.index + rng.random() * reach)
    bench = Bench(Blind() if blind else Plain())
    for p in stream:
        bench.put(p)
        bench.wait(0.01)
        assert bench.assembler.held_packets <= MAX_HELD_PACKETS
    numbers = bench.numbers
    assert numbers == sorted(set(numbers))
    before = None
    for number, frame in zip(numbers, bench.frames, strict=True):
        if not blind:  # where a start is told, whole means whole
            assert frame.data == frame_data(number, sizes[number], 40)
        assert number in keys | {0} or before == number - 1
        if before is not None and before != number - 1:
            assert frame.is_after_gap
        elif blind is False and not loss and not reach:
            assert not frame.is_after_gap or before is None
        before = number
    bench.wait(5.0)
    assert bench.assembler.deadline is None or bench.assembler.wants_key_frame


class Sealed(Plain):
    """Any picture may be a key frame, as far as its packets tell."""

    def depacketize(self, payload: bytes) -> PayloadInfo:
        info = super().depacketize(payload)
        info.key_frame = bool(info.starts_frame)
        return info


def test_of_sealed_pictures_each_tells_whether_one_before_it_is_missing() -> None:
    bench = Bench(Sealed())
    stream = film(9, sizes=[3] * 9)
    for i, picture in enumerate(stream):
        bench.put(*(p for j, p in enumerate(picture) if (i, j) not in ((2, 1), (5, 0), (6, 2))))
        bench.wait(0.2)
    assert bench.numbers == [0, 1, 3, 4, 7, 8]
    assert [frame.is_after_gap for frame in bench.frames] == [True, False, True, False, True, False]


def test_padding_between_and_within_pictures() -> None:
    bench = Bench()
    a, b, c = film(3)
    filler = packet(b[-1].index + 1, 3000, b"")
    for later in c:
        later.index += 1
    bench.put(*a, *b, filler, *c)
    assert bench.numbers == [0, 1, 2]
    within = Bench()
    parts = [packet(1, 0, bytes((KEY,)) + b"0/", False), packet(2, 0, b""), packet(3, 0, b"\0x", True)]
    within.put(*parts)
    assert [f.data for f in within.frames] == [b"0/x"]


def test_padding_that_comes_late_or_early() -> None:
    bench = Bench()
    a, b, c = film(3)
    filler = packet(b[-1].index + 1, 3000, b"")
    for later in c:
        later.index += 1
    bench.put(*a, filler, *c, *b)
    assert bench.numbers == [0, 1, 2]
    assert bench.assembler.held_packets == 0


def test_without_markers_the_next_timestamp_ends_a_picture() -> None:
    bench = Bench()
    frames = film(4)
    for frame in frames:
        frame[-1].marker = False
        bench.put(*frame)
    assert bench.numbers == [0, 1, 2]


def test_malformed_payloads_call_for_a_key_frame() -> None:
    bench = Bench()
    a, b, c, d = film(4, keys={0, 3})
    bench.put(*a)
    bench.put(packet(b[0].index, 3000, b"\xff"), *b[1:], *c, *d)
    assert bench.assembler.malformed == 1
    assert bench.numbers == [0, 3]


def layered(number: int, tl0: int, layer: int, *, sync: bool = False, index: int) -> RtpPacket:
    head = KEY if number == 0 else START
    payload = bytes((head, 0xAA, tl0, layer | sync << 7)) + f"{number}".encode()
    return packet(index, number * 3000, payload, True)


def layer_numbers(bench: Bench) -> list[int]:
    return [int(frame.data[3:]) for frame in bench.frames]


def test_a_lost_upper_temporal_layer_stops_nothing() -> None:
    bench = Bench()
    bench.put(layered(0, 10, 0, index=0))
    # 1 is of the upper layer and lost; 2 is of the lowest and follows 0
    bench.put(layered(2, 11, 0, index=2), layered(3, 11, 1, index=3))
    assert layer_numbers(bench) == [0]
    bench.wait(0.3)
    assert layer_numbers(bench) == [0, 2, 3]
    assert not bench.assembler.wants_key_frame


def test_a_lost_lowest_layer_stops_all() -> None:
    bench = Bench()
    bench.put(layered(0, 10, 0, index=0), layered(2, 12, 0, index=2), layered(3, 12, 1, sync=True, index=3))
    bench.wait(2.0)
    assert layer_numbers(bench) == [0]
    assert bench.assembler.wants_key_frame


def test_a_switching_point_needs_the_lowest_layer_only() -> None:
    bench = Bench()
    bench.put(layered(0, 10, 0, index=0), layered(2, 10, 1, sync=True, index=2))
    bench.wait(0.3)
    assert layer_numbers(bench) == [0, 2]


def test_endless_fragments_are_bounded() -> None:
    bench = Bench()
    bench.put(packet(0, 0, bytes((KEY,)) + b"0/"))
    for i in range(1, 5 * MAX_HELD_PACKETS):
        bench.put(packet(i, 0, bytes((MIDDLE,)) + b"x"))
        assert bench.assembler.held_packets <= MAX_HELD_PACKETS + 1
    assert bench.assembler.overflows >= 1
    assert bench.assembler.wants_key_frame
    assert bench.frames == []


def test_a_timestamp_per_packet_is_bounded() -> None:
    bench = Bench()
    for i in range(3 * MAX_HELD_PACKETS):
        bench.put(packet(2 * i, i * 977, bytes((MIDDLE,)) + b"x"))
    assert bench.assembler.held_packets <= MAX_HELD_PACKETS + 1
    assert len(bench.assembler._pictures._open) <= MAX_HELD_PACKETS + 1


def test_endless_padding_is_bounded() -> None:
    bench = Bench()
    bench.put(*film(1, first=0)[0])
    for i in range(10, 3 * MAX_HELD_PACKETS):
        bench.put(packet(i, 0, b""))
        assert bench.assembler.held_packets <= MAX_HELD_PACKETS + 1


@given(
    st.lists(
        st.tuples(
            st.integers(0, 60), st.integers(0, 8), st.binary(max_size=6), st.booleans(), st.floats(0, 0.5)
        ),
        max_size=80,
    ),
    st.booleans(),
)
def test_arbitrary_packets_never_raise(
    packets: list[tuple[int, int, bytes, bool, float]], blind: bool
) -> None:
    """Numbers do not repeat, as the stream sees to; all else is the peer's whim."""
    bench = Bench(Blind() if blind else Plain())
    seen = set()
    for index, timestamp, payload, marker, wait in packets:
        if index in seen:
            continue
        seen.add(index)
        bench.put(packet(index, timestamp, payload, marker))
        bench.wait(wait)
    timestamps = [f.sequence_number for f in bench.frames]
    assert timestamps == sorted(set(timestamps))
    assert bench.assembler.held_packets <= len(seen)


def test_decoder_failure_waits_for_a_key_frame() -> None:
    bench = Bench()
    a, b, c, d = film(4, keys={0, 3})
    bench.put(*a)
    bench.assembler.decoder_failed(bench.now)
    assert bench.assembler.wants_key_frame
    bench.put(*b, *c, *d)
    assert bench.numbers == [0, 3]
