"""What a stack must do to be measured: one small class each, imported only in its own process."""

from __future__ import annotations

import asyncio
import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["STACKS", "Endpoint", "Stack", "load"]

STACKS = ("rtcstack", "aiortc", "wrtc")
"""In the order of the tables; rtcstack is what the others are compared with."""


@dataclass(slots=True)
class Endpoint:
    """One peer connection with one open channel, and the channel's verbs as plain callables.

    They are the stack's own bound methods where its API allows: nothing of ours stands between.
    """

    pc: Any
    channel: Any
    send: Callable[[bytes], Any]
    buffered: Callable[[], int]
    on_message: Callable[[Callable[[bytes], Any]], Any]
    on_low: Callable[[int, Callable[[], Any]], Any]
    opened: asyncio.Event = field(default_factory=asyncio.Event)


class Stack(ABC):
    """A WebRTC stack with a Python API."""

    name: str
    version: str

    @abstractmethod
    def new(self) -> Any:
        """A peer connection without servers."""

    @abstractmethod
    async def pair(self) -> tuple[Endpoint, Endpoint]:
        """Two ends in this process with an open channel, connected in the quickest way the stack has."""

    @abstractmethod
    async def offer(self) -> tuple[Endpoint, str]:
        """One end with a channel, and its offer with all its candidates."""

    @abstractmethod
    async def answer(self, offer: str) -> tuple[asyncio.Future[Endpoint], str]:
        """The other end: it comes once the channel is open; and the answer with all its candidates."""

    @abstractmethod
    async def accept(self, endpoint: Endpoint, answer: str) -> None:
        """Apply the answer and wait until the channel is open."""

    @abstractmethod
    async def close(self, endpoint: Endpoint) -> None:
        """Close the connection; return when nothing of it is left to wait for."""


def load(name: str) -> Stack:
    """The adapter of that name.

    Raises:
        ImportError: the stack is not installed.
    """
    stack: Stack = importlib.import_module(f"bench.stacks.{name}").create()
    return stack
