"""ICE over TCP on the loopback interface: who connects to whom, shared ports, hostile connections."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.config import AddressRule, IceSettings
from rtcstack.engine import Run
from rtcstack.ice import IceConfig, IceState, TcpMux
from rtcstack.ice import tcp as module
from rtcstack.ice.stun import Attribute, Class, Method, encode
from rtcstack.ice.tcp import MAX_UNCLAIMED, MAX_UNCLAIMED_BYTES, TcpCarrier, TcpListener
from rtcstack.platform import HostAddress
from rtcstack.sdp.candidate import Candidate
from rtcstack.testing.tcp import TcpEnd
from tests.support.copies import copied_bytes
from tests.support.iceagents import FAST, Observer, connect, start
from tests.support.virtual import in_virtual_time


def config(**options: Any) -> IceConfig:
    return dataclasses.replace(FAST, options=IceSettings(bind_addresses=("127.0.0.1",), **options))


class Two:
    """Two agents, closed at the end."""

    def __init__(self, a: IceConfig, b: IceConfig) -> None:
        self.a, self.b = Observer(a), Observer(b)
        self.a.other, self.b.other = self.b, self.a

    async def __aenter__(self) -> tuple[Observer, Observer]:
        return self.a, self.b

    async def __aexit__(self, *_: object) -> None:
        await self.a.agent.close()
        await self.b.agent.close()
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1


async def echo(a: Observer, b: Observer) -> None:
    """Packets of all sizes, both ways."""
    packets = [b"\x80" + bytes(size) for size in (0, 1, 1199, 60_000)]
    for sender, receiver in ((a, b), (b, a)):
        for packet in packets:
            sender.agent.send_runs([Run(packet, len(packet))])
        sender.agent.send_runs([Run(b"\x16abc\x16def", 4)])
        await receiver.until(lambda r=receiver: len(r.data) == len(packets) + 2)
        assert sorted(receiver.data) == sorted([*packets, b"\x16abc", b"\x16def"])


@pytest.mark.parametrize(
    ("mine", "theirs", "types"),
    [
        (("active",), ("passive",), ("active", "passive")),
        (("passive",), ("active",), ("passive", "active")),
        (("so",), ("so",), ("so", "so")),
        (("active", "passive"), ("active", "passive"), None),
    ],
)
async def test_two_agents_without_udp(
    mine: tuple[str, ...], theirs: tuple[str, ...], types: tuple[str, str] | None
) -> None:
    async with Two(config(udp=False, tcp=mine), config(udp=False, tcp=theirs)) as (a, b):
        await connect(a, b)
        for each in (a, b):
            await each.until(lambda e=each: e.agent.state is IceState.COMPLETED)
        selected = a.agent.selected_pair
        assert selected is not None
        assert selected.local.transport == "tcp"
        if types is not None:
            assert selected.local.tcp_type == types[0]
        await echo(a, b)
        for candidate in a.agent.local_candidates:
            assert (candidate.port == 9) is (candidate.tcp_type == "active")


@in_virtual_time
async def test_udp_is_liked_better() -> None:
    both = config(tcp=("active", "passive"))
    async with Two(both, both) as (a, b):
        await connect(a, b)
        await asyncio.sleep(0.3)
        assert a.agent.selected_pair is not None
        assert a.agent.selected_pair.local.transport == "udp"
        kinds = [
            (c.transport, c.tcp_type) for c in sorted(a.agent.local_candidates, key=lambda c: -c.priority)
        ]
        assert kinds == [("udp", None), ("tcp", "active"), ("tcp", "passive")]


@in_virtual_time
async def test_two_active_ends_do_not_meet() -> None:
    active = config(udp=False, tcp=("active",))
    async with Two(active, active) as (a, b):
        start(a, b)
        await a.until(lambda: a.agent.state is IceState.FAILED)


@in_virtual_time
async def test_a_restart_over_tcp() -> None:
    async with Two(config(udp=False, tcp=("active",)), config(udp=False, tcp=("passive",))) as (a, b):
        await connect(a, b)
        changes = len(a.pairs)
        for each in (a, b):
            each.agent.restart()
        start(a, b)
        await a.until(lambda: len(a.pairs) > changes)
        await b.until(lambda: b.agent.engine.active is b.agent.engine.newest)
        await echo(a, b)


@in_virtual_time
async def test_a_connection_that_ends_is_noticed() -> None:
    async with Two(config(udp=False, tcp=("active",)), config(udp=False, tcp=("passive",))) as (a, b):
        await connect(a, b)
        for carrier in list(b.agent._carriers.values()):
            if isinstance(carrier, TcpCarrier):
                assert isinstance(carrier.stream, TcpEnd)
                carrier.stream.abort()
        await a.until(lambda: a.agent.state is IceState.DISCONNECTED)
        await a.until(lambda: a.agent.state is IceState.FAILED)


@in_virtual_time
async def test_many_connections_on_one_tcp_port() -> None:
    mux = await TcpMux.open(0, config())
    server = config(udp=False, tcp=("passive",), tcp_mux=mux)
    twos = [Two(config(udp=False, tcp=("active",)), server) for _ in range(5)]
    for two in twos:
        await connect(two.a, two.b)
    for two in twos:
        await echo(two.a, two.b)
        assert {c.port for c in two.b.agent.local_candidates} == {mux.port}
        await two.a.agent.close()
        await two.b.agent.close()
    assert all(not place._users and not place._waiting for place in mux.listeners)
    mux.close()


@in_virtual_time
async def test_an_address_rule_for_tcp() -> None:
    rules = (AddressRule(external=("203.0.113.7",), protocols=("tcp4",)),)
    async with Two(config(tcp=("passive",), address_rules=rules), config()) as (a, _):
        a.agent.gather()
        await a.until(lambda: len(a.agent.local_candidates) == 2)
        assert [(c.transport, c.address) for c in a.agent.local_candidates] == [
            ("udp", "127.0.0.1"),
            ("tcp", "203.0.113.7"),
        ]
        assert a.agent.local_candidates[1].tcp_type == "passive"


def framed(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def check(ufrag: str, key: bytes) -> bytes:
    attributes = [(Attribute.USERNAME, f"{ufrag}:x".encode()), (Attribute.PRIORITY, bytes(4))]
    return encode(Method.BINDING, Class.REQUEST, bytes(12), attributes, key=key)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n" * 200,
        framed(b"\x80srtp"),
        framed(b"\x16dtls"),
        framed(b"\x00\x01nonsense"),
        framed(check("nobody", b"k")),
        b"\xff\xff" + bytes(5000),
    ],
)
@in_virtual_time
async def test_strangers_are_hung_up_on(data: bytes) -> None:
    async with Two(config(tcp=("passive",)), config()) as (a, _):
        a.agent.gather()
        await a.until(lambda: len(a.agent.local_candidates) == 2)
        candidate = a.agent.local_candidates[1]
        reader, writer = await asyncio.open_connection(candidate.address, candidate.port)
        writer.write(data)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        assert a.data == []
        assert len(a.agent._carriers) == 2


@in_virtual_time
async def test_a_wrong_password_is_no_peer() -> None:
    async with Two(config(tcp=("passive",)), config()) as (a, _):
        a.agent.gather()
        await a.until(lambda: len(a.agent.local_candidates) == 2)
        candidate = a.agent.local_candidates[1]
        reader, writer = await asyncio.open_connection(candidate.address, candidate.port)
        writer.write(framed(check(a.agent.ufrag, b"wrong")) + framed(b"\x80data"))
        assert len(await asyncio.wait_for(reader.read(2), 5)) == 2, "refused, by a message"
        assert a.data == []
        assert a.agent.engine.newest.remotes == {}
        writer.close()


@in_virtual_time
async def test_connections_that_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLAIM_S", 0.2)
    async with Two(config(tcp=("passive",)), config()) as (a, _):
        a.agent.gather()
        await a.until(lambda: len(a.agent.local_candidates) == 2)
        candidate = a.agent.local_candidates[1]
        streams = [
            await asyncio.open_connection(candidate.address, candidate.port) for _ in range(MAX_UNCLAIMED + 5)
        ]
        await asyncio.sleep(0.05)
        [place] = [c._place for c in a.agent._carriers.values() if isinstance(c, module.TcpShare)]
        assert len(place._waiting) <= MAX_UNCLAIMED
        assert place.unclaimed == 5
        await asyncio.sleep(0.3)
        assert place._waiting == {}
        for reader, writer in streams:
            assert await reader.read() == b""
            writer.close()


class Listening:
    """An owner that keeps what it is told."""

    def __init__(self) -> None:
        self.stun: list[bytes] = []
        self.packets: list[bytes] = []

    def on_stun(self, path: int, data: bytes, address: Any, now: float) -> None:
        self.stun.append(data)

    def receiver(self, path: int, address: Any) -> Any:
        return self

    def on_datagrams(
        self, dtls: list[Run], srtp: list[bytes], now: float, arrived: list[float] | None = None
    ) -> None:
        self.packets += [r.data for r in dtls] + srtp


@given(st.lists(st.binary(max_size=40), max_size=12), st.lists(st.integers(1, 11), max_size=60))
def test_a_stream_in_any_pieces(packets: list[bytes], cuts: list[int]) -> None:
    owner = Listening()
    carrier = TcpCarrier(owner, 1)  # type: ignore[arg-type]
    stream = b"".join(framed(p) for p in packets)
    for cut in cuts:
        carrier.on_data(stream[:cut], 0.0)
        stream = stream[cut:]
    carrier.on_data(stream, 0.0)
    assert owner.stun == [p for p in packets if p and p[0] < 4]
    expected = [p for p in packets if p and (20 <= p[0] < 64 or 128 <= p[0] < 192)]
    assert sorted(owner.packets) == sorted(expected)
    assert len(carrier._held) == 0


def test_a_long_packet_in_small_pieces_is_copied_once() -> None:
    owner = Listening()
    carrier = TcpCarrier(owner, 1)  # type: ignore[arg-type]
    packet = b"\x80" * 60_000
    stream = framed(packet) + framed(packet)
    pieces = [stream[at : at + 16] for at in range(0, len(stream), 16)]
    copied = copied_bytes(lambda piece: carrier.on_data(piece, 0.0), pieces)
    assert owner.packets == [packet, packet]
    assert copied < 12 * len(stream), "the square of it would be 200 times as much"


def test_who_does_not_say_whose_it_is_and_begins_something_long_is_hung_up_on() -> None:
    place = TcpListener(HostAddress("192.0.2.2", "eth0"), is_own=False)
    carrier = TcpCarrier(None, 0, place)
    carrier.on_data(framed(bytes(MAX_UNCLAIMED_BYTES))[:100], 0.0)
    assert carrier._closed


@pytest.mark.parametrize("tcp_type", ["passive", "so"])
@in_virtual_time
async def test_a_peer_cannot_make_us_connect_without_end(tcp_type: str) -> None:
    async with Two(config(tcp=("active", "so")), config()) as (a, _):
        a.agent.gather()
        a.agent.start("abcd", "p" * 24, controlling=True)
        await a.until(lambda: len(a.agent.local_candidates) == 3)
        for i in range(100):
            text = f"{i} 1 tcp 1 127.0.0.1 {1 + i} typ host tcptype {tcp_type}"
            a.agent.add_remote_candidate(Candidate.parse(text))
        assert sum(p.peer is not None for p in a.agent.engine.newest.gathering.paths) <= 32


@in_virtual_time
async def test_silent_strangers_keep_nobody_out() -> None:
    """As many as may wait, and more all the time: who comes now and has something to say is heard."""
    async with Two(config(tcp=("passive",), udp=False), config(tcp=("active",), udp=False)) as (a, b):
        a.other = None
        a.agent.gather()
        await a.until(lambda: a.agent.local_candidates)
        candidate = a.agent.local_candidates[0]
        at = candidate.address, candidate.port
        writers = [(await asyncio.open_connection(*at))[1] for _ in range(MAX_UNCLAIMED)]
        a.other = b
        b.agent.add_remote_candidate(candidate)
        connecting = asyncio.ensure_future(connect(a, b))
        while not connecting.done():
            writers.append((await asyncio.open_connection(*at))[1])
            await asyncio.sleep(0.01)
        await connecting
        for writer in writers:
            writer.close()
        await asyncio.sleep(1)
