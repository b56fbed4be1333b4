"""Two connections on two hosts, with signalling that takes time."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

from rtcstack import RTCConfiguration, RTCDataChannel, RTCPeerConnection
from rtcstack.testing import Host

__all__ = ["SIGNALLING_S", "Call", "Side", "until"]

SIGNALLING_S = 0.05
"""What a message takes from one side to the other."""


async def until(condition: Callable[[], object], limit_s: float = 30.0) -> None:
    """Wait for a condition, in steps of 10 ms of virtual time."""
    for _ in range(int(limit_s * 100)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"not within {limit_s} s")


class Side:
    """One connection, and the host that it is on."""

    def __init__(self, host: Host, configuration: RTCConfiguration | None) -> None:
        self.host = host
        with host:
            self.connection = RTCPeerConnection(configuration)
        self.channels: list[RTCDataChannel] = []
        self.messages: list[Any] = []
        self.tracks: list[Any] = []
        self.connection.on("datachannel", lambda event: self.keep(event.channel))
        self.connection.on("track", lambda event: self.tracks.append(event.track))

    def keep(self, channel: RTCDataChannel) -> RTCDataChannel:
        """Keep a channel, and what comes on it."""
        self.channels.append(channel)
        channel.on("message", lambda event: self.messages.append(event.data))
        return channel


class Call:
    """Two sides; candidates trickle."""

    def __init__(self, alice: Host, bob: Host, configuration: RTCConfiguration | None = None) -> None:
        self.alice, self.bob = Side(alice, configuration), Side(bob, configuration)
        self._tasks: set[asyncio.Task[None]] = set()
        for side, other in ((self.alice, self.bob), (self.bob, self.alice)):
            side.connection.on("icecandidate", functools.partial(self._trickle, other))

    def _trickle(self, other: Side, event: Any) -> None:
        task = other.host.run(self._add(event.candidate, other))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _add(self, candidate: Any, other: Side) -> None:
        await asyncio.sleep(3 * SIGNALLING_S)  # never before the description
        if other.connection.signalingState != "closed":
            await other.connection.addIceCandidate(candidate)

    async def negotiate(self) -> None:
        """Alice offers, Bob answers."""
        alice, bob = self.alice.connection, self.bob.connection
        with self.alice.host:
            await alice.setLocalDescription()
        await asyncio.sleep(SIGNALLING_S)
        with self.bob.host:
            await bob.setRemoteDescription(alice.localDescription)
            await bob.setLocalDescription()
        await asyncio.sleep(SIGNALLING_S)
        with self.alice.host:
            await alice.setRemoteDescription(bob.localDescription)

    async def connect(self) -> None:
        """Negotiate, and wait until both are connected."""
        await self.negotiate()
        await until(lambda: self.is_connected)

    @property
    def is_connected(self) -> bool:
        """Whether both are."""
        return self.alice.connection.connectionState == self.bob.connection.connectionState == "connected"

    async def selected_type(self, side: Side) -> str:
        """The type of the local candidate that a side uses."""
        stats = await side.connection.getStats()
        transport = next(s for s in stats.values() if s["type"] == "transport")
        pair = stats[transport["selectedCandidatePairId"]]
        return str(stats[pair["localCandidateId"]]["candidateType"])

    async def close(self) -> None:
        """Close both."""
        await self.alice.connection.close()
        await self.bob.connection.close()
        if self._tasks:
            await asyncio.wait(self._tasks)
