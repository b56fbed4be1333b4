"""The send queue: fragments, packing, whose turn it is, and what expires."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.errors import OperationError
from rtcstack.sctp.association import SctpAssociation
from rtcstack.sctp.chunks import DATA_HEADER
from rtcstack.sctp.events import SctpEvent, StreamBufferedAmountLow
from rtcstack.sctp.packet import split_chunks
from rtcstack.sctp.send_queue import MESSAGE_OVERHEAD_BYTES, SendQueue

ROOM = 1176


def make(events: list[SctpEvent] | None = None) -> SendQueue:
    return SendQueue([] if events is None else events, 1 << 30, ROOM)


def take_packets(queue: SendQueue, now: float = 0.0, packets: int = 1 << 30) -> list[list[bytes]]:
    """Chunks, packed as the transmitter packs them."""
    result = []
    tsn = 1
    while len(result) < packets:
        room, parts = ROOM, []
        while (chunk := queue.next_chunk(tsn, room, now)) is not None:
            parts.append(chunk.data)
            room -= len(chunk.data)
            tsn += 1
            assert room >= 0
        if not parts:
            return result
        result.append(parts)
    return result


def fields(chunk: bytes) -> tuple[int, int, int, bytes]:
    """Flags, stream, sequence number, payload."""
    _, flags, length, _, stream_id, ssn, _ = DATA_HEADER.unpack_from(chunk)
    return flags, stream_id, ssn, chunk[16:length]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 5000)), max_size=30))
def test_every_byte_goes_out_once_and_in_order(plan: list[tuple[int, int]]) -> None:
    queue = make()
    rng = random.Random(1)
    sent: dict[int, list[bytes]] = {}
    for stream_id, size in plan:
        data = rng.randbytes(size)
        sent.setdefault(stream_id, []).append(data)
        queue.add(stream_id, 53, data, True, None, None)
    got: dict[int, list[bytes]] = {}
    open_message: tuple[int, int] | None = None
    for packet in take_packets(queue):
        assert sum(map(len, packet)) <= ROOM
        for chunk in packet:
            assert len(chunk) % 4 == 0
            flags, stream_id, ssn, payload = fields(chunk)
            if flags & 2:
                assert open_message is None, "a message begins within another"
                got.setdefault(stream_id, []).append(b"")
                assert ssn == len(got[stream_id]) - 1
            else:
                assert open_message == (stream_id, ssn)
            got[stream_id][-1] += payload
            open_message = None if flags & 1 else (stream_id, ssn)
    assert got == sent
    assert queue.is_empty
    assert queue.buffered_bytes == 0


def test_bulk_fills_every_packet() -> None:
    queue = make()
    for _ in range(20):
        queue.add(0, 53, bytes(16384), True, None, None)
    packets = take_packets(queue)
    # A tail shorter than a fragment is worth leaves a little room, never more.
    assert all(sum(map(len, packet)) > ROOM - 80 for packet in packets[:-1])


def test_small_messages_are_bundled_and_not_cut() -> None:
    queue = make()
    for _ in range(90):
        queue.add(0, 53, bytes(100), True, None, None)
    packets = take_packets(queue)
    assert [len(packet) for packet in packets] == [10] * 9
    assert all(fields(chunk)[0] == 3 for packet in packets for chunk in packet)


def test_streams_of_equal_priority_take_turns() -> None:
    queue = make()
    for stream_id in (1, 2, 3):
        for _ in range(10):
            queue.add(stream_id, 53, bytes(1000), True, None, None)
    order = [fields(chunk)[1] for packet in take_packets(queue) for chunk in packet]
    for turn in range(10):
        assert sorted(order[3 * turn : 3 * turn + 3]) == [1, 2, 3]


def test_an_idle_stream_earns_no_credit() -> None:
    queue = make()
    for _ in range(50):
        queue.add(1, 53, bytes(1000), True, None, None)
    take_packets(queue, packets=40)
    for _ in range(10):
        queue.add(2, 53, bytes(1000), True, None, None)
    order = [fields(chunk)[1] for packet in take_packets(queue, packets=10) for chunk in packet]
    assert 4 <= order.count(2) <= 6


def test_shares_follow_priorities() -> None:
    queue = make()
    for stream_id, priority in ((1, 128), (2, 256), (3, 512)):
        queue.stream(stream_id).priority = priority
        for _ in range(400):
            queue.add(stream_id, 53, bytes(1000), True, None, None)
    order = [fields(chunk)[1] for packet in take_packets(queue, packets=280) for chunk in packet]
    assert abs(order.count(1) - 40) <= 2
    assert abs(order.count(2) - 80) <= 2
    assert abs(order.count(3) - 160) <= 2


def test_expired_messages_are_not_sent_and_leave_no_gap() -> None:
    events: list[SctpEvent] = []
    queue = make(events)
    queue.add(1, 53, bytes(10), True, None, 1.0)
    queue.add(1, 53, b"kept", True, None, 3.0)
    queue.add(2, 53, bytes(10), True, None, 1.0)
    queue.add(1, 53, b"also", True, None, None)
    got = [fields(chunk) for packet in take_packets(queue, now=2.0) for chunk in packet]
    assert [(ssn, payload) for _, _, ssn, payload in got] == [(0, b"kept"), (1, b"also")]
    assert queue.expired == 2
    assert queue.buffered_bytes == 0
    assert sorted(e.stream_id for e in events if isinstance(e, StreamBufferedAmountLow)) == [1, 2]


def test_all_packets_of_bulk_are_of_one_size_for_segmentation_offload() -> None:
    a, b = SctpAssociation(), SctpAssociation()
    a.connect(0.0)
    for _ in range(4):
        b.receive(a.drain(0.0), 0.0)
        a.receive(b.drain(0.0), 0.0)
    for _ in range(4):
        a.send(0, 53, bytes(65536), now=0.0)
    packets = a.drain(0.0)
    assert len({len(packet) for packet in packets}) == 1
    assert len(packets[0]) == 1188
    assert all(len(split_chunks(packet)) == 1 for packet in packets)


@pytest.mark.parametrize("size", [1, 10, 1000])
def test_the_send_buffer_charges_what_messages_cost(size: int) -> None:
    limit = 1 << 20
    queue = SendQueue([], limit, 1176)
    taken = 0
    while taken <= limit:
        try:
            queue.add(taken % 3, 53, bytes(size), True, None, None)
        except OperationError:
            break
        taken += 1
    assert queue.buffered_bytes == taken * size
    assert (
        limit - 2 * (size + MESSAGE_OVERHEAD_BYTES) <= taken * (size + MESSAGE_OVERHEAD_BYTES) <= limit + 200
    )
    tsn = 1
    while (chunk := queue.next_chunk(tsn, 1176, 0.0)) is not None:
        tsn += 1
        if chunk.tsn == taken // 2:
            queue.forget(1)
    assert queue.messages_waiting == queue.buffered_bytes == 0
