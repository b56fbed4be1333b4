"""The signalling server's protocol (docs/call-app.md) from a member's side."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from examples.call.rooms import MAX_MESSAGE_BYTES, encode

__all__ = ["Signaling", "join"]

MAX_OUTGOING_BYTES = 1 << 22
"""What waits for a server that reads slowly."""


class Signaling:
    """A member of a room. Iterating gives what the server says.

    Attributes:
        name: who we are.
        members: who else is here, kept up to date by iterating.
        ice_servers: RTCIceServer dictionaries that the server recommends.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, joined: Mapping[str, Any]) -> None:
        self.name: str = joined["name"]
        self.members: list[str] = joined["members"]
        self.ice_servers: list[dict[str, Any]] = joined.get("iceServers", [])
        self._socket = socket
        self._outgoing: asyncio.Queue[str] = asyncio.Queue()
        self._outgoing_bytes = 0
        self._sender = asyncio.create_task(self._send())

    def signal(self, to: str, data: dict[str, Any]) -> None:
        """Send `data` to a member. What is sent first arrives first.

        Raises:
            ValueError: the message is longer than the server takes, which would end the connection, or the
                server takes messages so slowly that too much waits already.
        """
        text = encode({"type": "signal", "to": to, "data": data})
        size = len(text.encode())
        if size > MAX_MESSAGE_BYTES:
            raise ValueError(f"a message of more than {MAX_MESSAGE_BYTES} bytes")
        if self._outgoing_bytes + size > MAX_OUTGOING_BYTES:
            raise ValueError(f"more than {MAX_OUTGOING_BYTES} bytes wait to be sent")
        self._outgoing_bytes += size
        self._outgoing.put_nowait(text)

    async def _send(self) -> None:
        while True:
            message = await self._outgoing.get()
            # whoever iterates learns of a lost connection
            with contextlib.suppress(ConnectionError):
                await self._socket.send_str(message)
            self._outgoing_bytes -= len(message.encode())
            self._outgoing.task_done()

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        async for message in self._socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                value = message.json()
                if value["type"] == "entered":
                    self.members.append(value["name"])
                elif value["type"] == "left" and value["name"] in self.members:
                    self.members.remove(value["name"])
                yield value

    async def close(self) -> None:
        """Leave, after what was signalled has been sent."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._outgoing.join(), 1.0)
        self._sender.cancel()
        await self._socket.close()


@asynccontextmanager
async def join(url: str, room: str, name: str) -> AsyncIterator[Signaling]:
    """Enter a room.

    Args:
        url: of the server, ``http://localhost:8080``.
        room: its name.
        name: of the new member.

    Raises:
        ConnectionRefusedError: the server does not let us in; the message says why.
    """
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/signaling") as socket:
        await socket.send_json({"type": "join", "room": room, "name": name})
        answer = await socket.receive_json()
        if answer["type"] != "joined":
            raise ConnectionRefusedError(answer.get("reason", "no reason given"))
        signaling = Signaling(socket, answer)
        try:
            yield signaling
        finally:
            await signaling.close()
