"""The event loops that tests run on: a virtual one, this machine's, and one with the portable network."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

from rtcstack.testing import Host, VirtualLoop

__all__ = ["LoopFactory", "loop_factories", "stand_on"]

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def loop_factories(network: str | None) -> Mapping[str, LoopFactory]:
    """For pytest-asyncio's hook: the one kind of loop that tests run on.

    Args:
        network: form of this machine's network; None for a virtual loop.
    """
    return {"virtual": VirtualLoop} if network is None else {network: asyncio.new_event_loop}


def stand_on(name: str) -> contextlib.AbstractContextManager[Host | None]:
    """Stand on a public host of that name, on a virtual loop's internet; on this machine without one."""
    loop = asyncio.get_running_loop()
    return loop.internet.host(name) if isinstance(loop, VirtualLoop) else contextlib.nullcontext()
