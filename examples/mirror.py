# mypy: allow-untyped-defs
"""Answer a browser, change its video, send it back: open http://localhost:8080."""

from aiohttp import web

from rtcstack import RTCPeerConnection, processed, video_frame, video_to_numpy

PAGE = """<!doctype html><title>mirror</title><video id=v autoplay playsinline></video><script type=module>
const pc = new RTCPeerConnection();
const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
for (const track of stream.getTracks()) pc.addTrack(track, stream);
pc.ontrack = (event) => { v.srcObject = event.streams[0] };
await pc.setLocalDescription();
while (pc.iceGatheringState !== "complete") await new Promise((done) => setTimeout(done, 50));
const answer = await fetch("/call", { method: "POST", body: JSON.stringify(pc.localDescription) });
await pc.setRemoteDescription(await answer.json());
</script>"""


def negative(frame):
    return video_frame(255 - video_to_numpy(frame))


async def call(request):
    pc = RTCPeerConnection()

    @pc.on("track")
    def back(event):
        track = processed(event.track, negative) if event.track.kind == "video" else event.track
        pc.addTrack(track, *event.streams)

    @pc.on("connectionstatechange")
    async def over(event):
        if pc.connectionState == "failed":
            await pc.close()

    await pc.setRemoteDescription(await request.json())
    await pc.setLocalDescription()
    return web.json_response((await pc.gathered()).toJSON())


async def page(request):
    return web.Response(text=PAGE, content_type="text/html")


if __name__ == "__main__":
    app = web.Application()
    app.add_routes([web.get("/", page), web.post("/call", call)])
    web.run_app(app, host="localhost", port=8080)
