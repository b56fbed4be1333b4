"""Audio and video of aiortc."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from fractions import Fraction
from typing import Any

import aiortc
import aiortc.rtcrtpreceiver
import av
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpSender
from aiortc.codecs import h264, vpx

from bench.stacks.media import MediaPair, MediaStack, Pace, Packet


class _Track(MediaStreamTrack):
    def __init__(self, kind: str, recv: Callable[[], Awaitable[Any]]) -> None:
        super().__init__()
        self.kind = kind
        self._recv = recv

    async def recv(self) -> Any:
        """The next frame."""
        return await self._recv()


class _NoDecoder:
    """Takes frames and gives nothing."""

    def decode(self, _frame: Any) -> list[Any]:
        """Nothing."""
        return []


class AiortcMedia(MediaStack):
    """aiortc as it comes, but for the bounds of its encoders' bit rate: it has no setting for that."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Future[None]] = []

    def track(self, kind: str, pace: Pace, make: Callable[[int], Any]) -> Any:
        async def recv() -> Any:
            return make(await pace.round())

        return _Track(kind, recv)

    def encoded_track(self, codec: str, pace: Pace, make: Callable[[int], Packet]) -> Any:
        async def recv() -> Any:
            frame = make(await pace.round())
            packet: Any = av.Packet(frame.data)
            packet.pts = packet.dts = frame.pts
            packet.time_base = Fraction(1, frame.clock_rate)
            return packet

        return _Track(codec.partition("/")[0], recv)

    async def connect(self, tracks: list[Any], *, codec: str | None, bitrate_bps: int) -> MediaPair:
        for module in list[Any]((vpx, h264)):
            module.MIN_BITRATE = module.MAX_BITRATE = module.DEFAULT_BITRATE = bitrate_bps
        sender, receiver = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
        connected = asyncio.Event()

        def changed() -> None:
            if receiver.connectionState == "connected":
                connected.set()

        receiver.on("connectionstatechange", changed)
        arrived: list[Any] = []
        receiver.on("track", arrived.append)
        for track in tracks:
            transceiver = sender.addTransceiver(track, direction="sendonly")
            if codec is not None:
                known = RTCRtpSender.getCapabilities("video").codecs
                wanted = [c for c in known if c.mimeType in (f"video/{codec}", "video/rtx")]
                transceiver.setCodecPreferences(wanted)
        await sender.setLocalDescription(await sender.createOffer())
        await receiver.setRemoteDescription(sender.localDescription)
        await receiver.setLocalDescription(await receiver.createAnswer())
        await sender.setRemoteDescription(receiver.localDescription)
        return MediaPair(sender, receiver, arrived, connected)

    def without_decoders(self) -> None:
        module: Any = aiortc.rtcrtpreceiver
        module.get_decoder = lambda codec: _NoDecoder()

    def listen(self, pair: MediaPair, index: int, take: Callable[[Any], object], *, decoded: bool) -> None:
        async def run() -> None:
            while True:
                take(await pair.tracks[index].recv())

        self._tasks.append(asyncio.ensure_future(run()))

    async def close(self, pair: MediaPair) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        await pair.sender.close()
        await pair.receiver.close()
