"""pymediasoup: its handler sends to a router, which is this stack under the W3C's names."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.wanted import wanted

handlers = wanted("pymediasoup.handlers.aiortc_handler")

from aiortc import AudioStreamTrack, RTCIceCandidate, VideoStreamTrack  # noqa: E402
from aiortc.sdp import candidate_from_sdp  # noqa: E402
from pymediasoup.models.transport import DtlsFingerprint, DtlsParameters, IceParameters  # noqa: E402
from pymediasoup.ortc import getExtendedRtpCapabilities  # noqa: E402
from pymediasoup.sctp_parameters import SctpParameters  # noqa: E402

import rtcstack  # noqa: E402
from rtcstack.config import IceSettings, Settings  # noqa: E402
from tests.frameworks.clients import is_ours, until  # noqa: E402

UFRAG, PASSWORD = "router", "a/password+of+the+routers"


class Router:
    """The other side: its ICE credentials and certificate are known before anybody describes anything."""

    def __init__(self) -> None:
        self.pc: Any = None
        self.tracks: dict[str, Any] = {}
        self.channels: list[Any] = []
        self.messages: list[Any] = []
        self.fingerprints: list[str] = []

    async def begin(self, handler: Any, direction: str) -> None:
        """Have a handler know this router."""
        certificate = await rtcstack.RTCPeerConnection.generateCertificate(
            {"name": "ECDSA", "namedCurve": "P-256"}
        )
        settings = Settings(ice=IceSettings(ufrag=UFRAG, password=PASSWORD))
        self.pc = rtcstack.RTCPeerConnection({"certificates": [certificate], "settings": settings})
        self.pc.on("track", lambda event: self.tracks.update({event.track.kind: event.track}))
        prints = [
            DtlsFingerprint(algorithm=each.algorithm, value=each.value)
            for each in certificate.getFingerprints()
        ]
        capabilities = await handler.getNativeRtpCapabilities()
        handler.run(
            direction=direction,
            iceParameters=IceParameters(usernameFragment=UFRAG, password=PASSWORD, iceLite=False),
            iceCandidates=[],
            dtlsParameters=DtlsParameters(fingerprints=prints),
            extendedRtpCapabilities=getExtendedRtpCapabilities(capabilities, capabilities),
            sctpParameters=SctpParameters(port=5000, OS=1024, MIS=1024, maxMessageSize=262_144),
            iceServers=[],
        )

        async def connect(parameters: Any) -> None:
            self.fingerprints = [each.algorithm for each in parameters.fingerprints]

        handler.on("@connect", connect)

    async def answer(self, handler: Any) -> None:
        """Take what a handler has offered, and let it know the candidates."""
        await self.pc.setRemoteDescription({"type": "offer", "sdp": handler.pc.localDescription.sdp})
        await self.pc.setLocalDescription()
        await self.pc.gathered()
        for transceiver in self.pc.getTransceivers()[:1]:
            await self.tell(handler, transceiver.receiver.transport.iceTransport)
        if not self.pc.getTransceivers():
            await self.tell(handler, self.pc.sctp.transport.iceTransport)

    async def tell(self, handler: Any, transport: Any) -> None:
        for each in transport.getLocalCandidates():
            candidate: RTCIceCandidate = candidate_from_sdp(each.candidate.partition(":")[2])
            candidate.sdpMLineIndex = 0
            await handler.pc.addIceCandidate(candidate)


async def test_a_handler_sends_tracks() -> None:
    assert is_ours("pymediasoup.handlers.aiortc_handler")
    handler = handlers.AiortcHandler()
    router = Router()
    await router.begin(handler, "send")
    video = await handler.send(VideoStreamTrack())
    assert video.localId == "0"
    assert video.rtpParameters.encodings[0].ssrc
    assert router.fingerprints == ["sha-256"]
    await router.answer(handler)
    await until(lambda: handler.pc.connectionState == "connected")
    async with asyncio.timeout(20):
        frame = await router.tracks["video"].recv()
    assert (frame.width, frame.height) == (640, 480)
    audio = await handler.send(AudioStreamTrack())
    assert audio.localId == "1"
    await router.answer(handler)
    async with asyncio.timeout(20):
        await router.tracks["audio"].recv()
    stats = await handler.getSenderStats(video.localId)
    assert any(each.type == "outbound-rtp" and each.packetsSent for each in stats.values())
    await handler.close()
    await router.pc.close()


async def test_a_handler_sends_over_a_channel() -> None:
    handler = handlers.AiortcHandler()
    router = Router()
    await router.begin(handler, "send")
    mine = router.pc.createDataChannel("chat", negotiated=True, id=0)
    mine.on("message", lambda event: router.messages.append(event.data))
    result = await handler.sendDataChannel(label="chat")
    await router.answer(handler)
    await until(lambda: result.dataChannel.readyState == "open")
    result.dataChannel.send("hello")
    await until(lambda: router.messages == ["hello"])
    await handler.close()
    await until(lambda: mine.readyState == "closed")
    await router.pc.close()
