"""Which streams are received, and which of them has the place of its section, or of its layer.

Spec: RFC 3550, section 8.2 (sources that change); RFC 8843, section 9.2.
"""

from __future__ import annotations

from heapq import nsmallest

from rtcstack.rtp.attention import Attention
from rtcstack.rtp.events import PacketsReceived, RtpEvent, StreamEnded, StreamStarted
from rtcstack.rtp.receive import ReceiveStream
from rtcstack.rtp.rtx import AnyReceiveStream, RtxStream

__all__ = ["MAX_RECEIVE_STREAMS", "MAX_STREAMS_PER_SECTION", "ReceivedStreams"]

MAX_RECEIVE_STREAMS = 1024
"""Streams received on one transport; the one that is silent longest gives way to a new one."""

MAX_STREAMS_PER_SECTION = 16
"""Streams received for one section, likewise: a simulcast's layers, and those they replaced."""

QUIET_STREAMS = 32
"""Of the streams that are silent longest so many are found at once, for those that come next."""

SILENT_S = 2.0
"""A stream that another took the place of is forgotten when it was silent for so long."""

SWITCH_S = 0.5
"""A stream that is silent for so long gives its place to another that flows, if that is as well known;"""

SWITCH_TO_WORSE_S = 2.0
"""to one that is known worse, a stray one perhaps, after so long."""


def _heard_at(stream: AnyReceiveStream) -> float:
    """When a stream or its retransmissions were heard last."""
    return (stream if isinstance(stream, ReceiveStream) else stream.primary).heard_at


class ReceivedStreams:
    """The streams that are received on one transport.

    Args:
        events: gets `StreamStarted`, `StreamEnded`, and the last packets of a stream that ends.
        attention: forgets a stream that ends.

    Attributes:
        by_ssrc: all, in the order of their first packets.
        current: those that have their places, by mid and rid.
        of_section: all of a section, by mid and SSRC.
    """

    __slots__ = ("_attention", "_events", "_quiet", "by_ssrc", "current", "of_section")

    def __init__(self, events: list[RtpEvent], attention: Attention) -> None:
        self._events = events
        self._attention = attention
        self._quiet: list[tuple[float, AnyReceiveStream]] = []  # those silent longest, last first
        self.by_ssrc: dict[int, AnyReceiveStream] = {}
        self.current: dict[tuple[str, str | None], ReceiveStream] = {}
        self.of_section: dict[str, dict[int, AnyReceiveStream]] = {}

    @property
    def streams(self) -> list[ReceiveStream]:
        """Those that are no retransmissions, in the order of their first packets."""
        return [s for s in self.by_ssrc.values() if isinstance(s, ReceiveStream)]

    def consider(self, stream: ReceiveStream, now: float) -> None:
        """A stream flows that has not its place: is it to have it now?"""
        current = self.current.get((stream.section.mid, stream.rid))
        if current is None or stream.rank > current.rank:
            self.give_place(stream, current)
            return
        silent_s = now - current.last_packet_at
        if silent_s > (SWITCH_S if stream.rank == current.rank else SWITCH_TO_WORSE_S):
            self.give_place(stream, current)

    def give_place(self, stream: ReceiveStream, current: ReceiveStream | None) -> None:
        """Let a stream have its place, instead of the one that has it."""
        if current is not None:
            current.is_current = False
        stream.take_place()
        self.current[stream.section.mid, stream.rid] = stream
        before = None if current is None else current.name
        self._events.append(StreamStarted(stream.name, before, stream.is_under_way))

    def enter(self, stream: AnyReceiveStream) -> None:
        """A stream's first packet came. Retransmissions take the place of those that were there."""
        if isinstance(stream, RtxStream):
            self._drop_rtx(stream.primary)
            stream.primary.rtx_ssrc = stream.ssrc
        self.by_ssrc[stream.ssrc] = stream
        self.of_section.setdefault(stream.section.mid, {})[stream.ssrc] = stream

    def _leave(self, stream: AnyReceiveStream) -> None:
        if self.by_ssrc.get(stream.ssrc) is stream:
            del self.by_ssrc[stream.ssrc]
            of_section = self.of_section[stream.section.mid]
            del of_section[stream.ssrc]
            if not of_section:
                del self.of_section[stream.section.mid]

    def _drop_rtx(self, stream: ReceiveStream) -> None:
        rtx = None if stream.rtx_ssrc is None else self.by_ssrc.get(stream.rtx_ssrc)
        if rtx is not None:
            self._leave(rtx)
        stream.rtx_ssrc = None
        stream.rtx_packet_at = 0.0

    def make_room(self, mid: str) -> None:
        """Let the stream that is silent longest give way, if there are too many."""
        of_section = self.of_section.get(mid, {})
        if len(of_section) >= 2 * MAX_STREAMS_PER_SECTION:  # each with its retransmissions
            self._evict(min(of_section.values(), key=_heard_at))
        elif len(self.by_ssrc) >= MAX_RECEIVE_STREAMS:
            self._evict(self._quietest())

    def _quietest(self) -> AnyReceiveStream:
        """The stream that is silent longest: of those that were when all were looked at, if it still is."""
        for _ in range(2):
            while self._quiet:
                heard_at, stream = self._quiet.pop()
                is_there = self.by_ssrc.get(stream.ssrc) is stream
                if is_there and _heard_at(stream) == heard_at:
                    return stream
            some = nsmallest(QUIET_STREAMS, self.by_ssrc.values(), key=_heard_at)
            self._quiet = [(_heard_at(stream), stream) for stream in reversed(some)]
        return next(iter(self.by_ssrc.values()))

    def _evict(self, oldest: AnyReceiveStream) -> None:
        self.end(oldest if isinstance(oldest, ReceiveStream) else oldest.primary, "evicted")

    def end(self, stream: ReceiveStream, reason: str, text: str = "") -> None:
        """A stream is over; for the reasons see `StreamEnded`."""
        self._leave(stream)
        self._drop_rtx(stream)
        place = (stream.section.mid, stream.rid)
        if stream.is_current:
            stream.is_current = False
            del self.current[place]
        stream.nack.clear()
        self._attention.forget(stream)
        if stream.packets:
            self._events.append(PacketsReceived(stream.name, stream.packets))
            stream.packets = []
        if stream.had_place:
            self._events.append(StreamEnded(stream.name, reason, text))

    def move(self, stream: AnyReceiveStream) -> None:
        """A known SSRC belongs to another section: it is a stream of that one from its next packet on."""
        if isinstance(stream, ReceiveStream):
            self.end(stream, "moved")
        else:
            self._drop_rtx(stream.primary)

    def forget_silent(self, now: float) -> None:
        """End the streams that another took the place of, and that say nothing any more."""
        for stream in self.streams:
            current = self.current.get((stream.section.mid, stream.rid))
            if current is not stream and now - stream.last_packet_at > SILENT_S:
                self.end(stream, "replaced")

    def on_goodbye(self, ssrc: int, text: str) -> None:
        """The peer says that a stream ends."""
        stream = self.by_ssrc.get(ssrc)
        if isinstance(stream, ReceiveStream):
            self.end(stream, "bye", text)
        elif stream is not None:
            self._drop_rtx(stream.primary)
