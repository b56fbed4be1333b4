"""Files that are sent as they are."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from rtcstack import EncodedMedia, EncodedSource, MediaPlayer, RTCPeerConnection, RTCRtpSender
from rtcstack.codecs.payload.annexb import nal_units
from tests.conformance.helpers import negotiate, pair, trickle
from tests.unit.media.test_encoded_files import write


def formats(sdp: str, kind: str) -> list[str]:
    """Names of the codecs of a section, in order."""
    section = next(each for each in sdp.split("m=")[1:] if each.startswith(kind))
    names = {
        line.split(":")[1].split(" ")[0]: line.split(" ")[1].split("/")[0]
        for line in section.splitlines()
        if line.startswith("a=rtpmap:")
    }
    return [names[number] for number in section.splitlines()[0].split(" ")[3:]]


def receiver(pc: RTCPeerConnection, kind: str) -> Any:
    return next(each for each in pc.getReceivers() if each.track.kind == kind)


@pytest.mark.parametrize("offers", [True, False])
async def test_a_film_is_sent_as_it_is_and_its_codecs_come_first(offers: bool, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    write(path)
    async with pair() as (a, b):
        trickle(a, b)
        player = await MediaPlayer.open(path, decode=False, loop=True)
        assert player.video is not None
        assert player.audio is not None
        for track in (player.video, player.audio):
            a.addTrack(track)
        if offers:
            await negotiate(a, b)
        else:
            b.addTransceiver("video")
            b.addTransceiver("audio")
            await negotiate(b, a)
        ours = a.localDescription
        assert ours is not None
        assert formats(ours.sdp, "video")[0] == "H264"
        assert formats(ours.sdp, "audio")[0] == "opus"
        got = receiver(b, "video").encodedTrack.reader()
        frames = [await got.read() for _ in range(40)]
        got.close()
        assert {frame.codec for frame in frames} == {"video/H264"}
        keys = [frame for frame in frames if frame.key_frame]
        assert keys
        assert {7, 8, 5} <= {unit[0] & 0x1F for unit in nal_units(keys[0].data)}
        shown = await receiver(b, "video").track.recv()  # and decoded
        assert (shown.width, shown.height) == (64, 64)
        sound = receiver(b, "audio").track.pcm(48_000)
        assert abs((await anext(sound)).astype(int)).max() >= 0
        sound.close()
        player.stop()


async def test_preferences_of_the_application_come_before_what_a_track_brings() -> None:
    async with pair() as (a, _):
        source = EncodedSource("video/VP9")
        a.addTrack(source.track())
        capabilities = RTCRtpSender.getCapabilities("video")
        assert capabilities is not None
        vp8 = [codec for codec in capabilities.codecs if codec.mimeType in ("video/VP8", "video/VP9")]
        offer = await a.createOffer()
        assert formats(offer.sdp, "video")[:2] == ["VP9", "rtx"]
        a.getTransceivers()[0].setCodecPreferences(sorted(vp8, key=lambda codec: codec.mimeType))
        offer = await a.createOffer()
        assert formats(offer.sdp, "video")[0] == "VP8"


async def test_another_encoded_track_is_sent_with_its_own_codec() -> None:
    async with pair() as (a, b):
        trickle(a, b)
        sources = [EncodedSource("audio/PCMU"), EncodedSource("audio/PCMA")]
        tracks = [source.track() for source in sources]
        sender = a.addTrack(tracks[0])
        await negotiate(a, b)
        got = receiver(b, "audio").encodedTrack.reader(1000)

        async def push() -> None:
            for i in range(500):
                for source in sources:
                    frame = EncodedMedia(source.codec, bytes([i % 256]) * 160, i * 160, Fraction(1, 8000))
                    source.push_encoded(frame)
                await asyncio.sleep(0.02)

        pushing = asyncio.create_task(push())
        assert (await got.read()).codec == "audio/PCMU"
        await sender.replaceTrack(tracks[1])
        async with asyncio.timeout(5):
            while (await got.read()).codec != "audio/PCMA":
                pass
        assert (await got.read()).codec == "audio/PCMA"
        pushing.cancel()
        got.close()
