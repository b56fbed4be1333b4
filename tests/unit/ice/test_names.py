"""Names in a peer's candidates: who is asked, how many at once, and what a bad one costs."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from rtcstack.config import IceSettings
from rtcstack.ice.config import GatherPolicy, IceConfig
from rtcstack.ice.lookups import MAX_LOOKUPS, MAX_RESOLUTIONS
from rtcstack.sdp.candidate import Candidate
from rtcstack.testing import Internet, VirtualLoop
from tests.support.iceagents import Observer
from tests.support.virtual import in_virtual_time

LOCAL = "6a8a1b34-3c2d-4a6a-9c8e-0123456789ab.local"


def candidate(name: str, number: int = 1) -> Candidate:
    return Candidate.parse(f"candidate:{number} 1 udp 2130706431 {name} {5000 + number} typ host")


def internet() -> Internet:
    return cast(VirtualLoop, asyncio.get_running_loop()).internet


class Side:
    """An agent, and which names it has asked for."""

    def __init__(self, config: IceConfig) -> None:
        self.agent = Observer(config).agent
        self.asked: list[str] = []
        network = self.agent.network
        resolve = network.resolve

        async def asking(name: str) -> list[str]:
            self.asked.append(name)
            return await resolve(name)

        network.resolve = asking  # type: ignore[method-assign]

    @property
    def known(self) -> set[str]:
        return {address[0] for _, address in self.agent.engine.newest.remotes}


@in_virtual_time
async def test_a_host_name_is_looked_up() -> None:
    internet().names["peer.example"] = ["192.0.2.7", "2001:db8::7"]
    side = Side(IceConfig())
    side.agent.add_remote_candidate(candidate("peer.example"))
    side.agent.add_remote_candidate(candidate("nobody.example", 2))
    assert side.known == set()
    side.agent.end_of_remote_candidates()
    assert not side.agent.engine.newest.remote_ended  # not before the names are known
    await asyncio.sleep(2)
    assert side.known == {"192.0.2.7"}
    assert side.agent.engine.newest.remote_ended
    assert side.agent.engine.counters.candidates == 1
    assert len(side.agent._lookups) == 0
    await side.agent.close()


@pytest.mark.parametrize(
    ("config", "asked"),
    [
        (IceConfig(), ["peer.example", LOCAL]),
        (IceConfig(options=IceSettings(resolve_remote_names=False)), [LOCAL]),
        (IceConfig(policy=GatherPolicy.RELAY), []),
    ],
    ids=["usual", "names are not looked up", "relays only"],
)
def test_who_is_asked(config: IceConfig, asked: list[str]) -> None:
    @in_virtual_time
    async def ask() -> None:
        side = Side(config)
        for number, name in enumerate(("peer.example", LOCAL)):
            side.agent.add_remote_candidate(candidate(name, number))
        await asyncio.sleep(10)
        assert side.asked == asked
        assert side.agent.engine.counters.candidates == 2
        await side.agent.close()

    ask()


@in_virtual_time
async def test_so_many_are_asked_for_at_once() -> None:
    side = Side(IceConfig())
    for number in range(100):
        side.agent.add_remote_candidate(candidate(f"peer{number}.example", number))
    for number in range(100):
        side.agent.add_remote_candidate(candidate(f"{number:08}{LOCAL[8:]}", 100 + number))
    await asyncio.sleep(0)
    assert sum(not name.endswith(".local") for name in side.asked) == MAX_LOOKUPS
    assert len(side.asked) == MAX_RESOLUTIONS
    await asyncio.sleep(30)
    assert len(side.agent._lookups) == 0
    assert side.agent.engine.counters.candidates == 200
    await side.agent.close()


@pytest.mark.parametrize(
    "name", ["a..local", f"{'x' * 64}.local", "..", "a..b", f"{'y' * 64}.example", "-", "x" * 200]
)
def test_a_bad_name_costs_its_candidate_alone(name: str) -> None:
    """On this machine's network: what the system and multicast make of it is no fault of ours."""

    async def ask() -> None:
        agent = Observer(IceConfig()).agent
        for _ in range(MAX_RESOLUTIONS + 3):
            agent.add_remote_candidate(candidate(name))
            async with asyncio.timeout(20):
                while len(agent._lookups):
                    await asyncio.sleep(0.001)
        assert agent.engine.counters.candidates == MAX_RESOLUTIONS + 3
        assert not agent.is_broken
        await agent.close()

    asyncio.run(ask())
