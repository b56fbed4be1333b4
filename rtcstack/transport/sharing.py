"""Data beside a call: who gets how much of what one path carries.

Media and data find out by themselves what a path gives, and would take it from each other: a controller of
data keeps a little queue, and whoever estimates from delays gives way to any. So there is one estimate,
media's, and it is made of both: what is sent of data and what arrives counts as what media does, and data
keeps to a share by its weight, as one more stream, or to all that media has no use for.

That is so while data waits in bulk and media's feedback comes. Little data is not looked at, and where there
is no feedback of single packets there is no bound: each goes by its own congestion control then.

docs/decisions/sctp-congestion-control.md has figures.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

__all__ = ["DataSide", "MediaSide", "Sharing"]

INTERVAL_S = 0.05
"""How often it is looked at: feedback comes no sooner."""

SPAN_S = 0.5
"""Over which what arrives is measured, as of media."""

MAX_MARKS = 16
"""Measurements kept for that."""

BULK_BYTES = 16_384
BULK_S = 1.0
"""Data is there in bulk when so much waits, and for so long after."""

NORMAL_PRIORITY = 256
"""What "low" is for data; as a stream's weight 1."""

LEAST_BPS = 16_000
"""Data has so much at least: a packet now and then, or its timers would take the path for broken."""

COST = 1.25
"""What a byte of data counts for one of media: its headers are longer than what media's figures leave out,
and what is left is in media's favour."""

MIN_CHANGE = 0.02
"""A share that changed by less is not told."""


class DataSide(Protocol):
    """The association, as far as sharing goes. See `rtcstack.sctp.association.SctpAssociation`."""

    bytes_sent: int

    @property
    def buffered_bytes(self) -> int:
        """What waits."""

    @property
    def flight_bytes(self) -> int:
        """What is on its way."""

    @property
    def top_priority(self) -> int:
        """Of what waits; 256 is normal, 0 when nothing does."""

    def take_limited(self) -> bool:
        """Whether the limit has held anything back."""

    def limit_rate(self, bytes_per_s: float | None, now: float) -> None:
        """Send no faster."""


class MediaSide(Protocol):
    """The RTP session, as far as sharing goes. See `rtcstack.rtp.session.RtpSession`."""

    @property
    def is_sharing(self) -> bool:
        """Whether there is an estimate."""

    @property
    def other_bps(self) -> int | None:
        """What data may send; None for no bound."""

    def set_other_load(self, weight: float, arrived_bps: float, sent_bytes: int, now: float) -> None:
        """There is data in bulk beside media: its weight, what has arrived of it lately, what was sent since
        the last call."""

    def end_other_load(self, now: float) -> None:
        """There is none any more."""


class Sharing:
    """Tells media of data's load, and data of its share.

    Attributes:
        due_at: when `look` is to be called at the earliest; whenever there is a pass after that.
    """

    __slots__ = ("_bulk_until", "_marks", "_share_bps", "_weight", "due_at")

    def __init__(self) -> None:
        self.due_at = 0.0
        self._bulk_until = -1.0
        self._weight = 1.0
        self._share_bps: int | None = None
        # When it was looked at, what was sent until then, what has arrived of it: of the last half second.
        self._marks: deque[tuple[float, int, int]] = deque(maxlen=MAX_MARKS)

    @property
    def share_bps(self) -> int | None:
        """What data keeps to, with its headers; None for no bound."""
        return self._share_bps

    def look(self, media: MediaSide | None, data: DataSide, now: float) -> bool:
        """Share anew.

        Args:
            media: None while there is none.
            data: who is told.
            now: monotonic seconds.

        Returns:
            Whether data has another share than before.
        """
        self.due_at = now + INTERVAL_S
        limited = data.take_limited()
        if limited or data.buffered_bytes >= BULK_BYTES:
            self._bulk_until = now + BULK_S
            self._weight = max(data.top_priority, 1) / NORMAL_PRIORITY
        if media is None or not media.is_sharing or now >= self._bulk_until:
            if self._marks:
                self._marks.clear()
                if media is not None:
                    media.end_other_load(now)
            return self._tell(None, data, now)
        arrived_bps, sent_bytes = self._measure(data, now)
        media.set_other_load(self._weight, arrived_bps, sent_bytes, now)
        return self._tell(media.other_bps, data, now)

    def _measure(self, data: DataSide, now: float) -> tuple[float, int]:
        """What has arrived of data, in bits per second, and what was sent since the last time, in bytes."""
        sent = data.bytes_sent
        # What is lost counts as arrived: the shares differ by as little as losses do.
        arrived = sent - data.flight_bytes
        marks = self._marks
        before = marks[-1][1] if marks else sent
        marks.append((now, sent, arrived))
        while len(marks) > 2 and marks[1][0] <= now - SPAN_S:
            marks.popleft()
        at, _, first = marks[0]
        arrived_bps = max(0, arrived - first) * 8 / (now - at) if now > at else 0.0
        return COST * arrived_bps, int(COST * (sent - before))

    def _tell(self, share_bps: int | None, data: DataSide, now: float) -> bool:
        before = self._share_bps
        if share_bps is not None:
            share_bps = max(share_bps, LEAST_BPS)
            if before is not None and abs(share_bps - before) < MIN_CHANGE * before:
                return False
        elif before is None:
            return False
        self._share_bps = share_bps
        data.limit_rate(None if share_bps is None else share_bps / (8 * COST), now)
        return True
