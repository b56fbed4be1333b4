"""The signalling server: the page at /, and rooms over a WebSocket at /signaling.

What is said there is described in docs/call-app.md and decided in `rooms`; here are the sockets.
A member who talks too fast, or to one who is slow to listen, is read slower; one who does not listen
at all is dropped. Neither costs the others anything.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import WSMessage, WSMsgType, web
from aiohttp.typedefs import Handler

from examples.call.rooms import (
    MAX_MEMBERS,
    MAX_MESSAGE_BYTES,
    FullError,
    Member,
    RefusedError,
    Rooms,
    encode,
    parse,
)

__all__ = ["MAX_CONNECTIONS", "MAX_MEMBERS", "MAX_MESSAGE_BYTES", "Site", "make_app", "start"]

PAGE = Path(__file__).with_name("page")

MAX_CONNECTIONS = 2000
"""Of members; more are told so."""

MAX_HTTP_CONNECTIONS = 2500
"""With those that are no members' yet, or only fetch the page; more are ended at once."""

REQUEST_TIMEOUT_S = 30.0
"""How long a connection may take until its first request, and from each request to the next."""

TLS_TIMEOUT_S = 10.0
"""How long it may take to agree on keys."""

MAX_QUEUED_BYTES = 1 << 20
"""What waits for a member, as it goes out. Whoever signals more waits until there is room; who is told
more by the server itself is dropped."""

LISTENING_QUEUED_BYTES = 1 << 16
"""Who has more waiting than that is not read: asking for answers begins with listening to them."""

ROOM_TIMEOUT_S = 5.0
"""How long a signal waits for room; then it is refused. The rest of what its member says waits behind it."""

WRITE_TIMEOUT_S = 30.0
"""How long the network may take for one message; then the member is dropped."""

MESSAGES_PER_S = 50.0
BURST_MESSAGES = 300.0
"""How fast a member is read. Each 4 KiB of a message count as one more."""

JOIN_TIMEOUT_S = 10.0
"""How long a connection may stay outside of any room."""

HEARTBEAT_S = 15.0
"""A member who has been silent for so long, while being read, is sent a ping, and dropped after as long
again."""

LATE_PING_S = 0.2
"""How often who is read later is sent a ping: only what is written to it shows that it has gone."""

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
    hosts: frozenset[str] = frozenset()
    sockets: set[web.WebSocketResponse] = field(default_factory=set)
    connections: dict[asyncio.Protocol, Connection] = field(default_factory=dict)


STATE: web.AppKey[State] = web.AppKey("state", State)


def make_app(ice_servers: Sequence[Mapping[str, Any]] = (), hosts: Collection[str] = ()) -> web.Application:
    """The application.

    Args:
        ice_servers: RTCIceServer dictionaries for whoever calls.
        hosts: names that the server has beside localhost and its addresses.
    """
    app = web.Application(middlewares=[note_request, check_host])
    app[STATE] = State(Rooms(ice_servers), frozenset({"localhost", *(host.lower() for host in hosts)}))
    app.router.add_get("/signaling", handle)
    app.router.add_get("/", index)
    app.router.add_get("/{name}", asset)
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(shut_down)
    return app


@web.middleware
async def note_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A connection that asks for something has time for the next request."""
    connection = request.app[STATE].connections.get(request.protocol)
    if connection is not None:
        connection.asked()
    return await handler(request)


@web.middleware
async def check_host(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer browsers under the server's own names alone.

    Another site's name that has been made to lead here (DNS rebinding) would make its page one of ours.
    Programs may call the server what they like at /signaling: browsers always send an Origin there.
    """
    program = request.path == "/signaling" and "Origin" not in request.headers
    if not program and not own_host(request.headers.get("Host", ""), request.app[STATE].hosts):
        raise web.HTTPMisdirectedRequest(text="the server has another name")
    return await handler(request)


def own_host(host: str, names: Collection[str]) -> bool:
    """Whether a Host header is an address, or one of these names, with or without a port."""
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdecimal():
        name = host
    if name.lower() in names:
        return True
    try:
        ipaddress.ip_address(name[1:-1] if name[:1] == "[" and name[-1:] == "]" else name)
    except ValueError:
        return False
    return True


async def index(_request: web.Request) -> web.FileResponse:
    """The page."""
    return web.FileResponse(PAGE / "index.html")


async def asset(request: web.Request) -> web.FileResponse:
    """What the page consists of; nobody else's words are looked up in the file system."""
    name = request.match_info["name"]
    if name not in {path.name for path in PAGE.iterdir()}:
        raise web.HTTPNotFound
    return web.FileResponse(PAGE / name)


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
    # the library's heartbeat ends who is read slower: the answer to its ping waits behind what was said
    socket = web.WebSocketResponse(autoping=False, max_msg_size=MAX_MESSAGE_BYTES + 1)
    sockets.add(socket)
    connection = request.app[STATE].connections.get(request.protocol)
    member: Member | None = None
    try:
        await socket.prepare(request)
        if connection is not None:
            connection.joins()
        line = SocketLine(request, socket)
        writer = asyncio.create_task(line.write())
        late = asyncio.get_running_loop().call_later(JOIN_TIMEOUT_S, line.drop)
        try:
            async for text in spoken(socket, line):
                try:
                    value = parse(text)
                    if member is None:
                        member = rooms.enter(line, value)
                        late.cancel()
                    else:
                        await obey(rooms, member, value)
                except RefusedError as refusal:
                    line.say(encode({"type": "error", "reason": str(refusal)}))
        finally:
            late.cancel()
            writer.cancel()
    finally:
        sockets.discard(socket)
        if connection is not None:
            connection.asked()
        if member is not None:
            rooms.leave(member)
    return socket


def same_origin(request: web.Request) -> bool:
    """Whether a browser speaks for our own page; programs name no origin."""
    origin = request.headers.get("Origin")
    # the form is fixed: scheme, "://", host (HTML, section 7.1.1)
    return origin is None or origin.partition("://")[2] == request.headers.get("Host")


async def obey(rooms: Rooms, member: Member, value: Mapping[str, Any]) -> None:
    """Do what a member says, when whom it is for has room for it.

    Raises:
        RefusedError: it makes no sense, or there was no room in time.
    """
    try:
        async with asyncio.timeout(ROOM_TIMEOUT_S):
            while True:
                try:
                    rooms.obey(member, value)
                    return
                except FullError as full:
                    await full.line.room(full.text)
    except TimeoutError:
        raise RefusedError(f"{value['to']} is slow to read") from None


async def spoken(socket: web.WebSocketResponse, line: SocketLine) -> AsyncIterator[str]:
    """What a member says, no faster than it may and no faster than it listens."""
    loop = asyncio.get_running_loop()
    credit = BURST_MESSAGES
    last = pinged = loop.time()
    while True:
        await line.listened()
        message = await heard(socket)
        if message is None:
            line.drop()
            return
        if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG):
            return
        now = loop.time()
        credit = min(credit + (now - last) * MESSAGES_PER_S, BURST_MESSAGES)
        credit -= 1 + len(message.data) / 4096
        last = now
        if credit < 0:
            if now >= pinged + LATE_PING_S:
                pinged = now
                line.send(WSMsgType.PING)
            await asyncio.sleep(-credit / MESSAGES_PER_S)
            if line.lost:
                return  # there may be much that has not been read
        if message.type is WSMsgType.TEXT:
            yield message.data
        elif message.type is WSMsgType.PING:
            line.send(WSMsgType.PONG, message.data)


async def heard(socket: web.WebSocketResponse) -> WSMessage | None:
    """The next frame of a member; None if there is none, nor an answer to a ping."""
    try:
        return await socket.receive(HEARTBEAT_S)
    except TimeoutError:
        pass
    try:
        async with asyncio.timeout(HEARTBEAT_S):
            await socket.ping()
            return await socket.receive()
    except (TimeoutError, ConnectionError):
        return None


class SocketLine:
    """What goes to one member: a queue with an end, and the task that empties it."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self._request = request
        self._socket = socket
        self._queue: asyncio.Queue[tuple[WSMsgType, bytes]] = asyncio.Queue()
        self._queued_bytes = 0
        self._taken = asyncio.Event()
        self._turn = asyncio.Lock()
        self._dropped = False

    @property
    def lost(self) -> bool:
        """Whether the connection has ended."""
        return self._dropped or self._request.transport is None

    def say(self, text: str) -> None:
        """Send a message, soon."""
        self.send(WSMsgType.TEXT, text.encode())

    def send(self, kind: WSMsgType, data: bytes = b"") -> None:
        """Send a frame in its turn. Where there is no room for it, the connection ends."""
        if self._dropped:
            return
        if self._queued_bytes and self._queued_bytes + len(data) > MAX_QUEUED_BYTES:
            self.drop()
        else:
            self._queued_bytes += len(data)
            self._queue.put_nowait((kind, data))

    def has_room(self, text: str) -> bool:
        """Whether a message may be said now. Where nobody listens any more there is room for anything."""
        if self._dropped or not self._queued_bytes:
            return True
        return self._queued_bytes + len(text.encode()) <= MAX_QUEUED_BYTES

    async def room(self, text: str) -> None:
        """Wait until there is room for a message, or nobody who could be told; first come, first served."""
        async with self._turn:
            while not self.has_room(text):
                self._taken.clear()
                await self._taken.wait()

    async def listened(self) -> None:
        """Wait until little waits."""
        while self._queued_bytes > LISTENING_QUEUED_BYTES and not self._dropped:
            self._taken.clear()
            await self._taken.wait()

    async def write(self) -> None:
        """Send what is queued, until cancelled or the connection has ended."""
        try:
            while True:
                kind, data = await self._queue.get()
                async with asyncio.timeout(WRITE_TIMEOUT_S):
                    await self._socket.send_frame(data, kind)
                self._queued_bytes -= len(data)
                self._taken.set()
        except (ConnectionError, TimeoutError):
            self.drop()
        finally:
            self._end()

    def drop(self) -> None:
        """End the connection without a word: who does not listen would not hear it."""
        self._end()
        if self._request.transport is not None:
            self._request.transport.abort()

    def _end(self) -> None:
        self._dropped = True
        self._taken.set()


class Connection(asyncio.Protocol):
    """One TCP connection: counted, and ended when it asks for nothing. All else is the library's.

    Args:
        protocol: the library's protocol for it.
        others: all connections, by these.
    """

    def __init__(self, protocol: asyncio.Protocol, others: dict[asyncio.Protocol, Connection]) -> None:
        self._protocol = protocol
        self._others = others
        self._transport: asyncio.Transport | None = None
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it, or end it."""
        assert isinstance(transport, asyncio.Transport)
        if len(self._others) >= MAX_HTTP_CONNECTIONS:
            transport.abort()
            return
        self._transport = transport
        self._others[self._protocol] = self
        self.asked()
        self._protocol.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        if self._transport is not None:
            self._transport = None
            self.joins()
            del self._others[self._protocol]
            self._protocol.connection_lost(exc)

    def asked(self) -> None:
        """A request has come, or is awaited from now on."""
        self.joins()
        if self._transport is not None:
            self._late = asyncio.get_running_loop().call_later(REQUEST_TIMEOUT_S, self._transport.abort)

    def joins(self) -> None:
        """It has become a WebSocket, which has limits of its own."""
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def data_received(self, data: bytes) -> None:
        """Hand on."""
        if self._transport is not None:
            self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        """Hand on."""
        return None if self._transport is None else self._protocol.eof_received()

    def pause_writing(self) -> None:
        """Hand on."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Hand on."""
        self._protocol.resume_writing()


class Site(web.BaseSite):
    """Where the application is reached.

    Args:
        runner: runs the application.
        host, port: where to listen; port 0 takes a free one.
        tls: speak HTTPS with it.
    """

    def __init__(
        self, runner: web.AppRunner, host: str, port: int, *, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(runner, ssl_context=tls)
        self._address = (host, port)

    @property
    def name(self) -> str:
        """The URL."""
        host, port = self._address
        return f"{'https' if self._ssl_context else 'http'}://{host}:{port}"

    async def start(self) -> None:
        """Listen."""
        await super().start()
        server = self._runner.server
        assert isinstance(self._runner, web.AppRunner)
        assert server is not None
        connections = self._runner.app[STATE].connections
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(server(), connections),
            *self._address,
            ssl=self._ssl_context,
            ssl_handshake_timeout=TLS_TIMEOUT_S if self._ssl_context else None,
            backlog=self._backlog,
        )


async def start(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    ice_servers: Sequence[Mapping[str, Any]] = (),
    hosts: Collection[str] = (),
    tls: ssl.SSLContext | None = None,
) -> tuple[web.AppRunner, int]:
    """Serve in this loop.

    Args:
        host, port: where to listen; port 0 takes a free one.
        ice_servers: RTCIceServer dictionaries for whoever calls.
        hosts: names that the server has beside localhost, `host` and its addresses.
        tls: speak HTTPS with it.

    Returns:
        the runner, to be cleaned up, and the port.
    """
    # nobody has a body to send, and none is waited for
    runner = web.AppRunner(make_app(ice_servers, [host, *hosts]), access_log=None, lingering_time=0)
    await runner.setup()
    await Site(runner, host, port, tls=tls).start()
    return runner, int(runner.addresses[0][1])
