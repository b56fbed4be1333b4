"""What "track" will be told with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtcstack.compat.aiortc.mediastreams import MediaStreamTrack

if TYPE_CHECKING:
    from rtcstack.compat.aiortc.rtcrtpreceiver import RTCRtpReceiver
    from rtcstack.compat.aiortc.rtcrtptransceiver import RTCRtpTransceiver

__all__ = ["RTCTrackEvent"]


@dataclass
class RTCTrackEvent:
    """A track of the peer's, and what receives it."""

    receiver: RTCRtpReceiver
    track: MediaStreamTrack
    transceiver: RTCRtpTransceiver
