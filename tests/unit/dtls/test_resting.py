"""Connections that rest: records go on where OpenSSL stopped, and nothing forged gets in."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtcstack.dtls import openssl as openssl_module
from rtcstack.dtls.connected import REST_AFTER_S, Resting
from rtcstack.dtls.engine import DtlsEngine
from rtcstack.dtls.events import DtlsClosed, DtlsState
from rtcstack.dtls.resting import WINDOW_BITS, RestingRecords, key_block, suite_of
from tests.unit.dtls.test_engine import RSA, Pair

CIPHERS = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
]


def connected(messages: int = 3) -> Pair:
    pair = Pair()
    pair.start()
    pair.run(until=0.0)
    while pair.exchange():
        pass
    for i in range(messages):
        pair.client.send([b"client %d" % i])
        pair.server.send([b"server %d" % i])
        while pair.exchange():
            pass
    for received in pair.received.values():
        received.clear()
    return pair


def rest(pair: Pair, *engines: DtlsEngine) -> None:
    pair.now += REST_AFTER_S + 1
    for engine in engines or (pair.client, pair.server):
        engine.handle_timeout(pair.now)
        assert engine.is_resting


def both_ways(pair: Pair, count: int = 20) -> None:
    for engine, other in ((pair.client, pair.server), (pair.server, pair.client)):
        messages = [bytes([i]) * (i * 50 + 1) for i in range(count)]
        engine.send(messages)
        while pair.exchange():
            pass
        assert pair.received[other] == messages
        pair.received[other].clear()


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("who", ["client", "server", "both"])
def test_records_go_on_where_openssl_stopped(cipher: str, who: str, monkeypatch: pytest.MonkeyPatch) -> None:
    openssl_module.shared_context.cache_clear()
    monkeypatch.setattr(openssl_module, "_CIPHERS", cipher.encode())
    try:
        pair = connected()
    finally:
        openssl_module.shared_context.cache_clear()
    rest(pair, *{"client": [pair.client], "server": [pair.server], "both": []}[who])
    both_ways(pair)
    both_ways(pair)


def test_a_connection_that_never_carried_data_rests_too() -> None:
    pair = connected(messages=0)
    rest(pair)
    both_ways(pair)


def test_traffic_keeps_openssl() -> None:
    pair = connected()
    for _ in range(10):
        pair.now += REST_AFTER_S * 0.7
        pair.client.send([b"still here"])
        while pair.exchange():
            pass
        for engine in (pair.client, pair.server):
            engine.handle_timeout(pair.now)
            assert not engine.is_resting
            assert engine.next_timeout() == pytest.approx(pair.now + REST_AFTER_S)


def test_without_an_aead_suite_nothing_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    openssl_module.shared_context.cache_clear()
    monkeypatch.setattr(openssl_module, "_CIPHERS", b"ECDHE-ECDSA-AES128-SHA")
    try:
        pair = connected()
    finally:
        openssl_module.shared_context.cache_clear()
    assert pair.client.next_timeout() is None
    pair.client.handle_timeout(pair.now + 100)
    assert not pair.client.is_resting
    both_ways(pair)


@pytest.mark.parametrize("who", ["client", "server"])
def test_close_notify(who: str) -> None:
    pair = connected()
    rest(pair)
    closing = getattr(pair, who)
    other = pair.server if who == "client" else pair.client
    closing.close()
    while pair.exchange():
        pass
    assert other.state is DtlsState.CLOSED
    assert isinstance(pair.events[other][-1], DtlsClosed)


def test_openssl_understands_a_resting_peers_goodbye() -> None:
    pair = connected()
    rest(pair, pair.client)
    pair.client.close()
    while pair.exchange():
        pass
    assert pair.server.state is DtlsState.CLOSED


def test_replays_are_dropped_also_of_what_openssl_took() -> None:
    pair = connected()
    pair.client.send([b"before"])
    old = pair.client.drain(pair.now)
    pair.server.receive(old, pair.now)
    assert pair.server.received() == [b"before"]
    rest(pair)
    pair.client.send([b"after"])
    new = pair.client.drain(pair.now)
    pair.server.receive([*old, *new, *new, *old], pair.now)
    assert pair.server.received() == [b"after"]
    resting = pair.server._phase
    assert isinstance(resting, Resting)
    assert resting.records.dropped_replayed == 3


@pytest.mark.parametrize("seed", range(20))
def test_reordering_within_the_window(seed: int) -> None:
    rng = random.Random(seed)
    pair = connected()
    rest(pair)
    messages = [i.to_bytes(2, "big") for i in range(WINDOW_BITS)]
    pair.client.send(messages)
    datagrams = pair.client.drain(pair.now)
    rng.shuffle(datagrams)
    pair.server.receive(datagrams + datagrams, pair.now)
    assert sorted(pair.server.received()) == messages


def test_older_than_the_window_is_a_replay() -> None:
    pair = connected()
    rest(pair)
    pair.client.send([b"%d" % i for i in range(WINDOW_BITS + 1)])
    datagrams = pair.client.drain(pair.now)
    pair.server.receive(datagrams[::-1], pair.now)
    assert len(pair.server.received()) == WINDOW_BITS


@settings(max_examples=200, deadline=None)
@given(
    which=st.integers(0, 2),
    position=st.integers(0, 200),
    mask=st.integers(1, 255),
    garbage=st.binary(max_size=100),
)
def test_damage_and_garbage_are_counted_and_dropped(
    which: int, position: int, mask: int, garbage: bytes
) -> None:
    pair = PAIR
    pair.client.send([b"one", b"two" * 20, b"three"])
    datagrams = pair.client.drain(pair.now)
    damaged = bytearray(datagrams[which])
    damaged[position % len(damaged)] ^= mask
    pair.server.receive([bytes(damaged), garbage, *datagrams], pair.now)
    assert pair.server.received() == [b"one", b"two" * 20, b"three"]
    assert pair.server.state is DtlsState.CONNECTED


PAIR = connected()
rest(PAIR)


def test_a_client_that_lost_the_servers_last_flight_gets_it_from_a_resting_server() -> None:
    pair = Pair()
    pair.start()
    for _ in range(2):
        pair.server.receive(pair.client.drain(0.0), 0.0)
        datagrams = pair.server.drain(0.0)
        if pair.server.state is not DtlsState.CONNECTED:
            pair.client.receive(datagrams, 0.0)
    assert pair.server.state is DtlsState.CONNECTED
    assert pair.client.state is DtlsState.CONNECTING
    pair.now = REST_AFTER_S + 1
    pair.server.handle_timeout(pair.now)
    assert pair.server.is_resting
    pair.client.handle_timeout(pair.now)
    pair.run()
    assert pair.client.state is DtlsState.CONNECTED
    both_ways(pair)


def test_messages_that_do_not_fit_a_record_are_refused() -> None:
    pair = connected()
    rest(pair)
    pair.client.send([b"", bytes(20_000), b"fits"])
    while pair.exchange():
        pass
    assert pair.received[pair.server] == [b"fits"]
    assert pair.client.counters.records_refused == 2


def test_rsa_rests_as_well() -> None:
    pair = Pair(RSA, RSA)
    pair.start()
    while pair.exchange():
        pass
    rest(pair)
    both_ways(pair)


def test_key_block_is_a_stream() -> None:
    # The PRF's output does not depend on how much of it is asked for (RFC 5246, section 5).
    long = key_block("sha256", b"m" * 48, b"s" * 64, 200)
    assert key_block("sha256", b"m" * 48, b"s" * 64, 77) == long[:77]
    assert key_block("sha384", b"m" * 48, b"s" * 64, 77) != long[:77]


def test_suites() -> None:
    assert suite_of("ECDHE-ECDSA-AES128-SHA") is None
    with pytest.raises(AssertionError):
        RestingRecords("NULL", b"", b"", is_client=True, last_sent=b"", last_received=0)
