"""When RTCP reports are due, and how they are put together.

Spec: RFC 3550, sections 6.2 and 6.3; RFC 4585, section 3 (early feedback); RFC 5506 (reduced
size); RFC 8108, section 5 (several SSRCs of one endpoint in one compound packet).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from rtcstack.rtp.rtcp.reports import (
    MAX_BLOCKS,
    Goodbye,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
)

__all__ = [
    "AUDIO_INTERVAL_S",
    "MAX_RTCP_BYTES",
    "VIDEO_INTERVAL_S",
    "ReportTimer",
    "compounds",
    "goodbye",
    "round_trip_s",
]

AUDIO_INTERVAL_S = 5.0
VIDEO_INTERVAL_S = 1.0
"""Mean time between reports: of a transport that carries audio only, and of one with video."""

MAX_RTCP_BYTES = 1200
"""A compound packet is not made longer than this."""

RTCP_SHARE = 0.05
"""Part of the bandwidth that reports may take. Spec: RFC 3550, section 6.2."""

ASSUMED_BANDWIDTH_BPS = 300_000
"""Of which that is, as long as nothing better is known."""

_NO_SSRC = 1
"""The SSRC in feedback of an endpoint that sends no media."""


class ReportTimer:
    """Says when the next report is due: randomised, so that endpoints do not fall into step.

    Args:
        rng: for the randomisation.

    Attributes:
        due_at: monotonic seconds, or None while there is nothing to report on.
        interval_s: mean interval.
    """

    __slots__ = ("_rng", "due_at", "interval_s")

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.due_at: float | None = None
        self.interval_s = AUDIO_INTERVAL_S

    def start(self, now: float, *, has_video: bool) -> None:
        """There is something to report on. The first report comes after half the interval."""
        self.interval_s = VIDEO_INTERVAL_S if has_video else AUDIO_INTERVAL_S
        due = now + self.interval_s / 2 * self._factor()
        if self.due_at is None or due < self.due_at:
            self.due_at = due

    def sent(self, now: float, size: int, bandwidth_bps: float | None) -> None:
        """Reports of so many bytes were sent: find the time of the next."""
        bandwidth = max(bandwidth_bps or 0.0, ASSUMED_BANDWIDTH_BPS)
        interval = max(self.interval_s, size * 8 / (bandwidth * RTCP_SHARE))
        self.due_at = now + interval * self._factor()

    def stop(self) -> None:
        """There is nothing to report on any more."""
        self.due_at = None

    def _factor(self) -> float:
        return 0.5 + self._rng.random()


def compounds(
    sender_reports: Sequence[SenderReport],
    blocks: Sequence[ReportBlock],
    cname: str,
    idle_ssrc: int | None,
    extra: Iterable[bytes] = (),
) -> list[bytes]:
    """Reports as compound packets, each with a report first and a CNAME.

    Args:
        sender_reports: of our streams that send.
        blocks: on the streams that we receive.
        cname: ours.
        idle_ssrc: whose name to report in when none of ours sends; None if we have none at all.
        extra: further RTCP packets to send with them.
    """
    waiting = list(blocks)
    reports: list[SenderReport | ReceiverReport] = []
    for report in sender_reports:
        report.blocks, waiting = tuple(waiting[:MAX_BLOCKS]), waiting[MAX_BLOCKS:]
        reports.append(report)
    reporter = reports[0].ssrc if reports else idle_ssrc or _NO_SSRC
    while waiting or not reports:
        reports.append(ReceiverReport(reporter, tuple(waiting[:MAX_BLOCKS])))
        waiting = waiting[MAX_BLOCKS:]
    packets: list[bytes] = []
    current, ssrcs, described = b"", list[int](), 0
    name_bytes = len(_names(cname, [0]))
    for each in reports:
        data = each.to_bytes()
        new = each.ssrc not in ssrcs
        described_after = described + (name_bytes if new else 0)
        if current and len(current) + len(data) + described_after > MAX_RTCP_BYTES:
            packets.append(current + _names(cname, ssrcs))
            current, ssrcs, described_after = b"", [], name_bytes
            new = True
        current += data
        described = described_after
        if new:
            ssrcs.append(each.ssrc)
    current += _names(cname, ssrcs)
    for data in extra:
        if len(current) + len(data) > MAX_RTCP_BYTES:
            packets.append(current)
            current = ReceiverReport(reporter).to_bytes()
            current += SourceDescription.of_cname(cname, reporter).to_bytes()
        current += data
    packets.append(current)
    return packets


def _names(cname: str, ssrcs: Sequence[int]) -> bytes:
    """A description of each source, in a packet of its own: some peers misread longer ones."""
    return b"".join([SourceDescription.of_cname(cname, ssrc).to_bytes() for ssrc in ssrcs])


def goodbye(ssrcs: Sequence[int], cname: str, reason: str = "") -> bytes:
    """The compound packet that ends these streams; at most 31 of them."""
    some = tuple(ssrcs[:MAX_BLOCKS])
    first = some[0] if some else _NO_SSRC
    return (
        ReceiverReport(first).to_bytes()
        + SourceDescription.of_cname(cname, first).to_bytes()
        + Goodbye(some, reason).to_bytes()
    )


def round_trip_s(last: int, delay: int, ntp: int) -> float | None:
    """The round-trip time that a report block or a DLRR block gives.

    Args:
        last: the middle 32 bits of the NTP time of our report that is answered; 0 if none.
        delay: time that the peer held it, in 1/65536 s.
        ntp: 64-bit NTP time now.

    Returns:
        Seconds, or None if the block answers nothing or cannot be true.

    Spec: RFC 3550, section 6.4.1; RFC 3611, section 4.5.
    """
    if not last:
        return None
    ticks = ((ntp >> 16) - last - delay) & 0xFFFF_FFFF
    if ticks >= 1 << 31:  # a rounding error below zero, or nonsense
        return 0.0 if ticks >= (1 << 32) - 655 else None
    rtt_s = ticks / 65536
    return rtt_s if rtt_s < MAX_RTT_S else None


MAX_RTT_S = 60.0
"""A longer round trip is a misunderstanding."""
