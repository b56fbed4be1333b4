"""An interruption of the network at our end: for as long as it lasts no datagram goes out or comes in."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from rtcstack.network.batched import BatchedUdp

__all__ = ["Network"]


class _Socket:
    """A socket on a network that may be interrupted."""

    def __init__(self, network: Network, sock: socket.socket) -> None:
        self._network = network
        self._sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def sendto(self, data: bytes, address: Any) -> int:
        if self._network.is_interrupted:
            self._network.dropped += 1
            return len(data)
        if self._network.delay_s:
            asyncio.get_running_loop().call_later(
                self._network.delay_s, self._send_late, self._sock.sendto, bytes(data), address
            )
            return len(data)
        return self._sock.sendto(data, address)

    def sendmsg(self, buffers: Any, *args: Any) -> int:
        if self._network.is_interrupted:
            self._network.dropped += 1
            return sum(map(len, buffers))
        if self._network.delay_s:
            copies = [bytes(buffer) for buffer in buffers]
            asyncio.get_running_loop().call_later(
                self._network.delay_s, self._send_late, self._sock.sendmsg, copies, *args
            )
            return sum(map(len, copies))
        return self._sock.sendmsg(buffers, *args)

    def _send_late(self, send: Any, *args: Any) -> None:
        with contextlib.suppress(OSError):  # closed meanwhile
            send(*args)

    def recvmsg_into(self, buffers: Any, *args: Any) -> tuple[int, list[Any], int, Any]:
        while True:
            received = self._sock.recvmsg_into(buffers, *args)
            if not self._network.is_interrupted:
                return received
            self._network.dropped += 1


class Network:
    """What is between our sockets and the world; every socket that is made from now on is on it.

    Attributes:
        is_interrupted: nothing passes.
        delay_s: what goes out takes so much longer.
        dropped: reads and writes that came to nothing.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_interrupted = False
        self.delay_s = 0.0
        self.dropped = 0
        make = BatchedUdp.__init__

        def init(endpoint: BatchedUdp, loop: Any, sock: Any, *args: Any, **more: Any) -> None:
            make(endpoint, loop, _Socket(self, sock), *args, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(BatchedUdp, "__init__", init)

    @asynccontextmanager
    async def interrupted(self, duration_s: float) -> AsyncIterator[None]:
        """Interrupt it for so long before the block is entered, which begins when it is open again."""
        self.is_interrupted = True
        await asyncio.sleep(duration_s)
        self.is_interrupted = False
        yield
