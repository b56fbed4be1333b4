"""Sending on what was received: one stream's numbers and timestamps become another's.

Spec: RFC 3550, section 7.1 (what a translator or selective forwarder owes its receivers).
"""

from __future__ import annotations

from rtcstack.rtp.packet import RtpPacket

__all__ = ["Renumbering"]

MAX_LATE_PACKETS = 1000
"""How far behind the newest a packet may be and still be sent on."""


MAX_GAP_PACKETS = 10_000
"""A longer gap in the source's numbers is not kept: SRTP could not tell how often they rolled over."""

MAX_SOURCES_LEFT = 8
"""Sources that are remembered after a change to another, so that their late packets do not change it back."""

_LATE_MASK = (1 << MAX_LATE_PACKETS + 1) - 1


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
        "_left",
        "_newest_index",
        "_offset",
        "_rate",
        "_source",
        "_timestamp_offset",
        "_used",
    )

    def __init__(self, clock_rate: int, first: int) -> None:
        self._rate = clock_rate
        self._source: int | None = None
        self._highest = first - 1
        self._offset = 0
        self._first_index = 0
        self._newest_index = 0  # of the source
        self._left: dict[int, int] = {}  # by former source, its newest index
        self._timestamp_offset = 0
        self._last_timestamp = 0
        self._last_at: float | None = None
        self._used = 0  # bit i: the number `_highest - i` has been used

    def go_on_from(self, number: int) -> None:
        """Numbers before this one have been used, by whatever else the stream has sent meanwhile."""
        if number > self._highest + 1:
            self._highest = number - 1
            self._used = _LATE_MASK
            self._source = None

    def place(self, packet: RtpPacket, now: float) -> tuple[int, int] | None:
        """The number (unwrapped) and timestamp that a packet is sent on with.

        Returns:
            None if it came too late to have a place, or has had it.
        """
        if packet.ssrc != self._source:
            if not self._change_source(packet):
                return None
            if self._last_at is not None:
                elapsed = max(1, int((now - self._last_at) * self._rate))
                self._timestamp_offset = self._last_timestamp + elapsed - packet.timestamp
            else:
                self._timestamp_offset = -packet.timestamp
        number = packet.index + self._offset
        self._newest_index = max(self._newest_index, packet.index)
        if packet.index < self._first_index or number < self._highest - MAX_LATE_PACKETS:
            return None
        timestamp = packet.timestamp + self._timestamp_offset
        ahead = number - self._highest
        if ahead <= 0:
            if self._used >> -ahead & 1:
                return None
            self._used |= 1 << -ahead
        else:
            if ahead > MAX_GAP_PACKETS:
                self._offset -= ahead - 1
                self._first_index = packet.index
                number, ahead = self._highest + 1, 1
            self._used = (self._used << min(ahead, MAX_LATE_PACKETS + 1) | 1) & _LATE_MASK
            self._highest = number
            self._last_timestamp = timestamp
            self._last_at = now
        return number, timestamp

    def _change_source(self, packet: RtpPacket) -> bool:
        """Go on with the packet's source; not for one that is left over from before a change."""
        newest = self._left.pop(packet.ssrc, None)
        if newest is not None and newest - MAX_LATE_PACKETS <= packet.index <= newest:
            self._left[packet.ssrc] = newest
            return False
        if self._source is not None:
            self._left[self._source] = self._newest_index
            if len(self._left) > MAX_SOURCES_LEFT:
                del self._left[next(iter(self._left))]
        self._source = packet.ssrc
        self._offset = self._highest + 1 - packet.index
        self._first_index = self._newest_index = packet.index
        return True
