"""Spatial layers: Chromium sends a picture in layers, and the largest is what is shown and recorded."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import av
import pytest

from rtcstack import RTCRtpTransceiver
from rtcstack.codecs.payload.superframe import LayerChoice, superframe_frames
from rtcstack.media.recorder import MediaRecorder
from tests.interop.conftest import Pair
from tests.support.judge import expect_card, see
from tests.support.media import Card, Pictures, Stats, Transceiver
from tests.support.w3c_media import W3CTransceiver, thumbnail

pytestmark = pytest.mark.asyncio(loop_scope="session")

LARGE = Card(width=1280, height=720, frame_rate=8)
"""Three layers of it are encoded on two cores that have other things to do."""

BITRATE_BPS = 3_000_000
"""More than all layers need: none is left out."""

SHOWN_S = 2.0
"""How long it must stay right, and be recorded."""


def recorded(path: Path) -> Pictures:
    """All pictures of a recording, and when they are to be shown."""
    pictures = Pictures()
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            pictures.width, pictures.height = frame.width, frame.height
            pictures.times_s.append(float(frame.time or 0.0))
            pictures.thumbs.append(thumbnail(frame))
    return pictures


class LayerCount:
    """Counts the layers of VP9's pictures as they come, before one is chosen."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.last = 0
        choose = LayerChoice.choose

        def count(choice: LayerChoice, data: bytes, *, key_frame: bool) -> bytes | None:
            self.last = len(superframe_frames(data))
            return choose(choice, data, key_frame=key_frame)

        monkeypatch.setattr(LayerChoice, "choose", count)


@pytest.mark.parametrize(
    ("codec", "mode"),
    [
        ("VP9", "L2T1"),
        ("VP9", "L2T2_KEY"),
        ("VP9", "L3T3"),
        ("VP9", "L3T3_KEY"),
        ("VP9", "S2T1"),
        ("VP9", "S3T3"),
        ("AV1", "S2T1"),  # with S3T1 Chromium's encoder stops after five pictures, whoever receives
    ],
)
@pytest.mark.parametrize("peer_name", ["chromium"], indirect=True, ids=[""])
@pytest.mark.parametrize("local_offers", [False], indirect=True, ids=[""])
async def test_the_largest_layer_is_shown_and_recorded(
    pair: Pair, codec: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = LayerCount(monkeypatch)
    layers = [{"scalabilityMode": mode, "maxBitrate": BITRATE_BPS}]
    theirs = await pair.remote.add_transceiver("video", LARGE, direction="sendonly", layers=layers)
    await theirs.prefer(codec)
    async with pair.connect():
        (ours,) = await pair.local.transceivers()
        assert isinstance(ours, W3CTransceiver)
        await expect_card(ours, LARGE)
        sent = [each for each in await theirs.stats() if each["type"] == "outbound-rtp"]
        assert [each["scalabilityMode"] for each in sent] == [mode]
        if codec == "VP9":
            assert count.last == int(mode[1])
        path = tmp_path / "layers.webm"
        recorder = MediaRecorder(path)
        recorder.add_track(ours.transceiver.receiver.encodedTrack)
        await recorder.start()
        shown = await ours.look(round(SHOWN_S * LARGE.frame_rate), timeout_s=3 * SHOWN_S)
        await recorder.stop()
        assert see(shown).faults(LARGE) == []
        kept = recorded(path)
        assert see(kept).faults(LARGE) == []
        assert len(kept.thumbs) >= len(shown.thumbs) // 2


@pytest.mark.parametrize("mode", ["S3T3"])
@pytest.mark.parametrize("peer_name", ["chromium"], indirect=True, ids=[""])
@pytest.mark.parametrize("local_offers", [False], indirect=True, ids=[""])
async def test_layers_that_pause_are_shown_again(pair: Pair, mode: str) -> None:
    layers = [{"scalabilityMode": mode, "maxBitrate": BITRATE_BPS}]
    theirs = await pair.remote.add_transceiver("video", LARGE, direction="sendonly", layers=layers)
    await theirs.prefer("VP9")
    async with pair.connect():
        (ours,) = await pair.local.transceivers()
        await expect_card(ours, LARGE)
        await theirs.encode(maxBitrate=120_000)
        await expect_card(ours, LARGE, scaled_by=4)
        await theirs.encode(maxBitrate=BITRATE_BPS)
        await expect_card(ours, LARGE)


SENT = Card(width=640, height=360, frame_rate=15)

WHOLE_S = 2.0
"""How long Chromium decodes without asking for anything."""


DESCRIPTOR = "dependency-descriptor-rtp-header-extension"


def leave_out_descriptor(transceiver: RTCRtpTransceiver) -> None:
    """Let the payloads alone tell of the layers."""
    known = transceiver.getHeaderExtensionsToNegotiate()
    transceiver.setHeaderExtensionsToNegotiate(
        [replace(each, direction="stopped") if DESCRIPTOR in each.uri else each for each in known]
    )


async def received(transceiver: Transceiver) -> Stats:
    (found,) = [each for each in await transceiver.stats() if each["type"] == "inbound-rtp"]
    return found


@pytest.mark.parametrize(
    ("codec", "mode", "described"),
    [
        (codec, mode, described)
        for codec, mode in (
            ("VP8", "L1T2"),
            ("VP8", "L1T3"),
            ("VP9", "L1T3"),
            ("VP9", "L2T2"),
            ("VP9", "L3T1h"),
            ("VP9", "L3T3_KEY"),
            ("VP9", "S2T2"),
            ("AV1", "L1T2"),
            ("AV1", "L1T3"),
        )
        for described in (True, False)
        # without the descriptor Chromium decodes all layers of an S mode, and cannot: they are for servers
        if described or not mode.startswith("S")
    ],
)
@pytest.mark.parametrize("peer_name", ["chromium"], indirect=True, ids=[""])
@pytest.mark.parametrize("local_offers", [True], indirect=True, ids=[""])
async def test_layers_of_ours_are_decoded(pair: Pair, codec: str, mode: str, described: bool) -> None:
    layers = [{"scalabilityMode": mode, "maxBitrate": BITRATE_BPS}]
    ours = await pair.local.add_transceiver("video", SENT, direction="sendonly", layers=layers)
    await ours.prefer(codec)
    if not described:
        assert isinstance(ours, W3CTransceiver)
        leave_out_descriptor(ours.transceiver)
    async with pair.connect() as (_, answer):
        assert (DESCRIPTOR in answer["sdp"]) is described
        (theirs,) = await pair.remote.transceivers()
        await expect_card(theirs, SENT)
        before = await received(theirs)
        assert before["frameWidth"] == SENT.width
        await asyncio.sleep(WHOLE_S)
        after = await received(theirs)
        assert after["framesDecoded"] - before["framesDecoded"] >= 0.8 * WHOLE_S * SENT.frame_rate
        for asked in ("pliCount", "keyFramesDecoded", "framesDropped"):
            assert after[asked] == before[asked]
