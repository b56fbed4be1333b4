"""Notices when this machine's addresses change.

Linux tells by a netlink socket at once; elsewhere the addresses are read every two seconds. One
monitor serves all connections of a loop, and has a socket or a timer as long as anybody listens.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable

from rtcstack.network.capabilities import open_netlink
from rtcstack.network.interfaces import all_addresses, read_anew
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

    __slots__ = ("_session", "callback")

    def __init__(self, session: _Session, callback: Callable[[], None]) -> None:
        self._session = session
        self.callback = callback

    def close(self) -> None:
        """See `rtcstack.platform.Watch`."""
        self._session.forget(self)


class AddressMonitor:
    """Tells whoever watches, from the loop, that the addresses have changed.

    It holds nothing that knows the loop, so that a loop ends with those who watch, closed or not.

    Args:
        polls: read them now and then, even where the system tells.
    """

    def __init__(self, *, polls: bool = False) -> None:
        self._polls = polls
        self._session: weakref.ref[_Session] | None = None

    @property
    def session(self) -> _Session | None:
        """What watches, while anybody does."""
        session = None if self._session is None else self._session()
        return session if session is not None and session.is_open else None

    def watch(self, callback: Callable[[], None]) -> _Watching:
        """Call back after each change, until the watch is closed."""
        session = self.session
        if session is None:
            session = _Session(asyncio.get_running_loop(), polls=self._polls)
            self._session = weakref.ref(session)
        return session.add(callback)

    def look(self) -> None:
        """Read the addresses now; tell, if they are others."""
        session = self.session
        if session is not None:
            session.look()


class _Session:
    """From the first who watches to the last: the loop and the watches keep it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, polls: bool) -> None:
        self._loop = loop
        self._watching: dict[_Watching, None] = {}
        self._known: frozenset[str] = frozenset()
        self._known = self._read()
        self.is_open = True
        self.timer: asyncio.TimerHandle | None = None
        self.netlink = None if polls else open_netlink(loop)
        if self.netlink is None:
            self.timer = loop.call_later(POLL_S, self._poll)
        else:
            loop.add_reader(self.netlink.fileno(), self._on_netlink)

    def add(self, callback: Callable[[], None]) -> _Watching:
        """See `AddressMonitor.watch`."""
        watching = _Watching(self, callback)
        self._watching[watching] = None
        return watching

    def forget(self, watching: _Watching) -> None:
        """The opposite of `add`; harmless when it is forgotten."""
        if watching in self._watching:
            del self._watching[watching]
            if not self._watching:
                self._close()

    def _close(self) -> None:
        self.is_open = False
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.netlink is not None:
            forget_socket(self._loop, self.netlink)
            self.netlink = None

    def _on_netlink(self) -> None:
        assert self.netlink is not None
        try:
            for _ in range(MAX_READS):
                self.netlink.recv(65_536)
        except OSError:
            pass  # all is read, or more was lost than matters: the addresses are read anew anyway
        if self.timer is None:
            self.timer = self._loop.call_later(SETTLE_S, self._settled)

    def _settled(self) -> None:
        self.timer = None
        self.look()

    def _poll(self) -> None:
        self.timer = self._loop.call_later(POLL_S, self._poll)
        self.look()

    def _read(self) -> frozenset[str]:
        """The addresses; the same as before while the system does not say."""
        try:
            return all_addresses()
        except OSError as exc:  # out of file descriptors, say
            logger.warning("this machine's addresses cannot be read: %s", exc)
            return self._known

    def look(self) -> None:
        """See `AddressMonitor.look`."""
        read_anew()
        now = self._read()
        if now == self._known:
            return
        logger.info("addresses gone: %s, new: %s", sorted(self._known - now), sorted(now - self._known))
        self._known = now
        for watching in list(self._watching):
            if watching in self._watching:  # an earlier one may have closed it
                watching.callback()
