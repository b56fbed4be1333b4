"""How senders are set: getParameters, setParameters, sendEncodings, and what a transceiver shows at its end.

Spec: webrtc-pc, sections 5.1 (addTransceiver sendEncodings validation steps), 5.2 and 5.4; webrtc-extensions
(RTCSetParameterOptions); webrtc-priority.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rtcstack import (
    InvalidModificationError,
    InvalidStateError,
    OperationError,
    RTCPeerConnection,
    RTCResolutionRestriction,
    RTCRtpCodec,
    RTCRtpSender,
    TestPatternSource,
)
from tests.conformance.helpers import negotiate, pair, rejects

pytestmark = pytest.mark.asyncio


def codec(mime_type: str) -> RTCRtpCodec:
    known = RTCRtpSender.getCapabilities(mime_type.partition("/")[0])
    assert known is not None
    return next(each for each in known.codecs if each.mimeType.lower() == mime_type.lower())


async def test_parameters_are_the_same_object_within_a_turn_and_new_in_the_next() -> None:
    async with RTCPeerConnection() as pc:
        sender = pc.addTransceiver("video").sender
        first = sender.getParameters()
        assert sender.getParameters() is first
        await asyncio.sleep(0)
        second = sender.getParameters()
        assert second is not first
        assert second.transactionId != first.transactionId
        with pytest.raises(InvalidModificationError, match="transactionId"):
            await sender.setParameters(first)


async def test_what_is_set_is_compared_with_what_was_returned() -> None:
    async with pair() as (a, b):
        sender = a.addTransceiver("video").sender
        await negotiate(a, b)
        parameters = sender.getParameters()
        parameters.codecs = parameters.codecs[1:]
        with pytest.raises(InvalidModificationError, match="codecs"):
            await sender.setParameters(parameters)
        await asyncio.sleep(0)
        parameters = sender.getParameters()
        parameters.encodings[0].maxBitrate = 200_000
        await sender.setParameters(parameters)
        assert sender.getParameters().encodings[0].maxBitrate == 200_000
        with pytest.raises(InvalidModificationError, match="transactionId"):
            await sender.setParameters(parameters)  # of another turn


async def test_parameters_returned_before_an_answer_count_no_more() -> None:
    async with pair() as (a, b):
        sender = a.addTransceiver("video").sender
        await a.setLocalDescription()
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription()
        answered = a.setRemoteDescription(b.localDescription)
        await asyncio.sleep(0)  # the answer's task has run
        assert answered.done()
        parameters = sender.getParameters()
        assert parameters.codecs
        await sender.setParameters(parameters)


@pytest.mark.parametrize(
    ("kind", "encodings", "error"),
    [
        ("video", [{"scaleResolutionDownTo": {"maxWidth": 100}}], OperationError),
        ("video", [{"scaleResolutionDownTo": {}}], OperationError),
        ("video", [{"scaleResolutionDownTo": {"maxWidth": 0, "maxHeight": 100}}], OperationError),
        ("video", [{"scaleResolutionDownTo": {"maxWidth": -1, "maxHeight": 100}}], OperationError),
        ("video", [{"scaleResolutionDownTo": {"maxWidth": "1", "maxHeight": 1}}], TypeError),
        ("video", [{"scaleResolutionDownTo": 3}], TypeError),
        (
            "video",
            [{"rid": "a", "scaleResolutionDownTo": {"maxWidth": 9, "maxHeight": 9}}, {"rid": "b"}],
            OperationError,
        ),
        ("audio", [{"ptime": 20, "adaptivePtime": True}], InvalidModificationError),
        ("audio", [{"ptime": -1}], TypeError),
        ("video", [{"rid": "a" * 17}, {"rid": "b"}], TypeError),
        ("video", [{"rid": ""}, {"rid": "b"}], TypeError),
        ("video", [{"rid": "a-b"}, {"rid": "c"}], TypeError),
        ("video", [{"rid": "a"}, {}], TypeError),
        ("video", [{"rid": "a"}, {"rid": "a"}], TypeError),
        ("video", [{"maxFramerate": 0.0}], ValueError),
        ("video", [{"maxFramerate": -1.0}], ValueError),
        ("video", [{"scaleResolutionDownBy": 0.99}], ValueError),
        ("video", [{"priority": "urgent"}], TypeError),
        ("video", [{"networkPriority": "urgent"}], TypeError),
        ("video", [{"codec": {"mimeType": "video/none", "clockRate": 90_000}}], OperationError),
        (
            "video",
            [{"codec": {"mimeType": "audio/opus", "clockRate": 48_000, "channels": 2}}],
            OperationError,
        ),
    ],
)
async def test_encodings_that_are_refused_make_no_transceiver(
    kind: str, encodings: list[Any], error: type[Exception]
) -> None:
    async with RTCPeerConnection() as pc:
        with pytest.raises(error):
            pc.addTransceiver(kind, sendEncodings=encodings)
        assert pc.getTransceivers() == []


@pytest.mark.parametrize(
    ("kind", "encodings", "shown"),
    [
        ("video", [], [(None, 1.0)]),
        ("video", [{"rid": "a"}], [(None, 1.0)]),
        ("video", [{"rid": "a"}, {"rid": "b"}, {"rid": "c"}], [("a", 4.0), ("b", 2.0), ("c", 1.0)]),
        (
            "video",
            [{"rid": "a", "scaleResolutionDownBy": 3.0}, {"rid": "b"}],
            [("a", 3.0), ("b", 1.0)],
        ),
        ("audio", [{"rid": "a", "scaleResolutionDownBy": 3.0}, {"rid": "b"}], [(None, None)]),
        (
            "video",
            [{"rid": f"r{i}"} for i in range(10)],
            [(f"r{i}", float(2 ** (7 - i))) for i in range(8)],
        ),
    ],
)
async def test_encodings_as_they_are_shown(kind: str, encodings: list[Any], shown: list[Any]) -> None:
    async with RTCPeerConnection() as pc:
        found = pc.addTransceiver(kind, sendEncodings=encodings).sender.getParameters().encodings
        assert [(each.rid, each.scaleResolutionDownBy) for each in found] == shown


async def test_codecs_are_checked_against_what_was_negotiated_or_could_be() -> None:
    async with pair() as (a, b):
        transceiver = a.addTransceiver("video", sendEncodings=[{"codec": codec("video/VP9")}])
        parameters = transceiver.sender.getParameters()
        assert parameters.encodings[0].codec == codec("video/VP9")
        parameters.encodings[0].codec = RTCRtpCodec("video/none", 90_000)
        with pytest.raises(InvalidModificationError):
            await transceiver.sender.setParameters(parameters)
        transceiver.setCodecPreferences([codec("video/VP8"), codec("video/VP9")])
        await negotiate(a, b)
        parameters = transceiver.sender.getParameters()
        parameters.encodings[0].codec = codec("video/H264")
        with pytest.raises(InvalidModificationError):
            await transceiver.sender.setParameters(parameters)


async def test_a_key_frame_may_be_asked_for_with_the_parameters() -> None:
    async with pair() as (a, b):
        sender = a.addTrack(TestPatternSource(64, 64).track())
        await negotiate(a, b)
        parameters = sender.getParameters()
        with pytest.raises(InvalidModificationError):
            await sender.setParameters(parameters, {"encodingOptions": [{}, {}]})
        await asyncio.sleep(0)
        await sender.setParameters(sender.getParameters(), {"encodingOptions": [{"keyFrame": True}]})


async def test_statistics_of_a_sender_and_of_a_receiver() -> None:
    async with pair() as (a, b):
        sender = a.addTransceiver("video").sender
        a.addTransceiver("audio")
        await negotiate(a, b)
        kinds = {stats["kind"] for stats in (await sender.getStats()).of_type("outbound-rtp")}
        assert kinds == {"video"}
        assert [stats["type"] for stats in (await sender.getStats()).values()].count("transport") == 1
        receiver = b.getReceivers()[0]
        report = await receiver.getStats()
        assert not report, "nothing has come, and nothing is referenced"


async def test_a_transceiver_that_has_stopped_has_no_mid_and_keeps_its_transport() -> None:
    async with pair() as (a, b):
        transceiver = a.addTransceiver("video")
        await negotiate(a, b)
        assert transceiver.mid == "0"
        transport = transceiver.sender.transport
        assert transport is not None
        transceiver.stop()
        assert transceiver.mid == "0"
        assert transceiver.direction == "stopped"
        assert transceiver.currentDirection == "sendonly"
        await negotiate(a, b)
        assert transceiver.mid is None
        assert transceiver.sender.transport is transceiver.receiver.transport is transport
        assert transport.state == "closed"
        assert transceiver.currentDirection == "stopped"
        assert a.getTransceivers() == []


async def test_a_rollback_from_the_wrong_side_is_refused() -> None:
    async with pair() as (a, b):
        a.addTransceiver("audio")
        await a.setLocalDescription()
        await b.setRemoteDescription(a.localDescription)
        with pytest.raises(InvalidStateError):
            await a.setRemoteDescription({"type": "rollback"})
        with pytest.raises(InvalidStateError):
            await b.setLocalDescription({"type": "rollback"})
        assert (a.signalingState, b.signalingState) == ("have-local-offer", "have-remote-offer")


async def test_a_restart_during_the_first_offer_is_in_the_next() -> None:
    async with pair() as (a, b):
        a.createDataChannel("x")
        await a.setLocalDescription()
        assert a.localDescription is not None
        before = {line for line in a.localDescription.sdp.splitlines() if line.startswith("a=ice-ufrag")}
        a.restartIce()
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription()
        needed = asyncio.Event()
        a.on("negotiationneeded", needed.set)
        await a.setRemoteDescription(b.localDescription)
        await asyncio.wait_for(needed.wait(), 5)
        offer = await a.createOffer()
        after = {line for line in offer.sdp.splitlines() if line.startswith("a=ice-ufrag")}
        assert not before & after


async def test_sizes_at_most_are_checked_when_they_are_set() -> None:
    async with RTCPeerConnection() as pc:
        size = {"maxWidth": 320, "maxHeight": 180}
        encodings: list[Any] = [
            {"rid": "a", "scaleResolutionDownTo": size},
            {"rid": "b", "active": False},  # only active ones need it
        ]
        sender = pc.addTransceiver("video", sendEncodings=encodings).sender
        parameters = sender.getParameters()
        shown = parameters.encodings
        assert [each.scaleResolutionDownTo for each in shown] == [RTCResolutionRestriction(320, 180), None]
        shown[1].active = True
        await rejects(InvalidModificationError, sender.setParameters(parameters))
        parameters = sender.getParameters()
        parameters.encodings[0].scaleResolutionDownTo = RTCResolutionRestriction(maxWidth=320)
        await rejects(InvalidModificationError, sender.setParameters(parameters))
        parameters = sender.getParameters()
        parameters.encodings[0].scaleResolutionDownTo = None
        parameters.encodings[1].active = True
        await sender.setParameters(parameters)
        assert sender.getParameters().encodings[0].scaleResolutionDownTo is None


async def test_packet_times_are_shown_and_checked() -> None:
    async with RTCPeerConnection() as pc:
        encodings: list[Any] = [{"ptime": 40}]
        sender = pc.addTransceiver("audio", sendEncodings=encodings).sender
        parameters = sender.getParameters()
        assert (parameters.encodings[0].ptime, parameters.encodings[0].adaptivePtime) == (40, False)
        parameters.encodings[0].adaptivePtime = True
        await rejects(InvalidModificationError, sender.setParameters(parameters))
        parameters = sender.getParameters()
        parameters.encodings[0].ptime, parameters.encodings[0].adaptivePtime = None, True
        await sender.setParameters(parameters)
