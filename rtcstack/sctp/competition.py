"""Beside flows that fill the buffer: a share is had only by filling it, too.

Those of our kind lose nothing in a deep buffer. So a loss, and a queue that falls by much within a second of
it, are of a flow that has filled the buffer and given way; a queue that stands for long is, too. Then the
window grows and shrinks as CUBIC's. At each sign that somebody has given way, and every few seconds, it is
cut for two rounds to half of what a delay target would keep: if the queue is gone then, the others are, or
were of our kind, who have seen the same sign and have done the same.

docs/decisions/sctp-congestion-control.md has figures.
"""

from __future__ import annotations

from math import inf

from rtcstack.sctp.cubic import CubicGrowth

__all__ = ["Competition"]

FALL_S = 0.055
FALL_WITHIN_S = 1.0
FALL_WITHIN_ROUNDS = 2
"""A queue that falls by so much, so soon after a loss of ours, was a full buffer's: flows that go by CUBIC
leave 0.7 of their windows. In buffers that are less deep nobody is starved without competing."""

FOREIGN_QUEUE_S = 0.015
FOREIGN_AFTER_S = 20.0
FOREIGN_AGAIN_S = 1.0
"""A queue that exceeds the allowance by this, for so long, is held by others: beside them one may have so
little that one loses nothing. Eight flows of our kind take up to 15 s until they agree."""

MEMORY_S = 10.0
KEPT_SHARE = 0.7
"""For so long after a competition the allowance is that of the rate at its end: who is being starved
would otherwise take the queue for that of many flows of its kind. A competition that was ended by mistake
goes on with this share of its window: as after a loss."""

TRIAL_ROUNDS = 2
TRIAL_EVERY_S = 5.0
TRIAL_EVERY_ROUNDS = 20
TRIAL_FALL = 0.8
"""A trial comes with a loss, when the queue has fallen to this share of its top, and so often."""

OWN_QUEUE_S = 0.005
OWN_QUEUE_SHARE = 0.3
"""What a trial may leave of a queue, beside such a share of the allowance, when all are of our kind."""


class Competition:
    """Whether there is one, and its window.

    Attributes:
        is_on: whether the window is the competition's.
    """

    __slots__ = (
        "_fallen_s",
        "_foreign_since",
        "_full_at",
        "_growth",
        "_left_at",
        "_left_rate",
        "_rate",
        "_top_s",
        "_trial",
        "_trial_at",
        "_trial_queue_s",
        "is_on",
    )

    def __init__(self) -> None:
        self.is_on = False
        self._growth = CubicGrowth()
        self._fallen_s = 0.0  # with a shorter round-trip time the queue has fallen: 0 while nothing was lost
        self._full_at = 0.0
        self._foreign_since = inf
        self._left_at = -1e9
        self._left_rate = 0.0
        self._rate = 0.0  # before the trial
        self._top_s = 0.0  # longest queue since the last trial
        self._trial = 0  # rounds that are left of it
        self._trial_at = 0.0
        self._trial_queue_s = 0.0

    def reference_rate(self, rate: float, now: float) -> float:
        """The rate whose allowance a queue is judged by."""
        return max(rate, self._left_rate) if now - self._left_at < MEMORY_S else rate

    def on_losses(self, rtt_s: float, before_us_s: float, now: float) -> None:
        """A round with losses and without competition is over: the buffer may have been full.

        Args:
            rtt_s: its mean round-trip time.
            before_us_s: what it must fall below, if we may have filled the buffer ourselves.
            now: monotonic time.
        """
        fallen_s = min(rtt_s - FALL_S, before_us_s)
        if fallen_s > self._fallen_s:
            self._fallen_s = fallen_s
            self._full_at = now

    def forget_losses(self) -> None:
        """A queue that falls from now on says nothing: it may be because of us."""
        self._fallen_s = 0.0

    def watch(self, rtt_s: float, excess_s: float, packets: float, now: float) -> bool:
        """A round without competition. Returns whether one has begun.

        Args:
            rtt_s: its mean round-trip time.
            excess_s: what the queue has above the allowance.
            packets: the window.
            now: monotonic time.
        """
        if now - self._full_at > FALL_WITHIN_S + FALL_WITHIN_ROUNDS * rtt_s:
            self.forget_losses()
        if excess_s < FOREIGN_QUEUE_S or now < self._foreign_since:
            self._foreign_since = now
        is_again = now - self._left_at < MEMORY_S
        if rtt_s < self._fallen_s or now - self._foreign_since > (
            FOREIGN_AGAIN_S if is_again else FOREIGN_AFTER_S
        ):
            self.is_on = True
            self._growth.start(max(packets, KEPT_SHARE * self._growth.window) if is_again else packets)
            self._trial = 0
            self._trial_at = now
            self._top_s = 0.0
            self.forget_losses()
        return self.is_on

    def on_loss(self, rate: float) -> bool:
        """Something of ours was lost. Returns whether this begins a trial."""
        if self._trial:
            return False
        self._growth.shrink()
        self._begin_trial(rate)
        return True

    def on_round(self, packets: float, rtt_s: float, queue_s: float, rate: float, now: float) -> float:
        """A round without a trial is over.

        Args:
            packets: acknowledged while the window held data back.
            rtt_s, queue_s: mean round-trip time, and what of it is queue.
            rate: the best of some rounds.
            now: monotonic time.

        Returns:
            The window in packets; 0.0 if a trial begins.
        """
        if packets:
            self._growth.grow(packets, now, rtt_s)
        if queue_s > self._top_s:
            self._top_s = queue_s
        pause_s = max(TRIAL_EVERY_S, TRIAL_EVERY_ROUNDS * rtt_s)
        if queue_s < TRIAL_FALL * self._top_s or now - self._trial_at > pause_s:
            self._begin_trial(rate)
            return 0.0
        return self._growth.window

    def _begin_trial(self, rate: float) -> None:
        self._rate = rate
        self._trial = TRIAL_ROUNDS
        self._trial_queue_s = 1e9

    @property
    def is_trying(self) -> bool:
        """Whether a trial is under way."""
        return self._trial > 0

    @property
    def window(self) -> float:
        """The competition's window, in packets."""
        return self._growth.window

    def on_trial_round(self, queue_s: float | None, allowance_s: float, now: float) -> bool:
        """A round of a trial is over. Returns whether the competition is, too."""
        if queue_s is not None and queue_s < self._trial_queue_s:
            self._trial_queue_s = queue_s
        if self._trial_queue_s < OWN_QUEUE_SHARE * allowance_s + OWN_QUEUE_S:
            self._trial = 0
            self.is_on = False
            self._left_at = self._foreign_since = now
            self._left_rate = self._rate
            return True
        self._trial -= 1
        if not self._trial:
            self._trial_at = now
            self._top_s = 0.0
        return False
