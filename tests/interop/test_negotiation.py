"""Negotiating again with the other stacks: renegotiation and ICE restarts, from either side."""

from __future__ import annotations

import re

import pytest

from tests.interop.conftest import Pair
from tests.interop.media import OUR_CARD, OUR_TONE
from tests.interop.test_data_channels import exchange
from tests.support.media import Transceiver
from tests.support.peers import Channel, ChannelOptions, Description

pytestmark = pytest.mark.asyncio(loop_scope="session")

RESTARTS = ["chromium", "firefox", "wrtc", "rtcstack"]
"""Peers that know ICE restarts; aiortc and libdatachannel do not."""


def ufrag(description: Description) -> str:
    """The description's username fragment."""
    match = re.search(r"a=ice-ufrag:(\S+)", description["sdp"])
    assert match is not None
    return match[1]


async def first_channel(pair: Pair) -> tuple[Channel, Channel]:
    """A channel at both ends, not yet connected: (at the offerer, at the answerer) by label."""
    created = await pair.offerer.create_channel(ChannelOptions("kept", negotiated=True, id=7))
    other = await pair.answerer.create_channel(ChannelOptions("kept", negotiated=True, id=7))
    return (created, other) if pair.offerer is pair.local else (other, created)


@pytest.mark.parametrize("peer_name", ["chromium", "firefox", "wrtc", "aiortc", "rtcstack"], indirect=True)
@pytest.mark.parametrize("again", ["local", "remote"])
async def test_renegotiation_keeps_the_channels(pair: Pair, again: str) -> None:
    ours, theirs = await first_channel(pair)
    async with pair.connect() as (offer, answer):
        await exchange(ours, theirs)
        by = pair.local if again == "local" else pair.remote
        async with pair.reconnect(by=by) as (second_offer, second_answer):
            assert {ufrag(second_offer), ufrag(second_answer)} == {ufrag(offer), ufrag(answer)}
            await exchange(ours, theirs)


@pytest.mark.parametrize("peer_name", RESTARTS, indirect=True)
@pytest.mark.parametrize("again", ["local", "remote"])
async def test_an_ice_restart_keeps_the_channels(pair: Pair, again: str) -> None:
    ours, theirs = await first_channel(pair)
    async with pair.connect() as (offer, answer):
        await exchange(ours, theirs)
        by = pair.local if again == "local" else pair.remote
        async with pair.reconnect(by=by, restart=True) as (second_offer, second_answer):
            assert not {ufrag(second_offer), ufrag(second_answer)} & {ufrag(offer), ufrag(answer)}
            await exchange(ours, theirs)
            sent = await ours.send_hashed(500_000, 16384)
            assert await theirs.receive_hashed(500_000) == sent


@pytest.mark.parametrize("peer_name", RESTARTS, indirect=True)
async def test_restarts_one_after_the_other(pair: Pair) -> None:
    ours, theirs = await first_channel(pair)
    async with pair.connect():
        await exchange(ours, theirs)
        for by in (pair.local, pair.remote, pair.local):
            async with pair.reconnect(by=by, restart=True):
                await exchange(ours, theirs)


GLARES = 100


@pytest.mark.parametrize("peer_name", ["chromium", "firefox"], indirect=True)
@pytest.mark.parametrize("polite", ["local", "remote"])
@pytest.mark.parametrize("local_offers", [True], indirect=True, ids=[""])
async def test_a_hundred_rounds_of_glare(pair: Pair, polite: str) -> None:
    """Perfect negotiation: both offer, the polite side takes its offer back, answers, and offers again.

    What both add is of one kind: of different ones two Chromiums cannot agree either, for then the
    extension numbers of one are refused by the other.
    """
    yielding, insisting = (pair.local, pair.remote) if polite == "local" else (pair.remote, pair.local)
    for one in (pair.local, pair.remote):
        await one.create_channel(ChannelOptions())
    turned: list[Transceiver] = []
    for number in range(GLARES):
        for one in (pair.local, pair.remote):
            if number in (1, 2, 3):
                turned.append(await one.send(OUR_TONE if number == 1 else OUR_CARD))
            elif number > 3:
                await turned[number % len(turned)].turn("sendrecv" if number & 16 else "inactive")
        offer = await insisting.create_offer()
        taken_back = await yielding.create_offer()
        assert taken_back["type"] == "offer"
        await insisting.accept_answer(await yielding.accept_offer(offer))
        await yielding.accept_answer(await insisting.accept_offer(await yielding.create_offer()))
