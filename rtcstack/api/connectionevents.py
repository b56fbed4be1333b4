"""What a connection tells of its channels and tracks.

Spec: webrtc-pc, sections 5.7 and 6.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtcstack.events import Event

if TYPE_CHECKING:
    from rtcstack.api.datachannel import RTCDataChannel
    from rtcstack.api.receiver import RTCRtpReceiver
    from rtcstack.api.transceiver import RTCRtpTransceiver
    from rtcstack.media.stream import MediaStream
    from rtcstack.media.track import MediaStreamTrack

__all__ = ["RTCDataChannelEvent", "RTCTrackEvent"]


class RTCTrackEvent(Event):
    """Remote media begins.

    Attributes:
        receiver, track, streams, transceiver: what it belongs to.

    Spec: webrtc-pc, section 5.7.
    """

    __slots__ = ("receiver", "streams", "track", "transceiver")

    def __init__(
        self,
        type: str,  # noqa: A002
        *,
        receiver: RTCRtpReceiver,
        track: MediaStreamTrack,
        streams: tuple[MediaStream, ...],
        transceiver: RTCRtpTransceiver,
    ) -> None:
        super().__init__(type)
        self.receiver = receiver
        self.track = track
        self.streams = streams
        self.transceiver = transceiver


class RTCDataChannelEvent(Event):
    """The peer opened a data channel.

    Attributes:
        channel: the channel.

    Spec: webrtc-pc, section 6.3.
    """

    __slots__ = ("channel",)

    def __init__(self, type: str, channel: RTCDataChannel) -> None:  # noqa: A002
        super().__init__(type)
        self.channel = channel
