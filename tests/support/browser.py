"""A real browser as a host of peers: a page of ours obeys calls over a WebSocket.

No driver stands between: the browser is started with the page's address and connects back.
The server listens on 127.0.0.1 alone, and `localhost` makes the page a secure context.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import ifaddr
from aiohttp import WSMsgType, web

from tests.support.host import LINE_LIMIT_BYTES, Host, LeashedProcess

__all__ = ["BrowserHost", "find_program", "own_addresses"]

START_S = 60.0
"""How long a browser may take to load the page; a cold start on a busy machine takes ten."""


def find_program(*names: str) -> str | None:
    """The first of these programs that is installed."""
    return next((path for name in names if (path := shutil.which(name))), None)


def own_addresses() -> list[str]:
    """Every name and IPv4 address of this machine: what a browser under test may connect to."""
    addresses = [str(ip.ip) for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4]
    return list(dict.fromkeys(["localhost", "127.0.0.1", *addresses]))


class BrowserHost(Host):
    """A browser that has our page open."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._process: LeashedProcess | None = None
        self._runner: web.AppRunner | None = None
        self._companions: list[Callable[[], Awaitable[None]]] = []
        self._socket: asyncio.Future[web.WebSocketResponse] = asyncio.get_running_loop().create_future()

    async def serve(self) -> str:
        """Start the page's server; the page's address."""
        app = web.Application()
        app.router.add_get("/socket", self._handle)
        app.router.add_static("/", Path(__file__).with_name("page"))
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        return f"http://localhost:{port}/index.html"

    async def launch(self, *command: str, directory: str, env: dict[str, str] | None = None) -> None:
        """Start the browser and wait for its page to connect."""
        self._process = await LeashedProcess.start(*command, directory=directory, env=env)
        ended = asyncio.create_task(self._process.process.wait())
        either: list[asyncio.Future[Any]] = [self._socket, ended]
        try:
            done, _ = await asyncio.wait(either, timeout=START_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
        if self._socket not in done:
            await self.kill()
            raise RuntimeError(f"{self.name}: the browser did not load the page")

    async def _handle(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=LINE_LIMIT_BYTES)
        await socket.prepare(request)
        if not self._socket.done():
            self._socket.set_result(socket)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                self._received(message.data)
        self._ended("the browser has gone")
        return socket

    def on_kill(self, end: Callable[[], Awaitable[None]]) -> None:
        """Something else that is to end when the browser does."""
        self._companions.append(end)

    async def _send(self, text: str) -> None:
        await (await self._socket).send_str(text)

    async def kill(self) -> None:
        if self._process is not None:
            await self._process.kill()
        for end in self._companions:
            await end()
        self._companions.clear()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
