"""The bot of the call example against members who mean it no good."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from examples.call.bot import Bot
from examples.call.call import Call
from examples.call.client import Signaling, join
from examples.call.rooms import MAX_CALL_NUMBER, MAX_MESSAGE_BYTES
from examples.call.server import start

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
