"""What getStats takes: of calls with more and more transceivers, on a virtual network."""

from __future__ import annotations

import asyncio
import time
from fractions import Fraction

from rtcstack import EncodedMedia, EncodedSource, RTCPeerConnection
from rtcstack.testing import Internet, run

__all__ = ["COUNTS", "get_stats_ms"]

COUNTS = (1, 10, 100, 400)
"""Transceivers."""

_SOUND_BYTES = 100
_SECONDS = 6.0
"""Of a call, so that reports have come."""


async def _call(internet: Internet, transceivers: int, window_s: float) -> float:
    """Processor seconds for a report of a receiving end, with a stream of sound in each transceiver."""
    connections: list[RTCPeerConnection] = []
    for name in ("caller", "callee"):
        with internet.add_host(name):
            connections.append(RTCPeerConnection())
    caller, callee = connections
    sources = [EncodedSource("audio/opus") for _ in range(transceivers)]
    for source in sources:
        caller.addTransceiver(source.track(), direction="sendonly")
    await caller.setLocalDescription()
    await callee.setRemoteDescription(await caller.gathered())
    await callee.setLocalDescription()
    await caller.setRemoteDescription(await callee.gathered())
    while any(connection.connectionState != "connected" for connection in connections):
        await asyncio.sleep(0.01)
    for number in range(round(_SECONDS)):
        for i, source in enumerate(sources):
            if not i % 50:
                await asyncio.sleep(0.01)  # the network's queue holds a few hundred packets
            sound = bytes((0x78,)).ljust(_SOUND_BYTES)
            source.push_encoded(
                EncodedMedia("audio/opus", sound, number * 48_000, Fraction(1, 48_000), duration=960)
            )
        await asyncio.sleep(1)
    report = await callee.getStats()
    assert len(report.of_type("inbound-rtp")) == transceivers
    count, spent, until = 0, 0.0, time.process_time() + window_s
    while time.process_time() < until or not count:
        began = time.process_time()
        await callee.getStats()
        spent += time.process_time() - began
        count += 1
    for source in sources:
        source.end()
    for connection in connections:
        await connection.close()
    return spent / count


def get_stats_ms(transceivers: int, window_s: float) -> float:
    """Milliseconds of processor time for one report.

    Args:
        transceivers: of the connection.
        window_s: processor seconds to measure for.
    """
    internet = Internet(seed=1)
    return 1000 * run(_call(internet, transceivers, window_s), internet=internet)
