"""A delay target for paths that are nobody else's: it takes them whole, whatever they lose at random.

The model, startup, drains and pacing are those of `delay_controller.DelayController`. A loss says nothing by
itself beyond the bytes that did not arrive.
"""

from __future__ import annotations

from rtcstack.sctp.congestion import Acknowledgement
from rtcstack.sctp.delay_controller import BASE_AGE_S, DelayController, allowance_s

__all__ = ["DelayTarget"]

MIN_WINDOW_PACKETS = 4

FOREIGN_QUEUE_SHARE = 0.25
LEAST_AGE_S = 120.0
"""A queue that outlasts the drains is held by flows of another kind. The allowance grows by this
share of it, lest they take everything: of what the round-trip time of the drained path lies above
the least that was seen for so long."""

LOSS_AVERSION = 4.0
MIN_ALLOWANCE_SHARE = 0.2
"""The allowance shrinks by this times the share that is lost: a shallow queue overflows."""


class DelayTarget(DelayController):
    """Delay-targeting, loss-tolerant congestion control. See the module's text."""

    __slots__ = ()

    def __init__(self, mtu_bytes: int, initial_window_bytes: int) -> None:
        super().__init__(
            mtu_bytes,
            initial_window_bytes,
            least_window_packets=MIN_WINDOW_PACKETS,
            least_age_s=LEAST_AGE_S,
        )

    def on_ack(self, ack: Acknowledgement) -> None:
        """Measure; at the end of a round move the window."""
        self._count(ack)
        self._round_lost += ack.lost_bytes
        if ack.sent_at >= self._round_at:
            self._end_round(ack.now)

    def _on_round(
        self, acked: int, lost: int, rate: float, rtt_s: float, now: float, *, limited: bool
    ) -> None:
        self._measure(acked, lost, rate, limited=limited)
        if not self._rates:
            return
        if self._startup:
            if limited:
                self._judge_startup(lost > self._heavy_bytes(acked + lost))
        elif self._drain_until:
            self._go_on_draining(now)
        elif now - self._base_at > BASE_AGE_S:
            self._begin_drain(now)
        else:
            self._approach_goal(limited=limited)
        self._pace(rtt_s)

    def _goal(self) -> int:
        rate = max(max(self._rates, default=0.0), 1.0)
        wanted_s = allowance_s(rate) * max(MIN_ALLOWANCE_SHARE, 1 - LOSS_AVERSION * self._loss)
        wanted_s += FOREIGN_QUEUE_SHARE * (self._base_rtt_s - self._least_rtt_s)
        return self._window_for(rate, wanted_s)
