"""The events that tell of candidates: of connections, and of gatherers by themselves.

Spec: webrtc-pc, section 4.8.
"""

from __future__ import annotations

from rtcstack.api.description import RTCIceCandidate
from rtcstack.events import Event

__all__ = ["RTCPeerConnectionIceErrorEvent", "RTCPeerConnectionIceEvent", "server_error"]


class RTCPeerConnectionIceEvent(Event):
    """A local candidate.

    Attributes:
        candidate: the candidate; one with an empty string ends a generation; None ends gathering.
        url: the server that it was found with, or None.

    Spec: webrtc-pc, section 4.8.2.
    """

    __slots__ = ("candidate", "url")

    def __init__(
        self,
        type: str,  # noqa: A002
        candidate: RTCIceCandidate | None = None,
        url: str | None = None,
    ) -> None:
        super().__init__(type)
        self.candidate = candidate
        self.url = url


class RTCPeerConnectionIceErrorEvent(Event):
    """A STUN or TURN server failed.

    Attributes:
        address, port: the local address used; None where the peer is not told of it.
        url: the server.
        errorCode: STUN's error code, or 701 when no answer came from any address: once for each server.
        errorText: what the server said, or why there is no answer.

    Spec: webrtc-pc, section 4.8.3.
    """

    __slots__ = ("address", "errorCode", "errorText", "port", "url")

    def __init__(
        self,
        type: str,  # noqa: A002
        *,
        errorCode: int,
        errorText: str = "",
        address: str | None = None,
        port: int | None = None,
        url: str = "",
    ) -> None:
        super().__init__(type)
        self.address = address
        self.port = port
        self.url = url
        self.errorCode = errorCode
        self.errorText = errorText


def server_error(
    url: str, local: tuple[str, int] | None, code: int, text: str
) -> RTCPeerConnectionIceErrorEvent:
    """The event of a server that failed.

    Args:
        url: the server.
        local: the local address used, or None where it is not shown.
        code, text: the error.
    """
    address, port = local if local is not None else (None, None)
    return RTCPeerConnectionIceErrorEvent(
        "icecandidateerror", address=address, port=port, url=url, errorCode=code, errorText=text
    )
