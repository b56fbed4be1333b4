"""The threads that coders run on: one pool for each event loop, for all connections."""

from __future__ import annotations

import asyncio
import weakref

from rtcstack.codecs.pool import CoderPool

__all__ = ["coder_pool"]

_pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, CoderPool] = weakref.WeakKeyDictionary()


def coder_pool() -> CoderPool:
    """The running loop's pool. Its threads begin with the first job and end with the last stream."""
    loop = asyncio.get_running_loop()
    pool = _pools.get(loop)
    if pool is None:
        # the loop must not be kept alive by what it is the key of
        reference = weakref.ref(loop)

        def post(callback: object) -> None:
            found = reference()
            if found is not None:
                found.call_soon_threadsafe(callback)  # type: ignore[arg-type]

        pool = _pools[loop] = CoderPool(post)
    return pool
