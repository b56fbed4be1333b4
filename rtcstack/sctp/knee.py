"""A bottleneck that drops and shows no queue (a policer): which window brings the most, found by trying.

Without a queue the round-trip time says nothing, and the rate that arrives stays the same however much
more is sent. So the window stands still, and is now and then raised or lowered for some rounds: what does
not change deliveries is not sent.

docs/decisions/sctp-congestion-control.md has figures.
"""

from __future__ import annotations

__all__ = ["KneeSearch"]

UP = 1.25
DOWN = 0.85
"""What the window is multiplied with to see what comes of it."""

GAIN = 1.1
KEPT = 0.94
"""A raise is kept if deliveries rise by a tenth; a cut if they fall by less than this."""

MARGIN = 0.97
"""After a failed raise the window is this share of what arrives: a token bucket must not stay empty."""

FEW_ROUNDS = 8
MOST_ROUNDS = 256
"""Rounds between two raises; they double with each that fails."""

SUCCESSES = 4
"""So many raises in a row that have paid mean that the limit is gone."""

LOSSY = 0.01
VERY_LOSSY = 0.04
PROMPT_ROUNDS = 4
"""Losses that call for a cut before the next raise; and for one after so few rounds."""


class KneeSearch:
    """The search. It lasts until raises have paid for some time, or a queue is seen."""

    __slots__ = (
        "_acked",
        "_between",
        "_lost",
        "_may_cut",
        "_mtu",
        "_rate",
        "_rounds",
        "_saved",
        "_successes",
        "_third",
        "_way",
    )

    def __init__(self, mtu_bytes: int) -> None:
        self._mtu = mtu_bytes
        self._way = 0  # of the trial that is under way: 1 raised, -1 cut
        self._rounds = 0  # since it began, or since the last one has ended
        self._between = FEW_ROUNDS
        self._rate = 0.0  # deliveries between trials
        self._acked = 0
        self._lost = 0
        self._saved = 0
        self._third = 0.0
        self._may_cut = True
        self._successes = 0

    def on_round(self, rate: float, acked: int, lost: int, window: int, base_rtt_s: float) -> int | None:
        """A round is over.

        Args:
            rate: bytes per second that arrived in it.
            acked, lost: its bytes.
            window: the present one, in bytes.
            base_rtt_s: the path's own round-trip time.

        Returns:
            The window from now on; None if the search is over.
        """
        self._rounds += 1
        if self._way == 0:
            return self._rest(rate, acked, lost, window, base_rtt_s)
        if self._rounds < 3:  # what arrives was sent before
            return window
        if self._way > 0:
            if rate > self._rate * GAIN:
                self._rate = rate
                self._successes += 1
                return None if self._successes >= SUCCESSES else self._raise(window)
            self._successes = 0
            self._between = min(2 * self._between, MOST_ROUNDS)
            self._may_cut = True
            window = min(self._saved, int(MARGIN * rate * base_rtt_s))
        elif self._rounds == 3:
            self._third = rate
            return window
        elif (rate + self._third) / 2 >= KEPT * self._rate:
            self._may_cut = True
        else:  # the losses are not ours
            self._may_cut = False
            return self._raise(self._saved)
        self._way = self._rounds = 0
        self._acked = self._lost = 0
        return window

    def _rest(self, rate: float, acked: int, lost: int, window: int, base_rtt_s: float) -> int:
        rounds = self._rounds
        self._rate += (rate - self._rate) / min(rounds, FEW_ROUNDS)
        self._acked += acked
        self._lost += lost
        over = rounds >= self._between
        if not over and not (self._may_cut and rounds >= PROMPT_ROUNDS):
            return window
        if self._lost > (LOSSY if over else VERY_LOSSY) * (self._acked + self._lost):
            self._begin(-1, window)
            return min(int(window * DOWN), int(MARGIN * self._rate * base_rtt_s))
        return self._raise(window) if over else window

    def _raise(self, window: int) -> int:
        self._begin(1, window)
        return max(int(window * UP), window + 2 * self._mtu)

    def _begin(self, way: int, window: int) -> None:
        self._way = way
        self._rounds = 0
        self._saved = window
