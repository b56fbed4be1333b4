"""Notices when this machine's addresses change.

Linux tells by a netlink socket at once; elsewhere the addresses are read every two seconds. One
monitor serves all connections of a loop, and lives as long as anybody listens.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import weakref
from collections.abc import Callable

from rtcstack.ice.interfaces import all_addresses

__all__ = ["NetworkMonitor"]

logger = logging.getLogger("rtcstack.ice.network")

POLL_S = 2.0
"""How often the addresses are read where the system does not tell of changes."""

SETTLE_S = 0.2
"""Changes come in heaps (an address goes, a link, another address comes): they are told once."""

_RTMGRP_LINK = 0x1
_RTMGRP_IPV4_IFADDR = 0x10
_RTMGRP_IPV6_IFADDR = 0x100

_of_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, NetworkMonitor] = weakref.WeakKeyDictionary()


class NetworkMonitor:
    """Tells its listeners, from the loop, that the addresses have changed."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._listeners: list[Callable[[], None]] = []
        self._known: frozenset[str] = frozenset()
        self._netlink: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def of_running_loop(cls) -> NetworkMonitor:
        """The monitor of the running loop."""
        loop = asyncio.get_running_loop()
        monitor = _of_loop.get(loop)
        if monitor is None:
            monitor = _of_loop[loop] = cls(loop)
        return monitor

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each change, until `forget`."""
        self._listeners.append(listener)
        if len(self._listeners) == 1:
            self._known = all_addresses()
            self._open()

    def forget(self, listener: Callable[[], None]) -> None:
        """The opposite of `listen`; harmless when it does not listen."""
        if listener in self._listeners:
            self._listeners.remove(listener)
            if not self._listeners:
                self._close()

    def _open(self) -> None:
        try:
            family = socket.AF_NETLINK
            netlink = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        except (AttributeError, OSError):
            self._timer = self._loop.call_later(POLL_S, self._poll)
            return
        try:
            netlink.bind((0, _RTMGRP_LINK | _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV6_IFADDR))
        except OSError:
            netlink.close()
            self._timer = self._loop.call_later(POLL_S, self._poll)
            return
        self._netlink = netlink
        self._loop.add_reader(netlink.fileno(), self._on_netlink)

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._netlink is not None:
            self._loop.remove_reader(self._netlink.fileno())
            self._netlink.close()
            self._netlink = None

    def _on_netlink(self) -> None:
        assert self._netlink is not None
        try:
            for _ in range(64):
                self._netlink.recv(65_536)
        except OSError:
            pass  # all is read, or more was lost than matters: the addresses are read anew anyway
        if self._timer is None:
            self._timer = self._loop.call_later(SETTLE_S, self._settled)

    def _settled(self) -> None:
        self._timer = None
        self.look()

    def _poll(self) -> None:
        self._timer = self._loop.call_later(POLL_S, self._poll)
        self.look()

    def look(self) -> None:
        """Read the addresses now; tell, if they are others."""
        now = all_addresses()
        if now == self._known:
            return
        logger.info("addresses gone: %s, new: %s", sorted(self._known - now), sorted(now - self._known))
        self._known = now
        for listener in list(self._listeners):
            listener()
