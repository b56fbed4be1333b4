"""RTCErrorEvent.

Spec: webrtc-pc, section 11.2.
"""

from __future__ import annotations

from rtcstack.events import Event

__all__ = ["RTCErrorEvent"]


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
