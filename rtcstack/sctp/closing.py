"""An association that ends in good order: nothing is lost of what either side had queued.

    who begins:  SHUTDOWN-PENDING   until all of ours is acknowledged; then SHUTDOWN is sent
                 SHUTDOWN-SENT      until the peer's is done, too: its SHUTDOWN ACK ends it
    who follows: SHUTDOWN-RECEIVED  until all of ours is acknowledged; then SHUTDOWN ACK is sent
                 SHUTDOWN-ACK-SENT  until SHUTDOWN COMPLETE

Spec: RFC 9260, section 9.2.
"""

from __future__ import annotations

from enum import Enum
from struct import Struct

from rtcstack.errors import ProtocolError
from rtcstack.sctp.chunks import ChunkType
from rtcstack.sctp.control_block import ControlBlock
from rtcstack.sctp.packet import chunk_bytes

__all__ = ["Closing", "ClosingStep"]

MAX_RETRANSMISSIONS = 8
"""SHUTDOWNs (or SHUTDOWN ACKs) sent before the association counts as closed anyway."""

_TSN = Struct("!I")
_SHUTDOWN_ACK = chunk_bytes(ChunkType.SHUTDOWN_ACK, 0, b"")


class ClosingStep(Enum):
    """The RFC's states. Spec: RFC 9260, section 4."""

    PENDING = "shutdown-pending"
    SENT = "shutdown-sent"
    RECEIVED = "shutdown-received"
    ACK_SENT = "shutdown-ack-sent"


class Closing:
    """How far the end has come, with its timer (T2).

    Attributes:
        step: see `ClosingStep`.
        due_at: when `handle_timeout` has something to do, or None.
    """

    __slots__ = ("_block", "_retries", "_wait_s", "due_at", "step")

    def __init__(self, block: ControlBlock, step: ClosingStep) -> None:
        self._block = block
        self._retries = 0
        self._wait_s = 0.0
        self.step = step
        self.due_at: float | None = None

    @property
    def takes_data(self) -> bool:
        """Whether the peer may still send user data."""
        return self.step in (ClosingStep.PENDING, ClosingStep.SENT)

    @property
    def sends_data(self) -> bool:
        """Whether some of ours may be left."""
        return self.step in (ClosingStep.PENDING, ClosingStep.RECEIVED)

    def advance(self, now: float) -> None:
        """Go on if all that was queued is acknowledged."""
        block = self._block
        if self.step is ClosingStep.SENT:
            if block.tracker.sack_due:  # data has come: told by another SHUTDOWN, beside the SACK
                self._repeat()
        elif self.sends_data and block.has_sent_all:
            self._move(ClosingStep.SENT if self.step is ClosingStep.PENDING else ClosingStep.ACK_SENT, now)

    def on_shutdown(self, now: float) -> bool:
        """The peer closes as well; what its SHUTDOWN acknowledges has been taken.

        Returns:
            Whether it has been faster: from now on we follow.
        """
        if self.step is ClosingStep.PENDING:
            self.step = ClosingStep.RECEIVED
            return True
        if self.step is ClosingStep.SENT:  # both have sent theirs
            self._move(ClosingStep.ACK_SENT, now)
        return False

    def _move(self, step: ClosingStep, now: float) -> None:
        self.step = step
        self._retries = 0
        self._wait_s = self._block.rto.rto_s
        self.due_at = now + self._wait_s
        self._repeat()

    def _repeat(self) -> None:
        if self.step is ClosingStep.SENT:
            cumulative_tsn = self._block.tracker.cumulative_tsn & 0xFFFF_FFFF
            self._block.queue_control(chunk_bytes(ChunkType.SHUTDOWN, 0, _TSN.pack(cumulative_tsn)))
        elif self.step is ClosingStep.ACK_SENT:
            self._block.queue_control(_SHUTDOWN_ACK)

    def hurry(self, now: float) -> None:
        """The peer begins anew, so it has not heard our SHUTDOWN ACK: again."""
        self.due_at = now

    def handle_timeout(self, now: float, rto_max_s: float) -> bool:
        """Say it again, if it is time. Returns whether the peer has not answered for too long.

        Raises:
            ProtocolError: the same, and something may be lost.
        """
        if self.due_at is None or now < self.due_at:
            return False
        self._retries += 1
        self._wait_s = min(self._wait_s * 2, rto_max_s)
        self.due_at = now + self._wait_s
        if self._retries <= MAX_RETRANSMISSIONS:
            self._repeat()
            return False
        if self.step is ClosingStep.ACK_SENT:  # all is acknowledged, and the peer is gone
            return True
        raise ProtocolError("no answer to the shutdown")
