"""Datagrams between hosts: sockets in batches, asyncio's own transports, interfaces that come and go."""

from __future__ import annotations

import asyncio
import errno
from typing import Any

import pytest

from rtcstack.engine import Address, Run
from rtcstack.platform import HostAddress, Received, UdpOptions
from rtcstack.testing import START_S, Internet, Nat, Trace, VirtualNetwork, run
from rtcstack.testing.host import FIRST_EPHEMERAL_PORT, LAST_EPHEMERAL_PORT
from rtcstack.testing.udp import MAX_DATAGRAM_BYTES, RECEIVE_BUFFER_BYTES


class Sink:
    """Keeps what comes."""

    def __init__(self) -> None:
        self.batches: list[list[Received]] = []

    def on_batch(self, batch: list[Received], now: float) -> None:
        assert all(arrived == now for *_, arrived in batch)
        self.batches.append(batch)

    @property
    def datagrams(self) -> list[tuple[bytes, Address]]:
        return [
            (datagram, source)
            for batch in self.batches
            for data, size, source, _ in batch
            for datagram in Run(data, size).datagrams()
        ]


class Echo(asyncio.DatagramProtocol):
    """Sends back what comes, on which host it stands, and keeps it."""

    def __init__(self, answers: bool = True) -> None:
        self.answers = answers
        self.received: list[tuple[bytes, Any]] = []
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport)
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.received.append((data, addr))
        if self.answers:
            self.transport.sendto(data.upper(), addr)

    def connection_lost(self, exc: Exception | None) -> None:
        assert exc is None
        self.is_lost = True


def two_hosts(**settings: Any) -> tuple[Internet, VirtualNetwork, VirtualNetwork]:
    internet = Internet(seed=2)
    a, b = internet.add_bare_host("a"), internet.add_bare_host("b")
    a.add_interface("eth0", "192.0.2.1", "2001:db8::1", up=settings)  # type: ignore[arg-type]
    b.add_interface("eth0", "192.0.2.2", "2001:db8::2")
    return internet, VirtualNetwork(a), VirtualNetwork(b)


@pytest.mark.parametrize("family", [4, 6])
def test_what_comes_at_one_instant_comes_in_one_batch(family: int) -> None:
    internet, a, b = two_hosts(access_delay_s=0.0)
    me, peer = ("192.0.2.1", "192.0.2.2") if family == 4 else ("2001:db8::1", "2001:db8::2")
    sink = Sink()
    receiver = b.open_udp((peer, 5000), sink)
    b.host.interfaces["eth0"].down.access_delay_s = 0.0
    sender = a.open_udp((me, 0), Sink())
    sender.send_runs([Run(b"aabbc", 2), Run(b"dd", 2)], ("192.0.2.2" if family == 4 else peer, 5000))
    internet.agenda.run(until=1)
    source = sender.sockname
    assert [[r[:3] for r in batch] for batch in sink.batches] == [
        [(b"aabbc", 2, source), (b"dd", 2, source)],
    ]
    assert receiver.counters.packets_received == sender.counters.packets_sent == 4
    assert receiver.counters.bytes_received == 7
    receiver.close()
    sender.send(b"late", receiver.sockname)
    internet.agenda.run(until=2)
    assert len(sink.batches) == 1
    assert b.host.open_ports == []


def test_a_buffer_takes_no_more_than_it_holds() -> None:
    internet, a, b = two_hosts(access_delay_s=0.0)
    b.host.interfaces["eth0"].down.access_delay_s = 0.0
    sink = Sink()
    receiver = b.open_udp(("192.0.2.2", 5000), sink)
    small = b.open_udp(("192.0.2.2", 5001), Sink(), UdpOptions(receive_buffer_bytes=2000))
    sender = a.open_udp(("0.0.0.0", 0), Sink())
    for _ in range(RECEIVE_BUFFER_BYTES // 1000 + 10):
        sender.send(bytes(1000), ("192.0.2.2", 5000))
        sender.send(bytes(1000), ("192.0.2.2", 5001))
    internet.agenda.run(until=1)
    assert receiver.counters.packets_received == RECEIVE_BUFFER_BYTES // 1000
    assert receiver.counters.dropped_queue_full == 10
    assert small.counters.packets_received == 2
    assert max(len(data) for data, *_ in sink.batches[0]) <= 65_000


def test_ports() -> None:
    _, a, _ = two_hosts()
    first = a.open_udp(("192.0.2.1", 7000), Sink())
    with pytest.raises(OSError, match="taken"):
        a.open_udp(("192.0.2.1", 7000), Sink())
    with pytest.raises(OSError, match="taken"):
        a.open_udp(("0.0.0.0", 7000), Sink())
    with pytest.raises(OSError, match="does not have"):
        a.open_udp(("192.0.2.77", 0), Sink())
    options = UdpOptions(port_range=(7000, 7001))
    assert a.open_udp(("192.0.2.1", 0), Sink(), options).sockname[1] == 7001
    with pytest.raises(OSError, match="no port of"):
        a.open_udp(("192.0.2.1", 0), Sink(), options)
    first.close()
    a.open_udp(("0.0.0.0", 7000), Sink())
    assert a.open_udp(("192.0.2.1", 0), Sink()).sockname[1] == a.open_udp(("::", 0), Sink()).sockname[1] - 1


def test_a_host_has_no_more_sockets_than_ports() -> None:
    host = Internet().add_host("a")
    for _ in range(LAST_EPHEMERAL_PORT - FIRST_EPHEMERAL_PORT + 1):
        host.bind(("127.0.0.1", 0), lambda *_: None, is_tcp=False)
    with pytest.raises(OSError, match="no port is free"):
        host.bind(("127.0.0.1", 0), lambda *_: None, is_tcp=False)


def test_interfaces_come_and_go_and_watchers_are_told_once() -> None:
    internet, a, b = two_hosts()
    told: list[float] = []
    watch = a.watch(lambda: told.append(internet.now))
    sink = Sink()
    a_socket = a.open_udp(("0.0.0.0", 5000), sink)
    sender = b.open_udp(("0.0.0.0", 0), Sink())
    a.host.add_interface("wlan0", "192.0.2.11")
    a.host.remove_interface("eth0")
    assert a.interfaces()[2:] == [HostAddress("192.0.2.11", "wlan0")]
    assert a.local_address_for(("192.0.2.2", 1)) == "192.0.2.11"
    sender.send(b"to the old one", ("192.0.2.1", 5000))
    sender.send(b"to the new one", ("192.0.2.11", 5000))
    internet.agenda.run(until=1)
    assert told == [START_S]
    assert [data for data, _ in sink.datagrams] == [b"to the new one"]
    a.host.set_addresses("wlan0", "192.0.2.12")
    watch.close()
    watch.close()
    internet.agenda.run(until=2)
    assert len(told) == 1
    a.host.remove_interface("wlan0")
    with pytest.raises(OSError, match="no way"):
        a.local_address_for(("192.0.2.2", 1))
    a_socket.send(b"lost", ("192.0.2.2", 1))
    assert a_socket.counters.send_errors == 1


def test_a_host_talks_with_itself_without_the_net() -> None:
    internet, a, _ = two_hosts()
    sink = Sink()
    a.open_udp(("0.0.0.0", 5000), sink)
    sender = a.open_udp(("127.0.0.1", 0), Sink())
    sender.send(b"1", ("127.0.0.1", 5000))
    sender.send(b"2", ("192.0.2.1", 5000))
    internet.agenda.run(until=1)
    assert [data for data, _ in sink.datagrams] == [b"1", b"2"]
    assert internet.sent == 0


def test_asyncios_datagram_endpoints_talk() -> None:
    internet = Internet(seed=1)
    internet.trace = Trace()
    internet.add_host("alice", behind=Nat(internet, "203.0.113.9"))
    bob = internet.add_host("bob", "198.51.100.20")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with internet.host("bob"):
            server, echo = await loop.create_datagram_endpoint(Echo, local_addr=("0.0.0.0", 5000))
        with internet.host("alice"):
            client, mine = await loop.create_datagram_endpoint(lambda: Echo(False), remote_addr=("bob", 5000))
        assert client.get_extra_info("peername") == ("198.51.100.20", 5000)
        client.sendto(b"hello")
        await asyncio.sleep(1)
        assert [data for data, _ in echo.received] == [b"hello"]
        assert echo.received[0][1][0] == "203.0.113.9"
        assert mine.received == [(b"HELLO", ("198.51.100.20", 5000))]
        with pytest.raises(ValueError, match="alone"):
            client.sendto(b"x", ("198.51.100.1", 1))
        for transport in (client, server):
            transport.close()
            transport.close()
            assert transport.is_closing()
        await asyncio.sleep(0)
        assert echo.is_lost
        assert mine.is_lost

    run(main(), internet=internet)
    assert [entry[3] for entry in internet.trace.entries] == [5, 5]
    assert bob.open_ports == []


def test_asyncios_endpoints_of_ipv6_tell_four_parts() -> None:
    internet = Internet(seed=1)
    host = internet.add_host("host", "2001:db8::1")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        one, echo = await loop.create_datagram_endpoint(Echo, local_addr=("::", 5000))
        two, mine = await loop.create_datagram_endpoint(lambda: Echo(False), local_addr=("::", 0))
        two.sendto(b"x", ("2001:db8::1", 5000, 0, 0))
        await asyncio.sleep(1)
        assert mine.received == [(b"X", ("2001:db8::1", 5000, 0, 0))]
        assert len(echo.received[0][1]) == 4
        one.close()
        two.abort()
        await asyncio.sleep(0)

    run(main(), internet=internet)
    assert host.open_ports == []


def test_local_names_are_heard_behind_the_same_router() -> None:
    internet = Internet(seed=1)
    home = Nat(internet)
    a, b = (VirtualNetwork(internet.add_host(name, behind=home)) for name in "ab")
    far = VirtualNetwork(internet.add_host("far"))

    async def main() -> None:
        address = a.host.addresses()[0]
        name = await a.publish(address)
        assert name.endswith(".local")
        assert await b.resolve(name) == await a.resolve(name) == [address]
        with pytest.raises(OSError, match="answers"):
            await far.resolve(name)
        a.withdraw(name)
        a.withdraw(name)
        with pytest.raises(OSError, match="answers"):
            await b.resolve(name)
        with pytest.raises(OSError, match="does not have"):
            await a.publish("192.0.2.99")
        assert await a.resolve("far") == far.host.addresses()

    run(main(), internet=internet)


def test_a_protocol_that_raises_loses_none_of_the_other_datagrams(
    expects_loop_exceptions: list[dict[str, Any]],
) -> None:
    taken: list[bytes] = []

    class Choosy(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            taken.append(data)
            if data == b"bad":
                raise ValueError("a bad one")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        place, _ = await loop.create_datagram_endpoint(Choosy, local_addr=("127.0.0.1", 5000))
        sender, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=("127.0.0.1", 5000)
        )
        for data in (b"bad", b"good", b"bad", b"better"):
            sender.sendto(data)
        await asyncio.sleep(1)
        place.close()
        sender.close()
        await asyncio.sleep(0)

    run(main())
    assert taken == [b"bad", b"good", b"bad", b"better"]
    assert [str(context["exception"]) for context in expects_loop_exceptions] == ["a bad one"] * 2


def test_a_datagram_that_no_packet_has_room_for_does_not_leave() -> None:
    errors: list[Exception] = []
    echo = Echo()
    echo.error_received = errors.append  # type: ignore[method-assign, assignment]

    async def main() -> None:
        loop = asyncio.get_running_loop()
        place, _ = await loop.create_datagram_endpoint(lambda: echo, local_addr=("127.0.0.1", 0))
        place.sendto(bytes(MAX_DATAGRAM_BYTES + 1), ("127.0.0.1", 9))
        place.sendto(bytes(MAX_DATAGRAM_BYTES), ("127.0.0.1", 9))
        await asyncio.sleep(1)
        place.close()
        await asyncio.sleep(0)

    run(main())
    assert [getattr(error, "errno", None) for error in errors] == [errno.EMSGSIZE]
    net, here, _ = two_hosts()
    udp = here.open_udp(("0.0.0.0", 0), Sink())
    udp.send(bytes(MAX_DATAGRAM_BYTES + 1), ("192.0.2.9", 9))
    assert (udp.counters.send_errors, udp.counters.packets_sent) == (1, 0)
    udp.close()
    assert net.sent == 0
