"""What a negotiation takes, step by step, by the number of transceivers: sound, both ways, no packet sent."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable
from typing import Any

from bench.stacks import Stack

__all__ = ["COUNTS", "STEPS", "negotiation"]

COUNTS = (1, 10, 100, 400)
"""Transceivers."""

STEPS = ("create_offer", "set_local", "set_remote", "get_stats")
"""What is timed: an offer made, set by who made it, set by the peer; statistics, after the answer."""


async def _timed(what: Awaitable[Any], times: list[float]) -> Any:
    began = time.perf_counter()
    result = await what
    times.append(time.perf_counter() - began)
    return result


async def _once(stack: Stack, count: int, times: dict[str, list[float]]) -> None:
    a, b = stack.new(), stack.new()
    for _ in range(count):
        a.addTransceiver("audio")
    offer = await _timed(a.createOffer(), times["create_offer"])
    await _timed(a.setLocalDescription(offer), times["set_local"])
    await _timed(b.setRemoteDescription(a.localDescription), times["set_remote"])
    await b.setLocalDescription(await b.createAnswer())
    await a.setRemoteDescription(b.localDescription)
    await _timed(a.getStats(), times["get_stats"])
    for pc in (a, b):
        closing = pc.close()
        if closing is not None:
            await closing


async def negotiation(stack: Stack, setups: int) -> dict[str, float]:
    """Milliseconds for each step, by the number of transceivers; medians.

    Args:
        stack: whose.
        setups: how often with one transceiver; with more, as many fewer.
    """
    result: dict[str, float] = {}
    for count in COUNTS:
        times: dict[str, list[float]] = {step: [] for step in STEPS}
        for _ in range(max(1, setups // count)):
            await _once(stack, count, times)
        result |= {f"{step}_{count}": 1000 * statistics.median(times[step]) for step in STEPS}
    return result
