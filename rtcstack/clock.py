"""Where time comes from. Engines never read it: they are handed `now`."""

from __future__ import annotations

import time

__all__ = ["monotonic", "ntp_time", "timestamp_ms"]

monotonic = time.monotonic
"""Seconds, monotonic: the `now` of every engine. asyncio's loop.time() is the same clock."""

_NTP_EPOCH_OFFSET_S = 2_208_988_800
"""Seconds from 1900-01-01 to 1970-01-01 (RFC 868)."""


def timestamp_ms() -> float:
    """Milliseconds since the Unix epoch: the timestamp of W3C events and statistics."""
    return time.time() * 1000.0


def ntp_time() -> int:
    """Wall-clock time as a 64-bit NTP timestamp (RFC 5905, section 6: 32.32 fixed point)."""
    return int((time.time() + _NTP_EPOCH_OFFSET_S) * (1 << 32)) & 0xFFFF_FFFF_FFFF_FFFF
