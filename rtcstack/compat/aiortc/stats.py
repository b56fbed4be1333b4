"""Statistics as objects with attributes."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

__all__ = [
    "RTCInboundRtpStreamStats",
    "RTCOutboundRtpStreamStats",
    "RTCReceivedRtpStreamStats",
    "RTCRemoteInboundRtpStreamStats",
    "RTCRemoteOutboundRtpStreamStats",
    "RTCRtpStreamStats",
    "RTCSentRtpStreamStats",
    "RTCStats",
    "RTCStatsReport",
    "RTCTransportStats",
]


@dataclass
class RTCStats:
    """What all have: when they were taken, of which type, and of which object."""

    timestamp: datetime.datetime
    type: str
    id: str


@dataclass
class RTCRtpStreamStats(RTCStats):
    """A stream: its source, "audio" or "video", and the id of its transport's statistics."""

    ssrc: int
    kind: str
    transportId: str


@dataclass
class RTCReceivedRtpStreamStats(RTCRtpStreamStats):
    """What has arrived of a stream; `jitter` in ticks of its clock."""

    packetsReceived: int
    packetsLost: int
    jitter: int


@dataclass
class RTCSentRtpStreamStats(RTCRtpStreamStats):
    """What was sent of a stream; `bytesSent` without headers."""

    packetsSent: int
    bytesSent: int


@dataclass
class RTCInboundRtpStreamStats(RTCReceivedRtpStreamStats):
    """A stream that arrives here."""


@dataclass
class RTCRemoteInboundRtpStreamStats(RTCReceivedRtpStreamStats):
    """A stream of ours, as it arrives at the peer; `roundTripTime` in seconds, `fractionLost` 0 to 1."""

    roundTripTime: float
    fractionLost: float


@dataclass
class RTCOutboundRtpStreamStats(RTCSentRtpStreamStats):
    """A stream that is sent here."""

    trackId: str


@dataclass
class RTCRemoteOutboundRtpStreamStats(RTCSentRtpStreamStats):
    """A stream that arrives here, as the peer has sent it; `remoteTimestamp` is the peer's time."""

    remoteTimestamp: datetime.datetime | None = None


@dataclass
class RTCTransportStats(RTCStats):
    """A transport: packets, bytes, and how ICE and DTLS are."""

    packetsSent: int
    packetsReceived: int
    bytesSent: int
    bytesReceived: int
    iceRole: str
    dtlsState: str


class RTCStatsReport(dict[str, RTCStats]):
    """Statistics by id."""

    def add(self, stats: RTCStats) -> None:
        """Put an object in its place."""
        self[stats.id] = stats
