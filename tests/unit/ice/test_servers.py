"""Servers on the loopback interface that are dead, refuse, stall or talk nonsense: what is reported."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from rtcstack.clock import monotonic
from rtcstack.ice import GatheringState, IceConfig, IceServer, parse_server_uri
from rtcstack.ice.agent import IceAgent
from rtcstack.network import tls
from rtcstack.testing import START_S, Internet, TurnServer, VirtualNetwork
from tests.support.iceagents import Observer, agents, connect
from tests.support.virtual import in_virtual_time

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def tcp_server(serve: Serve) -> AsyncIterator[int]:
    tasks: set[asyncio.Task[None]] = set()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(run, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await asyncio.sleep(1)  # for the last packets of its connections


def config(*servers: IceServer, timeout_s: float = 0.3) -> IceConfig:
    return IceConfig(servers=servers, include_loopback=True, use_ipv6=False, gather_timeout_s=timeout_s)


async def gathered(*servers: IceServer, timeout_s: float = 0.3) -> Observer:
    """Gather with these servers until it is over."""
    observer = Observer(config(*servers, timeout_s=timeout_s))
    observer.agent.gather()
    await observer.until(lambda: observer.agent.gathering_state is GatheringState.COMPLETE)
    await observer.agent.close()
    return observer


def turn(port: int, transport: str = "tcp", scheme: str = "turn") -> IceServer:
    return parse_server_uri(f"{scheme}:127.0.0.1:{port}?transport={transport}", "user", "secret")


@in_virtual_time
async def test_nobody_listens() -> None:
    async with tcp_server(lambda _r, _w: asyncio.sleep(0)) as port:
        pass
    started = monotonic()
    observer = await gathered(turn(port), timeout_s=5)
    [(server, code)] = observer.errors
    assert (server.port, code) == (port, 701)
    assert monotonic() - started < 2, "a refusal is known at once"


async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def stall(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(100):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()


async def half_a_message(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)
    writer.write(b"\x01\x13\xff\xff\x21\x12\xa4\x42")
    await writer.drain()
    await asyncio.sleep(30)


@pytest.mark.parametrize("scheme", ["turn", "turns"])
@pytest.mark.parametrize("serve", [hang_up, stall, babble, half_a_message])
@in_virtual_time
async def test_streams_that_lead_to_nothing(serve: Serve, scheme: str) -> None:
    async with tcp_server(serve) as port:
        observer = await gathered(turn(port, scheme=scheme))
    assert [(s.port, code) for s, code in observer.errors] == [(port, 701)]
    assert {c.type for c in observer.agent.local_candidates} == {"host"}


@in_virtual_time
async def test_authorities_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    make = ssl.create_default_context

    def counted() -> ssl.SSLContext:
        made.append(1)
        return make()

    monkeypatch.setattr(tls.ssl, "create_default_context", counted)
    tls._context.cache_clear()
    async with tcp_server(babble) as port:
        server = turn(port, scheme="turns")
        for _ in range(2):
            observer = await gathered(server, server, timeout_s=5)
            assert [code for _, code in observer.errors] == [701]  # said once of each server
    assert len(made) == 1
    tls._context.cache_clear()


@pytest.mark.parametrize(
    "url",
    [
        "stun:name.invalid",
        "turn:name.invalid",
        "turn:name.invalid?transport=tcp",
        "turns:127.0.0.1:1?transport=udp",
        "stuns:127.0.0.1:1",
        "stun:127.0.0.1:9",
        "turn:127.0.0.1:9",
    ],
)
@in_virtual_time
async def test_every_failure_is_reported(url: str) -> None:
    observer = await gathered(parse_server_uri(url, "user", "secret"))
    # said once, though a STUN server is asked from each of the machine's addresses
    assert [(s.url, code) for s, code in observer.errors] == [(url, 701)]


@in_virtual_time
async def test_dead_servers_delay_nothing() -> None:
    dead = [
        parse_server_uri(u, "u", "p") for u in ("stun:127.0.0.1:9", "turn:127.0.0.1:9", "turn:name.invalid")
    ]
    async with tcp_server(stall) as port:
        times = []
        for servers in ([], [*dead, turn(port)]):
            async with agents(config(*servers, timeout_s=5)) as (a, b):
                started = monotonic()
                await connect(a, b)
                times.append(monotonic() - started)
        assert times[1] < times[0] + 0.1, times


@in_virtual_time
async def test_closing_while_servers_are_asked() -> None:
    async with tcp_server(stall) as port:
        observer = Observer(config(turn(port), turn(port, scheme="turns"), turn(9, "udp"), timeout_s=5))
        observer.agent.gather()
        await asyncio.sleep(0.05)
        agent: IceAgent = observer.agent
        await agent.close()
        assert observer.errors == []
        assert agent._carriers == {}
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("order", [["::1", "127.0.0.1"], ["127.0.0.1", "::1"]])
@pytest.mark.parametrize("transport", ["udp", "tcp"])
@in_virtual_time
async def test_a_server_that_answers_at_one_of_its_two_addresses_gives_a_relay(
    transport: str, order: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    net = Internet()
    model = TurnServer(net, "127.0.0.1")
    loop = asyncio.get_running_loop()

    async def resolve(_: VirtualNetwork, name: str) -> list[str]:
        return order

    monkeypatch.setattr(VirtualNetwork, "resolve", resolve)
    asked: list[str] = []

    said: list[bytes] = []
    net.attach("192.0.2.9", lambda _to, _from, answer: said.append(answer))

    def answers(data: bytes, client: tuple[str, int]) -> list[bytes]:
        """What the model says to a request."""
        said.clear()
        model._receive((model.host, 3478), client, data)
        net.agenda.run(until=net.now - START_S + 1)
        return list(said)

    class Udp(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
            asked.append(address[0])
            for answer in answers(data, ("192.0.2.9", address[1])):
                self.transport.sendto(answer, address)  # type: ignore[attr-defined]

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError), contextlib.closing(writer):
            while True:
                head = await reader.readexactly(20)
                data = head + await reader.readexactly(int.from_bytes(head[2:4], "big"))
                for answer in answers(data, ("192.0.2.9", 4000)):
                    writer.write(answer)

    if transport == "udp":
        place, _ = await loop.create_datagram_endpoint(Udp, local_addr=("127.0.0.1", 0))
        port = place.get_extra_info("sockname")[1]
        ending = contextlib.closing(place)
    else:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        ending = contextlib.closing(server)  # type: ignore[type-var,arg-type]
    url = f"turn:two.example:{port}?transport={transport}"
    with ending:
        asks = IceConfig(
            servers=(parse_server_uri(url, TurnServer.USERNAME, TurnServer.PASSWORD),),
            include_loopback=True,
            gather_timeout_s=2.0,
        )
        observer = Observer(asks)
        observer.agent.gather()
        await observer.until(
            lambda: (
                [c for c in observer.agent.local_candidates if c.type == "relay"]
                or observer.agent.gathering_state is GatheringState.COMPLETE
            )
        )
        assert [c.type for c in observer.agent.local_candidates].count("relay") == 1
        await observer.agent.close()
        await asyncio.sleep(1)  # for the servers to hear of it
