"""getStats: shape, lifetime, ids, references and selectors.

Spec: webrtc-pc, sections 5.2, 5.3 and 8; webrtc-stats.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from rtcstack import (
    CallbackSink,
    InvalidAccessError,
    RTCPeerConnection,
    RTCRtpEncodingParameters,
    RTCStatsReport,
    TestPatternSource,
    ToneSource,
)
from tests.conformance.helpers import negotiate, open_channels, pair, until
from tests.support.stats_idl import faults
from tests.unit.test_statistics_page import rows

pytestmark = pytest.mark.asyncio


def one(report: RTCStatsReport, type_: str, kind: str | None = None) -> dict[str, Any]:
    """The only object of a type, and of a kind of media."""
    [found] = [each for each in report.of_type(type_) if kind is None or each["kind"] == kind]
    return found


async def connected(a: RTCPeerConnection, b: RTCPeerConnection) -> None:
    await negotiate(a, b)
    for side in (a, b):
        await until(lambda side=side: side.connectionState == "connected", side, "connectionstatechange")


async def call(a: RTCPeerConnection, b: RTCPeerConnection) -> list[CallbackSink]:
    """Sound, pictures and a channel both ways."""
    for side in (a, b):
        side.addTrack(ToneSource(440).track())
        side.addTrack(TestPatternSource(320, 240, 30).track())
    a.createDataChannel("x")
    await connected(a, b)
    return [CallbackSink(r.track, lambda frame: None) for side in (a, b) for r in side.getReceivers()]


async def test_every_member_of_a_call() -> None:
    async with pair() as (a, b):
        before = await a.getStats()
        assert [each["type"] for each in before.values()] == ["peer-connection"]
        sinks = await call(a, b)
        await asyncio.sleep(8)
        seen: dict[str, set[str]] = {}
        for side in (a, b):
            report = await side.getStats()
            assert faults(report) == []
            for stats in report.values():
                seen.setdefault(stats["type"], set()).update(stats)
                for name in stats.keys() - {"id", "type", "timestamp"}:
                    assert not rows(stats["type"])[name][1].startswith("absent:"), f"{stats['type']}.{name}"
        for kind, names in seen.items():
            for name, (_, _, test) in rows(kind).items():
                if test == "test_every_member_of_a_call":
                    assert name in names, f"{kind}.{name}"
        for sink in sinks:
            sink.stop()


async def test_a_report_is_a_mapping_that_json_can_write() -> None:
    async with pair() as (a, b):
        sinks = await call(a, b)
        await asyncio.sleep(2)
        report = await a.getStats()
        assert len(report) == report.size == len(list(report.entries())) == len(report.keys())
        first = next(iter(report))
        assert report.has(first)
        assert first in report
        assert report.get(first) is report[first]
        assert report.get("nothing") is None
        assert not report.has("nothing")
        met: list[str] = []
        report.forEach(lambda stats, identifier, whole: met.append(identifier))
        assert met == list(report) == [stats["id"] for stats in report.values()]
        assert json.loads(json.dumps(report.toJSON())) == dict(report)
        with pytest.raises(TypeError):
            report["x"] = {}  # type: ignore[index]
        again = await a.getStats()
        assert again[first] is not report[first], "what was returned never changes"
        for sink in sinks:
            sink.stop()


async def test_ids_are_stable_and_cannot_be_guessed() -> None:
    async with pair() as (a, b):
        sinks = await call(a, b)
        await asyncio.sleep(4)
        first = await a.getStats()
        await asyncio.sleep(4)
        second = await a.getStats()
        assert set(first) <= set(second)
        for identifier, stats in first.items():
            assert second[identifier]["type"] == stats["type"]
            for name, value in stats.items():
                is_counter = type(value) in (int, float) and name not in (
                    *("audioLevel", "jitter", "framesPerSecond", "targetBitrate", "availableOutgoingBitrate"),
                    *("currentRoundTripTime", "roundTripTime", "fractionLost"),
                )
                if is_counter:
                    assert second[identifier][name] >= value, f"{stats['type']}.{name} has fallen"
        other = await b.getStats()
        assert not set(second) & set(other)
        for sink in sinks:
            sink.stop()


async def test_a_selector_brings_what_it_references_and_nothing_else() -> None:
    async with pair() as (a, b):
        sinks = await call(a, b)
        await asyncio.sleep(5)
        sender = a.getSenders()[1]
        assert sender.track is not None
        by_sender, by_track = await sender.getStats(), await a.getStats(sender.track)
        for report in (by_sender, by_track):
            assert faults(report) == []
            assert {stats["type"] for stats in report.values()} == {
                *("outbound-rtp", "remote-inbound-rtp", "media-source", "codec", "transport"),
                *("certificate", "candidate-pair", "local-candidate", "remote-candidate"),
            }
            assert one(report, "outbound-rtp")["kind"] == "video"
            assert one(report, "media-source")["trackIdentifier"] == sender.track.id
            assert len(report.of_type("codec")) == len(report.of_type("candidate-pair")) == 1
        receiver = a.getReceivers()[0]
        for report in (await receiver.getStats(), await a.getStats(receiver.track)):
            assert faults(report) == []
            assert one(report, "inbound-rtp")["trackIdentifier"] == receiver.track.id
            assert one(report, "media-playout")["kind"] == "audio"
            assert not report.of_type("outbound-rtp")
            assert not report.of_type("media-source")
        for sink in sinks:
            sink.stop()


async def test_a_track_that_is_used_never_or_twice_selects_nothing() -> None:
    async with pair() as (a, b):
        track = ToneSource(440).track()
        with pytest.raises(InvalidAccessError):
            await a.getStats(track)
        a.addTrack(track)
        assert not await a.getStats(track), "nothing is sent yet"
        a.addTransceiver(track)
        with pytest.raises(InvalidAccessError):
            await a.getStats(track)
        await connected(a, b)
        received = b.getReceivers()[0].track
        await b.getStats(received)
        await b.getSenders()[0].replaceTrack(received)
        with pytest.raises(InvalidAccessError):
            await b.getStats(received)  # a sender's and a receiver's
        assert await a.getStats(None)


async def test_streams_are_there_from_their_beginning() -> None:
    async with pair() as (a, b):
        sender = a.addTransceiver("video").sender
        assert not (await a.getStats()).of_type("outbound-rtp")
        await a.setLocalDescription(await a.createOffer())
        assert not (await a.getStats()).of_type("outbound-rtp")
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription(await b.createAnswer())
        await a.setRemoteDescription(b.localDescription)
        outbound = one(await a.getStats(), "outbound-rtp")
        assert outbound["packetsSent"] == outbound["framesEncoded"] == outbound["hugeFramesSent"] == 0
        for name in ("mediaSourceId", "remoteId", "frameWidth", "encoderImplementation", "framesPerSecond"):
            assert name not in outbound
        assert outbound["encodingIndex"] == 0
        assert outbound["active"] is True
        assert not (await b.getStats()).of_type("inbound-rtp"), "before its first packet"
        await sender.replaceTrack(TestPatternSource(64, 64, 10).track())


async def test_a_source_lives_as_long_as_it_is_attached() -> None:
    async with pair() as (a, b):
        source = TestPatternSource(320, 240, 30)
        track = source.track()
        first, second = a.addTrack(track), a.addTransceiver(track).sender
        await connected(a, b)
        await asyncio.sleep(3)
        report = await a.getStats()
        shared = one(report, "media-source")
        assert {each["mediaSourceId"] for each in report.of_type("outbound-rtp")} == {shared["id"]}
        assert shared["frames"] == source.frames
        assert shared["framesPerSecond"] == pytest.approx(30, abs=1)
        await first.replaceTrack(None)
        await asyncio.sleep(1)
        after = one(await a.getStats(), "media-source")
        assert after["id"] == shared["id"]
        assert after["frames"] > shared["frames"]
        before = source.frames
        await second.replaceTrack(None)
        await first.replaceTrack(track)
        again = one(await a.getStats(), "media-source")
        assert again["id"] != shared["id"], "it was attached to nobody in between"
        assert again["frames"] == source.frames - before
        await asyncio.sleep(1)
        assert 0 < one(await a.getStats(), "media-source")["frames"] < 60


async def test_what_was_sent_stays_until_the_transceiver_has_stopped() -> None:
    async with pair() as (a, b):
        a.addTrack(ToneSource(440).track())
        transceiver = a.addTransceiver(TestPatternSource(320, 240, 30).track())
        await connected(a, b)
        await asyncio.sleep(2)
        sent = one(await a.getStats(), "outbound-rtp", "video")
        received = one(await b.getStats(), "inbound-rtp", "video")
        assert sent["active"] is True
        transceiver.direction = "inactive"
        await negotiate(a, b)
        paused = one(await a.getStats(), "outbound-rtp", "video")
        assert paused["id"] == sent["id"]
        assert paused["active"] is False
        assert one(await b.getStats(), "inbound-rtp", "video")["id"] == received["id"]
        transceiver.direction = "sendrecv"
        await negotiate(a, b)
        await asyncio.sleep(1)
        resumed = one(await a.getStats(), "outbound-rtp", "video")
        assert resumed["id"] == sent["id"]
        assert resumed["packetsSent"] > paused["packetsSent"]
        transceiver.stop()
        frozen = one(await a.getStats(), "outbound-rtp", "video")
        await asyncio.sleep(1)
        stopped = one(await a.getStats(), "outbound-rtp", "video")
        assert stopped["packetsSent"] == frozen["packetsSent"]
        assert stopped["active"] is False
        await negotiate(a, b)
        for report in (await a.getStats(), await b.getStats()):
            assert faults(report) == []
            kinds = {each["kind"] for each in report.values() if "ssrc" in each}
            assert kinds == {"audio"}


async def test_after_close_the_last_figures_stay() -> None:
    async with pair() as (a, b):
        sinks = await call(a, b)
        await asyncio.sleep(5)
        before = await a.getStats()
        a.close()
        for _ in range(2):
            after = await a.getStats()
            assert faults(after) == []
            assert {each["type"] for each in after.values()} == {each["type"] for each in before.values()}
            transport = one(after, "transport")
            assert transport["dtlsState"] == transport["iceState"] == "closed"
            assert one(after, "data-channel")["state"] == "closed"
            for kind in ("audio", "video"):
                was = one(before, "outbound-rtp", kind)
                assert one(after, "outbound-rtp", kind)["packetsSent"] >= was["packetsSent"]
            await asyncio.sleep(1)
        assert faults(await a.getSenders()[0].getStats()) == [] if a.getSenders() else True
        for sink in sinks:
            sink.stop()


async def test_what_nobody_reads_is_counted_too() -> None:
    async with pair() as (a, b):
        a.addTrack(ToneSource(440).track())
        a.addTrack(TestPatternSource(320, 240, 30).track())
        await connected(a, b)
        await asyncio.sleep(3)
        report = await b.getStats()
        assert faults(report) == []
        pictures, sound = (one(report, "inbound-rtp", kind) for kind in ("video", "audio"))
        assert (pictures["frameWidth"], pictures["frameHeight"]) == (320, 240)
        assert pictures["framesReceived"] > 60
        assert pictures["decoderImplementation"]
        for name in ("framesDecoded", "framesDropped", "jitterBufferEmittedCount", "qpSum", "pauseCount"):
            assert pictures[name] == 0
        source = one(await a.getStats(), "media-source", "audio")
        assert sound["audioLevel"] == pytest.approx(source["audioLevel"], rel=0.1)
        for name in ("concealedSamples", "concealmentEvents", "totalAudioEnergy", "totalSamplesReceived"):
            assert sound[name] == 0
        assert "playoutId" not in sound
        assert not report.of_type("media-playout")
        sinks = [CallbackSink(r.track, lambda frame: None) for r in b.getReceivers()]
        await asyncio.sleep(3)
        read = one(await b.getStats(), "inbound-rtp", "audio")
        assert read["jitterBufferEmittedCount"] > 2 * 48_000
        assert read["playoutId"]
        for sink in sinks:
            sink.stop()
        await asyncio.sleep(1)
        unread = one(await b.getStats(), "inbound-rtp", "audio")
        assert unread["jitterBufferEmittedCount"] >= read["jitterBufferEmittedCount"]
        assert "playoutId" not in unread


async def test_each_layer_of_simulcast_has_an_object() -> None:
    async with pair() as (a, b):
        encodings = [
            RTCRtpEncodingParameters(rid="lo", scaleResolutionDownBy=2),
            RTCRtpEncodingParameters(rid="hi", active=False),
        ]
        a.addTransceiver(
            TestPatternSource(320, 240, 30).track(), direction="sendonly", sendEncodings=encodings
        )
        await connected(a, b)
        await asyncio.sleep(2)
        report = await a.getStats()
        assert faults(report) == []
        found = {each["rid"]: each for each in report.of_type("outbound-rtp")}
        assert [found[rid]["encodingIndex"] for rid in ("lo", "hi")] == [0, 1]
        assert [found[rid]["active"] for rid in ("lo", "hi")] == [True, False]
        assert found["lo"]["frameWidth"] == 160
        assert "frameWidth" not in found["hi"]
        assert len({each["ssrc"] for each in found.values()}) == 2


async def test_closed_channels_are_told_of_for_a_while() -> None:
    async with pair() as (a, b):
        mine, _theirs = await open_channels(a, b)
        mine.send("hello")
        await asyncio.sleep(0.5)
        before = one(await a.getStats(), "data-channel")
        assert before["messagesSent"] == 1
        assert before["bytesSent"] == 5
        assert before["state"] == "open"
        assert one(await a.getStats(), "peer-connection")["dataChannelsRequested"] == 1
        assert one(await b.getStats(), "peer-connection")["dataChannelsAccepted"] == 1
        mine.close()
        await asyncio.sleep(1)
        report = await a.getStats()
        after = one(report, "data-channel")
        assert after["id"] == before["id"]
        assert after["state"] == "closed"
        assert after["messagesSent"] == 1
        assert one(report, "peer-connection")["dataChannelsClosed"] == 1
