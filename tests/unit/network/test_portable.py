"""UDP on asyncio's datagram endpoints: what waits, what goes on together, closing; and whole agents on it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from rtcstack.engine import Address, Run
from rtcstack.network import Form, SystemNetwork
from rtcstack.network.capabilities import HAS_MESSAGES, form_for
from rtcstack.network.portable import MAX_BATCH, MAX_QUEUED_BYTES, PortableUdp
from rtcstack.platform import Platform, Received, UdpOptions, install, uninstall
from tests.support.iceagents import Observer, connect
from tests.unit.network.test_batched import Blocking, bound, packet, settle

DTLS, SRTP = 22, 128


class Sink:
    """Keeps batches as they came."""

    def __init__(self) -> None:
        self.batches: list[list[Received]] = []

    def on_batch(self, batch: list[Received], now: float) -> None:
        assert all(at == now and size == len(data) for data, size, _, at in batch)
        self.batches.append(batch)

    @property
    def datagrams(self) -> list[bytes]:
        return [data for batch in self.batches for data, *_ in batch]


def portable(sink: Sink, sock: Any = None) -> PortableUdp:
    return PortableUdp(asyncio.get_running_loop(), sock or bound(), sink)


async def arrived(sink: Sink, count: int) -> None:
    for _ in range(10 * count + 50):
        if len(sink.datagrams) >= count:
            return
        await asyncio.sleep(0)


async def test_what_is_sent_before_the_endpoint_is_there_leaves_in_order() -> None:
    sink = Sink()
    receiver, sender = portable(sink), portable(Sink())
    sent = [packet(DTLS, i) for i in range(50)]
    sender.send_runs([Run(b"".join(sent[:20]), 1200)], receiver.sockname)
    for data in sent[20:40]:
        sender.send(data, receiver.sockname)
    await settle()
    sender.send_runs([Run(b"".join(sent[40:]), 1200)], receiver.sockname)
    await arrived(sink, 50)
    assert sink.datagrams == sent
    assert {address for batch in sink.batches for _, _, address, _ in batch} == {sender.sockname}
    assert sender.counters.packets_sent == receiver.counters.packets_received == 50
    assert sender.counters.bytes_sent == receiver.counters.bytes_received == 50 * 1200
    sender.close()
    receiver.close()


async def test_what_waits_for_the_endpoint_is_bounded() -> None:
    sender = portable(Sink())
    run = Run(b"".join(packet(DTLS, i) for i in range(20)), 1200)
    for _ in range(2 * MAX_QUEUED_BYTES // 24_000):
        sender.send_runs([run], ("127.0.0.1", 9))
    assert sender.counters.dropped_queue_full > 0
    assert MAX_QUEUED_BYTES - 24_000 < sender._waiting_bytes <= MAX_QUEUED_BYTES
    assert sum(len(data) for data, _ in sender._queue) == sender._waiting_bytes
    sender.close()


async def test_what_waits_for_a_full_socket_is_bounded_and_in_order() -> None:
    sink = Sink()
    receiver = portable(sink)
    sock = Blocking(bound())
    sender = portable(Sink(), sock)
    await settle()
    run = Run(b"".join(packet(DTLS, i) for i in range(20)), 1200)
    for _ in range(2 * MAX_QUEUED_BYTES // 24_000):
        sender.send_runs([run], receiver.sockname)
    assert sender.counters.dropped_queue_full > 0
    assert sender._waiting_bytes <= MAX_QUEUED_BYTES + 16 * 1024
    sock.full = False
    await arrived(sink, 100)
    assert [int.from_bytes(d[1:5], "big") for d in sink.datagrams[:40]] == [*range(20), *range(20)]
    sender.close()
    receiver.close()


async def test_what_waits_when_it_is_closed_may_still_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtcstack.network.portable.LINGER_S", 0.0)
    sock = Blocking(bound())
    sender = portable(Sink(), sock)
    await settle()
    sender.send(packet(DTLS, 1), ("127.0.0.1", 9))
    sender.close()
    sender.close()
    await settle()
    assert sock.fileno() == -1, "and if it does not, it is given up"


async def test_what_comes_in_one_turn_goes_on_together() -> None:
    sink = Sink()
    receiver = portable(sink)
    await settle()
    for i in range(MAX_BATCH + 7):
        receiver.datagram_received(packet(SRTP, i, 50), ("127.0.0.1", 5000))
        if i % 50 == 0:
            receiver.datagram_received(b"", ("127.0.0.1", 5000))
    assert [len(batch) for batch in sink.batches] == [MAX_BATCH], "a loop that brings more waits for nothing"
    await settle()
    assert [len(batch) for batch in sink.batches] == [MAX_BATCH, 7]
    assert [int.from_bytes(d[1:5], "big") for d in sink.datagrams] == list(range(MAX_BATCH + 7))
    receiver.close()


async def test_addresses_are_without_their_scope() -> None:
    sink = Sink()
    receiver = portable(sink)
    receiver.datagram_received(b"\x80x", ("2001:db8::1", 5000, 0, 0))
    await settle()
    assert sink.batches[0][0][2] == ("2001:db8::1", 5000)
    receiver.close()


@pytest.mark.parametrize("turns", range(4))
async def test_closing_at_any_time(turns: int) -> None:
    sink = Sink()
    receiver, sender = portable(sink), portable(Sink())
    for _ in range(turns):
        await asyncio.sleep(0)
    sender.send(packet(DTLS, 1), receiver.sockname)
    receiver.datagram_received(b"\x80x", ("127.0.0.1", 5000))
    for each in (receiver, sender):
        each.close()
        assert each.is_closed
        assert not each.is_full
        each.send(b"\x80y", ("127.0.0.1", 5000))
    receiver.datagram_received(b"\x80z", ("127.0.0.1", 5000))
    await settle()
    assert sink.batches == []
    assert receiver._sock.fileno() == sender._sock.fileno() == -1


async def test_a_sink_may_close_the_socket() -> None:
    class Closing(Sink):
        def on_batch(self, batch: list[Received], now: float) -> None:
            super().on_batch(batch, now)
            receiver.close()

    sink = Closing()
    receiver = portable(sink)
    for i in range(2 * MAX_BATCH):
        receiver.datagram_received(packet(SRTP, i, 50), ("127.0.0.1", 5000))
    await settle()
    assert len(sink.batches) == 1


async def test_a_loop_that_cannot_drive_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise OSError("no endpoint today")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_datagram_endpoint", refuse)
    sender = portable(Sink())
    sender.send(b"\x80x", ("127.0.0.1", 9))
    with caplog.at_level(logging.WARNING):
        await settle()
    assert "no endpoint today" in caplog.text
    assert (sender.counters.send_errors, sender._queue) == (1, [])
    sender.close()


async def test_errors_of_the_network_are_counted() -> None:
    sender = portable(Sink())
    await settle()
    sender.send(b"\x80x", ("::1", 9))  # from an IPv4 socket
    sender.error_received(ConnectionResetError())
    assert sender.counters.send_errors == 2
    sender.close()


async def test_who_chooses_the_form() -> None:
    class WithoutReaders(asyncio.BaseEventLoop):
        """As Windows' default loop: it has no add_reader of its own."""

    windows = WithoutReaders()
    assert form_for(windows) is Form.PORTABLE
    windows.close()
    loop = asyncio.get_running_loop()
    assert form_for(loop) is (Form.BATCHED if HAS_MESSAGES else Form.PORTABLE)
    opened: list[Address] = []

    def make_socket(local: Address, options: UdpOptions) -> Any:
        opened.append(local)
        return bound()

    for form in Form:
        udp = SystemNetwork(form, make_socket).open_udp(("127.0.0.1", 0), Sink())
        assert udp.features.batched is (form is Form.BATCHED)
        udp.close()
    assert opened == [("127.0.0.1", 0)] * 2
    await settle()


async def test_two_agents_on_it() -> None:
    here = SystemNetwork(Form.PORTABLE)
    loop = asyncio.get_running_loop()
    install(loop, Platform(network=lambda: here))
    try:
        a, b = Observer(), Observer()
        a.other, b.other = b, a
        await connect(a, b)
        assert {type(c.udp) for c in a.agent._carriers.values()} == {PortableUdp}  # type: ignore[attr-defined]
        a.agent.send_runs([Run(b"".join(packet(SRTP, i) for i in range(20)), 1200)])
        await b.until(lambda: len(b.data) == 20)
        for each in (a, b):
            await each.agent.close()
    finally:
        uninstall(loop)
