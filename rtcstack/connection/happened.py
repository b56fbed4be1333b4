"""What came of a description that was applied, in the order in which it is to be told.

Spec: webrtc-pc, section 4.4.1.5 (set a description), the task that it queues.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtcstack.connection.receiving import Receiver
    from rtcstack.connection.transceivers import Transceiver
    from rtcstack.media.stream import MediaStream

__all__ = [
    "Happened",
    "SignalingStateChanged",
    "TrackAppeared",
    "TrackEnded",
    "TrackGained",
    "TrackLost",
    "TrackMuted",
]


@dataclass(frozen=True, slots=True)
class SignalingStateChanged:
    """The exchange of descriptions has moved on."""


@dataclass(frozen=True, slots=True)
class TrackMuted:
    """The peer sends no more of a track.

    Attributes:
        receiver: whose track it is.
    """

    receiver: Receiver


@dataclass(frozen=True, slots=True)
class TrackLost:
    """A track is no longer in some of its streams.

    Attributes:
        streams: these; all of them in one, for a description may name thousands.
        receiver: whose track it is.
    """

    streams: tuple[MediaStream, ...]
    receiver: Receiver


@dataclass(frozen=True, slots=True)
class TrackGained:
    """A track has come into streams.

    Attributes:
        streams: these.
        receiver: whose track it is.
    """

    streams: tuple[MediaStream, ...]
    receiver: Receiver


@dataclass(frozen=True, slots=True)
class TrackAppeared:
    """The peer begins to send a track.

    Attributes:
        transceiver: whose receiver has it.
        streams: all that it is in.
    """

    transceiver: Transceiver
    streams: tuple[MediaStream, ...]


@dataclass(frozen=True, slots=True)
class TrackEnded:
    """A transceiver has stopped, and its receiver's track is to end, in a task of its own.

    Attributes:
        receiver: whose track it is.
    """

    receiver: Receiver


Happened = SignalingStateChanged | TrackMuted | TrackLost | TrackGained | TrackAppeared | TrackEnded
