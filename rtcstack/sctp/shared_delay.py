"""The default congestion controller: a delay target that gives way to others, and does not starve.

The model, startup, drains and pacing are those of `delay_controller.DelayController`. Random losses do not
slow it. Where the path is shared, the allowance is a small share of a buffer that overflows; where there is
no queue to see, `knee` finds the window; beside flows that fill the buffer, `competition` does.

docs/decisions/sctp-congestion-control.md has the model, what else was tried, and figures.
"""

from __future__ import annotations

from math import inf

from rtcstack.sctp.competition import Competition
from rtcstack.sctp.congestion import Acknowledgement
from rtcstack.sctp.delay_controller import BASE_AGE_S, HEAVY_LOST_PACKETS, DelayController, allowance_s
from rtcstack.sctp.knee import KneeSearch

__all__ = ["SharedDelay"]

MIN_WINDOW_PACKETS = 2

SHALLOW_LOSS = 0.004
SHALLOW_SHARE = 0.15
PEAK_AGE_S = 2.5
"""With more losses than this the allowance is at most such a share of the longest queue that was seen in the
last one or two of such times: a buffer that overflows is shorter than what we would keep in it."""

NO_QUEUE_S = 0.0015
"""With such losses and never a longer queue there is none: the knee is searched."""

FIRST_GUESS = 0.97
"""The search begins at this share of what arrives."""

LEAST_AGE_S = 60.0
"""The queue is what lies above the least round-trip time of so long: a drain beside others ends in theirs."""

TRIAL_SHARE = 0.5
"""What a competition's trial leaves of a delay target's window: others of our kind must see it."""

FOREIGN_QUEUE_SHARE = 0.18
"""A queue that outlasts a drain is held by others: this share of it is added to the allowance."""

OWN_ROUNDS = 4
"""What is lost so soon after startup was sent in it. The queue that falls then is ours, unless it becomes
shorter than it was before we came."""

COLLAPSE_ROUNDS = 2
"""A round with heavy losses is not waited for: the rate is that of what has come of it. What is lost until
the next round is over was sent before, and says nothing new."""

USUAL_GAP_S = 0.005
USUAL_GAP_PACKETS = 6
MAX_GAP_S = 0.1
"""What acknowledgements come later than this, in bursts, is in flight beside all else."""


class SharedDelay(DelayController):
    """Delay-targeting congestion control for paths that are shared. See the module's text."""

    __slots__ = (
        "_ack_at",
        "_before_us_s",
        "_burst_s",
        "_collapsed",
        "_competition",
        "_gap_s",
        "_knee",
        "_longest_queue_s",
        "_own_rounds",
        "_peak_at",
        "_peak_before_s",
        "_peak_s",
        "_round_gap_s",
    )

    def __init__(self, mtu_bytes: int, initial_window_bytes: int) -> None:
        super().__init__(
            mtu_bytes,
            initial_window_bytes,
            least_window_packets=MIN_WINDOW_PACKETS,
            least_age_s=LEAST_AGE_S,
        )
        self._peak_s = self._peak_before_s = self._peak_at = 0.0
        self._longest_queue_s = 0.0
        self._ack_at = inf  # nothing came before the first
        self._round_gap_s = 0.0
        self._gap_s = 0.0
        self._burst_s = 0.0  # what acknowledgements are late by because they come in bursts
        self._collapsed = 0
        self._own_rounds = 0
        self._before_us_s = 0.0  # the round-trip time
        # What there is beside the model.
        self._knee: KneeSearch | None = None
        self._competition = Competition()

    def on_ack(self, ack: Acknowledgement) -> None:
        """Measure; at the end of a round move the window."""
        self._count(ack)
        gap_s = ack.now - self._ack_at
        self._ack_at = ack.now
        if gap_s > self._round_gap_s:
            self._round_gap_s = gap_s
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
            self._competition.forget_losses()
            self._drain_until = 0.0
            rate = self._round_acked / elapsed_s
            self._rates = [rate]
            self._set_window(min(self.window_bytes, int(rate * self._base_rtt_s)))

    def _begin_round(self, now: float) -> None:
        if self._round_limited:
            self._gap_s += (min(self._round_gap_s, MAX_GAP_S) - self._gap_s) / 8
        self._round_gap_s = 0.0
        super()._begin_round(now)

    def _on_round(
        self, acked: int, lost: int, rate: float, rtt_s: float, now: float, *, limited: bool
    ) -> None:
        if self._collapsed:
            self._collapsed -= 1
            self._rates = [rate]
        else:
            self._measure(acked, lost, rate, limited=limited)
        self._look_for_others(lost, rtt_s, now)
        if not self._rates:
            return
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

    def _look_for_others(self, lost: int, rtt_s: float, now: float) -> None:
        """A buffer that was full may have been filled by somebody else."""
        if self._startup:
            self._own_rounds = OWN_ROUNDS
            self._before_us_s = self._base_rtt_s
        elif self._own_rounds:
            self._own_rounds -= 1
        if lost and not self._competition.is_on:
            self._competition.on_losses(rtt_s, self._before_us_s if self._own_rounds else inf, now)

    def _update_base(self, rtt_s: float, now: float) -> None:
        super()._update_base(rtt_s, now)
        if now - self._peak_at > PEAK_AGE_S:
            self._peak_before_s = self._peak_s
            self._peak_s = 0.0
            self._peak_at = now
        queue_s = rtt_s - self._least_rtt_s
        if queue_s > self._peak_s:
            self._peak_s = queue_s
        self._longest_queue_s = self._peak_s if self._peak_s > self._peak_before_s else self._peak_before_s

    def _goal(self) -> int:
        rate = max(max(self._rates, default=0.0), 1.0)
        wanted_s = allowance_s(rate)
        if self._loss > SHALLOW_LOSS:
            wanted_s = min(wanted_s, SHALLOW_SHARE * self._longest_queue_s)
        wanted_s += self._burst_s + FOREIGN_QUEUE_SHARE * (self._base_rtt_s - self._least_rtt_s)
        return self._window_for(rate, wanted_s)

    def _move_window(self, rate: float, rtt_s: float, now: float, *, limited: bool) -> None:
        if self._drain_until:
            self._go_on_draining(now)
            self._competition.forget_losses()
            return
        usual_s = allowance_s(self._competition.reference_rate(rate, now)) + self._burst_s
        excess_s = rtt_s - self._least_rtt_s - usual_s if rtt_s else 0.0
        if self._competition.watch(rtt_s or inf, excess_s, self.window_bytes / self._mtu, now):
            return
        if limited and self._loss > SHALLOW_LOSS and self._longest_queue_s < NO_QUEUE_S:
            self._knee = KneeSearch(self._mtu)
            self._set_window(int(FIRST_GUESS * max(self._rates) * self._base_rtt_s))
        elif now - self._base_at > BASE_AGE_S:
            self._begin_drain(now)
        else:
            self._approach_goal(limited=limited)

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

    def on_timeout(self) -> None:
        """Start up anew: nothing that is known of the path may still hold."""
        super().on_timeout()
        self._knee = None
        self._competition = Competition()
