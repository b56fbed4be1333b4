"""Data channels under aiortc's names."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rtcstack.compat.aiortc import InvalidStateError, RTCDataChannel, RTCPeerConnection
from tests.conformance.aiortc.helpers import happens, negotiate, pair, until


async def opened(
    a: RTCPeerConnection, b: RTCPeerConnection, **options: Any
) -> tuple[RTCDataChannel, RTCDataChannel]:
    """A channel that is open on both sides."""
    channel = a.createDataChannel("chat", **options)
    announced = asyncio.ensure_future(happens(b, "datachannel"))
    await negotiate(a, b)
    other = await announced
    await until(lambda: channel.readyState == "open")
    return channel, other


async def test_messages_come_bare() -> None:
    async with pair() as (a, b):
        mine, theirs = await opened(a, b, protocol="p", ordered=False, maxRetransmits=2)
        assert (theirs.label, theirs.protocol, theirs.ordered, theirs.maxRetransmits) == (
            "chat",
            "p",
            False,
            2,
        )
        assert (theirs.maxPacketLifeTime, theirs.negotiated, theirs.id) == (None, False, mine.id)
        got: list[Any] = []
        theirs.on("message", got.append)
        for message in ("text", b"bytes", "", b""):
            mine.send(message)
        await until(lambda: len(got) == 4)
        assert sorted(got, key=repr) == sorted(["text", b"bytes", "", b""], key=repr)
        assert mine.transport is a.sctp
        assert mine.bufferedAmount == 0


async def test_a_channel_is_open_when_it_is_announced() -> None:
    async with pair() as (a, b):
        states: list[str] = []

        @b.on("datachannel")
        def announced(channel: RTCDataChannel) -> None:
            states.append(channel.readyState)
            channel.send("at once")

        channel = a.createDataChannel("x")
        got = asyncio.ensure_future(happens(channel, "message"))
        await negotiate(a, b)
        assert await got == "at once"
        assert states == ["open"]


async def test_what_came_before_the_handler_is_heard() -> None:
    async with pair() as (a, b):
        mine, theirs = await opened(a, b)
        mine.send("early")
        await asyncio.sleep(1)
        got = asyncio.ensure_future(happens(theirs, "message"))
        assert await got == "early"


async def test_negotiated_channels() -> None:
    async with pair() as (a, b):
        mine = a.createDataChannel("x", negotiated=True, id=100)
        theirs = b.createDataChannel("x", negotiated=True, id=100)
        b.on("datachannel", pytest.fail)
        await negotiate(a, b)
        await until(lambda: mine.readyState == theirs.readyState == "open")
        got = asyncio.ensure_future(happens(theirs, "message"))
        mine.send(b"1")
        assert await got == b"1"
        with pytest.raises(ValueError, match="already registered"):
            a.createDataChannel("y", negotiated=True, id=100)


async def test_wrong_arguments_and_states() -> None:
    async with pair() as (a, b):
        with pytest.raises(ValueError, match="both"):
            a.createDataChannel("x", maxPacketLifeTime=1, maxRetransmits=1)
        for number in (None, -1, 65535):
            with pytest.raises(ValueError, match="0-65534"):
                a.createDataChannel("x", negotiated=True, id=number)
        assert a.sctp is None
        channel = a.createDataChannel("x")
        with pytest.raises(InvalidStateError):
            channel.send("too early")
        for threshold in (-1, 1 << 32):
            with pytest.raises(ValueError, match="bufferedAmountLowThreshold"):
                channel.bufferedAmountLowThreshold = threshold
        channel.bufferedAmountLowThreshold = 10
        assert channel.bufferedAmountLowThreshold == 10
        channel.close()
        assert channel.readyState == "closed"
        mine, _ = await opened(a, b)
        with pytest.raises(ValueError, match="unsupported data type"):
            mine.send(7)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="bytes"):
            mine.send(bytes(262_145))


async def test_a_channel_closes_on_both_sides_and_its_id_is_free() -> None:
    async with pair() as (a, b):
        mine, theirs = await opened(a, b)
        number = mine.id
        closed = asyncio.ensure_future(happens(theirs, "close"))
        mine.close()
        assert mine.readyState == "closing"
        await closed
        await until(lambda: mine.readyState == theirs.readyState == "closed")
        numbers = [a.createDataChannel(str(i)).id for i in range(3)]
        assert numbers[0] == number
        assert numbers == [number, number + 2, number + 4]  # type: ignore[operator]


async def test_the_buffer_runs_low() -> None:
    async with pair() as (a, b):
        mine, theirs = await opened(a, b)
        theirs.on("message", lambda message: None)
        mine.bufferedAmountLowThreshold = 1000
        low = asyncio.ensure_future(happens(mine, "bufferedamountlow"))
        for _ in range(20):
            mine.send(bytes(60_000))
        assert mine.bufferedAmount > 1000
        await low
        assert mine.bufferedAmount <= 1000


async def test_what_was_sent_before_the_end_arrives() -> None:
    async with pair() as (a, b):
        mine, theirs = await opened(a, b)
        got: list[str | bytes] = []
        theirs.on("message", got.append)
        mine.send("the last")
        await a.close()
        await until(lambda: b.connectionState == "closed")
        assert got == ["the last"]


async def test_a_channel_is_open_when_it_is_announced_and_does_not_say_so_again() -> None:
    async with pair() as (a, b):
        told: list[str] = []

        def announced(channel: RTCDataChannel) -> None:
            told.append(channel.readyState)
            channel.on("open", lambda: told.append("open event"))
            channel.send("at once")

        b.on("datachannel", announced)
        channel = a.createDataChannel("x")
        got: list[str | bytes] = []
        channel.on("message", got.append)
        await negotiate(a, b)
        await until(lambda: got)
        assert got == ["at once"]
        assert told == ["open"]
