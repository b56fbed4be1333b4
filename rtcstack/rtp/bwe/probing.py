"""Trying out higher rates in short bursts, instead of creeping up to them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from rtcstack.rtp.bwe.estimator import PacketResult
from rtcstack.rtp.pacer import Probe

__all__ = ["ProbeControl", "ProbeResults"]

FIRST_FACTORS = (3.0, 6.0)
FURTHER_FACTOR = 2.0
SUCCESS = 0.7
"""A result of so much of the probed rate asks for a further probe."""

RESULT_TIMEOUT_S = 1.0
LIMITED_INTERVAL_S = 5.0
"""While the application is limited, the rate is put to the test so often."""

MAX_CLUSTERS = 16
MIN_SHARE = 0.8
"""How much of a probe has to arrive."""

MAX_SPAN_S = 1.0


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

    def rate_bps(self, results: Iterable[PacketResult]) -> float | None:
        """The rate that these arrivals show, or None if they complete no probe."""
        found: float | None = None
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
                rate = self._judge(cluster, size)
                if rate is not None:
                    found = rate
        return found

    @staticmethod
    def _judge(cluster: _Cluster, last_size: int) -> float | None:
        sending = cluster.last_sent - cluster.first_sent
        arriving = cluster.last_arrived - cluster.first_arrived
        if not 0.0 < sending <= MAX_SPAN_S or not 0.0 < arriving <= MAX_SPAN_S:
            return None
        sent_bps = (cluster.bytes - last_size) * 8 / sending
        arrived_bps = (cluster.bytes - cluster.first_size) * 8 / arriving
        if arrived_bps > 2 * sent_bps:
            return None  # held up and let go together: it says nothing of the bottleneck
        if arrived_bps < 0.9 * sent_bps:
            return 0.95 * arrived_bps  # the bottleneck was found
        return min(sent_bps, arrived_bps)


class ProbeControl:
    """When to probe, and how high.

    Attributes:
        max_bps: never higher than this.
    """

    __slots__ = ("_asked_at", "_last_bps", "_next_number", "_probed_at", "_started", "max_bps", "waiting")

    def __init__(self) -> None:
        self.max_bps = 5_000_000.0
        self.waiting: list[Probe] = []
        self._next_number = 1
        self._started = False
        self._last_bps = 0.0  # the highest rate of the exponential search in course, 0 when it is over
        self._asked_at = 0.0
        self._probed_at: float | None = None

    def start(self, start_bps: float, now: float) -> None:
        """The first packets leave: look for what there is."""
        if self._started:
            return
        self._started = True
        for factor in FIRST_FACTORS:
            self._probe(start_bps * factor, now)

    @property
    def has_started(self) -> bool:
        """Whether the first probes were made."""
        return self._started

    def raised_bound(self, max_bps: float, estimate_bps: float, now: float) -> None:
        """The streams can use more than before."""
        was, self.max_bps = self.max_bps, max_bps
        if self._started and max_bps > was and estimate_bps >= 0.9 * was:
            self._probe(max_bps, now)

    def on_result(self, rate_bps: float, now: float) -> None:
        """A probe has shown this rate: if it held, try a higher one."""
        if self._last_bps and now - self._asked_at < RESULT_TIMEOUT_S:
            if rate_bps >= SUCCESS * self._last_bps and self._last_bps < self.max_bps:
                self._probe(FURTHER_FACTOR * rate_bps, now)
        else:
            self._last_bps = 0.0

    def limited(self, estimate_bps: float, now: float) -> None:
        """The application sends less than it might: probe now and then."""
        if not self._started or estimate_bps >= self.max_bps:
            return
        if self._probed_at is None or now - self._probed_at >= LIMITED_INTERVAL_S:
            self._probe(FURTHER_FACTOR * estimate_bps, now)

    def _probe(self, rate_bps: float, now: float) -> None:
        rate_bps = min(rate_bps, self.max_bps)
        self._last_bps = rate_bps
        self._asked_at = self._probed_at = now
        if len(self.waiting) < MAX_CLUSTERS:
            self.waiting.append(Probe(self._next_number, rate_bps))
            self._next_number += 1
