"""What an offer may count on that has not been answered: it may be taken back, or replaced by another.

Spec: RFC 9429, sections 5.2.2, 5.3.2 and 5.7; webrtc-pc, sections 4.4.1.5, 4.4.2 and 4.7.3.
"""

from __future__ import annotations

import asyncio
import re

from rtcstack import MediaStreamTrack, OperationError, RTCPeerConnection
from tests.conformance.helpers import happens, negotiate, pair, rejects, until

ROLLBACK = {"type": "rollback"}
CANDIDATE = "candidate:1 1 udp 2122260223 192.0.2.1 1234 typ host"


def mids(sdp: str) -> list[str]:
    return re.findall("a=mid:(.*)\r\n", sdp)


def credentials(pc: RTCPeerConnection) -> set[str]:
    assert pc.localDescription is not None
    return set(re.findall("a=ice-ufrag:(.*)\r\n", pc.localDescription.sdp))


async def connected(*connections: RTCPeerConnection) -> None:
    for pc in connections:
        await until(lambda pc=pc: pc.connectionState == "connected", pc, "connectionstatechange")


# -- sections -----------------------------------------------------------------------------------------


async def test_a_section_that_a_pending_offer_rejects_is_not_recycled_yet() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        a.addTransceiver("audio")
        a.addTransceiver("audio")
        await negotiate(a, b)
        b.getTransceivers()[0].stop()
        await a.setRemoteDescription(await b.createOffer())
        assert a.getTransceivers()[0].currentDirection == "stopped"
        await a.setRemoteDescription(ROLLBACK)
        await a.setLocalDescription()
        a.addTransceiver("video")
        await a.setLocalDescription()
        assert a.localDescription is not None
        assert mids(a.localDescription.sdp) == ["0", "1", "2"]
        # a peer that has not had the first offer can take the second
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription()
        assert b.localDescription is not None
        await a.setRemoteDescription(b.localDescription)
        a.addTransceiver("video")
        assert mids((await a.createOffer()).sdp) == ["3", "1", "2"]


async def test_an_offer_puts_nothing_on_a_transport_that_only_an_offer_before_it_did() -> None:
    async with pair() as (a, b):
        a.addTransceiver("audio")
        await negotiate(a, b)
        await connected(a, b)
        a.addTransceiver("video")
        await a.setLocalDescription()
        assert a.localDescription is not None
        await b.setRemoteDescription(a.localDescription)
        first = a.getTransceivers()[0].sender.transport
        a.getTransceivers()[0].stop()
        await negotiate(a, b)
        await connected(a, b)
        transports = [pc.getTransceivers()[0].sender.transport for pc in (a, b)]
        assert first not in transports
        for transport in transports:
            assert transport is not None
            assert transport.state == "connected"


async def test_what_was_stopped_before_it_had_a_section_ends_with_the_exchange() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        needed: list[str] = []
        a.onnegotiationneeded = lambda event: needed.append(event.type)
        transceiver = a.addTransceiver("audio")
        transceiver.stop()
        await asyncio.sleep(0.01)
        assert needed == ["negotiationneeded"]
        await negotiate(a, b)
        await asyncio.sleep(0.01)
        assert needed == ["negotiationneeded"]
        assert a.getTransceivers() == []
        assert (transceiver.mid, transceiver.currentDirection) == (None, "stopped")
        assert transceiver.receiver.track.readyState == "ended"


# -- ICE ----------------------------------------------------------------------------------------------


async def test_a_restart_leaves_no_old_credentials_to_a_transport_that_is_new() -> None:
    async with pair() as (a, b):
        needed: list[str] = []
        a.addTransceiver("audio")
        await negotiate(a, b)
        before = credentials(a)
        a.getTransceivers()[0].stop()
        a.addTransceiver("audio")
        a.restartIce()
        a.onnegotiationneeded = lambda event: needed.append(event.type)
        await negotiate(a, b)
        assert before.isdisjoint(credentials(a))
        await asyncio.sleep(0.01)
        assert needed == []
        await connected(a, b)


async def test_an_answer_stays_with_the_generation_of_its_provisional_answer() -> None:
    async with pair() as (a, b):
        a.addTransceiver("audio")
        await negotiate(a, b)
        await connected(a, b)
        before = credentials(b)
        a.restartIce()
        await a.setLocalDescription()
        assert a.localDescription is not None
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription({"type": "pranswer"})
        provisional = credentials(b)
        assert provisional.isdisjoint(before)
        assert b.localDescription is not None
        await a.setRemoteDescription(b.localDescription)
        await b.setLocalDescription()
        assert credentials(b) == provisional
        await a.setRemoteDescription(b.localDescription)
        a.addTransceiver("video")
        await negotiate(a, b)
        await connected(a, b)


async def test_a_candidate_counts_for_a_section_that_only_an_offer_of_ours_stops() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        a.addTransceiver("audio")
        await negotiate(a, b)
        b.getTransceivers()[0].stop()
        await b.setLocalDescription()
        await b.addIceCandidate({"candidate": CANDIDATE, "sdpMid": "0"})
        await rejects(OperationError, b.addIceCandidate({"candidate": "rubbish", "sdpMid": "0"}))
        await b.setLocalDescription(ROLLBACK)
        assert b.remoteDescription is not None
        assert CANDIDATE.split(" ", 1)[1] in b.remoteDescription.sdp


async def test_what_cannot_be_read_is_of_no_consequence_for_a_transceiver_that_has_stopped() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        a.addTransceiver("audio")
        await negotiate(a, b)
        a.getTransceivers()[0].stop()
        await negotiate(a, b)
        await b.addIceCandidate({"candidate": "rubbish", "sdpMid": "0"})


# -- data channels ------------------------------------------------------------------------------------


async def test_a_channel_that_never_had_a_transport_closes_at_once() -> None:
    async with pair() as (a, b):
        for init in ({}, {"negotiated": True, "id": 7}):
            channel = a.createDataChannel("", **init)
            channel.close()
            await happens(channel, "close")
            assert channel.readyState == "closed"
        # its number is free, and nothing of it reaches the peer
        mine, theirs = (pc.createDataChannel("", negotiated=True, id=7) for pc in (a, b))
        a.addTrack(MediaStreamTrack("audio"))
        await negotiate(a, b)
        await happens(mine, "open")
        await asyncio.sleep(0.5)
        assert (mine.readyState, theirs.readyState) == ("open", "open")
