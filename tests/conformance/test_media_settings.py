"""What is sent and received is set: parameters of senders, receivers and transceivers, and settings.

Spec: webrtc-pc, sections 5.2 to 5.4.
"""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from rtcstack import (
    CallbackSink,
    InvalidModificationError,
    MediaSettings,
    RTCConfiguration,
    RTCRtpSender,
    Settings,
    ToneSource,
    TrackSource,
    audio_frame,
    audio_to_numpy,
    video_frame,
)
from rtcstack.api.sender import sender_part
from rtcstack.clock import clock, unix_time
from rtcstack.media.frames import capture_time, rotation, set_capture_time, set_rotation
from rtcstack.rtp.bwe.gcc import GoogleCongestionControl
from tests.conformance.helpers import negotiate, pair, rejects
from tests.conformance.media import (
    connected,
    dominant_hz,
    frames,
    next_frame,
    pattern,
    picture_numbers,
    prefer,
    receiver,
    until_true,
)
from tests.support.insides import inbound_of, outbound_of

# -- parameters ---------------------------------------------------------------------------------------


async def test_parameters_change_what_is_sent() -> None:
    async with pair() as (a, b):
        sender = a.addTrack(pattern(640, 480))
        await connected(a, b)
        track = receiver(b, "video").track
        assert (await next_frame(track)).width == 640
        parameters = sender.getParameters()
        parameters.encodings[0].scaleResolutionDownBy = 4.0
        parameters.encodings[0].maxFramerate = 10.0
        await sender.setParameters(parameters)
        await next_frame(track, lambda frame: frame.width == 160)
        times = [float(f.time) for f in await frames(track, 6)]
        assert (times[-1] - times[0]) / 5 == pytest.approx(0.1, abs=0.02)


async def test_an_inactive_encoding_sends_nothing() -> None:
    async with pair() as (a, b):
        sender = a.addTrack(pattern())
        await connected(a, b)
        track = receiver(b, "video").track
        await next_frame(track)
        parameters = sender.getParameters()
        parameters.encodings[0].active = False
        await sender.setParameters(parameters)
        await asyncio.sleep(0.1)
        stream = outbound_of(sender).streams[0]  # type: ignore[union-attr]
        sent = stream.frames_sent
        await asyncio.sleep(0.2)
        assert stream.frames_sent == sent
        parameters = sender.getParameters()
        parameters.encodings[0].active = True
        await sender.setParameters(parameters)
        await next_frame(track)


async def test_max_bitrate_bounds_the_encoder() -> None:
    async with pair() as (a, b):
        sender = a.addTrack(pattern(640, 480))
        await connected(a, b)
        parameters = sender.getParameters()
        parameters.encodings[0].maxBitrate = 100_000
        await sender.setParameters(parameters)
        await next_frame(receiver(b, "video").track)
        layer = outbound_of(sender).layers[0]  # type: ignore[union-attr]
        await asyncio.sleep(0.5)
        assert layer.target_bps <= 100_000
        assert layer.stream.parameters.max_bitrate_bps <= 110_000


async def test_the_codec_of_an_encoding_changes_without_negotiation() -> None:
    async with pair() as (a, b):
        sender = a.addTrack(pattern())
        await connected(a, b)
        track = receiver(b, "video").track
        await next_frame(track)
        parameters = sender.getParameters()
        vp9 = next(c for c in parameters.codecs if c.mimeType == "video/VP9")
        parameters.encodings[0].codec = vp9
        await sender.setParameters(parameters)
        inbound: Any = inbound_of(receiver(b, "video"))
        await until_true(
            lambda: any(
                inbound.codecs[s.payload_type].name == "vp9"
                for s in [inbound.feeds[None].stream]
                if s is not None and s.payload_type in inbound.codecs
            )
        )
        assert await picture_numbers(track, 3)


async def test_a_codec_that_was_not_negotiated_is_refused() -> None:
    async with pair() as (a, b):
        sender = a.addTrack(pattern())
        prefer(a.getTransceivers()[0], "video/VP8")
        await connected(a, b)
        parameters = sender.getParameters()
        known = RTCRtpSender.getCapabilities("video")
        assert known is not None
        parameters.encodings[0].codec = next(c for c in known.codecs if c.mimeType == "video/VP9")
        await rejects(InvalidModificationError, sender.setParameters(parameters))


async def test_the_receiver_tells_who_is_heard() -> None:
    async with pair() as (a, b):
        a.addTrack(ToneSource(440).track())
        await connected(a, b)
        await dominant_hz(receiver(b, "audio").track)
        sources = receiver(b, "audio").getSynchronizationSources()
        assert [s.source for s in sources] == [sender_part(a.getSenders()[0]).ssrcs[0].ssrc]
        assert sources[0].audioLevel is not None
        assert 0.1 < sources[0].audioLevel < 0.4
        assert receiver(b, "audio").getContributingSources() == []


async def test_jitter_buffer_target() -> None:
    async with pair() as (a, b):
        a.addTrack(ToneSource(440).track())
        await connected(a, b)
        reader = receiver(b, "audio").track.reader()
        await reader.read()
        receiver(b, "audio").jitterBufferTarget = 300
        inbound: Any = inbound_of(receiver(b, "audio"))
        assert inbound.stream.playout.target_s == pytest.approx(0.3)
        with pytest.raises(ValueError, match="4000"):
            receiver(b, "audio").jitterBufferTarget = 4001
        reader.close()


async def test_header_extensions_are_chosen() -> None:
    async with pair() as (a, b):
        transceiver = a.addTransceiver("audio")
        level = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
        wanted = transceiver.getHeaderExtensionsToNegotiate()
        assert level in [e.uri for e in wanted]
        changed = [type(e)(e.uri, "stopped" if e.uri == level else e.direction) for e in wanted]
        transceiver.setHeaderExtensionsToNegotiate(changed)
        await negotiate(a, b)
        assert a.localDescription is not None
        assert level not in a.localDescription.sdp
        negotiated = {e.uri: str(e.direction) for e in transceiver.getNegotiatedHeaderExtensions()}
        assert negotiated[level] == "stopped"
        assert negotiated["urn:ietf:params:rtp-hdrext:sdes:mid"] == "sendrecv"
        with pytest.raises(InvalidModificationError):
            transceiver.setHeaderExtensionsToNegotiate(changed[1:])
        with pytest.raises(InvalidModificationError, match="mid"):
            transceiver.setHeaderExtensionsToNegotiate([type(e)(e.uri, "stopped") for e in changed])


async def test_pictures_come_upright_unless_their_orientation_is_asked_for() -> None:
    async with pair() as (a, _):
        transceiver = a.addTransceiver("video")
        orientation = "urn:3gpp:video-orientation"
        assert orientation not in (await a.createOffer()).sdp
        wanted = transceiver.getHeaderExtensionsToNegotiate()
        assert orientation in [e.uri for e in wanted]
        transceiver.setHeaderExtensionsToNegotiate(
            [type(e)(e.uri, "sendrecv" if e.uri == orientation else e.direction) for e in wanted]
        )
        assert orientation in (await a.createOffer()).sdp
    frame = video_frame(np.zeros((32, 32, 3), np.uint8))
    set_rotation(frame, 90)
    set_capture_time(frame, 1.0)
    assert (rotation(frame), capture_time(frame)) == (90, 1.0)


# -- settings -----------------------------------------------------------------------------------------


def with_media(**members: Any) -> RTCConfiguration:
    return RTCConfiguration(settings=Settings(media=MediaSettings(**members)))


class Chord(TrackSource):
    """Two tones, one in each ear, pushed by hand."""

    def __init__(self) -> None:
        super().__init__("audio", "chord")
        self._at = 0

    def play(self, left_hz: float, right_hz: float, seconds: float = 0.02, volume: float = 8000) -> None:
        times = (np.arange(int(48_000 * seconds)) + self._at) / 48_000
        sound = np.stack([np.sin(2 * np.pi * hz * times) * volume for hz in (left_hz, right_hz)], axis=1)
        self.push(audio_frame(sound.astype(np.int16), pts=self._at))
        self._at += len(times)


def strongest_hz(samples: Any) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * 48_000 / len(samples))


async def test_stereo_is_asked_for_and_sent() -> None:
    async with pair(with_media(opus_stereo=True)) as (a, b):
        source = Chord()
        a.addTrack(source.track())
        prefer(a.getTransceivers()[0], "audio/opus")
        await connected(a, b)
        assert a.localDescription is not None
        assert "stereo=1" in a.localDescription.sdp
        reader = receiver(b, "audio").track.reader(max_queued=200)
        heard = []
        for _ in range(60):
            source.play(400, 1000)
            await asyncio.sleep(0.02)
        while reader.queued:
            frame: Any = await reader.read()
            heard.append(audio_to_numpy(frame))
        reader.close()
        sound = np.concatenate(heard)[9600:33_600].astype(float)
        assert strongest_hz(sound[:, 0]) == pytest.approx(400, abs=10)
        assert strongest_hz(sound[:, 1]) == pytest.approx(1000, abs=10)


async def test_silence_is_not_sent_with_dtx() -> None:
    async with pair(with_media(opus_dtx=True)) as (a, b):
        source = Chord()
        sender = a.addTrack(source.track())
        await connected(a, b)
        await until_true(lambda: source.is_demanded)
        for _ in range(100):
            source.play(400, 400, volume=0)
            await asyncio.sleep(0)
        await until_true(lambda: outbound_of(sender)._jobs.queued == 0)  # type: ignore[union-attr]
        await asyncio.sleep(0.05)
        assert outbound_of(sender).streams[0].counts.packets < 40  # type: ignore[union-attr]


async def test_packet_times_are_set() -> None:
    async with pair(with_media(opus_ptime_ms=60)) as (a, b):
        a.addTrack(ToneSource(440).track())
        await connected(a, b)
        frames_of = receiver(b, "audio").encodedTrack.reader()
        first: Any = await frames_of.read()
        second: Any = await frames_of.read()
        frames_of.close()
        assert second.time - first.time == pytest.approx(0.06)


async def test_an_encoder_that_is_not_there_gives_way() -> None:
    async with pair(with_media(encoders={"h264": "h264_nvenc"})) as (a, b):
        sender = a.addTrack(pattern())
        prefer(a.getTransceivers()[0], "video/H264", "packetization-mode=1")
        await connected(a, b)
        await next_frame(receiver(b, "video").track)
        assert outbound_of(sender).layers[0].implementation != ""  # type: ignore[union-attr]


async def test_the_congestion_controller_is_the_applications() -> None:
    made: list[GoogleCongestionControl] = []

    def make() -> GoogleCongestionControl:
        made.append(GoogleCongestionControl())
        return made[-1]

    async with pair(with_media(congestion_controller=make)) as (a, b):
        a.addTrack(pattern())
        await connected(a, b)
        await next_frame(receiver(b, "video").track)
        assert outbound_of(a.getSenders()[0]).transport.session.sending.estimator in made  # type: ignore[union-attr]


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="opus_ptime_ms"):
        MediaSettings(opus_ptime_ms=15)
    with pytest.raises(ValueError, match="opus_complexity"):
        MediaSettings(opus_complexity=11)


# -- tones --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target_ms", [500, 3900])
async def test_sound_and_pictures_wait_for_as_long_as_is_asked_for(target_ms: int) -> None:
    async with pair() as (a, b):
        a.addTrack(ToneSource(440).track())
        a.addTrack(pattern())
        await connected(a, b)
        video, audio = receiver(b, "video"), receiver(b, "audio")
        video.jitterBufferTarget = audio.jitterBufferTarget = target_ms
        lags: list[float] = []
        now = clock().now
        started = now()

        def look(frame: Any) -> None:
            at = capture_time(frame)  # known from the first sender report on
            if at is not None:
                lags.append(unix_time() - at)

        sink = CallbackSink(video.track, look)
        sound = await dominant_hz(audio.track, skip_s=target_ms / 1000)
        await until_true(lambda: len(lags) >= 30)
        sink.stop()
        assert sound == pytest.approx(440, abs=5)
        assert now() - started > target_ms / 1000
        assert lags[-1] == pytest.approx(target_ms / 1000, abs=0.15)
