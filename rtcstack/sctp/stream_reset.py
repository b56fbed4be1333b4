"""Resetting streams: how data channels are closed.

Spec: RFC 6525; RFC 8831, section 6.7.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import IntEnum
from struct import Struct

from rtcstack.errors import ParseError
from rtcstack.sctp.chunks import ChunkType
from rtcstack.sctp.data_tracker import DataTracker
from rtcstack.sctp.events import SctpEvent, StreamsResetByPeer, StreamsResetDone
from rtcstack.sctp.outstanding import Outstanding
from rtcstack.sctp.packet import chunk_bytes
from rtcstack.sctp.params import ParamType, param_bytes, split_params
from rtcstack.sctp.reassembly import Reassembly
from rtcstack.sctp.rto import RtoEstimator
from rtcstack.sctp.send_queue import SendQueue
from rtcstack.serial import unwrap

__all__ = ["ResetResult", "StreamReset"]

MAX_STREAMS_PER_REQUEST = 128
"""Streams named in one request: fits beside other chunks in the smallest packet."""

MAX_EXAMINED_PER_PASS = 256
"""Streams looked at in one pass for whether they are ready to be reset."""


MIN_ASK_AGAIN_S = 0.01
"""A peer that has answered "in progress" is asked again after a round trip, but not sooner; then after
twice as long each time, up to the retransmission timeout."""


class ResetResult(IntEnum):
    """Results of a re-configuration request. Spec: RFC 6525, section 4.4."""

    NOTHING_TO_DO = 0
    PERFORMED = 1
    DENIED = 2
    WRONG_SSN = 3
    IN_PROGRESS_ALREADY = 4
    BAD_SEQUENCE_NUMBER = 5
    IN_PROGRESS = 6


_OUTGOING = Struct("!III")
"""
     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |     Parameter Type = 13       | Parameter Length = 16 + 2 * N |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |           Re-configuration Request Sequence Number            |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |           Re-configuration Response Sequence Number           |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                Sender's Last Assigned TSN                     |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |  Stream Number 1 (optional)   |    Stream Number 2 (optional) |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""
_NUMBER = Struct("!I")
_RESPONSE = Struct("!II")


class StreamReset:
    """Both halves of resetting: our outgoing streams, and the peer's.

    Attributes:
        replies: RE-CONFIG chunks with responses, to be sent.
        is_agreed: whether the peer knows RE-CONFIG. It is not asked for a reset if not: streams are
            told as done, and not performed, once all that is queued on them has been acknowledged.
    """

    __slots__ = (
        "_ask_again_s",
        "_deferred",
        "_events",
        "_expected_number",
        "_last_result",
        "_next_number",
        "_outstanding",
        "_queue",
        "_reassembly",
        "_request",
        "_request_number",
        "_request_streams",
        "_retry_at",
        "_rto",
        "_tracker",
        "_waiting",
        "is_agreed",
        "replies",
        "request_due",
    )

    def __init__(
        self,
        local_initial_tsn: int,
        peer_initial_tsn: int,
        queue: SendQueue,
        outstanding: Outstanding,
        tracker: DataTracker,
        reassembly: Reassembly,
        rto: RtoEstimator,
        events: list[SctpEvent],
        *,
        is_agreed: bool = True,
    ) -> None:
        self.is_agreed = is_agreed
        self._queue = queue
        self._outstanding = outstanding
        self._tracker = tracker
        self._reassembly = reassembly
        self._rto = rto
        self._events = events
        # Sequence numbers start from the initial TSNs (RFC 6525, section 5.1.1).
        self._next_number = local_initial_tsn
        self._expected_number = peer_initial_tsn
        self._last_result = ResetResult.NOTHING_TO_DO
        self._deferred: tuple[int, int, tuple[int, ...]] | None = None  # number, last TSN, streams
        self._waiting: deque[int] | None = None  # made when needed: an empty one is 700 bytes
        self._request = b""
        self._request_number = 0
        self._request_streams: tuple[int, ...] = ()
        self._retry_at: float | None = None
        self._ask_again_s = 0.0  # how long to wait after the next answer "in progress"
        self.request_due = False
        self.replies: list[bytes] = []

    # -- our outgoing streams -----------------------------------------------------------------

    def reset(self, stream_ids: Iterable[int]) -> None:
        """Reset outgoing streams as soon as all that is queued on them has been acknowledged."""
        for stream_id in stream_ids:
            stream = self._queue.stream(stream_id)
            if not stream.closing:
                stream.closing = True
                if self._waiting is None:
                    self._waiting = deque()
                self._waiting.append(stream_id)

    def poll(self) -> None:
        """Begin a request if none is on its way and a stream is ready."""
        waiting = self._waiting
        if self._request_streams or not waiting:
            return
        ready: list[int] = []
        for _ in range(min(len(waiting), MAX_EXAMINED_PER_PASS)):
            stream_id = waiting.popleft()
            stream = self._queue.find(stream_id)
            if stream is None or (
                not stream.messages and stream.last_tsn <= self._outstanding.cumulative_tsn
            ):
                ready.append(stream_id)
                if len(ready) == MAX_STREAMS_PER_REQUEST:
                    break
            else:
                waiting.append(stream_id)
        if ready and self.is_agreed:
            self._begin(tuple(ready))
        elif ready:
            self._end(tuple(ready), performed=False)

    def _begin(self, stream_ids: tuple[int, ...]) -> None:
        self._request_streams = stream_ids
        self._request_number = self._next_number
        self._next_number = (self._next_number + 1) & 0xFFFF_FFFF
        value = _OUTGOING.pack(
            self._request_number,
            (self._expected_number - 1) & 0xFFFF_FFFF,
            (self._outstanding.next_tsn - 1) & 0xFFFF_FFFF,
        ) + Struct(f"!{len(stream_ids)}H").pack(*stream_ids)
        self._request = chunk_bytes(ChunkType.RE_CONFIG, 0, param_bytes(ParamType.OUTGOING_RESET, value))
        self.request_due = True

    def make_request(self, now: float) -> bytes:
        """The request that is due."""
        self.request_due = False
        self._retry_at = now + self._rto.rto_s
        return self._request

    def next_timeout(self) -> float | None:
        """When an unanswered request is retransmitted."""
        return self._retry_at

    def handle_timeout(self, now: float) -> None:
        """Send an unanswered request again."""
        if self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None
            if self._request:
                self._rto.back_off()
                self.request_due = True
            else:
                self._begin(self._request_streams)

    def _on_response(self, number: int, result: int, now: float) -> None:
        if not self._request_streams or number != self._request_number:
            return
        if result == ResetResult.IN_PROGRESS:
            if self._request:
                # The peer waits for data. Ask anew after a while, unless it tells by itself that it is
                # done: some peers do not, and answer a repeated number with the same result for ever.
                self._request = b""
                self.request_due = False
                wait_s = self._ask_again_s or max(self._rto.srtt_s, MIN_ASK_AGAIN_S)
                self._ask_again_s = min(2 * wait_s, self._rto.rto_s)
                self._retry_at = now + wait_s
            return
        # The next request begins with the next flush, so that one packet's answers cannot go through many.
        self._end(
            self._take_request(), performed=result in (ResetResult.PERFORMED, ResetResult.NOTHING_TO_DO)
        )

    def _take_request(self) -> tuple[int, ...]:
        """The request is over: its streams."""
        stream_ids, self._request_streams = self._request_streams, ()
        self._request = b""
        self.request_due = False
        self._retry_at = None
        self._ask_again_s = 0.0
        return stream_ids

    def assume_performed(self, stream_id: int) -> tuple[int, ...]:
        """The peer uses a stream anew, so it has performed our request, though its answer was lost.

        Returns:
            All streams of that request; none when none is on its way that names this stream. They are
            told as done by no event.
        """
        if stream_id not in self._request_streams:
            return ()
        stream_ids = self._take_request()
        for each in stream_ids:
            self._queue.forget(each)
        return stream_ids

    def _end(self, stream_ids: tuple[int, ...], *, performed: bool) -> None:
        for stream_id in stream_ids:
            if performed:
                self._queue.forget(stream_id)
            elif (stream := self._queue.find(stream_id)) is not None:
                stream.closing = False
        self._events.append(StreamsResetDone(stream_ids, performed))

    # -- the peer's outgoing streams ----------------------------------------------------------

    def on_reconfig(self, body: bytes, now: float) -> None:
        """Take a RE-CONFIG chunk.

        Raises:
            ParseError: a parameter is too short.
        """
        for kind, value in split_params(body):
            if kind == ParamType.RECONFIG_RESPONSE:
                if len(value) < _RESPONSE.size:
                    raise ParseError("re-configuration response cut off")
                number, result = _RESPONSE.unpack_from(value)
                self._on_response(number, result, now)
            elif kind == ParamType.OUTGOING_RESET:
                self._on_outgoing_reset(value)
            elif kind in _DENIED:
                if len(value) < _NUMBER.size:
                    raise ParseError("re-configuration request cut off")
                (number,) = _NUMBER.unpack_from(value)
                result = self._take_number(number)
                self._reply(number, ResetResult.DENIED if result is None else result)

    def _take_number(self, number: int) -> ResetResult | None:
        """None for the number that is next; else what is to be answered without doing anything."""
        if number == self._expected_number:
            self._expected_number = (number + 1) & 0xFFFF_FFFF
            self._last_result = ResetResult.DENIED
            return None
        if number == (self._expected_number - 1) & 0xFFFF_FFFF:
            return self._last_result
        return ResetResult.BAD_SEQUENCE_NUMBER

    def _on_outgoing_reset(self, value: bytes) -> None:
        if len(value) < _OUTGOING.size or len(value) % 2:
            raise ParseError("outgoing reset request cut off")
        number, _, last_tsn = _OUTGOING.unpack_from(value)
        stream_ids = Struct(f"!{(len(value) - _OUTGOING.size) // 2}H").unpack_from(value, _OUTGOING.size)
        result = self._take_number(number)
        if result is None:
            last = unwrap(last_tsn, self._tracker.cumulative_tsn, 32)
            self._deferred = (number, last, stream_ids)
            self._last_result = ResetResult.IN_PROGRESS
            if not self.resume():
                self._reply(number, ResetResult.IN_PROGRESS)
        else:
            self._reply(number, result)

    def resume(self) -> bool:
        """Perform a reset that waited for data, if the data has come. Returns whether it was."""
        if self._deferred is None:
            return False
        number, last_tsn, stream_ids = self._deferred
        if self._tracker.cumulative_tsn < last_tsn:
            return False
        self._deferred = None
        self._last_result = ResetResult.PERFORMED
        self._reassembly.reset_streams(stream_ids)
        self._events.append(StreamsResetByPeer(stream_ids))
        self._reply(number, ResetResult.PERFORMED)
        return True

    @property
    def is_deferring(self) -> bool:
        """Whether a reset of the peer's waits for data."""
        return self._deferred is not None

    def _reply(self, number: int, result: ResetResult) -> None:
        # One packet can carry many requests; only the last answers matter.
        del self.replies[:-7]
        value = _RESPONSE.pack(number, result)
        self.replies.append(
            chunk_bytes(ChunkType.RE_CONFIG, 0, param_bytes(ParamType.RECONFIG_RESPONSE, value))
        )


_DENIED = frozenset(
    {
        ParamType.INCOMING_RESET,
        ParamType.SSN_TSN_RESET,
        ParamType.ADD_OUTGOING_STREAMS,
        ParamType.ADD_INCOMING_STREAMS,
    }
)
"""Requests that data channels have no use for (RFC 8831, section 6.2, asks for outgoing resets only)."""
