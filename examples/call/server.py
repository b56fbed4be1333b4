"""The signalling server: the page, and rooms over a WebSocket at /signaling.

Every message is a JSON object with a "type". To the server:

    {"type": "join", "room": "lobby", "name": "alice"}   the first message; names are unique in a room
    {"type": "signal", "to": "bob", "data": {...}}       handed to that member as it is

From the server:

    {"type": "joined", "room": "lobby", "name": "alice", "members": ["bob"]}
    {"type": "entered", "name": "carol"}                 somebody else came
    {"type": "left", "name": "carol"}                    or went
    {"type": "signal", "from": "alice", "data": {...}}
    {"type": "error", "reason": "..."}                   the message before was not obeyed

The server does not look into "data". What the members of a call put there:

    {"description": {"type": "offer", "sdp": "..."}}
    {"candidate": {"candidate": "...", "sdpMid": "0", ...}}   null is the end of candidates
    {"callMe": true}                                          asks the other one to make the offer
    {"bye": true}                                             the call is over
    {"report": {...}}                                         what the page measured, for the demonstration
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

__all__ = ["make_app", "start"]

PAGE = Path(__file__).with_name("page")

MAX_MESSAGE_BYTES = 1 << 18
"""Longest message of a member: a description with many media sections fits."""

MAX_ROOMS = 1000
MAX_MEMBERS = 50
MAX_NAME = 64

Room = dict[str, web.WebSocketResponse]
ROOMS: web.AppKey[dict[str, Room]] = web.AppKey("rooms", dict)


class RefusedError(Exception):
    """A message that is not obeyed; the member is told why."""


def make_app() -> web.Application:
    """The application: the page at /, the rooms at /signaling."""
    app = web.Application()
    app[ROOMS] = {}
    app.router.add_get("/signaling", handle)
    app.router.add_get("/", index)
    app.router.add_static("/", PAGE)
    app.on_shutdown.append(shut_down)
    return app


async def index(_request: web.Request) -> web.FileResponse:
    """The page."""
    return web.FileResponse(PAGE / "index.html")


async def shut_down(app: web.Application) -> None:
    """Let the members go."""
    for room in list(app[ROOMS].values()):
        for socket in list(room.values()):
            await socket.close()


async def handle(request: web.Request) -> web.WebSocketResponse:
    """One member, from joining to leaving."""
    socket = web.WebSocketResponse(heartbeat=30, max_msg_size=MAX_MESSAGE_BYTES)
    await socket.prepare(request)
    rooms = request.app[ROOMS]
    room_name = name = ""
    try:
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            try:
                value = parse(message.data)
                if not name:
                    room_name, name, members = enter(rooms, socket, value)
                    joined = {"type": "joined", "room": room_name, "name": name, "members": members}
                    await socket.send_json(joined)
                    await tell(rooms[room_name], {"type": "entered", "name": name}, but=name)
                else:
                    await signal(rooms[room_name], name, value)
            except RefusedError as refusal:
                await socket.send_json({"type": "error", "reason": str(refusal)})
    finally:
        if name:
            await leave(rooms, room_name, name)
    return socket


def parse(text: str) -> dict[str, Any]:
    """A message as an object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise RefusedError("not JSON") from None
    if not isinstance(value, dict):
        raise RefusedError("not an object")
    return value


def word(value: dict[str, Any], member: str) -> str:
    """A name in a message."""
    result = value.get(member)
    if not isinstance(result, str) or not 0 < len(result.strip()) <= MAX_NAME:
        raise RefusedError(f'"{member}" must be a name of 1 to {MAX_NAME} characters')
    return result.strip()


def enter(
    rooms: dict[str, Room], socket: web.WebSocketResponse, value: dict[str, Any]
) -> tuple[str, str, list[str]]:
    """Let a member into a room; the names of the room, the member, and who was there before."""
    if value.get("type") != "join":
        raise RefusedError('the first message must be "join"')
    room_name, name = word(value, "room"), word(value, "name")
    room = rooms.get(room_name, {})
    if name in room:
        raise RefusedError(f"the name {name} is taken")
    if len(room) >= MAX_MEMBERS:
        raise RefusedError("the room is full")
    if not room and len(rooms) >= MAX_ROOMS:
        raise RefusedError("there are too many rooms")
    members = list(room)
    rooms.setdefault(room_name, {})[name] = socket
    return room_name, name, members


async def signal(room: Room, name: str, value: dict[str, Any]) -> None:
    """Hand a message on."""
    if value.get("type") != "signal":
        raise RefusedError(f'unknown type "{value.get("type")}"')
    target = room.get(word(value, "to"))
    if target is None:
        raise RefusedError(f"{value['to']} is not here")
    with contextlib.suppress(ConnectionError):
        await target.send_json({"type": "signal", "from": name, "data": value.get("data")})


async def leave(rooms: dict[str, Room], room_name: str, name: str) -> None:
    """Leave the room; the last one takes it along."""
    room = rooms[room_name]
    del room[name]
    if room:
        await tell(room, {"type": "left", "name": name})
    else:
        del rooms[room_name]


async def tell(room: Room, message: dict[str, Any], *, but: str = "") -> None:
    """Say something to everybody in the room."""
    for name, socket in list(room.items()):
        if name != but:
            with contextlib.suppress(ConnectionError):
                await socket.send_json(message)


async def start(host: str = "127.0.0.1", port: int = 0) -> tuple[web.AppRunner, int]:
    """Serve in this loop.

    Returns:
        the runner, to be cleaned up, and the port.
    """
    runner = web.AppRunner(make_app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner, int(runner.addresses[0][1])
