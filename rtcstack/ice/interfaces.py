"""This machine's addresses, and sockets bound to them."""

from __future__ import annotations

import functools
import socket

import ifaddr

from rtcstack.clock import monotonic
from rtcstack.ice.config import IceConfig

__all__ = ["bind_udp", "host_addresses", "local_address_for"]

ADAPTERS_KEPT_S = 1.0
"""The system is asked for its addresses at most so often: it takes 0.3 ms."""


@functools.lru_cache(maxsize=1)
def _adapters(_period: int) -> list[ifaddr.Adapter]:
    return list(ifaddr.get_adapters())


def host_addresses(config: IceConfig) -> list[str]:
    """The machine's addresses that host candidates are made of, in the system's order."""
    found: list[str] = []
    loopback: list[str] = []
    for adapter in _adapters(int(monotonic() / ADAPTERS_KEPT_S)):
        for ip in adapter.ips:
            if isinstance(ip.ip, str):
                if config.use_ipv4:
                    (loopback if ip.ip.startswith("127.") else found).append(ip.ip)
            elif config.use_ipv6:
                address, _, scope = ip.ip
                if address == "::1":
                    loopback.append(address)
                elif scope == 0:  # link-local addresses are no use to a peer without their scope
                    found.append(address)
    return found + loopback if config.include_loopback or not found else found


def local_address_for(remote: tuple[str, int]) -> str:
    """The address from which the system would send there.

    Raises:
        OSError: there is no way.
    """
    family = socket.AF_INET6 if ":" in remote[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(remote)  # sends nothing
        return str(probe.getsockname()[0])


def bind_udp(address: str, config: IceConfig) -> socket.socket:
    """A UDP socket on this address.

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
        sock.bind((address, 0))
    except BaseException:
        sock.close()
        raise
    return sock
