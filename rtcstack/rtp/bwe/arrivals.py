"""The receiver's half: noting when packets arrive and telling the sender.

Spec: draft-holmer-rmcat-transport-wide-cc-extensions-01, sections 2 and 3.
"""

from __future__ import annotations

from collections.abc import Sequence

from rtcstack.rtp.rtcp.transport_cc import (
    MAX_DELTA_TICKS,
    MAX_SMALL_DELTA_TICKS,
    TICKS_PER_S,
    TICKS_PER_UNIT,
    Arrival,
    TransportFeedback,
)
from rtcstack.serial import unwrap

__all__ = ["MAX_INTERVAL_S", "MAX_NOTED", "MAX_STATUSES", "MIN_INTERVAL_S", "TransportArrivals"]

MIN_INTERVAL_S, START_INTERVAL_S, MAX_INTERVAL_S = 0.05, 0.1, 0.25
"""Time between two feedback packets: the faster media comes the more often."""

FEEDBACK_SHARE = 0.05
"""Part of the received bandwidth that feedback may take."""

FEEDBACK_BYTES = 68
"""What a feedback packet weighs, with everything below it."""

MAX_NOTED = 4096
"""Arrivals noted between two feedback packets; when reached, one is sent at once."""

MAX_STATUSES = 1000
"""Packets that one feedback packet tells of."""

MAX_DELTA_BYTES = 850
"""What the times of these packets take, at one or two bytes each: with the rest below 1,200 bytes."""

MAX_JUMP = 1 << 14
"""Numbers further away than this from the newest are a new beginning."""


class TransportArrivals:
    """Notes arrivals by transport-wide sequence number, and makes the feedback.

    Attributes:
        due_at: when feedback is to be made, or None while there is nothing to tell.
        sender_ssrc, media_ssrc: for the feedback.
        packets: how many were noted.
    """

    __slots__ = (
        "_bytes",
        "_count",
        "_next",
        "_noted",
        "_rate_since",
        "due_at",
        "interval_s",
        "media_ssrc",
        "packets",
        "sender_ssrc",
    )

    def __init__(self) -> None:
        self._noted: dict[int, float] = {}  # number -> arrival
        self._next: int | None = None  # where the next feedback starts
        self._count = 0
        self._bytes = 0
        self._rate_since: float | None = None
        self.interval_s = START_INTERVAL_S
        self.due_at: float | None = None
        self.sender_ssrc = 1
        self.media_ssrc = 0
        self.packets = 0

    def arrived(self, numbers: Sequence[int], size: int, now: float, arrived_at: float | None = None) -> None:
        """Packets with these numbers (16 bits, in order of arrival) came together.

        Args:
            numbers: from the header extension.
            size: bytes of all of them.
            now: monotonic seconds.
            arrived_at: when they came; now if None.
        """
        if arrived_at is None:
            arrived_at = now
        noted = self._noted
        following = self._next
        for number in numbers:
            if following is None:
                following = self._next = number + (1 << 16)
            index = unwrap(number, following, 16)
            if abs(index - following) > MAX_JUMP:
                noted.clear()
                following = self._next = index = number + (1 << 16)
            if index >= following:  # a later one was told as lost already
                noted.setdefault(index, arrived_at)
        self.packets += len(numbers)
        self._bytes += size
        if self._rate_since is None:
            self._rate_since = now
        if self.due_at is None:
            self.due_at = now + self.interval_s
        if len(noted) >= MAX_NOTED:
            self.due_at = now

    def feedback(self, now: float) -> list[TransportFeedback]:
        """What has arrived since the last call, as many packets as that takes."""
        self.due_at = None
        self._adapt(now)
        noted, self._noted = self._noted, {}
        if not noted:
            return []
        assert self._next is not None
        numbers = sorted(noted)
        packets: list[TransportFeedback] = []
        base = self._next
        arrivals: list[Arrival] = []
        reference = before = size = 0
        for number in numbers:
            ticks = int(noted[number] * TICKS_PER_S)
            delta = ticks - before
            size += 1 if 0 <= delta <= MAX_SMALL_DELTA_TICKS else 2
            if arrivals and (
                number - base >= MAX_STATUSES or abs(delta) > MAX_DELTA_TICKS or size > MAX_DELTA_BYTES
            ):
                packets.append(self._packet(base, arrivals, reference))
                base = base + arrivals[-1].offset + 1
                arrivals = []
            if not arrivals:
                if number - base >= MAX_STATUSES:
                    base = number
                reference = ticks // TICKS_PER_UNIT
                size = 1
            before = ticks
            arrivals.append(Arrival(number - base, ticks - reference * TICKS_PER_UNIT))
        packets.append(self._packet(base, arrivals, reference))
        self._next = numbers[-1] + 1
        return packets

    def _packet(self, base: int, arrivals: list[Arrival], reference: int) -> TransportFeedback:
        count = self._count
        self._count = (count + 1) & 0xFF
        return TransportFeedback(
            self.sender_ssrc,
            self.media_ssrc,
            base & 0xFFFF,
            arrivals[-1].offset + 1,
            reference,
            count,
            arrivals,
        )

    def _adapt(self, now: float) -> None:
        """Let feedback take its share of the bandwidth, within bounds."""
        since = self._rate_since
        if since is None or now <= since:
            return
        bitrate = self._bytes * 8 / (now - since)
        self._bytes, self._rate_since = 0, now
        if bitrate:
            interval = FEEDBACK_BYTES * 8 / (FEEDBACK_SHARE * bitrate)
            self.interval_s = min(max(interval, MIN_INTERVAL_S), MAX_INTERVAL_S)
