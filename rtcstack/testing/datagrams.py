"""A datagram transport of asyncio's kind on the virtual internet."""

from __future__ import annotations

import asyncio
import errno
from typing import Any

from rtcstack.engine import Address
from rtcstack.platform import Received
from rtcstack.testing.network import VirtualNetwork
from rtcstack.testing.sockets import VirtualSocket, named
from rtcstack.testing.udp import MAX_DATAGRAM_BYTES, VirtualUdp

__all__ = ["VirtualDatagramTransport"]


class VirtualDatagramTransport(asyncio.DatagramTransport):
    """See `asyncio.DatagramTransport`. Its protocol hears of each datagram by itself.

    Args:
        loop: whose.
        network: of the host that it is on.
        local: where it is bound.
        remote: whom alone it talks with; None for anybody.
        protocol: who takes what comes.

    Raises:
        OSError: the address cannot be had.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        network: VirtualNetwork,
        local: Address,
        remote: Address | None,
        protocol: asyncio.DatagramProtocol,
    ) -> None:
        super().__init__()
        self._loop = loop
        self._protocol = protocol
        self._remote = remote
        self._udp = VirtualUdp(network.host, local, self, empty_too=True)
        self._extra_info: dict[str, Any] = {
            "sockname": named(self._udp.sockname),
            "peername": None if remote is None else named(remote),
            "socket": VirtualSocket.of(network.host, self._udp.sockname, remote, is_tcp=False),
        }
        loop.call_soon(protocol.connection_made, self)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See `asyncio.BaseTransport.get_extra_info`."""
        return self._extra_info.get(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """See `asyncio.BaseTransport.set_protocol`."""
        assert isinstance(protocol, asyncio.DatagramProtocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """See `asyncio.BaseTransport.get_protocol`."""
        return self._protocol

    def is_closing(self) -> bool:
        """See `asyncio.BaseTransport.is_closing`."""
        return self._udp.is_closed

    def sendto(self, data: Any, addr: Any = None) -> None:
        """See `asyncio.DatagramTransport.sendto`. What is too long is told to `error_received`."""
        if len(data) > MAX_DATAGRAM_BYTES:
            error = OSError(errno.EMSGSIZE, "Message too long")
            self._loop.call_soon(self._protocol.error_received, error)
            return
        if addr is None:
            if self._remote is None:
                raise ValueError("no address, and the transport has no remote one")
            self._udp.send(bytes(data), self._remote)
        elif self._remote not in (None, tuple(addr[:2])):
            raise ValueError(f"the transport is for {self._remote} alone")
        else:
            self._udp.send(bytes(data), (addr[0], addr[1]))

    def get_write_buffer_size(self) -> int:
        """Nothing waits: what is too much is lost in the queue of the interface's link."""
        return 0

    def close(self) -> None:
        """See `asyncio.BaseTransport.close`."""
        if not self._udp.is_closed:
            self._udp.close()
            self._loop.call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        """See `asyncio.DatagramTransport.abort`."""
        self.close()

    def on_batch(self, batch: list[Received], now: float) -> None:
        """See `rtcstack.platform.UdpSink`."""
        for data, size, source, _ in batch:
            if self._remote not in (None, source):
                continue
            for start in range(0, len(data), size) if size else (0,):
                if self._udp.is_closed:
                    return
                try:
                    self._protocol.datagram_received(
                        data[start : start + size] if size else data, named(source)
                    )
                except Exception as error:  # the others of the batch come all the same
                    context = {
                        "message": "Exception where a datagram arrived",
                        "exception": error,
                        "transport": self,
                        "protocol": self._protocol,
                    }
                    self._loop.call_exception_handler(context)
