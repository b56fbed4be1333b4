"""A peer of wrtc (libwebrtc, Chromium's engine, bound to Python) in this process."""

from __future__ import annotations

from typing import Any

import webrtc

from tests.support.peers import Channel, ChannelOptions
from tests.support.w3c_peer import W3CChannel, W3CPeer

__all__ = ["WrtcPeer"]


class WrtcPeer(W3CPeer):
    """A peer connection of wrtc."""

    def __init__(self, **configuration: Any) -> None:
        assert not configuration, "wrtc is tested with its defaults"
        super().__init__(
            "wrtc",
            webrtc.RTCPeerConnection(),
            lambda value: webrtc.RTCSessionDescriptionInit(webrtc.RTCSdpType(value["type"]), value["sdp"]),
            lambda value: webrtc.RTCIceCandidateInit(
                candidate=value["candidate"],
                sdp_mid=value.get("sdpMid"),
                sdp_m_line_index=value.get("sdpMLineIndex"),
                username_fragment=value.get("usernameFragment"),
            ),
        )

    async def create_channel(self, options: ChannelOptions) -> Channel:
        init = webrtc.RTCDataChannelInit(
            ordered=options.ordered,
            max_packet_life_time=options.maxPacketLifeTime,
            max_retransmits=options.maxRetransmits,
            protocol=options.protocol,
            negotiated=options.negotiated,
            id=options.id,
        )
        return W3CChannel(self.pc.create_data_channel(options.label, init))
