"""Calls over bad networks, our sender and Chromium's side by side: what is left of sound and pictures.

    python -m bench.calls                # all links and pairs, three minutes each
    python -m bench.calls --seconds 60 --links loss policer

Real time, real sockets: a box between both ends delays, loses and queues (`tests/support/middlebox.py`). What
is seen and heard is what the receiver's statistics say.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from typing import Any

from tests.support.chromium_peer import start_chromium
from tests.support.host import Host
from tests.support.media import Card, Tone, Transceiver
from tests.support.middlebox import Behind, Link, Middlebox
from tests.support.peers import Peer, connect
from tests.support.rtcstack_peer import RtcstackPeer

__all__ = ["LINKS"]

LINKS = {
    "clean": Link(),
    "loss": Link(loss=0.05, jitter_s=0.04),
    "far": Link(loss=0.01, delay_s=0.1),
    "narrow": Link(rate_bps=1e6),
    "policer": Link(rate_bps=1e6, bucket_bytes=12_000),
    "cubic": Link(rate_bps=4e6, cubic=True),
}
CAMERA, VOICE = Card(width=640, height=480, frame_rate=30, squares=100), Tone(frequency_hz=440)
WARM_UP_S = 10.0


async def _peer(name: str, host: Host) -> Peer:
    return RtcstackPeer() if name == "rtcstack" else await host.peer()


async def _received(receiver: Peer) -> tuple[dict[str, Any], dict[str, Any]]:
    video: dict[str, Any] = {}
    audio: dict[str, Any] = {}
    for transceiver in await receiver.transceivers():
        for report in await transceiver.stats():
            if report.get("type") == "inbound-rtp":
                (video if report["kind"] == "video" else audio).update(report)
    return video, audio


async def call(
    link: Link, pair: tuple[str, str], seconds: float, host: Host, address: str
) -> dict[str, float]:
    """One call, one way.

    Returns:
        kbit/s of pictures, frames a second, freezes and their seconds, percent of concealed sound and its
        events, milliseconds of queue, percent of packets dropped.
    """
    box = Middlebox(link, address)
    sender, receiver = [Behind(await _peer(name, host), box, side) for side, name in enumerate(pair)]
    watching: list[asyncio.Task[None]] = []
    try:
        await sender.send(CAMERA)
        await sender.send(VOICE)
        async with connect(sender, receiver):
            watching += [asyncio.ensure_future(_watch(each)) for each in await receiver.transceivers()]
            box.compete()
            await asyncio.sleep(WARM_UP_S)
            before, began, other = await _received(receiver), time.monotonic(), box.cubic_bps
            await asyncio.sleep(seconds)
            after, elapsed = await _received(receiver), time.monotonic() - began
            other = box.cubic_bps - other
    finally:
        for task in watching:
            task.cancel()
        await sender.close()
        await receiver.close()
        box.close()

    def grown(index: int, name: str) -> float:
        return float(after[index].get(name) or 0) - float(before[index].get(name) or 0)

    samples = grown(1, "totalSamplesReceived")
    return {
        "kbit/s": grown(0, "bytesReceived") * 8 / elapsed / 1000,
        "frames/s": grown(0, "framesDecoded") / elapsed,
        "freezes": grown(0, "freezeCount"),
        "frozen s": grown(0, "totalFreezesDuration"),
        "concealed %": 100 * grown(1, "concealedSamples") / max(1.0, samples),
        "events": grown(1, "concealmentEvents"),
        "queue ms": box.queue_s * 1000,
        "dropped": box.dropped,
        "other kbit/s": other / elapsed / 1000,
    }


async def _watch(transceiver: Transceiver) -> None:
    """Somebody looks and listens, from now on: else nothing would be decoded."""
    with contextlib.suppress(Exception):  # on a bad network it may see nothing for long
        info = await transceiver.info()
        await (transceiver.look(1) if info["kind"] == "video" else transceiver.listen())


async def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--links", nargs="*", default=list(LINKS))
    parser.add_argument(
        "--pairs", nargs="*", default=["rtcstack>chromium", "chromium>chromium", "chromium>rtcstack"]
    )
    options = parser.parse_args()
    from tests.support.browser import own_addresses

    address = next(a for a in own_addresses() if a[0].isdigit() and not a.startswith("127."))
    host = await start_chromium()
    try:
        head = True
        for name in options.links:
            for pair in options.pairs:
                sender, _, receiver = pair.partition(">")
                row = await call(LINKS[name], (sender, receiver), options.seconds, host, address)
                if head:
                    print("| link | pair |", " | ".join(row), "|")
                    head = False
                print(
                    f"| {name} | {pair} |",
                    " | ".join(f"{value:.4g}" for value in row.values()),
                    "|",
                    flush=True,
                )
    finally:
        await host.kill()


if __name__ == "__main__":
    asyncio.run(main())
