"""Servers and clients of a library that knows nothing of virtual time."""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp import web

from rtcstack.testing import Internet, Nat, VirtualLoop, run


def test_a_web_server_and_its_clients() -> None:
    internet = Internet(seed=1)
    server = internet.add_host("web", "192.0.2.80")
    alice = internet.add_host("alice", behind=Nat(internet))

    async def shout(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data.upper())
        return socket

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=f"hello {request.remote}")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        application = web.Application()
        application.router.add_get("/", page)
        application.router.add_get("/shout", shout)
        runner = web.AppRunner(application)
        with server:
            await runner.setup()
            await web.TCPSite(runner, "0.0.0.0", 80).start()
        with alice:
            connector = aiohttp.TCPConnector(socket_factory=lambda info: loop.socket(info[0], info[1]))  # type: ignore[arg-type, return-value]
            async with aiohttp.ClientSession(connector=connector) as session:
                async with session.get("http://web/") as response:
                    assert await response.text() == "hello 198.51.100.51"
                async with session.ws_connect("http://web/shout") as socket:
                    await socket.send_str("hi")
                    assert await socket.receive_str() == "HI"
        await runner.cleanup()
        await asyncio.sleep(1)

    run(main(), internet=internet, limit_s=100)
    assert server.open_ports == alice.open_ports == []
    assert server.connections == alice.connections == {}
