"""Two connections of aiortc's names, and what tests ask of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from rtcstack.compat.aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection
from tests.support.loops import stand_on

__all__ = ["States", "happens", "negotiate", "pair", "until"]


@asynccontextmanager
async def pair(
    policy: RTCBundlePolicy = RTCBundlePolicy.BALANCED,
) -> AsyncIterator[tuple[RTCPeerConnection, RTCPeerConnection]]:
    """Two connections on hosts of their own, without servers."""
    configuration = RTCConfiguration(iceServers=[], bundlePolicy=policy)
    with stand_on("alice"):
        a = RTCPeerConnection(configuration)
    with stand_on("bob"):
        b = RTCPeerConnection(configuration)
    try:
        yield a, b
    finally:
        await a.close()
        await b.close()


async def negotiate(a: RTCPeerConnection, b: RTCPeerConnection) -> None:
    """One exchange of whole descriptions, in aiortc's way."""
    await a.setLocalDescription(await a.createOffer())
    assert a.localDescription is not None
    await b.setRemoteDescription(a.localDescription)
    await b.setLocalDescription(await b.createAnswer())
    assert b.localDescription is not None
    await a.setRemoteDescription(b.localDescription)


async def happens(target: Any, event: str) -> Any:
    """What a handler of the next event of this name is called with; None for nothing."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    target.once(event, lambda *arguments: future.set_result(arguments[0] if arguments else None))
    return await asyncio.wait_for(future, 10)


async def until(condition: Any, timeout_s: float = 10.0) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


class States:
    """Every value that a connection's states take, in order."""

    NAMES = ("signalingState", "iceConnectionState", "iceGatheringState", "connectionState")

    def __init__(self, pc: RTCPeerConnection) -> None:
        self.of: dict[str, list[str]] = {name: [getattr(pc, name)] for name in self.NAMES}
        for name in self.NAMES:
            pc.on(f"{name.lower()}change", lambda name=name: self.of[name].append(getattr(pc, name)))
