"""Transceivers and tracks, as far as negotiation goes.

Spec: webrtc-pc, sections 5.1 to 5.4.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rtcstack import (
    InvalidAccessError,
    InvalidModificationError,
    InvalidStateError,
    MediaStream,
    MediaStreamTrack,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCRtpSender,
)
from tests.conformance.helpers import happens, negotiate, pair, rejects
from tests.support.insides import transports_of


async def test_a_track_arrives_with_its_stream() -> None:
    async with pair() as (a, b):
        track, stream = MediaStreamTrack("audio"), MediaStream()
        a.addTrack(track, stream)
        event = asyncio.create_task(happens(b, "track"))
        await asyncio.sleep(0)
        await negotiate(a, b)
        event_object = await event
        assert event_object.track.kind == "audio"
        assert event_object.track.muted
        assert event_object.receiver.track is event_object.track
        assert [s.id for s in event_object.streams] == [stream.id]
        assert event_object.streams[0].getTracks() == [event_object.track]
        assert event_object.transceiver.mid == "0"


async def test_directions_of_both_sides() -> None:
    async with pair() as (a, b):
        sending = a.addTransceiver("audio", direction="sendrecv")
        a.addTransceiver("video", direction="recvonly")
        await a.setLocalDescription()
        assert a.localDescription is not None
        await b.setRemoteDescription(a.localDescription)
        audio, video = b.getTransceivers()
        assert (audio.direction, video.direction) == ("recvonly", "recvonly")
        video.direction = "sendonly"
        await b.setLocalDescription()
        assert b.localDescription is not None
        await a.setRemoteDescription(b.localDescription)
        assert sending.currentDirection == "sendonly"
        assert a.getTransceivers()[1].currentDirection == "recvonly"
        assert (audio.currentDirection, video.currentDirection) == ("recvonly", "sendonly")


async def test_addtrack_reuses_a_transceiver_that_a_remote_offer_made() -> None:
    async with pair() as (a, b):
        a.addTransceiver("video")
        await a.setLocalDescription()
        assert a.localDescription is not None
        await b.setRemoteDescription(a.localDescription)
        sender = b.addTrack(MediaStreamTrack("video"))
        [transceiver] = b.getTransceivers()
        assert transceiver.sender is sender
        assert transceiver.direction == "sendrecv"
        await b.setLocalDescription()
        assert b.localDescription is not None
        await a.setRemoteDescription(b.localDescription)
        assert a.getTransceivers()[0].currentDirection == "sendrecv"


async def test_removetrack_takes_the_track_from_its_stream_at_the_peer() -> None:
    async with pair() as (a, b):
        stream = MediaStream()
        sender = a.addTrack(MediaStreamTrack("audio"), stream)
        tracks: list[Any] = []
        b.on("track", lambda e: tracks.append(e))
        await negotiate(a, b)
        [event] = tracks
        removed: list[Any] = []
        event.streams[0].on("removetrack", lambda e: removed.append(e.track))
        a.removeTrack(sender)
        assert sender.track is None
        assert a.getTransceivers()[0].direction == "recvonly"
        await negotiate(a, b)
        assert removed == [event.track]
        assert event.track.readyState == "live"
        a.addTrack(MediaStreamTrack("audio"), stream)
        await negotiate(a, b)
        assert len(tracks) == 2 or len(a.getTransceivers()) == 2


async def test_stop_rejects_the_section_and_its_place_is_used_again() -> None:
    async with pair() as (a, b):
        first = a.addTransceiver("audio")
        a.addTransceiver("video")
        await negotiate(a, b)
        ended: list[str] = []
        b.getTransceivers()[0].receiver.track.on("ended", lambda e: ended.append(e.type))
        first.stop()
        assert first.direction == "stopped"
        assert first.currentDirection is not None
        with pytest.raises(InvalidStateError):
            first.direction = "sendrecv"
        await negotiate(a, b)
        assert first.currentDirection == "stopped"
        assert ended == ["ended"]
        assert [t.receiver.track.kind for t in a.getTransceivers()] == ["video"]
        assert [t.receiver.track.kind for t in b.getTransceivers()] == ["video"]
        assert a.localDescription is not None
        assert a.localDescription.sdp.count("\r\nm=") == 2
        a.addTransceiver("video")
        await negotiate(a, b)
        assert a.localDescription.sdp.count("\r\nm=") == 2, "the place of the stopped section is used again"
        assert len(b.getTransceivers()) == 2


async def test_stopping_does_not_affect_the_answer_but_the_next_offer() -> None:
    async with pair() as (a, b):
        a.addTransceiver("audio")
        a.addTransceiver("video")
        await a.setLocalDescription()
        assert a.localDescription is not None
        await b.setRemoteDescription(a.localDescription)
        video = b.getTransceivers()[1]
        video.stop()
        needed = asyncio.create_task(happens(b, "negotiationneeded"))
        await b.setLocalDescription()
        assert b.localDescription is not None
        assert "m=video 0 " not in b.localDescription.sdp
        await a.setRemoteDescription(b.localDescription)
        assert a.getTransceivers()[1].currentDirection == "inactive"
        await needed
        await negotiate(b, a)
        assert video.currentDirection == "stopped"
        assert [t.receiver.track.kind for t in a.getTransceivers()] == ["audio"]


async def test_codec_preferences() -> None:
    async with pair() as (a, b):
        capabilities = RTCRtpReceiver.getCapabilities("video")
        assert capabilities is not None
        chosen = [c for c in capabilities.codecs if c.mimeType.lower() in ("video/vp9", "video/rtx")]
        transceiver = a.addTransceiver("video")
        transceiver.setCodecPreferences(chosen)
        await negotiate(a, b)
        names = {c.mimeType for c in transceiver.sender.getParameters().codecs}
        assert names <= {"video/VP9", "video/rtx"}
        assert "video/VP9" in names
        with pytest.raises(InvalidModificationError):
            transceiver.setCodecPreferences([{"mimeType": "video/NONE", "clockRate": 90000}])  # type: ignore[list-item]
        rtx = [c for c in capabilities.codecs if c.mimeType.lower() == "video/rtx"]
        with pytest.raises(InvalidModificationError):
            transceiver.setCodecPreferences(rtx)
        transceiver.setCodecPreferences([])


async def test_simulcast_is_offered_and_answered() -> None:
    async with pair() as (a, b):
        a.addTransceiver("video", sendEncodings=[{"rid": "hi"}, {"rid": "lo", "scaleResolutionDownBy": 4.0}])  # type: ignore[arg-type]
        await negotiate(a, b)
        assert a.localDescription is not None
        assert b.localDescription is not None
        assert "a=simulcast:send hi;lo" in a.localDescription.sdp
        assert "a=simulcast:recv hi;lo" in b.localDescription.sdp
        encodings = a.getSenders()[0].getParameters().encodings
        assert [(e.rid, e.scaleResolutionDownBy) for e in encodings] == [("hi", 1.0), ("lo", 4.0)]


@pytest.mark.parametrize(
    ("encodings", "error"),
    [
        ([{"rid": "a"}, {"rid": "a"}], TypeError),
        ([{"rid": "a"}, {}], TypeError),
        ([{"rid": ""}], TypeError),
        ([{"rid": "x" * 256}], TypeError),
        ([{"rid": "not-alphanumeric"}], TypeError),
        ([{"scaleResolutionDownBy": 0.5}], ValueError),
        ([{"maxFramerate": -1.0}], ValueError),
    ],
)
async def test_wrong_encodings(encodings: Any, error: type[Exception]) -> None:
    async with pair() as (a, _):
        with pytest.raises(error):
            a.addTransceiver("video", sendEncodings=encodings)
        assert a.getTransceivers() == []


async def test_set_parameters() -> None:
    async with pair() as (a, _):
        sender = a.addTransceiver("video").sender
        parameters = sender.getParameters()
        parameters.encodings[0].maxBitrate = 500_000
        parameters.encodings[0].active = False
        await sender.setParameters(parameters)
        assert sender.getParameters().encodings[0].maxBitrate == 500_000
        parameters = sender.getParameters()
        parameters.encodings.append(parameters.encodings[0])
        await rejects(InvalidModificationError, sender.setParameters(parameters))
        stale = sender.getParameters()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await rejects(InvalidStateError, sender.setParameters(stale))


async def test_replace_track_needs_no_negotiation() -> None:
    async with pair() as (a, b):
        sender = a.addTrack(MediaStreamTrack("audio"))
        await negotiate(a, b)
        needed: list[int] = []
        a.on("negotiationneeded", lambda: needed.append(1))
        other = MediaStreamTrack("audio")
        await sender.replaceTrack(other)
        assert sender.track is other
        await sender.replaceTrack(None)
        await rejects(TypeError, sender.replaceTrack(MediaStreamTrack("video")))
        await asyncio.sleep(0.01)
        assert needed == []


async def test_wrong_use() -> None:
    async with pair() as (a, b):
        track = MediaStreamTrack("audio")
        a.addTrack(track)
        with pytest.raises(InvalidAccessError):
            a.addTrack(track)
        with pytest.raises(TypeError):
            a.addTrack("audio")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            a.addTransceiver("data")
        with pytest.raises(TypeError):
            a.addTransceiver("audio", direction="stopped")
        with pytest.raises(TypeError):
            a.addTransceiver("audio", direction="upwards")
        with pytest.raises(InvalidAccessError):
            b.removeTrack(a.getSenders()[0])
        with pytest.raises(TypeError):
            a.removeTrack(None)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            MediaStreamTrack("data")


def test_capabilities() -> None:
    for interface in (RTCRtpSender, RTCRtpReceiver):
        audio, video = interface.getCapabilities("audio"), interface.getCapabilities("video")
        assert audio is not None
        assert video is not None
        assert "audio/opus" in {c.mimeType.lower() for c in audio.codecs}
        assert "video/vp8" in {c.mimeType.lower() for c in video.codecs}
        assert len({(c.mimeType, c.sdpFmtpLine) for c in video.codecs}) == len(video.codecs)
        assert interface.getCapabilities("data") is None


@pytest.mark.parametrize("policy", ["balanced", "max-compat", "max-bundle"])
async def test_bundle_policies_end_in_one_transport(policy: str) -> None:
    async with pair({"bundlePolicy": policy}) as (a, b):  # type: ignore[arg-type]
        a.addTransceiver("audio")
        a.addTransceiver("video")
        a.createDataChannel("x")
        await negotiate(a, b)
        for pc in (a, b):
            transports = {id(t.sender.transport) for t in pc.getTransceivers()}
            assert pc.sctp is not None
            assert transports == {id(pc.sctp.transport)}
            assert len(list(transports_of(pc))) == 1
            while pc.connectionState != "connected":
                await happens(pc, "connectionstatechange")


async def test_streams_and_tracks() -> None:
    track = MediaStreamTrack("video", label="camera")
    stream = MediaStream([track])
    assert stream.active
    assert stream.getVideoTracks() == [track]
    assert stream.getAudioTracks() == []
    assert stream.getTrackById(track.id) is track
    clone = stream.clone()
    assert clone.id != stream.id
    assert clone.getTracks()[0].id != track.id
    track.stop()
    assert track.readyState == "ended"
    assert not stream.active
    assert clone.active
    stream.removeTrack(track)
    assert stream.getTracks() == []


async def test_closing_ends_the_tracks() -> None:
    a = RTCPeerConnection()
    transceiver = a.addTransceiver("audio")
    await a.close()
    assert transceiver.receiver.track.readyState == "ended"
    assert transceiver.currentDirection == "stopped"
