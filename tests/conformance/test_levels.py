"""What a peer's description says of its decoder is kept to.

Spec: RFC 6184, section 8.2.2; RFC 7741, section 6.1.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from rtcstack import RTCPeerConnection
from tests.conformance.helpers import pair, trickle, until
from tests.conformance.media import frames, pattern, prefer, receiver
from tests.support.insides import outbound_of


async def connected(a: RTCPeerConnection, b: RTCPeerConnection, change: Any) -> None:
    """Negotiate, the answer changed on its way."""
    trickle(a, b)
    await a.setLocalDescription()
    await b.setRemoteDescription(a.localDescription)
    await b.setLocalDescription()
    assert b.localDescription is not None
    await a.setRemoteDescription({"type": "answer", "sdp": change(b.localDescription.sdp)})
    for pc in (a, b):
        await until(lambda pc=pc: pc.connectionState == "connected", pc, "connectionstatechange")


def level(profile_level_id: str, more: str = "") -> Any:
    def change(sdp: str) -> str:
        return re.sub(r"profile-level-id=[0-9a-f]{6}", f"profile-level-id={profile_level_id}{more}", sdp)

    return change


def no_asymmetry(sdp: str) -> str:
    return sdp.replace("level-asymmetry-allowed=1", "level-asymmetry-allowed=0")


@pytest.mark.parametrize(
    ("change", "size", "rate", "most_bps"),
    [
        (level("42e00a"), (176, 144), 15.0, 64_000),
        (level("42f00b"), (176, 144), 15.0, 128_000),  # level 1b: constraint_set3_flag
        (level("42e00b"), (352, 288), 8.0, 192_000),
        (level("42e00a", ";max-fs=396;max-mbps=11880;max-br=300"), (352, 288), 30.0, 300_000),
        (level("42e01f"), (640, 480), 30.0, 14_000_000),
    ],
)
async def test_h264_is_sent_as_the_answer_allows(
    change: Any, size: tuple[int, int], rate: float, most_bps: int
) -> None:
    async with pair() as (a, b):
        sender = a.addTrack(pattern(640, 480))
        prefer(a.getTransceivers()[0], "video/H264", "packetization-mode=1;profile-level-id=42e0")
        await connected(a, b, change)
        got = await frames(receiver(b, "video").track, 8)
        width, height = got[-1].width, got[-1].height
        assert width * height <= size[0] * size[1]
        assert width * height > 0.6 * size[0] * size[1]
        assert width / height == pytest.approx(4 / 3, abs=0.08)
        span = got[-1].time - got[0].time
        assert (len(got) - 1) / span == pytest.approx(rate, rel=0.15)
        layer = outbound_of(sender).layers[0]  # type: ignore[union-attr]
        assert layer.target_bps <= most_bps
        assert layer.stream.parameters.max_bitrate_bps <= most_bps / 0.9


async def test_without_asymmetry_the_lower_level_holds_for_both_directions() -> None:
    """The answerer states level 1.1, of the offerer's 3.1: the answerer sends no more either."""
    async with pair() as (a, b):
        b_sender = None
        a.addTrack(pattern(640, 480))
        prefer(a.getTransceivers()[0], "video/H264", "packetization-mode=1;profile-level-id=42e0")
        trickle(a, b)
        await a.setLocalDescription()
        assert a.localDescription is not None
        offer = level("42e00b")(no_asymmetry(a.localDescription.sdp))
        b_sender = b.addTrack(pattern(640, 480))
        await b.setRemoteDescription({"type": "offer", "sdp": offer})
        await b.setLocalDescription()
        assert b.localDescription is not None
        assert "profile-level-id=42e00b" in b.localDescription.sdp
        await a.setRemoteDescription(b.localDescription)
        for pc in (a, b):
            await until(lambda pc=pc: pc.connectionState == "connected", pc, "connectionstatechange")
        for pc in (a, b):
            got = (await frames(receiver(pc, "video").track, 2))[-1]
            assert got.width * got.height <= 352 * 288
        assert b_sender is not None


async def test_vp8_is_sent_as_the_answer_allows() -> None:
    async with pair() as (a, b):
        a.addTrack(pattern(640, 480))
        prefer(a.getTransceivers()[0], "video/VP8")

        def limit(sdp: str) -> str:
            found = re.search(r"a=rtpmap:(\d+) VP8/90000\r\n", sdp)
            assert found is not None
            return sdp.replace(found[0], f"{found[0]}a=fmtp:{found[1]} max-fs=300;max-fr=10\r\n")

        await connected(a, b, limit)
        got = await frames(receiver(b, "video").track, 6)
        assert got[-1].width == 320
        assert 5 / (got[-1].time - got[0].time) == pytest.approx(10, rel=0.15)
