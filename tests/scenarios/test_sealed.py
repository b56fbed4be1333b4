"""SFrame over a network that loses packets: what is seen and heard is whole.

Spec: webrtc-encoded-transform, section 6; RFC 9605.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rtcstack import CallbackSink, RTCRtpReceiver, SFrameTransform, TestPatternSource
from rtcstack.media.testsources import read_frame_number
from tests.conformance.helpers import negotiate, pair
from tests.scenarios.world import here, until

pytestmark = pytest.mark.asyncio


async def sealed() -> SFrameTransform:
    transform = SFrameTransform({"cipherSuite": "AES_128_CTR_HMAC_SHA256_32"})
    await transform.setEncryptionKey(bytes(range(16)), 77)
    return transform


@pytest.mark.parametrize("codec", ["VP8", "VP9"])
async def test_sealed_pictures_under_loss(codec: str) -> None:
    async with pair() as (a, b):
        transceiver = a.addTransceiver(TestPatternSource(320, 240, 15).track())
        known = RTCRtpReceiver.getCapabilities("video")
        assert known is not None
        wanted = (f"video/{codec}", "video/rtx")
        transceiver.setCodecPreferences([each for each in known.codecs if each.mimeType in wanted])
        transceiver.sender.transform = await sealed()
        await negotiate(a, b)
        receiver = b.getReceivers()[0]
        receiver.transform = opened = await sealed()
        numbers: list[Any] = []

        def see(frame: Any) -> None:
            numbers.append(read_frame_number(frame))

        sink = CallbackSink(receiver.track, see)
        await until(lambda: len(numbers) > 5, "pictures are seen")
        here().loss = 0.05
        await asyncio.sleep(20)
        here().loss = 0.3  # retransmissions do not bring all back
        await asyncio.sleep(10)
        here().loss = 0.0
        await asyncio.sleep(3)
        seen = len(numbers)
        await asyncio.sleep(4)
        assert len(numbers) - seen > 50, "they go on"
        assert None not in numbers, "each can be read: none was decoded without those that it refers to"
        assert numbers == sorted(set(numbers))
        assert opened.failures == 0
        sink.stop()
