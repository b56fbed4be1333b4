"""The event loop that a connection lives on; calls from elsewhere are refused.

Nothing of a connection has locks: calls of two threads at once would tear it.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from threading import get_ident
from typing import Concatenate, ParamSpec, TypeVar

from rtcstack.errors import InvalidStateError

__all__ = ["Home", "Resident", "at_home"]

P = ParamSpec("P")
R = TypeVar("R")


class Home:
    """A loop: the first that runs when the connection is made or used.

    Attributes:
        loop: the loop; None before.
        thread: where it ran when it was last looked at; 0 before. For what is called too often to ask
            each time which loop runs.
        is_closed: whether the connection is closed ([[IsClosed]]).
    """

    __slots__ = ("is_closed", "loop", "thread")

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = asyncio._get_running_loop()
        self.thread = 0 if self.loop is None else get_ident()
        self.is_closed = False

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


H = TypeVar("H", bound=Resident)


def at_home(method: Callable[Concatenate[H, P], R]) -> Callable[Concatenate[H, P], R]:
    """A method that is refused when it is called from elsewhere; see `Home.check`."""
    name = method.__name__

    @functools.wraps(method)
    def checked(self: H, /, *args: P.args, **kwargs: P.kwargs) -> R:
        self._home.check(name)
        return method(self, *args, **kwargs)

    return checked
