"""CUBIC: what most flows of the internet are, to compare with and to compete as.

Spec: RFC 9438; proportions and floors in packets, as there.
"""

from __future__ import annotations

from rtcstack.sctp.congestion import Acknowledgement

__all__ = ["Cubic", "CubicGrowth"]

SCALE = 0.4
"""C of RFC 9438, section 5.1, in packets per second cubed."""

BETA = 0.7
"""What is left of the window after a loss (section 4.6)."""

FRIENDLY_GAIN = 3 * (1 - BETA) / (1 + BETA)
"""Packets per window that the estimate of Reno's window grows by (section 4.3)."""

MIN_WINDOW_PACKETS = 2
LOSS_WINDOW_PACKETS = 1.0


class CubicGrowth:
    """The window of congestion avoidance as a function of time (sections 4.2 to 4.7).

    Attributes:
        window: in packets.
    """

    __slots__ = ("_began_at", "_friendly", "_last_max", "_origin", "_plateau_s", "_prior", "window")

    def __init__(self) -> None:
        self.window = 0.0
        self._last_max = 0.0
        self._began_at = -1.0
        self._origin = 0.0
        self._plateau_s = 0.0
        self._friendly = 0.0
        self._prior = 0.0

    def start(self, window: float) -> None:
        """Begin at a window (in packets) that no loss has led to."""
        self.window = window
        self._last_max = 0.0
        self._began_at = -1.0

    def grow(self, packets: float, now: float, srtt_s: float) -> None:
        """So many packets were acknowledged while the window held data back."""
        window = self.window
        if self._began_at < 0:
            self._began_at = now
            self._friendly = window
            if window < self._last_max:
                self._plateau_s = ((self._last_max - window) / SCALE) ** (1 / 3)
                self._origin = self._last_max
            else:
                self._plateau_s = 0.0
                self._origin = window
        at_s = now - self._began_at + srtt_s - self._plateau_s
        target = min(max(self._origin + SCALE * at_s * at_s * at_s, window), 1.5 * window)
        gain = 1.0 if self._friendly >= self._prior else FRIENDLY_GAIN
        self._friendly += gain * packets / window
        self.window = window + packets * (target - window) / window
        if self.window < self._friendly:
            self.window = self._friendly

    def shrink(self) -> None:
        """A round trip with losses. With less than before the last one, room is made for others (4.7)."""
        window = self.window
        self._last_max = window * (1 + BETA) / 2 if window < self._last_max else window
        self._prior = window
        self.window = max(window * BETA, MIN_WINDOW_PACKETS)
        self._began_at = -1.0


class Cubic:
    """Slow start, then CUBIC; one reduction per round trip with losses.

    It fills every buffer and takes each loss for congestion.
    """

    __slots__ = (
        "_growth",
        "_mtu",
        "_recovery_tsn",
        "_srtt_s",
        "_ssthresh",
        "_undo",
        "pacing_bytes_per_s",
        "window_bytes",
    )

    def __init__(self, mtu_bytes: int, initial_window_bytes: int) -> None:
        self._mtu = mtu_bytes
        self._growth = CubicGrowth()
        self._growth.start(initial_window_bytes / mtu_bytes)
        self._ssthresh = 1e9
        self._recovery_tsn = -1
        self._srtt_s = 0.0
        self._undo = (0.0, 0.0)
        self.window_bytes = initial_window_bytes
        self.pacing_bytes_per_s = 0.0

    def on_ack(self, ack: Acknowledgement) -> None:
        """Grow by what is acknowledged; shrink, once per round trip, for what is lost."""
        growth = self._growth
        if ack.rtt_s is not None:
            self._srtt_s = self._srtt_s + (ack.rtt_s - self._srtt_s) / 8 if self._srtt_s else ack.rtt_s
        if ack.lost_bytes:
            if ack.highest_tsn >= self._recovery_tsn:
                growth.shrink()
                self._ssthresh = growth.window
                self._recovery_tsn = ack.next_tsn
        elif ack.window_limited and ack.highest_tsn >= self._recovery_tsn:
            packets = ack.acked_bytes / self._mtu
            if growth.window < self._ssthresh:
                growth.window += packets
            else:
                growth.grow(packets, ack.now, self._srtt_s)
        self.window_bytes = int(growth.window * self._mtu)

    def on_timeout(self) -> None:
        """Back to slow start."""
        growth = self._growth
        self._undo = (growth.window, self._ssthresh)
        growth.shrink()
        self._ssthresh = growth.window
        growth.window = LOSS_WINDOW_PACKETS
        self.window_bytes = int(growth.window * self._mtu)

    def on_spurious_timeout(self) -> None:
        """Back to where the timeout found us."""
        self._growth.window, self._ssthresh = self._undo
        self.window_bytes = int(self._growth.window * self._mtu)
