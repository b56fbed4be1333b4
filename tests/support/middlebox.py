"""A bad network between two peers that know nothing of it: real sockets, real time.

Every address of a peer has a port here, which stands for it: the candidates that go across are rewritten to
these, and what comes to one leaves from that of its sender. So both sides see each other at the box, whatever
programs they are.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Any

from rtcstack.sctp.cubic import Cubic
from tests.support.peers import Candidate, Description, Peer
from tests.support.road import PACKET_BYTES, Flow, Road, RoadSettings

__all__ = ["Behind", "Link", "Middlebox"]

Address = tuple[str, int]

QUEUE_SHARE = 0.0005
"""Bound of a random wait before the queue, in seconds: without it drop-tail queues lock phases."""


@dataclass(frozen=True)
class Link:
    """What lies on the way from the first side to the second; on the way back there is the delay alone.

    Attributes:
        rate_bps: of the bottleneck, in bits a second; 0 for none.
        buffer_s: what its drop-tail queue holds.
        bucket_bytes: if set, the bottleneck is a policer with such a bucket: it drops and does not queue.
        delay_s: one way.
        jitter_s: bound of a random wait; nothing overtakes.
        loss: probability of random loss.
        cubic: whether a flow of CUBIC (RFC 9438) shares the bottleneck.
    """

    rate_bps: float = 0.0
    buffer_s: float = 0.1
    bucket_bytes: int = 0
    delay_s: float = 0.02
    jitter_s: float = 0.0
    loss: float = 0.0
    cubic: bool = False


class _Bottleneck(Road):
    """The bottleneck in real time, for packets of any size and for simulated flows."""

    def __init__(self, link: Link, seed: int) -> None:
        self._loop = asyncio.get_running_loop()
        rate = link.rate_bps / 8 or 1e12
        settings = RoadSettings(
            rate=rate,
            buffer_bytes=max(3_000, round(rate * link.buffer_s)),
            bucket_bytes=link.bucket_bytes,
            access_delay_s=QUEUE_SHARE,
            delay_s=link.delay_s,
        )
        super().__init__(settings, seed)
        self.dropped = 0

    @property
    def now(self) -> float:
        return self._loop.time()

    @now.setter
    def now(self, value: float) -> None:
        """It goes by itself."""

    def at(self, time: float, action: Any, argument: Any) -> None:
        self._loop.call_at(time, action, argument)

    def pass_through(self, size: int = PACKET_BYTES) -> float:
        leaves = super().pass_through(size)
        self.dropped += leaves < 0
        return leaves


class _Port(asyncio.DatagramProtocol):
    """Stands for an address of one side."""

    def __init__(self, box: Middlebox, real: Address, side: int) -> None:
        self._box = box
        self.real = real
        self.side = side
        self.transport: Any = None
        self.address: Address = ("", 0)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.address = transport.get_extra_info("sockname")[:2]

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._box.take(self, data, addr[:2])


class Middlebox:
    """The box.

    Args:
        link: between the sides.
        host: the address that it listens on.
        seed: of its losses.

    Attributes:
        lost: packets that the link lost at random.
    """

    def __init__(self, link: Link, host: str, seed: int = 1) -> None:
        self._link = link
        self._host = host
        self._random = random.Random(seed)
        self._ports: dict[Address, _Port] = {}
        self._opening: dict[Address, asyncio.Task[_Port]] = {}
        self._last_at = [0.0, 0.0]
        self._bottleneck = _Bottleneck(link, seed)
        self._flow: Flow | None = None
        self.lost = 0

    @property
    def queue_s(self) -> float:
        """Mean wait in the bottleneck's queue."""
        return self._bottleneck.queue_sum_s / max(1, self._bottleneck.queue_count)

    @property
    def dropped(self) -> int:
        """Packets of the peers that the bottleneck dropped."""
        return self._bottleneck.dropped - (0 if self._flow is None else self._flow.dropped)

    @property
    def cubic_bps(self) -> float:
        """What the other flow has delivered, in bits, in all."""
        return 0.0 if self._flow is None else self._flow.delivered * PACKET_BYTES * 8

    def compete(self) -> None:
        """Let the other flow begin, if there is to be one."""
        if self._link.cubic:
            self._flow = Flow(self._bottleneck, Cubic, self._bottleneck.now)

    async def port_of(self, real: Address, side: int) -> _Port:
        """The port that stands for an address of a side, 0 or 1."""
        if real in self._ports:
            return self._ports[real]
        if real not in self._opening:
            self._opening[real] = asyncio.create_task(self._open(real, side))
        return await self._opening[real]

    async def _open(self, real: Address, side: int) -> _Port:
        _, port = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Port(self, real, side), local_addr=(self._host, 0)
        )
        self._ports[real] = port
        return port

    def take(self, port: _Port, data: bytes, source: Address) -> None:
        """A datagram has come to a port: it is for the address that this stands for."""
        loop, link = asyncio.get_running_loop(), self._link
        now = loop.time()
        leaves = now
        if port.side == 1:
            if link.loss and self._random.random() < link.loss:
                self.lost += 1
                return
            leaves = self._bottleneck.pass_through(len(data) + 28)
        if leaves < 0:
            return
        arrives = leaves + link.delay_s
        if link.jitter_s and port.side == 1:
            arrives += self._random.random() * link.jitter_s
        arrives = self._last_at[port.side] = max(arrives, self._last_at[port.side])
        sender = self._ports.get(source)
        if sender is None:
            task = asyncio.create_task(self.port_of(source, 1 - port.side))
            task.add_done_callback(lambda done: self._send(done.result(), port, data))
        else:
            loop.call_at(arrives, self._send, sender, port, data)

    def _send(self, sender: _Port, port: _Port, data: bytes) -> None:
        if sender.transport is not None and not sender.transport.is_closing():
            sender.transport.sendto(data, port.real)

    def close(self) -> None:
        """Nothing passes any more."""
        if self._flow is not None:
            self._flow.stop()
        for port in self._ports.values():
            port.transport.close()


class Behind(Peer):
    """A peer behind the box, by the addresses that it has there. Args: peer; box; side: 0 or 1."""

    def __init__(self, peer: Peer, box: Middlebox, side: int) -> None:
        self._peer = peer
        self._box = box
        self._side = side
        self.name = peer.name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._peer, name)

    async def _rewritten(self, line: str) -> str | None:
        """A candidate's line with the box's address; None for one that the box does not carry."""
        words = line.split(" ")
        if words[2].lower() != "udp" or ":" in words[4]:
            return None
        port = await self._box.port_of((words[4], int(words[5])), self._side)
        words[4], words[5] = port.address[0], str(port.address[1])
        return " ".join(words)

    async def _description(self, description: Description) -> Description:
        lines = []
        for line in description["sdp"].split("\r\n"):
            if line.startswith("a=candidate:"):
                rewritten = await self._rewritten(line)
                if rewritten is not None:
                    lines.append(rewritten)
            else:
                lines.append(line)
        return Description(type=description["type"], sdp="\r\n".join(lines))

    async def create_offer(self, *, restart: bool = False) -> Description:
        return await self._description(await self._peer.create_offer(restart=restart))

    async def accept_offer(self, offer: Description) -> Description:
        return await self._description(await self._peer.accept_offer(offer))

    async def next_candidate(self) -> Candidate | None:
        while (candidate := await self._peer.next_candidate()) is not None:
            line = candidate.get("candidate") or ""
            if not line:
                continue
            rewritten = await self._rewritten(line)
            if rewritten is not None:
                return Candidate({**candidate, "candidate": rewritten})
        return None

    async def accept_answer(self, answer: Description) -> None:
        await self._peer.accept_answer(answer)

    async def add_candidate(self, candidate: Candidate | None) -> None:
        await self._peer.add_candidate(candidate)

    async def create_channel(self, options: Any) -> Any:
        return await self._peer.create_channel(options)

    async def next_channel(self) -> Any:
        return await self._peer.next_channel()

    async def send(self, source: Any) -> Any:
        return await self._peer.send(source)

    async def transceivers(self) -> Any:
        return await self._peer.transceivers()

    async def connected(self) -> None:
        await self._peer.connected()

    async def vanish(self) -> None:
        await self._peer.vanish()

    async def close(self) -> None:
        await self._peer.close()
