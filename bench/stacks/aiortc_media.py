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

from bench.stacks.media import Line, MediaPair, MediaStack, Pace, Packet


class _Track(MediaStreamTrack):
    def __init__(self, kind: str, recv: Callable[[], Awaitable[Any]]) -> None:
        super().__init__()
        self.kind = kind
        self._recv = recv

    async def recv(self) -> Any:
        """The next frame."""
        return await self._recv()


class _Line(MediaStreamTrack):
    """What users of aiortc write themselves: 20 ms a turn, by the clock."""

    kind = "audio"

    def __init__(self, rate: int) -> None:
        super().__init__()
        self.track = self
        self._samples = rate // 50
        self._rate = rate
        self._buffer = bytearray()
        self._round = 0
        self._began_at = 0.0

    async def write(self, samples: Any) -> None:
        """See `Line`."""
        self._buffer += samples.tobytes()

    def flush(self) -> None:
        """See `Line`."""
        self._buffer.clear()

    async def recv(self) -> Any:
        """The next 20 ms."""
        loop = asyncio.get_running_loop()
        if not self._round:
            self._began_at = loop.time()
        await asyncio.sleep(self._began_at + self._round * 0.02 - loop.time())
        frame = av.AudioFrame("s16", "mono", self._samples)
        data = bytes(self._buffer[: 2 * self._samples])
        del self._buffer[: 2 * self._samples]
        frame.planes[0].update(data.ljust(2 * self._samples, b"\0"))
        frame.sample_rate, frame.time_base = self._rate, Fraction(1, self._rate)
        frame.pts = self._round * self._samples
        self._round += 1
        return frame


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

    def line(self, rate: int) -> Line:
        return _Line(rate)

    def hear(self, pair: MediaPair, index: int, take: Callable[[Any], object], rate: int) -> None:
        resampler = av.AudioResampler("s16", "mono", rate)

        def samples(frame: Any) -> None:
            for each in resampler.resample(frame):
                take(each.to_ndarray())

        self.listen(pair, index, samples, decoded=True)

    async def close(self, pair: MediaPair) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        await pair.sender.close()
        await pair.receiver.close()
