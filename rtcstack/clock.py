"""Where time comes from. Engines never read it: they are handed `now`."""

from __future__ import annotations

import time

__all__ = ["NTP_EPOCH_S", "monotonic", "timestamp_ms"]

NTP_EPOCH_S = 2_208_988_800
"""Seconds between NTP's epoch, 1900, and Unix', 1970."""

monotonic = time.monotonic
"""Seconds, monotonic: the `now` of every engine. asyncio's loop.time() is the same clock."""


def timestamp_ms() -> float:
    """Milliseconds since the Unix epoch: the timestamp of W3C events and statistics."""
    return time.time() * 1000.0
