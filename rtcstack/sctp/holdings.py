"""What the readers of channels have not taken yet, and what is left of the receive window beside it.

SCTP has one window for all streams: a receiver cannot slow one of them alone, and a chunk that it
refuses is retransmitted before anything else is sent. So the window that is offered is the room
that the *fullest* reader has left in its share. Data of channels that are not read passes through
it and takes none; data for the fullest reader uses it up, and the peer waits. Behind the share is
a reserve that opens in small steps, so that the others go on, slowly, until the reader moves or is
given up.

Spec: RFC 9260, section 6.2. See docs/decisions/slow-readers.md.
"""

from __future__ import annotations

__all__ = ["CLOSED_SACK_DELAY_S", "RESERVE_S", "STEP_S", "Holding", "Holdings"]

SHARES = 8
"""A reader's share is this part of the receive window, and its reserve as much again: a quarter. All
readers have two shares together, and a reserve of half of the window."""

RESERVE_S = 40.0
"""For so long a reserve lasts when the peer sends to readers that take nothing: longer than it takes to
give them up."""

STEP_S = 0.25
"""How often the reserve is opened by a step."""

MIN_FLOW_BYTES = 2400
"""Two packets: a sender that avoids silly windows begins nothing in less (RFC 9260, section 6.1)."""

CLOSED_SACK_DELAY_S = 0.2
"""For so long the SACK of a packet is held back that comes while the window is closed. A sender may have
one packet on its way whatever the window (RFC 9260, section 6.1): each SACK allows another. Senders expect
such a delay (section 6.2), and RFC 9260 allows half a second."""

_STEPS = int(RESERVE_S / STEP_S)


class Holding:
    """What one reader has not taken yet.

    Attributes:
        held_bytes: the sum of it.
    """

    __slots__ = ("_all", "_is_lagging", "held_bytes")

    def __init__(self, holdings: Holdings) -> None:
        self._all = holdings
        self._is_lagging = False
        self.held_bytes = 0

    def hold(self, size_bytes: int) -> None:
        """Count what was delivered as held, until it is taken."""
        everything = self._all
        everything.held_bytes += size_bytes
        self.held_bytes += size_bytes
        if self.held_bytes > everything.lag_bytes and not self._is_lagging:
            self._is_lagging = True
            everything.lagging.add(self)

    def take(self, size_bytes: int) -> None:
        """Stop counting so much of it."""
        everything = self._all
        everything.held_bytes -= size_bytes
        self.held_bytes -= size_bytes
        if self._is_lagging and self.held_bytes <= everything.lag_bytes:
            self._is_lagging = False
            everything.lagging.discard(self)

    def end(self) -> None:
        """Nobody reads any more: nothing is held. Only the first call counts."""
        if self in self._all.readers:
            self.take(self.held_bytes)
            self._all.readers.discard(self)


class Holdings:
    """What all readers of an association hold, and the window that is offered beside it.

    Args:
        window_bytes: the receive window.
        max_message_bytes: the largest message that is taken: a share has room for two.

    Attributes:
        held_bytes: the sum over all readers.
        lag_bytes: a reader that holds more is looked at one by one.
        lagging: the readers that do; few, for what they hold together is bounded by the window.
        readers: all that were not ended.
        due_at: when `handle_timeout` wants to be called, or None.
    """

    __slots__ = (
        "_advertised_bytes",
        "_flow_bytes",
        "_pool_bytes",
        "_pool_step_bytes",
        "_share_bytes",
        "_share_step_bytes",
        "_start_bytes",
        "_steps",
        "_window_bytes",
        "due_at",
        "held_bytes",
        "lag_bytes",
        "lagging",
        "readers",
    )

    def __init__(self, window_bytes: int, max_message_bytes: int) -> None:
        self._window_bytes = window_bytes
        self._share_bytes = min(window_bytes, max(window_bytes // SHARES, 2 * max_message_bytes))
        self._pool_bytes = min(window_bytes, max(2 * window_bytes // SHARES, self._share_bytes))
        reserve_bytes = window_bytes // SHARES
        self._flow_bytes = min(max(reserve_bytes // 10, MIN_FLOW_BYTES), self._share_bytes // 2)
        self._share_step_bytes = max(1, (reserve_bytes - self._flow_bytes) // _STEPS)
        self._pool_step_bytes = max(1, (4 * reserve_bytes - self._flow_bytes) // _STEPS)
        self._start_bytes = 0  # what is open of the reserves at once; 0 while they are not needed
        self._steps = 0  # by how much more
        self._advertised_bytes = window_bytes
        self.lag_bytes = self._share_bytes // 8
        self.held_bytes = 0
        self.lagging: set[Holding] = set()
        self.readers: set[Holding] = set()
        self.due_at: float | None = None

    def begin(self) -> Holding:
        """Another reader."""
        holding = Holding(self)
        self.readers.add(holding)
        return holding

    def _room(self, unfinished_bytes: int, steps: int = 0) -> int:
        """What the readers' shares have left, the fullest one's and that of all together, with so many
        steps of the reserves."""
        fullest = max((each.held_bytes for each in self.lagging), default=0)
        room = min(
            self._share_bytes + steps * self._share_step_bytes - fullest,
            self._pool_bytes + steps * self._pool_step_bytes - self.held_bytes,
        )
        return room - unfinished_bytes

    def _look(self, unfinished_bytes: int, now: float | None = None) -> int:
        """The window that is to be offered; with a time, the reserves are used from then on."""
        free = max(0, self._window_bytes - self.held_bytes - unfinished_bytes)
        if not self.readers:
            self._start_bytes = self._steps = 0
            self.due_at = None
            return free
        room = self._room(unfinished_bytes)
        if self.held_bytes <= self.lag_bytes:
            # Messages that are not whole yet may need more of themselves: no reader could help them.
            room = max(room, self._share_bytes // 2)
        flow = self._flow_bytes
        if room >= flow:
            self._start_bytes = self._steps = 0
            self.due_at = None
            return min(free, room)
        if now is not None and not self._start_bytes:
            self._start_bytes = flow + max(0, -room)
        opened = self._room(unfinished_bytes, self._steps) + self._start_bytes
        if now is not None and self.due_at is None and opened < flow and self._steps < _STEPS:
            self.due_at = now + STEP_S
        return max(0, min(free, max(room, min(opened, flow))))

    def offer(self, unfinished_bytes: int, now: float) -> int:
        """The window that the peer is told now, in bytes.

        Args:
            unfinished_bytes: what is held of messages that are not complete, or wait for their turn.
            now: monotonic time.
        """
        self._advertised_bytes = offered = self._look(unfinished_bytes, now)
        return offered

    def wants_telling(self, unfinished_bytes: int) -> bool:
        """Whether the window has opened so far that the peer is to hear of it at once.

        That is when it knows of less than half of a share, or of next to nothing: sooner would be a
        packet for each message (RFC 9260, section 6.2).
        """
        told = self._advertised_bytes
        half = self._share_bytes // 2 if self.readers else self._window_bytes // 2
        if told >= half:
            return False
        offered = self._look(unfinished_bytes)
        return offered >= half or told < self._flow_bytes // 2 <= offered

    @property
    def is_closed(self) -> bool:
        """Whether readers, and nothing else, keep the peer from sending."""
        return self._start_bytes > 0 and self._advertised_bytes < MIN_FLOW_BYTES

    def hopeless(self, unfinished_bytes: int) -> Holding | None:
        """The fullest reader, if the reserves are used up and half of a share more: it has taken less than
        comes through a closed window, for longer than it takes to give a reader up that takes nothing."""
        if self._steps < _STEPS:
            return None
        opened = self._room(unfinished_bytes, self._steps) + self._start_bytes
        if opened > -self._share_bytes // 2:
            return None
        return max(self.readers, key=lambda each: each.held_bytes, default=None)

    def handle_timeout(self, now: float) -> bool:
        """Open the reserve by a step, if one is due. Whether the peer is to be told."""
        if self.due_at is None or now < self.due_at:
            return False
        self.due_at = None
        self._steps += 1
        return True
