"""The bot: a member of a room who answers calls, sends back what it sees, hears and reads, and files.

In the chat, `/file 1000000` asks it for a file of that many bytes; it echoes anything else.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from examples.call.call import Call, summary
from examples.call.client import Signaling, join
from examples.call.media import Media
from examples.call.names import is_polite
from examples.call.rooms import MAX_CALL_NUMBER
from examples.call.transfer import RandomContent, Transfer
from rtcstack import RTCPeerConnection
from rtcstack.errors import DOMException

__all__ = ["Bot"]

MAX_CALLS = 16
"""At once; one for each member."""

MAX_ECHO = 4000
"""Characters of a line of the chat that are said back."""

MAX_LOGGED = 200
"""Characters of what is said about a failure: it may quote what a member has sent."""

MAX_ASKED_BYTES = 1 << 26
"""Longest file that the bot makes for `/file`."""


class Bot:
    """Takes a call from each member who wants one.

    Args:
        signaling: the room.
        media: makes what is done with a call's sound and picture.
        on_event: told of what happens, for whoever shows it: a name, the call, and a value.
    """

    def __init__(
        self,
        signaling: Signaling,
        on_event: Callable[[str, Call, Any], None] = lambda *_: None,
        media: Callable[[RTCPeerConnection], Media] = Media,
    ) -> None:
        self._media = media
        self.calls: dict[str, Call] = {}
        self._sending: set[Call] = set()
        self._signaling = signaling
        self._on_event = on_event

    async def run(self) -> None:
        """Serve until the connection to the server ends."""
        try:
            async for message in self._signaling:
                if message["type"] == "signal" and isinstance(message["data"], dict):
                    await self._signalled(message["from"], message["data"])
                elif message["type"] == "left":
                    await self._abandoned(message["name"])
        finally:
            for name in list(self.calls):
                await self._hang_up(name, tell="leaving")

    async def _signalled(self, name: str, data: Mapping[str, Any]) -> None:
        try:
            if data.get("type") == "invite":
                await self._invited(name, data)
                return
            call = self.calls.get(name)
            if call is None or data.get("call") != call.number:
                return  # of a call that is over
            if data.get("type") == "bye":
                await self._hang_up(name)
            elif data.get("type") == "report":
                call.facts = await summary(call.pc)
                self._on_event("report", call, data["report"])
            else:
                await call.receive(data)
        except (DOMException, TypeError, KeyError, ValueError) as error:
            # what a member signals must cost its own call at most
            log(f"{name}: {error!r}")
            await self._hang_up(name, tell="failed")

    async def _invited(self, name: str, data: Mapping[str, Any]) -> None:
        number = data["call"]
        if not isinstance(number, str) or len(number) > MAX_CALL_NUMBER:
            raise ValueError(f"a call's number must be a string of at most {MAX_CALL_NUMBER} characters")
        await self._hang_up(name)  # who calls anew has forgotten the old call
        if len(self.calls) >= MAX_CALLS:
            self._tell(name, {"type": "refuse", "call": number, "reason": "busy"})
            return
        call = self._new(name, number)
        self._signaling.signal(name, {"type": "accept", "call": number})
        if data.get("offer") == "callee":
            call.call()

    def _new(self, name: str, number: str) -> Call:
        call = Call(
            number,
            lambda data: self._signaling.signal(name, {**data, "call": number}),
            polite=is_polite(self._signaling.name, name),
            ice_servers=self._signaling.ice_servers,
            media=self._media,
            on_chat=self._chat,
            on_file=lambda call, transfer: self._on_event("received", call, transfer),
            on_progress=lambda call, *amounts: self._on_event("receiving", call, amounts),
            on_failed=lambda call: call.spawn(self._lost(name, call)),
        )
        self.calls[name] = call
        self._on_event("call", call, name)
        return call

    async def _abandoned(self, name: str) -> None:
        """A member has left the room; a call that stands outlives that, and ends when it fails."""
        call = self.calls.get(name)
        if call is not None and call.pc.connectionState != "connected":
            await self._hang_up(name)

    async def _lost(self, name: str, call: Call) -> None:
        if self.calls.get(name) is call:
            await self._hang_up(name, tell="lost")

    async def _hang_up(self, name: str, *, tell: str = "") -> None:
        call = self.calls.pop(name, None)
        if call is not None:
            if tell:
                self._tell(name, {"type": "bye", "call": call.number, "reason": tell})
            await call.close()
            self._on_event("closed", call, name)

    def _tell(self, name: str, data: dict[str, Any]) -> None:
        """Signal what is good to know; where too much waits already, it is not told."""
        with contextlib.suppress(ValueError):
            self._signaling.signal(name, data)

    async def _chat(self, call: Call, text: str) -> None:
        words = text.split()
        if words[:1] == ["/file"] and len(words) == 2 and words[1].isdecimal():
            if call in self._sending:
                await call.say("one file after the other, please")
            else:
                call.spawn(self._send(call, min(int(words[1][:12]), MAX_ASKED_BYTES)))
        else:
            await call.say(f"you said: {text[:MAX_ECHO]}")

    async def _send(self, call: Call, size: int) -> None:
        def progress(sent: int, total: int) -> None:
            self._on_event("sending", call, (sent, total))

        self._sending.add(call)
        try:
            transfer: Transfer = await call.send_file("bot.bin", RandomContent(size), progress)
        except (ConnectionError, DOMException, ValueError):
            return  # the other side has hung up, or closed the channel
        finally:
            self._sending.discard(call)
        self._on_event("sent", call, transfer)


def log(text: str) -> None:
    """Say what went wrong, to whoever runs the bot."""
    print(text[:MAX_LOGGED], file=sys.stderr)


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
