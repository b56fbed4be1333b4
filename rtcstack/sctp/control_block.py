"""An association once both sides know each other: everything but its making and unmaking.

Spec: RFC 9260, section 14 ("Transmission Control Block").
"""

from __future__ import annotations

from struct import Struct

from rtcstack.errors import ProtocolError
from rtcstack.sctp.abandonment import MAX_FORWARD_BYTES
from rtcstack.sctp.agreement import Agreement
from rtcstack.sctp.chunks import DATA_FIELDS, FLAG_IMMEDIATE, I_DATA_FIELDS, ChunkType, ForwardTsn, Sack
from rtcstack.sctp.data_tracker import MAX_TSN_AHEAD, DataTracker
from rtcstack.sctp.events import SctpEvent
from rtcstack.sctp.holdings import CLOSED_SACK_DELAY_S, Holdings
from rtcstack.sctp.options import SctpOptions
from rtcstack.sctp.outstanding import Outstanding
from rtcstack.sctp.packet import COMMON_HEADER_BYTES, PacketWriter, chunk_bytes
from rtcstack.sctp.params import CauseCode, ParamType, cause_bytes, param_bytes
from rtcstack.sctp.reassembly import InterleavedReassembly, Reassembly
from rtcstack.sctp.rto import RtoEstimator
from rtcstack.sctp.send_queue import SendQueue
from rtcstack.sctp.stream_reset import StreamReset
from rtcstack.serial import unwrap

__all__ = ["ControlBlock"]

MAX_BATCH = 64
"""Packets made by one call of `fill`."""

PACING_QUANTUM_S = 0.001
"""Paced packets leave in bursts of this length: timers of event loops are no finer."""

PACING_CREDIT_S = 0.004
"""What a late timer may make up for."""

MAX_CONTROL_CHUNKS = 64
"""Control chunks that wait to be sent; more are dropped, and their senders ask again."""


MIN_SACK_ROOM_BYTES = 64
"""Room in a packet in which a SACK is begun: less would cut its gap blocks off."""

_HEARTBEAT_INFO = Struct("!d")


class ControlBlock:
    """Data in both directions, for one association.

    Attributes:
        agreement: what the handshake has settled.
        writer: makes packets to the peer.
        tracker, reassembly: the receiving side.
        outstanding: the sending side, behind the queue.
        resets: stream resets.
        control: whole control chunks that wait to be sent.
        chunks_refused: DATA chunks dropped: the receive window is full, or there is no such stream.
        holdings: what was delivered and counts as held until its reader takes it.
        data_packets: packets with data since the end of the last pass, one of bulk counted twice.
        heartbeats_unanswered: consecutive ones.
        was_limited: whether `limit_rate` has held data back; set back by whoever asks.
    """

    __slots__ = (
        "_events",
        "_hard_limit_bytes",
        "_heartbeat_at",
        "_heartbeat_interval_s",
        "_interleaved",
        "_limit_bytes_per_s",
        "_max_retransmissions",
        "_max_streams",
        "_pace_at",
        "_queue",
        "_room_bytes",
        "_window_bytes",
        "agreement",
        "chunks_refused",
        "control",
        "data_packets",
        "heartbeats_unanswered",
        "holdings",
        "outstanding",
        "pacing_at",
        "reassembly",
        "resets",
        "rto",
        "tracker",
        "was_limited",
        "writer",
    )

    def __init__(
        self,
        options: SctpOptions,
        agreement: Agreement,
        writer: PacketWriter,
        queue: SendQueue,
        events: list[SctpEvent],
        holdings: Holdings,
    ) -> None:
        self.holdings = holdings
        self.agreement = agreement
        self.writer = writer
        writer.zero_checksum = agreement.zero_checksum
        self._queue = queue
        self._events = events
        queue.limit_streams(agreement.outbound_streams)
        if not agreement.partial_reliability:
            queue.make_reliable()
        self._window_bytes = options.receive_window_bytes
        self._hard_limit_bytes = options.receive_window_bytes + 2 * options.max_message_size
        self._max_streams = agreement.inbound_streams
        self._room_bytes = (options.mtu_bytes - COMMON_HEADER_BYTES) & ~3
        self.rto = RtoEstimator(options.rto_initial_s, options.rto_min_s, options.rto_max_s)
        self.tracker = DataTracker(agreement.peer_tsn, options.delayed_ack_s)
        self._interleaved: InterleavedReassembly | None = None
        if agreement.interleaving:
            queue.use_interleaving()
            self._interleaved = InterleavedReassembly(events, options.max_message_size)
        self.reassembly = self._interleaved or Reassembly(events, options.max_message_size)
        mtu = options.mtu_bytes
        self.outstanding = Outstanding(
            agreement.local_tsn,
            agreement.peer_window_bytes,
            mtu,
            queue,
            self.rto,
            options.congestion(mtu, options.initial_window_packets * mtu),
        )
        self.resets = StreamReset(
            agreement.local_tsn,
            agreement.peer_tsn,
            queue,
            self.outstanding,
            self.tracker,
            self.reassembly,
            self.rto,
            events,
            is_agreed=agreement.stream_reset,
        )
        self.control: list[bytes] = []
        self.data_packets = 0
        self.chunks_refused = 0
        self._limit_bytes_per_s = 0.0
        self.was_limited = False
        self._pace_at = 0.0
        self.pacing_at: float | None = None
        self._max_retransmissions = options.max_retransmissions
        self._heartbeat_interval_s = options.heartbeat_interval_s
        self._heartbeat_at: float | None = None
        self.heartbeats_unanswered = 0

    # -- receiving ----------------------------------------------------------------------------

    def on_data(self, flags: int, wire_tsn: int, stream_id: int, ssn: int, ppid: int, payload: bytes) -> None:
        """Take a DATA chunk.

        Raises:
            ProtocolError: the peer breaks the protocol; the association must be aborted.
        """
        if stream_id >= self._max_streams or self._interleaved is not None:
            self._refuse_stream(wire_tsn, stream_id)
            return
        reassembly = self.reassembly
        held_bytes = reassembly.held_bytes + self.holdings.held_bytes
        if held_bytes >= self._window_bytes and not self._has_room_for(wire_tsn):
            return
        tsn = self.tracker.observe(wire_tsn)
        if flags & FLAG_IMMEDIATE:
            self.tracker.sack_due = True
        if tsn is not None:
            reassembly.add(tsn, flags & 7, stream_id, ssn, ppid, payload)

    def on_data_chunk(self, flags: int, body: bytes) -> None:
        """Take the body of a DATA chunk. Raises ProtocolError as `on_data` does."""
        if len(body) <= DATA_FIELDS.size:
            raise ProtocolError("DATA without user data", code=CauseCode.NO_USER_DATA)
        wire_tsn, stream_id, ssn, ppid = DATA_FIELDS.unpack_from(body)
        self.on_data(flags, wire_tsn, stream_id, ssn, ppid, body[DATA_FIELDS.size :])

    def on_interleaved_chunk(self, flags: int, body: bytes) -> None:
        """Take the body of an I-DATA chunk. Raises ProtocolError as `on_data` does."""
        if len(body) <= I_DATA_FIELDS.size:
            raise ProtocolError("I-DATA without user data", code=CauseCode.NO_USER_DATA)
        wire_tsn, stream_id, _, mid, ppid_or_fsn = I_DATA_FIELDS.unpack_from(body)
        if flags & FLAG_IMMEDIATE:
            self.tracker.sack_due = True
        if stream_id >= self._max_streams or self._interleaved is None:
            self._refuse_stream(wire_tsn, stream_id)
            return
        held_bytes = self.reassembly.held_bytes + self.holdings.held_bytes
        if held_bytes >= self._window_bytes and not self._has_room_for(wire_tsn):
            return
        if self.tracker.observe(wire_tsn) is not None:
            payload = body[I_DATA_FIELDS.size :]
            self._interleaved.add_interleaved(flags & 7, stream_id, mid, ppid_or_fsn, payload)

    def _refuse_stream(self, wire_tsn: int, stream_id: int) -> None:
        """Acknowledge and report data on a stream that does not exist (RFC 9260, section 6.5)."""
        if stream_id < self._max_streams:
            raise ProtocolError("data of a kind that was not agreed", code=CauseCode.PROTOCOL_VIOLATION)
        self.tracker.observe(wire_tsn)
        self.chunks_refused += 1
        cause = cause_bytes(CauseCode.INVALID_STREAM, stream_id.to_bytes(2, "big") + bytes(2))
        self.queue_control(chunk_bytes(ChunkType.ERROR, 0, cause))

    def _has_room_for(self, wire_tsn: int) -> bool:
        """With the window full, only what comes next may still come in: it may complete something."""
        if self.reassembly.held_bytes >= self._hard_limit_bytes:
            raise ProtocolError("more data is held than fits", code=CauseCode.OUT_OF_RESOURCE)
        # What the application holds is complete already: nothing that comes next sets it free.
        if (
            self.holdings.held_bytes < self._window_bytes
            and wire_tsn == (self.tracker.cumulative_tsn + 1) & 0xFFFF_FFFF
        ):
            return True
        self.tracker.sack_due = True
        self.chunks_refused += 1
        return False

    def on_forward_tsn(self, body: bytes, *, interleaved: bool) -> None:
        """Take a FORWARD TSN or I-FORWARD-TSN.

        Raises:
            ParseError: it is malformed.
            ProtocolError: it was not agreed, or goes further than any sender can be.
        """
        if interleaved is not (self._interleaved is not None) or not self.agreement.takes_forward_tsn:
            raise ProtocolError("a FORWARD TSN that was not agreed", code=CauseCode.PROTOCOL_VIOLATION)
        forward = ForwardTsn.parse(body, interleaved=interleaved)
        tracker = self.tracker
        tsn = unwrap(forward.cumulative_tsn, tracker.cumulative_tsn, 32)
        if tsn - tracker.cumulative_tsn > MAX_TSN_AHEAD:
            raise ProtocolError("a FORWARD TSN out of bounds", code=CauseCode.PROTOCOL_VIOLATION)
        if tsn <= tracker.cumulative_tsn:
            tracker.sack_due = True
            return
        tracker.forward(tsn)
        self.reassembly.forward(tsn, forward)

    def on_sack(self, body: bytes, now: float) -> bool:
        """Take a SACK. Returns False if it acknowledges what was never sent. Raises ParseError."""
        return self.outstanding.on_sack(Sack.parse(body), now)

    def tell_window(self) -> bool:
        """Readers have taken something: whether that opens the window so far that the peer is told."""
        if not self.holdings.wants_telling(self.reassembly.held_bytes):
            return False
        self.tracker.sack_due = True
        return True

    def end_of_pass(self, now: float) -> None:
        """After all datagrams of a pass have been taken."""
        if self.data_packets:
            if self.holdings.is_closed:
                self.tracker.end_of_pass_slowly(now + CLOSED_SACK_DELAY_S)
            else:
                self.tracker.end_of_pass(self.data_packets, now)
            self.data_packets = 0
        if self.resets.is_deferring:
            self.resets.resume()
        self.restart_heartbeat(now)

    # -- sending ------------------------------------------------------------------------------

    @property
    def has_sent_all(self) -> bool:
        """Whether all that was queued has been sent, and acknowledged."""
        return self._queue.is_empty and self.outstanding.is_empty

    def queue_control(self, chunk: bytes) -> None:
        """Have a control chunk sent with the next packet; one that fits no packet is not."""
        if len(self.control) < MAX_CONTROL_CHUNKS and len(chunk) <= self._room_bytes:
            self.control.append(chunk)

    def limit_rate(self, bytes_per_s: float, now: float) -> None:
        """See `SctpAssociation.limit_rate`; 0.0 for no bound."""
        before, self._limit_bytes_per_s = self._limit_bytes_per_s, bytes_per_s
        # What was sent ahead of the old pace is waited for at the new one.
        if before and self._pace_at > now:
            ratio = before / bytes_per_s if bytes_per_s else 0.0
            self._pace_at = now + (self._pace_at - now) * ratio

    def fill(self, packets: list[bytes], now: float, *, data: bool = True, first: bytes = b"") -> None:
        """Append packets with all that is due: control chunks, a SACK, then data.

        Whatever does not fit beside something else gets a packet of its own: fewer than
        `MAX_BATCH` packets mean that nothing is left that may be sent before `next_timeout`.

        Args:
            packets: at most `MAX_BATCH` are appended.
            now: monotonic time.
            data: whether data may be sent in the association's state.
            first: a chunk for the front of the first packet (COOKIE ECHO). Only one packet is
                made then.
        """
        outstanding = self.outstanding
        abandonment = outstanding.abandonment
        congestion = outstanding.congestion
        queue = self._queue
        resets = self.resets
        write = self.writer.write
        fill = outstanding.fill
        rate = congestion.pacing_bytes_per_s
        limit = self._limit_bytes_per_s
        is_limited = limit > 0.0 and (limit < rate or not rate)
        if is_limited:
            rate = limit
        resets.poll()
        pace_at = max(self._pace_at, now - PACING_CREDIT_S)
        pace_until = now + PACING_QUANTUM_S if pace_at <= now else now
        self.pacing_at = None
        if data and not outstanding.probe_due:
            if not outstanding.has_lost and queue.is_empty:
                data = False
            elif outstanding.flight_bytes >= congestion.window_bytes:
                outstanding.window_limited = True
                data = False
            elif rate and pace_at >= pace_until:
                if is_limited:
                    self.was_limited = True
                else:
                    outstanding.window_limited = True
                self.pacing_at = pace_at
                data = False
        if data and self.tracker.sack_at is not None and not queue.is_empty and not self.holdings.is_closed:
            self.tracker.sack_due = True  # what waits for company has found it
        control = self._has_control
        if not (data or control or abandonment.forward_due or first):
            return
        sent = False
        whole_bytes = self._room_bytes
        for _ in range(1 if first else MAX_BATCH):
            parts: list[bytes] = []
            room = whole_bytes
            if first:
                parts.append(first)
                room -= len(first)
            if control:
                room = self._fill_control(parts, room, now)
                control = self._has_control
            if abandonment.forward_due and room >= MAX_FORWARD_BYTES:
                chunk = outstanding.make_forward(now)
                if chunk:
                    parts.append(chunk)
                    room -= len(chunk)
            if data:
                window_open = outstanding.flight_bytes < congestion.window_bytes
                if (window_open and (not rate or pace_at < pace_until)) or outstanding.probe_due:
                    size = fill(parts, room, now)
                    while queue.cut_short:
                        for message in queue.cut_short:
                            outstanding.abandon(message, now)
                        queue.cut_short.clear()
                        size += fill(parts, room - size, now)
                    if size:
                        outstanding.probe_due = False
                        sent = True
                        if rate:
                            pace_at += size / rate
                    elif room == whole_bytes:
                        # Not even a whole packet takes any; beside something else it may have
                        # been the room alone that was missing.
                        outstanding.probe_due = False
                        data = False
                elif outstanding.has_lost or not queue.is_empty:
                    if window_open:
                        self.pacing_at = pace_at
                    if window_open and is_limited:
                        self.was_limited = True
                    else:
                        outstanding.window_limited = True
            if not parts:
                # What has expired meanwhile may be told, or was what a reset had waited for.
                resets.poll()
                control = self._has_control
                if control or abandonment.forward_due:
                    continue
                break
            packets.append(write(parts, bool(first)))
        if sent:
            self._pace_at = pace_at
            outstanding.sent(now)

    @property
    def _has_control(self) -> bool:
        resets = self.resets
        return bool(self.tracker.sack_due or self.control or resets.request_due or resets.replies)

    def _fill_control(self, parts: list[bytes], room: int, now: float) -> int:
        resets = self.resets
        if resets.replies:
            self.control[:0] = resets.replies
            resets.replies.clear()
        if resets.request_due:
            self.control.append(resets.make_request(now))
        taken = 0
        for chunk in self.control:
            if len(chunk) > room:
                break
            parts.append(chunk)
            room -= len(chunk)
            taken += 1
        if taken:
            del self.control[:taken]
        if self.tracker.sack_due and room >= MIN_SACK_ROOM_BYTES:
            chunk = self.tracker.make_sack(self.holdings.offer(self.reassembly.held_bytes, now), room)
            parts.append(chunk)
            room -= len(chunk)
        return room

    # -- timers -------------------------------------------------------------------------------

    def next_timeout(self) -> float | None:
        """When `handle_timeout`, or `fill` for paced data, has something to do."""
        deadline = self.outstanding.next_timeout()
        for other in (
            self.tracker.sack_at,
            self.resets.next_timeout(),
            self.pacing_at,
            self.holdings.due_at,
            self._heartbeat_at,
        ):
            if other is not None and (deadline is None or other < deadline):
                deadline = other
        return deadline

    def restart_heartbeat(self, now: float) -> None:
        """The path has shown that it works: probe it when it has been silent (RFC 9260, section 8.3)."""
        if self._heartbeat_interval_s:
            self._heartbeat_at = now + self._heartbeat_interval_s + self.rto.rto_s

    def handle_timeout(self, now: float) -> None:
        """Do what is due.

        Raises:
            ProtocolError: the peer has not answered for too long.
        """
        timeouts = self.outstanding.timeouts
        self.outstanding.handle_timeout(now)
        self.resets.handle_timeout(now)
        if self.tracker.sack_at is not None and now >= self.tracker.sack_at:
            self.tracker.sack_due = True
        if self.holdings.due_at is not None and self.holdings.handle_timeout(now):
            self.tracker.sack_due = True
        if self._heartbeat_at is not None and now >= self._heartbeat_at:
            info = param_bytes(ParamType.HEARTBEAT_INFO, _HEARTBEAT_INFO.pack(now))
            self.queue_control(chunk_bytes(ChunkType.HEARTBEAT, 0, info))
            self.heartbeats_unanswered += 1
            self.restart_heartbeat(now)
        elif self.outstanding.timeouts == timeouts:
            return
        limit = self._max_retransmissions
        if limit is not None and self.outstanding.timeouts + self.heartbeats_unanswered > limit + 1:
            raise ProtocolError(f"no answer to {limit} retransmissions")
