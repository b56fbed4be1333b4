"""UDP in batches, and sorted, on real loopback sockets: kinds of packets, full buffers, closing."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from rtcstack.clock import monotonic
from rtcstack.engine import Address, Run
from rtcstack.ice.sorting import PacketSorter
from rtcstack.network.batched import (
    MAX_BYTES_PER_PASS,
    MAX_QUEUED_BYTES,
    MAX_READS_PER_PASS,
    BatchedUdp,
)
from rtcstack.platform import Received

DTLS, SRTP, STUN, UNKNOWN = 22, 128, 0, 200


class Sink:
    def __init__(self, *, accepts: bool = True) -> None:
        self.accepts = accepts
        self.dtls: list[Run] = []
        self.srtp: list[bytes] = []
        self.stun: list[bytes] = []
        self.arrived: list[float] = []
        self.passes = 0
        self.on_stun_received: Any = None
        self.sorter = PacketSorter(self)

    def on_datagrams(
        self, dtls: list[Run], srtp: list[bytes], now: float, arrived: list[float] | None = None
    ) -> None:
        self.passes += 1
        self.dtls += dtls
        self.srtp += srtp
        self.arrived += [now] * len(srtp) if arrived is None else arrived

    def route(self, address: Address) -> Sink | None:
        return self if self.accepts else None

    def on_stun(self, data: bytes, address: Address, now: float) -> None:
        self.stun.append(data)
        if self.on_stun_received is not None:
            self.on_stun_received()

    @property
    def dtls_datagrams(self) -> list[bytes]:
        return [d for run in self.dtls for d in run.datagrams()]


def bound() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind(("127.0.0.1", 0))
    return sock


def endpoint(sink: Sink, sock: socket.socket | None = None) -> BatchedUdp:
    sink.sorter.udp = udp = BatchedUdp(asyncio.get_running_loop(), sock or bound(), sink.sorter)
    return udp


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def packet(kind: int, number: int, size: int = 1200) -> bytes:
    return bytes([kind]) + number.to_bytes(4, "big") + bytes(size - 5)


async def test_a_run_arrives_as_it_was_sent() -> None:
    receiver_sink = Sink()
    receiver, sender = endpoint(receiver_sink), endpoint(Sink())
    datagrams = [packet(DTLS, i) for i in range(200)] + [packet(DTLS, 999, 300)]
    sender.send_runs([Run(b"".join(datagrams), 1200)], receiver.sockname)
    await settle()
    assert receiver_sink.dtls_datagrams == datagrams
    assert sender.counters.packets_sent == receiver.counters.packets_received == 201
    assert sender.counters.bytes_sent == receiver.counters.bytes_received == 200 * 1200 + 300
    assert receiver_sink.passes <= 2, "batches, not packets"
    sender.close()
    receiver.close()


async def test_without_segmentation_offload() -> None:
    receiver_sink = Sink()
    receiver, sender = endpoint(receiver_sink), endpoint(Sink())
    sender._gso = False
    datagrams = [packet(SRTP, i, 700) for i in range(50)]
    sender.send_runs([Run(b"".join(datagrams), 700)], receiver.sockname)
    await settle()
    assert receiver_sink.srtp == datagrams
    sender.close()
    receiver.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's times are Linux'")
async def test_a_busy_loop_tells_packets_apart_by_the_kernels_times() -> None:
    sink = Sink()
    receiver = endpoint(sink)
    with bound() as plain:
        plain.connect(receiver.sockname)
        # the kernel begins to note times a moment after it was asked to
        for _ in range(20):
            sink.srtp, sink.arrived, sent = [], [], []
            for i in range(4):
                plain.send(packet(SRTP, i))
                sent.append(monotonic())
                time.sleep(0.01)  # the loop is busy
            await settle()
            off_s = [abs(told - at) for at, told in zip(sent, sink.arrived, strict=True)]
            if max(off_s) < 0.005:
                break
            await asyncio.sleep(0.05)
    # each at its own time, not all of them when they were read, 10 to 40 ms later
    assert max(off_s) < 0.005
    receiver.close()


class Refusing:
    """A socket whose kernel does not know UDP_SEGMENT."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def sendmsg(self, *arguments: Any) -> int:
        raise OSError(errno.EINVAL, "no such option")


async def test_a_kernel_that_refuses_offload_is_asked_once() -> None:
    receiver_sink = Sink()
    receiver = endpoint(receiver_sink)
    sender = endpoint(Sink(), Refusing(bound()))  # type: ignore[arg-type]
    datagrams = [packet(DTLS, i) for i in range(10)]
    sender.send_runs([Run(b"".join(datagrams), 1200)], receiver.sockname)
    await settle()
    assert receiver_sink.dtls_datagrams == datagrams
    assert sender._gso is False
    assert sender.counters.packets_sent == 10
    sender.close()
    receiver.close()


class RefusingLater(Refusing):
    """A socket whose device takes one run with UDP_SEGMENT, and no other."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.taken = 0

    def sendmsg(self, *arguments: Any) -> int:
        self.taken += 1
        if self.taken > 1:
            raise OSError(errno.EIO, "no segmentation offload here")
        return self._sock.sendmsg(*arguments)


async def test_offload_that_is_refused_in_the_midst_of_a_run_repeats_nothing() -> None:
    receiver_sink = Sink()
    receiver = endpoint(receiver_sink)
    sender = endpoint(Sink(), RefusingLater(bound()))  # type: ignore[arg-type]
    if not sender._gso:
        pytest.skip("no segmentation offload here")
    datagrams = [packet(DTLS, i) for i in range(100)]
    sender.send_runs([Run(b"".join(datagrams), 1200)], receiver.sockname)
    await settle()
    assert receiver_sink.dtls_datagrams == datagrams
    assert (sender.counters.packets_sent, sender.counters.bytes_sent) == (100, 120_000)
    sender.close()
    receiver.close()


async def test_kinds_are_told_apart_even_within_a_run() -> None:
    sink = Sink()
    receiver, sender = endpoint(sink), endpoint(Sink())
    kinds = [DTLS, SRTP, STUN, UNKNOWN, DTLS, SRTP]
    sender.send_runs([Run(b"".join(packet(k, i, 100) for i, k in enumerate(kinds)), 100)], receiver.sockname)
    await settle()
    assert [d[4] for d in sink.dtls_datagrams] == [0, 4]
    assert [d[4] for d in sink.srtp] == [1, 5]
    assert [d[4] for d in sink.stun] == [2]
    assert sink.sorter.dropped_unknown_kind == 1
    sender.close()
    receiver.close()


async def test_strangers_may_only_send_stun() -> None:
    sink = Sink(accepts=False)
    receiver, sender = endpoint(sink), endpoint(Sink())
    for kind in (STUN, DTLS, SRTP):
        sender.send(packet(kind, 1), receiver.sockname)
    await settle()
    assert len(sink.stun) == 1
    assert (sink.dtls, sink.srtp) == ([], [])
    assert sink.sorter.dropped_unknown_source == 2
    sender.close()
    receiver.close()


async def test_empty_datagrams_are_nothing() -> None:
    sink = Sink()
    receiver, sender = endpoint(sink), endpoint(Sink())
    sender.send(b"", receiver.sockname)
    sender.send(packet(DTLS, 7), receiver.sockname)
    await settle()
    assert sink.dtls_datagrams == [packet(DTLS, 7)]
    sender.close()
    receiver.close()


class Blocking(Refusing):
    """A socket whose buffer is full until told otherwise."""

    full = True

    def _try(self, name: str, arguments: Sequence[Any]) -> Any:
        if self.full:
            raise BlockingIOError
        return getattr(self._sock, name)(*arguments)

    def sendto(self, *arguments: Any) -> Any:
        return self._try("sendto", arguments)

    def sendmsg(self, *arguments: Any) -> Any:
        return self._try("sendmsg", arguments)


async def test_a_full_buffer_keeps_order_and_is_bounded() -> None:
    sink = Sink()
    receiver = endpoint(sink)
    sock = Blocking(bound())
    sender = endpoint(Sink(), sock)  # type: ignore[arg-type]
    run = Run(b"".join(packet(DTLS, i) for i in range(20)), 1200)
    sender.send_runs([run], receiver.sockname)
    sender.send(packet(DTLS, 20), receiver.sockname)
    for _ in range(2 * MAX_QUEUED_BYTES // 24_000):
        sender.send_runs([run], receiver.sockname)
    assert sender.counters.dropped_queue_full > 0
    assert sender._queued_bytes <= MAX_QUEUED_BYTES
    sock.full = False
    await settle()
    numbers = [int.from_bytes(d[1:5], "big") for d in sink.dtls_datagrams[:21]]
    assert numbers == list(range(21))
    sender.close()
    receiver.close()


class Endless(Refusing):
    """A socket in which there is always something."""

    reads = 0

    def __init__(self, sock: socket.socket, size: int) -> None:
        super().__init__(sock)
        self.size = size

    def recvmsg_into(self, buffers: Any, _ancillary: int) -> tuple[int, list[Any], int, Address]:
        self.reads += 1
        buffers[0][: self.size] = packet(SRTP, self.reads, self.size)
        return self.size, [], 0, ("192.0.2.1", 5000)


@pytest.mark.parametrize(
    ("size", "reads"), [(100, MAX_READS_PER_PASS), (60_000, MAX_BYTES_PER_PASS // 60_000 + 1)]
)
async def test_one_pass_ends(size: int, reads: int) -> None:
    sink = Sink()
    sock = Endless(bound(), size)
    receiver = endpoint(sink, sock)  # type: ignore[arg-type]
    receiver._on_readable()
    assert sock.reads == len(sink.srtp) == receiver.counters.packets_received == reads
    assert sink.passes == 1
    receiver.close()


async def test_errors_of_the_network_are_counted() -> None:
    class Broken(Refusing):
        def sendto(self, *arguments: Any) -> int:
            raise OSError(errno.ENETUNREACH, "no route")

    sender = endpoint(Sink(), Broken(bound()))  # type: ignore[arg-type]
    sender.send(b"x", ("192.0.2.1", 9))
    assert sender.counters.send_errors == 1
    sender.close()


async def test_closing_silences() -> None:
    sink = Sink()
    receiver, sender = endpoint(sink), endpoint(Sink())
    sender.send(packet(DTLS, 1), receiver.sockname)
    receiver.close()
    receiver.close()
    assert receiver.is_closed
    await settle()
    assert sink.dtls == []
    receiver.send(b"x", sender.sockname)
    sender.close()


async def test_packets_of_each_address_go_to_its_own_receiver() -> None:
    class Receiver:
        def __init__(self) -> None:
            self.got: list[bytes] = []

        def on_datagrams(
            self, dtls: list[Run], srtp: list[bytes], now: float, arrived: list[float] | None = None
        ) -> None:
            self.got += srtp

    class Many(Sink):
        def __init__(self) -> None:
            super().__init__()
            self.receivers: dict[Address, Receiver] = {}

        def route(self, address: Address) -> Any:
            return self.receivers.get(address)

    sink = Many()
    receiver = endpoint(sink)
    senders = [endpoint(Sink()) for _ in range(3)]
    for sender in senders[:2]:
        sink.receivers[sender.sockname] = Receiver()
    for i in range(10):
        for sender in senders:
            sender.send(packet(SRTP, i, 50), receiver.sockname)
    await settle()
    for sender in senders[:2]:
        got = sink.receivers[sender.sockname].got
        assert [d[4] for d in got] == list(range(10))
    assert sink.sorter.dropped_unknown_source == 10
    for each in (receiver, *senders):
        each.close()


async def test_a_raw_socket_sorts_nothing() -> None:
    class Raw:
        runs: ClassVar[list[tuple[Address, Run]]] = []

        def on_batch(self, batch: list[Received], now: float) -> None:
            self.runs += [(address, Run(data, segment)) for data, segment, address, _ in batch]

    raw = Raw()
    receiver = BatchedUdp(asyncio.get_running_loop(), bound(), raw)
    sender = endpoint(Sink())
    kinds = [DTLS, SRTP, STUN, UNKNOWN, 64]
    for kind in kinds:
        sender.send(packet(kind, 1, 40), receiver.sockname)
    sender.send_runs([Run(packet(64, 1, 100) * 3, 100)], receiver.sockname)
    await settle()
    assert [r.data[0] for _, r in raw.runs[:5]] == kinds
    assert b"".join(r.data for _, r in raw.runs[5:]) == packet(64, 1, 100) * 3
    assert {a for a, _ in raw.runs} == {sender.sockname}
    receiver.close()
    sender.close()


async def test_closing_from_within_a_pass() -> None:
    sink = Sink()
    receiver, sender = endpoint(sink), endpoint(Sink())
    sink.on_stun_received = receiver.close
    for _ in range(3):
        sender.send(packet(STUN, 1), receiver.sockname)
    await settle()
    assert len(sink.stun) == 1
    sender.close()
