"""A server that answers offers: it echoes channels, sends pictures back with their edges, records."""

# mypy: ignore-errors
from __future__ import annotations

import json
import uuid

import av
from aiohttp import web

from rtcstack.compat.aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from rtcstack.compat.aiortc.contrib.media import MediaBlackhole, MediaRecorder, MediaRelay

pcs = set()
relay = MediaRelay()
record_to = None


class VideoTransformTrack(MediaStreamTrack):
    """Inverts the pictures of another track."""

    kind = "video"

    def __init__(self, track):
        super().__init__()
        self.track = track

    async def recv(self):
        frame = await self.track.recv()
        new_frame = av.VideoFrame.from_ndarray(255 - frame.to_ndarray(format="bgr24"), format="bgr24")
        new_frame.pts = frame.pts
        new_frame.time_base = frame.time_base
        return new_frame


async def offer(request):
    params = await request.json()
    pc = RTCPeerConnection()
    pc_id = f"PeerConnection({uuid.uuid4()})"
    pcs.add(pc)
    recorder = MediaRecorder(record_to) if record_to else MediaBlackhole()

    @pc.on("datachannel")
    def on_datachannel(channel):
        @channel.on("message")
        def on_message(message):
            if isinstance(message, str) and message.startswith("ping"):
                channel.send("pong" + message[4:])

    @pc.on("connectionstatechange")
    async def on_connectionstatechange():
        print(pc_id, "Connection state is", pc.connectionState)
        if pc.connectionState == "failed":
            await pc.close()
            pcs.discard(pc)

    @pc.on("track")
    def on_track(track):
        if track.kind == "audio":
            pc.addTrack(relay.subscribe(track))
        elif track.kind == "video":
            pc.addTrack(VideoTransformTrack(relay.subscribe(track)))
        recorder.addTrack(relay.subscribe(track))

        @track.on("ended")
        async def on_ended():
            await recorder.stop()

    await pc.setRemoteDescription(RTCSessionDescription(sdp=params["sdp"], type=params["type"]))
    await recorder.start()
    await pc.setLocalDescription(await pc.createAnswer())
    return web.Response(
        content_type="application/json",
        text=json.dumps({"sdp": pc.localDescription.sdp, "type": pc.localDescription.type}),
    )


async def on_shutdown(app):
    for pc in list(pcs):
        await pc.close()
    pcs.clear()


def make_app():
    app = web.Application()
    app.on_shutdown.append(on_shutdown)
    app.router.add_post("/offer", offer)
    return app
