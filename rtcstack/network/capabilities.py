"""What this system and a loop can do. Nothing else in the stack asks for the platform."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from enum import StrEnum

__all__ = [
    "HAS_KERNEL_TIMES",
    "HAS_MESSAGES",
    "HAS_SEGMENTATION",
    "SOL_UDP",
    "SO_TIMESTAMPNS",
    "UDP_GRO",
    "UDP_SEGMENT",
    "Form",
    "enable_gro",
    "enable_kernel_times",
    "form_for",
    "open_netlink",
    "share_port",
    "watches_sockets",
]

UDP_SEGMENT = 103
UDP_GRO = 104
"""Linux (linux/udp.h), since 4.18 and 5.0."""

SO_TIMESTAMPNS = 35
"""Linux: the kernel notes when each datagram arrived (linux/socket.h, asm-generic)."""

SOL_UDP = 17

HAS_MESSAGES = all(hasattr(socket.socket, name) for name in ("recvmsg_into", "sendmsg"))
"""Whether there is ancillary data: POSIX has it."""

HAS_SEGMENTATION = HAS_MESSAGES and sys.platform == "linux"
"""Whether it is worth while to ask the kernel to cut a run; it may still refuse."""

HAS_KERNEL_TIMES = sys.platform == "linux" and struct.calcsize("l") == 8
"""Whether the times that the kernel notes are of the layout that is read here."""

_RTMGRP_LINK = 0x1
_RTMGRP_IPV4_IFADDR = 0x10
_RTMGRP_IPV6_IFADDR = 0x100


class Form(StrEnum):
    """How UDP sockets are driven."""

    BATCHED = "batched"
    """By the loop's readers and writers, many datagrams at once; POSIX."""
    PORTABLE = "portable"
    """By asyncio's datagram endpoints; every loop and system."""


def watches_sockets(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether a loop tells when a socket is readable; Windows' default one does not."""
    return type(loop).add_reader is not asyncio.AbstractEventLoop.add_reader


def form_for(loop: asyncio.AbstractEventLoop) -> Form:
    """The better one of those that work."""
    return Form.BATCHED if HAS_MESSAGES and watches_sockets(loop) else Form.PORTABLE


def enable_gro(sock: socket.socket) -> bool:
    """Have the kernel hand over runs; whether it does."""
    if not HAS_SEGMENTATION:
        return False
    try:
        sock.setsockopt(SOL_UDP, UDP_GRO, 1)
    except OSError:
        return False
    return True


def enable_kernel_times(sock: socket.socket) -> bool:
    """Have the kernel note when each datagram arrives; whether it does."""
    if not HAS_MESSAGES or not HAS_KERNEL_TIMES:
        return False
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    except OSError:
        return False
    return True


def open_netlink(loop: asyncio.AbstractEventLoop) -> socket.socket | None:
    """A socket that becomes readable when this machine's addresses change; Linux alone has it."""
    family = getattr(socket, "AF_NETLINK", None)
    if family is None or not watches_sockets(loop):
        return None
    try:
        netlink = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    except OSError:
        return None
    try:
        netlink.bind((0, _RTMGRP_LINK | _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV6_IFADDR))
    except OSError:
        netlink.close()
        return None
    return netlink


def reuse_address(sock: socket.socket) -> None:
    """Let a TCP socket have a port on which connections of a listener that is gone still linger."""
    if sys.platform != "win32":  # there, SO_REUSEADDR would let any program take the port over
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def share_port(sock: socket.socket) -> None:
    """Let a TCP socket have a port that another one of ours has."""
    reuse_address(sock)
    if sys.platform == "win32":
        return
    if hasattr(socket, "SO_REUSEPORT"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
