"""Streams that share one estimate: what pauses when not all fit, and what any settings do to the pace."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.rtp.bwe.allocation import Demand, allocate
from rtcstack.rtp.bwe.probing import MAX_PROBE_BPS, ProbeControl
from rtcstack.rtp.events import BitrateAllocated, FrameReceived, KeyFrameRequested
from rtcstack.rtp.parameters import SendParameters
from rtcstack.rtp.rtcp import ReceiverEstimate, ReceiverReport, ReportBlock
from rtcstack.rtp.sending import FLOOR_BPS, RESUME_MARGIN
from rtcstack.testing import START_S, Link
from rtcstack.testing.engines import Simulation
from tests.unit.rtp.media import session, video_parameters, video_payloads, video_section

MINIMA = (30_000, 150_000, 400_000)


class Many:
    """Streams of one sender over one link, each with an encoder that follows its share.

    Attributes:
        shares: (time, share) by stream, whenever it was told.
        arrived: (time, number of the stream) of each frame.
        key_frames: of these, those that can be decoded without others.
    """

    def __init__(self, rate_bps: float, parameters: list[SendParameters]) -> None:
        self.network = Simulation()
        self.sender, self.receiver = session(1), session(2)
        self.streams = [self.sender.add_send_stream(each) for each in parameters]
        rids = tuple(p.rid for p in parameters if p.rid is not None)
        for mid in dict.fromkeys(p.mid for p in parameters):
            self.receiver.set_receive_section(video_section(mid=mid, rids=rids))
        self.forth: Link = self.network.link(delay_s=0.025, rate_bytes_per_s=rate_bps / 8, queue_bytes=60_000)
        self.a, self.b = self.network.connect(
            self.sender, self.receiver, forth=[self.forth], back=[self.network.link(delay_s=0.025)]
        )
        self.sender.start(START_S)
        self.receiver.start(START_S)
        self.a.on_event, self.b.on_event = self._on_sender_event, self._on_receiver_event
        self.shares: list[list[tuple[float, int]]] = [[] for _ in self.streams]
        self.arrived: list[tuple[float, int]] = []
        self.key_frames: list[tuple[float, int]] = []
        self._needs_key = [True] * len(self.streams)
        self.names = [stream.name for stream in self.streams]
        self._by_ssrc = {stream.ssrc: i for i, stream in enumerate(self.streams)}

    def _on_sender_event(self, event: Any) -> None:
        if isinstance(event, BitrateAllocated):
            i = self.names.index(event.stream)
            if event.bitrate_bps and self.shares[i] and not self.shares[i][-1][1]:
                self._needs_key[i] = True
            self.shares[i].append((self.network.now - START_S, event.bitrate_bps))
        elif isinstance(event, KeyFrameRequested):
            self._needs_key[self.names.index(event.stream)] = True

    def _on_receiver_event(self, event: Any) -> None:
        if isinstance(event, FrameReceived):
            entry = (self.network.now - START_S, self._by_ssrc[event.stream.ssrc])
            self.arrived.append(entry)
            if event.frame.key_frame:
                self.key_frames.append(entry)

    def film(self, seconds: float, fps: int = 30) -> None:
        for i in range(int(seconds * fps)):
            self.network.at(START_S + i / fps, self._capture, i)

    def _capture(self, number: int) -> None:
        for i, stream in enumerate(self.streams):
            share = stream.bitrate_bps or 0
            if not share:
                continue
            key, self._needs_key[i] = self._needs_key[i], False
            total = share * 0.93 / 30 / 8
            count = max(1, -(-int(total) // 1100))
            payloads = video_payloads(number, count, key=key, size=max(60, int(total / count) - 40))
            stream.send(payloads, number * 3000, self.network.now, key_frame=key)
        self.a.flush()

    def run(self, until: float) -> None:
        self.a.flush()
        self.b.flush()
        self.network.run(until=until)

    def frames(self, i: int, start: float, end: float) -> int:
        return sum(1 for at, which in self.arrived if which == i and start <= at < end)

    def pauses(self, i: int, start: float = 0.0) -> int:
        """How often a stream began to pause."""
        told = [(at, share) for at, share in self.shares[i]]
        return sum(1 for (_, one), (at, two) in pairwise(told) if one and not two and at >= start)


def layers() -> list[SendParameters]:
    return [
        video_parameters(
            ssrc=100 + i,
            rtx_ssrc=200 + i,
            rid=rid,
            transport_cc=True,
            min_bitrate_bps=least,
            max_bitrate_bps=most,
        )
        for i, (rid, least, most) in enumerate(
            zip(("lo", "mid", "hi"), MINIMA, (200_000, 700_000, 2_500_000), strict=True)
        )
    ]


def test_three_layers_on_a_link_for_two_keep_the_smallest_flowing_with_a_short_queue() -> None:
    call = Many(300e3, layers())
    call.film(30)
    call.run(5)
    call.forth.reset_counts()
    call.network.run(until=31)
    assert call.forth.queue_delay_mean_s < 0.08
    assert call.frames(0, 5, 30) > 0.97 * 25 * 30
    assert call.frames(2, 5, 30) == 0
    assert call.sender.sending.pacer.queue_s < 0.1
    assert call.pauses(1, 5.0) <= 3


def test_on_a_link_for_less_than_the_smallest_nothing_piles_up() -> None:
    call = Many(50e3, layers())
    call.forth.queue_bytes = 6_000
    call.film(40)
    call.run(20)
    call.forth.reset_counts()
    call.network.run(until=41)
    assert call.forth.queue_delay_mean_s < 0.3
    assert call.frames(1, 20, 40) + call.frames(2, 20, 40) == 0
    assert call.frames(0, 20, 40) > 0.5 * 20 * 30


def test_a_layer_comes_back_with_a_key_frame_when_it_fits_and_does_not_flap() -> None:
    call = Many(300e3, layers())
    call.film(60)
    call.network.at(START_S + 20, lambda _: call.forth.set_rate(3e6 / 8), None)
    call.run(61)
    back = next(at for at, which in call.arrived if which == 2 and at > 20)
    assert back < 32
    assert next(at for at, which in call.key_frames if which == 2 and at > 20) == back
    assert call.frames(2, 40, 60) > 0.97 * 20 * 30
    assert call.pauses(2, 20.0) == 0


@pytest.mark.parametrize("rate_bps", [580e3, 620e3, 700e3])
def test_a_link_that_just_fits_does_not_make_a_layer_come_and_go(rate_bps: float) -> None:
    call = Many(rate_bps, layers())
    call.film(60)
    call.run(61)
    assert call.pauses(2, 5.0) <= 4  # rarer and rarer: each time it waits twice as long
    assert call.frames(0, 5, 60) > 0.97 * 55 * 30


def test_fifty_streams_on_a_link_for_ten() -> None:
    call = Many(
        400e3,
        [
            video_parameters(
                mid=str(i),
                ssrc=100 + i,
                rtx_ssrc=200 + i,
                transport_cc=True,
                min_bitrate_bps=30_000,
                max_bitrate_bps=1_000_000,
            )
            for i in range(50)
        ],
    )
    call.film(20)
    call.run(8)
    call.forth.reset_counts()
    call.network.run(until=21)
    assert call.forth.queue_delay_mean_s < 0.15
    flowing = [i for i in range(50) if call.frames(i, 10, 20) > 0.9 * 10 * 30]
    assert 4 <= len(flowing) <= 13
    assert flowing == list(range(len(flowing)))


def test_a_single_stream_that_needs_more_than_there_is_has_what_there_is() -> None:
    call = Many(3e6, layers()[2:])
    call.film(10)
    call.run(11)
    assert call.shares[0][0][1] == 300_000
    assert call.frames(0, 0, 10) > 290
    narrow = Many(200e3, layers()[2:])
    narrow.film(20)
    narrow.run(21)
    assert narrow.frames(0, 10, 20) > 200


def test_the_estimate_falls_below_what_the_streams_would_need() -> None:
    engine = session()
    for i in range(50):
        engine.add_send_stream(
            video_parameters(mid=str(i), ssrc=100 + i, rtx_ssrc=200 + i, remb=True, min_bitrate_bps=30_000)
        )
    engine.start(1.0)
    engine.receive([ReceiverEstimate(9, 1000, (100,)).to_bytes()], 1.0)
    assert engine.sending.estimate_bps == FLOOR_BPS
    assert sum(bool(s.bitrate_bps) for s in engine.send_streams) == 1


def test_the_order_of_streams_outlives_their_changes() -> None:
    engine = session()
    streams = [engine.add_send_stream(each) for each in layers()]
    engine.update_send_stream(streams[0], layers()[0])
    engine.update_send_stream(streams[1], video_parameters(ssrc=101, rtx_ssrc=None, rtx_payload_type=None))
    assert engine.send_streams == streams
    assert list(engine._sent.by_ssrc) == [100, 200, 101, 102, 202]
    with pytest.raises(ValueError, match="in use"):
        engine.update_send_stream(streams[0], video_parameters(ssrc=100, rtx_ssrc=102))


def test_the_smallest_is_served_first_sound_before_it_and_what_pauses_needs_more() -> None:
    small, large = Demand(30, None, 1.0), Demand(400, None, 1.0)
    assert allocate(300, [large, small]) == [0, 300]
    assert allocate(50, [Demand(32, 64, 1.0, urgent=True), Demand(30, None, 4.0)]) == [50, 0]
    paused = large._replace(margin=RESUME_MARGIN)
    assert allocate(500, [paused, small])[0] == 0
    assert allocate(540, [paused, small])[0] >= 400


@given(st.integers(0, 10**7), st.lists(st.integers(0, 10**6), max_size=8))
def test_no_larger_stream_is_served_at_the_cost_of_a_smaller_one(estimate: int, minima: list[int]) -> None:
    shares = allocate(estimate, [Demand(least, None, 1.0) for least in minima])
    served = [least for least, share in zip(minima, shares, strict=True) if share or not least]
    paused = [least for least, share in zip(minima, shares, strict=True) if least and not share]
    assert not paused or not served or max(served) <= min(paused)


# -- any settings ---------------------------------------------------------------------------------

bitrates = st.none() | st.sampled_from([0, 1, 7, 1000, 30_000, 2_000_000, 2**32 - 1, 2**62])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("bounds"), st.integers(0, 2), bitrates, bitrates),
        st.tuples(st.just("active"), st.integers(0, 2), st.booleans(), st.none()),
        st.tuples(st.just("send"), st.integers(0, 2), st.integers(1, 40), st.none()),
        st.tuples(st.just("wait"), st.floats(0, 3), st.none(), st.none()),
        st.tuples(st.just("estimate"), st.sampled_from([0, 1, 1000, 10**6, 2**70]), st.none(), st.none()),
        st.tuples(st.just("report"), st.integers(0, 255), st.none(), st.none()),
        st.tuples(st.just("path"), st.none(), st.none(), st.none()),
    ),
    max_size=40,
)


def test_a_probe_is_bounded_whatever_rate_was_allowed() -> None:
    planner = ProbeControl()
    planner.max_bps = 2.0**80
    planner._begin(2.0**79, 1.0, careful=False)
    assert planner.waiting[0].min_bytes <= MAX_PROBE_BPS * 0.015 / 8


@given(steps, st.booleans())
def test_no_settings_stop_the_pace(steps: list[Any], wide: bool) -> None:
    """Whatever the application sets and whatever the peer tells: nothing raises, and time goes on."""
    engine = session()
    streams = [
        engine.add_send_stream(
            video_parameters(
                mid=str(i), ssrc=100 + i, rtx_ssrc=200 + i, transport_cc=wide, remb=not wide, rid=None
            )
        )
        for i in range(3)
    ]
    now = 10.0
    engine.start(now)
    for what, one, two, three in steps:
        if what == "bounds":
            changed = video_parameters(
                mid=str(one),
                ssrc=100 + one,
                rtx_ssrc=200 + one,
                transport_cc=wide,
                remb=not wide,
                min_bitrate_bps=two or 0,
                max_bitrate_bps=three,
            )
            engine.update_send_stream(streams[one], changed)
        elif what == "active":
            engine.set_active(streams[one], two)
        elif what == "send":
            streams[one].send([bytes(1000)] * two, int(now * 90000), now, key_frame=two > 20)
        elif what == "estimate":
            engine.receive([ReceiverEstimate(9, min(one, 2**80), (100,)).to_bytes()], now)
        elif what == "report":
            block = ReportBlock(100, one, 5, random.Random(one).randrange(1 << 16), 5, 5, 5)
            engine.receive([ReceiverReport(9, (block,)).to_bytes()], now)
        elif what == "path":
            engine.on_path_change(now)
        end = now + (one if what == "wait" else 0.0)
        for _ in range(3000):
            engine.drain(now)
            engine.events()
            due = engine.next_timeout()
            if due is None or due > end:
                break
            now = max(now, due)
            engine.handle_timeout(now)
        else:
            raise AssertionError("deadlines without end")
        now = end
        assert engine.sending.estimate_bps is None or engine.sending.estimate_bps >= FLOOR_BPS
        active = {stream.counts for stream in engine.send_streams if stream.active}
        assert all(p.counts in active for lane in engine.sending.pacer._lanes for p in lane)
