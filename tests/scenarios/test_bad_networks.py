"""Calls over networks that lose, delay and stop."""

from __future__ import annotations

import asyncio

import pytest

from tests.scenarios.world import call, here, turn_server, until

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("loss", [0.0, 0.01, 0.05, 0.2])
async def test_a_call_goes_on_whatever_share_of_packets_is_lost(loss: float) -> None:
    async with call(servers=[turn_server()]) as it:
        if loss > 0.05:  # the film takes no heed of the estimate, which is below its 600 kbit/s then
            for party in it.parties:
                party.film.size = 1250
        await it.begin()
        here().loss = loss
        began = it.now
        await asyncio.sleep(30)
        for party in it.parties:
            assert party.pictures is not None
            assert party.sound is not None
            heard = len(party.sound.since(began)) / (30 * 50)
            shown = len(party.pictures.since(began)) / (30 * 30)
            assert heard > 1 - 1.5 * loss - 0.01
            # what is lost comes again; a picture is left out only where it does not come in time
            assert shown > (0.97 if loss <= 0.05 else 0.9)
            assert party.pictures.longest_gap_s(began, it.now) < (0.5 if loss <= 0.05 else 1.5)
            assert party.connection.connectionState == "connected"
        here().loss = 0.0
        await it.all_messages()
        it.assert_contents_are_right()


async def test_a_call_over_300_ms_each_way() -> None:
    async with call(delay_s=0.3, servers=[turn_server()]) as it:
        began = it.now
        await it.begin()
        # two round trips of signalling, one of checks, two of DTLS, two of SCTP, some patience
        assert it.now - began < 6.0
        here().loss = 0.02
        began = it.now
        await asyncio.sleep(30)
        for party in it.parties:
            assert party.pictures is not None
            assert party.sound is not None
            assert len(party.sound.since(began)) / (30 * 50) > 0.95
            assert len(party.pictures.since(began)) / (30 * 30) > 0.85
            assert party.connection.connectionState == "connected"
        here().loss = 0.0
        await it.all_messages()
        it.assert_contents_are_right()


@pytest.mark.parametrize("outage_s", [0.5, 3.0, 10.0, 25.0])
async def test_a_call_is_back_soon_after_an_outage(outage_s: float) -> None:
    async with call(servers=[turn_server()]) as it:
        await it.begin()
        await asyncio.sleep(5)
        here().filter = lambda source, destination, data: False
        await asyncio.sleep(outage_s)
        disconnected = [party.connection.connectionState == "disconnected" for party in it.parties]
        assert disconnected == [outage_s > 6] * 2
        here().filter = None
        assert await it.flows(media=True) < 4.5
        await asyncio.sleep(5)
        began = it.now
        await asyncio.sleep(10)
        for party in it.parties:
            assert party.pictures is not None
            assert party.sound is not None
            assert len(party.pictures.since(began)) >= 298
            assert len(party.sound.since(began)) >= 498
            assert party.connection.connectionState == "connected"
        await it.all_messages()
        it.assert_contents_are_right()


async def test_an_outage_beyond_consent_fails_and_a_restart_repairs_it() -> None:
    async with call(servers=[turn_server()]) as it:
        await it.begin()
        here().filter = lambda source, destination, data: False
        await until(lambda: all(p.connection.connectionState == "failed" for p in it.parties), "failed")
        here().filter = None
        it.a.connection.restartIce()
        assert await it.flows() < 5
        await it.all_messages()
        it.assert_contents_are_right()


async def test_packets_that_overtake_each_other_and_come_twice() -> None:
    async with call(servers=[turn_server()]) as it:
        await it.begin()
        here().reorder, here().duplicate = 0.05, 0.05
        began = it.now
        await asyncio.sleep(20)
        for party in it.parties:
            assert party.pictures is not None
            assert party.sound is not None
            assert len(party.pictures.since(began)) > 590
            assert len(party.sound.since(began)) > 980
        here().reorder = here().duplicate = 0.0
        await it.all_messages()
        it.assert_contents_are_right(refused=["srtp: replayed"])
