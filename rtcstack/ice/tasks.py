"""Where an agent lives: its loop, its network, and the tasks that it has there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from rtcstack.network import network
from rtcstack.platform import Network

__all__ = ["AgentTasks"]


class AgentTasks:
    """Runs what an agent waits for, in the loop in which it first needs one.

    Args:
        network: what the agent is on; None for the network of the code by which it first needs its loop.
        on_fault: takes what a task raises.
    """

    def __init__(self, network: Network | None, on_fault: Callable[[BaseException], None]) -> None:
        self._network = network
        self._on_fault = on_fault
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the agent lives in."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._network = self._network or network()
        return self._loop

    @property
    def network(self) -> Network:
        """The network that the agent is on."""
        if self._network is None:
            self._loop = asyncio.get_running_loop()
            self._network = network()
        return self._network

    @property
    def is_loop_open(self) -> bool:
        """Whether the agent has a loop that still works."""
        return self._loop is not None and not self._loop.is_closed()

    @property
    def is_in_loop(self) -> bool:
        """Whether the caller is run by the agent's loop."""
        return self._loop is not None and asyncio._get_running_loop() is self._loop

    def run(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Have the loop run this."""
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            self._on_fault(exc)

    def cancel(self) -> None:
        """End all that a loop may still run; asyncio.run has ended those of one that is closed."""
        if self.is_loop_open:
            for task in self._tasks:
                task.cancel()

    async def wait(self) -> None:
        """Until all have ended, with those that these begin."""
        while self._tasks:
            await asyncio.wait(self._tasks)
