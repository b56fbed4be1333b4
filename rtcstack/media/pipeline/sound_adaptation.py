"""What sound gives up where the network does not carry all of it: bits first, then packets a second.

    share of the estimate = packets a second x headers + bit rate (+ copies)

A packet of 20 ms spends a third of 40 kbit/s on headers; one of 60 ms a tenth, and comes 40 ms later.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["HEADER_BYTES", "PTIMES_MS", "LossSteps", "SoundAdaptation", "SoundNeeds"]

PTIMES_MS = (20.0, 40.0, 60.0)
"""Packet times that are changed between."""

HEADER_BYTES = 28
"""Of an RTP packet with the usual extensions, until some were sent."""

ENOUGH = 0.97
"""From this part of what it needs on sound counts as having it."""

MIN_CHANGE = 0.03
"""A bit rate that changed by less stays."""

GOOD_BPS = 20_000
"""Bits a second and channel that speech of wide band needs (RFC 7587, 3.1.1). For less the packet time
grows,"""

GOOD_AGAIN = 1.3
"""and for so many times as much it shrinks again."""

POOR_FOR_S = 1.0
RICH_FOR_S = 5.0
"""How long it must have been so."""


class SoundNeeds(NamedTuple):
    """What a sender of sound would send, and what it can do without.

    Attributes:
        wanted_bps: of the encoder.
        floor_bps: below this nobody understands it; the same where the codec has one rate.
        channels: 1 or 2.
        ptime_ms: of a packet.
        max_ptime_ms: of a packet at most; the same where it may not change.
        header_bytes: of a packet.
        copies: how often each frame is sent again (RED).
    """

    wanted_bps: int
    floor_bps: int
    channels: int = 1
    ptime_ms: float = 20
    max_ptime_ms: float = 20
    header_bytes: int = HEADER_BYTES
    copies: int = 0

    def headers_bps(self, ptime_ms: float) -> int:
        """What headers take of the share."""
        return round(8000 / ptime_ms * self.header_bytes)

    def left_bps(self, share_bps: int, ptime_ms: float) -> int:
        """What they leave of it for the encoder."""
        return (share_bps - self.headers_bps(ptime_ms)) // (1 + self.copies)

    @property
    def share_bps(self) -> int:
        """The share that it can use."""
        return self.wanted_bps * (1 + self.copies) + self.headers_bps(self.ptime_ms)

    @property
    def least_bps(self) -> int:
        """The share that it can make do with."""
        return self.floor_bps * (1 + self.copies) + self.headers_bps(self.max_ptime_ms)


class SoundAdaptation:
    """Follows one sender's share of the estimate.

    Attributes:
        bitrate_bps: what the encoder is to aim at; None for what was set.
        ptime_ms: of a packet; None for what was set.
    """

    __slots__ = ("_poor_since", "_rich_since", "bitrate_bps", "ptime_ms")

    def __init__(self) -> None:
        self.bitrate_bps: int | None = None
        self.ptime_ms: float | None = None
        self._poor_since: float | None = None
        self._rich_since: float | None = None

    def look(self, share_bps: int | None, needs: SoundNeeds, now: float) -> None:
        """Look at how things are; to be called whenever the share changes, and once a second.

        Args:
            share_bps: of the estimate; None where nobody estimates.
            needs: as they are now.
            now: monotonic seconds.
        """
        if needs.max_ptime_ms <= needs.ptime_ms:
            self.ptime_ms = None
        if share_bps is None:
            self.bitrate_bps = self.ptime_ms = None
            self._poor_since = self._rich_since = None
            return
        times = [needs.ptime_ms]
        times += [each for each in PTIMES_MS if needs.ptime_ms < each <= needs.max_ptime_ms]
        at = max((i for i, each in enumerate(times) if each <= (self.ptime_ms or 0)), default=0)
        at = self._step(at, times, share_bps, needs, now)
        self.ptime_ms = times[at] if at else None
        left_bps = needs.left_bps(share_bps, times[at])
        if left_bps >= ENOUGH * needs.wanted_bps:
            self.bitrate_bps = None
            return
        wanted_bps = max(left_bps, min(needs.floor_bps, needs.wanted_bps))
        known_bps = self.bitrate_bps
        if known_bps is None or abs(wanted_bps - known_bps) >= MIN_CHANGE * known_bps:
            self.bitrate_bps = wanted_bps

    def _step(self, at: int, times: list[float], share_bps: int, needs: SoundNeeds, now: float) -> int:
        """Which of the packet times is to be used, from the one that is."""
        good_bps = max(min(needs.wanted_bps, GOOD_BPS * needs.channels), needs.floor_bps)
        if needs.left_bps(share_bps, times[at]) < good_bps and at + 1 < len(times):
            self._rich_since = None
            if self._poor_since is None:
                self._poor_since = now
            if now - self._poor_since >= POOR_FOR_S:
                self._poor_since = None
                return at + 1
            return at
        self._poor_since = None
        better_bps = min(GOOD_AGAIN * good_bps, ENOUGH * needs.wanted_bps)
        if at and needs.left_bps(share_bps, times[at - 1]) >= better_bps:
            if self._rich_since is None:
                self._rich_since = now
            if now - self._rich_since >= RICH_FOR_S:
                self._rich_since = None
                return at - 1
            return at
        self._rich_since = None
        return at


STEPS_PERCENT = (0, 2, 5, 10, 15, 20, 30)
"""What encoders are told of loss. Each step makes Opus spend more on copies of the packet before, and change
its mode: so not at every report."""

LEAVE_BELOW = 0.6
"""Part of a step below which loss must fall,"""

LEAVE_AFTER = 5
"""for so many reports, until the step is left."""

_RISING, _FALLING = 0.5, 0.25


class LossSteps:
    """What is told of the losses that a peer reports: up at once, down slowly.

    Attributes:
        percent: one of `STEPS_PERCENT`.
    """

    __slots__ = ("_below", "_loss", "percent")

    def __init__(self) -> None:
        self._loss = 0.0
        self._below = 0
        self.percent = 0

    def reported(self, fraction_lost: float) -> int:
        """A report came.

        Args:
            fraction_lost: since the one before, 0 to 1.

        Returns:
            What is to be told.
        """
        weight = _RISING if fraction_lost > self._loss else _FALLING
        self._loss += (fraction_lost - self._loss) * weight
        percent = 100 * self._loss
        step = max(each for each in STEPS_PERCENT if each <= percent)
        if step > self.percent:
            self.percent, self._below = step, 0
        elif self.percent and percent < LEAVE_BELOW * self.percent:
            self._below += 1
            if self._below >= LEAVE_AFTER:
                self.percent, self._below = step, 0
        else:
            self._below = 0
        return self.percent
