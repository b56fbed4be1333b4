"""This machine's addresses, and sockets bound to them."""

from __future__ import annotations

import errno
import functools
import random
import socket
from typing import NamedTuple

import ifaddr

from rtcstack.clock import monotonic
from rtcstack.ice.config import IceConfig

__all__ = ["HostAddress", "all_addresses", "bind_in_range", "bind_udp", "host_addresses", "local_address_for"]

ADAPTERS_KEPT_S = 1.0
"""The system is asked for its addresses at most so often: it takes 0.3 ms."""


@functools.lru_cache(maxsize=1)
def _adapters(_period: int) -> list[ifaddr.Adapter]:
    return list(ifaddr.get_adapters())


class HostAddress(NamedTuple):
    """One of this machine's addresses, and the interface that it is on."""

    host: str
    interface: str


def host_addresses(config: IceConfig) -> list[HostAddress]:
    """The machine's addresses that host candidates are made of, in the system's order."""
    found: list[HostAddress] = []
    loopback: list[HostAddress] = []
    for adapter in _adapters(int(monotonic() / ADAPTERS_KEPT_S)):
        for ip in adapter.ips:
            if isinstance(ip.ip, str):
                host, is_loopback = ip.ip, ip.ip.startswith("127.")
                usable = config.use_ipv4
            else:
                host, _, scope = ip.ip
                is_loopback = host == "::1"
                # link-local addresses are no use to a peer without their scope
                usable = config.use_ipv6 and scope == 0
            if usable and is_wanted(host, adapter.name, config):
                (loopback if is_loopback else found).append(HostAddress(host, adapter.name))
    return found + loopback if config.include_loopback or not found else found


def all_addresses() -> frozenset[str]:
    """Every address that this machine has now, but those of the loopback and of a link alone."""
    _adapters.cache_clear()
    config = IceConfig()
    return frozenset(a.host for a in host_addresses(config))


def is_wanted(host: str, interface: str, config: IceConfig) -> bool:
    """Whether the application's filters let this address be used."""
    options = config.options
    if options.bind_addresses and host not in options.bind_addresses:
        return False
    if options.interface_filter is not None and not options.interface_filter(interface):
        return False
    return options.address_filter is None or options.address_filter(host)


def local_address_for(remote: tuple[str, int]) -> str:
    """The address from which the system would send there.

    Raises:
        OSError: there is no way.
    """
    family = socket.AF_INET6 if ":" in remote[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(remote)  # sends nothing
        return str(probe.getsockname()[0])


def bind_udp(address: str, config: IceConfig, *, port: int | None = None) -> socket.socket:
    """A UDP socket on this address, and on this port, or one that the settings allow.

    Raises:
        OSError: it cannot be had.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        # The default receive buffer, 208 KB, loses packets as soon as the program is busy.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, config.receive_buffer_bytes)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, config.send_buffer_bytes)
        if port is None:
            bind_in_range(sock, address, config.options.port_range)
        else:
            sock.bind((address, port))
    except BaseException:
        sock.close()
        raise
    return sock


def bind_in_range(sock: socket.socket, address: str, port_range: tuple[int, int] | None) -> None:
    """Bind to a port of the range, or to any.

    Raises:
        OSError: none is free.
    """
    if port_range is None:
        sock.bind((address, 0))
        return
    first, last = port_range
    count = last - first + 1
    start = random.randrange(count)  # connections made together shall not try the same ports
    for i in range(count):
        try:
            sock.bind((address, first + (start + i) % count))
        except OSError as exc:
            if exc.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
        else:
            return
    raise OSError(errno.EADDRINUSE, f"no port from {first} to {last} is free on {address}")
