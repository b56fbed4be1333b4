"""Pictures of every size: each arrives, or the sender is told why not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from rtcstack import (
    CallbackSink,
    RTCPeerConnection,
    RTCRtpEncodingParameters,
    RTCRtpReceiver,
    RTCRtpSender,
    RTCRtpTransceiverInit,
    TrackSource,
)
from rtcstack.media.frames import video_frame
from tests.conformance.helpers import negotiate, pair
from tests.scenarios.world import until

pytestmark = pytest.mark.asyncio

SIZES = [(16, 16), (32, 18), (63, 64), (1, 1), (1, 300), (301, 1), (641, 479), (64, 64), (2, 2), (17, 4000)]
AT_LEAST = {"H265": 16, "AV1": 4}
"""Pixels each way that the encoders of this build want."""


def codecs() -> list[str]:
    """What this build can send."""
    known = RTCRtpSender.getCapabilities("video")
    assert known is not None
    names = dict.fromkeys(codec.mimeType.removeprefix("video/") for codec in known.codecs)
    return [name for name in names if name in ("VP8", "VP9", "H264", "H265", "AV1")]


class Sending:
    """A call whose pictures are pushed by hand."""

    def __init__(self, a: RTCPeerConnection, b: RTCPeerConnection, source: TrackSource) -> None:
        self.a = a
        self.b = b
        self.source = source
        self.errors: list[str] = []
        self.pictures: list[tuple[int, int, float]] = []
        self.number = 0
        a.getSenders()[0].on("error", lambda event: self.errors.append(str(event.error)))
        self._sinks = [CallbackSink(b.getReceivers()[0].track, self._take)]

    def _take(self, picture: Any) -> None:
        self.pictures.append((picture.width, picture.height, float(picture.to_ndarray(format="gray").mean())))

    async def push(self, width: int, height: int, count: int = 10) -> None:
        """Bright pictures of this size."""
        picture = np.full((height, width, 3), 200, np.uint8)
        for _ in range(count):
            self.source.push(video_frame(picture, pts=self.number * 3000))
            self.number += 1
            await asyncio.sleep(1 / 30)

    def stop(self) -> None:
        for sink in self._sinks:
            sink.stop()
        self.source.end()


@asynccontextmanager
async def sending(codec: str, *encodings: RTCRtpEncodingParameters) -> AsyncIterator[Sending]:
    async with pair() as (a, b):
        source = TrackSource("video")
        init = RTCRtpTransceiverInit(sendEncodings=list(encodings)) if encodings else None
        transceiver = a.addTransceiver(source.track(), init)
        known = RTCRtpReceiver.getCapabilities("video")
        assert known is not None
        transceiver.setCodecPreferences(
            [c for c in known.codecs if c.mimeType in (f"video/{codec}", "video/rtx")]
        )
        await negotiate(a, b)
        await until(lambda: b.connectionState == "connected", "connected")
        it = Sending(a, b, source)
        yield it
        it.stop()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if "takes none that are smaller" in r.getMessage()]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("codec", codecs())
async def test_small_and_odd_pictures_arrive(
    codec: str, size: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "rtcstack")
    least = AT_LEAST.get(codec, 1 if codec.startswith("VP") else 2)
    async with sending(codec) as it:
        await it.push(*size, count=40)
        await until(lambda: len(it.pictures) >= 20, "pictures arrive")
        assert not it.errors
        width, height, light = it.pictures[-1]
        enlarged = min(size) < least
        assert len(told(caplog)) == enlarged, "once, and where it is so"
        if not enlarged:
            assert abs(width - size[0]) <= 1
            assert abs(height - size[1]) <= 1
            assert light == pytest.approx(200, abs=12)
            return
        assert min(width, height) >= least
        if max(size) / min(size) <= 8:  # the shape stays; what is very narrow has borders
            assert width / height == pytest.approx(size[0] / size[1], rel=0.06)
            assert light == pytest.approx(200, abs=12)
        else:
            assert light > 8
        stats = next(iter((await it.a.getStats()).of_type("outbound-rtp")))
        assert (stats["frameWidth"], stats["frameHeight"]) == (width, height)


@pytest.mark.parametrize("codec", codecs())
async def test_pictures_that_become_small_and_large_again_all_arrive(codec: str) -> None:
    async with sending(codec) as it:
        for size in ((160, 120), (10, 8), (1, 1), (160, 120)):
            it.pictures.clear()
            await it.push(*size)
            await until(lambda: len(it.pictures) >= 5, f"pictures of {size} arrive")
        assert not it.errors
        assert it.pictures[-1][:2] == (160, 120)


@pytest.mark.parametrize("codec", codecs())
async def test_pictures_beyond_the_codec_s_largest_are_told(codec: str) -> None:
    async with sending(codec) as it:
        await it.push(16_390, 2, count=5)
        await until(lambda: it.errors, "the error is told")
        assert len(it.errors) == 1
        assert "16390x2" in it.errors[0]
        assert not it.pictures
        await it.push(64, 64, count=120)  # what fits is sent all the same
        await until(lambda: it.pictures, "pictures arrive")


@pytest.mark.parametrize("codec", codecs())
async def test_layers_that_are_scaled_down_to_nothing_are_sent(codec: str) -> None:
    layers = [
        RTCRtpEncodingParameters(rid="h", scaleResolutionDownBy=1.0),
        RTCRtpEncodingParameters(rid="l", scaleResolutionDownBy=16.0),
        RTCRtpEncodingParameters(rid="t", scaleResolutionDownBy=500.0),
    ]
    async with sending(codec, *layers) as it:
        await it.push(320, 180, count=240)
        await asyncio.sleep(0.5)
        assert not it.errors
        report = await it.a.getStats()
        sent = {s["rid"]: s for s in report.of_type("outbound-rtp")}
        for rid in ("h", "l", "t"):
            assert sent[rid]["framesEncoded"] > 20, rid
            assert sent[rid]["framesSent"] > 20
        least = AT_LEAST.get(codec, 2)
        assert min(sent["t"]["frameWidth"], sent["t"]["frameHeight"]) >= least
        received = {s["rid"]: s for s in (await it.b.getStats()).of_type("inbound-rtp")}
        assert all(received[rid]["framesReceived"] > 20 for rid in ("h", "l", "t"))


@pytest.mark.parametrize("size", [(6000, 16), (16_384, 2), (1920, 1088)])
@pytest.mark.parametrize("codec", codecs())
async def test_what_no_encoder_takes_or_no_level_allows_is_sent_or_told(
    codec: str, size: tuple[int, int]
) -> None:
    async with sending(codec) as it:
        await it.push(*size, count=10)
        await until(lambda: it.pictures or it.errors, "a picture, or why there is none")
        assert bool(it.pictures) is not bool(it.errors)
