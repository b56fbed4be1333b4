"""Whole calls in virtual time: losses, capacity that changes, sharing, sync, forwarding, long runs."""

from __future__ import annotations

import gc
import sys
from typing import Any

import pytest

from rtcstack.rtp.audio import Pulled
from rtcstack.rtp.events import FrameReceived, KeyFrameRequested, PacketsReceived
from rtcstack.rtp.extensions import Extension
from rtcstack.rtp.parameters import Delivery, ReceiveCodec, Source
from rtcstack.testing import START_S, BurstLoss
from rtcstack.testing.engines import Simulation
from tests.unit.rtp.media import (
    IDS,
    Call,
    Plain,
    audio_parameters,
    audio_section,
    frame_data,
    session,
    video_parameters,
    video_payloads,
    video_section,
)


def check(call: Call, *, share: float, key_frames: int) -> None:
    """Frames came whole, in order, so many of them, with no more key frames than that."""
    numbers = call.numbers()
    assert numbers == sorted(set(numbers))
    assert len(numbers) >= share * call.number
    assert len(call.key_frames_sent) <= key_frames
    for number, frame in zip(numbers[:100], call.frames, strict=False):
        assert frame.data == frame_data(number, 5)


def latencies(call: Call) -> list[float]:
    """From capture to the last packet, sorted."""
    return sorted(f.received_at - START_S - n / 30 for n, f in zip(call.numbers(), call.frames, strict=True))


def test_a_clean_link() -> None:
    call = Call()
    call.film(5)
    call.run(7)
    check(call, share=1.0, key_frames=1)
    assert latencies(call)[-1] == pytest.approx(0.02, abs=0.001)
    (stream,) = call.receiver.receive_streams
    assert (stream.nack_count, stream.pli_count, stream.duplicates) == (0, 0, 0)
    assert stream.reception.packets_lost == 0
    assert call.stream.remote.reports >= 3
    assert call.sender.control.rtt_s == pytest.approx(0.04, abs=0.005)


@pytest.mark.parametrize(
    ("loss", "share", "median_s"), [(0.01, 1.0, 0.03), (0.05, 1.0, 0.05), (0.1, 0.995, 0.1), (0.2, 0.97, 0.2)]
)
def test_what_is_lost_is_sent_again(loss: float, share: float, median_s: float) -> None:
    call = Call(forth={"loss": loss}, back={"loss": loss})
    call.film(20)
    call.run(23)
    check(call, share=share, key_frames=3)
    times = latencies(call)
    assert times[len(times) // 2] < median_s
    (stream,) = call.receiver.receive_streams
    assert stream.retransmitted_packets > 3000 * loss * 0.8
    # hardly more is sent again than was lost, there and on the way of the requests
    assert call.stream.counts.retransmitted_packets < 3000 * loss / (1 - loss) * 1.6 + 10


def test_without_rtx_packets_are_sent_again_as_they_are() -> None:
    parameters = video_parameters(rtx_ssrc=None, rtx_payload_type=None)
    call = Call(parameters, forth={"loss": 0.05})
    call.film(10)
    call.run(12)
    check(call, share=1.0, key_frames=1)
    (stream,) = call.receiver.receive_streams
    assert stream.rtx_ssrc is None
    assert stream.reception.packets_lost < 10


def test_without_retransmissions_key_frames_repair() -> None:
    call = Call(
        video_parameters(nack=False),
        video_section(codecs=(ReceiveCodec(96, 90000, Plain(), pli=True),)),
        forth={"loss": 0.01},
    )
    call.film(20)
    call.run(22)
    check(call, share=0.5, key_frames=40)
    assert len(call.key_frames_sent) > 5


def test_bursts_of_losses() -> None:
    call = Call(forth={"burst": BurstLoss(0.01, 0.2)}, back={"burst": BurstLoss(0.01, 0.2)})
    call.film(20)
    call.run(23)
    check(call, share=0.95, key_frames=5)


def test_reordering_and_duplicates() -> None:
    call = Call(forth={"reorder": 0.05, "reorder_s": 0.015, "duplicate": 0.05, "jitter_s": 0.01})
    call.film(10)
    call.run(12)
    check(call, share=1.0, key_frames=1)
    (stream,) = call.receiver.receive_streams
    assert stream.duplicates > 30


def test_an_outage_ends_with_a_key_frame_and_no_delay_stays() -> None:
    call = Call()
    call.film(10)
    call.network.at(START_S + 4.0, lambda _: setattr(call.forth, "loss", 1.0), None)
    call.network.at(START_S + 6.5, lambda _: setattr(call.forth, "loss", 0.0), None)
    call.run(12)
    check(call, share=0.7, key_frames=4)
    late = [t for n, t in zip(call.numbers(), (f.received_at for f in call.frames), strict=True) if n > 250]
    assert late
    assert call.frames[-1].received_at - START_S - call.numbers()[-1] / 30 < 0.03


# -- congestion control ---------------------------------------------------------------------------


class Adaptive(Call):
    """A call whose encoder follows the share that it is told."""

    def __init__(self, rate_bps: float, **settings: Any) -> None:
        forth = {"rate_bytes_per_s": rate_bps / 8, "queue_bytes": 60_000, "delay_s": 0.025}
        forth |= settings.pop("forth", {})
        default = video_parameters(transport_cc=True, max_bitrate_bps=settings.pop("max_bps", 4_000_000))
        super().__init__(
            settings.pop("parameters", default),
            forth=forth,
            **settings,
        )
        self.packets_per_frame = self._count
        self.shares: list[tuple[float, int]] = []

    def _count(self) -> int:
        share = self.stream.bitrate_bps or 300_000
        self.shares.append((self.network.now - START_S, share))
        total = share * 0.93 * (1 - self.stream.repairs.share) / 30 / 8
        count = max(1, -(-int(total) // 1100))
        self.size = max(60, int(total / count) - 40)
        return count

    def first(self, *, above: float, after: float) -> float:
        """When the share first was that high; infinity for never."""
        return next((at for at, share in self.shares if at > after and share > above), float("inf"))

    def mean(self, start: float, end: float) -> float:
        """Mean share in a stretch of time."""
        shares = [share for at, share in self.shares if start <= at < end]
        return sum(shares) / len(shares)


def test_the_estimate_finds_what_there_is_and_follows_it() -> None:
    call = Adaptive(1e6)
    call.film(60)
    call.network.at(START_S + 20, lambda _: call.forth.set_rate(500e3 / 8), None)
    call.network.at(START_S + 40, lambda _: call.forth.set_rate(2e6 / 8), None)
    call.run(20)
    assert call.mean(2, 20) == pytest.approx(1e6, rel=0.2)
    assert call.forth.queue_delay_mean_s < 0.05
    call.network.run(until=23)
    call.forth.reset_counts()
    call.network.run(until=40)
    assert call.mean(25, 40) == pytest.approx(0.5e6, rel=0.25)
    assert call.forth.queue_delay_mean_s < 0.06
    call.network.run(until=62)
    assert call.first(above=1.5e6, after=40) < 46
    assert call.mean(47, 60) > 1.5e6
    assert len(call.frames) >= 0.97 * call.number


def test_the_first_second_finds_a_fast_link() -> None:
    call = Adaptive(10e6)
    call.film(3)
    call.run(4)
    assert call.mean(1.0, 3.0) > 2.5e6


@pytest.mark.parametrize("stalls_at", [0.05, 0.06, 0.07, 0.08])
def test_a_peer_that_is_busy_when_the_call_begins_does_not_hold_it_back(stalls_at: float) -> None:
    """Its loop stands still for a moment while it is probed: what came then is read late, and all at once."""
    call = Adaptive(10e6)
    arrive = call.b.arrive

    def stalled(datagram: bytes) -> None:
        late = START_S + stalls_at <= call.network.now < START_S + stalls_at + 0.05
        call.network.at(START_S + stalls_at + 0.05 if late else call.network.now, arrive, datagram)

    call.b.arrive = stalled  # type: ignore[method-assign]
    call.film(3)
    call.run(4)
    assert call.mean(1.5, 3.0) > 2.5e6


def test_what_a_short_dip_took_comes_back() -> None:
    call = Adaptive(2e6)
    call.film(30)
    call.network.at(START_S + 15, lambda _: call.forth.set_rate(300e3 / 8), None)
    call.network.at(START_S + 18, lambda _: call.forth.set_rate(2e6 / 8), None)
    call.run(31)
    assert call.mean(16.5, 18) < 0.35e6
    assert call.first(above=1.5e6, after=18) < 25


@pytest.mark.parametrize(
    ("loss", "least_bps"), [(0.015, 0.8e6), (0.05, 0.8e6), (0.1, 0.75e6), (0.15, 0.5e6), (0.3, 0.2e6)]
)
def test_random_losses_slow_it_down_only_when_they_are_heavy(loss: float, least_bps: float) -> None:
    means = []
    for seed in range(4):
        call = Adaptive(1e6, forth={"loss": loss, "seed": seed})
        call.film(20)
        call.run(22)
        means.append(call.mean(5, 20))
        assert len(call.frames) > 0.9 * call.number
    assert sum(means) / len(means) > least_bps


def test_losses_of_a_bottleneck_without_a_queue_are_not_taken_for_random() -> None:
    call = Adaptive(2e6, forth={"queue_bytes": 6000})
    call.film(30)
    call.run(31)
    assert 1.2e6 < call.mean(10, 30) < 2e6
    assert call.forth.overflowed < 0.04 * call.forth.delivered


def test_a_peer_that_only_knows_remb_is_told_what_it_may_send() -> None:
    ids = {uri: number for uri, number in IDS.items() if uri != Extension.TRANSPORT_CC}
    call = Adaptive(
        1e6,
        parameters=video_parameters(extensions=ids, remb=True, max_bitrate_bps=4_000_000),
        section=video_section(extensions=ids, transport_cc=False, remb=True, sources=(Source(1001, 1002),)),
    )
    call.film(60)
    call.network.at(START_S + 20, lambda _: call.forth.set_rate(500e3 / 8), None)
    call.network.at(START_S + 40, lambda _: call.forth.set_rate(2e6 / 8), None)
    call.run(20)
    assert call.mean(5, 20) == pytest.approx(1e6, rel=0.25)
    assert call.forth.queue_delay_mean_s < 0.06
    call.network.run(until=24)
    call.forth.reset_counts()
    call.network.run(until=40)
    assert call.mean(25, 40) == pytest.approx(0.5e6, rel=0.25)
    assert call.forth.queue_delay_mean_s < 0.06
    call.network.run(until=62)
    assert call.mean(50, 60) > 0.8e6
    assert call.receiver.receive_estimate_bps == pytest.approx(call.sender.sending.estimate_bps, rel=0.2)
    call.network.run(until=70)
    # nothing arrives, nothing is told
    received = call.a.received
    call.network.run(until=75)
    assert call.a.received - received < 20


def test_two_calls_share_a_link() -> None:
    one = Adaptive(1.5e6)
    two = Adaptive(1.5e6, seed=50)
    # the second call's packets take the first one's way
    two.network = one.network
    two.forth = one.forth
    two.a, two.b = one.network.connect(
        two.sender, two.receiver, forth=[one.forth], back=[one.network.link(delay_s=0.02)]
    )
    two.a.on_event, two.b.on_event = two._on_sender_event, two._on_receiver_event
    one.film(60)
    two.film(50, start=10.0)
    one.run(62)
    a, b = one.mean(40, 60), two.mean(40, 60)
    assert 1.2e6 < a + b < 1.7e6
    assert min(a, b) / max(a, b) > 0.5
    assert one.forth.queue_delay_mean_s < 0.06


def test_a_video_that_wants_little_is_given_room_by_probing() -> None:
    call = Adaptive(3e6, max_bps=300_000)
    call.film(12)
    call.run(13)
    estimate = call.sender.sending.estimate_bps
    assert estimate is not None
    assert estimate >= 500_000
    assert call.mean(2, 12) <= 300_000


# -- audio and video together ---------------------------------------------------------------------


def test_frames_captured_together_are_known_to_belong_together() -> None:
    network = Simulation()
    a, b = session(1), session(2)
    video, audio = a.add_send_stream(video_parameters()), a.add_send_stream(audio_parameters())
    b.set_receive_section(video_section())
    b.set_receive_section(audio_section(delivery=Delivery.FRAMES))
    host_a, host_b = network.connect(
        a, b, forth=[network.link(delay_s=0.03)], back=[network.link(delay_s=0.03)]
    )
    a.start(START_S)
    b.start(START_S)
    for i in range(200):

        def speak(i: int) -> None:
            audio.send([b"%d" % i], i * 960, network.now, captured_at=network.now - 0.01, audio_level=i % 128)
            if i % 2 == 0:
                payloads = video_payloads(i, 2, key=i == 0)
                video.send(payloads, i * 1800, network.now, captured_at=network.now - 0.02, key_frame=i == 0)
            host_a.flush()

        network.at(START_S + i * 0.02, speak, i)
    network.run(until=5.0)
    frames = [e.frame for e in host_b.events if isinstance(e, FrameReceived) and e.frame.capture_time]
    heard = {int(f.data): f for f in frames if f.mid == "a"}
    seen = {int(f.data.split(b"/")[0]): f for f in frames if f.mid == "v"}
    both = heard.keys() & seen.keys()
    assert len(both) > 50
    for i in both:
        assert heard[i].capture_time is not None
        assert seen[i].capture_time is not None
        assert heard[i].capture_time - seen[i].capture_time == pytest.approx(0.01, abs=0.002)  # type: ignore[operator]
        assert heard[i].audio_level == i % 128


def test_audio_through_jitter_and_loss() -> None:
    network = Simulation()
    a, b = session(1), session(2)
    audio = a.add_send_stream(audio_parameters())
    b.set_receive_section(audio_section())
    forth = network.link(delay_s=0.03, jitter_s=0.03, loss=0.05)
    host_a, _ = network.connect(a, b, forth=[forth], back=[network.link(delay_s=0.03)])
    a.start(START_S)
    b.start(START_S)
    kinds: dict[Pulled, int] = {}

    def speak(i: int) -> None:
        audio.send([b"F%d" % i], i * 960, network.now)
        host_a.flush()

    def listen(_: object) -> None:
        stream = b.current_stream("a")
        if stream is not None and stream.playout is not None:
            out = stream.playout.pop(network.now)
            kinds[out.what] = kinds.get(out.what, 0) + 1

    for i in range(1500):
        network.at(START_S + i * 0.02, speak, i)
        network.at(START_S + 0.007 + i * 0.02, listen, None)
    network.run(until=31)
    stream = b.current_stream("a")
    assert stream is not None
    assert stream.playout is not None
    assert kinds[Pulled.FRAME] > 1370
    assert 40 < kinds[Pulled.CONCEAL] < 130
    assert stream.playout.target_s <= 0.06


# -- forwarding -----------------------------------------------------------------------------------


def test_a_forwarding_middle() -> None:
    """What an SFU does: packets in, packets out, requests answered where the packets are."""
    network = Simulation()
    origin, middle_in, middle_out, end = (session(i) for i in range(4))
    source = origin.add_send_stream(video_parameters())
    middle_in.set_receive_section(video_section(delivery=Delivery.PACKETS, sources=(Source(1001, 1002),)))
    onward = middle_out.add_send_stream(video_parameters(ssrc=5, rtx_ssrc=6, mid="v"))
    end.set_receive_section(video_section(sources=(Source(5, 6),)))
    up = network.connect(
        origin,
        middle_in,
        forth=[network.link(delay_s=0.01, loss=0.03, seed=3)],
        back=[network.link(delay_s=0.01)],
    )
    down = network.connect(
        middle_out,
        end,
        forth=[network.link(delay_s=0.01, loss=0.03, seed=4)],
        back=[network.link(delay_s=0.01)],
    )
    for each in (origin, middle_in, middle_out, end):
        each.start(START_S)
    want_key = [True]

    def forward(event: Any) -> None:
        if isinstance(event, PacketsReceived):
            for packet in event.packets:
                onward.send_rtp(packet, network.now, middle_in.header_extension_ids)
            down[0].flush()

    def ask(event: Any) -> None:
        if isinstance(event, KeyFrameRequested):
            middle_in.receive_streams[0].request_key_frame()
            up[1].flush()

    def asked(event: Any) -> None:
        want_key[0] = want_key[0] or isinstance(event, KeyFrameRequested)

    up[1].on_event, down[0].on_event, up[0].on_event = forward, ask, asked

    def capture(number: int) -> None:
        key, want_key[0] = want_key[0], False
        source.send(video_payloads(number, 4, key=key), number * 3000, network.now, key_frame=key)
        up[0].flush()

    for number in range(300):
        network.at(START_S + number / 30, capture, number)
    network.run(until=12)
    frames = [e.frame for e in down[1].events if isinstance(e, FrameReceived)]
    numbers = [int(f.data.split(b"/")[0]) for f in frames]
    assert numbers == sorted(set(numbers))
    assert len(numbers) > 290
    assert all(f.data == frame_data(n, 4) for n, f in zip(numbers, frames, strict=True))
    assert {f.ssrc for f in frames} == {5}


# -- long runs ------------------------------------------------------------------------------------


def test_a_long_call_under_changing_loss_stays_flat() -> None:
    """Two hours of it."""
    minutes = 120
    call = Adaptive(2e6, max_bps=400_000)
    for minute in range(minutes):
        loss = (0.0, 0.02, 0.1, 0.3, 0.0)[minute % 5]
        call.network.at(START_S + minute * 60, lambda x: setattr(call.forth, "loss", x), loss)
        call.network.at(START_S + minute * 60, lambda x: setattr(call.back, "loss", x), loss)
        call.network.at(START_S + minute * 60 + 30, lambda _: keep_nothing(), None)
    count = 0

    def keep_nothing() -> None:
        nonlocal count
        count += len(call.frames)
        call.frames.clear()
        call.shares.clear()
        call.events.clear()
        call.a.events.clear()

    def step(_: object) -> None:
        call.capture()
        if call.number < minutes * 60 * 10:
            call.network.at(call.network.now + 0.1, step, None)

    step(None)
    call.run(250)
    keep_nothing()
    gc.collect()
    before = sys.getallocatedblocks()
    call.network.run(until=minutes * 60 - 50)  # the same place in the pattern of losses
    keep_nothing()
    gc.collect()
    assert sys.getallocatedblocks() - before < 3000
    assert count > 0.7 * minutes * 55 * 10
    (stream,) = call.receiver.receive_streams
    assert len(call.sender.sending.sent) < 200
    assert len(call.stream.history) < 500
    assert len(stream.nack) < 100
