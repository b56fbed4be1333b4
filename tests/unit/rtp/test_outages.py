"""Ways that are interrupted, or become others: how soon the old rate is back, and at what price."""

from __future__ import annotations

import pytest

from rtcstack.rtp.bwe.delay import DelayDetector, Usage
from rtcstack.rtp.bwe.estimator import BandwidthEstimator, PacketResult
from rtcstack.rtp.bwe.gcc import GoogleCongestionControl
from rtcstack.rtp.events import KeyFrameRequested
from rtcstack.rtp.extensions import Extension
from rtcstack.rtp.outgoing import NEVER
from rtcstack.rtp.parameters import Source
from rtcstack.rtp.rtcp import Nack, PictureLossIndication
from rtcstack.testing import START_S
from tests.unit.rtp.media import (
    IDS,
    audio_parameters,
    audio_section,
    session,
    video_parameters,
    video_section,
)
from tests.unit.rtp.test_calls import Adaptive
from tests.unit.rtp.test_send import Sender


class Interrupted(Adaptive):
    """Nothing comes through from the tenth second on."""

    def __init__(self, rate_bps: float, outage_s: float, *, both: bool = True, **settings: object) -> None:
        super().__init__(rate_bps, **settings)
        self.end = 10 + outage_s
        for at, loss in ((10.0, 1.0), (self.end, 0.0)):
            self.network.at(START_S + at, lambda _, loss=loss: setattr(self.forth, "loss", loss), None)
            if both:
                self.network.at(START_S + at, lambda _, loss=loss: setattr(self.back, "loss", loss), None)
        self.film(self.end + 10)


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("outage_s", [0.5, 2, 6, 20])
def test_the_old_rate_is_back_three_seconds_after_an_outage(outage_s: float, both: bool) -> None:
    call = Interrupted(2e6, outage_s, both=both)
    call.run(call.end)
    before = call.mean(7, 10)
    assert before > 1.5e6
    call.forth.reset_counts()
    call.network.run(until=call.end + 11)
    assert call.first(above=0.8 * before, after=call.end) < call.end + 3
    assert call.mean(call.end + 3, call.end + 10) > 0.8 * before
    assert min(share for at, share in call.shares if at > call.end + 3) > 0.7 * before
    assert call.forth.queue_delay_mean_s < 0.06
    first = min(f.received_at for f in call.frames if f.received_at > START_S + call.end)
    assert first - START_S - call.end < 1.0
    # nothing of the past is left in the queues
    late = [
        f.received_at - START_S - number / 30
        for number, f in zip(call.numbers(), call.frames, strict=True)
        if f.received_at > START_S + call.end + 2
    ]
    assert max(late) < 0.3


@pytest.mark.parametrize("outage_s", [0.5, 2, 6, 20])
def test_an_outage_of_a_narrow_link_leaves_no_queue(outage_s: float) -> None:
    call = Interrupted(0.5e6, outage_s)
    call.run(call.end + 3)
    call.forth.reset_counts()
    call.network.run(until=call.end + 11)
    assert call.mean(call.end + 3, call.end + 10) == pytest.approx(0.45e6, rel=0.25)
    assert call.forth.queue_delay_mean_s < 0.08


def test_a_way_that_is_narrower_after_the_outage_is_not_overrun() -> None:
    call = Interrupted(2e6, 6)
    call.network.at(START_S + 12, lambda _: call.forth.set_rate(300e3 / 8), None)
    call.run(call.end + 4)
    call.forth.reset_counts()
    call.network.run(until=call.end + 11)
    assert call.mean(call.end + 3, call.end + 10) < 0.35e6
    assert call.forth.queue_delay_mean_s < 0.15


@pytest.mark.parametrize("outage_s", [0.5, 2, 6, 20])
def test_a_peer_that_only_knows_remb(outage_s: float) -> None:
    ids = {uri: number for uri, number in IDS.items() if uri != Extension.TRANSPORT_CC}
    call = Interrupted(
        1e6,
        outage_s,
        parameters=video_parameters(extensions=ids, remb=True, max_bitrate_bps=4_000_000),
        section=video_section(extensions=ids, transport_cc=False, remb=True, sources=(Source(1001, 1002),)),
    )
    call.run(call.end + 11)
    before = call.mean(7, 10)
    assert call.first(above=0.75 * before, after=call.end) < call.end + 3
    # nothing but growth by steps brings back the rest
    assert call.mean(call.end + 3, call.end + 10) > 0.55 * before


def test_without_feedback_on_the_way_back_nothing_is_probed_until_it_is_there() -> None:
    call = Interrupted(2e6, 20)
    call.run(call.end - 15)
    before = call.stream.counts.padding_packets  # of the probes at the beginning
    call.run(call.end - 0.1)
    assert call.sender.sending.estimate_bps == 30_000
    assert call.stream.counts.padding_packets == before


def test_another_way_is_probed_at_once() -> None:
    """Slow at first, and fast by another pair of addresses."""
    call = Adaptive(0.3e6)
    call.film(20)

    def roam(_: object) -> None:
        call.forth.set_rate(5e6 / 8)
        call.sender.on_path_change(call.network.now)
        call.receiver.on_path_change(call.network.now)

    call.network.at(START_S + 10.2, roam, None)
    call.run(21)
    assert call.mean(7, 10) < 0.35e6
    assert call.first(above=2e6, after=10.2) < 13
    assert call.mean(13, 20) > 2e6


def test_another_way_that_is_narrower_is_found_out_in_time() -> None:
    call = Adaptive(3e6)
    call.film(20)

    def roam(_: object) -> None:
        call.forth.set_rate(0.4e6 / 8)
        call.forth.delay_s = 0.15
        call.sender.on_path_change(call.network.now)

    call.network.at(START_S + 10, roam, None)
    call.run(13)
    call.forth.reset_counts()
    call.network.run(until=21)
    assert call.mean(13, 20) < 0.45e6
    assert call.forth.queue_delay_mean_s < 0.15


@pytest.mark.parametrize("outage_s", [0.3, 1.0])
def test_a_way_that_holds_packets_back_is_not_taken_for_a_narrow_one(outage_s: float) -> None:
    """What a handover does: all that was sent comes at once, later."""
    call = Adaptive(5e6, max_bps=1_500_000)
    call.film(20)
    for at, delay in ((10.0, 0.025 + outage_s), (10.0 + outage_s, 0.025)):
        call.network.at(START_S + at, lambda _, delay=delay: setattr(call.forth, "delay_s", delay), None)
    call.run(21)
    assert call.mean(10 + outage_s + 3, 20) > 1.3e6


def test_a_delay_that_jumps_once_is_no_overuse() -> None:
    detector = DelayDetector()
    for i in range(400):
        detector.arrived(i * 0.01, 5.0 + i * 0.01 + (0.6 if i > 200 else 0.0))
        assert detector.usage is Usage.NORMAL


def test_a_delay_that_jumps_again_and_again_is_overuse() -> None:
    detector, verdicts = DelayDetector(), []
    for i in range(60):
        detector.arrived(i * 0.3, 5.0 + i * 0.3 * 2)
        verdicts.append(detector.usage)
    assert Usage.OVER in verdicts


def test_losses_of_an_outage_are_not_the_bottlenecks_and_those_of_many_are() -> None:
    def run(outages: list[float]) -> GoogleCongestionControl:
        gcc = GoogleCongestionControl()
        gcc.set_bounds(30_000, 300_000, 2_000_000)
        at = 1.0
        pending: list[PacketResult] = []
        while at < 20:
            gone = any(start <= at < start + 0.4 for start in outages)
            gcc.on_sent(1000, at)
            gcc.take_probes()
            pending.append(PacketResult(at, None if gone else at + 0.02, 1000, 0))
            if not gone and len(pending) >= 5:
                gcc.on_results(pending, at + 0.04)
                pending = []
            at += 0.02
        return gcc

    assert run([10.0]).loss.fraction < 0.01
    assert run([10.0]).estimate_bps >= 300_000
    assert run([10.0 + 0.6 * i for i in range(16)]).loss.fraction > 0.3


# -- the beginning --------------------------------------------------------------------------------


@pytest.mark.parametrize("camera_s", [0.0, 0.5, 1.5])
def test_on_a_link_without_a_bottleneck_the_cameras_need_is_met_two_seconds_after_its_first_picture(
    camera_s: float,
) -> None:
    need = 2_500_000
    call = Adaptive(
        1e9,
        forth={"delay_s": 0.001},
        back={"delay_s": 0.001},
        parameters=video_parameters(transport_cc=True, max_bitrate_bps=need),
    )
    call.sender.set_active(call.stream, False)
    audio = call.sender.add_send_stream(audio_parameters(transport_cc=True))
    call.receiver.set_receive_section(audio_section())

    def speak(i: int) -> None:
        audio.send([bytes(80)], i * 960, call.network.now)
        call.a.flush()

    for i in range(250):
        call.network.at(START_S + i * 0.02, speak, i)
    call.network.at(START_S + camera_s, lambda _: call.sender.set_active(call.stream, True), None)
    call.film(5, start=camera_s + 0.01)
    call.run(6)
    assert call.first(above=0.95 * need, after=0) < camera_s + 2
    assert min(share for at, share in call.shares if at > camera_s + 2) > 0.95 * need


def test_probes_wait_for_something_to_probe_with() -> None:
    sender = Sender(transport_cc=True)
    audio = sender.session.add_send_stream(audio_parameters(transport_cc=True))
    for i in range(1000):
        audio.send([bytes(80)], i * 960, sender.now)
        assert len(sender.drain()) == 1
        sender.now += 0.02
        due = sender.session.next_timeout()
        if due is not None and due <= sender.now:
            sender.session.handle_timeout(sender.now)
    assert not sender.session.sending.pacer.has_probes
    estimator = sender.session.sending.estimator
    assert isinstance(estimator, GoogleCongestionControl)
    assert 0 < len(estimator.take_probes()) <= 3


# -- what is old ----------------------------------------------------------------------------------


def test_a_queue_of_the_past_is_dropped_with_the_old_way_and_a_key_frame_asked_for() -> None:
    sender = Sender(transport_cc=True)
    sender.send(1)
    sender.session.events()
    sender.session.sending.pacer.rate_bps = 100_000.0
    for _ in range(4):
        sender.stream.send([bytes(1000)] * 10, int(sender.now * 90000), sender.now)
    assert sender.session.sending.pacer.queue_s > 2
    sender.session.on_path_change(sender.now)
    assert [e.stream for e in sender.session.events() if isinstance(e, KeyFrameRequested)] == [
        sender.stream.name
    ]
    assert sender.session.sending.pacer.queued_bytes == 0


def test_a_short_queue_survives_a_change_of_the_way() -> None:
    sender = Sender(transport_cc=True)
    sender.send(1)
    sender.session.events()
    sender.stream.send([bytes(1000)] * 3, int(sender.now * 90000), sender.now)
    queued = sender.session.sending.pacer.queued_bytes
    sender.session.on_path_change(sender.now)
    assert sender.session.sending.pacer.queued_bytes == queued
    assert not [e for e in sender.session.events() if isinstance(e, KeyFrameRequested)]


def test_a_repetition_that_waits_is_not_queued_again() -> None:
    sender = Sender()
    numbers = [p.sequence_number for p in sender.send(5)]
    pacer = sender.session.sending.pacer
    pacer.rate_bps = 1.0
    for _ in range(10):
        sender.now += 0.5
        pacer._debt_bytes, pacer._updated_at = 1e9, sender.now
        assert sender.nack(*numbers) == []
    assert len(pacer) == 5
    pacer.rate_bps = None
    assert len(sender.drain()) == 5
    sender.now += 0.5
    assert len(sender.nack(*numbers)) == 5


def test_what_a_key_frame_on_request_leaves_behind_is_not_sent_again() -> None:
    sender = Sender()
    numbers = [p.sequence_number for p in sender.send(5)]
    sender.now += 0.2
    assert len(sender.nack(numbers[0])) == 1
    sender.hear(PictureLossIndication(1, 1001))
    pacer = sender.session.sending.pacer
    pacer.rate_bps = 1.0
    pacer._debt_bytes, pacer._updated_at = 1e9, sender.now
    sender.hear(Nack(1, 1001, tuple(numbers[1:])))
    assert len(pacer) == 4
    assert sender.stream.send([bytes(100)], 0, sender.now, key_frame=True)
    assert len(pacer) == 1
    pacer.rate_bps = None
    sender.drain()
    sender.now += 0.5
    assert sender.nack(*numbers) == []
    assert all(p.retransmitted_at != NEVER for p in sender.stream.history._packets.values())


class Plainest:
    """An estimator without anything beyond the protocol."""

    estimate_bps, pacing_bps = 500_000, 1e6

    def on_sent(self, size: int, now: float) -> None: ...
    def on_results(self, results: object, now: float) -> None: ...
    def on_report(self, fraction_lost: float, now: float) -> None: ...
    def on_rtt(self, rtt_s: float) -> None: ...
    def on_remote_estimate(self, bitrate_bps: int, now: float) -> None: ...
    def set_bounds(self, min_bps: int, start_bps: int, max_bps: int) -> None: ...
    def handle_timeout(self, now: float) -> None: ...
    def next_timeout(self) -> float | None: ...
    def take_probes(self) -> list[object]:
        return []


def test_an_estimator_that_knows_nothing_of_ways_is_left_alone() -> None:
    def make() -> BandwidthEstimator:
        return Plainest()  # type: ignore[return-value]

    engine = session(make_estimator=make)
    engine.add_send_stream(video_parameters(transport_cc=True))
    engine.start(5.0)
    engine.on_path_change(6.0)
    engine.drain(6.0)
