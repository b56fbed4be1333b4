"""One estimate for media and for data that goes beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from rtcstack.rtp.bwe.aimd import BACKOFF, AimdControl
from rtcstack.rtp.bwe.delay import Usage
from rtcstack.rtp.bwe.estimator import LoadAware, OtherLoad, PacketResult
from rtcstack.rtp.bwe.gcc import GoogleCongestionControl
from rtcstack.rtp.bwe.loss_model import LossModel
from rtcstack.rtp.bwe.used import ROOM, WINDOWS, UsedRate
from rtcstack.rtp.pacer import Probe
from rtcstack.rtp.send import SendStream
from rtcstack.rtp.sending import OTHER_MAX_BPS
from rtcstack.rtp.session import RtpSession
from tests.unit.rtp.media import NTP_OFFSET_S, audio_parameters, video_parameters


def load(arrived_bps: float = 0.0, sent_bytes: int = 0, weight: float = 1.0, **more: Any) -> OtherLoad:
    return OtherLoad(weight, arrived_bps, sent_bytes, **more)


# -- the estimator --------------------------------------------------------------------------------


class Way:
    """Packets of 1000 bytes, 1 Mbit/s, through a queue that grows as it is said."""

    def __init__(self) -> None:
        self.gcc = GoogleCongestionControl()
        self.gcc.set_bounds(30_000, 300_000, 20_000_000)
        self.now = 1.0
        self.queue_s = 0.0

    def send(self, seconds: float, *, growth: float = 0.0, other: OtherLoad | None = None) -> None:
        for i in range(int(seconds / 0.008)):
            self.now += 0.008
            self.queue_s = max(0.0, self.queue_s + growth * 0.008)
            if i % 6 == 0 and other is not None:
                self.gcc.on_other_load(other, self.now)
            self.gcc.on_sent(1000, self.now)
            self.gcc.take_probes()
            arrived = self.now + 0.02 + self.queue_s
            self.gcc.on_results([PacketResult(self.now, arrived, 1000, 0)], self.now)


def test_an_overused_bottleneck_gave_what_arrived_of_both() -> None:
    without, beside = Way(), Way()
    without.send(2.0)
    without.send(0.5, growth=0.2)
    beside.send(2.0, other=load(3e6, 18_000))
    beside.send(0.5, growth=0.2, other=load(3e6, 18_000))
    assert without.gcc.capacity_bps <= 1.1 * BACKOFF * 1e6
    assert BACKOFF**3 * 4e6 <= beside.gcc.capacity_bps <= 1.1 * BACKOFF * 4e6


def test_data_puts_the_estimate_to_the_test_where_media_would_not() -> None:
    way = Way()
    way.gcc.set_bounds(30_000, 4_000_000, 20_000_000)
    way.send(4.0)
    alone = way.gcc.capacity_bps
    way.send(4.0)
    assert way.gcc.capacity_bps == alone  # a quarter of it is used: nothing shows that there is more
    way.send(4.0, other=load(3e6, 18_000))
    assert way.gcc.capacity_bps > 1.05 * alone


def test_media_that_begins_beside_data_takes_up_its_rate_without_a_probe() -> None:
    gcc = GoogleCongestionControl()
    gcc.set_bounds(30_000, 300_000, 20_000_000)
    gcc.on_other_load(load(5e6, 1000), 1.0)
    gcc.on_sent(1000, 1.1)
    assert gcc.capacity_bps == 5_000_000
    assert gcc.take_probes() == []


def test_media_that_begins_beside_little_looks_for_more() -> None:
    gcc = GoogleCongestionControl()
    gcc.set_bounds(30_000, 300_000, 20_000_000)
    gcc.on_other_load(load(1e5, 1000), 1.0)
    gcc.on_sent(1000, 1.1)
    assert gcc.capacity_bps == 300_000
    assert len(gcc.take_probes()) == 2


def test_after_a_rest_media_takes_up_what_data_has_found() -> None:
    way = Way()
    way.send(1.0)
    way.now += 10.0
    way.gcc.on_other_load(load(9e6, 1000), way.now)
    way.send(0.01)
    assert way.gcc.capacity_bps == 9_000_000


def test_it_is_live_while_media_flows_and_is_heard_of() -> None:
    way = Way()
    assert not way.gcc.is_live(1.0)
    way.gcc.on_sent(1000, 1.0)
    assert way.gcc.is_live(1.1)  # feedback is on its way
    way.send(1.0)
    assert way.gcc.is_live(way.now + 1.9)
    assert not way.gcc.is_live(way.now + 2.0)
    silent = way.now
    while way.now < silent + 3.1:
        way.now += 0.1
        way.gcc.on_sent(1000, way.now)
    assert not way.gcc.is_live(way.now)


def test_losses_bound_media_and_not_the_whole() -> None:
    way = Way()
    way.send(2.0, other=load(3e6, 18_000))
    whole = way.gcc.capacity_bps
    way.gcc.loss.bound_bps = 500_000.0
    assert way.gcc.estimate_bps == 500_000
    assert way.gcc.capacity_bps == whole


def test_losses_are_held_against_the_rate_of_both() -> None:
    model = LossModel()
    packets = [PacketResult(i * 0.01, None if i % 10 == 5 else 1.0, 1000, 0) for i in range(100)]
    model.count(packets, 5e6, 3e6, 2_200_000.0)
    assert {round(each.rate_bps / 1e5) for each in model._observations} == {30}


def rising(aimd: AimdControl, seconds: float, throughput_bps: float = 1e9) -> float:
    before = aimd.rate_bps
    for i in range(int(seconds * 10) + 1):
        aimd.update(Usage.NORMAL, throughput_bps, limited=False, now=10 + i * 0.1)
    return aimd.rate_bps / before


def test_where_data_alone_wants_more_it_is_tried_out_sooner() -> None:
    for is_known, least in ((False, 1.25), (True, 1.018)):
        alone, beside = AimdControl(20e6), AimdControl(20e6)
        beside.has_rest = True
        if is_known:
            for each in (alone, beside):
                each.update(Usage.OVER, 20e6, limited=False, now=1.0)
        throughput = 20e6 if is_known else 1e9
        assert rising(beside, 1.0, throughput) > max(least, rising(alone, 1.0, throughput))


def test_beside_data_the_estimate_stays_near_what_arrives() -> None:
    gcc = GoogleCongestionControl()
    aimd = gcc._aimd
    aimd.set_estimate(1e6, 0.0)
    gcc.on_other_load(load(1e6, 0, has_rest=True), 1.0)
    rising(aimd, 5.0, 1e6)
    assert aimd.rate_bps == pytest.approx(1.11e6)
    gcc.on_other_load(None, 20.0)
    rising(aimd, 9.0, 1e6)
    assert aimd.rate_bps == pytest.approx(1.51e6)


# -- shares ---------------------------------------------------------------------------------------


class Fixed:
    """An estimator that says what it is told to."""

    def __init__(self) -> None:
        self.estimate_bps = 1_000_000
        self.bounds = (0, 0, 0)

    @property
    def pacing_bps(self) -> float:
        return 2.5 * self.estimate_bps

    def on_sent(self, size: int, now: float) -> None:
        pass

    def on_results(self, results: Sequence[PacketResult], now: float) -> None:
        pass

    def on_report(self, fraction_lost: float, now: float) -> None:
        pass

    def on_rtt(self, rtt_s: float) -> None:
        pass

    def on_remote_estimate(self, bitrate_bps: int, now: float) -> None:
        pass

    def set_bounds(self, min_bps: int, start_bps: int, max_bps: int) -> None:
        self.bounds = (min_bps, start_bps, max_bps)

    def handle_timeout(self, now: float) -> None:
        pass

    def next_timeout(self) -> float | None:
        return None

    def take_probes(self) -> list[Probe]:
        return []


class Aware(Fixed):
    """One that knows of data, too."""

    def __init__(self) -> None:
        super().__init__()
        self.capacity_bps = 1_000_000
        self.live = True
        self.told: list[OtherLoad | None] = []

    def is_live(self, now: float) -> bool:
        return self.live

    def on_other_load(self, load: OtherLoad | None, now: float) -> None:
        self.told.append(load)


class Shared:
    """A session with a video, and an estimator."""

    def __init__(self, estimator: Any = None, **video: Any) -> None:
        self.estimator = estimator or Aware()
        self.session = RtpSession(ntp_offset_s=NTP_OFFSET_S, make_estimator=lambda: self.estimator)
        self.session.start(1.0)
        self.video: SendStream = self.session.add_send_stream(
            video_parameters(**{"transport_cc": True, **video})
        )

    def give(self, other: OtherLoad | None) -> int | None:
        if other is None:
            self.session.end_other_load(2.0)
        else:
            self.session.set_other_load(other.weight, other.arrived_bps, other.sent_bytes, 2.0)
        return self.session.other_bps


def test_the_house_s_estimator_knows_of_data() -> None:
    assert isinstance(GoogleCongestionControl(), LoadAware)
    assert not isinstance(Fixed(), LoadAware)


@pytest.mark.parametrize(("video", "data", "share"), [(4.0, 1.0, 0.2), (1.0, 1.0, 0.5), (0.5, 4.0, 8 / 9)])
def test_data_has_a_stream_s_share_by_its_weight(video: float, data: float, share: float) -> None:
    shared = Shared(priority=video)
    assert shared.give(load(weight=data)) == pytest.approx(share * 1e6, abs=2)
    assert shared.video.bitrate_bps == pytest.approx((1 - share) * 1e6, abs=2)


def test_data_has_what_media_cannot_use_and_sound_goes_first() -> None:
    shared = Shared(max_bitrate_bps=100_000)
    shared.session.add_send_stream(audio_parameters(min_bitrate_bps=32_000))
    assert shared.give(load(weight=4.0)) == 1_000_000 - 100_000 - 64_000
    assert shared.video.bitrate_bps == 100_000
    told = shared.estimator.told
    assert not told[-1].has_rest
    shared.give(load())
    assert told[-1].has_rest
    shared.session.update_send_stream(
        shared.video, video_parameters(transport_cc=True, max_bitrate_bps=5_000_000)
    )
    shared.give(load())
    shared.give(load())
    assert not told[-1].has_rest


def test_when_data_ends_media_has_all_of_it_again() -> None:
    shared = Shared()
    before = shared.estimator.bounds
    shared.give(load())
    assert shared.estimator.bounds[2] == before[2] + OTHER_MAX_BPS
    assert shared.give(None) is None
    assert shared.video.bitrate_bps == 1_000_000
    assert shared.estimator.bounds == before
    assert shared.session.sending.pacer.rate_bps == 2_500_000


def test_media_s_pace_is_that_of_its_own_share() -> None:
    shared = Shared()
    shared.give(load())
    assert shared.session.sending.pacer.rate_bps == pytest.approx(1_250_000)
    assert shared.session.sending.available_bps == pytest.approx(500_000)


def test_what_losses_cost_media_data_may_have() -> None:
    shared = Shared()
    shared.estimator.estimate_bps = 300_000
    assert shared.give(load()) == 700_000
    assert shared.video.bitrate_bps == 300_000
    assert shared.session.sending.available_bps == 300_000
    shared.estimator.capacity_bps = 2_000_000
    assert shared.give(load()) == 1_700_000


def test_there_is_no_bound_where_no_estimate_is_of_both() -> None:
    assert Shared(Fixed()).give(load()) is None
    assert Shared(transport_cc=False, remb=True).give(load()) is None
    resting = Shared()
    resting.estimator.live = False
    assert resting.give(load()) is None
    assert resting.video.bitrate_bps == 1_000_000
    assert resting.estimator.told  # it knows of it when media begins
    none = RtpSession(ntp_offset_s=NTP_OFFSET_S)
    none.set_other_load(1.0, 0.0, 0, 1.0)
    assert none.other_bps is None
    assert not none.is_sharing


def test_the_bound_ends_when_media_rests_or_goes() -> None:
    shared = Shared()
    assert shared.give(load()) is not None
    shared.estimator.live = False
    assert shared.give(load()) is None
    shared.estimator.live = True
    assert shared.give(load()) is not None
    shared.session.remove_send_stream(shared.video)
    assert shared.session.other_bps is None
    assert shared.give(load()) is None


def test_where_there_is_plenty_nothing_is_shared() -> None:
    shared = Shared()
    shared.estimator.capacity_bps = shared.estimator.estimate_bps = 2 * OTHER_MAX_BPS
    assert shared.give(load()) is None


# -- what media has and does not use ---------------------------------------------------------------


STEP_S = 0.0501
"""A little more than half a window, so that two of them are one."""


def test_what_was_used_is_the_most_of_two_seconds_and_some_room() -> None:
    used, sent = UsedRate(), 0
    for i in range(41):
        now = 1 + i * STEP_S
        assert used.bps(sent) is None
        used.look(sent, now)
        sent += 10_000 if i == 7 else 1000
    assert used.bps(sent) == pytest.approx(ROOM * 11_000 * 8 / 0.1, rel=0.02)
    for i in range(41, 84):
        used.look(sent, 1 + i * STEP_S)
        sent += 1000
    assert used.bps(sent) == pytest.approx(ROOM * 160_000, rel=0.02)
    assert len(used._rates) == WINDOWS


def test_what_is_sent_at_once_counts_at_once() -> None:
    used = UsedRate()
    for i in range(41):
        used.look(i * 100, 1 + i * STEP_S)
    assert used.bps(4000) == pytest.approx(ROOM * 16_000, rel=0.02)
    assert used.bps(4000 + 20_000) == pytest.approx(ROOM * 1_600_000, rel=0.02)


def test_after_a_pause_nothing_is_known_of_what_is_used() -> None:
    used = UsedRate()
    for i in range(41):
        used.look(i * 100, 1 + i * STEP_S)
    used.look(5000, 100.0)
    assert used.bps(5000) is None


def test_data_has_what_pictures_that_hardly_change_leave() -> None:
    shared = Shared(priority=4.0)
    bounds = []
    for i in range(60):
        shared.session.set_other_load(1.0, 0.0, 0, 2.0 + i * 0.05)
        bounds.append(shared.session.other_bps)
        shared.session.sending.sent_bytes += 500  # 80 kbit/s, of 800
    assert bounds[0] == pytest.approx(200_000, abs=2)
    assert bounds[-1] == pytest.approx(1_000_000 - ROOM * 80_000, rel=0.02)
    shared.session.sending.sent_bytes += 20_000  # the scene changes
    shared.session.set_other_load(1.0, 0.0, 0, 5.0)
    assert shared.session.other_bps == pytest.approx(200_000, abs=2)


def test_another_weight_counts_at_once() -> None:
    shared = Shared(priority=1.0)
    assert shared.give(load(weight=1.0)) == pytest.approx(500_000, abs=2)
    assert shared.give(load(weight=4.0)) == pytest.approx(800_000, abs=2)
