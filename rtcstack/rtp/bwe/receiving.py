"""The receiver's own estimate, for senders that have none: delays told by absolute send times.

Where transport-wide feedback is agreed the sender estimates, and knows more. This is for peers that
only know REMB.

Spec: draft-alvestrand-rmcat-remb-03; draft-ietf-rmcat-gcc-02, section 4.2 (the receiver-side
controller).
"""

from __future__ import annotations

from rtcstack.rtp.bwe.aimd import AimdControl
from rtcstack.rtp.bwe.delay import DelayDetector, Usage
from rtcstack.rtp.bwe.gcc import Throughput
from rtcstack.serial import Unwrapper

__all__ = ["INTERVAL_S", "ReceivingEstimator"]

INTERVAL_S = 1.0
"""The estimate is told so often,"""

URGENT_INTERVAL_S = 0.2
"""and as soon as this after the last time when it has fallen"""

FALLEN = 0.97
"""below this much of what was told."""

SILENT_S = 2.0
"""When nothing arrives for so long there is nothing to tell."""

START_BPS = 300_000.0

HEADROOM = 1.5
"""As long as the bottleneck was never overused the sender is given this much of what arrives."""

_TICKS_PER_S = 1 << 18


class ReceivingEstimator:
    """What the sender at the other end of a transport may send.

    Attributes:
        due_at: when `take` is to be called, or None while nothing arrives.
        delay: the detector, to be looked at.
    """

    __slots__ = (
        "_aimd",
        "_arrived_at",
        "_has_overused",
        "_started",
        "_throughput",
        "_told_at",
        "_told_bps",
        "_unwrapper",
        "delay",
        "due_at",
    )

    def __init__(self) -> None:
        self._aimd = AimdControl(START_BPS)
        self._throughput = Throughput()
        self._unwrapper = Unwrapper(24)
        self._arrived_at = 0.0
        self._has_overused = False
        self._started = False
        self._told_at: float | None = None
        self._told_bps = 0.0
        self.delay = DelayDetector()
        self.due_at: float | None = None

    @property
    def estimate_bps(self) -> int | None:
        """The estimate; None while too little has arrived."""
        return int(self._aimd.rate_bps) if self._started else None

    def on_path_change(self) -> None:
        """Packets take another way from now on."""
        self.delay.reset()
        self._aimd.forget_link()

    def set_rtt(self, rtt_s: float) -> None:
        """A new measurement of the round-trip time."""
        self._aimd.rtt_s = rtt_s

    def arrived(self, send_time: int, size: int, now: float) -> None:
        """Take a packet.

        Args:
            send_time: its absolute send time, 24 bits.
            size: bytes of RTP.
            now: monotonic seconds.
        """
        self._arrived_at = now
        self._throughput.arrived(now, size)
        # One cycle up: a packet from before the first is not below zero.
        sent_at = (self._unwrapper.unwrap(send_time) + (1 << 24)) / _TICKS_PER_S
        self.delay.arrived(sent_at, now)
        arrived_bps = self._throughput.bps
        if not self._started:
            if arrived_bps is None:
                return
            self._started = True
            self._aimd.set_estimate(max(START_BPS, HEADROOM * arrived_bps), now)
            self.due_at = now
            return
        usage = self.delay.usage
        self._aimd.update(usage, arrived_bps, limited=False, now=now)
        if usage is Usage.OVER:
            self._has_overused = True
        if self.due_at is None:
            self.due_at = now if self._told_at is None else max(now, self._told_at + INTERVAL_S)
        if self._told_at is not None and self._aimd.rate_bps < FALLEN * self._told_bps:
            self.due_at = min(self.due_at, max(now, self._told_at + URGENT_INTERVAL_S))

    def take(self, now: float) -> int | None:
        """What to tell the sender now, in bit/s, or None for nothing."""
        self.due_at = None
        if not self._started or now - self._arrived_at > SILENT_S:
            return None
        arrived_bps = self._throughput.bps
        if not self._has_overused and arrived_bps is not None:
            self._aimd.rate_bps = max(self._aimd.rate_bps, HEADROOM * arrived_bps)
        self._told_at = now
        self._told_bps = self._aimd.rate_bps
        self.due_at = now + INTERVAL_S
        return int(self._told_bps)
