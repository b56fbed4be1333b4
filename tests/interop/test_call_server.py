"""The signalling server of the call example against members who mean it no good."""

from __future__ import annotations

import asyncio
import contextlib
import json
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from examples.call import server
from examples.call.client import Signaling, join
from examples.call.names import MAX_NAME, as_name, looks
from examples.call.rooms import Member, RefusedError, Rooms, parse
from examples.call.server import STATE, start


@pytest_asyncio.fixture
async def url() -> AsyncIterator[str]:
    runner, port = await start()
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


@pytest.fixture(autouse=True)
def talkative(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members here say more than the example's own client would."""
    monkeypatch.setattr("examples.call.client.MAX_OUTGOING_BYTES", 1 << 30)


BLANKS = (
    "\u200b\u200d\u2060\u00ad\ufeff\u034f\u115f\u1160\u17b4\u180b\u2800\u3164\uffa0\ufe0f\U000e0041\U000e0100"
)
"""Characters that show nothing."""


class Heard:
    """A line that keeps what is said."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.dropped = False

    def say(self, text: str) -> None:
        def refuse(constant: str) -> None:
            raise AssertionError(f"{constant} is not JSON")

        text.encode()  # there is nothing in it that has no UTF-8
        self.messages.append(json.loads(text, parse_constant=refuse))

    def has_room(self, text: str) -> bool:
        return True

    async def room(self, text: str) -> None:
        raise AssertionError("there is room")

    def drop(self) -> None:
        self.dropped = True


def entered(rooms: Rooms, name: str, **more: Any) -> tuple[Member, Heard]:
    line = Heard()
    return rooms.enter(line, {"type": "join", "room": "r", "name": name, **more}), line


# rooms


def test_a_member_comes_back_with_its_token() -> None:
    rooms = Rooms()
    _, bob_hears = entered(rooms, "bob")
    ann, ann_hears = entered(rooms, "ann")
    rooms.obey(ann, {"type": "status", "busy": True})
    for token in (None, "", 7, "guess", "\ud800", ann.token[:-1]):
        with pytest.raises(RefusedError, match="taken"):
            entered(rooms, "ann", token=token)
    again, again_hears = entered(rooms, "ann", token=ann.token)
    assert ann_hears.dropped
    rooms.leave(ann)  # the old connection ends; nobody has left
    rooms.obey(again, {"type": "signal", "to": "bob", "data": 1})
    assert [message["type"] for message in bob_hears.messages] == ["joined", "entered", "status", "signal"]
    joined = again_hears.messages[0]
    assert (joined["members"], joined["token"], again.busy) == (["bob"], ann.token, True)


def test_a_replaced_connection_has_nothing_to_say_or_to_leave() -> None:
    rooms = Rooms()
    ann, _ = entered(rooms, "ann")
    again, _ = entered(rooms, "ann", token=ann.token)
    for _ in range(2):
        for message in ({"type": "status", "busy": True}, {"type": "signal", "to": "ann", "data": 1}):
            with pytest.raises(RefusedError, match="another connection"):
                rooms.obey(ann, message)
        # and again when the one that came back has left, and the room with it
        rooms.leave(again)
    rooms.leave(ann)
    assert len(rooms) == 0


def test_who_is_busy_is_known_to_who_comes_later() -> None:
    rooms = Rooms([{"urls": ["stun:stun.example.org"]}])
    ann, _ = entered(rooms, "ann")
    entered(rooms, "bob")
    rooms.obey(ann, {"type": "status", "busy": True})
    joined = entered(rooms, "eve")[1].messages[0]
    assert (joined["members"], joined["busy"]) == (["ann", "bob"], ["ann"])
    assert joined["iceServers"] == [{"urls": ["stun:stun.example.org"]}]


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "signal", "to": "ann", "data": NaN}',
        '{"type": "signal", "to": "ann", "data": [1e999]}',
        '{"type": "signal", "to": "ann", "data": {"x": -Infinity}}',
    ],
)
def test_what_browsers_cannot_read_is_not_handed_on(text: str) -> None:
    rooms = Rooms()
    _, ann_hears = entered(rooms, "ann")
    bob, _ = entered(rooms, "bob")
    with pytest.raises(RefusedError, match="not JSON"):
        rooms.obey(bob, parse(text))
    assert len(ann_hears.messages) == 2


@pytest.mark.parametrize("kind", ["name", "room"])
@pytest.mark.parametrize(
    "name",
    ["a\nb", "a\u202eb", "\ud800", "x" * (MAX_NAME + 1), "\ufdfa" * (MAX_NAME // 4), " " * 1000 + "x"]
    + [f"bot{blank}" for blank in BLANKS]
    + list(BLANKS)
    + ["b\u043et", "\u03b2ot", "\u13f4ot", "a\u0301\u0301\u0301", "\u0301a", "\u20ddx"],
)
def test_names_that_deceive_are_refused(kind: str, name: str) -> None:
    with pytest.raises(RefusedError, match="must be a name"):
        entered(Rooms(), **{"name": "ann", kind: name})


@given(st.sampled_from("bot"), st.characters())
def test_a_character_that_shows_nothing_makes_no_other_name(letter: str, odd: str) -> None:
    """Of all that Unicode has: what it says to be ignored, or to be space, control or format."""
    name = as_name(f"bo{odd}t{letter}")
    if unicodedata.category(odd) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        assert name == ""
    assert as_name(name) == name
    assert looks(looks(name)) == looks(name)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("bot", "Bot"),
        ("bot", "b0t"),
        ("bot", "\uff42\uff4f\uff54"),
        ("caf\u00e9", "cafe\u0301"),
        ("Bill", "B1ll"),
        ("cop", "\u0441\u043e\u0440"),
        ("Alice  X", "Alice X"),
        ("stra\u00dfe", "STRASSE"),
    ],
)
def test_names_that_look_the_same_are_the_same(first: str, second: str) -> None:
    for one, other in ((first, second), (second, first)):
        rooms = Rooms()
        member, hears = entered(rooms, one)
        with pytest.raises(RefusedError, match="taken"):
            entered(rooms, other)
        ann, _ = entered(rooms, "ann")
        rooms.obey(ann, {"type": "signal", "to": other, "data": 1})
        assert hears.messages[-1]["type"] == "signal"
        if as_name(other) != member.name:
            with pytest.raises(RefusedError, match="taken"):  # nor may its owner change its looks
                entered(rooms, other, token=member.token)
        rooms.leave(member)
        entered(rooms, other)


@pytest.mark.parametrize(
    "name",
    [
        "Zo\u00eb",
        "Nguy\u1ec5n",
        "\u0410\u043d\u043d\u0430",
        "\u0395\u03bb\u03ad\u03bd\u03b7",
        "\u7530\u4e2d Ken",
        "\u30bf\u30ed\u30fc",
        "\uae40\ubbfc\uc900",
        "\u0639\u0644\u064a",
        "\u05d3\u05d5\u05d3",
        "\u0930\u093e\u092e \u0936\u0930\u094d\u092e\u093e",
        "room 7",
        "\U0001f600",
        "O'Neil-Smith",
        "x" * MAX_NAME,
    ],
)
def test_names_of_people_are_let_in(name: str) -> None:
    member, _ = entered(Rooms(), f" {name} ")
    assert member.name == unicodedata.normalize("NFKC", name)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
words = st.sampled_from(["join", "signal", "status", "r", "ann", "bob", "mine"]) | values
joins = st.fixed_dictionaries(
    {
        "type": st.just("join"),
        "room": st.sampled_from(["r", "s"]),
        "name": st.sampled_from(["ann", "bob"]),
        "token": st.just("mine"),
    }
)
messages = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("type", "room", "name", "to", "data", "busy", "token"), words),
)


@given(st.lists(st.tuples(st.integers(0, 3), joins | messages | st.none()), max_size=40))
def test_whatever_members_say_the_rooms_stand(steps: list[tuple[int, dict[str, Any] | None]]) -> None:
    """Four connections enter, talk and leave as they like; None is leaving."""
    rooms = Rooms()
    lines = [Heard() for _ in range(4)]
    members: list[Member | None] = [None] * 4
    tokens: dict[object, str] = {}
    for who, message in steps:
        member = members[who]
        if message is not None and message.get("token") == "mine":
            message = {**message, "token": tokens.get(str(message.get("name")))}
        try:
            if message is None:
                if member is not None:
                    rooms.leave(member)
                members[who] = None
            elif member is None:
                members[who] = entering = rooms.enter(lines[who], message)
                tokens[entering.name] = entering.token
            else:
                rooms.obey(member, message)
        except RefusedError:
            pass
    for member in members:
        if member is not None:
            rooms.leave(member)
    assert len(rooms) == 0


@given(st.text() | st.from_regex(r'[\[\]{}",:0-9eE+\-truefalsn ]{0,60}'))
def test_whatever_is_sent_is_an_object_or_refused(text: str) -> None:
    with contextlib.suppress(RefusedError):
        assert isinstance(parse(text), dict)


# sockets


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "file://", "http://[", "//"])
async def test_another_sites_page_is_refused(url: str, origin: str) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(f"{url}/signaling", headers={"Origin": url}):
            pass
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await session.ws_connect(f"{url}/signaling", headers={"Origin": origin})


async def test_there_is_an_end_to_connections(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 2)
    async with aiohttp.ClientSession() as session:
        first = await session.ws_connect(f"{url}/signaling")
        async with session.ws_connect(f"{url}/signaling"):
            with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
                await session.ws_connect(f"{url}/signaling")
        await first.close()
        async with join(url, "r", "ann"):
            pass


async def test_who_never_joins_is_let_go(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "JOIN_TIMEOUT_S", 0.05)
    async with (
        join(url, "r", "ann") as ann,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}/signaling") as silent,
    ):
        async with asyncio.timeout(5):
            assert (await silent.receive()).type is not aiohttp.WSMsgType.TEXT
        # ann has joined, and stays
        ann.signal("ann", {"to": "myself"})
        assert (await anext(aiter(ann)))["data"] == {"to": "myself"}


async def test_a_message_too_long_costs_the_connection(url: str) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/signaling") as socket:
        await socket.send_str("x" * (server.MAX_MESSAGE_BYTES + 1))
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG


async def test_who_talks_too_fast_is_read_slower(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "BURST_MESSAGES", 20.0)
    monkeypatch.setattr(server, "MESSAGES_PER_S", 5.0)
    read = 0
    obey = Rooms.obey

    def counted(rooms: Rooms, member: Member, value: dict[str, Any]) -> None:
        nonlocal read
        read += member.name == "mallory"
        obey(rooms, member, value)

    monkeypatch.setattr(Rooms, "obey", counted)
    async with join(url, "r", "ann") as ann, join(url, "r", "mallory") as mallory:
        for number in range(24):
            mallory.signal("ann", {"number": number})
        while read < 19:
            await asyncio.sleep(0.01)
        # what is over is not read yet, and others are served
        ann.signal("mallory", {})
        await anext(aiter(mallory))
        assert read < 24
        await anext(aiter(ann))  # "entered"
        got = [(await anext(aiter(ann)))["data"]["number"] for _ in range(24)]
        assert got == list(range(24))


@asynccontextmanager
async def member(url: str, name: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A bare connection that has joined."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}/signaling", autoping=False, max_msg_size=0) as socket,
    ):
        await socket.send_json({"type": "join", "room": "r", "name": name})
        assert (await socket.receive_json())["type"] == "joined"
        yield socket
        vanish(socket)


def vanish(socket: aiohttp.ClientWebSocketResponse) -> None:
    """End a connection without a word."""
    connection = socket._response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()


def stop_reading(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Take nothing more from the network."""
    socket._response.connection.transport.pause_reading()  # type: ignore[union-attr]


async def until(signaling: Signaling, **wanted: Any) -> None:
    """Wait for a message of the server."""
    async with asyncio.timeout(20):
        async for message in signaling:
            if wanted.items() <= message.items():
                return
    raise AssertionError("the server has gone")


async def test_who_does_not_listen_is_dropped(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "BURST_MESSAGES", 1e6)
    monkeypatch.setattr(server, "WRITE_TIMEOUT_S", 0.2)
    async with join(url, "r", "ann") as ann, member(url, "deaf") as deaf:
        stop_reading(deaf)
        for _ in range(200):
            ann.signal("deaf", {"text": "x" * 100_000})
        await until(ann, type="left", name="deaf")


async def test_who_signals_to_a_deaf_member_is_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "BURST_MESSAGES", 1e6)
    monkeypatch.setattr(server, "ROOM_TIMEOUT_S", 0.1)
    async with join(url, "r", "ann") as ann, member(url, "deaf") as deaf:
        stop_reading(deaf)
        for _ in range(200):
            ann.signal("deaf", {"text": "x" * 100_000})
        await until(ann, type="error", reason="deaf is slow to read")


@pytest.mark.parametrize("letter", ["x", "\u00e9", "\U0001f600", "\ud800"])
async def test_who_only_listens_stays_whoever_talks(
    url: str, monkeypatch: pytest.MonkeyPatch, letter: str
) -> None:
    """Two members say more than can wait for a third, who reads it all, slower than they speak."""
    monkeypatch.setattr(server, "BURST_MESSAGES", 1e6)
    monkeypatch.setattr(server, "ROOM_TIMEOUT_S", 20.0)
    text = letter * (250_000 // len(letter.encode(errors="backslashreplace")))
    names, each = ("eve", "mallory"), 10
    async with (
        join(url, "r", "bob") as bob,
        join(url, "r", "eve") as eve,
        join(url, "r", "mallory") as mallory,
    ):
        for talker in (eve, mallory):
            for number in range(each):
                talker.signal("bob", {"number": number, "text": text})
        got: dict[str, list[int]] = {name: [] for name in names}
        async with asyncio.timeout(60):
            async for message in bob:
                if message["type"] == "signal":
                    assert message["data"]["text"] == text
                    got[message["from"]].append(message["data"]["number"])
                    await asyncio.sleep(0.01)
                if sum(map(len, got.values())) == each * len(names):
                    break
        assert got == {name: list(range(each)) for name in names}


@pytest.fixture
def longest(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The most that has waited for any member, in bytes."""
    most = [0]
    send = server.SocketLine.send

    def watched(line: server.SocketLine, kind: aiohttp.WSMsgType, data: bytes = b"") -> None:
        send(line, kind, data)
        most[0] = max(most[0], line._queued_bytes)

    monkeypatch.setattr(server.SocketLine, "send", watched)
    return most


async def test_what_waits_for_a_member_is_bounded(
    url: str, monkeypatch: pytest.MonkeyPatch, longest: list[int]
) -> None:
    monkeypatch.setattr(server, "BURST_MESSAGES", 1e6)
    monkeypatch.setattr(server, "ROOM_TIMEOUT_S", 0.05)
    async with join(url, "r", "ann") as ann, member(url, "deaf") as deaf, member(url, "raw") as raw:
        stop_reading(deaf)
        # the same number is longer as Python writes it
        await raw.send_str('{"type":"signal","to":"deaf","data":[' + "1e15," * 50_000 + "1]}")
        for _ in range(200):
            ann.signal("deaf", {"text": "\u00e9" * 50_000})
        await until(ann, type="error", reason="deaf is slow to read")
    assert server.MAX_QUEUED_BYTES // 2 < longest[0] <= server.MAX_QUEUED_BYTES


async def test_who_does_not_listen_is_not_read(
    url: str, monkeypatch: pytest.MonkeyPatch, longest: list[int]
) -> None:
    monkeypatch.setattr(server, "BURST_MESSAGES", 1e6)
    monkeypatch.setattr(server, "LISTENING_QUEUED_BYTES", 1000)
    async with join(url, "r", "ann") as ann, member(url, "deaf") as deaf:
        stop_reading(deaf)

        async def ask() -> None:
            with contextlib.suppress(ConnectionError):
                while True:
                    await deaf.send_json({"type": "signal", "to": "deaf", "data": "x" * 50_000})

        asking = asyncio.create_task(ask())
        while longest[0] < 1000:
            await asyncio.sleep(0.01)
        # as many messages later it is no more
        for number in range(100):
            ann.signal("ann", {"number": number})
            await until(ann, type="signal")
        asking.cancel()
    assert longest[0] < 1000 + 2 * 50_000


@pytest.mark.parametrize("size", [0, 1000])
async def test_who_has_gone_is_not_read_to_the_end(
    url: str, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """What a fast talker has left unread keeps nobody in the room."""
    monkeypatch.setattr(server, "BURST_MESSAGES", 1.0)
    async with join(url, "r", "ann") as ann, member(url, "fast") as fast:
        sent = 0

        async def talk() -> None:
            nonlocal sent
            with contextlib.suppress(ConnectionError):
                while True:
                    await fast.send_str(" " * size + "{}")
                    sent += 1

        talking = asyncio.create_task(talk())
        before = -1
        while sent == 0 or sent != before:  # until the network has no room for more
            before = sent
            await asyncio.sleep(0.1)
        vanish(fast)
        await until(ann, type="left", name="fast")
        await talking


async def test_who_talks_too_fast_stays(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer to a ping waits behind what it said, for many heartbeats."""
    monkeypatch.setattr(server, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(server, "BURST_MESSAGES", 1.0)
    async with join(url, "r", "ann") as ann:
        for number in range(60):
            ann.signal("ann", {"number": number})
        for number in range(60):
            assert (await anext(aiter(ann)))["data"]["number"] == number


async def test_who_is_silent_answers_a_ping_or_goes(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEARTBEAT_S", 0.1)
    async with join(url, "r", "ann") as ann, member(url, "dead") as dead:
        listening = asyncio.create_task(until(ann, type="left", name="dead"))  # and answers pings
        for _ in range(3):
            assert (await dead.receive(20)).type is aiohttp.WSMsgType.PING
            assert not listening.done()
            await dead.pong()
        while (await dead.receive(20)).type is aiohttp.WSMsgType.PING:
            pass
        await listening


async def test_a_ping_is_answered(url: str) -> None:
    async with member(url, "ann") as ann:
        await ann.ping(b"hello")
        message = await ann.receive(20)
        assert (message.type, message.data) == (aiohttp.WSMsgType.PONG, b"hello")


# HTTP


async def asked(url: str, head: bytes) -> tuple[int, bytes]:
    """The status and the rest of what the server answers to the bytes of a request."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head)
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(answer.split()[1]), answer


def request(path: str, *lines: str, method: str = "GET") -> bytes:
    head = [f"{method} {path} HTTP/1.1", *(lines or ("Host: localhost",)), "Connection: close", "", ""]
    return "\r\n".join(head).encode()


LOST = [
    "x" * 7000,
    "x" * 256,
    "%00",
    "a%00b",
    "%ff",
    "%2e%2e/rooms.py",
    "..%2frooms.py",
    "../rooms.py",
    "%5c",
]
LOST += [
    "~",
    ".",
    "..",
    "%2e",
    "%2e%2e",
    "app.js/",
    "app.js/x",
    "app.js%00",
    "%f0%9f%98%80",
    "C:",
    "/etc/passwd",
]
"""Paths at which there is nothing."""


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
async def test_no_path_is_a_fault_of_the_server(url: str, method: str) -> None:
    for path in LOST:
        status, answer = await asked(url, request(f"/{path}", method=method))
        assert status in (400, 404, 405), path
        assert b"Rooms" not in answer


@given(st.text(st.characters(codec="ascii", exclude_characters=" \r\n"), max_size=40))
def test_whatever_path_is_asked_for(path: str) -> None:
    async def ask() -> int:
        runner, port = await start()
        try:
            return (await asked(f"http://127.0.0.1:{port}", request("/" + path)))[0]
        finally:
            await runner.cleanup()

    assert asyncio.run(ask()) < 500


UPGRADE = [
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    f"Sec-WebSocket-Key: {'A' * 22}==",
]
REBOUND = [
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "[::1].evil",
    "x",
    "localhost.",
    ":80",
    "[",
]


@pytest.mark.parametrize(
    "host", [*REBOUND, "[::1", "127.0.0.1:x", "localhost:80:80", "\u0131", "1", "0x7f000001"]
)
async def test_a_page_under_another_name_is_refused(url: str, host: str) -> None:
    """A name of somebody else that leads here by DNS, with its own page and its own origin."""
    for name in (host, f"{host}:8080"):
        for path in ("/", "/app.js", "/nothing"):
            status, answer = await asked(url, request(path, f"Host: {name}"))
            assert (status, b"rtcstack" in answer) == (421, False)
        lines = (f"Host: {name}", f"Origin: http://{name}", *UPGRADE)
        assert (await asked(url, request("/signaling", *lines)))[0] == 421


async def test_the_servers_own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    runner, port = await start(hosts=["Call.Example"])
    url = f"http://127.0.0.1:{port}"
    try:
        for host in (
            "localhost",
            "LOCALHOST:80",
            "127.0.0.1",
            "[::1]:80",
            "192.0.2.1",
            "call.example",
            "call.EXAMPLE:443",
        ):
            assert (await asked(url, request("/", f"Host: {host}")))[0] == 200
        async with aiohttp.ClientSession() as session:
            origin = {"Host": "call.example", "Origin": "https://call.example"}
            async with session.ws_connect(f"{url}/signaling", headers=origin):
                pass
            # programs are not browsers
            async with session.ws_connect(f"{url}/signaling", headers={"Host": "x"}):
                pass
    finally:
        await runner.cleanup()


async def test_a_request_without_a_host_looks_nothing_up(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise AssertionError("this asks the network, and waits")

    monkeypatch.setattr("socket.getfqdn", refuse)
    for head in (b"GET / HTTP/1.0\r\n\r\n", b"GET /signaling HTTP/1.0\r\nOrigin: http://x\r\n\r\n"):
        assert (await asked(url, head))[0] == 421


SILENT = [b"", b"G", b"GET / HTTP/1.1\r\nHost: localhost\r\n", request("/").replace(b"close", b"keep-alive")]
SILENT += [b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx"]


@pytest.mark.parametrize("said", SILENT)
async def test_a_connection_that_asks_for_nothing_is_ended(
    url: str, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(server, "REQUEST_TIMEOUT_S", 0.2)
    async with join(url, "r", "ann") as ann:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(said)
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(20):
                await reader.read()
        writer.close()
        # a member is in no hurry
        ann.signal("ann", {})
        await until(ann, type="signal")


async def test_one_that_drips_is_ended(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REQUEST_TIMEOUT_S", 0.2)
    _, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(b"GET / HTTP/1.1\r\nX: ")

    async def drip() -> None:
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(drip(), 20)
    writer.close()


async def test_connections_that_say_nothing_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_HTTP_CONNECTIONS", 3)
    runner, port = await start()
    connections = runner.app[STATE].connections
    writers = []
    try:
        writers += [(await asyncio.open_connection("127.0.0.1", port))[1] for _ in range(3)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        assert len(connections) == 3
        writers[0].close()
        while len(connections) == 3:
            await asyncio.sleep(0.01)
        assert (await asked(f"http://127.0.0.1:{port}", request("/")))[0] == 200
    finally:
        for writer in writers:
            writer.close()
        await runner.cleanup()
    assert not connections
