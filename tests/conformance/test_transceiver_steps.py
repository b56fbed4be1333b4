"""Methods of transceivers and of the connection that has them: each branch with its step.

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
)
from tests.conformance.helpers import negotiate, rejects


async def needed(pc: RTCPeerConnection, change: Any) -> bool:
    """Whether a change calls for negotiation, where none was called for."""
    log: list[str] = []
    pc.onnegotiationneeded = lambda event: log.append(event.type)
    change()
    await asyncio.sleep(0.01)
    pc.onnegotiationneeded = None
    return bool(log)


# -- collecting ---------------------------------------------------------------------------------------


async def test_transceivers_are_in_order_and_senders_of_stopped_ones_left_out() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        mine = [a.addTransceiver(kind) for kind in ("video", "audio", "video")]
        assert a.getTransceivers() == mine
        assert a.getSenders() == [each.sender for each in mine]
        assert a.getReceivers() == [each.receiver for each in mine]
        await negotiate(a, b)
        b.getTransceivers()[1].stop()
        assert len(b.getSenders()) == 3, "it is stopping"
        await a.setRemoteDescription(await b.createOffer())
        assert a.getTransceivers() == mine, "it is stopped, and there until the answer"
        assert a.getSenders() == [mine[0].sender, mine[2].sender]
        assert a.getReceivers() == [mine[0].receiver, mine[2].receiver]


# -- addTrack -----------------------------------------------------------------------------------------


async def test_a_track_takes_a_sender_that_never_sent() -> None:
    async with RTCPeerConnection() as pc:
        stream = MediaStream()
        for direction, then in (("recvonly", "sendrecv"), ("inactive", "sendonly"), ("sendonly", "sendonly")):
            transceiver = pc.addTransceiver("audio", direction=direction)
            track = MediaStreamTrack("audio")
            assert pc.addTrack(track, stream, stream) is transceiver.sender
            assert (transceiver.sender.track, transceiver.direction) == (track, then)
            assert (await pc.createOffer()).sdp.count(f"a=msid:{stream.id} {track.id}") == 1


@pytest.mark.parametrize("why", ["another kind", "stopping", "has a track", "has sent"])
async def test_a_track_does_not_take_a_sender(why: str) -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        transceiver = a.addTransceiver("video" if why == "another kind" else "audio")
        if why == "stopping":
            transceiver.stop()
        elif why == "has a track":
            await transceiver.sender.replaceTrack(MediaStreamTrack("audio"))
        elif why == "has sent":
            await negotiate(a, b)
            transceiver.direction = "inactive"
            await negotiate(a, b)
        sender = a.addTrack(MediaStreamTrack("audio"))
        assert sender is not transceiver.sender
        assert a.getTransceivers()[-1].sender is sender
        assert a.getTransceivers()[-1].direction == "sendrecv"


async def test_a_track_that_is_sent_is_not_added_again_while_its_sender_is_there() -> None:
    async with RTCPeerConnection() as pc:
        track = MediaStreamTrack("audio")
        sender = pc.addTrack(track)
        with pytest.raises(InvalidAccessError):
            pc.addTrack(track)
        pc.removeTrack(sender)
        assert pc.addTrack(track) is sender
        await pc.close()
        with pytest.raises(InvalidStateError):
            pc.addTrack(MediaStreamTrack("audio"))


# -- removeTrack --------------------------------------------------------------------------------------


async def test_a_track_is_removed_and_its_transceiver_goes_on_receiving() -> None:
    async with RTCPeerConnection() as pc:
        for direction, then in (("sendrecv", "recvonly"), ("sendonly", "inactive"), ("recvonly", "recvonly")):
            transceiver = pc.addTransceiver(MediaStreamTrack("audio"), direction=direction)
            pc.removeTrack(transceiver.sender)
            assert (transceiver.sender.track, transceiver.direction) == (None, then)
            assert transceiver.sender in pc.getSenders()


async def test_what_has_nothing_to_remove_stays_as_it_is() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        without = a.addTransceiver("audio")
        stopping = a.addTransceiver(MediaStreamTrack("audio"))
        await negotiate(a, b)
        stopping.stop()
        await negotiate(a, b)
        assert not await needed(a, lambda: a.removeTrack(without.sender))
        assert without.direction == "sendrecv"
        track = stopping.sender.track
        a.removeTrack(stopping.sender)
        assert stopping.sender.track is track
        with pytest.raises(InvalidAccessError):
            b.removeTrack(without.sender)
        await a.close()
        with pytest.raises(InvalidStateError):
            a.removeTrack(without.sender)


# -- direction, stop, setStreams ----------------------------------------------------------------------


async def test_a_direction_counts_when_it_is_negotiated() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        transceiver = a.addTransceiver("audio")
        assert transceiver.currentDirection is None
        await negotiate(a, b)
        assert not await needed(a, lambda: setattr(transceiver, "direction", "sendrecv"))
        assert await needed(a, lambda: setattr(transceiver, "direction", "inactive"))
        assert transceiver.currentDirection == "sendonly"
        for wrong in ("stopped", "upwards"):
            with pytest.raises(TypeError):
                transceiver.direction = wrong
        assert transceiver.direction == "inactive"
        await negotiate(a, b)
        assert transceiver.currentDirection == "inactive"
        transceiver.stop()
        with pytest.raises(InvalidStateError):
            transceiver.direction = "sendrecv"


async def test_stopping_is_told_once_and_needs_negotiation_until_it_is_done() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        transceiver = a.addTransceiver("audio")
        await negotiate(a, b)
        ended: list[str] = []
        transceiver.receiver.track.onended = lambda event: ended.append(event.type)
        assert await needed(a, transceiver.stop)
        assert (transceiver.direction, transceiver.currentDirection) == ("stopped", "sendonly")
        assert transceiver.receiver.track.readyState == "ended"
        transceiver.stop()
        await negotiate(a, b)
        assert transceiver.currentDirection == "stopped"
        await asyncio.sleep(0.01)
        assert ended == ["ended"]
        await a.close()
        with pytest.raises(InvalidStateError):
            transceiver.stop()


async def test_streams_of_a_sender_are_each_there_once_and_negotiated() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        one, two = MediaStream(), MediaStream()
        sender = a.addTrack(MediaStreamTrack("audio"), one)
        await negotiate(a, b)
        assert not await needed(a, lambda: sender.setStreams(one, one))
        assert await needed(a, lambda: sender.setStreams(two, one))
        assert (await a.createOffer()).sdp.count("\r\na=msid:") == 2
        await a.close()
        with pytest.raises(InvalidStateError):
            sender.setStreams(one)


# -- replaceTrack, setCodecPreferences ----------------------------------------------------------------


async def test_a_track_is_replaced_in_the_chain_of_operations() -> None:
    async with RTCPeerConnection() as pc:
        sender = pc.addTransceiver("audio").sender
        track = MediaStreamTrack("audio")
        creating, replacing = pc.createOffer(), sender.replaceTrack(track)
        await creating
        assert sender.track is None
        await replacing
        assert sender.track is track
        await rejects(TypeError, sender.replaceTrack(MediaStreamTrack("video")))
        pc.getTransceivers()[0].stop()
        await rejects(InvalidStateError, sender.replaceTrack(None))
        assert sender.track is track
        await pc.close()
        await rejects(InvalidStateError, sender.replaceTrack(None))


async def test_codec_preferences_are_checked_and_made_unique() -> None:
    async with RTCPeerConnection() as pc:
        transceiver = pc.addTransceiver("video")
        known = RTCRtpReceiver.getCapabilities("video")
        assert known is not None
        vp8 = next(codec for codec in known.codecs if codec.mimeType == "video/VP8")
        repair = [codec for codec in known.codecs if codec.mimeType == "video/rtx"]
        transceiver.setCodecPreferences([vp8, vp8])
        assert (await pc.createOffer()).sdp.count("a=rtpmap:") == 1
        unknown = {"mimeType": "video/x", "clockRate": 90_000}
        for wrong in ([unknown], [vp8, unknown], repair):
            with pytest.raises(InvalidModificationError):
                transceiver.setCodecPreferences(wrong)
        assert (await pc.createOffer()).sdp.count("a=rtpmap:") == 1
        transceiver.setCodecPreferences([])
        assert (await pc.createOffer()).sdp.count("a=rtpmap:") > 1


# -- close --------------------------------------------------------------------------------------------


async def test_what_is_closed_is_closed_in_all_its_parts_and_fires_nothing() -> None:
    async with RTCPeerConnection() as pc:
        transceiver = pc.addTransceiver("audio")
        channel = pc.createDataChannel("")
        await pc.setLocalDescription()
        transport = transceiver.sender.transport
        assert transport is not None
        association = pc.sctp
        assert association is not None
        log: list[str] = []
        for target in (pc, transport, transport.iceTransport, association):
            for name in ("statechange", "signalingstatechange", "connectionstatechange", "negotiationneeded"):
                target.on(name, lambda event: log.append(event.type))
        closing = pc.close()
        assert pc.close() is closing
        assert (pc.signalingState, pc.connectionState, pc.iceConnectionState) == ("closed",) * 3
        assert (transport.state, transport.iceTransport.state, association.state) == ("closed",) * 3
        assert (channel.readyState, transceiver.currentDirection) == ("closed", "stopped")
        await closing
        assert transceiver.receiver.track.readyState == "ended"
        assert log == []
