"""Notices when this machine's addresses change.

Linux tells by a netlink socket at once; elsewhere the addresses are read every two seconds. One
monitor serves all connections of a loop, and has a socket or a timer as long as anybody listens.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from rtcstack.network.capabilities import open_netlink
from rtcstack.network.interfaces import all_addresses
from rtcstack.network.sockets import forget_socket

__all__ = ["AddressMonitor"]

logger = logging.getLogger("rtcstack.network")

POLL_S = 2.0
"""How often the addresses are read where the system does not tell of changes."""

SETTLE_S = 0.2
"""Changes come in heaps (an address goes, a link, another address comes): they are told once."""

MAX_READS = 64
"""Messages of the system that are read in one turn of the loop."""


class _Watching:
    """One callback; see `rtcstack.platform.Watch`."""

    __slots__ = ("_monitor", "callback")

    def __init__(self, monitor: AddressMonitor, callback: Callable[[], None]) -> None:
        self._monitor = monitor
        self.callback = callback

    def close(self) -> None:
        """See `rtcstack.platform.Watch`."""
        self._monitor.forget(self)


class AddressMonitor:
    """Tells whoever watches, from the loop, that the addresses have changed.

    Args:
        polls: read them now and then, even where the system tells.
    """

    def __init__(self, *, polls: bool = False) -> None:
        self._polls = polls
        self._loop: asyncio.AbstractEventLoop | None = None  # while somebody watches
        self._watching: list[_Watching] = []
        self._known: frozenset[str] = frozenset()
        self._netlink: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, callback: Callable[[], None]) -> _Watching:
        """Call back after each change, until the watch is closed."""
        watching = _Watching(self, callback)
        self._watching.append(watching)
        if len(self._watching) == 1:
            self._known = self._read()
            self._open(asyncio.get_running_loop())
        return watching

    def forget(self, watching: _Watching) -> None:
        """The opposite of `watch`; harmless when it is forgotten."""
        if watching in self._watching:
            self._watching.remove(watching)
            if not self._watching:
                self._close()

    def _open(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._netlink = None if self._polls else open_netlink(loop)
        if self._netlink is None:
            self._timer = loop.call_later(POLL_S, self._poll)
        else:
            loop.add_reader(self._netlink.fileno(), self._on_netlink)

    def _close(self) -> None:
        loop, self._loop = self._loop, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._netlink is not None:
            assert loop is not None
            forget_socket(loop, self._netlink)
            self._netlink = None

    def _on_netlink(self) -> None:
        assert self._netlink is not None
        assert self._loop is not None
        try:
            for _ in range(MAX_READS):
                self._netlink.recv(65_536)
        except OSError:
            pass  # all is read, or more was lost than matters: the addresses are read anew anyway
        if self._timer is None:
            self._timer = self._loop.call_later(SETTLE_S, self._settled)

    def _settled(self) -> None:
        self._timer = None
        self.look()

    def _poll(self) -> None:
        assert self._loop is not None
        self._timer = self._loop.call_later(POLL_S, self._poll)
        self.look()

    def _read(self) -> frozenset[str]:
        """The addresses; the same as before while the system does not say."""
        try:
            return all_addresses()
        except OSError as exc:  # out of file descriptors, say
            logger.warning("this machine's addresses cannot be read: %s", exc)
            return self._known

    def look(self) -> None:
        """Read the addresses now; tell, if they are others."""
        if not self._watching:
            return
        now = self._read()
        if now == self._known:
            return
        logger.info("addresses gone: %s, new: %s", sorted(self._known - now), sorted(now - self._known))
        self._known = now
        for watching in list(self._watching):
            if watching in self._watching:  # an earlier one may have closed it
                watching.callback()
