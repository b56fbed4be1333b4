"""Candidates between aioice's form and ours, and the addresses that host candidates are made of."""

from __future__ import annotations

import functools

import aioice
import aioice.ice
import ifaddr

from rtcstack.clock import monotonic
from rtcstack.ice.config import IceConfig
from rtcstack.sdp.candidate import Candidate

ADAPTERS_KEPT_S = 1.0
"""The system is asked for its addresses at most so often: it takes 0.3 ms."""

__all__ = ["PairView", "host_addresses", "to_aioice", "to_candidate"]


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


def to_candidate(candidate: aioice.Candidate) -> Candidate:
    """aioice's candidate as the rest of the project knows it."""
    extensions = () if candidate.tcptype is None else (("tcptype", candidate.tcptype),)
    return Candidate(
        foundation=candidate.foundation,
        component=candidate.component,
        transport=candidate.transport,
        priority=candidate.priority,
        address=candidate.host,
        port=candidate.port,
        type=candidate.type,
        related_address=candidate.related_address,
        related_port=candidate.related_port,
        extensions=extensions,
    )


def to_aioice(candidate: Candidate) -> aioice.Candidate:
    return aioice.Candidate(
        foundation=candidate.foundation,
        component=candidate.component,
        transport=candidate.transport.lower(),
        priority=candidate.priority,
        host=candidate.address,
        port=candidate.port,
        type=candidate.type,
        related_address=candidate.related_address,
        related_port=candidate.related_port,
        tcptype=candidate.tcp_type,
    )


class PairView:
    """A candidate pair, as the layers above may see it."""

    __slots__ = ("local", "pair", "remote")

    def __init__(self, pair: aioice.ice.CandidatePair) -> None:
        self.pair = pair
        self.local = to_candidate(pair.local_candidate)
        self.remote = to_candidate(pair.remote_candidate)
