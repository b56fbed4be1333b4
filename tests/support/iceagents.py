"""ICE agents by themselves, each with an observer that signals for it and keeps what it is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Generic, TypeVar

from rtcstack.engine import Run
from rtcstack.ice import (
    Address,
    AnyIceAgent,
    GatheringState,
    IceConfig,
    IceServer,
    IceState,
    PairNews,
    PairView,
)
from rtcstack.ice.agent import IceAgent
from rtcstack.ice.contract import IceObserver
from rtcstack.sdp.candidate import Candidate

__all__ = ["FAST", "Observed", "Observer", "agents", "connect", "start"]

FAST = IceConfig(
    include_loopback=True,
    use_ipv6=False,
    keepalive_s=0.05,
    disconnected_timeout_s=0.2,
    failed_timeout_s=0.6,
)

A = TypeVar("A", bound=AnyIceAgent)


class Observed(Generic[A]):
    """An agent whose candidates go to the other side; keeps what it is told.

    Args:
        make: makes the agent, for this observer.
    """

    def __init__(self, make: Callable[[IceObserver], A]) -> None:
        self.agent = make(self)
        self.other: Observed[A] | None = None
        self.states: list[IceState] = []
        self.gathering: list[GatheringState] = []
        self.candidates: list[Candidate] = []
        self.pairs: list[PairView] = []
        self.news: list[tuple[PairNews, PairView]] = []
        self.data: list[bytes] = []
        self.errors: list[tuple[IceServer, int]] = []
        self.changed = asyncio.Event()

    def on_ice_candidate(self, candidate: Candidate, ufrag: str, server: IceServer | None) -> None:
        self.candidates.append(candidate)
        if self.other is not None:
            self.other.agent.add_remote_candidate(candidate)

    def on_ice_gathering(self, state: GatheringState) -> None:
        self.gathering.append(state)
        if state is GatheringState.COMPLETE and self.other is not None:
            self.other.agent.end_of_remote_candidates()
        self.changed.set()

    def on_ice_server_error(self, server: IceServer, local: Address | None, code: int, text: str) -> None:
        self.errors.append((server, code))
        self.changed.set()

    def on_ice_path(
        self, state: IceState | None, pair: PairView | None, *, is_unselected: bool = False
    ) -> None:
        self.states += [state] if state else []
        self.pairs += [pair] if pair else []
        self.changed.set()

    def on_ice_pair(self, news: PairNews, pair: PairView) -> None:
        self.news.append((news, pair))
        self.changed.set()

    def on_datagrams(
        self, dtls: list[Run], srtp: list[bytes], now: float, arrived: list[float] | None = None
    ) -> None:
        self.data += [d for run in dtls for d in run.datagrams()] + srtp
        self.changed.set()

    def is_connected(self) -> bool:
        """Whether packets get through, as far as the agent knows."""
        return self.agent.state in (IceState.CONNECTED, IceState.COMPLETED)

    async def until(self, condition: Callable[[], Any], timeout_s: float = 10.0) -> None:
        """Wait for what is told until the condition holds."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


class Observer(Observed[IceAgent]):
    """An agent of ours.

    Args:
        config: its settings.
    """

    def __init__(self, config: IceConfig = FAST) -> None:
        super().__init__(lambda observer: IceAgent(config, observer))


@contextlib.asynccontextmanager
async def agents(config: IceConfig = FAST) -> AsyncIterator[tuple[Observer, Observer]]:
    """Two agents that signal to each other; closed at the end."""
    a, b = Observer(config), Observer(config)
    a.other, b.other = b, a
    try:
        yield a, b
    finally:
        await a.agent.close()
        await b.agent.close()


def start(a: Observed[A], b: Observed[A]) -> None:
    """Gather at both, and begin to check; `a` is controlling."""
    for me, other, controlling in ((a, b, True), (b, a, False)):
        me.agent.gather()
        me.agent.start(other.agent.ufrag, other.agent.pwd, controlling=controlling)


async def connect(a: Observed[A], b: Observed[A]) -> None:
    """The same, until both are connected."""
    start(a, b)
    for each in (a, b):
        await each.until(each.is_connected)
