"""Audio and video between two peers of ours, by what is seen and heard at the other end.

Spec: webrtc-pc, section 5.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
from typing import Any

import pytest

from rtcstack import (
    MediaStream,
    RTCRtpReceiver,
    ToneSource,
)
from rtcstack.api.receiver import receiver_part
from rtcstack.codecs import registry
from tests.conformance.helpers import happens, negotiate, pair
from tests.conformance.media import (
    connected,
    dominant_hz,
    next_frame,
    pattern,
    picture_numbers,
    prefer,
    receiver,
    until_true,
)
from tests.support.insides import inbound_of, outbound_of
from tests.support.wanted import missing

# -- whole calls --------------------------------------------------------------------------------------


async def test_pictures_and_sound_arrive() -> None:
    async with pair() as (a, b):
        a.addTrack(pattern())
        a.addTrack(ToneSource(440).track())
        b.addTrack(pattern(160, 120))
        b.addTrack(ToneSource(880).track())
        await connected(a, b)
        numbers = await picture_numbers(receiver(b, "video").track, 10)
        assert numbers == list(range(numbers[0], numbers[0] + 10))  # type: ignore[arg-type]
        assert (await next_frame(receiver(a, "video").track)).width == 160
        assert await dominant_hz(receiver(b, "audio").track) == pytest.approx(440, abs=5)
        assert await dominant_hz(receiver(a, "audio").track) == pytest.approx(880, abs=5)


@pytest.mark.parametrize(
    ("mime_type", "parameters"),
    [
        ("video/VP8", ""),
        ("video/VP9", "profile-id=0"),
        ("video/AV1", ""),
        ("video/H264", "packetization-mode=1"),
        ("video/H264", "packetization-mode=0"),
        ("video/H265", ""),
    ],
)
async def test_each_video_codec(mime_type: str, parameters: str) -> None:
    name = mime_type.partition("/")[2].lower()
    if not registry.can_encode(name) or not registry.can_decode(name):
        missing(f"{name} is not in this build of PyAV")
    async with pair() as (a, b):
        a.addTrack(pattern())
        prefer(a.getTransceivers()[0], mime_type, parameters)
        await connected(a, b)
        numbers = await picture_numbers(receiver(b, "video").track, 5)
        assert numbers == list(range(numbers[0], numbers[0] + 5))  # type: ignore[arg-type]
        codec = a.getSenders()[0].getParameters().codecs[0]
        assert codec.mimeType == mime_type


@pytest.mark.parametrize("mime_type", ["audio/opus", "audio/G722", "audio/PCMU", "audio/PCMA"])
async def test_each_audio_codec(mime_type: str) -> None:
    async with pair() as (a, b):
        a.addTrack(ToneSource(600).track())
        prefer(a.getTransceivers()[0], mime_type)
        await connected(a, b)
        assert await dominant_hz(receiver(b, "audio").track) == pytest.approx(600, abs=10)


async def test_redundant_audio_when_it_is_preferred() -> None:
    async with pair() as (a, b):
        a.addTrack(ToneSource(600).track())
        known = RTCRtpReceiver.getCapabilities("audio")
        assert known is not None
        red = [c for c in known.codecs if c.mimeType == "audio/red"]
        opus = [c for c in known.codecs if c.mimeType == "audio/opus"]
        a.getTransceivers()[0].setCodecPreferences(red + opus)
        await connected(a, b)
        seen: set[int] = set()
        receiver(b, "audio").setPacketSink(lambda packets: seen.update(p.payload_type for p in packets))
        assert await dominant_hz(receiver(b, "audio").track) == pytest.approx(600, abs=10)
        assert seen == {63}


async def test_video_is_added_and_removed_in_a_running_call() -> None:
    async with pair() as (a, b):
        a.addTrack(ToneSource(440).track())
        await connected(a, b)
        assert await dominant_hz(receiver(b, "audio").track) > 0
        sender = a.addTrack(pattern())
        arrived = asyncio.ensure_future(happens(b, "track"))
        await asyncio.sleep(0)
        await negotiate(a, b)
        track = (await arrived).track
        assert await picture_numbers(track, 3)
        a.removeTrack(sender)
        muted = asyncio.ensure_future(happens(track, "mute"))
        await asyncio.sleep(0)
        await negotiate(a, b)
        await muted
        assert await dominant_hz(receiver(b, "audio").track) == pytest.approx(440, abs=5)
        again = a.addTrack(pattern(160, 120))
        assert again is not sender, "a sender that has sent is not used again"
        await negotiate(a, b)
        assert (await next_frame(b.getReceivers()[2].track)).width == 160


async def test_direction_changes_hold_and_resume() -> None:
    async with pair() as (a, b):
        a.addTrack(pattern())
        await connected(a, b)
        track = receiver(b, "video").track
        await next_frame(track)
        transceiver = a.getTransceivers()[0]
        transceiver.direction = "inactive"
        muted = asyncio.ensure_future(happens(track, "mute"))
        await asyncio.sleep(0)
        await negotiate(a, b)
        await muted
        assert track.muted
        sent = outbound_of(a.getSenders()[0]).streams[0].counts.packets  # type: ignore[union-attr]
        await asyncio.sleep(0.2)
        assert outbound_of(a.getSenders()[0]).streams[0].counts.packets == sent  # type: ignore[union-attr]
        transceiver.direction = "sendrecv"
        unmuted = asyncio.ensure_future(happens(track, "unmute"))
        await asyncio.sleep(0)
        await negotiate(a, b)
        await unmuted
        assert await picture_numbers(track, 3)


async def test_a_stopped_transceiver_ends_the_track_at_the_peer() -> None:
    async with pair() as (a, b):
        a.addTrack(pattern())
        await connected(a, b)
        track = receiver(b, "video").track
        await next_frame(track)
        ended = asyncio.ensure_future(happens(track, "ended"))
        await asyncio.sleep(0)
        a.getTransceivers()[0].stop()
        await negotiate(a, b)
        await ended
        assert not a.getTransceivers()


async def test_tracks_are_muted_until_media_comes() -> None:
    async with pair() as (a, b):
        a.addTransceiver("video")
        await connected(a, b)
        track = receiver(b, "video").track
        assert track.muted
        unmuted = asyncio.ensure_future(happens(track, "unmute"))
        await asyncio.sleep(0)
        await a.getSenders()[0].replaceTrack(pattern())
        await unmuted
        assert not track.muted


async def test_a_disabled_track_is_black_and_silent() -> None:
    async with pair() as (a, b):
        video, audio = pattern(), ToneSource(440).track()
        a.addTrack(video)
        a.addTrack(audio)
        await connected(a, b)
        await next_frame(receiver(b, "video").track)
        video.enabled = audio.enabled = False
        black = await next_frame(receiver(b, "video").track, lambda f: f.to_ndarray(format="gray").max() < 40)
        assert black.width == 320
        await asyncio.sleep(0.3)
        assert await dominant_hz(receiver(b, "audio").track) == 0.0


async def test_replace_track_needs_no_negotiation() -> None:
    async with pair() as (a, b):
        sender = a.addTrack(pattern(320, 240))
        await connected(a, b)
        track = receiver(b, "video").track
        assert (await next_frame(track)).width == 320
        await sender.replaceTrack(pattern(640, 360))
        seen = await next_frame(track, lambda frame: frame.width == 640)
        assert seen.height == 360
        await sender.replaceTrack(None)
        await asyncio.sleep(0.1)
        sent = outbound_of(sender).streams[0].frames_sent  # type: ignore[union-attr]
        await asyncio.sleep(0.2)
        assert outbound_of(sender).streams[0].frames_sent == sent  # type: ignore[union-attr]
        await sender.replaceTrack(pattern(160, 120))
        await next_frame(track, lambda frame: frame.width == 160)
        assert a.signalingState == "stable"


async def test_time_goes_on_when_the_track_is_replaced() -> None:
    async with pair() as (a, b):
        old = pattern()
        sender = a.addTrack(old)
        await connected(a, b)
        track = receiver(b, "video").track
        reader = track.reader(max_queued=200)
        first = await reader.read()
        await sender.replaceTrack(pattern())
        rest = [await reader.read() for _ in range(15)]
        times = [float(frame.time or 0) for frame in (first, *rest)]
        steps = [y - x for x, y in itertools.pairwise(times)]
        assert all(0 < step < 1 for step in steps), steps
        reader.close()


async def test_nobody_reads_nothing_is_decoded() -> None:
    async with pair() as (a, b):
        a.addTrack(pattern())
        await connected(a, b)
        inbound: Any = inbound_of(receiver(b, "video"))
        await until_true(lambda: inbound.feeds[None].frames_received > 5)
        assert inbound.feeds[None].frames_decoded == 0
        assert not receiver(b, "video").track.muted
        assert await picture_numbers(receiver(b, "video").track, 2)
        await until_true(lambda: not inbound.feeds[None].main.is_demanded)
        decoded = inbound.feeds[None].frames_decoded
        await asyncio.sleep(0.2)
        assert inbound.feeds[None].frames_decoded <= decoded + 1


async def test_first_picture_comes_with_the_connection() -> None:
    async with pair() as (a, b):
        a.addTrack(pattern())
        await connected(a, b)
        async with asyncio.timeout(2.0):
            await next_frame(receiver(b, "video").track)


async def test_nothing_is_left_at_the_end() -> None:
    before = set(asyncio.all_tasks())
    async with pair() as (a, b):
        a.addTrack(pattern())
        a.addTrack(ToneSource(440).track())
        await connected(a, b)
        await next_frame(receiver(b, "video").track)
        await next_frame(receiver(b, "audio").track)
    await until_true(lambda: set(asyncio.all_tasks()) <= before, "the end of all tasks")
    del a, b
    gc.collect()
    await until_true(
        lambda: not [t for t in threading.enumerate() if t.name == "rtcstack-worker"],
        "the end of all threads",
    )


# -- statistics ---------------------------------------------------------------------------------------


# no timer is left behind: looked at after the test
async def test_statistics_of_media() -> None:
    async with pair() as (a, b):
        a.addTrack(pattern())
        a.addTrack(ToneSource(440).track())
        await connected(a, b)
        reading = [receiver(b, kind).track.reader() for kind in ("video", "audio")]
        await until_true(lambda: outbound_of(a.getSenders()[0]).streams[0].remote.reports)  # type: ignore[union-attr]
        await asyncio.sleep(0.5)
        sent, received = await a.getStats(), await b.getStats()
        for kind in ("audio", "video"):
            out = next(s for s in sent.of_type("outbound-rtp") if s["kind"] == kind)
            into = next(s for s in received.of_type("inbound-rtp") if s["kind"] == kind)
            assert out["ssrc"] == into["ssrc"]
            assert out["packetsSent"] >= into["packetsReceived"] > 0
            assert sent[out["codecId"]]["mimeType"] == received[into["codecId"]]["mimeType"]
            assert sent[out["mediaSourceId"]]["kind"] == kind
            assert sent[out["transportId"]]["type"] == "transport"
        video = next(s for s in received.of_type("inbound-rtp") if s["kind"] == "video")
        assert video["frameWidth"] == 320
        assert video["framesDecoded"] > 5
        remote = next(s for s in sent.of_type("remote-inbound-rtp") if s["kind"] == "video")
        assert remote["fractionLost"] == 0
        one = await a.getStats(a.getSenders()[0])
        assert {s["kind"] for s in one.of_type("outbound-rtp")} == {"video"}
        assert not one.of_type("inbound-rtp")
        for reader in reading:
            reader.close()


async def test_streams_keep_tracks_together() -> None:
    async with pair() as (a, b):
        stream = MediaStream()
        a.addTrack(pattern(), stream)
        a.addTrack(ToneSource(440).track(), stream)
        await connected(a, b)
        video, audio = receiver(b, "video"), receiver(b, "audio")
        assert receiver_part(video).streams == receiver_part(audio).streams
        readers = [video.track.reader(), audio.track.reader()]
        await asyncio.sleep(0.5)
        assert inbound_of(video).sync is inbound_of(audio).sync  # type: ignore[union-attr]
        for reader in readers:
            reader.close()
