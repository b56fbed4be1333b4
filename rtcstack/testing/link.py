"""Links: they delay, queue, lose, reorder and double what passes, in virtual time.

All that is random comes from seeds, so a run is the same each time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rtcstack.testing.agenda import Agenda
from rtcstack.testing.seeds import source_of
from rtcstack.testing.settings import Setting, checked

__all__ = ["BurstLoss", "Link"]


@dataclass(frozen=True, slots=True)
class BurstLoss:
    """Losses in bursts, after Gilbert: a good state without, a bad state with losses.

    Attributes:
        enter: probability, per packet, of going from good to bad.
        leave: probability, per packet, of going back.
        loss: probability of loss while bad.

    Raises:
        ValueError: one is no probability.
    """

    enter: float
    leave: float
    loss: float = 1.0

    def __post_init__(self) -> None:
        for name in ("enter", "leave", "loss"):
            checked(name, getattr(self, name), most=1)


class Link:
    """One direction of a wire: a drop-tail queue before a bottleneck, then a delay.

    All settings may be changed while it runs; `set_rate` is for the rate.

    Attributes:
        delay_s, jitter_s: fixed delay, and the bound of a random one on top that keeps the order.
        access_delay_s: bound of a random wait before the queue, that keeps the order: without it, flows
            that share a drop-tail queue fall into step with its overflows, as no real ones do.
        rate_bytes_per_s: rate of the bottleneck, or None for infinite.
        queue_bytes: what the queue before the bottleneck holds, or None for no bound.
        bucket_bytes: if set, the bottleneck is a policer with a bucket of so much: it drops what is above its
            rate, and queues nothing.
        loss, duplicate: probability per packet.
        reorder: probability that a packet takes `reorder_s` longer, and is overtaken.
        burst: losses in bursts, beside `loss`.
        mtu_bytes: packets larger than this, with their overhead, are lost; None for no bound.
        overhead_bytes: what each packet has on the wire beside its data: it counts for rate, queue and MTU.
        filter: decides for each packet whether it may pass; for losing exactly what a test wants.
        is_up: nothing passes while it is not; what is on its way arrives.
        delivered, delivered_bytes, lost, overflowed, too_big, reordered, duplicated: counts.
        queue_delay_max_s: longest wait in the queue.

    Raises:
        ValueError: a setting is none that a wire can have, now or when it is changed: a probability is from
            0 to 1, a delay finite and at least 0, a rate more than 0.
    """

    delay_s = Setting()
    jitter_s = Setting()
    access_delay_s = Setting()
    rate_bytes_per_s = Setting(is_optional=True, must_be_more=True)
    queue_bytes = Setting(is_optional=True)
    bucket_bytes = Setting(is_optional=True)
    loss = Setting(most=1)
    reorder = Setting(most=1)
    reorder_s = Setting()
    duplicate = Setting(most=1)
    mtu_bytes = Setting(is_optional=True)
    overhead_bytes = Setting()
    _delay_s: float
    _jitter_s: float
    _access_delay_s: float
    _rate_bytes_per_s: float | None
    _queue_bytes: int | None
    _bucket_bytes: int | None
    _loss: float
    _reorder: float
    _reorder_s: float
    _duplicate: float
    _mtu_bytes: int | None
    _overhead_bytes: int

    def __init__(
        self,
        agenda: Agenda,
        *,
        delay_s: float = 0.0,
        jitter_s: float = 0.0,
        access_delay_s: float = 0.0,
        rate_bytes_per_s: float | None = None,
        queue_bytes: int | None = None,
        bucket_bytes: int | None = None,
        loss: float = 0.0,
        burst: BurstLoss | None = None,
        reorder: float = 0.0,
        reorder_s: float = 0.01,
        duplicate: float = 0.0,
        mtu_bytes: int | None = None,
        overhead_bytes: int = 0,
        seed: object = 0,
    ) -> None:
        self._agenda = agenda
        self._random = source_of(seed)
        self._free_at = 0.0  # when the bottleneck has sent all that is queued
        self._last_entry = 0.0
        self._last_arrival = 0.0
        self._bad = False
        self._queue_delay_sum_s = 0.0
        self._queue_delay_count = 0
        self.delay_s = delay_s
        self.jitter_s = jitter_s
        self.access_delay_s = access_delay_s
        self.rate_bytes_per_s = rate_bytes_per_s
        self.queue_bytes = queue_bytes
        self.bucket_bytes = bucket_bytes
        self._tokens = math.inf  # bytes of the bucket that are left, at a time; it begins full
        self._tokens_at = 0.0
        self.loss = loss
        self.burst = burst
        self.reorder = reorder
        self.reorder_s = reorder_s
        self.duplicate = duplicate
        self.mtu_bytes = mtu_bytes
        self.overhead_bytes = overhead_bytes
        self.filter: Callable[[Any], bool] | None = None
        self.is_up = True
        self.delivered = 0
        self.delivered_bytes = 0
        self.lost = 0
        self.overflowed = 0
        self.too_big = 0
        self.reordered = 0
        self.duplicated = 0
        self.queue_delay_max_s = 0.0

    def set_rate(self, rate_bytes_per_s: float) -> None:
        """Change the bottleneck's rate; what is queued leaves at the new one.

        Raises:
            ValueError: it is 0 or less: `is_up` is for an outage.
        """
        checked("rate_bytes_per_s", rate_bytes_per_s, must_be_more=True)
        now = self._agenda.now
        if self._rate_bytes_per_s is not None and self._free_at > now:
            self._free_at = now + (self._free_at - now) * self._rate_bytes_per_s / rate_bytes_per_s
        self.rate_bytes_per_s = rate_bytes_per_s

    def reset_counts(self) -> None:
        """Begin to measure the queue anew."""
        self._queue_delay_sum_s = 0.0
        self._queue_delay_count = 0
        self.queue_delay_max_s = 0.0

    @property
    def queue_delay_mean_s(self) -> float:
        """Mean wait in the queue of the packets that were delivered."""
        return self._queue_delay_sum_s / self._queue_delay_count if self._queue_delay_count else 0.0

    @property
    def queue_delay_s(self) -> float:
        """How long a packet that came now would wait in the queue."""
        return max(0.0, self._free_at - self._agenda.now)

    def _is_lost(self, packet: Any) -> bool:
        if not self.is_up or (self.filter is not None and not self.filter(packet)):
            return True
        if self.burst is not None:
            if self._random.random() < (self.burst.leave if self._bad else self.burst.enter):
                self._bad = not self._bad
            if self._bad and self._random.random() < self.burst.loss:
                return True
        return self._loss > 0.0 and self._random.random() < self._loss

    def _fits_into_bucket(self, size: int, now: float) -> bool:
        assert self._bucket_bytes is not None
        assert self._rate_bytes_per_s is not None
        tokens = min(self._tokens + (now - self._tokens_at) * self._rate_bytes_per_s, self._bucket_bytes)
        fits = tokens >= size
        self._tokens, self._tokens_at = tokens - size * fits, now
        return fits

    def send(self, datagram: bytes, arrive: Callable[[bytes], None]) -> None:
        """Send a datagram; `arrive` gets it at the other end, if it comes through."""
        self.carry(datagram, len(datagram), arrive)

    def carry(self, packet: Any, size_bytes: int, arrive: Callable[[Any], None]) -> None:
        """Send a packet of any kind; `arrive` gets it at the other end, if it comes through.

        Args:
            packet: what `filter` and `arrive` get.
            size_bytes: of its data.
            arrive: see above.
        """
        size = size_bytes + self._overhead_bytes
        if self._is_lost(packet):
            self.lost += 1
            return
        if self._mtu_bytes is not None and size > self._mtu_bytes:
            self.too_big += 1
            return
        now = leaves = self._agenda.now
        if self._access_delay_s:
            leaves = max(now + self._random.random() * self._access_delay_s, self._last_entry)
            self._last_entry = leaves
        if self._bucket_bytes is not None and self._rate_bytes_per_s is not None:
            if not self._fits_into_bucket(size, leaves):
                self.overflowed += 1
                return
        elif self._rate_bytes_per_s is not None:
            wait = max(0.0, self._free_at - leaves)
            if self._queue_bytes is not None and wait * self._rate_bytes_per_s + size > self._queue_bytes:
                self.overflowed += 1
                return
            leaves = self._free_at = leaves + wait + size / self._rate_bytes_per_s
            self._queue_delay_sum_s += wait
            self._queue_delay_count += 1
            self.queue_delay_max_s = max(self.queue_delay_max_s, wait)
        arrival = leaves + self._delay_s
        if self._jitter_s:
            arrival += self._random.random() * self._jitter_s
        if self._reorder and self._random.random() < self._reorder:
            self.reordered += 1
            arrival += self._reorder_s
        else:
            arrival = self._last_arrival = max(arrival, self._last_arrival)
        self._deliver(arrival, packet, size_bytes, arrive)
        if self._duplicate and self._random.random() < self._duplicate:
            self.duplicated += 1
            self._deliver(arrival + self._random.random() * 0.001, packet, size_bytes, arrive)

    def _deliver(self, arrival: float, packet: Any, size_bytes: int, arrive: Callable[[Any], None]) -> None:
        self.delivered += 1
        self.delivered_bytes += size_bytes
        self._agenda.at(arrival, arrive, packet)
