"""A UDP socket on asyncio's datagram endpoints: for every loop and every system.

One datagram at a time, each with its own system call; see docs/decisions/network-forms.md for what it costs.
What has arrived in one turn of the loop goes on together.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence
from typing import Any, cast

from rtcstack.clock import monotonic
from rtcstack.engine import Address, Run
from rtcstack.platform.values import Counters, Received, UdpFeatures, UdpSink

__all__ = ["PortableUdp"]

logger = logging.getLogger("rtcstack.network")

MAX_QUEUED_BYTES = 1 << 20
"""What may wait for a socket whose buffer is full, or that is not driven yet; beyond, datagrams are dropped
and counted."""

MAX_BATCH = 256
"""Datagrams that go on together; a loop that brings more in one turn has them go on at once."""


LINGER_S = 0.1
"""What waits when a socket is closed may still leave for so long: it says goodbye."""


class PortableUdp(asyncio.DatagramProtocol):
    """One bound UDP socket; see `rtcstack.platform.Udp`.

    Args:
        loop: that drives it, from one of its next turns on; until then, what is sent waits.
        sock: bound, non-blocking, of any kind that the loop takes; closed with this.
        sink: who takes what comes.
    """

    features = UdpFeatures()

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, sink: UdpSink) -> None:
        self._loop = loop
        self._sock = sock
        self._sink = sink
        self._batch: list[Received] = []
        self._now = 0.0
        self._queue: list[tuple[bytes, Address]] = []  # until there is a transport
        self._queued_bytes = 0
        self._transport: asyncio.DatagramTransport | None = None
        self._closing = False
        self.counters = Counters()
        self.sockname: Address = sock.getsockname()[:2]
        self._opening = loop.create_task(self._open())
        self._opening.add_done_callback(self._on_opened)

    async def _open(self) -> None:
        await self._loop.create_datagram_endpoint(lambda: self, sock=self._sock)

    def _on_opened(self, opening: asyncio.Task[None]) -> None:
        if not opening.cancelled() and opening.exception() is None:
            return
        if not opening.cancelled():
            logger.warning("no endpoint on %s: %s", self.sockname, opening.exception())
            self.counters.send_errors += 1
        self._sock.close()
        self._forget_queue()

    def _forget_queue(self) -> None:
        self._queue.clear()
        self._queued_bytes = 0

    @property
    def is_full(self) -> bool:
        """See `rtcstack.platform.Udp`."""
        return self._waiting_bytes >= MAX_QUEUED_BYTES

    @property
    def is_closed(self) -> bool:
        """See `rtcstack.platform.Udp`."""
        return self._closing

    @property
    def _waiting_bytes(self) -> int:
        if self._transport is None:
            return self._queued_bytes
        return self._transport.get_write_buffer_size()  # type: ignore[attr-defined, no-any-return]

    def close(self) -> None:
        """See `rtcstack.platform.Udp`; the socket is closed in one of the loop's next turns."""
        if self._closing:
            return
        self._closing = True
        self._batch.clear()
        self._forget_queue()
        if self._loop.is_closed():
            self._sock.close()
            return
        if self._transport is not None:
            # not `close`, which never ends in Windows' loop while a datagram is on its way
            if self._waiting_bytes:
                self._loop.call_later(LINGER_S, self._transport.abort)
            else:
                self._transport.abort()
        if not self._opening.done():
            self._opening.cancel()

    # -- out ----------------------------------------------------------------------------------

    def send(self, data: bytes, to: Address) -> None:
        """See `rtcstack.platform.Udp`."""
        self.send_runs((Run(data, len(data)),), to)

    def send_runs(self, runs: Sequence[Run], to: Address) -> None:
        """See `rtcstack.platform.Udp`."""
        if self._closing:
            return
        for run in runs:
            if self._waiting_bytes + len(run.data) > MAX_QUEUED_BYTES:
                self.counters.dropped_queue_full += 1
                continue
            for datagram in run.datagrams():
                if self._transport is None:
                    self._queue.append((datagram, to))
                    self._queued_bytes += len(datagram)
                else:
                    self._send(self._transport, datagram, to)

    def _send(self, transport: asyncio.DatagramTransport, data: bytes, to: Address) -> None:
        transport.sendto(data, to)
        self.counters.packets_sent += 1
        self.counters.bytes_sent += len(data)

    # -- asyncio ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = cast("asyncio.DatagramTransport", transport)  # not every loop's is one by its class
        if self._closing:
            self._transport.abort()
            return
        queue = list(self._queue)
        self._forget_queue()
        for data, to in queue:
            self._send(self._transport, data, to)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """See asyncio."""
        if self._closing or not data:
            return
        self.counters.packets_received += 1
        self.counters.bytes_received += len(data)
        batch = self._batch
        if not batch:
            self._now = monotonic()  # of all that comes in this turn
            self._loop.call_soon(self._hand_on)
        batch.append((data, len(data), addr[:2], self._now))
        if len(batch) >= MAX_BATCH:
            self._hand_on()

    def _hand_on(self) -> None:
        batch = self._batch
        if batch and not self._closing:
            self._batch = []
            self._sink.on_batch(batch, self._now)

    def error_received(self, exc: Exception) -> None:
        """See asyncio: an error of this send, or that an earlier one caused."""
        self.counters.send_errors += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        if exc is not None:
            logger.warning("the socket on %s is lost: %s", self.sockname, exc)
