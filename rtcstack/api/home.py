"""The event loop that a connection lives on; calls from elsewhere are refused.

Nothing of a connection has locks: calls of two threads at once would tear it.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping
from threading import get_ident
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from rtcstack.errors import InvalidStateError

__all__ = ["Home", "Resident", "Tracer", "at_home", "home_of"]

P = ParamSpec("P")
R = TypeVar("R")


class Tracer(Protocol):
    """Hears of what an application calls on one connection, and on its channels, senders and receivers."""

    def call(
        self,
        target: Resident,
        name: str,
        arguments: tuple[Any, ...],
        keywords: Mapping[str, Any],
        method: Callable[[], R],
    ) -> R:
        """A method is called: run it, and give or raise what it does.

        Args:
            target: whose method it is.
            name, arguments, keywords: of the call.
            method: the call itself.
        """


class Home:
    """A loop: the first that runs when the connection is made or used.

    Attributes:
        loop: the loop; None before.
        thread: where it ran when it was last looked at; 0 before. For what is called too often to ask
            each time which loop runs.
        is_closed: whether the connection is closed ([[IsClosed]]).
        tracer: hears of the calls; None for nobody.
    """

    __slots__ = ("is_closed", "loop", "thread", "tracer")

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = asyncio._get_running_loop()
        self.thread = 0 if self.loop is None else get_ident()
        self.is_closed = False
        self.tracer: Tracer | None = None

    def check(self, name: str) -> None:
        """Refuse what comes from elsewhere.

        Without any running loop it is taken for granted that the thread is the right one.

        Raises:
            InvalidStateError: the loop runs in another thread, or another loop runs in this one.
        """
        running = asyncio._get_running_loop()
        loop = self.loop
        if running is None and loop is None:
            return
        if running is loop:
            self.thread = get_ident()
        elif loop is None:
            self.loop, self.thread = running, get_ident()
        elif running is not None:
            raise InvalidStateError(
                f"{name}: this connection belongs to another event loop than the one that runs here"
            )
        else:
            self._check_idle(name, loop)

    def check_end(self, name: str) -> bool:
        """The same for what closes, which is possible wherever the loop does not run.

        Returns:
            Whether its loop runs here: otherwise nothing can be waited for.

        Raises:
            InvalidStateError: the loop runs in another thread.
        """
        loop = self.loop
        if loop is None:
            return False
        if asyncio._get_running_loop() is loop:
            return True
        self._check_idle(name, loop)
        return False

    @staticmethod
    def _check_idle(name: str, loop: asyncio.AbstractEventLoop) -> None:
        if loop.is_running():
            raise InvalidStateError(
                f"{name}: this connection's event loop runs in another thread; use its "
                "call_soon_threadsafe, or asyncio.run_coroutine_threadsafe"
            )


class Resident:
    """An object of a connection: its methods marked `at_home` are for its event loop's thread."""

    _home: Home


def home_of(resident: Resident) -> Home:
    """Where an object of a connection lives."""
    return resident._home


H = TypeVar("H", bound=Resident)


def at_home(method: Callable[Concatenate[H, P], R]) -> Callable[Concatenate[H, P], R]:
    """A method that is refused when it is called from elsewhere; see `Home.check`. The tracer hears of it."""
    name = method.__name__

    @functools.wraps(method)
    def checked(self: H, /, *args: P.args, **kwargs: P.kwargs) -> R:
        home = self._home
        home.check(name)
        if home.tracer is None:
            return method(self, *args, **kwargs)
        return home.tracer.call(self, name, args, kwargs, lambda: method(self, *args, **kwargs))

    return checked
