"""Audio and video between two peers of ours, by what is seen and heard at the other end.

Spec: webrtc-pc, section 5.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import re
import threading
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from rtcstack import (
    CallbackSink,
    EncodedMedia,
    EncodedSource,
    InvalidCharacterError,
    InvalidModificationError,
    InvalidStateError,
    MediaEncoder,
    MediaSettings,
    MediaStream,
    MediaStreamTrack,
    NotFoundError,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCRtpScriptTransform,
    RTCRtpSender,
    RTCRtpTransceiver,
    Settings,
    TestPatternSource,
    ToneSource,
    TrackSource,
    audio_frame,
    audio_to_numpy,
    video_frame,
)
from rtcstack.api.receiver import receiver_part
from rtcstack.api.sender import sender_part
from rtcstack.clock import clock, unix_time
from rtcstack.codecs import registry
from rtcstack.media.frames import capture_time, rotation, set_capture_time, set_rotation
from rtcstack.rtp.bwe.gcc import GoogleCongestionControl
from tests.conformance.helpers import happens, negotiate, pair, rejects, until
from tests.conformance.media import (
    dominant_hz,
    frames,
    next_frame,
    picture_numbers,
    until_true,
)
from tests.support.insides import inbound_of, outbound_of

EVENTS_AT_8_KHZ = ("audio/telephone-event", 8_000)


def pattern(width: int = 320, height: int = 240, frame_rate: float = 30) -> MediaStreamTrack:
    return TestPatternSource(width, height, frame_rate).track()


async def connected(a: RTCPeerConnection, b: RTCPeerConnection) -> None:
    await negotiate(a, b)
    for pc in (a, b):
        await until(lambda pc=pc: pc.connectionState == "connected", pc, "connectionstatechange")


def receiver(pc: RTCPeerConnection, kind: str) -> RTCRtpReceiver:
    return next(r for r in pc.getReceivers() if r.track.kind == kind)


def prefer(transceiver: RTCRtpTransceiver, mime_type: str, parameters: str = "") -> None:
    known = RTCRtpReceiver.getCapabilities(transceiver.kind)
    assert known is not None
    chosen = [
        c
        for c in known.codecs
        if c.mimeType.lower() == mime_type.lower() and parameters in (c.sdpFmtpLine or "")
    ]
    rest = [c for c in known.codecs if c.mimeType.endswith("/rtx")]
    transceiver.setCodecPreferences(chosen + rest)


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
        pytest.skip(f"{name} is not in this build of PyAV")
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


# -- simulcast ----------------------------------------------------------------------------------------


async def test_simulcast_layers_arrive_by_rid() -> None:
    async with pair() as (a, b):
        encodings = [
            {"rid": "q", "scaleResolutionDownBy": 4.0},
            {"rid": "h", "scaleResolutionDownBy": 2.0},
            {"rid": "f"},
        ]
        a.addTransceiver(pattern(640, 480), direction="sendonly", sendEncodings=encodings)
        announced: list[Any] = []
        b.on("track", lambda event: announced.append(event.receiver.simulcastTracks))
        await connected(a, b)
        layers = receiver(b, "video").simulcastTracks
        assert list(layers) == ["q", "h", "f"]
        assert announced == [layers]  # before the answer, too
        widths = {"q": 160, "h": 320, "f": 640}
        found = await asyncio.gather(*(next_frame(layers[rid]) for rid in widths))
        assert [frame.width for frame in found] == list(widths.values())
        largest = await next_frame(receiver(b, "video").track, lambda frame: frame.width == 640)
        assert largest.height == 480


async def test_simulcast_layers_go_and_come() -> None:
    async with pair() as (a, b):
        encodings = [{"rid": "lo", "scaleResolutionDownBy": 2.0}, {"rid": "hi"}]
        sender = a.addTransceiver(pattern(), direction="sendonly", sendEncodings=encodings).sender
        await connected(a, b)
        track = receiver(b, "video").track
        await next_frame(track, lambda frame: frame.width == 320)
        parameters = sender.getParameters()
        parameters.encodings[1].active = False
        await sender.setParameters(parameters)
        await next_frame(receiver(b, "video").simulcastTracks["lo"])
        parameters = sender.getParameters()
        parameters.encodings[1].active = True
        await sender.setParameters(parameters)
        await next_frame(receiver(b, "video").simulcastTracks["hi"])


@pytest.mark.parametrize(
    "orders", list(itertools.permutations(["q;h;f", "f;h;q", "h;q", "f;q", "h;f", "f"], 3))
)
async def test_what_the_peer_does_not_take_is_gone_for_good(orders: tuple[str, ...]) -> None:
    async with pair() as (a, b):
        encodings = [
            {"rid": "q", "scaleResolutionDownBy": 4.0},
            {"rid": "h", "scaleResolutionDownBy": 2.0},
            {"rid": "f"},
        ]
        sender = a.addTransceiver("video", direction="sendonly", sendEncodings=encodings).sender
        left = ["q", "h", "f"]
        for order in orders:
            await a.setLocalDescription()
            await b.setRemoteDescription(a.localDescription)  # type: ignore[arg-type]
            await b.setLocalDescription()
            answer = b.localDescription
            assert answer is not None
            taken = ";".join(rid for rid in order.split(";") if rid in left) or left[0]
            sdp = re.sub(r"a=simulcast:recv \S+", f"a=simulcast:recv {taken}", answer.sdp)
            await a.setRemoteDescription({"type": "answer", "sdp": sdp})
            if len(left) > 1:
                left = [rid for rid in left if rid in taken.split(";")]
            assert [e.rid for e in sender.getParameters().encodings] == left
            outbound = outbound_of(sender)
            assert outbound is not None
            sent = [stream.parameters.rid for stream in outbound.streams]
            assert sent == (left if "a=simulcast" in answer.sdp else [None])


# -- encoded frames and packets -----------------------------------------------------------------------


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
        await connected(a, b)
        await until_true(lambda: source.is_demanded)
        told = asyncio.ensure_future(happens(sender, "error"))
        await asyncio.sleep(0)
        source.push_encoded(EncodedMedia("audio/G722", bytes(160), 0, Fraction(1, 8000)))
        event = await told
        assert "G722" in str(event.error)


# -- tones --------------------------------------------------------------------------------------------


async def test_tones_are_sent() -> None:
    async with pair() as (a, b):
        sender = a.addTrack(ToneSource(440).track())
        dtmf = sender.dtmf
        assert dtmf is not None
        assert not dtmf.canInsertDTMF
        with pytest.raises(InvalidStateError):
            dtmf.insertDTMF("1")
        await connected(a, b)
        assert dtmf.canInsertDTMF
        seen: list[tuple[int, bytes]] = []
        receiver(b, "audio").setPacketSink(
            lambda packets: seen.extend((p.payload_type, p.payload) for p in packets)
        )
        played: list[str] = []
        dtmf.on("tonechange", lambda event: played.append(event.tone))
        dtmf.insertDTMF("1#", 60, 40)
        assert dtmf.toneBuffer == "1#"
        await until_true(lambda: played and played[-1] == "")
        assert played == ["1", "#", ""]
        end = 0x80 | 10  # the E bit, and the volume
        await until_true(lambda: len([p for n, p in seen if n == 110 and p[:2] == bytes((11, end))]) == 3)
        events = [payload for number, payload in seen if number == 110]
        assert {payload[0] for payload in events} == {1, 11}
        with pytest.raises(InvalidCharacterError):
            dtmf.insertDTMF("x")
        assert a.addTransceiver("video").sender.dtmf is None


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


async def test_tones_of_8000_hz_are_sent_beside_sound_of_48000() -> None:
    """As gateways answer, that know no other telephone events."""
    async with pair() as (a, b):
        sender = a.addTrack(ToneSource(440).track())
        capabilities = RTCRtpSender.getCapabilities("audio")
        assert capabilities is not None
        wanted = [
            codec
            for codec in capabilities.codecs
            if codec.mimeType == "audio/opus" or (codec.mimeType, codec.clockRate) == EVENTS_AT_8_KHZ
        ]
        a.getTransceivers()[0].setCodecPreferences(wanted)
        await connected(a, b)
        assert [codec.clockRate for codec in sender.getParameters().codecs] == [48_000, 8_000]
        assert sender.dtmf is not None
        assert sender.dtmf.canInsertDTMF
        sound: list[int] = []
        events: list[tuple[int, int, int]] = []

        def take(packets: list[Any]) -> None:
            for packet in packets:
                if packet.payload_type == 126:
                    duration = int.from_bytes(packet.payload[2:4], "big")
                    events.append((packet.timestamp, packet.payload[0], duration))
                else:
                    sound.append(packet.timestamp)

        receiver(b, "audio").setPacketSink(take)
        await until_true(lambda: sound)
        sender.dtmf.insertDTMF("5", 100)
        await until_true(lambda: len(events) >= 3 and events[-1] == events[-3])
        assert {tone for _, tone, _ in events} == {5}
        assert events[-1][2] == 800  # of 8,000 Hz
        assert len({timestamp for timestamp, _, _ in events}) == 1
        assert 0 < (events[0][0] - sound[0]) % 2**32 < 10 * 48_000  # on the line of the sound


async def test_a_tone_ends_with_its_sender() -> None:
    async with pair() as (a, b):
        sender = a.addTrack(ToneSource(440).track())
        await connected(a, b)
        seen: list[int] = []
        receiver(b, "audio").setPacketSink(lambda packets: seen.extend(p.payload_type for p in packets))
        assert sender.dtmf is not None
        sender.dtmf.insertDTMF("1", 6000)
        await until_true(lambda: 110 in seen)
        a.getTransceivers()[0].stop()
        # no timer is left behind: looked at after the test


# -- statistics ---------------------------------------------------------------------------------------


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
