"""A data channel as a stream of bytes: asyncio's reader, and a writer with asyncio's methods."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from typing import Any, Protocol

from rtcstack.errors import DOMException, InvalidStateError, OperationError

__all__ = ["ChannelWriter", "channel_streams"]

MESSAGE_BYTES = 16_384
"""What a message is cut to: every stack takes as much."""

HIGH_WATER_BYTES = 1 << 18
"""`ChannelWriter.drain` waits while more is buffered."""


class Channel(Protocol):
    """What a stream needs of its channel."""

    @property
    def bufferedAmount(self) -> int:
        """Bytes that wait."""

    @property
    def readyState(self) -> str:
        """Where it stands."""

    def send(self, data: Any) -> None:
        """Queue a message."""

    async def drain(self, amount: int = 0) -> None:
        """Wait until at most so much is buffered."""

    def close(self) -> None:
        """Close it."""

    def __aiter__(self) -> AsyncIterator[Any]:
        """Each message until it is closed."""


class _Source(asyncio.Transport):
    """Lets the reader stop the channel while its buffer is full, as it would a socket."""

    def __init__(self) -> None:
        super().__init__()
        self._may_read = asyncio.Event()
        self._may_read.set()

    def pause_reading(self) -> None:
        """See `asyncio.ReadTransport`."""
        self._may_read.clear()

    def resume_reading(self) -> None:
        """See `asyncio.ReadTransport`."""
        self._may_read.set()

    async def ready(self) -> None:
        """Wait until the reader takes more."""
        await self._may_read.wait()


class ChannelWriter:
    """Writes bytes to a data channel. Made by `RTCDataChannel.streams`.

    Args:
        channel: the channel.
        reading: ends when the peer has closed the channel.
    """

    __slots__ = ("_channel", "_reading")

    def __init__(self, channel: Channel, reading: asyncio.Task[None]) -> None:
        self._channel = channel
        self._reading = reading

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes, in as many messages as it takes. Follow it by `drain`.

        Raises:
            InvalidStateError: the channel is not open.
            OperationError: the connection's send buffer is full: the rest is not sent.
        """
        view = memoryview(data).cast("B")
        if self._channel.readyState != "open":
            raise InvalidStateError(f"write on a data channel that is {self._channel.readyState}")
        for at in range(0, len(view), MESSAGE_BYTES):
            self._channel.send(view[at : at + MESSAGE_BYTES])

    def writelines(self, data: Iterable[bytes | bytearray | memoryview]) -> None:
        """`write` each."""
        for each in data:
            self.write(each)

    async def drain(self) -> None:
        """Wait until little is buffered.

        Raises:
            InvalidStateError: the channel closed meanwhile.
        """
        if self._channel.bufferedAmount > HIGH_WATER_BYTES:
            await self._channel.drain(HIGH_WATER_BYTES // 2)
        else:
            await asyncio.sleep(0)

    async def write_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes of any length, waiting for room in between.

        Raises:
            InvalidStateError: the channel is not open, or closes meanwhile.
        """
        view = memoryview(data).cast("B")
        for at in range(0, len(view), MESSAGE_BYTES):
            piece = view[at : at + MESSAGE_BYTES]
            try:
                self.write(piece)
            except OperationError:  # other channels have filled the buffer
                if not self._channel.bufferedAmount:
                    raise
                await self._channel.drain(self._channel.bufferedAmount // 2)
                self.write(piece)
            if self._channel.bufferedAmount > HIGH_WATER_BYTES:
                await self.drain()

    def can_write_eof(self) -> bool:
        """False: a channel has no half that can be closed alone."""
        return False

    def is_closing(self) -> bool:
        """Whether the channel is closed, or about to be."""
        return self._channel.readyState in ("closing", "closed")

    def close(self) -> None:
        """Close the channel, after what was written has been sent; the peer's reader comes to its end."""
        self._channel.close()

    async def wait_closed(self) -> None:
        """Wait until it is closed at both ends."""
        with suppress(DOMException):
            await asyncio.shield(self._reading)


def channel_streams(channel: Channel, limit: int) -> tuple[asyncio.StreamReader, ChannelWriter]:
    """A reader and a writer.

    Args:
        channel: that is open.
        limit: see `RTCDataChannel.streams`.
    """
    reader = asyncio.StreamReader(limit)
    source = _Source()
    reader.set_transport(source)
    reading = asyncio.get_running_loop().create_task(_read(channel, reader, source))
    reading.add_done_callback(lambda task: task.cancelled() or task.exception())
    return reader, ChannelWriter(channel, reading)


async def _read(channel: Channel, reader: asyncio.StreamReader, source: _Source) -> None:
    try:
        async for message in channel:
            reader.feed_data(message.encode() if isinstance(message, str) else message)
            await source.ready()
    except Exception as exc:  # the connection's end: whoever reads gets it
        reader.set_exception(exc)
        raise
    reader.feed_eof()
