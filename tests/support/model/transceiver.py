"""Slots of transceivers, senders and receivers.

Spec: webrtc-pc, sections 5.2 to 5.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Encoding", "Transceiver"]


@dataclass(frozen=True, slots=True)
class Encoding:
    """A dictionary of [[SendEncodings]], as far as it is compared."""

    rid: str | None = None
    scale: float = 1.0
    active: bool = True
    max_bitrate: int | None = None


@dataclass(eq=False, slots=True)
class Transceiver:
    """An RTCRtpTransceiver with its sender and its receiver."""

    kind: str
    direction: str
    track: str | None = None
    """[[SenderTrack]], by its id."""
    streams: tuple[str, ...] = ()
    """[[AssociatedMediaStreamIds]]"""
    encodings: list[Encoding] = field(default_factory=lambda: [Encoding()])
    by_add_track: bool = False
    """Whether addTrack has created it."""
    attached: bool = False
    """Whether a track was ever attached by addTrack."""
    current_direction: str | None = None
    fired_direction: str | None = None
    has_sent: bool = False
    """Whether [[CurrentDirection]] has ever had a value with "send"."""
    mid: str | None = None
    jsep_mid: str | None = None
    lost_section: tuple[str | None, str | None] | None = None
    """Its mid and [[CurrentDirection]] before a pending offer has recycled its section."""
    was_associated: bool = False
    """Whether it had a media description before the pending description was set."""
    made_by_pending: bool = False
    """Whether it was created when the pending description was set."""
    stopping: bool = False
    stopped: bool = False
    preferences: list[str] = field(default_factory=list)
    remote_streams: list[str] = field(default_factory=list)
    """[[AssociatedRemoteMediaStreams]], by their ids."""
    last_stable_remote_streams: list[str] = field(default_factory=list)
    last_stable_ridless: list[Encoding] | None = None
    has_transport: bool = False
    last_stable_has_transport: bool = False
    is_rejected: bool = False
    """Whether the remote description that is set rejects its section."""
    receptive: bool = False
    """[[Receptive]]: whether what arrives unmutes the track."""
    muted: bool = True
    ended: bool = False
    number: int = 0
    """For messages and events."""

    @property
    def shown_mid(self) -> str | None:
        """What the attribute gives.

        Departure: no step takes the mid from a transceiver that has stopped; but a refused section has none
        any longer (RFC 9429, section 5.10), and browsers show none.
        """
        return None if self.stopped else self.mid

    @property
    def shown_direction(self) -> str:
        """The getter of direction."""
        return "stopped" if self.stopping else self.direction

    @property
    def shown_current_direction(self) -> str | None:
        """The getter of currentDirection."""
        return "stopped" if self.stopped else self.current_direction

    def set_streams(self, streams: Sequence[str]) -> None:
        """[[AssociatedMediaStreamIds]]: each once."""
        self.streams = tuple(dict.fromkeys(streams))

    def set_current_direction(self, direction: str) -> None:
        """[[CurrentDirection]], which remembers whether it ever sent."""
        self.current_direction = direction
        if direction in ("sendrecv", "sendonly"):
            self.has_sent = True
