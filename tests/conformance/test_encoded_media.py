"""Frames and packets that the application takes, changes and hands in itself.

Spec: webrtc-encoded-transform; webrtc-pc, section 5.2.
"""

from __future__ import annotations

import asyncio
import itertools
from fractions import Fraction
from typing import Any

import pytest

from rtcstack import (
    CallbackSink,
    EncodedMedia,
    EncodedSource,
    InvalidStateError,
    MediaEncoder,
    NotFoundError,
    RTCRtpScriptTransform,
    RTCRtpSender,
    ToneSource,
)
from rtcstack.api.sender import sender_part
from tests.conformance.helpers import happens, pair, rejects
from tests.conformance.media import (
    connected,
    dominant_hz,
    next_frame,
    pattern,
    picture_numbers,
    receiver,
    until_true,
)
from tests.scenarios.media import Speech, Taken
from tests.support.insides import inbound_of, outbound_of


async def test_transforms_in_both_directions() -> None:
    async def flip(transformer: Any) -> None:
        async for frame in transformer.readable:
            frame.data = frame.data[:10] + bytes(byte ^ transformer.options for byte in frame.data[10:])
            transformer.writable.write(frame)

    async with pair() as (a, b):
        video, audio = a.addTrack(pattern()), a.addTrack(ToneSource(440).track())
        video.transform = RTCRtpScriptTransform(flip, 0x5A)
        audio.transform = RTCRtpScriptTransform(flip, 0x33)
        await connected(a, b)
        seen: list[Any] = []

        def unflip(frame: Any) -> Any:
            seen.append(frame.getMetadata())
            frame.data = frame.data[:10] + bytes(byte ^ 0x5A for byte in frame.data[10:])
            return frame

        receiver(b, "video").transform = RTCRtpScriptTransform(unflip)
        receiver(b, "audio").transform = RTCRtpScriptTransform(flip, 0x33)
        numbers = await picture_numbers(receiver(b, "video").track, 3)
        assert None not in numbers
        assert await dominant_hz(receiver(b, "audio").track) == pytest.approx(440, abs=5)
        assert seen[0].mimeType == "video/VP8"
        assert seen[0].synchronizationSource == sender_part(video).ssrcs[0].ssrc


async def test_a_transform_that_drops_frames_lets_none_pass() -> None:
    async with pair() as (a, b):
        sender = a.addTrack(pattern())
        sender.transform = RTCRtpScriptTransform(lambda frame: None)
        await connected(a, b)
        await until_true(
            lambda: outbound_of(sender) is not None and outbound_of(sender).layers[0].counts.frames > 3
        )  # type: ignore[union-attr]
        assert outbound_of(sender).streams[0].frames_sent == 0  # type: ignore[union-attr]
        sender.transform = None
        await next_frame(receiver(b, "video").track)


async def test_a_transform_that_raises_harms_nothing(
    expects_loop_exceptions: list[dict[str, Any]],
) -> None:

    def bad(frame: Any) -> Any:
        raise RuntimeError("no")

    async with pair() as (a, b):
        sender = a.addTrack(pattern())
        transform = sender.transform = RTCRtpScriptTransform(bad)
        await connected(a, b)
        await until_true(lambda: transform.failures > 3)
        assert len(expects_loop_exceptions) == 1
        with pytest.raises(InvalidStateError):
            receiver(b, "video").transform = transform
        sender.transform = None
        await next_frame(receiver(b, "video").track)


async def test_key_frames_are_made_when_asked_for() -> None:
    async with pair() as (a, b):
        sender = a.addTrack(pattern())
        await connected(a, b)
        await next_frame(receiver(b, "video").track)
        layer = outbound_of(sender).layers[0]  # type: ignore[union-attr]
        before = layer.counts.key_frames
        await sender.generateKeyFrame()
        await until_true(lambda: layer.counts.key_frames == before + 1)
        await asyncio.sleep(0.4)
        receiver(b, "video").requestKeyFrame()
        await until_true(lambda: layer.counts.key_frames == before + 2)
        await rejects(NotFoundError, sender.generateKeyFrame(["x"]))


async def test_a_received_stream_is_sent_on_without_decoding() -> None:
    async with pair() as (a, b), pair() as (c, d):
        a.addTrack(pattern())
        a.addTrack(ToneSource(440).track())
        await connected(a, b)
        c.addTrack(receiver(b, "video").encodedTrack)
        c.addTrack(receiver(b, "audio").encodedTrack)
        await connected(c, d)
        numbers = await picture_numbers(receiver(d, "video").track, 5)
        assert numbers == list(range(numbers[0], numbers[0] + 5))  # type: ignore[arg-type]
        assert await dominant_hz(receiver(d, "audio").track) == pytest.approx(440, abs=5)
        inbound: Any = inbound_of(receiver(b, "video"))
        assert inbound.feeds[None].frames_decoded == 0


async def test_packets_are_sent_on_untouched() -> None:
    async with pair() as (a, b), pair() as (c, d):
        a.addTrack(pattern())
        await connected(a, b)
        sender = c.addTransceiver("video", direction="sendonly").sender
        await connected(c, d)
        source = receiver(b, "video")
        source.setPacketSink(lambda packets: sender.sendPackets(packets, source.headerExtensionIds))
        asked: list[float] = []
        sender.on("keyframerequest", source.requestKeyFrame)
        sender.on("keyframerequest", lambda event: asked.append(event.timeStamp))
        assert len(await picture_numbers(receiver(d, "video").track, 5)) == 5
        assert asked  # by the peer, that cannot begin without one
        asked.clear()
        for _ in range(60):
            sender_part(sender)._on_key_frame_requested()  # a peer that asks without end
            await asyncio.sleep(0.01)
        assert 5 <= len(asked) <= 7
        assert all(b - a > 95 for a, b in itertools.pairwise(asked))
        with pytest.raises(InvalidStateError):
            a.getSenders()[0].sendPackets([])
        with pytest.raises(ValueError, match="sendPackets"):
            sender.sendPackets([b"no packet"])
        source.setPacketSink(None)  # before what it sends on with is closed


async def test_what_the_application_hands_in_may_raise(
    expects_loop_exceptions: list[dict[str, Any]],
) -> None:

    def bad(*_arguments: Any) -> None:
        raise RuntimeError("no")

    async with pair() as (a, b), pair() as (c, d):
        a.addTrack(pattern())
        await connected(a, b)
        receiver(b, "video").setPacketSink(bad)
        CallbackSink(receiver(b, "video").track, bad)
        assert await picture_numbers(receiver(b, "video").track, 3)
        source = EncodedSource("video/VP8", on_key_frame_wanted=bad)
        c.addTrack(source.track())
        await connected(c, d)
        await until_true(lambda: source.is_demanded)
        receiver(d, "video").requestKeyFrame()
        source.request_key_frame()
    said = {context["message"].partition(":")[0] for context in expects_loop_exceptions}
    assert said >= {"exception in a packet sink", "exception in on_key_frame_wanted"}
    assert "exception in a sink of a track" in said


async def test_one_encoder_serves_many_senders() -> None:
    async with pair() as (a, b), pair() as (c, d):
        encoder = MediaEncoder(pattern(), "video/VP8", bitrate_bps=500_000)
        a.addTrack(encoder.track())
        c.addTrack(encoder.track())
        await connected(a, b)
        assert await picture_numbers(receiver(b, "video").track, 3)
        await connected(c, d)
        assert await picture_numbers(receiver(d, "video").track, 3)
        assert encoder.frames > 0
        assert encoder.key_frames_wanted >= 1


async def test_frames_that_were_encoded_elsewhere_are_sent() -> None:
    source = EncodedSource("audio/opus")
    async with pair() as (a, b):
        a.addTrack(source.track())
        await connected(a, b)
        wanted: list[EncodedMedia] = []
        encoder = MediaEncoder(ToneSource(700).track(), "audio/opus")
        tap = encoder.track().reader()
        async with asyncio.timeout(5):
            while len(wanted) < 30:
                frame: Any = await tap.read()
                wanted.append(frame)
                source.push_encoded(frame)
                if len(wanted) == 1:
                    got = receiver(b, "audio").encodedTrack.reader()
        first: Any = await got.read()
        assert isinstance(first, EncodedMedia)
        assert first.data in [frame.data for frame in wanted]
        tap.close()
        got.close()


async def test_encoded_frames_of_another_codec_are_told_and_dropped() -> None:
    async with pair() as (a, b):
        source = EncodedSource("audio/G722")
        sender = a.addTrack(source.track())
        capabilities = RTCRtpSender.getCapabilities("audio")
        assert capabilities is not None
        opus = [codec for codec in capabilities.codecs if codec.mimeType == "audio/opus"]
        a.getTransceivers()[0].setCodecPreferences(opus)
        await connected(a, b)
        await until_true(lambda: source.is_demanded)
        told = asyncio.ensure_future(happens(sender, "error"))
        await asyncio.sleep(0)
        source.push_encoded(EncodedMedia("audio/G722", bytes(160), 0, Fraction(1, 8000)))
        event = await told
        assert "G722" in str(event.error)


async def test_encoded_sound_comes_out_of_red() -> None:
    async with pair() as (a, b):
        speech = Speech()
        a.addTrack(speech.start())
        known = RTCRtpSender.getCapabilities("audio")
        assert known is not None
        chosen = [each for each in known.codecs if each.mimeType in ("audio/red", "audio/opus")]
        a.getTransceivers()[0].setCodecPreferences(
            sorted(chosen, key=lambda each: each.mimeType, reverse=True)
        )
        await connected(a, b)
        taken = Taken(receiver(b, "audio").encodedTrack)
        await until_true(lambda: len(taken.numbers) >= 30)
        stats = await receiver(b, "audio").getStats()
        (inbound,) = stats.of_type("inbound-rtp")
        assert stats[inbound["codecId"]]["mimeType"] == "audio/red"
        assert taken.broken == 0
        assert taken.numbers == list(range(taken.numbers[0], taken.numbers[-1] + 1))
        taken.stop()
        speech.stop()
