"""RTCRtpTransceiver: a sender and a receiver of one section."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtcstack.compat.aiortc.codecsets import get_capabilities, preferences
from rtcstack.compat.aiortc.nativetracks import source_mime_type
from rtcstack.compat.aiortc.rtcrtpparameters import (
    DIRECTIONS,
    RTCRtpCodecCapability,
    RTCRtpCodecParameters,
    RTCRtpHeaderExtensionParameters,
)
from rtcstack.compat.aiortc.rtcrtpreceiver import RTCRtpReceiver
from rtcstack.compat.aiortc.rtcrtpsender import RTCRtpSender

if TYPE_CHECKING:
    from rtcstack.api.transceiver import RTCRtpTransceiver as NativeTransceiver

__all__ = [
    "DIRECTIONS",
    "RTCRtpCodecParameters",
    "RTCRtpHeaderExtensionParameters",
    "RTCRtpTransceiver",
]


class RTCRtpTransceiver:
    """A sender and a receiver. Connections make them.

    Args:
        transceiver: this stack's.
        sender, receiver: its parts.
        direction: what is wanted.

    Attributes:
        native: this stack's.
        preferred: codecs that the application wants; empty for all.
    """

    def __init__(
        self,
        transceiver: NativeTransceiver,
        sender: RTCRtpSender,
        receiver: RTCRtpReceiver,
        direction: str,
    ) -> None:
        self.native = transceiver
        self._sender = sender
        self._receiver = receiver
        self._direction = direction
        self._current_direction: str | None = None
        self._mid: str | None = None
        self._stopped = False
        self._codecs: list[RTCRtpCodecParameters] = []  # frameworks look here; ours keep what was agreed
        self._headerExtensions: list[RTCRtpHeaderExtensionParameters] = []
        self.preferred: list[RTCRtpCodecCapability] = []
        self._apply_preferences()

    def _apply_preferences(self) -> None:
        source = source_mime_type(self._sender.track)
        self.native.setCodecPreferences(preferences(self.kind, self.preferred, source))

    def applied(self) -> None:
        """A description was applied."""
        native = self.native
        if native.mid is not None:
            self._mid = native.mid
        if native.currentDirection is not None and str(native.currentDirection) != "stopped":
            self._current_direction = str(native.currentDirection)

    @property
    def currentDirection(self) -> str | None:
        """What was agreed; None before."""
        return self._current_direction

    @property
    def direction(self) -> str:
        """What is wanted: "sendrecv", "sendonly", "recvonly" or "inactive"."""
        return self._direction

    @direction.setter
    def direction(self, direction: str) -> None:
        assert direction in DIRECTIONS
        self._direction = direction
        if not self._stopped:
            self.native.direction = direction

    def added(self) -> None:
        """For the connection: a track was added."""
        self._apply_preferences()

    @property
    def kind(self) -> str:
        """ "audio" or "video"."""
        return self._sender.kind

    @property
    def mid(self) -> str | None:
        """Its section's, once there is one."""
        return self._mid

    @property
    def receiver(self) -> RTCRtpReceiver:
        """What receives."""
        return self._receiver

    @property
    def sender(self) -> RTCRtpSender:
        """What sends."""
        return self._sender

    @property
    def stopped(self) -> bool:
        """Whether it has ended."""
        return self._stopped

    def setCodecPreferences(self, codecs: list[RTCRtpCodecCapability]) -> None:
        """Use these codecs, in this order; all, in their own, where there are none.

        Raises:
            ValueError: one that `getCapabilities` does not name.
        """
        known = get_capabilities(self.kind).codecs
        wanted: list[RTCRtpCodecCapability] = []
        for codec in codecs:
            if codec not in known:
                raise ValueError("Codec is not in capabilities")
            if codec not in wanted:
                wanted.append(codec)
        self.preferred = wanted
        self._apply_preferences()

    async def stop(self) -> None:
        """End it, for good."""
        self.ended()
        self.native.stop()

    def ended(self) -> None:
        """It has ended, by itself or with its connection."""
        if not self._stopped and self._current_direction in ("sendrecv", "sendonly"):
            self._sender.end()
        self._stopped = True
        track = self._receiver.track
        if track is not None:
            track.finish()
