"""A file through a data channel of its own.

The sender says `{"name": ..., "size": ...}`, then sends the bytes. The receiver answers
`{"sha256": ...}` when it has them all, so that both know whether they arrived as they were.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rtcstack import RTCDataChannel

__all__ = ["PROTOCOL", "Transfer", "opened", "receive_file", "send_file"]

PROTOCOL = "file"
"""The channel's subprotocol."""

CHUNK_BYTES = 16384

MAX_FILE_BYTES = 1 << 28

Progress = Callable[[int, int], Any]
"""Called with bytes so far and bytes in all."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """A file that went one way."""

    name: str
    data: bytes
    sha256: str
    verified: bool
    seconds: float

    @property
    def megabytes_per_second(self) -> float:
        """10**6 bytes a second."""
        return len(self.data) / 1e6 / self.seconds if self.seconds else 0.0


async def opened(channel: RTCDataChannel) -> None:
    """Wait until a channel is open.

    Raises:
        ConnectionError: it was closed instead.
    """
    changed = asyncio.Event()
    channel.on("open", lambda _event: changed.set())
    channel.on("close", lambda _event: changed.set())
    if channel.readyState == "connecting":
        await changed.wait()
    if channel.readyState != "open":
        raise ConnectionError(f"the channel {channel.label} was closed")


async def send_file(
    channel: RTCDataChannel, name: str, data: bytes, progress: Progress | None = None
) -> Transfer:
    """Send a file through an open channel; return when the other side has checked it."""
    start = time.perf_counter()
    channel.send(json.dumps({"name": name, "size": len(data)}))
    view = memoryview(data)
    for offset in range(0, len(data), CHUNK_BYTES):
        await channel.send_async(view[offset : offset + CHUNK_BYTES])
        if progress is not None:
            progress(min(offset + CHUNK_BYTES, len(data)), len(data))
    sha256 = hashlib.sha256(data).hexdigest()
    async for message in channel:
        if isinstance(message, str):
            seconds = time.perf_counter() - start
            return Transfer(name, data, sha256, json.loads(message).get("sha256") == sha256, seconds)
    raise ConnectionError("the channel closed before the file was confirmed")


async def receive_file(channel: RTCDataChannel, progress: Progress | None = None) -> Transfer:
    """Receive a file from an open channel and confirm it."""
    name, size, start = "", -1, 0.0
    data = bytearray()
    async for message in channel:
        if isinstance(message, str):
            head = json.loads(message)
            name, size, start = str(head["name"]), int(head["size"]), time.perf_counter()
            if not 0 <= size <= MAX_FILE_BYTES:
                raise ValueError(f"a file of {size} bytes")
        elif isinstance(message, bytes):
            data += message
        if progress is not None:
            progress(len(data), size)
        if len(data) >= size >= 0:
            seconds = time.perf_counter() - start
            sha256 = hashlib.sha256(data).hexdigest()
            channel.send(json.dumps({"sha256": sha256}))
            return Transfer(name, bytes(data), sha256, True, seconds)
    raise ConnectionError("the channel closed before the file was complete")
