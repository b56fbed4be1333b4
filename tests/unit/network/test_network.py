"""Which network the running code is on, what it refuses, and names."""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import weakref
from collections.abc import Callable
from typing import Any
from unittest.mock import MagicMock

import aioice.mdns
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtcstack import network as room
from rtcstack.network import SystemNetwork, names, network
from rtcstack.network.names import Multicast, is_hidden
from rtcstack.platform import Platform, Received, install, uninstall


class Sink:
    """Takes anything."""

    def on_batch(self, batch: list[Received], now: float) -> None: ...

    def on_data(self, data: bytes, now: float) -> None: ...

    def on_lost(self, reason: str) -> None: ...


# -- which network -----------------------------------------------------------------------------------


async def test_a_loop_has_one_network_unless_it_has_its_own() -> None:
    ours = network()
    assert isinstance(ours, SystemNetwork)
    assert network() is ours
    loop = asyncio.get_running_loop()
    other = SystemNetwork()
    install(loop, Platform(network=lambda: other))
    assert network() is other
    uninstall(loop)
    assert network() is ours


def test_without_a_loop_there_is_none() -> None:
    with pytest.raises(RuntimeError, match="running event loop"):
        network()


def test_a_network_keeps_no_loop_alive() -> None:
    async def use() -> None:
        udp = network().open_udp(("127.0.0.1", 0), Sink())
        network().watch(lambda: None).close()
        udp.close()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(use())
    assert loop in room._of_loop
    loop.close()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None


class Seeded:
    """Entropy that anybody can draw again."""

    is_seeded = True

    def __init__(self) -> None:
        self.random = random.Random(1)
        self.bytes = self.random.randbytes


async def test_a_real_network_refuses_chance_that_is_none() -> None:
    loop = asyncio.get_running_loop()
    here = network()
    install(loop, Platform(entropy=Seeded()))
    try:
        with pytest.raises(RuntimeError, match="seeded"):
            here.open_udp(("127.0.0.1", 0), Sink())
        with pytest.raises(RuntimeError, match="seeded"):
            await here.open_tcp(("127.0.0.1", 9), Sink())
        with pytest.raises(RuntimeError, match="seeded"):
            await here.listen_tcp(("127.0.0.1", 0), lambda _: Sink())
    finally:
        uninstall(loop)


# -- names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("3f2a7c60-0000-4000-8000-000000000000.local", True),
        ("Printer.LOCAL", True),
        ("relay.company.local", False),
        ("relay.example", False),
        (".local", False),
        ("a_b.local", False),
        ("x" * 64 + ".local", False),
        ("local", False),
    ],
)
def test_which_names_multicast_answers_for(name: str, expected: bool) -> None:
    assert is_hidden(name) is expected


async def test_resolving(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def multicast(_: Multicast, name: str) -> str:
        asked.append(name)
        return "192.0.2.1"

    async def system(host: str, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        asked.append(host)
        four = [(names.socket.AF_INET, 0, 0, "", (f"192.0.2.{i}", 0)) for i in (7, 8)]
        six = [(names.socket.AF_INET6, 0, 0, "", (f"2001:db8::{i}", 0, 0, 0)) for i in (7, 8)]
        return [*six, *four]

    monkeypatch.setattr(Multicast, "resolve", multicast)
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", system)
    here = network()
    assert await here.resolve("192.0.2.9") == ["192.0.2.9"]
    assert await here.resolve("2001:db8::9") == ["2001:db8::9"]
    assert asked == [], "an address is nobody's business"
    assert await here.resolve("printer.local") == ["192.0.2.1"]
    assert await here.resolve("relay.example") == ["2001:db8::7", "192.0.2.7"]
    assert asked == ["printer.local", "relay.example"]


@pytest.mark.parametrize("name", ["name.invalid", "x" * 64 + ".example", "a..b"])
async def test_names_that_are_none(name: str) -> None:
    with pytest.raises(OSError, match=r".+"):
        await network().resolve(name)


class Responder:
    """In place of the multicast socket."""

    opened: list[Responder]

    def __init__(self) -> None:
        self.is_closed = False
        self.names: set[str] = set()
        self.answers: list[str | None] = []
        self.questions = 0
        self.transport = self
        self.zone = self
        self.opened.append(self)

    def close(self) -> None:
        assert not self.is_closed
        self.is_closed = True

    def delete_node(self, name: str) -> None:
        self.names.remove(name.removesuffix("."))

    async def publish(self, name: str, address: str) -> None:
        await asyncio.sleep(0)
        self.names.add(name)

    async def resolve(self, name: str, timeout: float) -> str | None:
        self.questions += 1
        await asyncio.sleep(0)
        return self.answers.pop(0) if self.answers else None


@pytest.fixture
def responders(monkeypatch: pytest.MonkeyPatch) -> list[Responder]:
    opened: list[Responder] = []

    async def open_one() -> Responder:
        await asyncio.sleep(0)
        return Responder()

    monkeypatch.setattr(Responder, "opened", opened, raising=False)
    monkeypatch.setattr(names, "_open", open_one)
    return opened


async def test_one_multicast_socket_while_it_is_needed(responders: list[Responder]) -> None:
    multicast = Multicast()
    published = await asyncio.gather(*(multicast.publish(f"192.0.2.{i}") for i in range(3)))
    [responder] = responders
    assert responder.names == set(published)
    responder.answers = [None, "192.0.2.9"]
    assert await multicast.resolve("peer.local") == "192.0.2.9"
    for name in published:
        assert not responder.is_closed
        multicast.withdraw(name)
        multicast.withdraw(name)
    assert responder.is_closed
    assert responder.names == set()
    multicast.withdraw("never.local")
    with pytest.raises(OSError, match="nobody answers"):
        await multicast.resolve("peer.local")
    assert [r.is_closed for r in responders] == [True, True]
    assert responders[1].questions == 5


async def test_a_question_that_is_given_up(responders: list[Responder]) -> None:
    multicast = Multicast()
    for turns in range(4):
        asking = asyncio.create_task(multicast.resolve("peer.local"))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        await asyncio.sleep(0)
        assert multicast._opening is None
        assert all(r.is_closed for r in responders)


async def test_no_multicast_now_but_later(
    responders: list[Responder], monkeypatch: pytest.MonkeyPatch
) -> None:
    works = names._open

    async def refuse() -> Any:
        raise OSError("the port is taken")

    multicast = Multicast()
    monkeypatch.setattr(names, "_open", refuse)
    told = await asyncio.gather(
        multicast.publish("192.0.2.1"), multicast.resolve("peer.local"), return_exceptions=True
    )
    assert [str(each) for each in told] == ["the port is taken"] * 2
    monkeypatch.setattr(names, "_open", works)
    multicast.withdraw(await multicast.publish("192.0.2.1"))
    assert responders[0].is_closed


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_anything_that_multicast_brings(data: bytes) -> None:
    async def take() -> None:
        names._Protocol().datagram_received(data, ("192.0.2.1", 5353))

    asyncio.run(take())


def question(name: bytes, others: int, *, as_answers: bool = False) -> bytes:
    """A message that asks for a name of many labels, and for others that point to it; or answers so."""
    name = bytes((len(name),)) + name + b"\1a" * 100 + b"\0"
    tail = b"\0\1\0\1" + (bytes(4) + b"\0\4" + bytes(4) if as_answers else b"")
    counts = (others + 1).to_bytes(2, "big")
    head = bytes(4) + (bytes(2) + counts if as_answers else counts + bytes(2)) + bytes(4)
    return head + name + tail + b"".join(bytes((1, i & 255)) + b"\xc0\x0c" + tail for i in range(others))


def test_what_is_read_of_multicast_is_short_and_has_a_name_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []
    monkeypatch.setattr(
        aioice.mdns.MDnsProtocol, "datagram_received", lambda self, data, addr: read.append(data)
    )

    async def take() -> None:
        protocol = names._Protocol()
        protocol.transport = MagicMock(is_closing=lambda: False)
        await protocol.publish("Ours.local", "192.0.2.1")
        asking = asyncio.create_task(protocol.resolve("theirs.local", timeout=0.01))
        await asyncio.sleep(0)
        taken = [question(b"oURS", 0), question(b"theirs", names.MAX_RECORDS - 1, as_answers=True)]
        for message in (
            *taken,
            question(b"anybody", 0),
            question(b"ours", names.MAX_QUESTIONS),
            question(b"ours", names.MAX_RECORDS, as_answers=True),
            question(b"ours", 0) + bytes(names.MAX_MESSAGE_BYTES),
            b"ours",
        ):
            protocol.datagram_received(message, ("192.0.2.1", 5353))
        assert read == taken
        await asking

    asyncio.run(take())


def test_a_message_of_multicast_takes_few_steps_whatever_it_holds() -> None:
    async def take() -> None:
        protocol = names._Protocol()
        protocol.transport = MagicMock(is_closing=lambda: False)
        await protocol.publish("ours.local", "192.0.2.1")
        for count in (3, 31, 600):
            for as_answers in (False, True):
                message = question(b"ours", count, as_answers=as_answers)
                steps = calls_made(lambda m=message: protocol.datagram_received(m, ("192.0.2.1", 5353)))
                assert steps < 80_000

    asyncio.run(take())


def calls_made(call: Callable[[], object]) -> int:
    count = 0

    def profile(frame: object, event: str, arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
    return count
