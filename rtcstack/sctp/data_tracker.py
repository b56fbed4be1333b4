"""Which TSNs have arrived, and when the peer is told."""

from __future__ import annotations

from bisect import bisect_right
from struct import Struct

from rtcstack.sctp.chunks import Sack
from rtcstack.serial import unwrap

__all__ = ["DataTracker"]

MAX_RANGES = 2048
"""Ranges of TSNs held beyond the cumulative one. A 5 MiB window of full packets with every
second one missing needs about 2200."""

MAX_TSN_AHEAD = 1 << 17
"""How far beyond the cumulative TSN a chunk may lie: more than any window holds."""

MAX_DUPLICATES = 32
"""Duplicate TSNs reported in one SACK."""

SACK_FIXED_BYTES = 16

_PACK_SACK = Struct("!BBHIIHH").pack


class DataTracker:
    """Tracks received TSNs and decides between a SACK at once and a delayed one.

    TSNs are unwrapped here, on entry; everything behind it compares plain integers.

    Attributes:
        cumulative_tsn: highest TSN below which none is missing, unwrapped.
        sack_due: a SACK is to go out with the next flush.
        sack_at: when the delayed SACK is due, or None.

    Spec: RFC 9260, section 6.2.
    """

    __slots__ = (
        "_delay_s",
        "_duplicates",
        "_ends",
        "_packets_unacked",
        "_starts",
        "cumulative_tsn",
        "duplicates_received",
        "sack_at",
        "sack_due",
    )

    def __init__(self, initial_tsn: int, delay_s: float) -> None:
        # Offset by one turn, so that unwrapping just below the initial TSN stays positive.
        self.cumulative_tsn = initial_tsn + (1 << 32) - 1
        self.sack_due = False
        self.sack_at: float | None = None
        self.duplicates_received = 0
        self._delay_s = delay_s
        self._packets_unacked = 0
        # Received ranges beyond the cumulative TSN: sorted, disjoint, never adjacent.
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._duplicates: list[int] = []

    def observe(self, wire_tsn: int) -> int | None:
        """Take the TSN of a chunk.

        Returns:
            The TSN unwrapped if it is new and may be kept, else None.
        """
        cumulative = self.cumulative_tsn
        if wire_tsn == (cumulative + 1) & 0xFFFF_FFFF:
            cumulative += 1
            self.cumulative_tsn = cumulative
            if self._starts:
                self.sack_due = True  # a gap is being filled: the sender's recovery waits for it
                if self._starts[0] == cumulative + 1:
                    self.cumulative_tsn = self._ends[0]
                    del self._starts[0], self._ends[0]
            return cumulative
        self.sack_due = True
        tsn = unwrap(wire_tsn, cumulative, 32)
        if tsn <= cumulative:
            self._duplicate(wire_tsn)
            return None
        if tsn - cumulative > MAX_TSN_AHEAD:
            return None
        return tsn if self._insert(tsn, wire_tsn) else None

    def _insert(self, tsn: int, wire_tsn: int) -> bool:
        starts, ends = self._starts, self._ends
        if ends and tsn == ends[-1] + 1:
            ends[-1] = tsn
            return True
        after = bisect_right(starts, tsn)
        before = after - 1
        if before >= 0 and tsn <= ends[before]:
            self._duplicate(wire_tsn)
            return False
        joins_before = before >= 0 and ends[before] == tsn - 1
        joins_after = after < len(starts) and starts[after] == tsn + 1
        if joins_before and joins_after:
            ends[before] = ends[after]
            del starts[after], ends[after]
        elif joins_before:
            ends[before] = tsn
        elif joins_after:
            starts[after] = tsn
        else:
            if len(starts) >= MAX_RANGES:
                return False
            starts.insert(after, tsn)
            ends.insert(after, tsn)
        return True

    def _duplicate(self, wire_tsn: int) -> None:
        self.duplicates_received += 1
        if len(self._duplicates) < MAX_DUPLICATES:
            self._duplicates.append(wire_tsn)

    def forward(self, tsn: int) -> None:
        """Move the cumulative TSN to at least `tsn`, unwrapped (RFC 3758, section 3.6)."""
        self.sack_due = True
        if tsn <= self.cumulative_tsn:
            return
        starts, ends = self._starts, self._ends
        passed = bisect_right(starts, tsn + 1)
        if passed and ends[passed - 1] > tsn:
            tsn = ends[passed - 1]
        del starts[:passed], ends[:passed]
        self.cumulative_tsn = tsn

    @property
    def has_gaps(self) -> bool:
        """Whether something is missing below the highest TSN received."""
        return bool(self._starts)

    def end_of_pass(self, data_packets: int, now: float) -> None:
        """Decide, after a pass that brought `data_packets` packets with data, how to acknowledge.

        A pass with two packets or a gap is acknowledged with its flush, by one SACK however many
        packets it had; a lone packet by a SACK that waits for company.
        """
        if data_packets:
            self._packets_unacked += data_packets
            if self._starts or self._packets_unacked >= 2:
                self.sack_due = True
            elif self.sack_at is None:
                self.sack_at = now + self._delay_s

    def end_of_pass_slowly(self, at: float) -> None:
        """The same while nothing more is wanted: whatever has come is acknowledged at that time, unless
        something is missing."""
        if self._starts:
            self.sack_due = True
        elif self.sack_at is None:
            self.sack_at = at

    def make_sack(self, a_rwnd_bytes: int, room_bytes: int) -> bytes:
        """The SACK that is due, in at most `room_bytes` (at least 16). Nothing is due afterwards."""
        self.sack_due = False
        self.sack_at = None
        self._packets_unacked = 0
        cumulative = self.cumulative_tsn
        if not self._starts and not self._duplicates:  # most of them
            return _PACK_SACK(3, 0, SACK_FIXED_BYTES, cumulative & 0xFFFF_FFFF, a_rwnd_bytes, 0, 0)
        gaps: list[int] = []
        duplicates: tuple[int, ...] = ()
        entries = (room_bytes - SACK_FIXED_BYTES) // 4
        if self._starts:
            told = min(entries, bisect_right(self._ends, cumulative + 0xFFFF))
            ranges = zip(self._starts[:told], self._ends, strict=False)
            gaps = [edge - cumulative for bounds in ranges for edge in bounds]
        if self._duplicates:
            duplicates = tuple(self._duplicates[: max(0, entries - len(gaps) // 2)])
            self._duplicates.clear()
        return Sack(cumulative & 0xFFFF_FFFF, a_rwnd_bytes, tuple(gaps), duplicates).to_bytes()
