"""Google Congestion Control: the estimate from delays, losses and probes together.

Spec: draft-ietf-rmcat-gcc-02; RFC 8298 and RFC 8836 for what is asked of such a control.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from rtcstack.rtp.bwe.aimd import HEADROOM, LOADED_HEADROOM, MULTIPLICATIVE_PER_S, AimdControl
from rtcstack.rtp.bwe.ceiling import Ceiling
from rtcstack.rtp.bwe.delay import DelayDetector, Usage
from rtcstack.rtp.bwe.estimator import OtherLoad, PacketResult
from rtcstack.rtp.bwe.loss import LossControl
from rtcstack.rtp.bwe.loss_model import LossModel
from rtcstack.rtp.bwe.probing import ProbeControl, ProbeResults
from rtcstack.rtp.bwe.standing import StandingQueue
from rtcstack.rtp.pacer import PACE_MULTIPLIER, Probe

__all__ = ["GoogleCongestionControl"]

MIN_BPS = 10_000
"""Below this nothing useful can be sent, whatever bounds are set."""

START_FLOOR_BPS = 30_000
"""The floor until one is set."""

THROUGHPUT_WINDOW_S = 0.5
MIN_THROUGHPUT_SPAN_S = 0.1
MAX_THROUGHPUT_PACKETS = 8192

LIMITED_SHARE = 0.65
LIMITED_BUDGET_S = 0.5
LIMITED_START, LIMITED_STOP = 0.8, 0.5
"""An application is limited that leaves most of a budget of 65 % of the estimate unused."""

TICK_S = 0.5
FEW_LOST = 0.02
"""Losses up to this do not forbid to try out more."""

SMOOTH_PACE, CEILING_PACE = 1.5, 1.1
"""Losses may be of bursts: packets then leave at this multiple of the estimate; at the other one where the
estimate is what a bottleneck lets through that has no room for more."""

QUIET_S = 3.0
"""Who did not overuse the bottleneck for so long may be far below what it gives: a probe will tell."""

SILENCE_S = 3.0
"""When feedback stays away for so long though packets are sent, the rate falls."""

SILENCE_FACTOR = 0.8

OUTAGE_S = 0.3
OUTAGE_PACKETS = 5
"""When all is lost that was sent over so long, and so many packets at least, the way was interrupted:
a bottleneck that is too narrow lets something through."""

OUTAGE_LOSS = 0.5
"""A report of more than this, where packets are not told of one by one, counts if the next says so, too."""

OUTAGE_INTERVAL_S = 2.0
"""Interruptions that come sooner after one another are losses like others."""

UNANSWERED_S = 0.5
"""Who had no feedback for so long, and a round trip, on what was sent was not heard."""

RESTING_S = 2.0
"""Who has sent nothing for so long knows nothing of the way any more."""

START_BPS = 300_000
"""A way of which nothing is known is given so much, if it gave as much before."""


FEW_BPS = 300_000
"""Whose streams can use no more than half of this has few packets: a full queue is told by their delays,"""

FEW_GROWTH_PER_S = 1.25
"""and nothing to probe with: what is free again is found by growing faster,"""

FEW_STEP_BPS_PER_S = 2_000.0
"""but slowly near the bottleneck, for a trend shows after twenty packets, which is a second;"""

FEW_QUIET_S = 4.0
"""and where it was not overused for so long, it is not what was thought."""


class Throughput:
    """What arrives, over the last half second of the peer's clock."""

    __slots__ = ("_bytes", "_packets")

    def __init__(self) -> None:
        self._packets: deque[tuple[float, int]] = deque()
        self._bytes = 0

    def arrived(self, at: float, size: int) -> None:
        """Take a packet."""
        packets = self._packets
        packets.append((at, size))
        self._bytes += size
        horizon = at - THROUGHPUT_WINDOW_S
        while packets[0][0] < horizon or len(packets) > MAX_THROUGHPUT_PACKETS:
            self._bytes -= packets.popleft()[1]

    @property
    def has_arrivals(self) -> bool:
        """Whether any packet was taken."""
        return bool(self._packets)

    @property
    def bps(self) -> float | None:
        """The rate, or None while too little has come."""
        packets = self._packets
        if len(packets) < 3:
            return None
        span = packets[-1][0] - packets[0][0]
        if span < MIN_THROUGHPUT_SPAN_S:
            return None
        return (self._bytes - packets[0][1]) * 8 / span


class LimitDetector:
    """Whether the application sends less than it might."""

    __slots__ = ("_budget_bytes", "_updated_at", "limited")

    def __init__(self) -> None:
        self._budget_bytes = 0.0
        self._updated_at: float | None = None
        self.limited = False

    def sent(self, size: int, estimate_bps: float, now: float) -> None:
        """So many bytes left, or none and time has passed."""
        elapsed = now - self._updated_at if self._updated_at is not None else 0.0
        self._updated_at = now
        per_s = LIMITED_SHARE * estimate_bps / 8
        whole = per_s * LIMITED_BUDGET_S
        budget = min(self._budget_bytes + per_s * elapsed, whole) - size
        self._budget_bytes = max(budget, -whole)
        if self._budget_bytes > LIMITED_START * whole:
            self.limited = True
        elif self._budget_bytes < LIMITED_STOP * whole:
            self.limited = False


class GoogleCongestionControl:
    """The estimator of the house; see `BandwidthEstimator`.

    Args:
        start_bps: the estimate to begin with.

    Attributes:
        ceiling, delay, loss, reported_loss, throughput: its parts, to be looked at.
        interruptions: see `PathAware`.
    """

    __slots__ = (
        "_aimd",
        "_before_bps",
        "_bounds",
        "_feedback_at",
        "_interrupted_at",
        "_is_loss_doubted",
        "_limit",
        "_other_bps",
        "_overused_at",
        "_probe_results",
        "_probes",
        "_remote_bps",
        "_rtt_s",
        "_sent_at",
        "_standing",
        "_tick_at",
        "_unanswered_since",
        "ceiling",
        "delay",
        "interruptions",
        "loss",
        "reported_loss",
        "throughput",
    )

    def __init__(self, start_bps: int = 300_000) -> None:
        self._aimd = AimdControl(start_bps)
        self._bounds = (START_FLOOR_BPS, 5_000_000)
        self._limit = LimitDetector()
        self._other_bps = 0.0  # what arrives beside media
        self._overused_at = 0.0
        self._probes = ProbeControl()
        self._probe_results = ProbeResults()
        self._remote_bps: int | None = None
        self._rtt_s = 0.2
        self._sent_at: float | None = None
        self._feedback_at: float | None = None
        self._tick_at: float | None = None
        self._unanswered_since: float | None = None
        self._before_bps: float | None = None  # before silence let it fall
        self._interrupted_at: float | None = None
        self._is_loss_doubted = False
        self._standing = StandingQueue()
        self.interruptions = 0
        self.ceiling = Ceiling()
        self.delay = DelayDetector()
        self.loss = LossModel()
        self.reported_loss = LossControl()
        self.throughput = Throughput()

    @property
    def estimate_bps(self) -> int:
        """The least of what delays, losses and the peer allow, within bounds."""
        rate = self._aimd.rate_bps
        for loss in (self.loss, self.reported_loss):
            if loss.bound_bps is not None:
                rate = min(rate, loss.bound_bps)
        if self._remote_bps is not None:
            rate = min(rate, self._remote_bps)
        return int(min(max(rate, self._bounds[0]), self._bounds[1]))

    @property
    def capacity_bps(self) -> int:
        """See `LoadAware`."""
        return int(min(max(self._aimd.rate_bps, self._bounds[0]), self._bounds[1]))

    @property
    def _is_few(self) -> bool:
        """Whether all that can be used is few packets: see `FEW_BPS`."""
        return self._bounds[1] <= FEW_BPS

    def is_live(self, now: float) -> bool:
        """See `LoadAware`."""
        sent_at, feedback_at = self._sent_at, self._feedback_at
        return (
            sent_at is not None
            and now - sent_at < RESTING_S
            and feedback_at is not None
            and now - feedback_at < SILENCE_S
        )

    def on_other_load(self, load: OtherLoad | None, now: float) -> None:
        """See `LoadAware`: it counts as what media sends does."""
        self._aimd.has_rest = load is not None and load.has_rest
        self._aimd.headroom = HEADROOM if load is None else LOADED_HEADROOM
        if load is None:
            self._other_bps = 0.0
            return
        self._other_bps = load.arrived_bps
        if self._sent_at is not None:
            self._limit.sent(load.sent_bytes, self.capacity_bps, now)

    def _begin_beside(self, now: float) -> None:
        """Media begins, or goes on, beside a load that has found what the way gives: no need to probe."""
        if self._other_bps > self._aimd.rate_bps:
            self._aimd.set_estimate(self._other_bps, now)
            self._probes.need_not_start()

    @property
    def pacing_bps(self) -> float:
        """How fast what has queued up may leave; not much faster where a burst may be what is lost."""
        if self.ceiling.rate_bps is not None:
            return CEILING_PACE * self.estimate_bps
        return (SMOOTH_PACE if self.is_smooth else PACE_MULTIPLIER) * self.estimate_bps

    @property
    def is_smooth(self) -> bool:
        """Whether packets are to leave one by one: bottlenecks may have no room for bursts."""
        return self._feedback_at is not None and self.ceiling.is_smooth(self._feedback_at)

    def set_bounds(self, min_bps: int, start_bps: int, max_bps: int) -> None:
        """See `BandwidthEstimator`. Probing goes up to twice what the streams can use."""
        low = max(min_bps, MIN_BPS)
        if self._sent_at is None:
            self._aimd.rate_bps = float(start_bps)
        self._bounds = (low, max(2 * max_bps, low))
        self._aimd.growth_per_s = FEW_GROWTH_PER_S if self._is_few else MULTIPLICATIVE_PER_S
        self._aimd.step_bps_per_s = FEW_STEP_BPS_PER_S if self._is_few else None
        self._probes.raised_bound(2.0 * max_bps, self.estimate_bps, self._sent_at or 0.0)

    def on_sent(self, size: int, now: float) -> None:
        """See `BandwidthEstimator`."""
        if self._other_bps and (self._sent_at is None or now - self._sent_at > RESTING_S):
            self._begin_beside(now)
        self._limit.sent(size, self.estimate_bps, now)
        self._sent_at = now
        if self._unanswered_since is None:
            self._unanswered_since = now
        if self._tick_at is None:
            self._tick_at = now + TICK_S
        if not self._probes.has_started:
            self._feedback_at = now
            self._probes.start(self.estimate_bps, now)

    def on_results(self, results: Sequence[PacketResult], now: float) -> None:
        """See `BandwidthEstimator`."""
        self._feedback_at = now
        since, self._unanswered_since = self._unanswered_since, None
        unanswered = since is not None and now - since > UNANSWERED_S + self._rtt_s
        heard = self._without_outage(results, now)
        if len(heard) < len(results) or unanswered:
            self.interruptions += 1
            self._resume(now)
        results = heard
        delay, throughput = self.delay, self.throughput
        for sent_at, arrived_at, size, _ in results:
            if arrived_at is not None:
                delay.arrived(sent_at, arrived_at)
                throughput.arrived(arrived_at, size)
        aimd, probes = self._aimd, self._probes
        arrived_bps, other_bps = throughput.bps, self._other_bps
        if arrived_bps is not None:
            arrived_bps += other_bps
        self.loss.count(results, aimd.rate_bps, arrived_bps, other_bps)
        shown = self._probe_results.take(results)
        if shown is not None:
            believed = probes.on_result(shown, now)
            if believed is not None and delay.usage is not Usage.OVER:
                self.loss.showed(believed)
                if believed > aimd.rate_bps:
                    aimd.set_estimate(believed, now)
        there_is = self.ceiling.take(results, other_bps, now)
        if there_is is not None:
            aimd.set_estimate(min(there_is, aimd.rate_bps), now)
            self.loss.sent_anew(now)
            probes.give_up()
        before = aimd.rate_bps
        usage = self._usage(results, arrived_bps, now)
        aimd.update(usage, arrived_bps, limited=self._limit.limited, now=now)
        if usage is Usage.OVER:
            self._overused_at = now
            probes.dropped(before, aimd.rate_bps, now)
        elif probes.awaits_recovery and delay.usage is Usage.NORMAL:
            probes.recovered(aimd.rate_bps, now)
        bound_bps = self.ceiling.bound_bps(now)
        if bound_bps is not None and bound_bps < aimd.rate_bps:
            aimd.rate_bps = bound_bps

    def _usage(self, results: Sequence[PacketResult], arrived_bps: float | None, now: float) -> Usage:
        """What delays say of the bottleneck, and where there are few packets, delays and losses together."""
        usage, standing = self.delay.usage, self._standing
        if not self._is_few:
            return usage
        standing.count(results)
        if usage is Usage.NORMAL and standing.is_full:
            standing.drains()
            return Usage.OVER
        if usage is Usage.NORMAL and now - self._overused_at > FEW_QUIET_S:
            self._aimd.forget_link()
        if arrived_bps is not None and self.loss.fraction < FEW_LOST:
            self.loss.showed(FEW_GROWTH_PER_S * arrived_bps)  # which would take few packets long to forget
        return usage

    def _without_outage(self, results: Sequence[PacketResult], now: float) -> Sequence[PacketResult]:
        """What is left when packets are taken out that an interruption of the way has cost."""
        first = -1
        for i, result in enumerate(results):
            if result.arrived_at is not None:
                if first >= 0 and self._is_outage(results[first], result, i - first, now):
                    return [*results[:first], *results[i:]]
                first = -1
            elif first < 0:
                first = i
        return results

    def _is_outage(self, first: PacketResult, after: PacketResult, count: int, now: float) -> bool:
        if count < OUTAGE_PACKETS or after.sent_at - first.sent_at < OUTAGE_S:
            return False
        before, self._interrupted_at = self._interrupted_at, now
        return before is None or now - before >= OUTAGE_INTERVAL_S

    def _resume(self, now: float) -> None:
        """The way is open again: see at once whether it gives what it gave before."""
        before, self._before_bps = self._before_bps or self._aimd.rate_bps, None
        self.loss.interrupted()
        start = min(before, START_BPS)
        if start > self._aimd.rate_bps:
            self._aimd.set_estimate(start, now)
        self._probes.resumed(before, self._aimd.rate_bps, now)

    def on_path_change(self, now: float) -> None:
        """Packets take another way from now on: what was seen of the other says nothing of it."""
        if self._sent_at is None:
            return
        self._overused_at = 0.0
        self._unanswered_since = None
        self.delay.reset()
        self.ceiling.forget()
        self._standing.reset()
        self.loss = LossModel()
        self.reported_loss = LossControl()
        self._aimd.forget_link()
        self._resume(now)

    def on_report(self, fraction_lost: float, now: float) -> None:
        """See `BandwidthEstimator`; of no use where transport-wide feedback says it sooner."""
        if self.throughput.has_arrivals:
            return
        self._feedback_at = now
        self._before_bps = None
        doubted, self._is_loss_doubted = self._is_loss_doubted, fraction_lost > OUTAGE_LOSS
        if self._is_loss_doubted and not doubted:
            return
        self.reported_loss.update(fraction_lost, self.estimate_bps, self._rtt_s, now)
        # Without delays to go by, the rate grows as long as nothing is lost.
        self._aimd.update(Usage.NORMAL, None, limited=self._limit.limited, now=now)

    def on_rtt(self, rtt_s: float) -> None:
        """See `BandwidthEstimator`."""
        self._rtt_s = self._aimd.rtt_s = rtt_s

    def on_remote_estimate(self, bitrate_bps: int, now: float) -> None:
        """See `BandwidthEstimator`."""
        self._feedback_at = now
        self._remote_bps = bitrate_bps
        if not self.throughput.has_arrivals:  # the peer does the estimating
            self._aimd.set_estimate(min(max(bitrate_bps, self._bounds[0]), self._bounds[1]), now)

    def handle_timeout(self, now: float) -> None:
        """See `BandwidthEstimator`."""
        if self._tick_at is None or now < self._tick_at:
            return
        self._tick_at = now + TICK_S
        sent_at, feedback_at = self._sent_at, self._feedback_at
        if sent_at is None or now - sent_at > 2 * TICK_S:
            self._tick_at = None  # nothing is sent: nothing to do until something is
            return
        self._limit.sent(0, self.estimate_bps, now)
        if self._is_few and not self.throughput.has_arrivals:
            return  # a peer that has agreed on feedback for sound, and gives none
        if feedback_at is not None and now - feedback_at > SILENCE_S:
            if self._before_bps is None:
                self._before_bps = self._aimd.rate_bps
            self._aimd.rate_bps = max(self._aimd.rate_bps * SILENCE_FACTOR, self._bounds[0])
            return
        if self._probes.waiting:
            return  # there is nothing to probe with yet
        if self._aimd.has_rest and not self._limit.limited:
            return  # data is the probe: more on top of it would be a queue
        if now < self.ceiling.hold_until:
            return
        if self.loss.fraction < FEW_LOST and now - self._overused_at >= QUIET_S:
            self._probes.tick(self.estimate_bps, now, limited=self._limit.limited)

    def next_timeout(self) -> float | None:
        """See `BandwidthEstimator`."""
        return self._tick_at

    def take_probes(self) -> list[Probe]:
        """See `BandwidthEstimator`."""
        if self._sent_at is not None:
            self._probes.taken(max(self._sent_at, self._feedback_at or 0.0))
        probes, self._probes.waiting = self._probes.waiting, []
        for probe in probes:
            self._probe_results.expect(probe)
        return probes
