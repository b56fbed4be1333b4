"""Every codec with every other stack, both ways, offered by either side: by what is seen and heard.

The codecs of audio share the calls of those of video.
"""

from __future__ import annotations

import pytest

from tests.interop.conftest import Pair
from tests.interop.media import OUR_CARD, THEIR_CARD, add_audio, add_video, codecs, together
from tests.support.judge import expect_card

pytestmark = pytest.mark.asyncio(loop_scope="session")

VIDEO_AND_AUDIO = {
    "chromium": (("VP8", "OPUS"), ("VP9", "G722"), ("H264", "PCMU"), ("AV1", "PCMA")),
    "firefox": (("VP8", "OPUS"), ("VP9", "G722"), ("H264", "PCMU"), ("AV1", "PCMA")),
    "wrtc": (("VP8", "OPUS"), ("VP9", "G722"), ("AV1", "PCMU"), ("VP8", "PCMA"), ("H264", "OPUS")),
    "aiortc": (("VP8", "OPUS"), ("H264", "G722"), ("VP8", "PCMU"), ("H264", "PCMA")),
    "gstreamer": (("VP8", "OPUS"), ("VP9", "G722"), ("H264", "PCMU"), ("VP8", "PCMA"), ("AV1", "OPUS")),
    "rtcstack": (("VP8", "OPUS"), ("VP9", "G722"), ("H264", "PCMU"), ("AV1", "PCMA"), ("H265", "OPUS")),
}

LACKS = {
    ("wrtc", "H264"): "wrtc has H.264 with a library that it downloads",
    ("gstreamer", "AV1"): "this GStreamer has no RTP payloader for AV1",
}
"""What a peer is known not to have everywhere; anything else that is missing is a failure."""

SENDS_NOT = {("firefox", "H264"): "Firefox encodes H.264 with a plugin that it downloads"}
"""What a peer only receives."""

CASES = [
    pytest.param(peer, local, video, audio, id=f"{peer}-{'local' if local else 'remote'}-{video}-{audio}")
    for peer, pairs in VIDEO_AND_AUDIO.items()
    for video, audio in pairs
    for local in ([True] if peer == "rtcstack" else [True, False])
]
"""Each with who offers; between two of ours it makes no difference."""


async def require(pair: Pair, kind: str, codec: str) -> None:
    """Skip where the other side is known to lack a codec."""
    if codec not in await pair.remote.capabilities(kind):
        reason = LACKS.get((pair.remote.name, codec))
        assert reason is not None, f"{pair.remote.name} has no {codec}"
        pytest.skip(reason)


@pytest.mark.usefixtures("sound_card")
@pytest.mark.parametrize(
    ("peer_name", "local_offers", "video", "audio"), CASES, indirect=["peer_name", "local_offers"]
)
async def test_pictures_and_tones_cross(pair: Pair, video: str, audio: str) -> None:
    await require(pair, "video", video)
    await require(pair, "audio", audio)
    sends = (pair.remote.name, video) not in SENDS_NOT
    pictures = await add_video(pair)
    tones = await add_audio(pair)
    await (pictures.ours if pair.local_offers else pictures.theirs).prefer(video)
    await (tones.ours if pair.local_offers else tones.theirs).prefer(audio)
    async with pair.connect() as (_, answer):
        assert codecs(answer) == [video, audio]
        await together(
            expect_card(pictures.theirs, OUR_CARD),
            tones.expect_tones(),
            *([expect_card(pictures.ours, THEIR_CARD)] if sends else []),
        )


@pytest.mark.parametrize(("peer", "video"), SENDS_NOT, ids=["-".join(case) for case in SENDS_NOT])
async def test_pictures_come_from_peers_that_only_receive(peer: str, video: str) -> None:
    pytest.skip(SENDS_NOT[peer, video])
