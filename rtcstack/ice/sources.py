"""Where an agent's candidates come from: opens sockets, resolves and connects to servers.

What is asked over them stands in `engine/gathering.py`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from rtcstack.clock import monotonic
from rtcstack.engine import Address
from rtcstack.ice.carriers import Carrier, HostCarrier, RelayCarrier, StreamCarrier, StreamOwner
from rtcstack.ice.config import GatherPolicy, IceConfig, IceServer
from rtcstack.ice.engine import IceEngine
from rtcstack.ice.engine.events import RelayMoved
from rtcstack.ice.engine.generation import Generation
from rtcstack.ice.engine.pair import Path
from rtcstack.ice.interfaces import host_addresses, udp_options
from rtcstack.ice.mux import UdpMux
from rtcstack.ice.tcp import TcpListener, TcpOwner, listen_tcp
from rtcstack.network.tls import default_context, open_tls
from rtcstack.platform import HostAddress, Network, Stream

__all__ = ["Sources", "SourcesOwner"]

logger = logging.getLogger("rtcstack.ice.gather")

HEAD_START_S = 0.3
"""How long a TURN server's address of one family is waited for before that of the other is asked
(RFC 8305 gives a connection 0.25 s)."""

STREAM_HEAD_START_S = 2.0
"""The same for a connection over TCP, with TLS on top."""

MAX_REDIRECTIONS = 3
"""Times that a TURN server may send us to another one."""


class SourcesOwner(StreamOwner, TcpOwner, Protocol):
    """What is asked of the agent.

    Attributes:
        engine: that is fed.
        config: its settings.
        relay_news: set whenever a relay's server has sent something: of whoever waits for that.
    """

    engine: IceEngine
    config: IceConfig
    relay_news: set[asyncio.Event]

    @property
    def network(self) -> Network:
        """The network that the agent is on."""

    async def publish(self, address: str) -> str:
        """A name for one of our addresses.

        Raises:
            OSError: there is none; see `Network.publish`.
        """

    def keep(self, path: int, carrier: Carrier) -> None:
        """A carrier was opened for this path."""

    def wake(self) -> None:
        """Something may have happened inside the engine: tell it from the loop, soon."""


class Sources:
    """Feeds one generation's gathering.

    Args:
        agent: whose engine is fed.
        generation: which.
    """

    def __init__(self, agent: SourcesOwner, generation: Generation) -> None:
        self._agent = agent
        self._engine = agent.engine
        self._config = agent.config
        self._network = agent.network
        self._generation = generation
        self._redirections: dict[str, int] = {}

    def begin(self) -> bool:
        """Open the host candidates' sockets.

        Returns:
            Whether there is more to do, for which `ask` is to be run.
        """
        options = self._config.options
        hides = options.hide_host_addresses and options.udp
        if not options.udp:
            pass
        elif self._config.options.udp_mux is not None:
            self._attach(self._config.options.udp_mux)
            hides = False
        elif not hides:
            for preference, address in enumerate(self._addresses):
                self._open(address, preference, None)
        return hides or bool(self._config.servers) or bool(options.tcp)

    @property
    def _addresses(self) -> list[HostAddress]:
        return [] if self._config.policy is GatherPolicy.RELAY else self._usual_addresses

    @property
    def _usual_addresses(self) -> list[HostAddress]:
        try:
            return host_addresses(self._network, self._config)
        except OSError as exc:  # out of file descriptors, say
            logger.warning("this machine's addresses cannot be read: %s", exc)
            return []

    def _open(self, address: HostAddress, preference: int, name: str | None) -> None:
        try:
            carrier = HostCarrier(self._agent, self._network, (address.host, 0), udp_options(self._config))
        except OSError as exc:
            # an address that went away, that the sandbox does not let us use, or no port is free
            logger.warning("no socket on %s: %s", address.host, exc)
            return
        local = carrier.udp.sockname
        path = self._engine.add_socket(
            self._generation, local, preference, monotonic(), interface=address.interface, name=name
        )
        carrier.path = path.id
        self._agent.keep(path.id, carrier)

    def _attach(self, mux: UdpMux) -> None:
        """Use the sockets that are shared with other connections."""
        wanted = {a.host for a in self._addresses}
        for preference, sock in enumerate(s for s in mux.sockets if s.address.host in wanted):
            local = sock.udp.sockname
            path = self._engine.add_socket(
                self._generation, local, preference, monotonic(), interface=sock.address.interface
            )
            try:
                self._agent.keep(path.id, sock.attach(self._agent, path.id, self._generation.ufrag))
            except OSError as exc:
                logger.warning("no place on the shared port: %s", exc)
                self._engine.lose_path(path.id, str(exc), monotonic())

    async def _open_hidden(self) -> None:
        """The same with names that stand for the addresses; without multicast, with none at all."""
        for preference, address in enumerate(self._addresses):
            try:
                name = await self._agent.publish(address.host)
            except OSError as exc:
                logger.warning("no name for an address, which is left out: %s", exc)
                return
            if not self._is_over:
                self._open(address, preference, name)

    async def ask(self) -> None:
        """Ask all servers, at the same time."""
        options = self._config.options
        if options.hide_host_addresses and options.udp_mux is None and options.udp:
            await self._open_hidden()
        if options.tcp:
            await self._open_tcp()
        self._agent.wake()
        paths = list(self._generation.gathering.paths)
        await asyncio.gather(*(self._ask(server, paths) for server in self._config.servers))

    async def _open_tcp(self) -> None:
        """TCP host candidates; where addresses are hidden there are none."""
        options = self._config.options
        if options.hide_host_addresses:
            return
        for preference, address in enumerate(self._addresses):
            for kind in options.tcp:
                if self._is_over:
                    return
                if kind == "active":
                    self._add_tcp((address.host, 0), preference, kind, address.interface)
                elif kind == "passive" and options.tcp_mux is not None:
                    for place in options.tcp_mux.listeners:
                        if place.address.host == address.host:
                            self._listen(place, preference, kind)
                else:
                    try:
                        place = await listen_tcp(
                            self._network,
                            address,
                            port=0,
                            port_range=options.port_range,
                            is_own=True,
                            shares_port=kind == "so",
                        )
                    except OSError as exc:
                        logger.warning("nothing listens on %s: %s", address.host, exc)
                        continue
                    if self._is_over:
                        place.close()
                        return
                    self._listen(place, preference, kind)

    def _listen(self, place: TcpListener, preference: int, kind: str) -> None:
        path = self._add_tcp(place.sockname, preference, kind, place.address.interface)
        try:
            self._agent.keep(path.id, place.attach(self._agent, path.id, self._generation.ufrag))
        except OSError as exc:
            logger.warning("no place on the shared port: %s", exc)
            self._engine.lose_path(path.id, str(exc), monotonic())

    def _add_tcp(self, address: Address, preference: int, kind: str, interface: str) -> Path:
        return self._engine.add_socket(
            self._generation,
            address,
            preference,
            monotonic(),
            transport="tcp",
            tcp_type=kind,
            interface=interface,
        )

    @property
    def _is_filtered(self) -> bool:
        options = self._config.options
        return bool(options.bind_addresses or options.interface_filter or options.address_filter)

    @property
    def _is_over(self) -> bool:
        return self._engine.generation(self._generation.ufrag) is not self._generation

    def _fail(self, server: IceServer, reason: str) -> None:
        if not self._is_over:
            self._generation.gathering.report_error(server, None, 701, reason)

    async def _ask(self, server: IceServer, paths: list[Path]) -> None:
        """One server; every failure is reported, and none is raised."""
        try:
            async with asyncio.timeout(self._config.gather_timeout_s):
                addresses = await self._resolve(server)
                if server.scheme.is_turn:
                    await self._ask_turn(server, addresses)
                else:
                    self._ask_stun(server, addresses, paths)
        except TimeoutError:
            self._fail(server, "the server did not answer")
        except (OSError, ValueError) as exc:
            self._fail(server, str(exc) or type(exc).__name__)
        self._agent.wake()

    async def _resolve(self, server: IceServer) -> list[Address]:
        """A server's addresses, at most one of each family."""
        found: dict[bool, Address] = {}
        for host in await self._network.resolve(server.host):
            found.setdefault(":" in host, (host, server.port))
        return list(found.values())

    def _usable(self, addresses: list[Address]) -> list[Address]:
        config = self._config
        return [a for a in addresses if (config.use_ipv6 if ":" in a[0] else config.use_ipv4)]

    def _ask_stun(self, server: IceServer, addresses: list[Address], paths: list[Path]) -> None:
        if server.scheme.is_secure:
            raise OSError("STUN over TLS shows no address that UDP could use")
        if self._is_over:
            return
        now = monotonic()
        for address in self._usable(addresses):
            for path in paths:
                if path.transport == "udp" and (":" in path.address[0]) is (":" in address[0]):
                    self._generation.gathering.queries.ask(server, path, address, now)

    async def _ask_turn(self, server: IceServer, addresses: list[Address]) -> None:
        if server.scheme.is_secure and server.transport == "udp":
            raise OSError("TURN over DTLS is not supported: use ?transport=tcp")
        if server.transport == "udp" and not self._config.options.udp:
            raise OSError("UDP is turned off in the settings")
        usable = self._usable(addresses)
        if not usable:
            raise OSError("the server has no address of a family that is used here")
        errors: list[OSError] = []
        for number, address in enumerate(usable):
            is_last = number == len(usable) - 1
            try:
                async with asyncio.timeout(None if is_last else STREAM_HEAD_START_S):
                    await self._relay(server, address)
            except TimeoutError:
                if is_last:
                    raise
                errors.append(OSError(f"{address[0]} did not answer"))
            except OSError as exc:
                errors.append(exc)
            else:
                if is_last or server.transport != "udp" or await self._has_relay(address):
                    return
                # That a packet can be sent somewhere says nothing: the other family is asked, too.
        if len(errors) == len(usable):
            raise errors[0]

    async def _has_relay(self, server: Address) -> bool:
        """Whether a server gives an address before it is time to ask at its other one."""
        news = asyncio.Event()
        self._agent.relay_news.add(news)
        try:
            async with asyncio.timeout(min(HEAD_START_S, self._config.gather_timeout_s / 3)):
                while not self._is_over and not self._is_relayed_by(server):
                    await news.wait()
                    news.clear()
        except TimeoutError:
            return False
        finally:
            self._agent.relay_news.discard(news)
        return True

    def _is_relayed_by(self, server: Address) -> bool:
        relays = [path.relay for path in self._generation.gathering.bases if path.server == server]
        return any(relay is not None and relay.relayed is not None for relay in relays)

    async def _relay(self, server: IceServer, address: Address) -> None:
        if server.transport == "udp":
            self._relay_udp(server, address)
        else:
            await self._relay_stream(server, address)
        self._agent.wake()  # what is to be asked leaves now, whatever is waited for next

    def _relay_udp(self, server: IceServer, address: Address) -> None:
        if self._is_over:
            return
        local = (self._local_for(address), 0)
        carrier = RelayCarrier(self._agent, self._network, local, udp_options(self._config))
        path = self._engine.add_socket(self._generation, carrier.udp.sockname, 0, monotonic(), to_relay=True)
        carrier.path = path.id
        self._agent.keep(path.id, carrier)
        self._ask_relay(server, path, address)

    def _ask_relay(self, server: IceServer, path: Path, address: Address) -> None:
        """Ask for an allocation; where this machine uses both IP versions, for an address of each."""
        versions = {":" in a.host for a in self._usual_addresses if not a.is_loopback}
        both = len(versions) == 2
        self._generation.gathering.relays.ask(server, path, address, monotonic(), both=both)

    def _local_for(self, server: Address) -> str:
        """The address from which a server is asked: the system's choice, within the filters."""
        chosen = self._network.local_address_for(server)
        wanted = [
            a.host
            for a in host_addresses(self._network, self._config)
            if (":" in a.host) is (":" in server[0])
        ]
        if chosen in wanted or not wanted or chosen.startswith("127.") or chosen == "::1":
            return chosen
        return wanted[0]

    async def _relay_stream(self, server: IceServer, address: Address) -> None:
        local = (self._local_for(address), 0) if self._is_filtered else None
        carrier = StreamCarrier(self._agent, address)
        if server.scheme.is_secure:
            context = self._config.options.tls_context or default_context()
            stream: Stream = await open_tls(
                self._network, address, carrier, context, server.host, local=local
            )
        else:
            stream = await self._network.open_tcp(address, carrier, local=local)
        carrier.stream = stream
        if self._is_over:
            carrier.close()
            return
        path = self._engine.add_socket(
            self._generation, stream.sockname, 0, monotonic(), transport="tcp", to_relay=True
        )
        carrier.path = path.id
        self._agent.keep(path.id, carrier)
        self._ask_relay(server, path, address)

    async def follow(self, moved: RelayMoved) -> None:
        """A TURN server wants another one to be asked."""
        server = moved.server
        times = self._redirections[server.url] = self._redirections.get(server.url, 0) + 1
        try:
            if times > MAX_REDIRECTIONS:
                raise OSError("the server sends us from one to the next")
            async with asyncio.timeout(self._config.gather_timeout_s):
                await self._relay(server, moved.address)
        except TimeoutError:
            self._fail(server, "the server did not answer")
        except (OSError, ValueError) as exc:
            self._fail(server, str(exc) or type(exc).__name__)
        self._generation.gathering.relays.followed()
        self._agent.wake()
