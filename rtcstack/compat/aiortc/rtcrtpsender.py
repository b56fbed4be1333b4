"""RTCRtpSender: a track on its way to the peer."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rtcstack.compat.aiortc.codecs import get_encoder
from rtcstack.compat.aiortc.codecs.base import Encoder
from rtcstack.compat.aiortc.codecsets import is_rtx
from rtcstack.compat.aiortc.exceptions import InvalidStateError
from rtcstack.compat.aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from rtcstack.compat.aiortc.nativestats import sender_stats
from rtcstack.compat.aiortc.nativetracks import native_track
from rtcstack.compat.aiortc.rtcdtlstransport import RTCDtlsTransport
from rtcstack.compat.aiortc.rtcrtpparameters import (
    RTCRtpCodecParameters,
    RTCRtpSendParameters,
)
from rtcstack.compat.aiortc.rtp import RtpPacket
from rtcstack.compat.aiortc.rtpend import RtpEnd
from rtcstack.compat.aiortc.stats import (
    RTCOutboundRtpStreamStats,
    RTCRemoteInboundRtpStreamStats,
    RTCStatsReport,
)
from rtcstack.compat.aiortc.utils import random16, random32, uint16_add, uint32_add
from rtcstack.promises import upon

if TYPE_CHECKING:
    from rtcstack.api.sender import RTCRtpSender as NativeSender

__all__ = [
    "Encoder",
    "InvalidStateError",
    "MediaStreamError",
    "RTCDtlsTransport",
    "RTCOutboundRtpStreamStats",
    "RTCRemoteInboundRtpStreamStats",
    "RTCRtpCodecParameters",
    "RTCRtpSendParameters",
    "RTCRtpSender",
    "RtpPacket",
    "get_encoder",
    "is_rtx",
    "random16",
    "random32",
    "uint16_add",
    "uint32_add",
]

logger = logging.getLogger("rtcstack.compat.aiortc")


class RTCRtpSender(RtpEnd):
    """Sends a track. Connections make them.

    Args:
        sender: this stack's.
        kind: "audio" or "video".
        track: what it sends.
        transport: what that travels over.
    """

    def __init__(
        self, sender: NativeSender, kind: str, track: MediaStreamTrack | None, transport: RTCDtlsTransport
    ) -> None:
        super().__init__(kind, transport)
        self.native = sender
        self._track = track

    @property
    def kind(self) -> str:
        """ "audio" or "video"."""
        return self._kind

    @property
    def track(self) -> MediaStreamTrack | None:
        """What is sent."""
        return self._track

    async def getStats(self) -> RTCStatsReport:
        """Statistics of what is sent, and of its transport."""
        return sender_stats(await self.native.getStats(), self._track)

    def replaceTrack(self, track: MediaStreamTrack | None) -> None:
        """Send another track, at once, or none."""
        self._track = track
        operation = self.native.replaceTrack(None if track is None else native_track(track))
        upon(operation, lambda nothing: None, _told)

    def _send_keyframe(self) -> None:
        """Send a key frame next; programs call it, for want of another way."""
        if self._kind == "video":
            operation = self.native.generateKeyFrame()
            upon(operation, lambda nothing: None, lambda error: logger.debug("no key frame: %s", error))

    def end(self) -> None:
        """For its transceiver: it has ended, and with it what it has sent."""
        track, self._track = self._track, None
        if track is not None:
            track.stop()


def _told(error: BaseException) -> None:
    """A track could not be replaced: by one of another kind, or when all was over."""
    level = logging.DEBUG if isinstance(error, InvalidStateError) else logging.WARNING
    logger.log(level, "replaceTrack failed: %s", error)
