"""Whether a queue grows on the way: from the delays between groups of packets.

Spec: draft-ietf-rmcat-gcc-02, sections 5.1 to 5.4, with the trendline in place of the Kalman
filter.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

__all__ = ["DelayDetector", "Usage"]

BURST_S = 0.005
"""Packets sent within this time are one group."""

WINDOW_GROUPS = 20

EXACT_EVERY = 500
"""Groups between two exact summations."""
SMOOTHING = 0.9
GAIN = 4.0
MAX_DELTAS = 60
START_THRESHOLD_MS = 12.5
MIN_THRESHOLD_MS, MAX_THRESHOLD_MS = 6.0, 600.0
MAX_ADAPT_OFFSET_MS = 15.0
UP_RATE, DOWN_RATE = 0.0087, 0.039
OVERUSE_MS = 10.0
"""A trend has to stay above the threshold for so long to count."""

MAX_JUMP_S = 0.25
JUMP_INTERVAL_S = 2.0
"""A delay that grows by so much from one group to the next was an interruption, or the way has changed:
no queue grows like this. If it comes again soon, it counts like any other."""

MAX_GAP_S = 3.0
"""After a pause in arrivals the history says nothing."""


class Usage(Enum):
    """What the trend says of the bottleneck."""

    NORMAL = "normal"
    OVER = "over"
    UNDER = "under"


class DelayDetector:
    """Groups packets, follows the trend of their one-way delay, and judges it.

    Attributes:
        usage: the verdict after the last group.
        trend: slope of the delay, times gain and number of groups, in ms.
        threshold_ms: what it is compared with; it adapts, so that flows that fill the queue do
            not starve this one.
    """

    __slots__ = (
        "_accumulated",
        "_before",
        "_deltas",
        "_first_arrival",
        "_group",
        "_jumped_at",
        "_last_update",
        "_origin",
        "_over_count",
        "_over_ms",
        "_points",
        "_smoothed",
        "_sum_x",
        "_sum_xx",
        "_sum_xy",
        "_sum_y",
        "_trend_before",
        "_until_exact",
        "threshold_ms",
        "trend",
        "usage",
    )

    def __init__(self) -> None:
        self.threshold_ms = START_THRESHOLD_MS
        self._last_update: float | None = None
        self.reset()

    def reset(self) -> None:
        """Forget all arrivals."""
        # A group: first sent, last sent, first arrived, last arrived.
        self._group: list[float] | None = None
        self._before: list[float] | None = None
        self._points: deque[tuple[float, float]] = deque(maxlen=WINDOW_GROUPS)
        self._origin = self._sum_x = self._sum_y = self._sum_xx = self._sum_xy = 0.0
        self._until_exact = EXACT_EVERY
        self._accumulated = 0.0
        self._smoothed = 0.0
        self._deltas = 0
        self._jumped_at: float | None = None
        self._first_arrival = 0.0
        self._over_ms = -1.0
        self._over_count = 0
        self._trend_before = 0.0
        self.trend = 0.0
        self.usage = Usage.NORMAL

    def arrived(self, sent_at: float, arrived_at: float) -> None:
        """Take a packet, in the order of sending."""
        group = self._group
        if group is None:
            self._group = [sent_at, sent_at, arrived_at, arrived_at]
            self._first_arrival = arrived_at
            return
        if sent_at < group[0]:
            return
        if abs(arrived_at - group[3]) > MAX_GAP_S:
            self.reset()
            self.arrived(sent_at, arrived_at)
            return
        if self._belongs(group, sent_at, arrived_at):
            group[1] = max(group[1], sent_at)
            group[3] = max(group[3], arrived_at)
            return
        before = self._before
        if before is not None:
            self._update(group[1] - before[1], group[3] - before[3], group[3])
        self._before = group
        self._group = [sent_at, sent_at, arrived_at, arrived_at]

    @staticmethod
    def _belongs(group: list[float], sent_at: float, arrived_at: float) -> bool:
        if sent_at - group[0] <= BURST_S:
            return True
        # What was held up on the way and then came all at once.
        gap = arrived_at - group[3]
        return gap <= BURST_S and gap < sent_at - group[1] and arrived_at - group[2] < 0.1

    def _update(self, sent_delta: float, arrival_delta: float, arrival: float) -> None:
        if arrival_delta - sent_delta > MAX_JUMP_S:
            before, self._jumped_at = self._jumped_at, arrival
            if before is None or arrival - before > JUMP_INTERVAL_S:
                return
        self._deltas = min(self._deltas + 1, 1000)
        self._accumulated += (arrival_delta - sent_delta) * 1000
        self._smoothed = SMOOTHING * self._smoothed + (1 - SMOOTHING) * self._accumulated
        self._add((arrival - self._first_arrival) * 1000, self._smoothed)
        slope = self._slope() if len(self._points) == WINDOW_GROUPS else 0.0
        self._judge(slope, sent_delta * 1000, arrival)

    def _add(self, x: float, y: float) -> None:
        """Take a point into the window and into its sums, so that a line costs the same for any window."""
        points = self._points
        if not self._until_exact:
            self._sum_exactly()
        self._until_exact -= 1
        x -= self._origin
        if len(points) == WINDOW_GROUPS:
            old_x, old_y = points[0]
            self._sum_x -= old_x
            self._sum_y -= old_y
            self._sum_xx -= old_x * old_x
            self._sum_xy -= old_x * old_y
        points.append((x, y))
        self._sum_x += x
        self._sum_y += y
        self._sum_xx += x * x
        self._sum_xy += x * y

    def _sum_exactly(self) -> None:
        """Count from the oldest point, and add up anew: the sums keep their precision for any time."""
        points = self._points
        if points:
            first = points[0][0]
            self._origin += first
            moved = [(x - first, y) for x, y in points]
            points.clear()
            points.extend(moved)
        self._sum_x = sum(x for x, _ in points)
        self._sum_y = sum(y for _, y in points)
        self._sum_xx = sum(x * x for x, _ in points)
        self._sum_xy = sum(x * y for x, y in points)
        self._until_exact = EXACT_EVERY

    def _slope(self) -> float:
        """Least squares through the smoothed delays, in ms per ms."""
        count = len(self._points)
        denominator = self._sum_xx - self._sum_x * self._sum_x / count
        if denominator <= 0.0:
            return 0.0
        return (self._sum_xy - self._sum_x * self._sum_y / count) / denominator

    def _judge(self, slope: float, sent_delta_ms: float, arrival: float) -> None:
        trend = self.trend = min(self._deltas, MAX_DELTAS) * slope * GAIN
        if trend > self.threshold_ms:
            self._over_ms = sent_delta_ms / 2 if self._over_ms < 0 else self._over_ms + sent_delta_ms
            self._over_count += 1
            if self._over_ms > OVERUSE_MS and self._over_count > 1 and slope >= self._trend_before:
                self._over_ms = 0.0
                self._over_count = 0
                self.usage = Usage.OVER
        else:
            self._over_ms = -1.0
            self._over_count = 0
            self.usage = Usage.UNDER if trend < -self.threshold_ms else Usage.NORMAL
        self._trend_before = slope
        self._adapt(trend, arrival)

    def _adapt(self, trend: float, arrival: float) -> None:
        before = self._last_update if self._last_update is not None else arrival
        self._last_update = arrival
        size = abs(trend)
        if size > self.threshold_ms + MAX_ADAPT_OFFSET_MS:
            return  # a spike, from a change of route for example
        rate = DOWN_RATE if size < self.threshold_ms else UP_RATE
        elapsed_ms = min(max(arrival - before, 0.0) * 1000, 100.0)
        threshold = self.threshold_ms + rate * (size - self.threshold_ms) * elapsed_ms
        self.threshold_ms = min(max(threshold, MIN_THRESHOLD_MS), MAX_THRESHOLD_MS)
