"""How much of a stream that is sent is protected against losses, and with what.

Retransmissions repair a loss a round trip later, parity at once; but parity costs its bits whether there are
losses or not. So it is sent while the peer reports losses, and a round trip is long enough to be seen. Where
it is long, every loss is seen: parity then follows so soon that it comes before what is sent again, as far as
the stream leaves bits of its share.

Spec: RFC 5109; RFC 8854 (what WebRTC sends of it).
"""

from __future__ import annotations

from collections.abc import Sequence

from rtcstack.rtp.fec import MAX_PROTECTED, make_parity
from rtcstack.rtp.header import Header
from rtcstack.rtp.outgoing import Outgoing

__all__ = ["MAX_OVERHEAD", "PARITY_ROOM_BYTES", "Protection"]

MAX_OVERHEAD = 0.3
"""Packets of parity for each media packet, at most, of a stream that uses its share of the estimate."""

MAX_HURRIED = 1.0
"""Of one that leaves as much of it, and whose round trip is long."""

PARITY_ROOM_BYTES = 48
"""By so much a packet of parity may be larger than the largest that it protects: its own headers."""

_BEGIN_LOSS, _END_LOSS = 0.02, 0.005
"""Fraction lost above which protection begins, and below which it ends."""

_FAR_BEGIN_LOSS, _FAR_QUIET_REPORTS = 0.004, 30
"""The same where the round trip is long: it ends after so many reports of no loss."""

_FAR_RTT_S = 0.1
"""Who waits for a picture any longer misses it."""

_LIKELY_LOST = 0.04
"""Packets that are likely to be lost of those that share a packet of parity, when that is hurried."""

_RATE_WINDOW_S = 1.0
_MAX_TOKENS = 4.0

_OUTAGE_LOSS = 0.3
"""A report that tells of more says nothing of what is lost at random, and no parity would have helped."""

_PER_LOSS, _FAR_PER_LOSS = 2.5, 25.0
"""Packets of parity for each packet that is likely to be lost. Where the round trip is long it is to bring
all of them back: of those that share a packet of parity hardly ever two are lost."""

_MIN_RTT_S = 0.02
"""With shorter round trips retransmissions come soon enough."""

_SMOOTHING = 0.3


class Protection:
    """Parity for one stream.

    Attributes:
        overhead: packets of parity for each media packet; 0 while there is no need.
    """

    __slots__ = (
        *("_began_at", "_credit", "_frame_at", "_group", "_interval_s", "_loss", "_quiet_reports"),
        *("_rate_bps", "_rtt_s", "_tokens", "overhead"),
    )

    def __init__(self) -> None:
        self._loss = 0.0
        self._quiet_reports = 0
        self._rtt_s = 0.0
        self._rate_bps = 0.0  # of media, without what protects it
        self._frame_at = 0.0
        self._interval_s = 0.0
        self._began_at = 0.0  # when the first of what waits for parity was sent
        self._tokens = 0.0
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
        self._rtt_s = rtt_s
        self._quiet_reports = 0 if fraction_lost else self._quiet_reports + 1
        if not self._is_far:
            begin, is_over = _BEGIN_LOSS, rtt_s < _MIN_RTT_S or self._loss < _END_LOSS
        else:
            begin, is_over = _FAR_BEGIN_LOSS, self._quiet_reports > _FAR_QUIET_REPORTS
        if is_over:
            self.stop()
        elif self.overhead or self._loss >= begin:
            per_loss = _FAR_PER_LOSS if self._is_far else _PER_LOSS
            self.overhead = min(per_loss * self._loss, MAX_OVERHEAD)

    @property
    def _is_far(self) -> bool:
        """Whether what is sent again comes late."""
        return self._rtt_s > _FAR_RTT_S

    def stop(self) -> None:
        """Send none until losses are reported again."""
        self.overhead = 0.0
        self._credit = self._tokens = 0.0
        self._rate_bps = self._frame_at = 0.0
        self._group.clear()

    def forget(self) -> None:
        """What was protected last was not sent: its numbers are used again."""
        self._group.clear()

    def cover(
        self,
        packets: Sequence[Outgoing],
        header: Header,
        red_type: int,
        parity_type: int,
        now: float,
        share_bps: int | None = None,
    ) -> list[Outgoing]:
        """Put a frame's packets into RED, and make the packets of parity that go behind them.

        Args:
            packets: of a frame, before they are queued; they are changed.
            header: for parity.
            red_type, parity_type: payload types.
            now: monotonic seconds.
            share_bps: what the stream may use; None when there is no estimate.
        """
        still: list[tuple[int, bytes]] = []
        for packet in packets:
            number = packet.sequence_number
            head = packet.header.write(packet.second, number & 0xFFFF, packet.timestamp, 0, 0)
            still.append((number, head + packet.payload))
            packet.put_in_red(red_type)
        last = packets[-1]
        made = []
        self._measure(sum(len(each) for _, each in still), len(still), now, share_bps)
        for i, payload in enumerate(self.protect(still, now), 1):
            number, timestamp = last.sequence_number + i, last.timestamp
            parity = Outgoing(
                last.counts, header, parity_type, number, timestamp, payload, last.keep, queued_at=now
            )
            parity.put_in_red(red_type)
            parity.is_parity = True
            made.append(parity)
        return made

    def _measure(self, size: int, count: int, now: float, share_bps: int | None) -> None:
        """A frame of so many bytes: what its stream leaves of its share may be parity that is hurried."""
        interval_s = min(now - self._frame_at, _RATE_WINDOW_S)
        is_first, self._frame_at = not self._frame_at, now
        if is_first or interval_s <= 0:
            return
        part = interval_s / _RATE_WINDOW_S
        self._rate_bps += (
            (size * 8 / interval_s - self._rate_bps) * part if self._rate_bps else size * 8 / interval_s
        )
        self._interval_s += (interval_s - self._interval_s) * part if self._interval_s else interval_s
        room = MAX_OVERHEAD if share_bps is None else share_bps / self._rate_bps - 1
        self._tokens = min(self._tokens + count * min(max(room, MAX_OVERHEAD), MAX_HURRIED), _MAX_TOKENS)

    def _is_urgent(self, now: float) -> bool:
        """Whether the next frame's parity would come hardly sooner than what is sent again, or for too many
        packets: of which it brings only one back."""
        if not self._is_far or self._tokens < 1:
            return False
        if len(self._group) * self._loss > _LIKELY_LOST:
            return True
        return now + self._interval_s - self._began_at > self._rtt_s / 2

    def protect(self, packets: list[tuple[int, bytes]], now: float = 0.0) -> list[bytes]:
        """A frame is sent: the payloads of the packets of parity that follow it.

        Few packets share one with those of the frames before, so that small frames cost no more than
        large ones.

        Args:
            packets: number (unwrapped) and bytes of each, see `still_bytes`.
            now: monotonic seconds.
        """
        group = self._group
        if not group:
            self._began_at = now
        group += packets
        oldest = group[-1][0] - MAX_PROTECTED
        while group[0][0] <= oldest:
            del group[0]
        self._credit = min(self._credit + len(packets) * self.overhead, float(len(group)))
        count = int(self._credit)
        if not count:
            if not self._is_urgent(now):
                return []
            count = 1
        self._credit = max(0.0, self._credit - count)
        self._tokens = max(0.0, self._tokens - count)
        made = [make_parity(group[i::count]) for i in range(count)]
        group.clear()
        return made
