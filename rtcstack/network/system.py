"""This machine's network as one value a loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from rtcstack.engine import Address
from rtcstack.entropy import entropy
from rtcstack.network import interfaces, names, streams
from rtcstack.network.batched import BatchedUdp
from rtcstack.network.capabilities import Form, form_for
from rtcstack.network.monitor import AddressMonitor
from rtcstack.network.portable import PortableUdp
from rtcstack.network.sockets import udp_socket
from rtcstack.platform.values import (
    HostAddress,
    Listener,
    Stream,
    StreamSink,
    Udp,
    UdpOptions,
    UdpSink,
    Watch,
)

if TYPE_CHECKING:
    from rtcstack.network.multicast import Multicast

__all__ = ["SystemNetwork"]

_ANY = UdpOptions()


class SystemNetwork:
    """See `rtcstack.platform.Network`. It holds nothing of a loop while nothing is open.

    Args:
        form: how UDP sockets are driven; None for the best that the loop and the system can do. The portable
            one also reads the addresses now and then, as where the system does not tell of changes.
        make_socket: binds them; by default it is the system that does.
    """

    def __init__(
        self,
        form: Form | None = None,
        make_socket: Callable[[Address, UdpOptions], socket.socket] = udp_socket,
    ) -> None:
        self.form = form
        self.monitor = AddressMonitor(polls=form is Form.PORTABLE)
        self._make_socket = make_socket
        self._multicast: Multicast | None = None  # made for the first name that it is asked for

    def interfaces(self) -> list[HostAddress]:
        """See `rtcstack.platform.Network`."""
        return interfaces.interfaces()

    def watch(self, callback: Callable[[], None]) -> Watch:
        """See `rtcstack.platform.Network`."""
        return self.monitor.watch(callback)

    def local_address_for(self, remote: Address) -> str:
        """See `rtcstack.platform.Network`."""
        return interfaces.local_address_for(remote)

    def open_udp(self, local: Address, sink: UdpSink, options: UdpOptions = _ANY) -> Udp:
        """See `rtcstack.platform.Network`."""
        _refuse_seeds()
        loop = asyncio.get_running_loop()
        sock = self._make_socket(local, options)
        try:
            if (self.form or form_for(loop)) is Form.BATCHED:
                return BatchedUdp(loop, sock, sink)
            return PortableUdp(loop, sock, sink)
        except BaseException:
            sock.close()
            raise

    async def open_tcp(self, remote: Address, sink: StreamSink, *, local: Address | None = None) -> Stream:
        """See `rtcstack.platform.Network`."""
        _refuse_seeds()
        return await streams.connect(remote, sink, local)

    async def listen_tcp(
        self,
        local: Address,
        accept: Callable[[Stream], StreamSink],
        *,
        port_range: tuple[int, int] | None = None,
        shares_port: bool = False,
    ) -> Listener:
        """See `rtcstack.platform.Network`."""
        _refuse_seeds()
        return await streams.listen(local, accept, port_range, shares_port)

    async def resolve(self, name: str) -> list[str]:
        """See `rtcstack.platform.Network`; at most one address of each family."""
        if names.is_literal(name):
            return [name]
        if names.is_hidden(name):
            return [await self._names().resolve(name)]
        return await names.resolve(name)

    async def publish(self, address: str) -> str:
        """See `rtcstack.platform.Network`."""
        return await self._names().publish(address)

    def withdraw(self, name: str) -> None:
        """See `rtcstack.platform.Network`."""
        if self._multicast is not None:
            self._multicast.withdraw(name)

    def _names(self) -> Multicast:
        if self._multicast is None:
            from rtcstack.network.multicast import Multicast

            self._multicast = Multicast()
        return self._multicast


def _refuse_seeds() -> None:
    """What can be guessed must not protect anything on a real network."""
    if entropy().is_seeded:
        raise RuntimeError("entropy is seeded, which a virtual network alone may be used with")
