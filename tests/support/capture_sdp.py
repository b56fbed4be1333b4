"""Captures offers and answers from the peers that are installed, for `sdp_corpus/`.

    python -m tests.support.capture_sdp [wrtc] [aiortc] [chromium] [firefox] [node]

Each scenario makes an offer in one peer, answers it in a second of the same kind, waits for both
to gather, and stores both descriptions. Host names of the machine do not occur in descriptions;
addresses are private ones.
"""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parent / "sdp_corpus"
NODE = Path(__file__).parent / "node"

SCENARIOS = ("data", "audio-video-data", "simulcast", "recvonly")

PAGE = """<!doctype html><meta charset=utf-8><script>
async function gathered(pc) {
  if (pc.iceGatheringState === 'complete') return;
  await new Promise(done => {
    setTimeout(done, 3000);
    pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && done();
  });
}
async function capture(scenario, bundlePolicy) {
  const a = new RTCPeerConnection({bundlePolicy}), b = new RTCPeerConnection({bundlePolicy});
  if (scenario === 'data' || scenario === 'audio-video-data') a.createDataChannel('x');
  let stream;
  if (scenario === 'audio-video-data' || scenario === 'simulcast') {
    stream = await navigator.mediaDevices.getUserMedia({audio: true, video: true});
  }
  if (scenario === 'audio-video-data') {
    for (const track of stream.getTracks()) { a.addTrack(track, stream); b.addTrack(track, stream); }
  }
  if (scenario === 'simulcast') {
    a.addTransceiver(stream.getVideoTracks()[0], {direction: 'sendonly', streams: [stream], sendEncodings: [
      {rid: 'q', scaleResolutionDownBy: 4}, {rid: 'h', scaleResolutionDownBy: 2}, {rid: 'f'}]});
  }
  if (scenario === 'recvonly') {
    a.addTransceiver('audio', {direction: 'recvonly'});
    a.addTransceiver('video', {direction: 'recvonly'});
    a.addTransceiver('video', {direction: 'recvonly'});
  }
  await a.setLocalDescription();
  await gathered(a);
  const offer = a.localDescription.sdp;
  await b.setRemoteDescription(a.localDescription);
  await b.setLocalDescription();
  await gathered(b);
  const answer = b.localDescription.sdp;
  a.close(); b.close();
  return {offer, answer};
}
async function captureAll() {
  for (const policy of ['balanced', 'max-compat', 'max-bundle']) {
    for (const scenario of SCENARIOS) {
      let body;
      try { body = await capture(scenario, policy); }
      catch (error) { body = {error: String(error)}; }
      await fetch('/result', {method: 'POST', body: JSON.stringify({scenario, policy, ...body})});
    }
  }
  await fetch('/result', {method: 'POST', body: JSON.stringify({done: true})});
}
if (location.search === '?auto') captureAll();
</script>""".replace("SCENARIOS", json.dumps(SCENARIOS))


def store(peer: str, scenario: str, offer: str, answer: str | None) -> None:
    CORPUS.mkdir(exist_ok=True)
    for role, text in (("offer", offer), ("answer", answer)):
        if text:
            (CORPUS / f"{peer}_{scenario}_{role}.sdp").write_bytes(text.encode())


class Collector:
    """A local HTTP server that serves the page and takes what it posts."""

    def __init__(self) -> None:
        self.results: list[dict[str, str]] = []
        self.done = threading.Event()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = PAGE.encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                result = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if result.get("done"):
                    collector.done.set()
                else:
                    collector.results.append(result)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def save(self, peer: str) -> None:
        for result in self.results:
            name = f"{result['scenario']}-{result['policy']}"
            if "error" in result:
                print(f"{peer} {name}: {result['error']}")
            else:
                store(peer, name, result["offer"], result["answer"])
        self.server.shutdown()


CHROMIUM_ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
FAKE_DEVICES = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


def chromium() -> None:
    from playwright.sync_api import sync_playwright

    for peer, extra in (
        ("chromium", ["--disable-features=WebRtcHideLocalIpsWithMdns", *FAKE_DEVICES]),
        # a page that may use the camera is shown addresses, so mDNS names come without devices
        ("chromium-mdns", []),
    ):
        collector = Collector()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=[*CHROMIUM_ARGS, *extra]
            )
            page = browser.new_page()
            page.goto(collector.url)
            page.evaluate("captureAll()")
            browser.close()
        collector.save(peer)


FIREFOX_PREFS = {
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    "media.peerconnection.ice.loopback": False,
    "media.devices.insecure.enabled": True,
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "toolkit.telemetry.enabled": False,
}


def firefox() -> None:
    binary = shutil.which("firefox-esr") or shutil.which("firefox")
    if binary is None:
        print("firefox is not installed")
        return
    collector = Collector()
    with tempfile.TemporaryDirectory() as profile:
        prefs = "".join(f'user_pref("{k}", {json.dumps(v)});\n' for k, v in FIREFOX_PREFS.items())
        Path(profile, "user.js").write_text(prefs)
        process = subprocess.Popen(
            [binary, "--headless", "--no-remote", "--profile", profile, collector.url + "?auto"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": profile},
        )
        try:
            collector.done.wait(120)
        finally:
            process.terminate()
            process.wait(20)
    collector.save("firefox")


async def _aiortc() -> None:
    from aiortc import RTCPeerConnection
    from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack

    for scenario in ("data", "audio-video-data", "recvonly"):
        a, b = RTCPeerConnection(), RTCPeerConnection()
        if "data" in scenario:
            a.createDataChannel("x")
        if scenario == "audio-video-data":
            for pc in (a, b):
                pc.addTrack(AudioStreamTrack())
                pc.addTrack(VideoStreamTrack())
        if scenario == "recvonly":
            a.addTransceiver("audio", direction="recvonly")
            a.addTransceiver("video", direction="recvonly")
        await a.setLocalDescription(await a.createOffer())
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription(await b.createAnswer())
        store("aiortc", scenario, a.localDescription.sdp, b.localDescription.sdp)
        await a.close()
        await b.close()


async def _wrtc() -> None:
    import webrtc

    for policy in webrtc.RTCBundlePolicy:
        for scenario in SCENARIOS:
            configuration = webrtc.RTCConfiguration(bundle_policy=policy)
            a: Any = webrtc.RTCPeerConnection(configuration)
            b: Any = webrtc.RTCPeerConnection(configuration)
            if "data" in scenario:
                a.create_data_channel("x")
            sendrecv = webrtc.RTCRtpTransceiverDirection("sendrecv")
            direction = webrtc.RTCRtpTransceiverDirection("recvonly") if scenario == "recvonly" else sendrecv
            init = webrtc.RTCRtpTransceiverInit(direction=direction)
            if scenario in ("audio-video-data", "recvonly"):
                for kind in (*map(webrtc.MediaType, ("audio", "video", "video")),):
                    a.add_transceiver(kind, init)
            if scenario == "simulcast":
                encodings = [webrtc.RTCRtpEncodingParameters(rid=rid) for rid in "qhf"]
                a.add_transceiver(
                    webrtc.MediaType("video"),
                    webrtc.RTCRtpTransceiverInit(direction=sendrecv, send_encodings=encodings),
                )
            await _settle(a)
            await b.set_remote_description(a.local_description)
            for transceiver in b.get_transceivers():
                transceiver.direction = sendrecv
            await _settle(b)
            store("wrtc", f"{scenario}-{policy.value}", a.local_description.sdp, b.local_description.sdp)
            a.close()
            b.close()


async def _settle(pc: Any) -> None:
    await pc.set_local_description()
    for _ in range(100):
        if pc.ice_gathering_state.value == "complete":
            return
        await asyncio.sleep(0.05)


NODE_SCRIPT = """
const rtc = require('node-datachannel');
const a = new rtc.PeerConnection('a', {iceServers: []}), b = new rtc.PeerConnection('b', {iceServers: []});
const out = {};
a.onGatheringStateChange(s => { if (s === 'complete') {
  out.offer = a.localDescription().sdp; b.setRemoteDescription(out.offer, 'offer'); } });
b.onGatheringStateChange(s => { if (s === 'complete') {
  out.answer = b.localDescription().sdp; console.log(JSON.stringify(out)); process.exit(0); } });
a.createDataChannel('x');
"""


def node() -> None:
    for directory in (NODE, *map(Path, os.environ.get("NODE_PATH", "").split(os.pathsep))):
        if (directory / "node_modules" / "node-datachannel").is_dir():
            break
    else:
        print("node-datachannel is not installed")
        return
    output = subprocess.run(
        ["node", "-e", NODE_SCRIPT], cwd=directory, capture_output=True, timeout=60, check=True
    )
    result = json.loads(output.stdout)
    store("libdatachannel", "data", result["offer"], result["answer"])


def main() -> None:
    peers = sys.argv[1:] or ["wrtc", "aiortc", "chromium", "firefox", "node"]
    if "aiortc" in peers:
        asyncio.run(_aiortc())
    if "wrtc" in peers:
        asyncio.run(_wrtc())
    if "chromium" in peers:
        chromium()
    if "firefox" in peers:
        firefox()
    if "node" in peers:
        node()
    print(f"{len(list(CORPUS.glob('*.sdp')))} descriptions in the corpus")


if __name__ == "__main__":
    main()
