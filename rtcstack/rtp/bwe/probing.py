"""Trying out higher rates in short bursts, instead of creeping up to them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from rtcstack.rtp.bwe.estimator import PacketResult
from rtcstack.rtp.pacer import Probe

__all__ = ["ProbeControl", "ProbeResult", "ProbeResults"]

FIRST_FACTORS = (3.0, 6.0)
FURTHER_FACTOR = 2.0
SUCCESS = 0.7
"""A result of so much of the probed rate asks for a further probe."""

RESULT_TIMEOUT_S = 2.0
"""A result that comes later than this continues no search. A busy loop may be late by a second."""

RETRY_AFTER_S = 1.0
INTERVAL_S = 5.0
"""Whether there is more to be had than is used is tried out so often."""

DROP = 0.66
"""A decrease below this much of what was is a large one: once it is over, the way may be as before."""

DROP_TIMEOUT_S = 5.0
DROP_FACTOR = 0.85

MIN_PROBE_BPS = 10_000.0
"""Nothing is sent, or hardly anything: there is nothing to try out."""

MAX_RETRIES = 3
"""Probes at half the rate of the one before that follow one which has shown nothing."""

RETRY_TIMEOUT_S = 3.0
"""They follow within this time, or not at all."""

LOOK_AFTER_S = 0.5
AGREEMENT = 0.25
MAX_LOOKS = 3
"""A search that ended below what was probed for found a bottleneck, or a peer whose loop stood still for
a moment, as it does when a call begins. So much later it is looked at again, until two results differ
by no more than this, and so often at most."""

RESUME_INTERVAL_S = 1.0
"""Between two probes because the way is open again, or another."""

CAREFUL = 0.85
"""How much of what a probe found is taken when others may have had a part in the bottleneck."""

MAX_PROBE_BPS = 100_000_000.0
"""What is probed for at the most, whatever bound was set: a probe's 15 ms are 190 kB then."""

MAX_CLUSTERS = 16
MIN_SHARE = 0.8
"""How much of a probe has to arrive."""

MAX_SPAN_S = 1.0


class ProbeResult(NamedTuple):
    """What a probe has shown.

    Attributes:
        number: of the probe.
        rate_bps: at which it came through.
        held: it arrived as fast as it was sent; if not, the rate is that of the bottleneck.
    """

    number: int
    rate_bps: float
    held: bool


class _Cluster:
    __slots__ = ("bytes", "first_arrived", "first_sent", "first_size", "last_arrived", "last_sent", "packets")

    def __init__(self) -> None:
        self.packets = 0
        self.bytes = 0
        self.first_sent = self.last_sent = 0.0
        self.first_arrived = self.last_arrived = 0.0
        self.first_size = 0


class ProbeResults:
    """What probes have shown."""

    __slots__ = ("_clusters", "_wanted")

    def __init__(self) -> None:
        self._clusters: OrderedDict[int, _Cluster] = OrderedDict()
        self._wanted: OrderedDict[int, tuple[int, int]] = OrderedDict()

    def expect(self, probe: Probe) -> None:
        """A probe is about to be sent."""
        self._wanted[probe.number] = (probe.min_packets, probe.min_bytes)
        while len(self._wanted) > MAX_CLUSTERS:
            self._wanted.popitem(last=False)

    def take(self, results: Iterable[PacketResult]) -> ProbeResult | None:
        """What these arrivals show, or None if they complete no probe; of several probes the most."""
        shown: dict[int, ProbeResult] = {}
        for sent_at, arrived_at, size, number in results:
            if not number or arrived_at is None or number not in self._wanted:
                continue
            cluster = self._clusters.get(number)
            if cluster is None:
                cluster = self._clusters[number] = _Cluster()
                cluster.first_sent = cluster.last_sent = sent_at
                cluster.first_arrived = cluster.last_arrived = arrived_at
                cluster.first_size = size
                while len(self._clusters) > MAX_CLUSTERS:
                    self._clusters.popitem(last=False)
            cluster.packets += 1
            cluster.bytes += size
            cluster.last_sent = max(cluster.last_sent, sent_at)
            cluster.first_arrived = min(cluster.first_arrived, arrived_at)
            cluster.last_arrived = max(cluster.last_arrived, arrived_at)
            packets, total = self._wanted[number]
            if cluster.packets >= packets * MIN_SHARE and cluster.bytes >= total * MIN_SHARE:
                result = self._judge(number, cluster, size)
                if result is not None:
                    shown[number] = result  # of one probe the last: it knows of more arrivals
        return max(shown.values(), key=_rate_of, default=None) if shown else None

    @staticmethod
    def _judge(number: int, cluster: _Cluster, last_size: int) -> ProbeResult | None:
        sending = cluster.last_sent - cluster.first_sent
        arriving = cluster.last_arrived - cluster.first_arrived
        if not 0.0 < sending <= MAX_SPAN_S or not 0.0 < arriving <= MAX_SPAN_S:
            return None
        sent_bps = (cluster.bytes - last_size) * 8 / sending
        arrived_bps = (cluster.bytes - cluster.first_size) * 8 / arriving
        if arrived_bps > 2 * sent_bps:
            return None  # held up and let go together: it says nothing of the bottleneck
        if arrived_bps < 0.9 * sent_bps:
            return ProbeResult(number, 0.95 * arrived_bps, False)
        return ProbeResult(number, min(sent_bps, arrived_bps), True)


def _rate_of(result: ProbeResult) -> float:
    return result.rate_bps


class ProbeControl:
    """When to probe, how high, and what to believe.

    Probes made at the start and while the application is limited are the only load that this
    end puts on the bottleneck, and what they find is taken. Those made beside a stream that
    already fills its estimate compete with others that do: what they find counts only when they
    came through whole, or follow one that did.

    Attributes:
        max_bps: never higher than this.
        waiting: probes to be sent.
    """

    __slots__ = (
        "_asked_at",
        "_careful",
        "_dropped_at",
        "_dropped_from_bps",
        "_found",
        "_last_bps",
        "_look_is_due",
        "_looks",
        "_next_number",
        "_probed_at",
        "_resumed_at",
        "_retries",
        "_retry_bps",
        "_started",
        "_trusted_from",
        "max_bps",
        "waiting",
    )

    def __init__(self) -> None:
        self.max_bps = 5_000_000.0
        self.waiting: list[Probe] = []
        self._next_number = 1
        self._started = False
        self._last_bps = 0.0  # the highest rate of the exponential search in course, 0 when it is over
        self._asked_at = 0.0
        self._probed_at: float | None = None
        self._careful = False  # the search in course competes
        self._trusted_from = 0  # number of its first probe whose finding counts anyhow
        self._dropped_at: float | None = None
        self._dropped_from_bps = 0.0
        self._resumed_at: float | None = None
        self._retry_bps = 0.0  # of the probe that must show something, 0 for none
        self._retries = 0
        self._looks = 0  # that may still follow the search in course
        self._look_is_due = False
        self._found: ProbeResult | None = None  # the bottleneck that it saw

    def start(self, start_bps: float, now: float) -> None:
        """The first packets leave: look for what there is."""
        if self._started:
            return
        self._started = True
        for factor in FIRST_FACTORS:
            self._probe(start_bps * factor, now)
        self._retry_bps, self._retries = self._last_bps, 0
        self._looks = MAX_LOOKS

    def need_not_start(self) -> None:
        """What there is is known."""
        self._started = True

    @property
    def has_started(self) -> bool:
        """Whether the first probes were made."""
        return self._started

    def raised_bound(self, max_bps: float, estimate_bps: float, now: float) -> None:
        """The streams can use more than before."""
        was, self.max_bps = self.max_bps, max_bps
        if self._started and max_bps > was and estimate_bps >= 0.9 * was:
            self._begin(min(max_bps, FIRST_FACTORS[-1] * estimate_bps), now, careful=False)
            self._looks = MAX_LOOKS

    def on_result(self, result: ProbeResult, now: float) -> float | None:
        """A probe has shown something: if it held, try a higher one.

        Returns:
            The rate that is to be believed, or None.
        """
        rate_bps = result.rate_bps
        self._retry_bps = 0.0
        self._doubt(result)
        believed: float | None = rate_bps
        if self._careful and not result.held:
            believed = CAREFUL * rate_bps if result.number >= self._trusted_from else None
        if self._last_bps and now - self._asked_at < RESULT_TIMEOUT_S:
            if (
                believed is not None
                and rate_bps >= SUCCESS * self._last_bps
                and self._last_bps < self.max_bps
            ):
                self._trusted_from = min(self._trusted_from, self._next_number)
                self._probe(FURTHER_FACTOR * rate_bps, now)
            elif (
                result.held
                and rate_bps < SUCCESS * self._last_bps
                and result.number == self._next_number - 1
                and self._retries < MAX_RETRIES
            ):
                # It came through as it was sent, and that was not as fast as it was meant to be: this end
                # was busy, and has learnt nothing of the bottleneck.
                self._retries += 1
                self._probe(self._last_bps, now)
        else:
            self._last_bps = 0.0
        return believed

    def _doubt(self, result: ProbeResult) -> None:
        """A bottleneck was found, it seems: to be looked at again, unless it was seen before."""
        before = self._found
        if result.held:
            self._found, self._look_is_due = None, False
            return
        self._found = result
        # What a moment held up it held up in all probes of that moment: only a later look agrees.
        if before is None or self._look_is_due:
            self._look_is_due = self._looks > 0
        elif before.number != result.number:
            differs = abs(result.rate_bps - before.rate_bps) > AGREEMENT * before.rate_bps
            self._look_is_due = differs and self._looks > 0

    def tick(self, estimate_bps: float, now: float, *, limited: bool) -> None:
        """Probe now and then, for the bottleneck may have widened.

        Args:
            estimate_bps: the estimate.
            now: monotonic seconds.
            limited: the application sends less than it might.
        """
        if not self._started or estimate_bps >= self.max_bps:
            return
        silent_s = now - self._asked_at
        if self._retry_bps and silent_s >= RETRY_AFTER_S:
            rate_bps = self._retry_bps / 2
            self._retry_bps = 0.0
            if self._retries < MAX_RETRIES and rate_bps > estimate_bps and silent_s < RETRY_TIMEOUT_S:
                retries = self._retries + 1
                self._begin(rate_bps, now, careful=False)
                self._retry_bps, self._retries = rate_bps, retries
                return
        if self._look_is_due and silent_s >= LOOK_AFTER_S:
            self._look_is_due = False
            self._looks -= 1
            self._begin(FURTHER_FACTOR * estimate_bps, now, careful=not limited)
            return
        if self._probed_at is None or now - self._probed_at >= INTERVAL_S:
            self._looks, self._look_is_due = 0, False
            self._begin(FURTHER_FACTOR * estimate_bps, now, careful=not limited)

    def dropped(self, before_bps: float, after_bps: float, now: float) -> None:
        """The estimate was decreased."""
        if after_bps < DROP * before_bps:
            self._dropped_at = now
            self._dropped_from_bps = before_bps

    def recovered(self, estimate_bps: float, now: float) -> None:
        """The bottleneck is not overused any more: see whether what was lost is there again."""
        at, self._dropped_at = self._dropped_at, None
        if at is not None and now - at < DROP_TIMEOUT_S:
            self._begin(max(DROP_FACTOR * self._dropped_from_bps, estimate_bps), now, careful=True)

    def resumed(self, before_bps: float, estimate_bps: float, now: float) -> None:
        """The way is open again after an interruption, or it is another: it may give what was had before.

        Args:
            before_bps: what was had.
            estimate_bps: what is left of it; where all is, more is tried out.
            now: monotonic seconds.
        """
        self._dropped_at = None
        if not self._started or (self._resumed_at is not None and now - self._resumed_at < RESUME_INTERVAL_S):
            return
        self._resumed_at = now
        self._begin(max(before_bps, FURTHER_FACTOR * estimate_bps), now, careful=False)
        self._retry_bps = self._last_bps
        self._looks = MAX_LOOKS

    def give_up(self) -> None:
        """What the search in course found is not there."""
        self._last_bps = self._retry_bps = 0.0
        self._looks, self._look_is_due = 0, False
        self._dropped_at = None
        self.waiting.clear()

    def taken(self, now: float) -> None:
        """The probes that waited are about to be sent."""
        if self.waiting:
            self._asked_at = self._probed_at = now

    @property
    def awaits_recovery(self) -> bool:
        """Whether `recovered` is to be told."""
        return self._dropped_at is not None

    def _begin(self, rate_bps: float, now: float, *, careful: bool) -> None:
        self._careful = careful
        self._trusted_from = self._next_number + MAX_CLUSTERS
        self._retries = 0
        self._probe(rate_bps, now)

    def _probe(self, rate_bps: float, now: float) -> None:
        rate_bps = min(rate_bps, self.max_bps, MAX_PROBE_BPS)
        if rate_bps < MIN_PROBE_BPS:
            return
        self._last_bps = rate_bps
        self._asked_at = self._probed_at = now
        if len(self.waiting) < MAX_CLUSTERS:
            self.waiting.append(Probe(self._next_number, rate_bps))
            self._next_number += 1
