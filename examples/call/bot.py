"""The bot: a member of a room who answers calls, echoes the chat, and sends and takes files.

In the chat, `/file 1000000` asks it for a file of that many bytes; it echoes anything else.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from examples.call.call import Call, summary
from examples.call.client import Signaling, join
from examples.call.transfer import MAX_FILE_BYTES, Transfer
from rtcstack.errors import DOMException

__all__ = ["Bot"]


class Bot:
    """Keeps a call for each member who wants one.

    Args:
        signaling: the room.
        on_event: told of what happens, for whoever shows it: a name, the call, and a value.
    """

    def __init__(
        self, signaling: Signaling, on_event: Callable[[str, Call, Any], None] = lambda *_: None
    ) -> None:
        self.calls: dict[str, Call] = {}
        self._signaling = signaling
        self._on_event = on_event

    async def run(self) -> None:
        """Serve until the connection to the server ends."""
        try:
            async for message in self._signaling:
                if message["type"] == "signal" and isinstance(message["data"], dict):
                    try:
                        await self._signalled(message["from"], message["data"])
                    except (DOMException, TypeError, KeyError) as error:
                        # what a member signals must cost its own call at most
                        print(f"{message['from']}: {error!r}", file=sys.stderr)
                        self._signaling.signal(message["from"], {"bye": True})
                        await self._hang_up(message["from"])
                elif message["type"] == "left":
                    await self._hang_up(message["name"])
        finally:
            for name in list(self.calls):
                await self._hang_up(name)

    async def _signalled(self, name: str, data: Mapping[str, Any]) -> None:
        if data.get("bye"):
            await self._hang_up(name)
            return
        call = self.calls.get(name)
        if "report" in data:
            if call is not None:
                call.facts = await summary(call.pc)
                self._on_event("report", call, data["report"])
        elif data.get("callMe"):
            (call or self._new(name)).call()
        elif call is not None:
            await call.receive(data)
        elif "description" in data:
            await self._new(name).receive(data)
        # a candidate of a call that is over comes to nothing

    def _new(self, name: str) -> Call:
        call = Call(
            lambda data: self._signaling.signal(name, data),
            polite=self._signaling.name > name,
            on_chat=self._chat,
            on_file=lambda call, transfer: self._on_event("received", call, transfer),
            on_progress=lambda call, *amounts: self._on_event("receiving", call, amounts),
        )
        self.calls[name] = call
        self._on_event("call", call, name)
        return call

    async def _hang_up(self, name: str) -> None:
        call = self.calls.pop(name, None)
        if call is not None:
            await call.close()
            self._on_event("closed", call, name)

    def _chat(self, call: Call, text: str) -> None:
        words = text.split()
        if words[:1] == ["/file"] and len(words) == 2 and words[1].isdecimal():
            call.spawn(self._send(call, min(int(words[1]), MAX_FILE_BYTES)))
        else:
            call.spawn(call.say(f"you said: {text}"))

    async def _send(self, call: Call, size: int) -> None:
        def progress(sent: int, total: int) -> None:
            self._on_event("sending", call, (sent, total))

        transfer: Transfer = await call.send_file("bot.bin", os.urandom(size), progress)
        self._on_event("sent", call, transfer)


async def main(url: str, room: str, name: str) -> None:
    """Join and stay."""
    async with join(url, room, name) as signaling:
        print(f"{name} is in {room} at {url}")
        await Bot(signaling).run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m examples.call.bot", description=__doc__)
    parser.add_argument("url", nargs="?", default="http://localhost:8080")
    parser.add_argument("--room", default="lobby")
    parser.add_argument("--name", default="bot")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(arguments.url, arguments.room, arguments.name))
