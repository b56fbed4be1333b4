"""The scoreboard. One question: which of the chunks that were sent has the peer, and which are lost?

How late is too late is asked of `rack`, what may be in flight of `congestion`, what was given up of
`abandonment`. The tail probe and T3 stay here: both mean nothing but "send one of these again", and what
arms them is each change of this list.

Losses are detected by time, as RFC 8985 (RACK-TLP) does for TCP: a chunk is lost when one that
was sent later has arrived and a reordering window has passed since. A tail probe finds losses
behind which nothing arrives; the T3 timer of RFC 9260 is the last resort.
"""

from __future__ import annotations

from collections import deque
from itertools import chain

from rtcstack.sctp.abandonment import Abandonment
from rtcstack.sctp.chunks import FLAG_IMMEDIATE, Sack
from rtcstack.sctp.congestion import Acknowledgement, CongestionController
from rtcstack.sctp.rack import Rack
from rtcstack.sctp.ranges import Ranges
from rtcstack.sctp.rto import RtoEstimator
from rtcstack.sctp.send_queue import ABANDONED, ACKED, IN_FLIGHT, LOST, Message, SendQueue, SentChunk
from rtcstack.serial import unwrap

__all__ = ["Outstanding"]

MAX_PROBES = 2
"""Tail probes in a row, before the T3 timer is left to decide."""

MIN_PROBE_S = 0.01
PEER_DELAYED_ACK_S = 0.2
"""A lone packet's SACK may be held back for this long (RFC 9260, section 6.2)."""

MAX_OUTSTANDING_CHUNKS = 32_768
"""Chunks kept at a time. A peer that acknowledges all but the first, or lets messages be given up
without moving on, would have us keep any number: what gap blocks report may be taken back."""


class Outstanding:
    """The chunks in flight and all that happens to them.

    Attributes:
        next_tsn: TSN of the next new chunk, unwrapped.
        cumulative_tsn: highest TSN that is acknowledged with all before it, unwrapped.
        flight_bytes: bytes of the chunks in flight, headers included.
        peer_window_bytes: what the peer can still take.
        window_limited: whether the congestion window has held data back since the last SACK.
        abandonment: messages that were given up.
        timeouts: consecutive expiries of T3.
    """

    __slots__ = (
        "_ack",
        "_chunks",
        "_cursor",
        "_gaps",
        "_highest_tsn",
        "_lost",
        "_mtu",
        "_probe_at",
        "_probes",
        "_queue",
        "_rack",
        "_ranges",
        "_reorder_at",
        "_retransmitted",
        "_rto",
        "_t3_at",
        "_timed_out",
        "abandonment",
        "chunks_abandoned",
        "chunks_retransmitted",
        "congestion",
        "cumulative_tsn",
        "flight_bytes",
        "next_tsn",
        "peer_window_bytes",
        "probe_due",
        "timeouts",
        "window_limited",
    )

    def __init__(
        self,
        initial_tsn: int,
        peer_window_bytes: int,
        mtu_bytes: int,
        queue: SendQueue,
        rto: RtoEstimator,
        congestion: CongestionController,
    ) -> None:
        # Offset by one turn, so that unwrapping just below the initial TSN stays positive.
        self.next_tsn = initial_tsn + (1 << 32)
        self.cumulative_tsn = self.next_tsn - 1
        self.flight_bytes = 0
        self.peer_window_bytes = peer_window_bytes
        self.window_limited = False
        self.congestion = congestion
        self.probe_due = False
        self.timeouts = 0
        self.chunks_retransmitted = 0
        self.chunks_abandoned = 0
        self._mtu = mtu_bytes
        self._queue = queue
        self._rto = rto
        self._chunks: dict[int, SentChunk] = {}  # every chunk above cumulative_tsn, in order
        # Made when something is lost: an empty deque is 700 bytes, and most associations are idle.
        self._lost: deque[SentChunk] | None = None  # to be retransmitted; some may have been acked since
        self._retransmitted: deque[SentChunk] | None = None  # retransmitted, in the order of sending
        self._gaps: tuple[int, ...] = ()  # the gap blocks of the last SACK, as they came
        self._ranges = Ranges()  # all that gap blocks have acknowledged
        self._highest_tsn = self.cumulative_tsn  # highest one acknowledged
        self._cursor = self.next_tsn  # chunks below are acked, lost or retransmitted
        self._rack = Rack(rto)
        self._reorder_at: float | None = None
        self._probe_at: float | None = None
        self._probes = 0
        self._t3_at: float | None = None
        self._timed_out = False  # T3 has expired and nothing has been acknowledged since
        self._ack = Acknowledgement()
        self.abandonment = Abandonment(self._chunks, self.cumulative_tsn)

    @property
    def is_empty(self) -> bool:
        """Whether everything sent is acknowledged (or skipped)."""
        return not self._chunks

    @property
    def has_lost(self) -> bool:
        """Whether something may wait to be retransmitted."""
        return bool(self._lost)

    def take_back(self) -> None:
        """Return everything to the queue, as if it had not been sent: the handshake begins anew."""
        messages = dict.fromkeys([chunk.message for chunk in self._chunks.values()])
        self._queue.take_back([message for message in messages if not message.abandoned])

    # -- sending ------------------------------------------------------------------------------

    def fill(self, parts: list[bytes], room_bytes: int, now: float) -> int:
        """Append chunks for one packet: what was lost first, then new data.

        Args:
            parts: the packet's chunks so far.
            room_bytes: what is left in the packet.

        Returns:
            Bytes that were appended.
        """
        room = room_bytes
        lost = self._lost
        while lost:
            chunk = lost[0]
            if chunk.state == LOST:
                if chunk.message.limited and self._given_up(chunk, now):
                    self.abandon(chunk.message, now)
                elif len(chunk.data) > room:
                    return room_bytes - room
                else:
                    room -= len(chunk.data)
                    parts.append(chunk.data)
                    self._retransmit(chunk, now)
            lost.popleft()
        if self.flight_bytes and self.peer_window_bytes < self._mtu:
            return room_bytes - room
        tsn = self.next_tsn
        chunks = self._chunks
        next_chunk = self._queue.next_chunk
        before = room
        last_tsn = self.cumulative_tsn + MAX_OUTSTANDING_CHUNKS
        while room > 16 and tsn <= last_tsn:
            new = next_chunk(tsn, room, now)
            if new is None:
                break
            chunks[tsn] = new
            tsn += 1
            data = new.data
            parts.append(data)
            room -= len(data)
        if room != before:
            self.next_tsn = tsn
            self.flight_bytes += before - room
            self.peer_window_bytes -= before - room
        return room_bytes - room

    def _retransmit(self, chunk: SentChunk, now: float) -> None:
        chunk.state = IN_FLIGHT
        chunk.sent_at = now
        chunk.transmissions += 1
        self.chunks_retransmitted += 1
        self.flight_bytes += len(chunk.data)
        self.peer_window_bytes -= len(chunk.data)
        if self._retransmitted is None:
            self._retransmitted = deque()
        self._retransmitted.append(chunk)
        self._rack.retransmitted(chunk.tsn)

    def sent(self, now: float) -> None:
        """Set the timers after a flush that sent data."""
        if self._t3_at is None:
            self._t3_at = now + self._rto.rto_s
        self._arm_probe(now)

    # -- acknowledgement ----------------------------------------------------------------------

    def on_sack(self, sack: Sack, now: float) -> bool:
        """Take a SACK.

        Returns:
            False if it acknowledges what was never sent; it is ignored then.
        """
        cumulative = unwrap(sack.cumulative_tsn, self.cumulative_tsn, 32)
        if cumulative >= self.next_tsn:
            return False
        if cumulative < self.cumulative_tsn:
            return True  # an old one, overtaken
        flight_before = self.flight_bytes
        flight_bytes = flight_before
        acked_bytes = 0
        newest: SentChunk | None = None
        newest_at = -1.0
        spurious = False
        progress = cumulative > self.cumulative_tsn
        if progress:
            take = self._chunks.pop
            for tsn in range(self.cumulative_tsn + 1, cumulative + 1):
                chunk = take(tsn)
                state = chunk.state
                if state == IN_FLIGHT:
                    size = len(chunk.data)
                    acked_bytes += size
                    flight_bytes -= size
                elif state == LOST:
                    acked_bytes += len(chunk.data)
                    chunk.state = ACKED
                    if chunk.transmissions == 1:
                        spurious = True
                else:
                    continue
                chunk.state = ACKED
                if chunk.sent_at >= newest_at:
                    newest_at = chunk.sent_at
                    newest = chunk
            self.cumulative_tsn = cumulative
            if cumulative > self._highest_tsn:
                self._highest_tsn = cumulative
            if self._ranges:
                self._ranges.drop_through(cumulative)
        if sack.gaps:
            gaps = sack.gaps
            first = 0
            if not progress and gaps[:-1] == self._gaps[:-1]:
                first = len(gaps) - 2  # only the last block has grown: most SACKs while a gap is open
            self._gaps = gaps
            for edge in range(first, len(gaps), 2):
                start = cumulative + gaps[edge]
                end = cumulative + gaps[edge + 1]
                if end >= self.next_tsn:
                    break
                for tsn in chain.from_iterable(self._ranges.add(start, end)):
                    chunk = self._chunks[tsn]
                    if chunk.state == IN_FLIGHT:
                        flight_bytes -= len(chunk.data)
                    elif chunk.state != LOST:
                        continue
                    elif chunk.transmissions == 1:
                        spurious = True
                    acked_bytes += len(chunk.data)
                    chunk.state = ACKED
                    if chunk.sent_at >= newest_at:
                        newest_at = chunk.sent_at
                        newest = chunk
                if end > self._highest_tsn:
                    self._highest_tsn = end
        else:
            self._gaps = ()
        self.flight_bytes = flight_bytes
        rack = self._rack
        if sack.duplicates and rack.has_retransmitted:
            for wire_tsn in sack.duplicates:
                # The original and the retransmission have both arrived (RFC 8985, section 6.2).
                if rack.was_needless(unwrap(wire_tsn, cumulative, 32)):
                    rack.widen(now)
                    break
        rtt_s = rack.observe(newest, now) if newest is not None else None
        if spurious:
            self._on_spurious_loss(now)
        ack = self._ack
        ack.lost_bytes = 0
        self._detect_losses(now)
        self.peer_window_bytes = sack.a_rwnd_bytes - self.flight_bytes
        if acked_bytes or ack.lost_bytes:
            ack.now = now
            ack.acked_bytes = acked_bytes
            ack.rtt_s = rtt_s
            ack.sent_at = newest_at
            ack.highest_tsn = self._highest_tsn
            ack.next_tsn = self.next_tsn
            ack.flight_bytes = flight_before
            ack.window_limited = self.window_limited
            self.window_limited = False
            self.congestion.on_ack(ack)
        if acked_bytes or progress:
            self.timeouts = 0
            self._probes = 0
            self._timed_out = False
            if rtt_s is None:
                self._rto.restore()
            self._t3_at = now + self._rto.rto_s if self._chunks else None
        self._arm_probe(now)
        if self.abandonment.messages:
            self.abandonment.on_sack(cumulative, progress, now, self._rto.srtt_s)
        return True

    # -- loss detection -----------------------------------------------------------------------

    def _detect_losses(self, now: float) -> None:
        """Take for lost what was sent long enough before something that has arrived."""
        rack = self._rack
        wait_s = rack.wait_s(now)
        rack_at = rack.sent_at
        deadline: float | None = None
        chunks = self._chunks
        cursor = max(self._cursor, self.cumulative_tsn + 1)
        while cursor < self.next_tsn:
            chunk = chunks[cursor]
            if chunk.state == IN_FLIGHT and chunk.transmissions == 1:
                if chunk.sent_at > rack_at or (chunk.sent_at == rack_at and cursor > rack.tsn):
                    break
                if chunk.sent_at + wait_s > now:
                    deadline = chunk.sent_at + wait_s
                    break
                self._lose(chunk, now)
            cursor += 1
        self._cursor = cursor
        retransmitted = self._retransmitted
        while retransmitted:
            chunk = retransmitted[0]
            if chunk.state == IN_FLIGHT:
                if chunk.sent_at >= rack_at:
                    break
                due = chunk.sent_at + wait_s
                if due > now:
                    if deadline is None or due < deadline:
                        deadline = due
                    break
                self._lose(chunk, now)
            retransmitted.popleft()
        self._reorder_at = deadline

    def _lose(self, chunk: SentChunk, now: float) -> None:
        size = len(chunk.data)
        self.flight_bytes -= size
        self._ack.lost_bytes += size
        chunk.state = LOST
        if chunk.message.limited and self._given_up(chunk, now):
            self.abandon(chunk.message, now)
        else:
            if self._lost is None:
                self._lost = deque()
            self._lost.append(chunk)

    def _on_spurious_loss(self, now: float) -> None:
        """What counted as lost, and was not retransmitted yet, has arrived."""
        if not self._timed_out:
            self._rack.widen(now)
            return
        self._timed_out = False
        self.congestion.on_spurious_timeout()
        lost = self._lost or ()
        for chunk in lost:
            if chunk.state == LOST and chunk.transmissions == 1:
                chunk.state = IN_FLIGHT
                self.flight_bytes += len(chunk.data)
        self._lost = deque([chunk for chunk in lost if chunk.state == LOST])
        self._cursor = self.cumulative_tsn + 1

    # -- timers -------------------------------------------------------------------------------

    def next_timeout(self) -> float | None:
        """When `handle_timeout` has something to do."""
        deadline = self._t3_at
        if self._probe_at is not None and (deadline is None or self._probe_at < deadline):
            deadline = self._probe_at
        if self._reorder_at is not None and (deadline is None or self._reorder_at < deadline):
            deadline = self._reorder_at
        return deadline

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        if self._reorder_at is not None and now >= self._reorder_at:
            ack = self._ack
            ack.lost_bytes = 0
            flight_before = self.flight_bytes
            self._detect_losses(now)
            if ack.lost_bytes:
                ack.now = now
                ack.acked_bytes = 0
                ack.sent_at = -1.0
                ack.rtt_s = None
                ack.flight_bytes = flight_before
                ack.next_tsn = self.next_tsn
                self.congestion.on_ack(ack)
        if self._t3_at is not None and now >= self._t3_at:
            self._on_t3(now)
        elif self._probe_at is not None and now >= self._probe_at:
            self._probe_at = None
            self._probes += 1
            self._prepare_probe()
            self._t3_at = now + self._rto.rto_s  # give the probe the time (RFC 8985, section 7.3)

    def _arm_probe(self, now: float) -> None:
        """Set the tail probe: two round trips after the last sign of life (RFC 8985, section 7.2)."""
        srtt_s = self._rto.srtt_s
        if not self.flight_bytes or not srtt_s or self._probes >= MAX_PROBES or self._timed_out:
            self._probe_at = None
            return
        wait_s = max(2 * srtt_s, MIN_PROBE_S)
        if self.flight_bytes <= self._mtu:
            wait_s += PEER_DELAYED_ACK_S
        self._probe_at = now + wait_s

    def _prepare_probe(self) -> None:
        """Have the last chunk in flight retransmitted, whatever the window says."""
        for tsn in range(self.next_tsn - 1, self.cumulative_tsn, -1):
            chunk = self._chunks[tsn]
            if chunk.state == IN_FLIGHT:
                # The SACK of a probe should not be held back.
                head = chunk.data
                chunk.data = head[:1] + bytes((head[1] | FLAG_IMMEDIATE,)) + head[2:]
                chunk.state = LOST
                self.flight_bytes -= len(chunk.data)
                if self._lost is None:
                    self._lost = deque()
                self._lost.appendleft(chunk)
                self.probe_due = True
                return

    def _on_t3(self, now: float) -> None:
        self.timeouts += 1
        self._rto.back_off()
        self._probe_at = None
        self._reorder_at = None
        self._t3_at = now + self._rto.rto_s
        forget_gaps = self.timeouts > 1  # perhaps the peer has dropped what it had reported
        if forget_gaps:
            self._ranges.clear()
            self._gaps = ()
            self.abandonment.forget_gaps()
        for chunk in list(self._chunks.values()):
            if chunk.state == IN_FLIGHT or (forget_gaps and chunk.state == ACKED):
                if chunk.state == IN_FLIGHT:
                    self.flight_bytes -= len(chunk.data)
                chunk.state = LOST
                if chunk.message.limited and self._given_up(chunk, now):
                    self.abandon(chunk.message, now)
        self._lost = deque([chunk for chunk in self._chunks.values() if chunk.state == LOST])
        self._retransmitted = None
        self._cursor = self.next_tsn
        if self._lost and not self._timed_out:
            self.congestion.on_timeout()
            self._timed_out = True
        self.probe_due = bool(self._lost)
        self.abandonment.on_timeout(self.cumulative_tsn)
        if not self._chunks:
            self._t3_at = None

    # -- partial reliability (RFC 3758) -------------------------------------------------------

    def _given_up(self, chunk: SentChunk, now: float) -> bool:
        message = chunk.message
        if message.expires_at is not None and message.expires_at <= now:
            return True
        return message.max_retransmits is not None and chunk.transmissions > message.max_retransmits

    def abandon(self, message: Message, now: float) -> None:
        """Give a message up of which a part has been sent."""
        if message.abandoned:
            return
        message.abandoned = True
        chunks = self._chunks
        if message.offset < len(message.data):
            # The receiver must learn that the message is over though its end was never sent:
            # a TSN stands for the rest (RFC 3758, section 3.5, note on partially sent messages).
            self._queue.discard(message)
            rest = chunks[self.next_tsn] = SentChunk(self.next_tsn, b"", message, now)
            rest.state = ABANDONED
            message.last_tsn = self.next_tsn
            self.next_tsn += 1
            if self._t3_at is None:
                self._t3_at = now + self._rto.rto_s
        for tsn in range(max(message.first_tsn, self.cumulative_tsn + 1), message.last_tsn + 1):
            chunk = chunks[tsn]
            if chunk.message is message and chunk.state != ACKED:
                if chunk.state == IN_FLIGHT:
                    self.flight_bytes -= len(chunk.data)
                chunk.state = ABANDONED
                chunk.data = b""
                self.chunks_abandoned += 1
        message.data = b""
        self.abandonment.add(message, self.cumulative_tsn)

    def make_forward(self, now: float) -> bytes:
        """The FORWARD TSN (or I-FORWARD-TSN) that is due, or nothing if it is not needed any more."""
        return self.abandonment.make_forward(self.cumulative_tsn, now, interleaved=self._queue.interleaving)
