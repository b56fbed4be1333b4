"""What the page does by itself with ?script=, in Python: it stands in where there is no browser."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import secrets
from importlib.metadata import version
from typing import Any

from examples.call.call import Call, summary
from examples.call.client import Signaling, join
from examples.call.names import is_polite
from examples.call.transfer import Transfer


class Visitor:
    """Calls another member of the room, one call after the other.

    Args:
        signaling: the room.
        other: the name of who is called.
    """

    def __init__(self, signaling: Signaling, other: str) -> None:
        self._signaling = signaling
        self._other = other
        self._call: Call | None = None
        self._accepted = asyncio.Event()

    async def listen(self) -> None:
        """Hand what is signalled to the call that is on."""
        async for message in self._signaling:
            if message["type"] != "signal" or self._call is None:
                continue
            data = message["data"]
            if data.get("call") != self._call.number:
                continue
            if data["type"] == "accept":
                self._accepted.set()
            else:
                await self._call.receive(data)

    async def call(self, step: str, size: int) -> None:
        """One call: a file each way, then the report."""
        arrived: asyncio.Future[Transfer] = asyncio.get_running_loop().create_future()
        number = secrets.token_urlsafe(9)
        self._accepted.clear()
        self._call = call = Call(
            number,
            self._signal,
            polite=is_polite(self._signaling.name, self._other),
            ice_servers=self._signaling.ice_servers,
            on_file=lambda _call, transfer: arrived.set_result(transfer),
        )
        self._signal({"type": "invite", "offer": "caller" if step == "offer" else "callee"})
        await self._accepted.wait()
        if step == "offer":
            call.call()
        await call.say(f"/file {size}")
        received = await arrived
        sent = await call.send_file("page.bin", os.urandom(size))
        report = {
            "step": step,
            "agent": f"rtcstack {version('rtcstack')}, Python {platform.python_version()}",
            "timeline": call.timeline,
            "candidatesSent": call.candidates_sent,
            "candidatesReceived": call.candidates_received,
            "kinds": [],
            "sent": sent.described(),
            "received": received.described(),
            "facts": await summary(call.pc),
        }
        self._signal({"type": "report", "report": report})
        self._signal({"type": "bye"})
        self._call = None
        await call.close()

    def _signal(self, data: dict[str, Any]) -> None:
        if self._call is not None:
            self._signaling.signal(self._other, {**data, "call": self._call.number})


async def main(url: str, steps: list[str], other: str, size: int) -> None:
    """Enter the room and make the calls."""
    async with join(url, "lobby", "page") as signaling:
        visitor = Visitor(signaling, other)
        listening = asyncio.create_task(visitor.listen())
        for step in steps:
            await visitor.call(step, size)
        listening.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m examples.call.visitor", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--script", default="offer,answer")
    parser.add_argument("--with", dest="other", default="bot")
    parser.add_argument("--bytes", type=int, default=1_000_000)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.url, arguments.script.split(","), arguments.other, arguments.bytes))
