"""Which clock, entropy, workers and network count: those of the running event loop.

An event loop of this machine has the machine's, without any set-up. A loop that has its own (virtual
time) installs them, and all that is made within it works with them.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from rtcstack.platform.values import Clock, Entropy, Inspector, Jobs, Network

__all__ = ["Platform", "install", "installed", "one_for_loop", "uninstall"]

T = TypeVar("T")


class NetworkOf(Protocol):
    """Says which network whoever asks now is on."""

    def __call__(self) -> Network:
        """The network of the machine on which the running code stands."""


@dataclass(frozen=True, slots=True)
class Platform:
    """What a loop has of its own; None for this machine's."""

    clock: Clock | None = None
    entropy: Entropy | None = None
    jobs: Jobs | None = None
    network: NetworkOf | None = None
    inspector: Inspector | None = None
    identity: Callable[[], bytes] | None = None
    """Gives certificate and key, as PEM, of a connection that was given none; None for new ones each time."""


loops_with_their_own: dict[asyncio.AbstractEventLoop, Platform] = {}
"""Empty in a program that installs nothing: a look at it is all that this costs such a program."""


_Belongings = dict[tuple[Callable[..., Any], Network | None], Any]
_belongings: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Belongings] = weakref.WeakKeyDictionary()


def install(loop: asyncio.AbstractEventLoop, platform: Platform) -> None:
    """Have all that is made within a loop from now on work with this, until `uninstall`."""
    loops_with_their_own[loop] = platform


def uninstall(loop: asyncio.AbstractEventLoop) -> None:
    """The opposite of `install`, when the loop is closed. Harmless for a loop that has nothing."""
    loops_with_their_own.pop(loop, None)
    _belongings.pop(loop, None)


def installed() -> Platform | None:
    """What the running loop has of its own, or None: it has nothing, or there is no loop."""
    if not loops_with_their_own:
        return None
    loop = asyncio._get_running_loop()
    return None if loop is None else loops_with_their_own.get(loop)


def one_for_loop(make: Callable[[asyncio.AbstractEventLoop], T]) -> T:
    """What there is one of for each event loop, and in it for each machine on which code stands.

    It lives as long as the loop, or until `uninstall`; without the latter it must not keep the loop alive.

    Args:
        make: makes it for the running loop when it is first asked for.
    """
    loop = asyncio.get_running_loop()
    platform = loops_with_their_own.get(loop)
    machine = None if platform is None or platform.network is None else platform.network()
    belongings = _belongings.get(loop)
    if belongings is None:
        belongings = _belongings[loop] = {}
    found = belongings.get((make, machine))
    if found is None:
        found = belongings[make, machine] = make(loop)
    return cast(T, found)
