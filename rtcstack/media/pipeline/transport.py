"""What media travels over: an RTP session, and who gets which of its events."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from rtcstack.rtp.events import (
    BitrateAllocated,
    FrameReceived,
    KeyFrameRequested,
    PacketsReceived,
    RtpEvent,
    StreamEnded,
    StreamStarted,
)
from rtcstack.rtp.receive import ReceiveStream
from rtcstack.rtp.session import RtpSession

__all__ = ["MediaTransport", "ReceiveOwner", "SendOwner"]

logger = logging.getLogger("rtcstack.media")


class SendOwner(Protocol):
    """Whose stream is sent."""

    def on_key_frame_requested(self) -> None:
        """The peer needs a key frame."""

    def on_bitrate(self, bitrate_bps: int) -> None:
        """The stream's share of the estimate changed; 0 is "pause"."""


class ReceiveOwner(Protocol):
    """Who receives a section."""

    def on_stream_started(self, event: StreamStarted, stream: ReceiveStream | None, now: float) -> None:
        """A stream's first packet came.

        Args:
            event: which one.
            stream: the stream; None if it has ended in the meantime, of which an event tells.
            now: monotonic seconds.
        """

    def on_stream_ended(self, event: StreamEnded, now: float) -> None:
        """A stream is gone."""

    def on_frame(self, event: FrameReceived, now: float) -> None:
        """A whole frame came."""

    def on_packets(self, event: PacketsReceived, now: float) -> None:
        """Packets came."""

    def on_lost(self) -> None:
        """Nothing will come any more."""


class MediaTransport:
    """One transport, as media sees it.

    Args:
        session: the transport's media engine.
        wake: something was enqueued: flush it soon.

    Attributes:
        is_open: whether the transport carries media at the moment.
        senders: who is told of a stream that is sent, by SSRC.
        receivers: who is told of a section that is received, by mid.
    """

    def __init__(self, session: RtpSession, wake: Callable[[], None]) -> None:
        self.session = session
        self.wake = wake
        self.is_open = False
        self.senders: dict[int, SendOwner] = {}
        self.receivers: dict[str, ReceiveOwner] = {}
        self._waiting: dict[Callable[[], None], None] = {}

    def when_open(self, callback: Callable[[], None]) -> None:
        """Run something, once, as soon as media can flow; at once if it can already."""
        if self.is_open:
            callback()
        else:
            self._waiting[callback] = None

    def opened(self) -> None:
        """The transport has connected."""
        if not self.is_open:
            self.is_open = True
            waiting, self._waiting = self._waiting, {}
            for callback in waiting:
                callback()

    def closed(self) -> None:
        """The transport carries nothing any more."""
        self.is_open = False
        self._waiting.clear()

    def lost(self) -> None:
        """Media has ended here for good, for a fault of ours."""
        self.closed()
        for receiver in self.receivers.values():
            receiver.on_lost()

    def dispatch(self, events: list[RtpEvent], now: float) -> None:
        """Tell the owners what happened. What one of them raises loses none of the other events."""
        for event in events:
            try:
                self._tell(event, now)
            except Exception as exc:  # a fault of ours, in what was told
                logger.error("a fault while telling %s", type(event).__name__, exc_info=exc)

    def _tell(self, event: RtpEvent, now: float) -> None:
        if isinstance(event, KeyFrameRequested):
            sender = self.senders.get(event.stream.ssrc)
            if sender is not None:
                sender.on_key_frame_requested()
        elif isinstance(event, BitrateAllocated):
            sender = self.senders.get(event.stream.ssrc)
            if sender is not None:
                sender.on_bitrate(event.bitrate_bps)
        else:
            receiver = self.receivers.get(event.stream.mid)
            if receiver is None:
                return
            if isinstance(event, FrameReceived):
                receiver.on_frame(event, now)
            elif isinstance(event, PacketsReceived):
                receiver.on_packets(event, now)
            elif isinstance(event, StreamStarted):
                receiver.on_stream_started(event, self.session.receive_stream(event.stream), now)
            else:
                receiver.on_stream_ended(event, now)
