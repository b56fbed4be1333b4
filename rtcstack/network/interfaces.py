"""This machine's addresses."""

from __future__ import annotations

import functools
import socket
from typing import TYPE_CHECKING

from rtcstack.clock import monotonic
from rtcstack.engine import Address
from rtcstack.network.sockets import family_of
from rtcstack.platform.values import HostAddress

if TYPE_CHECKING:
    import ifaddr

__all__ = ["all_addresses", "interfaces", "local_address_for", "read_anew"]

ADAPTERS_KEPT_S = 1.0
"""The system is asked for its addresses at most so often: it takes 0.3 ms."""


@functools.lru_cache(maxsize=1)
def _adapters(_period: int) -> list[ifaddr.Adapter]:
    import ifaddr

    return list(ifaddr.get_adapters())


def interfaces() -> list[HostAddress]:
    """See `rtcstack.platform.Network`."""
    found: list[HostAddress] = []
    for adapter in _adapters(int(monotonic() / ADAPTERS_KEPT_S)):
        for ip in adapter.ips:
            if isinstance(ip.ip, str):
                found.append(HostAddress(ip.ip, adapter.name, ip.ip.startswith("127.")))
            else:
                host, _, scope = ip.ip
                if scope == 0:
                    found.append(HostAddress(host, adapter.name, host == "::1"))
    return found


def read_anew() -> None:
    """Something has changed: the system is asked when its addresses are wanted next."""
    _adapters.cache_clear()


def all_addresses() -> frozenset[str]:
    """Every address that this machine has, but those of the loopback and of a link alone."""
    return frozenset(a.host for a in interfaces() if not a.is_loopback)


def local_address_for(remote: Address) -> str:
    """See `rtcstack.platform.Network`."""
    with socket.socket(family_of(remote[0]), socket.SOCK_DGRAM) as probe:
        probe.connect(remote)  # sends nothing
        return str(probe.getsockname()[0])
