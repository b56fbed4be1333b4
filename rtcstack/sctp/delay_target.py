"""The default congestion controller: as much in flight as the path carries, and a little queue.

Each round trip it measures the rate at which data arrives, and sets the window to that rate times
the round-trip time of the path itself, plus an allowance that waits in the bottleneck's queue. The
allowance, as a time, falls with the rate, so flows that share a queue, and thus a delay, settle at
the same rate whatever their round-trip times. A loss says nothing by itself beyond the bytes that
did not arrive.

docs/decisions/sctp-congestion-control.md has the model, what else was tried, and figures.
"""

from __future__ import annotations

from rtcstack.sctp.congestion import Acknowledgement

__all__ = ["DelayTarget"]

MIN_WINDOW_PACKETS = 4

ALLOWANCE_FLOOR_S = 0.004
ALLOWANCE_SCALE = 12.6
"""The queue a flow wants for itself is `floor + scale / sqrt(rate)`, rate in bytes per second: 8 ms
at 10 MB/s, 17 ms at 1 MB/s, 44 ms (four packets) at 100 kB/s."""

STEP = 0.5
"""How much of the way to its goal the window goes each round."""

RATE_ROUNDS = 3
"""Rounds over which the rate is the maximum."""

BASE_AGE_S = 5.0
"""The path's own round-trip time is measured anew, by draining the queue, when it was last seen this
long ago. All flows of a bottleneck see the queue empty at once, so they drain together from then on."""

DRAIN_S = 0.1
DRAIN_SHARE = 0.5
"""Length of a drain (and at least two rounds), and the share of the path's content kept in flight."""

FOREIGN_QUEUE_SHARE = 0.25
MIN_EVER_AGE_S = 120.0
"""A queue that outlasts the drains is held by flows of another kind. The allowance grows by this
share of it, lest they take everything: of what the round-trip time of the drained path lies above
the least that was seen for so long."""

STARTUP_SAMPLES = 8
STARTUP_GROWTH = 1.25
STARTUP_ROUNDS = 3
STARTUP_LOSS = 0.2
STARTUP_LOST_PACKETS = 8
"""Startup ends when the least of so many measurements shows a queue, when the rate has not grown by
a quarter in three rounds, or when a fifth of a round (and not just a few packets) is lost."""

STARTUP_PACING = 2.0
CRUISE_PACING = 1.25
"""Pacing, as a multiple of window by round-trip time: enough to keep the window full."""

MIN_PACED_RTT_S = 0.002
"""Paths shorter than this are not paced: timers are no finer."""

MAX_REPAID_LOSS = 0.05
"""Losses up to here are made good by a larger window: what is lost is in flight, too."""

LOSS_AVERSION = 4.0
MIN_ALLOWANCE_SHARE = 0.2
"""The allowance shrinks by this times the share that is lost: a shallow queue overflows."""


class DelayTarget:
    """Delay-targeting, loss-tolerant congestion control. See the module's text."""

    __slots__ = (
        "_base_at",
        "_base_rtt_s",
        "_drain_rtt_s",
        "_drain_until",
        "_full_rate",
        "_full_rounds",
        "_loss",
        "_min_ever_at",
        "_min_ever_s",
        "_mtu",
        "_rates",
        "_round_acked",
        "_round_at",
        "_round_limited",
        "_round_lost",
        "_rtt_count",
        "_rtt_sum_s",
        "_saved",
        "_startup",
        "_startup_count",
        "_startup_rtt_s",
        "_undo",
        "pacing_bytes_per_s",
        "window_bytes",
    )

    def __init__(self, mtu_bytes: int, initial_window_bytes: int) -> None:
        self.window_bytes = initial_window_bytes
        self.pacing_bytes_per_s = 0.0
        self._mtu = mtu_bytes
        # The model of the path.
        self._rates: list[float] = []
        self._base_rtt_s = 0.0
        self._base_at = 0.0
        self._min_ever_s = 0.0
        self._min_ever_at = 0.0
        self._loss = 0.0
        # The round: from an acknowledgement to that of something sent after it.
        self._round_at = -1.0
        self._round_acked = 0
        self._round_lost = 0
        self._round_limited = False
        self._rtt_sum_s = 0.0
        self._rtt_count = 0
        # Startup, drains and timeouts.
        self._startup = True
        self._startup_rtt_s = 0.0
        self._startup_count = 0
        self._full_rate = 0.0
        self._full_rounds = 0
        self._drain_until = 0.0
        self._drain_rtt_s = 0.0
        self._saved = 0
        self._undo = 0

    def on_ack(self, ack: Acknowledgement) -> None:
        """Measure; at the end of a round move the window."""
        self._round_acked += ack.acked_bytes
        self._round_lost += ack.lost_bytes
        if ack.window_limited:
            self._round_limited = True
        rtt_s = ack.rtt_s
        if rtt_s is not None:
            self._rtt_sum_s += rtt_s
            self._rtt_count += 1
            if self._startup:
                self._watch_startup(rtt_s)
        if self._startup and ack.window_limited:
            self.window_bytes += ack.acked_bytes
        if ack.sent_at >= self._round_at:
            self._end_round(ack.now)

    def _end_round(self, now: float) -> None:
        elapsed_s = now - self._round_at
        if self._round_at < 0:
            elapsed_s = 0.0
        elif elapsed_s < 0.001:
            return
        acked, lost, limited = self._round_acked, self._round_lost, self._round_limited
        rtt_s = self._rtt_sum_s / self._rtt_count if self._rtt_count else 0.0
        self._round_at = now
        self._round_acked = self._round_lost = 0
        self._round_limited = False
        self._rtt_sum_s = 0.0
        self._rtt_count = 0
        self._startup_count = 0
        if rtt_s:
            self._update_base(rtt_s, now)
        if not elapsed_s or not self._base_rtt_s:
            return
        if acked + lost:
            self._loss += (lost / (acked + lost) - self._loss) / 8
        rate = acked / elapsed_s
        if limited or (self._rates and rate > max(self._rates)):
            self._rates.append(rate)
            del self._rates[:-RATE_ROUNDS]
        if self._rates:
            heavy_loss = lost > max(STARTUP_LOSS * (acked + lost), STARTUP_LOST_PACKETS * self._mtu)
            self._move_window(now, limited, heavy_loss)
            self._pace(rtt_s)

    def _update_base(self, rtt_s: float, now: float) -> None:
        """The path's own round-trip time: the least mean of a round, since jitter is not queue."""
        base_s = self._base_rtt_s
        if not base_s or rtt_s <= base_s * 1.01 + 0.0002:
            self._base_at = now
            if not base_s or rtt_s < base_s:
                self._base_rtt_s = rtt_s
        expired = now - self._min_ever_at > MIN_EVER_AGE_S
        if not self._min_ever_s or self._base_rtt_s <= self._min_ever_s or expired:
            self._min_ever_s = self._base_rtt_s
            self._min_ever_at = now
        if self._drain_until and (not self._drain_rtt_s or rtt_s < self._drain_rtt_s):
            self._drain_rtt_s = rtt_s

    def _goal(self) -> int:
        """The window that the model asks for."""
        rate = max(max(self._rates, default=0.0), 1.0)
        allowance_s = ALLOWANCE_FLOOR_S + ALLOWANCE_SCALE / rate**0.5
        allowance_s *= max(MIN_ALLOWANCE_SHARE, 1 - LOSS_AVERSION * self._loss)
        allowance_s += FOREIGN_QUEUE_SHARE * (self._base_rtt_s - self._min_ever_s)
        return int(rate / (1 - min(self._loss, MAX_REPAID_LOSS)) * (self._base_rtt_s + allowance_s))

    def _move_window(self, now: float, limited: bool, heavy_loss: bool) -> None:
        floor = MIN_WINDOW_PACKETS * self._mtu
        if self._startup:
            if limited:
                self._judge_startup(heavy_loss)
            return
        if self._drain_until:
            if now >= self._drain_until:
                self._drain_until = 0.0
                self._base_at = now
                self._base_rtt_s = self._drain_rtt_s or self._base_rtt_s
                self.window_bytes = self._saved
                self._rates.clear()
        elif now - self._base_at > BASE_AGE_S:
            self._saved = self.window_bytes
            self._drain_until = now + max(DRAIN_S, 2 * self._base_rtt_s)
            self._drain_rtt_s = 0.0
            self.window_bytes = max(int(DRAIN_SHARE * max(self._rates) * self._base_rtt_s), floor)
        else:
            goal = self._goal()
            if limited or goal < self.window_bytes:
                self.window_bytes = max(self.window_bytes + int(STEP * (goal - self.window_bytes)), floor)

    def _watch_startup(self, rtt_s: float) -> None:
        """Leave startup within a round: by the time it ends, as much again would be in flight."""
        self._startup_count += 1
        if self._startup_count == 1 or rtt_s < self._startup_rtt_s:
            self._startup_rtt_s = rtt_s
        if self._startup_count == STARTUP_SAMPLES and self._rates:
            self._startup_count = 0
            allowance_s = ALLOWANCE_FLOOR_S + ALLOWANCE_SCALE / max(max(self._rates), 1.0) ** 0.5
            if self._startup_rtt_s > self._base_rtt_s + allowance_s:
                self._leave_startup()

    def _judge_startup(self, heavy_loss: bool) -> None:
        rate = max(self._rates)
        if rate > self._full_rate * STARTUP_GROWTH:
            self._full_rate = rate
            self._full_rounds = 0
        else:
            self._full_rounds += 1
        if self._full_rounds >= STARTUP_ROUNDS or heavy_loss:
            self._leave_startup()

    def _leave_startup(self) -> None:
        # Half the window did not fill the queue a round ago, whatever the rate was measured as.
        self._startup = False
        self.window_bytes = max(self._goal(), self.window_bytes // 2)

    def _pace(self, rtt_s: float) -> None:
        if self._base_rtt_s < MIN_PACED_RTT_S:
            self.pacing_bytes_per_s = 0.0
        else:
            gain = STARTUP_PACING if self._startup else CRUISE_PACING
            # a round of nothing but retransmissions has measured nothing
            self.pacing_bytes_per_s = gain * self.window_bytes / (rtt_s or self._base_rtt_s)

    def on_timeout(self) -> None:
        """Start up anew: nothing that is known of the path may still hold."""
        self._undo = self.window_bytes
        self.window_bytes = MIN_WINDOW_PACKETS * self._mtu
        self._startup = True
        self._full_rate = 0.0
        self._full_rounds = 0
        self._drain_until = 0.0
        self._rates.clear()

    def on_spurious_timeout(self) -> None:
        """Go on where the timeout found us."""
        self._startup = False
        self.window_bytes = max(self.window_bytes, self._undo)
