"""Tracks, senders, receivers and statistics under aiortc's names."""

from __future__ import annotations

import asyncio
import datetime
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

from rtcstack.compat.aiortc import (
    AudioStreamTrack,
    MediaStreamError,
    MediaStreamTrack,
    RTCInboundRtpStreamStats,
    RTCOutboundRtpStreamStats,
    RTCPeerConnection,
    RTCRemoteInboundRtpStreamStats,
    RTCRemoteOutboundRtpStreamStats,
    RTCRtpCodecCapability,
    RTCRtpReceiver,
    RTCRtpSender,
    RTCTransportStats,
    VideoStreamTrack,
)
from rtcstack.compat.aiortc.codecs import vpx
from rtcstack.compat.aiortc.contrib.media import MediaBlackhole, MediaRelay
from rtcstack.compat.aiortc.mediastreams import VIDEO_CLOCK_RATE, VIDEO_TIME_BASE
from rtcstack.compat.aiortc.nativetracks import MAX_WAITING
from tests.conformance.aiortc.helpers import happens, negotiate, pair, until


class Red(VideoStreamTrack):
    """A red picture."""

    async def recv(self) -> Any:
        pts, time_base = await self.next_timestamp()
        picture = np.zeros((120, 160, 3), np.uint8)
        picture[:, :, 0] = 255
        frame = av.VideoFrame.from_ndarray(picture, "rgb24")
        frame.pts, frame.time_base = pts, time_base
        return frame


async def sent(
    a: RTCPeerConnection, b: RTCPeerConnection, *tracks: MediaStreamTrack
) -> list[MediaStreamTrack]:
    """Send tracks from one to the other."""
    found: list[MediaStreamTrack] = []
    b.on("track", found.append)
    for track in tracks:
        a.addTrack(track)
    await negotiate(a, b)
    return found


async def test_a_track_of_ones_own_arrives() -> None:
    async with pair() as (a, b):
        mine = Red()
        (track,) = await sent(a, b, mine)
        assert (track.kind, track.id, track.readyState) == ("video", mine.id, "live")
        frames: list[Any] = [await track.recv() for _ in range(3)]
        assert [frame.pts for frame in frames] == [0, 3000, 6000]
        assert frames[0].time_base == VIDEO_TIME_BASE == Fraction(1, VIDEO_CLOCK_RATE)
        red, green, blue = frames[2].to_ndarray(format="rgb24").mean(axis=(0, 1))
        assert red > 200
        assert green < 60
        assert blue < 60
        assert b.getReceivers()[0].track is track
        assert a.getSenders()[0].track is mine


async def test_silence_arrives_as_sound() -> None:
    async with pair() as (a, b):
        (track,) = await sent(a, b, AudioStreamTrack())
        frames: list[Any] = [await track.recv() for _ in range(5)]
        assert [frame.pts for frame in frames] == [0, 960, 1920, 2880, 3840]
        assert (frames[0].sample_rate, frames[0].samples) == (48_000, 960)


async def test_a_receiver_has_no_track_before_it_is_described() -> None:
    async with pair() as (a, b):
        transceiver = a.addTransceiver("audio", direction="recvonly")
        assert transceiver.receiver.track is None
        assert transceiver.mid is None
        b.addTrack(AudioStreamTrack())
        await negotiate(a, b)
        assert transceiver.receiver.track is not None
        assert transceiver.mid == "0"


async def test_the_end_of_a_track() -> None:
    async with pair() as (a, b):
        (track,) = await sent(a, b, AudioStreamTrack())
        await track.recv()
        ended = asyncio.ensure_future(happens(track, "ended"))
        await asyncio.sleep(0)
        track.stop()
        track.stop()
        await ended
        assert track.readyState == "ended"
        with pytest.raises(MediaStreamError):
            await track.recv()


async def test_who_waits_for_a_frame_is_told_of_the_end() -> None:
    async with pair() as (a, b):
        (track,) = await sent(a, b, AudioStreamTrack())
        await track.recv()

        async def read() -> None:
            while True:
                await track.recv()

        reading = asyncio.ensure_future(read())
        await b.close()
        with pytest.raises(MediaStreamError):
            await asyncio.wait_for(reading, 5)
        assert track.readyState == "ended"


async def test_the_queue_of_a_peers_track_is_bounded() -> None:
    async with pair() as (a, b):
        (track,) = await sent(a, b, AudioStreamTrack())
        await track.recv()
        await asyncio.sleep(10)
        queue = track._queue  # type: ignore[attr-defined]
        assert queue.qsize() == MAX_WAITING["audio"]
        while not queue.empty():
            queue.get_nowait()
        assert queue.qsize() == 0
        await track.recv()


async def test_another_track_is_sent_at_once() -> None:
    async with pair() as (a, b):
        (track,) = await sent(a, b, VideoStreamTrack())
        await track.recv()
        red = Red()
        assert a.getSenders()[0].replaceTrack(red) is None
        assert a.getSenders()[0].track is red
        async with asyncio.timeout(20):
            while True:
                frame: Any = await track.recv()
                if frame.to_ndarray(format="rgb24")[:, :, 0].mean() > 200:
                    break
        a.getSenders()[0].replaceTrack(None)
        assert a.getSenders()[0].track is None


async def test_a_recv_that_ends_ends_the_track_and_not_the_call() -> None:
    class Short(AudioStreamTrack):
        count = 0

        async def recv(self) -> Any:
            self.count += 1
            if self.count > 10:
                self.stop()
                raise MediaStreamError
            return await super().recv()

    async with pair() as (a, b):
        short = Short()
        (track,) = await sent(a, b, short)
        await track.recv()
        await until(lambda: short.readyState == "ended")
        await asyncio.sleep(1)
        assert a.connectionState == "connected"


async def test_codec_preferences() -> None:
    async with pair() as (a, b):
        transceiver = a.addTransceiver("video")
        codecs = RTCRtpSender.getCapabilities("video").codecs
        assert codecs == RTCRtpReceiver.getCapabilities("video").codecs
        assert [each.name for each in codecs] == ["VP8", "rtx", "H264", "H264"]
        h264 = [each for each in codecs if each.name == "H264"]
        transceiver.setCodecPreferences(h264)
        offer = await a.createOffer()
        assert "VP8" not in offer.sdp
        assert "rtx" not in offer.sdp
        transceiver.setCodecPreferences([])
        assert "VP8" in (await a.createOffer()).sdp
        with pytest.raises(ValueError, match="not in capabilities"):
            transceiver.setCodecPreferences([RTCRtpCodecCapability("video/nothing", 90_000)])
        with pytest.raises(AssertionError):
            transceiver.direction = "backwards"
        transceiver.direction = "recvonly"
        await negotiate(a, b)
        assert b.getTransceivers()[0].currentDirection == "inactive"


async def test_statistics_are_objects() -> None:
    async with pair() as (a, b):
        (track,) = await sent(a, b, AudioStreamTrack())
        blackhole = MediaBlackhole()
        blackhole.addTrack(track)
        await blackhole.start()
        await asyncio.sleep(12)  # for reports of both sides
        theirs, report = await b.getStats(), await a.getStats()  # what has arrived was sent before
        assert {type(each) for each in report.values()} == {
            RTCOutboundRtpStreamStats,
            RTCRemoteInboundRtpStreamStats,
            RTCTransportStats,
        }
        assert {type(each) for each in theirs.values()} == {
            RTCInboundRtpStreamStats,
            RTCRemoteOutboundRtpStreamStats,
            RTCTransportStats,
        }
        outbound = next(each for each in report.values() if isinstance(each, RTCOutboundRtpStreamStats))
        inbound = next(each for each in theirs.values() if isinstance(each, RTCInboundRtpStreamStats))
        assert outbound.packetsSent > 400
        assert 0 <= outbound.packetsSent - inbound.packetsReceived < 10
        assert (outbound.kind, outbound.type, inbound.ssrc) == ("audio", "outbound-rtp", outbound.ssrc)
        assert outbound.transportId in report
        assert isinstance(outbound.timestamp, datetime.datetime)
        assert outbound.timestamp.tzinfo is not None
        transport = report[outbound.transportId]
        assert isinstance(transport, RTCTransportStats)
        assert (transport.iceRole, transport.dtlsState) == ("controlling", "connected")
        assert transport.bytesSent > 0
        assert len(b.getReceivers()[0].getSynchronizationSources()) == 1
        await blackhole.stop()


async def test_a_relay_gives_every_reader_every_frame() -> None:
    async with pair() as (a, b):
        relay = MediaRelay()
        (track,) = await sent(a, b, AudioStreamTrack())
        first, second = relay.subscribe(track), relay.subscribe(track, buffered=False)
        assert {first.kind, second.kind} == {"audio"}

        async def read(reader: MediaStreamTrack) -> list[int]:
            frames: list[Any] = [await reader.recv() for _ in range(5)]
            return [frame.pts for frame in frames]

        got = await asyncio.gather(read(first), read(second))
        assert got[0] == got[1]
        first.stop()
        with pytest.raises(MediaStreamError):
            await first.recv()
        await second.recv()
        track.stop()
        with pytest.raises(MediaStreamError):
            await asyncio.wait_for(read(second), 5)


async def test_a_peers_track_is_sent_on() -> None:
    async with pair() as (a, b), pair() as (c, d):
        (track,) = await sent(a, b, Red())
        (again,) = await sent(c, d, track)
        frame: Any = await asyncio.wait_for(again.recv(), 20)
        assert frame.to_ndarray(format="rgb24")[:, :, 0].mean() > 200


async def test_the_rates_that_a_program_sets_limit_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vpx, "MAX_BITRATE", 100_000)
    async with pair() as (a, b):
        await sent(a, b, Red())
        encoding = a.getSenders()[0].native.getParameters().encodings[0]
        assert encoding.maxBitrate == 100_000
        assert encoding.maxFramerate is None


async def test_programs_ask_for_key_frames_on_both_sides() -> None:
    async def key_frames(pc: RTCPeerConnection) -> int:
        report = await pc.getSenders()[0].native.getStats()
        return sum(each.get("keyFramesEncoded", 0) for each in report.values())

    async with pair() as (a, b):
        (track,) = await sent(a, b, Red())
        for _ in range(10):
            await track.recv()
        before = await key_frames(a)
        a.getSenders()[0]._send_keyframe()
        await asyncio.sleep(2)
        between = await key_frames(a)
        assert between > before
        await b.getReceivers()[0]._send_rtcp_pli(1)
        await asyncio.sleep(2)
        assert await key_frames(a) > between


async def test_the_rates_that_a_program_sets_limit_who_answers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vpx, "MAX_BITRATE", 100_000)
    monkeypatch.setattr(vpx, "MAX_FRAME_RATE", 15)
    async with pair() as (a, b):
        a.addTransceiver("video", direction="recvonly")
        b.addTrack(Red())
        await negotiate(a, b)
        encoding = b.getSenders()[0].native.getParameters().encodings[0]
        assert (encoding.maxBitrate, encoding.maxFramerate) == (100_000, 15)


async def test_frames_of_a_receiver_that_is_not_enabled_are_not_kept() -> None:
    async with pair() as (a, b):
        (track,) = await sent(a, b, AudioStreamTrack())
        await track.recv()
        receiver = b.getReceivers()[0]
        receiver._enabled = False
        queue = track._queue  # type: ignore[attr-defined]
        while not queue.empty():
            queue.get_nowait()
        await asyncio.sleep(1)
        assert queue.empty()
        receiver._enabled = True
        await track.recv()
