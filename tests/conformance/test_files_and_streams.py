"""Channels as streams of bytes, and files through them."""

from __future__ import annotations

import asyncio
import errno
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rtcstack import (
    InvalidStateError,
    OperationError,
    RTCDataChannel,
    RTCPeerConnection,
    filetransfer,
    receive_file,
    send_file,
)
from rtcstack.api.channelstreams import MESSAGE_BYTES
from tests.conformance.helpers import happens, negotiate, pair, trickle


@asynccontextmanager
async def channels() -> AsyncIterator[tuple[RTCDataChannel, RTCDataChannel]]:
    """One channel, both ends of it; mine is not waited for."""
    async with pair() as (a, b):
        trickle(a, b)
        mine = a.createDataChannel("x")
        announced = asyncio.ensure_future(happens(b, "datachannel"))
        await negotiate(a, b)
        yield mine, (await announced).channel


# -- opened -------------------------------------------------------------------------------------------


async def test_opened_gives_the_channel_once_it_is_open() -> None:
    async with channels() as (mine, theirs):
        assert await mine.opened() is mine
        assert mine.readyState == "open"
        assert await theirs.opened() is theirs


async def test_opened_raises_where_it_closes_instead() -> None:
    async with RTCPeerConnection() as pc:
        channel = pc.createDataChannel("x")
        opening = asyncio.ensure_future(channel.opened())
        await asyncio.sleep(0)
        channel.close()
        with pytest.raises(InvalidStateError, match="clos"):
            await opening


# -- streams ------------------------------------------------------------------------------------------


async def test_bytes_go_both_ways_without_borders() -> None:
    async with channels() as (mine, theirs):
        reader, writer = await mine.streams()
        their_reader, their_writer = await theirs.streams()
        writer.write(b"one\ntwo")
        writer.writelines([b"\n", bytearray(b"thr"), memoryview(b"ee")])
        assert await their_reader.readline() == b"one\n"
        assert await their_reader.readuntil(b"w") == b"tw"
        assert await their_reader.readexactly(7) == b"o\nthree"
        theirs.send("text counts, too: ä")
        assert await reader.readuntil("ä".encode()) == "text counts, too: ä".encode()
        their_writer.close()
        assert await reader.read() == b""
        assert reader.at_eof()
        await their_writer.wait_closed()
        assert their_writer.is_closing()
        assert not writer.can_write_eof()
        with pytest.raises(InvalidStateError, match="write"):
            writer.write(b"late")


async def test_much_arrives_as_it_is_and_the_reader_slows_the_writer() -> None:
    async with channels() as (mine, theirs):
        _, writer = await mine.streams()
        reader, _ = await theirs.streams(limit=4096)
        data = bytes(range(256)) * 40_000  # ten megabytes: more than a receive window
        writing = asyncio.ensure_future(writer.write_all(data))
        await asyncio.sleep(2)
        assert not writing.done()
        digest = hashlib.sha256()
        left = len(data)
        while left:
            piece = await reader.read(1 << 16)
            digest.update(piece)
            left -= len(piece)
        await writing
        assert digest.digest() == hashlib.sha256(data).digest()


async def test_the_end_of_the_connection_reaches_who_reads() -> None:
    async with pair() as (a, b):
        trickle(a, b)
        mine = a.createDataChannel("x")
        await negotiate(a, b)
        reader, _ = await mine.streams()
        reading = asyncio.ensure_future(reader.read())
        await asyncio.sleep(0.1)
        await b.close()
        assert await asyncio.wait_for(reading, 10) == b""


# -- files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, MESSAGE_BYTES, 20 * MESSAGE_BYTES + 7, 3_000_000])
async def test_a_file_arrives_as_it_is(tmp_path: Path, size: int) -> None:
    source, target = tmp_path / "photo.jpg", tmp_path / "in"
    target.mkdir()
    source.write_bytes(bytes(i * 7 % 251 for i in range(size)))
    said: list[tuple[int, int]] = []
    async with channels() as (mine, theirs):
        sent, received = await asyncio.gather(
            send_file(mine, source), receive_file(theirs, target, lambda *each: said.append(each))
        )
    assert received.path == target / "photo.jpg"
    assert received.path.read_bytes() == source.read_bytes()
    assert sent.sha256 == received.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert (sent.name, received.name, received.size) == ("photo.jpg", "photo.jpg", size)
    assert [path.name for path in target.iterdir()] == ["photo.jpg"]
    assert not size or said[-1] == (size, size)


async def test_a_second_file_of_the_name_stands_beside_the_first(tmp_path: Path) -> None:
    source, target = tmp_path / "a.txt", tmp_path / "in"
    target.mkdir()
    (target / "a.txt").write_text("another's")
    source.write_text("mine")
    async with channels() as (mine, theirs):
        _, received = await asyncio.gather(send_file(mine, source), receive_file(theirs, target))
    assert received.path.name == "a (1).txt"
    assert (target / "a.txt").read_text() == "another's"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/absolute", "absolute"),
        (".hidden", "hidden"),
        ("...", "file"),
        ("", "file"),
        ("nul\0byte", "nulbyte"),
        ("x" * 1000, "x" * 255),
        (7, "7"),
    ],
)
async def test_a_name_chooses_no_directory(tmp_path: Path, name: Any, kept: str) -> None:
    async with channels() as (mine, theirs):
        receiving = asyncio.ensure_future(receive_file(theirs, tmp_path))
        await mine.opened()
        mine.send(filetransfer.json.dumps({"name": name, "size": 2}))
        mine.send(b"ok")
        received = await receiving
    assert received.path == tmp_path / kept
    assert received.path.read_bytes() == b"ok"


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (["nonsense"], "in this way"),
        (["[" * 2000], "in this way"),
        ([b"bytes first"], "in this way"),
        (['{"name": "x", "size": -1}'], "bytes"),
        (['{"name": "x", "size": true}'], "bytes"),
        (['{"name": "x", "size": 1e3}'], "bytes"),
        (['{"name": "x", "size": 2000000}'], "at most"),
        (['{"name": "x", "size": 2}', b"three"], "no part"),
        (['{"name": "x", "size": 2}', "text"], "no part"),
        (['{"name": "x", "size": 2}', b"1", None], "closed after 1 of 2"),
        ([None], "in this way"),
    ],
)
async def test_what_is_no_file_leaves_nothing(
    tmp_path: Path, messages: list[str | bytes | None], reason: str
) -> None:
    async with channels() as (mine, theirs):
        receiving = asyncio.ensure_future(receive_file(theirs, tmp_path, max_bytes=1_000_000))
        await mine.opened()
        for message in messages:
            mine.close() if message is None else mine.send(message)
        with pytest.raises(OperationError, match=reason):
            await receiving
    assert list(tmp_path.iterdir()) == []


async def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(filetransfer, "_finish", full)
    source, target = tmp_path / "x", tmp_path / "in"
    target.mkdir()
    source.write_bytes(b"data")
    async with channels() as (mine, theirs):
        sending = asyncio.ensure_future(send_file(mine, source))
        with pytest.raises(OSError, match="No space left"):
            await receive_file(theirs, target)
        theirs.close()
        with pytest.raises(OperationError, match="closed the channel before"):
            await sending
    assert list(target.iterdir()) == []


async def test_another_digest_is_told(tmp_path: Path) -> None:
    source = tmp_path / "x"
    source.write_bytes(b"data")
    async with channels() as (mine, theirs):
        sending = asyncio.ensure_future(send_file(mine, source))
        await theirs.opened()
        theirs.send('{"sha256": "0"}')
        with pytest.raises(OperationError, match="not arrived as it is"):
            await sending


async def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    async with channels() as (mine, _):
        with pytest.raises(FileNotFoundError):
            await send_file(mine, tmp_path / "nothing")
