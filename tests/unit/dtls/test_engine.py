"""Two DTLS engines on virtual time, over links that lose, double and damage datagrams."""

from __future__ import annotations

import gc
import os
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtcstack.dtls import openssl
from rtcstack.dtls.certificate import Certificate, KeyAlgorithm
from rtcstack.dtls.early import MAX_EARLY_DATAGRAMS
from rtcstack.dtls.engine import DtlsEngine
from rtcstack.dtls.events import DtlsClosed, DtlsConnected, DtlsFailed, DtlsRole, DtlsState
from rtcstack.dtls.fingerprint import Fingerprint
from rtcstack.dtls.handshaking import HANDSHAKE_DEADLINE_S, Handshaking

ECDSA = Certificate.generate()
ECDSA_2 = Certificate.generate()
RSA = Certificate.generate(KeyAlgorithm.RSA_2048)


class Pair:
    """A client and a server engine, and what each has learnt."""

    def __init__(
        self,
        client_certificate: Certificate = ECDSA,
        server_certificate: Certificate = ECDSA_2,
        *,
        client_expects: list[Fingerprint] | None = None,
        server_expects: list[Fingerprint] | None = None,
        mtu: int = 1200,
    ) -> None:
        self.now = 0.0
        self.client = DtlsEngine(client_certificate, mtu=mtu)
        self.server = DtlsEngine(server_certificate, mtu=mtu)
        self.client.rtt_s = self.server.rtt_s = 0.02
        self.expects = (
            [server_certificate.fingerprint()] if client_expects is None else client_expects,
            [client_certificate.fingerprint()] if server_expects is None else server_expects,
        )
        self.events: dict[DtlsEngine, list[object]] = {self.client: [], self.server: []}
        self.received: dict[DtlsEngine, list[bytes]] = {self.client: [], self.server: []}

    def start(self) -> None:
        self.server.start(DtlsRole.SERVER, self.expects[1], self.now)
        self.client.start(DtlsRole.CLIENT, self.expects[0], self.now)

    def exchange(self, keep: Callable[[bytes], list[bytes]] = lambda d: [d]) -> bool:
        """One pass each way; whether anything moved."""
        moved = False
        for sender, receiver in ((self.client, self.server), (self.server, self.client)):
            datagrams = [copy for d in sender.drain(self.now) for copy in keep(d)]
            if datagrams:
                moved = True
                receiver.receive(datagrams, self.now)
            for engine in (sender, receiver):
                self.events[engine] += engine.events()
                self.received[engine] += engine.received()
        return moved

    def run(self, keep: Callable[[bytes], list[bytes]] = lambda d: [d], until: float = 60.0) -> None:
        """Exchange, and let time pass from deadline to deadline, until nothing is left to do."""
        while self.now < until:
            if self.exchange(keep):
                continue
            # a connected engine's deadline is for resting (test_resting.py)
            shaking = [e for e in (self.client, self.server) if e.state is DtlsState.CONNECTING]
            due = [t for e in shaking if (t := e.next_timeout()) is not None]
            if not due:
                return
            self.now = max(self.now, min(due))
            self.client.handle_timeout(self.now)
            self.server.handle_timeout(self.now)


@pytest.mark.parametrize("client", [ECDSA, RSA], ids=["ecdsa-client", "rsa-client"])
@pytest.mark.parametrize("server", [ECDSA_2, RSA], ids=["ecdsa-server", "rsa-server"])
def test_handshake_and_data_both_ways(client: Certificate, server: Certificate) -> None:
    pair = Pair(client, server)
    pair.start()
    pair.run()
    for engine, certificate in ((pair.client, server), (pair.server, client)):
        assert engine.state is DtlsState.CONNECTED
        [event] = pair.events[engine]
        assert isinstance(event, DtlsConnected)
        assert event.version == 0xFEFD
        assert "GCM" in event.cipher
        assert engine.remote_certificates == (certificate.der,)
        assert engine.counters.handshake_retransmissions == 0
    assert pair.now == 0.0, "no timer was needed"
    assert pair.server.counters.packets_received == pair.client.counters.packets_sent
    assert pair.client.counters.packets_received == pair.server.counters.packets_sent

    messages = [bytes([i]) * (i * 11 + 1) for i in range(100)]
    pair.client.send(messages)
    pair.server.send(messages[::-1])
    pair.run()
    assert pair.received[pair.server] == messages
    assert pair.received[pair.client] == messages[::-1]


def test_both_ends_derive_the_same_srtp_keys() -> None:
    pair = Pair()
    pair.start()
    pair.run()
    client, server = pair.client.srtp_keys, pair.server.srtp_keys
    assert client is not None
    assert server is not None
    assert (client.local, client.remote) == (server.remote, server.local)
    assert client.local != client.remote
    assert len(client.local) == client.profile.key_bytes + client.profile.salt_bytes
    assert client.profile.name == "SRTP_AEAD_AES_256_GCM"


def test_flights_fit_the_mtu() -> None:
    pair = Pair(RSA, RSA, mtu=600)
    sizes: list[int] = []

    def keep(datagram: bytes) -> list[bytes]:
        sizes.append(len(datagram))
        return [datagram]

    pair.start()
    pair.run(keep)
    assert pair.client.state is DtlsState.CONNECTED
    assert max(sizes) <= 600
    assert len(sizes) > 4


@pytest.mark.parametrize("seed", range(60))
def test_handshake_survives_loss_and_duplication(seed: int) -> None:
    rng = random.Random(seed)
    pair = Pair()

    def keep(datagram: bytes) -> list[bytes]:
        return [datagram] * rng.choice([0, 1, 1, 2])

    pair.start()
    pair.run(keep)
    assert pair.client.state is DtlsState.CONNECTED
    assert pair.server.state is DtlsState.CONNECTED


def test_lost_last_flight_is_repeated_without_waiting_for_openssl() -> None:
    pair = Pair()
    flights: list[bytes] = []

    def drop_servers_second_flight(datagram: bytes) -> list[bytes]:
        # the first ChangeCipherSpec (record type 20) from the server closes the handshake
        if datagram[0] in (20, 22) and pair.server.state is DtlsState.CONNECTED and not flights:
            flights.append(datagram)
            return []
        return [datagram]

    pair.start()
    pair.run(drop_servers_second_flight)
    assert flights
    assert pair.client.state is DtlsState.CONNECTED
    assert pair.now < 0.5


@pytest.mark.parametrize("side", ["client", "server"])
def test_wrong_fingerprint_fails_both_ends_before_any_data(side: str) -> None:
    wrong = [Certificate.generate().fingerprint()]
    pair = Pair(**{f"{side}_expects": wrong})
    pair.start()
    pair.run()
    checking = getattr(pair, side)
    other = pair.server if side == "client" else pair.client
    assert checking.state is DtlsState.FAILED
    [failure] = [e for e in pair.events[checking] if isinstance(e, DtlsFailed)]
    assert failure.detail == "fingerprint-failure"
    assert failure.sent_alert is not None
    assert other.state is DtlsState.FAILED
    [told] = [e for e in pair.events[other] if isinstance(e, DtlsFailed)]
    assert told.received_alert == failure.sent_alert
    other.send([b"secret"])
    pair.run()
    assert pair.received[checking] == []


def test_no_fingerprint_is_no_peer() -> None:
    pair = Pair(client_expects=[])
    pair.start()
    pair.run()
    assert pair.client.state is DtlsState.FAILED


@pytest.mark.parametrize(
    ("expected", "connects"),
    [
        ([("sha-512", True)], True),
        ([("sha-256", False), ("sha-256", True)], True),
        ([("sha-256", False), ("sha-512", True)], True),
        ([("sha-256", True), ("sha-512", False)], False),
        ([("md5", True)], False),
    ],
)
def test_several_fingerprints(expected: list[tuple[str, bool]], connects: bool) -> None:
    fingerprints = []
    for algorithm, right in expected:
        certificate = ECDSA_2 if right else RSA
        known = algorithm if algorithm.startswith("sha") else "sha-256"
        fingerprints.append(Fingerprint(algorithm.upper(), certificate.fingerprint(known).value.lower()))
    pair = Pair(client_expects=fingerprints)
    pair.start()
    pair.run()
    assert (pair.client.state is DtlsState.CONNECTED) is connects


def test_datagrams_before_start_are_kept_and_bounded() -> None:
    pair = Pair()
    pair.client.start(DtlsRole.CLIENT, pair.expects[0], 0.0)
    pair.server.receive(pair.client.drain(0.0), 0.0)
    pair.server.receive([b"\x16" * 100] * 1000, 0.0)
    assert pair.server.counters.dropped_early == 1000 + 1 - MAX_EARLY_DATAGRAMS
    counted = pair.server.counters.packets_received
    pair.server.start(DtlsRole.SERVER, pair.expects[1], 0.0)
    assert pair.server.counters.packets_received == counted
    pair.run()
    assert pair.client.state is pair.server.state is DtlsState.CONNECTED


def test_silence_ends_in_failure_at_the_deadline() -> None:
    pair = Pair()
    pair.start()
    pair.run(lambda _: [], until=HANDSHAKE_DEADLINE_S * 3)
    assert pair.client.state is DtlsState.FAILED
    assert pair.now == pytest.approx(HANDSHAKE_DEADLINE_S)
    assert 5 < pair.client.counters.handshake_retransmissions < 40


@pytest.mark.parametrize("side", ["client", "server"])
def test_close_notify_reaches_the_peer(side: str) -> None:
    pair = Pair()
    pair.start()
    pair.run()
    closing = getattr(pair, side)
    other = pair.server if side == "client" else pair.client
    closing.send([b"last words"])
    closing.close()
    pair.run()
    assert pair.received[other] == [b"last words"]
    assert closing.state is other.state is DtlsState.CLOSED
    assert isinstance(pair.events[other][-1], DtlsClosed)
    other.send([b"too late"])
    assert other.counters.dropped_not_connected == 1
    closing.receive([b"\x17\xfe\xfd" + bytes(20)], pair.now)
    assert closing.counters.dropped_closed == 1


def test_data_before_the_handshake_is_dropped_and_counted() -> None:
    pair = Pair()
    pair.client.send([b"early"])
    assert pair.client.counters.dropped_not_connected == 1
    assert pair.client.drain(0.0) == []


def test_garbage_and_replays_cost_nothing_but_themselves() -> None:
    pair = Pair()
    pair.start()
    pair.run()
    pair.client.send([b"one", b"two"])
    datagrams = pair.client.drain(0.0)
    damaged = bytearray(datagrams[0])
    damaged[-1] ^= 1
    pair.server.receive([bytes(damaged), *datagrams, *datagrams, b"\x17", b"\x17\xfe\xfd" + bytes(50)], 0.0)
    assert pair.server.received() == [b"one", b"two"]
    assert pair.server.state is DtlsState.CONNECTED
    pair.client.send([b"three"])
    pair.run()
    assert pair.received[pair.server] == [b"three"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=8), st.booleans())
def test_arbitrary_datagrams_never_raise(datagrams: list[bytes], connected: bool) -> None:
    pair = Pair()
    pair.start()
    if connected:
        pair.run()
    for engine in (pair.client, pair.server):
        engine.receive([bytes([22 + (i & 1)]) + d for i, d in enumerate(datagrams)], pair.now)
        engine.events()
        assert engine.received() == []


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 3), st.integers(0, 400), st.integers(1, 255))
def test_a_flipped_byte_in_the_handshake_never_raises(which: int, where: int, mask: int) -> None:
    pair = Pair()
    seen = 0

    def keep(datagram: bytes) -> list[bytes]:
        nonlocal seen
        seen += 1
        if seen == which + 1:
            damaged = bytearray(datagram)
            damaged[where % len(damaged)] ^= mask
            return [bytes(damaged)]
        return [datagram]

    pair.start()
    pair.run(keep)
    assert pair.client.state in (DtlsState.CONNECTED, DtlsState.FAILED)


def test_bulk_leaves_in_runs_of_one_size() -> None:
    pair = Pair()
    pair.start()
    pair.run()
    pair.client.send([bytes(1100)] * 30 + [bytes(50)] + [bytes(700)] * 2)
    runs = pair.client.drain_runs(0.0)
    sizes = [(run.segment_bytes, -(-len(run.data) // run.segment_bytes)) for run in runs]
    assert [count for _, count in sizes] == [31, 2]
    assert sizes[0][0] == 1100 + 37 - 8 or sizes[0][0] > 1100


def test_keylog_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "keys.log"
    client = DtlsEngine(ECDSA, keylog_path=str(path))
    server = DtlsEngine(ECDSA_2)
    pair = Pair()
    pair.client, pair.server = client, server
    pair.events = {client: [], server: []}
    pair.received = {client: [], server: []}
    pair.start()
    pair.run()
    assert path.stat().st_mode & 0o077 == 0  # whoever reads it can read the call
    [line] = path.read_text().splitlines()
    label, client_random, secret = line.split()
    assert label == "CLIENT_RANDOM"
    assert (len(client_random), len(secret)) == (64, 96)


def test_the_key_log_is_closed_with_its_context(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = str(tmp_path / "keys.log")

    def is_open() -> bool:
        return path in {os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")}

    openssl.shared_context(path)
    assert is_open()
    openssl.shared_context.cache_clear()
    gc.collect()
    assert not is_open()


def test_openssls_own_clock_decides_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that was slow for a second of its own: what OpenSSL repeats by itself waits for its time."""
    pair = Pair()
    pair.client.start(DtlsRole.CLIENT, pair.expects[0], 0.0)
    (hello,) = pair.client.drain(0.0)
    due = pair.client.next_timeout()
    assert due is not None
    again = hello[:5] + (1).to_bytes(6, "big") + hello[11:]  # with a record number of its own
    with monkeypatch.context() as patch:
        patch.setattr(openssl.RecordLayer, "take", lambda self: again)
        handshaking = pair.client._phase
        assert isinstance(handshaking, Handshaking)
        assert handshaking.advance(0.001) is handshaking
    assert pair.client.drain(0.001) == []
    assert pair.client.next_timeout() == due
    pair.client.handle_timeout(due)
    assert pair.client.drain(due) == [again]
    assert pair.client.counters.handshake_retransmissions == 1
