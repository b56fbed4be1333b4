"""RTCDataChannel against another of ours.

Spec: webrtc-pc, section 6; RFC 8831; RFC 8832.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from typing import Any

import numpy
import pytest

from rtcstack import (
    Blob,
    InvalidStateError,
    OperationError,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    Settings,
)
from rtcstack.ice import IceFeature
from tests.conformance.helpers import FAST, happens, negotiate, open_channels, pair, until
from tests.support.insides import transports_of


async def receive(channel: RTCDataChannel, count: int) -> list[Any]:
    messages: list[Any] = []
    done = asyncio.get_running_loop().create_future()

    def on_message(event: Any) -> None:
        messages.append(event.data)
        if len(messages) == count:
            done.set_result(None)

    channel.on("message", on_message)
    await asyncio.wait_for(done, 20)
    return messages


async def test_open_and_talk_both_ways() -> None:
    async with pair() as (a, b):
        mine, theirs = await open_channels(a, b, protocol="chat")
        assert (mine.label, mine.protocol, theirs.label, theirs.protocol) == ("test", "chat") * 2
        assert mine.readyState == theirs.readyState == "open"
        assert mine.id == theirs.id
        assert theirs.ordered
        assert not theirs.negotiated
        contents = ["text", b"bytes", "", b"", "snowman \u2603 \U0001f600", bytes(range(256))]
        for content in contents:
            mine.send(content)
            theirs.send(content)
        assert await receive(theirs, len(contents)) == contents
        assert await receive(mine, len(contents)) == contents


async def test_a_channel_of_the_peers_is_open_when_it_is_announced_and_open_is_told_afterwards() -> None:
    async with pair() as (a, b):
        told: list[str] = []

        def announced(event: Any) -> None:
            told.append(f"datachannel {event.channel.readyState}")
            event.channel.on("open", lambda e: told.append(f"open {e.target.readyState}"))
            event.channel.on("message", lambda e: told.append(f"message {e.data}"))
            event.channel.send("at once")

        b.on("datachannel", announced)
        b.on("datachannel", lambda: told.append("datachannel, second handler"))
        mine = a.createDataChannel("x")
        mine.on("open", lambda: mine.send("hello"))
        await asyncio.sleep(0)
        await negotiate(a, b)
        assert await receive(mine, 1) == ["at once"]
        mine.send("last")
        async with asyncio.timeout(10):
            while "message last" not in told:
                await asyncio.sleep(0.01)
        assert told == [
            "datachannel open",
            "datachannel, second handler",
            "open open",
            "message hello",
            "message last",
        ]


@pytest.mark.parametrize("what", ["channel", "connection"])
async def test_nothing_is_told_of_a_channel_that_its_announcement_has_closed(what: str) -> None:
    async with pair() as (a, b):
        told: list[str] = []
        channels: list[RTCDataChannel] = []

        def announced(event: Any) -> Any:
            channels.append(event.channel)
            for name in ("open", "message"):
                event.channel.on(name, lambda e: told.append(e.type))
            return event.channel.close() if what == "channel" else b.close()

        b.on("datachannel", announced)
        mine = [a.createDataChannel(str(i)) for i in range(3)]
        for channel in mine:
            channel.on("open", lambda e: e.target.send("hello"))
        closed = [asyncio.create_task(happens(channel, "close")) for channel in mine]
        await asyncio.sleep(0)
        await negotiate(a, b)
        await asyncio.gather(*closed)
        assert len(channels) == (3 if what == "channel" else 1)
        assert "open" not in told


@pytest.mark.parametrize("kind", [bytearray, memoryview, lambda d: Blob([d[:3], d[3:]])])
async def test_kinds_of_binary(kind: Any) -> None:
    data = os.urandom(1000)
    async with pair() as (a, b):
        mine, theirs = await open_channels(a, b)
        mine.send(kind(data))
        assert await receive(theirs, 1) == [data]


async def test_numpy_goes_as_bytes() -> None:
    array = numpy.arange(100, dtype="<f4").reshape(10, 10)
    async with pair() as (a, b):
        mine, theirs = await open_channels(a, b)
        mine.send(array)
        [data] = await receive(theirs, 1)
        assert (numpy.frombuffer(data, "<f4").reshape(10, 10) == array).all()


async def test_binary_type_blob() -> None:
    async with pair() as (a, b):
        mine, theirs = await open_channels(a, b)
        assert theirs.binaryType == "arraybuffer"
        theirs.binaryType = "blob"
        mine.send(b"data")
        [blob] = await receive(theirs, 1)
        assert isinstance(blob, Blob)
        assert await blob.arrayBuffer() == b"data"
        with pytest.raises(TypeError):
            theirs.binaryType = "other"


@pytest.mark.parametrize("size", [65_536, 262_144])
async def test_large_messages(size: int) -> None:
    async with pair() as (a, b):
        mine, theirs = await open_channels(a, b)
        data = os.urandom(size)
        mine.send(data)
        mine.send(data[::-1])
        assert await receive(theirs, 2) == [data, data[::-1]]


async def test_the_maximum_is_the_peers() -> None:
    small = RTCConfiguration(settings=Settings(max_message_size=1000))
    async with pair(None, small) as (a, b):
        mine, theirs = await open_channels(a, b)
        assert a.sctp is not None
        assert a.sctp.maxMessageSize == 1000
        with pytest.raises(TypeError):
            mine.send(bytes(1001))
        with pytest.raises(TypeError):
            mine.send("\u20ac" * 334)
        mine.send(bytes(1000))
        assert await receive(theirs, 1) == [bytes(1000)]
        theirs.send(bytes(100_000))
        assert await receive(mine, 1) == [bytes(100_000)]


async def test_bulk_arrives_whole_and_in_order() -> None:
    async with pair() as (a, b):
        mine, theirs = await open_channels(a, b)
        sent, got = hashlib.sha256(), hashlib.sha256()
        total, received = 20_000_000, 0
        done = asyncio.get_running_loop().create_future()

        def on_message(event: Any) -> None:
            nonlocal received
            got.update(event.data)
            received += len(event.data)
            if received == total:
                done.set_result(None)

        theirs.on("message", on_message)
        block = os.urandom(50_000)
        for i in range(total // len(block)):
            data = block[i:] + block[:i]
            sent.update(data)
            await mine.send_async(data)
        await asyncio.wait_for(done, 30)
        assert got.digest() == sent.digest()


async def test_buffered_amount_and_its_event() -> None:
    async with pair() as (a, b):
        mine, _ = await open_channels(a, b)
        mine.bufferedAmountLowThreshold = 100_000
        low = asyncio.create_task(happens(mine, "bufferedamountlow"))
        for _ in range(20):
            mine.send(bytes(50_000))
        assert mine.bufferedAmount == 1_000_000
        await low
        assert mine.bufferedAmount <= 100_000
        await mine.drain()
        assert mine.bufferedAmount == 0


async def test_full_send_buffer_is_an_operation_error() -> None:
    async with pair(RTCConfiguration(settings=Settings(max_send_buffer_bytes=1 << 20))) as (a, b):
        mine, theirs = await open_channels(a, b)
        for _ in range(20):
            mine.send(bytes(50_000))
        before = mine.bufferedAmount
        with pytest.raises(OperationError):
            mine.send(bytes(60_000))
        assert mine.bufferedAmount == before
        assert await receive(theirs, 20) == [bytes(50_000)] * 20


async def test_async_iteration() -> None:
    async with pair() as (a, b):
        mine, theirs = await open_channels(a, b)
        for i in range(100):
            mine.send(str(i))
        mine.close()
        assert [m async for m in theirs] == [str(i) for i in range(100)]


async def test_a_slow_iterator_slows_the_sender() -> None:
    settings = Settings(receive_window_bytes=200_000)
    async with pair(RTCConfiguration(settings=settings)) as (a, b):
        mine, theirs = await open_channels(a, b)
        iterator = aiter(theirs)
        mine.send(b"first")
        assert await anext(iterator) == b"first"
        for _ in range(100):
            mine.send(bytes(50_000))
        await asyncio.sleep(0.5)
        held = 5_000_000 - mine.bufferedAmount
        assert held < 1_000_000, "what nobody takes is not sent"
        count = 0
        async with asyncio.timeout(20):
            while count < 100:
                assert len(await anext(iterator)) == 50_000  # type: ignore[arg-type]
                count += 1


async def test_messages_before_anyone_listens_are_not_lost() -> None:
    async with pair() as (a, b):
        mine, theirs = await open_channels(a, b)
        mine.send("early")
        await asyncio.sleep(0.1)
        assert await receive(theirs, 1) == ["early"]


async def test_negotiated_channels() -> None:
    async with pair() as (a, b):
        mine = a.createDataChannel("n", negotiated=True, id=0)
        theirs = b.createDataChannel("n", {"negotiated": True, "id": 0})
        b.on("datachannel", lambda e: pytest.fail("announced a negotiated channel"))
        opened = [asyncio.create_task(happens(c, "open")) for c in (mine, theirs)]
        await asyncio.sleep(0)
        await negotiate(a, b)
        await asyncio.gather(*opened)
        assert mine.negotiated
        assert mine.id == 0
        mine.send("hello")
        assert await receive(theirs, 1) == ["hello"]


@pytest.mark.parametrize(
    "init",
    [
        {"ordered": False},
        {"maxRetransmits": 0},
        {"ordered": False, "maxPacketLifeTime": 500},
        {"priority": "high"},
    ],
)
async def test_properties_reach_the_peer(init: dict[str, Any]) -> None:
    async with pair() as (a, b):
        mine, theirs = await open_channels(a, b, **init)
        for channel in (mine, theirs):
            assert channel.ordered is init.get("ordered", True)
            assert channel.maxRetransmits == init.get("maxRetransmits")
            assert channel.maxPacketLifeTime == init.get("maxPacketLifeTime")
            assert channel.priority == init.get("priority", "low")
        theirs.send("back")
        assert await receive(mine, 1) == ["back"]


@pytest.mark.parametrize("closer", ["opener", "other"])
async def test_close_handshake(closer: str) -> None:
    async with pair() as (a, b):
        mine, theirs = await open_channels(a, b)
        closing, told = (mine, theirs) if closer == "opener" else (theirs, mine)
        events: list[str] = []
        for name in ("closing", "close", "error"):
            told.on(name, lambda e: events.append(e.type))
        closing.send("last")
        closing.close()
        assert closing.readyState == "closing"
        with pytest.raises(InvalidStateError):
            closing.send("too late")
        closing.close()
        assert await receive(told, 1) == ["last"]
        await until(lambda: closing.readyState == "closed", closing, "close")
        await until(lambda: told.readyState == "closed", told, "close")
        assert events == ["closing", "close"]
        again = asyncio.create_task(happens(b, "datachannel"))
        third = a.createDataChannel("again")
        await happens(third, "open")
        assert (await again).channel.label == "again"


async def test_many_channels_open_and_close() -> None:
    async with pair() as (a, b):
        first, _ = await open_channels(a, b)
        for _ in range(3):
            channels = [a.createDataChannel(f"c{i}") for i in range(50)]
            for channel in channels:
                await until(lambda c=channel: c.readyState == "open", channel, "open")
            assert len({c.id for c in channels}) == 50
            for channel in channels:
                channel.close()
            for channel in channels:
                await until(lambda c=channel: c.readyState == "closed", channel, "close")
        assert first.readyState == "open"


async def test_peer_closes_the_connection() -> None:
    async with pair() as (a, b):
        mine, theirs = await open_channels(a, b)
        events: list[str] = []
        for name in ("error", "close"):
            mine.on(name, lambda e: events.append(e.type))
        closed = asyncio.create_task(happens(mine, "close"))
        await asyncio.sleep(0)
        await b.close()
        assert theirs.readyState == "closed"
        await closed
        assert events[-1] == "close"


@pytest.mark.needs(IceFeature.TIMERS)
async def test_peer_vanishes() -> None:
    configuration = RTCConfiguration(settings=FAST)
    async with pair(configuration) as (a, b):
        mine, _ = await open_channels(a, b)
        states: list[str] = []
        a.on("iceconnectionstatechange", lambda: states.append(str(a.iceConnectionState)))
        errors: list[Any] = []
        mine.on("error", lambda e: errors.append(e.error))
        closed = asyncio.create_task(happens(mine, "close"))
        await asyncio.sleep(0)
        for entry in transports_of(b):
            entry.transport.closed = True  # says nothing to anybody
            await entry.transport.ice.close()
        await closed
        assert states[-2:] == ["disconnected", "failed"]
        assert a.connectionState == "failed"
        assert errors[0].errorDetail == "sctp-failure"


async def test_an_exception_in_a_handler_harms_nothing(
    expects_loop_exceptions: list[dict[str, Any]],
) -> None:
    async with pair() as (a, b):
        mine, theirs = await open_channels(a, b)

        def bad(event: Any) -> None:
            raise RuntimeError("a user's mistake")

        theirs.on("message", bad)
        for i in range(10):
            mine.send(str(i))
        assert await receive(theirs, 10) == [str(i) for i in range(10)]
        assert len(expects_loop_exceptions) == 10


async def test_send_from_within_a_handler() -> None:
    async with pair() as (a, b):
        mine, theirs = await open_channels(a, b)
        theirs.on("message", lambda e: theirs.send(e.data))
        mine.send("ping")
        assert await receive(mine, 1) == ["ping"]


async def test_close_the_connection_from_within_a_handler() -> None:
    async with pair() as (a, b):
        mine, theirs = await open_channels(a, b)
        theirs.on("message", lambda e: b.close())
        mine.send("stop")
        await happens(mine, "close")
        assert theirs.readyState == "closed"


async def test_sending_before_it_is_open() -> None:
    async with pair() as (a, _):
        channel = a.createDataChannel("x")
        assert channel.readyState == "connecting"
        assert channel.id is None
        with pytest.raises(InvalidStateError):
            channel.send("no")


async def test_send_async_waits_until_it_is_open() -> None:
    async with pair() as (a, b):
        channel = a.createDataChannel("x")
        sent = [asyncio.create_task(channel.send_async(f"{i}")) for i in range(3)]
        await asyncio.sleep(0)
        announced = asyncio.create_task(happens(b, "datachannel"))
        await negotiate(a, b)
        theirs = (await announced).channel
        assert await receive(theirs, 3) == ["0", "1", "2"]
        await asyncio.gather(*sent)


@pytest.mark.parametrize("closer", ["channel", "connection"])
async def test_send_async_ends_with_a_channel_that_never_opens(closer: str) -> None:
    async with pair() as (a, _):
        channel = a.createDataChannel("x")
        sending = asyncio.create_task(channel.send_async("never"))
        await asyncio.sleep(0)
        if closer == "channel":
            channel.close()
        else:
            await a.close()
        with pytest.raises(InvalidStateError, match=r"clos"):
            await sending


BAD = [
    ({"label": 5}, TypeError),
    ({"label": "x" * 65_536}, TypeError),
    ({"label": "\u20ac" * 21_846}, TypeError),
    ({"label": "x", "protocol": "x" * 65_536}, TypeError),
    ({"label": "x", "maxRetransmits": 1, "maxPacketLifeTime": 1}, TypeError),
    ({"label": "x", "maxRetransmits": 65_536}, TypeError),
    ({"label": "x", "maxRetransmits": -1}, TypeError),
    ({"label": "x", "maxPacketLifeTime": "long"}, TypeError),
    ({"label": "x", "negotiated": True}, TypeError),
    ({"label": "x", "negotiated": True, "id": 65_535}, TypeError),
    ({"label": "x", "negotiated": True, "id": -1}, TypeError),
    ({"label": "x", "priority": "urgent"}, TypeError),
    ({"label": "x", "unknown": 1}, TypeError),
]


@pytest.mark.parametrize(("arguments", "error"), BAD)
async def test_wrong_arguments(arguments: dict[str, Any], error: type[Exception]) -> None:
    async with pair() as (a, _):
        with pytest.raises(error):
            a.createDataChannel(**arguments)


async def test_id_in_use() -> None:
    async with pair() as (a, _):
        a.createDataChannel("x", negotiated=True, id=3)
        with pytest.raises(OperationError):
            a.createDataChannel("y", negotiated=True, id=3)


@pytest.mark.parametrize("value", [None, 5, object(), ["list"]])
async def test_what_cannot_be_sent(value: Any) -> None:
    async with pair() as (a, b):
        mine, _ = await open_channels(a, b)
        with pytest.raises(TypeError):
            mine.send(value)


async def test_a_hundred_kilobytes_a_second_channel_does_not_block() -> None:
    async with pair() as (a, b):
        bulk, theirs = await open_channels(a, b)
        announced = asyncio.create_task(happens(b, "datachannel"))
        quick = a.createDataChannel("quick", priority="high")
        other = (await announced).channel
        for _ in range(100):
            bulk.send(bytes(100_000))
        quick.send("now")
        [message] = await receive(other, 1)
        assert message == "now"
        assert bulk.bufferedAmount > 0
        assert isinstance(theirs, RTCDataChannel)


async def test_always_negotiated() -> None:
    async with pair(RTCConfiguration(alwaysNegotiateDataChannels=True)) as (a, b):
        await negotiate(a, b)
        assert a.sctp is not None
        await until(lambda: a.connectionState == "connected", a, "connectionstatechange")
        assert isinstance(a, RTCPeerConnection)


async def test_messages_that_nobody_listens_for_are_said_to_be_lost_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with pair() as (a, b):
        mine, theirs = await open_channels(a, b)
        for _ in range(40):
            mine.send(bytes(64 * 1024))
        await until(lambda: mine.bufferedAmount == 0, mine, "bufferedamountlow")
        await asyncio.sleep(1)
        said = [record for record in caplog.records if "are lost" in record.getMessage()]
        assert theirs.unheard > 0
        assert len(said) == 1
        # who listens then, and stops, loses what comes after
        heard: list[Any] = []
        theirs.on("message", lambda event: heard.append(event.data))
        await asyncio.sleep(1)
        assert len(heard) + theirs.unheard == 40
        theirs.remove_all_listeners("message")
        before = theirs.unheard
        mine.send("anybody?")
        await asyncio.sleep(1)
        assert theirs.unheard == before + 1
        assert len([record for record in caplog.records if "are lost" in record.getMessage()]) == 1
