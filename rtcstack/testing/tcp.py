"""TCP between virtual hosts: segments on the same links as datagrams, in order and without loss to who reads.

It is TCP as far as timing goes: a handshake, a window that grows and shrinks (Reno), repetitions at once
after three equal acknowledgements and else after a timeout, a receiver that may have enough. It is not TCP's
wire format, and half-closed connections are not kept: who gets the other's end, ends too.

Spec: RFC 9293, RFC 5681 (congestion), RFC 6298 (timeouts), in their outlines.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from enum import Enum

from rtcstack.engine import Address
from rtcstack.platform import StreamSink
from rtcstack.testing.host import Host
from rtcstack.testing.packets import Payload, Segment

__all__ = ["TcpEnd", "TcpListener"]

SEGMENT_BYTES = 1400
"""Data of a full segment."""

FIRST_WINDOW_BYTES = 10 * SEGMENT_BYTES
"""RFC 6928."""

RECEIVE_WINDOW_BYTES = 1 << 20
"""What a receiver takes that nobody reads."""

MIN_RTO_S, FIRST_RTO_S, MAX_RTO_S = 0.2, 1.0, 60.0

MAX_REPEATS = 6
"""Repetitions of a segment, or of a beginning, without an answer; then the connection is lost."""

MAX_EARLY = 2048
"""Segments that are kept while one before them is missing."""

MAX_BACKLOG = 128
"""Connections that have begun and that nobody has accepted."""


class _State(Enum):
    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"  # our end is said, and may have to be said again
    CLOSED = "closed"


class TcpEnd:
    """One end of a connection; see `rtcstack.platform.Stream`.

    Args:
        host: whose.
        local, remote: both ends.
        on_open: called when the connection is there, or with why it is not.
        owns_port: whether the port is free again with the end of it.

    Attributes:
        sink: who takes what comes.
        on_room: called when less waits to be sent than before, if set.
        repeated: segments sent again.
        was_ended: whether the other end has closed it, in order.
    """

    def __init__(
        self,
        host: Host,
        local: Address,
        remote: Address,
        on_open: Callable[[OSError | None], None],
        *,
        owns_port: bool = False,
    ) -> None:
        self.host = host
        self.sink: StreamSink | None = None
        self.on_room: Callable[[], None] | None = None
        self.repeated = 0
        self.was_ended = False
        self._agenda = host.internet.agenda
        self._local = local
        self._remote = remote
        self._on_open = on_open
        self._owns_port = owns_port
        self._state = _State.OPENING
        self._is_answering = False  # the other has begun, too
        # out
        self._unsent = bytearray()
        self._flight: deque[Segment] = deque()
        self._flight_bytes = 0
        self._next = 0
        self._ends = False
        self._window = float(FIRST_WINDOW_BYTES)
        self._threshold = float(1 << 30)
        self._peer_window = RECEIVE_WINDOW_BYTES
        self._equal = 0  # acknowledgements of the same
        self._recovering_to = -1
        self._timed: tuple[int, float] | None = None  # which acknowledgement tells the round trip, since when
        self._rtt_s: float | None = None
        self._rto_s = FIRST_RTO_S
        self._repeats = 0
        self._due: float | None = None
        self._alarm: float | None = None
        # in
        self._expected = 0
        self._early: dict[int, Segment] = {}
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._is_paused = False
        host.connections[local, remote] = self

    # -- what a stream does ---------------------------------------------------------------------

    @property
    def sockname(self) -> Address:
        """This end."""
        return self._local

    @property
    def peername(self) -> Address:
        """The other end."""
        return self._remote

    @property
    def waiting_bytes(self) -> int:
        """What was written and has not left."""
        return len(self._unsent)

    @property
    def is_over(self) -> bool:
        """Whether nothing comes or goes any more."""
        return self._state is _State.CLOSED

    @property
    def is_closed(self) -> bool:
        """Whether it is over, or `close` was called."""
        return self._ends or self._state is _State.CLOSED

    def write(self, data: bytes) -> None:
        """Send bytes, in order."""
        if not self.is_closed and data:
            self._unsent += data
            self._send()

    def close(self) -> None:
        """Close when what was written has left; nothing is told any more."""
        self.sink = None
        if self._state is _State.OPENING:
            self._end()
        elif not self.is_closed:
            self._ends = True
            self._send()

    def abort(self) -> None:
        """Close at once; what was written may be lost, and the other end hears of a reset."""
        self.sink = None
        if self._state is not _State.CLOSED:
            self._transmit(Segment("R"))
            self._end()

    def pause(self) -> None:
        """Hand nothing to the sink until `resume`; the other end is told when it is too much."""
        self._is_paused = True

    def resume(self) -> None:
        """The opposite."""
        if not self._is_paused:
            return
        self._is_paused = False
        held, self._held, self._held_bytes = self._held, [], 0
        for data in held:
            self._read(data)
        if held and self._state is _State.OPEN:
            self._acknowledge()

    # -- out ------------------------------------------------------------------------------------

    def begin(self, *, answering: bool = False) -> None:
        """Ask for the connection, or answer who asks."""
        self._is_answering = answering
        self._transmit(Segment("SA" if answering else "S"))
        self._set_alarm()

    def _transmit(self, segment: Segment) -> None:
        self.host.transmit(self._local, self._remote, segment)

    def _acknowledge(self, flags: str = "A") -> None:
        room = max(0, RECEIVE_WINDOW_BYTES - self._held_bytes)
        self._transmit(Segment(flags, self._next, self._expected, window=room))

    def _send(self) -> None:
        if self._state not in (_State.OPEN, _State.CLOSING):
            return
        before = len(self._unsent)
        room = min(self._window, self._peer_window)
        while self._unsent and self._flight_bytes < room:
            data = bytes(self._unsent[:SEGMENT_BYTES])
            del self._unsent[:SEGMENT_BYTES]
            self._launch(Segment("A", self._next, self._expected, data))
            self._next += len(data)
        if self._ends and not self._unsent and self._state is _State.OPEN:
            self._state = _State.CLOSING
            self._launch(Segment("AF", self._next, self._expected))
            self._next += 1
        if (self._flight or self._unsent) and self._due is None:
            self._set_alarm()
        if self.on_room is not None and len(self._unsent) < before:
            self.on_room()

    def _launch(self, segment: Segment) -> None:
        self._flight.append(segment)
        self._flight_bytes += segment.length
        if self._timed is None:
            self._timed = segment.sequence + segment.length, self._agenda.now
        self._transmit(segment)

    def _repeat_first(self) -> None:
        if self._flight:
            self.repeated += 1
            self._timed = None  # which of the two was acknowledged, nobody knows (Karn)
            self._transmit(self._flight[0])

    def _set_alarm(self) -> None:
        self._due = self._agenda.now + self._rto_s
        if self._alarm is None:  # one entry at a time: an early one looks, and is set again
            self._alarm = self._due
            self._agenda.at(self._due, self._on_alarm, None)

    def _on_alarm(self, _: object) -> None:
        self._alarm = None
        if self._due is None or self._state is _State.CLOSED:
            return
        if self._due > self._agenda.now:
            self._alarm = self._due
            self._agenda.at(self._due, self._on_alarm, None)
            return
        self._repeats += 1
        if self._repeats > MAX_REPEATS:
            self._lost("no answer from the other end", errno.ETIMEDOUT)
            return
        self._rto_s = min(self._rto_s * 2, MAX_RTO_S)
        if self._state is _State.OPENING:
            self._transmit(Segment("SA" if self._is_answering else "S"))
        elif self._flight:
            self._threshold = max(self._flight_bytes / 2, 2.0 * SEGMENT_BYTES)
            self._window = float(SEGMENT_BYTES)
            self._recovering_to = self._next
            self._repeat_first()
        else:
            self._acknowledge("AP")  # a receiver that had enough may have room: its word of it may be lost
        self._set_alarm()

    # -- in -------------------------------------------------------------------------------------

    def take(self, segment: Segment) -> None:
        """A segment has come."""
        if self._state is _State.CLOSED:
            return
        if "R" in segment.flags:
            self._lost(
                "reset by the other end",
                errno.ECONNREFUSED if self._state is _State.OPENING else errno.ECONNRESET,
            )
            return
        if self._state is _State.OPENING:
            if segment.flags == "S":  # both have begun at the same time
                self._is_answering = True
                self._transmit(Segment("SA"))
                return
            if "S" in segment.flags:
                self._acknowledge()
            self._opened()
        elif "S" in segment.flags:
            self._acknowledge()  # ours was lost
        if "A" in segment.flags:
            self._acknowledged(segment)
        if not self.is_over and (segment.data or set(segment.flags) & {"F", "P"}):
            self._take_data(segment)

    def _opened(self) -> None:
        self._state = _State.OPEN
        self._repeats = 0
        self._rto_s = FIRST_RTO_S
        self._due = None
        self._told(self._on_open, None)
        self._send()

    def _acknowledged(self, segment: Segment) -> None:
        upto = segment.acknowledged
        had_room = self._peer_window
        self._peer_window = segment.window
        first = self._flight[0].sequence if self._flight else self._next
        if upto <= first:
            if self._flight and not segment.data and segment.window == had_room:
                self._equal += 1
                if self._equal == 3 and first >= self._recovering_to:
                    self._threshold = max(self._flight_bytes / 2, 2.0 * SEGMENT_BYTES)
                    self._window = self._threshold
                    self._recovering_to = self._next
                    self._repeat_first()
            if not self._flight:
                self._repeats = 0  # it lives, and has enough
            self._send()
            return
        self._equal = self._repeats = 0
        while self._flight and self._flight[0].sequence + self._flight[0].length <= upto:
            self._flight_bytes -= self._flight.popleft().length
        if self._timed is not None and upto >= self._timed[0]:
            measured = self._agenda.now - self._timed[1]
            self._rtt_s = measured if self._rtt_s is None else 0.875 * self._rtt_s + 0.125 * measured
            self._timed = None
        self._rto_s = FIRST_RTO_S if self._rtt_s is None else max(MIN_RTO_S, 2 * self._rtt_s)
        if upto < self._recovering_to:
            self._repeat_first()  # the next that is missing of the same window
        elif self._window < self._threshold:
            self._window += SEGMENT_BYTES
        else:
            self._window += SEGMENT_BYTES * SEGMENT_BYTES / self._window
        self._due = None
        if self._flight:
            self._set_alarm()
        elif self._state is _State.CLOSING:
            self._end()
            return
        self._send()

    def _take_data(self, segment: Segment) -> None:
        if segment.sequence > self._expected:
            if len(self._early) < MAX_EARLY:
                self._early[segment.sequence] = segment
        elif segment.sequence == self._expected and segment.length:
            following: Segment | None = segment
            while following is not None:
                self._expected += following.length
                if following.data:
                    self._read(following.data)
                if "F" in following.flags:
                    self._acknowledge()
                    self.was_ended = True
                    self._lost("the other end has closed it", None)
                    return
                if self._state is _State.CLOSED:
                    return
                following = self._early.pop(self._expected, None)
        self._acknowledge()

    def _read(self, data: bytes) -> None:
        if self._is_paused:
            self._held.append(data)
            self._held_bytes += len(data)
        elif self.sink is not None:
            self._told(self.sink.on_data, data, self._agenda.now)

    # -- the end --------------------------------------------------------------------------------

    def _told(self, call: Callable[..., None], *arguments: object) -> None:
        with self.host:
            call(*arguments)

    def _lost(self, reason: str, code: int | None) -> None:
        was_opening, sink = self._state is _State.OPENING, self.sink
        self.resume()
        self._end()
        if was_opening:
            self._told(self._on_open, OSError(code or errno.ECONNRESET, reason))
        elif sink is not None:
            self.sink = None
            self._told(sink.on_lost, reason)

    def _end(self) -> None:
        self._state = _State.CLOSED
        self._due = None
        self._unsent.clear()
        self._flight.clear()
        self._early.clear()
        self.host.connections.pop((self._local, self._remote), None)
        if self._owns_port:
            self.host.unbind(self._local, is_tcp=True)


class TcpListener:
    """A port that accepts; see `rtcstack.platform.Listener`.

    Args:
        host: whose.
        local: address and port; port 0 for any.
        accept: called with each connection; says who takes what comes on it, and may close it.
        port_range: first and last port to choose from.

    Raises:
        OSError: it cannot be had.
    """

    def __init__(
        self,
        host: Host,
        local: Address,
        accept: Callable[[TcpEnd], StreamSink | None],
        *,
        port_range: tuple[int, int] | None = None,
    ) -> None:
        self._host = host
        self._accept = accept
        self._begun: set[tuple[Address, Address]] = set()
        self._is_closed = False
        self.sockname = host.bind(local, self._take, is_tcp=True, port_range=port_range)

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._is_closed

    def close(self) -> None:
        """Accept nothing more."""
        if not self._is_closed:
            self._is_closed = True
            self._host.unbind(self.sockname, is_tcp=True)

    def _take(self, local: Address, remote: Address, segment: Payload) -> None:
        assert isinstance(segment, Segment)
        if segment.flags != "S":
            if "R" not in segment.flags:
                self._host.transmit(local, remote, Segment("R"))
            return
        if len(self._begun) >= MAX_BACKLOG:
            return
        key = (local, remote)

        def opened(error: OSError | None) -> None:
            self._begun.discard(key)
            if error is None:
                sink = None if self._is_closed else self._accept(end)
                if sink is None or end.is_closed:
                    end.close()
                else:
                    end.sink = sink

        self._begun.add(key)
        end = TcpEnd(self._host, local, remote, opened)
        end.begin(answering=True)
