"""fastapi-webrtc: its engine on aiortc, as the runtime of its sessions calls it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.wanted import wanted

module = wanted("fastapi_webrtc.engines.aiortc")

from aiortc.contrib.media import MediaRelay  # noqa: E402
from fastapi_webrtc.engine import (  # noqa: E402
    ConnectionState,
    DescriptionType,
    MediaKind,
    PeerConfig,
    SessionDescription,
)

from tests.frameworks.clients import TONE_HZ, browser, is_ours, until  # noqa: E402


class Observer:
    """What the engine tells."""

    def __init__(self) -> None:
        self.states: list[Any] = []
        self.tracks: list[Any] = []
        self.channels: list[Any] = []
        self.candidates: list[Any] = []

    def connection_state(self, state: Any) -> None:
        self.states.append(state)

    def track(self, track: Any) -> None:
        self.tracks.append(track)

    def data_channel(self, channel: Any) -> None:
        self.channels.append(channel)

    def ice_candidate(self, candidate: Any) -> None:
        self.candidates.append(candidate)


async def test_the_engine_echoes_and_negotiates_again() -> None:
    assert is_ours("fastapi_webrtc.engines.aiortc")
    engine = module.AiortcEngine(codec_preferences={MediaKind.VIDEO: ("video/VP8",)})
    observer = Observer()
    peer = await engine.create_peer(PeerConfig(ice_servers=()), observer)
    relay = MediaRelay()
    async with browser("audio", channel="chat") as me:
        offer = await me.offer()
        await peer.set_remote_description(SessionDescription(type=DescriptionType.OFFER, sdp=offer["sdp"]))
        (track,) = observer.tracks
        sender = peer.add_track(relay.subscribe(track.native))
        answer = await peer.create_answer()
        await me.accept(answer.sdp)
        await until(lambda: ConnectionState.CONNECTED in observer.states)
        assert await me.hears() == pytest.approx(TONE_HZ, abs=10)
        await until(lambda: observer.channels)
        assert not peer.needs_negotiation()
        await asyncio.sleep(0.5)
        stats = await peer.stats()
        assert stats.inbound[0].packets > 0
        assert stats.outbound[0].packets > 0

        await peer.remove_track(sender)
        peer.add_transceiver(MediaKind.VIDEO, "recvonly")
        assert peer.needs_negotiation()
        again = await peer.create_offer()
        assert "VP8" in again.sdp
        assert "H264" not in again.sdp
        await me.pc.setRemoteDescription({"type": "offer", "sdp": again.sdp})
        await me.pc.setLocalDescription()
        assert me.pc.localDescription is not None
        await peer.set_remote_description(
            SessionDescription(type=DescriptionType.ANSWER, sdp=me.pc.localDescription.sdp)
        )
        assert peer.signaling_state == "stable"
        await peer.close()
        assert peer.connection_state is ConnectionState.CLOSED
