"""How much of a stream that is sent is protected against losses, and with what.

Retransmissions repair a loss a round trip later, parity at once; but parity costs its bits whether there are
losses or not. So it is sent while the peer reports losses, and a round trip is long enough to be seen.

Spec: RFC 5109; RFC 8854 (what WebRTC sends of it).
"""

from __future__ import annotations

from collections.abc import Sequence

from rtcstack.rtp.fec import MAX_PROTECTED, make_parity
from rtcstack.rtp.header import Header
from rtcstack.rtp.outgoing import Outgoing

__all__ = ["MAX_OVERHEAD", "PARITY_ROOM_BYTES", "Protection"]

MAX_OVERHEAD = 0.3
"""Packets of parity for each media packet, at most."""

PARITY_ROOM_BYTES = 48
"""By so much a packet of parity may be larger than the largest that it protects: its own headers."""

_BEGIN_LOSS, _END_LOSS = 0.02, 0.005
"""Fraction lost above which protection begins, and below which it ends."""

_OUTAGE_LOSS = 0.3
"""A report that tells of more says nothing of what is lost at random, and no parity would have helped."""

_PER_LOSS = 2.5
"""Packets of parity for each packet that is likely to be lost."""

_MIN_RTT_S = 0.02
"""With shorter round trips retransmissions come soon enough."""

_SMOOTHING = 0.3


class Protection:
    """Parity for one stream.

    Attributes:
        overhead: packets of parity for each media packet; 0 while there is no need.
    """

    __slots__ = ("_credit", "_group", "_loss", "overhead")

    def __init__(self) -> None:
        self._loss = 0.0
        self._credit = 0.0
        self._group: list[tuple[int, bytes]] = []
        self.overhead = 0.0

    def on_report(self, fraction_lost: float, rtt_s: float) -> None:
        """The peer reported on the stream.

        Args:
            fraction_lost: since its report before, 0 to 1.
            rtt_s: round-trip time.
        """
        if fraction_lost > _OUTAGE_LOSS:
            return
        self._loss += (fraction_lost - self._loss) * _SMOOTHING
        if rtt_s < _MIN_RTT_S or self._loss < _END_LOSS:
            self.stop()
        elif self.overhead or self._loss >= _BEGIN_LOSS:
            self.overhead = min(_PER_LOSS * self._loss, MAX_OVERHEAD)

    def stop(self) -> None:
        """Send none until losses are reported again."""
        self.overhead = 0.0
        self._credit = 0.0
        self._group.clear()

    def forget(self) -> None:
        """What was protected last was not sent: its numbers are used again."""
        self._group.clear()

    def cover(
        self, packets: Sequence[Outgoing], header: Header, red_type: int, parity_type: int, now: float
    ) -> list[Outgoing]:
        """Put a frame's packets into RED, and make the packets of parity that go behind them.

        Args:
            packets: of a frame, before they are queued; they are changed.
            header: for parity.
            red_type, parity_type: payload types.
            now: monotonic seconds.
        """
        still: list[tuple[int, bytes]] = []
        for packet in packets:
            number = packet.sequence_number
            head = packet.header.write(packet.second, number & 0xFFFF, packet.timestamp, 0, 0)
            still.append((number, head + packet.payload))
            packet.put_in_red(red_type)
        last = packets[-1]
        made = []
        for i, payload in enumerate(self.protect(still), 1):
            number, timestamp = last.sequence_number + i, last.timestamp
            parity = Outgoing(
                last.counts, header, parity_type, number, timestamp, payload, last.keep, queued_at=now
            )
            parity.put_in_red(red_type)
            parity.is_parity = True
            made.append(parity)
        return made

    def protect(self, packets: list[tuple[int, bytes]]) -> list[bytes]:
        """A frame is sent: the payloads of the packets of parity that follow it.

        Few packets share one with those of the frames before, so that small frames cost no more than
        large ones.

        Args:
            packets: number (unwrapped) and bytes of each, see `still_bytes`.
        """
        group = self._group
        group += packets
        oldest = group[-1][0] - MAX_PROTECTED
        while group[0][0] <= oldest:
            del group[0]
        self._credit = min(self._credit + len(packets) * self.overhead, float(len(group)))
        count = int(self._credit)
        if not count:
            return []
        self._credit -= count
        made = [make_parity(group[i::count]) for i in range(count)]
        group.clear()
        return made
