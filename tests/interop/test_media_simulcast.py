"""Simulcast: a browser sends one picture in three sizes, and each is received by itself."""

from __future__ import annotations

import pytest

from rtcstack import RTCRtpReceiver
from tests.interop.conftest import Pair
from tests.interop.media import together
from tests.support.judge import expect_card
from tests.support.media import Card
from tests.support.w3c_media import W3CTransceiver, Watch

pytestmark = pytest.mark.asyncio(loop_scope="session")

LARGE = Card(width=960, height=720)
LAYERS = [
    {"rid": "q", "scaleResolutionDownBy": 4.0, "maxBitrate": 150_000},
    {"rid": "h", "scaleResolutionDownBy": 2.0, "maxBitrate": 500_000},
    {"rid": "f", "maxBitrate": 1_500_000},
]


def layers(transceiver: W3CTransceiver) -> dict[str, Watch]:
    """What is received of each layer."""
    receiver: RTCRtpReceiver = transceiver.transceiver.receiver
    return {rid: transceiver.watch(track) for rid, track in receiver.simulcastTracks.items()}


@pytest.mark.parametrize(
    ("peer_name", "codec"),
    [("chromium", "VP8"), ("chromium", "H264"), ("firefox", "VP8"), ("wrtc", "VP8")],
    indirect=["peer_name"],
)
@pytest.mark.parametrize("local_offers", [False], indirect=True, ids=["remote-offers"])
async def test_three_layers_arrive_each_by_itself(pair: Pair, codec: str) -> None:
    theirs = await pair.remote.add_transceiver("video", LARGE, direction="sendonly", layers=LAYERS)
    await theirs.prefer(codec)
    async with pair.connect():
        (ours,) = await pair.local.transceivers()
        assert isinstance(ours, W3CTransceiver)
        found = layers(ours)
        assert list(found) == ["q", "h", "f"]
        await together(
            expect_card(found["q"], LARGE, scaled_by=4),
            expect_card(found["h"], LARGE, scaled_by=2),
            expect_card(found["f"], LARGE),
        )
