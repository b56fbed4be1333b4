"""Encoded transforms as the specification words them: frames, their metadata, key frames, errors.

Spec: webrtc-encoded-transform; webrtc-extensions (capture times, source changes).
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rtcstack import (
    InvalidStateError,
    KeyFrameRequestEvent,
    NotFoundError,
    RTCEncodedAudioFrame,
    RTCEncodedAudioFrameOptions,
    RTCEncodedVideoFrame,
    RTCEncodedVideoFrameMetadata,
    RTCRtpScriptTransform,
    RTCRtpTransceiver,
    ToneSource,
)
from rtcstack.api.sender import sender_part
from rtcstack.clock import unix_time
from tests.conformance.helpers import pair, rejects
from tests.conformance.media import connected, next_frame, pattern, receiver, until_true
from tests.support.insides import inbound_of, outbound_of

CAPTURE = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"


def negotiate_extension(transceiver: RTCRtpTransceiver, uri: str) -> None:
    transceiver.setHeaderExtensionsToNegotiate(
        [
            type(e)(e.uri, "sendrecv" if e.uri == uri else e.direction)
            for e in transceiver.getHeaderExtensionsToNegotiate()
        ]
    )


class Through:
    """A transform that hands frames on and keeps what it saw."""

    def __init__(self) -> None:
        self.transformer: Any = None
        self.frames: list[Any] = []
        self.held: list[Any] = []
        self.holds = False
        self.transform = RTCRtpScriptTransform(self.run, {"some": "options"})

    async def run(self, transformer: Any) -> None:
        self.transformer = transformer
        async for frame in transformer.readable:
            self.frames.append((frame.getMetadata(), getattr(frame, "type", None)))
            if self.holds:
                self.held.append(frame)
            else:
                await transformer.writable.write(frame)


async def test_metadata_of_what_is_sent_and_received() -> None:
    async with pair() as (a, b):
        picture, sound = a.addTrack(pattern(160, 120)), a.addTrack(ToneSource(440).track())
        for transceiver in a.getTransceivers():
            negotiate_extension(transceiver, CAPTURE)
        out, loud, got, heard = Through(), Through(), Through(), Through()
        picture.transform, sound.transform = out.transform, loud.transform
        b.ontrack = lambda event: negotiate_extension(event.transceiver, CAPTURE)
        await connected(a, b)
        receiver(b, "video").transform = got.transform
        receiver(b, "audio").transform = heard.transform
        readers = [receiver(b, kind).track.reader() for kind in ("video", "audio")]
        await until_true(lambda: all(len(each.frames) > 3 for each in (out, loud, got, heard)))
        await readers[0].read()
        ssrc = sender_part(picture).ssrcs[0].ssrc
        sent, came = out.frames[0][0], got.frames[0][0]
        assert out.frames[0][1] == got.frames[0][1] == "key"
        for each in (sent, came):
            assert (each.synchronizationSource, each.mimeType) == (ssrc, "video/VP8")
            assert (each.width, each.height) == (160, 120)
            assert (each.spatialIndex, each.temporalIndex, each.contributingSources) == (0, 0, ())
        assert sent.receiveTime is None
        assert came.receiveTime == pytest.approx(unix_time() * 1000, abs=10_000)
        by_stamp = {m.rtpTimestamp: m for m, _ in out.frames}
        assert came.captureTime == pytest.approx(by_stamp[came.rtpTimestamp].captureTime, abs=1)
        assert came.senderCaptureTimeOffset is None
        assert [m.timestamp for m, _ in out.frames[:3]] == pytest.approx([0, 33_333, 66_666], abs=12)
        first, second = loud.frames[2][0], heard.frames[2][0]
        assert 0.1 < first.audioLevel < 0.4
        assert first.sequenceNumber is None
        assert second.audioLevel == pytest.approx(first.audioLevel, abs=0.05)
        assert 0 <= second.sequenceNumber <= 0xFFFF
        source = receiver(b, "video").getSynchronizationSources()[0]
        assert source.captureTimestamp == pytest.approx(unix_time() * 1000, abs=10_000)
        assert source.senderCaptureTimeOffset is None
        for each in readers:
            each.close()


async def test_without_the_extension_nobody_tells_when_a_frame_was_captured() -> None:
    async with pair() as (a, b):
        a.addTrack(pattern(160, 120))
        got = Through()
        await connected(a, b)
        assert a.localDescription is not None
        assert CAPTURE not in a.localDescription.sdp  # on request only
        receiver(b, "video").transform = got.transform
        await next_frame(receiver(b, "video").track)
        assert got.frames[0][0].captureTime is None
        assert receiver(b, "video").getSynchronizationSources()[0].captureTimestamp is None


async def test_each_frame_is_written_once_and_in_order() -> None:
    async with pair() as (a, b):
        first, second = a.addTrack(pattern(160, 120)), a.addTrack(pattern(160, 120))
        one, two = Through(), Through()
        one.holds = two.holds = True
        first.transform, second.transform = one.transform, two.transform
        await connected(a, b)
        await until_true(lambda: len(one.held) > 3 and len(two.held) > 3)
        stream, other = (outbound_of(each).streams[0] for each in (first, second))  # type: ignore[union-attr]
        writable = one.transformer.writable
        await writable.write(one.held[1])
        assert stream.frames_sent == 1
        assert one.held[1].data == b""  # it is gone
        await writable.write(one.held[1])  # twice
        await writable.write(one.held[0])  # behind
        await writable.write(two.held[1])  # another's
        await writable.write(RTCEncodedVideoFrame(one.held[2]))  # of one's own making
        assert (stream.frames_sent, other.frames_sent, writable.dropped) == (1, 0, 4)
        await writable.write(one.held[2])
        assert stream.frames_sent == 2
        await rejects(TypeError, writable.write(b"no frame"))
        first.transform = None
        await writable.write(one.held[3])  # its turn is over
        assert stream.frames_sent == 2
        await writable.close()
        await rejects(TypeError, writable.write(one.held[3]))


async def test_a_transform_serves_once() -> None:
    async with pair() as (a, b):
        sender = a.addTrack(pattern(160, 120))
        one, two = Through(), Through()
        sender.transform = one.transform
        with pytest.raises(InvalidStateError):
            sender.transform = one.transform
        assert sender.transform is one.transform
        await connected(a, b)
        await next_frame(receiver(b, "video").track)
        assert one.transformer.options == {"some": "options"}
        sender.transform = two.transform
        with pytest.raises(InvalidStateError):
            receiver(b, "video").transform = one.transform
        assert receiver(b, "video").transform is None
        seen = len(two.frames)
        await until_true(lambda: len(two.frames) > seen)
        await rejects(InvalidStateError, one.transformer.generateKeyFrame())


async def test_key_frames_of_a_sender() -> None:
    async with pair() as (a, b):
        sender, sound = a.addTrack(pattern(160, 120)), a.addTrack(ToneSource(440).track())
        out, loud, got = Through(), Through(), Through()
        sender.transform, sound.transform = out.transform, loud.transform
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await rejects(NotFoundError, out.transformer.generateKeyFrame())  # nothing is sent yet
        await connected(a, b)
        receiver(b, "video").transform = got.transform
        await next_frame(receiver(b, "video").track)
        before = len(out.frames)
        await asyncio.gather(out.transformer.generateKeyFrame(), out.transformer.generateKeyFrame())
        await until_true(lambda: len(out.frames) > before)
        assert sum(kind == "key" for _, kind in out.frames[before:]) == 1
        assert out.frames[-1][1] == "key"  # it was told just before that one
        await rejects(TypeError, out.transformer.generateKeyFrame("no rid!"))
        await rejects(NotFoundError, out.transformer.generateKeyFrame("x"))
        for wrong in (loud, got):
            await rejects(InvalidStateError, wrong.transformer.generateKeyFrame())
        for wrong in (loud, out):
            await rejects(InvalidStateError, wrong.transformer.sendKeyFrameRequest())
        parameters = sender.getParameters()
        parameters.encodings[0].active = False
        await sender.setParameters(parameters)
        await rejects(NotFoundError, out.transformer.generateKeyFrame())


async def test_requests_of_the_peer() -> None:
    async with pair() as (a, b):
        sender = a.addTrack(pattern(160, 120))
        out, got = Through(), Through()
        sender.transform = out.transform
        await connected(a, b)
        receiver(b, "video").transform = got.transform
        reader = receiver(b, "video").track.reader()
        await reader.read()
        told: list[KeyFrameRequestEvent] = []

        def answer(event: KeyFrameRequestEvent) -> None:
            told.append(event)
            if len(told) == 1:
                event.preventDefault()

        layer = outbound_of(sender).layers[0]  # type: ignore[union-attr]
        await asyncio.sleep(3)  # what the beginning asked for has come
        out.transformer.onkeyframerequest = answer
        before = layer.counts.key_frames
        await got.transformer.sendKeyFrameRequest()
        await until_true(lambda: len(told) == 1)
        await asyncio.sleep(0.5)
        assert layer.counts.key_frames == before  # the application has said no
        await got.transformer.sendKeyFrameRequest()
        await until_true(lambda: layer.counts.key_frames == before + 1)
        assert [event.rid for event in told] == [None, None]
        reader.close()


async def test_copies_are_independent() -> None:
    async with pair() as (a, b):
        sender, sound = a.addTrack(pattern(160, 120)), a.addTrack(ToneSource(440).track())
        out, loud = Through(), Through()
        out.holds = loud.holds = True
        sender.transform, sound.transform = out.transform, loud.transform
        await connected(a, b)
        await until_true(lambda: bool(out.held and loud.held))
        frame, other = out.held[0], loud.held[0]
        copy = RTCEncodedVideoFrame(frame, {"metadata": {"width": 7, "frameId": 9, "dependencies": (8,)}})
        assert (copy.type, copy.data) == (frame.type, frame.data)
        got, was = copy.getMetadata(), frame.getMetadata()
        assert (got.width, got.height, got.frameId, got.dependencies) == (7, was.height, 9, (8,))
        assert was.width == 160
        copy.data = b"changed"
        assert frame.data != copy.data
        changed = RTCEncodedVideoFrame(copy, {"metadata": RTCEncodedVideoFrameMetadata(height=5)})
        assert (changed.getMetadata().height, changed.data) == (5, b"changed")
        quiet = RTCEncodedAudioFrame(other, RTCEncodedAudioFrameOptions({"audioLevel": 0.0}))
        assert quiet.getMetadata().audioLevel == 0.0
        for make in (
            lambda: RTCEncodedVideoFrame(other),  # type: ignore[arg-type]
            lambda: RTCEncodedAudioFrame(frame),  # type: ignore[arg-type]
            lambda: RTCEncodedVideoFrame(frame, 3),  # type: ignore[arg-type]
            lambda: RTCEncodedVideoFrame(frame, {"metadata": 3}),
        ):
            with pytest.raises(TypeError):
                make()


async def test_other_sources_are_told() -> None:
    async with pair() as (a, b):
        a.addTrack(pattern(160, 120))
        await connected(a, b)
        told: list[tuple[str, int]] = []
        played = receiver(b, "video")
        played.onssrcchange = lambda event: told.append(
            (event.type, played.getSynchronizationSources()[0].source)
        )
        played.oncsrcchange = lambda event: told.append((event.type, 0))
        reader = played.track.reader()
        await reader.read()
        await until_true(lambda: len(told) == 1)
        ssrc = sender_part(a.getSenders()[0]).ssrcs[0].ssrc
        assert told == [("ssrcchange", ssrc)]
        await reader.read()
        notes: Any = inbound_of(played)
        assert notes.notes.on_changed is not None
        assert len(told) == 1
        reader.close()
