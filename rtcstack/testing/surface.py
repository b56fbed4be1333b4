"""asyncio's own network calls, on the virtual internet: of the host on which the code stands."""

from __future__ import annotations

import asyncio
import socket
import ssl as ssl_module
from asyncio import sslproto
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from rtcstack.engine import Address
from rtcstack.network import is_literal
from rtcstack.platform import StreamSink
from rtcstack.testing.datagrams import VirtualDatagramTransport
from rtcstack.testing.network import VirtualNetwork
from rtcstack.testing.packets import family_of
from rtcstack.testing.refusals import refuse
from rtcstack.testing.sockets import VirtualSocket
from rtcstack.testing.streams import VirtualServer, VirtualStreamTransport
from rtcstack.testing.tcp import TcpEnd, TcpListener

__all__ = ["Surface"]

_ANY = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}


class Surface:
    """The calls; what they stand on is the loop's `network`."""

    def network(self) -> VirtualNetwork:
        """The network of the host on which the running code stands."""
        raise NotImplementedError

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return cast("asyncio.AbstractEventLoop", self)

    def socket(self, family: int = socket.AF_INET, type: int = socket.SOCK_STREAM) -> VirtualSocket:  # noqa: A002
        """A socket for the ``sock`` argument of the loop's calls, on the host on which the code stands."""
        return VirtualSocket(self.network().host, family, type)

    # -- names ----------------------------------------------------------------------------------

    async def getaddrinfo(
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 -- asyncio's name
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """See `asyncio.loop.getaddrinfo`. Raises `socket.gaierror` for what the internet does not know."""
        number = int(port or 0)
        if host is None or host == "":
            addresses = ["0.0.0.0", "::"] if flags & socket.AI_PASSIVE else ["127.0.0.1", "::1"]
        else:
            addresses = await self.network().resolve(host.decode() if isinstance(host, bytes) else host)
        found: list[Any] = []
        for address in addresses:
            of = socket.AF_INET6 if family_of(address) == 6 else socket.AF_INET
            if family in (0, of):
                sockaddr = (address, number, 0, 0) if of == socket.AF_INET6 else (address, number)
                found.append((of, type or socket.SOCK_STREAM, proto, "", sockaddr))
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, f"{host} has no address of that family")
        return found

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        """See `asyncio.loop.run_in_executor`: `socket`'s questions for names are answered by the internet.

        Raises:
            RealWaitError: anything else; threads take real time.
        """
        if func is socket.getaddrinfo:
            host, port, *rest = args
            names = ("family", "type", "proto", "flags")
            return self._loop.create_task(
                self.getaddrinfo(host, port, **dict(zip(names, rest, strict=False)))
            )
        if func is socket.gethostbyname:
            return self._loop.create_task(self._host_by_name(args[0]))
        if isinstance(func, partial) and getattr(func.func, "__name__", "") == "run" and func.args:
            func = func.args[0]  # asyncio.to_thread: a context's run of it
        name = getattr(func, "__qualname__", repr(func))
        return refuse(f"run_in_executor({name})", "call it as it is, or submit it to the loop's jobs")

    async def _host_by_name(self, name: str) -> str:
        return str((await self.getaddrinfo(name, 0, family=socket.AF_INET))[0][4][0])

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
        """See `asyncio.loop.getnameinfo`: the address itself."""
        return str(sockaddr[0]), str(sockaddr[1])

    async def _addresses(self, given: tuple[Any, ...], family: int) -> list[Address]:
        if given[0] and is_literal(given[0]):
            return [(given[0], int(given[1]))]
        entries = await self.getaddrinfo(given[0], given[1], family=family, flags=socket.AI_PASSIVE)
        return [entry[4][:2] for entry in entries]

    async def _made(self, transport: asyncio.BaseTransport) -> None:
        """connection_made comes first; whoever is cancelled meanwhile gets no transport to close."""
        try:
            await asyncio.sleep(0)
        except BaseException:
            transport.close()
            raise

    # -- datagrams ------------------------------------------------------------------------------

    async def create_datagram_endpoint(
        self,
        protocol_factory: Callable[[], asyncio.DatagramProtocol],
        local_addr: Any = None,
        remote_addr: Any = None,
        *,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        reuse_port: bool | None = None,
        allow_broadcast: bool | None = None,
        sock: Any = None,
    ) -> Any:
        """See `asyncio.loop.create_datagram_endpoint`."""
        network = self.network()
        remote: Address | None = None
        if sock is not None:
            _must_be_virtual(sock)
            network = VirtualNetwork(sock.host)
            local, remote = sock.release(), sock.remote
            local = local or (_ANY[sock.family], 0)
        else:
            if remote_addr is not None:
                remote = (await self._addresses(remote_addr, family))[0]
            if local_addr is not None:
                local = (await self._addresses(local_addr, family))[0]
            else:
                is_six = family == socket.AF_INET6 or (remote is not None and family_of(remote[0]) == 6)
                local = (_ANY[socket.AF_INET6 if is_six else socket.AF_INET], 0)
        if remote is not None and local[0] in _ANY.values():
            local = (network.local_address_for(remote), local[1])
        protocol = protocol_factory()
        transport = VirtualDatagramTransport(self._loop, network, local, remote, protocol)
        await self._made(transport)
        return transport, protocol

    # -- streams --------------------------------------------------------------------------------

    async def create_connection(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: Any = None,
        port: Any = None,
        *,
        ssl: Any = None,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        sock: Any = None,
        local_addr: Any = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        happy_eyeballs_delay: float | None = None,
        interleave: int | None = None,
        all_errors: bool = False,
    ) -> Any:
        """See `asyncio.loop.create_connection`. Addresses are tried one after the other."""
        network, local = self.network(), None
        if sock is not None:
            _must_be_virtual(sock)
            network, local = VirtualNetwork(sock.host), sock.release()
            remotes = [sock.remote] if sock.remote is not None else []
        else:
            remotes = await self._addresses((host or "localhost", port), family)
            if local_addr is not None:
                local = (await self._addresses(local_addr, family))[0]
        made: list[tuple[VirtualStreamTransport, asyncio.BaseProtocol, asyncio.BaseProtocol]] = []
        waiter: asyncio.Future[None] | None = self._loop.create_future() if ssl else None

        def sink_of(end: TcpEnd) -> StreamSink:
            protocol = inner = protocol_factory()
            if ssl:
                protocol = self._tls(
                    inner,
                    ssl,
                    waiter,
                    server_hostname or (host if isinstance(host, str) else None),
                    ssl_handshake_timeout,
                    ssl_shutdown_timeout,
                )
            made.append((VirtualStreamTransport(self._loop, end, protocol), protocol, inner))
            return made[-1][0]

        error: OSError = OSError("no address")
        for remote in remotes:
            try:
                await network.connect(remote, sink_of, local=local)
                break
            except OSError as exc:
                error = exc
        else:
            raise error
        transport, protocol, inner = made[0]
        if waiter is None:
            await self._made(transport)
            return transport, inner
        try:
            await waiter
        except BaseException:
            transport.close()
            raise
        return cast("Any", protocol)._app_transport, inner

    def _tls(
        self,
        protocol: asyncio.BaseProtocol,
        context: Any,
        waiter: asyncio.Future[None] | None,
        server_hostname: str | None,
        handshake_timeout: float | None,
        shutdown_timeout: float | None,
    ) -> asyncio.BaseProtocol:
        if context is True:
            context = ssl_module.create_default_context()
        made: Any = sslproto.SSLProtocol(
            self._loop,
            cast("Any", protocol),
            context,
            cast("Any", waiter),
            server_side=server_hostname is None,
            server_hostname=server_hostname,
            ssl_handshake_timeout=cast("Any", handshake_timeout),
            ssl_shutdown_timeout=cast("Any", shutdown_timeout),
        )
        return cast("asyncio.BaseProtocol", made)

    async def create_server(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: Any = None,
        port: Any = None,
        *,
        family: int = 0,
        flags: int = 0,
        sock: Any = None,
        backlog: int = 100,
        ssl: Any = None,
        reuse_address: bool | None = None,
        reuse_port: bool | None = None,
        keep_alive: bool | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
    ) -> Any:
        """See `asyncio.loop.create_server`. It listens from the beginning."""
        network = self.network()
        locals_: list[Address] = []
        if sock is not None:
            _must_be_virtual(sock)
            network = VirtualNetwork(sock.host)
            locals_ = [sock.release() or (_ANY[sock.family], 0)]
        else:
            for name in host if isinstance(host, (list, tuple)) else [host]:
                locals_ += await self._addresses((name, port or 0), family)

        def accept(end: TcpEnd) -> StreamSink:
            protocol = protocol_factory()
            if ssl is not None:
                protocol = self._tls(protocol, ssl, None, None, ssl_handshake_timeout, ssl_shutdown_timeout)
            return VirtualStreamTransport(self._loop, end, protocol, server)

        def listeners(_: VirtualServer) -> list[TcpListener]:
            return [TcpListener(network.host, local, accept) for local in locals_]

        server = VirtualServer(self._loop, listeners)
        server.listen(lambda made: VirtualSocket.of(network.host, made.sockname, is_tcp=True))
        return server

    async def sock_connect(self, sock: Any, address: Any) -> None:
        """See `asyncio.loop.sock_connect`: of a stream, ``create_connection`` with it connects."""
        _must_be_virtual(sock)
        sock.remote = (await self._addresses(address, sock.family))[0]


def _must_be_virtual(sock: Any) -> None:
    if not isinstance(sock, VirtualSocket):
        raise TypeError(f"{sock!r} is a socket of the real world; make one by the virtual loop's socket()")
