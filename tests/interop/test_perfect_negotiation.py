"""Perfect negotiation with pages: both sides change things at once, whenever they like.

Both follow webrtc-pc, section 10.7: offers come from negotiationneeded, collisions are settled by who is
polite, candidates flow all the time, signalling takes its time.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from rtcstack import RTCIceCandidate, RTCPeerConnection, RTCSessionDescription
from tests.interop.conftest import Pair
from tests.interop.media import OUR_CARD, OUR_TONE, THEIR_CARD, THEIR_TONE, Call, together
from tests.support.host import RemotePeer
from tests.support.judge import expect_tone
from tests.support.media import Tone
from tests.support.peers import ChannelOptions
from tests.support.rtcstack_peer import RtcstackPeer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("sound_card")]

ROUNDS = 100
SIGNALLING_S = 0.02
"""What is signalled takes so long at most: the next round may be on its way by then."""

SETTLE_S = 10.0

PLAYS_NOT = ("chromium", "remote")
"""A polite Chromium shows and plays nothing of what it adds in an offer that it takes back, whoever sends it;
two Chromiums are the same. It adds its own when the other side's are there."""


SPARE_TONE = Tone(660)


SOURCES = ((OUR_CARD, THEIR_CARD), (OUR_TONE, THEIR_TONE), (SPARE_TONE, SPARE_TONE))


class Negotiator:
    """Our side of a perfect negotiation.

    Attributes:
        glares: offers that met one of ours.
        offers: made by us.
    """

    def __init__(self, pc: RTCPeerConnection, remote: RemotePeer, *, polite: bool, seed: int) -> None:
        self.glares = 0
        self.offers = 0
        self._pc = pc
        self._remote = remote
        self._polite = polite
        self._random = random.Random(seed)
        self._making = False
        self._ignoring = False
        self._setting_answer = False
        self._out: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._busy = 0
        pc.on("negotiationneeded", self._offer)
        pc.on("icecandidate", self._found)
        self._tasks = [asyncio.create_task(self._take()), asyncio.create_task(self._give())]
        self._handled: set[asyncio.Task[None]] = set()

    async def _offer(self, _event: Any) -> None:
        self._making = True
        try:
            await self._pc.setLocalDescription()
            self.offers += 1
            self._describe()
        finally:
            self._making = False

    def _describe(self) -> None:
        local = self._pc.localDescription
        assert local is not None
        self._out.put_nowait({"description": {"type": str(local.type.value), "sdp": local.sdp}})

    def _found(self, event: Any) -> None:
        candidate = event.candidate
        self._out.put_nowait({"candidate": None if candidate is None else candidate.toJSON()})

    async def _give(self) -> None:
        while True:
            value = await self._out.get()
            await asyncio.sleep(self._random.uniform(0, SIGNALLING_S))
            await self._remote.signal(value)

    async def _take(self) -> None:
        while True:
            value = await self._remote.next_signal()
            await asyncio.sleep(self._random.uniform(0, SIGNALLING_S))
            await self._signal(value)

    async def _signal(self, value: dict[str, Any]) -> None:
        pc = self._pc
        if "description" not in value:
            candidate = value["candidate"]
            try:
                await pc.addIceCandidate(None if candidate is None else RTCIceCandidate(**candidate))
            except Exception:
                if not self._ignoring:
                    raise
            return
        description = RTCSessionDescription(**value["description"])
        is_offer = value["description"]["type"] == "offer"
        ready = not self._making and (pc.signalingState == "stable" or self._setting_answer)
        self.glares += is_offer and not ready
        self._ignoring = not self._polite and is_offer and not ready
        if self._ignoring:
            return
        self._setting_answer = not is_offer
        await pc.setRemoteDescription(description)
        self._setting_answer = False
        if is_offer:
            await pc.setLocalDescription()
            self._describe()

    async def settled(self) -> None:
        """Wait until both sides are stable and have nothing to say; what failed on the way is raised."""
        quiet = 0
        async with asyncio.timeout(SETTLE_S):
            while quiet < 5:
                for task in self._tasks:
                    if task.done():
                        await task
                await asyncio.sleep(0.05)
                theirs = await self._remote.negotiated()
                still = (
                    self._pc.signalingState == "stable" and theirs["state"] == "stable" and self._out.empty()
                )
                quiet = quiet + 1 if still else 0

    async def stop(self) -> None:
        """Signal no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.mark.parametrize("peer_name", ["chromium", "firefox"], indirect=True)
@pytest.mark.parametrize("polite", ["local", "remote"])
@pytest.mark.parametrize("local_offers", [True], indirect=True, ids=[""])
async def test_media_of_both_sides_after_many_collisions(pair: Pair, polite: str) -> None:
    local, remote = pair.local, pair.remote
    assert isinstance(local, RtcstackPeer)
    assert isinstance(remote, RemotePeer)
    pc: RTCPeerConnection = local.pc
    await remote.negotiate(polite=polite == "remote")
    ours = Negotiator(pc, remote, polite=polite == "local", seed=7)
    chance = random.Random(7)
    try:
        calls: list[Call] = []
        for number in range(ROUNDS):
            if number == 0:
                await asyncio.gather(*(one.create_channel(ChannelOptions()) for one in (local, remote)))
            elif number <= len(SOURCES):
                await ours.settled()  # sections that both add at once may be swapped by a collision
                mine, its = SOURCES[number - 1]
                ours_sends = await local.send(mine)
                if (remote.name, polite) == PLAYS_NOT:
                    await ours.settled()
                calls.append(Call(ours_sends, await remote.send(its)))
            else:
                # one is turned on and off all the time; the others must not notice
                direction = "sendrecv" if number & 2 else "recvonly"
                await asyncio.gather(*(one.turn(direction) for one in calls[2].both))
            await asyncio.sleep(chance.uniform(0, 2 * SIGNALLING_S))
        pictures, tones, spare = calls
        for one in spare.both:
            await one.turn("sendrecv")
        await ours.settled()
        theirs = await remote.negotiated()
        assert ours.glares >= ROUNDS // 20, ours.glares
        assert ours.offers >= ROUNDS // 10, ours.offers
        assert theirs["offers"] >= ROUNDS // 10, theirs
        await asyncio.gather(local.connected(), remote.connected())
        for call in calls:
            for one in call.both:
                assert (await one.info())["currentDirection"] == "sendrecv"
        await together(
            pictures.expect_pictures(),
            tones.expect_tones(),
            *(expect_tone(one, SPARE_TONE) for one in spare.both),
        )
        await ours.settled()
    finally:
        await ours.stop()
