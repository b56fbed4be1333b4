"""Signalling under aiortc's names, over sockets and pipes of this machine."""

from __future__ import annotations

import asyncio
import io
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from rtcstack.compat.aiortc import RTCIceCandidate, RTCSessionDescription
from rtcstack.compat.aiortc.contrib.signaling import (
    BYE,
    BaseSignaling,
    CopyAndPasteSignaling,
    TcpSocketSignaling,
    UnixSocketSignaling,
    object_to_string,
)

CANDIDATE = RTCIceCandidate(
    component=1,
    foundation="0",
    ip="192.0.2.1",
    port=49_499,
    priority=2_122_252_543,
    protocol="UDP",
    type="host",
    sdpMid="audio",
    sdpMLineIndex=0,
)


async def exchanged(one: BaseSignaling, other: BaseSignaling) -> None:
    """One sends first; both say what they have to, and good-bye."""
    await one.connect()
    await other.connect()
    offer = RTCSessionDescription(sdp="offer\r\n" * 1_000, type="offer")
    sending = asyncio.ensure_future(one.send(offer))
    while True:  # who sends first listens
        try:
            assert await other.receive() == offer
            break
        except (ConnectionRefusedError, FileNotFoundError):
            await asyncio.sleep(0)
    await sending
    await other.send(CANDIDATE)
    assert await one.receive() == CANDIDATE
    await one.close()
    assert await other.receive() is BYE
    assert await other.receive() is None
    await other.close()
    await other.close()


async def test_over_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    await exchanged(UnixSocketSignaling(path), UnixSocketSignaling(path))
    assert not os.path.exists(path)


async def test_over_tcp() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    await exchanged(TcpSocketSignaling("127.0.0.1", port), TcpSocketSignaling("127.0.0.1", port))


async def test_by_copying_and_pasting(capsys: pytest.CaptureFixture[str]) -> None:
    there, back = os.pipe()
    written = io.StringIO()
    made: Any = CopyAndPasteSignaling()
    made._read_pipe = os.fdopen(there, encoding="utf-8")
    made._write_pipe = written
    await made.connect()
    os.write(back, object_to_string(CANDIDATE).encode() + b"\n")
    assert await made.receive() == CANDIDATE
    await made.send(BYE)
    os.close(back)
    assert await made.receive() is None
    await made.close()
    assert written.getvalue() == '{"type": "bye"}\n' * 2
    assert "enter a message from remote party" in capsys.readouterr().out
