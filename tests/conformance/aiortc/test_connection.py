"""RTCPeerConnection under aiortc's name: states, descriptions, candidates, the end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rtcstack.compat.aiortc import (
    AudioStreamTrack,
    InvalidAccessError,
    InvalidStateError,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCIceCandidate,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
    VideoStreamTrack,
)
from rtcstack.compat.aiortc.exceptions import InternalError, OperationError
from rtcstack.compat.aiortc.sdp import SessionDescription, candidate_from_sdp
from rtcstack.testing import run
from tests.conformance.aiortc.helpers import States, happens, negotiate, pair, until


async def test_the_states_of_a_call() -> None:
    async with pair() as (a, b):
        states, theirs = States(a), States(b)
        a.createDataChannel("x")
        a.addTransceiver("audio")
        await negotiate(a, b)
        await until(lambda: a.connectionState == b.connectionState == "connected")
        await a.close()
        await until(lambda: b.connectionState == "closed")
        for each in (states, theirs):
            assert each.of["iceConnectionState"] == ["new", "checking", "completed", "closed"]
            assert each.of["connectionState"] == ["new", "connecting", "connected", "closed"]
            assert each.of["iceGatheringState"] == ["new", "gathering", "complete"]
        assert states.of["signalingState"] == ["stable", "have-local-offer", "stable", "closed"]
        assert theirs.of["signalingState"] == ["stable", "have-remote-offer", "stable", "closed"]


async def test_state_handlers_get_nothing_and_coroutines_are_run() -> None:
    async with pair() as (a, _):
        called: list[tuple[Any, ...]] = []

        @a.on("signalingstatechange")
        async def changed(*arguments: Any) -> None:
            await asyncio.sleep(0)
            called.append(arguments)

        a.createDataChannel("x")
        await a.setLocalDescription(await a.createOffer())
        assert called == [()]


async def test_a_local_description_is_complete_when_it_is_set() -> None:
    async with pair() as (a, _):
        a.createDataChannel("x")
        await a.setLocalDescription(await a.createOffer())
        assert a.iceGatheringState == "complete"
        assert a.localDescription is not None
        assert "a=candidate:" in a.localDescription.sdp
        assert "a=end-of-candidates" in a.localDescription.sdp


async def test_a_local_description_without_sections_is_set_at_once() -> None:
    async with pair() as (a, _):
        await asyncio.wait_for(a.setLocalDescription(await a.createOffer()), 0.01)
        assert a.signalingState == "have-local-offer"
        assert a.iceGatheringState == "new"


async def test_a_local_description_is_made_where_none_is_given() -> None:
    async with pair() as (a, b):
        a.createDataChannel("x")
        await a.setLocalDescription()
        assert a.localDescription is not None
        assert a.localDescription.type == "offer"
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription()
        assert b.localDescription is not None
        assert b.localDescription.type == "answer"


@pytest.mark.parametrize(
    ("policy", "groups"),
    [
        (RTCBundlePolicy.MAX_BUNDLE, [0, 0, 0, 0]),
        (RTCBundlePolicy.BALANCED, [0, 0, 1, 2]),
        (RTCBundlePolicy.MAX_COMPAT, [0, 1, 2, 3]),
    ],
)
async def test_transports_are_there_before_negotiation(policy: RTCBundlePolicy, groups: list[int]) -> None:
    async with pair(policy) as (a, b):
        assert a.sctp is None
        for kind in ("audio", "audio", "video"):
            a.addTransceiver(kind)
        a.createDataChannel("x")
        assert a.sctp is not None

        def transports(pc: RTCPeerConnection) -> list[Any]:
            assert pc.sctp is not None
            assert [each.transport for each in pc.getSenders()] == [
                each.transport for each in pc.getReceivers()
            ]
            return [each.transport for each in pc.getSenders()] + [pc.sctp.transport]

        before = transports(a)
        assert [before.index(each) for each in before] == [
            before.index(before[groups.index(g)]) for g in groups
        ]
        assert len(set(before)) == max(groups) + 1
        assert all(each.state == each.transport.state == "new" for each in before)
        await negotiate(a, b)
        for pc in (a, b):
            assert len(set(transports(pc))) == 1
        await until(lambda: transports(a)[0].state == transports(b)[0].state == "connected")
        assert transports(a)[0] is before[0]
        assert transports(a)[0].transport.state == "completed"
        assert [transports(pc)[0].transport.role for pc in (a, b)] == ["controlling", "controlled"]
        await until(lambda: a.sctp.state == "connected")
        fingerprints = transports(a)[0].getLocalParameters().fingerprints
        assert a.localDescription is not None
        assert fingerprints[0].value in a.localDescription.sdp
        assert all(each.state == "closed" for each in set(before) - set(transports(a)))


async def test_early_candidates_are_kept() -> None:
    async with pair() as (a, b):
        a.createDataChannel("x")
        await a.setLocalDescription(await a.createOffer())
        assert a.localDescription is not None
        whole = a.localDescription.sdp
        lines = [line for line in whole.split("\r\n") if line.startswith("a=candidate:")]
        for line in lines:
            candidate = candidate_from_sdp(line.removeprefix("a=candidate:"))
            candidate.sdpMid = "0"
            await b.addIceCandidate(candidate)
        await b.addIceCandidate(None)
        bare = "\r\n".join(line for line in whole.split("\r\n") if "candidate" not in line)
        await b.setRemoteDescription(RTCSessionDescription(bare, "offer"))
        assert b.remoteDescription is not None
        assert b.remoteDescription.sdp.count("a=candidate:") == len(lines)
        await b.setLocalDescription(await b.createAnswer())
        assert b.localDescription is not None
        await a.setRemoteDescription(b.localDescription)
        await until(lambda: a.connectionState == "connected")


async def test_a_candidate_of_no_section() -> None:
    async with pair() as (a, b):
        a.createDataChannel("x")
        await negotiate(a, b)
        candidate = RTCIceCandidate(
            component=1, foundation="1", ip="192.0.2.1", port=9, priority=1, protocol="udp", type="host"
        )
        with pytest.raises(ValueError, match="sdpMid or sdpMLineIndex"):
            await a.addIceCandidate(candidate)
        candidate.sdpMid = "nowhere"
        await a.addIceCandidate(candidate)  # is of no use, and no failure


async def test_another_mid_is_taken() -> None:
    async with pair() as (a, b):
        a.addTrack(AudioStreamTrack())
        a.createDataChannel("x")
        offer = await a.createOffer()
        sdp = offer.sdp.replace("a=mid:0", "a=mid:sound").replace("BUNDLE 0 1", "BUNDLE sound 1")
        await a.setLocalDescription(RTCSessionDescription(sdp, "offer"))
        assert a.getTransceivers()[0].mid == "sound"
        assert a.localDescription is not None
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription(await b.createAnswer())
        assert b.localDescription is not None
        await a.setRemoteDescription(b.localDescription)
        await until(lambda: a.connectionState == "connected")
        assert b.getTransceivers()[0].mid == "sound"


async def test_codecs_that_were_struck_from_an_offer_are_not_used() -> None:
    async with pair() as (a, b):
        sender = a.addTrack(VideoStreamTrack())
        offer = SessionDescription.parse((await a.createOffer()).sdp)
        section = offer.media[0]
        kept = [each for each in section.rtp.codecs if each.name in ("H264",)][:1]
        section.rtp.codecs, section.fmt = kept, [each.payloadType for each in kept]
        await a.setLocalDescription(RTCSessionDescription(str(offer), "offer"))
        assert a.localDescription is not None
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription(await b.createAnswer())
        assert b.localDescription is not None
        assert "VP8" not in b.localDescription.sdp
        await a.setRemoteDescription(b.localDescription)
        frame = await asyncio.wait_for(b.getReceivers()[0].track.recv(), 20)  # type: ignore[union-attr]
        assert (frame.width, frame.height) == (640, 480)  # type: ignore[union-attr]
        assert sender.track is not None


@pytest.mark.parametrize("line", ["a=ice-pwd:", "a=ice-ufrag:", "a=fingerprint:sha-256 "])
async def test_what_says_something_else_of_a_transport_is_not_taken(line: str) -> None:
    async with pair() as (a, _):
        a.createDataChannel("x")
        offer = await a.createOffer()
        start = offer.sdp.index(line) + len(line)
        changed = "B" if offer.sdp[start] == "A" else "A"
        sdp = offer.sdp[:start] + changed + offer.sdp[start + 1 :]
        with pytest.raises(Exception, match="not ours"):
            await a.setLocalDescription(RTCSessionDescription(sdp, "offer"))
        assert a.signalingState == "stable"


async def test_offers_have_these_codecs_in_this_order() -> None:
    async with pair() as (a, b):
        a.addTransceiver("audio")
        a.addTransceiver("video")
        await negotiate(a, b)
        for pc in (a, b):
            assert pc.localDescription is not None
            audio, video = SessionDescription.parse(pc.localDescription.sdp).media
            assert [each.name for each in audio.rtp.codecs] == ["opus", "G722", "PCMU", "PCMA"]
            assert [each.name for each in video.rtp.codecs] == ["VP8", "rtx", "H264", "rtx", "H264", "rtx"]
            profiles = [each.parameters.get("profile-level-id") for each in video.rtp.codecs]
            assert [str(each)[:4] for each in profiles if each] == ["4200", "42e0"]


async def test_a_peer_without_a_common_codec() -> None:
    async with pair() as (a, b):
        a.addTransceiver("audio")
        offer = SessionDescription.parse((await a.createOffer()).sdp)
        codec = offer.media[0].rtp.codecs[0]
        codec.mimeType = "audio/theirs"
        offer.media[0].rtp.codecs, offer.media[0].fmt = [codec], [codec.payloadType]
        with pytest.raises(OperationError, match="remote audio description"):
            await b.setRemoteDescription(RTCSessionDescription(str(offer), "offer"))
        assert b.signalingState == "stable"
        assert b.getTransceivers() == []


def _without(text: str) -> Any:
    return lambda sdp: "\r\n".join(line for line in sdp.split("\r\n") if not line.startswith(text))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without("a=ice-ufrag"), "ICE username fragment or password is missing"),
        (_without("a=ice-pwd"), "ICE username fragment or password is missing"),
        (_without("a=rtcp-mux"), "RTCP mux is not enabled"),
        (lambda sdp: sdp.replace("a=setup:active", "a=setup:actpass"), "DTLS setup attribute"),
        (lambda sdp: sdp.replace("a=mid:0", "a=mid:1"), "do not match offer"),
        (lambda sdp: sdp[: sdp.index("m=")], "do not match offer"),
    ],
)
async def test_answers_that_lack_something(change: Any, message: str) -> None:
    async with pair() as (a, b):
        a.addTransceiver("audio")
        await a.setLocalDescription(await a.createOffer())
        assert a.localDescription is not None
        await b.setRemoteDescription(a.localDescription)
        answer = await b.createAnswer()
        with pytest.raises(ValueError, match=message):
            await a.setRemoteDescription(RTCSessionDescription(change(answer.sdp), "answer"))
        assert a.signalingState == "have-local-offer"


async def test_wrong_states() -> None:
    async with pair() as (a, b):
        a.createDataChannel("x")
        with pytest.raises(InvalidStateError):
            await a.createAnswer()
        offer = await a.createOffer()
        with pytest.raises(InvalidStateError, match='Cannot handle answer in signaling state "stable"'):
            await a.setRemoteDescription(RTCSessionDescription(offer.sdp, "answer"))
        await a.setLocalDescription(offer)
        with pytest.raises(
            InvalidStateError, match='Cannot handle offer in signaling state "have-local-offer"'
        ):
            await a.setRemoteDescription(offer)
        await b.setRemoteDescription(offer)
        with pytest.raises(InvalidStateError, match="have-remote-offer"):
            await b.setLocalDescription(offer)
        await b.close()
        for call in (b.createOffer, b.createAnswer, b.setLocalDescription):
            with pytest.raises(InvalidStateError, match="closed"):
                await call()
        with pytest.raises(InvalidStateError, match="closed"):
            b.addTrack(AudioStreamTrack())


async def test_wrong_arguments() -> None:
    async with pair() as (a, _):
        with pytest.raises(InternalError, match="Invalid track kind"):
            a.addTransceiver("smell")
        with pytest.raises(InternalError, match="Invalid direction"):
            a.addTransceiver("audio", direction="backwards")
        track = AudioStreamTrack()
        a.addTrack(track)
        with pytest.raises(InvalidAccessError, match="already has a sender"):
            a.addTrack(track)
        with pytest.raises(InvalidAccessError, match="already has a sender"):
            a.addTransceiver(track)
    with pytest.raises(ValueError, match="'type' must be"):
        RTCSessionDescription("", "bogus")
    pc = RTCPeerConnection(RTCConfiguration([RTCIceServer("http://example.org")]))
    for add in (lambda: pc.addTransceiver("audio"), lambda: pc.createDataChannel("x")):
        with pytest.raises(ValueError, match="malformed uri"):
            add()
    await pc.close()
    with pytest.raises(ValueError, match="unknown media"):
        RTCRtpSender.getCapabilities("smell")


async def test_the_end_is_told_once() -> None:
    async with pair() as (a, b):
        channel = a.createDataChannel("x")
        a.addTrack(AudioStreamTrack())
        heard = happens(b, "track")
        tracks = asyncio.ensure_future(heard)
        await negotiate(a, b)
        track = await tracks
        await until(lambda: channel.readyState == "open")
        told: list[str] = []
        channel.on("close", lambda: told.append("channel"))
        a.on("connectionstatechange", lambda: told.append(a.connectionState))
        a.on("iceconnectionstatechange", lambda: told.append(f"ice {a.iceConnectionState}"))
        a.on("signalingstatechange", lambda: told.append(f"signaling {a.signalingState}"))
        ended = happens(track, "ended")
        end = asyncio.ensure_future(ended)
        await asyncio.gather(a.close(), a.close())
        await a.close()
        assert sorted(told) == ["channel", "closed", "ice closed", "signaling closed"]
        assert channel.readyState == "closed"
        assert (a.connectionState, a.iceConnectionState, a.signalingState) == ("closed",) * 3
        await b.close()
        await end
        assert track.readyState == "ended"


async def test_the_connection_closes_with_the_peers_dtls() -> None:
    async with pair() as (a, b):
        a.createDataChannel("x")
        await negotiate(a, b)
        await until(lambda: b.connectionState == "connected")
        began = asyncio.get_running_loop().time()
        await a.close()
        await until(lambda: b.connectionState == "closed")
        assert asyncio.get_running_loop().time() - began < 1
        assert b.signalingState == "closed"


async def test_a_direction_outlives_its_connection() -> None:
    async with pair() as (a, b):
        transceiver = a.addTransceiver("audio", direction="sendonly")
        await negotiate(a, b)
        assert transceiver.currentDirection == "sendonly"
        assert b.getTransceivers()[0].direction == "recvonly"
        assert b.getTransceivers()[0].currentDirection == "recvonly"
        await a.close()
        assert transceiver.stopped
        assert transceiver.direction == "sendonly"
        assert transceiver.currentDirection == "sendonly"


async def test_a_connection_is_subclassed() -> None:
    class Mine(RTCPeerConnection):
        def __init__(self) -> None:
            super().__init__(RTCConfiguration(iceServers=[]))
            self.offers = 0

        async def createOffer(self) -> RTCSessionDescription:
            self.offers += 1
            return await super().createOffer()

    pc = Mine()
    await pc.setLocalDescription()
    assert isinstance(pc, RTCPeerConnection)
    assert pc.offers == 1
    await pc.close()


def shown(pc: RTCPeerConnection) -> list[tuple[str, str, str | None, str | None]]:
    """Kind, directions and mid of a connection's transceivers."""
    return [(each.kind, each.direction, each.currentDirection, each.mid) for each in pc.getTransceivers()]


@pytest.mark.parametrize("theirs", ["sendrecv", "sendonly"])
async def test_an_offer_takes_whatever_transceivers_there_are(theirs: str) -> None:
    async with pair() as (a, b):
        a.addTransceiver(AudioStreamTrack(), direction=theirs)
        a.addTransceiver(VideoStreamTrack(), direction=theirs)
        video = b.addTransceiver("video", direction="recvonly")
        audio = b.addTransceiver("audio")
        await negotiate(a, b)
        assert b.getTransceivers() == [video, audio]
        assert (video.mid, audio.mid) == ("1", "0")
        assert video.currentDirection == "recvonly"
        assert audio.currentDirection == ("sendrecv" if theirs == "sendrecv" else "recvonly")


async def test_a_track_is_given_to_the_first_sender_without_one() -> None:
    async with pair() as (a, b):
        a.addTransceiver("video")
        a.addTransceiver("audio", direction="recvonly")
        a.addTrack(VideoStreamTrack())
        a.addTrack(AudioStreamTrack())
        assert shown(a) == [("video", "sendrecv", None, None), ("audio", "sendrecv", None, None)]
        await negotiate(a, b)
        assert shown(b) == [("video", "recvonly", "recvonly", "0"), ("audio", "recvonly", "recvonly", "1")]
        sender = a.getSenders()[0]
        sender.replaceTrack(None)
        track = VideoStreamTrack()
        assert a.addTrack(track) is sender
        assert sender.track is track
        answered = VideoStreamTrack()
        b.addTrack(answered)
        assert shown(b)[0] == ("video", "sendrecv", "recvonly", "0")
        await negotiate(b, a)
        assert shown(a)[0] == ("video", "sendrecv", "sendrecv", "0")
        assert len(a.getTransceivers()) == len(b.getTransceivers()) == 2


async def test_tracks_that_were_sent_end_with_their_connection() -> None:
    async with pair() as (a, b):
        sent, unsent = VideoStreamTrack(), AudioStreamTrack()
        ended: list[str] = []
        sent.on("ended", lambda: ended.append("sent"))
        a.addTrack(sent)
        await negotiate(a, b)
        a.addTrack(unsent)
        await a.close()
        assert ended == ["sent"]
        assert (sent.readyState, unsent.readyState) == ("ended", "live")


async def test_a_handler_of_track_may_send_at_once() -> None:
    async with pair() as (a, b):
        b.on("track", lambda track: b.addTrack(track))
        a.addTrack(AudioStreamTrack())
        await negotiate(a, b)
        assert shown(b) == [("audio", "sendrecv", "sendrecv", "0")]
        assert a.getReceivers()[0].track is not None


def test_a_program_may_make_its_connection_before_its_loop_runs() -> None:
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    channel = pc.createDataChannel("x")
    transceiver = pc.addTransceiver("audio")
    pc.addTrack(VideoStreamTrack())

    async def go_on() -> None:
        await pc.setLocalDescription(await pc.createOffer())
        assert pc.localDescription is not None
        assert pc.localDescription.sdp.count("m=") == 3
        assert transceiver.mid == "0"
        await pc.close()
        assert channel.readyState == "closed"

    run(go_on())
