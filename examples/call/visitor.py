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


async def run_call(signaling: Signaling, messages: Any, step: str, other: str, size: int) -> None:
    """One call: a file each way, then the report."""
    arrived: asyncio.Future[Transfer] = asyncio.get_running_loop().create_future()
    call = Call(
        lambda data: signaling.signal(other, data),
        polite=signaling.name > other,
        on_file=lambda _call, transfer: arrived.set_result(transfer),
    )

    async def listen() -> None:
        async for message in messages:
            if message["type"] == "signal":
                await call.receive(message["data"])

    listening = asyncio.create_task(listen())
    try:
        if step == "offer":
            call.call()
        else:
            signaling.signal(other, {"callMe": True})
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
        signaling.signal(other, {"report": report})
    finally:
        listening.cancel()
        signaling.signal(other, {"bye": True})
        await call.close()


async def main(url: str, steps: list[str], other: str, size: int) -> None:
    """Enter the room and make the calls."""
    async with join(url, "lobby", "page") as signaling:
        messages = aiter(signaling)
        for step in steps:
            await run_call(signaling, messages, step, other, size)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m examples.call.visitor", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--script", default="offer,answer")
    parser.add_argument("--with", dest="other", default="bot")
    parser.add_argument("--bytes", type=int, default=1_000_000)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.url, arguments.script.split(","), arguments.other, arguments.bytes))
