"""The SCTP association as an engine. One question: what does a packet mean for the phase that it comes in?

A phase is a part that is made when it begins and thrown away when it ends:

    new -> connecting (`Opening`) -> connected -> shutting-down (`Closing`) -> closed

From the moment that both sides know each other there is a `ControlBlock`, for all that has to do
with data; it is gone with the end. Chunks are not taken by the phases themselves: what most of them
mean depends on their verification tag and on whether there is a block (sections 5.2, 8.4 and 8.5),
and is the same in several phases; and data has one short way, whether or not this side is closing.

Spec: RFC 9260, sections 4, 5, 8 and 9; RFC 8261 for its place above DTLS.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Sequence
from struct import Struct

from google_crc32c import extend as crc32c_extend

from rtcstack.engine import Buffer
from rtcstack.entropy import entropy
from rtcstack.errors import InvalidStateError, ParseError, ProtocolError
from rtcstack.refusals import Refusals
from rtcstack.sctp.agreement import Agreement
from rtcstack.sctp.chunks import DATA_HEADER, FLAG_REFLECTED_TAG, ChunkType, Init, Sack
from rtcstack.sctp.closing import Closing, ClosingStep
from rtcstack.sctp.control_block import ControlBlock
from rtcstack.sctp.events import AssociationClosed, AssociationClosing, AssociationConnected, SctpEvent
from rtcstack.sctp.handshake import Handshake, Verdict
from rtcstack.sctp.holdings import Holding, Holdings
from rtcstack.sctp.opening import Opening
from rtcstack.sctp.options import SctpOptions
from rtcstack.sctp.packet import (
    COMMON_HEADER_BYTES,
    PacketWriter,
    chunk_bytes,
    split_chunks,
    verify_checksum,
)
from rtcstack.sctp.params import CauseCode, cause_bytes, describe_causes
from rtcstack.sctp.send_queue import SendQueue
from rtcstack.sctp.states import AssociationState, Drop

__all__ = ["AssociationState", "Drop", "SctpAssociation"]

logger = logging.getLogger("rtcstack.sctp")

MAX_REPLIES = 32
"""Packets with replies to INITs and the like, kept until the next drain."""

FULL_PACKET_BYTES = 1000
"""A packet this large is taken for one of bulk data, and acknowledged at once."""

COOKIE_ACK = chunk_bytes(ChunkType.COOKIE_ACK, 0, b"")

_TAKES_NO_MESSAGES = frozenset({AssociationState.SHUTTING_DOWN, AssociationState.CLOSED})

_UNPACK_DATA = DATA_HEADER.unpack_from
_PACK_CHECKSUM = Struct("<I").pack
_PORTS_TAG = Struct("!HHI")
_TAG = Struct("!I")


class SctpAssociation:
    """One association, as an engine: datagrams and times in; datagrams, events, one deadline out.

    Attributes:
        packets_sent, packets_received, bytes_sent, bytes_received: whole SCTP packets.
        messages_sent: user messages handed in.
        drops: count by reason of what was dropped.
        refusals: who keeps the first of it.
        state: as the layer above needs to know it.
    """

    __slots__ = (
        "_block",
        "_closing",
        "_events",
        "_fast",
        "_fast_crc",
        "_handshake",
        "_holdings",
        "_limit_bytes_per_s",
        "_local_port",
        "_opening",
        "_options",
        "_queue",
        "_remote_port",
        "_replies",
        "_rng",
        "bytes_received",
        "bytes_sent",
        "drops",
        "messages_sent",
        "packets_received",
        "packets_sent",
        "refusals",
        "state",
    )

    def __init__(
        self,
        options: SctpOptions | None = None,
        *,
        local_port: int = 5000,
        remote_port: int = 5000,
        rng: random.Random | None = None,
    ) -> None:
        self._options = options or SctpOptions()
        self._local_port = local_port
        self._remote_port = remote_port
        self._rng = rng or entropy().random
        self.state = AssociationState.NEW
        self._events: list[SctpEvent] = []
        self._queue = SendQueue(
            self._events,
            self._options.max_send_buffer_bytes,
            (self._options.mtu_bytes - COMMON_HEADER_BYTES) & ~3,
        )
        self._holdings = Holdings(self._options.receive_window_bytes, self._options.max_message_size)
        self._block: ControlBlock | None = None
        self._handshake = Handshake(self._options, local_port, remote_port, self._rng)
        self._opening: Opening | None = None  # while connecting
        self._closing: Closing | None = None  # while shutting down
        self._replies: list[bytes] = []
        self._fast = b""  # how packets begin that may take the short way; none while empty
        self._fast_crc = 0
        self._limit_bytes_per_s = 0.0
        self.packets_sent = 0
        self.packets_received = 0
        self.bytes_sent = 0
        self.bytes_received = 0
        self.messages_sent = 0
        self.drops: dict[Drop, int] = {}
        self.refusals = Refusals()

    # -- the application's side ---------------------------------------------------------------

    @property
    def options(self) -> SctpOptions:
        """What the association was made with."""
        return self._options

    @property
    def buffered_bytes(self) -> int:
        """User data that was handed in and has not been sent yet."""
        return self._queue.buffered_bytes

    @property
    def smoothed_rtt_s(self) -> float:
        """Smoothed round-trip time, 0.0 before the first measurement."""
        return self._block.rto.srtt_s if self._block is not None else 0.0

    @property
    def congestion_window_bytes(self) -> int:
        """The congestion window, 0 without an association."""
        return self._block.outstanding.congestion.window_bytes if self._block is not None else 0

    @property
    def peer_window_bytes(self) -> int:
        """What the peer can still take, 0 without an association."""
        return max(0, self._block.outstanding.peer_window_bytes) if self._block is not None else 0

    @property
    def unacked_chunks(self) -> int:
        """DATA chunks that were sent and are not acknowledged with all before them."""
        if self._block is None:
            return 0
        return self._block.outstanding.next_tsn - self._block.outstanding.cumulative_tsn - 1

    @property
    def chunks_retransmitted(self) -> int:
        """DATA chunks retransmitted, counted each time."""
        return self._block.outstanding.chunks_retransmitted if self._block is not None else 0

    @property
    def max_streams(self) -> int:
        """How many streams there are in both directions, as far as is known."""
        if self._block is None:
            return self._options.streams
        return min(self._block.agreement.inbound_streams, self._block.agreement.outbound_streams)

    def make_init(self) -> bytes:
        """Our INIT chunk; the same one at each call, and the first that `connect` sends."""
        return self._handshake.init_chunk

    def connect(self, now: float) -> None:
        """Begin the handshake. Both sides may; it is harmless when it has begun.

        Args:
            now: monotonic time in seconds.
        """
        if self.state is AssociationState.NEW:
            self.state = AssociationState.CONNECTING
            self._opening = Opening(self._options, now)

    def send(
        self,
        stream_id: int,
        ppid: int,
        data: bytes,
        *,
        ordered: bool = True,
        max_retransmits: int | None = None,
        lifetime_s: float | None = None,
        now: float,
    ) -> None:
        """Queue a message. It may be called before the association is connected.

        Args:
            stream_id: 0 to the number of streams less one.
            ppid: payload protocol identifier.
            data: at least one byte.
            ordered: whether it is delivered after what was sent before it on the stream.
            max_retransmits: how often a lost part is retransmitted before the message is given up.
            lifetime_s: how long the message is worth sending.
            now: monotonic time in seconds.

        Raises:
            OperationError: the send buffer is full.
            InvalidStateError: the association, or the stream, is closing, or the peer has no such stream.
            ValueError: no data, or no such stream.
        """
        if self.state is not AssociationState.CONNECTED and self.state in _TAKES_NO_MESSAGES:
            raise InvalidStateError(f"cannot send: the association is {self.state}")
        if not data:
            raise ValueError("SCTP has no empty messages")
        block = self._block
        if not 0 <= stream_id < self._options.streams:
            raise ValueError(f"stream_id must be 0 to {self._options.streams - 1}, not {stream_id}")
        if block is not None and stream_id >= block.agreement.outbound_streams:
            raise InvalidStateError(f"the peer allows {block.agreement.outbound_streams} streams only")
        if (max_retransmits is not None or lifetime_s is not None) and (
            block is not None and not block.agreement.partial_reliability
        ):
            max_retransmits = lifetime_s = None
        self._queue.add(
            stream_id, ppid, data, ordered, max_retransmits, None if lifetime_s is None else now + lifetime_s
        )
        self.messages_sent += 1

    def reset_streams(self, stream_ids: Iterable[int]) -> None:
        """Reset outgoing streams, each as soon as what is queued on it has been acknowledged.

        `StreamsResetDone` tells when. Nothing may be sent on them until then.

        Raises:
            InvalidStateError: the association is not connected.
        """
        if self._block is None:
            raise InvalidStateError(f"cannot reset streams: the association is {self.state}")
        self._block.resets.reset(stream_ids)

    def assume_reset(self, stream_id: int) -> tuple[int, ...]:
        """The peer uses a stream anew that we have asked it to reset: see `StreamReset.assume_performed`."""
        return () if self._block is None else self._block.resets.assume_performed(stream_id)

    @property
    def resets_streams(self) -> bool:
        """Whether the peer knows how streams are reset."""
        return self._block is not None and self._block.agreement.stream_reset

    def set_priority(self, stream_id: int, priority: int) -> None:
        """Set a stream's weight, 1 to 65535; 256 is normal (RFC 8832, section 5.1)."""
        self._queue.stream(stream_id).priority = max(1, priority)

    def limit_rate(self, bytes_per_s: float | None, now: float) -> None:
        """Send data no faster than this, whatever the congestion control allows; it finds its own limits
        below, and takes what this holds back for what the application does not send.

        Args:
            bytes_per_s: of chunks, more than 0; None for no bound. Chunks of control are not held back.
            now: monotonic time in seconds.
        """
        self._limit_bytes_per_s = bytes_per_s or 0.0
        if self._block is not None:
            self._block.limit_rate(self._limit_bytes_per_s, now)

    def take_limited(self) -> bool:
        """Whether `limit_rate` has held data back since the last call."""
        block = self._block
        if block is None or not block.was_limited:
            return False
        block.was_limited = False
        return True

    @property
    def flight_bytes(self) -> int:
        """Bytes of the chunks in flight."""
        return self._block.outstanding.flight_bytes if self._block is not None else 0

    @property
    def top_priority(self) -> int:
        """The highest priority of the streams on which something waits, see `set_priority`; 0 for none."""
        return self._queue.top_priority

    def set_buffered_low_threshold(self, stream_id: int, threshold_bytes: int) -> None:
        """Set at which amount of waiting data `StreamBufferedAmountLow` is told."""
        self._queue.stream(stream_id).low_threshold_bytes = threshold_bytes

    def stream_buffered_bytes(self, stream_id: int) -> int:
        """User data that waits on a stream."""
        stream = self._queue.find(stream_id)
        return stream.buffered_bytes if stream is not None else 0

    def begin_reading(self) -> Holding:
        """Somebody takes delivered data when it pleases: what it has not taken is counted there, and the
        window offered to the peer shrinks by it."""
        return self._holdings.begin()

    def tell_window(self) -> bool:
        """Call when something was taken. Whether the peer is to hear of it: flush then."""
        return self._block is not None and self._block.tell_window()

    @property
    def hopeless_reader(self) -> Holding | None:
        """See `Holdings.hopeless`."""
        return None if self._block is None else self._holdings.hopeless(self._block.reassembly.held_bytes)

    def shutdown(self, now: float) -> None:
        """Close gracefully, after everything queued has been acknowledged."""
        if self.state is AssociationState.CONNECTED:
            self._begin_closing(ClosingStep.PENDING).advance(now)
        elif self.state is not AssociationState.SHUTTING_DOWN:
            self._close(None, graceful=True)

    def abort(self, now: float, reason: str = "", *, error: ProtocolError | None = None) -> None:
        """Close at once; the ABORT is in the next drain.

        Args:
            now: monotonic time in seconds.
            reason: told to the peer.
            error: what `AssociationClosed` is to carry, when it is not what we wanted ourselves.
        """
        if self.state is AssociationState.CLOSED:
            return
        if self._block is not None:
            self._reply_abort(CauseCode.USER_INITIATED_ABORT, reason.encode()[:512])
        self._close(error, graceful=False)

    # -- engine: in ---------------------------------------------------------------------------

    def receive(self, datagrams: Sequence[Buffer], now: float) -> None:
        """Take packets that arrived together. Whatever is wrong with them is counted, not raised."""
        for datagram in datagrams:
            packet = datagram if type(datagram) is bytes else bytes(datagram)
            self.packets_received += 1
            self.bytes_received += len(packet)
            try:
                if packet[:8] == self._fast and packet[12] == 0:
                    self._receive_data(packet, now)
                else:
                    self._receive_packet(packet, now)
            except (ParseError, IndexError):
                self._drop(Drop.MALFORMED, packet)
            except ProtocolError as error:
                self._fail(error)
        block = self._block
        if block is not None:
            block.end_of_pass(now)
            if self._closing is not None:
                self._closing.advance(now)

    def _receive_data(self, packet: bytes, now: float) -> None:
        """Take a packet that begins with DATA, from the peer of an established association.

        Data has its own way in: no object is made between the packet and the reassembly.
        """
        block = self._block
        assert block is not None
        checksum = packet[8:12]
        if (checksum != b"\0\0\0\0" or not self._options.zero_checksum) and (
            _PACK_CHECKSUM(crc32c_extend(self._fast_crc, packet[12:])) != checksum
        ):
            self._drop(Drop.CHECKSUM, packet)
            return
        on_data = block.on_data
        size = len(packet)
        position = COMMON_HEADER_BYTES
        # The window of a sender that fills its packets opens with each SACK (RFC 9260, section
        # 7.2.1): browsers send a quarter faster when none is held back.
        block.data_packets += 2 if size >= FULL_PACKET_BYTES else 1
        while position + 16 < size:
            kind, flags, length, tsn, stream_id, ssn, ppid = _UNPACK_DATA(packet, position)
            end = position + length
            if kind or length <= 16 or end > size:
                break
            on_data(flags, tsn, stream_id, ssn, ppid, packet[position + 16 : end])
            position += (length + 3) & ~3
        if position < size:
            chunks = split_chunks(packet, position)
            self._receive_chunks(chunks, block.agreement.local_tag, now)

    def _receive_packet(self, packet: bytes, now: float) -> None:
        if len(packet) < COMMON_HEADER_BYTES + 4:
            raise ParseError(f"a packet of {len(packet)} bytes")
        source, destination, tag = _PORTS_TAG.unpack_from(packet)
        if source != self._remote_port or destination != self._local_port:
            self._drop(Drop.PORTS, packet)
            return
        kind = packet[COMMON_HEADER_BYTES]
        # INIT and COOKIE ECHO always have a checksum (RFC 9653, section 5.3).
        zero = self._options.zero_checksum and kind != ChunkType.INIT and kind != ChunkType.COOKIE_ECHO
        if not verify_checksum(packet, accept_zero=zero):
            self._drop(Drop.CHECKSUM, packet)
            return
        chunks = split_chunks(packet)
        if not self._tag_is_right(tag, kind, chunks[0][1], len(chunks)):
            self._drop(Drop.TAG, packet)
            return
        before = self._block
        if self._receive_chunks(chunks, tag, now) and self._block is before and before is not None:
            before.data_packets += 1

    def _receive_chunks(self, chunks: Sequence[tuple[int, int, bytes]], tag: int, now: float) -> bool:
        """Take chunks of a packet whose tag is right. Returns whether any had data."""
        has_data = False
        for kind, flags, body in chunks:
            if kind == ChunkType.DATA or kind == ChunkType.I_DATA:
                block = self._block
                if block is None or not self._takes_data:
                    self._drop(Drop.UNEXPECTED)
                    continue
                has_data = True
                if kind == ChunkType.DATA:
                    block.on_data_chunk(flags, body)
                else:
                    block.on_interleaved_chunk(flags, body)
            elif not self._on_control(kind, flags, body, tag, now):
                break
        return has_data

    @property
    def _takes_data(self) -> bool:
        """Whether the peer may send user data: it is connected, and has not said that it is done."""
        if self._closing is not None:
            return self._closing.takes_data
        return self.state is AssociationState.CONNECTED

    def _tag_is_right(self, tag: int, kind: int, flags: int, count: int) -> bool:
        """Spec: RFC 9260, section 8.5."""
        if kind == ChunkType.INIT:
            return tag == 0 and count == 1
        if kind in (ChunkType.ABORT, ChunkType.SHUTDOWN_COMPLETE) and flags & FLAG_REFLECTED_TAG:
            return self._block is not None and tag == self._block.agreement.peer_tag
        if kind == ChunkType.COOKIE_ECHO:
            return True  # the cookie itself says which tag is right
        return tag == self._handshake.local_tag

    def _on_control(self, kind: int, flags: int, body: bytes, tag: int, now: float) -> bool:
        """Take a chunk that is not data. Returns False if the rest of the packet is void."""
        block = self._block
        if kind == ChunkType.INIT:
            self._on_init(Init.parse(body), now)
            return False
        if kind == ChunkType.INIT_ACK:
            self._on_init_ack(Init.parse(body), now)
            return False
        if kind == ChunkType.COOKIE_ECHO:
            return self._on_cookie_echo(body, tag, now)
        if kind == ChunkType.COOKIE_ACK:
            if self._is_echoing:
                self._establish(now)
            return True
        if kind == ChunkType.ABORT:
            if self.state not in (AssociationState.NEW, AssociationState.CLOSED):
                code, text = describe_causes(body)
                self._close(ProtocolError(f"the peer has aborted: {text}", code=code), graceful=False)
            return False
        if kind == ChunkType.ERROR:
            self._on_error(body)
            return True
        if block is None:
            if kind == ChunkType.SHUTDOWN_ACK and self.state is AssociationState.CLOSED:
                # Our SHUTDOWN COMPLETE was lost (section 8.4).
                self._reply(tag, chunk_bytes(ChunkType.SHUTDOWN_COMPLETE, FLAG_REFLECTED_TAG, b""))
                return False
            self._drop(Drop.UNEXPECTED)
            return False
        if kind == ChunkType.SACK:
            if not block.on_sack(body, now):
                self._drop(Drop.ACKED_UNSENT)
        elif kind == ChunkType.HEARTBEAT:
            block.queue_control(chunk_bytes(ChunkType.HEARTBEAT_ACK, 0, body))
        elif kind == ChunkType.HEARTBEAT_ACK:
            block.heartbeats_unanswered = 0
        elif kind == ChunkType.FORWARD_TSN or kind == ChunkType.I_FORWARD_TSN:
            if self._takes_data:
                block.on_forward_tsn(body, interleaved=kind == ChunkType.I_FORWARD_TSN)
        elif kind == ChunkType.RE_CONFIG:
            if self.state is AssociationState.CONNECTED or self._closing_step is ClosingStep.PENDING:
                block.resets.on_reconfig(body, now)
        elif kind == ChunkType.SHUTDOWN:
            self._on_shutdown(block, body, now)
        elif kind == ChunkType.SHUTDOWN_ACK:
            if self._closing_step in (ClosingStep.SENT, ClosingStep.ACK_SENT):
                self._reply(block.agreement.peer_tag, chunk_bytes(ChunkType.SHUTDOWN_COMPLETE, 0, b""))
                self._close(None, graceful=True)
        elif kind == ChunkType.SHUTDOWN_COMPLETE:
            if self._closing_step is ClosingStep.ACK_SENT:
                self._close(None, graceful=True)
        elif kind != ChunkType.PAD:
            return self._on_unknown(kind, flags, body)
        return True

    def _on_unknown(self, kind: int, flags: int, body: bytes) -> bool:
        """Spec: RFC 9260, section 3.2: the two high bits of the type say what to do."""
        self._drop(Drop.UNEXPECTED)
        if kind & 0x40 and self._block is not None:
            chunk = chunk_bytes(kind, flags, body[:256])
            self._block.queue_control(
                chunk_bytes(ChunkType.ERROR, 0, cause_bytes(CauseCode.UNRECOGNIZED_CHUNK, chunk))
            )
        return bool(kind & 0x80)

    def _on_error(self, body: bytes) -> None:
        code, text = describe_causes(body)
        opening = self._opening
        if code == CauseCode.STALE_COOKIE and opening is not None and opening.cookie_echo:
            self._forget_block()
            opening.begin_anew()
        elif code == CauseCode.PROTOCOL_VIOLATION and self.state is not AssociationState.CLOSED:
            self._close(ProtocolError(f"the peer reports: {text}", code=code), graceful=False)

    # -- handshake (RFC 9260, section 5) ------------------------------------------------------

    @property
    def _is_echoing(self) -> bool:
        """Whether our COOKIE ECHO is on its way."""
        return self._opening is not None and bool(self._opening.cookie_echo)

    def _on_init(self, init: Init, now: float) -> None:
        if self.state is AssociationState.CLOSED or len(self._replies) >= MAX_REPLIES:
            self._drop(Drop.UNEXPECTED)
            return
        if self._closing is not None and self._closing.step is ClosingStep.ACK_SENT:
            self._closing.hurry(now)  # section 9.2
            return
        present = None if self._block is None else self._block.agreement
        self._replies.append(self._handshake.answer(init, now, present, new_tag=not self._is_echoing))

    def _on_init_ack(self, init: Init, now: float) -> None:
        opening = self._opening
        if opening is None or opening.cookie_echo:
            return  # section 5.2.3
        if init.cookie is None:
            raise ProtocolError("INIT ACK without a cookie", code=CauseCode.MISSING_PARAMETER)
        if len(init.cookie) > self._options.mtu_bytes - COMMON_HEADER_BYTES - 64:
            raise ProtocolError("a cookie that fits no packet", code=CauseCode.PROTOCOL_VIOLATION)
        self._make_block(self._handshake.agree_on_init_ack(init))
        opening.echo(init.cookie, now)

    def _make_block(self, agreement: Agreement) -> ControlBlock:
        writer = PacketWriter(self._local_port, self._remote_port, agreement.peer_tag)
        self._block = block = ControlBlock(
            self._options, agreement, writer, self._queue, self._events, self._holdings
        )
        block.limit_rate(self._limit_bytes_per_s, 0.0)
        return block

    def _forget_block(self) -> None:
        if self._block is not None:
            self._block.outstanding.take_back()
            self._block = None

    def _on_cookie_echo(self, body: bytes, tag: int, now: float) -> bool:
        handshake = self._handshake
        cookie = handshake.unseal(body)
        if cookie is None or tag != cookie.local_tag or self.state is AssociationState.CLOSED:
            self._drop(Drop.COOKIE)
            return False
        block = self._block
        present = None if block is None else block.agreement
        verdict = handshake.judge(cookie, present, now, is_echoing=self._is_echoing)
        if verdict is Verdict.RESTART:
            # Above DTLS the peer cannot have lost its state alone.
            raise ProtocolError("the peer has restarted", code=CauseCode.PROTOCOL_VIOLATION)
        if verdict is Verdict.LATE:
            self._drop(Drop.COOKIE)
            return False
        if verdict is Verdict.STALE:
            self._drop(Drop.COOKIE)
            staleness_us = min(int(handshake.staleness_s(cookie, now) * 1e6), 0xFFFF_FFFF)
            cause = cause_bytes(CauseCode.STALE_COOKIE, _TAG.pack(staleness_us))
            self._reply(cookie.peer_tag, chunk_bytes(ChunkType.ERROR, 0, cause))
            return False
        if block is None or verdict is Verdict.NEW:
            self._forget_block()
            block = self._make_block(handshake.agree_on_cookie(cookie))
            self._establish(now)
        elif self._is_echoing:
            self._establish(now)
        if COOKIE_ACK not in block.control:  # one answers for any number of copies
            block.queue_control(COOKIE_ACK)
        return True

    def _establish(self, now: float) -> None:
        block = self._block
        assert block is not None
        self.state = AssociationState.CONNECTED
        self._opening = None
        agreement = block.agreement
        header = _PORTS_TAG.pack(self._remote_port, self._local_port, agreement.local_tag)
        self._fast = header
        self._fast_crc = crc32c_extend(0, header + b"\0\0\0\0")
        self._events.append(AssociationConnected(agreement.inbound_streams, agreement.outbound_streams))
        block.restart_heartbeat(now)

    # -- shutdown (RFC 9260, section 9) -------------------------------------------------------

    @property
    def _closing_step(self) -> ClosingStep | None:
        return None if self._closing is None else self._closing.step

    def _begin_closing(self, step: ClosingStep) -> Closing:
        assert self._block is not None
        self.state = AssociationState.SHUTTING_DOWN
        self._closing = Closing(self._block, step)
        return self._closing

    def _on_shutdown(self, block: ControlBlock, body: bytes, now: float) -> None:
        if len(body) < 4:
            raise ParseError("SHUTDOWN cut off")
        # It acknowledges as a SACK without gaps does (RFC 9260, section 9.2), and says nothing of a window.
        (cumulative_tsn,) = _TAG.unpack_from(body)
        outstanding = block.outstanding
        window_bytes = outstanding.peer_window_bytes + outstanding.flight_bytes
        if not outstanding.on_sack(Sack(cumulative_tsn, window_bytes, (), ()), now):
            self._drop(Drop.ACKED_UNSENT)
        if self.state is AssociationState.CONNECTED:
            self._begin_closing(ClosingStep.RECEIVED)
            self._events.append(AssociationClosing())
        elif self._closing is None:
            return  # our COOKIE ECHO has not been answered
        elif self._closing.on_shutdown(now):
            self._events.append(AssociationClosing())
        self._fast = b""  # the peer has no more data

    # -- ends ---------------------------------------------------------------------------------

    def _fail(self, error: ProtocolError) -> None:
        """Abort for what the peer did."""
        if self.state is AssociationState.CLOSED:
            return
        if self._block is not None:
            self._reply_abort(error.code or CauseCode.PROTOCOL_VIOLATION, str(error).encode())
        self._close(error, graceful=False)

    def _reply_abort(self, code: int, info: bytes) -> None:
        assert self._block is not None
        del self._replies[MAX_REPLIES - 1 :]  # of all replies this one matters
        self._reply(self._block.agreement.peer_tag, chunk_bytes(ChunkType.ABORT, 0, cause_bytes(code, info)))

    def _reply(self, tag: int, chunk: bytes) -> None:
        if len(self._replies) >= MAX_REPLIES:
            self._drop(Drop.UNEXPECTED)
            return
        writer = PacketWriter(self._local_port, self._remote_port, tag)
        self._replies.append(writer.write([chunk], checksum=True))

    def _close(self, error: ProtocolError | None, *, graceful: bool) -> None:
        if self.state is AssociationState.CLOSED:
            return
        self.state = AssociationState.CLOSED
        self._opening = self._closing = self._block = None
        self._fast = b""
        self._queue.clear()
        self._events.append(AssociationClosed(error, graceful))

    def _drop(self, reason: Drop, data: bytes = b"") -> None:
        self.drops[reason] = self.drops.get(reason, 0) + 1
        self.refusals.add("sctp", reason, data)

    # -- engine: time -------------------------------------------------------------------------

    def next_timeout(self) -> float | None:
        """The time at which `handle_timeout` wants to be called next, or None."""
        deadline = None if self._block is None else self._block.next_timeout()
        phase = self._opening or self._closing
        if phase is not None and phase.due_at is not None and (deadline is None or phase.due_at < deadline):
            deadline = phase.due_at
        return deadline

    def handle_timeout(self, now: float) -> None:
        """Do what is due at `now`; harmless when nothing is."""
        try:
            if self._opening is not None and (reason := self._opening.handle_timeout(now)):
                self._give_up(reason)
            if self._closing is not None and self._closing.handle_timeout(now, self._options.rto_max_s):
                self._close(None, graceful=True)
            if self._block is not None:
                self._block.handle_timeout(now)
        except ProtocolError as error:  # the peer has not answered for too long
            self._close(error, graceful=False)

    def _give_up(self, reason: str) -> None:
        """The association does not come up, and whoever waits for its channels must hear of it."""
        what = "our COOKIE ECHO" if self._is_echoing else "our INIT"
        logger.warning("data channels cannot be used: %s, the peer has not answered %s", reason, what)
        self._close(ProtocolError(f"{reason}: the peer has not answered {what}"), graceful=False)

    # -- engine: out --------------------------------------------------------------------------

    def drain(self, now: float) -> list[bytes]:
        """Take the packets that are to be sent now, at most about 64; call again until none come."""
        packets = self._replies
        if packets:
            self._replies = []
        else:
            packets = []
        block = self._block
        opening = self._opening
        if block is None:
            if opening is not None and opening.is_due:
                opening.is_due = False
                writer = PacketWriter(self._local_port, self._remote_port, 0)
                packets.append(writer.write([self._handshake.repeat_init(opening.attempt)], checksum=True))
        elif opening is not None:
            if opening.is_due:
                # Data may go along behind the COOKIE ECHO (section 5.1), but only there.
                opening.is_due = False
                block.fill(packets, now, data=opening.is_fresh, first=opening.cookie_echo)
        else:
            closing = self._closing
            block.fill(packets, now, data=closing is None or closing.sends_data)
            if closing is not None and closing.sends_data:
                closing.advance(now)  # the last messages may just have expired
                block.fill(packets, now, data=False)
        if packets:
            self.packets_sent += len(packets)
            self.bytes_sent += sum(map(len, packets))
        return packets

    @property
    def has_news(self) -> bool:
        """Whether `events` has something."""
        return bool(self._events)

    def events(self) -> Sequence[SctpEvent]:
        """Take what the layer above must learn, oldest first."""
        if not self._events:
            return ()
        events = self._events[:]
        self._events.clear()  # the list itself is shared with the parts of the association
        return events
