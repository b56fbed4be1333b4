"""The slots of a connection.

Spec: webrtc-pc, section 4.4.1.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.support.model.text import Text
from tests.support.model.transceiver import Transceiver

__all__ = ["Channel", "Described", "Slots"]

Described = tuple[str, Text]
"""A description: its type, and its text."""


@dataclass(eq=False, slots=True)
class Channel:
    """An RTCDataChannel that was created here.

    Attributes:
        id: as it was chosen by the application; None otherwise.
        has_id: whether it has one by now.
    """

    label: str
    negotiated: bool = False
    id: int | None = None
    has_id: bool = False
    state: str = "connecting"
    is_closing: bool = False


@dataclass(eq=False, slots=True)
class Slots:
    """What a connection is."""

    is_closed: bool = False
    known_codecs: frozenset[str] = frozenset()
    """What the implementation can send and receive: names, clock rates and channels, in lower case."""
    needed: bool = False
    """[[NegotiationNeeded]]"""
    signaling_state: str = "stable"
    last_created_offer: str = ""
    last_created_answer: str = ""
    pending_local: Described | None = None
    current_local: Described | None = None
    pending_remote: Described | None = None
    current_remote: Described | None = None
    credentials_to_replace: set[tuple[str | None, str | None]] = field(default_factory=set)
    has_sctp: bool = False
    """Whether [[SctpTransport]] is not null."""
    last_stable_has_sctp: bool = False
    dtls_client: bool | None = None
    """Whether our end of the SCTP transport is DTLS's client; None before that was negotiated."""
    transceivers: list[Transceiver] = field(default_factory=list)
    """The set of transceivers."""
    ever: list[Transceiver] = field(default_factory=list)
    """All that were ever in it, by their numbers."""
    offered: dict[str, dict[str, Transceiver]] = field(default_factory=dict)
    """Of offers that were created: whose media description has which mid ([[JsepMid]], when it is set)."""
    channels: list[Channel] = field(default_factory=list)
    has_created_channels: bool = False
    stream_ids: set[str] = field(default_factory=set)
    """Streams that the application has got to know by "track" events."""
    stream_tracks: dict[str, list[int]] = field(default_factory=dict)
    """What is in the streams that the peer's descriptions made."""
    next_number: int = 0
    events: list[Any] = field(default_factory=list)

    @property
    def local(self) -> Described | None:
        """localDescription."""
        return self.pending_local or self.current_local

    @property
    def remote(self) -> Described | None:
        """remoteDescription."""
        return self.pending_remote or self.current_remote

    @property
    def used_credentials(self) -> set[tuple[str | None, str | None]]:
        """ICE credentials in the current local description.

        Departure: not those of what the peer's answer rejects; nothing uses them, so nothing replaces them.
        """
        if self.current_local is None or self.current_remote is None:
            return set()
        dead = {each.mid for each in self.current_remote[1].media if each.rejected}
        return {
            (each.ufrag, each.pwd)
            for each in self.current_local[1].media
            if each.mid not in dead and not each.rejected and each.ufrag is not None
        }

    @property
    def can_trickle(self) -> bool | None:
        """canTrickleIceCandidates, of the remote description that there is."""
        return None if self.remote is None else self.remote[1].trickles

    def add(self, transceiver: Transceiver) -> Transceiver:
        """Add to the set of transceivers."""
        transceiver.number = self.next_number
        self.next_number += 1
        self.transceivers.append(transceiver)
        self.ever.append(transceiver)
        return transceiver

    def of_mid(self, mid: str) -> Transceiver | None:
        """The transceiver that is associated with a media description."""
        return next((each for each in self.transceivers if each.jsep_mid == mid), None)
