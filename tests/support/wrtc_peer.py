"""A peer of wrtc (libwebrtc, Chromium's engine, bound to Python) in this process."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import webrtc

from tests.support.media import Card, Source, Tone, draw_i420
from tests.support.peers import Channel, ChannelOptions
from tests.support.w3c_media import SAMPLE_RATE, SAMPLES, MediaKit, i420_frame, sine, thumbnail
from tests.support.w3c_peer import W3CChannel, W3CPeer

__all__ = ["WrtcPeer"]


def _snake(name: str) -> str:
    """A name of the W3C as wrtc's constructors have it."""
    return re.sub("[A-Z]", lambda match: "_" + match[0].lower(), name)


class WrtcKit(MediaKit):
    """wrtc has the streams and frames of the browsers."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def make_track(self, source: Source) -> Any:
        track = webrtc.MediaStreamTrackGenerator(webrtc.MediaType(source.kind))
        write = self._draw(track, source) if isinstance(source, Card) else self._sound(track, source)
        self._tasks.append(asyncio.create_task(write))
        return track

    async def _draw(self, track: Any, card: Card) -> None:
        writer = track.writable.get_writer()
        began = asyncio.get_running_loop().time()
        index = 0
        while True:
            init = webrtc.VideoFrameBufferInit(
                format="I420",
                coded_width=card.width,
                coded_height=card.height,
                timestamp=index * 1_000_000 // card.frame_rate,
            )
            await writer.write(webrtc.VideoFrame(draw_i420(card, index), init))
            index += 1
            await asyncio.sleep(began + index / card.frame_rate - asyncio.get_running_loop().time())

    async def _sound(self, track: Any, tone: Tone) -> None:
        writer = track.writable.get_writer()
        began = asyncio.get_running_loop().time()
        index = 0
        while True:
            data = webrtc.AudioDataInit(
                format="s16",
                sample_rate=SAMPLE_RATE,
                number_of_frames=SAMPLES,
                number_of_channels=1,
                timestamp=index * 20_000,
                data=sine(tone, index),
            )
            await writer.write(webrtc.AudioData(data))
            index += 1
            await asyncio.sleep(began + index / 50 - asyncio.get_running_loop().time())

    async def frames(self, track: Any) -> AsyncIterator[Any]:
        processor = webrtc.MediaStreamTrackProcessor(webrtc.MediaStreamTrackProcessorInit(track, 50))
        async for frame in processor.readable:
            with frame:
                yield frame

    async def picture(self, frame: Any) -> tuple[int, int, bytes]:
        width, height = frame.coded_width, frame.coded_height
        data = bytearray(frame.allocation_size())
        await frame.copy_to(data)
        return width, height, thumbnail(i420_frame(data, width, height))

    def sound(self, frame: Any) -> tuple[int, bytes]:
        channels = frame.number_of_channels
        data = bytearray(frame.number_of_frames * channels * 2)
        frame.copy_to(data, webrtc.AudioDataCopyToOptions(plane_index=0, format="s16"))
        samples = memoryview(data).cast("h")[::channels]
        return int(frame.sample_rate), samples.tobytes()

    def capabilities(self, kind: str) -> list[Any]:
        found = webrtc.RTCRtpSender.get_capabilities(webrtc.MediaType(kind))
        return [] if found is None else list(found.codecs)

    def add_transceiver(self, pc: Any, what: Any, direction: str, layers: list[dict[str, Any]]) -> Any:
        encodings = [
            webrtc.RTCRtpEncodingParameters(**{_snake(name): value for name, value in layer.items()})
            for layer in layers
        ]
        init = webrtc.RTCRtpTransceiverInit(
            direction=webrtc.RTCRtpTransceiverDirection(direction), send_encodings=encodings
        )
        return pc.add_transceiver(what, init)

    def release(self) -> None:
        """Stop what is being sent."""
        for task in self._tasks:
            task.cancel()


class WrtcPeer(W3CPeer):
    """A peer connection of wrtc."""

    def __init__(self, **configuration: Any) -> None:
        assert not configuration, "wrtc is tested with its defaults"
        super().__init__(
            "wrtc",
            webrtc.RTCPeerConnection(),
            WrtcKit(),
            lambda value: webrtc.RTCSessionDescriptionInit(webrtc.RTCSdpType(value["type"]), value["sdp"]),
            lambda value: webrtc.RTCIceCandidateInit(
                candidate=value["candidate"],
                sdp_mid=value.get("sdpMid"),
                sdp_m_line_index=value.get("sdpMLineIndex"),
                username_fragment=value.get("usernameFragment"),
            ),
        )

    async def create_channel(self, options: ChannelOptions) -> Channel:
        init = webrtc.RTCDataChannelInit(
            ordered=options.ordered,
            max_packet_life_time=options.maxPacketLifeTime,
            max_retransmits=options.maxRetransmits,
            protocol=options.protocol,
            negotiated=options.negotiated,
            id=options.id,
        )
        return W3CChannel(self.pc.create_data_channel(options.label, init))
