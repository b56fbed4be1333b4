"""Where coders run: one pool for each event loop, for all connections."""

from __future__ import annotations

import asyncio

from rtcstack.codecs.pool import CoderPool
from rtcstack.platform import one_for_loop
from rtcstack.workers import jobs

__all__ = ["coder_pool"]


def coder_pool() -> CoderPool:
    """The running loop's pool, on its workers."""
    return one_for_loop(_pool)


def _pool(loop: asyncio.AbstractEventLoop) -> CoderPool:
    return CoderPool(jobs())
