"""The states of ICE.

Spec: webrtc-pc, section 5.6.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["GatheringState", "IceState"]


class GatheringState(StrEnum):
    """RTCIceGathererState; "closed" is ORTC's."""

    NEW = "new"
    GATHERING = "gathering"
    COMPLETE = "complete"
    CLOSED = "closed"


class IceState(StrEnum):
    """RTCIceTransportState."""

    NEW = "new"
    CHECKING = "checking"
    CONNECTED = "connected"
    COMPLETED = "completed"
    DISCONNECTED = "disconnected"
    FAILED = "failed"
    CLOSED = "closed"
