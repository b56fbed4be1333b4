"""TCP streams and listeners of this machine, on the loopback interface."""

from __future__ import annotations

import asyncio
import socket

import pytest

from rtcstack.network import network
from rtcstack.network.streams import SystemStream
from rtcstack.platform import Stream


class Sink:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.stream: Stream | None = None
        self.data = bytearray()
        self.lost: list[str] = []
        self.changed = asyncio.Event()

    def on_data(self, data: bytes, now: float) -> None:
        assert not self.lost
        self.data += data
        self.changed.set()

    def on_lost(self, reason: str) -> None:
        self.lost.append(reason)
        self.changed.set()

    async def until_data(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.data) < count:
                self.changed.clear()
                await self.changed.wait()

    async def until_lost(self) -> None:
        async with asyncio.timeout(5):
            while not self.lost:
                self.changed.clear()
                await self.changed.wait()


class Accepting:
    """Accepts, and keeps a sink for each."""

    def __init__(self, greeting: bytes = b"") -> None:
        self.sinks: list[Sink] = []
        self.greeting = greeting

    def __call__(self, stream: Stream) -> Sink:
        sink = Sink()
        sink.stream = stream
        self.sinks.append(sink)
        if self.greeting:
            stream.write(self.greeting)
        return sink


async def test_bytes_both_ways_and_an_end() -> None:
    accept = Accepting(b"welcome")
    listener = await network().listen_tcp(("127.0.0.1", 0), accept)
    client = Sink()
    stream = await network().open_tcp(listener.sockname, client)
    assert client.data == b"", "nothing comes before whoever connects goes on"
    stream.write(b"x" * 100_000)
    await client.until_data(7)
    [server] = accept.sinks
    await server.until_data(100_000)
    assert stream.waiting_bytes == 0
    assert server.stream is not None
    assert stream.peername == listener.sockname == server.stream.sockname
    assert stream.sockname == server.stream.peername
    stream.write(b"the end")
    stream.close()
    stream.close()
    stream.write(b"too late")
    await server.until_lost()
    assert server.data.endswith(b"xthe end")
    assert server.lost == ["the other end closed the connection"]
    server.stream.close()
    listener.close()
    await asyncio.sleep(0)
    assert client.lost == [], "of our own close nothing is told"


async def test_a_connection_that_breaks_is_told_once() -> None:
    accept = Accepting()
    listener = await network().listen_tcp(("127.0.0.1", 0), accept)
    client = Sink()
    stream = await network().open_tcp(listener.sockname, client)
    stream.write(b"hello")
    async with asyncio.timeout(5):
        while not accept.sinks:
            await asyncio.sleep(0)
    [server] = accept.sinks
    await server.until_data(5)
    assert isinstance(server.stream, SystemStream)
    sock = server.stream._transport.get_extra_info("socket")  # type: ignore[union-attr]
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    server.stream.abort()
    await client.until_lost()
    assert len(client.lost) == 1
    listener.close()


async def test_nobody_listens() -> None:
    accept = Accepting()
    listener = await network().listen_tcp(("127.0.0.1", 0), accept)
    address = listener.sockname
    listener.close()
    await asyncio.sleep(0)
    with pytest.raises(OSError, match=r".+"):
        await network().open_tcp(address, Sink())
    with pytest.raises(OSError, match=r".+"):
        await network().open_tcp(address, Sink(), local=("192.0.2.1", 0))


async def test_connecting_is_given_up() -> None:
    sock = socket.create_server(("127.0.0.1", 0), backlog=1)
    asking = [asyncio.create_task(network().open_tcp(sock.getsockname()[:2], Sink())) for _ in range(3)]
    await asyncio.sleep(0)
    for each in asking:
        each.cancel()
    await asyncio.wait(asking)
    sock.close()


async def test_ports_of_a_range() -> None:
    listeners = []
    first = 0
    for start in range(20_000, 60_000, 50):
        try:
            listeners = [await network().listen_tcp(("127.0.0.1", 0), Accepting(), port_range=(start, start))]
        except OSError:
            continue
        first = start
        break
    assert listeners[0].sockname == ("127.0.0.1", first)
    listeners[0].close()
    await asyncio.sleep(0)


async def test_a_connection_from_a_port_that_listens() -> None:
    here, there = Accepting(), Accepting()
    ours = await network().listen_tcp(("127.0.0.1", 0), here, shares_port=True)
    theirs = await network().listen_tcp(("127.0.0.1", 0), there, shares_port=True)
    stream = await network().open_tcp(theirs.sockname, Sink(), local=ours.sockname)
    assert stream.sockname == ours.sockname
    stream.close()
    async with asyncio.timeout(5):
        while not there.sinks:
            await asyncio.sleep(0)
    await there.sinks[0].until_lost()
    ours.close()
    theirs.close()
    await asyncio.sleep(0)
