"""RTCRtpReceiver: a track that comes from the peer."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtcstack.compat.aiortc.codecs import depayload, get_decoder
from rtcstack.compat.aiortc.codecsets import is_rtx
from rtcstack.compat.aiortc.exceptions import InvalidStateError
from rtcstack.compat.aiortc.jitterbuffer import JitterBuffer
from rtcstack.compat.aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from rtcstack.compat.aiortc.nativestats import receiver_stats
from rtcstack.compat.aiortc.nativetracks import RemoteStreamTrack
from rtcstack.compat.aiortc.rtcdtlstransport import RTCDtlsTransport
from rtcstack.compat.aiortc.rtcrtpparameters import (
    RTCRtpCodecParameters,
    RTCRtpReceiveParameters,
)
from rtcstack.compat.aiortc.rtp import RtpPacket
from rtcstack.compat.aiortc.rtpend import RtpEnd
from rtcstack.compat.aiortc.stats import (
    RTCInboundRtpStreamStats,
    RTCRemoteOutboundRtpStreamStats,
    RTCStatsReport,
)
from rtcstack.compat.aiortc.utils import uint16_add, uint16_gt

if TYPE_CHECKING:
    from rtcstack.api.receiver import RTCRtpReceiver as NativeReceiver

__all__ = [
    "InvalidStateError",
    "JitterBuffer",
    "MediaStreamError",
    "MediaStreamTrack",
    "RTCDtlsTransport",
    "RTCInboundRtpStreamStats",
    "RTCRemoteOutboundRtpStreamStats",
    "RTCRtpCodecParameters",
    "RTCRtpContributingSource",
    "RTCRtpReceiveParameters",
    "RTCRtpReceiver",
    "RTCRtpSynchronizationSource",
    "RemoteStreamTrack",
    "RtpPacket",
    "depayload",
    "get_decoder",
    "is_rtx",
    "uint16_add",
    "uint16_gt",
]


@dataclass
class RTCRtpContributingSource:
    """Somebody who was heard in a mix: when, and the CSRC."""

    timestamp: datetime.datetime
    source: int


@dataclass
class RTCRtpSynchronizationSource:
    """A source that sends: when, and the SSRC."""

    timestamp: datetime.datetime
    source: int


class RTCRtpReceiver(RtpEnd):
    """Receives a track. Connections make them.

    Args:
        receiver: this stack's.
        kind: "audio" or "video".
        transport: what it travels over.
    """

    def __init__(self, receiver: NativeReceiver, kind: str, transport: RTCDtlsTransport) -> None:
        super().__init__(kind, transport)
        self._receiver = receiver
        self._track: RemoteStreamTrack | None = None

    @property
    def _enabled(self) -> bool:
        """Whether frames are kept; frameworks set it for tracks that they do not read."""
        return self._track is None or self._track.is_kept

    @_enabled.setter
    def _enabled(self, value: bool) -> None:
        if self._track is not None:
            self._track.is_kept = value

    @property
    def track(self) -> RemoteStreamTrack | None:
        """What is received; None before the peer has described it."""
        return self._track

    async def getStats(self) -> RTCStatsReport:
        """Statistics of what is received, and of its transport."""
        return receiver_stats(await self._receiver.getStats())

    def getContributingSources(self) -> list[RTCRtpContributingSource]:
        """Who was heard in a mix during the last ten seconds."""
        return [
            RTCRtpContributingSource(_time(each.timestamp), each.source)
            for each in self._receiver.getContributingSources()
        ]

    def getSynchronizationSources(self) -> list[RTCRtpSynchronizationSource]:
        """Which sources have sent during the last ten seconds."""
        return [
            RTCRtpSynchronizationSource(_time(each.timestamp), each.source)
            for each in self._receiver.getSynchronizationSources()
        ]

    async def _send_rtcp_pli(self, media_ssrc: int) -> None:
        """Ask for a key frame; programs call it, for want of another way."""
        if self._kind == "video":
            self._receiver.requestKeyFrame()

    def described(self, track: RemoteStreamTrack) -> None:
        """For the connection: the peer has described what it sends."""
        self._track = track


def _time(timestamp_ms: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(timestamp_ms / 1000, datetime.UTC)
