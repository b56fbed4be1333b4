"""The default congestion controller: a delay target that gives way to others, and does not starve.

Each round trip it measures the rate at which data arrives, and sets the window to that rate times the
round-trip time of the path itself, plus an allowance that waits in the bottleneck's queue. The allowance,
as a time, falls with the rate, so flows that share a queue settle at the same rate. Random losses do not
slow it. It differs from `delay_target.DelayTarget` where the path is shared: the allowance is a small share
of a buffer that overflows; where there is no queue to see, `knee` finds the window; beside flows that fill
the buffer, `competition` does.

docs/decisions/sctp-congestion-control.md has the model, what else was tried, and figures.
"""

from __future__ import annotations

from math import sqrt

from rtcstack.sctp.competition import Competition
from rtcstack.sctp.congestion import Acknowledgement
from rtcstack.sctp.knee import KneeSearch

__all__ = ["SharedDelay"]

MIN_WINDOW_PACKETS = 2

ALLOWANCE_FLOOR_S = 0.004
ALLOWANCE_SCALE = 12.6
"""The queue a flow wants for itself is `floor + scale / sqrt(rate)`, rate in bytes per second: 8 ms
at 10 MB/s, 17 ms at 1 MB/s, 44 ms (four packets) at 100 kB/s."""

SHALLOW_LOSS = 0.004
SHALLOW_SHARE = 0.15
PEAK_AGE_S = 2.5
"""With more losses than this the allowance is at most such a share of the longest queue that was seen in the
last one or two of such times: a buffer that overflows is shorter than what we would keep in it."""

NO_QUEUE_S = 0.0015
"""With such losses and never a longer queue there is none: the knee is searched."""

FIRST_GUESS = 0.97
"""The search begins at this share of what arrives."""

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

LEAST_AGE_S = 60.0
"""The queue is what lies above the least round-trip time of so long: a drain beside others ends in theirs."""

TRIAL_SHARE = 0.7
"""What a competition's trial leaves of a delay target's window: others of our kind must see it."""

FOREIGN_QUEUE_SHARE = 0.18
"""A queue that outlasts a drain is held by others: this share of it is added to the allowance."""

STARTUP_SAMPLES = 8
STARTUP_GROWTH = 1.25
STARTUP_ROUNDS = 3
"""Startup ends when the least of so many measurements shows a queue, when the rate has not grown by
a quarter in three rounds, or with heavy losses."""

HEAVY_LOSS = 0.2
HEAVY_LOST_PACKETS = 8
COLLAPSE_ROUNDS = 2
"""A round that loses this share (and not just a few packets) is not waited for: the rate is that of
what has come of it. What is lost until the next round is over was sent before, and says nothing new."""

STARTUP_PACING = 2.0
CRUISE_PACING = 1.25
"""Pacing, as a multiple of window by round-trip time: enough to keep the window full."""

MIN_PACED_RTT_S = 0.002
"""Paths shorter than this are not paced: timers are no finer."""

MAX_REPAID_LOSS = 0.05
"""Losses up to here are made good by a larger window: what is lost is in flight, too."""

USUAL_GAP_S = 0.005
USUAL_GAP_PACKETS = 6
MAX_GAP_S = 0.1
"""What acknowledgements come later than this, in bursts, is in flight beside all else."""


def allowance_s(rate: float) -> float:
    """The queue that a flow with this rate, in bytes per second, wants for itself."""
    return ALLOWANCE_FLOOR_S + ALLOWANCE_SCALE / sqrt(max(rate, 1.0))


class SharedDelay:
    """Delay-targeting congestion control for paths that are shared. See the module's text."""

    __slots__ = (
        "_ack_at",
        "_base_at",
        "_base_rtt_s",
        "_burst_s",
        "_collapsed",
        "_competition",
        "_drain_rtt_s",
        "_drain_until",
        "_full_rate",
        "_full_rounds",
        "_gap_s",
        "_knee",
        "_least_at",
        "_least_rtt_s",
        "_longest_queue_s",
        "_loss",
        "_mtu",
        "_peak_at",
        "_peak_before_s",
        "_peak_s",
        "_rates",
        "_round_acked",
        "_round_at",
        "_round_gap_s",
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
        self._least_rtt_s = 0.0
        self._least_at = 0.0
        self._loss = 0.0
        self._peak_s = self._peak_before_s = self._peak_at = 0.0
        self._longest_queue_s = 0.0
        self._gap_s = 0.0
        self._burst_s = 0.0  # what acknowledgements are late by because they come in bursts
        # The round: from an acknowledgement to that of something sent after it.
        self._round_at = -1.0
        self._round_acked = 0
        self._round_lost = 0
        self._round_limited = False
        self._round_gap_s = 0.0
        self._ack_at = 0.0
        self._rtt_sum_s = 0.0
        self._rtt_count = 0
        self._collapsed = 0
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
        # What there is beside the model.
        self._knee: KneeSearch | None = None
        self._competition = Competition()

    def on_ack(self, ack: Acknowledgement) -> None:
        """Measure; at the end of a round move the window."""
        self._round_acked += ack.acked_bytes
        if ack.window_limited:
            self._round_limited = True
        gap_s = ack.now - self._ack_at
        self._ack_at = ack.now
        if gap_s > self._round_gap_s:
            self._round_gap_s = gap_s
        rtt_s = ack.rtt_s
        if rtt_s is not None:
            self._rtt_sum_s += rtt_s
            self._rtt_count += 1
            if self._startup:
                self._watch_startup(rtt_s)
        if self._startup and ack.window_limited:
            self.window_bytes += ack.acked_bytes
        if ack.lost_bytes:
            self._round_lost += ack.lost_bytes
            if self._competition.is_on or self._round_lost > HEAVY_LOST_PACKETS * self._mtu:
                self._on_loss(ack.now)
        if ack.sent_at >= self._round_at:
            self._end_round(ack.now)

    def _on_loss(self, now: float) -> None:
        """Within a round: a competition's answer to a loss, anyone's to one that is heavy."""
        if self._competition.is_on:
            if self._competition.on_loss(max(self._rates, default=0.0)):
                self._begin_trial()
            return
        if self._collapsed or self._round_lost <= self._heavy_bytes(self.window_bytes):
            return
        elapsed_s = now - self._round_at
        if self._base_rtt_s and elapsed_s > self._base_rtt_s / 4:
            self._collapsed = COLLAPSE_ROUNDS
            if self._startup:
                self._startup = False
                self._set_window(self.window_bytes // 2)
                return
            self._drain_until = 0.0
            rate = self._round_acked / elapsed_s
            self._rates = [rate]
            self._set_window(min(self.window_bytes, int(rate * self._base_rtt_s)))

    def _heavy_bytes(self, of_bytes: int) -> float:
        return max(HEAVY_LOSS * of_bytes, HEAVY_LOST_PACKETS * self._mtu)

    def _set_window(self, window_bytes: int) -> None:
        self.window_bytes = max(window_bytes, MIN_WINDOW_PACKETS * self._mtu)

    def _end_round(self, now: float) -> None:
        elapsed_s = now - self._round_at
        if self._round_at < 0:
            elapsed_s = 0.0
        elif elapsed_s < 0.001:
            return
        acked, lost, limited = self._round_acked, self._round_lost, self._round_limited
        rtt_s = self._rtt_sum_s / self._rtt_count if self._rtt_count else 0.0
        if limited:
            self._gap_s += (min(self._round_gap_s, MAX_GAP_S) - self._gap_s) / 8
        self._round_at = now
        self._round_acked = self._round_lost = 0
        self._round_limited = False
        self._round_gap_s = 0.0
        self._rtt_sum_s = 0.0
        self._rtt_count = 0
        self._startup_count = 0
        if rtt_s:
            self._update_base(rtt_s, now)
        if not elapsed_s or not self._base_rtt_s:
            return
        if acked + lost and not self._collapsed:
            self._loss += (lost / (acked + lost) - self._loss) / 8
        rate = acked / elapsed_s
        if self._collapsed:
            self._collapsed -= 1
            self._rates = [rate]
        elif limited or (self._rates and rate > max(self._rates)):
            self._rates.append(rate)
            del self._rates[:-RATE_ROUNDS]
        if self._rates:
            burst_s = self._gap_s - USUAL_GAP_S - USUAL_GAP_PACKETS * self._mtu / (rate + 1.0)
            self._burst_s = burst_s if burst_s > 0 else 0.0
            if self._startup:
                if limited:
                    self._judge_startup(lost > self._heavy_bytes(acked + lost))
            elif self._competition.is_on:
                self._compete(acked if limited else 0, rate, rtt_s, now)
            elif self._knee is not None:
                self._search(self._knee, rate, acked, lost, limited=limited)
            else:
                self._move_window(rate, rtt_s, now, limited=limited)
            self._pace(rtt_s)

    def _update_base(self, rtt_s: float, now: float) -> None:
        """The path's own round-trip time: the least mean of a round, since jitter is not queue."""
        base_s = self._base_rtt_s
        if not base_s or rtt_s <= base_s * 1.01 + 0.0002:
            self._base_at = now
            if not base_s or rtt_s < base_s:
                self._base_rtt_s = rtt_s
        expired = now - self._least_at > LEAST_AGE_S
        if not self._least_rtt_s or self._base_rtt_s <= self._least_rtt_s or expired:
            self._least_rtt_s = self._base_rtt_s
            self._least_at = now
        if self._drain_until and (not self._drain_rtt_s or rtt_s < self._drain_rtt_s):
            self._drain_rtt_s = rtt_s
        if now - self._peak_at > PEAK_AGE_S:
            self._peak_before_s = self._peak_s
            self._peak_s = 0.0
            self._peak_at = now
        queue_s = rtt_s - self._least_rtt_s
        if queue_s > self._peak_s:
            self._peak_s = queue_s
        self._longest_queue_s = self._peak_s if self._peak_s > self._peak_before_s else self._peak_before_s

    def _goal(self) -> int:
        """The window that the model asks for."""
        rate = max(max(self._rates, default=0.0), 1.0)
        wanted_s = allowance_s(rate)
        if self._loss > SHALLOW_LOSS:
            wanted_s = min(wanted_s, SHALLOW_SHARE * self._longest_queue_s)
        wanted_s += self._burst_s + FOREIGN_QUEUE_SHARE * (self._base_rtt_s - self._least_rtt_s)
        return int(rate / (1 - min(self._loss, MAX_REPAID_LOSS)) * (self._base_rtt_s + wanted_s))

    def _move_window(self, rate: float, rtt_s: float, now: float, *, limited: bool) -> None:
        if self._drain_until:
            if now >= self._drain_until:
                self._drain_until = 0.0
                self._base_at = now
                self._base_rtt_s = self._drain_rtt_s or self._base_rtt_s
                self.window_bytes = self._saved
                self._rates.clear()
            return
        usual_s = allowance_s(self._competition.reference_rate(rate, now)) + self._burst_s
        excess_s = rtt_s - self._least_rtt_s - usual_s if rtt_s else 0.0
        if self._competition.watch(excess_s, self.window_bytes / self._mtu, now):
            return
        if limited and self._loss > SHALLOW_LOSS and self._longest_queue_s < NO_QUEUE_S:
            self._knee = KneeSearch(self._mtu)
            self._set_window(int(FIRST_GUESS * max(self._rates) * self._base_rtt_s))
        elif now - self._base_at > BASE_AGE_S:
            self._saved = self.window_bytes
            self._drain_until = now + max(DRAIN_S, 2 * self._base_rtt_s)
            self._drain_rtt_s = 0.0
            self._set_window(int(DRAIN_SHARE * max(self._rates) * self._base_rtt_s))
        else:
            goal = self._goal()
            if limited or goal < self.window_bytes:
                self._set_window(self.window_bytes + int(STEP * (goal - self.window_bytes)))

    def _search(self, knee: KneeSearch, rate: float, acked: int, lost: int, *, limited: bool) -> None:
        window: int | None = None
        if self._longest_queue_s <= 2 * NO_QUEUE_S:
            if not limited:
                return  # what arrives is what there was to send, or what the peer had room for: no trial
            window = knee.on_round(rate, acked, lost, self.window_bytes, self._base_rtt_s)
        if window is None:
            self._knee = None
        else:
            self._set_window(window)

    def _compete(self, acked: int, rate: float, rtt_s: float, now: float) -> None:
        competition = self._competition
        queue_s = rtt_s - self._least_rtt_s if rtt_s else None
        if competition.is_trying:
            if competition.on_trial_round(queue_s, allowance_s(rate), now):
                self._base_at = now
            elif not competition.is_trying:
                self._set_window(int(competition.window * self._mtu))
            return
        packets = competition.on_round(
            acked / self._mtu, rtt_s or self._base_rtt_s, queue_s or 0.0, max(self._rates), now
        )
        if packets:
            self._set_window(int(packets * self._mtu))
        else:
            self._begin_trial()

    def _begin_trial(self) -> None:
        rate = max(self._rates, default=0.0)
        goal = int(TRIAL_SHARE * rate * (self._least_rtt_s + allowance_s(rate)))
        self._set_window(min(goal, int(self._competition.window * self._mtu)))

    def _watch_startup(self, rtt_s: float) -> None:
        """Leave startup within a round: by the time it ends, as much again would be in flight."""
        self._startup_count += 1
        if self._startup_count == 1 or rtt_s < self._startup_rtt_s:
            self._startup_rtt_s = rtt_s
        if self._startup_count == STARTUP_SAMPLES and self._rates:
            self._startup_count = 0
            if self._startup_rtt_s > self._base_rtt_s + allowance_s(max(self._rates)):
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
        self._knee = None
        self._competition = Competition()

    def on_spurious_timeout(self) -> None:
        """Go on where the timeout found us."""
        self._startup = False
        self.window_bytes = max(self.window_bytes, self._undo)
