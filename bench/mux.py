"""Many connections on one UDP port: time and memory of each, both ends in this process.

python -m bench.mux [--count 1000]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import time

from bench.rows import rss_kib
from rtcstack import IceSettings, RTCConfiguration, RTCPeerConnection, Settings, UdpMux

AT_ONCE = 10
"""Connections that are made at the same time."""

Pair = tuple[RTCPeerConnection, RTCPeerConnection]


async def connect(server: RTCConfiguration) -> Pair:
    """A client and one more connection of the server, with an open channel."""
    client, serving = RTCPeerConnection(), RTCPeerConnection(server)
    opened = asyncio.Event()
    client.createDataChannel("bench").on("open", lambda _event: opened.set())
    await client.setLocalDescription()
    await serving.setRemoteDescription(await client.gathered())
    await serving.setLocalDescription()
    await client.setRemoteDescription(await serving.gathered())
    await asyncio.wait_for(opened.wait(), 30)
    return client, serving


async def main(count: int) -> None:
    """Make them, look at them, close them."""
    mux = UdpMux()
    server = RTCConfiguration(settings=Settings(ice=IceSettings(udp_mux=mux)))
    pairs: list[Pair] = [await connect(server)]  # what is made once is not counted
    gc.collect()
    before, cpu, begun = rss_kib(), time.process_time(), time.perf_counter()
    while len(pairs) < count:
        pairs += await asyncio.gather(*(connect(server) for _ in range(min(AT_ONCE, count - len(pairs)))))
    cpu, elapsed = time.process_time() - cpu, time.perf_counter() - begun
    gc.collect()
    grown = rss_kib() - before
    each, busy = elapsed / count * 1e3, cpu / count * 1e3
    print(f"{count:,} connections on one port: {each:.1f} ms each, {busy:.1f} ms of CPU")
    print(f"memory of both ends just made: {grown / count:.0f} KiB a connection")
    await asyncio.sleep(8)  # silent connections rest
    gc.collect()
    print(f"memory of both ends, silent: {(rss_kib() - before) / count:.0f} KiB a connection")
    cpu, begun = time.process_time(), time.perf_counter()
    await asyncio.sleep(5)
    idle = (time.process_time() - cpu) / (time.perf_counter() - begun)
    print(f"idle: {100 * idle:.0f} % of a core for consent and keepalives of all, both ends")
    for pair in pairs:
        for pc in pair:
            await pc.close()
    mux.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.mux", description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    asyncio.run(main(parser.parse_args().count))
