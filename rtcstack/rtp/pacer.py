"""When packets leave: audio at once, then retransmissions, then video, at a steady pace.

The pacer smooths what an encoder makes in bursts. It sends at a multiple of the estimated rate,
in bursts of at most 40 ms, so that one wake-up of the loop serves many packets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from enum import IntEnum

from rtcstack.rtp.outgoing import Outgoing, SendCounts

__all__ = [
    "BURST_S",
    "MAX_QUEUED",
    "MAX_QUEUE_S",
    "PACE_MULTIPLIER",
    "SMALL_BURST_S",
    "Lane",
    "Pacer",
    "Probe",
]

PACE_MULTIPLIER = 2.5
"""How much faster than the estimate the pacer sends what has queued up."""

RETRANSMISSION_WEIGHT = 2.0
"""Retransmissions go at a smaller multiple: they are asked for when the way is at its worst."""

BURST_S, SMALL_BURST_S = 0.04, 0.005
"""How much may leave at once, in time at the pacing rate; and where packets are lost: a burst may be what a
bottleneck has no room for."""

MAX_QUEUE_S = 2.0
"""What would take longer than this to leave is sent faster."""

_PROBE_STEP_S = 0.002
"""A probe's packets leave in steps at least this long."""


class Lane(IntEnum):
    """The queues, the most urgent first."""

    AUDIO = 0
    RETRANSMISSION = 1
    VIDEO = 2


MAX_QUEUED = {Lane.AUDIO: 256, Lane.RETRANSMISSION: 1024, Lane.VIDEO: 4096}
"""Packets in each queue. A frame that does not fit is refused whole, a retransmission dropped."""


class Probe:
    """A short burst at a higher rate than the estimate, to learn whether there is more to be had.

    Attributes:
        number: names it in the feedback; from 1.
        rate_bps: at which its packets leave.
        min_packets, min_bytes: when it may end.
        packets, bytes: sent for it so far.
    """

    __slots__ = ("bytes", "min_bytes", "min_packets", "number", "packets", "rate_bps", "started_at")

    def __init__(self, number: int, rate_bps: float, *, min_packets: int = 5, min_s: float = 0.015) -> None:
        self.number = number
        self.rate_bps = rate_bps
        self.min_packets = min_packets
        self.min_bytes = int(rate_bps * min_s / 8)
        self.packets = 0
        self.bytes = 0
        self.started_at: float | None = None

    @property
    def is_done(self) -> bool:
        """Whether enough was sent."""
        return self.packets >= self.min_packets and self.bytes >= self.min_bytes

    def due_at(self, now: float) -> float:
        """When the next packet may leave."""
        if self.started_at is None:
            return now
        return self.started_at + self.bytes * 8 / self.rate_bps


class Pacer:
    """The queues of one transport.

    Args:
        pad: makes packets of at least so many bytes for a probe when there is no media; may make
            none.

    Attributes:
        rate_bps: pacing rate; None sends everything at once.
        burst_s: how much of that may leave at once.
        dropped: retransmissions that found no place.
        refused: frames that found no place.
        queued_bytes: in all lanes.
    """

    __slots__ = (
        "_debt_bytes",
        "_lanes",
        "_pad",
        "_probes",
        "_updated_at",
        "burst_s",
        "dropped",
        "queued_bytes",
        "rate_bps",
        "refused",
    )

    def __init__(self, pad: Callable[[int, float], list[Outgoing]] | None = None) -> None:
        self._lanes: tuple[deque[Outgoing], ...] = tuple(deque() for _ in Lane)
        self._pad = pad
        self._probes: deque[Probe] = deque(maxlen=4)
        self._debt_bytes = 0.0
        self._updated_at = 0.0
        self.rate_bps: float | None = None
        self.burst_s = BURST_S
        self.queued_bytes = 0
        self.dropped = 0
        self.refused = 0

    def __len__(self) -> int:
        return sum(map(len, self._lanes))

    @property
    def queue_s(self) -> float:
        """How long it takes until what is queued has left."""
        return self.queued_bytes * 8 / self.rate_bps if self.rate_bps else 0.0

    def push(self, packets: list[Outgoing], lane: Lane) -> bool:
        """Queue the packets of a frame.

        Returns:
            False if they do not fit: then none was queued.
        """
        queue = self._lanes[lane]
        if len(queue) + len(packets) > MAX_QUEUED[lane]:
            if lane is Lane.RETRANSMISSION:
                self.dropped += len(packets)
            else:
                self.refused += 1
            return False
        queue.extend(packets)
        for packet in packets:
            self.queued_bytes += packet.size
        return True

    @property
    def has_probes(self) -> bool:
        """Whether a probe waits or is under way."""
        return bool(self._probes)

    @property
    def has_video(self) -> bool:
        """Whether pictures wait."""
        return bool(self._lanes[2])

    def drop(self, streams: Iterable[SendCounts], lanes: Iterable[Lane] = tuple(Lane)) -> set[SendCounts]:
        """Forget what is queued of the streams with these counts, in these lanes.

        Returns:
            Those of which something was.
        """
        gone = set(streams)
        found: set[SendCounts] = set()
        for queue in [self._lanes[lane] for lane in lanes]:
            for packet in queue:
                if packet.counts in gone:
                    found.add(packet.counts)
                    packet.is_dropped()
            kept = [packet for packet in queue if packet.counts not in gone]
            queue.clear()
            queue.extend(kept)
        self.queued_bytes = sum(packet.size for queue in self._lanes for packet in queue)
        return found

    def probe(self, probe: Probe) -> None:
        """Have a probe sent, after those that wait already."""
        self._probes.append(probe)

    def take(self, now: float) -> list[Outgoing]:
        """The packets that leave now, in order."""
        lanes = self._lanes
        rate_bps = self.rate_bps
        if rate_bps is None:
            self._probes.clear()
            if not self.queued_bytes:
                return []
            everything = [*lanes[0], *lanes[1], *lanes[2]]
            for lane in lanes:
                lane.clear()
            self.queued_bytes = 0
            return everything
        rate_bps = self._hurried(rate_bps)
        debt = max(0.0, self._debt_bytes - (now - self._updated_at) * rate_bps / 8)
        self._updated_at = now
        out: list[Outgoing] = []
        audio = lanes[0]
        while audio:
            packet = audio.popleft()
            debt += packet.size
            out.append(packet)
        if self._probes:
            start = len(out)
            self._take_probe(now, out)
            debt += sum(packet.size for packet in out[start:])
        limit = rate_bps * self.burst_s / 8
        # Beside a probe nothing leaves: what is measured is its rate, and it takes what waits.
        if not self._probes:
            lane = lanes[1]
            while lane and debt < limit:
                packet = lane.popleft()
                debt += packet.size * RETRANSMISSION_WEIGHT
                out.append(packet)
            lane = lanes[2]
            while lane and debt < limit:
                packet = lane.popleft()
                debt += packet.size
                out.append(packet)
        self._debt_bytes = debt
        for packet in out:
            self.queued_bytes -= packet.size
        self.queued_bytes = max(0, self.queued_bytes)
        return out

    def _hurried(self, rate_bps: float) -> float:
        """The pace that empties the queue in time."""
        return max(rate_bps, self.queued_bytes * 8 / MAX_QUEUE_S)

    def _take_probe(self, now: float, out: list[Outgoing]) -> None:
        """Packets for the probe in hand: media if there is any, else padding."""
        probe = self._probes[0]
        waiting = self._lanes[1] or self._lanes[2]
        if probe.started_at is None and not waiting and self._pad is None:
            self._probes.popleft()
            return
        if probe.due_at(now) > now:
            return
        if probe.started_at is None:
            probe.started_at = now
        # A step's worth, and always one packet.
        until = (now + _PROBE_STEP_S - probe.started_at) * probe.rate_bps / 8
        while not probe.is_done:
            waiting = self._lanes[1] or self._lanes[2]
            if waiting:
                packets = [waiting.popleft()]
            elif self._pad is not None:
                packets = self._pad(1, now)  # as little as it can, for the pace
                for packet in packets:
                    self.queued_bytes += packet.size
            else:
                packets = []
            if not packets:
                self._probes.popleft()
                return
            for packet in packets:
                packet.probe = probe.number
                probe.packets += 1
                probe.bytes += packet.size
                out.append(packet)
            if probe.bytes >= until:
                break
        if probe.is_done:
            self._probes.popleft()

    def next_at(self, now: float) -> float | None:
        """When there is something to send, or None."""
        lanes = self._lanes
        if lanes[0]:
            return now
        if self._probes:
            return self._probes[0].due_at(now)
        due: float | None = None
        if lanes[1] or lanes[2]:
            if self.rate_bps is None:
                return now
            # Wait until half a burst may leave, or what is left if that is less.
            rate_bps = self._hurried(self.rate_bps)
            room = min(rate_bps * self.burst_s / 16, self.queued_bytes)
            excess = self._debt_bytes - (rate_bps * self.burst_s / 8 - room)
            paced = self._updated_at + max(0.0, excess) * 8 / rate_bps
            if due is None or paced < due:
                due = paced
        return due
