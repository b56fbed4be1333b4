"""Sockets, bound: what both forms and streams begin with."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any

from rtcstack.engine import Address
from rtcstack.entropy import entropy
from rtcstack.network.capabilities import reuse_address, share_port
from rtcstack.platform.values import UdpOptions

__all__ = [
    "bind_in_range",
    "family_of",
    "forget_socket",
    "listening_socket",
    "set_buffers",
    "stream_socket",
    "udp_socket",
]

BACKLOG = 128
"""Connections that the system keeps until they are accepted."""


def set_buffers(sock: Any, options: UdpOptions) -> None:
    """Ask for the buffers of a socket, or of what stands for one.

    The default receive buffer, 208 KB, loses packets as soon as the program is busy.
    """
    if options.receive_buffer_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options.receive_buffer_bytes)
    if options.send_buffer_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, options.send_buffer_bytes)


def family_of(host: str) -> socket.AddressFamily:
    """Of a literal address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def forget_socket(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    """Close a socket that a loop watches, also after the loop's own end."""
    if not loop.is_closed():
        loop.remove_reader(sock.fileno())
        loop.remove_writer(sock.fileno())
    sock.close()


def udp_socket(local: Address, options: UdpOptions) -> socket.socket:
    """A UDP socket, non-blocking; see `Network.open_udp`.

    Raises:
        OSError: it cannot be had.
    """
    sock = socket.socket(family_of(local[0]), socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        set_buffers(sock, options)
        bind_in_range(sock, local, options.port_range)
    except BaseException:
        sock.close()
        raise
    return sock


def listening_socket(
    local: Address, port_range: tuple[int, int] | None, *, shares_port: bool = False
) -> socket.socket:
    """A TCP socket that listens, non-blocking; see `Network.listen_tcp`.

    Raises:
        OSError: it cannot be had.
    """
    sock = socket.socket(family_of(local[0]), socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if shares_port:
            share_port(sock)  # simultaneous-open candidates connect from the port that they listen on
        else:
            reuse_address(sock)
        bind_in_range(sock, local, port_range)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def stream_socket(remote: Address, local: Address | None) -> socket.socket:
    """A TCP socket that is about to connect, non-blocking.

    Raises:
        OSError: it cannot be had.
    """
    sock = socket.socket(family_of(remote[0]), socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if local is not None:
            if local[1]:
                share_port(sock)
            sock.bind(local)
    except BaseException:
        sock.close()
        raise
    return sock


def bind_in_range(sock: socket.socket, local: Address, port_range: tuple[int, int] | None) -> None:
    """Bind to the port that is named, or to one of the range, or to any.

    Raises:
        OSError: none is free.
    """
    host, port = local
    if port or port_range is None:
        sock.bind(local)
        return
    first, last = port_range
    count = last - first + 1
    start = entropy().random.randrange(count)  # connections made together shall not try the same ports
    for i in range(count):
        try:
            sock.bind((host, first + (start + i) % count))
        except OSError as exc:
            if exc.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
        else:
            return
    raise OSError(errno.EADDRINUSE, f"no port from {first} to {last} is free on {host}")
