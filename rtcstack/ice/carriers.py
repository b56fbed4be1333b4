"""What packets leave on: a socket with its packets sorted, a socket or a stream to a relay.

A carrier belongs to one path of an agent's engine and tells the agent what comes in.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Protocol

from rtcstack.clock import monotonic
from rtcstack.engine import Run
from rtcstack.ice.endpoint import Receiver, UdpEndpoint
from rtcstack.ice.stun import Address

__all__ = ["Carrier", "HostCarrier", "RelayCarrier", "StreamCarrier", "StreamOwner"]

MAX_STREAM_BYTES = 1 << 20
"""What may wait for a stream that its receiver does not empty; beyond, packets are dropped: over a
relay they would be lost as well."""


class Carrier(Protocol):
    """Where an agent's engine sends what it sends."""

    @property
    def is_full(self) -> bool:
        """Whether so much waits to be sent that more would be dropped."""

    def send(self, data: bytes, address: Address) -> None:
        """Send one datagram."""

    def send_runs(self, runs: Sequence[Run], address: Address) -> None:
        """Send runs of datagrams, in order."""

    def close(self) -> None:
        """Send nothing more, and release the socket."""


class StreamOwner(Protocol):
    """What carriers tell their agent."""

    def on_stun(self, path: int, data: bytes, address: Address, now: float) -> None:
        """One STUN message on a path."""

    def on_relayed(self, path: int, address: Address, runs: list[Run], now: float) -> None:
        """Packets, or pieces of a stream, from a relay's server."""

    def receiver(self, path: int, address: Address) -> Receiver | None:
        """Who takes other packets from there."""

    def on_carrier_lost(self, path: int, reason: str) -> None:
        """A stream has ended."""


class HostCarrier:
    """A socket of our own that peers send to."""

    def __init__(
        self, owner: StreamOwner, path: int, loop: asyncio.AbstractEventLoop, sock: socket.socket
    ) -> None:
        self._owner = owner
        self._path = path
        self.endpoint = UdpEndpoint(loop, sock, self)
        self.send = self.endpoint.send
        self.send_runs = self.endpoint.send_runs
        self.close = self.endpoint.close

    @property
    def is_full(self) -> bool:
        """See `Carrier`."""
        return self.endpoint.is_full

    def route(self, address: Address) -> Receiver | None:
        """See `DatagramSink`."""
        return self._owner.receiver(self._path, address)

    def on_stun(self, data: bytes, address: Address, now: float) -> None:
        """See `DatagramSink`."""
        self._owner.on_stun(self._path, data, address, now)


class RelayCarrier:
    """A socket that leads to a TURN server."""

    def __init__(
        self, owner: StreamOwner, path: int, loop: asyncio.AbstractEventLoop, sock: socket.socket
    ) -> None:
        self._owner = owner
        self._path = path
        self.endpoint = UdpEndpoint(loop, sock, None, raw=self)
        self.send = self.endpoint.send
        self.send_runs = self.endpoint.send_runs
        self.close = self.endpoint.close

    @property
    def is_full(self) -> bool:
        """See `Carrier`."""
        return self.endpoint.is_full

    def on_runs(self, runs: list[tuple[Address, Run]], now: float) -> None:
        """See `RawSink`; what is not from one server in a row is told apart."""
        start = 0
        for i in range(1, len(runs) + 1):
            if i == len(runs) or runs[i][0] != runs[start][0]:
                self._owner.on_relayed(self._path, runs[start][0], [r for _, r in runs[start:i]], now)
                start = i


class StreamCarrier(asyncio.Protocol):
    """A TCP or TLS connection to a TURN server."""

    def __init__(self, owner: StreamOwner, server: Address) -> None:
        self._owner = owner
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._closing = False
        self.path = 0
        self.dropped = 0

    @property
    def sockname(self) -> Address:
        """The local address, once connected."""
        assert self._transport is not None
        name = self._transport.get_extra_info("sockname")
        return str(name[0]), int(name[1])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        if not self._closing:
            self._owner.on_relayed(self.path, self._server, [Run(data, len(data))], monotonic())

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        if not self._closing:
            self._closing = True
            reason = "the server closed the connection" if exc is None else str(exc)
            self._owner.on_carrier_lost(self.path, reason)

    @property
    def is_full(self) -> bool:
        """See `Carrier`."""
        return self._transport is not None and self._transport.get_write_buffer_size() > MAX_STREAM_BYTES

    def send(self, data: bytes, address: Address) -> None:
        """See `Carrier`; there is one address only."""
        self.send_runs((Run(data, len(data)),), address)

    def send_runs(self, runs: Sequence[Run], address: Address) -> None:
        """See `Carrier`."""
        transport = self._transport
        if transport is None or self._closing:
            return
        if self.is_full:
            self.dropped += len(runs)
            return
        transport.write(b"".join([run.data for run in runs]))

    def close(self) -> None:
        """See `Carrier`; what was written before still leaves."""
        self._closing = True
        if self._transport is not None:
            self._transport.close()
