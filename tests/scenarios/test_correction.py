"""Calls whose losses are repaired by parity, before they are asked for.

Spec: RFC 5109; RFC 8854.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from rtcstack.rtp.protection import Protection
from tests.scenarios.world import Party, call, here, turn_server

pytestmark = pytest.mark.asyncio


async def stats(party: Party, kind: str) -> dict[str, Any]:
    report = await party.connection.getStats()
    (found,) = [each for each in report.values() if each["type"] == kind and each["kind"] == "video"]
    return dict(found)


async def test_parity_is_counted() -> None:
    async with call(delay_s=0.1, servers=[turn_server()]) as it:
        await it.begin()
        await asyncio.sleep(5)
        quiet = await stats(it.b, "inbound-rtp")
        # nothing is lost: nothing is protected
        assert (quiet["fecPacketsReceived"], quiet["fecBytesReceived"], quiet["fecPacketsDiscarded"]) == (
            0,
            0,
            0,
        )
        assert (await stats(it.a, "outbound-rtp"))["fecPacketsSent"] == 0
        here().loss = 0.05
        began = it.now
        await asyncio.sleep(30)
        sent, received = await stats(it.a, "outbound-rtp"), await stats(it.b, "inbound-rtp")
        # as much as is lost, and something more; not without bounds
        media = sent["packetsSent"] - sent["fecPacketsSent"]
        assert 0.04 < sent["fecPacketsSent"] / media < 0.3
        assert 0.8 * sent["fecPacketsSent"] < received["fecPacketsReceived"] <= sent["fecPacketsSent"]
        assert received["fecBytesReceived"] > 100 * received["fecPacketsReceived"]
        assert received["fecPacketsDiscarded"] < received["fecPacketsReceived"]
        for party in it.parties:
            assert party.pictures is not None
            assert len(party.pictures.since(began)) / (30 * 30) > 0.95
        here().loss = 0.0
        await asyncio.sleep(40)
        ended = (await stats(it.a, "outbound-rtp"))["fecPacketsSent"]
        await asyncio.sleep(5)
        assert (await stats(it.a, "outbound-rtp"))["fecPacketsSent"] == ended
        await it.all_messages()
        it.assert_contents_are_right()


def held_up_s(party: Party, began: float) -> float:
    """For how long pictures did not go on, since then, though they come thirty times a second."""
    assert party.pictures is not None
    moments = [at for at in party.pictures.at if at >= began]
    return sum(max(0.0, b - a - 0.1) for a, b in pairwise(moments))


@pytest.mark.parametrize(("loss", "of_it"), [(0.05, 0.35), (0.01, 0.35)])
async def test_parity_repairs_losses_before_a_round_trip(
    monkeypatch: pytest.MonkeyPatch, loss: float, of_it: float
) -> None:
    async with call(delay_s=0.15, servers=[turn_server()]) as it:
        await it.begin()
        here().loss = loss
        held_up: list[float] = []
        for _ in range(2):
            await asyncio.sleep(15)  # until losses are known, or protection has ended
            began = it.now
            await asyncio.sleep(60)
            held_up.append(sum(held_up_s(party, began) for party in it.parties))
            monkeypatch.setattr(Protection, "on_report", lambda protection, *_: protection.stop())
        here().loss = 0.0
        protected, unprotected = held_up
        assert protected < of_it * unprotected, (protected, unprotected)
        await it.all_messages()
        it.assert_contents_are_right()
