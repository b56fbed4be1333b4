"""What a hostile peer, or a hostile network, may do: nothing raises, nothing grows without bound."""

from __future__ import annotations

import random
from struct import Struct
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtcstack.sctp.association import AssociationState, Drop, SctpAssociation
from rtcstack.sctp.chunks import DATA_HEADER, I_DATA_HEADER, ChunkType, ForwardTsn, Sack, SkippedStream
from rtcstack.sctp.control_block import MAX_CONTROL_CHUNKS
from rtcstack.sctp.data_tracker import MAX_TSN_AHEAD
from rtcstack.sctp.events import AssociationClosed, StreamMessage
from rtcstack.sctp.options import SctpOptions
from rtcstack.sctp.packet import chunk_bytes
from rtcstack.sctp.params import CauseCode, ParamType, param_bytes

WINDOW = 256 * 1024


class Attacked:
    """An association, and the pen of its peer."""

    def __init__(self, **options: Any) -> None:
        options = {"receive_window_bytes": WINDOW, "max_message_size": 65536, **options}
        self.victim = SctpAssociation(SctpOptions(**options), rng=random.Random(1))
        self.peer = SctpAssociation(SctpOptions(**options), rng=random.Random(2))
        self.peer.connect(0.0)
        for _ in range(4):
            self.victim.receive(self.peer.drain(0.0), 0.0)
            self.peer.receive(self.victim.drain(0.0), 0.0)
        self.victim.events()
        assert self.peer._block is not None
        self.writer = self.peer._block.writer
        self.tsn = self.peer._block.outstanding.next_tsn
        self.now = 1.0

    @property
    def block(self) -> Any:
        return self.victim._block

    def write(self, *chunks: bytes) -> list[bytes]:
        """Send chunks to the victim; its answers."""
        self.now += 0.001
        self.victim.receive([self.writer.write(list(chunks))], self.now)
        return self.victim.drain(self.now)

    def data(
        self, offset: int, flags: int = 3, stream_id: int = 0, ssn: int = 0, body: bytes = b"x"
    ) -> bytes:
        header = DATA_HEADER.pack(
            0, flags, 16 + len(body), (self.tsn + offset) & 0xFFFF_FFFF, stream_id, ssn, 53
        )
        return header + body + bytes(-len(body) % 4)

    def alive(self) -> bool:
        return self.victim.state is AssociationState.CONNECTED

    def error(self) -> int | None:
        """The cause code the victim has closed with."""
        closed = [e for e in self.victim.events() if isinstance(e, AssociationClosed)]
        assert len(closed) == 1
        assert closed[0].error is not None
        return closed[0].error.code


chunks = st.tuples(
    st.sampled_from([int(kind) for kind in ChunkType]) | st.integers(0, 255),
    st.integers(0, 255),
    st.binary(max_size=64),
)


@settings(max_examples=400)
@given(st.lists(st.lists(chunks, min_size=1, max_size=4), max_size=8), st.booleans())
def test_arbitrary_chunks_never_raise(
    packets: list[list[tuple[int, int, bytes]]], interleaving: bool
) -> None:
    attacked = Attacked(interleaving=interleaving)
    attacked.victim.send(0, 53, b"something in flight", now=0.5)
    attacked.victim.drain(0.5)
    for packet in packets:
        attacked.write(*(chunk_bytes(*chunk) for chunk in packet))
        attacked.victim.events()
        deadline = attacked.victim.next_timeout()
        if deadline is not None:
            attacked.now = max(attacked.now, deadline)
            attacked.victim.handle_timeout(attacked.now)


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=80), max_size=10), st.binary(max_size=40))
def test_arbitrary_bytes_never_raise(packets: list[bytes], tail: bytes) -> None:
    attacked = Attacked()
    attacked.victim.receive(packets, 1.0)
    header = attacked.writer.write([])[:12]
    attacked.victim.receive([header + tail, header, b""], 1.0)
    assert sum(attacked.victim.drops.values()) + len(attacked.victim.events()) > 0


@settings(max_examples=300)
@given(st.data())
def test_a_bit_flipped_anywhere_is_found_by_the_checksum(data: st.DataObject) -> None:
    attacked = Attacked(zero_checksum=False)
    packet = bytearray(attacked.writer.write([attacked.data(0, body=b"precious")]))
    bit = data.draw(st.integers(0, 8 * len(packet) - 1))
    packet[bit // 8] ^= 1 << bit % 8
    attacked.victim.receive([bytes(packet)], 1.0)
    assert not [e for e in attacked.victim.events() if isinstance(e, StreamMessage)]
    assert sum(attacked.victim.drops.values()) == 1


def test_buffers_may_be_used_again_after_the_call() -> None:
    attacked = Attacked()
    buffer = bytearray(attacked.writer.write([attacked.data(0, body=b"mine now")]))
    attacked.victim.receive([memoryview(buffer)], 1.0)
    buffer[:] = bytes(len(buffer))
    assert [e.data for e in attacked.victim.events() if isinstance(e, StreamMessage)] == [b"mine now"]


def test_lying_lengths() -> None:
    for length in (0, 3, 15, 16, 17, 100, 65535):
        attacked = Attacked()
        packet = attacked.data(0, body=b"abcd")
        attacked.write(packet[:2] + length.to_bytes(2, "big") + packet[4:])
        messages = [e.data for e in attacked.victim.events() if isinstance(e, StreamMessage)]
        assert messages == ([b"a"] if length == 17 else [])
        assert attacked.alive()
    attacked = Attacked()
    attacked.write(attacked.data(0, body=b""))
    assert attacked.error() == CauseCode.NO_USER_DATA


def test_sacks_for_what_was_never_sent() -> None:
    attacked = Attacked()
    attacked.victim.send(0, 53, b"one", now=1.0)
    attacked.victim.drain(1.0)
    sent = attacked.block.outstanding.next_tsn - 1
    for ahead in (1, 1000, 1 << 30):
        attacked.write(Sack((sent + ahead) & 0xFFFF_FFFF, 1000).to_bytes())
    assert attacked.victim.drops == {Drop.ACKED_UNSENT: 3}
    attacked.write(Sack((sent - 1) & 0xFFFF_FFFF, 1000, (1, 1, 5, 60000)).to_bytes())
    assert attacked.block.outstanding.flight_bytes == 0
    assert not attacked.block.outstanding.is_empty
    attacked.write(Sack((sent - 100) & 0xFFFF_FFFF, 1000).to_bytes())
    attacked.write(Sack(sent & 0xFFFF_FFFF, 1000).to_bytes())
    assert attacked.block.outstanding.is_empty
    assert attacked.alive()


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(-3, 60), st.lists(st.integers(1, 80), max_size=12)), max_size=25))
def test_any_sacks_keep_the_books_straight(sacks: list[tuple[int, list[int]]]) -> None:
    """Forged, reneging, overtaken: what is in flight stays what the chunks say."""
    attacked = Attacked()
    first = attacked.block.outstanding.next_tsn
    for number in range(50):
        attacked.victim.send(number % 3, 53, bytes(700), max_retransmits=None if number % 2 else 1, now=1.0)
    attacked.now = 1.0
    for cumulative, edges in sacks:
        edges = sorted(set(edges))
        gaps = tuple(edges[: len(edges) // 2 * 2])
        chunk = Sack((first - 1 + cumulative) & 0xFFFF_FFFF, 100_000, gaps).to_bytes()
        attacked.now += 0.02
        attacked.victim.receive([attacked.writer.write([chunk])], attacked.now)
        attacked.victim.handle_timeout(attacked.now)
        while attacked.victim.drain(attacked.now):
            pass
        outstanding = attacked.block.outstanding
        states = [chunk for chunk in outstanding._chunks.values() if chunk.state == 0]
        assert outstanding.flight_bytes == sum(len(chunk.data) for chunk in states)
        assert list(outstanding._chunks) == list(range(outstanding.cumulative_tsn + 1, outstanding.next_tsn))
        assert attacked.victim.next_timeout() is not None
    # An honest peer from here on: everything is settled.
    for _ in range(200):
        outstanding = attacked.block.outstanding
        last = outstanding.next_tsn - 1
        attacked.now += 1.0
        attacked.write(Sack(last & 0xFFFF_FFFF, 100_000).to_bytes())
        if outstanding.is_empty and not attacked.victim.buffered_bytes:
            break
    assert outstanding.is_empty
    assert outstanding.flight_bytes == 0


def test_a_storm_of_sacks_with_many_gaps_is_cheap() -> None:
    attacked = Attacked()
    for _ in range(400):
        attacked.victim.send(0, 53, bytes(1100), now=1.0)
    outstanding = attacked.block.outstanding
    outstanding.congestion.window_bytes = 1 << 20
    outstanding.peer_window_bytes = 1 << 20
    while attacked.victim.drain(1.0):
        pass
    gaps = tuple(edge for start in range(2, 400, 2) for edge in (start, start))
    packet = attacked.writer.write([Sack(outstanding.cumulative_tsn & 0xFFFF_FFFF, 1 << 20, gaps).to_bytes()])
    start = perf_counter()
    for number in range(500):
        attacked.victim.receive([packet], 1.0001 + number * 1e-6)
    assert perf_counter() - start < 2.0


def test_data_that_fills_the_window_and_never_completes() -> None:
    attacked = Attacked()
    for number in range(3000):
        attacked.write(attacked.data(2 * number + 1, flags=2, body=bytes(1100)))
        if not attacked.alive():
            break
        assert attacked.block.reassembly.held_bytes <= WINDOW + 2 * 65536
    assert attacked.alive()
    assert attacked.block.chunks_refused > 0
    # In order, one after the other, each the first of a message: the limit ends it.
    attacked = Attacked()
    number = 0
    while attacked.alive() and number < 5000:
        attacked.write(attacked.data(number, flags=2, ssn=number & 0xFFFF, body=bytes(1100)))
        number += 1
    assert attacked.error() == CauseCode.OUT_OF_RESOURCE


def test_tiny_fragments_are_charged_for() -> None:
    attacked = Attacked()
    number = 0
    while attacked.alive() and number < 10_000:
        attacked.write(*(attacked.data(number + k, flags=2, body=b"x") for k in range(50)))
        number += 50
    assert number < 3000
    assert attacked.error() == CauseCode.OUT_OF_RESOURCE


def test_a_message_backwards_costs_no_square() -> None:
    attacked = Attacked(receive_window_bytes=5 << 20)
    parts = 4000
    start = perf_counter()
    for offset in range(parts - 1, -1, -1):
        flags = (2 if offset == 0 else 0) | (1 if offset == parts - 1 else 0)
        attacked.victim.receive([attacked.writer.write([attacked.data(offset, flags, body=b"abc")])], 1.0)
    assert perf_counter() - start < 2.0
    assert [e.data for e in attacked.victim.events() if isinstance(e, StreamMessage)] == [b"abc" * parts]


def test_tsns_far_ahead_are_refused() -> None:
    attacked = Attacked()
    attacked.write(attacked.data(MAX_TSN_AHEAD + 10), attacked.data(1 << 31))
    assert not attacked.block.tracker.has_gaps
    assert attacked.alive()


def test_forward_tsn_that_jumps_or_names_many_streams() -> None:
    attacked = Attacked()
    skipped = tuple(SkippedStream(stream_id, 7) for stream_id in range(250))
    for step in range(1, 200):
        forward = ForwardTsn((attacked.tsn + step * 100) & 0xFFFF_FFFF, skipped)
        attacked.write(forward.to_bytes(interleaved=False))
    assert attacked.alive()
    attacked.write(attacked.data(199 * 100 + 1, ssn=8))
    assert [e.data for e in attacked.victim.events() if isinstance(e, StreamMessage)] == [b"x"]
    attacked.write(ForwardTsn((attacked.tsn + (1 << 30)) & 0xFFFF_FFFF, ()).to_bytes(interleaved=False))
    assert attacked.error() == CauseCode.PROTOCOL_VIOLATION


@pytest.mark.parametrize("kind", ["I-DATA", "I-FORWARD-TSN", "FORWARD-TSN"])
def test_chunks_that_were_not_agreed_end_the_association(kind: str) -> None:
    attacked = Attacked(partial_reliability=kind != "FORWARD-TSN")
    if kind == "I-DATA":
        attacked.write(I_DATA_HEADER.pack(64, 3, 21, attacked.tsn & 0xFFFF_FFFF, 0, 0, 0, 53) + b"x\0\0\0")
    else:
        attacked.write(ForwardTsn(0, ()).to_bytes(interleaved=kind == "I-FORWARD-TSN"))
    assert attacked.error() == CauseCode.PROTOCOL_VIOLATION


def test_resets_of_all_streams_in_any_number() -> None:
    attacked = Attacked()
    assert attacked.peer._block is not None
    number = attacked.peer._block.resets._next_number
    last = (attacked.tsn - 1) & 0xFFFF_FFFF
    every = Struct("!32000H").pack(*range(32000))
    start = perf_counter()
    for step in range(50):
        value = Struct("!III").pack((number + step) & 0xFFFF_FFFF, 0, last) + (every if step % 2 else b"")
        answers = attacked.write(
            chunk_bytes(ChunkType.RE_CONFIG, 0, param_bytes(ParamType.OUTGOING_RESET, value))
        )
        assert len(answers) == 1
    assert perf_counter() - start < 2.0
    assert attacked.alive()
    # A reset that waits for data which never comes is replaced, not piled up.
    for step in range(50, 100):
        value = Struct("!III").pack((number + step) & 0xFFFF_FFFF, 0, (last + 1000) & 0xFFFF_FFFF)
        attacked.write(chunk_bytes(ChunkType.RE_CONFIG, 0, param_bytes(ParamType.OUTGOING_RESET, value)))
    assert attacked.block.resets.is_deferring
    # Numbers out of turn, other requests, a packet full of them.
    for kind in (ParamType.INCOMING_RESET, ParamType.SSN_TSN_RESET, ParamType.ADD_OUTGOING_STREAMS):
        attacked.write(chunk_bytes(ChunkType.RE_CONFIG, 0, param_bytes(kind, bytes(8)) * 60))
    assert len(attacked.block.resets.replies) <= 8
    assert attacked.alive()


def test_a_flood_of_heartbeats_and_unknown_chunks_is_answered_within_bounds() -> None:
    attacked = Attacked()
    heartbeat = chunk_bytes(ChunkType.HEARTBEAT, 0, bytes(20))
    unknown = chunk_bytes(0xFE, 0, bytes(20))
    packet = attacked.writer.write([heartbeat] * 20 + [unknown] * 20)
    attacked.victim.receive([packet] * 200, 1.0)
    assert len(attacked.block.control) <= MAX_CONTROL_CHUNKS
    answers = attacked.victim.drain(1.0)
    assert len(answers) < 10
    assert all(len(answer) <= 1191 for answer in answers)


def test_a_heartbeat_that_fits_no_packet_is_not_answered() -> None:
    attacked = Attacked()
    assert attacked.write(chunk_bytes(ChunkType.HEARTBEAT, 0, bytes(3000))) == []
    assert attacked.write(chunk_bytes(ChunkType.HEARTBEAT, 0, bytes(20))) != []


def test_no_packet_is_ever_longer_than_the_mtu() -> None:
    rng = random.Random(5)
    attacked = Attacked(mtu_bytes=600)
    for number in range(300):
        attacked.write(
            attacked.data(3 * number + 1, flags=2, body=bytes(rng.randrange(1, 500))),
            chunk_bytes(ChunkType.HEARTBEAT, 0, bytes(rng.randrange(500))),
        )
        attacked.victim.send(rng.randrange(50), 53, bytes(rng.randrange(1, 3000)), max_retransmits=0, now=1.0)
        for packet in attacked.victim.drain(attacked.now + 1):
            assert len(packet) <= 600
        attacked.now += 1
        attacked.victim.handle_timeout(attacked.now)
