"""Streams and servers of asyncio's kind on the virtual internet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from rtcstack.testing.sockets import VirtualSocket, named
from rtcstack.testing.tcp import TcpEnd, TcpListener

__all__ = ["HIGH_WATER_BYTES", "VirtualServer", "VirtualStreamTransport"]

HIGH_WATER_BYTES = 1 << 16
"""When so much waits to be sent, the protocol is told to write no more, unless it sets another limit."""


class VirtualStreamTransport(asyncio.Transport):
    """See `asyncio.Transport`.

    Args:
        loop: whose.
        end: of the connection.
        protocol: who takes what comes.
        server: that has accepted it, if one has.
    """

    _start_tls_compatible = True  # asyncio asks

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        end: TcpEnd,
        protocol: asyncio.BaseProtocol,
        server: VirtualServer | None = None,
    ) -> None:
        super().__init__()
        self._loop = loop
        self._end = end
        self._protocol = protocol
        self._server = server
        self._is_closing = False
        self._is_told = False
        self._is_full = False
        self._is_reading = True
        self._high, self._low = HIGH_WATER_BYTES, HIGH_WATER_BYTES // 4
        end.on_room = self._has_room
        if server is not None:
            server.attach(self)
        self._extra_info: dict[str, Any] = {
            "sockname": named(end.sockname),
            "peername": named(end.peername),
            "socket": VirtualSocket.of(end.host, end.sockname, end.peername, is_tcp=True),
        }
        end.pause()  # nothing is told before connection_made
        loop.call_soon(self._begin)

    def _begin(self) -> None:
        self._protocol.connection_made(self)
        if self._is_reading:
            self._end.resume()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See `asyncio.BaseTransport.get_extra_info`."""
        return self._extra_info.get(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """See `asyncio.BaseTransport.set_protocol`."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """See `asyncio.BaseTransport.get_protocol`."""
        return self._protocol

    def is_closing(self) -> bool:
        """See `asyncio.BaseTransport.is_closing`."""
        return self._is_closing

    def is_reading(self) -> bool:
        """See `asyncio.ReadTransport.is_reading`."""
        return self._is_reading and not self._is_closing

    def pause_reading(self) -> None:
        """See `asyncio.ReadTransport.pause_reading`."""
        self._is_reading = False
        self._end.pause()

    def resume_reading(self) -> None:
        """See `asyncio.ReadTransport.resume_reading`."""
        if not self._is_reading and not self._is_closing:
            self._is_reading = True
            self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        if self._is_reading:
            self._end.resume()

    def write(self, data: Any) -> None:
        """See `asyncio.WriteTransport.write`."""
        if self._is_closing:
            return
        self._end.write(bytes(data))
        if not self._is_full and self._end.waiting_bytes > self._high:
            self._is_full = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """See `asyncio.WriteTransport.writelines`."""
        self.write(b"".join(list_of_data))

    def _has_room(self) -> None:
        if self._is_full and self._end.waiting_bytes <= self._low:
            self._is_full = False
            self._loop.call_soon(self._protocol.resume_writing)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See `asyncio.WriteTransport.set_write_buffer_limits`."""
        self._high = high if high is not None else HIGH_WATER_BYTES if low is None else 4 * low
        self._low = low if low is not None else self._high // 4

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """See `asyncio.WriteTransport.get_write_buffer_limits`."""
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        """See `asyncio.WriteTransport.get_write_buffer_size`."""
        return self._end.waiting_bytes

    def can_write_eof(self) -> bool:
        """Half-closed connections are not kept."""
        return False

    def close(self) -> None:
        """See `asyncio.BaseTransport.close`."""
        if not self._is_closing:
            self._is_closing = True
            self._end.close()
            self._loop.call_soon(self._tell_lost, None)

    def abort(self) -> None:
        """See `asyncio.WriteTransport.abort`."""
        if not self._is_closing:
            self._is_closing = True
            self._end.abort()
            self._loop.call_soon(self._tell_lost, None)

    def on_data(self, data: bytes, now: float) -> None:
        """See `rtcstack.platform.StreamSink`."""
        protocol = self._protocol
        if self._is_closing:
            return
        if isinstance(protocol, asyncio.BufferedProtocol):
            view = memoryview(data)
            while view:
                buffer = memoryview(protocol.get_buffer(len(view)))
                count = min(len(buffer), len(view))
                buffer[:count] = view[:count]
                view = view[count:]
                protocol.buffer_updated(count)
        else:
            assert isinstance(protocol, asyncio.Protocol)
            protocol.data_received(data)

    def on_lost(self, reason: str) -> None:
        """See `rtcstack.platform.StreamSink`."""
        if self._is_closing:
            return
        self._is_closing = True
        if self._end.was_ended:
            assert isinstance(self._protocol, (asyncio.Protocol, asyncio.BufferedProtocol))
            self._protocol.eof_received()
            self._loop.call_soon(self._tell_lost, None)
        else:
            self._loop.call_soon(self._tell_lost, ConnectionResetError(reason))

    def _tell_lost(self, error: Exception | None) -> None:
        if not self._is_told:
            self._is_told = True
            try:
                self._protocol.connection_lost(error)
            finally:
                if self._server is not None:
                    self._server.detach(self)


class VirtualServer(asyncio.AbstractServer):
    """See `asyncio.Server`.

    Args:
        loop: whose.
        open_listeners: opens what it listens on.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, open_listeners: Callable[[VirtualServer], list[TcpListener]]
    ) -> None:
        self._loop = loop
        self._open = open_listeners
        self._listeners: list[TcpListener] = []
        self._sockets: list[VirtualSocket] = []
        self._transports: set[VirtualStreamTransport] = set()
        self._waiters: list[asyncio.Future[None]] = []
        self._is_closed = False

    @property
    def sockets(self) -> tuple[VirtualSocket, ...]:
        """What it listens on."""
        return tuple(self._sockets)

    def listen(self, host_of: Callable[[TcpListener], VirtualSocket]) -> None:
        """Begin to listen."""
        if not self._listeners and not self._is_closed:
            self._listeners = self._open(self)
            self._sockets = [host_of(listener) for listener in self._listeners]

    def attach(self, transport: VirtualStreamTransport) -> None:
        """A connection was accepted."""
        self._transports.add(transport)

    def detach(self, transport: VirtualStreamTransport) -> None:
        """It is over."""
        self._transports.discard(transport)
        self._wake()

    def _wake(self) -> None:
        if self._is_closed and not self._transports:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def close(self) -> None:
        """Accept nothing more."""
        self._is_closed = True
        for listener in self._listeners:
            listener.close()
        self._listeners, self._sockets = [], []
        self._wake()

    def close_clients(self) -> None:
        """Close what was accepted."""
        for transport in list(self._transports):
            transport.close()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop."""
        return self._loop

    def is_serving(self) -> bool:
        """Whether it accepts."""
        return bool(self._listeners)

    async def start_serving(self) -> None:
        """It does so from the beginning."""

    async def serve_forever(self) -> None:
        """Wait until cancelled, and close."""
        try:
            await self._loop.create_future()
        finally:
            self.close()

    async def wait_closed(self) -> None:
        """Wait until it is closed, and what it has accepted is over."""
        if not self._is_closed or self._transports:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiters.append(waiter)
            await waiter
