"""Sending on what was received: one stream's numbers and timestamps become another's.

Spec: RFC 3550, section 7.1 (what a translator or selective forwarder owes its receivers).
"""

from __future__ import annotations

from rtcstack.rtp.packet import RtpPacket

__all__ = ["Renumbering"]

MAX_LATE_PACKETS = 1000
"""How far behind the newest a packet may be and still be sent on."""


class Renumbering:
    """Where the packets of a source, or of one source after another, stand in the stream sent.

    Args:
        clock_rate: of the timestamps, in Hz.
        first: number that the first packet gets.
    """

    __slots__ = (
        "_first_index",
        "_highest",
        "_last_at",
        "_last_timestamp",
        "_offset",
        "_rate",
        "_source",
        "_timestamp_offset",
    )

    def __init__(self, clock_rate: int, first: int) -> None:
        self._rate = clock_rate
        self._source: int | None = None
        self._highest = first - 1
        self._offset = 0
        self._first_index = 0
        self._timestamp_offset = 0
        self._last_timestamp = 0
        self._last_at: float | None = None

    def place(self, packet: RtpPacket, now: float) -> tuple[int, int] | None:
        """The number (unwrapped) and timestamp that a packet is sent on with.

        Returns:
            None if it came too late to have a place.
        """
        if packet.ssrc != self._source:
            self._source = packet.ssrc
            self._offset = self._highest + 1 - packet.index
            self._first_index = packet.index
            if self._last_at is not None:
                elapsed = max(1, int((now - self._last_at) * self._rate))
                self._timestamp_offset = self._last_timestamp + elapsed - packet.timestamp
            else:
                self._timestamp_offset = -packet.timestamp
        number = packet.index + self._offset
        if packet.index < self._first_index or number < self._highest - MAX_LATE_PACKETS:
            return None
        timestamp = packet.timestamp + self._timestamp_offset
        if number > self._highest:
            self._highest = number
            self._last_timestamp = timestamp
            self._last_at = now
        return number, timestamp
