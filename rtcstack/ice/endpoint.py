"""A UDP socket driven by the event loop, in batches.

asyncio's datagram transport spends 36 us on a received packet, much of it on a 256 KB buffer that
it allocates for each. Here one wake-up drains the socket into one buffer that stays, and with UDP
GRO the kernel hands over up to 64 packets at once; GSO does the same on the way out.

Whose packets they are is the sink's to say: STUN goes to it one message at a time, the rest by
batches to the receiver that it names for the sender's address. A socket that only leads to a relay
hands everything on unsorted.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import sys
import threading
import time
from collections.abc import Sequence
from typing import Protocol

from rtcstack.clock import monotonic
from rtcstack.engine import Run
from rtcstack.ice.stun import Address

__all__ = ["Address", "DatagramSink", "EndpointCounters", "RawSink", "Receiver", "UdpEndpoint"]

MAX_READS_PER_PASS = 64
"""Reads in one wake-up; the loop comes back for more, so that one busy socket starves nobody."""

MAX_QUEUED_BYTES = 1 << 20
"""What may wait for a socket whose buffer is full; beyond, packets are dropped and counted."""

_BUFFER_BYTES = 65_536

_SOL_UDP = 17
_UDP_SEGMENT = 103
_UDP_GRO = 104
_MAX_GSO_SEGMENTS = 64
_MAX_GSO_BYTES = 65_000
"""A UDP datagram's length field bounds what the kernel cuts: 65,535 less headers."""

_GRO_ANCILLARY_BYTES = socket.CMSG_SPACE(4) if hasattr(socket, "CMSG_SPACE") else 0
_SO_TIMESTAMPNS = 35
"""Linux: the kernel notes when each datagram arrived (linux/socket.h, asm-generic)."""
_KERNEL_TIME = struct.Struct("=qq")
_HAS_KERNEL_TIME = sys.platform == "linux" and struct.calcsize("l") == 8
_TIME_ANCILLARY_BYTES = socket.CMSG_SPACE(16) if hasattr(socket, "CMSG_SPACE") else 0

MAX_LAG_S = 5.0
"""A time further back than this is a clock that was set meanwhile."""

LATE_S = 0.004
"""A loop that was busy for longer than this finds packets whose own times matter: bandwidth estimators
look at the milliseconds between them, and would take the loop's pause for the network's."""

_SEGMENT_SIZE = struct.Struct("=H")
_GRO_SIZE = struct.Struct("=i")


class Receiver(Protocol):
    """Takes what is not STUN from one address. All calls of a pass carry the same `now`."""

    def on_datagrams(
        self, dtls: list[Run], srtp: list[bytes], now: float, arrived: list[float] | None = None
    ) -> None:
        """Packets, in order of arrival within each list.

        Args:
            dtls, srtp: by protocol.
            now: monotonic seconds.
            arrived: when each of `srtp` reached this machine; None when all of them just have.
        """


class DatagramSink(Protocol):
    """Where received packets go. All calls of a pass carry the same `now`."""

    def route(self, address: Address) -> Receiver | None:
        """Who takes anything but STUN from there, or None (RFC 8445, section 12.2)."""

    def on_stun(self, data: bytes, address: Address, now: float) -> None:
        """One STUN message."""


class RawSink(Protocol):
    """Where the packets of a socket that leads to a relay go."""

    def on_runs(self, runs: list[tuple[Address, Run]], now: float) -> None:
        """Packets of every kind, in order of arrival, with where they came from."""


class EndpointCounters:
    """What a socket counts."""

    __slots__ = (
        "bytes_received",
        "bytes_sent",
        "dropped_queue_full",
        "dropped_unknown_kind",
        "dropped_unknown_source",
        "packets_received",
        "packets_sent",
        "send_errors",
    )

    def __init__(self) -> None:
        self.packets_sent = 0
        self.bytes_sent = 0
        self.packets_received = 0
        self.bytes_received = 0
        self.dropped_unknown_source = 0
        self.dropped_unknown_kind = 0
        self.dropped_queue_full = 0
        self.send_errors = 0


class _Scratch(threading.local):
    # Loops in several threads must not share the buffer that a read in progress fills.
    def __init__(self) -> None:
        self.buffer = bytearray(_BUFFER_BYTES)
        self.view = memoryview(self.buffer)


_scratch = _Scratch()


class UdpEndpoint:
    """One bound UDP socket.

    Args:
        sock: bound, non-blocking; the endpoint owns it from now on.
        sink: where packets go, sorted by kind; or None.
        raw: where they go unsorted, if there is no `sink`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        sink: DatagramSink | None,
        *,
        raw: RawSink | None = None,
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._sink = sink
        self._raw = raw
        self._queue: list[tuple[Run, Address]] = []
        self._queued_bytes = 0
        self._closing = False
        self._gso = hasattr(socket, "CMSG_SPACE")
        self._gro = self._enable_gro()
        self._ancillary_bytes = (_GRO_ANCILLARY_BYTES if self._gro else 0) + self._enable_times()
        self.counters = EndpointCounters()
        self.sockname: Address = sock.getsockname()[:2]
        loop.add_reader(sock.fileno(), self._on_readable if sink is not None else self._on_readable_raw)

    @property
    def is_full(self) -> bool:
        """Whether as much waits to be sent as may wait."""
        return self._queued_bytes >= MAX_QUEUED_BYTES

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closing

    def close(self) -> None:
        """Send nothing more, stop reading and close the socket."""
        if self._closing:
            return
        self._closing = True
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._queue.clear()
        self._sock.close()

    def send(self, data: bytes, address: Address) -> None:
        """Send one datagram."""
        self.send_runs((Run(data, len(data)),), address)

    # -- out ----------------------------------------------------------------------------------

    def send_runs(self, runs: Sequence[Run], address: Address) -> None:
        """Send runs of datagrams, in order; what the kernel does not take now waits its turn.

        Args:
            runs: see `Run`. Segments must fit the path; nothing is fragmented here.
            address: where to.
        """
        if self._closing:
            return
        if self._queue:
            for run in runs:
                self._enqueue(run, address)
            return
        for i, run in enumerate(runs):
            try:
                self._send(run, address)
            except (BlockingIOError, InterruptedError):
                for rest in runs[i:]:
                    self._enqueue(rest, address)
                self._loop.add_writer(self._sock.fileno(), self._on_writable)
                return
            except OSError:
                # no route, message too long, a firewall's refusal: the network's business, and
                # the checks that run on this socket will notice
                self.counters.send_errors += 1

    def _send(self, run: Run, address: Address) -> None:
        data, segment = run
        size = len(data)
        counters = self.counters
        if size <= segment:
            self._sock.sendto(data, address)
            counters.packets_sent += 1
        elif self._gso:
            limit = min(_MAX_GSO_SEGMENTS, _MAX_GSO_BYTES // segment) * segment
            ancillary = [(_SOL_UDP, _UDP_SEGMENT, _SEGMENT_SIZE.pack(segment))]
            view = memoryview(data)
            for start in range(0, size, limit):
                try:
                    self._sock.sendmsg((view[start : start + limit],), ancillary, 0, address)
                except (BlockingIOError, InterruptedError):
                    # what of this run is not out yet is a run too
                    self._enqueue(Run(data[start:], segment), address)
                    self._loop.add_writer(self._sock.fileno(), self._on_writable)
                    counters.bytes_sent += start
                    return
                except OSError as exc:
                    if exc.errno not in (errno.EINVAL, errno.EIO, errno.ENOPROTOOPT, errno.EMSGSIZE):
                        raise
                    # a device or kernel without segmentation offload
                    self._gso = False
                    self._send(Run(data[start:], segment), address)
                    counters.bytes_sent += start
                    return
                counters.packets_sent += -(-min(limit, size - start) // segment)
        else:
            for start in range(0, size, segment):
                self._sock.sendto(data[start : start + segment], address)
                counters.packets_sent += 1
        counters.bytes_sent += size

    def _enqueue(self, run: Run, address: Address) -> None:
        size = len(run.data)
        if self._queued_bytes + size > MAX_QUEUED_BYTES:
            self.counters.dropped_queue_full += 1
            return
        self._queue.append((run, address))
        self._queued_bytes += size

    def _on_writable(self) -> None:
        queue, self._queue = self._queue, []
        self._queued_bytes = 0
        self._loop.remove_writer(self._sock.fileno())
        for run, address in queue:
            self.send_runs((run,), address)

    # -- in -----------------------------------------------------------------------------------

    def _enable_gro(self) -> bool:
        try:
            self._sock.setsockopt(_SOL_UDP, _UDP_GRO, 1)
        except OSError:
            return False
        return bool(_GRO_ANCILLARY_BYTES)

    def _enable_times(self) -> int:
        """How many bytes of ancillary data the kernel's times take; 0 where there are none."""
        if not _HAS_KERNEL_TIME:
            return 0
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        except OSError:
            return 0
        return _TIME_ANCILLARY_BYTES

    def _on_readable(self) -> None:
        now = monotonic()
        wall: float | None = None
        sock, sink, counters = self._sock, self._sink, self.counters
        assert sink is not None
        scratch = _scratch
        buffers, view = (scratch.buffer,), scratch.view
        dtls: list[Run] = []
        srtp: list[bytes] = []
        arrived: list[float] = []
        is_late = False
        sender: Address | None = None
        receiver: Receiver | None = None
        for _ in range(MAX_READS_PER_PASS):
            try:
                size, ancillary, _flags, address = sock.recvmsg_into(buffers, self._ancillary_bytes)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                # an ICMP error that an earlier send caused; the next read goes on
                counters.send_errors += 1
                continue
            if not size:
                continue
            data = bytes(view[:size])
            segment = size
            at = now
            for level, kind, value in ancillary:
                if level == _SOL_UDP:
                    segment = _GRO_SIZE.unpack_from(value)[0] or size
                elif kind == _SO_TIMESTAMPNS and len(value) == 16:
                    seconds, nanoseconds = _KERNEL_TIME.unpack(value)
                    if wall is None:
                        wall = time.time()
                    lag = wall - seconds - nanoseconds * 1e-9
                    if LATE_S < lag < MAX_LAG_S:
                        at = now - lag
                        is_late = True
            counters.packets_received += -(-size // segment)
            counters.bytes_received += size
            if segment == size and address == sender and receiver is not None and 128 <= data[0] < 192:
                srtp.append(data)
                arrived.append(at)
                continue
            # The first byte tells the protocols apart (RFC 7983, section 7).
            kinds = data[::segment]
            low, high = min(kinds), max(kinds)
            if high < 4:
                for start in range(0, size, segment):
                    sink.on_stun(data[start : start + segment], address[:2], now)
                if self._closing:
                    break
                continue
            if address != sender:
                other = sink.route(address[:2])
                if other is not receiver and receiver is not None and (dtls or srtp):
                    receiver.on_datagrams(dtls, srtp, now, arrived if is_late else None)
                    dtls, srtp, arrived = [], [], []
                    if self._closing:
                        break
                sender, receiver = address, other
            if receiver is None:
                counters.dropped_unknown_source += len(kinds)
                continue
            if low >= 20 and high < 64:
                dtls.append(Run(data, segment))
            elif low >= 128 and high < 192:
                if segment == size:
                    srtp.append(data)
                    arrived.append(at)
                else:
                    srtp += [data[i : i + segment] for i in range(0, size, segment)]
                    arrived += [at] * len(kinds)
            else:
                self._sort(data, segment, address[:2], now, dtls, srtp)
                arrived += [at] * (len(srtp) - len(arrived))
                if self._closing:
                    break
        if receiver is not None and (dtls or srtp):
            receiver.on_datagrams(dtls, srtp, now, arrived if is_late else None)

    def _on_readable_raw(self) -> None:
        now = monotonic()
        sock, counters = self._sock, self.counters
        scratch = _scratch
        buffers, view = (scratch.buffer,), scratch.view
        runs: list[tuple[Address, Run]] = []
        for _ in range(MAX_READS_PER_PASS):
            try:
                size, ancillary, _flags, address = sock.recvmsg_into(buffers, self._ancillary_bytes)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                counters.send_errors += 1
                continue
            if not size:
                continue
            segment = size
            for level, _kind, value in ancillary:
                if level == _SOL_UDP:
                    segment = _GRO_SIZE.unpack_from(value)[0] or size
            counters.packets_received += -(-size // segment)
            counters.bytes_received += size
            runs.append((address[:2], Run(bytes(view[:size]), segment)))
        if runs:
            assert self._raw is not None
            self._raw.on_runs(runs, now)

    def _sort(
        self, data: bytes, segment: int, address: Address, now: float, dtls: list[Run], srtp: list[bytes]
    ) -> None:
        """Tell apart the packets of a run in which several protocols have come together."""
        for start in range(0, len(data), segment):
            packet = data[start : start + segment]
            kind = packet[0]
            if 20 <= kind < 64:
                dtls.append(Run(packet, len(packet)))
            elif 128 <= kind < 192:
                srtp.append(packet)
            elif kind < 4:
                assert self._sink is not None
                self._sink.on_stun(packet, address, now)
            else:
                self.counters.dropped_unknown_kind += 1
