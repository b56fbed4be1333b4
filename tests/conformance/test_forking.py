"""One offer that several peers answer: provisional answers, and the final one, from whomever.

Spec: RFC 9429, sections 3.8.1 (sequential forking), 5.10 and 5.11 (what follows from other ICE credentials,
certificates and tls-ids in "have-remote-pranswer"); RFC 8842, section 3.1.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from rtcstack import InvalidAccessError, RTCPeerConnection, ToneSource
from rtcstack.api.dtlstransport import RTCDtlsTransport
from rtcstack.api.icetransport import RTCIceTransport
from rtcstack.ice import IceFeature
from tests.conformance.helpers import negotiate, rejects, until
from tests.conformance.media import dominant_hz, receiver
from tests.support.loops import stand_on


@dataclass
class Fork:
    """A caller, and who may answer."""

    caller: RTCPeerConnection
    callees: list[RTCPeerConnection]
    answers: list[str]

    async def take(self, number: int, kind: str) -> None:
        """Set an answer."""
        await self.caller.setRemoteDescription({"type": kind, "sdp": self.answers[number]})


@asynccontextmanager
async def fork(*, media: bool = False, channel: bool = False, callees: int = 2) -> AsyncIterator[Fork]:
    """An offer that all have answered, with candidates."""
    async with AsyncExitStack() as stack:
        with stand_on("caller"):
            caller = await stack.enter_async_context(RTCPeerConnection())
        if media:
            caller.addTrack(ToneSource(440).track())
        if channel:
            caller.createDataChannel("chat", negotiated=True, id=1)
        await caller.setLocalDescription()
        offer = await caller.gathered()
        others, answers = [], []
        for number in range(callees):
            with stand_on(f"callee{number}"):
                callee = await stack.enter_async_context(RTCPeerConnection())
            if media:
                callee.addTrack(ToneSource(880 + 440 * number).track())
            await callee.setRemoteDescription(offer)
            await callee.setLocalDescription()
            others.append(callee)
            answers.append((await callee.gathered()).sdp)
        yield Fork(caller, others, answers)


async def connected(*ends: RTCPeerConnection) -> None:
    for pc in ends:
        await until(partial(is_connected, pc), pc, "connectionstatechange", 30)


def is_connected(pc: RTCPeerConnection) -> bool:
    return pc.connectionState == "connected"


def dtls_of(pc: RTCPeerConnection) -> RTCDtlsTransport:
    transport = pc.getTransceivers()[0].sender.transport
    assert transport is not None
    return transport


async def state_of(ice: RTCIceTransport, state: str) -> None:
    await until(lambda: ice.state == state, ice, "statechange", 90)


@pytest.mark.needs(IceFeature.FORKING)
async def test_the_final_answer_of_another_peer_is_followed() -> None:
    async with fork(media=True) as it:
        first, second = it.callees
        await it.take(0, "pranswer")
        await connected(it.caller, first)
        assert await dominant_hz(receiver(it.caller, "audio").track) == pytest.approx(880, abs=5)
        shown = dtls_of(it.caller)
        [before] = shown.getRemoteCertificates()
        seen: list[tuple[str, str]] = []
        shown.on("statechange", lambda: seen.append(("dtls", shown.state)))
        shown.iceTransport.on("statechange", lambda: seen.append(("ice", shown.iceTransport.state)))
        await it.take(1, "answer")
        assert it.caller.signalingState == "stable"
        await connected(second)
        await until(lambda: shown.state == "connected", shown, "statechange")
        assert dtls_of(it.caller) is shown
        assert shown.getRemoteCertificates() != [before]
        assert set(seen[:2]) == {("dtls", "new"), ("ice", "checking")}
        assert ("dtls", "connecting") in seen
        await asyncio.sleep(1)
        assert await dominant_hz(receiver(it.caller, "audio").track) == pytest.approx(1320, abs=5)
        assert await dominant_hz(receiver(second, "audio").track) == pytest.approx(440, abs=5)
        parameters = shown.iceTransport.getRemoteParameters()
        assert parameters is not None
        assert f"a=ice-ufrag:{parameters.usernameFragment}\r\n" in it.answers[1]
        selected = shown.iceTransport.getSelectedCandidatePair()
        assert selected is not None
        assert selected.remote.candidate in it.answers[1]
        # it goes on as any other call
        await negotiate(it.caller, second)
        it.caller.restartIce()
        await negotiate_gathered(it.caller, second)
        await connected(it.caller, second)


async def negotiate_gathered(a: RTCPeerConnection, b: RTCPeerConnection) -> None:
    for offerer, answerer in ((a, b), (b, a)):
        if offerer is a:
            await offerer.setLocalDescription()
        await answerer.setRemoteDescription(await offerer.gathered())
        if answerer is b:
            await answerer.setLocalDescription()


@pytest.mark.needs(IceFeature.FORKING)
async def test_the_one_before_is_heard_no_more() -> None:
    """It has our password still, and our addresses."""
    async with fork(media=True) as it:
        await it.take(0, "pranswer")
        await connected(it.caller, it.callees[0])
        await it.take(1, "answer")
        await connected(it.callees[1])
        await state_of(dtls_of(it.callees[0]).iceTransport, "failed")
        ice = dtls_of(it.caller).iceTransport
        assert ice.state == "completed"
        selected = ice.getSelectedCandidatePair()
        assert selected is not None
        assert selected.remote.candidate in it.answers[1]
        stats = await it.caller.getStats()
        assert len(list(stats.of_type("remote-candidate"))) == it.answers[1].count("a=candidate")


@pytest.mark.needs(IceFeature.FORKING)
@pytest.mark.parametrize("wait_s", [0.0, 0.01, 0.03, 0.1, 5.0])
async def test_an_answer_that_comes_while_the_first_connects(wait_s: float) -> None:
    async with fork(channel=True, callees=4) as it:
        for number in range(3):
            await it.take(number, "pranswer")
            await asyncio.sleep(wait_s)
        await it.take(3, "answer")
        await connected(it.caller, it.callees[3])


async def test_back_to_the_one_that_answered_first() -> None:
    async with fork(media=True) as it:
        await it.take(0, "pranswer")
        await connected(it.caller, it.callees[0])
        await it.take(1, "pranswer")
        await asyncio.sleep(3)
        await it.take(0, "answer")
        await state_of(dtls_of(it.caller).iceTransport, "completed")


async def test_the_same_peer_s_final_answer_changes_nothing() -> None:
    async with fork(media=True) as it:
        await it.take(0, "pranswer")
        await connected(it.caller, it.callees[0])
        seen: list[str] = []
        shown = dtls_of(it.caller)
        shown.on("statechange", lambda: seen.append("dtls"))
        shown.iceTransport.on("selectedcandidatepairchange", lambda: seen.append("pair"))
        await it.take(0, "answer")
        await asyncio.sleep(1)
        assert seen == []
        assert it.caller.connectionState == "connected"


async def test_another_certificate_needs_other_credentials() -> None:
    async with fork(media=True) as it:
        await it.take(0, "pranswer")
        await connected(it.caller, it.callees[0])
        mixed = replaced(it.answers[0], it.answers[1], "a=fingerprint:")
        error = await rejects(
            InvalidAccessError, it.caller.setRemoteDescription({"type": "answer", "sdp": mixed})
        )
        assert "certificate" in str(error)
        assert it.caller.signalingState == "have-remote-pranswer"
        await it.take(0, "answer")
        assert it.caller.connectionState == "connected"


def replaced(sdp: str, other: str, start: str) -> str:
    """A description with another one's line."""
    line = next(each for each in other.splitlines() if each.startswith(start))
    return "".join(f"{line if each.startswith(start) else each}\r\n" for each in sdp.splitlines())


@pytest.mark.needs(IceFeature.FORKING)
async def test_channels_to_the_one_before_end_with_an_error() -> None:
    """Their association cannot go on with somebody else."""
    async with fork(channel=True) as it:
        mine = it.caller.sctp
        assert mine is not None
        await it.take(0, "pranswer")
        await connected(it.caller, it.callees[0])
        await until(lambda: mine.state == "connected", mine, "statechange")
        told: list[Any] = []
        mine.on("statechange", lambda: told.append(mine.state))
        await it.take(1, "answer")
        await connected(it.caller, it.callees[1])
        assert told == ["closed"]


@pytest.mark.parametrize("offers", ["caller", "callee"])
async def test_a_restart_that_leads_to_another_peer(offers: str) -> None:
    """With a call that is up, a new certificate is a new DTLS connection as well."""
    async with fork(media=True, callees=1) as it:
        await it.take(0, "answer")
        await connected(it.caller, it.callees[0])
        shown = dtls_of(it.caller)
        before = shown.getRemoteCertificates()
        with stand_on("another"):
            other = RTCPeerConnection()
        async with other:
            other.addTrack(ToneSource(1320).track())
            if offers == "caller":
                it.caller.restartIce()
                await negotiate_gathered(it.caller, other)
            else:
                await negotiate_gathered(other, it.caller)
            await connected(other)
            await until(lambda: shown.getRemoteCertificates() not in ([], before), shown, "statechange")
            await asyncio.sleep(1)
            assert await dominant_hz(receiver(it.caller, "audio").track) == pytest.approx(1320, abs=5)
            assert await dominant_hz(receiver(other, "audio").track) == pytest.approx(440, abs=5)
