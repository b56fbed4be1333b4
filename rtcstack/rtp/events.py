"""What the media engine tells the layer above. Streams are named: who wants one, asks the session for it."""

from __future__ import annotations

from dataclasses import dataclass

from rtcstack.rtp.frames import EncodedFrame
from rtcstack.rtp.packet import RtpPacket
from rtcstack.rtp.parameters import StreamName

__all__ = [
    "BitrateAllocated",
    "FrameReceived",
    "KeyFrameRequested",
    "PacketsReceived",
    "RtpEvent",
    "StreamEnded",
    "StreamStarted",
]


@dataclass(slots=True)
class StreamStarted:
    """A stream has its place from now on: its first packet came, or it flows again while the other, that
    had its place, is silent.

    Attributes:
        stream: in its section and, with simulcast, for its rid.
        replaces: the stream that had the place before, or None.
        is_under_way: it began before: what comes next may build on frames that nobody took.
    """

    stream: StreamName
    replaces: StreamName | None = None
    is_under_way: bool = False


@dataclass(slots=True)
class StreamEnded:
    """A stream is gone: it said goodbye, or gave way to others.

    Attributes:
        stream: it takes no more packets.
        reason: "bye", "replaced", "evicted", "moved" (to another section) or "removed" (with its own).
        text: what a goodbye said.
    """

    stream: StreamName
    reason: str
    text: str = ""


@dataclass(slots=True)
class FrameReceived:
    """A whole frame."""

    stream: StreamName
    frame: EncodedFrame


@dataclass(slots=True)
class PacketsReceived:
    """Packets of one stream that arrived in one pass, in order of arrival, without duplicates."""

    stream: StreamName
    packets: list[RtpPacket]


@dataclass(slots=True)
class KeyFrameRequested:
    """The peer asks for a key frame of this stream, or what it needs to go on without is lost."""

    stream: StreamName


@dataclass(slots=True)
class BitrateAllocated:
    """How much this stream is to send from now on.

    Attributes:
        stream: the stream.
        bitrate_bps: its share of the estimate, payload and headers; 0 is "pause".
        estimate_bps: the estimate for the whole transport.
    """

    stream: StreamName
    bitrate_bps: int
    estimate_bps: int


RtpEvent = (
    StreamStarted | StreamEnded | FrameReceived | PacketsReceived | KeyFrameRequested | BitrateAllocated
)
