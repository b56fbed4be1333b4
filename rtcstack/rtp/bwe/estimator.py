"""What estimates the bandwidth looks like from outside, and what it is told.

Whoever has a better idea than the one in `gcc` writes a class of this shape and hands it to the
session.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from rtcstack.rtp.pacer import Probe
from rtcstack.rtp.rtcp.transport_cc import TICKS_PER_S, TICKS_PER_UNIT, TransportFeedback
from rtcstack.serial import Unwrapper, unwrap

__all__ = [
    "MAX_UNREPORTED",
    "BandwidthEstimator",
    "LoadAware",
    "OtherLoad",
    "PacketResult",
    "PathAware",
    "SentPackets",
]

MAX_UNREPORTED = 16_384
"""Packets sent that no feedback has told of yet; the oldest are forgotten first."""


class PacketResult(NamedTuple):
    """What became of a packet.

    Attributes:
        sent_at: by our clock, monotonic seconds.
        arrived_at: by the peer's clock, seconds from any point; None if it did not arrive.
        size: bytes of RTP.
        probe: the probe that it was sent for, or 0.
    """

    sent_at: float
    arrived_at: float | None
    size: int
    probe: int


class BandwidthEstimator(Protocol):
    """Says how much a transport may send."""

    @property
    def estimate_bps(self) -> int:
        """The estimate, for media and everything that is sent along."""

    @property
    def pacing_bps(self) -> float:
        """How fast what has queued up may leave."""

    def on_sent(self, size: int, now: float) -> None:
        """So many bytes of RTP left."""

    def on_results(self, results: Sequence[PacketResult], now: float) -> None:
        """Transport-wide feedback came; the results are in the order of sending."""

    def on_report(self, fraction_lost: float, now: float) -> None:
        """A receiver report came; the loss of all our streams, weighed. 0 to 1."""

    def on_rtt(self, rtt_s: float) -> None:
        """The round-trip time was measured."""

    def on_remote_estimate(self, bitrate_bps: int, now: float) -> None:
        """The peer says how much it takes (REMB)."""

    def set_bounds(self, min_bps: int, start_bps: int, max_bps: int) -> None:
        """The estimate's floor, what to begin with, and what the streams can use at most."""

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""

    def next_timeout(self) -> float | None:
        """When something is."""

    def take_probes(self) -> list[Probe]:
        """Probes to send now."""


@runtime_checkable
class PathAware(Protocol):
    """What an estimator may have beyond `BandwidthEstimator`.

    Attributes:
        interruptions: how often nothing came through for a while; what was sent then is lost, and a
            key frame is better than to send it again.
    """

    interruptions: int

    def on_path_change(self, now: float) -> None:
        """Packets take another way from now on."""


class OtherLoad(NamedTuple):
    """What else goes over the transport, and has no transport-wide numbers: data in bulk.

    Attributes:
        weight: its share of what is not enough for all, as a stream's.
        arrived_bps: what has arrived of it lately.
        sent_bytes: what was sent of it since this was told last.
        has_rest: whether media has all that it can use, and this what is left.
    """

    weight: float
    arrived_bps: float
    sent_bytes: int
    has_rest: bool = False


@runtime_checkable
class LoadAware(Protocol):
    """What an estimator may have beyond `BandwidthEstimator`: its estimate is of all that the transport
    carries. Without it, data is not bounded beside media."""

    @property
    def capacity_bps(self) -> int:
        """What media and the other load may send together. Losses do not bound it: the other load has a
        congestion control of its own."""

    def is_live(self, now: float) -> bool:
        """Whether media was sent lately, and its feedback comes: else the estimate says nothing of now."""

    def on_other_load(self, load: OtherLoad | None, now: float) -> None:
        """What there is beside media, several times a second; None once there is no more."""


class SentPackets:
    """Remembers what was sent until feedback tells what became of it.

    Attributes:
        unknown: packets that feedback told of and that were not sent, or not remembered.
    """

    __slots__ = ("_next", "_oldest", "_reference", "_sent", "unknown")

    def __init__(self) -> None:
        self._sent: dict[int, tuple[float, int, int]] = {}
        self._next = 1
        self._oldest = 1
        self._reference = Unwrapper(24)
        self.unknown = 0

    def __len__(self) -> int:
        return len(self._sent)

    def next_number(self) -> int:
        """The transport-wide number, unwrapped, that the next packet is to bear."""
        return self._next

    def sent(self, size: int, now: float, probe: int) -> None:
        """The packet with `next_number` left."""
        number = self._next
        self._next = number + 1
        self._sent[number] = (now, size, probe)
        if len(self._sent) > MAX_UNREPORTED:
            self._sent.pop(self._oldest, None)
            self._oldest += 1

    def results(self, feedback: TransportFeedback) -> list[PacketResult]:
        """What a feedback packet tells, in the order of sending.

        Packets that it tells of as lost count as lost for good; a later report of their arrival
        counts for nothing.
        """
        base = unwrap(feedback.base_sequence_number, self._next - 1, 16)
        reference = self._reference.unwrap(feedback.reference_time & 0xFF_FFFF) * TICKS_PER_UNIT
        results: list[PacketResult] = []
        sent = self._sent
        end = min(base + feedback.status_count, self._next)
        for number in range(self._oldest, min(base, self._next)):
            sent.pop(number, None)  # the feedback on these was lost itself
        position = max(base, self._oldest)
        for offset, ticks in feedback.arrivals:
            number = base + offset
            if number >= end:
                self.unknown += 1
                continue
            if number < position:
                continue
            for lost in range(position, number):
                entry = sent.pop(lost, None)
                if entry is not None:
                    results.append(PacketResult(entry[0], None, entry[1], entry[2]))
            entry = sent.pop(number, None)
            position = number + 1
            if entry is None:
                self.unknown += 1
                continue
            arrived_at = (reference + ticks) / TICKS_PER_S
            results.append(PacketResult(entry[0], arrived_at, entry[1], entry[2]))
        for lost in range(position, end):
            entry = sent.pop(lost, None)
            if entry is not None:
                results.append(PacketResult(entry[0], None, entry[1], entry[2]))
        self._oldest = max(self._oldest, end, min(base, self._next))
        return results
