"""Ends that the network disturbs: identifiers used anew, resets that wait, shutdowns, skipped messages."""

from __future__ import annotations

from itertools import pairwise
from struct import Struct

import pytest

from rtcstack.sctp.abandonment import MAX_SKIPPED_STREAMS
from rtcstack.sctp.association import AssociationState, Drop, SctpAssociation
from rtcstack.sctp.channel import ChannelState
from rtcstack.sctp.chunks import ChunkType
from rtcstack.sctp.dcep import OpenMessage, Ppid
from rtcstack.sctp.events import (
    AssociationClosing,
    AssociationConnected,
    ChannelAnnounced,
    ChannelClosing,
    MessageReceived,
    StreamMessage,
)
from rtcstack.sctp.options import SctpOptions
from rtcstack.sctp.packet import chunk_bytes, split_chunks
from rtcstack.sctp.params import ParamType, param_bytes, split_params
from rtcstack.sctp.stream_ids import StreamIds
from rtcstack.sctp.stream_reset import ResetResult
from tests.unit.sctp.pair import Pair

LINK_S = 0.01
ROUND_TRIP_S = 2 * LINK_S


def kinds(datagram: bytes) -> list[int]:
    return [kind for kind, _, _ in split_chunks(datagram)]


def results(datagram: bytes) -> list[int]:
    """The results of the re-configuration responses in a packet."""
    found = []
    for kind, _, body in split_chunks(datagram):
        if kind == ChunkType.RE_CONFIG:
            found += [v[7] for k, v in split_params(body) if k == ParamType.RECONFIG_RESPONSE]
    return found


@pytest.mark.parametrize("negotiated", [False, True])
def test_an_identifier_may_be_used_anew_though_the_answer_to_the_reset_was_lost(negotiated: bool) -> None:
    pair = Pair().establish()
    given = {"negotiated": True, "id": 7} if negotiated else {}
    mine = pair.a.engine.open("first", now=pair.now, **given)
    if negotiated:
        pair.b.engine.open("first", now=pair.now, **given)
    pair.run(0.2)
    # b hears of a's reset, and performs it; that it did, a does not hear
    pair.back.filter = lambda datagram: ResetResult.PERFORMED not in results(datagram)
    pair.a.engine.close(mine, pair.now)
    assert pair.run(5.0, lambda: bool(pair.b.gone()))
    assert mine.state is ChannelState.CLOSING
    assert mine.id is not None

    # b has the identifier back and uses it
    if negotiated:
        again = pair.b.engine.open("second", negotiated=True, id=7, now=pair.now)
    else:
        again = pair.b.engine.open("second", id=mine.id, now=pair.now)
        pair.b.engine._ids, pair.a.engine._ids = StreamIds(True), StreamIds(False)
    pair.b.engine.send(again, b"hello", pair.now)
    assert pair.run(0.3, lambda: mine.state is ChannelState.CLOSED)
    if negotiated:
        pair.a.engine.open("second", negotiated=True, id=7, now=pair.now)
    pair.run(0.2)
    assert pair.a.received("second") == [b"hello"]

    # and a may send on it, from sequence number 0 on
    other = next(channel for channel in pair.a.engine.channels if channel.label == "second")
    pair.a.engine.send(other, b"hello yourself", pair.now)
    pair.run(0.2)
    assert pair.b.received("second") == [b"hello yourself"]

    # the answer to the old request, when it comes at last, does the new channel no harm
    pair.back.filter = None
    pair.run(2.0)
    assert other.state is ChannelState.OPEN
    pair.a.engine.send(other, b"still here", pair.now)
    pair.run(0.2)
    assert pair.b.received("second") == [b"hello yourself", b"still here"]


def test_data_on_a_closing_stream_that_was_not_asked_to_be_reset_is_dropped() -> None:
    """What waits in our queue keeps our side of the stream in use: nobody may have it anew."""
    pair = Pair().establish()
    mine = pair.a.engine.open("one", now=pair.now)
    pair.run(0.2)
    theirs = pair.b.announced("one")
    pair.forth.filter = lambda datagram: ChunkType.DATA not in kinds(datagram)
    pair.a.engine.send(mine, b"on its way", pair.now)
    pair.flush()
    pair.b.engine.close(theirs, pair.now)
    pair.run(0.1)
    assert mine.state is ChannelState.CLOSING
    pair.b.association._queue.stream(mine.id or 0).closing = False  # a peer that does not keep to it
    pair.b.association.send(mine.id or 0, 53, b"stray", now=pair.now)
    pair.run(0.1)
    assert pair.a.received() == []
    assert mine.state is ChannelState.CLOSING
    pair.forth.filter = None
    pair.run(3.0)
    assert mine.state is ChannelState.CLOSED


def test_closing_takes_no_longer_than_the_data_that_is_missing() -> None:
    """The peer answers "in progress" while it waits for a lost packet, and "performed" when that has come."""
    pair = Pair().establish()
    mine = pair.a.engine.open("one", ordered=False, max_retransmits=0, now=pair.now)
    pair.run(0.2)
    lose = [True]

    def first_is_lost(datagram: bytes) -> bool:
        if lose and ChunkType.DATA in kinds(datagram):
            lose.clear()
            return False
        return True

    seen: dict[int, float] = {}

    def look(datagram: bytes) -> bool:
        for result in results(datagram):
            seen.setdefault(result, pair.now)
        return True

    pair.forth.filter, pair.back.filter = first_is_lost, look
    pair.a.engine.send(mine, b"lost, and given up", pair.now)
    pair.flush()
    # a FORWARD TSN that overtakes nothing: the reset comes before it
    pair.a.association._queue.stream(mine.id or 0).last_tsn = 0
    pair.a.engine.close(mine, pair.now)
    assert pair.run(2.0, lambda: mine.state is ChannelState.CLOSED)
    assert list(seen) == [ResetResult.IN_PROGRESS, ResetResult.PERFORMED]
    assert pair.now - seen[ResetResult.PERFORMED] < ROUND_TRIP_S


def test_a_peer_that_never_tells_that_it_is_done_is_asked_again_after_a_round_trip() -> None:
    pair = Pair().establish()
    mine = pair.a.engine.open("one", now=pair.now)
    pair.run(0.2)
    asked: list[float] = []
    answer = Struct("!II")
    writer = pair.b.association._block.writer  # type: ignore[union-attr]

    def refuse(datagram: bytes) -> bool:
        for kind, _, body in split_chunks(datagram):
            for parameter, value in split_params(body) if kind == ChunkType.RE_CONFIG else ():
                if parameter == ParamType.OUTGOING_RESET:
                    asked.append(pair.now)
                    result = ResetResult.IN_PROGRESS if len(asked) < 5 else ResetResult.PERFORMED
                    response = answer.pack(int.from_bytes(value[:4], "big"), result)
                    chunk = chunk_bytes(
                        ChunkType.RE_CONFIG, 0, param_bytes(ParamType.RECONFIG_RESPONSE, response)
                    )
                    pair.back.send(writer.write([chunk]), pair.a.host.arrive)
                    return False
        return True

    pair.forth.filter = refuse
    pair.a.engine.close(mine, pair.now)
    pair.run(3.0, lambda: len(asked) == 5)
    waits = [b - a for a, b in pairwise(asked)]
    rto_s = pair.a.association._block.rto.rto_s  # type: ignore[union-attr]
    assert len(asked) == 5
    assert waits[0] == pytest.approx(ROUND_TRIP_S + LINK_S, rel=0.2)
    assert all(b > a or b == pytest.approx(rto_s + LINK_S, rel=0.2) for a, b in pairwise(waits))


def test_a_shutdown_acknowledges_what_it_says() -> None:
    """No SACK comes any more: what the peer's SHUTDOWN acknowledges is not sent again, and ours goes on."""
    pair = Pair().establish()
    channel = pair.a.engine.open("one", now=pair.now)
    pair.run(0.2)
    pair.back.filter = lambda datagram: ChunkType.SACK not in kinds(datagram)
    pair.a.engine.send(channel, b"last words", pair.now)
    pair.flush()
    pair.run(LINK_S + 0.001)
    pair.b.association.shutdown(pair.now)
    assert pair.run(0.3, lambda: pair.a.closed is not None and pair.b.closed is not None)
    assert pair.b.received() == [b"last words"]
    assert pair.a.association.chunks_retransmitted == 0


def test_a_shutdown_that_acknowledges_what_was_never_sent_ends_all_the_same() -> None:
    pair = Pair().establish()
    writer = pair.b.association._block.writer  # type: ignore[union-attr]
    chunk = chunk_bytes(ChunkType.SHUTDOWN, 0, bytes((0x70, 0, 0, 0)))
    pair.back.send(writer.write([chunk]), pair.a.host.arrive)
    pair.run(0.1)
    assert pair.a.association.state in (AssociationState.SHUTTING_DOWN, AssociationState.CLOSED)


def test_a_channel_is_not_open_any_more_when_the_peer_has_begun_a_shutdown() -> None:
    """Else whoever looks whether it is open, and sends, is told that it is not; the peer need never end."""
    pair = Pair().establish()
    channel = pair.a.engine.open("one", now=pair.now)
    pair.run(0.2)
    writer = pair.b.association._block.writer  # type: ignore[union-attr]
    pair.forth.filter = lambda _: False  # no answer comes to the peer: it does not go on
    chunk = chunk_bytes(ChunkType.SHUTDOWN, 0, bytes(4))
    for _ in range(2):
        pair.back.send(writer.write([chunk]), pair.a.host.arrive)
        pair.run(0.1)
    assert pair.a.association.state is AssociationState.SHUTTING_DOWN
    assert channel.state is ChannelState.CLOSING
    assert len(pair.a.told(ChannelClosing)) == 1
    pair.a.association.abort(pair.now, "enough")
    pair.flush()
    assert channel.state is ChannelState.CLOSED


def associations() -> tuple[SctpAssociation, SctpAssociation]:
    """Two that are connected, with nothing on its way."""
    a, b = SctpAssociation(), SctpAssociation()
    a.connect(0.0)
    while packets := a.drain(0.0):
        b.receive(packets, 0.0)
        a.receive(b.drain(0.0), 0.0)
    assert {a.state, b.state} == {AssociationState.CONNECTED}
    assert [*map(type, (*a.events(), *b.events()))] == [AssociationConnected] * 2
    return a, b


def shutdown(association: SctpAssociation) -> bytes:
    """A packet in which it says that it has no more data."""
    block = association._block
    assert block is not None
    tsn = (block.tracker.cumulative_tsn & 0xFFFF_FFFF).to_bytes(4, "big")
    return block.writer.write([chunk_bytes(ChunkType.SHUTDOWN, 0, tsn)])


def test_a_shutdown_that_is_repeated_is_told_once() -> None:
    a, b = associations()
    packet = shutdown(b)
    a.send(0, Ppid.BINARY, b"not acknowledged", now=0.0)
    a.drain(0.0)
    a.events()
    a.receive([packet] * 3, 0.0)
    a.receive([packet], 0.0)
    assert a.events() == [AssociationClosing()]


def test_data_that_comes_after_our_shutdown_is_answered_by_another_one() -> None:
    """Spec: RFC 9260, section 9.2: or the peer, which has not heard the first, waits for its timer."""
    a, b = associations()
    a.shutdown(0.0)
    assert [kinds(packet) for packet in a.drain(0.0)] == [[ChunkType.SHUTDOWN]]  # and is lost
    b.send(0, Ppid.BINARY, b"one", now=0.0)
    b.send(0, Ppid.BINARY, b"two", ordered=False, now=0.0)
    a.receive(b.drain(0.0) * 2, 0.0)
    assert [kinds(packet) for packet in a.drain(0.0)] == [[ChunkType.SHUTDOWN, ChunkType.SACK]]
    assert len(a.events()) == 2


def test_a_peer_that_has_begun_a_shutdown_has_no_more_data() -> None:
    """By the short way of packets with data as well as by the long one."""
    a, b = associations()
    a.send(0, Ppid.BINARY, b"not acknowledged", now=0.0)
    a.drain(0.0)
    a.events()
    b.send(0, Ppid.BINARY, b"late", now=0.0)
    late = b.drain(0.0)
    a.receive([shutdown(b), *late], 0.0)
    assert a.events() == [AssociationClosing()]
    assert a.drops == {Drop.UNEXPECTED: 1}


def test_a_channel_that_is_announced_during_the_peer_s_shutdown_is_closing_at_once() -> None:
    """What was held behind a gap may be delivered then: a message, and then nothing can be sent."""
    pair = Pair().establish()
    engine = pair.a.engine
    engine._on_closing()
    opening = OpenMessage("late").to_bytes()
    engine._on_message(StreamMessage(7, Ppid.DCEP, opening), pair.now)
    engine._on_message(StreamMessage(7, Ppid.STRING, b"last words"), pair.now)
    kinds_told = [type(event) for event in engine.events()]
    assert kinds_told == [ChannelAnnounced, ChannelClosing, MessageReceived]
    assert [channel.state for channel in engine.channels] == [ChannelState.CLOSING]


@pytest.mark.parametrize("count", [MAX_SKIPPED_STREAMS, MAX_SKIPPED_STREAMS + 1, 3 * MAX_SKIPPED_STREAMS])
@pytest.mark.parametrize("ordered", [True, False])
def test_any_number_of_interleaved_streams_can_be_given_up_at_once(count: int, ordered: bool) -> None:
    options = SctpOptions(interleaving=True, partial_reliability=True)
    pair = Pair(options=options).establish()
    channels = [
        pair.a.engine.open(f"{i}", ordered=ordered, max_packet_lifetime_ms=400, now=pair.now)
        for i in range(count)
    ]
    last = pair.a.engine.open("last", now=pair.now)
    pair.run(1.0)
    sent = 0

    def some_first_parts_come_through(datagram: bytes) -> bool:
        # so that all messages begin before the cumulative TSN, and end behind it
        nonlocal sent
        if ChunkType.I_DATA in kinds(datagram):
            sent += 1
            return sent <= count
        return True

    pair.forth.filter = some_first_parts_come_through
    for channel in channels:
        pair.a.engine.send(channel, bytes(6000), pair.now)
    pair.run(1.0)
    assert sent > count
    pair.forth.filter = None
    pair.run(3.0)
    assert pair.a.association.unacked_chunks == 0
    assert pair.b.received() == []
    pair.a.engine.send(last, b"after all", pair.now)
    for channel in channels:
        pair.a.engine.send(channel, b"anew", pair.now)
    pair.run(1.0)
    assert sorted(map(bytes, pair.b.received())) == sorted([b"after all", *[b"anew"] * count])  # type: ignore[arg-type]
