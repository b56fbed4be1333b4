"""The event loops that tests run on: a virtual one, this machine's, and one with the portable network."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

import pytest

from rtcstack.testing import Host, VirtualLoop

__all__ = ["NETWORKS", "LoopFactory", "loop_factories", "stand_on"]

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

NETWORKS = ("virtual", "system", "portable")


def loop_factories(network: str) -> Mapping[str, LoopFactory]:
    """For pytest-asyncio's hook: the one kind of loop."""
    return {network: {"virtual": VirtualLoop, "system": asyncio.new_event_loop}[network]}


def stand_on(name: str) -> contextlib.AbstractContextManager[Host | None]:
    """Stand on a public host of that name, on a virtual loop's internet; on this machine without one."""
    loop = asyncio.get_running_loop()
    return loop.internet.host(name) if isinstance(loop, VirtualLoop) else contextlib.nullcontext()


def only_real(reason: str) -> None:
    """Skip a test that a virtual loop cannot run."""
    if isinstance(asyncio.get_running_loop(), VirtualLoop):
        pytest.skip(reason)
