"""Audio and video of rtcstack."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from bench.stacks.media import Line, MediaPair, MediaStack, Pace, Packet
from rtcstack import (
    AudioOutput,
    EncodedMedia,
    EncodedSource,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
    TrackSource,
)


class _Listener:
    """Calls a function with each frame."""

    def __init__(self, take: Callable[[Any], object]) -> None:
        self.deliver = take

    def track_ended(self) -> None:
        """Nothing comes any more."""


class RtcstackMedia(MediaStack):
    """The stack of this project: frames are pushed, and brought to sinks."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Future[None]] = []

    def track(self, kind: str, pace: Pace, make: Callable[[int], Any]) -> Any:
        source = TrackSource(kind)
        pace.each(lambda i: source.push(make(i)))
        return source.track()

    def encoded_track(self, codec: str, pace: Pace, make: Callable[[int], Packet]) -> Any:
        source = EncodedSource(codec)
        time_bases: dict[int, Fraction] = {}

        def push(i: int) -> None:
            data, pts, clock_rate, key_frame = make(i)
            time_base = time_bases.get(clock_rate)
            if time_base is None:
                time_base = time_bases[clock_rate] = Fraction(1, clock_rate)
            source.push_encoded(EncodedMedia(codec, data, pts, time_base, key_frame))

        pace.each(push)
        return source.track()

    async def connect(self, tracks: list[Any], *, codec: str | None, bitrate_bps: int) -> MediaPair:
        sender, receiver = RTCPeerConnection(), RTCPeerConnection()
        connected = asyncio.Event()

        def changed(_event: Any) -> None:
            if receiver.connectionState == "connected":
                connected.set()

        receiver.on("connectionstatechange", changed)
        for track in tracks:
            encodings = [{"maxBitrate": bitrate_bps}] if codec is not None else [{}]
            transceiver = sender.addTransceiver(track, {"direction": "sendonly", "sendEncodings": encodings})
            if codec is not None:
                known = RTCRtpSender.getCapabilities("video")
                assert known is not None
                chosen = [c for c in known.codecs if c.mimeType in (f"video/{codec}", "video/rtx")]
                transceiver.setCodecPreferences(chosen)
        for source, target in ((sender, receiver), (receiver, sender)):
            source.on(
                "icecandidate",
                lambda event, to=target: asyncio.ensure_future(to.addIceCandidate(event.candidate)),
            )
        await sender.setLocalDescription()
        await receiver.setRemoteDescription(_local(sender))
        await receiver.setLocalDescription()
        await sender.setRemoteDescription(_local(receiver))
        arrived = [each.receiver.track for each in receiver.getTransceivers()]
        return MediaPair(sender, receiver, arrived, connected)

    def without_decoders(self) -> None:
        """Nothing is decoded that nobody reads."""

    def listen(self, pair: MediaPair, index: int, take: Callable[[Any], object], *, decoded: bool) -> None:
        receiver = pair.receiver.getTransceivers()[index].receiver
        (receiver.track if decoded else receiver.encodedTrack).add_sink(_Listener(take))

    def line(self, rate: int) -> Line:
        return AudioOutput(rate)

    def hear(self, pair: MediaPair, index: int, take: Callable[[Any], object], rate: int) -> None:
        async def run() -> None:
            async for chunk in pair.tracks[index].pcm(rate):
                take(chunk)

        self._tasks.append(asyncio.ensure_future(run()))

    async def close(self, pair: MediaPair) -> None:
        await pair.sender.close()
        await pair.receiver.close()


def _local(pc: RTCPeerConnection) -> RTCSessionDescription:
    assert pc.localDescription is not None
    return pc.localDescription
