"""What the page does by itself with ?script=, in Python: it stands in where there is no browser."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
from importlib.metadata import version
from typing import Any

from examples.call.call import Call, summary
from examples.call.client import Signaling, join
from examples.call.transfer import Transfer


def described(transfer: Transfer) -> dict[str, Any]:
    """A transfer as JSON."""
    return {
        "name": transfer.name,
        "size": len(transfer.data),
        "sha256": transfer.sha256,
        "verified": transfer.verified,
        "seconds": transfer.seconds,
    }


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

    async def listen(self) -> None:
        """Hand what is signalled to the call that is on."""
        async for message in self._signaling:
            if message["type"] == "signal" and self._call is not None:
                await self._call.receive(message["data"])

    async def call(self, step: str, size: int) -> None:
        """One call: a file each way, then the report."""
        arrived: asyncio.Future[Transfer] = asyncio.get_running_loop().create_future()
        self._call = call = Call(
            lambda data: self._signaling.signal(self._other, data),
            polite=self._signaling.name > self._other,
            on_file=lambda _call, transfer: arrived.set_result(transfer),
        )
        if step == "offer":
            call.call()
        else:
            self._signaling.signal(self._other, {"callMe": True})
        await call.say(f"/file {size}")
        received = await arrived
        sent = await call.send_file("page.bin", os.urandom(size))
        report = {
            "step": step,
            "agent": f"rtcstack {version('rtcstack')}, Python {platform.python_version()}",
            "timeline": call.timeline,
            "candidatesSent": call.candidates_sent,
            "candidatesReceived": call.candidates_received,
            "sent": described(sent),
            "received": described(received),
            "facts": await summary(call.pc),
        }
        self._signaling.signal(self._other, {"report": report})
        self._signaling.signal(self._other, {"bye": True})
        self._call = None
        await call.close()


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
