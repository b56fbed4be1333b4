"""A UDP socket driven by the event loop, in batches.

asyncio's datagram transport spends 36 us on a received packet, much of it on a 256 KB buffer that
it allocates for each. Here one wake-up drains the socket into one buffer that stays, and with UDP
GRO the kernel hands over up to 64 packets at once; GSO does the same on the way out.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import threading
from collections.abc import Sequence

from rtcstack.clock import monotonic, system_wall
from rtcstack.engine import Address, Run
from rtcstack.network.capabilities import (
    HAS_MESSAGES,
    HAS_SEGMENTATION,
    SO_TIMESTAMPNS,
    SOL_UDP,
    UDP_SEGMENT,
    enable_gro,
    enable_kernel_times,
)
from rtcstack.network.sockets import forget_socket
from rtcstack.platform.values import Counters, Received, UdpFeatures, UdpSink

__all__ = ["BatchedUdp"]

MAX_READS_PER_PASS = 64
"""Reads in one wake-up; the loop comes back for more, so that one busy socket starves nobody."""

MAX_BYTES_PER_PASS = 1 << 19
"""The same in bytes. With less, each pass acknowledges and flushes for little; with much more, what is read
leaves the processor's cache before it is taken, and its memory is given back to the system after each pass
and had again page by page."""

MAX_QUEUED_BYTES = 1 << 20
"""What may wait for a socket whose buffer is full; beyond, packets are dropped and counted."""

_BUFFER_BYTES = 65_536

_MAX_GSO_SEGMENTS = 64
_MAX_GSO_BYTES = 65_000
"""A UDP datagram's length field bounds what the kernel cuts: 65,535 less headers."""

_GRO_ANCILLARY_BYTES = socket.CMSG_SPACE(4) if HAS_MESSAGES else 0
_KERNEL_TIME = struct.Struct("=qq")
_TIME_ANCILLARY_BYTES = socket.CMSG_SPACE(16) if HAS_MESSAGES else 0

MAX_LAG_S = 5.0
"""A time further back than this is a clock that was set meanwhile."""

LATE_S = 0.004
"""A loop that was busy for longer than this finds packets whose own times matter: bandwidth estimators
look at the milliseconds between them, and would take the loop's pause for the network's."""

_SEGMENT_SIZE = struct.Struct("=H")
_GRO_SIZE = struct.Struct("=i")


class _Scratch(threading.local):
    # Loops in several threads must not share the buffer that a read in progress fills.
    def __init__(self) -> None:
        self.buffer = bytearray(_BUFFER_BYTES)
        self.view = memoryview(self.buffer)


_scratch = _Scratch()


class BatchedUdp:
    """One bound UDP socket; see `rtcstack.platform.Udp`.

    Args:
        loop: whose readers and writers drive it.
        sock: bound, non-blocking; closed with this.
        sink: who takes what comes.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, sink: UdpSink) -> None:
        self._loop = loop
        self._sock = sock
        self._sink = sink
        self._queue: list[tuple[Run, Address]] = []
        self._queued_bytes = 0
        self._closing = False
        self._gso = HAS_SEGMENTATION
        self._gro = enable_gro(sock)
        self._times = enable_kernel_times(sock)
        self._ancillary_bytes = (_GRO_ANCILLARY_BYTES if self._gro else 0) + (
            _TIME_ANCILLARY_BYTES if self._times else 0
        )
        self._is_ipv6 = sock.family is socket.AF_INET6
        self.counters = Counters()
        self.sockname: Address = sock.getsockname()[:2]
        loop.add_reader(sock.fileno(), self._on_readable)

    @property
    def features(self) -> UdpFeatures:
        """See `rtcstack.platform.Udp`."""
        return UdpFeatures(batched=True, segments=self._gso, coalesces=self._gro, arrival_times=self._times)

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
        self._queue.clear()
        forget_socket(self._loop, self._sock)

    def send(self, data: bytes, to: Address) -> None:
        """Send one datagram."""
        self.send_runs((Run(data, len(data)),), to)

    # -- out ----------------------------------------------------------------------------------

    def send_runs(self, runs: Sequence[Run], to: Address) -> None:
        """Send runs of datagrams, in order; what the kernel does not take now waits its turn.

        Args:
            runs: see `Run`. Segments must fit the path; nothing is fragmented here.
            to: where to.
        """
        if self._closing:
            return
        if self._queue:
            for run in runs:
                self._enqueue(run, to)
            return
        for i, run in enumerate(runs):
            try:
                self._send(run, to)
            except (BlockingIOError, InterruptedError):
                for rest in runs[i:]:
                    self._enqueue(rest, to)
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
            ancillary = [(SOL_UDP, UDP_SEGMENT, _SEGMENT_SIZE.pack(segment))]
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
                try:
                    self._sock.sendto(data[start : start + segment], address)
                except (BlockingIOError, InterruptedError):
                    self._enqueue(Run(data[start:], segment), address)
                    self._loop.add_writer(self._sock.fileno(), self._on_writable)
                    counters.bytes_sent += start
                    return
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

    def _on_readable(self) -> None:
        now = monotonic()
        wall: float | None = None
        receive, ancillary_bytes, is_ipv6 = self._sock.recvmsg_into, self._ancillary_bytes, self._is_ipv6
        scratch = _scratch
        buffers, view = (scratch.buffer,), scratch.view
        batch: list[Received] = []
        datagrams = octets = errors = 0
        for _ in range(MAX_READS_PER_PASS):
            try:
                size, ancillary, _flags, address = receive(buffers, ancillary_bytes)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                # an ICMP error that an earlier send caused; the next read goes on
                errors += 1
                continue
            if not size:
                continue
            segment = size
            at = now
            for level, kind, value in ancillary:
                if level == SOL_UDP:
                    segment = _GRO_SIZE.unpack_from(value)[0] or size
                elif kind == SO_TIMESTAMPNS and len(value) == 16:
                    seconds, nanoseconds = _KERNEL_TIME.unpack(value)
                    if wall is None:
                        wall = system_wall()
                    lag = wall - seconds - nanoseconds * 1e-9
                    if LATE_S < lag < MAX_LAG_S:
                        at = now - lag
            octets += size
            datagrams += 1 if segment == size else -(-size // segment)
            batch.append((bytes(view[:size]), segment, address[:2] if is_ipv6 else address, at))
            if octets >= MAX_BYTES_PER_PASS:
                break
        counters = self.counters
        counters.packets_received += datagrams
        counters.bytes_received += octets
        counters.send_errors += errors
        if batch:
            self._sink.on_batch(batch, now)
