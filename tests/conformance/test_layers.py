"""Layers: what scalability modes are taken, which one is in use, and calls with them.

Spec: webrtc-svc, section 4.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from typing import Any

import pytest

from rtcstack import (
    CallbackSink,
    EncodedMedia,
    EncodedSource,
    InvalidModificationError,
    OperationError,
    RTCEncodedFrameMetadata,
    RTCPeerConnection,
    RTCRtpCodec,
    RTCRtpReceiver,
    RTCRtpScriptTransform,
    RTCRtpSender,
)
from rtcstack.codecs.layers import SPATIAL_MODES, TEMPORAL_MODES
from rtcstack.codecs.payload.superframe import superframe_frames
from rtcstack.media.testsources import read_frame_number
from rtcstack.rtp.layers_allocation import LayersAllocation
from tests.conformance.helpers import negotiate, pair
from tests.conformance.media import (
    connected,
    frames,
    next_frame,
    pattern,
    picture_numbers,
    prefer,
    receiver,
    until_true,
)

VP8, VP9 = RTCRtpCodec("video/VP8", 90_000), RTCRtpCodec("video/VP9", 90_000)


def modes(side: type[RTCRtpSender] | type[RTCRtpReceiver], mime_type: str) -> tuple[str, ...] | None:
    known = side.getCapabilities("video")
    assert known is not None
    return next(each.scalabilityModes for each in known.codecs if each.mimeType == mime_type)


async def test_capabilities_tell_what_works() -> None:
    assert modes(RTCRtpSender, "video/VP8") == ("L1T1", "L1T2", "L1T3")
    assert modes(RTCRtpSender, "video/VP9") == TEMPORAL_MODES + SPATIAL_MODES
    assert modes(RTCRtpSender, "video/AV1") == TEMPORAL_MODES
    for mime_type in ("video/H264", "video/H265"):
        assert modes(RTCRtpSender, mime_type) == ("L1T1",)
    assert modes(RTCRtpSender, "video/rtx") is None
    assert set(modes(RTCRtpReceiver, "video/AV1") or ()) > set(TEMPORAL_MODES + SPATIAL_MODES)
    known = RTCRtpSender.getCapabilities("video")
    assert known is not None
    first = known.codecs[0]
    plain = RTCRtpCodec(first.mimeType, first.clockRate, first.channels, first.sdpFmtpLine)
    assert first == plain
    assert plain == first
    assert hash(first) == hash(plain)
    assert first != "video/VP8"


@pytest.mark.parametrize(
    "encodings",
    [
        [{"scalabilityMode": "L9T9"}],
        [{"scalabilityMode": "l1t2"}],
        [{"scalabilityMode": "L3T3_KEY_SHIFT"}],
        [{"scalabilityMode": "L2T1", "codec": VP8}],
        [{"rid": "a", "scalabilityMode": "S2T1"}, {"rid": "b"}],
        [{"rid": "a"}, {"rid": "b", "codec": VP8, "scalabilityMode": "L3T1"}],
    ],
)
async def test_a_mode_that_cannot_be_sent_is_refused(encodings: list[dict[str, Any]]) -> None:
    async with RTCPeerConnection() as pc:
        with pytest.raises(OperationError):
            pc.addTransceiver("video", sendEncodings=encodings)
        assert not pc.getTransceivers()


@pytest.mark.parametrize(
    "encodings",
    [
        [{"scalabilityMode": "L3T3_KEY"}],
        [{"scalabilityMode": "S3T3", "codec": VP9}],
        [{"rid": "a", "scalabilityMode": "S2T1"}, {"rid": "b", "active": False}],
        [{"rid": "a", "scalabilityMode": "L1T3"}, {"rid": "b", "scalabilityMode": "L2T1"}],
    ],
)
async def test_before_negotiation_what_was_set_is_returned(encodings: list[dict[str, Any]]) -> None:
    async with RTCPeerConnection() as pc:
        sender = pc.addTransceiver("video", sendEncodings=encodings).sender
        shown = [each.scalabilityMode for each in sender.getParameters().encodings]
        assert shown == [each.get("scalabilityMode") for each in encodings]


async def test_sound_has_no_mode() -> None:
    async with RTCPeerConnection() as pc:
        sender = pc.addTransceiver("audio", sendEncodings=[{"scalabilityMode": "L1T2"}]).sender
        assert sender.getParameters().encodings[0].scalabilityMode is None


@pytest.mark.parametrize(
    ("codec", "wanted", "used"),
    [
        ("video/VP9", "L3T3_KEY", "L3T3_KEY"),
        ("video/VP8", "L3T3_KEY", "L1T3"),
        ("video/VP8", "L2T1", "L1T1"),
        ("video/H264", "L1T3", "L1T1"),
        ("video/VP8", None, None),
    ],
)
async def test_after_negotiation_the_mode_in_use_is_returned(
    codec: str, wanted: str | None, used: str | None
) -> None:
    async with pair() as (a, b):
        transceiver = a.addTransceiver("video", sendEncodings=[{"scalabilityMode": wanted}])
        prefer(transceiver, codec)
        await negotiate(a, b)
        assert transceiver.sender.getParameters().encodings[0].scalabilityMode == used


async def test_a_mode_of_another_codec_cannot_be_set() -> None:
    async with pair() as (a, b):
        transceiver = a.addTransceiver("video")
        prefer(transceiver, "video/VP8")
        sender = transceiver.sender
        for mode in ("L1T9", "L3T3_KEY_SHIFT"):
            parameters = sender.getParameters()
            parameters.encodings[0].scalabilityMode = mode
            with pytest.raises(InvalidModificationError):
                await sender.setParameters(parameters)
        await asyncio.sleep(0)
        parameters = sender.getParameters()
        parameters.encodings[0].scalabilityMode = "L2T2"  # nothing is negotiated: some codec can
        await sender.setParameters(parameters)
        await negotiate(a, b)
        assert sender.getParameters().encodings[0].scalabilityMode == "L1T2"
        parameters = sender.getParameters()
        parameters.encodings[0].scalabilityMode = "L2T2"
        with pytest.raises(InvalidModificationError):
            await sender.setParameters(parameters)


async def test_simulcast_and_an_s_mode_cannot_be_set_together() -> None:
    async with RTCPeerConnection() as pc:
        sender = pc.addTransceiver("video", sendEncodings=[{"rid": "a"}, {"rid": "b"}]).sender
        parameters = sender.getParameters()
        parameters.encodings[0].scalabilityMode = "S2T1"
        with pytest.raises(InvalidModificationError):
            await sender.setParameters(parameters)


async def sent_mode(sender: RTCRtpSender) -> str:
    report = await sender.getStats()
    (found,) = [each for each in report.values() if each["type"] == "outbound-rtp"]
    mode: str = found["scalabilityMode"]
    return mode


async def test_the_mode_in_use_is_shown() -> None:
    async with pair() as (a, b):
        sender = a.addTrack(pattern())
        await connected(a, b)
        await next_frame(receiver(b, "video").track)
        assert await sent_mode(sender) == "L1T1"
        parameters = sender.getParameters()
        parameters.encodings[0].scalabilityMode = "L1T3"
        await sender.setParameters(parameters)
        assert await sent_mode(sender) == "L1T3"
        assert sender.getParameters().encodings[0].scalabilityMode == "L1T3"
        layers: set[int] = set()
        CallbackSink(receiver(b, "video").encodedTrack, lambda frame: layers.add(frame.temporal_id))
        await next_frame(receiver(b, "video").track, lambda frame: len(layers) == 3)
        parameters = sender.getParameters()
        parameters.encodings[0].scalabilityMode = "L1T1"
        await sender.setParameters(parameters)
        assert sender.getParameters().encodings[0].scalabilityMode == "L1T1"


@pytest.mark.parametrize("mode", ["L1T3", "L2T1", "L2T2_KEY", "L3T3_KEY", "L3T1h", "S2T3"])
async def test_a_call_in_spatial_layers_shows_the_largest(mode: str) -> None:
    async with pair() as (a, b):
        transceiver = a.addTransceiver(pattern(320, 180), sendEncodings=[{"scalabilityMode": mode}])
        prefer(transceiver, "video/VP9")
        await connected(a, b)
        counted: list[EncodedMedia] = []
        shown = await next_frame(receiver(b, "video").track, lambda frame: frame.width == 320)
        CallbackSink(receiver(b, "video").encodedTrack, counted.append)
        numbers = [read_frame_number(f) for f in await frames(receiver(b, "video").track, 9)]
        assert None not in numbers
        assert shown.height == 180
        assert await sent_mode(transceiver.sender) == mode
        spatial = int(mode[1])
        # of layers that do not depend on each other only the highest is handed on
        joined = 1 if mode.startswith("S") else spatial
        assert {len(superframe_frames(each.data)) for each in counted} == {joined}
        assert {each.spatial_id for each in counted} == {spatial - 1}
        assert len({each.temporal_id for each in counted}) == int(mode[3])
        stats = (await transceiver.sender.getStats()).values()
        (sent,) = [each for each in stats if each["type"] == "outbound-rtp"]
        # a picture counts once, however many layers it has
        assert sent["framesSent"] <= sent["framesEncoded"] + 1
        assert (sent["frameWidth"], sent["frameHeight"]) == (320, 180)


@pytest.mark.parametrize("codec", ["video/VP8", "video/VP9", "video/AV1"])
async def test_a_server_leaves_out_the_upper_temporal_layers(codec: str) -> None:
    async with pair() as (a, b), pair() as (c, d):
        transceiver = a.addTransceiver(pattern(), sendEncodings=[{"scalabilityMode": "L1T3"}])
        prefer(transceiver, codec)
        await connected(a, b)
        source = EncodedSource(codec, on_key_frame_wanted=receiver(b, "video").requestKeyFrame)
        seen: list[int] = []

        def forward(frame: EncodedMedia) -> None:
            seen.append(frame.temporal_id)
            if frame.temporal_id == 0:
                source.push_encoded(frame)

        CallbackSink(receiver(b, "video").encodedTrack, forward)
        prefer(c.addTransceiver(source.track(), direction="sendonly"), codec)
        await connected(c, d)
        numbers = await picture_numbers(receiver(d, "video").track, 5)
        steps = {y - x for x, y in itertools.pairwise(numbers)}  # type: ignore[operator]
        assert steps == {4}
        assert set(seen) == {0, 1, 2}


DESCRIPTOR = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
ALLOCATION = "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00"


async def offered(pc: RTCPeerConnection) -> set[str]:
    sdp = (await pc.createOffer()).sdp
    return {uri for uri in (DESCRIPTOR, ALLOCATION) if uri in sdp}


async def test_what_tells_of_layers_is_offered_where_there_are_layers() -> None:
    for encodings in ([{"scalabilityMode": "L1T2"}], [{"rid": "a"}, {"rid": "b"}]):
        async with RTCPeerConnection() as pc:
            transceiver = pc.addTransceiver("video", sendEncodings=encodings)
            assert await offered(pc) == {DESCRIPTOR, ALLOCATION}
            directions = {e.uri: e.direction for e in transceiver.getHeaderExtensionsToNegotiate()}
            assert (directions[DESCRIPTOR], directions[ALLOCATION]) == ("sendrecv", "sendrecv")
    async with RTCPeerConnection() as pc:
        transceiver = pc.addTransceiver("video", sendEncodings=[{"scalabilityMode": "L1T1"}])
        assert await offered(pc) == set()
        extensions = list(transceiver.getHeaderExtensionsToNegotiate())
        for i, each in enumerate(extensions):
            if each.uri == DESCRIPTOR:
                assert each.direction == "stopped"
                extensions[i] = dataclasses.replace(each, direction="sendrecv")
        transceiver.setHeaderExtensionsToNegotiate(extensions)
        assert await offered(pc) == {DESCRIPTOR}


@pytest.mark.parametrize(
    ("codec", "mode"), [("video/VP8", "L1T3"), ("video/AV1", "L1T3"), ("video/VP9", "L3T3_KEY")]
)
async def test_frames_tell_what_they_depend_on(codec: str, mode: str) -> None:
    async with pair() as (a, b):
        transceiver = a.addTransceiver(pattern(320, 180), sendEncodings=[{"scalabilityMode": mode}])
        prefer(transceiver, codec)
        sent: list[RTCEncodedFrameMetadata] = []
        received: list[RTCEncodedFrameMetadata] = []

        def noting(into: list[RTCEncodedFrameMetadata]) -> RTCRtpScriptTransform:
            def note(frame: Any) -> Any:
                into.append(frame.getMetadata())
                return frame

            return RTCRtpScriptTransform(note)

        transceiver.sender.transform = noting(sent)
        await connected(a, b)
        receiver(b, "video").transform = noting(received)
        await picture_numbers(receiver(b, "video").track, 9)
        spatial = int(mode[1])
        assert [each.spatialIndex for each in received[: 2 * spatial]] == [*range(spatial)] * 2
        assert [each.spatialIndex for each in sent[: 2 * spatial]] == [*range(spatial)] * 2
        by_id = {(each.frameId or 0) & 0xFFFF: each for each in sent}
        assert len(by_id) == len(sent)
        known: set[int] = set()
        for each in received:
            if each.spatialIndex:
                continue
            assert each.frameId is not None
            of_sender = by_id[each.frameId & 0xFFFF]
            assert each.temporalIndex == of_sender.temporalIndex
            assert [each.frameId - d for d in each.dependencies] == [
                (of_sender.frameId or 0) - d for d in of_sender.dependencies
            ]
            assert not known or set(each.dependencies) <= known
            known.add(each.frameId)


async def test_layers_that_are_sealed_one_by_one_are_opened_so() -> None:
    def flip(frame: Any) -> Any:
        frame.data = bytes(byte ^ 0x5A for byte in frame.data)
        return frame

    async with pair() as (a, b):
        transceiver = a.addTransceiver(pattern(320, 180), sendEncodings=[{"scalabilityMode": "L3T1_KEY"}])
        prefer(transceiver, "video/VP9")
        transceiver.sender.transform = RTCRtpScriptTransform(flip)
        b.on("track", lambda event: setattr(event.receiver, "transform", RTCRtpScriptTransform(flip)))
        await connected(a, b)
        shown = await frames(receiver(b, "video").track, 5)
        assert {(frame.width, frame.height) for frame in shown} == {(320, 180)}
        assert None not in [read_frame_number(frame) for frame in shown]


async def test_the_allocation_of_layers_is_sent() -> None:
    async with pair() as (a, b):
        encodings = [{"rid": "lo", "scaleResolutionDownBy": 2.0}, {"rid": "hi", "scalabilityMode": "L1T2"}]
        a.addTransceiver(pattern(), direction="sendonly", sendEncodings=encodings)
        told: list[LayersAllocation] = []
        await connected(a, b)
        source = receiver(b, "video")

        def look(frame: EncodedMedia) -> None:
            if frame.allocation is not None:
                told.append(frame.allocation)

        CallbackSink(source.encodedTrack, look)
        await next_frame(source.track, lambda frame: frame.width == 320)
        source.requestKeyFrame()
        await until_true(lambda: any(len(each.layers) == 2 for each in told))
        whole = next(each for each in told if len(each.layers) == 2)
        assert [len(each.bitrates_bps) for each in whole.layers] == [1, 2]
        assert [(each.width, each.height) for each in whole.layers] == [(160, 120), (320, 240)]


async def test_a_peer_that_reads_no_two_forms_side_by_side_is_told_nothing() -> None:
    async with pair() as (a, b):
        a.addTransceiver(pattern(), sendEncodings=[{"scalabilityMode": "L1T2"}])
        await a.setLocalDescription()
        assert a.localDescription is not None
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription()
        assert b.localDescription is not None
        sdp = b.localDescription.sdp
        assert "a=extmap-allow-mixed" in sdp
        await a.setRemoteDescription({"type": "answer", "sdp": sdp.replace("a=extmap-allow-mixed\r\n", "")})
        seen: list[EncodedMedia] = []
        CallbackSink(receiver(b, "video").encodedTrack, seen.append)
        await next_frame(receiver(b, "video").track)
        assert {each.frame_id for each in seen} == {None}
