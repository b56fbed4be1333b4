"""A drain leaves nothing behind: what may be sent is sent, or there is a time at which it will be."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtcstack.engine import Buffer
from rtcstack.sctp.association import SctpAssociation
from rtcstack.sctp.channels import DataChannels
from rtcstack.sctp.chunks import ChunkType
from rtcstack.sctp.control_block import MAX_BATCH
from rtcstack.sctp.options import SctpOptions
from rtcstack.sctp.packet import chunk_bytes, split_chunks
from rtcstack.sctp.params import ParamType, param_bytes
from tests.unit.sctp.pair import Pair

PENDING = ["nothing", "a SACK", "a SACK that waits", "control chunks", "a stream reset", "a FORWARD TSN"]


def two(*, interleaving: bool) -> tuple[SctpAssociation, SctpAssociation]:
    options = SctpOptions(interleaving=interleaving)
    a, b = (SctpAssociation(options, rng=random.Random(seed)) for seed in (1, 2))
    a.connect(0.0)
    for _ in range(4):
        b.receive(a.drain(0.0), 0.0)
        a.receive(b.drain(0.0), 0.0)
    a.events(), b.events()
    return a, b


def prepare(pending: str, a: SctpAssociation, b: SctpAssociation, now: float) -> None:
    """Have something beside data wait at `a`."""
    assert a._block is not None
    if pending.startswith("a SACK"):
        for _ in range(2 if pending == "a SACK" else 1):
            b.send(0, 53, b"a question", now=now)
        while packets := b.drain(now):
            a.receive(packets, now)
    elif pending == "control chunks":
        for size in (4, 40, 700):
            info = param_bytes(ParamType.HEARTBEAT_INFO, bytes(size))
            a._block.queue_control(chunk_bytes(ChunkType.HEARTBEAT_ACK, 0, info))
    elif pending == "a stream reset":
        a.reset_streams(range(100, 200))
    elif pending == "a FORWARD TSN":
        a.send(9, 53, b"soon given up", max_retransmits=0, now=now)
        message = a._queue.stream(9).messages[0]
        assert a.drain(now)
        a._block.outstanding.abandon(message, now)


def settle(a: SctpAssociation, b: SctpAssociation, now: float) -> float:
    for _ in range(4):
        now += 0.05
        for one, other in ((a, b), (b, a)):
            one.handle_timeout(now)
            while packets := one.drain(now):
                other.receive(packets, now)
            one.events()
    return now


@pytest.mark.parametrize("interleaving", [False, True])
@pytest.mark.parametrize("pending", PENDING)
def test_a_message_of_any_size_leaves_at_once_whatever_else_waits(pending: str, interleaving: bool) -> None:
    a, b = two(interleaving=interleaving)
    now = 1.0
    for size in range(1, 3001):
        prepare(pending, a, b, now)
        a.send(1, 53, bytes(size), now=now)
        packets = a.drain(now)
        assert not a.buffered_bytes, f"{size} bytes were held back"
        assert not a.drain(now), f"with {size} bytes something else was held back"
        b.receive(packets, now)
        now = settle(a, b, now)


@pytest.mark.parametrize("interleaving", [False, True])
def test_a_delayed_acknowledgement_leaves_with_the_answer(interleaving: bool) -> None:
    a, b = two(interleaving=interleaving)
    prepare("a SACK that waits", a, b, 1.0)
    a.send(1, 53, b"the answer", now=1.0)
    (packet,) = a.drain(1.0)
    kinds = [kind for kind, _, _ in split_chunks(packet)]
    assert kinds == [ChunkType.SACK, ChunkType.I_DATA if interleaving else ChunkType.DATA]


def test_control_chunks_that_fit_no_packet_hold_nothing_back() -> None:
    a, _ = two(interleaving=False)
    assert a._block is not None
    for size in (1200, 4000, 16_000):
        a._block.queue_control(chunk_bytes(ChunkType.HEARTBEAT_ACK, 0, bytes(size)))
    a._block.queue_control(chunk_bytes(ChunkType.HEARTBEAT_ACK, 0, bytes(4)))
    a.send(1, 53, b"data", now=1.0)
    (packet,) = a.drain(1.0)
    assert [kind for kind, _, _ in split_chunks(packet)] == [ChunkType.HEARTBEAT_ACK, ChunkType.DATA]


def test_the_end_of_an_expired_message_lets_a_reset_and_a_shutdown_begin() -> None:
    for what in ("reset", "shutdown"):
        a, _ = two(interleaving=False)
        a.send(1, 53, b"late", lifetime_s=0.1, now=1.0)
        if what == "reset":
            a.reset_streams([1])
        else:
            a.shutdown(1.0)
        packets = a.drain(2.0)
        kinds = [kind for packet in packets for kind, _, _ in split_chunks(packet)]
        assert kinds == [ChunkType.RE_CONFIG if what == "reset" else ChunkType.SHUTDOWN]


def test_many_interleaved_messages_that_expire_half_sent_hold_nothing_back() -> None:
    a, _ = two(interleaving=True)
    assert a._block is not None
    for stream in range(3 * MAX_BATCH):
        a.send(stream, 53, bytes(8000), lifetime_s=0.5, now=1.0)
    outstanding = a._block.outstanding
    outstanding.congestion.window_bytes = outstanding.peer_window_bytes = 1200 * 4 * MAX_BATCH
    for _ in range(20):
        a.drain(1.0 + outstanding.flight_bytes / 1e7)
    outstanding.congestion.window_bytes = outstanding.peer_window_bytes = 10_000_000
    a.send(999, 53, b"in time", now=2.0)
    a.drain(2.0)
    assert not a.buffered_bytes


class OneDrain:
    """Channels whose every drain is followed by a look whether it has left anything."""

    def __init__(self, inner: DataChannels) -> None:
        self.inner = inner
        self.looks = 0

    def receive(self, datagrams: Sequence[Buffer], now: float) -> None:
        self.inner.receive(datagrams, now)

    def handle_timeout(self, now: float) -> None:
        self.inner.handle_timeout(now)

    def next_timeout(self) -> float | None:
        return self.inner.next_timeout()

    def events(self) -> Any:
        return self.inner.events()

    def drain(self, now: float) -> list[bytes]:
        packets = self.inner.drain(now)
        if len(packets) < MAX_BATCH // 2:
            self.looks += 1
            left = self.inner.drain(now)
            assert not left, [[kind for kind, _, _ in split_chunks(packet)] for packet in left]
            association = self.inner.association
            block = association._block
            if block is not None and not (association._queue.is_empty and block.outstanding.is_empty):
                assert self.inner.next_timeout() is not None
        return packets


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 10_000),
    st.booleans(),
    st.sampled_from([0.0, 0.05, 0.2]),
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.sampled_from(["a", "b"]),
            st.integers(0, 3),
            st.integers(1, 3000) | st.integers(1140, 1162),
            st.sampled_from([None, 0, 2]),
            st.sampled_from([None, 30]),
        ),
        max_size=40,
    ),
)
def test_no_drain_leaves_anything_whatever_the_traffic(
    seed: int,
    interleaving: bool,
    loss: float,
    traffic: list[tuple[int, str, int, int, int | None, int | None]],
) -> None:
    pair = Pair(
        seed=seed,
        options=SctpOptions(interleaving=interleaving),
        forth={"loss": loss, "rate_bytes_per_s": 300_000, "queue_bytes": 30_000},
        back={"loss": loss},
    )
    for side in (pair.a, pair.b):
        side.host.engine = OneDrain(side.engine)
    pair.establish()
    for wait, who, stream, size, retransmits, lifetime_ms in traffic:
        side = pair.a if who == "a" else pair.b
        lifetime_s = lifetime_ms / 1000 if lifetime_ms and retransmits is None else None
        side.association.send(
            stream, 53, bytes(size), max_retransmits=retransmits, lifetime_s=lifetime_s, now=pair.now
        )
        if wait:
            pair.run(wait / 100)
    for side in (pair.a, pair.b):
        side.association.shutdown(pair.now)
    assert pair.run(300, lambda: pair.a.closed and pair.b.closed)
