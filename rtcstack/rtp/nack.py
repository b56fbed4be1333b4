"""Which packets of a stream are missing, and when to ask for them.

Spec: RFC 4585, section 6.2.1; RFC 4588, section 6.3 (how often to ask).
"""

from __future__ import annotations

__all__ = ["MAX_AGE_PACKETS", "MAX_MISSING", "MAX_RETRIES", "NackGenerator"]

MAX_MISSING = 1000
"""Packets that are remembered as missing; when there are more, only a key frame helps."""

MAX_AGE_PACKETS = 10_000
"""How far behind the newest packet a missing one is given up."""

MAX_RETRIES = 10
"""How often a packet is asked for."""

MIN_INTERVAL_S = 0.005
"""Between two requests for the same packet, however short the round trip."""


class _Missing:
    """One missing packet."""

    __slots__ = ("ask_at", "asked")

    def __init__(self, ask_at: float) -> None:
        self.ask_at = ask_at
        self.asked = 0


class NackGenerator:
    """The missing packets of one stream, by unwrapped sequence number.

    It also tells late packets from duplicates, and so is kept for streams that do not ask.

    Args:
        asks: whether retransmissions are asked for.
        wait_s: how long a packet that was only overtaken is waited for before the first request.
            Packets that arrive in one pass are sorted out before anything is asked for.

    Attributes:
        rtt_s: round-trip time, by which requests are repeated.
        requested: requests made, by packet.
        given_up: packets that were given up.
    """

    __slots__ = ("_missing", "_next_at", "asks", "given_up", "requested", "rtt_s", "wait_s")

    def __init__(self, *, asks: bool = True, wait_s: float = 0.0, rtt_s: float = 0.1) -> None:
        self._missing: dict[int, _Missing] = {}
        self._next_at: float | None = None
        self.asks = asks
        self.wait_s = wait_s
        self.rtt_s = rtt_s
        self.requested = 0
        self.given_up = 0

    def __len__(self) -> int:
        return len(self._missing)

    def __contains__(self, index: object) -> bool:
        return index in self._missing

    def lost(self, first: int, end: int, now: float) -> bool:
        """The packets from `first` to before `end` did not come, and `end` did.

        Returns:
            False if they are too many to be asked for; then all are forgotten.
        """
        missing = self._missing
        if end - first + len(missing) > MAX_MISSING:
            self._expire(end - MAX_AGE_PACKETS)
            if end - first + len(missing) > MAX_MISSING:
                self.given_up += end - first + len(missing)
                self.clear()
                return False
        ask_at = now + self.wait_s
        for index in range(first, end):
            missing[index] = _Missing(ask_at)
        if self.asks and (self._next_at is None or ask_at < self._next_at):
            self._next_at = ask_at
        return True

    def found(self, index: int) -> bool:
        """A packet came out of order.

        Returns:
            Whether it was missing; if not, it is a duplicate or had been given up.
        """
        if self._missing.pop(index, None) is None:
            return False
        if not self._missing:
            self._next_at = None
        return True

    def forget_before(self, index: int) -> None:
        """Packets before this one are of no use any more."""
        self._expire(index)

    def clear(self) -> None:
        """Forget all."""
        self._missing.clear()
        self._next_at = None

    def _expire(self, before: int) -> None:
        # Entries are in the order of their numbers: those that expire come first.
        expired = []
        for index in self._missing:
            if index >= before:
                break
            expired.append(index)
        for index in expired:
            del self._missing[index]
        self.given_up += len(expired)
        if not self._missing:
            self._next_at = None

    def next_at(self) -> float | None:
        """When there is something to ask for, or None."""
        return self._next_at

    def due(self, now: float) -> list[int]:
        """The packets to ask for now, oldest first. A packet that was asked for often enough goes."""
        if self._next_at is None or now < self._next_at:
            return []
        again = now + max(self.rtt_s, MIN_INTERVAL_S)
        wanted: list[int] = []
        hopeless: list[int] = []
        next_at: float | None = None
        for index, entry in self._missing.items():
            if entry.ask_at <= now:
                if entry.asked >= MAX_RETRIES:
                    hopeless.append(index)
                    continue
                entry.asked += 1
                entry.ask_at = again
                wanted.append(index)
            if next_at is None or entry.ask_at < next_at:
                next_at = entry.ask_at
        for index in hopeless:
            del self._missing[index]
        self.given_up += len(hopeless)
        self.requested += len(wanted)
        self._next_at = next_at
        return wanted
