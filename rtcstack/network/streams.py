"""TCP on asyncio's transports."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import cast

from rtcstack.clock import monotonic
from rtcstack.engine import Address
from rtcstack.network.sockets import listening_socket, stream_socket
from rtcstack.platform.values import Stream, StreamSink

__all__ = ["SystemListener", "SystemStream", "connect", "listen"]


class SystemStream(asyncio.Protocol):
    """One connection; see `rtcstack.platform.Stream`.

    Args:
        sink: who takes what comes; None for one that was accepted.
        accept: says who it is, then.
    """

    def __init__(self, sink: StreamSink | None, accept: Callable[[Stream], StreamSink] | None = None) -> None:
        self._sink = sink
        self._accept = accept
        self._transport: asyncio.Transport | None = None
        self._is_over = False
        self._sockname: Address = ("", 0)
        self._peername: Address = ("", 0)

    @property
    def sockname(self) -> Address:
        """See `rtcstack.platform.Stream`."""
        return self._sockname

    @property
    def peername(self) -> Address:
        """See `rtcstack.platform.Stream`."""
        return self._peername

    @property
    def waiting_bytes(self) -> int:
        """See `rtcstack.platform.Stream`."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        transport = cast("asyncio.Transport", transport)  # not every loop's is one by its class
        self._transport = transport
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sockname = _address(transport.get_extra_info("sockname"))
        self._peername = _address(transport.get_extra_info("peername"))
        if self._accept is not None:
            accept, self._accept = self._accept, None
            self._sink = accept(self)
        else:
            transport.pause_reading()  # until whoever connects has been told so

    def start(self) -> None:
        """Begin to read."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        if not self._is_over and self._sink is not None:
            self._sink.on_data(data, monotonic())

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        if not self._is_over:
            self._is_over = True
            if self._sink is not None:
                self._sink.on_lost("the other end closed the connection" if exc is None else str(exc))
        self._sink = None

    def write(self, data: bytes) -> None:
        """See `rtcstack.platform.Stream`."""
        if self._transport is not None and not self._is_over:
            self._transport.write(data)

    def close(self) -> None:
        """See `rtcstack.platform.Stream`."""
        self._is_over = True
        self._end(lambda transport: transport.close())

    def abort(self) -> None:
        """Close at once, whatever waits."""
        self._end(lambda transport: transport.abort())

    def _end(self, how: Callable[[asyncio.Transport], None]) -> None:
        transport = self._transport
        if transport is not None:
            try:
                how(transport)
            except RuntimeError:  # the loop is closed: the socket ends with the last who knows it
                self._transport = None


class SystemListener:
    """See `rtcstack.platform.Listener`."""

    def __init__(self, server: asyncio.Server, sockname: Address) -> None:
        self._server = server
        self._sockname = sockname

    @property
    def sockname(self) -> Address:
        """See `rtcstack.platform.Listener`."""
        return self._sockname

    def close(self) -> None:
        """See `rtcstack.platform.Listener`."""
        with contextlib.suppress(RuntimeError):  # of a closed loop: the sockets end with this object
            self._server.close()


async def connect(remote: Address, sink: StreamSink, local: Address | None) -> SystemStream:
    """See `rtcstack.platform.Network.open_tcp`."""
    loop = asyncio.get_running_loop()
    sock = stream_socket(remote, local)
    try:
        await loop.sock_connect(sock, remote)
        _, stream = await loop.create_connection(lambda: SystemStream(sink), sock=sock)
    except BaseException:
        sock.close()
        raise
    loop.call_soon(stream.start)
    return stream


async def listen(
    local: Address,
    accept: Callable[[Stream], StreamSink],
    port_range: tuple[int, int] | None,
    shares_port: bool,
) -> SystemListener:
    """See `rtcstack.platform.Network.listen_tcp`."""
    loop = asyncio.get_running_loop()
    sock = listening_socket(local, port_range, shares_port=shares_port)
    try:
        server = await loop.create_server(lambda: SystemStream(None, accept), sock=sock)
    except BaseException:
        sock.close()
        raise
    return SystemListener(server, _address(sock.getsockname()))


def _address(name: tuple[object, ...] | None) -> Address:
    # gone already, where a connection was closed before anybody looked
    return ("", 0) if not name else (str(name[0]), int(str(name[1])))
