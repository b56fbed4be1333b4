"""The jitter buffer of audio: delay, losses, silence, copies, bounds."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.rtp.audio import (
    MAX_DRY_S,
    MAX_EVENTS,
    MAX_FRAMES,
    MAX_HELD_S,
    AudioJitterBuffer,
    Playout,
    Pulled,
)
from rtcstack.rtp.capture import HeaderReader
from rtcstack.rtp.delay import DelayTarget
from rtcstack.rtp.extensions import ExtensionIds
from rtcstack.rtp.frames import AudioUnit
from rtcstack.rtp.header import make_header
from rtcstack.rtp.packet import RtpPacket, parse
from tests.unit.rtp.media import Speech

HEADER = make_header(7)
READER = HeaderReader(ExtensionIds(), 48000)
STEP = 960
STEP_S = 0.02


def packet(index: int, timestamp: int | None = None, payload: bytes | None = None) -> RtpPacket:
    if timestamp is None:
        timestamp = index * STEP
    data = HEADER.write(111, index & 0xFFFF, timestamp & 0xFFFFFFFF, 0, 0)
    p = parse(data + (payload if payload is not None else b"%04d" % index))
    p.index = index
    return p


class Player:
    """Plays a buffer at its pace while packets arrive at theirs."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self.buffer = AudioJitterBuffer(48000)
        self.buffer.min_delay_s = delay_s
        self.now = 10.0
        self.played: list[Playout] = []

    def put(self, *packets: RtpPacket) -> None:
        for each in packets:
            self.buffer.insert(each, Speech(), READER, self.now)

    def pull(self, count: int = 1) -> Playout:
        for _ in range(count):
            out = self.buffer.pop(self.now)
            self.played.append(out)
            self.now += out.duration / 48000
        return self.played[-1]

    def play(self, arrivals: Sequence[tuple[float, RtpPacket]], seconds: float) -> None:
        """Deliver packets at their times (from now on) and pull without a pause."""
        start = self.now
        waiting = sorted(arrivals, key=lambda each: each[0])
        while self.now < start + seconds:
            while waiting and start + waiting[0][0] <= self.now:
                self.buffer.insert(waiting[0][1], Speech(), READER, start + waiting[0][0])
                waiting.pop(0)
            self.pull()

    @property
    def numbers(self) -> list[int]:
        return [int(out.frame.data) for out in self.played if out.what is Pulled.FRAME and out.frame]

    @property
    def kinds(self) -> list[tuple[str, int]]:
        return [(kind.value, len(list(group))) for kind, group in groupby(out.what for out in self.played)]


def test_silence_until_something_comes() -> None:
    player = Player()
    assert player.pull().what is Pulled.SILENCE
    player.put(packet(0))
    assert player.pull(2).what is Pulled.FRAME


def test_a_steady_stream_is_played_whole_with_little_delay() -> None:
    player = Player()
    player.play([(i * STEP_S, packet(i)) for i in range(501)], 10.0)
    buffer = player.buffer
    assert player.numbers == list(range(len(player.numbers)))
    assert buffer.concealed == 0
    assert buffer.emitted >= 498 * STEP
    assert buffer.delay_s / buffer.emitted < 0.03


def test_a_lost_packet_is_concealed_once_with_the_copy_in_the_next() -> None:
    player = Player(0.08)
    player.put(packet(0), packet(1), packet(3, payload=b"F3"), packet(4))
    player.pull(2)
    out = player.pull()
    assert out.what is Pulled.CONCEAL
    assert out.frame is not None
    assert out.frame.data == b"F3"
    player.pull(2)
    assert [o.what for o in player.played[-2:]] == [Pulled.FRAME, Pulled.FRAME]
    assert (player.buffer.concealed, player.buffer.concealment_events) == (STEP, 1)


def test_without_a_copy_nothing_is_offered() -> None:
    player = Player(0.08)
    player.put(packet(0), packet(1), packet(3), packet(4))
    assert player.pull(3) == Playout(Pulled.CONCEAL, None, STEP)


def test_of_a_long_gap_only_the_last_frame_has_a_copy() -> None:
    player = Player(0.06)
    player.put(packet(0), packet(4, payload=b"F4"))
    player.pull(4)
    assert [o.what for o in player.played] == [Pulled.FRAME] + [Pulled.CONCEAL] * 3
    assert [o.frame is not None for o in player.played] == [True, False, False, True]


def test_a_late_packet_is_still_played_and_the_delay_grows() -> None:
    player = Player()
    player.put(packet(0))
    assert player.pull(2).what is Pulled.FRAME
    assert player.pull().what is Pulled.CONCEAL  # dry: 1 is late
    player.put(packet(1), packet(2))
    player.pull(2)
    assert player.numbers == [0, 1, 2]
    assert player.buffer.inserted == STEP


def test_what_was_made_up_for_while_dry_is_not_made_up_for_again() -> None:
    player = Player()
    player.put(packet(0))
    player.pull(3)  # filling, the frame, then one concealed: 1 never comes
    player.put(packet(2))
    player.pull()
    assert [o.what.value for o in player.played] == ["silence", "frame", "conceal", "frame"]
    assert player.buffer.concealed == STEP


def test_dry_for_long_is_silence_and_then_it_fills_again() -> None:
    player = Player()
    player.put(packet(0))
    player.pull(2 + int(MAX_DRY_S / STEP_S))
    assert player.played[-1].what is Pulled.CONCEAL
    assert player.pull(3).what is Pulled.SILENCE
    player.put(packet(100))
    assert player.pull(2).what is Pulled.FRAME


def test_a_pause_of_the_sender_is_no_loss() -> None:
    player = Player(0.18)
    player.put(packet(0), packet(1, timestamp=10 * STEP))
    player.pull(10)
    assert player.kinds == [("frame", 1), ("silence", 9)]
    assert player.pull().what is Pulled.FRAME
    assert player.buffer.concealed == 0


@pytest.mark.parametrize("jitter_s", [0.03, 0.06])
def test_jitter_makes_the_delay_grow_until_almost_nothing_is_late(jitter_s: float) -> None:
    rng = random.Random(3)
    player = Player()
    player.play([(i * STEP_S + rng.random() * jitter_s, packet(i)) for i in range(1500)], 30.0)
    buffer = player.buffer
    assert buffer.target_s >= jitter_s * 0.8
    assert buffer.target_s <= jitter_s + 0.04
    assert len(player.numbers) > 1440
    assert player.numbers == sorted(player.numbers)


def test_when_the_network_calms_down_the_delay_shrinks() -> None:
    rng = random.Random(4)
    player = Player()
    rough = [(i * STEP_S + rng.random() * 0.2, packet(i)) for i in range(500)]
    calm = [(i * STEP_S, packet(i)) for i in range(500, 3500)]
    player.play(rough, 10.0)
    player.play([(t - 10.0, p) for t, p in calm if t < 45], 35.0)
    start, count = player.buffer.delay_s, player.buffer.emitted
    player.play([(t - 45.0, p) for t, p in calm if t >= 45], 20.0)
    late = (player.buffer.delay_s - start) / (player.buffer.emitted - count)
    assert player.buffer.target_s <= 0.04
    assert player.buffer.level_s < 0.15
    assert late < 0.12
    assert player.buffer.removed > 0
    assert any(out.skipped for out in player.played)


def test_the_wanted_delay_is_kept() -> None:
    player = Player()
    player.buffer.min_delay_s = 0.5
    player.play([(i * STEP_S, packet(i)) for i in range(500)], 9.0)
    assert player.buffer.target_s == 0.5
    mean = player.buffer.delay_s / player.buffer.emitted
    assert mean == pytest.approx(0.5, abs=0.05)
    assert player.buffer.concealed == 0


def test_faster_clock_of_the_sender_never_fills_the_buffer() -> None:
    player = Player()
    player.play([(i * STEP_S * 0.999, packet(i)) for i in range(30_000)], 590.0)
    assert player.buffer.flushes == 0
    assert player.buffer.level_s < 0.2


def test_slower_clock_of_the_sender_is_bridged() -> None:
    player = Player()
    player.play([(i * STEP_S * 1.001, packet(i)) for i in range(10_000)], 199.0)
    assert len(player.numbers) >= 9900
    assert player.numbers == sorted(player.numbers)


def test_roll_over_of_timestamps() -> None:
    player = Player()
    base = 2**32 - 50 * STEP
    player.play([(i * STEP_S, packet(i, base + i * STEP)) for i in range(200)], 4.0)
    assert player.numbers == list(range(199)) or player.numbers == list(range(200))


@pytest.mark.parametrize("jump", [2**31, 2**31 - 1, -48000 * 60, 48000 * 3600, 48000 * 6])
def test_a_new_beginning_of_timestamps(jump: int) -> None:
    player = Player()
    first = [(i * STEP_S, packet(i, 10**9 + i * STEP)) for i in range(100)]
    then = [(i * STEP_S, packet(i, 10**9 + jump + i * STEP)) for i in range(100, 300)]
    player.play(first + then, 6.0)
    assert set(range(110, 290)) <= set(player.numbers)
    assert len(player.buffer) < 20


def test_nobody_pulls() -> None:
    player = Player()
    for i in range(10 * MAX_FRAMES):
        player.put(packet(i))
        assert len(player.buffer) <= MAX_FRAMES
    assert player.buffer.flushes >= 5


@pytest.mark.parametrize("frame_ms", [2.5, 5, 20, 60])
@pytest.mark.parametrize("delay_s", [1.0, 3.9, 4.0])
def test_the_longest_delay_plays_everything(frame_ms: float, delay_s: float) -> None:
    buffer = AudioJitterBuffer(48_000)
    buffer.min_delay_s = delay_s
    step = round(48 * frame_ms)
    played: list[int] = []
    frames = round(8 / (step / 48_000))
    pull_at = 0.0
    for i in range(frames + round(delay_s * 48_000 / step) + 2):
        now = i * step / 48_000
        if i < frames:
            data = HEADER.write(111, i & 0xFFFF, i * step, 0, 0) + b"%04d" % i
            parsed = parse(data)
            parsed.index = i
            buffer.insert(parsed, Cut(step), READER, now)
        while pull_at <= now + 1e-9:
            out = buffer.pop(pull_at)
            pull_at += out.duration / 48_000
            if out.frame is not None and out.what is Pulled.FRAME:
                played.append(int(out.frame.data))
    assert buffer.flushes == 0
    assert played == list(range(len(played)))
    assert len(played) >= frames - 2
    assert buffer.delay_s / buffer.emitted == pytest.approx(delay_s, abs=0.07)


def test_what_nobody_plays_is_bounded_in_time() -> None:
    player = Player()
    for i in range(round(20 / STEP_S)):
        player.put(packet(i))
        assert player.buffer.level_s <= MAX_HELD_S
    assert player.buffer.flushes == 3


class Cut:
    """Each packet is a frame of so many samples."""

    def __init__(self, samples: int) -> None:
        self.samples = samples

    def split(self, payload: bytes) -> Sequence[AudioUnit]:
        return [AudioUnit(payload, 0, self.samples)]


class Red:
    """Each packet repeats the frame before it."""

    def split(self, payload: bytes) -> Sequence[AudioUnit]:
        number = int(payload)
        units = [AudioUnit(payload, 0, STEP)]
        if number:
            units.insert(0, AudioUnit(b"%04d" % (number - 1), -STEP, STEP, redundant=True))
        return units


def test_redundancy_fills_single_losses() -> None:
    player = Player(0.04)
    for i in range(40):
        if i % 3 != 1:
            player.buffer.insert(packet(i), Red(), READER, player.now)
        player.pull()
    assert player.numbers == list(range(len(player.numbers)))
    assert len(player.numbers) >= 36
    assert player.buffer.concealed == 0


def test_malformed_payloads_are_counted() -> None:
    player = Player()
    player.put(packet(0, payload=b"\xff"), packet(1, payload=b""))
    assert (player.buffer.malformed, len(player.buffer)) == (1, 0)


@given(
    st.lists(
        st.tuples(st.integers(0, 300), st.integers(0, 2**32 - 1), st.floats(0, 0.3), st.integers(0, 3)),
        max_size=60,
    ),
    st.booleans(),
)
def test_arbitrary_packets(steps: list[tuple[int, int, float, int]], small: bool) -> None:
    player = Player()
    for index, timestamp, wait, pulls in steps:
        player.put(packet(index, timestamp % (200 * STEP) if small else timestamp))
        for _ in range(pulls):
            out = player.pull()
            assert 0 < out.duration <= 48000
            assert (out.frame is not None) or out.what is not Pulled.FRAME
        player.now += wait
        assert len(player.buffer) <= MAX_FRAMES


def test_the_target_forgets() -> None:
    target = DelayTarget()
    rng = random.Random(1)
    now = 0.0
    for i in range(300):
        target.arrived(i * 0.02, i * 0.02 + rng.random() * 0.3)
    assert target.target_s >= 0.26
    for i in range(300, 2000):
        now = i * 0.02 + 0.3
        target.arrived(i * 0.02, now)
    assert target.target_s == pytest.approx(0.02)


def test_the_target_for_very_long() -> None:
    target = DelayTarget()
    for i in range(60_000):
        target.arrived(i * 0.02, i * 0.02 + (0.05 if i % 10 == 0 else 0.0))
    assert target.target_s == pytest.approx(0.06, abs=0.011)


def test_a_pause_that_was_announced_is_no_loss() -> None:
    """DTX: the last packet before the pause says that silence follows (RFC 7587, section 3.1.3)."""
    player = Player(0.06)
    talk = [(i * STEP_S, packet(i)) for i in range(50)]
    quiet = [(50 * STEP_S, packet(50, payload=b"0"))]
    again = [((150 + i) * STEP_S, packet(51 + i, (150 + i) * STEP)) for i in range(50)]
    player.play(talk + quiet + again, 3.98)
    buffer = player.buffer
    assert (buffer.concealed, buffer.silent_concealed, buffer.concealment_events) == (0, 0, 0)
    assert buffer.inserted <= 4 * STEP  # until it is filled again
    assert player.numbers[:95] == [*range(50), 0, *range(51, 95)]


class Copies:
    """Each packet carries so many of the frames before it, also those of before the first packet."""

    def __init__(self, copies: int) -> None:
        self.copies = copies

    def split(self, payload: bytes) -> list[AudioUnit]:
        number = int(payload)
        return [
            AudioUnit(b"%04d" % (number - back), -back * STEP, STEP, redundant=back > 0)
            for back in range(self.copies, -1, -1)
            if number >= back
        ]


@pytest.mark.parametrize("copies", [0, 1, 2])
@pytest.mark.parametrize("first", [0, 1, 2, 40])
@pytest.mark.parametrize("phase_s", [0.0, 0.007, 0.019])
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (0, 2)])
def test_nothing_is_concealed_at_the_start_for_the_sake_of_copies(
    copies: int, first: int, phase_s: float, order: tuple[int, ...]
) -> None:
    player = Player(0.06)
    player.pull(3)
    arrivals = [(first + number) for number in order] + list(range(first + 3, first + 60))
    for place, number in enumerate(arrivals):
        arrives_at = 10.06 + phase_s + place * STEP_S
        while player.now < arrives_at:
            player.pull()
        player.buffer.insert(packet(number), Copies(copies), READER, arrives_at)
    is_whole = len(order) == 3 or copies
    assert player.buffer.concealed == (0 if is_whole else STEP)
    assert player.buffer.concealment_events == (0 if is_whole else 1)
    assert player.numbers[0] == first + min(order)


def test_tones_in_the_place_of_sound_are_not_concealed() -> None:
    player = Player(0.04)
    tone = range(20, 27)  # numbers; their time is that of ten frames
    arrivals = [(i * STEP_S, packet(i)) for i in range(20)]
    arrivals += [((i + 3) * STEP_S, packet(i, (i + 3) * STEP)) for i in range(27, 60)]
    events = [(i * STEP_S, packet(i)) for i in tone]
    start = player.now
    waiting = sorted(
        [(at, p, False) for at, p in arrivals] + [(at, p, True) for at, p in events], key=lambda e: e[0]
    )
    for at, each, is_event in waiting:
        while player.now < start + at:
            player.pull()
        if is_event:
            player.buffer.insert_event(each)
        else:
            player.buffer.insert(each, Speech(), READER, start + at)
    player.pull()
    assert player.buffer.concealed == player.buffer.concealment_events == 0
    assert player.numbers[:40] == [*range(20), *range(27, 47)]


def test_events_without_end_take_no_memory() -> None:
    buffer = AudioJitterBuffer(48000)
    for number in range(5 * MAX_EVENTS):
        buffer.insert_event(packet(number, 0))
    assert len(buffer._events) == MAX_EVENTS
    player = Player()
    player.buffer = buffer
    player.put(packet(5 * MAX_EVENTS))
    player.pull(2)
    assert not buffer._events
