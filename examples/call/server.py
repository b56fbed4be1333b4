"""The signalling server: the page at /, and rooms over a WebSocket at /signaling.

What is said there is described in docs/call-app.md and decided in `rooms`; here are the sockets.
A member who talks too fast is read slower, one who does not listen is dropped: neither costs the
others anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from examples.call.rooms import MAX_MEMBERS, MAX_MESSAGE_BYTES, Member, RefusedError, Rooms, encode, parse

__all__ = ["MAX_CONNECTIONS", "MAX_MEMBERS", "MAX_MESSAGE_BYTES", "make_app", "start"]

PAGE = Path(__file__).with_name("page")

MAX_CONNECTIONS = 2000

MAX_QUEUED_BYTES = 1 << 20
"""What waits for a member who does not read; more, and the member is dropped."""

MESSAGES_PER_S = 50.0
BURST_MESSAGES = 300.0
"""How fast a member is read. Each 4 KiB of a message count as one more."""

JOIN_TIMEOUT_S = 10.0
"""How long a connection may stay outside of any room."""

HEARTBEAT_S = 15.0

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; media-src 'self' blob:; object-src 'none';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class State:
    """What the connections share: the rooms, and each other."""

    rooms: Rooms
    sockets: set[web.WebSocketResponse] = field(default_factory=set)


STATE: web.AppKey[State] = web.AppKey("state", State)


def make_app(ice_servers: Sequence[Mapping[str, Any]] = ()) -> web.Application:
    """The application.

    Args:
        ice_servers: RTCIceServer dictionaries for whoever calls.
    """
    app = web.Application()
    app[STATE] = State(Rooms(ice_servers))
    app.router.add_get("/signaling", handle)
    app.router.add_get("/", index)
    app.router.add_static("/", PAGE)
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(shut_down)
    return app


async def index(_request: web.Request) -> web.FileResponse:
    """The page."""
    return web.FileResponse(PAGE / "index.html")


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Nothing but our own files runs in the page, and it stands in nobody's frame."""
    response.headers.update(HEADERS)


async def shut_down(app: web.Application) -> None:
    """Let the members go."""
    await asyncio.gather(*(socket.close() for socket in list(app[STATE].sockets)), return_exceptions=True)


async def handle(request: web.Request) -> web.WebSocketResponse:
    """One member, from joining to leaving."""
    rooms, sockets = request.app[STATE].rooms, request.app[STATE].sockets
    if not same_origin(request):
        raise web.HTTPForbidden(text="another site's page may not speak here")
    if len(sockets) >= MAX_CONNECTIONS:
        raise web.HTTPServiceUnavailable(text="there are too many connections")
    socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=MAX_MESSAGE_BYTES + 1)
    sockets.add(socket)
    member: Member | None = None
    try:
        await socket.prepare(request)
        line = SocketLine(request, socket)
        writer = asyncio.create_task(line.write())
        late = asyncio.get_running_loop().call_later(JOIN_TIMEOUT_S, line.drop)
        try:
            async for text in spoken(socket):
                try:
                    value = parse(text)
                    if member is None:
                        member = rooms.enter(line, value)
                        late.cancel()
                    else:
                        rooms.obey(member, value)
                except RefusedError as refusal:
                    line.say(encode({"type": "error", "reason": str(refusal)}))
        finally:
            late.cancel()
            writer.cancel()
    finally:
        sockets.discard(socket)
        if member is not None:
            rooms.leave(member)
    return socket


def same_origin(request: web.Request) -> bool:
    """Whether a browser speaks for our own page; programs name no origin."""
    origin = request.headers.get("Origin")
    # the form is fixed: scheme, "://", host (HTML, section 7.1.1)
    return origin is None or origin.partition("://")[2] == request.host


async def spoken(socket: web.WebSocketResponse) -> AsyncIterator[str]:
    """What a member says, no faster than it may."""
    loop = asyncio.get_running_loop()
    credit, last = BURST_MESSAGES, loop.time()
    async for message in socket:
        if message.type is not WSMsgType.TEXT:
            continue
        now = loop.time()
        credit = min(credit + (now - last) * MESSAGES_PER_S, BURST_MESSAGES)
        credit -= 1 + len(message.data) / 4096
        last = now
        if credit < 0:
            await asyncio.sleep(-credit / MESSAGES_PER_S)
        yield message.data


class SocketLine:
    """What goes to one member: a queue with an end, and the task that empties it."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self._request = request
        self._socket = socket
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._queued_bytes = 0

    def say(self, text: str) -> None:
        """Send a message, soon."""
        # all of it is ASCII: what is not, json escapes
        self._queued_bytes += len(text)
        if self._queued_bytes > MAX_QUEUED_BYTES:
            self.drop()
        else:
            self._queue.put_nowait(text)

    async def write(self) -> None:
        """Send what is queued, until cancelled."""
        with contextlib.suppress(ConnectionError):
            while True:
                text = await self._queue.get()
                await self._socket.send_str(text)
                self._queued_bytes -= len(text)

    def drop(self) -> None:
        """End the connection without a word: who does not listen would not hear it."""
        if self._request.transport is not None:
            self._request.transport.abort()


async def start(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    ice_servers: Sequence[Mapping[str, Any]] = (),
    tls: ssl.SSLContext | None = None,
) -> tuple[web.AppRunner, int]:
    """Serve in this loop.

    Args:
        host, port: where to listen; port 0 takes a free one.
        ice_servers: RTCIceServer dictionaries for whoever calls.
        tls: speak HTTPS with it.

    Returns:
        the runner, to be cleaned up, and the port.
    """
    runner = web.AppRunner(make_app(ice_servers), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port, ssl_context=tls).start()
    return runner, int(runner.addresses[0][1])
