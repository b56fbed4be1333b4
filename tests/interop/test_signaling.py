"""The signalling server of the call example: rooms, names, and what it refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from examples.call.client import Signaling, join
from examples.call.server import MAX_MEMBERS, start


@pytest_asyncio.fixture
async def url() -> AsyncIterator[str]:
    runner, port = await start()
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


async def said(signaling: Signaling) -> dict[str, Any]:
    """The next thing the server says."""
    return await anext(aiter(signaling))


async def test_members_learn_of_each_other_and_signal(url: str) -> None:
    async with join(url, "room", "ann") as ann:
        assert ann.members == []
        async with join(url, "room", "bob") as bob:
            assert bob.members == ["ann"]
            assert await said(ann) == {"type": "entered", "name": "bob"}
            for number in range(20):
                bob.signal("ann", {"number": number})
            received = [(await said(ann))["data"]["number"] for _ in range(20)]
            assert received == list(range(20))
        assert await said(ann) == {"type": "left", "name": "bob"}


async def test_rooms_do_not_hear_each_other(url: str) -> None:
    async with join(url, "one", "ann") as ann, join(url, "two", "ann"), join(url, "two", "bob") as bob:
        bob.signal("carol", {})
        assert await said(bob) == {"type": "error", "reason": "carol is not here"}
        ann.signal("bob", {})
        assert await said(ann) == {"type": "error", "reason": "bob is not here"}


async def test_a_name_is_taken_once_and_free_again(url: str) -> None:
    async with join(url, "room", "ann"):
        with pytest.raises(ConnectionRefusedError, match="taken"):
            async with join(url, "room", "ann"):
                pass
    async with join(url, "room", "bob") as bob:
        assert bob.members == []


async def test_a_room_has_room_for_so_many(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        sockets = []
        for number in range(MAX_MEMBERS):
            socket = await session.ws_connect(f"{url}/signaling")
            await socket.send_json({"type": "join", "room": "full", "name": str(number)})
            assert (await socket.receive_json())["type"] == "joined"
            sockets.append(socket)
        with pytest.raises(ConnectionRefusedError, match="full"):
            async with join(url, "full", "late"):
                pass


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not an object"),
        ('{"type": "signal"}', 'the first message must be "join"'),
        ('{"type": "join", "room": "r"}', '"name" must be a name'),
        ('{"type": "join", "room": "r", "name": " "}', '"name" must be a name'),
        ('{"type": "join", "room": 7, "name": "x"}', '"room" must be a name'),
    ],
)
async def test_what_is_refused_before_joining(url: str, text: str, reason: str) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/signaling") as socket:
        await socket.send_str(text)
        answer = await socket.receive_json()
        assert answer["type"] == "error"
        assert reason in answer["reason"]
        # and the connection is still good
        await socket.send_json({"type": "join", "room": "r", "name": "x"})
        assert (await socket.receive_json())["type"] == "joined"


async def test_the_page_is_served(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        for path in ("/", "/app.js", "/call.js", "/signaling.js", "/transfer.js", "/style.css"):
            async with session.get(url + path) as response:
                assert response.status == 200
