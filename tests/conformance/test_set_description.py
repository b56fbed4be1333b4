"""What setting a description changes, and a rollback brings back.

Spec: webrtc-pc, section 4.4.1.5 (set the session description).
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from rtcstack import (
    InvalidModificationError,
    InvalidStateError,
    MediaStream,
    MediaStreamTrack,
    OperationError,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCRtpSender,
)
from tests.conformance.helpers import negotiate, rejects

ROLLBACK = {"type": "rollback"}


def asking(sdp: str, *rids: str, simulcast: str | None = None) -> dict[str, str]:
    """An offer of one video section, as one that asks for simulcast."""
    lines = [f"a=rid:{rid} recv" for rid in rids]
    return {
        "type": "offer",
        "sdp": sdp + "\r\n".join([*lines, f"a=simulcast:recv {simulcast or ';'.join(rids)}", ""]),
    }


def encodings(sender: RTCRtpSender) -> list[tuple[str | None, float | None]]:
    return [(each.rid, each.scaleResolutionDownBy) for each in sender.getParameters().encodings]


async def offer_of_video() -> str:
    async with RTCPeerConnection() as far:
        far.addTransceiver("video")
        return (await far.createOffer()).sdp


# -- simulcast that the peer asks for -----------------------------------------------------------------


async def test_a_new_transceiver_has_the_encodings_that_the_offer_asks_for() -> None:
    async with RTCPeerConnection() as pc:
        await pc.setRemoteDescription(asking(await offer_of_video(), "q", "h", "f"))
        [sender] = pc.getSenders()
        assert encodings(sender) == [("q", 4.0), ("h", 2.0), ("f", 1.0)]


async def test_of_alternatives_and_of_equal_names_the_first_counts() -> None:
    async with RTCPeerConnection() as pc:
        asked = asking(await offer_of_video(), "a", "b", "c", simulcast="a,c;b;a")
        await pc.setRemoteDescription(asked)
        assert encodings(pc.getSenders()[0]) == [("a", 2.0), ("b", 1.0)]


async def test_a_sender_with_one_stream_takes_up_simulcast_and_a_rollback_takes_it_back() -> None:
    async with RTCPeerConnection() as pc:
        sender = pc.addTrack(MediaStreamTrack("video"))
        parameters = sender.getParameters()
        parameters.encodings[0].maxBitrate = 123_456
        await sender.setParameters(parameters)
        await pc.setRemoteDescription(asking(await offer_of_video(), "lo", "hi"))
        assert pc.getSenders() == [sender]
        assert encodings(sender) == [("lo", 2.0), ("hi", 1.0)]
        await pc.setRemoteDescription(ROLLBACK)
        [encoding] = sender.getParameters().encodings
        assert (encoding.rid, encoding.maxBitrate) == (None, 123_456)


async def test_another_offer_does_not_change_an_envelope_that_was_proposed() -> None:
    async with RTCPeerConnection() as pc:
        sender = pc.addTrack(MediaStreamTrack("video"))
        offer = await offer_of_video()
        await pc.setRemoteDescription(asking(offer, "lo", "hi"))
        await pc.setRemoteDescription(asking(offer, "x", "lo"))
        assert encodings(sender) == [("lo", 2.0), ("hi", 1.0)]


async def test_our_answer_keeps_what_both_sides_have() -> None:
    async with RTCPeerConnection() as pc:
        sender = pc.addTrack(MediaStreamTrack("video"))
        offer = await offer_of_video()
        await pc.setRemoteDescription(asking(offer, "lo", "hi", "extra"))
        await pc.setRemoteDescription(asking(offer, "lo", "extra"))
        answer = await pc.createAnswer()
        assert "a=simulcast:send lo;extra\r\n" in answer.sdp
        assert "a=rid:hi" not in answer.sdp
        assert [rid for rid, _ in encodings(sender)] == ["lo", "hi", "extra"]
        await pc.setLocalDescription(answer)
        assert [rid for rid, _ in encodings(sender)] == ["lo", "extra"]


async def test_a_peer_without_simulcast_leaves_the_first_encoding() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        wanted = [{"rid": "a", "maxBitrate": 1000}, {"rid": "b"}, {"rid": "c"}]
        sender = a.addTransceiver("video", sendEncodings=wanted).sender
        await a.setLocalDescription()
        assert a.localDescription is not None
        await b.setRemoteDescription(a.localDescription)
        answer = await b.createAnswer()
        kept = [line for line in answer.sdp.split("\r\n") if "a=rid" not in line and "simulcast" not in line]
        await a.setRemoteDescription({"type": "answer", "sdp": "\r\n".join(kept)})
        [encoding] = sender.getParameters().encodings
        assert encoding.maxBitrate == 1000
        assert "simulcast" not in (await a.createOffer()).sdp


async def test_a_codec_that_was_not_agreed_leaves_its_encoding() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        known = RTCRtpReceiver.getCapabilities("video")
        assert known is not None
        vp8 = next(codec for codec in known.codecs if codec.mimeType == "video/VP8")
        vp9 = next(codec for codec in known.codecs if codec.mimeType == "video/VP9")
        sender = a.addTransceiver("video", sendEncodings=[{"codec": vp9}]).sender
        assert sender.getParameters().encodings[0].codec == vp9
        b.addTransceiver("video").setCodecPreferences([vp8])
        await a.setLocalDescription()
        assert a.localDescription is not None
        await b.setRemoteDescription(a.localDescription)
        b.getTransceivers()[-1].setCodecPreferences([vp8])
        await b.setLocalDescription()
        assert sender.getParameters().encodings[0].codec == vp9
        assert b.localDescription is not None
        await a.setRemoteDescription(b.localDescription)
        assert sender.getParameters().encodings[0].codec is None


# -- tracks and transceivers --------------------------------------------------------------------------


async def test_a_remote_offer_that_is_rolled_back_takes_its_tracks_from_their_streams() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        a.addTrack(MediaStreamTrack("video"), MediaStream())
        log: list[str] = []

        def on_track(event: Any) -> None:
            [stream] = event.streams
            stream.onremovetrack = lambda _: log.append("removetrack")
            event.track.onended = lambda _: log.append("ended")
            log.append("track")

        b.ontrack = on_track
        b.onsignalingstatechange = lambda _: log.append(b.signalingState)
        offer = await a.createOffer()
        await b.setRemoteDescription(offer)
        [transceiver] = b.getTransceivers()
        await b.setRemoteDescription(ROLLBACK)
        await asyncio.sleep(0.01)
        assert log == ["have-remote-offer", "track", "stable", "removetrack", "ended"]
        assert b.getTransceivers() == []
        assert (transceiver.mid, transceiver.currentDirection) == (None, "stopped")


async def test_a_rollback_restores_the_track_that_an_offer_took_away() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        stream = MediaStream()
        a.addTrack(MediaStreamTrack("video"), stream)
        await negotiate(a, b)
        log: list[tuple[str, list[str]]] = []
        [receiver] = b.getReceivers()
        b.ontrack = lambda event: log.append(("track", [each.id for each in event.streams]))
        a.getTransceivers()[0].direction = "inactive"
        await b.setRemoteDescription(await a.createOffer())
        assert log == []
        await b.setRemoteDescription(ROLLBACK)
        assert log == [("track", [stream.id])]
        assert b.getReceivers() == [receiver]


async def test_a_transceiver_that_survives_a_rollback_takes_the_section_when_it_comes_again() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        a.addTrack(MediaStreamTrack("video"))
        offer = await a.createOffer()
        await b.setRemoteDescription(offer)
        [transceiver] = b.getTransceivers()
        b.addTrack(MediaStreamTrack("video"))
        await b.setRemoteDescription(ROLLBACK)
        assert b.getTransceivers() == [transceiver]
        assert transceiver.mid is None
        await b.setRemoteDescription(offer)
        assert b.getTransceivers() == [transceiver]
        assert transceiver.mid == "0"


async def test_codecs_of_a_receiver_appear_with_the_answer() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        ours = a.addTransceiver("audio")
        assert ours.receiver.getParameters().codecs == ()
        await a.setLocalDescription()
        assert a.localDescription is not None
        await b.setRemoteDescription(a.localDescription)
        [theirs] = b.getTransceivers()
        assert ours.receiver.getParameters().codecs == theirs.receiver.getParameters().codecs == ()
        await b.setLocalDescription()
        assert b.localDescription is not None
        await a.setRemoteDescription(b.localDescription)
        names = {each.mimeType: each.channels for each in ours.receiver.getParameters().codecs}
        assert (names["audio/opus"], names["audio/PCMU"]) == (2, 1)
        assert theirs.receiver.getParameters().codecs
        ours.direction = "sendonly"
        await a.setLocalDescription()
        assert ours.receiver.getParameters().codecs == ()
        await a.setLocalDescription(ROLLBACK)
        assert ours.receiver.getParameters().codecs


# -- transports ---------------------------------------------------------------------------------------


async def test_transports_exist_from_the_offer_on_and_a_rollback_takes_them_away() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        a.addTransceiver("audio")
        a.addTransceiver("video")
        a.createDataChannel("")
        await a.setLocalDescription()
        assert a.localDescription is not None
        await b.setRemoteDescription(a.localDescription)
        audio, video = b.getTransceivers()
        transport = audio.sender.transport
        assert transport is not None
        assert audio.receiver.transport is video.sender.transport is transport
        assert b.sctp is not None
        assert (b.sctp.transport, b.sctp.state) == (transport, "connecting")
        assert (transport.state, transport.iceTransport.role) == ("new", "controlled")
        before = b.sctp
        await b.setLocalDescription()
        assert (b.sctp, audio.sender.transport) == (before, transport)


async def test_what_only_a_rolled_back_offer_had_is_closed() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        a.createDataChannel("")
        await a.setLocalDescription()
        assert a.localDescription is not None
        await b.setRemoteDescription(a.localDescription)
        assert b.sctp is not None
        transport = b.sctp.transport
        await b.setRemoteDescription(ROLLBACK)
        assert b.sctp is None
        await asyncio.sleep(0.01)
        assert transport.state == transport.iceTransport.state == "closed"
        await b.setRemoteDescription(a.localDescription)
        assert b.sctp is not None
        assert b.sctp.transport is not transport


async def test_a_section_that_will_be_refused_gets_no_transport() -> None:
    compatible, bundling = {"bundlePolicy": "max-compat"}, {"bundlePolicy": "max-bundle"}
    async with RTCPeerConnection(compatible) as a, RTCPeerConnection(bundling) as b:
        for _ in range(3):
            a.addTransceiver("audio")
            a.addTransceiver("video")
        offer = await a.createOffer()
        apart = re.sub("a=group:BUNDLE.*\r\n", "a=group:BUNDLE 0\r\n", offer.sdp)
        await b.setRemoteDescription({"type": "offer", "sdp": apart})
        first, *others = b.getTransceivers()
        kept = first.sender.transport
        assert kept is not None
        assert [each.sender.transport for each in others] == [None] * 5
        await b.setLocalDescription()
        assert (first.sender.transport, kept.state) == (kept, "new")


async def test_an_answer_that_refuses_a_section_leaves_no_transport_of_it_behind() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection({"bundlePolicy": "max-compat"}) as b:
        a.addTransceiver("audio")
        a.addTransceiver("video")
        offer = await a.createOffer()
        apart = offer.sdp.replace("a=group:BUNDLE 0 1\r\n", "a=group:BUNDLE 0\r\n")
        apart = re.sub("a=rtpmap:(\\d+) [A-Z].*/90000", r"a=rtpmap:\1 unknown/90000", apart)
        await b.setRemoteDescription({"type": "offer", "sdp": apart})
        audio, video = b.getTransceivers()
        kept, lost = audio.sender.transport, video.sender.transport
        assert kept is not None
        assert lost is not None
        assert kept is not lost
        await b.setLocalDescription()
        await asyncio.sleep(0.01)
        assert (audio.sender.transport, kept.state, lost.state) == (kept, "new", "closed")


# -- what was created last ----------------------------------------------------------------------------


async def test_what_was_created_counts_until_an_answer_is_set() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        a.addTransceiver("audio")
        offer = await a.createOffer()
        await a.setLocalDescription(offer)
        await a.setLocalDescription(ROLLBACK)
        await a.setLocalDescription(offer)
        await b.setRemoteDescription(offer)
        answer = await b.createAnswer()
        await b.setRemoteDescription(ROLLBACK)
        await b.setRemoteDescription(offer)
        await b.setLocalDescription(answer)
        await a.setRemoteDescription(answer)
        await rejects(InvalidModificationError, a.setLocalDescription(offer))
        await rejects(InvalidModificationError, b.setLocalDescription(answer))


async def test_an_older_offer_does_not_count() -> None:
    async with RTCPeerConnection() as pc:
        first = await pc.createOffer()
        pc.addTransceiver("audio")
        await pc.createOffer()
        await rejects(InvalidModificationError, pc.setLocalDescription(first))
        assert pc.signalingState == "stable"


@pytest.mark.parametrize("side", ["local", "remote"])
async def test_a_rollback_from_the_wrong_side_is_an_invalid_state(side: str) -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        a.addTransceiver("audio")
        await a.setLocalDescription()
        assert a.localDescription is not None
        await b.setRemoteDescription(a.localDescription)
        if side == "local":
            await rejects(InvalidStateError, b.setLocalDescription(ROLLBACK))
        else:
            await rejects(InvalidStateError, a.setRemoteDescription(ROLLBACK))
        assert (a.signalingState, b.signalingState) == ("have-local-offer", "have-remote-offer")


# -- candidates and restarts --------------------------------------------------------------------------

CANDIDATE = "candidate:1 1 udp 2122260223 192.0.2.1 1234 typ host"


async def test_an_unknown_generation_is_refused_in_every_form() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        a.addTransceiver("audio")
        await b.setRemoteDescription(await a.createOffer())
        for text in (CANDIDATE, ""):
            for place in ({"sdpMid": "0"}, {"sdpMLineIndex": 0}, {}):
                if text and not place:
                    continue
                given = {"candidate": text, "usernameFragment": "nope", **place}
                await rejects(OperationError, b.addIceCandidate(given))
        assert b.remoteDescription is not None
        assert "a=candidate" not in b.remoteDescription.sdp
        assert "a=end-of-candidates" not in b.remoteDescription.sdp


async def test_a_candidate_for_a_transceiver_that_has_stopped_is_of_no_consequence() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        a.addTransceiver("audio")
        a.addTransceiver("video")
        await negotiate(a, b)
        a.getTransceivers()[0].stop()
        await negotiate(a, b)
        given = {"candidate": CANDIDATE, "sdpMid": "0", "usernameFragment": "nope"}
        await b.addIceCandidate(given)
        await rejects(OperationError, b.addIceCandidate({**given, "sdpMid": "1"}))


async def test_an_answer_does_not_restart_what_its_offer_did_not() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        needed: list[str] = []
        a.addTransceiver("audio")
        await negotiate(a, b)
        a.onnegotiationneeded = lambda event: needed.append(event.type)
        a.restartIce()
        await asyncio.sleep(0)
        await negotiate(b, a)
        await asyncio.sleep(0.01)
        assert needed == ["negotiationneeded"] * 2, "it is asked for still"
        before = re.findall("a=ice-ufrag:.*", a.localDescription.sdp)  # type: ignore[union-attr]
        await negotiate(a, b)
        await asyncio.sleep(0.01)
        assert re.findall("a=ice-ufrag:.*", a.localDescription.sdp) != before  # type: ignore[union-attr]
        assert len(needed) == 2
