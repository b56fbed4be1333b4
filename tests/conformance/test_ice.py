"""Candidates, states and restarts as the application sees them.

Spec: webrtc-pc, sections 4.3, 4.4.1.6, 4.8 and 5.6; RFC 8838.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rtcstack import (
    InvalidStateError,
    OperationError,
    RTCConfiguration,
    RTCIceCandidate,
    RTCPeerConnection,
)
from rtcstack.ice import IceFeature
from tests.conformance.helpers import happens, negotiate, open_channels, pair, rejects, until
from tests.support.insides import transports_of


async def connected(pc: RTCPeerConnection) -> None:
    await until(lambda: pc.connectionState == "connected", pc, "connectionstatechange")


async def test_candidates_then_empty_then_null() -> None:
    pc = RTCPeerConnection()
    pc.createDataChannel("x")
    events: list[Any] = []
    pc.on("icecandidate", lambda e: events.append(e.candidate))
    complete = asyncio.create_task(
        until(lambda: pc.iceGatheringState == "complete", pc, "icegatheringstatechange")
    )
    assert pc.iceGatheringState == "new"
    await pc.setLocalDescription()
    assert events == [], "a candidate never comes before its description"
    await complete
    await asyncio.sleep(0)
    *candidates, empty, null = events
    assert null is None
    assert empty.candidate == ""
    assert candidates
    assert pc.localDescription is not None
    for candidate in candidates:
        assert candidate.candidate.startswith("candidate:")
        assert candidate.sdpMid == "0"
        assert candidate.sdpMLineIndex == 0
        assert f"a=ice-ufrag:{candidate.usernameFragment}\r\n" in pc.localDescription.sdp
        assert f"a={candidate.candidate}\r\n" in pc.localDescription.sdp
    assert "a=end-of-candidates" in pc.localDescription.sdp
    await pc.close()


async def test_states_on_the_way_to_connected() -> None:
    async with pair() as (a, b):
        seen: list[str] = []
        a.on("iceconnectionstatechange", lambda: seen.append(f"ice {a.iceConnectionState}"))
        a.on("connectionstatechange", lambda: seen.append(f"pc {a.connectionState}"))
        a.createDataChannel("x")
        await negotiate(a, b)
        await connected(a)
        await until(lambda: a.iceConnectionState == "completed", a, "iceconnectionstatechange")
        assert [s for s in seen if s.startswith("ice")] == ["ice checking", "ice connected", "ice completed"]
        assert [s for s in seen if s.startswith("pc")] == ["pc connecting", "pc connected"]


async def test_transport_objects() -> None:
    async with pair() as (a, b):
        await open_channels(a, b)
        assert a.sctp is not None
        assert b.sctp is not None
        assert a.sctp.state == "connected"
        assert a.sctp.maxChannels is not None
        assert a.sctp.maxMessageSize == 262_144
        dtls, ice = a.sctp.transport, a.sctp.transport.iceTransport
        assert dtls.state == "connected"
        assert ice.state in ("connected", "completed")
        assert ice.role == "controlling"
        assert b.sctp.transport.iceTransport.role == "controlled"
        assert ice.component == "rtp"
        assert ice.gatheringState == "complete"
        selected = ice.getSelectedCandidatePair()
        assert selected is not None
        assert selected.local.address in {c.address for c in ice.getLocalCandidates()}
        other = b.sctp.transport.iceTransport
        assert ice.getRemoteParameters() == other.getLocalParameters()
        assert ice.getRemoteCandidates()


async def test_add_ice_candidate_refuses_by_name_and_changes_nothing() -> None:
    async with pair() as (a, b):
        good = RTCIceCandidate("candidate:1 1 udp 1 192.0.2.9 5000 typ host", sdpMid="0")
        await rejects(InvalidStateError, a.addIceCandidate(good))
        a.createDataChannel("x")
        await negotiate(a, b)
        before = a.remoteDescription
        bad: list[Any] = [
            {"candidate": "candidate:nonsense", "sdpMid": "0"},
            {"candidate": good.candidate, "sdpMid": "unknown"},
            {"candidate": good.candidate, "sdpMLineIndex": 7},
            {"candidate": good.candidate, "sdpMid": "0", "usernameFragment": "other"},
        ]
        for candidate in bad:
            await rejects(OperationError, a.addIceCandidate(candidate))
        with pytest.raises(TypeError):
            a.addIceCandidate({"candidate": good.candidate})
        assert a.remoteDescription is not None
        assert before is not None
        assert "192.0.2.9" not in a.remoteDescription.sdp
        await a.addIceCandidate(good)
        assert "192.0.2.9" in a.remoteDescription.sdp
        await a.addIceCandidate(
            {"candidate": good.candidate, "sdpMid": "", "sdpMLineIndex": 0, "usernameFragment": ""}
        )
        await a.addIceCandidate({"candidate": "", "sdpMid": "", "sdpMLineIndex": 0})
        await a.addIceCandidate()
        await connected(a)


async def test_without_trickle_descriptions_carry_everything() -> None:
    a, b = RTCPeerConnection(), RTCPeerConnection()
    a.createDataChannel("x")
    await rejects(InvalidStateError, a.gathered())
    for offerer, answerer in ((a, b), (b, a)):
        await offerer.setLocalDescription()
        description = await offerer.gathered()
        assert description == offerer.localDescription
        assert "a=end-of-candidates" in description.sdp
        await answerer.setRemoteDescription(description)
    await connected(a)
    await connected(b)
    await a.close()
    await b.close()


async def test_where_nothing_is_gathered_gathered_returns_at_once() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        await a.setLocalDescription()  # an offer without sections
        async with asyncio.timeout(1):
            assert await a.gathered() == a.localDescription
        await b.setRemoteDescription(await a.gathered())
        await b.setLocalDescription()
        async with asyncio.timeout(1):
            await b.gathered()
        await a.setRemoteDescription(await b.gathered())
        # and what is added later is waited for
        a.createDataChannel("later")
        await a.setLocalDescription()
        async with asyncio.timeout(5):
            assert "a=candidate" in (await a.gathered()).sdp


async def test_waiting_for_candidates_ends_with_the_connection() -> None:
    pc = RTCPeerConnection({"iceServers": [{"urls": "stun:127.0.0.1:9"}]})
    pc.createDataChannel("x")
    await pc.setLocalDescription()
    waiting = asyncio.ensure_future(pc.gathered())
    await asyncio.sleep(0.05)
    await pc.close()
    await rejects(InvalidStateError, waiting)


@pytest.mark.parametrize("how", ["restartIce", "option"])
async def test_restart(how: str) -> None:
    async with pair() as (a, b):
        mine, theirs = await open_channels(a, b)
        assert a.sctp is not None
        ice = a.sctp.transport.iceTransport
        old = ice.getLocalParameters(), ice.getRemoteParameters()
        if how == "restartIce":
            needed = asyncio.create_task(happens(a, "negotiationneeded"))
            await asyncio.sleep(0)
            a.restartIce()
            await needed
            offer = await a.createOffer()
        else:
            offer = await a.createOffer({"iceRestart": True})
        changed = asyncio.create_task(happens(ice, "selectedcandidatepairchange"))
        await asyncio.sleep(0)
        await a.setLocalDescription(offer)
        assert a.localDescription is not None
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription()
        assert b.localDescription is not None
        mine.send("during the restart")
        await a.setRemoteDescription(b.localDescription)
        assert (await happens(theirs, "message")).data == "during the restart"
        await changed
        new = ice.getLocalParameters(), ice.getRemoteParameters()
        assert new[0] != old[0]
        assert new[1] != old[1]
        theirs.send("after the restart")
        assert (await happens(mine, "message")).data == "after the restart"
        assert a.connectionState == "connected"


async def test_a_restart_that_is_rolled_back() -> None:
    async with pair() as (a, b):
        mine, theirs = await open_channels(a, b)
        assert a.sctp is not None
        ice = a.sctp.transport.iceTransport
        old = ice.getLocalParameters()
        a.remove_all_listeners("icecandidate")  # what belongs to an offer that the peer never sees
        await a.setLocalDescription(await a.createOffer(iceRestart=True))
        await asyncio.sleep(0.05)
        await a.setLocalDescription({"type": "rollback"})
        assert ice.getLocalParameters() == old
        mine.send("still here")
        assert (await happens(theirs, "message")).data == "still here"


async def test_a_restart_takes_the_place_of_one_that_was_not_answered() -> None:
    async with pair() as (a, b):
        mine, theirs = await open_channels(a, b)
        assert a.sctp is not None
        ice = a.sctp.transport.iceTransport
        for pc in (a, b):
            pc.remove_all_listeners("icecandidate")  # they stand in the descriptions
        for _ in range(2):
            a.restartIce()
            await a.setLocalDescription()
            await asyncio.sleep(0.05)
        assert a.localDescription is not None
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription()
        await asyncio.sleep(0.05)
        assert b.localDescription is not None
        changed = asyncio.ensure_future(happens(ice, "selectedcandidatepairchange"))
        await asyncio.sleep(0)
        await a.setRemoteDescription(b.localDescription)
        await changed
        await asyncio.sleep(30)
        assert [a.connectionState, b.connectionState] == ["connected", "connected"]
        mine.send("still here")
        assert (await happens(theirs, "message")).data == "still here"


async def test_relay_policy_without_a_relay_gathers_nothing() -> None:
    async with pair(RTCConfiguration(iceTransportPolicy="relay")) as (a, _):
        a.createDataChannel("x")
        candidates: list[Any] = []
        a.on("icecandidate", lambda e: candidates.append(e.candidate))
        await a.setLocalDescription()
        await until(lambda: a.iceGatheringState == "complete", a, "icegatheringstatechange")
        await asyncio.sleep(0)
        assert [c for c in candidates if c is not None and c.candidate] == []


@pytest.mark.needs(IceFeature.EARLY_CHECKS)
async def test_a_dead_server_is_reported_and_delays_nothing() -> None:
    configuration = RTCConfiguration(iceServers=[{"urls": "stun:127.0.0.1:9"}])
    async with pair(configuration, RTCConfiguration()) as (a, b):
        errors: list[Any] = []
        a.on("icecandidateerror", lambda e: errors.append(e))
        a.createDataChannel("x")
        loop = asyncio.get_running_loop()
        started = loop.time()
        await negotiate(a, b)
        await connected(a)
        assert loop.time() - started < 2, "well before the server's time-out of 5 s"
        assert a.iceGatheringState == "gathering"
        await until(lambda: errors, a, "icecandidateerror")
        assert errors[0].errorCode == 701
        assert errors[0].url == "stun:127.0.0.1:9"


async def test_half_a_megabyte_of_candidates() -> None:
    async with pair() as (a, b):
        a.createDataChannel("x")
        await negotiate(a, b)
        refused = 0
        for i in range(2_000):
            text = f"candidate:{i} 1 udp 1 10.1.{i >> 8}.{i & 255} 9 typ host"
            try:
                await a.addIceCandidate({"candidate": text, "sdpMid": "0"})
            except OperationError:
                refused += 1
        assert refused > 1_500
        await connected(a)


async def test_closing_leaves_no_task_behind() -> None:
    async with pair() as (a, b):
        await open_channels(a, b)
    assert len(asyncio.all_tasks()) == 1


async def test_context_manager() -> None:
    async with RTCPeerConnection() as pc:
        pc.createDataChannel("x")
        await pc.setLocalDescription()
    assert pc.connectionState == "closed"


async def test_statistics() -> None:
    async with pair() as (a, b):
        mine, theirs = await open_channels(a, b)
        mine.send(b"x" * 1000)
        await happens(theirs, "message")
        report = await a.getStats()
        [connection] = report.of_type("peer-connection")
        assert connection["dataChannelsOpened"] == 1
        [channel] = report.of_type("data-channel")
        assert channel["label"] == "test"
        assert (channel["messagesSent"], channel["bytesSent"], channel["messagesReceived"]) == (1, 1000, 0)
        [transport] = report.of_type("transport")
        assert transport["dtlsState"] == "connected"
        assert transport["tlsVersion"] == "FEFD"
        assert transport["dtlsCipher"].startswith(("TLS_ECDHE_ECDSA_WITH_", "TLS_ECDHE_RSA_WITH_"))
        assert transport["iceRole"] == "controlling"
        assert transport["dtlsRole"] in ("client", "server")
        pair_stats = report[transport["selectedCandidatePairId"]]
        assert pair_stats["type"] == "candidate-pair"
        assert pair_stats["nominated"]
        assert pair_stats["state"] == "succeeded"
        assert 0 < pair_stats["currentRoundTripTime"] < 1
        assert report[pair_stats["localCandidateId"]]["type"] == "local-candidate"
        assert report[pair_stats["remoteCandidateId"]]["candidateType"] in ("host", "prflx")
        certificate = report[transport["remoteCertificateId"]]
        assert certificate["fingerprintAlgorithm"] == "sha-256"
        assert certificate["fingerprint"] in (b.localDescription.sdp if b.localDescription else "")
        for stats in report.values():
            assert set(stats) >= {"id", "type", "timestamp"}


async def test_candidates_of_bundled_sections_hide_none_of_each_other() -> None:
    """Before it knows that the answer bundles, an offerer gathers for each section; all are of use."""
    a, b = RTCPeerConnection(), RTCPeerConnection()
    try:
        a.addTransceiver("audio")
        a.addTransceiver("video")
        await a.setLocalDescription()
        assert a.localDescription is not None
        offer = a.localDescription.sdp
        offer = "\r\n".join(line for line in offer.splitlines() if "candidate" not in line) + "\r\n"
        await b.setRemoteDescription({"type": "offer", "sdp": offer})
        number = 0

        async def trickle_to(*mids: str) -> None:
            nonlocal number
            for mid in mids:
                number += 1
                candidate = f"candidate:{number} 1 udp {2_000_000 - number} 192.0.2.{number} 9 typ host"
                await b.addIceCandidate({"candidate": candidate, "sdpMid": mid})

        await trickle_to("0", "1", "1")
        await b.setLocalDescription()
        await trickle_to("0", "1")
        # a new exchange, whose answer has the candidates of the first section only
        assert b.localDescription is not None
        await a.setRemoteDescription(b.localDescription)
        await b.setLocalDescription(await b.createOffer())
        await a.setRemoteDescription(b.localDescription)
        await a.setLocalDescription()
        answer = a.localDescription.sdp.replace("a=end-of-candidates\r\n", "")
        await b.setRemoteDescription({"type": "answer", "sdp": answer})
        await trickle_to("0")
        transport = b.getTransceivers()[0].receiver.transport
        assert transport is not None
        found = {each.address for each in transport.iceTransport.getRemoteCandidates()}
        assert {f"192.0.2.{each}" for each in (1, 4, 6)} <= found
        (entry,) = transports_of(b)
        known = {remote.address for remote in entry.agent.report().remote}
        assert {f"192.0.2.{each}" for each in (1, 4, 6)} <= known
    finally:
        await a.close()
        await b.close()
