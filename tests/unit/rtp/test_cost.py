"""What a datagram may cost: steps that grow with its own length, and not with the number of streams."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import replace
from struct import pack
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.rtp.control import MAX_PENDING
from rtcstack.rtp.demux import Demux
from rtcstack.rtp.nack import MAX_MISSING, MAX_MISSING_IN_ALL, MissingCount, NackGenerator
from rtcstack.rtp.parameters import Delivery
from rtcstack.rtp.received import MAX_RECEIVE_STREAMS
from rtcstack.rtp.rtcp import (
    DelayBlock,
    ExtendedReport,
    Nack,
    ReceiverEstimate,
    ReceiverReport,
    ReportBlock,
)
from rtcstack.rtp.session import RtpSession
from tests.unit.rtp.media import NTP_OFFSET_S, START, audio_section, video_parameters, video_section
from tests.unit.rtp.receiver import Receiver, rtp

SECTIONS = 64


def steps(action: Callable[[], object]) -> int:
    """Lines of Python that an action runs."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return count


class Busy(Receiver):
    """A session with so many streams received, and so many sent."""

    def __init__(self, received: int, sent: int = 1, **changes: Any) -> None:
        super().__init__(*[video_section(mid=str(i), **changes) for i in range(SECTIONS)])
        for i in range(sent):
            stream = self.session.add_send_stream(
                video_parameters(mid=str(i), ssrc=100_000 + i, rtx_ssrc=200_000 + i, remb=True)
            )
            stream.send([bytes(100)], 0, self.now, key_frame=True)
        self.session.drain(self.now)
        for i in range(received):
            self.put(rtp(1000 + i, 1, mid=b"%d" % (i % SECTIONS)))
        assert len(self.session.receive_streams) == received
        self.events.clear()

    @property
    def middle(self) -> int:
        """The middle of an NTP time a moment ago."""
        return int((self.now - 0.05 + NTP_OFFSET_S) * 65536) & 0xFFFF_FFFF


def blocks(busy: Busy, sent: int) -> bytes:
    return ReceiverReport(
        9, tuple(ReportBlock(100_000 + i % sent, 0, 5, 5, 0, busy.middle, 1) for i in range(31))
    ).to_bytes()


def delays(busy: Busy, sent: int) -> bytes:
    return ExtendedReport(9, None, tuple(DelayBlock(100_000, busy.middle, 1) for _ in range(95))).to_bytes()


def delays_apart(busy: Busy, sent: int) -> bytes:
    """Each in a block of its own."""
    body = pack("!I", 9) + pack("!BBHIII", 5, 0, 3, 100_000, busy.middle, 1) * 70
    return pack("!BBH", 0x80, 207, len(body) // 4) + body


def nacks(busy: Busy, sent: int) -> bytes:
    return Nack(9, 100_000, tuple(range(0, 65536, 400))).to_bytes()


def estimates(busy: Busy, sent: int) -> bytes:
    return b"".join(ReceiverEstimate(9, 10**6 * (1 + i % 2), (100_000,)).to_bytes() for i in range(40))


@pytest.mark.parametrize("make", [blocks, delays, delays_apart, nacks])
def test_rtcp_costs_what_it_is_long_however_many_streams_there_are(
    make: Callable[[Busy, int], bytes],
) -> None:
    costs = []
    for received, sent in ((16, 1), (MAX_RECEIVE_STREAMS, 30)):
        busy = Busy(received, sent)
        datagram = make(busy, sent)
        costs.append(steps(lambda busy=busy, datagram=datagram: busy.put(datagram)) / len(datagram))  # type: ignore[misc]
    assert costs[1] < 1.3 * costs[0] + 1
    assert costs[1] < 25


def test_estimates_are_shared_out_once_for_each_datagram() -> None:
    busy = Busy(1, 60)
    one = ReceiverEstimate(9, 900_000, (100_000,)).to_bytes()
    many = estimates(busy, 60)
    cost = steps(lambda: busy.put(one))
    assert steps(lambda: busy.put(many)) < cost + 100 * 40


def test_round_trips_reach_the_streams_that_use_them() -> None:
    busy = Busy(20, 2)
    busy.put(blocks(busy, 2))
    rtt_s = busy.session.control.rtt_s
    assert rtt_s == pytest.approx(0.05, abs=0.01)
    busy.put(rtp(1000, 9, bytes((START,)) + b"x", mid=b"0"))
    stream = busy.session._received.by_ssrc[1000]
    assert stream.nack.rtt_s == stream.assembler.rtt_s == rtt_s  # type: ignore[union-attr]
    busy.put(nacks(busy, 2))
    assert busy.session.send_streams[0].rtt_s == rtt_s


# -- gaps -----------------------------------------------------------------------------------------


def test_a_gap_costs_the_same_however_long_it_is_and_however_many_streams_wait() -> None:
    few, busy = Busy(16), Busy(MAX_RECEIVE_STREAMS)

    def cost(session: Busy, i: int, number: int) -> int:
        packet = rtp(1000 + i, number, bytes((START,)) + b"x", mid=b"%d" % (i % SECTIONS))
        return steps(lambda: session.put(packet))

    short = [cost(few, i, 3) for i in range(16)]
    long = [cost(busy, i, 3 if i % 2 else 990) for i in range(MAX_RECEIVE_STREAMS)]
    # a request names each packet that is missing; those that are too many are not asked for
    asked = sum(cost > 2 * max(short) + 100 for cost in long)
    assert asked <= MAX_MISSING_IN_ALL // 900
    assert sorted(long)[len(long) // 2] < 2 * max(short) + 100


def test_a_packet_costs_the_same_while_a_thousand_streams_wait_for_others() -> None:
    costs = []
    for received in (16, MAX_RECEIVE_STREAMS):
        busy = Busy(received)
        for i in range(received - 1):
            busy.put(rtp(1000 + i, 3, bytes((START,)) + b"x", mid=b"%d" % (i % SECTIONS)))
        last = 1000 + received - 1
        packet = rtp(last, 2, bytes((START,)) + b"x", mid=b"%d" % ((received - 1) % SECTIONS))
        costs.append(steps(lambda busy=busy, packet=packet: busy.put(packet)))  # type: ignore[misc]
        costs.append(steps(busy.session.next_timeout))
    assert costs[2] < costs[0] + 30
    assert costs[3] < costs[1] + 30


def test_the_second_after_many_gaps_has_bounded_work() -> None:
    busy = Busy(MAX_RECEIVE_STREAMS)
    for i in range(MAX_RECEIVE_STREAMS):
        busy.put(rtp(1000 + i, 990, bytes((START,)) + b"x", mid=b"%d" % (i % SECTIONS)))
    assert busy.session._missing.packets <= MAX_MISSING_IN_ALL
    asked = 0
    end = busy.now + 1.0
    for _ in range(20_000):
        due = busy.session.next_timeout()
        if due is None or due > end:
            break
        busy.now = max(busy.now, due)
        busy.session.handle_timeout(busy.now)
        assert len(busy.session.drain(busy.now)) <= MAX_PENDING + 200
    else:
        raise AssertionError("deadlines without end")
    asked = sum(stream.nack.requested for stream in busy.session.receive_streams)
    assert asked <= 10 * MAX_MISSING_IN_ALL
    assert len(busy.session._attention.deadlines) <= 4 * MAX_RECEIVE_STREAMS


def test_what_is_missing_of_streams_that_end_is_not_counted_any_more() -> None:
    busy = Busy(100)
    for i in range(100):
        busy.put(rtp(1000 + i, 100, bytes((START,)) + b"x", mid=b"%d" % (i % SECTIONS)))
    assert busy.session._missing.packets == 98 * 100
    for i in range(SECTIONS):
        busy.session.remove_receive_section(str(i))
    assert busy.session._missing.packets == 0


def test_new_sources_cost_the_same_however_many_there_are() -> None:
    few, busy = Busy(16), Busy(MAX_RECEIVE_STREAMS)
    one = rtp(77, 1, mid=b"5")
    cost = steps(lambda: few.put(one))
    many = [rtp(50_000 + i, 1, mid=b"%d" % (i % SECTIONS)) for i in range(320)]
    assert steps(lambda: [busy.put(each) for each in many]) < 2 * 320 * cost
    assert len(busy.session._received.by_ssrc) <= MAX_RECEIVE_STREAMS
    assert sum(map(len, busy.session._received.of_section.values())) == len(busy.session._received.by_ssrc)


def test_packets_are_told_once_while_others_wait() -> None:
    busy = Busy(200, delivery=Delivery.PACKETS | Delivery.FRAMES)
    for i in range(200):
        busy.put(rtp(1000 + i, 5, bytes((START,)) + b"x", mid=b"%d" % (i % SECTIONS)))
    packet = rtp(1000, 6, bytes((START,)) + b"x", mid=b"0")
    busy.session.receive([packet], busy.now)
    assert steps(busy.session.events) < 60


# -- the missing, against a plain set -------------------------------------------------------------


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("lost"), st.integers(0, 400)),
            st.tuples(st.just("found"), st.integers(-600, 0)),
            st.tuples(st.just("forget"), st.integers(-600, 0)),
            st.tuples(st.just("due"), st.integers(0, 100)),
            st.tuples(st.just("clear"), st.none()),
        ),
        max_size=60,
    )
)
def test_the_missing_are_those_of_a_plain_set(steps: list[tuple[str, Any]]) -> None:
    shared = MissingCount()
    nack = NackGenerator(rtt_s=0.05, in_all=shared)
    plain: dict[int, int] = {}
    highest, now = 1000, 5.0
    for what, how in steps:
        if what == "lost":
            kept = nack.lost(highest + 1, highest + 1 + how, now)
            if kept:
                plain |= dict.fromkeys(range(highest + 1, highest + 1 + how), 0)
            else:
                assert len(plain) + how > MAX_MISSING
                plain.clear()
            highest += 1 + how
        elif what == "found":
            assert nack.found(highest + how) is (plain.pop(highest + how, None) is not None)
        elif what == "forget":
            nack.forget_before(highest + how)
            plain = {index: asked for index, asked in plain.items() if index >= highest + how}
        elif what == "due":
            now += how / 1000
            wanted = nack.due(now)
            assert wanted == sorted(set(wanted))
            assert set(wanted) <= set(plain)
            for index in wanted:
                plain[index] += 1
            plain = {index: asked for index, asked in plain.items() if index in nack}
            assert all(asked <= 10 for asked in plain.values())
        else:
            nack.clear()
            plain.clear()
        assert len(nack) == len(plain) == shared.packets
        assert all(index in nack for index in plain)
        assert (nack.next_at() is None) is (not plain)


def test_a_description_of_many_sections_makes_the_tables_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = 0
    rebuild = Demux._rebuild

    def counted(self: Demux) -> None:
        nonlocal made
        made += 1
        rebuild(self)

    monkeypatch.setattr(Demux, "_rebuild", counted)
    session = RtpSession(rng=random.Random(1))
    sections = [video_section(mid=str(i)) for i in range(200)]
    for section in sections:
        session.set_receive_section(section)
    session.receive([b"\x80\x60" + bytes(20)], 1000.0)
    assert made == 1
    for section in sections:  # said again: nothing changes
        session.set_receive_section(replace(section))
    session.receive([b"\x80\x60" + bytes(20)], 1000.0)
    assert made == 1


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["video", "audio", None]), st.booleans())))
def test_what_sections_agree_on_is_known_without_asking_each(
    steps: list[tuple[int, str | None, bool]],
) -> None:
    session = RtpSession(rng=random.Random(1))
    sections: dict[str, str] = {}
    flags: dict[str, bool] = {}
    for i, kind, flag in steps:
        if kind is None:
            session.remove_receive_section(str(i))
            sections.pop(str(i), None)
        else:
            make = video_section if kind == "video" else audio_section
            session.set_receive_section(make(mid=str(i), reduced_size=flag, receiver_time=flag))
            sections[str(i)] = kind
            flags[str(i)] = flag
    assert session._has_video is ("video" in sections.values())
    assert session.control.receiver_time is any(flags[mid] for mid in sections)
    if steps:
        assert session.control.reduced_size is all(flags[mid] for mid in sections)
