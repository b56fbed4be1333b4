"""Calls that last, peers that vanish, readers that are slow, and many calls at once."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from rtcstack import RTCConfiguration, RTCPeerConnection, Settings
from rtcstack.config import IceSettings
from rtcstack.ice import UdpMux
from tests.scenarios.media import contents
from tests.scenarios.world import Party, call, here, turn_server, until

pytestmark = pytest.mark.asyncio

HOUR_S = 3600


async def test_a_peer_that_vanishes_is_told_and_leaves_nothing_behind() -> None:
    server = turn_server()
    async with call(servers=[server]) as it:
        await it.begin()
        closed: list[str] = []
        assert it.a.channel is not None
        it.a.channel.on("close", lambda _: closed.append("channel"))
        it.a.channel.on("error", lambda event: closed.append(event.error.errorDetail))
        it.b.host.remove_interface("eth0")  # without a word
        it.b.lost = it.a.lost = True
        took = await until(lambda: it.a.connection.connectionState == "disconnected", "disconnected")
        assert took < 6
        took += await until(lambda: it.a.connection.connectionState == "failed", "failed")
        assert 25 < took < 35
        await until(lambda: closed, "the channel is closed", 60)
        assert closed[-1] == "channel"
        said_to: set[str] = set()

        def look(source: Any, destination: Any, data: Any) -> bool:
            said_to.add(destination[0])
            return True

        here().filter = look
        await asyncio.sleep(60)
        assert said_to <= {server.host}  # nobody talks to a peer that is gone


async def test_a_peer_that_hangs_up_is_told_at_once() -> None:
    async with call(servers=[turn_server()]) as it:
        await it.begin()
        left: list[float] = []
        it.a.connection.on("peerleft", lambda _: left.append(it.now))
        began = it.now
        await it.b.stop()
        await until(lambda: left, "told")
        assert left[0] - began < 0.1


async def test_a_call_of_eight_hours() -> None:
    """Everything that repeats does so at its pace, wraps where it wraps, and grows nowhere."""
    server = turn_server()
    async with call(servers=[server]) as it:
        for party in it.parties:
            party.film.interval_s, party.speech.interval_s = 10.0, 2.0
            party.message_every_s = 20.0
        await it.begin()
        await asyncio.sleep(60)
        gc.collect()
        objects = len(gc.get_objects())
        began, packets = it.now, here().sent
        for _ in range(8):
            await asyncio.sleep(HOUR_S)
            assert server.allocations == 2
        seconds = it.now - began
        for party in it.parties:
            assert set(party.states) == {"connecting", "connected"}
            assert party.sound is not None
            assert party.pictures is not None
            assert len(party.sound.since(began)) == pytest.approx(seconds / 2, abs=3)
            assert len(party.pictures.since(began)) == pytest.approx(seconds / 10, abs=3)
            assert party.sound.longest_gap_s(began, it.now) < 2.5
        # media, consent each two seconds, reports, refreshes: no storm of anything
        assert (here().sent - packets) / seconds < 20
        for party in it.parties:
            for taken in (party.sound, party.pictures):
                assert taken is not None
                taken.forget()
            party.texts.clear()
        gc.collect()
        assert len(gc.get_objects()) < objects + 1000
        statistics = await it.a.connection.getStats()
        assert all(report["packetsLost"] == 0 for report in statistics.of_type("inbound-rtp"))
        for party in it.parties:
            assert party.refused == {}


async def test_a_slow_reader_harms_no_call_beside_it() -> None:
    async with call(servers=[turn_server()]) as it:
        await it.begin()
        with it.a.host:
            bulk = it.a.connection.createDataChannel("bulk")
        arrived: list[Any] = []
        it.b.connection.on("datachannel", lambda event: arrived.append(event.channel))
        await until(lambda: arrived and bulk.readyState == "open", "the second channel is open")
        size, sent, read = 64 * 1024, 0, 0

        async def send() -> None:
            nonlocal sent
            while True:
                if bulk.bufferedAmount < 1 << 20:
                    bulk.send(contents(sent, size))
                    sent += 1
                await asyncio.sleep(0.005)

        async def read_slowly() -> None:
            nonlocal read
            async for message in arrived[0]:
                assert message == contents(read, size)
                read += 1
                await asyncio.sleep(0.25)

        tasks = [it.a.host.run(send()), it.b.host.run(read_slowly())]
        began = it.now
        try:
            await asyncio.sleep(60)
        finally:
            for task in tasks:
                task.cancel()
        assert 200 < read <= 241
        assert sent - read < 200  # the sender was held up: little waits anywhere
        for party in it.parties:
            assert party.sound is not None
            assert party.pictures is not None
            assert party.sound.longest_gap_s(began, it.now) < 0.1
            assert party.pictures.longest_gap_s(began, it.now) < 0.2
            assert len(party.sound.since(began)) > 2990
        it.assert_contents_are_right()


async def test_two_hundred_connections_on_one_port() -> None:
    internet = here()
    server = internet.add_host("server")
    with server:
        mux = UdpMux()
    shared = RTCConfiguration(settings=Settings(ice=IceSettings(udp_mux=mux)))
    visitors: list[Party] = []
    try:
        for number in range(200):
            host = internet.add_host(f"visitor {number}")
            visitor = Party(f"visitor {number}", host, RTCConfiguration(), polite=True)
            answering = Party(f"server {number}", server, shared, polite=False)
            visitor.other, answering.other = answering, visitor
            visitors += (visitor, answering)
            visitor.open_channel()
        sides = visitors
        await until(lambda: all(s.channel and s.channel.readyState == "open" for s in sides), "all are open")
        for number, side in enumerate(sides):
            assert side.channel is not None
            side.channel.send(contents(number, 1000))
        await until(lambda: all(side.texts for side in sides), "all are heard")
        for number, side in enumerate(sides):
            assert side.other is not None
            assert side.other.texts == [number]  # and by nobody else
            assert side.refused == {}
        assert len([port for is_tcp, _, port in server.open_ports if not is_tcp]) == 1
        assert sum(counters.packets_received for counters in mux.counters) > 1000
    finally:
        for side in visitors:
            await side.stop()
        mux.close()


async def test_a_connection_made_on_one_machine_stays_there() -> None:
    internet = here()
    alice, bob = internet.add_host("alice"), internet.add_host("bob")
    with alice:
        connection = RTCPeerConnection()
    with bob:
        connection.createDataChannel("x")
        await connection.setLocalDescription()
        description = await connection.gathered()
    assert alice.addresses()[0] in description.sdp
    assert bob.addresses()[0] not in description.sdp
    await connection.close()
