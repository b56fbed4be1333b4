"""The states of ICE transports and connections, transition by transition.

Spec: webrtc-pc, sections 4.3.2 to 4.3.4 and 5.6 (RTCIceTransport, its states and roles).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from rtcstack import IceSettings, RTCConfiguration, RTCIceServer, RTCPeerConnection, Settings
from rtcstack.api.icetransport import RTCIceTransport
from rtcstack.ice import IceFeature
from tests.conformance.helpers import FAST, negotiate, open_channels, pair, trickle, until
from tests.support.loops import stand_on

NOWHERE = {"candidate": "candidate:1 1 udp 2130706431 192.0.2.99 9 typ host", "sdpMid": "0"}
"""A candidate where nobody is."""

GIVEN_UP_S = 19.5
"""How long a check is repeated that nobody answers."""


@asynccontextmanager
async def silent_pair(
    configuration: RTCConfiguration | None = None,
) -> AsyncIterator[tuple[RTCPeerConnection, RTCPeerConnection]]:
    """Two connections that have negotiated a channel, and have told each other no candidate."""
    with stand_on("alice"):
        a = RTCPeerConnection(configuration)
    with stand_on("bob"):
        b = RTCPeerConnection(configuration)
    try:
        a.createDataChannel("test")
        for offerer, answerer in ((a, b), (b, a)):
            await offerer.setLocalDescription()
            await answerer.setRemoteDescription(without_candidates(offerer))
        yield a, b
    finally:
        await a.close()
        await b.close()


def without_candidates(pc: RTCPeerConnection) -> dict[str, str]:
    description = pc.localDescription
    assert description is not None
    lines = description.sdp.splitlines()
    text = "".join(f"{line}\r\n" for line in lines if not line.startswith(("a=candidate", "a=end-of")))
    return {"type": str(description.type), "sdp": text}


def ice_of(pc: RTCPeerConnection) -> RTCIceTransport:
    assert pc.sctp is not None
    return pc.sctp.transport.iceTransport


def states_of(pc: RTCPeerConnection) -> tuple[str, str, str]:
    return str(ice_of(pc).state), str(pc.iceConnectionState), str(pc.connectionState)


def watch(pc: RTCPeerConnection) -> list[tuple[str, str, str, str, bool]]:
    """What is told, with all states and whether a pair is selected at that time."""
    seen: list[tuple[str, str, str, str, bool]] = []
    ice = ice_of(pc)

    def on(target: Any, name: str) -> None:
        def handler(_: Any) -> None:
            seen.append((name, *states_of(pc), ice.getSelectedCandidatePair() is not None))

        target.on(name, handler)

    on(ice, "selectedcandidatepairchange")
    on(ice, "statechange")
    on(pc, "iceconnectionstatechange")
    on(pc, "connectionstatechange")
    return seen


# -- new, checking ----------------------------------------------------------------------------------------


@pytest.mark.virtual
async def test_new_until_there_is_a_remote_candidate() -> None:
    async with silent_pair() as (a, b):
        for pc in (a, b):
            assert states_of(pc) == ("new", "new", "new")
        await asyncio.sleep(100)
        for pc in (a, b):
            assert states_of(pc) == ("new", "new", "new")
        seen = watch(a)
        await a.addIceCandidate(NOWHERE)
        await asyncio.sleep(0.01)
        assert seen == [
            ("statechange", "checking", "checking", "connecting", False),
            ("iceconnectionstatechange", "checking", "checking", "connecting", False),
            ("connectionstatechange", "checking", "checking", "connecting", False),
        ]
        assert states_of(b) == ("new", "new", "new")


async def test_candidates_in_the_offer_wait_for_the_answer() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        a.createDataChannel("test")
        await a.setLocalDescription()
        await b.setRemoteDescription(await a.gathered())
        await b.addIceCandidate(NOWHERE)
        await asyncio.sleep(1)
        assert (b.iceConnectionState, b.connectionState) == ("new", "new")
        await b.setLocalDescription()
        assert ice_of(b).getRemoteParameters() == ice_of(a).getLocalParameters()
        await asyncio.sleep(0)
        assert ice_of(b).state == "checking"


async def test_a_peer_reflexive_candidate_is_one() -> None:
    async with silent_pair() as (a, b):
        await b.gathered()
        states: list[str] = []
        ice_of(b).on("statechange", lambda: states.append(str(ice_of(b).state)))
        for candidate in ice_of(b).getLocalCandidates():
            await a.addIceCandidate(candidate)
        await until(lambda: b.connectionState == "connected", b, "connectionstatechange")
        assert states == ["checking", "connected"]
        assert ice_of(b).getRemoteCandidates() == [], "it was not signalled"
        selected = ice_of(b).getSelectedCandidatePair()
        assert selected is not None
        assert selected.remote.type == "prflx"


# -- disconnected, failed ---------------------------------------------------------------------------------


@pytest.mark.needs(IceFeature.TIMERS)
async def test_disconnected_while_candidates_may_still_come() -> None:
    async with silent_pair() as (a, b):
        await a.gathered()
        await b.gathered()
        await a.addIceCandidate(NOWHERE)
        await asyncio.sleep(GIVEN_UP_S - 0.5)
        assert ice_of(a).state == "checking"
        await asyncio.sleep(1)
        assert states_of(a) == ("disconnected", "disconnected", "disconnected")
        seen = watch(a)
        for candidate in ice_of(b).getLocalCandidates():
            await a.addIceCandidate(candidate)
        await until(lambda: a.connectionState == "connected", a, "connectionstatechange")
        assert [state for name, state, *_ in seen if name == "statechange"] == ["checking", "connected"]


@pytest.mark.needs(IceFeature.TIMERS)
async def test_each_candidate_has_its_time() -> None:
    async with silent_pair() as (a, _):
        await a.addIceCandidate(NOWHERE)
        await asyncio.sleep(29)
        assert ice_of(a).state == "disconnected"
        await a.addIceCandidate({**NOWHERE, "candidate": NOWHERE["candidate"].replace("99 9", "98 9")})
        await asyncio.sleep(15)
        assert ice_of(a).state == "checking"
        await asyncio.sleep(16)
        assert states_of(a) == ("failed", "failed", "failed"), "nobody says forever that there are no more"


async def test_failed_when_all_have_failed_and_time_is_over() -> None:
    async with silent_pair() as (a, _):
        await a.gathered()
        await a.addIceCandidate(NOWHERE)
        await a.addIceCandidate()
        await asyncio.sleep(GIVEN_UP_S + 1)
        assert ice_of(a).state == "checking", "the peer's own checks may still come (RFC 8863)"
        await asyncio.sleep(10)
        assert states_of(a) == ("failed", "failed", "failed")


@pytest.mark.needs(IceFeature.TIMERS)
async def test_a_peer_without_any_candidate() -> None:
    async with silent_pair() as (a, _):
        await a.gathered()
        await a.addIceCandidate()
        await asyncio.sleep(29)
        assert ice_of(a).state == "new"
        await asyncio.sleep(2)
        assert states_of(a) == ("failed", "failed", "failed")


async def test_without_local_candidates_it_fails_at_once() -> None:
    async with silent_pair(RTCConfiguration(iceTransportPolicy="relay")) as (a, _):
        await a.gathered()
        await asyncio.sleep(10)
        assert ice_of(a).state == "new", "not before the peer has said that it has no more"
        await a.addIceCandidate()
        await asyncio.sleep(0.1)
        assert states_of(a) == ("failed", "failed", "failed")


@pytest.mark.needs(IceFeature.TIMERS)
async def test_silence_and_the_end_of_consent() -> None:
    async with pair(RTCConfiguration(settings=FAST)) as (a, b):
        await open_channels(a, b)
        states: list[str] = []
        ice = ice_of(a)
        ice.on("statechange", lambda: states.append(str(ice.state)))
        await until(lambda: ice.state == "completed", ice, "statechange")
        await b.close()
        await until(lambda: ice.state == "failed", ice, "statechange")
        assert states[-2:] == ["disconnected", "failed"]
        assert ice.getSelectedCandidatePair() is not None


# -- the selected pair ------------------------------------------------------------------------------------


async def test_the_pair_and_the_state_change_in_one_task() -> None:
    async with silent_pair() as (a, b):
        seen = watch(a)
        trickle(a, b)
        for pc, other in ((a, b), (b, a)):
            await pc.gathered()
            for candidate in ice_of(pc).getLocalCandidates():
                await other.addIceCandidate(candidate)
        await until(lambda: a.connectionState == "connected", a, "connectionstatechange")
        first = [name for name, *_ in seen].index("selectedcandidatepairchange")
        assert seen[first : first + 3] == [
            ("selectedcandidatepairchange", "connected", "connected", "connecting", True),
            ("statechange", "connected", "connected", "connecting", True),
            ("iceconnectionstatechange", "connected", "connected", "connecting", True),
        ]


async def test_what_the_transport_shows_is_what_was_told() -> None:
    async with pair() as (a, b):
        told: list[Any] = []
        a.on("icecandidate", lambda e: told.append(e.candidate))
        await open_channels(a, b)
        ice = ice_of(a)
        await until(lambda: ice.gatheringState == "complete", ice, "gatheringstatechange")
        expected = [each for each in told if each is not None and each.candidate]
        local = ice.getLocalCandidates()
        assert len(local) == len(expected)
        assert all(one is other for one, other in zip(local, expected, strict=True))
        assert [each.sdpMLineIndex for each in local] == [0] * len(local)
        selected = ice.getSelectedCandidatePair()
        assert selected is not None
        assert selected is ice.getSelectedCandidatePair()
        assert any(selected.local is each for each in local)
        remote = ice.getRemoteCandidates()
        parameters = ice.getRemoteParameters()
        assert parameters is not None
        assert {each.usernameFragment for each in remote} == {parameters.usernameFragment}


# -- roles and parameters ---------------------------------------------------------------------------------


async def test_roles_and_parameters_are_known_with_the_description() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        a.createDataChannel("test")
        await a.setLocalDescription()
        assert ice_of(a).role == "controlling"
        assert ice_of(a).getLocalParameters() is not None
        assert ice_of(a).getRemoteParameters() is None
        assert a.localDescription is not None
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription()
        assert ice_of(b).role == "controlled"
        assert ice_of(b).getRemoteParameters() == ice_of(a).getLocalParameters()
        assert b.localDescription is not None
        await a.setRemoteDescription(b.localDescription)
        assert ice_of(a).getRemoteParameters() == ice_of(b).getLocalParameters()


async def test_who_is_offered_a_lite_peer_is_controlling() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        a.createDataChannel("test")
        await a.setLocalDescription()
        assert a.localDescription is not None
        text = a.localDescription.sdp.replace("a=group", "a=ice-lite\r\na=group", 1)
        await b.setRemoteDescription({"type": "offer", "sdp": text})
        await b.setLocalDescription()
        assert ice_of(b).role == "controlling"


async def test_a_role_that_is_known_is_not_changed_by_who_offers() -> None:
    async with pair() as (a, b):
        await open_channels(a, b)
        await negotiate(b, a)
        assert (ice_of(a).role, ice_of(b).role) == ("controlling", "controlled")


# -- restarts ---------------------------------------------------------------------------------------------


async def completed(pc: RTCPeerConnection) -> None:
    await until(lambda: ice_of(pc).state == "completed", ice_of(pc), "statechange")


async def test_a_restart_of_what_is_completed_begins_as_connected() -> None:
    async with pair() as (a, b):
        await open_channels(a, b)
        await completed(a)
        await completed(b)
        seen: list[str] = []
        ice_of(a).on("statechange", lambda: seen.append(f"a {ice_of(a).state}"))
        ice_of(b).on("statechange", lambda: seen.append(f"b {ice_of(b).state}"))
        await a.setLocalDescription(await a.createOffer(iceRestart=True))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert seen == ["a connected"]
        assert a.localDescription is not None
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription()
        assert b.localDescription is not None
        await a.setRemoteDescription(b.localDescription)
        await completed(a)
        await completed(b)
        assert sorted(seen) == ["a completed", "a connected", "b completed", "b connected"]


async def test_a_restart_that_is_taken_back_leaves_it_completed() -> None:
    async with pair() as (a, b):
        await open_channels(a, b)
        await completed(a)
        a.remove_all_listeners("icecandidate")
        await a.setLocalDescription(await a.createOffer(iceRestart=True))
        await asyncio.sleep(0.05)
        assert ice_of(a).state == "connected"
        await a.setLocalDescription({"type": "rollback"})
        await asyncio.sleep(0.05)
        assert states_of(a) == ("completed", "completed", "connected")


async def test_a_restart_of_what_has_failed_is_checking_until_it_is_connected() -> None:
    # a peer that is there, and whose candidates were wrong
    async with silent_pair(RTCConfiguration(settings=Settings(ice_failed_timeout_s=1.0))) as (a, b):
        for pc in (a, b):
            await pc.gathered()
            await pc.addIceCandidate(NOWHERE)
            await pc.addIceCandidate()
        await asyncio.sleep(2)
        assert states_of(a) == ("failed", "failed", "failed")
        assert states_of(b) == ("failed", "failed", "failed")
        seen: list[str] = []
        ice_of(a).on("statechange", lambda: seen.append(str(ice_of(a).state)))
        trickle(a, b)
        a.restartIce()
        await negotiate(a, b)
        await until(lambda: a.connectionState == "connected", a, "connectionstatechange")
        assert seen[:2] == ["checking", "connected"]


# -- the end ----------------------------------------------------------------------------------------------


async def test_after_close_everything_is_closed_and_nothing_is_told() -> None:
    async with pair() as (a, b):
        await open_channels(a, b)
        ice = ice_of(a)
        seen = watch(a)
        closing = a.close()
        assert ice.state == "closed"
        assert ice.getSelectedCandidatePair() is None
        assert (a.iceConnectionState, a.connectionState) == ("closed", "closed")
        await closing
        await asyncio.sleep(0.1)
        assert seen == []


async def test_a_transport_that_bundling_removes_is_closed() -> None:
    async with pair() as (a, b):
        a.addTransceiver("audio")
        a.addTransceiver("video")
        await a.setLocalDescription()
        first, second = (each.sender.transport for each in a.getTransceivers())
        assert first is not None
        assert second is not None
        assert first is not second
        assert [each.iceTransport.role for each in (first, second)] == ["controlling"] * 2
        told: list[str] = []
        second.iceTransport.on("statechange", lambda: told.append(f"ice {second.iceTransport.state}"))
        second.on("statechange", lambda: told.append(f"dtls {second.state}"))
        assert a.localDescription is not None
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription()
        assert b.localDescription is not None
        await a.setRemoteDescription(b.localDescription)
        await asyncio.sleep(0)
        assert sorted(told) == ["dtls closed", "ice closed"]
        assert a.getTransceivers()[1].sender.transport is first
        await until(lambda: a.connectionState == "connected", a, "connectionstatechange")
        assert a.iceConnectionState in ("connected", "completed")


# -- servers that fail ------------------------------------------------------------------------------------


async def test_a_server_that_nobody_reaches_is_told_once() -> None:
    async with RTCPeerConnection({"iceServers": [{"urls": "stun:192.0.2.99"}]}) as pc:
        errors: list[Any] = []
        pc.on("icecandidateerror", lambda e: errors.append(e))
        pc.createDataChannel("test")
        await pc.setLocalDescription()
        await pc.gathered()
        [error] = errors
        assert (error.url, error.errorCode) == ("stun:192.0.2.99", 701)
        assert error.errorText
        assert (error.address is None) is (error.port is None)


@pytest.mark.needs(IceFeature.HIDDEN_ADDRESSES)
async def test_an_address_that_is_not_told_is_not_in_errors() -> None:
    settings = Settings(ice=IceSettings(no_host=True))
    configuration = RTCConfiguration(iceServers=[RTCIceServer("stun:192.0.2.99")], settings=settings)
    async with RTCPeerConnection(configuration) as pc:
        errors: list[Any] = []
        pc.on("icecandidateerror", lambda e: errors.append(e))
        pc.createDataChannel("test")
        await pc.setLocalDescription()
        await pc.gathered()
        assert [(each.address, each.port) for each in errors] == [(None, None)]


def ufrags(text: str) -> list[str]:
    return re.findall("a=ice-ufrag:(.*)\r", text)


async def test_a_restart_that_is_taken_back_leaves_what_was_agreed_last() -> None:
    """Also where the offer that was answered had restarted ICE before there was anything."""
    async with pair() as (a, b):
        for pc in (a, b):
            pc.remove_all_listeners("icecandidate")
        a.addTransceiver("audio")
        await a.setLocalDescription()
        await a.setLocalDescription(await a.createOffer(iceRestart=True))
        await negotiate(a, b)
        assert a.localDescription is not None
        agreed = ufrags(a.localDescription.sdp)
        await a.setLocalDescription(await a.createOffer(iceRestart=True))
        assert ufrags(a.localDescription.sdp) != agreed
        await a.setLocalDescription({"type": "rollback"})
        assert ufrags(a.localDescription.sdp) == agreed
        await negotiate(b, a)
        assert ufrags(a.localDescription.sdp) == agreed


@pytest.mark.parametrize("pool", [0, 3])
async def test_gathering_of_many_transports_is_one_sum(pool: int) -> None:
    configuration = {"bundlePolicy": "max-compat", "iceCandidatePoolSize": pool}
    async with RTCPeerConnection(configuration) as pc:
        for _ in range(3):
            pc.addTransceiver("audio")
        states: list[str] = []
        pc.onicegatheringstatechange = lambda: states.append(str(pc.iceGatheringState))
        await pc.setLocalDescription()
        await pc.gathered()
        assert states == ["gathering", "complete"]


async def test_a_restart_before_anything_has_connected_connects() -> None:
    async with pair() as (a, b):
        trickle(a, b)
        states: list[str] = []
        a.oniceconnectionstatechange = lambda: states.append(str(a.iceConnectionState))
        a.createDataChannel("x")
        await negotiate(a, b)
        a.restartIce()
        await negotiate(a, b)
        for pc in (a, b):
            await until(lambda pc=pc: pc.connectionState == "connected", pc, "connectionstatechange")
        assert states[0] == "checking"
        assert set(states[1:]) <= {"connected", "completed", "checking"}
