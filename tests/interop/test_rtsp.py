"""A camera that pushes RTSP: FFmpeg's, by its ANNOUNCE and RECORD."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Any

from rtcstack import EncodedMedia, MediaPlayer, RTCPeerConnection
from rtcstack.codecs.payload.annexb import nal_units
from tests.interop.test_examples import ROOT, free_port

CAMERA = """
import sys, time
from fractions import Fraction
import av
from rtcstack.media.testsources import test_picture

while True:
    try:
        container = av.open(sys.argv[1], "w", format="rtsp", options={"rtsp_transport": "tcp"})
        options = {"preset": "ultrafast", "tune": "zerolatency", "bf": "0", "g": "15"}
        stream = container.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        index, began = 0, time.monotonic()
        while True:
            frame = test_picture(index, 64, 64)
            frame.pts, frame.time_base = index, Fraction(1, 30)
            container.mux(stream.encode(frame))
            index += 1
            time.sleep(max(0.0, began + index / 30 - time.monotonic()))
    except (av.FFmpegError, OSError):
        time.sleep(0.1)  # nobody listens yet
"""
"""H.264 at 30 pictures a second, for ever. A process, for PyAV waits under Python's lock."""


async def test_an_rtsp_stream_is_sent_on_without_decoding_it() -> None:
    url = f"rtsp://127.0.0.1:{free_port()}/camera"
    camera = await asyncio.create_subprocess_exec(sys.executable, "-c", CAMERA, url, cwd=ROOT)
    try:
        async with asyncio.timeout(30), RTCPeerConnection() as a, RTCPeerConnection() as b:
            player = await MediaPlayer.open(
                url, options={"rtsp_flags": "listen", "listen_timeout": "20"}, decode=False
            )
            assert player.video is not None
            a.on("icecandidate", lambda event: b.addIceCandidate(event.candidate))
            b.on("icecandidate", lambda event: a.addIceCandidate(event.candidate))
            a.addTrack(player.video)
            await a.setLocalDescription()
            assert a.localDescription is not None
            await b.setRemoteDescription(a.localDescription)
            await b.setLocalDescription()
            assert b.localDescription is not None
            await a.setRemoteDescription(b.localDescription)
            got = b.getReceivers()[0].encodedTrack.reader()
            frames: list[Any] = [await got.read() for _ in range(20)]
            got.close()
            assert all(isinstance(frame, EncodedMedia) and frame.codec == "video/H264" for frame in frames)
            key = next(frame for frame in frames if frame.key_frame)
            assert {7, 8, 5} <= {unit[0] & 0x1F for unit in nal_units(key.data)}
            # the camera is unplugged
            ended = asyncio.Event()
            player.video.on("ended", lambda: ended.set())
            player.on("error", lambda: None)
            camera.kill()
            await ended.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            camera.kill()
        await camera.wait()
