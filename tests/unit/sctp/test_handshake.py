"""Making and unmaking an association."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from rtcstack.errors import InvalidStateError
from rtcstack.sctp.association import MAX_REPLIES, AssociationState, Drop, SctpAssociation
from rtcstack.sctp.channels import DataChannels
from rtcstack.sctp.chunks import ChunkType, Init
from rtcstack.sctp.events import AssociationClosed, AssociationConnected, ChannelClosed, StreamMessage
from rtcstack.sctp.options import SctpOptions
from rtcstack.sctp.packet import PacketWriter, chunk_bytes, split_chunks
from rtcstack.sctp.params import CauseCode, ParamType, cause_bytes, param_bytes, split_params
from tests.unit.sctp.pair import Pair


def kinds(packets: list[bytes]) -> list[list[int]]:
    """The chunk types of each packet."""
    return [[kind for kind, _, _ in split_chunks(packet)] for packet in packets]


def two(options: SctpOptions | None = None) -> tuple[SctpAssociation, SctpAssociation]:
    return (
        SctpAssociation(options, rng=random.Random(1)),
        SctpAssociation(options, rng=random.Random(2)),
    )


def connected(options: SctpOptions | None = None) -> tuple[SctpAssociation, SctpAssociation]:
    a, b = two(options)
    a.connect(0.0)
    for _ in range(4):
        b.receive(a.drain(0.0), 0.0)
        a.receive(b.drain(0.0), 0.0)
    assert a.state is b.state is AssociationState.CONNECTED
    a.events(), b.events()
    return a, b


def test_four_packets_and_data_rides_on_the_third() -> None:
    a, b = two()
    a.send(3, 53, b"early", now=0.0)
    a.connect(0.0)
    assert a.state is AssociationState.CONNECTING
    init = a.drain(0.0)
    assert kinds(init) == [[ChunkType.INIT]]
    b.receive(init, 0.0)
    assert b.state is AssociationState.NEW  # nothing is remembered before the cookie returns
    init_ack = b.drain(0.0)
    assert kinds(init_ack) == [[ChunkType.INIT_ACK]]
    a.receive(init_ack, 0.0)
    echo = a.drain(0.0)
    assert kinds(echo) == [[ChunkType.COOKIE_ECHO, ChunkType.DATA]]
    b.receive(echo, 0.0)
    assert [type(e) for e in b.events()] == [AssociationConnected, StreamMessage]
    ack = b.drain(0.0)
    assert kinds(ack)[0][0] == ChunkType.COOKIE_ACK
    a.receive(ack, 0.0)
    assert AssociationConnected in [type(e) for e in a.events()]


def test_both_sides_begin_at_once() -> None:
    a, b = two()
    a.connect(0.0)
    b.connect(0.0)
    for _ in range(6):
        to_b, to_a = a.drain(0.0), b.drain(0.0)
        b.receive(to_b, 0.0)
        a.receive(to_a, 0.0)
    assert [type(e) for e in a.events()] == [AssociationConnected]
    assert [type(e) for e in b.events()] == [AssociationConnected]
    assert a._block is not None
    assert b._block is not None
    assert a._block.agreement.local_tag == b._block.agreement.peer_tag
    assert b._block.agreement.local_tag == a._block.agreement.peer_tag


@pytest.mark.parametrize("begin", ["one", "both"])
def test_the_handshake_survives_any_losses(begin: str) -> None:
    for seed in range(60):
        pair = Pair(seed=seed, connect=False, forth={"loss": 0.4}, back={"loss": 0.4, "duplicate": 0.3})
        pair.a.engine.connect(pair.now)
        if begin == "both":
            pair.b.engine.connect(pair.now)
        channel = pair.a.engine.open("x", now=pair.now)
        pair.a.engine.send(channel, b"first", pair.now)
        assert pair.run(120, lambda p=pair: p.b.received() == [b"first"] and p.a.connected)
        pair.run(10)
        assert len(pair.a.told(AssociationConnected)) == len(pair.b.told(AssociationConnected)) == 1


def test_agreement_is_the_least_of_both() -> None:
    a = SctpAssociation(SctpOptions(streams=100, interleaving=True, zero_checksum=True))
    b = SctpAssociation(SctpOptions(streams=1024, interleaving=False, zero_checksum=False))
    a.connect(0.0)
    for _ in range(4):
        b.receive(a.drain(0.0), 0.0)
        a.receive(b.drain(0.0), 0.0)
    for side in (a, b):
        (event,) = side.events()
        assert event == AssociationConnected(100, 100)
        assert side._block is not None
        assert not side._block.agreement.interleaving
        assert not side._block.agreement.zero_checksum
        assert side._block.agreement.partial_reliability
        assert side._block.agreement.stream_reset


def test_zero_checksums_where_both_agree_but_not_on_cookies() -> None:
    a, b = two()
    a.connect(0.0)
    packets: list[bytes] = []
    for _ in range(4):
        to_b = a.drain(0.0)
        b.receive(to_b, 0.0)
        to_a = b.drain(0.0)
        a.receive(to_a, 0.0)
        packets += to_b + to_a
    a.send(0, 53, b"x", now=0.0)
    data = a.drain(0.0)
    assert data[0][8:12] == bytes(4)
    for packet in packets:
        if packet[12] in (ChunkType.INIT, ChunkType.INIT_ACK, ChunkType.COOKIE_ECHO):
            assert packet[8:12] != bytes(4)
    b.receive(data, 0.0)
    assert [e.data for e in b.events() if isinstance(e, StreamMessage)] == [b"x"]
    # Who has not agreed takes none.
    c, d = connected(SctpOptions(zero_checksum=False))
    c.send(0, 53, b"x", now=0.0)
    (packet,) = c.drain(0.0)
    d.receive([packet[:8] + bytes(4) + packet[12:]], 0.0)
    assert d.drops == {Drop.CHECKSUM: 1}
    d.receive([packet], 0.0)
    assert len(d.events()) == 1


def test_init_is_repeated_and_given_up_where_a_limit_is_set() -> None:
    a = SctpAssociation(SctpOptions(max_init_retransmissions=3))
    a.connect(0.0)
    sent = 0
    while (deadline := a.next_timeout()) is not None:
        sent += len(a.drain(deadline))
        a.handle_timeout(deadline)
    assert sent == 4
    (closed,) = a.events()
    assert isinstance(closed, AssociationClosed)
    assert closed.error is not None


def test_a_cookie_must_be_ours_fresh_and_of_the_right_tag() -> None:
    a, b = two()
    a.connect(0.0)
    b.receive(a.drain(0.0), 0.0)
    a.receive(b.drain(0.0), 0.0)
    (echo,) = a.drain(0.0)
    for position in (4, 20, 60):
        forged = bytearray(echo)
        forged[position] ^= 1
        repaired = _with_checksum(bytes(forged))
        b.receive([repaired], 0.0)
    assert b.state is AssociationState.NEW
    assert b.drops == {Drop.COOKIE: 3}
    b.receive([echo], 100.0)  # stale
    assert b.state is AssociationState.NEW
    (error,) = b.drain(100.0)
    assert kinds([error]) == [[ChunkType.ERROR]]
    a.receive([error], 100.0)
    assert kinds(a.drain(100.0)) == [[ChunkType.INIT]]  # begins anew


def _with_checksum(packet: bytes) -> bytes:
    from google_crc32c import value

    return packet[:8] + value(packet[:8] + bytes(4) + packet[12:]).to_bytes(4, "little") + packet[12:]


def test_data_of_a_stale_handshake_is_not_lost() -> None:
    options = SctpOptions(cookie_lifetime_s=0.5)
    a, b = two(options)
    for number in range(3):
        a.send(1, 53, b"%d" % number * 700, now=0.0)
    a.connect(0.0)
    b.receive(a.drain(0.0), 0.0)
    a.receive(b.drain(0.0), 0.0)
    b.receive(a.drain(0.0), 1.0)
    now = 1.0
    for _ in range(6):
        a.receive(b.drain(now), now)
        b.receive(a.drain(now), now)
    assert [e.data for e in b.events() if isinstance(e, StreamMessage)] == [
        b"%d" % number * 700 for number in range(3)
    ]


def test_a_replayed_cookie_changes_nothing() -> None:
    a, b = two()
    a.connect(0.0)
    b.receive(a.drain(0.0), 0.0)
    a.receive(b.drain(0.0), 0.0)
    echo = a.drain(0.0)
    for _ in range(20):
        b.receive(echo, 0.1)
    assert len([e for e in b.events() if isinstance(e, AssociationConnected)]) == 1
    a.receive(b.drain(0.1), 0.1)
    a.send(0, 53, b"still", now=0.2)
    b.receive(a.drain(0.2), 0.2)
    assert [e.data for e in b.events() if isinstance(e, StreamMessage)] == [b"still"]


def test_a_restart_ends_the_association_with_an_error() -> None:
    a, b = connected()
    fresh = SctpAssociation(rng=random.Random(99))
    fresh.connect(1.0)
    b.receive(fresh.drain(1.0), 1.0)
    fresh.receive(b.drain(1.0), 1.0)
    b.receive(fresh.drain(1.0), 1.0)
    (closed,) = b.events()
    assert isinstance(closed, AssociationClosed)
    assert closed.error is not None
    assert "restarted" in str(closed.error)
    a.receive(b.drain(1.0), 1.0)  # the ABORT is for the peer we had
    assert a.state is AssociationState.CLOSED


def test_a_flood_of_inits_costs_neither_state_nor_answers_without_end() -> None:
    a, b = connected()
    writer = PacketWriter(5000, 5000, 0)
    rng = random.Random(3)
    flood = [writer.write([Init(rng.randrange(1, 1 << 32), 9999, 1, 1, 0).to_bytes()]) for _ in range(1000)]
    b.receive(flood, 1.0)
    assert len(b.drain(1.0)) <= MAX_REPLIES
    assert b.state is AssociationState.CONNECTED
    a.send(0, 53, b"x", now=2.0)
    b.receive(a.drain(2.0), 2.0)
    assert len(b.events()) == 1


def test_shutdown_waits_for_what_is_queued_and_is_graceful_for_both() -> None:
    for seed in range(20):
        pair = Pair(seed=seed, forth={"loss": 0.2}, back={"loss": 0.2}).establish()
        channel = pair.a.engine.open("x", now=pair.now)
        sent = [bytes([number]) * 5000 for number in range(20)]
        for data in sent:
            pair.a.engine.send(channel, data, pair.now)
        pair.a.association.shutdown(pair.now)
        assert pair.a.association.state is AssociationState.SHUTTING_DOWN
        with pytest.raises(InvalidStateError):
            pair.a.engine.send(channel, b"too late", pair.now)
        assert pair.run(60, lambda p=pair: bool(p.a.closed and p.b.closed))
        assert pair.b.received() == sent
        for side in (pair.a, pair.b):
            assert side.closed is not None
            assert side.closed.graceful
            assert side.closed.error is None


def test_both_shut_down_at_once() -> None:
    pair = Pair().establish()
    pair.a.association.shutdown(pair.now)
    pair.b.association.shutdown(pair.now)
    assert pair.run(10, lambda: bool(pair.a.closed and pair.b.closed))
    assert pair.a.closed is not None
    assert pair.a.closed.graceful
    assert pair.b.closed is not None
    assert pair.b.closed.graceful


def test_abort_is_told_to_the_peer_with_its_reason() -> None:
    a, b = connected()
    a.abort(1.0, "enough")
    assert a.state is AssociationState.CLOSED
    b.receive(a.drain(1.0), 1.0)
    (closed,) = b.events()
    assert isinstance(closed, AssociationClosed)
    assert not closed.graceful
    assert closed.error is not None
    assert closed.error.code == CauseCode.USER_INITIATED_ABORT
    assert "enough" in str(closed.error)
    assert b.next_timeout() is None
    assert b.drain(2.0) == []


@pytest.mark.parametrize(
    ("kind", "goes_on", "reports"),
    [(0x3E, False, False), (0x7E, False, True), (0xBE, True, False), (0xFE, True, True)],
)
def test_unknown_chunks_go_by_their_high_bits(kind: int, goes_on: bool, reports: bool) -> None:
    a, b = connected()
    assert a._block is not None
    heartbeat = chunk_bytes(ChunkType.HEARTBEAT, 0, param_bytes(1, b"12345678"))
    packet = a._block.writer.write([chunk_bytes(kind, 0, b"what"), heartbeat])
    b.receive([packet], 1.0)
    answers = [kind for packet in kinds(b.drain(1.0)) for kind in packet]
    assert (ChunkType.HEARTBEAT_ACK in answers) == goes_on
    assert (ChunkType.ERROR in answers) == reports


def test_heartbeats_after_quiet_and_their_answer() -> None:
    a, b = connected()
    deadline = a.next_timeout()
    assert deadline is not None
    assert 30.0 <= deadline <= 31.0
    a.handle_timeout(deadline)
    (packet,) = a.drain(deadline)
    assert kinds([packet]) == [[ChunkType.HEARTBEAT]]
    b.receive([packet], deadline)
    a.receive(b.drain(deadline), deadline)
    assert a._block.heartbeats_unanswered == 0


@pytest.mark.parametrize("tag", ["wrong", "zero"], ids=["a wrong tag", "no tag"])
def test_packets_with_a_wrong_tag_are_counted_only(tag: str) -> None:
    a, b = connected()
    a.send(0, 53, b"x", now=1.0)
    (packet,) = a.drain(1.0)
    other = _with_checksum(packet[:4] + (bytes(4) if tag == "zero" else b"abcd") + packet[8:])
    b.receive([other], 1.0)
    aborting: list[Any] = [chunk_bytes(ChunkType.ABORT, 0, cause_bytes(12))]
    b.receive([PacketWriter(5000, 5000, 12345).write(aborting)], 1.0)
    assert b.drops == {Drop.TAG: 2}
    assert b.state is AssociationState.CONNECTED
    assert b.events() == ()


def test_other_ports_are_not_ours() -> None:
    a, b = connected()
    assert a._block is not None
    tag = a._block.agreement.peer_tag
    b.receive([PacketWriter(5001, 5000, tag).write([chunk_bytes(ChunkType.COOKIE_ACK, 0, b"")])], 1.0)
    assert b.drops == {Drop.PORTS: 1}


def test_an_idle_association_is_small() -> None:
    import tracemalloc

    connected()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    pairs = [connected() for _ in range(20)]
    size = (tracemalloc.get_traced_memory()[0] - before) / 40
    tracemalloc.stop()
    assert len(pairs) == 20
    assert size < 12_000, f"{size:.0f} bytes"


def test_the_figures_for_statistics() -> None:
    idle = SctpAssociation()
    assert (idle.smoothed_rtt_s, idle.congestion_window_bytes, idle.peer_window_bytes) == (0.0, 0, 0)
    assert (idle.unacked_chunks, idle.chunks_retransmitted) == (0, 0)
    a, b = connected()
    for _ in range(4):
        a.send(0, 53, bytes(1160), now=1.0)
    packets = a.drain(1.0)
    assert a.unacked_chunks == len(packets) == 4
    b.receive(packets[1:], 1.05)
    a.receive(b.drain(1.05), 1.1)
    assert a.smoothed_rtt_s == pytest.approx(0.1)
    assert a.unacked_chunks == 4
    a.handle_timeout(1.2)
    b.receive(a.drain(1.2), 1.25)
    a.receive(b.drain(1.25), 1.3)
    assert a.unacked_chunks == 0
    assert a.chunks_retransmitted == 1
    assert a.congestion_window_bytes >= 11910
    assert a.peer_window_bytes == 5 << 20
    assert a.packets_sent == b.packets_received + 1
    assert a.bytes_sent == b.bytes_received + len(packets[0])


class Picky:
    """The way to an association that drops INITs and INIT ACKs with parameters that it does not know."""

    def __init__(self, known: set[int]) -> None:
        self.known = known
        self.dropped = 0

    def __call__(self, datagram: bytes) -> bool:
        for kind, _, body in split_chunks(datagram):
            if kind in (ChunkType.INIT, ChunkType.INIT_ACK):
                for param, _ in split_params(body, 16):
                    if param not in self.known:
                        self.dropped += 1
                        return False
        return True


OLD = {ParamType.STATE_COOKIE, ParamType.FORWARD_TSN_SUPPORTED, ParamType.SUPPORTED_EXTENSIONS}
BARE = {int(ParamType.STATE_COOKIE)}


@pytest.mark.parametrize("begin", ["us", "peer", "both"])
@pytest.mark.parametrize("known", [OLD, BARE])
def test_a_peer_that_drops_unknown_parameters_is_reached(known: set[int], begin: str) -> None:
    theirs = SctpOptions(zero_checksum=False, partial_reliability=known is OLD)
    pair = Pair(connect=False, options_b=theirs)
    picky = pair.forth.filter = Picky(known)
    if known is BARE:
        init = pair.b.association._handshake.init
        pair.b.association._handshake.use(replace(init, extensions=b""))
    if begin != "peer":
        pair.a.engine.connect(pair.now)
    if begin != "us":
        pair.b.engine.connect(pair.now)
    channel = pair.a.engine.open("x", max_retransmits=0, now=pair.now)
    pair.a.engine.send(channel, b"reached", pair.now)
    assert pair.run(10, lambda: pair.b.received() == [b"reached"] and pair.a.connected)
    assert bool(picky.dropped) is (begin != "peer")
    assert pair.a.association._block is not None
    agreement = pair.a.association._block.agreement
    assert not agreement.zero_checksum
    assert agreement.stream_reset is agreement.partial_reliability is (known is OLD)
    pair.a.engine.send(channel, b"with a checksum", pair.now)
    (packet,) = pair.a.engine.drain(pair.now)
    assert packet[8:12] != bytes(4)
    pair.a.engine.close(channel, pair.now)
    pair.run(2)
    assert pair.a.gone() == [channel]
    assert pair.a.association.next_timeout() is not None  # the heartbeat's, and no repetition before it
    assert pair.a.association.next_timeout() > pair.now + 10


def test_a_lost_init_costs_no_extension_that_data_channels_need() -> None:
    pair = Pair(connect=False, options=SctpOptions(interleaving=True))
    kept = iter([False, False, True])
    pair.forth.filter = lambda datagram: next(kept, True)
    pair.a.engine.connect(pair.now)
    pair.establish()
    assert pair.a.association._block is not None
    agreement = pair.a.association._block.agreement
    assert agreement.stream_reset
    assert agreement.partial_reliability
    assert agreement.interleaving
    assert not agreement.zero_checksum


def test_what_the_first_init_offered_is_understood_though_a_later_one_left_it_out() -> None:
    """The answer to the first one takes longer than our patience."""
    pair = Pair(connect=False, back={"delay_s": 0.6})
    pair.a.engine.connect(pair.now)
    pair.establish()
    assert pair.a.association._block is not None
    assert pair.b.association._block is not None
    assert not pair.a.association._block.agreement.zero_checksum
    assert pair.b.association._block.agreement.zero_checksum
    theirs = pair.b.engine.open("x", now=pair.now)
    pair.b.engine.send(theirs, b"without a checksum", pair.now)
    assert pair.run(5, lambda: pair.a.received() == [b"without a checksum"])


@pytest.mark.parametrize("extensions", [b"", bytes([ChunkType.RE_CONFIG])])
def test_an_init_ack_names_only_what_the_init_offered(extensions: bytes) -> None:
    b = SctpAssociation(SctpOptions(interleaving=True), rng=random.Random(1))
    init = Init(7, 9999, 1, 1, 0, extensions, forward_tsn=False, zero_checksum=False)
    b.receive([PacketWriter(5000, 5000, 0).write([init.to_bytes()])], 0.0)
    ((_, _, body),) = split_chunks(b.drain(0.0)[0])
    named = {param for param, _ in split_params(body, 16)}
    assert named == {ParamType.STATE_COOKIE} | ({ParamType.SUPPORTED_EXTENSIONS} if extensions else set())
    assert Init.parse(body).extensions == extensions


@pytest.mark.parametrize("answers", ["never", "to the INIT only", "with stale cookies"])
def test_an_association_that_does_not_come_up_is_told(answers: str, caplog: pytest.LogCaptureFixture) -> None:
    engine = DataChannels(SctpAssociation(rng=random.Random(1)), is_dtls_client=True)
    peer = SctpAssociation(SctpOptions(cookie_lifetime_s=-1.0), rng=random.Random(2))
    channel = engine.open("x", now=5.0)
    engine.connect(5.0)
    now = 5.0
    while (deadline := engine.next_timeout()) is not None:
        now = max(now, deadline)
        engine.handle_timeout(now)
        for packet in engine.drain(now):
            if answers == "never" or (answers != "with stale cookies" and packet[12] != ChunkType.INIT):
                continue
            peer.receive([packet], now)
            engine.receive(peer.drain(now), now)
    limit_s = SctpOptions().handshake_timeout_s
    assert limit_s is not None
    assert limit_s <= now - 5.0 <= limit_s + 1.0
    events = engine.events()
    assert [type(event) for event in events] == [ChannelClosed, AssociationClosed]
    assert all(event.error is not None for event in events)  # type: ignore[union-attr]
    assert events[0].channel is channel  # type: ignore[union-attr]
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("rtcstack.sctp", "WARNING")
    assert "data channels cannot be used" in record.message
