"""The bot of the call example against members who mean it no good."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from examples.call.bot import MAX_ECHO, Bot
from examples.call.call import MAX_NOTE, MAX_NOTES, Call
from examples.call.client import Signaling, join
from examples.call.media import Media
from examples.call.names import is_polite
from examples.call.rooms import MAX_CALL_NUMBER, MAX_MESSAGE_BYTES
from examples.call.server import start
from examples.call.transfer import CHUNK_BYTES, RandomContent, Transfer

SECTIONS = 1000
"""Of an offer that fits in a message and has no answer that does."""

HEAD = (
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=setup:actpass\r\na=ice-ufrag:abcd\r\n"
    f"a=ice-pwd:{'p' * 22}\r\na=fingerprint:sha-256 {':'.join(['0F'] * 32)}\r\n"
)
SECTION = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:{mid}\r\na=rtcp-mux\r\na=recvonly\r\n"


@pytest_asyncio.fixture
async def url() -> AsyncIterator[str]:
    runner, port = await start()
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


@asynccontextmanager
async def served(
    url: str, on_event: Callable[[str, Call, Any], None] = lambda *_: None
) -> AsyncIterator[Bot]:
    """A bot in the room; it must be serving still at the end."""
    async with join(url, "r", "bot") as signaling:
        bot = Bot(signaling, on_event)
        serving = asyncio.create_task(bot.run())
        yield bot
        assert not serving.done(), "the bot has lost its server"
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def answer(signaling: Signaling, kind: str) -> dict[str, Any]:
    """The next signal of this kind."""
    async with asyncio.timeout(20):
        async for message in signaling:
            if message["type"] == "signal" and message["data"]["type"] == kind:
                data: dict[str, Any] = message["data"]
                return data
    raise AssertionError("the server has gone")


# a call's number, and all else that an answer repeats


@pytest.mark.parametrize("length", [MAX_CALL_NUMBER + 1, 259_000])
async def test_the_server_refuses_a_long_call_number(url: str, length: int) -> None:
    async with join(url, "r", "ann") as ann, join(url, "r", "mallory") as mallory:
        for number in ("x" * length, 7, None, ["x"]):
            mallory.signal("ann", {"type": "invite", "call": number})
            assert "at most" in (await anext(aiter(mallory)))["reason"]
        mallory.signal("ann", {"type": "invite", "call": "x" * MAX_CALL_NUMBER})
        assert len((await answer(ann, "invite"))["call"]) == MAX_CALL_NUMBER


@pytest.mark.parametrize("length", [MAX_CALL_NUMBER + 1, 259_000])
async def test_the_bot_refuses_a_long_call_number(
    url: str, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    """Whatever the server lets pass."""
    monkeypatch.setattr("examples.call.rooms.call_number_in", lambda _data: None)
    async with served(url) as bot, join(url, "r", "ann") as ann, join(url, "r", "mallory") as mallory:
        ann.signal("bot", {"type": "invite", "call": "x" * MAX_CALL_NUMBER})
        await answer(ann, "accept")
        mallory.signal("bot", {"type": "invite", "call": "x" * length})
        mallory.signal("bot", {"type": "invite", "call": "short"})
        assert (await answer(mallory, "accept"))["call"] == "short"
        assert set(bot.calls) == {"ann", "mallory"}


async def test_an_answer_too_long_for_the_server_costs_its_own_call(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # each section's answer says what the offer says once for all
    offer = HEAD + f"a=group:BUNDLE {' '.join(map(str, range(SECTIONS)))}\r\n"
    offer += "".join(SECTION.format(mid=mid) for mid in range(SECTIONS))
    assert len(json.dumps(offer)) < MAX_MESSAGE_BYTES
    failures: list[str] = []
    monkeypatch.setattr("examples.call.bot.log", failures.append)
    async with served(url) as bot, join(url, "r", "ann") as ann, join(url, "r", "mallory") as mallory:
        ann.signal("bot", {"type": "invite", "call": "1"})
        await answer(ann, "accept")
        mallory.signal("bot", {"type": "invite", "call": "2"})
        await answer(mallory, "accept")
        description = {"type": "offer", "sdp": offer}
        mallory.signal("bot", {"type": "description", "call": "2", "description": description})
        assert (await answer(mallory, "bye"))["reason"] == "failed"
        assert set(bot.calls) == {"ann"}
        assert f"more than {MAX_MESSAGE_BYTES} bytes" in failures[0]


@pytest.mark.parametrize("letter", ["x", "\u00e9", "\U0001f600"])
async def test_a_message_is_as_long_as_the_server_takes(url: str, letter: str) -> None:
    async with join(url, "r", "ann") as ann:
        bare = len(json.dumps({"type": "signal", "to": "ann", "data": {"text": ""}}, separators=(",", ":")))
        most = (MAX_MESSAGE_BYTES - bare) // len(letter.encode())
        ann.signal("ann", {"text": letter * most})
        assert (await anext(aiter(ann)))["data"]["text"] == letter * most
        with pytest.raises(ValueError, match="bytes"):
            ann.signal("ann", {"text": letter * (most + 1)})


# what reaches the loop's exception handler fails these


async def test_a_call_may_end_at_any_moment_of_its_offer() -> None:
    for turns in range(40):
        call = Call("1", lambda _data: None, polite=True, media=Media)
        call.call()
        for _ in range(turns):
            await asyncio.sleep(0)
        await call.close()
        await asyncio.sleep(0)


async def test_a_signal_that_cannot_be_sent_ends_its_call() -> None:
    def refuse(_data: dict[str, Any]) -> None:
        raise ValueError("too much")

    failed = asyncio.Event()
    call = Call("1", refuse, polite=True, on_failed=lambda _call: failed.set())
    call.call()
    async with asyncio.timeout(20):
        await failed.wait()
    await call.close()


async def test_what_waits_for_a_slow_server_is_bounded(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("examples.call.client.MAX_OUTGOING_BYTES", 5000)
    async with served(url) as bot, join(url, "r", "ann") as ann:

        def more() -> None:
            bot._signaling.signal("ann", {"text": "x" * 1000})

        for _ in range(4):
            more()
        with pytest.raises(ValueError, match="wait"):
            more()
        # an invitation at such a time is no answer's, and costs nobody else anything
        await bot._signalled("ann", {"type": "invite", "call": "x" * 60})
        await bot._hang_up("ann", tell="leaving")
        for _ in range(4):
            assert (await anext(aiter(ann)))["data"]["text"] == "x" * 1000
        ann.signal("bot", {"type": "invite", "call": "2"})
        while (await answer(ann, "accept"))["call"] != "2":
            pass


class Caller:
    """A member who has called the bot, with the size of message that it says it takes."""

    def __init__(self, signaling: Signaling, most: int | None) -> None:
        self.signaling = signaling
        self.most = most
        self.heard: asyncio.Queue[str] = asyncio.Queue()
        self.failed: asyncio.Queue[None] = asyncio.Queue()
        self.call = Call("1", self._signal, polite=signaling.name > "bot", on_chat=self._chat)

    async def _chat(self, _call: Call, text: str) -> None:
        self.heard.put_nowait(text)

    def _signal(self, data: dict[str, Any]) -> None:
        if self.most is not None and data["type"] == "description":
            text = data["description"]["sdp"]
            text = re.sub("a=max-message-size:[0-9]+", f"a=max-message-size:{self.most}", text)
            data = {**data, "description": {**data["description"], "sdp": text}}
        self.signaling.signal("bot", {**data, "call": "1"})

    async def listen(self) -> None:
        async for message in self.signaling:
            if message["type"] == "signal":
                if message["data"]["type"] == "accept":
                    self.call.call()
                else:
                    await self.call.receive(message["data"])


@asynccontextmanager
async def calling(url: str, most: int | None = None) -> AsyncIterator[tuple[Bot, Caller]]:
    """A call with the bot, whose chat is open."""
    async with served(url) as bot, join(url, "r", "ann") as ann:
        caller = Caller(ann, most)
        listening = asyncio.create_task(caller.listen())
        ann.signal("bot", {"type": "invite", "call": "1"})
        async with asyncio.timeout(20):
            await caller.call.say("hello")
        yield bot, caller
        assert not listening.done()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await caller.call.close()


async def test_the_longest_line_is_said_back_in_part(url: str) -> None:
    async with calling(url) as (_, caller), asyncio.timeout(20):
        assert await caller.heard.get() == "you said: hello"
        sctp = caller.call.pc.sctp
        assert sctp is not None
        for letter in ("x", "\u00e9", "\U0001f600"):
            line = letter * (int(sctp.maxMessageSize) // len(letter.encode()))
            await caller.call.say(line)
            assert await caller.heard.get() == f"you said: {letter * MAX_ECHO}"


@pytest.mark.parametrize("most", [1, 40, 1000])
async def test_who_takes_only_short_messages_gets_no_long_ones(url: str, most: int) -> None:
    async with calling(url, most) as (bot, caller), asyncio.timeout(20):
        call = bot.calls["ann"]
        assert call.pc.sctp is not None
        assert call.pc.sctp.maxMessageSize == most
        await caller.call.say("x" * 2000)
        await caller.call.say("/file 100000")
        if most < 64:  # no confirmation of theirs is so short
            with pytest.raises(ConnectionError):
                await caller.call.send_file("page.bin", b"x")
        while not any(what == "chat" for _, what, _ in call.timeline):
            await asyncio.sleep(0.01)
        assert set(bot.calls) == {"ann"}


async def test_the_timeline_ends(url: str) -> None:
    async with calling(url) as (bot, caller), asyncio.timeout(60):
        for _ in range(3):
            await caller.call.send_file("x" * 1000, b"")
        timeline = bot.calls["ann"].timeline
        bot.calls["ann"]._note("x", "y" * 10_000)
        assert len(timeline[-1][2]) == MAX_NOTE
        for _ in range(MAX_NOTES):
            bot.calls["ann"]._note("x", "y")
        assert len(timeline) == MAX_NOTES


async def test_a_file_is_made_and_checked_in_small_pieces(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that the bot does for it takes the loop's time in proportion to the file's size."""
    pieces: list[int] = []
    urandom, sha256 = os.urandom, hashlib.sha256

    def drawn(size: int) -> bytes:
        pieces.append(size)
        return urandom(size)

    class Digest:
        def __init__(self, data: bytes = b"") -> None:
            self.digest = sha256()
            self.update(data)

        def update(self, data: bytes) -> None:
            pieces.append(len(data))
            self.digest.update(data)

        def hexdigest(self) -> str:
            return self.digest.hexdigest()

    sent: asyncio.Queue[Transfer] = asyncio.Queue()
    async with calling(url) as (bot, caller), asyncio.timeout(60):
        bot._on_event = lambda name, _call, value: sent.put_nowait(value) if name == "sent" else None
        monkeypatch.setattr(os, "urandom", drawn)
        monkeypatch.setattr(hashlib, "sha256", Digest)
        await caller.call.say("/file 1000000")
        transfer = await sent.get()
        monkeypatch.undo()
    assert (transfer.size, transfer.verified, transfer.data) == (1_000_000, True, b"")
    assert sum(pieces) >= 3 * 1_000_000  # made, checked here, checked there
    assert max(pieces) <= CHUNK_BYTES


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1])
def test_random_content_is_as_long_as_it_says(size: int) -> None:
    content = RandomContent(size)
    assert len(content) == size
    pieces = [content[at : at + CHUNK_BYTES] for at in range(0, size, CHUNK_BYTES)]
    assert sum(map(len, pieces)) == size


@pytest.mark.parametrize(
    ("greater", "less"),
    [("bot", "ann"), ("\u00e9", "z"), ("\ufffd", "\U0001f600"), ("\U0001f601", "\U0001f600")],
)
async def test_either_side_knows_who_is_polite(url: str, greater: str, less: str) -> None:
    """As JavaScript compares strings; two that are polite, or neither, would never agree on an offer."""
    assert is_polite(greater, less)
    assert not is_polite(less, greater)
    for name, other in ((greater, less), (less, greater)):
        async with join(url, "r", name) as signaling:
            bot = Bot(signaling)
            await bot._signalled(other, {"type": "invite", "call": "1"})
            assert bot.calls[other]._polite is (name == greater)
            await bot._hang_up(other)


async def test_a_call_that_ends_itself_is_closed_to_the_end() -> None:
    """A task of the call that closes it must outlive its own order to end all tasks."""
    closed = asyncio.Event()

    class Slow(Media):
        async def close(self) -> None:
            await asyncio.sleep(0)
            await super().close()

    async def end(call: Call) -> None:
        await call.close()
        closed.set()

    call = Call("1", lambda _data: None, polite=True, media=Slow)
    call.call()
    call.spawn(end(call))
    async with asyncio.timeout(20):
        await closed.wait()
    assert call.pc.signalingState == "closed"
