"""Many agents on one UDP port."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator

import pytest

from rtcstack.config import IceSettings
from rtcstack.engine import Run
from rtcstack.ice import IceState, UdpMux
from rtcstack.ice.mux import MAX_ADDRESSES
from rtcstack.ice.stun import Attribute, Class, Method, encode
from rtcstack.network import network
from tests.support.iceagents import FAST, Observer, connect, start
from tests.support.virtual import in_virtual_time
from tests.unit.network.test_portable import Sink

LOCAL = dataclasses.replace(FAST, options=IceSettings(bind_addresses=("127.0.0.1",)))


@contextlib.asynccontextmanager
async def server(
    clients: int, *, lite: bool = False
) -> AsyncIterator[tuple[UdpMux, list[tuple[Observer, Observer]]]]:
    """Pairs of a client with a socket of its own and a server agent; these share one port."""
    mux = UdpMux(0, LOCAL)
    shared = dataclasses.replace(
        LOCAL, options=IceSettings(bind_addresses=("127.0.0.1",), udp_mux=mux, lite=lite)
    )
    pairs = []
    for _ in range(clients):
        a, b = Observer(LOCAL), Observer(shared)
        a.other, b.other = b, a
        pairs.append((a, b))
    try:
        yield mux, pairs
    finally:
        for a, b in pairs:
            await a.agent.close()
            await b.agent.close()
        assert all(s.users == 0 and not s._senders and not s._heard for s in mux.sockets)
        mux.close()


@in_virtual_time
async def test_ten_connections_on_one_port() -> None:
    async with server(10) as (mux, pairs):
        await asyncio.gather(*(connect(a, b) for a, b in pairs))
        assert {c.port for _, b in pairs for c in b.agent.local_candidates} == {mux.port}
        for i, (a, b) in enumerate(pairs):
            a.agent.send_runs([Run(b"\x16%d" % i, 3)])
            b.agent.send_runs([Run(b"\x80%d" % i, 3)])
        for i, (a, b) in enumerate(pairs):
            await a.until(lambda a=a: a.data)
            await b.until(lambda b=b: b.data)
            assert (a.data, b.data) == ([b"\x80%d" % i], [b"\x16%d" % i])


@in_virtual_time
async def test_lite_agents_on_one_port() -> None:
    async with server(3, lite=True) as (_, pairs):
        for a, b in pairs:
            for me, other, controlling in ((a, b, True), (b, a, False)):
                me.agent.gather()
                me.agent.start(
                    other.agent.ufrag, other.agent.pwd, controlling=controlling, remote_is_lite=me is a
                )
        for each in (o for p in pairs for o in p):
            await each.until(lambda e=each: e.agent.state in (IceState.CONNECTED, IceState.COMPLETED))


@in_virtual_time
async def test_a_restart_on_one_port() -> None:
    async with server(2) as (_, pairs):
        for a, b in pairs:
            await connect(a, b)
        a, b = pairs[0]
        changes = len(a.pairs)
        for each in (a, b):
            each.agent.restart()
        start(a, b)
        await a.until(lambda: len(a.pairs) > changes)
        await b.until(lambda: b.agent.engine.active is b.agent.engine.newest)
        for a, b in pairs:
            a.agent.send_runs([Run(b"\x16x", 2)])
            await b.until(lambda b=b: b.data)


@in_virtual_time
async def test_both_ends_share_ports() -> None:
    mux = UdpMux(0, LOCAL), UdpMux(0, LOCAL)
    configs = [
        dataclasses.replace(LOCAL, options=IceSettings(bind_addresses=("127.0.0.1",), udp_mux=m)) for m in mux
    ]
    pairs = [(Observer(configs[0]), Observer(configs[1])) for _ in range(3)]
    for a, b in pairs:
        a.other, b.other = b, a
        await connect(a, b)
    # one pair of addresses for all three: only STUN can be told apart, and consent goes on
    await asyncio.sleep(0.5)
    for a, b in pairs:
        assert IceState.FAILED not in a.states + b.states
        await a.agent.close()
        await b.agent.close()
    for each in mux:
        each.close()


@in_virtual_time
async def test_strangers_change_nothing() -> None:
    async with server(1) as (mux, [(a, b)]):
        await connect(a, b)
        stranger = network().open_udp(("127.0.0.1", 0), Sink())
        forged = encode(
            Method.BINDING,
            Class.REQUEST,
            bytes(12),
            [(Attribute.USERNAME, f"{b.agent.ufrag}:x".encode()), (Attribute.PRIORITY, bytes(4))],
            key=b"wrong",
        )
        for data in (forged, b"\x00\x01rubbish", b"\x01\x01rubbish", b"\x16data", b"\x80data", b"\xff"):
            stranger.send(data, ("127.0.0.1", mux.port))
        await asyncio.sleep(0.05)
        assert b.data == []
        [sock] = mux.sockets
        assert stranger.sockname not in sock._heard
        assert sock.unclaimed == 2
        stranger.close()


@in_virtual_time
async def test_what_one_path_remembers_is_bounded() -> None:
    mux = UdpMux(0, LOCAL)
    [sock] = mux.sockets
    observer = Observer(LOCAL)
    carrier = sock.attach(observer.agent, 1, "abcd")
    for i in range(MAX_ADDRESSES + 50):
        carrier.send(b"\x00\x01", ("127.0.0.1", 1 + i))
    assert len(sock._senders) == MAX_ADDRESSES
    with pytest.raises(OSError, match="ufrag"):
        sock.attach(observer.agent, 2, "abcd")
    carrier.close()
    assert not sock._senders
    mux.close()


@in_virtual_time
async def test_a_port_that_is_taken() -> None:
    mux = UdpMux(0, LOCAL)
    with pytest.raises(OSError, match=r".+"):
        UdpMux(mux.port, LOCAL)
    mux.close()
    UdpMux(mux.port, LOCAL).close()
