"""The agent's shell on a virtual internet: which network it is on, slow servers, streams, names, ports."""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rtcstack.clock import monotonic
from rtcstack.config import IceSettings
from rtcstack.engine import Address, Run
from rtcstack.ice import (
    GatheringState,
    IceConfig,
    IceServer,
    IceState,
    TcpMux,
    UdpMux,
    parse_server_uri,
)
from rtcstack.ice.carriers import MAX_STREAM_BYTES, RelayCarrier, StreamCarrier
from rtcstack.ice.config import GatherPolicy
from rtcstack.ice.sources import HEAD_START_S, STREAM_HEAD_START_S
from rtcstack.ice.stun import Attribute, Class, Method, encode, encode_address
from rtcstack.ice.tcp import CLAIM_S, MAX_WAITING_BYTES, TcpCarrier
from rtcstack.ice.turn.framing import TurnFraming
from rtcstack.network import network
from rtcstack.network.tls import TlsStream
from rtcstack.platform import Listener, Stream, UdpOptions
from rtcstack.testing import Host, Internet, Nat, Rule, TurnServer, run
from rtcstack.testing.identities import IDENTITIES
from tests.support.iceagents import Observer, connect, start

RELAY = "198.51.100.1"
TURN = parse_server_uri(f"turn:{RELAY}", TurnServer.USERNAME, TurnServer.PASSWORD)


def standing(host: Host, config: IceConfig) -> Observer:
    """An agent on a host, which is where it is first used."""
    with host:
        observer = Observer(config)
        assert observer.agent.network is network()
    return observer


@asynccontextmanager
async def on(
    a: Host, b: Host, mine: IceConfig, theirs: IceConfig
) -> AsyncIterator[tuple[Observer, Observer]]:
    """An agent on each host; at the end nothing is left open on either."""
    one, other = standing(a, mine), standing(b, theirs)
    one.other, other.other = other, one
    try:
        yield one, other
    finally:
        await one.agent.close()
        await other.agent.close()
        await asyncio.sleep(1)  # for the streams' last packets
    assert a.open_ports == b.open_ports == []
    assert a.connections == b.connections == {}
    assert a.local_names == b.local_names == {}


async def echo(a: Observer, b: Observer) -> None:
    """Packets both ways."""
    for sender, receiver in ((a, b), (b, a)):
        receiver.data.clear()
        sent = [b"\x80" + bytes((i,)) * 500 for i in range(20)]
        sender.agent.send_runs([Run(b"".join(sent), 501)])
        await receiver.until(lambda r=receiver: len(r.data) == 20)
        assert receiver.data == sent


def asks(*servers: IceServer, relay_only: bool = False, **options: Any) -> IceConfig:
    policy = GatherPolicy.RELAY if relay_only else GatherPolicy.ALL
    return IceConfig(servers=servers, policy=policy, options=IceSettings(**options))


def has_relay(observer: Observer) -> bool:
    return any(c.type == "relay" for c in observer.agent.local_candidates)


def test_an_agent_stays_on_the_host_where_it_was_first_used() -> None:
    internet = Internet(seed=1)
    alice, bob, carol = (internet.add_host(name) for name in ("alice", "bob", "carol"))

    async def main() -> None:
        async with on(alice, bob, IceConfig(), IceConfig()) as (a, b):
            with carol:
                await connect(a, b)
                assert {c.address for c in a.agent.local_candidates} == set(alice.addresses())
                assert {c.address for c in b.agent.local_candidates} == set(bob.addresses())
                for each in (a, b):
                    each.agent.restart()
                await connect(a, b)
                await echo(a, b)
            assert carol.open_ports == []

    run(main(), internet=internet)


def test_a_relay_is_the_only_way() -> None:
    internet = Internet(seed=2)
    server = TurnServer(internet, RELAY)
    nats = [Nat(internet, mapping=Rule.ADDRESS_AND_PORT) for _ in range(2)]
    alice, bob = (internet.add_host(name, behind=nat) for name, nat in zip("ab", nats, strict=True))

    async def main() -> None:
        async with on(alice, bob, asks(TURN), asks(TURN)) as (a, b):
            await connect(a, b)
            await echo(a, b)
            assert a.agent.selected_pair is not None
            assert a.agent.selected_pair.local.type == "relay"
            assert server.relayed >= 40
            assert a.errors == b.errors == []
        assert server.allocations == 0, "given back at the end"

    run(main(), internet=internet)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("peer", ["192.0.2.50", "2001:db8::50"])
def test_relays_of_both_ip_versions_come_from_one_server(peer: str, stream: bool) -> None:
    """Whichever version the peer has, there is a relay for it."""
    internet = Internet(seed=13)
    server = TurnServer(internet, RELAY, also="2001:db8::7")
    server.listen_tcp()
    alice = internet.add_host("alice", "192.0.2.1", "2001:db8::1")
    bob = internet.add_host("bob", peer)
    url = f"turn:{RELAY}?transport={'tcp' if stream else 'udp'}"
    turn = parse_server_uri(url, TurnServer.USERNAME, TurnServer.PASSWORD)

    async def main() -> None:
        async with on(alice, bob, asks(turn, relay_only=True), IceConfig()) as (a, b):
            await connect(a, b)
            await echo(a, b)  # by indications
            await echo(a, b)  # by the channel
            relays = [c for c in a.agent.local_candidates if c.type == "relay"]
            assert [c.address for c in relays] == [RELAY, "2001:db8::7"]
            assert len({c.priority for c in relays}) == len({c.foundation for c in relays}) == 2
            pair = a.agent.selected_pair
            assert pair is not None
            assert pair.local.address == (RELAY if "." in peer else "2001:db8::7")
            assert server.relayed >= 40
            assert a.errors == []
            await asyncio.sleep(700)  # both are refreshed
            await echo(a, b)
            assert server.allocations == 1
        assert server.allocations == 0
        server.close()
        await asyncio.sleep(1)

    run(main(), internet=internet)


def test_a_machine_with_one_ip_version_asks_for_a_relay_of_its_server_s() -> None:
    internet = Internet(seed=14)
    server = TurnServer(internet, RELAY, also="2001:db8::7")
    alice, bob = internet.add_host("alice"), internet.add_host("bob")

    async def main() -> None:
        async with on(alice, bob, asks(TURN, relay_only=True), IceConfig()) as (a, b):
            await connect(a, b)
            assert [c.address for c in a.agent.local_candidates] == [RELAY]
            assert server.allocations == 1

    run(main(), internet=internet)


# -- servers -----------------------------------------------------------------------------------------


def gathering_time(
    config: IceConfig, prepare: Callable[[Internet], Any] = lambda _: None
) -> tuple[Observer, float | None, float]:
    """Gather on a host with both families: the agent, after what time it had a relay, and was done."""
    internet = Internet(seed=3)
    host = internet.add_host("host", "192.0.2.1", "2001:db8::1")
    prepared = prepare(internet)

    async def main() -> tuple[Observer, float | None, float]:
        listener = None if prepared is None else await prepared
        began, found = monotonic(), None
        observer = standing(host, config)
        observer.agent.gather()
        while observer.agent.gathering_state is not GatheringState.COMPLETE:
            observer.changed.clear()
            await asyncio.sleep(0.001)
            if found is None and has_relay(observer):
                found = monotonic() - began
        done = monotonic() - began
        await observer.agent.close()
        if listener is not None:
            listener.close()
        await asyncio.sleep(1)
        assert host.open_ports == []
        return observer, found, done

    return run(main(), internet=internet)


def two_addresses(internet: Internet, silent: str | None) -> tuple[TurnServer, TurnServer]:
    internet.names["two.example"] = ["2001:db8::99", RELAY]
    six, four = TurnServer(internet, "2001:db8::99"), TurnServer(internet, RELAY)
    for each in (six, four):
        each.silent = each.host == silent
    return six, four


TWO = parse_server_uri("turn:two.example", TurnServer.USERNAME, TurnServer.PASSWORD)


def test_a_server_that_answers_at_once_is_not_asked_at_its_other_address() -> None:
    servers: list[TurnServer] = []
    observer, found, _ = gathering_time(asks(TWO), lambda i: servers.extend(two_addresses(i, None)))
    assert found is not None
    assert found < HEAD_START_S
    assert observer.errors == []
    six, four = servers
    assert six.requests
    assert not four.requests


def test_one_that_is_silent_is_asked_at_the_other_after_a_head_start() -> None:
    servers: list[TurnServer] = []
    _, found, done = gathering_time(asks(TWO), lambda i: servers.extend(two_addresses(i, "2001:db8::99")))
    assert found is not None
    assert HEAD_START_S < found < HEAD_START_S + 0.3
    assert done <= IceConfig().gather_timeout_s + HEAD_START_S + 0.1
    assert servers[1].requests


def listening(internet: Internet, port: int, accept: Callable[[Stream], Any]) -> Any:
    """A server's host, and a listener that does this with whoever connects."""
    host = internet.add_host("relay", RELAY)

    async def listen() -> Listener:
        with host:
            return await network().listen_tcp(("0.0.0.0", port), accept)

    return listen()


class Silent:
    """Takes what comes and says nothing."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def on_data(self, data: bytes, now: float) -> None: ...

    def on_lost(self, reason: str) -> None: ...


class HangingUp(Silent):
    def on_data(self, data: bytes, now: float) -> None:
        self.stream.close()


@pytest.mark.parametrize("scheme", ["turn", "turns"])
@pytest.mark.parametrize(("accept", "least_s", "most_s"), [(Silent, 5.0, 5.1), (HangingUp, 0.0, 0.5)])
def test_a_stream_that_leads_to_nothing_is_given_up_in_time(
    scheme: str, accept: Callable[[Stream], Any], least_s: float, most_s: float
) -> None:
    server = parse_server_uri(f"{scheme}:{RELAY}:443?transport=tcp", "u", "p")
    observer, found, done = gathering_time(asks(server), lambda i: listening(i, 443, accept))
    assert found is None
    assert [(s.url, code) for s, code in observer.errors] == [(server.url, 701)]
    assert least_s <= done < most_s


def test_a_stream_to_one_of_two_addresses() -> None:
    """The first is an address at which nobody is."""

    def prepare(internet: Internet) -> Any:
        internet.names["two.example"] = ["2001:db8::99", RELAY]
        internet.filter = lambda source, destination, data: destination[0] != "2001:db8::99"
        return listening(internet, 443, Silent)

    server = parse_server_uri("turn:two.example:443?transport=tcp", "u", "p")
    observer, _, done = gathering_time(asks(server), prepare)
    assert [code for _, code in observer.errors] == [701]
    assert STREAM_HEAD_START_S + 5 < done < STREAM_HEAD_START_S + 5.2, "so long the second may take to answer"


class TlsRelay:
    """A TURN server over TLS: streams in front of a `TurnServer`, each with an address of its own behind."""

    def __init__(self, internet: Internet, certificate: Path) -> None:
        self.internet = internet
        self.model = TurnServer(internet, "198.51.100.2")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)
        self.streams: list[TlsStream] = []

    def accept(self, stream: Stream) -> TlsStream:
        number = len(self.streams) + 1
        serving = _Serving(self, (f"198.51.100.{10 + number}", 4000))
        tls = serving.stream = TlsStream(serving, self.context, None, lambda reason: None)
        self.streams.append(tls)
        tls.attach(stream)
        return tls


class _Serving:
    stream: TlsStream

    def __init__(self, relay: TlsRelay, client: Address) -> None:
        self.relay = relay
        self.client = client
        self.framing = TurnFraming()
        relay.internet.attach(client[0], self.on_answer)

    def on_data(self, data: bytes, now: float) -> None:
        model = self.relay.model
        for message in self.framing.feed(data):
            model._receive((model.host, 3478), self.client, message)

    def on_answer(self, to: Address, source: Address, data: Any) -> None:
        self.stream.write(data + bytes(-len(data) & 3 if data[0] >> 6 == 1 else 0))

    def on_lost(self, reason: str) -> None: ...


def test_a_relay_over_tls_carries_packets_until_its_stream_ends(tmp_path: Path) -> None:
    certificate = tmp_path / "server.pem"
    certificate.write_bytes(IDENTITIES[0])
    internet = Internet(seed=4)
    relay = TlsRelay(internet, certificate)
    alice, bob, place = (internet.add_host(n, *a) for n, a in (("a", ()), ("b", ()), ("r", (RELAY,))))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    server = parse_server_uri(f"turns:{RELAY}", TurnServer.USERNAME, TurnServer.PASSWORD)
    config = dataclasses.replace(
        asks(server, relay_only=True, tls_context=context),
        keepalive_s=0.5,
        disconnected_timeout_s=2.0,
        failed_timeout_s=5.0,
    )

    async def main() -> None:
        with place:
            listener = await network().listen_tcp((RELAY, 5349), relay.accept)
        async with on(alice, bob, config, IceConfig()) as (a, b):
            await connect(a, b)
            await echo(a, b)
            assert a.errors == []
            assert {c.type for c in a.agent.local_candidates} == {"relay"}
            [carrier] = [c for c in a.agent._carriers.values() if isinstance(c, StreamCarrier)]
            assert isinstance(carrier.stream, TlsStream)
            relay.streams[0].close()
            await a.until(lambda: a.agent.state is IceState.DISCONNECTED)
            await a.until(lambda: a.agent.state is IceState.FAILED)
            assert a.agent._carriers == {}
        listener.close()

    run(main(), internet=internet)


def test_a_server_with_the_certificate_of_another(tmp_path: Path) -> None:
    certificate = tmp_path / "server.pem"
    certificate.write_bytes(IDENTITIES[0])
    said: list[str] = []

    class Told(Observer):
        def on_ice_server_error(self, server: IceServer, local: Address | None, code: int, text: str) -> None:
            said.append(text)

    internet = Internet(seed=5)
    relay = TlsRelay(internet, certificate)
    host, place = internet.add_host("host"), internet.add_host("relay", RELAY)

    async def main() -> None:
        with place:
            listener = await network().listen_tcp((RELAY, 5349), relay.accept)
        with host:
            observer = Told(asks(parse_server_uri(f"turns:{RELAY}", "u", "p")))
        observer.agent.gather()
        await observer.until(lambda: observer.agent.gathering_state is GatheringState.COMPLETE)
        await observer.agent.close()
        listener.close()
        await asyncio.sleep(1)

    run(main(), internet=internet)
    assert len(said) == 1
    assert said[0].startswith("the certificate is not accepted: ")


# -- names -------------------------------------------------------------------------------------------


def test_hidden_addresses_are_found_behind_one_router() -> None:
    internet = Internet(seed=6)
    home = Nat(internet)
    alice, bob = (internet.add_host(name, behind=home) for name in ("alice", "bob"))
    hides = asks(hide_host_addresses=True)

    async def main() -> None:
        async with on(alice, bob, hides, hides) as (a, b):
            await connect(a, b)
            await echo(a, b)
            for each in (a, b):
                assert each.agent.local_candidates
                assert all(c.is_mdns for c in each.agent.local_candidates)
            names = list(alice.local_names), list(bob.local_names)
            assert [len(each) for each in names] == [1, 1]
            for _ in range(3):
                for each in (a, b):
                    each.agent.restart()
                await connect(a, b)
            assert (list(alice.local_names), list(bob.local_names)) == names, "the same after restarts"

    run(main(), internet=internet)


# -- closing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("turns", [*range(12), 20, 50, 100])
@pytest.mark.parametrize("hides", [False, True])
def test_closing_at_any_moment_of_gathering_leaves_nothing(turns: int, hides: bool) -> None:
    internet = Internet(seed=7)
    two_addresses(internet, "2001:db8::99")
    host = internet.add_host("host", "192.0.2.1", "2001:db8::1")
    place = internet.add_host("relay", "198.51.100.3")
    urls = (
        "turn:two.example",
        "stun:two.example",
        "turn:nobody.example",
        "turn:198.51.100.3:443?transport=tcp",
        "turns:198.51.100.3:443",
        "turn:printer.local",
    )
    config = dataclasses.replace(
        asks(*(parse_server_uri(url, "u", "p") for url in urls), tcp=("active", "passive")),
        options=IceSettings(hide_host_addresses=hides, tcp=("active", "passive")),
    )

    async def main() -> None:
        with place:
            listener = await network().listen_tcp(("0.0.0.0", 443), Silent)
        observer = standing(host, config)
        observer.agent.gather()
        observer.agent.start("abcd", "p" * 24, controlling=True)
        for _ in range(turns):
            await asyncio.sleep(0 if turns < 12 else 0.005)
        await observer.agent.close()
        assert len(asyncio.all_tasks()) == 1
        await asyncio.sleep(1)
        assert host.open_ports == []
        assert host.connections == {}
        assert host.local_names == {}
        listener.close()

    run(main(), internet=internet)


# -- shared ports ------------------------------------------------------------------------------------


def test_many_hosts_on_one_port() -> None:
    internet = Internet(seed=8)
    server = internet.add_host("server")
    clients = [internet.add_host(f"client{i}", behind=Nat(internet)) for i in range(10)]

    async def main() -> None:
        with server:
            mux = UdpMux(4000)
        assert server.open_ports == [(False, server.addresses()[0], 4000)]
        assert [c.packets_received for c in mux.counters] == [0]
        pairs = []
        for client in clients:
            a, b = standing(client, IceConfig()), standing(server, asks(udp_mux=mux))
            a.other, b.other = b, a
            pairs.append((a, b))
        await asyncio.gather(*(connect(a, b) for a, b in pairs))
        for a, b in pairs:
            await echo(a, b)
        stranger = clients[0].call(network).open_udp((clients[0].addresses()[0], 0), Silent(None))  # type: ignore[arg-type]
        stranger.send(b"\x80stranger", (server.addresses()[0], 4000))
        await asyncio.sleep(1)
        assert [s.sorter.dropped_unknown_source for s in mux.sockets] == [1]
        stranger.close()
        for a, b in pairs:
            await a.agent.close()
            await b.agent.close()
        assert mux.sockets[0].users == 0
        mux.close()
        assert server.open_ports == []

    run(main(), internet=internet)


def test_a_shared_tcp_port_hangs_up_on_whoever_says_nothing() -> None:
    internet = Internet(seed=9)
    server, client = internet.add_host("server"), internet.add_host("client")

    async def main() -> None:
        with server:
            mux = await TcpMux.open(4000)
        with client:
            began = monotonic()
            reader, writer = await asyncio.open_connection(server.addresses()[0], 4000)
            assert await reader.read() == b""
            assert CLAIM_S <= monotonic() - began < CLAIM_S + 0.5
            writer.close()
        config = asks(udp=False, tcp=("active",)), asks(udp=False, tcp=("passive",), tcp_mux=mux)
        async with on(client, server, *config) as (a, b):
            await connect(a, b)
            await echo(a, b)
            mux.close()
        assert [place.unclaimed for place in mux.listeners] == [1]

    run(main(), internet=internet)


# -- what waits --------------------------------------------------------------------------------------


class Stuck:
    """A stream whose other end reads nothing."""

    sockname = peername = ("192.0.2.1", 1)

    def __init__(self) -> None:
        self.waiting_bytes = 0

    def write(self, data: bytes) -> None:
        self.waiting_bytes += len(data)

    def close(self) -> None: ...


def test_what_waits_for_a_stream_is_bounded() -> None:
    owner: Any = None
    to_server, to_peer = StreamCarrier(owner, (RELAY, 3478)), TcpCarrier(owner, 1)
    run_bytes = Run(bytes(60_000), 1200)
    for carrier, bound in ((to_server, MAX_STREAM_BYTES), (to_peer, MAX_WAITING_BYTES)):
        carrier.send_runs([run_bytes], (RELAY, 3478))  # nothing is there yet: lost
        stream = carrier.stream = Stuck()
        for _ in range(100):
            carrier.send_runs([run_bytes], (RELAY, 3478))
        assert carrier.is_full
        assert bound < stream.waiting_bytes <= bound + 61_000
        assert carrier.dropped >= 80
        carrier.close()
        carrier.send(b"late", (RELAY, 3478))
        assert stream.waiting_bytes <= bound + 61_000


def test_what_comes_to_a_relays_socket_goes_on_by_sender_in_order_with_its_times() -> None:
    told: list[tuple[Address, list[Run], list[float] | None]] = []

    class Owner:
        def on_relayed(
            self, path: int, address: Address, runs: list[Run], now: float, arrived: list[float] | None
        ) -> None:
            assert path == 7
            told.append((address, runs, arrived))

    async def main() -> None:
        owner: Any = Owner()
        carrier = RelayCarrier(owner, network(), ("127.0.0.1", 0), UdpOptions())
        carrier.path = 7
        a, b = (RELAY, 3478), (RELAY, 3479)
        carrier.on_batch([(b"aabb", 2, a, 0.9), (b"c", 1, a, 1.0), (b"d", 1, b, 1.0), (b"e", 1, a, 0.5)], 1.0)
        carrier.close()
        carrier.on_batch([(b"f", 1, a, 2.0), (b"g", 1, b, 2.0)], 2.0)
        assert told.pop() == (a, [Run(b"f", 1)], None), "and no more, when it is closed meanwhile"
        assert told == [
            (a, [Run(b"aabb", 2), Run(b"c", 1)], [0.9, 1.0]),
            (b, [Run(b"d", 1)], None),
            (a, [Run(b"e", 1)], [0.5]),
        ]

    run(main())


@pytest.mark.parametrize("by_channel", [False, True])
def test_relayed_packets_have_the_times_at_which_they_came(by_channel: bool) -> None:
    """As they have on a direct pair: the estimate of a relayed call is no worse (arrival-times.md)."""
    internet = Internet(seed=12)
    TurnServer(internet, RELAY)
    alice = internet.add_host("alice", behind=Nat(internet, mapping=Rule.ADDRESS_AND_PORT))
    bob = internet.add_host("bob", behind=Nat(internet, mapping=Rule.ADDRESS_AND_PORT))

    async def main() -> None:
        async with on(alice, bob, asks(TURN), asks(TURN, relay_only=True)) as (a, b):
            await connect(a, b)
            await echo(a, b)  # both ways: the relays have their channels
            (relay,) = (c for c in b.agent._carriers.values() if isinstance(c, RelayCarrier))
            (client,) = (p.relay for p in b.agent.engine._core.paths.values() if p.relay is not None)
            peer, number = next((p, n) for n, p in client._peers.items())
            packets = [b"\x80" + bytes((i,)) * 99 for i in range(4)]

            def wrapped(packet: bytes) -> bytes:
                if by_channel:
                    return number.to_bytes(2, "big") + len(packet).to_bytes(2, "big") + packet
                attributes = [
                    (Attribute.XOR_PEER_ADDRESS, encode_address(peer, bytes(12))),
                    (Attribute.DATA, packet),
                ]
                return encode(Method.DATA, Class.INDICATION, bytes(12), attributes)

            one, two, three, four = map(wrapped, packets)
            server, now = (RELAY, 3478), monotonic()
            told: list[tuple[list[bytes], list[float] | None]] = []
            b.on_datagrams = lambda dtls, srtp, now, arrived=None: told.append((srtp, arrived))  # type: ignore[method-assign]
            relay.on_batch(
                [(one + two, len(one), server, now - 0.03), (three, len(three), server, now - 0.01)], now
            )
            relay.on_batch([(four, len(four), server, now)], now)
            assert told == [
                (packets[:3], [now - 0.03, now - 0.03, now - 0.01]),
                (packets[3:], None),
            ]

    run(main(), internet=internet)


def test_both_ends_start_before_anything_is_known() -> None:
    internet = Internet(seed=10)
    alice, bob = internet.add_host("alice"), internet.add_host("bob")

    async def main() -> None:
        async with on(alice, bob, IceConfig(), IceConfig()) as (a, b):
            start(a, b)
            start(a, b)
            for each in (a, b):
                await each.until(lambda e=each: e.agent.state is IceState.COMPLETED)
            assert monotonic() - internet.agenda.now == 0

    run(main(), internet=internet)
