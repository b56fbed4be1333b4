"""Statistics mean what webrtc-stats says: each figure is predicted from what the network is made to do.

Spec: webrtc-stats, sections 8.2 to 8.7 and 8.10.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pytest

from rtcstack import (
    CallbackSink,
    EncodedMedia,
    EncodedSource,
    MediaEncoder,
    MediaSettings,
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpReceiver,
    Settings,
    TestPatternSource,
    ToneSource,
    TrackSource,
    audio_frame,
)
from rtcstack.media.frames import audio_to_numpy
from rtcstack.rtp.pacer import Lane
from rtcstack.testing import Link
from tests.conformance.helpers import negotiate, pair, until
from tests.scenarios.world import here
from tests.support.insides import outbound_of

pytestmark = pytest.mark.asyncio


class Watched:
    """A call from `a` to `b`, whose pictures and sound are looked at."""

    def __init__(self, a: RTCPeerConnection, b: RTCPeerConnection) -> None:
        self.a = a
        self.b = b
        self.sinks = [CallbackSink(receiver.track, self._take) for receiver in b.getReceivers()]
        self.heard: list[np.ndarray] = []

    def _take(self, frame: Any) -> None:
        if hasattr(frame, "samples"):
            self.heard.append(audio_to_numpy(frame)[:, 0] / 32768)

    @property
    def link(self) -> Link:
        """On which all of `a`'s packets leave."""
        return here().host("alice").interfaces["eth0"].up

    async def inbound(self, kind: str) -> dict[str, Any]:
        report = await self.b.getStats()
        return next(s for s in report.of_type("inbound-rtp") if s["kind"] == kind)

    async def outbound(self, kind: str) -> dict[str, Any]:
        report = await self.a.getStats()
        return next(s for s in report.of_type("outbound-rtp") if s["kind"] == kind)

    async def source(self, kind: str) -> dict[str, Any]:
        report = await self.a.getStats()
        return next(s for s in report.of_type("media-source") if s["kind"] == kind)


def _is_connected(connection: RTCPeerConnection) -> bool:
    return connection.connectionState == "connected"


@asynccontextmanager
async def watched(
    *tracks: MediaStreamTrack, prefer: str | None = None, configuration: RTCConfiguration | None = None
) -> AsyncIterator[Watched]:
    async with pair(configuration) as (a, b):
        for track in tracks:
            a.addTrack(track)
        if prefer is not None:
            known = RTCRtpReceiver.getCapabilities("audio")
            assert known is not None
            names = (prefer, "audio/opus")[: 1 + (prefer == "audio/red")]
            wanted = [codec for name in names for codec in known.codecs if codec.mimeType == name]
            a.getTransceivers()[0].setCodecPreferences(wanted)
        await negotiate(a, b)
        for side in (a, b):
            await until(partial(_is_connected, side), side, "connectionstatechange")
        it = Watched(a, b)
        await asyncio.sleep(3)
        yield it
        for sink in it.sinks:
            sink.stop()


def pattern() -> MediaStreamTrack:
    return TestPatternSource(320, 240, 30).track()


async def test_levels_and_energy_of_a_tone() -> None:
    async with watched(ToneSource(440).track()) as it:
        before, sent_before = await it.inbound("audio"), await it.source("audio")
        it.heard.clear()
        await asyncio.sleep(5)
        after, sent = await it.inbound("audio"), await it.source("audio")
        sound = np.concatenate(it.heard)
        rms = float(np.sqrt((sound**2).mean()))
        assert rms > 0.05
        for was, now in ((before, after), (sent_before, sent)):
            seconds = now["totalSamplesDuration"] - was["totalSamplesDuration"]
            energy = now["totalAudioEnergy"] - was["totalAudioEnergy"]
            assert seconds == pytest.approx(5, abs=0.05)
            assert (energy / seconds) ** 0.5 == pytest.approx(rms, rel=0.03)
            assert now["audioLevel"] == pytest.approx(rms, rel=0.1)
        samples = after["totalSamplesReceived"] - before["totalSamplesReceived"]
        assert samples == pytest.approx(5 * 48_000, abs=1_000)


@pytest.mark.parametrize(
    ("codec", "rate"), [("audio/opus", 48_000), ("audio/G722", 16_000), ("audio/PCMU", 8_000)]
)
async def test_what_is_counted_in_samples_is(codec: str, rate: int) -> None:
    async with watched(ToneSource(440).track(), prefer=codec) as it:
        before = await it.inbound("audio")
        await asyncio.sleep(5)
        after = await it.inbound("audio")
        for name in ("jitterBufferEmittedCount", "totalSamplesReceived"):
            assert after[name] - before[name] == pytest.approx(5 * rate, rel=0.02)
        emitted = after["jitterBufferEmittedCount"] - before["jitterBufferEmittedCount"]
        held_s = (after["jitterBufferDelay"] - before["jitterBufferDelay"]) / emitted
        assert 0.005 < held_s < 0.1
        processed_s = (after["totalProcessingDelay"] - before["totalProcessingDelay"]) / emitted
        assert processed_s == pytest.approx(held_s, abs=0.005)
        # a pause in the network is a tenth of a second of sound that is made up
        it.link.is_up = False
        await asyncio.sleep(0.1)
        it.link.is_up = True
        await asyncio.sleep(2)
        lost = await it.inbound("audio")
        assert lost["concealedSamples"] - after["concealedSamples"] == pytest.approx(
            0.1 * rate, abs=0.045 * rate
        )
        assert lost["concealmentEvents"] - after["concealmentEvents"] >= 1
        assert lost["packetsLost"] - after["packetsLost"] == 5


async def test_sound_that_comes_too_late_is_discarded_and_makes_the_delay_grow() -> None:
    async with watched(ToneSource(440).track()) as it:
        await asyncio.sleep(12)  # one interruption in so long a time is not prepared for
        before = await it.inbound("audio")
        usual_s = it.link.delay_s
        it.link.delay_s = usual_s + 0.4
        await asyncio.sleep(0.2)  # ten packets take longer, and what comes behind waits for them
        it.link.delay_s = usual_s
        await asyncio.sleep(10)
        after = await it.inbound("audio")
        rate = 48_000
        inserted = after["insertedSamplesForDeceleration"] - before["insertedSamplesForDeceleration"]
        removed = after["removedSamplesForAcceleration"] - before["removedSamplesForAcceleration"]
        # the delay grew by as much as the packets were late, and came back
        assert inserted == pytest.approx(0.4 * rate, abs=0.1 * rate)
        assert removed == pytest.approx(inserted, abs=0.1 * rate)
        assert after["packetsLost"] == before["packetsLost"]


async def test_a_packet_that_is_overtaken_by_far_is_discarded() -> None:
    async with watched(ToneSource(440).track()) as it:
        before = await it.inbound("audio")
        it.link.reorder_s, it.link.reorder = 0.5, 1.0
        await asyncio.sleep(0.0199)  # one packet
        it.link.reorder = 0.0
        await asyncio.sleep(3)
        after = await it.inbound("audio")
        assert after["packetsDiscarded"] - before["packetsDiscarded"] == 1
        assert after["packetsLost"] == before["packetsLost"]


async def test_packets_that_are_asked_for_again_are_the_ones_that_were_lost() -> None:
    async with watched(pattern()) as it:
        await asyncio.sleep(
            3
        )  # the probes at the beginning repeat packets, too, but not because they were lost
        sent, received = await it.outbound("video"), await it.inbound("video")
        lost: list[bytes] = []
        ssrc = sent["ssrc"].to_bytes(4, "big")

        def lose_every_tenth(packet: Any) -> bool:
            data = packet[2]
            if isinstance(data, bytes) and data[8:12] == ssrc and len(data) > 40 and len(lost) < 7:
                lose_every_tenth.seen += 1  # type: ignore[attr-defined]
                if lose_every_tenth.seen % 10 == 0:  # type: ignore[attr-defined]
                    lost.append(data)
                    return False
            return True

        lose_every_tenth.seen = 0  # type: ignore[attr-defined]
        it.link.filter = lose_every_tenth
        await asyncio.sleep(8)
        after, at_peer = await it.outbound("video"), await it.inbound("video")
        assert len(lost) == 7
        assert after["retransmittedPacketsSent"] - sent["retransmittedPacketsSent"] == 7
        assert at_peer["retransmittedPacketsReceived"] - received["retransmittedPacketsReceived"] == 7
        assert at_peer["packetsLost"] - received["packetsLost"] in (0, 7)
        payload = sum(len(data) for data in lost)
        assert after["retransmittedBytesSent"] - sent["retransmittedBytesSent"] == pytest.approx(
            payload, rel=0.1
        )


async def test_freezes_and_pauses_of_pictures() -> None:
    async with watched(pattern()) as it:
        before = await it.inbound("video")
        assert before["framesRendered"] > 60
        for outage_s in (0.5, 6.0):
            it.link.is_up = False
            await asyncio.sleep(outage_s)
            it.link.is_up = True
            await asyncio.sleep(4)
        after = await it.inbound("video")
        assert after["freezeCount"] - before["freezeCount"] >= 1
        assert after["pauseCount"] - before["pauseCount"] == 1
        assert after["totalPausesDuration"] - before["totalPausesDuration"] == pytest.approx(6.3, abs=0.4)
        rendered = after["framesRendered"] - before["framesRendered"]
        delays = after["totalInterFrameDelay"] - before["totalInterFrameDelay"]
        assert delays == pytest.approx(14.5, abs=0.2)
        assert 0 < after["jitterBufferDelay"] / after["jitterBufferEmittedCount"] < 0.2
        assert rendered < 8.5 * 30
        assert after["totalSquaredInterFrameDelay"] > 36


async def test_one_encoder_counts_each_frame_once() -> None:
    encoder = MediaEncoder(pattern(), "video/VP8", bitrate_bps=300_000)
    taken: list[Any] = []
    sink = CallbackSink(encoder.track(), taken.append)
    await asyncio.sleep(2)
    sink.stop()
    assert encoder.frames == len(taken) > 50
    encoder.end()


async def test_a_limit_that_is_taken_away_limits_nothing_any_more() -> None:
    async with watched(ToneSource(440).track()) as it:
        sender = it.a.getSenders()[0]

        async def rate_bps() -> float:
            await asyncio.sleep(1)
            before = (await it.outbound("audio"))["bytesSent"]
            await asyncio.sleep(3)
            return float((await it.outbound("audio"))["bytesSent"] - before) * 8 / 3

        usual = await rate_bps()
        for limit, least, most in ((8_000, 0.0, 0.6 * usual), (None, 0.8 * usual, 1.2 * usual)):
            parameters = sender.getParameters()
            parameters.encodings[0].maxBitrate = limit
            await sender.setParameters(parameters)
            assert least < await rate_bps() < most


async def test_what_the_content_is_said_to_be_reaches_a_running_encoder() -> None:
    sound, pictures = ToneSource(440).track(), pattern()
    async with watched(sound, pictures) as it:
        hints = {"audio": [], "video": []}  # type: ignore[var-annotated]
        for sender in it.a.getSenders():
            outbound: Any = outbound_of(sender)
            assert sender.track is not None
            kind = sender.track.kind
            hints[kind].append(outbound if kind == "audio" else outbound.layers[0])
        (audio,), (video,) = hints["audio"], hints["video"]
        first = audio._coder, video._coder
        sound.contentHint, pictures.contentHint = "speech", "detail"
        await asyncio.sleep(1)
        assert audio._coder is not first[0]
        assert video._coder is not first[1]
        assert (audio._hint, video._hint) == ("speech", "detail")
        # and so does another track's
        second = audio._coder
        other = ToneSource(880).track()
        other.contentHint = "music"
        await it.a.getSenders()[0].replaceTrack(other)
        await asyncio.sleep(1)
        assert audio._coder is not second
        assert audio._hint == "music"
        after = await it.inbound("video")
        assert after["framesDecoded"] > 100


async def test_silence_that_is_not_sent_is_no_loss() -> None:
    source = TrackSource("audio")
    settings = RTCConfiguration(settings=Settings(media=MediaSettings(opus_dtx=True)))
    async with watched(source.track(), configuration=settings) as it:
        rng = np.random.default_rng(1)

        async def say(level: float, seconds: float) -> None:
            for _ in range(round(seconds * 50)):
                noise = (rng.standard_normal(960) * level * 32767).clip(-32768, 32767).astype(np.int16)
                source.push(audio_frame(noise, 48_000))
                await asyncio.sleep(0.02)

        await say(0.1, 2)
        await it.inbound("audio")
        packets = []
        for level in (0.0, 0.1, 0.0, 0.1):
            before = (await it.outbound("audio"))["packetsSent"]
            await say(level, 2)
            packets.append((await it.outbound("audio"))["packetsSent"] - before)
        assert packets[1] > 95
        assert packets[3] > 95
        assert packets[0] < 50
        assert packets[2] < 50
        after = await it.inbound("audio")
        assert after["concealedSamples"] == after["concealmentEvents"] == after["packetsLost"] == 0


class Wire:
    """What leaves `a` of one stream and its retransmissions, by the unencrypted headers."""

    def __init__(self, link: Link, *ssrcs: int | None) -> None:
        self.packets = 0
        self.bytes = 0
        self.headers = 0
        self._ssrcs = {ssrc.to_bytes(4, "big") for ssrc in ssrcs if ssrc is not None}
        link.filter = self._count

    def _count(self, packet: Any) -> bool:
        data = packet[2]
        if isinstance(data, bytes) and data[8:12] in self._ssrcs:
            self.packets += 1
            self.bytes += len(data) - 16  # the tag of AES-GCM (RFC 7714, section 5.1)
            self.headers += 12
            if data[0] & 0x10:
                self.headers += 4 + 4 * int.from_bytes(data[14:16], "big")
        return True


SENT = ("packetsSent", "bytesSent", "headerBytesSent", "retransmittedPacketsSent", "retransmittedBytesSent")
RECEIVED = (
    "packetsReceived",
    "bytesReceived",
    "headerBytesReceived",
    "retransmittedPacketsReceived",
    "retransmittedBytesReceived",
)


def grown(before: dict[str, Any], after: dict[str, Any], names: tuple[str, ...]) -> tuple[int, ...]:
    """By how much each figure has grown; retransmissions are not told of where RTX is not agreed."""
    return tuple(after.get(name, 0) - before.get(name, 0) for name in names)


async def test_tones_are_counted_as_packets_of_their_stream() -> None:
    async with watched(ToneSource(440).track()) as it:
        sender = it.a.getSenders()[0]
        await sender.replaceTrack(MediaStreamTrack("audio"))  # which gives nothing
        await asyncio.sleep(1)
        sent, received = await it.outbound("audio"), await it.inbound("audio")
        transport = (await it.a.getStats()).of_type("transport")[0]
        wire = Wire(it.link, sent["ssrc"])
        assert sender.dtmf is not None
        sender.dtmf.insertDTMF("12", 100, 70)
        await asyncio.sleep(1)
        # each 20 ms while it lasts, and its end three times (RFC 4733, section 2.5.1.4), of four bytes
        packets = 2 * (4 + 3)
        assert (wire.packets, wire.bytes - wire.headers) == (packets, 4 * packets)
        after, at_peer = await it.outbound("audio"), await it.inbound("audio")
        expected = (packets, 4 * packets, wire.headers, 0, 0)
        assert grown(sent, after, SENT) == expected
        assert grown(received, at_peer, RECEIVED) == expected
        assert at_peer["packetsLost"] == at_peer["packetsDiscarded"] == 0
        after_transport = (await it.a.getStats()).of_type("transport")[0]
        # and what RTCP there was
        assert after_transport["packetsSent"] - transport["packetsSent"] >= packets
        assert after_transport["bytesSent"] - transport["bytesSent"] >= wire.bytes + 16 * packets


async def test_tones_in_the_middle_of_sound_are_no_loss() -> None:
    async with watched(ToneSource(440).track()) as it:
        sender = it.a.getSenders()[0]
        before = await it.inbound("audio")
        assert before["concealedSamples"] == 0
        assert sender.dtmf is not None
        sender.dtmf.insertDTMF("12", 100, 70)
        await asyncio.sleep(2)
        after = await it.inbound("audio")
        assert after["packetsLost"] == after["packetsDiscarded"] == 0
        assert after["concealedSamples"] == after["concealmentEvents"] == 0


@pytest.mark.parametrize("size", [1000, 20])
async def test_what_probes_for_bandwidth_is_counted_as_what_it_is(size: int) -> None:
    source = EncodedSource("video/VP8")
    async with watched(source.track()) as it:

        def push(number: int) -> None:
            head = bytes.fromhex("3001009d012a40004000") if number == 0 else b"\x31\x01\x00"
            frame = head + bytes(size)
            source.push_encoded(
                EncodedMedia("video/VP8", frame, number * 3000, Fraction(1, 90_000), key_frame=number == 0)
            )

        for number in range(60):
            push(number)
            await asyncio.sleep(1 / 30)
        await asyncio.sleep(8)  # what is probed with after the last picture is over
        for number in range(60, 70):
            push(number)
            await asyncio.sleep(1 / 30)
        await asyncio.sleep(1)
        sent, received = await it.outbound("video"), await it.inbound("video")
        outbound: Any = outbound_of(it.a.getSenders()[0])
        stream = outbound.layers[0].stream
        wire = Wire(it.link, sent["ssrc"], sent["rtxSsrc"])
        padding = [stream.make_padding(3000)]
        assert stream._pacer.push(padding[0], Lane.RETRANSMISSION)
        outbound.transport.wake()
        await asyncio.sleep(0.5)
        it.link.filter = None
        packets = padding[0]
        payload = sum(len(packet.payload) for packet in packets)
        filling = sum(packet.padding for packet in packets)
        repeated = sum(bool(packet.payload) for packet in packets)
        if size >= 224:
            assert (repeated, filling) == (len(packets), 0)
            # what follows the number of the original is what was sent: the payload descriptor and the frame
            assert payload > len(packets) * (size + 2)
        else:
            assert (repeated, payload) == (0, 0)
            assert filling == 224 * len(packets)
        assert wire.packets == len(packets)
        assert wire.bytes == wire.headers + payload + filling
        expected = (len(packets), payload, wire.headers + filling, repeated, payload)
        assert grown(sent, await it.outbound("video"), SENT) == expected
        assert grown(received, await it.inbound("video"), RECEIVED) == expected
        after = await it.inbound("video")
        assert after["packetsLost"] == 0
        # RFC 3550, section 6.4.1: the report's octets are those of its own stream
        report = stream.sender_report(asyncio.get_running_loop().time())
        await asyncio.sleep(6)
        remote = [s for s in (await it.b.getStats()).of_type("remote-outbound-rtp") if s["kind"] == "video"]
        assert remote[0]["packetsSent"] == report.packet_count == 70
        assert remote[0]["bytesSent"] == report.octet_count
        source.end()


@pytest.mark.parametrize("redundant", [False, True])
async def test_the_first_sound_is_no_loss(redundant: bool) -> None:
    async with watched(ToneSource(440).track(), prefer="audio/red" if redundant else None) as it:
        received = await it.inbound("audio")
        assert received["jitterBufferEmittedCount"] > 48_000
        assert received["concealedSamples"] == received["concealmentEvents"] == 0
        assert received["packetsLost"] == received["packetsDiscarded"] == 0
        # and what is in RED has a clock, too
        await asyncio.sleep(6)
        report = await it.b.getStats()
        assert report.of_type("remote-outbound-rtp")[0]["packetsSent"] > 0


async def test_delays_follow_jitterbuffertarget() -> None:
    async with watched(ToneSource(440).track(), pattern()) as it:
        for receiver in it.b.getReceivers():
            receiver.jitterBufferTarget = 500
        await asyncio.sleep(3)
        before = {kind: await it.inbound(kind) for kind in ("audio", "video")}
        await asyncio.sleep(5)
        for kind, was in before.items():
            now = await it.inbound(kind)
            emitted = now["jitterBufferEmittedCount"] - was["jitterBufferEmittedCount"]
            held, target, minimum = (
                (now[f"jitterBuffer{name}Delay"] - was[f"jitterBuffer{name}Delay"]) / emitted
                for name in ("", "Target", "Minimum")
            )
            assert target == pytest.approx(0.5, abs=0.03), kind
            assert held == pytest.approx(0.5, abs=0.1), kind
            assert minimum < 0.1, kind


async def test_playout_times_tell_how_far_sound_and_pictures_are_apart() -> None:
    async with watched(ToneSource(440).track(), pattern()) as it:
        await asyncio.sleep(8)
        sound, pictures = await it.inbound("audio"), await it.inbound("video")
        apart_ms = sound["estimatedPlayoutTimestamp"] - pictures["estimatedPlayoutTimestamp"]
        assert abs(apart_ms) < 80
        # by the sender's clock, which began in 1900 and is the network's here: what plays is a little old
        old_ms = sound["timestamp"] + 2_208_988_800_000 - sound["estimatedPlayoutTimestamp"]
        assert 0 < old_ms < 300


async def test_copies_of_sound_are_counted() -> None:
    async with watched(ToneSource(440).track(), prefer="audio/red") as it:
        before = await it.inbound("audio")
        await asyncio.sleep(5)
        after = await it.inbound("audio")
        packets = after["packetsReceived"] - before["packetsReceived"]
        copies = after["fecPacketsReceived"] - before["fecPacketsReceived"]
        assert copies == packets, "each has one of the sound before it"
        assert after["fecPacketsDiscarded"] - before["fecPacketsDiscarded"] == copies, "none is needed"
        lost = 0

        def lose_every_tenth(packet: Any) -> bool:
            nonlocal lost
            is_media = len(packet[2]) > 100
            lost += is_media
            return not is_media or lost % 10 != 0

        it.link.filter = lose_every_tenth
        await asyncio.sleep(5)
        it.link.filter = None
        await asyncio.sleep(1)
        end = await it.inbound("audio")
        needed = (end["fecPacketsReceived"] - after["fecPacketsReceived"]) - (
            end["fecPacketsDiscarded"] - after["fecPacketsDiscarded"]
        )
        assert needed == end["packetsLost"] - after["packetsLost"] > 15
        assert end["concealedSamples"] == after["concealedSamples"]


async def test_the_peers_figures_are_its_own() -> None:
    async with watched(ToneSource(440).track(), pattern()) as it:
        await asyncio.sleep(5)
        for kind in ("audio", "video"):
            ours, theirs = await it.a.getStats(), await it.b.getStats()
            sent = next(s for s in ours.of_type("outbound-rtp") if s["kind"] == kind)
            told = ours[sent["remoteId"]]
            received = next(s for s in theirs.of_type("inbound-rtp") if s["kind"] == kind)
            assert told["localId"] == sent["id"]
            # a report is as old as its timestamp says, and packets of retransmissions are not in it
            own = received["packetsReceived"] - received.get("retransmittedPacketsReceived", 0)
            age_s = (ours[sent["id"]]["timestamp"] - told["timestamp"]) / 1000
            assert own - 60 * (age_s + 0.1) <= told["packetsReceived"] <= own
            assert told["packetsLost"] == received["packetsLost"] == 0
            assert told["jitter"] == pytest.approx(received["jitter"], abs=0.001)
            pair = next(s for s in ours.of_type("candidate-pair") if s["nominated"])
            assert told["roundTripTime"] == pytest.approx(pair["currentRoundTripTime"], abs=0.005)
            mean = told["totalRoundTripTime"] / told["roundTripTimeMeasurements"]
            assert mean == pytest.approx(told["roundTripTime"], abs=0.01)
            remote = theirs[received["remoteId"]]
            first_hand = sent["packetsSent"] - sent["retransmittedPacketsSent"]
            assert first_hand - 60 * 6 <= remote["packetsSent"] <= first_hand
            assert remote["reportsSent"] >= 1
            assert abs(remote["timestamp"] - remote["remoteTimestamp"]) < 100


async def test_an_estimate_of_the_receiver_is_told() -> None:
    async with pair() as (a, b):
        a.addTransceiver(pattern(), direction="sendonly")
        await a.setLocalDescription(await a.createOffer())
        assert a.localDescription is not None
        lines = a.localDescription.sdp.splitlines(keepends=True)
        offer = "".join(line for line in lines if "transport-cc" not in line and "transport-wide" not in line)
        await b.setRemoteDescription({"type": "offer", "sdp": offer})
        await b.setLocalDescription(await b.createAnswer())
        assert b.localDescription is not None
        await a.setRemoteDescription(b.localDescription)
        await asyncio.sleep(8)
        [selected] = [s for s in (await b.getStats()).of_type("candidate-pair") if s["nominated"]]
        assert selected["availableIncomingBitrate"] > 100_000
