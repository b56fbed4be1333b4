"""Which network the running code is on, what it refuses, and names."""

from __future__ import annotations

import asyncio
import gc
import random
import struct
import sys
import weakref
from ipaddress import ip_address
from typing import Any

import dns.message
import dns.name
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtcstack import network as room
from rtcstack.network import SystemNetwork, multicast, names, network
from rtcstack.network.multicast import Multicast
from rtcstack.network.names import is_hidden
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

    async def of_the_link(_: Multicast, name: str) -> str:
        asked.append(name)
        return "192.0.2.1"

    async def system(host: str, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        asked.append(host)
        four = [(names.socket.AF_INET, 0, 0, "", (f"192.0.2.{i}", 0)) for i in (7, 8)]
        six = [(names.socket.AF_INET6, 0, 0, "", (f"2001:db8::{i}", 0, 0, 0)) for i in (7, 8)]
        return [*six, *four]

    monkeypatch.setattr(Multicast, "resolve", of_the_link)
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
    monkeypatch.setattr(multicast, "_open", open_one)
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
    works = multicast._open

    async def refuse() -> Any:
        raise OSError("the port is taken")

    names = Multicast()
    monkeypatch.setattr(multicast, "_open", refuse)
    told = await asyncio.gather(
        names.publish("192.0.2.1"), names.resolve("peer.local"), return_exceptions=True
    )
    assert [str(each) for each in told] == ["the port is taken"] * 2
    monkeypatch.setattr(multicast, "_open", works)
    names.withdraw(await names.publish("192.0.2.1"))
    assert responders[0].is_closed


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_anything_that_multicast_brings(data: bytes) -> None:
    async def take() -> None:
        multicast._Protocol().datagram_received(data, ("192.0.2.1", 5353))

    asyncio.run(take())


class Group:
    """Keeps what is sent to the group."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def sendto(self, data: bytes, address: tuple[str, int]) -> None:
        assert address == ("224.0.0.251", 5353)
        self.sent.append(data)

    def is_closing(self) -> bool:
        return False


def questions(name: str, count: int) -> bytes:
    wire = dns.name.from_text(name).to_wire()
    rest = b"\xc0\x0c\0\1\0\1" * (count - 1)
    return b"\0\0\0\0" + struct.pack("!H", count) + bytes(6) + wire + b"\0\1\0\1" + rest


async def responder_of(zone: dict[str, str]) -> tuple[multicast._Protocol, Group]:
    protocol, group = multicast._Protocol(), Group()
    protocol.transport = group  # type: ignore[assignment]
    protocol._MDnsProtocol__joined = True  # type: ignore[attr-defined]
    for name, address in zone.items():
        await protocol.publish(name, address)
    return protocol, group


@pytest.mark.parametrize("count", [1, 2, multicast.MAX_QUESTIONS, multicast.MAX_QUESTIONS + 1, 1480, 8000])
async def test_many_questions_have_one_answer_at_most(count: int) -> None:
    protocol, group = await responder_of({"mine.local": "192.0.2.1"})
    protocol.datagram_received(questions("mine.local", count), ("192.0.2.9", 5353))
    assert len(group.sent) == (count <= multicast.MAX_QUESTIONS)


async def test_one_name_is_answered_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(multicast, "monotonic", lambda: now)
    protocol, group = await responder_of({"mine.local": "192.0.2.1", "other.local": "2001:db8::1"})
    for _ in range(5):
        for name in ("mine.local", "other.local", "unknown.local"):
            protocol.datagram_received(questions(name, 1), ("192.0.2.9", 5353))
    assert len(group.sent) == 2
    now += multicast.ANSWER_AGAIN_S
    protocol.datagram_received(questions("mine.local", 1), ("192.0.2.9", 5353))
    assert len(group.sent) == 3
    answer = dns.message.from_wire(group.sent[-1])
    assert [str(item.to_generic().data) for item in answer.answer[0]] == [str(bytes([192, 0, 2, 1]))]


async def test_names_that_come_and_go_leave_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    protocol, group = await responder_of({})
    for i in range(50):
        await protocol.publish(f"n{i}.local", "192.0.2.1")
        protocol.datagram_received(questions(f"n{i}.local", 1), ("192.0.2.9", 5353))
        protocol.zone.delete_node(f"n{i}.local.")
    assert len(group.sent) == 50
    assert len(protocol._answered) <= 2


def answers(name: str, *addresses: str) -> bytes:
    wire = b"\0\0\x84\0\0\0" + struct.pack("!H", len(addresses)) + bytes(4)
    for address in map(ip_address, addresses):
        kind = 1 if address.version == 4 else 28
        head = struct.pack("!HHIH", kind, 0x8001, 120, len(address.packed))
        wire += dns.name.from_text(name).to_wire() + head + address.packed
    return wire


@pytest.mark.parametrize(
    ("addresses", "taken"),
    [
        (["192.0.2.7"], "192.0.2.7"),
        (["2001:db8::7"], "2001:db8::7"),
        (["224.0.0.1", "192.0.2.7"], "192.0.2.7"),
        (["0.0.0.0", "255.255.255.255", "192.0.2.7", "192.0.2.8"], "192.0.2.7"),
        (["ff02::1", "::"], None),
        (["192.0.2.7"] * (multicast.MAX_RECORDS + 1), None),
    ],
)
async def test_the_first_address_that_a_host_can_have(addresses: list[str], taken: str | None) -> None:
    protocol, group = await responder_of({})
    asking = asyncio.create_task(protocol.resolve("victim.local", timeout=0.05))
    await asyncio.sleep(0)
    assert len(group.sent) == 1
    protocol.datagram_received(answers("other.local", "192.0.2.66"), ("192.0.2.9", 5353))
    protocol.datagram_received(answers("victim.local", *addresses), ("192.0.2.9", 5353))
    assert await asking == taken


async def test_what_has_no_name_of_ours_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []
    monkeypatch.setattr(
        dns.message, "from_wire", lambda data: read.append(data) or dns.message.QueryMessage()
    )
    protocol, _ = await responder_of({"Mine.local": "192.0.2.1"})
    asking = asyncio.create_task(protocol.resolve("Theirs.local", timeout=0.01))
    await asyncio.sleep(0)
    ours = [questions("mINE.local", 1), answers("theirs.local", "192.0.2.7")]
    for message in (*ours, questions("other.local", 1), answers("other.local", "192.0.2.7"), bytes(40)):
        protocol.datagram_received(message, ("192.0.2.9", 5353))
    assert read == ours
    await asking


@pytest.mark.parametrize("count", [1, multicast.MAX_QUESTIONS, 600])
@pytest.mark.parametrize("name", ["mine", "other"])
async def test_many_labels_for_two_bytes_take_few_steps(name: str, count: int) -> None:
    protocol, _ = await responder_of({"mine.local": "192.0.2.1"})
    steps = 0

    def profile(frame: object, event: str, arg: object) -> None:
        nonlocal steps
        steps += event in ("call", "c_call")

    message = questions(name + ".a" * 100, count)
    sys.setprofile(profile)
    try:
        protocol.datagram_received(message, ("192.0.2.9", 5353))
    finally:
        sys.setprofile(None)
    assert steps < (100 if name == "other" else 50_000)
