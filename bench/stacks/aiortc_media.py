"""Audio and video of aiortc."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import Any

import aiortc
import aiortc.rtcrtpreceiver
import av
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpSender
from aiortc.codecs import h264, vpx

from bench.stacks.media import EncodedRecv, MediaPair, MediaStack, Recv


class _Track(MediaStreamTrack):
    def __init__(self, kind: str, recv: Recv) -> None:
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

    def track(self, kind: str, recv: Recv) -> Any:
        return _Track(kind, recv)

    def encoded_track(self, codec: str, recv: EncodedRecv) -> Any:
        async def packet() -> Any:
            frame = await recv()
            packet: Any = av.Packet(frame.data)
            packet.pts = packet.dts = frame.pts
            packet.time_base = Fraction(1, frame.clock_rate)
            return packet

        return _Track(codec.partition("/")[0], packet)

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

    def reader(self, pair: MediaPair, index: int, *, decoded: bool) -> Recv:
        recv: Recv = pair.tracks[index].recv
        return recv

    async def close(self, pair: MediaPair) -> None:
        await pair.sender.close()
        await pair.receiver.close()
