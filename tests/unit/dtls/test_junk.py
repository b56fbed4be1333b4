"""Records that are none: before, during and after a handshake they cost nothing but themselves."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtcstack.dtls.connected import REST_AFTER_S, Connected
from rtcstack.dtls.engine import DtlsEngine
from rtcstack.dtls.events import DtlsFailed, DtlsState
from rtcstack.dtls.handshaking import ALERT_GRACE_S, Handshaking
from rtcstack.dtls.openssl import _ffi, _lib
from rtcstack.dtls.sieve import is_plain
from rtcstack.engine import Run
from tests.unit.dtls.test_engine import Pair
from tests.unit.dtls.test_resting import connected


def record(
    kind: int, number: int, body: bytes, *, epoch: int = 0, version: int = 0xFEFD, length: int = -1
) -> bytes:
    header = (
        bytes((kind,)) + version.to_bytes(2, "big") + epoch.to_bytes(2, "big") + number.to_bytes(6, "big")
    )
    return header + (len(body) if length < 0 else length).to_bytes(2, "big") + body


def message(kind: int, number: int, body: bytes) -> bytes:
    """A handshake message in one fragment."""
    size = len(body).to_bytes(3, "big")
    return bytes((kind,)) + size + number.to_bytes(2, "big") + bytes(3) + size + body


bodies = st.one_of(
    st.sampled_from([b"", b"\1", b"\0", b"\1\0", b"\2\x28", b"\2\0", b"\xff\xff", bytes(40), bytes(300)]),
    st.binary(max_size=60),
    st.builds(
        message, st.sampled_from([0, 1, 2, 3, 11, 16, 20, 99]), st.integers(0, 20), st.binary(max_size=40)
    ),
)
records = st.builds(
    lambda kind, number, body, epoch, version, length: record(
        kind, number, body, epoch=epoch, version=version, length=length
    ),
    st.integers(20, 26) | st.sampled_from([20, 21, 22, 23]),
    st.integers(0, 50) | st.sampled_from([2**48 - 1]),
    bodies,
    st.sampled_from([0, 0, 0, 1, 2, 65535]),
    st.sampled_from([0xFEFD, 0xFEFD, 0xFEFF, 0xFEFC, 0x0303, 0]),
    st.sampled_from([-1, -1, -1, -1, 0, 5, 1000, 65535]),
)
junk = st.lists(st.lists(records, min_size=1, max_size=5).map(b"".join) | st.binary(max_size=40), max_size=6)


def waits_in_openssl(engine: DtlsEngine) -> int:
    """Bytes that OpenSSL has been given and has not read."""
    phase = engine._phase
    if not isinstance(phase, Handshaking | Connected):
        return 0
    return int(_lib.BIO_get_mem_data(phase.records._into_ssl, _ffi.new("char **")))


def mixing(rng: random.Random, pieces: list[bytes]) -> Callable[[bytes], list[bytes]]:
    """A network that puts junk beside, and behind, what passes."""

    def keep(datagram: bytes) -> list[bytes]:
        mixed = [datagram]
        for piece in pieces:
            where = rng.randrange(4)
            if where == 0:
                mixed.append(piece)
            elif where == 1:
                mixed.insert(0, piece)
            elif where == 2:
                mixed[-1] += piece
        return mixed

    return keep


@settings(max_examples=150, deadline=None)
@given(junk, junk, st.integers(0, 1000))
def test_junk_before_and_during_a_handshake_does_not_stop_it(
    before: list[bytes], during: list[bytes], seed: int
) -> None:
    pair = Pair()
    pair.server.receive(before[:2], 0.0)
    pair.client.receive(before, 0.0)
    pair.start()
    for engine in (pair.client, pair.server):
        engine.receive(before, 0.0)
        assert waits_in_openssl(engine) == 0
    pair.run(mixing(random.Random(seed), during), until=20.0)
    for engine, other in ((pair.client, pair.server), (pair.server, pair.client)):
        assert engine.state is DtlsState.CONNECTED, pair.events[engine]
        assert waits_in_openssl(engine) == 0
        engine.send([b"works"])
        pair.exchange()
        assert pair.received[other][-1] == b"works"


@pytest.mark.parametrize("kind", range(18, 28))
@pytest.mark.parametrize("side", ["client", "server"])
def test_a_flood_of_any_kind_is_not_kept_and_stops_no_handshake(side: str, kind: int) -> None:
    pair = Pair()
    pair.start()
    victim = getattr(pair, side)
    for body in (b"\1", b"\1\0", b"\2\x28", message(1, 0, b"x" * 40), message(20, 7, bytes(12))):
        for epoch in (0, 1, 2):
            for first in range(0, 400, 40):
                flood = b"".join(record(kind, first + i, body, epoch=epoch) for i in range(40))
                victim.receive([flood], 0.0)
                assert waits_in_openssl(victim) == 0
    pair.run(until=0.9 * ALERT_GRACE_S)
    assert pair.client.state is pair.server.state is DtlsState.CONNECTED


@pytest.mark.parametrize("early", [record(22, 0, bytes(40)), record(22, 1, b"x", epoch=1), b"\x16"])
def test_a_client_speaks_first_though_something_has_come_before(early: bytes) -> None:
    pair = Pair()
    pair.client.receive([early], 0.0)
    pair.start()
    pair.run(until=0.1)
    assert pair.client.state is pair.server.state is DtlsState.CONNECTED


def test_an_alert_in_the_clear_counts_if_the_handshake_does_not_go_on() -> None:
    pair = Pair()
    pair.start()
    pair.client.drain(0.0)
    pair.client.receive([record(21, 0, b"\1\x5a"), record(21, 1, b"\2\x28")], 0.1)
    assert pair.client.state is DtlsState.CONNECTING
    pair.client.handle_timeout(0.1 + ALERT_GRACE_S)
    [failure] = pair.client.events()
    assert isinstance(failure, DtlsFailed)
    assert failure.received_alert == 40


@pytest.mark.parametrize("resting", [False, True])
@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_genuine_records_are_taken_once_whatever_is_packed_forged_replayed_and_reordered(
    resting: bool, seed: int
) -> None:
    rng = random.Random(seed)
    pair = connected(messages=rng.randrange(3))
    sent: list[bytes] = []
    wire: list[bytes] = []
    got: list[bytes] = []

    def send(count: int) -> list[bytes]:
        messages = [
            b"%d" % (len(sent) + i) + bytes(rng.choice([0, 0, rng.randrange(200)])) for i in range(count)
        ]
        sent.extend(messages)
        pair.client.send(messages)
        out = pair.client.drain(pair.now)
        wire.extend(out)
        return out

    def forged() -> bytes:
        kind = rng.choice([20, 21, 22, 23, 23, 23, 24])
        number = rng.choice([rng.randrange(40), 2**48 - 1, rng.randrange(2**48)])
        body = rng.randbytes(rng.choice([1, 2, 24, 40, 60]))
        length = rng.choice([-1, -1, -1, 0, 16_000])
        return record(kind, number, body, epoch=rng.choice([0, 1, 1, 1, 2]), length=length)

    def deliver(datagrams: list[bytes]) -> None:
        mixed = list(datagrams)
        mixed += [rng.choice(wire) for _ in range(rng.randrange(4))]
        mixed += [forged() for _ in range(rng.randrange(4))]
        rng.shuffle(mixed)
        packed = []
        while mixed:
            take = mixed[: rng.choice([1, 1, 2, 3])]
            del mixed[: len(take)]
            if any(13 + int.from_bytes(piece[11:13], "big") != len(piece) for piece in take[:-1]):
                packed += take  # what claims too much takes the rest of its own datagram along
            else:
                packed.append(b"".join(take))
        if packed and rng.random() < 0.3:
            same = [piece for piece in packed if len(piece) == len(packed[0])]
            others = [piece for piece in packed if len(piece) != len(packed[0])]
            runs = [Run(b"".join(same), len(same[0])), *(Run(piece, len(piece)) for piece in others)]
            pair.server.receive_runs(runs, pair.now)
        else:
            pair.server.receive(packed, pair.now)
        got.extend(pair.server.received())

    for _ in range(rng.randrange(1, 4)):
        deliver(send(rng.randrange(1, 6)))
    assert sorted(got) == sorted(sent)
    if resting:
        pair.now += REST_AFTER_S + 1
        pair.server.handle_timeout(pair.now)
        assert pair.server.is_resting
    for _ in range(3):
        deliver(send(rng.randrange(1, 6)))
    deliver([])
    assert sorted(got) == sorted(sent)
    assert pair.server.state is DtlsState.CONNECTED


@given(st.lists(st.integers(14, 40), min_size=1, max_size=5), st.integers(1, 40), st.booleans())
def test_plain_runs_are_told_from_others(sizes: list[int], segment: int, damage: bool) -> None:
    pieces = [record(23, i, bytes(size - 13), epoch=1) for i, size in enumerate(sizes)]
    for piece in pieces:
        assert is_plain(Run(piece, len(piece)))
    whole = [pieces[0]] * 3 + [piece for piece in pieces[1:2] if len(piece) <= len(pieces[0])]
    run = Run(b"".join(whole), len(pieces[0]))
    assert is_plain(run)
    assert not is_plain(Run(b"".join([*whole, b"x"]), len(pieces[0]) * 99))
    other = bytearray(run.data)
    other[len(pieces[0]) + (0 if damage else 12)] ^= 1
    assert not is_plain(Run(bytes(other), run.segment_bytes))
    is_plain(Run(run.data, segment))
