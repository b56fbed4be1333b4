"""Which packets of a stream are missing, and when to ask for them.

Spec: RFC 4585, section 6.2.1; RFC 4588, section 6.3 (how often to ask).
"""

from __future__ import annotations

from bisect import bisect_right

__all__ = [
    "MAX_AGE_PACKETS",
    "MAX_MISSING",
    "MAX_MISSING_IN_ALL",
    "MAX_RETRIES",
    "MissingCount",
    "NackGenerator",
]

MAX_MISSING = 1000
"""Packets that are remembered as missing; when there are more, only a key frame helps."""

MAX_MISSING_IN_ALL = 16_384
"""Likewise, of all streams of a transport together."""

MAX_AGE_PACKETS = 10_000
"""How far behind the newest packet a missing one is given up."""

MAX_RETRIES = 10
"""How often a packet is asked for."""

MIN_INTERVAL_S = 0.005
"""Between two requests for the same packet, however short the round trip."""


class MissingCount:
    """How many packets are missing, of all streams that share this.

    Attributes:
        packets: so many.
    """

    __slots__ = ("packets",)

    def __init__(self) -> None:
        self.packets = 0


class _Run:
    """Missing packets in a row, of one history.

    Attributes:
        first, end: from this number to before that one.
        ask_at: when to ask for them next.
        asked: how often they were asked for.
    """

    __slots__ = ("ask_at", "asked", "end", "first")

    def __init__(self, first: int, end: int, ask_at: float, asked: int = 0) -> None:
        self.first = first
        self.end = end
        self.ask_at = ask_at
        self.asked = asked


class NackGenerator:
    """The missing packets of one stream, by unwrapped sequence number.

    It also tells late packets from duplicates, and so is kept for streams that do not ask. A gap costs
    the same however long it is.

    Args:
        asks: whether retransmissions are asked for.
        wait_s: how long a packet that was only overtaken is waited for before the first request.
            Packets that arrive in one pass are sorted out before anything is asked for.
        rtt_s: round-trip time.
        in_all: the count that the streams of a transport share; None for one of its own.

    Attributes:
        rtt_s: round-trip time, by which requests are repeated.
        requested: requests made, by packet.
        given_up: packets that were given up.
    """

    __slots__ = (
        "_count",
        "_firsts",
        "_in_all",
        "_next_at",
        "_runs",
        "asks",
        "given_up",
        "requested",
        "rtt_s",
        "wait_s",
    )

    def __init__(
        self,
        *,
        asks: bool = True,
        wait_s: float = 0.0,
        rtt_s: float = 0.1,
        in_all: MissingCount | None = None,
    ) -> None:
        self._runs: list[_Run] = []  # in the order of their numbers
        self._firsts: list[int] = []  # their first numbers, to be searched
        self._count = 0
        self._in_all = in_all or MissingCount()
        self._next_at: float | None = None
        self.asks = asks
        self.wait_s = wait_s
        self.rtt_s = rtt_s
        self.requested = 0
        self.given_up = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, index: object) -> bool:
        return isinstance(index, int) and self._find(index) >= 0

    def _find(self, index: int) -> int:
        """Which run a packet is in; -1 for none."""
        at = bisect_right(self._firsts, index) - 1
        return at if at >= 0 and index < self._runs[at].end else -1

    def _counted(self, change: int) -> None:
        self._count += change
        self._in_all.packets += change
        if not self._count:
            self._next_at = None

    def lost(self, first: int, end: int, now: float) -> bool:
        """The packets from `first` to before `end` did not come, and `end` did.

        Returns:
            False if they are too many to be asked for; then all are forgotten.
        """
        new = end - first
        if new + self._count > MAX_MISSING:
            self._expire(end - MAX_AGE_PACKETS)
        if new + self._count > MAX_MISSING or new + self._in_all.packets > MAX_MISSING_IN_ALL:
            self.given_up += new + self._count
            self.clear()
            return False
        if new <= 0:
            return True
        ask_at = now + self.wait_s
        self._runs.append(_Run(first, end, ask_at))
        self._firsts.append(first)
        self._counted(new)
        if self.asks and (self._next_at is None or ask_at < self._next_at):
            self._next_at = ask_at
        return True

    def found(self, index: int) -> bool:
        """A packet came out of order.

        Returns:
            Whether it was missing; if not, it is a duplicate or had been given up.
        """
        at = self._find(index)
        if at < 0:
            return False
        run = self._runs[at]
        if run.end - run.first == 1:
            del self._runs[at], self._firsts[at]
        elif index == run.first:
            run.first = self._firsts[at] = index + 1
        elif index == run.end - 1:
            run.end = index
        else:
            self._runs.insert(at + 1, _Run(index + 1, run.end, run.ask_at, run.asked))
            self._firsts.insert(at + 1, index + 1)
            run.end = index
        self._counted(-1)
        return True

    def forget_before(self, index: int) -> None:
        """Packets before this one are of no use any more."""
        self._expire(index)

    def clear(self) -> None:
        """Forget all."""
        self._runs.clear()
        self._firsts.clear()
        self._counted(-self._count)

    def _expire(self, before: int) -> None:
        gone = expired = 0
        for run in self._runs:
            if run.first >= before:
                break
            end = min(run.end, before)
            expired += end - run.first
            if end < run.end:
                run.first = self._firsts[gone] = end
                break
            gone += 1
        del self._runs[:gone], self._firsts[:gone]
        self.given_up += expired
        self._counted(-expired)

    def next_at(self) -> float | None:
        """When there is something to ask for, or None."""
        return self._next_at

    def due(self, now: float) -> list[int]:
        """The packets to ask for now, oldest first. A packet that was asked for often enough goes."""
        if self._next_at is None or now < self._next_at:
            return []
        again = now + max(self.rtt_s, MIN_INTERVAL_S)
        wanted: list[int] = []
        hopeless = 0
        next_at: float | None = None
        for run in self._runs:
            if run.ask_at <= now:
                if run.asked >= MAX_RETRIES:
                    hopeless += run.end - run.first
                    continue
                run.asked += 1
                run.ask_at = again
                wanted += range(run.first, run.end)
            if next_at is None or run.ask_at < next_at:
                next_at = run.ask_at
        if hopeless:
            # What was asked for so often is due no more: everything else is due later than now.
            self._runs = [run for run in self._runs if run.ask_at > now]
            self._firsts = [run.first for run in self._runs]
            self.given_up += hopeless
            self._counted(-hopeless)
        self.requested += len(wanted)
        self._next_at = next_at
        return wanted
