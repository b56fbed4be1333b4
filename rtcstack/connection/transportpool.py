"""Agents that gather before there is a transport for them.

Spec: webrtc-pc, section 4.4.1.7 ([[IceCandidatePoolSize]]).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from rtcstack.engine import Run
from rtcstack.ice import Address, GatheringState, IceServer, IceState, PairNews, PairView
from rtcstack.platform import Network
from rtcstack.sdp import Candidate

if TYPE_CHECKING:
    from rtcstack.ice import AnyIceAgent, IceConfig

__all__ = ["MAX_POOLED", "AgentPool"]

MAX_POOLED = 16
"""Agents that gather ahead, whatever `iceCandidatePoolSize` says: each has sockets, and more sections
than this are bundled."""


class _Unheard:
    """Observes an agent of the pool, which tells nothing."""

    def on_ice_candidate(self, candidate: Candidate, ufrag: str, server: IceServer | None) -> None:
        """Never called."""

    def on_ice_gathering(self, state: GatheringState) -> None:
        """Never called."""

    def on_ice_server_error(self, server: IceServer, local: Address | None, code: int, text: str) -> None:
        """Never called."""

    def on_ice_path(
        self, state: IceState | None, pair: PairView | None, *, is_unselected: bool = False
    ) -> None:
        """Never called."""

    def on_ice_pair(self, news: PairNews, pair: PairView) -> None:
        """Never called."""

    def on_datagrams(
        self, dtls: list[Run], srtp: list[bytes], now: float, arrived: list[float] | None = None
    ) -> None:
        """Never called."""


_UNHEARD = _Unheard()


class AgentPool:
    """Agents of one connection that gather ahead.

    Args:
        network: what they gather on; None for this machine's.
        credentials: of their first generation.
        released: is given the task that ends when a dropped agent's sockets are released.
    """

    __slots__ = ("_agents", "_credentials", "_network", "_released")

    def __init__(
        self,
        network: Network | None,
        credentials: tuple[str, str],
        released: Callable[[asyncio.Task[None] | None], None],
    ) -> None:
        self._network = network
        self._credentials = credentials
        self._released = released
        self._agents: list[AnyIceAgent] = []

    def fill(self, wanted: int, config: IceConfig) -> None:
        """Gather ahead with as many agents as are wanted, `MAX_POOLED` at most, with these settings.

        Without a running event loop nothing is gathered; it is done when it is needed.
        """
        wanted = min(wanted, MAX_POOLED)
        agents = self._agents
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        while agents and (len(agents) > wanted or agents[-1].config != config):
            self._released(agents.pop().abandon())
        ufrag, pwd = self._credentials
        while len(agents) < wanted:
            from rtcstack.ice import make_agent

            agent = make_agent(config, _UNHEARD, ufrag=ufrag, pwd=pwd, network=self._network)
            agent.gather_ahead()
            agents.append(agent)

    def take(self) -> AnyIceAgent | None:
        """An agent that has begun to gather, if there is one."""
        return self._agents.pop(0) if self._agents else None

    def empty(self) -> None:
        """What is left is not going to be used."""
        while self._agents:
            self._released(self._agents.pop().abandon())
