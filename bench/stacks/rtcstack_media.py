"""Audio and video of rtcstack."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import Any

from bench.stacks.media import EncodedRecv, MediaPair, MediaStack, Recv
from rtcstack import (
    EncodedMedia,
    EncodedSource,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
    TrackSource,
)


class RtcstackMedia(MediaStack):
    """The stack of this project."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Future[None]] = []

    def track(self, kind: str, recv: Recv) -> Any:
        source = TrackSource(kind)

        async def push() -> None:
            while True:
                source.push(await recv())

        self._tasks.append(asyncio.ensure_future(push()))
        return source.track()

    def encoded_track(self, codec: str, recv: EncodedRecv) -> Any:
        source = EncodedSource(codec)
        time_base: Fraction | None = None

        async def push() -> None:
            nonlocal time_base
            while True:
                data, pts, clock_rate, key_frame = await recv()
                time_base = time_base or Fraction(1, clock_rate)
                source.push_encoded(EncodedMedia(codec, data, pts, time_base, key_frame))

        self._tasks.append(asyncio.ensure_future(push()))
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

    def reader(self, pair: MediaPair, index: int, *, decoded: bool) -> Recv:
        if decoded:
            recv: Recv = pair.tracks[index].recv
            return recv
        encoded: Recv = pair.receiver.getTransceivers()[index].receiver.encodedTrack.recv
        return encoded

    async def close(self, pair: MediaPair) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        await pair.sender.close()
        await pair.receiver.close()


def _local(pc: RTCPeerConnection) -> RTCSessionDescription:
    assert pc.localDescription is not None
    return pc.localDescription
