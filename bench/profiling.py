"""Where the time of a bulk run goes, by room of rtcstack.

What C code takes (OpenSSL, sockets, checksums) is a line of its own; what the rest of the
standard library takes in C is counted to the Python function that called it.
"""

from __future__ import annotations

import asyncio
import cProfile
import pstats
import time
from collections import defaultdict
from pathlib import PurePath
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.rows import BULK_BYTES, Size, send_for_ever
from bench.stacks import Stack

__all__ = ["profile"]

Location = tuple[str, int, str]

NATIVE = (
    ("OpenSSL", ("SSL_", "BIO_", "EVP_", "openssl", "_rust", "X509_")),
    ("socket calls", ("_socket.socket", "recvmsg", "sendmsg")),
    ("waiting", ("select.epoll",)),
    ("CRC32c", ("crc32c",)),
    ("SRTP", ("srtp_",)),
)


def room_of(location: Location) -> str:
    """The line of the table that a function belongs to."""
    filename, _, function = location
    if filename == "~":
        return next((name for name, marks in NATIVE if any(mark in function for mark in marks)), "")
    parts = PurePath(filename).parts
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1]
    if "rtcstack" in parts:
        last = len(parts) - 1 - parts[::-1].index("rtcstack")
        return "rtcstack/" + parts[last + 1].removesuffix(".py")
    if "asyncio" in parts:
        return "asyncio"
    if "bench" in parts:
        return "bench"
    return "standard library"


def by_room(stats: dict[Location, Any]) -> dict[str, float]:
    """Seconds of own time for each line."""
    rooms: defaultdict[str, float] = defaultdict(float)
    for location, (_, _, own_s, _, callers) in stats.items():
        room = room_of(location)
        if room:
            rooms[room] += own_s
            continue
        for caller, (_, _, part_s, _) in callers.items():
            rooms[room_of(caller) or "built-ins"] += part_s
    return dict(rooms)


async def profile(stack: Stack, size: Size) -> None:
    """Run bulk under cProfile and print the two tables."""
    sender, receiver = await stack.pair()
    received = 0

    def on_message(data: bytes) -> None:
        nonlocal received
        received += len(data)

    receiver.on_message(on_message)
    send_for_ever(sender, BULK_BYTES)
    await asyncio.sleep(size.warm_up_s)
    profiler = cProfile.Profile(time.process_time)
    received = 0
    profiler.enable()
    await asyncio.sleep(size.window_s)
    profiler.disable()

    stats: dict[Location, Any] = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    rooms = by_room(stats)
    total = sum(rooms.values())
    console = Console()
    table = Table(title=f"{stack.name} {stack.version}: bulk, {received / 1e6:.1f} MB under the profiler")
    table.add_column("room")
    table.add_column("own time", justify="right")
    table.add_column("s for a GB", justify="right")
    for room, own_s in sorted(rooms.items(), key=lambda item: -item[1]):
        if own_s / total >= 0.005:
            table.add_row(room, f"{own_s / total:.1%}", f"{own_s / max(received, 1) * 1e9:.2f}")
    console.print(table)

    table = Table(title="Functions with the most own time")
    for name in ("own time", "calls", "us a call"):
        table.add_column(name, justify="right")
    table.add_column("function")
    for location, (calls, _, own_s, _, _) in sorted(stats.items(), key=lambda item: -item[1][2])[:25]:
        where = room_of(location) or "built-ins"
        table.add_row(
            f"{own_s / total:.1%}", f"{calls}", f"{own_s / calls * 1e6:.2f}", f"{where}  {location[2]}"
        )
    console.print(table)
