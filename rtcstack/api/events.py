"""The event objects of the WebRTC interfaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtcstack.events import Event

if TYPE_CHECKING:
    from rtcstack.api.datachannel import RTCDataChannel
    from rtcstack.api.description import RTCIceCandidate
    from rtcstack.api.receiver import RTCRtpReceiver
    from rtcstack.api.transceiver import RTCRtpTransceiver
    from rtcstack.media.stream import MediaStream
    from rtcstack.media.track import MediaStreamTrack

__all__ = [
    "MessageEvent",
    "RTCDataChannelEvent",
    "RTCErrorEvent",
    "RTCPeerConnectionIceErrorEvent",
    "RTCPeerConnectionIceEvent",
    "RTCTrackEvent",
]


class RTCPeerConnectionIceEvent(Event):
    """A local candidate.

    Attributes:
        candidate: the candidate; one with an empty string ends a generation; None ends gathering.
        url: the server that it was found with, or None.

    Spec: webrtc-pc, section 4.8.2.
    """

    __slots__ = ("candidate", "url")

    def __init__(self, type: str, candidate: RTCIceCandidate | None, url: str | None = None) -> None:  # noqa: A002
        super().__init__(type)
        self.candidate = candidate
        self.url = url


class RTCPeerConnectionIceErrorEvent(Event):
    """A STUN or TURN server failed.

    Attributes:
        address, port: the local address used, or None.
        url: the server.
        errorCode: STUN's error code, or 701 when no answer came.
        errorText: what the server said, or why there is no answer.

    Spec: webrtc-pc, section 4.8.3.
    """

    __slots__ = ("address", "errorCode", "errorText", "port", "url")

    def __init__(
        self,
        type: str,  # noqa: A002
        *,
        address: str | None,
        port: int | None,
        url: str,
        errorCode: int,
        errorText: str,
    ) -> None:
        super().__init__(type)
        self.address = address
        self.port = port
        self.url = url
        self.errorCode = errorCode
        self.errorText = errorText


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


class MessageEvent(Event):
    """A message arrived.

    Attributes:
        data: str for text, bytes for binary (`Blob` when ``binaryType`` is "blob").

    Spec: HTML, section 9.1.
    """

    __slots__ = ("data",)

    def __init__(self, type: str, data: object) -> None:  # noqa: A002
        super().__init__(type)
        self.data = data


class RTCErrorEvent(Event):
    """Something failed.

    Attributes:
        error: what; an RTCError, but for a sender or receiver whose codec fails (OperationError).

    Spec: webrtc-pc, section 11.2.
    """

    __slots__ = ("error",)

    def __init__(self, type: str, error: Exception) -> None:  # noqa: A002
        super().__init__(type)
        self.error = error
