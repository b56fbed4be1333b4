"""SFrame transforms: what is sealed at one end is opened at the other, and nobody else can.

Spec: webrtc-encoded-transform, section 6; RFC 9605.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import numpy as np
import pytest

from rtcstack import (
    CallbackSink,
    InvalidModificationError,
    InvalidStateError,
    RTCRtpScriptTransform,
    RTCRtpSender,
    SFrameCipherSuite,
    SFrameDecrypterStream,
    SFrameEncrypterStream,
    SFrameTransform,
    SFrameTransformErrorEvent,
    SFrameTransformErrorEventType,
    SFrameTransformOptions,
    ToneSource,
    audio_to_numpy,
)
from rtcstack.sframe import parse_header
from tests.conformance.helpers import pair, rejects
from tests.conformance.media import connected, next_frame, pattern, receiver, until_true
from tests.support.insides import outbound_of
from tests.unit.codecs.material import loudest_hz

KEY = bytes(range(16))


async def sframe(suite: str = "AES_128_GCM_SHA256_128", key: bytes = KEY, key_id: int = 0) -> SFrameTransform:
    """A transform that has a key."""
    made = SFrameTransform({"cipherSuite": suite})
    await made.setEncryptionKey(key, key_id)
    return made


def prefer(peer: Any, codec: str) -> None:
    """Send this codec."""
    (transceiver,) = [each for each in peer.getTransceivers() if each.sender.track.kind == "video"]
    known = RTCRtpSender.getCapabilities("video")
    assert known is not None
    transceiver.setCodecPreferences(
        [c for c in known.codecs if c.mimeType in (f"video/{codec}", "video/rtx")]
    )


@pytest.mark.parametrize("suite", SFrameCipherSuite)
async def test_sound_and_pictures_are_sealed_and_opened(suite: str) -> None:
    async with pair() as (a, b):
        for source in (pattern(160, 120), ToneSource(440).track()):
            a.addTrack(source).transform = await sframe(suite)
        await connected(a, b)
        for kind in ("video", "audio"):
            receiver(b, kind).transform = await sframe(suite)
        frame = await next_frame(receiver(b, "video").track)
        assert (frame.width, frame.height) == (160, 120)
        heard = []
        async for sound in receiver(b, "audio").track:
            heard.append(audio_to_numpy(sound)[:, 0])
            if len(heard) == 60:
                break
        wave = np.concatenate(heard[30:])
        assert loudest_hz(wave, 48_000) == pytest.approx(440, abs=3)
        assert np.abs(wave).max() > 3_000
        for kind in ("video", "audio"):
            assert receiver(b, kind).transform.failures == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("packet_ms", [10, 20, 60])
async def test_sealed_sound_of_any_packet_time_has_no_gaps(packet_ms: int) -> None:
    async with pair() as (a, b):
        sender = a.addTrack(ToneSource(440).track())
        sender.transform = await sframe()
        parameters = sender.getParameters()
        parameters.encodings[0].ptime = packet_ms
        await sender.setParameters(parameters)
        await connected(a, b)
        receiver(b, "audio").transform = await sframe()
        heard: list[Any] = []
        sink = CallbackSink(
            receiver(b, "audio").track, lambda frame: heard.append(audio_to_numpy(frame)[:, 0])
        )
        await asyncio.sleep(2)  # what the beginning is like is not looked at
        report = next(iter((await b.getStats()).of_type("inbound-rtp")))
        heard.clear()
        await asyncio.sleep(5)
        after = next(iter((await b.getStats()).of_type("inbound-rtp")))
        assert after["concealedSamples"] == report["concealedSamples"]
        wave = np.concatenate(heard)
        assert len(wave) == pytest.approx(5 * 48_000, abs=48_000 * packet_ms / 500)
        assert loudest_hz(wave, 48_000) == pytest.approx(440, abs=1)
        sink.stop()


async def test_what_is_between_the_ends_is_sealed() -> None:
    async with pair() as (a, b):
        sender = a.addTrack(pattern(160, 120))
        sender.transform = await sframe(key_id=300)
        between: list[bytes] = []
        await connected(a, b)
        receiver(b, "video").transform = RTCRtpScriptTransform(lambda frame: between.append(frame.data))
        reader = receiver(b, "video").track.reader()
        await until_true(lambda: len(between) > 5)
        headers = [parse_header(data) for data in between]
        assert {header.key_id for header in headers} == {300}
        counters = [header.counter for header in headers]
        assert counters == sorted(set(counters))
        reader.close()


@pytest.mark.parametrize("codec", ["VP8", "VP9"])
async def test_pictures_go_on_after_one_was_lost(codec: str) -> None:
    async with pair() as (a, b):
        sender = a.addTrack(pattern(160, 120))
        sealed, opened = await sframe(), await sframe()
        sender.transform = sealed
        prefer(a, codec)
        await connected(a, b)
        receiver(b, "video").transform = opened
        reader = receiver(b, "video").track.reader()
        await reader.read()
        errors: list[SFrameTransformErrorEvent] = []
        opened.onerror = errors.append
        await sealed.setEncryptionKey(b"known here alone", 5)
        await until_true(lambda: len(errors) > 3)
        assert {(event.errorType, event.keyID) for event in errors} == {("keyID", 5)}
        assert all(parse_header(event.frame.data).key_id == 5 for event in errors)
        layer = outbound_of(sender).layers[0]  # type: ignore[union-attr]
        before = layer.counts.key_frames
        await opened.setEncryptionKey(b"known here alone", 5)
        while reader.queued:
            await reader.read()
        await reader.read()
        assert layer.counts.key_frames > before  # it was asked for
        reader.close()


async def test_nothing_is_sent_in_the_clear(caplog: pytest.LogCaptureFixture) -> None:
    async with pair() as (a, b):
        sender = a.addTrack(pattern(160, 120))
        sender.transform = transform = SFrameTransform(SFrameTransformOptions("AES_128_GCM_SHA256_128"))
        with caplog.at_level(logging.WARNING):
            await connected(a, b)
            await until_true(lambda: transform.failures > 3)
        assert outbound_of(sender).streams[0].frames_sent == 0  # type: ignore[union-attr]
        assert sum("setEncryptionKey" in record.message for record in caplog.records) == 1
        await transform.setEncryptionKey(KEY)
        receiver(b, "video").transform = await sframe()
        await next_frame(receiver(b, "video").track)


async def test_what_cannot_be_sealed_as_a_whole_is_said(caplog: pytest.LogCaptureFixture) -> None:
    async with pair() as (a, b):
        sender = a.addTrack(pattern(160, 120))
        sender.transform = transform = await sframe()
        prefer(a, "H264")
        with caplog.at_level(logging.WARNING):
            await connected(a, b)
            await until_true(lambda: transform.failures > 3)
        assert outbound_of(sender).streams[0].frames_sent == 0  # type: ignore[union-attr]
        assert sum("H264" in record.message for record in caplog.records) == 1


async def test_errors_of_what_cannot_be_opened() -> None:
    async with pair() as (a, b):
        a.addTrack(ToneSource(440).track()).transform = sealed = await sframe()
        await connected(a, b)
        receiver(b, "audio").transform = opened = await sframe(key=b"another key")
        errors: list[SFrameTransformErrorEvent] = []
        opened.addEventListener("error", errors.append)
        reader = receiver(b, "audio").track.reader()
        await until_true(lambda: len(errors) > 2)
        assert {event.errorType for event in errors} == {SFrameTransformErrorEventType.AUTHENTICATION}
        assert {event.keyID for event in errors} == {None}
        assert opened.failures >= len(errors)
        assert not reader.queued  # no noise
        with pytest.raises(InvalidStateError):
            receiver(b, "audio").transform = sealed
        reader.close()


async def test_wrong_use() -> None:
    for options in (None, {}, {"cipherSuite": "ROT13"}, 3):
        for make in (SFrameTransform, SFrameEncrypterStream, SFrameDecrypterStream):
            with pytest.raises(TypeError):
                make(options)  # type: ignore[arg-type]
    transform = SFrameTransform({"cipherSuite": SFrameCipherSuite.AES_256_GCM_SHA512_128})
    await rejects(TypeError, transform.setEncryptionKey("text"))  # type: ignore[arg-type]
    await rejects(TypeError, transform.setEncryptionKey(KEY, 1.5))  # type: ignore[arg-type]
    await rejects(ValueError, transform.setEncryptionKey(KEY, -1))
    await rejects(ValueError, transform.setEncryptionKey(KEY, 1 << 64))
    await rejects(InvalidModificationError, transform.setEncryptionKey(b""))
    await transform.setEncryptionKey(KEY, (1 << 64) - 1)
    event = SFrameTransformErrorEvent("error", errorType="keyID", frame=b"x", keyID=9)
    assert (event.type, event.errorType, event.frame, event.keyID) == ("error", "keyID", b"x", 9)
    with pytest.raises(ValueError, match="wrong"):
        SFrameTransformErrorEvent("error", errorType="wrong", frame=None)


async def test_streams_seal_and_open_bytes() -> None:
    options = {"cipherSuite": "AES_128_CTR_HMAC_SHA256_80"}
    sealer, opener = SFrameEncrypterStream(options), SFrameDecrypterStream(options)
    errors: list[SFrameTransformErrorEvent] = []
    opener.onerror = errors.append
    for each in (sealer, opener):
        await each.setEncryptionKey(KEY, 4)
    got: list[bytes] = []

    class Out:
        async def write(self, chunk: bytes) -> None:
            got.append(chunk)

        async def close(self) -> None:
            got.append(b"closed")

    piped = asyncio.ensure_future(sealer.readable.pipeThrough(opener).pipeTo(Out()))
    for chunk in (b"one", bytearray(b"two"), memoryview(b"three"), "neither"):
        await sealer.writable.write(chunk)
    await opener.writable.write(b"")
    await sealer.writable.close()
    await piped
    assert got == [b"one", b"two", b"three", b"closed"]
    assert [event.errorType for event in errors] == ["syntax"]
    await rejects(TypeError, sealer.writable.write(b"more"))


async def test_streams_hold_up_who_writes() -> None:
    sealer = SFrameEncrypterStream({"cipherSuite": "AES_128_GCM_SHA256_128"})
    await sealer.setEncryptionKey(KEY)
    writes = [sealer.writable.write(bytes((i,))) for i in range(60)]
    await rejects(InvalidStateError, sealer.writable.write(b"one more"))
    await asyncio.sleep(0)
    assert not any(each.done() for each in writes)
    await sealer.writable.close()
    assert len([chunk async for chunk in sealer.readable]) == 60
    assert all(each.done() for each in writes)


async def test_streams_within_a_script_transform() -> None:
    async with pair() as (a, b):
        options = {"cipherSuite": "AES_128_GCM_SHA256_128"}

        async def through(transformer: Any) -> None:
            stream = transformer.options(options)
            await stream.setEncryptionKey(KEY)
            await transformer.readable.pipeThrough(stream).pipeTo(transformer.writable)

        sender = a.addTrack(pattern(160, 120))
        sender.transform = RTCRtpScriptTransform(through, SFrameEncrypterStream)
        prefer(a, "VP9")  # its packets tell key frames
        await connected(a, b)
        receiver(b, "video").transform = RTCRtpScriptTransform(through, SFrameDecrypterStream)
        reader = receiver(b, "video").track.reader()
        for _ in range(5):
            await reader.read()
        reader.close()
