"""Sizes and packet times that the application sets for an encoding, as they arrive.

Spec: webrtc-extensions, section on RTCRtpEncodingParameters.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from rtcstack import RTCResolutionRestriction, RTCRtpTransceiverInit, ToneSource, TrackSource
from rtcstack.media.pipeline.outbound import Layer
from rtcstack.media.testsources import test_picture
from tests.conformance.helpers import pair
from tests.conformance.media import connected, next_frame, pattern, receiver, until_true
from tests.conformance.test_levels import connected as connected_with
from tests.support.insides import outbound_of
from tests.unit.rtp.media import video_parameters


@pytest.mark.parametrize(
    ("most", "size", "made"),
    [
        ((320, 180), (1280, 720), (320, 180)),
        ((180, 320), (1280, 720), (320, 180)),  # of either orientation
        ((320, 180), (720, 1280), (180, 320)),
        ((320, 320), (1280, 720), (320, 180)),
        ((2000, 2000), (1280, 720), (1280, 720)),  # nothing is enlarged
        ((640, 360), (640, 480), (480, 360)),
        ((1, 1), (1280, 720), (1, 0)),
    ],
)
def test_one_factor_for_both_sides(
    most: tuple[int, int], size: tuple[int, int], made: tuple[int, int]
) -> None:
    layer = Layer(video_parameters(), "vp8", "video/VP8", scale_down_by=4.0, scale_down_to=most)
    scale = layer.scale(*size)
    assert (int(size[0] / scale), int(size[1] / scale)) == made


async def test_pictures_are_as_large_as_was_set() -> None:
    async with pair() as (a, b):
        init = RTCRtpTransceiverInit(
            sendEncodings=[
                {"scaleResolutionDownBy": 4.0, "scaleResolutionDownTo": {"maxWidth": 320, "maxHeight": 160}}
            ]  # type: ignore[list-item]
        )
        sender = a.addTransceiver(pattern(640, 480), init).sender
        await connected(a, b)
        track = receiver(b, "video").track
        frame = await next_frame(track)
        assert (frame.width, frame.height) == (212, 160)
        parameters = sender.getParameters()
        parameters.encodings[0].scaleResolutionDownTo = RTCResolutionRestriction(480, 640)
        await sender.setParameters(parameters)
        await next_frame(track, lambda f: (f.width, f.height) == (640, 480))
        parameters = sender.getParameters()
        parameters.encodings[0].scaleResolutionDownTo = None
        await sender.setParameters(parameters)
        await next_frame(track, lambda f: (f.width, f.height) == (160, 120))


async def test_layers_of_set_sizes_do_not_follow_the_source() -> None:
    async with pair() as (a, b):
        source = TrackSource("video")
        encodings = [
            {"rid": "l", "scaleResolutionDownTo": {"maxWidth": 160, "maxHeight": 120}},
            {"rid": "h", "scaleResolutionDownTo": {"maxWidth": 640, "maxHeight": 480}},
        ]
        sender = a.addTransceiver(source.track(), RTCRtpTransceiverInit(sendEncodings=encodings)).sender  # type: ignore[arg-type]
        await connected(a, b)

        def sizes(width: int, height: int) -> list[tuple[int, int]]:
            source.push(test_picture(0, width, height))
            outbound: Any = outbound_of(sender)
            return [(layer.width, layer.height) for layer in outbound.layers]

        one = sizes(640, 480)
        assert one[0] == (160, 120)
        assert sizes(1280, 960)[0] == sizes(320, 240)[0] == (160, 120)


@pytest.mark.parametrize(
    ("wanted", "most", "samples"), [(None, None, 960), (40, None, 1920), (10, None, 480), (60, 40, 1920)]
)
async def test_packets_hold_as_much_sound_as_was_set(
    wanted: int | None, most: int | None, samples: int
) -> None:
    async with pair() as (a, b):
        init = RTCRtpTransceiverInit(sendEncodings=[{"ptime": wanted}])  # type: ignore[list-item]
        a.addTransceiver(ToneSource(440).track(), init)

        def limited(sdp: str) -> str:
            return sdp if most is None else re.sub(r"(m=audio.*\r\n)", rf"\1a=maxptime:{most}\r\n", sdp)

        await connected_with(a, b, limited)
        stamps: list[int] = []
        receiver(b, "audio").setPacketSink(lambda packets: stamps.extend(p.timestamp for p in packets))
        await until_true(lambda: len(stamps) > 6)
        assert {later - earlier for earlier, later in itertools.pairwise(stamps[2:])} == {samples}
