"""Files through data channels: a channel a file.

The sender says ``{"name": ..., "size": ...}`` as text, then sends the bytes as binary messages; the receiver
answers ``{"sha256": ...}`` when it has them all on its disk: both know whether they arrived as they were.
A browser does the same in twenty lines.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from rtcstack.api.channelstreams import MESSAGE_BYTES
from rtcstack.api.datachannel import RTCDataChannel
from rtcstack.entropy import random_token
from rtcstack.errors import OperationError
from rtcstack.workers import jobs, run

__all__ = ["MAX_FILE_BYTES", "FileTransfer", "receive_file", "send_file"]

MAX_FILE_BYTES = 1 << 40
"""Of a file that is received, unless the call says less."""

MAX_NAME_LENGTH = 255
MAX_TEXT_LENGTH = 4096

_BLOCK_BYTES = 16 * MESSAGE_BYTES
"""What one job of a worker reads or writes."""

Progress = Callable[[int, int], object]
"""Called with the bytes so far, and all."""


@dataclass(frozen=True, slots=True)
class FileTransfer:
    """A file that went one way.

    Attributes:
        path: where it is.
        name: what it is called at the other end.
        size: in bytes.
        sha256: of its bytes, as hexadecimal digits.
    """

    path: Path
    name: str
    size: int
    sha256: str


async def send_file(
    channel: RTCDataChannel, path: str | os.PathLike[str], progress: Progress | None = None
) -> FileTransfer:
    """Send a file, and return when the peer has it as it is.

    Args:
        channel: of its own; ordered and reliable. It need not be open yet.
        path: of the file.
        progress: called with bytes so far, and all.

    Raises:
        OSError: the file cannot be read.
        OperationError: the peer has got something else, or says something that is none of this.
        RTCError, InvalidStateError: the channel closed before that.
    """
    source = Path(path)
    workers = jobs()
    file = await run(lambda: source.open("rb"), workers, unwanted=lambda late: late.close())
    try:
        size = os.fstat(file.fileno()).st_size
        await channel.opened()
        await channel.send_async(json.dumps({"name": source.name, "size": size}))
        digest, sent = hashlib.sha256(), 0
        while sent < size:
            block = await run(partial(file.read, min(_BLOCK_BYTES, size - sent)), workers)
            if not block:
                raise OperationError(f"{source} has become shorter while it was sent")
            digest.update(block)
            for at in range(0, len(block), MESSAGE_BYTES):
                await channel.send_async(block[at : at + MESSAGE_BYTES])
            sent += len(block)
            if progress is not None:
                progress(sent, size)
    finally:
        file.close()
    async for message in channel:
        if _object(message).get("sha256") != digest.hexdigest():
            raise OperationError(f"{source.name} has not arrived as it is")
        return FileTransfer(source, source.name, size, digest.hexdigest())
    raise OperationError(f"the peer has closed the channel before it had all of {source.name}")


async def receive_file(
    channel: RTCDataChannel,
    directory: str | os.PathLike[str],
    progress: Progress | None = None,
    *,
    max_bytes: int = MAX_FILE_BYTES,
) -> FileTransfer:
    """Receive a file into a directory, and tell the peer that it is there.

    It gets the name that the peer says, without any path, and with a number where there is such a file. What
    is not whole leaves nothing behind.

    Args:
        channel: that the peer has made.
        directory: where to.
        progress: called with bytes so far, and all.
        max_bytes: of the file.

    Raises:
        OSError: it cannot be written.
        OperationError: it is too large, does not come whole, or what comes is no file.
        RTCError: the connection failed.
    """
    messages = aiter(channel)
    head = _object(await anext(messages, None))
    name, size = _safe_name(head.get("name")), head.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= max_bytes:
        raise OperationError(f"the peer sends a file of {size!r:.40} bytes; {max_bytes} are taken at most")
    workers = jobs()
    part = Path(directory) / f".{random_token(8)}.part"
    file = await run(lambda: part.open("xb"), workers, unwanted=lambda late: late.close())
    try:
        sha256 = await _receive(messages, file, size, progress)
        await run(lambda: _finish(file), workers)
        target = await run(lambda: _place(part, Path(directory), name), workers)
    except BaseException:
        file.close()
        with suppress(OSError):
            part.unlink()
        raise
    await channel.send_async(json.dumps({"sha256": sha256}))
    await channel.drain()
    return FileTransfer(target, name, size, sha256)


async def _receive(messages: Any, file: IO[bytes], size: int, progress: Progress | None) -> str:
    """Write what comes; the digest of it."""
    digest, received, block = hashlib.sha256(), 0, bytearray()
    while received < size:
        message = await anext(messages, None)
        if message is None:
            raise OperationError(f"the channel was closed after {received} of {size} bytes")
        if not isinstance(message, bytes) or received + len(message) > size:
            raise OperationError("what comes is no part of the file")
        digest.update(message)
        block += message
        received += len(message)
        if len(block) >= _BLOCK_BYTES or received == size:
            await run(partial(file.write, bytes(block)), jobs())
            block.clear()
            if progress is not None:
                progress(received, size)
    return digest.hexdigest()


def _finish(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()


def _place(part: Path, directory: Path, name: str) -> Path:
    """Give the file its name, or one beside it; never another's."""
    target, number = directory / name, 0
    while True:
        try:
            os.link(part, target)
        except FileExistsError:
            number += 1
            target = directory / f"{Path(name).stem} ({number}){Path(name).suffix}"
        except OSError:  # a file system without links
            os.rename(part, target)
            return target
        else:
            part.unlink()
            return target


def _safe_name(name: object) -> str:
    """A name from outside must not choose a directory, nor be hidden."""
    text = str(name).replace("\\", "/").replace("\0", "").rpartition("/")[2].strip().lstrip(".")
    return text[:MAX_NAME_LENGTH].strip() or "file"


def _object(message: object) -> dict[str, Any]:
    """Text that must be a JSON object.

    Raises:
        OperationError: it is none.
    """
    value = None
    if isinstance(message, str) and len(message) <= MAX_TEXT_LENGTH:
        with suppress(ValueError, RecursionError):
            value = json.loads(message)
    if not isinstance(value, dict):
        raise OperationError("the peer does not send a file in this way")
    return value
