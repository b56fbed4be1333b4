"""A file of the call through a data channel of its own: `rtcstack.send_file` for bytes that are in no file.

The sender says `{"name": ..., "size": ...}`, then sends the bytes. The receiver answers
`{"sha256": ...}` when it has them all, so that both know whether they arrived as they were.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from rtcstack import RTCDataChannel

__all__ = [
    "MAX_FILE_BYTES",
    "PROTOCOL",
    "Content",
    "RandomContent",
    "Transfer",
    "put",
    "receive_file",
    "send_file",
]

PROTOCOL = "file"
"""The channel's subprotocol."""

CHUNK_BYTES = 16384

MAX_FILE_BYTES = 1 << 28

MAX_FILE_NAME = 255
"""Characters of a file's name that are kept."""

Progress = Callable[[int, int], Any]
"""Called with bytes so far and bytes in all."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """A file that went one way; `data` is empty where it was sent, or hashed and not kept."""

    name: str
    size: int
    sha256: str
    verified: bool
    seconds: float
    data: bytes = field(default=b"", repr=False)

    def described(self) -> dict[str, Any]:
        """As JSON, without the data."""
        members = ("name", "size", "sha256", "verified", "seconds")
        return {member: getattr(self, member) for member in members}

    @property
    def megabytes_per_second(self) -> float:
        """10**6 bytes a second."""
        return self.size / 1e6 / self.seconds if self.seconds else 0.0


class Content(Protocol):
    """What a file consists of: bytes, or what gives them piece by piece."""

    def __len__(self) -> int:
        """How many bytes."""

    def __getitem__(self, piece: slice, /) -> bytes:
        """Some of them; each is asked for once, in order."""


class RandomContent:
    """Bytes that are drawn as they are sent: none wait, and none are many at once.

    Args:
        size: how many.
    """

    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, piece: slice, /) -> bytes:
        return os.urandom(len(range(*piece.indices(self._size))))


async def put(channel: RTCDataChannel, message: str | bytes | memoryview) -> None:
    """Send a message through an open channel, when there is room.

    Raises:
        DOMException: it has been closed.
        ValueError: the other side takes no message that is so long.
    """
    try:
        await channel.send_async(message)
    except TypeError as error:
        raise ValueError(str(error)) from None


async def send_file(
    channel: RTCDataChannel, name: str, data: Content, progress: Progress | None = None
) -> Transfer:
    """Send a file through an open channel; return when the other side has checked it.

    Raises:
        ConnectionError, DOMException: the channel closed before that.
        ValueError: the other side answered nonsense, or takes only shorter messages.
    """
    start = time.perf_counter()
    await put(channel, json.dumps({"name": name, "size": len(data)}))
    # piece by piece: the loop has other things to do
    digest = hashlib.sha256()
    for offset in range(0, len(data), CHUNK_BYTES):
        piece = data[offset : offset + CHUNK_BYTES]
        digest.update(piece)
        await put(channel, piece)
        if progress is not None:
            progress(min(offset + CHUNK_BYTES, len(data)), len(data))
    sha256 = digest.hexdigest()
    async for message in channel:
        if isinstance(message, str):
            verified = as_object(message).get("sha256") == sha256
            return Transfer(name, len(data), sha256, verified, time.perf_counter() - start)
    raise ConnectionError("the channel closed before the file was confirmed")


async def receive_file(
    channel: RTCDataChannel, progress: Progress | None = None, *, keep: bool = True
) -> Transfer:
    """Receive a file from an open channel and confirm it.

    Args:
        channel: which.
        progress: called while it arrives.
        keep: whether the data is kept; otherwise it is only hashed.

    Raises:
        ConnectionError, DOMException: the channel closed before the end.
        ValueError: the sender does not keep to the protocol.
    """
    name, size, received, start = "", -1, 0, 0.0
    digest = hashlib.sha256()
    data = bytearray()
    async for message in channel:
        if isinstance(message, str) and size < 0:
            head, start = as_object(message), time.perf_counter()
            name, size = str(head.get("name"))[:MAX_FILE_NAME], checked_size(head.get("size"))
        elif isinstance(message, bytes) and received + len(message) <= size:
            digest.update(message)
            received += len(message)
            if keep:
                data += message
        else:
            raise ValueError("not what a file consists of")
        if progress is not None:
            progress(received, size)
        if received == size:
            seconds = time.perf_counter() - start
            await put(channel, json.dumps({"sha256": digest.hexdigest()}))
            return Transfer(name, size, digest.hexdigest(), True, seconds, bytes(data))
    raise ConnectionError("the channel closed before the file was complete")


def checked_size(size: object) -> int:
    """A file's size that is one."""
    if not isinstance(size, int) or not 0 <= size <= MAX_FILE_BYTES:
        raise ValueError(f"a file of {size} bytes")
    return size


def as_object(text: str) -> dict[str, Any]:
    """JSON that must be an object."""
    try:
        value = json.loads(text)
    except RecursionError:
        value = None
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value
