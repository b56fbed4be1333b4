"""TCP on the virtual internet: by the stack's own protocol, and by asyncio's streams."""

from __future__ import annotations

import asyncio
import errno
import random
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from rtcstack.platform import Stream
from rtcstack.testing import START_S, BurstLoss, Firewall, Internet, Nat, VirtualLoop, VirtualNetwork, run
from rtcstack.testing.identities import IDENTITIES
from rtcstack.testing.packets import Segment
from rtcstack.testing.tcp import MAX_BACKLOG, MAX_EARLY, RECEIVE_WINDOW_BYTES, TcpEnd

CONTENTS = random.Random(1).randbytes(300_000)


class Sink:
    """Keeps what comes."""

    def __init__(self) -> None:
        self.data = b""
        self.lost: list[str] = []

    def on_data(self, data: bytes, now: float) -> None:
        assert not self.lost
        self.data += data

    def on_lost(self, reason: str) -> None:
        self.lost.append(reason)


class Pair:
    """Two hosts, one of which listens."""

    def __init__(self, behind: Any = None, **down: Any) -> None:
        self.internet = Internet(seed=7)
        if behind is not None:
            behind = behind(self.internet)
        self.a = self.internet.add_host("a", behind=behind)
        self.b = self.internet.add_bare_host("b")
        self.b.add_interface("eth0", "192.0.2.2", down=down)  # type: ignore[arg-type]
        self.client, self.server = Sink(), Sink()
        self.accepted: list[TcpEnd] = []
        self.here, self.there = VirtualNetwork(self.a), VirtualNetwork(self.b)

    def accept(self, stream: Stream) -> Sink:
        assert isinstance(stream, TcpEnd)
        self.accepted.append(stream)
        return self.server

    async def connect(self) -> TcpEnd:
        self.listener = await self.there.listen_tcp(("0.0.0.0", 443), self.accept)
        end = await self.here.open_tcp(("192.0.2.2", 443), self.client)
        await asyncio.sleep(0.5)
        return end

    def assert_clean(self) -> None:
        assert self.a.connections == self.b.connections == {}
        assert self.a.open_ports == self.b.open_ports == []


LINKS: dict[str, dict[str, Any]] = {
    "good": {},
    "slow": {"rate_bytes_per_s": 50_000.0, "queue_bytes": 20_000, "delay_s": 0.05},
    "lossy": {"loss": 0.05},
    "bursts": {"burst": BurstLoss(0.02, 0.3)},
    "reordering": {"reorder": 0.1, "reorder_s": 0.03},
    "doubling": {"duplicate": 0.2},
}


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
def test_bytes_come_in_order_whatever_the_link_does(link: dict[str, Any]) -> None:
    pair = Pair(Nat, **link)

    async def main() -> None:
        end = await pair.connect()
        start = asyncio.get_running_loop().time()
        end.write(CONTENTS)
        pair.accepted[0].write(b"hello")
        while len(pair.server.data) < len(CONTENTS):
            await asyncio.sleep(0.1)
        took_s = asyncio.get_running_loop().time() - start
        if "rate_bytes_per_s" in link:
            assert took_s >= len(CONTENTS) / link["rate_bytes_per_s"]
            assert took_s < 2.5 * len(CONTENTS) / link["rate_bytes_per_s"]
        assert pair.server.data == CONTENTS
        assert pair.client.data == b"hello"
        if not link:
            assert end.repeated == 0
        elif {"loss", "burst", "queue_bytes"} & link.keys():
            assert end.repeated > 0
        pair.listener.close()
        end.close()
        await asyncio.sleep(90)
        assert pair.server.lost == ["the other end has closed it"]
        assert pair.client.lost == []

    run(main(), internet=pair.internet)
    pair.assert_clean()


def test_nobody_listens() -> None:
    pair = Pair()

    async def main() -> None:
        with pytest.raises(OSError, match="reset") as refused:
            await pair.here.open_tcp(("192.0.2.2", 443), pair.client)
        assert refused.value.errno == errno.ECONNREFUSED
        assert isinstance(refused.value, ConnectionRefusedError)

    run(main(), internet=pair.internet)
    pair.assert_clean()


def test_nobody_answers() -> None:
    pair = Pair()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await pair.here.open_tcp(("192.0.2.99", 443), pair.client)
        assert asyncio.get_running_loop().time() - START_S == pytest.approx(123.0)

    run(main(), internet=pair.internet)
    pair.assert_clean()


def test_who_gives_up_waiting_leaves_nothing() -> None:
    pair = Pair()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pair.here.open_tcp(("192.0.2.99", 443), pair.client), 1.0)

    run(main(), internet=pair.internet)
    pair.assert_clean()


def test_a_peer_that_vanishes_is_noticed_by_who_sends() -> None:
    pair = Pair()

    async def main() -> None:
        end = await pair.connect()
        pair.b.remove_interface("eth0")
        end.write(b"anybody there?")
        await asyncio.sleep(300)
        assert pair.client.lost == ["no answer from the other end"]
        assert pair.server.lost == []
        pair.accepted[0].abort()
        pair.listener.close()

    run(main(), internet=pair.internet)
    pair.assert_clean()


def test_a_reset_is_told() -> None:
    pair = Pair()

    async def main() -> None:
        end = await pair.connect()
        pair.accepted[0].abort()
        await asyncio.sleep(1)
        assert pair.client.lost == ["reset by the other end"]
        end.write(b"too late")
        end.close()
        pair.listener.close()

    run(main(), internet=pair.internet)
    pair.assert_clean()


def test_a_receiver_that_has_enough_stops_the_sender() -> None:
    pair = Pair()
    much = 4 * RECEIVE_WINDOW_BYTES

    async def main() -> None:
        end = await pair.connect()
        pair.accepted[0].pause()
        end.write(bytes(much))
        await asyncio.sleep(100)
        assert pair.server.data == b""
        assert much - end.waiting_bytes <= RECEIVE_WINDOW_BYTES + 20_000
        pair.accepted[0].resume()
        await asyncio.sleep(100)
        assert len(pair.server.data) == much
        assert end.waiting_bytes == 0
        end.close()
        pair.listener.close()
        await asyncio.sleep(100)

    run(main(), internet=pair.internet)
    pair.assert_clean()


def test_both_begin_at_once() -> None:
    pair = Pair()
    ours, theirs = (pair.a.addresses()[0], 7000), ("192.0.2.2", 7001)

    async def main() -> None:
        one, two = await asyncio.gather(
            pair.here.open_tcp(theirs, pair.client, local=ours),
            pair.there.open_tcp(ours, pair.server, local=theirs),
        )
        one.write(b"1")
        two.write(b"2")
        await asyncio.sleep(1)
        assert (pair.server.data, pair.client.data) == (b"1", b"2")
        one.close()
        await asyncio.sleep(1)

    run(main(), internet=pair.internet)
    pair.assert_clean()


def test_what_has_begun_and_is_not_accepted_is_bounded() -> None:
    pair = Pair()

    async def main() -> None:
        listener = await pair.there.listen_tcp(("192.0.2.2", 0), pair.accept, port_range=(5000, 5001))
        assert listener.sockname[1] == 5000
        pair.b.interfaces["eth0"].up.is_up = False  # what it answers does not arrive
        waiting = [
            asyncio.create_task(pair.here.open_tcp(("192.0.2.2", 5000), Sink()))
            for _ in range(MAX_BACKLOG + 10)
        ]
        await asyncio.sleep(3)
        assert len(pair.b.connections) == MAX_BACKLOG
        assert len(await asyncio.gather(*waiting, return_exceptions=True)) == MAX_BACKLOG + 10
        await asyncio.sleep(100)
        assert pair.b.connections == {}
        listener.close()

    run(main(), internet=pair.internet)
    pair.assert_clean()


def test_segments_beyond_a_gap_are_bounded() -> None:
    pair = Pair()

    async def main() -> None:
        end = await pair.connect()
        for number in range(MAX_EARLY + 100):
            pair.accepted[0].take(Segment("A", 10 + number, 0, b"x"))
        assert len(pair.accepted[0]._early) == MAX_EARLY
        end.abort()
        pair.listener.close()
        await asyncio.sleep(1)

    run(main(), internet=pair.internet)
    pair.assert_clean()


def test_a_firewall_that_knows_ports() -> None:
    pair = Pair(lambda internet: Firewall(Nat(internet), udp=False, tcp_ports={443}))

    async def main() -> None:
        end = await pair.connect()
        other = await pair.there.listen_tcp(("0.0.0.0", 8080), pair.accept)
        with pytest.raises(TimeoutError):
            await pair.here.open_tcp(("192.0.2.2", 8080), Sink())
        end.close()
        pair.listener.close()
        other.close()
        await asyncio.sleep(1)

    run(main(), internet=pair.internet)
    pair.assert_clean()


# -- asyncio's own ---------------------------------------------------------------------------------


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()
    await writer.wait_closed()


def test_asyncios_streams() -> None:
    pair = Pair()
    pair.internet.names["shout.example"] = ["192.0.2.2"]

    async def main() -> None:
        with pair.b:
            server = await asyncio.start_server(shout, port=7)
        assert server.sockets[0].getsockname() == ("0.0.0.0", 7)
        with pair.a:
            reader, writer = await asyncio.open_connection("shout.example", 7)
        assert writer.get_extra_info("peername") == ("192.0.2.2", 7)
        writer.write(b"hello\n")
        assert await reader.readline() == b"HELLO\n"
        many = b"x" * 1000 + b"\n"
        for _ in range(1000):
            writer.write(many)
        await writer.drain()
        assert await reader.readexactly(1001 * 1000) == many.upper() * 1000
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(1)

    run(main(), internet=pair.internet)
    pair.assert_clean()


def test_a_server_closes_and_its_clients_read_the_end() -> None:
    pair = Pair()

    async def bye(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        writer.close()

    async def main() -> None:
        server = await pair.b.run(asyncio.start_server(bye, "192.0.2.2", 7))  # type: ignore[arg-type]
        reader, writer = await pair.a.run(asyncio.open_connection("192.0.2.2", 7))  # type: ignore[arg-type]
        assert await reader.read() == b"bye"
        writer.close()
        server.close()
        await asyncio.sleep(1)

    run(main(), internet=pair.internet)
    pair.assert_clean()


def test_asyncios_streams_end_with_an_error_when_they_are_reset() -> None:
    pair = Pair()

    async def slam(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async def main() -> None:
        with pair.b:
            server = await asyncio.start_server(slam, "192.0.2.2", 7)
        with pair.a:
            reader, writer = await asyncio.open_connection("192.0.2.2", 7)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        server.close()
        await asyncio.sleep(1)

    run(main(), internet=pair.internet)
    pair.assert_clean()


def test_tls_over_asyncios_streams(tmp_path: Path) -> None:
    pair = Pair()
    (tmp_path / "server.pem").write_bytes(IDENTITIES[0])
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(tmp_path / "server.pem")
    client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_side.check_hostname = False
    client_side.verify_mode = ssl.CERT_NONE

    async def main() -> None:
        with pair.b:
            server = await asyncio.start_server(shout, "192.0.2.2", 443, ssl=server_side)
        with pair.a:
            reader, writer = await asyncio.open_connection("192.0.2.2", 443, ssl=client_side)
        writer.write(b"secret\n")
        assert await reader.readline() == b"SECRET\n"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        with pair.a, pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("192.0.2.2", 443, ssl=client_side)

    run(main(), internet=pair.internet)
    pair.assert_clean()


def test_sockets_of_the_loop_stand_for_addresses() -> None:
    pair = Pair()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        with pair.b:
            listening, datagrams = loop.socket(), loop.socket(type=socket.SOCK_DGRAM)
        listening.bind(("", 7))
        with pytest.raises(OSError, match="bound"):
            listening.bind(("", 8))
        datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        datagrams.setblocking(False)
        datagrams.bind(("192.0.2.2", 0))
        port = datagrams.getsockname()[1]
        assert len(pair.b.open_ports) == 2
        server = await asyncio.start_server(shout, sock=listening)
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, sock=datagrams)  # type: ignore[call-overload]
        assert transport.get_extra_info("socket").getsockname() == ("192.0.2.2", port)
        with pair.a:
            mine = loop.socket()
        await loop.sock_connect(mine, ("192.0.2.2", 7))  # type: ignore[arg-type]
        reader, writer = await asyncio.open_connection(sock=mine)
        writer.write(b"a\n")
        assert await reader.readline() == b"A\n"
        real = socket.socket()
        with real, pytest.raises(TypeError, match="real world"):
            await asyncio.open_connection(sock=real)
        writer.close()
        transport.close()
        server.close()
        await asyncio.sleep(1)

    run(main(), internet=pair.internet)
    pair.assert_clean()
