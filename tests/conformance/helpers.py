"""Two peers in one process, and what tests ask of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from rtcstack import (
    Event,
    EventTarget,
    InvalidStateError,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    Settings,
)
from tests.support.loops import stand_on

FAST = Settings(
    ice_keepalive_s=0.2, ice_disconnected_timeout_s=0.6, ice_failed_timeout_s=1.5, abandon_after_failed_s=0.3
)
"""Time-outs for tests in which a peer dies."""


async def happens(target: EventTarget, name: str, timeout: float = 10.0) -> Any:
    """The next event of this name."""
    future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
    target.addEventListener(name, lambda e: None if future.done() else future.set_result(e), {"once": True})
    return await asyncio.wait_for(future, timeout)


async def until(condition: Callable[[], Any], target: EventTarget, name: str, timeout: float = 10.0) -> None:
    """Wait for events of this name until the condition holds."""
    async with asyncio.timeout(timeout):
        while not condition():
            await happens(target, name, timeout)


def trickle(a: RTCPeerConnection, b: RTCPeerConnection) -> None:
    """Hand the candidates of each to the other, as a signalling channel that keeps order would."""

    def one_way(source: RTCPeerConnection, sink: RTCPeerConnection) -> None:
        waiting: list[Any] = []

        async def give(candidate: Any) -> None:
            try:
                await sink.addIceCandidate(candidate)
            except InvalidStateError:
                assert sink.signalingState == "closed"  # while the candidate waited for its turn

        async def on_candidate(event: Any) -> None:
            if event.candidate is None or "closed" in (source.signalingState, sink.signalingState):
                return
            if sink.remoteDescription is None:
                waiting.append(event.candidate)
            else:
                await give(event.candidate)

        async def on_state(event: Any) -> None:
            while waiting and sink.remoteDescription is not None and sink.signalingState != "closed":
                await give(waiting.pop(0))

        source.on("icecandidate", on_candidate)
        sink.on("signalingstatechange", on_state)

    one_way(a, b)
    one_way(b, a)


async def negotiate(offerer: RTCPeerConnection, answerer: RTCPeerConnection) -> None:
    """One exchange of offer and answer."""
    await offerer.setLocalDescription()
    assert offerer.localDescription is not None
    await answerer.setRemoteDescription(offerer.localDescription)
    await answerer.setLocalDescription()
    assert answerer.localDescription is not None
    await offerer.setRemoteDescription(answerer.localDescription)


@asynccontextmanager
async def pair(
    configuration: RTCConfiguration | None = None, other: RTCConfiguration | None = None
) -> AsyncIterator[tuple[RTCPeerConnection, RTCPeerConnection]]:
    """Two connections that trickle to each other; closed at the end."""
    with stand_on("alice"):
        a = RTCPeerConnection(configuration)
    with stand_on("bob"):
        b = RTCPeerConnection(other or configuration)
    trickle(a, b)
    try:
        yield a, b
    finally:
        await a.close()
        await b.close()


async def open_channels(
    a: RTCPeerConnection, b: RTCPeerConnection, **init: Any
) -> tuple[RTCDataChannel, RTCDataChannel]:
    """A channel that `a` opens, at both ends, after a negotiation."""
    mine = a.createDataChannel("test", **init)
    announced = asyncio.ensure_future(happens(b, "datachannel"))
    opened = asyncio.ensure_future(happens(mine, "open"))
    await asyncio.sleep(0)
    await negotiate(a, b)
    theirs = (await announced).channel
    await opened
    return mine, theirs


async def rejects(error: type[BaseException], awaitable: Awaitable[Any]) -> BaseException:
    """Await something that must fail with this error."""
    try:
        await awaitable
    except error as exc:
        return exc
    raise AssertionError(f"{error.__name__} was not raised")
