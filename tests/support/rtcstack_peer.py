"""A peer of rtcstack in this process: the local side of every interop test."""

from __future__ import annotations

from typing import Any

import rtcstack
from tests.support.w3c_peer import W3CPeer

__all__ = ["RtcstackPeer"]


class RtcstackPeer(W3CPeer):
    """A peer connection of rtcstack."""

    def __init__(self, **configuration: Any) -> None:
        super().__init__(
            "rtcstack",
            rtcstack.RTCPeerConnection(rtcstack.RTCConfiguration(**configuration)),
            lambda value: rtcstack.RTCSessionDescription(**value),
            lambda value: rtcstack.RTCIceCandidate(**value),
        )
