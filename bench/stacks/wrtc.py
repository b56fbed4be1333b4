"""wrtc: libwebrtc bound to Python."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import webrtc

from bench.stacks.w3c import W3CStack


class WrtcStack(W3CStack):
    """libwebrtc's threads carry the packets; Python sees the messages."""

    name = "wrtc"
    version = version("wrtc")

    def new(self) -> Any:
        return webrtc.RTCPeerConnection()

    def description(self, kind: str, sdp: str) -> Any:
        return webrtc.RTCSessionDescriptionInit(webrtc.RTCSdpType(kind), sdp)


def create() -> WrtcStack:
    """The adapter."""
    return WrtcStack()
