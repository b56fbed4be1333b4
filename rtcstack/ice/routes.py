"""Who gets what peers send that is not STUN: it is counted on its pair, then handed to the owner.

Spec: RFC 8445, section 12.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rtcstack.engine import Address, Run
from rtcstack.ice.contract import IceObserver
from rtcstack.ice.engine import IceEngine, Pair, RelayedArrival

__all__ = ["Route", "Routes"]

MAX_ROUTES = 256
"""Peers' addresses of which packets are counted one by one."""


class RouteOwner(Protocol):
    """The agent that packets are for."""

    engine: IceEngine
    observer: IceObserver
    is_broken: bool

    def heard(self, pair: Pair | None, now: float) -> None:
        """Packets came from the peer, on this pair if it is known."""

    def on_fault(self, exc: BaseException) -> None:
        """The engine raised."""


class Route:
    """Where one peer address's packets go: counted, then to the owner."""

    __slots__ = ("_agent", "_path", "_remote", "pair")

    def __init__(self, agent: RouteOwner, path: int, remote: Address) -> None:
        self._agent = agent
        self._path = path
        self._remote = remote
        self.pair: Pair | None = None

    def on_datagrams(
        self, dtls: list[Run], srtp: list[bytes], now: float, arrived: list[float] | None = None
    ) -> None:
        """See `Receiver`."""
        agent = self._agent
        if agent.is_broken:
            return
        try:
            self._count(agent, dtls, srtp, now)
            agent.heard(self.pair, now)
        except Exception as exc:  # a fault of ours ends this agent alone
            agent.on_fault(exc)
        agent.observer.on_datagrams(dtls, srtp, now, arrived)

    def _count(self, agent: RouteOwner, dtls: list[Run], srtp: list[bytes], now: float) -> None:
        pair = self.pair
        if pair is None:
            pair = self.pair = agent.engine.find_pair(self._path, self._remote)
        if pair is not None:
            pair.packets_received += len(srtp)
            for data, segment in dtls:
                pair.packets_received += -(-len(data) // segment)
                pair.bytes_received += len(data)
            for packet in srtp:
                pair.bytes_received += len(packet)
            pair.data_received_at = now


class Routes:
    """The routes of one agent.

    Args:
        agent: whose.
    """

    def __init__(self, agent: RouteOwner) -> None:
        self._agent = agent
        self._routes: dict[tuple[int, Address], Route] = {}

    def __len__(self) -> int:
        return len(self._routes)

    def find(self, path: int, address: Address) -> Route | None:
        """Who takes packets from there; nobody, where no peer is known."""
        route = self._routes.get((path, address))
        agent = self._agent
        if route is None and not agent.is_broken and agent.engine.accepts_from(address):
            route = Route(agent, path, address)
            if len(self._routes) < MAX_ROUTES:
                self._routes[path, address] = route
        return route

    def hand_on(self, relayed: Sequence[RelayedArrival], now: float) -> None:
        """What peers have sent through a relay: each one's to its route."""
        start = 0
        for i in range(1, len(relayed) + 1):
            if i == len(relayed) or relayed[i][:2] != relayed[start][:2]:
                route = self.find(relayed[start].path, relayed[start].remote)
                if route is not None:
                    _hand_on(route, relayed[start:i], now)
                start = i

    def forget_paths(self) -> None:
        """Paths may have come to their end."""
        engine = self._agent.engine
        self._routes = {k: r for k, r in self._routes.items() if engine.path(k[0]) is not None}

    def clear(self) -> None:
        """There is nobody any more."""
        self._routes.clear()


def _hand_on(route: Route, relayed: Sequence[RelayedArrival], now: float) -> None:
    """What one peer has sent through a relay, by protocol, with the times at which it came."""
    dtls = [Run(data, len(data)) for _, _, data, _ in relayed if 20 <= data[0] < 64]
    srtp = [data for _, _, data, _ in relayed if 128 <= data[0] < 192]
    arrived: list[float] | None = [at for _, _, data, at in relayed if 128 <= data[0] < 192]
    if arrived == [now] * len(srtp):
        arrived = None
    route.on_datagrams(dtls, srtp, now, arrived)
