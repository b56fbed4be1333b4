"""Readers of data channels that lag behind, stall, or begin late: what they hold, and whom it harms.

Spec: RFC 9260, section 6.2; docs/decisions/slow-readers.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from rtcstack import RTCConfiguration, RTCDataChannel, RTCError, RTCPeerConnection, Settings
from rtcstack.connection.channels import MAX_UNHEARD_TOLD
from rtcstack.connection.delivery import MAX_EARLY_MESSAGES
from tests.conformance.helpers import happens, open_channels, pair
from tests.support.insides import association_of, held_bytes

pytestmark = pytest.mark.virtual

WINDOW = Settings().receive_window_bytes
IDLE_S = 30.0
CHUNK = bytes(16_384)


class Stage:
    """A channel with a handler, and others that are read; both ends in one process."""

    def __init__(self, a: RTCPeerConnection, b: RTCPeerConnection) -> None:
        self.a, self.b = a, b
        self.tasks: list[asyncio.Task[Any]] = []
        self.latencies_s: list[float] = []
        self.errors: list[tuple[float, RTCDataChannel, RTCError]] = []
        self.began = 0.0

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time() - self.began

    async def begin(self) -> None:
        self.mine, theirs = await open_channels(self.a, self.b)
        theirs.on("message", lambda event: self.latencies_s.append(self.now - float(event.data)))

    async def another(self, label: str) -> tuple[RTCDataChannel, RTCDataChannel]:
        announced = asyncio.ensure_future(happens(self.b, "datachannel"))
        mine = self.a.createDataChannel(label)
        theirs = (await announced).channel
        theirs.on("error", lambda event: self.errors.append((self.now, theirs, event.error)))
        return mine, theirs

    def run(self, coroutine: Any) -> asyncio.Task[Any]:
        self.tasks.append(asyncio.ensure_future(coroutine))
        return self.tasks[-1]

    async def flood(self, channel: RTCDataChannel) -> None:
        while True:
            await channel.send_async(CHUNK, 1 << 18)

    async def stall(self, channel: RTCDataChannel) -> None:
        async for _ in channel:
            await asyncio.Event().wait()

    async def talk(self, seconds: float) -> list[int]:
        """Send a message on the other channel now and then, and look what is held, in bytes, meanwhile."""
        held = []
        until = self.now + seconds
        while self.now < until:
            self.mine.send(str(self.now))
            await asyncio.sleep(0.2)
            held.append(association_of(self.b)._holdings.held_bytes)
        return held


@asynccontextmanager
async def stage(**settings: Any) -> AsyncIterator[Stage]:
    async with pair(RTCConfiguration(settings=Settings(**settings))) as (a, b):
        it = Stage(a, b)
        await it.begin()
        it.began = asyncio.get_running_loop().time()
        try:
            yield it
        finally:
            for task in it.tasks:
                task.cancel()
            await asyncio.gather(*it.tasks, return_exceptions=True)


@pytest.mark.parametrize("count", [1, 8])
async def test_stalled_readers_harm_no_other_channel_and_hold_their_share(count: int) -> None:
    """Whatever the peer sends them: the other one's messages go on arriving, slower."""
    async with stage() as it:
        channels = [await it.another(f"{number}") for number in range(count)]
        for _, theirs in channels:
            it.run(it.stall(theirs))
        await asyncio.sleep(0)
        for mine, _ in channels:
            it.run(it.flood(mine))
        held = await it.talk(IDLE_S - 1)
        assert not it.errors
        assert len(it.latencies_s) >= 5 * (IDLE_S - 1) - 20
        assert max(it.latencies_s) < 4
        # each a quarter at most, and three quarters together
        assert WINDOW // 8 < max(held) <= WINDOW * min(count, 3) // 4
        fullest = max(held_bytes(theirs) for _, theirs in channels)
        assert fullest <= WINDOW // 4


async def test_a_stalled_reader_that_nothing_more_is_sent_to_costs_the_others_nothing() -> None:
    async with stage() as it:
        mine, theirs = await it.another("bulk")
        it.run(it.stall(theirs))
        for _ in range(WINDOW // 8 // len(CHUNK)):
            mine.send(CHUNK)
        await asyncio.sleep(5)
        it.latencies_s.clear()
        for _ in range(20):
            await it.talk(0.2)
            for _ in range(10):
                it.mine.send(str(it.now))
        await asyncio.sleep(1)
        assert len(it.latencies_s) == 20 * 11
        assert max(it.latencies_s) < 0.2


async def test_a_reader_that_stalls_is_told_and_what_it_held_is_let_go(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with stage() as it:
        mine, theirs = await it.another("bulk")
        go_on = asyncio.Event()
        got: list[Any] = []

        async def read() -> None:
            async for message in theirs:
                got.append(message)
                await go_on.wait()

        reader = it.run(read())
        await asyncio.sleep(0)
        for number in range(50):
            mine.send(f"{number}")
        await asyncio.sleep(IDLE_S - 1)
        assert not it.errors
        await asyncio.sleep(7)
        [(_, target, error)] = it.errors
        assert target is theirs
        assert isinstance(error, RTCError)
        assert error.errorDetail == "data-channel-failure"
        assert "49 messages on the channel 'bulk'" in str(error)
        assert len([r for r in caplog.records if "took none for too long" in r.getMessage()]) == 1
        assert theirs.unheard == 49
        assert theirs.readyState == "open"
        holdings = association_of(it.b)._holdings
        assert holdings.held_bytes == 0
        assert not holdings.readers
        go_on.set()  # and it hears of it where it goes on
        with pytest.raises(RTCError, match="49 messages"):
            await reader
        assert got == ["0"]
        # whoever reads again goes on from here
        it.run(read())
        await asyncio.sleep(0)
        mine.send("again")
        await asyncio.sleep(1)
        assert got == ["0", "again"]
        await asyncio.sleep(2 * IDLE_S)  # with nothing that waits nobody is idle
        assert len(it.errors) == 1


async def test_a_loop_that_was_held_up_has_no_stalled_readers() -> None:
    """After a pause of the whole program, its readers go on before anybody is given up."""
    async with stage(reader_idle_timeout_s=6.0) as it:
        mine, theirs = await it.another("bulk")
        got: list[Any] = []

        async def read() -> None:
            async for message in theirs:
                got.append(message)
                await asyncio.sleep(4.9)

        it.run(read())
        for number in range(10):
            mine.send(f"{number}")
        await asyncio.sleep(60)
        assert got == [f"{number}" for number in range(10)]
        assert not it.errors


async def test_a_slow_reader_loses_nothing_and_the_peer_waits_for_it() -> None:
    """However much the peer would like to send: it is sent what is read, and a quarter of the window."""
    async with stage() as it:
        mine, theirs = await it.another("bulk")
        sent = read = 0

        async def send() -> None:
            nonlocal sent
            while True:
                await mine.send_async(sent.to_bytes(4) + CHUNK, 1 << 16)
                sent += 1

        async def take() -> None:
            nonlocal read
            async for message in theirs:
                assert isinstance(message, bytes)
                assert int.from_bytes(message[:4]) == read
                read += 1
                await asyncio.sleep(0.25)

        it.run(take())
        await asyncio.sleep(0)
        it.run(send())
        held = await it.talk(120)
        assert 4 * 120 - 10 < read <= 4 * 120 + 2
        assert (sent - read) * len(CHUNK) < WINDOW // 4 + (1 << 18)
        assert max(held) <= WINDOW // 4
        assert max(it.latencies_s) < 4
        assert not it.errors


async def test_a_reader_slower_than_any_window_is_given_up_as_well() -> None:
    """One that takes a message now and then holds no more than a bound for ever, and stops nobody."""
    async with stage(receive_window_bytes=1 << 20, max_message_size=65_536) as it:
        mine, theirs = await it.another("bulk")

        async def take() -> None:
            async for _ in theirs:
                await asyncio.sleep(20)

        reader = it.run(take())
        await asyncio.sleep(0)
        it.run(it.flood(mine))
        held: list[int] = []
        while not it.errors and it.now < 240:
            held += await it.talk(1)
        it.tasks[-1].cancel()
        [(at, _, error)] = it.errors
        assert 40 < at < 120
        assert "took too little" in str(error)
        assert max(held) < (1 << 20) // 2
        with pytest.raises(RTCError, match="too little"):
            await reader


async def test_a_reader_that_begins_late_is_told_what_it_missed(caplog: pytest.LogCaptureFixture) -> None:
    """It has all from the first message up to the bound, then an error, then what comes from then on."""
    async with stage() as it:
        mine, theirs = await it.another("late")
        for number in range(MAX_EARLY_MESSAGES + 10):
            mine.send(f"{number}")
        await asyncio.sleep(1)
        assert theirs.unheard == 10
        assert len([r for r in caplog.records if "are lost" in r.getMessage()]) == 1
        got: list[Any] = []

        async def read() -> None:
            async for message in theirs:
                got.append(message)  # noqa: PERF401 - what was read before the error counts

        reader = it.run(read())
        with pytest.raises(RTCError, match="10 messages on the channel 'late' were lost") as caught:
            await reader
        assert caught.value.errorDetail == "data-channel-failure"
        assert got == [f"{number}" for number in range(MAX_EARLY_MESSAGES)]
        it.run(read())
        await asyncio.sleep(0)
        mine.send("more")
        await asyncio.sleep(1)
        assert got[MAX_EARLY_MESSAGES:] == ["more"]


async def test_what_is_kept_for_the_first_listener_has_no_holes() -> None:
    async with stage() as it:
        mine, theirs = await it.another("early")
        for size in (100_000,) * 12 + (10,) * 5:
            mine.send(bytes(size))
        await asyncio.sleep(1)
        got: list[int] = []
        theirs.on("message", lambda event: got.append(len(event.data)))
        await asyncio.sleep(1)
        assert got == [100_000] * 10
        assert theirs.unheard == 7
        task = it.run(anext(aiter(theirs)))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        mine.send(b"x")
        assert await task == b"x"  # a handler was there: nothing of the reader's own is missing


async def test_channels_with_handlers_hold_nothing() -> None:
    async with stage() as it:
        mine, theirs = await it.another("handled")
        theirs.on("message", lambda event: None)
        for _ in range(100):
            mine.send(CHUNK)
        held = await it.talk(2)
        assert max(held) == 0
        assert theirs.unheard == 0
        theirs.remove_all_listeners("message")
        for _ in range(100):
            mine.send(CHUNK)
        held = await it.talk(2)
        assert max(held) == 0
        assert theirs.unheard == 100


@pytest.mark.parametrize("end", ["channel", "peer", "connection"])
async def test_what_was_held_may_be_read_after_the_end(end: str) -> None:
    async with stage() as it:
        mine, theirs = await it.another("bulk")
        got: list[Any] = []

        async def read() -> None:
            async for message in theirs:
                got.append(message)
                await asyncio.sleep(1)

        reader = it.run(read())
        await asyncio.sleep(0)
        for number in range(20):
            mine.send(f"{number}")
        await asyncio.sleep(0.5)
        if end == "channel":
            mine.close()
        else:
            await (it.a if end == "peer" else it.b).close()
        await reader
        assert got == [f"{number}" for number in range(20)]
        if end == "channel":
            holdings = association_of(it.b)._holdings
            assert not holdings.readers
            assert holdings.held_bytes == 0


async def test_the_log_says_only_so_many_times_what_a_peer_may_cause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with stage() as it:
        for number in range(MAX_UNHEARD_TOLD + 4):
            mine, theirs = await it.another(f"{number}")
            theirs.on("message", print)
            theirs.remove_all_listeners("message")
            it.run(it.stall(theirs))
            for _ in range(3):
                mine.send("x")
        await asyncio.sleep(IDLE_S * 2)
        assert len(it.errors) == MAX_UNHEARD_TOLD + 4
        assert len([r for r in caplog.records if "took none" in r.getMessage()]) == MAX_UNHEARD_TOLD
