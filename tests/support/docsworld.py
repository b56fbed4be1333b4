"""What the examples of the documentation take for granted: a call, tracks, channels, an application."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import av
import numpy as np

import rtcstack
from rtcstack import (
    AudioOutput,
    IceSettings,
    InvalidStateError,
    MediaPlayer,
    MediaRecorder,
    MediaStream,
    OperationError,
    RTCError,
    RTCPeerConnection,
    TestPatternSource,
    ToneSource,
    TrackSource,
    UdpMux,
    receive_file,
    send_file,
    video_frame,
)
from tests.conformance.helpers import negotiate, pair, trickle

ENDS_AFTER_S = 4.0
"""Then what is read in a loop comes to its end."""

SIMULCAST = [
    {"rid": "q", "scaleResolutionDownBy": 4.0},
    {"rid": "h", "scaleResolutionDownBy": 2.0},
    {"rid": "f"},
]


def _fastapi() -> ModuleType:
    """FastAPI where it is installed; else what stands in for it: it keeps the routes."""
    try:
        return importlib.import_module("fastapi")
    except ImportError:
        module: Any = ModuleType("fastapi")

        class App:
            def __init__(self) -> None:
                self.routes: dict[str, Any] = {}

            def post(self, path: str) -> Any:
                return lambda function: self.routes.setdefault(path, function)

            on_event = post

        class HTTPError(Exception):
            def __init__(self, status: int, detail: str) -> None:
                super().__init__(status, detail)

        module.FastAPI, module.HTTPException = App, HTTPError
        return module  # type: ignore[no-any-return]


class _Recognizer:
    """Understands something after half a second."""

    def __init__(self) -> None:
        self.chunks = 0

    def feed(self, chunk: Any) -> str | None:
        self.chunks += 1
        return "hello" if self.chunks == 25 else None


def _film(path: str) -> None:
    """H.264 without B-frames, and AAC."""
    with av.open(path, "w") as container:
        options = {"preset": "ultrafast", "tune": "zerolatency", "g": "15"}
        stream: Any = container.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        sound: Any = container.add_stream("aac", rate=48_000)
        for i in range(30):
            frame = video_frame(np.full((64, 64, 3), i * 8, np.uint8))
            frame.pts, frame.time_base = i, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        for packet in sound.encode(None):
            container.mux(packet)


class World:
    """A connection `pc` in a call with a peer that speaks, shows a picture, echoes and takes files.

    Attributes:
        names: what an example finds.
    """

    def __init__(self, page: str, pc: RTCPeerConnection, peer: RTCPeerConnection, *, hears: bool) -> None:
        self.page = page
        self.hears = hears
        self.pc = pc
        self.peer = peer
        self.names: dict[str, Any] = {}
        self._channels: list[Any] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._kept: list[Any] = []

    def spawn(self, awaitable: Any) -> None:
        """Have something done meanwhile; that a channel is closed then is no failure."""

        async def do() -> None:
            with suppress(InvalidStateError, OperationError, RTCError, StopAsyncIteration, EOFError):
                await awaitable

        task = asyncio.create_task(do())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def build(self) -> None:
        """Call, and wait until everything is there."""
        pc, peer = self.pc, self.peer
        trickle(pc, peer)
        peer.on("datachannel", lambda event: self._serve(event.channel))
        side = 256 if self.page == "simulcast" else 64
        pattern = TestPatternSource(side, side, 10)
        if self.page == "simulcast":
            peer.addTransceiver(pattern.track(), sendEncodings=SIMULCAST)
        else:
            peer.addTrack(pattern.track())
        peer.addTrack(ToneSource(440).track())
        peer.createDataChannel("first").on("open", lambda: None)
        own = TestPatternSource(64, 64, 10)
        pc.addTrack(own.track())
        await negotiate(peer, pc)
        pc.on("negotiationneeded", lambda: self.spawn(self._negotiate()))
        sender = next(s for s in pc.getSenders() if s.track is not None and s.track.kind == "video")
        receiver = next(r for r in pc.getReceivers() if r.track.kind == "video")
        transceiver = next(t for t in pc.getTransceivers() if t.sender is sender)
        voice = ToneSource(330).track()
        channel = pc.createDataChannel("chat")
        await channel.opened()
        incoming = await self._incoming()
        loop = asyncio.get_running_loop()
        timers = [loop.call_later(ENDS_AFTER_S, end) for end in (voice.source.end, channel.close)]
        self._kept += [pattern, own, timers]
        tone = np.zeros(2400, np.int16)
        packet: Any = av.Packet(b"\xf8\xff\xfe")  # silence, of Opus
        packet.pts, packet.time_base = 0, Fraction(1, 48_000)
        names = {name: getattr(rtcstack, name) for name in rtcstack.__all__}
        names |= {
            "asyncio": asyncio,
            "pc": pc,
            "viewer": RTCPeerConnection(),
            "viewers": [RTCPeerConnection(), RTCPeerConnection()],
            "channel": channel,
            "event": SimpleNamespace(channel=incoming, track=receiver.track, streams=()),
            "track": own.track() if self.page == "media" and not self.hears else voice,
            "video_track": TestPatternSource(64, 64, 2).track(),
            "camera_track": TestPatternSource(64, 64, 10).track(),
            "other_track": TestPatternSource(64, 64, 10).track(),
            "source": rtcstack.EncodedSource("video/VP8"),
            "stream": MediaStream(),
            "sender": sender,
            "receiver": receiver,
            "transceiver": transceiver,
            "description": pc.localDescription,
            "candidate": rtcstack.RTCIceCandidate({"candidate": "", "sdpMid": "0"}),
            "codecs": rtcstack.RTCRtpSender.getCapabilities("video").codecs,  # type: ignore[union-attr]
            "chunk": bytes(1000),
            "data": bytes(1000),
            "packet": packet,
            "array": np.zeros((48, 64, 3), np.uint8),
            "samples": tone,
            "recognizer": _Recognizer(),
            "synthesizer": SimpleNamespace(say=lambda text: tone),
            "cipher": SimpleNamespace(seal=bytes),
            "send_more": lambda: None,
            "send": lambda description: None,
            "handler": lambda: None,
            "key": "sk-none",
            "base_key": bytes(16),
            "url": "film.mp4" if self.page == "rtsp-and-files" else "http://127.0.0.1:9/v1/realtime/calls",
            "camera": self._device,
            "screen": self._device,
            "grab": self._grab,
            "loop": loop,
            "__name__": "documentation",
        }
        self.names = names

    async def _negotiate(self) -> None:
        await asyncio.sleep(0.1)  # what is changed together is negotiated together
        if self.pc.signalingState == "stable" and self.peer.signalingState == "stable":
            await negotiate(self.pc, self.peer)

    async def _incoming(self) -> Any:
        """A channel through which the peer sends a file."""
        came: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def arrived(event: Any) -> None:
            if event.channel.label == "theirs" and not came.done():
                came.set_result(event.channel)

        self.pc.on("datachannel", arrived)
        theirs = self.peer.createDataChannel("theirs")
        channel = await came
        self.pc.remove_listener("datachannel", arrived)
        self.spawn(send_file(theirs, "theirs.jpg"))
        return channel

    def _serve(self, channel: Any) -> None:
        """For the peer: what it does with a channel."""
        self._channels.append(channel)
        if channel.label == "photo":
            self.spawn(receive_file(channel, "theirs"))
        elif channel.label == "chat":
            for _ in range(3):
                channel.send("hello")
        elif channel.label in ("shell", "log"):
            channel.on("message", lambda event: channel.send(event.data))

    @staticmethod
    async def _device() -> Any:
        return SimpleNamespace(video=TestPatternSource(64, 64, 10).track())

    @staticmethod
    async def _grab() -> Any:
        await asyncio.sleep(0.1)
        return np.zeros((48, 64, 3), np.uint8)

    async def go_on(self) -> None:
        """After an example: the peer adds a track and sends another file, for handlers to hear of."""
        if self.pc.signalingState == "closed":
            return
        await asyncio.sleep(1)
        tone = TrackSource("audio")
        self._kept.append(tone)
        self.peer.addTrack(tone.track())
        await negotiate(self.peer, self.pc)
        self.spawn(send_file(self.peer.createDataChannel("late"), "theirs.jpg"))
        await asyncio.sleep(ENDS_AFTER_S)

    async def tidy(self) -> None:
        """Let go of everything that an example has made."""
        for value in list(self.names.values()):
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, RTCPeerConnection):
                    await each.close()
                elif isinstance(each, IceSettings) and each.udp_mux is not None:
                    each.udp_mux.close()
                elif isinstance(each, UdpMux | AudioOutput):
                    each.close()
                elif isinstance(each, MediaPlayer):
                    each.stop()
                elif isinstance(each, MediaRecorder):
                    await each.stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def world(page: str, folder: Path, *, hears: bool = False) -> AsyncIterator[World]:
    """A call, in a folder with some files.

    Args:
        page: of the documentation.
        folder: the present one.
        hears: `track` is one of sound.
    """
    for name in ("downloads", "theirs"):
        (folder / name).mkdir()
    for name in ("photo.jpg", "theirs.jpg"):
        (folder / name).write_bytes(bytes(5000))
    _film("film.mp4")
    sys.modules.setdefault("fastapi", _fastapi())
    async with pair() as (pc, peer):
        made = World(page, pc, peer, hears=hears)
        await made.build()
        try:
            yield made
        finally:
            await made.tidy()
