"""rtcstack itself."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import rtcstack
from bench.stacks.w3c import W3CStack


class RtcstackStack(W3CStack):
    """The stack of this project."""

    name = "rtcstack"
    version = version("rtcstack")

    def new(self) -> Any:
        return rtcstack.RTCPeerConnection()

    def description(self, kind: str, sdp: str) -> Any:
        return rtcstack.RTCSessionDescription(type=kind, sdp=sdp)


def create() -> RtcstackStack:
    """The adapter."""
    return RtcstackStack()
