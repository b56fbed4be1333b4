"""On which host the running code stands."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtcstack.testing.host import Host

__all__ = ["current_host", "enter", "leave"]

_standing: ContextVar[tuple[Host, ...]] = ContextVar("rtcstack.testing.host", default=())
"""The hosts that were entered, the innermost last. Tasks, callbacks and timers inherit it, as any context."""


def current_host() -> Host | None:
    """The host on which the running code stands; None if nobody has said."""
    hosts = _standing.get()
    return hosts[-1] if hosts else None


def enter(host: Host) -> None:
    """Stand on a host until `leave`."""
    _standing.set((*_standing.get(), host))


def leave(host: Host) -> None:
    """Stand where one stood before one entered.

    Raises:
        RuntimeError: another host was entered since.
    """
    hosts = _standing.get()
    if not hosts or hosts[-1] is not host:
        raise RuntimeError(f"{host!r} is left in another order than entered, or in another task")
    _standing.set(hosts[:-1])
