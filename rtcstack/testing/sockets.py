"""What stands for a socket on the virtual internet, where asyncio hands one around."""

from __future__ import annotations

import errno
import socket
from typing import Any

from rtcstack.engine import Address
from rtcstack.testing.host import Host
from rtcstack.testing.packets import Payload, family_of

__all__ = ["VirtualSocket", "named"]


class VirtualSocket:
    """A socket that has an address and no descriptor; the loop's own calls work with it.

    Args:
        host: whose.
        family: ``AF_INET`` or ``AF_INET6``.
        kind: ``SOCK_DGRAM`` or ``SOCK_STREAM``.
    """

    def __init__(self, host: Host, family: int, kind: int) -> None:
        self.host = host
        self.family = socket.AddressFamily(family)
        self.type = socket.SocketKind(kind)
        self.proto = 0
        self.local: Address | None = None
        self.remote: Address | None = None
        self._holds_port = False
        self._options: dict[tuple[int, int], Any] = {}

    @classmethod
    def of(cls, host: Host, local: Address, remote: Address | None = None, *, is_tcp: bool) -> VirtualSocket:
        """What stands for something that is open already."""
        family = socket.AF_INET6 if family_of(local[0]) == 6 else socket.AF_INET
        found = cls(host, family, socket.SOCK_STREAM if is_tcp else socket.SOCK_DGRAM)
        found.local, found.remote = local, remote
        return found

    def __repr__(self) -> str:
        return f"<VirtualSocket of {self.host.name!r}, {self.type.name}, {self.local}, {self.remote}>"

    @property
    def is_tcp(self) -> bool:
        """Whether it is a stream."""
        return self.type is socket.SOCK_STREAM

    def bind(self, address: Any) -> None:
        """Take an address and a port.

        Raises:
            OSError: it cannot be had.
        """
        if self.local is not None:
            raise OSError(errno.EINVAL, "it is bound")
        self.local = self.host.bind((address[0] or "0.0.0.0", address[1]), _nobody, is_tcp=self.is_tcp)
        self._holds_port = True

    def release(self) -> Address | None:
        """Give the port to who is going to use it."""
        if self._holds_port and self.local is not None:
            self._holds_port = False
            self.host.unbind(self.local, is_tcp=self.is_tcp)
        return self.local

    def connect(self, address: Any) -> None:
        """Say who the peer is; of a stream, the loop's ``sock_connect`` or ``create_connection`` connects.

        Raises:
            BlockingIOError: a stream would have to wait.
        """
        self.remote = (address[0], address[1])
        if self.is_tcp:
            raise BlockingIOError(errno.EINPROGRESS, "create_connection(sock=...) connects")

    def getsockname(self) -> Any:
        """Its address."""
        return named(self.local or ("::" if self.family == socket.AF_INET6 else "0.0.0.0", 0))

    def getpeername(self) -> Any:
        """The peer's.

        Raises:
            OSError: there is none.
        """
        if self.remote is None:
            raise OSError(errno.ENOTCONN, "it is not connected")
        return named(self.remote)

    def setsockopt(self, level: int, option: int, value: Any, *_: Any) -> None:
        """Remembered, and without effect."""
        self._options[level, option] = value

    def getsockopt(self, level: int, option: int, *_: Any) -> Any:
        """What was set; 0 if nothing was."""
        return self._options.get((level, option), 0)

    def setblocking(self, flag: bool) -> None:
        """It never blocks."""

    def settimeout(self, value: float | None) -> None:
        """It never blocks."""

    def gettimeout(self) -> float:
        """It never blocks."""
        return 0.0

    def listen(self, backlog: int = 128) -> None:
        """``create_server(sock=...)`` listens."""

    def fileno(self) -> int:
        """None: it is not of this machine."""
        return -1

    def close(self) -> None:
        """Give the port back, if nothing uses it."""
        self.release()


def _nobody(_destination: Address, _source: Address, _payload: Payload) -> None:
    """Who owns a port that is bound and not used yet."""


def named(address: Address) -> Any:
    """As asyncio tells addresses: those of IPv6 with a flow and a scope."""
    return (*address, 0, 0) if family_of(address[0]) == 6 else address
