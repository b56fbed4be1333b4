"""What a peer's packet may cost: steps in proportion to its bytes, however much is held."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rtcstack.sctp.association import MAX_REPLIES, SctpAssociation
from rtcstack.sctp.channels import DataChannels
from rtcstack.sctp.chunks import I_DATA_HEADER, ChunkType, ForwardTsn, Sack, SkippedStream
from rtcstack.sctp.outstanding import MAX_OUTSTANDING_CHUNKS
from rtcstack.sctp.packet import PacketWriter, chunk_bytes
from rtcstack.sctp.params import ParamType, param_bytes
from tests.unit.sctp.steps import lines_run
from tests.unit.sctp.test_hostile import Attacked

STEPS_PER_BYTE = 12
PACKET_BYTES = 14_000
"""DTLS carries no larger one."""

HELD = 4000


def attacked(**options: Any) -> Attacked:
    return Attacked(receive_window_bytes=4 << 20, max_message_size=1 << 20, **options)


def give(victim: Attacked, chunks: list[bytes]) -> None:
    for first in range(0, len(chunks), 40):
        victim.victim.receive([victim.writer.write(chunks[first : first + 40])], 1.0)
    victim.victim.events()
    assert victim.alive()


def assert_cheap(victim: Attacked, chunks: list[bytes]) -> None:
    """The packet with these chunks costs no more than its bytes allow."""
    packet = victim.writer.write(chunks)
    assert len(packet) <= 16_384
    cost = lines_run(lambda: victim.victim.receive([packet], 2.0), 10 * STEPS_PER_BYTE * len(packet))
    assert cost <= STEPS_PER_BYTE * len(packet), f"{cost} steps for {len(packet)} bytes"
    assert victim.alive()


def fragment(victim: Attacked, offset: int, mid: int, *, stream: int = 1, unordered: bool = False) -> bytes:
    """The first fragment of an interleaved message."""
    flags = 2 | (4 if unordered else 0)
    tsn = (victim.tsn + offset) & 0xFFFF_FFFF
    return I_DATA_HEADER.pack(ChunkType.I_DATA, flags, 24, tsn, stream, 0, mid, 53) + b"abcd"


def forward(tsn: int, skipped: list[SkippedStream], *, interleaved: bool) -> bytes:
    return ForwardTsn(tsn & 0xFFFF_FFFF, tuple(skipped)).to_bytes(interleaved=interleaved)


@pytest.mark.parametrize("stride", [1, 2, 40])
@pytest.mark.parametrize("flags", [0, 1, 2])
def test_forward_tsns_over_incomplete_messages(flags: int, stride: int) -> None:
    victim = attacked()
    give(victim, [victim.data(5000 + 2 * i, flags, ssn=i) for i in range(2000)])
    chunks = [forward(victim.tsn + stride * i, [], interleaved=False) for i in range(PACKET_BYTES // 8)]
    assert_cheap(victim, chunks)


def test_forward_tsns_that_skip_what_waits_for_its_turn() -> None:
    victim = attacked()
    give(victim, [victim.data(5000 + i, 3, ssn=20_000 + i, stream_id=1) for i in range(HELD)])
    entries = PACKET_BYTES // 4
    assert_cheap(
        victim, [forward(victim.tsn, [SkippedStream(1, i) for i in range(entries)], interleaved=False)]
    )


@pytest.mark.parametrize("unordered", [False, True])
def test_interleaved_forward_tsns_over_incomplete_messages(unordered: bool) -> None:
    victim = attacked(interleaving=True)
    give(
        victim,
        [fragment(victim, 5000 + i, 1_000_000 + i, unordered=unordered) for i in range(HELD)],
    )
    skipped = [SkippedStream(1, 100 * i, unordered) for i in range(PACKET_BYTES // 8)]
    assert_cheap(victim, [forward(victim.tsn, skipped, interleaved=True)])


def test_interleaved_forward_tsns_that_skip_what_waits_for_its_turn() -> None:
    victim = attacked(interleaving=True)
    whole = [
        I_DATA_HEADER.pack(
            ChunkType.I_DATA, 3, 24, (victim.tsn + 5000 + i) & 0xFFFF_FFFF, 1, 0, (1 << 30) + i, 53
        )
        + b"abcd"
        for i in range(HELD)
    ]
    give(victim, whole)
    skipped = [SkippedStream(1, 100_000 * i) for i in range(PACKET_BYTES // 8)]
    assert_cheap(victim, [forward(victim.tsn, skipped, interleaved=True)])


def resets(victim: Attacked, count: int, streams: Callable[[int], list[int]]) -> list[bytes]:
    """RE-CONFIGs that ask for resets, one after the other."""
    peer = victim.peer._block
    assert peer is not None
    chunks = []
    for i in range(count):
        value = b"".join(
            (
                ((peer.resets._next_number + i) & 0xFFFF_FFFF).to_bytes(4, "big"),
                bytes(4),
                ((victim.tsn - 1) & 0xFFFF_FFFF).to_bytes(4, "big"),
                *(stream.to_bytes(2, "big") for stream in streams(i)),
            )
        )
        chunks.append(chunk_bytes(ChunkType.RE_CONFIG, 0, param_bytes(ParamType.OUTGOING_RESET, value)))
    return chunks


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("interleaving", [False, True])
def test_resets_while_much_is_incomplete(named: bool, interleaving: bool) -> None:
    victim = attacked(interleaving=interleaving)
    if interleaving:
        give(victim, [fragment(victim, 5000 + i, i, stream=1000 + i) for i in range(HELD)])
    else:
        give(victim, [victim.data(5000 + i, 3, ssn=7, stream_id=1000 + i) for i in range(HELD)])
    chunks = resets(victim, 400, lambda i: [i % 50, 60_000] if named else [])
    if not named:  # the first may let go of everything
        victim.victim.receive([victim.writer.write(chunks[:1])], 2.0)
    assert_cheap(victim, chunks[1:])


def test_resets_of_all_streams_while_many_channels_are_closing() -> None:
    victim = attacked()
    channels = DataChannels(victim.victim, is_dtls_client=True)
    opens = [
        victim.data(i, 3, stream_id=2 * i + 1, body=bytes([3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]))
        for i in range(2000)
    ]
    dcep = [chunk[:12] + (50).to_bytes(4, "big") + chunk[16:] for chunk in opens]
    for first in range(0, len(dcep), 40):
        channels.receive([victim.writer.write(dcep[first : first + 40])], 1.0)
    channels.events()
    assert len(channels.channels) == 2000
    victim.tsn += 2000
    chunks = resets(victim, 400, lambda i: [])
    channels.receive([victim.writer.write(chunks[:1])], 2.0)
    packet = victim.writer.write(chunks[1:])
    cost = lines_run(lambda: channels.receive([packet], 2.0), 10 * STEPS_PER_BYTE * len(packet))
    assert cost <= STEPS_PER_BYTE * len(packet)
    assert victim.alive()


def in_flight(count: int) -> Attacked:
    victim = attacked()
    outstanding = victim.block.outstanding
    for _ in range(count):
        victim.victim.send(0, 53, b"x", now=1.0)
    outstanding.congestion.window_bytes = outstanding.peer_window_bytes = 1 << 24
    outstanding.congestion.pacing_bytes_per_s = 0.0
    while victim.victim.drain(1.0):
        pass
    assert not victim.victim.buffered_bytes
    return victim


@pytest.mark.parametrize("kind", ["with and without", "shifted", "one more each"])
def test_gap_blocks_that_repeat_and_overlap(kind: str) -> None:
    victim = in_flight(HELD)
    base = victim.block.outstanding.cumulative_tsn & 0xFFFF_FFFF

    def gaps(i: int) -> tuple[int, ...]:
        if kind == "with and without":
            return (2, HELD) if i % 2 else ()
        if kind == "shifted":
            return (2 + i % 7, HELD - i % 11)
        return (2, 3 + i)

    victim.write(Sack(base, 1 << 20, (2, HELD)).to_bytes())
    assert_cheap(victim, [Sack(base, 1 << 20, gaps(i)).to_bytes() for i in range(PACKET_BYTES // 20)])


def test_sacks_while_many_messages_have_been_given_up() -> None:
    victim = attacked()
    for i in range(2000):
        victim.victim.send(i % 50, 53, bytes(700), max_retransmits=0, now=1.0)
    outstanding = victim.block.outstanding
    outstanding.congestion.window_bytes = outstanding.peer_window_bytes = 1 << 24
    outstanding.congestion.pacing_bytes_per_s = 0.0
    while victim.victim.drain(1.0):
        pass
    base = outstanding.cumulative_tsn & 0xFFFF_FFFF
    victim.now = 1.5
    victim.write(Sack(base, 1 << 20, (1999, 2000)).to_bytes())
    victim.victim.handle_timeout(10.0)
    assert len(outstanding.abandonment.messages) > 1000
    assert_cheap(victim, [Sack(base, 1 << 20, (1999, 2000)).to_bytes() for _ in range(PACKET_BYTES // 20)])


def test_answers_to_resets_that_we_have_not_asked_for_yet() -> None:
    victim = in_flight(10)
    victim.victim.reset_streams(range(2000))
    for stream in range(2000):
        victim.victim._queue.stream(stream).last_tsn = victim.block.outstanding.next_tsn - 1
    number = victim.block.resets._next_number
    chunks = [
        chunk_bytes(
            ChunkType.RE_CONFIG,
            0,
            param_bytes(
                ParamType.RECONFIG_RESPONSE,
                ((number + i) & 0xFFFF_FFFF).to_bytes(4, "big") + (1).to_bytes(4, "big"),
            ),
        )
        for i in range(400)
    ]
    assert_cheap(victim, chunks)


def test_a_peer_that_never_moves_on_makes_us_keep_no_more_than_the_bound() -> None:
    for retransmits in (None, 0):
        victim = attacked()
        outstanding = victim.block.outstanding
        sent = 0
        while sent < MAX_OUTSTANDING_CHUNKS + 5000:
            for _ in range(1000):
                victim.victim.send(0, 53, b"x", max_retransmits=retransmits, now=victim.now)
                sent += 1
            outstanding.congestion.window_bytes = outstanding.peer_window_bytes = 1 << 20
            outstanding.congestion.pacing_bytes_per_s = 0.0
            while victim.victim.drain(victim.now):
                pass
            base = outstanding.cumulative_tsn
            last = min(outstanding.next_tsn - 1 - base, 0xFFFF)
            victim.write(Sack(base & 0xFFFF_FFFF, 1 << 20, (2, last)).to_bytes())
        assert len(outstanding._chunks) <= MAX_OUTSTANDING_CHUNKS + 1
        assert victim.alive()
        assert victim.victim.next_timeout() is not None


@pytest.mark.parametrize(("at", "what"), [(0.1, "acknowledged"), (100.0, "stale")])
def test_replies_to_copies_of_cookies_are_bounded(at: float, what: str) -> None:
    victim, peer = SctpAssociation(), SctpAssociation()
    peer.connect(0.0)
    victim.receive(peer.drain(0.0), 0.0)
    peer.receive(victim.drain(0.0), 0.0)
    (echo,) = peer.drain(0.0)
    chunk = echo[12:]
    bundle = PacketWriter(5000, 5000, int.from_bytes(echo[4:8], "big")).write([chunk] * 20, checksum=True)
    victim.receive([bundle] * 500, at)
    control = 0 if victim._block is None else len(victim._block.control)
    assert control == (what == "acknowledged")
    assert len(victim._replies) == (MAX_REPLIES if what == "stale" else 0)
