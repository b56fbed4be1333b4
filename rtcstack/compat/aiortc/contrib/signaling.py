"""Descriptions and candidates between two programs: by copying and pasting, over TCP, over a Unix socket."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from abc import ABC, abstractmethod
from contextlib import suppress

from rtcstack.compat.aiortc.candidates import RTCIceCandidate, candidate_from_sdp, candidate_to_sdp
from rtcstack.compat.aiortc.rtcsessiondescription import RTCSessionDescription

__all__ = [
    "BYE",
    "BaseSignaling",
    "CopyAndPasteSignaling",
    "SignalingBye",
    "TcpSocketSignaling",
    "UnixSocketSignaling",
    "add_signaling_arguments",
    "create_signaling",
    "object_from_string",
    "object_to_string",
]

MAX_MESSAGE_BYTES = 1 << 20
"""A longer line of a peer's ends the connection."""


class SignalingBye:
    """The peer goes."""


BYE = SignalingBye()

Signal = RTCSessionDescription | RTCIceCandidate | SignalingBye


def object_from_string(message_str: str) -> Signal:
    """What a message says.

    Raises:
        ValueError: it is none.
    """
    match json.loads(message_str):
        case {"type": "offer" | "answer" as kind, "sdp": str(sdp)}:
            return RTCSessionDescription(sdp=sdp, type=kind)
        case {"type": "candidate", "candidate": str(text), **rest} if text:
            candidate = candidate_from_sdp(text.partition(":")[2])
            mid, index = rest.get("id"), rest.get("label")
            if isinstance(mid, str | None) and isinstance(index, int | None):
                candidate.sdpMid, candidate.sdpMLineIndex = mid, index
                return candidate
        case {"type": "bye"}:
            return BYE
    raise ValueError(f"not a message: {message_str:.100}")


def object_to_string(obj: Signal) -> str:
    """The message that says it."""
    message: dict[str, object]
    if isinstance(obj, RTCSessionDescription):
        message = {"sdp": obj.sdp, "type": obj.type}
    elif isinstance(obj, RTCIceCandidate):
        message = {
            "candidate": f"candidate:{candidate_to_sdp(obj)}",
            "id": obj.sdpMid,
            "label": obj.sdpMLineIndex,
            "type": "candidate",
        }
    else:
        assert obj is BYE
        message = {"type": "bye"}
    return json.dumps(message, sort_keys=True)


class BaseSignaling(ABC):
    """A way to the peer."""

    @abstractmethod
    async def connect(self) -> None:
        """Get ready."""

    @abstractmethod
    async def close(self) -> None:
        """Say good-bye, and end."""

    @abstractmethod
    async def send(self, descr: Signal) -> None:
        """Tell the peer."""

    @abstractmethod
    async def receive(self) -> Signal | None:
        """What the peer tells next; None when it has gone."""


class CopyAndPasteSignaling(BaseSignaling):
    """A person carries the messages."""

    def __init__(self) -> None:
        self._read_pipe = sys.stdin
        self._write_pipe = sys.stdout
        self._read_transport: asyncio.ReadTransport | None = None
        self._reader: asyncio.StreamReader | None = None

    async def connect(self) -> None:
        """See `BaseSignaling`."""
        loop = asyncio.get_running_loop()
        reader = self._reader = asyncio.StreamReader(limit=MAX_MESSAGE_BYTES)
        self._read_transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), self._read_pipe
        )

    async def close(self) -> None:
        """See `BaseSignaling`."""
        if self._reader is not None:
            await self.send(BYE)
            if self._read_transport is not None:
                self._read_transport.close()
            self._reader = None

    async def receive(self) -> Signal | None:
        """See `BaseSignaling`."""
        assert self._reader is not None, "connect() comes first"
        print("-- Please enter a message from remote party --")
        line = await self._reader.readline()
        print()
        return object_from_string(line.decode(self._read_pipe.encoding)) if line else None

    async def send(self, descr: Signal) -> None:
        """See `BaseSignaling`."""
        print("-- Please send this message to the remote party --")
        self._write_pipe.write(object_to_string(descr) + "\n")
        self._write_pipe.flush()
        print()


class _Lines(BaseSignaling):
    """A line a message, over a stream. Who sends first waits for the other to come."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    @abstractmethod
    async def _listen(self, met: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> None:
        """Let the peer come."""

    @abstractmethod
    async def _go(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Go to the peer."""

    async def connect(self) -> None:
        """See `BaseSignaling`."""

    async def _meet(self, *, wait: bool) -> asyncio.StreamReader:
        if self._reader is None:
            if wait:
                met = asyncio.get_running_loop().create_future()
                await self._listen(met)
                self._reader, self._writer = await met
            else:
                self._reader, self._writer = await self._go()
        return self._reader

    async def close(self) -> None:
        """See `BaseSignaling`."""
        writer = self._writer
        if writer is not None:
            with suppress(ConnectionError):
                await self.send(BYE)
            writer.close()
            self._reader = self._writer = None
        if self._server is not None:
            self._server.close()
            self._server = None

    async def receive(self) -> Signal | None:
        """See `BaseSignaling`."""
        reader = await self._meet(wait=False)
        try:
            line = await reader.readuntil()
        except asyncio.IncompleteReadError:
            return None
        return object_from_string(line.decode())

    async def send(self, descr: Signal) -> None:
        """See `BaseSignaling`."""
        await self._meet(wait=True)
        assert self._writer is not None
        self._writer.write(object_to_string(descr).encode() + b"\n")


def _first(met: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]):  # type: ignore[no-untyped-def]
    def came(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if met.done():
            writer.close()  # there is a peer already
        else:
            met.set_result((reader, writer))

    return came


class TcpSocketSignaling(_Lines):
    """Over TCP.

    Args:
        host, port: where one of both listens.
    """

    def __init__(self, host: str, port: int) -> None:
        super().__init__()
        self._host = host
        self._port = port

    async def _listen(self, met: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> None:
        self._server = await asyncio.start_server(
            _first(met), self._host, self._port, limit=MAX_MESSAGE_BYTES
        )

    async def _go(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, self._port, limit=MAX_MESSAGE_BYTES)


class UnixSocketSignaling(_Lines):
    """Over a Unix socket.

    Args:
        path: of the socket.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    async def _listen(self, met: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> None:
        self._server = await asyncio.start_unix_server(_first(met), self._path, limit=MAX_MESSAGE_BYTES)

    async def _go(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(self._path, limit=MAX_MESSAGE_BYTES)

    async def close(self) -> None:
        """See `BaseSignaling`."""
        listens = self._server is not None
        await super().close()
        if listens:
            with suppress(FileNotFoundError):  # from Python 3.13 on, the server removes it
                os.unlink(self._path)


def add_signaling_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that `create_signaling` reads."""
    parser.add_argument("--signaling", "-s", choices=["copy-and-paste", "tcp-socket", "unix-socket"])
    parser.add_argument("--signaling-host", default="127.0.0.1", help="Signaling host (tcp-socket only)")
    parser.add_argument("--signaling-port", default=1234, help="Signaling port (tcp-socket only)")
    parser.add_argument(
        "--signaling-path", default="aiortc.socket", help="Signaling socket path (unix-socket only)"
    )


def create_signaling(args: argparse.Namespace) -> BaseSignaling:
    """The way that the arguments of a command line ask for."""
    if args.signaling == "tcp-socket":
        return TcpSocketSignaling(args.signaling_host, int(args.signaling_port))
    if args.signaling == "unix-socket":
        return UnixSocketSignaling(args.signaling_path)
    return CopyAndPasteSignaling()
